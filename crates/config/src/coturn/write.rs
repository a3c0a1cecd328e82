//! The new file: only what differs from the defaults, each key with the line it comes from.

use std::fmt::Write as _;

use zeroize::Zeroizing;

use super::collected::{Draft, Sourced};
use super::place::{Place, places};
use super::setting::{Outcome, Setting};

/// Networks that proxies are in, where coturn trusts everybody.
const PROXIES: &str =
    "[\"127.0.0.0/8\", \"::1\", \"10.0.0.0/8\", \"172.16.0.0/12\", \"192.168.0.0/16\"]";

/// The whole file.
pub(super) fn toml(draft: &Draft, settings: &[Setting], absent: &[String]) -> Zeroizing<String> {
    // One allocation, so that no copy of a secret stays behind where it grew.
    let mut toml = Zeroizing::new(String::with_capacity(64 * 1024));
    let text = &mut *toml;
    text.push_str(
        "# taciturn.toml, translated from coturn's turnserver.conf. config/taciturn.toml of taciturn\n\
         # explains every key. Line numbers are those of turnserver.conf,\n\
         # arguments those of coturn's command line.\n",
    );
    top(text, draft);
    auth(text, draft);
    if let (Some(cert), Some(key)) = (&draft.cert, &draft.key) {
        text.push_str("\n[tls]\n");
        set(text, "cert", &quoted(&cert.value), &cert.places);
        set(text, "key", &quoted(&key.value), &key.places);
    }
    peers(text, draft);
    sections(text, draft);
    listen(text, draft);
    for (title, wanted) in [
        ("Not needed here", false),
        ("Not supported, unknown or wrong; these have no effect", true),
    ] {
        leftovers(text, title, settings, wanted);
    }
    if !absent.is_empty() {
        let lines: String = absent.iter().map(|absent| comment(absent)).collect();
        let _ = write!(text, "\n# Served by coturn without a line for it, and not here:\n{lines}");
    }
    toml
}

fn top(text: &mut String, draft: &Draft) {
    text.push('\n');
    if let Some(realm) = &draft.realm {
        set(text, "realm", &quoted(&realm.value), &realm.places);
    }
    match draft.external_ip.as_slice() {
        [] => text.push_str(
            "# external-ip is not set: the server looks for its public address itself.\n\
             #external_ip = \"auto\"\n",
        ),
        [one] => set(text, "external_ip", &quoted(&one.value), &one.places),
        several => {
            let values: Vec<_> = several.iter().map(|address| quoted(&address.value)).collect();
            let mut lines: Vec<_> =
                several.iter().flat_map(|address| &address.places).copied().collect();
            lines.sort_unstable();
            set(text, "external_ip", &format!("[{}]", values.join(", ")), &lines);
        }
    }
    match &draft.relay_ports {
        Some(ports) => set(text, "relay_ports", &quoted(&ports.value), &ports.places),
        None => text.push_str(
            "# min-port and max-port are not set. coturn's range is 49152-65535; the default here lies\n\
             # within it, so that a firewall that lets coturn's through lets this through as well.\n\
             #relay_ports = \"59000-60100\"\n",
        ),
    }
    if let Some(workers) = &draft.workers {
        set(text, "workers", &workers.value.to_string(), &workers.places);
    }
}

fn auth(text: &mut String, draft: &Draft) {
    if draft.users.is_empty() && draft.secrets.is_empty() {
        text.push_str(match draft.has_tenants {
            true => "\n# There is no credential of the server's own realm: only tenants are served.\n",
            false => {
                "\n# There is no credential: add users or secrets in [auth], or the server makes a secret of its own.\n"
            }
        });
        if !draft.has_tenants || !draft.allow_weak_credentials {
            return;
        }
    }
    text.push_str("\n[auth]\n");
    list(text, "users", &draft.users, |user| quoted(user));
    list(text, "secrets", &draft.secrets, |secret| quoted(secret));
    if draft.allow_weak_credentials {
        text.push_str(
            "# DANGER: one of these is what everybody tries first, so that strangers can use this relay.\n\
             # For tests only. Change it here and at the homeserver, and remove this line.\n\
             allow_weak_credentials = true\n",
        );
    }
}

