//! Peers of which the operator allows some ports, such as a media server beside the relay.

use std::sync::Arc;

use super::mobility::{allocate, mobile, resume};
use super::rig::port_rules;
use super::*;
use crate::policy::PeerPolicy;
use crate::{DropReason, IcmpError, RelayAddress, Remedy, Rules, Withdrawn};

const LAN: &str = "10.1.2.3";

/// A private network of which ports 5000 to 6000 are allowed, and ports of the relay's own addresses.
fn rig() -> Rig {
    Rig::with(|setup| {
        setup.allow_ports = &[
            ("10.0.0.0/8", "5000-6000"),
            ("fd00::/64", "5000-6000"),
            ("203.0.113.7/32", "10000"),
            ("2001:db8::7/128", "10000"),
        ];
    })
}

/// Other ports for the private network, and whatever else is denied.
fn allow(rules: &mut Rules, ports: &[(&str, &str)], deny: &[&str]) {
    let deny = deny.iter().map(|net| net.parse().unwrap()).collect();
    let own = ["203.0.113.7", "2001:db8::7"].map(|ip| ip.parse().unwrap()).to_vec();
    rules.peers = Arc::new(PeerPolicy::new(vec![], deny, own).allowing_ports(port_rules(ports)));
}

fn at(ip: &str, port: u16) -> String {
    if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") }
}

#[test]
fn allowed_ports_of_a_denied_network_are_peers_and_their_neighbours_are_not() {
    let rig = rig();
    let v4 = rig.alice();
    let relayed = v4.allocate();
    let v6 = rig.bob();
    let relayed_v6 = v6.allocate_v6();
    for (client, relayed, ip, told_as) in [
        (&v4, relayed, LAN, LAN),
        (&v4, relayed, "::ffff:10.1.2.4", "10.1.2.4"),
        (&v6, relayed_v6, "fd00::9", "fd00::9"),
    ] {
        // CreatePermission has no port that counts.
        client.try_permit(&[&at(ip, 22)]).assert_ok();
        for port in [5000, 5500, 6000] {
            client.send(&at(ip, port), b"x").assert_reaches(&at(told_as, port), b"x");
            let received = rig.peer_sends(&at(told_as, port), relayed, b"y").at(client);
            assert_eq!(received, Received::data(&at(told_as, port), b"y"));
        }
        for port in [1, 22, 4999, 6001, 10_000, 65_535] {
            client.send(&at(ip, port), b"x").assert_dropped(DropReason::NoPermission);
            rig.peer_sends(&at(told_as, port), relayed, b"y")
                .assert_dropped(DropReason::NoPermission);
            client.try_bind(CHANNEL + 1, &at(ip, port)).assert_error(403);
        }
    }
    // A channel is for a port, both ways.
    v4.bind(CHANNEL, &at("::ffff:10.1.2.3", 5001));
    v4.channel_data(CHANNEL, b"x").assert_reaches(&at(LAN, 5001), b"x");
    let received = rig.peer_sends(&at(LAN, 5001), relayed, b"y").at(&v4);
    assert_eq!(received, Received::channel(CHANNEL, b"y"));
    // And opens no other port of its peer, though it installs the permission.
    v4.bind(CHANNEL + 2, "10.1.2.9:5000");
    v4.send("10.1.2.9:80", b"x").assert_dropped(DropReason::NoPermission);
    rig.peer_sends("10.1.2.9:80", relayed, b"y").assert_dropped(DropReason::NoPermission);
    // Refreshed, it is as it was.
    v4.permit(&at(LAN, 80));
    v4.bind(CHANNEL, &at(LAN, 5001));
    v4.send(&at(LAN, 80), b"x").assert_dropped(DropReason::NoPermission);
    v4.try_bind(CHANNEL, &at(LAN, 80)).assert_error(403);
    // Other networks are judged as before.
    v4.try_permit(&["192.168.1.1:5000"]).assert_error(403);
    v4.permit(PEER);
    v4.send("8.8.8.8:22", b"x").assert_reaches("8.8.8.8:22", b"x");
}

