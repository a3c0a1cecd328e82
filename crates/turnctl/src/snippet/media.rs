//! Media servers and pages of other makers. Several take one name and one password that never end: those of a static
//! user.

use std::fmt::Write as _;

use serde_json::json;

use super::text::{env, yaml};
use super::{Facts, Snippet, SnippetError};

/// BigBlueButton 2.4 to 3.0 make credentials that end from the shared secret.
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
            "/etc/bigbluebutton/turn-stun-servers.xml, in place of its beans; then `bbb-conf --restart`. {}",
            facts.same_machine("BigBlueButton's media servers (FreeSWITCH, mediasoup)")
        ),
    ))
}

/// Janus 1.x is a client of the relay itself, with one name and one password.
pub(super) fn janus(facts: &Facts<'_>) -> Result<Snippet, SnippetError> {
    let (port, udp, _) = facts.plain()?;
    let (name, password) = facts.static_user()?;
    let host = facts.host.to_string();
    let text = format!(
        "nat: {{\n  stun_server = {0}\n  stun_port = {port}\n  turn_server = {0}\n  turn_port = {port}\n  \
         turn_type = \"{1}\"\n  turn_user = {2}\n  turn_pwd = {3}\n}}\n",
        quoted(host.trim_matches(['[', ']'])),
        if udp { "udp" } else { "tcp" },
        quoted(name),
        quoted(password),
    );
    Ok(Snippet::new(
        text,
        format!(
            "janus.jcfg, merged with its section nat; restart Janus. Browsers get their own iceServers from the page: \
             `turnctl snippet webrtc`. {}",
            facts.same_machine("Janus")
        ),
    ))
}

/// Kurento 6 and 7.
pub(super) fn kurento(facts: &Facts<'_>) -> Result<Snippet, SnippetError> {
    let (port, udp, _) = facts.plain()?;
    let (name, password) = facts.static_user()?;
    let transport = if udp { "udp" } else { "tcp" };
    let text = format!("turnURL={name}:{password}@{}:{port}?transport={transport}\n", facts.host);
    Ok(Snippet::new(
        text,
        "/etc/kurento/modules/kurento/WebRtcEndpoint.conf.ini; restart kurento-media-server. It wants an address, no \
         name: pass --host ADDRESS",
    ))
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
         The secret must hold no comma and no quote",
    ))
}

/// go2rtc 1.9, also the one in Home Assistant and Frigate.
pub(super) fn go2rtc(facts: &Facts<'_>) -> Result<Snippet, SnippetError> {
    let (name, password) = facts.static_user()?;
    let mut text = String::from("webrtc:\n  ice_servers:\n    - urls:\n");
    for uri in facts.uris()? {
        let _ = writeln!(text, "        - {}", yaml(uri));
    }
    let _ = write!(text, "      username: {}\n      credential: {}\n", yaml(name), yaml(password));
    Ok(Snippet::new(
        text,
        format!(
            "go2rtc.yaml (in Frigate below the key go2rtc of config.yml); restart it. {}",
            facts.same_machine("go2rtc")
        ),
    ))
}

/// Home Assistant since 2024.12: the integration web_rtc hands these to browsers and apps.
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
        "configuration.yaml of Home Assistant; restart it. The camera's side is go2rtc: `turnctl snippet go2rtc`",
    ))
}

/// MiroTalk P2P and SFU.
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
    Ok(Snippet::new(text, "the file .env of MiroTalk; restart it. It takes one TURN server"))
}

/// Rocket.Chat takes names and passwords in front of the URI.
pub(super) fn rocketchat(facts: &Facts<'_>) -> Result<Snippet, SnippetError> {
    let (name, password) = facts.static_user()?;
    let stun = facts.udp().map(|port| format!("stun:{}:{port}", facts.host));
    let plain: Vec<_> = [(facts.udp(), "turn"), (facts.tls(), "turns")]
        .into_iter()
        .filter_map(|(port, scheme)| {
            Some(format!("{name}:{password}@{scheme}:{}:{}", facts.host, port?))
        })
        .collect();
    if plain.is_empty() {
        return Err(SnippetError::NoListener);
    }
    let text = stun.into_iter().chain(plain).collect::<Vec<_>>().join(", ") + "\n";
    Ok(Snippet::new(
        text,
        "Rocket.Chat: Administration, Settings, WebRTC, STUN/TURN Servers. Name and password must hold none of : @ ,",
    ))
}

/// PeerJS 1.x: an option of `new Peer`.
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

/// mediamtx 1.x makes credentials that end for the name AUTH_SECRET.
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
            facts.same_machine("mediamtx")
        ),
    ))
}

/// live777 hands these to its WHIP and WHEP clients.
pub(super) fn live777(facts: &Facts<'_>) -> Result<Snippet, SnippetError> {
    let (name, password) = facts.static_user()?;
    let uris: Vec<_> = facts.uris()?.iter().map(|uri| super::toml(uri)).collect();
    let text = format!(
        "[[ice_servers]]\nurls = [{}]\nusername = {}\ncredential = {}\n",
        uris.join(", "),
        super::toml(name),
        super::toml(password)
    );
    Ok(Snippet::new(text, format!("live777.toml; restart it. {}", facts.same_machine("live777"))))
}

/// A string of libconfig.
fn quoted(text: &str) -> String {
    super::toml(text)
}

fn xml(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    #[test]
    fn xml_attributes_hold_any_secret() {
        assert_eq!(super::xml("a\"b<c>&d'"), "a&quot;b&lt;c&gt;&amp;d'");
    }
}
