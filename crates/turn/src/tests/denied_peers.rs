//! Every denied range, in every way to write its addresses, by every request that names a peer:
//! nothing leaves (RFC 8656 sections 10.2, 12.2 and 21.1.2, RFC 6062 section 5.2).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use super::*;
use crate::DropReason;

/// First, last and one more of each range that no peer may be in.
const DENIED_V4: &[&str] = &[
    "0.0.0.0",
    "0.255.255.255",
    "10.0.0.0",
    "10.1.2.3",
    "10.255.255.255",
    "100.64.0.0",
    "100.127.255.255",
    "127.0.0.1",
    "127.255.255.255",
    "168.63.129.16",
    "169.254.0.0",
    "169.254.169.254",
    "169.254.255.255",
    "172.16.0.0",
    "172.31.255.255",
    "192.0.0.0",
    "192.0.0.192",
    "192.0.2.1",
    "192.31.196.1",
    "192.52.193.1",
    "192.88.99.1",
    "192.168.0.0",
    "192.168.255.255",
    "192.175.48.1",
    "198.18.0.0",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
];

const DENIED_V6: &[&str] = &[
    "::",
    "::1",
    "::2",
    "100::1",
    "100:0:0:1::1",
    "2001:2::1",
    "2001:10::1",
    "2001:20::1",
    "2001:db8:ffff::1",
    "2620:4f:8000::1",
    "3fff::1",
    "4000::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::a9fe:a9fe",
    "fec0::1",
    "ff02::1",
    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
];

/// An IPv4 address in each of the dresses that some host takes off again.
fn in_ipv6(ip: Ipv4Addr) -> [(&'static str, Ipv6Addr); 9] {
    let [a, b, c, d] = ip.octets();
    let (high, low) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    let at = Ipv6Addr::new;
    [
        ("IPv4-mapped", at(0, 0, 0, 0, 0, 0xffff, high, low)),
        ("IPv4-compatible", at(0, 0, 0, 0, 0, 0, high, low)),
        ("IPv4-translated", at(0, 0, 0, 0, 0xffff, 0, high, low)),
        ("6to4", at(0x2002, high, low, 0, 0, 0, 0, 1)),
        ("NAT64", at(0x64, 0xff9b, 0, 0, 0, 0, high, low)),
        ("NAT64, local", at(0x64, 0xff9b, 1, 0, 0, 0, high, low)),
        // RFC 4380 section 4: the address of the client, inverted.
        ("Teredo", at(0x2001, 0, 0x0808, 0x0808, 0, 0, !high, !low)),
        ("ISATAP", at(0x2a00, 1, 2, 3, 0, 0x5efe, high, low)),
        ("ISATAP, global", at(0x2a00, 1, 2, 3, 0x200, 0x5efe, high, low)),
    ]
}

/// Every address above in every way to write it.
fn denied() -> Vec<(&'static str, IpAddr)> {
    let v4 = DENIED_V4.iter().map(|text| text.parse::<Ipv4Addr>().unwrap());
    let v6 = DENIED_V6.iter().map(|text| ("IPv6", text.parse().unwrap()));
    let mut all: Vec<(&str, IpAddr)> = v6.collect();
    for ip in v4 {
        all.push(("IPv4", ip.into()));
        all.extend(in_ipv6(ip).map(|(name, v6)| (name, v6.into())));
    }
    all
}

/// The ports that somebody would want to reach, and one of the relay range.
const PORTS: [u16; 4] = [22, 80, 3478, 50_001];

/// 403, or 443 where the allocation has no address of that family. Nothing else.
#[track_caller]
fn refused(answer: &Answer, way: &str, peer: SocketAddr) {
    assert!(matches!(answer.code(), Some(403 | 443)), "{way}: {peer}: {:?}", answer.code());
}

#[test]
fn no_denied_address_is_reached_by_permission_channel_or_indication_in_any_encoding() {
    let rig = Rig::new();
    let (v4, v6) = (rig.alice(), rig.bob());
    v4.allocate();
    v6.allocate_v6();
    let mut tried = 0;
    for (way, ip) in denied() {
        for peer in PORTS.map(|port| SocketAddr::new(ip, port)) {
            for client in [&v4, &v6] {
                let to = &peer.to_string();
                refused(&client.try_permit(&[to]), way, peer);
                refused(&client.try_bind(CHANNEL, to), way, peer);
                // One that is allowed does not open the door for one that is not.
                let allowed = if std::ptr::eq(client, &v4) { PEER } else { PEER_V6 };
                refused(&client.try_permit(&[allowed, to]), way, peer);
                client.send(to, b"x").assert_dropped(DropReason::NoPermission);
                client.send(allowed, b"x").assert_dropped(DropReason::NoPermission);
                tried += 1;
            }
            // No client has more requests judged at once.
            rig.advance(Duration::from_millis(10));
        }
    }
    let sent = |client: &TestClient| client.channel_data(CHANNEL, b"x");
    for client in [&v4, &v6] {
        assert!(matches!(sent(client), Outcome::Dropped(_)), "a channel was left behind");
    }
    assert!(tried > 2500, "{tried}");
    // The test can fail: the same by the same means goes out to whom it may.
    v4.permit(PEER);
    v4.send(PEER, b"x").assert_reaches(PEER, b"x");
    v6.bind(CHANNEL, PEER_V6);
    sent(&v6).assert_reaches(PEER_V6, b"x");
}

#[test]
fn no_denied_address_is_connected_to_in_any_encoding() {
    let rig = tcp_allocations::rig();
    let (v4, v6) = (rig.tcp_client(1, "alice"), rig.tcp_client(2, "bob"));
    v4.allocate_tcp();
    let family = taciturn_stun::AttributeType::REQUESTED_ADDRESS_FAMILY;
    v6.tcp_allocation().family(family, taciturn_stun::Family::V6).send().relayed();
    for (way, ip) in denied() {
        for peer in PORTS.map(|port| SocketAddr::new(ip, port)) {
            for client in [&v4, &v6] {
                refused(&client.connect(&peer.to_string()).send(), way, peer);
            }
        }
    }
    assert!(rig.world(|world| world.attempts.is_empty()), "a connection was begun");
    v4.connected(PEER);
}