#[test]
fn a_media_server_beside_the_relay_is_reached_and_nothing_else_of_the_machine() {
    let rig = rig();
    let v4 = rig.alice();
    let relayed = v4.allocate();
    let v6 = rig.bob();
    let relayed_v6 = v6.allocate_v6();
    for (client, relayed, ip) in [(&v4, relayed, "203.0.113.7"), (&v6, relayed_v6, "2001:db8::7")] {
        let media = at(ip, 10_000);
        client.permit(&media);
        client.send(&media, b"x").assert_reaches(&media, b"x");
        let received = rig.peer_sends(&media, relayed, b"y").at(client);
        assert_eq!(received, Received::data(&media, b"y"));
        client.bind(CHANNEL, &media);
        client.channel_data(CHANNEL, b"x").assert_reaches(&media, b"x");
        let received = rig.peer_sends(&media, relayed, b"y").at(client);
        assert_eq!(received, Received::channel(CHANNEL, b"y"));
        for port in [22, 3478, 9_999, 10_001] {
            client.try_bind(CHANNEL + 1, &at(ip, port)).assert_error(403);
            client.send(&at(ip, port), b"x").assert_dropped(DropReason::OwnAddress);
            rig.peer_sends(&at(ip, port), relayed, b"y").assert_dropped(DropReason::NoPermission);
        }
    }
    // Two clients of the relay meet as before.
    let other = rig.client("192.0.2.9:1009", "alice");
    let (a, b) = (relayed.to_string(), other.allocate().to_string());
    other.permit(&a);
    assert_eq!(v4.send(&b, b"x").at(&other), Received::data(&a, b"x"));
}

#[test]
fn without_a_rule_no_program_of_this_machine_sends_to_a_client() {
    let rig = Rig::new();
    let alice = rig.alice();
    let relayed = alice.allocate();
    alice.permit("203.0.113.7:1");
    rig.peer_sends("203.0.113.7:53", relayed, b"x").assert_dropped(DropReason::NoPermission);
}

#[test]
fn behind_a_nat_both_sides_of_the_own_address_may_be_named() {
    let (public, local) = ("203.0.113.7".parse().unwrap(), "10.0.0.5".parse().unwrap());
    let rig = Rig::with(|setup| {
        setup.v4 = Some(RelayAddress { public, local });
        setup.allow_ports = &[("203.0.113.7/32", "10000"), ("10.0.0.5/32", "10000")];
    });
    let alice = rig.alice();
    let relayed = alice.allocate();
    for ip in ["203.0.113.7", "10.0.0.5"] {
        alice.permit(&at(ip, 10_000));
        alice.send(&at(ip, 10_000), b"x").assert_reaches(&at(ip, 10_000), b"x");
        alice.try_bind(CHANNEL, &at(ip, 10_001)).assert_error(403);
        rig.peer_sends(&at(ip, 10_001), relayed, b"x").assert_dropped(DropReason::NoPermission);
    }
    let received = rig.peer_sends("10.0.0.5:10000", relayed, b"y").at(&alice);
    assert_eq!(received, Received::data("10.0.0.5:10000", b"y"));
    // A relay port by its private side is none of those.
    let private = format!("10.0.0.5:{}", relayed.port());
    alice.send(&private, b"x").assert_dropped(DropReason::NoPermission);
}

#[test]
fn ports_that_are_named_win_over_what_the_operator_denies() {
    let rig = Rig::with(|setup| {
        setup.deny = &["203.0.113.7/32", "8.8.8.0/24"];
        setup.allow_ports = &[("203.0.113.7/32", "10000"), ("8.8.8.8/32", "4000-4001")];
    });
    let (alice, bob) = (rig.alice(), rig.bob());
    let (relayed, at_bob) = (alice.allocate(), bob.allocate().to_string());
    alice.permit("203.0.113.7:10000");
    alice.send("203.0.113.7:10000", b"x").assert_reaches("203.0.113.7:10000", b"x");
    // The relays of others are denied by the same rule.
    bob.permit("203.0.113.7:10000");
    alice.send(&at_bob, b"x").assert_dropped(DropReason::NoPermission);
    rig.peer_sends(&at_bob, relayed, b"x").assert_dropped(DropReason::NoPermission);
    alice.try_bind(CHANNEL, &at_bob).assert_error(403);
    alice.bind(CHANNEL, "8.8.8.8:4001");
    alice.channel_data(CHANNEL, b"x").assert_reaches("8.8.8.8:4001", b"x");
    alice.try_bind(CHANNEL + 1, "8.8.8.8:4002").assert_error(403);
    alice.try_permit(&["8.8.8.9:4000"]).assert_error(403);
}

