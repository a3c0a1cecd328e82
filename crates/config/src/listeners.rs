//! The `[[listen]]` sections, and the short form `udp:[::]:3478` of flags and the environment.
//= 8489-12-udp-and-tcp

use std::collections::BTreeSet;
use std::iter;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;

use taciturn_tls::CertSource;
use taciturn_turn::policy::PortRange;

use super::address::listen_address;
use super::config::{Config, Listen, Tls};
use super::error::{Note, Origin};
use super::hints;
use super::networks::trusted_proxies as read_proxies;
use super::read::{Item, Reader};
use super::settings::{Node, Value};
use super::tls;
use super::transport::Transport;
use super::web;

const EXAMPLE: &str = "[[listen]]\ntransport = \"udp\"\naddress = \"[::]:3478\"";
const SHORT: &str = "write TRANSPORT:ADDRESS:PORT, like udp:[::]:3478;\n\
                     transports are udp, tcp, tls, dtls, auto, udp+dtls";

/// A listener, and where what it was made of stands.
struct Read {
    listen: Listen,
    transport: Origin,
    address: Origin,
    /// Whether it has a key of a certificate, rightly or not.
    own_cert_tried: bool,
}

/// Reads all listeners: the sections, or the defaults when there is none, and that of `[web]`.
pub(super) fn listeners(reader: &mut Reader<'_>, relay_ports: PortRange, tls: &Tls) -> Vec<Listen> {
    let mut listeners = for_clients(reader, relay_ports, tls);
    if let Some((listen, origin)) = web::listener(reader, tls) {
        refuse_overlap(reader, &listeners, &listen, &origin, web::KEY);
        listeners.push(listen);
    }
    listeners
}

fn for_clients(reader: &mut Reader<'_>, relay_ports: PortRange, tls: &Tls) -> Vec<Listen> {
    let tls_tried = tls::is_tried(reader);
    let Some(node) = reader.settings.get("listen").cloned() else {
        let defaults = default_listeners(!tls.certificates.is_empty());
        if !tls_tried {
            reader.findings.notes.push(tls::off_note());
        }
        for listen in &defaults {
            clash_with_relay_ports(
                reader,
                listen,
                relay_ports,
                &reader.origin("relay_ports"),
                "relay_ports",
            );
        }
        return defaults;
    };
    let nodes = match node.value {
        Value::List(nodes) => nodes,
        Value::Table(_) => {
            let message = "is a single section; there may be several";
            reader.findings.error(
                &node.origin,
                "listen",
                message,
                "write [[listen]], with two brackets",
            );
            return Vec::new();
        }
        other => {
            let message = format!("must be sections, not {}", other.type_name());
            reader.findings.error(&node.origin, "listen", message, EXAMPLE);
            return Vec::new();
        }
    };
    if nodes.is_empty() {
        let message = "is empty: the server would listen nowhere";
        let help = "remove it for the default, udp and tcp on [::]:3478";
        reader.findings.error(&node.origin, "listen", message, help);
    }
    let mut listeners: Vec<Listen> = Vec::with_capacity(nodes.len());
    for (n, node) in nodes.into_iter().enumerate() {
        let origin = node.origin.clone();
        let Some(Read { listen, transport, address: origin, own_cert_tried }) = (match node.value {
            Value::Text(text) => short(reader, Item { text, origin, key: format!("listen[{n}]") }),
            Value::Table(_) => section(reader, node, n),
            other => {
                let message = format!("must be a section, not {}", other.type_name());
                reader.findings.error(&origin, format!("listen[{n}]"), message, EXAMPLE);
                None
            }
        }) else {
            continue;
        };
        if listen.transport.is_secure() && !own_cert_tried && !tls_tried {
            let message =
                format!("\"{}\" needs a certificate, and there is none", listen.transport.name());
            let key = format!("listen[{n}].transport");
            reader.findings.error(&transport, key, message, tls::WAYS);
        }
        let key = format!("listen[{n}].address");
        clash_with_relay_ports(reader, &listen, relay_ports, &origin, &key);
        refuse_overlap(reader, &listeners, &listen, &origin, &key);
        listeners.push(listen);
    }
    if !tls.certificates.is_empty() && !listeners.iter().any(|listen| listen.transport.is_secure())
    {
        let text = "no listener uses the certificate of [tls]: TLS is off. To turn it on, add a section \
                    [[listen]] with transport = \"tls\" and address = \"[::]:5349\"";
        reader.findings.notes.push(Note::warning(text));
    }
    listeners
}

