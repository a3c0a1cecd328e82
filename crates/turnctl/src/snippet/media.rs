//! Media servers and pages of other makers. Several take one name and one password that never end: those of a static
//! user.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};

use serde_json::json;
use taciturn_config::ExternalIp;

use super::text::{env, libconfig, percent, yaml};
use super::{Facts, Snippet, SnippetError, same_machine};
use crate::media_servers::{BIGBLUEBUTTON, GO2RTC, JANUS, LIVE777, MEDIAMTX};

/// BigBlueButton makes credentials that end from the shared secret.
pub(super) fn bbb(facts: &Facts<'_>) -> Result<Snippet, SnippetError> {
    let secret = xml(facts.text()?);
    let mut text = String::new();
    let class = "org.bigbluebutton.web.services.turn";
    if let Some(port) = facts.udp() {
        let _ = write!(
            text,
            "<bean id=\"stun0\" class=\"{class}.StunServer\">\n  <constructor-arg index=\"0\" \
             value=\"stun:{}:{port}\"/>\n</bean>\n",
            facts.host
        );
    }
    let uris = facts.uris()?;
    for (n, uri) in uris.iter().enumerate() {
        let _ = write!(
            text,
            "<bean id=\"turn{n}\" class=\"{class}.TurnServer\">\n  <constructor-arg index=\"0\" value=\"{secret}\"/>\n  \
             <constructor-arg index=\"1\" value=\"{}\"/>\n  <constructor-arg index=\"2\" value=\"86400\"/>\n</bean>\n",
            xml(uri)
        );
    }
    let set = |name: &str, beans: Vec<String>| {
        let refs: String =
            beans.iter().map(|bean| format!("      <ref bean=\"{bean}\"/>\n")).collect();
        format!("  <property name=\"{name}\">\n    <set>\n{refs}    </set>\n  </property>\n")
    };
    let stun = facts.udp().map(|_| "stun0".to_owned()).into_iter().collect();
    let turn = (0..uris.len()).map(|n| format!("turn{n}")).collect();
    let _ = write!(
        text,
        "<bean id=\"stunTurnService\" class=\"{class}.StunTurnService\">\n{}{}</bean>\n",
        set("stunServers", stun),
        set("turnServers", turn)
    );
    Ok(Snippet::new(
        text,
        format!(
            "/etc/bigbluebutton/turn-stun-servers.xml, in place of its beans; then `bbb-conf --restart`. If \
             bbb-web cannot read that file, it takes the packaged one and tells its log alone. {}",
            same_machine(&BIGBLUEBUTTON)
        ),
    ))
}

/// Janus is a client of the relay itself, with one name and one password.
pub(super) fn janus(facts: &Facts<'_>) -> Result<Snippet, SnippetError> {
    let (port, udp, _) = facts.plain()?;
    let (name, password) = facts.static_user()?;
    let host = facts.host.to_string();
    let host = libconfig(host.trim_matches(['[', ']']));
    let mut text = String::from("nat: {\n");
    // Over UDP only. Janus ends at its start if it gets no response.
    if udp {
        let _ = write!(text, "  stun_server = {host}\n  stun_port = {port}\n");
    }
    let _ = write!(
        text,
        "  turn_server = {host}\n  turn_port = {port}\n  turn_type = \"{}\"\n  turn_user = {}\n  turn_pwd = {}\n}}\n",
        if udp { "udp" } else { "tcp" },
        libconfig(name),
        libconfig(password),
    );
    Ok(Snippet::new(
        text,
        format!(
            "janus.jcfg, merged with its section nat; restart Janus. Only if Janus itself is behind a firewall that \
             clients do not get through: browsers get their own iceServers from the page, `turnctl snippet webrtc`. {}",
            same_machine(&JANUS)
        ),
    ))
}

/// Kurento matches the address against digits and dots: it takes neither names nor IPv6.
pub(super) fn kurento(facts: &Facts<'_>) -> Result<Snippet, SnippetError> {
    let (port, udp, _) = facts.plain()?;
    let (name, password) = facts.static_user()?;
    let address = ipv4(facts).ok_or(SnippetError::NoIpv4)?;
    let transport = if udp { "udp" } else { "tcp" };
    let text = format!("turnURL={name}:{password}@{address}:{port}?transport={transport}\n");
    Ok(Snippet::new(
        text,
        "/etc/kurento/modules/kurento/WebRtcEndpoint.conf.ini; restart kurento-media-server. In Docker the variable \
         KMS_TURN_URL takes what follows turnURL=. The password must hold no colon",
    ))
}

/// The IPv4 address of this server: the host, if it is one, else the external one.
fn ipv4(facts: &Facts<'_>) -> Option<Ipv4Addr> {
    let host = facts.host.to_string().parse().ok();
    host.or_else(|| match &facts.config.external_ip {
        ExternalIp::Given(given) => given.iter().find_map(|address| match address.public {
            IpAddr::V4(v4) => Some(v4),
            IpAddr::V6(_) => None,
        }),
        ExternalIp::Auto => None,
    })
}

