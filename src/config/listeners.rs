//! The `[[listen]]` sections, and the short form `udp:[::]:3478` of flags and the environment.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::policy::PortRange;

use super::address;
use super::error::Origin;
use super::load::{Node, Value};
use super::read::{Item, Reader};
use super::schema;
use super::{Listen, Transport};

const EXAMPLE: &str = "[[listen]]\ntransport = \"udp\"\naddress = \"[::]:3478\"";
const SHORT: &str = "write TRANSPORT:ADDRESS:PORT, like udp:[::]:3478;\n\
                     transports are udp, tcp, tls, dtls, auto";

/// Reads all listeners; the defaults when there is none.
pub(super) fn listeners(reader: &mut Reader<'_>, relay_ports: PortRange) -> Vec<Listen> {
    let Some(node) = reader.settings.get("listen").cloned() else {
        let defaults = address::default_listeners();
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
        let help = "remove it for the default, udp on [::]:3478";
        reader.findings.error(&node.origin, "listen", message, help);
    }
    let mut listeners: Vec<Listen> = Vec::with_capacity(nodes.len());
    for (n, node) in nodes.into_iter().enumerate() {
        let origin = node.origin.clone();
        let Some((listen, origin)) = (match node.value {
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
        let key = format!("listen[{n}].address");
        clash_with_relay_ports(reader, &listen, relay_ports, &origin, &key);
        if let Some(other) = listeners.iter().find(|other| overlap(other, &listen)) {
            let message = if other.address == listen.address {
                format!("{} is taken by another listener, {}", listen.address, other.name)
            } else {
                format!(
                    "{} is covered by another listener, {}: [::] is every address of both families",
                    listen.address, other.address
                )
            };
            reader.findings.error(&origin, key, message, "remove one of them, or change its port");
        }
        listeners.push(listen);
    }
    listeners
}

fn section(reader: &mut Reader<'_>, node: Node, n: usize) -> Option<(Listen, Origin)> {
    let Value::Table(mut table) = node.value else { return None };
    let mut take = |reader: &mut Reader<'_>, name: &str, example: &str| {
        let key = format!("listen[{n}].{name}");
        let (_, node) = table.remove(name)?;
        let Value::Text(text) = node.value else {
            let message = format!("must be a string, not {}", node.value.type_name());
            reader.findings.error(&node.origin, key, message, format!("write {example}"));
            return Some(None);
        };
        Some(Some(Item { text, origin: node.origin, key }))
    };
    let transport = take(reader, "transport", "\"udp\"");
    let at = take(reader, "address", "\"[::]:3478\"");
    let name = take(reader, "name", "a word").flatten();
    // A misspelt key is reported as such, not once more as missing.
    let misspelt = !table.is_empty();
    for (key, (origin, _)) in table {
        let help = schema::hint("listen", &key);
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
    let transport = transport.flatten().and_then(|item| {
        let transport = address::transport(&item.text);
        if transport.is_none() {
            let message = format!("there is no transport \"{}\"", item.text.as_str());
            reader.error(
                &item,
                message,
                "write one of \"udp\", \"tcp\", \"tls\", \"dtls\", \"auto\"",
            );
        }
        transport
    });
    let at = at.flatten()?;
    let parsed = match address::listen_address(&at.text) {
        Ok(parsed) => parsed,
        Err((message, help)) => {
            reader.error(&at, message, &help);
            return None;
        }
    };
    Some((listen(transport?, parsed, name.map(|name| name.text.to_string())), at.origin))
}

fn short(reader: &mut Reader<'_>, item: Item) -> Option<(Listen, Origin)> {
    let split = item.text.split_once(':');
    let Some((transport, rest)) =
        split.and_then(|(name, rest)| Some((address::transport(name)?, rest)))
    else {
        reader.error(&item, format!("\"{}\" is no listener", item.text.as_str()), SHORT);
        return None;
    };
    match address::listen_address(rest) {
        Ok(at) => Some((listen(transport, at, None), item.origin)),
        Err((message, help)) => {
            let help = help.replace('"', "").replace("write ", "write, after the transport, ");
            reader.error(&item, message, &help);
            None
        }
    }
}

fn listen(transport: Transport, address: SocketAddr, name: Option<String>) -> Listen {
    let name = name.unwrap_or_else(|| format!("{}:{}", transport.name(), address.port()));
    Listen { name, transport, address, explicit: true }
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