/// Refuses listeners with a realm that neither the server nor a tenant has.
pub(super) fn refuse_unknown_realms(config: &Config, reader: &mut Reader<'_>) {
    let known = || iter::once(&config.realm).chain(config.tenants.iter().map(|of| &of.realm));
    for (n, listen) in config.listen.iter().enumerate() {
        let Some(realm) = listen.realm.as_ref().filter(|realm| !known().any(|of| of == *realm))
        else {
            continue;
        };
        let sections = reader.settings.get("listen").map(|node| &node.value);
        let section = match sections {
            Some(Value::List(all)) => all.get(n).map(|node| &node.value),
            _ => None,
        };
        let origin = match section {
            Some(Value::Table(table)) => table.get("realm").map(|(_, node)| node.origin.clone()),
            _ => None,
        };
        let message = format!("no tenant has the realm \"{realm}\"");
        let known: BTreeSet<_> = known().map(|realm| format!("\"{realm}\"")).collect();
        let known: Vec<_> = known.into_iter().collect();
        let help = format!(
            "write one of these: {}; or add a section [[tenant]] with it",
            known.join(", ")
        );
        let origin = origin.unwrap_or(Origin::Unplaced);
        reader.findings.error(&origin, format!("listen[{n}].realm"), message, help);
    }
}

fn section(reader: &mut Reader<'_>, node: Node, n: usize) -> Option<Read> {
    let Value::Table(mut table) = node.value else { return None };
    let mut take = |name: &str| {
        let (_, node) = table.remove(name)?;
        Some((format!("listen[{n}].{name}"), node))
    };
    let (transport, at, name) = (take("transport"), take("address"), take("name"));
    let (cert, key) = (take("cert"), take("key"));
    let (proxy_protocol, trusted_proxies) = (take("proxy_protocol"), take("trusted_proxies"));
    let realm = take("realm");
    // A misspelt key is reported as such, not once more as missing.
    let misspelt = !table.is_empty();
    for (key, (origin, _)) in table {
        let help = hints::hint("listen", &key);
        let key = format!("listen[{n}].{key}");
        reader.findings.error(&origin, key, "there is no such key", help);
    }
    for (missing, key, example) in [
        (transport.is_none(), "transport", "add transport = \"udp\""),
        (at.is_none(), "address", "add address = \"[::]:3478\""),
    ] {
        if missing && !misspelt {
            let message = format!("has no {key}");
            reader.findings.error(&node.origin, format!("listen[{n}]"), message, example);
        }
    }
    let text = |reader: &mut Reader<'_>, taken: Option<(String, Node)>, example: &str| {
        let (key, node) = taken?;
        reader.text_of(&key, node, example)
    };
    let at = text(reader, at, "\"[::]:3478\"");
    let name = text(reader, name, "a word").map(|name| name.text.to_string());
    let realm = text(reader, realm, "the realm of a tenant").map(|realm| realm.text.to_string());
    let transport = text(reader, transport, "\"udp\"").and_then(|item| {
        let transport = Transport::named(&item.text);
        if transport.is_none() {
            let message = format!("there is no transport \"{}\"", item.text.as_str());
            reader.error(
                &item,
                message,
                "write one of \"udp\", \"tcp\", \"tls\", \"dtls\", \"auto\" (TCP and TLS), \"udp+dtls\"",
            );
        }
        Some((transport?, item.origin))
    });
    let at = at.and_then(|at| match listen_address(&at.text) {
        Ok(parsed) => Some((parsed, at.origin)),
        Err((message, help)) => {
            reader.error(&at, message, &help);
            None
        }
    });
    let (transport, transport_origin) = transport?;
    let own_cert_tried = cert.is_some() || key.is_some();
    let cert = own_cert(reader, transport, cert, key);
    let (proxy_protocol, trusted_proxies) =
        proxy(reader, transport, proxy_protocol, trusted_proxies);
    let (at, at_origin) = at?;
    let listen =
        Listen { cert, proxy_protocol, trusted_proxies, realm, ..listen(transport, at, name) };
    Some(Read { listen, transport: transport_origin, address: at_origin, own_cert_tried })
}

