//! Networks as people write them.

use std::net::IpAddr;

use ipnet::IpNet;

use super::error::Note;
use super::read::{Item, Reader};

pub(super) fn peer_ranges(reader: &mut Reader<'_>, key: &'static str) -> Vec<IpNet> {
    let items = reader.list(key, "a list: [\"10.0.0.0/8\", \"2001:db8::/32\"]");
    let mut ranges = Vec::with_capacity(items.len());
    for item in items {
        let Some(net) = network(reader, &item) else { continue };
        if key == "peers.allow" && net.prefix_len() == 0 {
            let text = format!(
                "peers.allow holds {net}: whoever has a credential can reach everything this \
                 machine can, its private networks included"
            );
            reader.findings.notes.push(Note::warning(text));
        }
        ranges.push(net.trunc());
    }
    ranges
}

/// Returns the setting that lets clients relay to a program at `address`, such as a media server on this machine.
#[must_use]
pub fn allow_line(address: IpAddr) -> String {
    format!("peers.allow = [\"{address}\"]")
}

/// Reads a network, or a single address as a network of one.
fn network(reader: &mut Reader<'_>, item: &Item) -> Option<IpNet> {
    let text = item.text.trim();
    let net = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    if net.is_err() {
        let help = "write an address or a network with its prefix length: \"10.1.2.3\",\n\
                    \"10.0.0.0/8\", \"2001:db8::/32\"";
        reader.error(item, format!("\"{text}\" is no address and no network"), help);
    }
    net.ok()
}

/// Reads who may send PROXY protocol headers. An IPv4 network in IPv6 dress, as a dual-stack
/// socket shows it, is the IPv4 network.
pub(super) fn trusted_proxies(reader: &mut Reader<'_>, items: &[Item]) -> Vec<IpNet> {
    let mut proxies = Vec::with_capacity(items.len());
    for item in items {
        let Some(net) = network(reader, item) else { continue };
        if net.prefix_len() == 0 {
            let text = format!(
                "{} is {net}: whoever can connect to this listener can pretend to be any client",
                item.key
            );
            reader.findings.notes.push(Note::warning(text));
        }
        let mapped = match net.addr() {
            IpAddr::V6(ip) => ip.to_ipv4_mapped().zip(net.prefix_len().checked_sub(96)),
            IpAddr::V4(_) => None,
        };
        let mapped = mapped.and_then(|(ip, length)| IpNet::new(ip.into(), length).ok());
        proxies.push(mapped.unwrap_or(net).trunc());
    }
    proxies
}