/// OpenVidu 2 makes credentials that end. OpenVidu 3 is LiveKit.
pub(super) fn openvidu(facts: &Facts<'_>) -> Result<Snippet, SnippetError> {
    let secret = facts.text()?;
    let servers: Vec<_> =
        facts.uris()?.iter().map(|uri| format!("url={uri},staticAuthSecret={secret}")).collect();
    let text = format!("OPENVIDU_WEBRTC_ICE_SERVERS={}\n", json!(servers));
    Ok(Snippet::new(
        text,
        "/opt/openvidu/.env of OpenVidu 2; then `./openvidu restart`. OpenVidu 3 is LiveKit: `turnctl snippet livekit`. \
         The secret must hold no comma, quote, backslash or dollar sign",
    ))
}

/// go2rtc, also the one in Frigate. Its list replaces the default one, which has STUN servers.
pub(super) fn go2rtc(facts: &Facts<'_>) -> Result<Snippet, SnippetError> {
    let (name, password) = facts.static_user()?;
    let mut text = String::from("webrtc:\n  ice_servers:\n    - urls:\n");
    for uri in facts.uris()? {
        let _ = writeln!(text, "        - {}", yaml(uri));
    }
    let _ = write!(text, "      username: {}\n      credential: {}\n", yaml(name), yaml(password));
    // Where the candidate stun:8555, which Frigate sets by default, gets its address from.
    if let Some(port) = facts.udp() {
        let _ = write!(
            text,
            "    - urls:\n        - {}\n",
            yaml(&format!("stun:{}:{port}", facts.host))
        );
    }
    Ok(Snippet::new(
        text,
        format!(
            "go2rtc.yaml (in Frigate below the key go2rtc of config.yml); restart it. go2rtc itself uses the relay; its \
             own pages have a list of their own. {}",
            same_machine(&GO2RTC)
        ),
    ))
}

/// Home Assistant: the integration web_rtc passes these to browsers, apps and go2rtc.
pub(super) fn home_assistant(facts: &Facts<'_>) -> Result<Snippet, SnippetError> {
    let (name, password) = facts.static_user()?;
    let mut text = String::from("web_rtc:\n  ice_servers:\n");
    for uri in facts.uris()? {
        let _ = write!(
            text,
            "    - url: {}\n      username: {}\n      credential: {}\n",
            yaml(uri),
            yaml(name),
            yaml(password)
        );
    }
    Ok(Snippet::new(
        text,
        "configuration.yaml of Home Assistant; restart it. Releases up to 2026.1 read ice_servers below webrtc in \
         the section homeassistant instead. Home Assistant passes the list to its go2rtc as well",
    ))
}

/// MiroTalk P2P. MiroTalk SFU has no setting for ICE servers.
pub(super) fn mirotalk(facts: &Facts<'_>) -> Result<Snippet, SnippetError> {
    let (name, password) = facts.static_user()?;
    let uri = facts.uris()?.first().map_or("", String::as_str);
    let mut text = String::new();
    if let Some(port) = facts.udp() {
        let _ =
            write!(text, "STUN_SERVER_ENABLED=true\nSTUN_SERVER_URL=stun:{}:{port}\n", facts.host);
    }
    let _ = write!(
        text,
        "TURN_SERVER_ENABLED=true\nTURN_SERVER_URL={}\nTURN_SERVER_USERNAME={}\nTURN_SERVER_CREDENTIAL={}\n",
        env(uri),
        env(name),
        env(password)
    );
    Ok(Snippet::new(
        text,
        "the file .env of MiroTalk P2P; restart it. It takes one TURN server. Name and password must hold no single \
         quote. MiroTalk SFU takes no ICE servers",
    ))
}

/// Rocket.Chat takes names and passwords in front of the URI, percent-encoded, and commas between the servers.
pub(super) fn rocketchat(facts: &Facts<'_>) -> Result<Snippet, SnippetError> {
    let (name, password) = facts.static_user()?;
    let user = format!("{}:{}", percent(name), percent(password));
    let stun = facts.udp().map(|port| format!("stun:{}:{port}", facts.host));
    let turn = facts.uris()?.iter().map(|uri| {
        // UDP is what a turn URI means by itself.
        format!("{user}@{}", uri.strip_suffix("?transport=udp").unwrap_or(uri))
    });
    let text = stun.into_iter().chain(turn).collect::<Vec<_>>().join(", ") + "\n";
    Ok(Snippet::new(
        text,
        "Rocket.Chat: Administration, Settings, the setting VoIP_TeamCollab_Ice_Servers of its own voice calls (they need \
         a licence); releases that still have the section WebRTC: WebRTC_Servers. The list is public, with the password",
    ))
}

/// PeerJS: an option of `new Peer`, which replaces its default servers.
pub(super) fn peerjs(facts: &Facts<'_>) -> Result<Snippet, SnippetError> {
    let (name, password) = facts.static_user()?;
    let config = json!({ "config": { "iceServers": [{
        "urls": facts.uris()?, "username": name, "credential": password,
    }]}});
    Ok(Snippet::new(
        format!("{config:#}\n"),
        "new Peer(ID, OPTIONS), as its options. The page shows name and password to everybody: a page that asks your \
         server for `turnctl credentials --json` is better",
    ))
}