/// A key of a section and its value.
type Taken = Option<(String, Node)>;

/// Reports the keys that listeners of `transport` cannot have; `true` if there was one.
fn refuse<const N: usize>(
    reader: &mut Reader<'_>,
    transport: Transport,
    taken: [&Taken; N],
    help: &str,
) -> bool {
    let message = format!("a listener with transport = \"{}\" has no such key", transport.name());
    for (key, node) in taken.iter().copied().flatten() {
        reader.findings.error(&node.origin, key.as_str(), message.as_str(), help);
    }
    taken.iter().any(|taken| taken.is_some())
}

fn own_cert(
    reader: &mut Reader<'_>,
    transport: Transport,
    cert: Taken,
    key: Taken,
) -> Option<CertSource> {
    if !transport.is_secure() {
        let help = "remove it; only tls, dtls, auto and udp+dtls listeners have a certificate";
        refuse(reader, transport, [&cert, &key], help);
        return None;
    }
    let both = cert.is_some() && key.is_some();
    let mut text = |taken: Taken| {
        let (key, node) = taken?;
        reader.text_of(&key, node, "the path of a PEM file in double quotes")
    };
    let (cert, key) = (text(cert), text(key));
    // One of them was there but no string: that has been reported.
    if both && (cert.is_none() || key.is_none()) {
        return None;
    }
    tls::pair(reader, cert, key)
}

/// The key `proxy_protocol` of a listener.
enum ProxyProtocol<'a> {
    /// Left out, or `false`.
    Off,
    /// `true`, and where that is written.
    On { key: &'a str, origin: &'a Origin },
    /// Neither; this has been reported.
    Wrong,
}

fn proxy(
    reader: &mut Reader<'_>,
    transport: Transport,
    proxy_protocol: Taken,
    trusted_proxies: Taken,
) -> (bool, Vec<IpNet>) {
    const EXAMPLE: &str = "trusted_proxies = [\"127.0.0.1\", \"172.16.0.0/12\"]";
    if transport.is_datagram() {
        let help = "remove it; the PROXY protocol is for tcp, tls and auto listeners";
        refuse(reader, transport, [&proxy_protocol, &trusted_proxies], help);
        return (false, Vec::new());
    }
    let asked = match &proxy_protocol {
        None => ProxyProtocol::Off,
        Some((key, node)) => match reader.boolean_of(key, node) {
            Some(true) => ProxyProtocol::On { key, origin: &node.origin },
            Some(false) => ProxyProtocol::Off,
            None => ProxyProtocol::Wrong,
        },
    };
    let place = trusted_proxies.as_ref().map(|(key, node)| (key.clone(), node.origin.clone()));
    let items = trusted_proxies
        .map(|(key, node)| reader.list_of(&key, node, "a list: [\"127.0.0.1\", \"10.0.0.0/8\"]"));
    let trusted = read_proxies(reader, items.as_deref().unwrap_or_default());
    match (&asked, &items, place) {
        (ProxyProtocol::On { key, origin }, None, _) => {
            let message = "it is not said who may send PROXY headers";
            let help =
                format!("add the addresses of the proxies to this listener, like\n{EXAMPLE}");
            reader.findings.error(origin, *key, message, help);
        }
        (ProxyProtocol::On { .. }, Some(items), Some((key, origin))) if items.is_empty() => {
            let message = "is empty: nobody could connect";
            reader.findings.error(
                &origin,
                key,
                message,
                format!("name the proxies, like\n{EXAMPLE}"),
            );
        }
        (ProxyProtocol::Off, Some(items), Some((key, origin))) if !items.is_empty() => {
            let message = "this listener does not take PROXY headers from anybody";
            let help = "add proxy_protocol = true to this listener, or remove trusted_proxies";
            reader.findings.error(&origin, key, message, help);
        }
        _ => {}
    }
    (matches!(asked, ProxyProtocol::On { .. }), trusted)
}