fn peers(text: &mut String, draft: &Draft) {
    text.push_str(
        "\n# Private, loopback, link-local, shared (CGNAT), multicast and other special networks are\n\
         # denied without being named. coturn relays into most of them unless denied-peer-ip says not to.\n",
    );
    if draft.allow.is_empty() && draft.deny.is_empty() {
        return;
    }
    text.push_str("[peers]\n");
    list(text, "allow", &draft.allow, |net| quoted(&net.to_string()));
    list(text, "deny", &draft.deny, |net| quoted(&net.to_string()));
}

/// The sections that hold plain keys only: limits, protocol.
fn sections(text: &mut String, draft: &Draft) {
    let mut open = "";
    for (path, Sourced { value, places: all }) in &draft.keys {
        let (section, name) = path.split_once('.').unwrap_or(("", path));
        if section != open {
            let _ = write!(text, "\n[{section}]\n");
            open = section;
        }
        set(text, name, value, all);
    }
}

fn listen(text: &mut String, draft: &Draft) {
    if draft
        .listen
        .iter()
        .any(|listen| listen.address.ip().is_unspecified() && listen.address.is_ipv4())
    {
        text.push_str(
            "\n# 0.0.0.0 is every IPv4 address; \"[::]\" in its place is every address of both families.\n",
        );
    }
    if draft.listen.iter().any(|listen| listen.transport == "udp+dtls") {
        text.push_str(
            "\n# \"udp+dtls\" is plain UDP and DTLS on one port, as coturn up to 4.16 serves them. No browser asks for\n\
             # DTLS: \"udp\" in its place leaves it off.\n",
        );
    }
    for listen in &draft.listen {
        let _ = write!(
            text,
            "\n[[listen]]\ntransport = \"{}\"\naddress = \"{}\"\n",
            listen.transport, listen.address
        );
        if listen.behind_proxy {
            let _ = write!(
                text,
                "proxy_protocol = true\n# Leave only the addresses of your proxy.\n\
                 trusted_proxies = {PROXIES}\n"
            );
        }
    }
}

fn leftovers(text: &mut String, title: &str, settings: &[Setting], lost: bool) {
    let chosen = settings.iter().filter(|setting| match setting.outcome {
        Outcome::Mapped(_) => false,
        Outcome::NotNeeded(_) => !lost,
        Outcome::Unsupported(_) | Outcome::Unknown(_) | Outcome::Error(_) => lost,
    });
    let lines: Vec<_> = chosen.map(|setting| comment(&setting.to_string())).collect();
    if !lines.is_empty() {
        let _ = write!(text, "\n# {title}:\n{}", lines.concat());
    }
}

fn comment(text: &str) -> String {
    format!("#   {}\n", text.replace(char::is_control, " "))
}

fn set(text: &mut String, key: &str, value: &str, all: &[Place]) {
    let _ = match all {
        [] => writeln!(text, "{key} = {value}"),
        _ => writeln!(text, "{key} = {value} # {}", places(all)),
    };
}

fn list<T>(text: &mut String, key: &str, items: &[Sourced<T>], show: impl Fn(&T) -> String) {
    if items.is_empty() {
        return;
    }
    let _ = writeln!(text, "{key} = [");
    for item in items {
        let shown = Zeroizing::new(show(&item.value));
        let _ = writeln!(text, "    {}, # {}", shown.as_str(), places(&item.places));
    }
    text.push_str("]\n");
}

/// A TOML basic string: on one line, whatever `value` holds.
fn quoted(value: &str) -> String {
    let mut text = String::with_capacity(value.len() + 8);
    text.push('"');
    for c in value.chars() {
        match c {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            c if c.is_control() => {
                let _ = write!(text, "\\u{:04X}", u32::from(c));
            }
            c => text.push(c),
        }
    }
    text.push('"');
    text
}
