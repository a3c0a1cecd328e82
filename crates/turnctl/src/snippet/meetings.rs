//! Servers for meetings and chat, and WebRTC pages.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::CtlError;
use crate::credentials::{CredentialsError, make, secret_hash};
use crate::media_servers::{JITSI, LIVEKIT};

use super::text::{env, lua, shell, yaml};
use super::{Facts, Given, Snippet, SnippetError, same_machine};

const DAY: Duration = Duration::from_secs(86400);

/// JSON with a line break at its end.
fn pretty(value: &Value) -> String {
    // Objects of strings and numbers: there is nothing that JSON could not hold.
    format!("{value:#}\n")
}

/// The section rtc of livekit.yaml that names this relay.
pub(super) fn livekit_relays(facts: &Facts<'_>) -> Result<String, SnippetError> {
    let secret = match facts.given()? {
        Given::Inline(secret) => format!("secret: {}", yaml(secret)),
        Given::File(path) => format!("secret_file: {}", yaml(&path)),
    };
    let host = yaml(facts.host.to_string().trim_matches(['[', ']']));
    let mut text = String::from("rtc:\n");
    if let Some(port) = facts.udp() {
        let server = yaml(&format!("{}:{port}", facts.host));
        let _ = write!(text, "  stun_servers:\n    - {server}\n");
    }
    text.push_str("  turn_servers:\n");
    facts.uris()?;
    for (port, protocol) in [(facts.udp(), "udp"), (facts.tcp(), "tcp"), (facts.tls(), "tls")] {
        if let Some(port) = port {
            let _ = write!(
                text,
                "    - host: {host}\n      port: {port}\n      protocol: {protocol}\n      {secret}\n      \
                 ttl: 14400\n"
            );
        }
    }
    Ok(text)
}

pub(super) fn livekit(facts: &Facts<'_>) -> Result<Snippet, SnippetError> {
    Ok(Snippet::new(
        livekit_relays(facts)?,
        format!(
            "livekit.yaml, merged with its section rtc; restart LiveKit. Its own port range \
             (port_range_start, port_range_end) must not overlap relay_ports on the same machine. {}",
            same_machine(&LIVEKIT)
        ),
    ))
}

pub(super) fn nextcloud(facts: &Facts<'_>) -> Result<Snippet, SnippetError> {
    // Visible to everybody in `ps` for a moment either way; a file keeps it out of the history.
    let secret = match facts.given()? {
        Given::Inline(secret) => shell(secret),
        Given::File(path) => format!("\"$(cat {})\"", shell(&path)),
    };
    facts.uris()?;
    let mut text = String::new();
    if let Some(port) = facts.udp() {
        let server = shell(&format!("{}:{port}", facts.host));
        let _ = writeln!(text, "php occ talk:stun:add {server}");
    }
    let mut add = |scheme: &str, port: u16, protocols: &str| {
        let server = shell(&format!("{}:{port}", facts.host));
        let _ =
            writeln!(text, "php occ talk:turn:add --secret={secret} {scheme} {server} {protocols}");
    };
    match (facts.udp(), facts.tcp()) {
        (Some(udp), Some(tcp)) if udp == tcp => add("turn", udp, "udp,tcp"),
        (udp, tcp) => {
            udp.into_iter().for_each(|port| add("turn", port, "udp"));
            tcp.into_iter().for_each(|port| add("turn", port, "tcp"));
        }
    }
    facts.tls().into_iter().for_each(|port| add("turns", port, "tcp"));
    Ok(Snippet::new(
        text,
        "a shell in Nextcloud's directory, as the user of the web server (sudo -u www-data)",
    ))
}

pub(super) fn jitsi(facts: &Facts<'_>) -> Result<Snippet, SnippetError> {
    let (port, udp, tcp) = facts.plain()?;
    let host = facts.host.to_string();
    let transports = match (udp, tcp) {
        (true, true) => "udp,tcp",
        (true, false) => "udp",
        _ => "tcp",
    };
    let mut text = format!(
        "TURN_CREDENTIALS={}\nTURN_HOST={host}\nTURN_PORT={port}\nTURN_TRANSPORT={transports}\n\
         TURN_TTL=86400\n",
        env(facts.text()?)
    );
    if let Some(port) = facts.tls() {
        let _ = write!(text, "TURNS_HOST={host}\nTURNS_PORT={port}\n");
    }
    if let Some(port) = facts.udp() {
        let _ = write!(text, "STUN_HOST={host}\nSTUN_PORT={port}\n");
    }
    Ok(Snippet::new(
        text,
        format!(
            "the file .env of docker-jitsi-meet; recreate its containers. {}",
            same_machine(&JITSI)
        ),
    ))
}