fn short(reader: &mut Reader<'_>, item: Item) -> Option<Read> {
    let split = item.text.split_once(':');
    let Some((transport, rest)) =
        split.and_then(|(name, rest)| Some((Transport::named(name)?, rest)))
    else {
        reader.error(&item, format!("\"{}\" is no listener", item.text.as_str()), SHORT);
        return None;
    };
    match listen_address(rest) {
        Ok(at) => Some(Read {
            listen: listen(transport, at, None),
            transport: item.origin.clone(),
            address: item.origin,
            own_cert_tried: false,
        }),
        Err((message, help)) => {
            let help = help.replace('"', "").replace("write ", "write, after the transport, ");
            reader.error(&item, message, &help);
            None
        }
    }
}

fn listen(transport: Transport, address: SocketAddr, name: Option<String>) -> Listen {
    let name = name.unwrap_or_else(|| format!("{}:{}", transport.name(), address.port()));
    Listen {
        name,
        transport,
        address,
        explicit: true,
        for_links: false,
        cert: None,
        proxy_protocol: false,
        trusted_proxies: Vec::new(),
        realm: None,
    }
}

/// What is bound when nothing is configured; TLS only where there is a certificate for it.
fn default_listeners(tls: bool) -> Vec<Listen> {
    let listen = |transport: Transport, port| Listen {
        name: format!("{}:{port}", transport.name()),
        transport,
        address: SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)),
        explicit: false,
        for_links: false,
        cert: None,
        proxy_protocol: false,
        trusted_proxies: Vec::new(),
        realm: None,
    };
    let mut listeners = vec![listen(Transport::Udp, 3478), listen(Transport::Tcp, 3478)];
    listeners.extend(tls.then(|| listen(Transport::Tls, 5349)));
    listeners
}

fn clash_with_relay_ports(
    reader: &mut Reader<'_>,
    listen: &Listen,
    relay_ports: PortRange,
    origin: &Origin,
    key: &str,
) {
    let port = listen.address.port();
    if listen.transport.is_datagram() && relay_ports.contains(port) {
        let message = format!(
            "port {port} of the listener {} lies within relay_ports, {relay_ports}",
            listen.name
        );
        let help = "a relay port and a listener cannot share a UDP port: change one of them";
        reader.findings.error(origin, key, message, help);
    }
}

/// Reports a listener that wants the port of another one.
fn refuse_overlap(
    reader: &mut Reader<'_>,
    listeners: &[Listen],
    listen: &Listen,
    origin: &Origin,
    key: &str,
) {
    let Some(other) = listeners.iter().find(|other| overlap(other, listen)) else { return };
    let message = if other.address == listen.address {
        format!("{} is taken by another listener, {}", listen.address, other.name)
    } else {
        format!(
            "{} is covered by another listener, {}: [::] is every address of both families",
            listen.address, other.address
        )
    };
    reader.findings.error(origin, key, message, way_out(other, listen));
}

/// What to do about two listeners that want the same port.
fn way_out(a: &Listen, b: &Listen) -> String {
    if b.for_links {
        return "write another port, or remove the key: listeners for TCP and TLS serve test links as well"
            .to_owned();
    }
    let both = match (a.transport, b.transport) {
        (Transport::Udp, Transport::Dtls) | (Transport::Dtls, Transport::Udp) => {
            Transport::UdpAndDtls
        }
        (Transport::Tcp, Transport::Tls) | (Transport::Tls, Transport::Tcp) => Transport::Auto,
        _ => return "remove one of them, or change its port".to_owned(),
    };
    format!("write one section for both, with transport = \"{}\", or change a port", both.name())
}

/// Whether two listeners want the same port of the same address. Port 0 is any free port.
fn overlap(a: &Listen, b: &Listen) -> bool {
    let any = |ip: IpAddr| ip == Ipv6Addr::UNSPECIFIED;
    let any_v4 = |ip: IpAddr| ip == Ipv4Addr::UNSPECIFIED;
    let (ip_a, ip_b) = (a.address.ip(), b.address.ip());
    let same_ip = ip_a == ip_b || (any(ip_a) && any_v4(ip_b)) || (any(ip_b) && any_v4(ip_a));
    a.transport.is_datagram() == b.transport.is_datagram()
        && a.address.port() == b.address.port()
        && a.address.port() != 0
        && same_ip
}
