//! Where peers reach the relay: the external address, and STUN servers to ask for it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;

use taciturn_turn::RelayAddress;
use taciturn_turn::policy::is_public;

use super::address::{host_port, is_dns_name, is_placeholder};
use super::config::ExternalIp;
use super::error::Note;
use super::read::{Item, Reader};

fn is_documentation_v6(ip: Ipv6Addr) -> bool {
    let [a, b, ..] = ip.segments();
    (a == 0x2001 && b == 0xdb8) || (a == 0x3fff && b < 0x1000)
}

const EXTERNAL_HELP: &str = "write the address that clients on the Internet reach this machine at:\n\
     external_ip = \"auto\" (find it), an IPv4 or IPv6 address,\n\
     or PUBLIC/PRIVATE when the provider maps one to the other (1:1 NAT)";

pub(super) fn external_ip(reader: &mut Reader<'_>) -> ExternalIp {
    let items = reader.list("external_ip", "\"auto\", an address, or a list of two addresses");
    let mut given: Vec<RelayAddress> = Vec::new();
    for item in &items {
        if item.text.trim().eq_ignore_ascii_case("auto") {
            if items.len() > 1 {
                let message = "\"auto\" cannot be combined with addresses";
                reader.error(item, message, "write either \"auto\" alone or only addresses");
            }
            continue;
        }
        let Some(address) = relay_address(reader, item) else { continue };
        let family = if address.public.is_ipv4() { "IPv4" } else { "IPv6" };
        if given.iter().any(|other| other.public.is_ipv4() == address.public.is_ipv4()) {
            let message = format!("a second {family} address, {}", address.public);
            let help = "relayed addresses are made on one address of each family: keep one\n\
                        IPv4 and one IPv6 address at most";
            reader.error(item, message, help);
            continue;
        }
        if address.public.is_loopback() {
            let text = format!("external_ip {} is reachable on this machine only", address.public);
            reader.findings.notes.push(Note::warning(text));
        } else if is_example(address.public) {
            let text = format!(
                "external_ip {} is an address from documentation that nobody can reach; \
                 write this machine's own",
                address.public
            );
            reader.findings.notes.push(Note::warning(text));
        } else if is_public(address.local) && !is_public(address.public) {
            let RelayAddress { public, local } = address;
            let message = format!(
                "\"{public}/{local}\": the two are the wrong way round, {local} is the public one"
            );
            reader.error(item, message, &format!("write \"{local}/{public}\""));
        } else if !is_public(address.public) {
            reader.findings.notes.push(Note::warning(in_one_network(address.public)));
        }
        given.push(address);
    }
    if given.is_empty() { ExternalIp::Auto } else { ExternalIp::Given(given) }
}

/// What a relayed address means that the Internet cannot reach.
fn in_one_network(ip: IpAddr) -> String {
    format!(
        "external_ip {ip} is no public address: only clients in the same network (LAN or VPN) will reach the relay. \
         Peers in private networks are denied until peers.allow names them: for a server of this network alone, add \
         the network to peers.allow, like allow = [\"{net}\"]; see docs/networks.md. If there is a 1:1 NAT, write \
         external_ip = \"PUBLIC/{ip}\"",
        net = network_around(ip)
    )
}

/// The usual network of a private address.
fn network_around(ip: IpAddr) -> IpNet {
    let length = if ip.is_ipv4() { 24 } else { 64 };
    IpNet::new(ip, length).map_or_else(|_| ip.into(), |net| net.trunc())
}

fn is_example(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_documentation(),
        IpAddr::V6(ip) => is_documentation_v6(ip),
    }
}

pub(super) fn relay_address(reader: &mut Reader<'_>, item: &Item) -> Option<RelayAddress> {
    let text = item.text.trim();
    if is_placeholder(text) {
        reader.error(item, format!("\"{text}\" is a placeholder"), EXTERNAL_HELP);
        return None;
    }
    if text.contains(',') {
        let help = "write a list: external_ip = [\"203.0.113.7\", \"2001:db8::7\"]";
        reader.error(item, format!("\"{text}\" is several addresses in one string"), help);
        return None;
    }
    let (public, local) = text.split_once('/').map_or((text, None), |(p, l)| (p, Some(l)));
    let public = usable_ip(reader, item, public)?;
    let local = match local {
        None => public,
        Some(length) if length.trim().parse::<u8>().is_ok() => {
            let help = format!(
                "after the slash stands the private address of a 1:1 NAT, not a prefix length;\n\
                 write \"{public}\""
            );
            reader.error(item, format!("\"{text}\" is a network, not an address"), &help);
            return None;
        }
        Some(local) => usable_ip(reader, item, local)?,
    };
    if public.is_ipv4() != local.is_ipv4() {
        let message = format!("{public} and {local} are of different families");
        let help = "both sides of PUBLIC/PRIVATE are IPv4, or both are IPv6;\n\
                    two public addresses are a list of two strings";
        reader.error(item, message, help);
        return None;
    }
    Some(RelayAddress { public, local })
}

fn usable_ip(reader: &mut Reader<'_>, item: &Item, text: &str) -> Option<IpAddr> {
    let bare = text.trim().trim_start_matches('[').trim_end_matches(']');
    let Ok(ip) = bare.parse::<IpAddr>() else {
        let message = match bare {
            "" => "an address is missing".to_owned(),
            name if is_dns_name(name) => format!("\"{name}\" is a name, not an address"),
            _ if bare.parse::<SocketAddr>().is_ok() => {
                format!("\"{bare}\" has a port; relay ports are set by relay_ports")
            }
            _ => format!("\"{bare}\" is no IP address"),
        };
        reader.error(item, message, EXTERNAL_HELP);
        return None;
    };
    let unusable = match ip {
        IpAddr::V4(Ipv4Addr::BROADCAST) => Some("the broadcast address"),
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => Some("an IPv4 address in IPv6 dress"),
        _ if ip.is_unspecified() => Some("a placeholder that means \"any address\""),
        _ if ip.is_multicast() => Some("a multicast address"),
        _ => None,
    };
    if let Some(what) = unusable {
        reader.error(item, format!("{ip} is {what}"), EXTERNAL_HELP);
        return None;
    }
    Some(ip)
}

/// Reads `host:port`, with or without `stun:` in front and the port behind.
pub(super) fn stun_servers(reader: &mut Reader<'_>) -> Vec<String> {
    let items = reader.list("stun_servers", "a list: [\"stun.example.org:3478\"]");
    let mut servers = Vec::with_capacity(items.len());
    for item in items {
        let text = item.text.trim();
        let text = text.strip_prefix("stun:").unwrap_or(text);
        match host_port(text) {
            Some((host, port)) if !is_placeholder(text) => servers.push(format!("{host}:{port}")),
            _ => {
                let message = format!("\"{text}\" is not HOST:PORT");
                reader.error(&item, message, "write it like \"stun.example.org:3478\"");
            }
        }
    }
    servers
}
