//! Networks as people write them.

use std::fmt::Display;
use std::net::IpAddr;

use ipnet::IpNet;
use taciturn_turn::policy::{PeerPorts, PeerPortsError};

use super::allowed_peer::{AllowedAddresses, AllowedPeer, OWN};
use super::error::Note;
use super::read::{Item, Reader};

const NETWORK: &str = "write an address or a network with its prefix length: \"10.1.2.3\",\n\
                       \"10.0.0.0/8\", \"2001:db8::/32\"";

/// Reads a list of networks, of a key that has no ports.
pub(super) fn networks(reader: &mut Reader<'_>, key: &'static str) -> Vec<IpNet> {
    let items = reader.list(key, "a list: [\"10.0.0.0/8\", \"2001:db8::/32\"]");
    let mut networks = Vec::with_capacity(items.len());
    for item in items {
        let text = item.text.trim();
        match network(text) {
            Some(net) => networks.push(net),
            None => {
                let denied = (key == "peers.deny").then(|| no_denied(text)).flatten();
                let Wrong { message, help } = denied.unwrap_or_else(|| no_network(text));
                reader.error(&item, message, &help);
            }
        }
    }
    networks
}

/// Reads `peers.allow`.
pub(super) fn allowed_peers(reader: &mut Reader<'_>, key: &'static str) -> Vec<AllowedPeer> {
    let items = reader.list(key, "a list: [\"10.0.0.0/8\", \"self:10000\"]");
    let mut peers = Vec::with_capacity(items.len());
    for item in items {
        let peer = match allowed(item.text.trim()) {
            Ok(peer) => peer,
            Err(Wrong { message, help }) => {
                reader.error(&item, message, &help);
                continue;
            }
        };
        if matches!(peer.whose, AllowedAddresses::Network(net) if net.prefix_len() == 0) {
            let text = format!(
                "peers.allow holds {peer}: whoever has a credential can reach everything this \
                 machine can, its private networks included{}",
                if peer.ports.is_some() { ", on these ports" } else { "" }
            );
            reader.findings.notes.push(Note::warning(text));
        }
        peers.push(peer);
    }
    peers
}

/// Returns the setting that lets clients relay to these peers, such as a media server on this machine.
#[must_use]
pub fn allow_line<T: Display>(peers: &[T]) -> String {
    let peers: Vec<_> = peers.iter().map(|peer| format!("\"{peer}\"")).collect();
    format!("peers.allow = [{}]", peers.join(", "))
}

/// What is wrong with a text, and what to write instead.
#[derive(Debug, PartialEq, Eq)]
struct Wrong {
    message: String,
    help: String,
}

impl Wrong {
    fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { message: message.into(), help: help.into() }
    }
}

/// An entry of `peers.allow`.
fn allowed(text: &str) -> Result<AllowedPeer, Wrong> {
    let all = |whose| Ok(AllowedPeer { whose, ports: None });
    if text == OWN {
        return all(AllowedAddresses::Own);
    }
    if let Some(net) = network(text) {
        return all(AllowedAddresses::Network(net));
    }
    if text.parse::<PeerPorts>().is_ok() {
        return Err(without_address(text, text));
    }
    let Some(Split { whose, ports, bracketed }) = split(text) else {
        return Err(no_peer(text));
    };
    let found = match whose {
        OWN => Some(AllowedAddresses::Own),
        "" | "*" => return Err(without_address(text, ports)),
        whose => network(whose).map(AllowedAddresses::Network),
    };
    let found = found.ok_or_else(|| no_peer(text))?;
    if matches!(found, AllowedAddresses::Network(net) if is_unspecified(&net)) {
        return Err(without_address(text, ports));
    }
    if bracketed != whose.contains(':') {
        let message = match bracketed {
            true => format!("\"{text}\": brackets are for IPv6"),
            false => format!("\"{text}\": an IPv6 address with ports stands in brackets"),
        };
        return Err(Wrong::new(message, format!("write \"{}\"", joined(whose, ports))));
    }
    let ports = ports.parse().map_err(|error| bad_ports(text, whose, ports, &error))?;
    Ok(AllowedPeer { whose: found, ports: Some(ports) })
}

/// Addresses and ports, as they stand in a text.
struct Split<'a> {
    whose: &'a str,
    ports: &'a str,
    /// Whether the addresses stand in brackets.
    bracketed: bool,
}

/// Splits addresses from ports: behind the bracket, else at the last colon. `None` where there are no ports.
fn split(text: &str) -> Option<Split<'_>> {
    if let Some(rest) = text.strip_prefix('[') {
        let (whose, behind) = rest.split_once(']')?;
        return Some(Split { whose, ports: behind.strip_prefix(':')?, bracketed: true });
    }
    let (whose, ports) = text.rsplit_once(':')?;
    Some(Split { whose, ports, bracketed: false })
}

fn joined(whose: &str, ports: &str) -> String {
    if whose.contains(':') { format!("[{whose}]:{ports}") } else { format!("{whose}:{ports}") }
}

fn is_unspecified(net: &IpNet) -> bool {
    net.prefix_len() == net.max_prefix_len() && net.addr().is_unspecified()
}

