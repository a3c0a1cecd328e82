//! Where clients are sent for which there is no room here: to the least loaded server of the fleet that they can reach as
//! they have reached this one.

use std::net::{IpAddr, SocketAddr};

use taciturn_config::{Config, Listen, Transport};
use taciturn_fleet::NodeRecord;
use taciturn_net::external::External;
use taciturn_stun::Family;
use taciturn_turn::policy::is_public;

/// How many addresses of a server are told.
const MOST: usize = 8;

/// Where clients of other servers can be sent: `udp 203.0.113.7:3478`. Nothing if they are not to be sent here.
pub(super) fn own_addresses(config: &Config, external: &External) -> Vec<String> {
    let plain = |listen: &&Listen| !listen.proxy_protocol && !listen.for_links;
    let all = config.listen.iter().filter(plain).flat_map(|listen| {
        let transport = match listen.transport {
            Transport::Udp | Transport::UdpAndDtls => "udp",
            Transport::Tcp | Transport::Auto => "tcp",
            Transport::Tls | Transport::Dtls => return Vec::new(),
        };
        let ips = public(listen.address.ip(), external);
        let port = listen.address.port();
        ips.into_iter().map(|ip| format!("{transport} {}", SocketAddr::new(ip, port))).collect()
    });
    let mut all: Vec<String> = all.collect();
    all.dedup();
    all.truncate(MOST);
    all
}

/// The addresses at which clients reach a listener on this one.
fn public(ip: IpAddr, external: &External) -> Vec<IpAddr> {
    let relays = external.addresses.iter().flatten();
    if ip.is_unspecified() {
        let is_served = |public: &IpAddr| public.is_ipv4() || ip.is_ipv6();
        return relays.map(|relay| relay.public).filter(is_served).collect();
    }
    let known = relays.filter(|relay| relay.local == ip || relay.public == ip);
    let known: Vec<_> = known.map(|relay| relay.public).collect();
    // Another private address may be one that only some clients reach.
    if known.is_empty() && is_public(ip) { vec![ip] } else { known }
}

/// For clients over UDP, then over TCP: an IPv4 and an IPv6 address.
pub(super) type Servers = [[Option<SocketAddr>; 2]; 2];

/// The servers to send clients to: of those with room the one with most, for each transport and family.
pub(super) fn servers(own: &NodeRecord, nodes: &[NodeRecord]) -> Servers {
    let mut best: [[Option<(u8, SocketAddr)>; 2]; 2] = Default::default();
    let others = nodes.iter().filter(|node| node.node != own.node);
    for node in others.filter(|node| node.is_sealed && node.has_room()) {
        for text in node.clients.iter().filter(|text| !own.clients.contains(text)) {
            let Some((transport, address)) = parse(text) else { continue };
            let slot = &mut best[transport][Family::of(address.ip()) as usize];
            // Of two alike it is the first by name.
            if slot.is_none_or(|(room, _)| room < node.room) {
                *slot = Some((node.room, address));
            }
        }
    }
    best.map(|families| families.map(|best| best.map(|(_, address)| address)))
}

fn parse(text: &str) -> Option<(usize, SocketAddr)> {
    let (transport, address) = text.split_once(' ')?;
    let transport = ["udp", "tcp"].iter().position(|name| *name == transport)?;
    let address: SocketAddr = address.parse().ok()?;
    let ip = address.ip();
    let is_one = address.port() != 0 && !ip.is_unspecified() && !ip.is_multicast();
    is_one.then_some((transport, address))
}