#[test]
fn a_reload_judges_running_permissions_and_channels_by_the_ports_of_now() {
    let rig = rig();
    let alice = rig.alice();
    let relayed = alice.allocate();
    alice.permit(&at(LAN, 0));
    alice.bind(CHANNEL, &at(LAN, 5001));
    alice.bind(CHANNEL + 1, &at(LAN, 5500));
    alice.bind(CHANNEL + 2, "203.0.113.7:10000");
    let withdrawn = rig.reload(|_, rules| {
        allow(rules, &[("10.0.0.0/8", "5400-7000"), ("203.0.113.7/32", "10000")], &[]);
    });
    assert_eq!(withdrawn, Withdrawn { channels: 1, ..Withdrawn::default() });
    alice.channel_data(CHANNEL, b"x").assert_dropped(DropReason::NoChannel);
    alice.channel_data(CHANNEL + 1, b"x").assert_reaches(&at(LAN, 5500), b"x");
    alice.channel_data(CHANNEL + 2, b"x").assert_reaches("203.0.113.7:10000", b"x");
    alice.send(&at(LAN, 5001), b"x").assert_dropped(DropReason::NoPermission);
    rig.peer_sends(&at(LAN, 5001), relayed, b"x").assert_dropped(DropReason::NoPermission);
    alice.send(&at(LAN, 7000), b"x").assert_reaches(&at(LAN, 7000), b"x");
    // All ports, and then some of them again: the permission stays, and what it is good for changes.
    rig.reload(|_, rules| allow(rules, &[("10.0.0.0/8", "1-65535"), ("203.0.113.7/32", "1")], &[]));
    alice.send(&at(LAN, 80), b"x").assert_reaches(&at(LAN, 80), b"x");
    alice.channel_data(CHANNEL + 2, b"x").assert_dropped(DropReason::NoChannel);
    rig.reload(|_, rules| {
        let nets = vec!["10.0.0.0/8".parse().unwrap()];
        rules.peers = Arc::new(PeerPolicy::new(nets, vec![], vec![]));
    });
    rig.peer_sends(&at(LAN, 80), relayed, b"y").at(&alice);
    rig.reload(|_, rules| allow(rules, &[("10.0.0.0/8", "5500")], &[]));
    rig.peer_sends(&at(LAN, 80), relayed, b"x").assert_dropped(DropReason::NoPermission);
    alice.send(&at(LAN, 80), b"x").assert_dropped(DropReason::NoPermission);
    alice.channel_data(CHANNEL + 1, b"x").assert_reaches(&at(LAN, 5500), b"x");
    // A peer of the Internet that is denied, but for a port.
    alice.permit(PEER);
    let withdrawn = rig.reload(|_, rules| {
        allow(rules, &[("10.0.0.0/8", "5500"), ("8.8.8.8/32", "53")], &["8.8.8.0/24"]);
    });
    assert_eq!(withdrawn, Withdrawn::default(), "a port of it is left");
    alice.send(PEER, b"x").assert_dropped(DropReason::NoPermission);
    alice.send("8.8.8.8:53", b"x").assert_reaches("8.8.8.8:53", b"x");
    // None is left.
    let withdrawn = rig.reload(|_, rules| allow(rules, &[], &["8.8.8.0/24"]));
    assert_eq!((withdrawn.permissions, withdrawn.channels), (2, 1));
    alice.refresh(0).assert_ok();
    rig.assert_empty();
}

#[test]
fn a_client_that_moves_takes_no_other_port_along() {
    let rig = mobile();
    rig.reload(|_, rules| allow(rules, &[("10.0.0.0/8", "5000")], &[]));
    let alice = rig.alice();
    let (relayed, first) = allocate(&alice);
    alice.permit(&at(LAN, 0));
    alice.bind(CHANNEL, &at(LAN, 5000));
    let moved = rig.client("192.0.2.77:7777", "alice");
    resume(&moved, &first).assert_ok();
    moved.channel_data(CHANNEL, b"x").assert_reaches(&at(LAN, 5000), b"x");
    moved.send(&at(LAN, 5001), b"x").assert_dropped(DropReason::NoPermission);
    rig.peer_sends(&at(LAN, 5001), relayed, b"x").assert_dropped(DropReason::NoPermission);
}