fn without_address(text: &str, ports: &str) -> Wrong {
    Wrong::new(
        format!("\"{text}\" has ports of no address"),
        format!(
            "write whose ports: \"self:{ports}\" for this server's own addresses, else \"ADDRESS:{ports}\""
        ),
    )
}

fn bad_ports(text: &str, whose: &str, ports: &str, error: &PeerPortsError) -> Wrong {
    let help = match error {
        PeerPortsError::Reversed { first, last } => {
            format!("write \"{}\"", joined(whose, &format!("{last}-{first}")))
        }
        PeerPortsError::Zero | PeerPortsError::TooLarge | PeerPortsError::Syntax => {
            let (one, range) = (joined(whose, "10000"), joined(whose, "50000-60000"));
            let several =
                if ports.contains(',') { "; each further one is an entry of its own" } else { "" };
            format!("write a port or a range: \"{one}\", \"{range}\"{several}")
        }
    };
    Wrong::new(format!("\"{text}\": {error}"), help)
}

/// A text that is neither addresses nor addresses with ports.
fn no_peer(text: &str) -> Wrong {
    let whose = text.rsplit_once(':').map_or(text, |(whose, _)| whose);
    if let Some((inside, behind)) = text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        let (prefix, ports) = behind.split_once(':').unwrap_or((behind, ""));
        let whose = format!("{inside}{prefix}");
        let help = match (network(&whose), ports) {
            (Some(_), "") => {
                format!("write \"{whose}\", or the ports behind it: \"[{whose}]:10000\"")
            }
            (Some(_), ports) => format!("write \"{}\"", joined(&whose, ports)),
            (None, _) => {
                "write it like \"[2001:db8::1]:10000\" or \"[2001:db8::/64]:5000-6000\"".into()
            }
        };
        let message =
            format!("\"{text}\" is no IPv6 address or network in brackets with ports behind");
        return Wrong::new(message, help);
    }
    if let Some((address, first)) = whose.rsplit_once(':')
        && (address == OWN || network(address).is_some_and(|net| net.addr().is_ipv4()))
    {
        let last = text.rsplit_once(':').map_or("", |(_, last)| last);
        return Wrong::new(
            format!("\"{text}\": a range of ports has a hyphen"),
            format!("write \"{address}:{first}-{last}\""),
        );
    }
    let has_letters = whose.bytes().any(|byte| byte.is_ascii_alphabetic());
    if has_letters && !whose.contains(['/', ':', '[', ' ']) {
        return Wrong::new(
            format!("\"{text}\" is a name, and peers are told apart by their addresses"),
            "write the address in its place, or \"self\" for this server's own addresses",
        );
    }
    let Wrong { message, help } = no_network(text);
    let ports = "with ports \"10.1.2.3:10000\", \"[2001:db8::/32]:5000-6000\", \"self:7882\"";
    Wrong { message, help: format!("{help};\n{ports}") }
}

fn no_network(text: &str) -> Wrong {
    Wrong::new(format!("\"{text}\" is no address and no network"), NETWORK)
}

/// What stands in `peers.deny` and would be good in `peers.allow`.
fn no_denied(text: &str) -> Option<Wrong> {
    let AllowedPeer { whose, ports } = allowed(text).ok()?;
    let AllowedAddresses::Network(net) = whose else {
        return Some(Wrong::new(
            format!("\"{text}\" is for peers.allow alone"),
            "this server's own addresses are denied by themselves, but for the relay ports: remove it, or\nwrite the \
             address to deny these too",
        ));
    };
    let allowed = AllowedPeer { whose, ports };
    let whole = AllowedPeer { whose, ports: None };
    let all = if net.prefix_len() == net.max_prefix_len() {
        net.addr().to_string()
    } else {
        whole.to_string()
    };
    Some(Wrong::new(
        format!("\"{text}\" has ports, and an address is denied with all its ports"),
        format!(
            "write \"{all}\"; what peers.allow names wins, so the ports that clients may reach stand there, like\n{}",
            allow_line(&[allowed])
        ),
    ))
}

/// Reads a network, or a single address as a network of one. An IPv4 network in IPv6 dress is the IPv4 network: peers
/// and clients are judged by it.
fn network(text: &str) -> Option<IpNet> {
    let net = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)).ok()?;
    let mapped = match net.addr() {
        IpAddr::V6(ip) => ip.to_ipv4_mapped().zip(net.prefix_len().checked_sub(96)),
        IpAddr::V4(_) => None,
    };
    let mapped = mapped.and_then(|(ip, length)| IpNet::new(ip.into(), length).ok());
    Some(mapped.unwrap_or(net).trunc())
}

/// Reads who may send PROXY protocol headers.
pub(super) fn trusted_proxies(reader: &mut Reader<'_>, items: &[Item]) -> Vec<IpNet> {
    let mut proxies = Vec::with_capacity(items.len());
    for item in items {
        let text = item.text.trim();
        let Some(net) = network(text) else {
            let Wrong { message, help } = no_network(text);
            reader.error(item, message, &help);
            continue;
        };
        if net.prefix_len() == 0 {
            let text = format!(
                "{} is {net}: whoever can connect to this listener can pretend to be any client",
                item.key
            );
            reader.findings.notes.push(Note::warning(text));
        }
        proxies.push(net);
    }
    proxies
}