/// Of what a server can have, so many per cent are free: `free` of `ports`, or what `allocations` leave of the `limit`
/// (0 is none), if that is less.
pub(super) fn room(free: u64, ports: u64, allocations: u64, limit: u64) -> u8 {
    let per_cent = |free: u64, all: u64| match all {
        0 => 100,
        all => u8::try_from(free.min(all).saturating_mul(100) / all).unwrap_or(100),
    };
    per_cent(free, ports.max(1)).min(per_cent(limit.saturating_sub(allocations), limit))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use taciturn_turn::RelayAddress;

    fn node(name: &str, room: u8, clients: &[&str]) -> NodeRecord {
        NodeRecord {
            node: name.into(),
            ready: true,
            is_sealed: true,
            room,
            clients: clients.iter().map(ToString::to_string).collect(),
            ..NodeRecord::default()
        }
    }

    fn at(text: &str) -> Option<SocketAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn the_one_with_most_room_is_chosen_for_each_transport_and_family() {
        let own = node("a", 90, &["udp 10.0.0.1:3478"]);
        let nodes = [
            own.clone(),
            node("b", 20, &["udp 10.0.0.2:3478", "tcp 10.0.0.2:3478", "udp [fd00::2]:3478"]),
            node("c", 40, &["udp 10.0.0.3:3478"]),
            node("d", 40, &["udp 10.0.0.4:3478"]),
        ];
        let [udp, tcp] = servers(&own, &nodes);
        assert_eq!(udp, [at("10.0.0.3:3478"), at("[fd00::2]:3478")]);
        assert_eq!(tcp, [at("10.0.0.2:3478"), None]);
    }

    #[test]
    fn nobody_is_sent_to_a_server_that_is_full_drains_is_a_stranger_or_this_one() {
        let own = node("a", 0, &["udp 10.0.0.1:3478"]);
        let good = node("b", 50, &["udp 10.0.0.2:3478"]);
        assert!(servers(&own, std::slice::from_ref(&good))[0][0].is_some());
        for bad in [
            NodeRecord { room: 9, ..good.clone() },
            NodeRecord { ready: false, ..good.clone() },
            NodeRecord { is_sealed: false, ..good.clone() },
            NodeRecord { node: "a".into(), ..good.clone() },
            node("b", 50, &["udp 10.0.0.1:3478"]),
            node("b", 50, &["udp 0.0.0.0:3478", "udp 224.0.0.1:1", "udp 10.0.0.2:0"]),
            node("b", 50, &["tls 10.0.0.2:3478", "udp", "udp x", "", "udp  10.0.0.2:1"]),
        ] {
            assert_eq!(servers(&own, std::slice::from_ref(&bad)), Servers::default(), "{bad:?}");
        }
    }

    #[test]
    fn clients_are_sent_to_the_public_side_of_plain_listeners() {
        let config = |listen: &str| {
            let listens = listen.split(' ').map(|one| {
                let (transport, address) = one.split_once('=').unwrap();
                format!("[[listen]]\ntransport = \"{transport}\"\naddress = \"{address}\"\n")
            });
            let toml =
                format!("[auth]\nusers = [\"a:s3cret-of-a1\"]\n{}", listens.collect::<String>());
            Config::from_toml(&toml).unwrap().config
        };
        let external = External {
            addresses: [
                Some(RelayAddress {
                    public: "203.0.113.7".parse().unwrap(),
                    local: "10.0.0.7".parse().unwrap(),
                }),
                Some(RelayAddress::plain("2001:db8::7".parse().unwrap())),
            ],
            own: Vec::new(),
            notes: Vec::new(),
        };
        for (listen, expected) in [
            ("udp=[::]:3478", &["udp 203.0.113.7:3478", "udp [2001:db8::7]:3478"][..]),
            ("udp=0.0.0.0:3478 tcp=10.0.0.7:80", &["udp 203.0.113.7:3478", "tcp 203.0.113.7:80"]),
            ("udp=10.9.9.9:3478", &[]),
            ("udp=9.9.9.9:3479", &["udp 9.9.9.9:3479"]),
        ] {
            assert_eq!(own_addresses(&config(listen), &external), expected, "{listen}");
        }
    }

    #[test]
    fn room_is_what_is_left_of_the_scarcer() {
        assert_eq!(room(1101, 1101, 0, 0), 100);
        assert_eq!(room(110, 1101, 5, 0), 9);
        assert_eq!(room(1000, 1101, 190, 200), 5);
        assert_eq!(room(1000, 1101, 300, 200), 0);
        assert_eq!(room(0, 0, 0, 0), 0);
    }
}