pub(super) fn prosody(facts: &Facts<'_>) -> Result<Snippet, SnippetError> {
    let (port, _, tcp) = facts.plain()?;
    let mut text = format!(
        "-- And \"turn_external\" in modules_enabled.\n\
         turn_external_host = {}\nturn_external_port = {port}\nturn_external_secret = {}\n\
         turn_external_ttl = 86400\nturn_external_tcp = {tcp}\n",
        lua(&facts.host.to_string()),
        lua(facts.text()?),
    );
    if let Some(port) = facts.tls() {
        let _ = writeln!(text, "turn_external_tls_port = {port}");
    }
    Ok(Snippet::new(text, "prosody.cfg.lua, before the first VirtualHost; restart Prosody"))
}

pub(super) fn ejabberd(facts: &Facts<'_>) -> Result<Snippet, SnippetError> {
    facts.uris()?;
    let host = yaml(facts.host.to_string().trim_matches(['[', ']']));
    let mut text = format!(
        "modules:\n  mod_stun_disco:\n    secret: {}\n    credentials_lifetime: 12 hours\n    \
         offer_local_services: false\n    services:\n",
        yaml(facts.text()?)
    );
    for (port, kind, transport, restricted) in [
        (facts.udp(), "stun", "udp", false),
        (facts.udp(), "turn", "udp", true),
        (facts.tcp(), "turn", "tcp", true),
        (facts.tls(), "turns", "tcp", true),
    ] {
        if let Some(port) = port {
            let _ = write!(
                text,
                "      - host: {host}\n        port: {port}\n        type: {kind}\n        \
                 transport: {transport}\n        restricted: {restricted}\n"
            );
        }
    }
    Ok(Snippet::new(
        text,
        "ejabberd.yml, merged with its section modules; `ejabberdctl reload_config`",
    ))
}

pub(super) fn snikket(facts: &Facts<'_>) -> Result<Snippet, SnippetError> {
    let (port, ..) = facts.plain()?;
    let text = format!(
        "SNIKKET_TWEAK_TURNSERVER=0\nSNIKKET_TWEAK_TURNSERVER_DOMAIN={}\n\
         SNIKKET_TWEAK_TURNSERVER_PORT={port}\nSNIKKET_TWEAK_TURNSERVER_SECRET={}\n",
        facts.host,
        env(facts.text()?)
    );
    Ok(Snippet::new(text, "snikket.conf; recreate Snikket's containers"))
}

pub(super) fn mattermost(facts: &Facts<'_>) -> Result<Snippet, SnippetError> {
    // Calls wants STUN and TURN in entries of their own, and the list as text.
    let stun = facts.udp().map(|port| json!({ "urls": [format!("stun:{}:{port}", facts.host)] }));
    let turn = json!({ "urls": facts.uris()? });
    let servers: Vec<Value> = stun.into_iter().chain([turn]).collect();
    let text = pretty(&json!({
        "ICEServersConfigs": Value::from(servers).to_string(),
        "TURNStaticAuthSecret": facts.text()?,
        "TURNCredentialsExpirationMinutes": 240,
    }));
    Ok(Snippet::new(
        text,
        "the settings of the Calls plugin (System Console, Plugins, Calls), key by key",
    ))
}

pub(super) fn galene(facts: &Facts<'_>) -> Result<Snippet, SnippetError> {
    let text = pretty(&json!([{
        "urls": facts.uris()?,
        "username": "galene",
        "credential": facts.text()?,
        "credentialType": "hmac-sha1",
    }]));
    Ok(Snippet::new(text, "data/ice-servers.json of Galène; restart it"))
}

pub(super) fn webrtc(facts: &Facts<'_>) -> Result<Snippet, CtlError> {
    let secret = facts.secret()?;
    let made = make(secret, secret_hash(facts.config), "webrtc", DAY, SystemTime::now()).map_err(
        |error| match error {
            CredentialsError::NoSecret => SnippetError::NoSecret.into(),
            error => CtlError::from(error),
        },
    )?;
    let text = pretty(&json!({ "iceServers": [{
        "urls": facts.uris()?,
        "username": made.username,
        "credential": made.password.as_str(),
    }]}));
    Ok(Snippet::new(
        text,
        "new RTCPeerConnection(...). It is good for a day: `turnctl credentials --json` makes others",
    ))
}
