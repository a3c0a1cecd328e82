//! What coturn serves without a line for it, and this server does not: each with what follows for clients, and
//! how to turn it on.

use std::net::IpAddr;

use super::assemble::lost_ports::LostPorts;
use super::collected::Collected;
use super::peer_nets;

/// What the settings leave as coturn has it by default.
pub(super) fn absent(collected: &Collected, lost: LostPorts) -> Vec<String> {
    let is_there = |name: &str| collected.present.contains_key(name);
    let mut texts = Vec::new();
    listeners(&mut texts, &lost);
    if !is_there("no-tcp-relay") {
        texts.push(
            "TCP to peers (RFC 6062): clients that ask for it get an error; browsers never ask. tcp_relay = true in \
             [protocol] turns it on"
                .to_owned(),
        );
    }
    if !is_there("rfc3489-compatibility") && !collected.is_on("no-stun-backward-compatibility") {
        texts.push(
            "Binding requests of RFC 3489, without the magic cookie, and MAPPED-ADDRESS in answers (coturn up to \
             4.16): Asterisk's stunaddr, pystun and old telephones get no answer. rfc3489 = true in [protocol] \
             answers them"
                .to_owned(),
        );
    }
    if !is_there("rfc5766-channel-numbers") {
        texts.push(
            "channel numbers from 0x5000 on (coturn up to 4.15): old clients, coturn's turnutils_uclient for one, get \
             400. rfc5766_channels = true in [protocol] takes them"
                .to_owned(),
        );
    }
    peers(&mut texts, collected);
    if collected.draft.relay_ports.is_none() {
        texts.push(
            "relay ports beyond 59000-60100: there are 1101 of coturn's 16384, one an allocation. For more set \
             relay_ports, which coturn has at 49152-65535"
                .to_owned(),
        );
    }
    if !is_there("user-quota") {
        texts.push(
            "any number of allocations a user: here 200. Where many people share one name, raise \
             allocations_per_user in [limits]"
                .to_owned(),
        );
    }
    texts
}

fn listeners(texts: &mut Vec<String>, lost: &LostPorts) {
    if !lost.taken.is_empty() {
        texts.push(format!(
            "UDP on {}, which lies within the relay ports: clients that use it over UDP get no answer. Move min-port \
             or the port in a copy of the file if they do",
            ports(&lost.taken)
        ));
    }
    if lost.next {
        texts.push(
            "the ports behind listening-port and tls-listening-port, 3479 and 5350 for instance (coturn up to 4.16, where \
             it has two addresses): clients whose URI names one of them get no answer. Add a [[listen]] section for it if there are such"
                .to_owned(),
        );
    }
}

fn ports(ports: &[u16]) -> String {
    let ports: Vec<_> = ports.iter().map(|port| format!("{port}/udp")).collect();
    ports.join(", ")
}

/// Networks that are often meant to be reached, and one address of each.
const PRIVATE: [(&str, &str); 5] = [
    ("10.0.0.0/8", "10.0.0.1"),
    ("172.16.0.0/12", "172.16.0.1"),
    ("192.168.0.0/16", "192.168.0.1"),
    ("100.64.0.0/10", "100.64.0.1"),
    ("fc00::/7", "fd00::1"),
];

fn peers(texts: &mut Vec<String>, collected: &Collected) {
    let is_denied = |ip: &str| {
        let ip = ip.parse::<IpAddr>().ok();
        ip.is_some_and(|ip| collected.denied_nets().any(|net| net.contains(&ip)))
    };
    let is_allowed = |ip: IpAddr| collected.draft.allow.iter().any(|net| net.value.contains(&ip));
    let open: Vec<_> = PRIVATE
        .iter()
        .filter(|(_, ip)| !is_denied(ip) && ip.parse().is_ok_and(|ip| !is_allowed(ip)))
        .map(|(net, _)| *net)
        .collect();
    if !open.is_empty() {
        texts.push(format!(
            "peers in private and other special networks ({}, and those of docs/security.md): they get 403. Name the \
             ones that are meant in allow of [peers]",
            open.join(", ")
        ));
    }
    if !collected.is_on("no-multicast-peers") && !is_allowed([224, 0, 0, 1].into()) {
        texts.push("peers with multicast addresses: they get 403".to_owned());
    }
    // There may be more own addresses than the settings name.
    let denied: Vec<_> = collected.denied_nets().copied().collect();
    if !peer_nets::without(&peer_nets::everything(), &denied).is_empty() {
        texts.push(
            "other ports of this machine as peers, but at addresses that peers.allow holds: a media server on this \
             machine (Jitsi, LiveKit, BigBlueButton, Janus) gets 403. If there is one, add its ports to allow in \
             [peers], like allow = [\"self:10000\"]"
                .to_owned(),
        );
    }
}