#[test]
fn an_error_about_a_port_out_of_reach_is_not_told() {
    let rig = rig();
    let alice = rig.alice();
    let relayed = alice.allocate();
    alice.permit(&at(LAN, 5000));
    let unreachable = IcmpError { kind: 3, code: 3, mtu: 0 };
    assert!(rig.icmp(&at(LAN, 5000), relayed, unreachable).is_some());
    assert!(rig.icmp(&at(LAN, 22), relayed, unreachable).is_none());
}

#[test]
fn tcp_connections_both_ways_are_judged_by_their_ports() {
    let rig = Rig::with(|setup| {
        setup.tcp_relay = true;
        setup.allow_ports = &[("10.0.0.0/8", "5000-6000"), ("203.0.113.7/32", "10000")];
    });
    let alice = rig.tcp_client(1, "alice");
    let relayed = alice.allocate_tcp();
    let lan = alice.connected(&at(LAN, 5000));
    assert_eq!(lan.to, addr(&at(LAN, 5000)));
    alice.connected("203.0.113.7:10000");
    for peer in ["10.1.2.3:4999", "10.1.2.3:22", "[::ffff:10.1.2.3]:6001", "203.0.113.7:10001"] {
        alice.connect(peer).send().assert_error(403);
    }
    alice.permit(&at(LAN, 0));
    alice.permit("203.0.113.7:0");
    assert!(rig.peer_connects(&at(LAN, 5001), relayed).is_some());
    assert!(rig.peer_connects(&at(LAN, 40_000), relayed).is_none());
    assert!(rig.peer_connects("203.0.113.7:40000", relayed).is_none());
    let withdrawn = rig.reload(|_, rules| allow(rules, &[("10.0.0.0/8", "5001-6000")], &[]));
    // Those to port 5000 and to the own address; the permissions stay.
    assert_eq!(withdrawn, Withdrawn { connections: 2, ..Withdrawn::default() });
    assert!(!rig.world(|world| world.peers.contains(&lan.id.0)));
    alice.connect(&at(LAN, 5000)).send().assert_error(403);
    rig.assert_consistent();
}

#[test]
fn the_operator_is_told_of_a_port_that_lacks_a_rule() {
    let rig = rig();
    let alice = rig.alice();
    alice.allocate();
    rig.events();
    let told = |act: &dyn Fn()| {
        act();
        rig.events()
    };
    let out = |peer: &str, remedy| Happened::PortOutOfReach { peer: addr(peer), remedy };
    let refused = |ip: &str, remedy| Happened::PeerRefused { peer: ip.parse().unwrap(), remedy };
    let own = "203.0.113.7";
    // A browser permits the address first, and sends its checks by Send indications.
    let events = told(&|| alice.permit("203.0.113.7:7882"));
    assert_eq!(events, [out("203.0.113.7:7882", Remedy::OwnPort)]);
    let events = told(&|| alice.permit("[::ffff:10.1.2.3]:80"));
    assert_eq!(events, [out("10.1.2.3:80", Remedy::Port)]);
    // Nothing is missing: a relay port, an allowed one, a client that names none, any port of others.
    for fine in ["203.0.113.7:50001", "203.0.113.7:10000", "203.0.113.7:0", "10.1.2.3:5000", PEER] {
        assert!(told(&|| alice.permit(fine)).is_empty(), "{fine}");
    }
    let events = told(&|| alice.try_bind(CHANNEL, "203.0.113.7:7882").assert_error(403));
    assert_eq!(events[0], refused(own, Remedy::OwnPort));
    let events = told(&|| alice.try_bind(CHANNEL, "10.1.2.3:80").assert_error(403));
    assert_eq!(events[0], refused(LAN, Remedy::Port));
    let events = told(&|| alice.try_permit(&["192.168.0.1:80"]).assert_error(403));
    assert_eq!(events[0], refused("192.168.0.1", Remedy::Unknown));
}

#[test]
fn another_address_of_the_host_is_told_with_its_port() {
    let rig = Rig::new();
    let alice = rig.alice();
    alice.allocate();
    rig.reload(|_, rules| {
        let own = vec!["9.9.9.9".parse().unwrap()];
        rules.peers = Arc::new(PeerPolicy::new(vec![], vec![], own));
    });
    rig.events();
    alice.try_permit(&["9.9.9.9:80"]).assert_error(403);
    let peer = "9.9.9.9".parse().unwrap();
    assert_eq!(rig.events()[0], Happened::PeerRefused { peer, remedy: Remedy::Port });
}