/// mediamtx makes credentials that end for the name AUTH_SECRET. It has had clientOnly since 1.7.0.
pub(super) fn mediamtx(facts: &Facts<'_>) -> Result<Snippet, SnippetError> {
    let secret = yaml(facts.text()?);
    let mut text = String::from("webrtcICEServers2:\n");
    if let Some(port) = facts.udp() {
        let _ = writeln!(text, "  - url: {}", yaml(&format!("stun:{}:{port}", facts.host)));
    }
    for uri in facts.uris()? {
        let _ = write!(
            text,
            "  - url: {}\n    username: AUTH_SECRET\n    password: {secret}\n    clientOnly: true\n",
            yaml(uri)
        );
    }
    Ok(Snippet::new(
        text,
        format!(
            "mediamtx.yml; restart it. clientOnly: mediamtx itself needs no relay if clients reach it. {}",
            same_machine(&MEDIAMTX)
        ),
    ))
}

/// live777 passes these to its WHIP and WHEP clients. Its list replaces the default one, which has a STUN server.
pub(super) fn live777(facts: &Facts<'_>) -> Result<Snippet, SnippetError> {
    let (name, password) = facts.static_user()?;
    let uris: Vec<_> = facts.uris()?.iter().map(|uri| super::toml(uri)).collect();
    let mut text = format!(
        "[[ice_servers]]\nurls = [{}]\nusername = {}\ncredential = {}\n",
        uris.join(", "),
        super::toml(name),
        super::toml(password)
    );
    if let Some(port) = facts.udp() {
        let uri = super::toml(&format!("stun:{}:{port}", facts.host));
        let _ = write!(text, "\n[[ice_servers]]\nurls = [{uri}]\n");
    }
    Ok(Snippet::new(
        text,
        format!(
            "live777.toml (its unit reads /etc/live777/live777.toml), in place of its ice_servers; restart it. liveman \
             makes credentials that end: secret, urls and ttl in [extra_ice.coturn] of liveman.toml. {}",
            same_machine(&LIVE777)
        ),
    ))
}

fn xml(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use taciturn_config::Config;
    use taciturn_config::uris::Host;

    use super::{Facts, SnippetError, janus, kurento, rocketchat};

    fn configured(more: &str) -> Config {
        let users = "[auth]\nusers = [\"media:p@ss, word\"]\n";
        Config::from_toml(&format!("{more}\n{users}")).unwrap().config
    }

    fn facts<'a>(config: &'a Config, host: &str) -> Facts<'a> {
        Facts::of(config, Host::Known(host.to_owned()))
    }

    #[test]
    fn xml_attributes_hold_any_secret() {
        assert_eq!(super::xml("a\"b<c>&d'"), "a&quot;b&lt;c&gt;&amp;d'");
    }

    #[test]
    fn kurento_gets_an_ipv4_address_or_nothing() {
        let none = configured("");
        let v6 = configured("external_ip = \"2001:4860:4860::8888\"");
        let v4 = configured("external_ip = \"203.0.113.7\"");
        for (config, host, address) in [
            (&none, "198.51.100.7", Some("198.51.100.7")),
            (&none, "turn.domain.org", None),
            (&v6, "2001:4860:4860::8888", None),
            (&v6, "turn.domain.org", None),
            (&v4, "turn.domain.org", Some("203.0.113.7")),
            (&v4, "2001:4860:4860::8888", Some("203.0.113.7")),
        ] {
            let made = kurento(&facts(config, host)).map(|snippet| snippet.text);
            let expected = address
                .map(|address| format!("turnURL=media:p@ss, word@{address}:3478?transport=udp\n"));
            assert_eq!(made, expected.ok_or(SnippetError::NoIpv4), "{host}");
        }
    }

    #[test]
    fn janus_asks_no_stun_server_that_does_not_listen_on_udp() {
        let both = configured("");
        let tcp = configured("listen = [\"tcp:0.0.0.0:3478\"]");
        for (config, kind, stun) in [(&both, "udp", true), (&tcp, "tcp", false)] {
            let text = janus(&facts(config, "turn.domain.org")).unwrap().text;
            assert!(text.contains(&format!("turn_type = \"{kind}\"\n")), "{text}");
            assert_eq!(text.contains("stun_"), stun, "{text}");
        }
    }

    #[test]
    fn rocketchat_splits_the_list_where_it_was_joined() {
        let config = configured("listen = [\"udp:0.0.0.0:3478\", \"tcp:0.0.0.0:3478\"]");
        let text = rocketchat(&facts(&config, "turn.domain.org")).unwrap().text;
        let servers: Vec<_> = text.trim().split(',').map(str::trim).collect();
        let user = "media:p%40ss%2C%20word";
        let (udp, tcp) = ("turn:turn.domain.org:3478", "turn:turn.domain.org:3478?transport=tcp");
        let expected =
            ["stun:turn.domain.org:3478".into(), format!("{user}@{udp}"), format!("{user}@{tcp}")];
        assert_eq!(servers, expected);
    }
}
