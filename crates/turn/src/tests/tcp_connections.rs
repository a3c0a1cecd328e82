//! Connect (RFC 6062 sections 4.3 and 5.2), and the end of connections (section 5.5). Section
//! numbers are those of RFC 6062.

use super::tcp_allocations::rig;
use super::*;
use crate::{ConnectError, RelayAddress, Traffic};
use taciturn_stun::{AttributeType as T, Family, Method};

#[test]
fn the_answer_waits_for_the_peer_and_names_the_connection() {
    let rig = rig();
    let alice = rig.tcp_client(1, "alice");
    let relayed = alice.allocate_tcp();
    alice.fingerprint.set(true);
    let asked = alice.connect(PEER).begin();
    assert_eq!(rig.next_told(&alice), None, "an answer before the peer's");
    rig.advance(seconds(29));
    let attempt = rig.peer_accepts();
    // Section 5.2: from the relayed transport address.
    assert_eq!((attempt.from, attempt.to), (relayed, addr(PEER)));
    let answer = asked.answer();
    assert_eq!(answer.connection_id(), attempt.id);
    assert_eq!(answer.message().attribute_types()[0], T::CONNECTION_ID.0);
    assert_eq!(rig.next_told(&alice), None, "one answer");
    rig.assert_consistent();
    alice.refresh(0).assert_ok();
    rig.assert_empty();
}

#[test]
fn no_permission_is_needed_to_connect() {
    let rig = rig();
    let alice = rig.tcp_client(1, "alice");
    alice.allocate_tcp();
    alice.connected(PEER);
    alice.connected(OTHER_PEER);
}

#[test]
fn without_a_tcp_allocation_it_is_437() {
    let rig = rig();
    rig.tcp_client(1, "alice").connect(PEER).send().assert_error(437);
    rig.alice().connect(PEER).send().assert_error(437);
    let bob = rig.tcp_client(2, "bob");
    bob.allocate();
    bob.connect(PEER).send().assert_error(437);
    assert!(rig.world(|world| world.attempts.is_empty()));
}

#[test]
fn another_user_cannot_connect_on_an_allocation() {
    // RFC 8656 section 5.
    let rig = rig();
    let alice = rig.tcp_client(1, "alice");
    alice.allocate_tcp();
    alice.impostor("bob").connect(PEER).send().assert_error(441);
}

#[test]
fn a_peer_that_is_missing_or_wrong_is_400() {
    let rig = rig();
    let alice = rig.tcp_client(1, "alice");
    alice.allocate_tcp();
    alice.request(Method::CONNECT).send().assert_error(400);
    alice.request(Method::CONNECT).attribute(T::XOR_PEER_ADDRESS, b"").send().assert_error(400);
    alice.connect("8.8.8.8:0").send().assert_error(400);
    // RFC 8656 section 10.2, for the families.
    alice.connect(PEER_V6).send().assert_error(443);
    assert!(rig.world(|world| world.attempts.is_empty()));
}

#[test]
fn a_second_connection_to_the_same_peer_is_446() {
    let rig = rig();
    let alice = rig.tcp_client(1, "alice");
    alice.allocate_tcp();
    let asked = alice.connect(PEER).begin();
    alice.connect(PEER).send().assert_error(446);
    alice.connect("[::ffff:8.8.8.8]:4000").send().assert_error(446);
    let attempt = rig.peer_accepts();
    asked.answer().assert_ok();
    alice.connect(PEER).send().assert_error(446);
    rig.tcp_client(2, "alice").bind_connection(attempt.id).assert_ok();
    alice.connect(PEER).send().assert_error(446);
    rig.advance(seconds(60));
    alice.connect(PEER).send().assert_error(446);
    // The same address on another port is another peer, and another allocation has peers of its own.
    alice.connected("8.8.8.8:4001");
    let other = rig.tcp_client(3, "alice");
    other.allocate_tcp();
    other.connected(PEER);
    // Once it is closed there may be a new one.
    rig.pipe_ends(attempt, Traffic::default());
    alice.connected(PEER);
    rig.assert_consistent();
}

#[test]
fn a_connection_that_a_peer_has_begun_counts_as_well() {
    // Between two addresses and ports there is one connection.
    let rig = rig();
    let alice = rig.tcp_client(1, "alice");
    let relayed = alice.allocate_tcp();
    alice.permit(PEER);
    rig.peer_connects(PEER, relayed).expect("a connection");
    alice.connect(PEER).send().assert_error(446);
}

#[test]
fn a_peer_that_refuses_is_447() {
    let rig = rig();
    let alice = rig.tcp_client(1, "alice");
    alice.allocate_tcp();
    let asked = alice.connect(PEER).begin();
    rig.peer_refuses();
    asked.answer().assert_error(447);
    rig.world(|world| world.no_connection = Some(ConnectError::Unreachable));
    alice.connect(PEER).send().assert_error(447);
    rig.world(|world| world.no_connection = Some(ConnectError::Impossible));
    alice.connect(PEER).send().assert_error(508);
    rig.world(|world| world.no_connection = None);
    alice.connected(PEER);
    rig.assert_consistent();
}

#[test]
fn a_peer_has_30_seconds_to_answer() {
    let rig = rig();
    let alice = rig.tcp_client(1, "alice");
    alice.allocate_tcp();
    let asked = alice.connect(PEER).begin();
    rig.advance(seconds(30) - MOMENT);
    assert_eq!((rig.next_told(&alice), rig.world(|world| world.peers.len())), (None, 1));
    rig.advance(MOMENT);
    asked.answer().assert_error(447);
    rig.assert_consistent();
    assert!(rig.world(|world| world.peers.is_empty()));
    // Whatever is told of it later is of no importance.
    rig.peer_accepts();
    assert_eq!(rig.next_told(&alice), None);
    alice.connected(PEER);
}

#[test]
fn an_unbound_connection_is_closed_after_30_seconds() {
    let rig = rig();
    let alice = rig.tcp_client(1, "alice");
    alice.allocate_tcp();
    rig.advance(seconds(100));
    let attempt = alice.connected(PEER);
    rig.advance(seconds(30) - MOMENT);
    assert!(rig.world(|world| world.peers.contains(&attempt.id.0)));
    rig.advance(MOMENT);
    assert!(rig.world(|world| world.peers.is_empty()));
    rig.tcp_client(2, "alice").bind_connection(attempt.id).assert_error(400);
    alice.connected(PEER);
    rig.assert_consistent();
}

#[test]
fn a_bound_connection_stays_for_as_long_as_the_allocation() {
    let rig = rig();
    let alice = rig.tcp_client(1, "alice");
    alice.allocate_tcp();
    let attempt = alice.connected(PEER);
    rig.advance(seconds(30) - MOMENT);
    rig.tcp_client(2, "alice").bind_connection(attempt.id).assert_ok();
    for _ in 0..20 {
        rig.advance(seconds(500));
        alice.refresh(600).assert_ok();
    }
    assert!(rig.world(|world| world.peers.contains(&attempt.id.0)));
    // Section 5.5.
    rig.advance(seconds(600));
    rig.assert_empty();
}

#[test]
fn with_the_allocation_all_its_connections_end() {
    // Section 5.5.
    type End = fn(&Rig, &TestClient);
    let ends: [End; 4] = [
        |_, alice| alice.refresh(0).assert_ok(),
        |rig, _| rig.advance(seconds(600)),
        |rig, alice| rig.hang_up(alice),
        |rig, _| rig.shut_down(),
    ];
    for end in ends {
        let rig = rig();
        let alice = rig.tcp_client(1, "alice");
        let relayed = alice.allocate_tcp();
        let bound = alice.connected(PEER);
        rig.tcp_client(2, "alice").bind_connection(bound.id).assert_ok();
        rig.advance(seconds(10));
        alice.connected(OTHER_PEER);
        alice.permit(PEER);
        rig.peer_connects("8.8.8.8:1", relayed).expect("a connection");
        while rig.next_told(&alice).is_some() {}
        alice.connect("9.9.9.9:1").begin();
        rig.world(|world| {
            assert_eq!(world.peers.len(), 4);
            world.relayed = Traffic { bytes_to_peers: 5, bytes_to_client: 7, ..Traffic::default() };
        });
        end(&rig, &alice);
        rig.assert_empty();
        assert!(rig.world(|world| world.listening.is_empty()));
    }
}

#[test]
fn who_ends_the_allocation_hears_of_what_it_has_asked() {
    let rig = rig();
    let alice = rig.tcp_client(1, "alice");
    alice.allocate_tcp();
    let asked = alice.connect(PEER).begin();
    alice.refresh(0).assert_ok();
    asked.answer().assert_error(447);
}

#[test]
fn bytes_are_counted_for_the_allocation() {
    let rig = rig();
    let alice = rig.tcp_client(1, "alice");
    alice.allocate_tcp();
    let first = alice.connected(PEER);
    rig.tcp_client(2, "alice").bind_connection(first.id).assert_ok();
    let second = alice.connected(OTHER_PEER);
    rig.tcp_client(3, "alice").bind_connection(second.id).assert_ok();
    let traffic = Traffic { bytes_to_peers: 100, bytes_to_client: 200, ..Traffic::default() };
    rig.pipe_ends(first, traffic);
    rig.world(|world| {
        world.relayed = Traffic { bytes_to_peers: 5, bytes_to_client: 7, ..Traffic::default() };
    });
    alice.refresh(0).assert_ok();
    let counted = rig.events().into_iter().find_map(|event| match event {
        Happened::Ended { traffic, .. } => Some(traffic),
        _ => None,
    });
    let both = Traffic { bytes_to_peers: 105, bytes_to_client: 207, ..Traffic::default() };
    assert_eq!(counted, Some(both));
}

#[test]
fn connections_are_bounded() {
    let rig = Rig::with(|setup| {
        setup.tcp_relay = true;
        setup.max_peer_connections = 18;
        setup.connections_in_all = 20;
    });
    let alice = rig.tcp_client(1, "alice");
    alice.allocate_tcp();
    let peer = |n: usize| format!("8.8.8.8:{}", 1000 + n);
    // Sixteen of one allocation may wait to be connected or bound.
    let mut begun: Vec<_> = (0..15).map(|n| alice.connected(&peer(n))).collect();
    let asked = alice.connect(&peer(15)).begin();
    alice.connect(&peer(16)).send().assert_error(508);
    rig.peer_refuses();
    asked.answer().assert_error(447);
    // Those that are bound make room for more, up to the limit of the allocation.
    for attempt in &begun {
        rig.tcp_client(50, "alice").bind_connection(attempt.id).assert_ok();
    }
    begun.extend((16..19).map(|n| alice.connected(&peer(n))));
    alice.connect(&peer(19)).send().assert_error(508);
    // And there is one in all, for all users.
    let bob = rig.tcp_client(2, "bob");
    bob.allocate_tcp();
    bob.connected(PEER);
    bob.connected(OTHER_PEER);
    bob.connect("1.1.1.1:1").send().assert_error(508);
    rig.pipe_ends(begun[0], Traffic::default());
    bob.connected("1.1.1.1:1");
    rig.assert_consistent();
    alice.refresh(0).assert_ok();
    bob.refresh(0).assert_ok();
    rig.assert_empty();
}

#[test]
fn connection_ids_do_not_repeat_and_show_no_pattern() {
    let rig = rig();
    let alice = rig.tcp_client(1, "alice");
    alice.allocate_tcp();
    let ids: Vec<u32> = (1..=10).map(|n| alice.connected(&format!("8.8.8.8:{n}")).id.0).collect();
    let steps: std::collections::BTreeSet<u32> =
        ids.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])).collect();
    assert_eq!(steps.len(), ids.len() - 1, "{ids:?}");
}

#[test]
fn peers_that_are_denied_are_403_and_never_tried() {
    let rig = Rig::with(|setup| {
        setup.tcp_relay = true;
        setup.deny = &["8.8.4.0/24"];
        setup.allow = &["192.168.7.0/24"];
    });
    let alice = rig.tcp_client(1, "alice");
    alice.allocate_tcp();
    rig.events();
    for peer in [
        "127.0.0.1:80",
        "10.0.0.1:80",
        "100.64.0.1:80",
        "169.254.169.254:80",
        "192.168.1.1:80",
        "[::ffff:10.0.0.1]:80",
        "8.8.4.4:80",
        "224.0.0.1:80",
    ] {
        alice.connect(peer).send().assert_error(403);
        assert!(matches!(rig.events()[..], [Happened::PeerRefused { .. }]), "{peer}");
    }
    assert!(rig.world(|world| world.attempts.is_empty()));
    alice.connected("192.168.7.7:80");
}

#[test]
fn of_the_servers_own_addresses_tcp_relays_alone_are_peers() {
    let rig = rig();
    let (alice, bob) = (rig.tcp_client(1, "alice"), rig.tcp_client(2, "bob"));
    let (at_alice, at_bob) = (alice.allocate_tcp(), bob.allocate_tcp());
    let udp = rig.alice().allocate();
    let other_port = |port: u16| SocketAddr::new(at_bob.ip(), port).to_string();
    for peer in [udp.to_string(), other_port(22), other_port(50_099), at_alice.to_string()] {
        alice.connect(&peer).send().assert_error(403);
    }
    assert!(rig.world(|world| world.attempts.is_empty()));
    let attempt = alice.connected(&at_bob.to_string());
    bob.refresh(0).assert_ok();
    rig.pipe_ends(attempt, Traffic::default());
    alice.connect(&at_bob.to_string()).send().assert_error(403);
}

#[test]
fn behind_a_nat_own_relays_are_reached_on_their_private_side() {
    let nat =
        RelayAddress { public: "203.0.113.7".parse().unwrap(), local: "10.1.2.3".parse().unwrap() };
    let rig = Rig::with(|setup| {
        setup.tcp_relay = true;
        setup.v4 = Some(nat);
    });
    let (alice, bob) = (rig.tcp_client(1, "alice"), rig.tcp_client(2, "bob"));
    let (at_alice, at_bob) = (alice.allocate_tcp(), bob.allocate_tcp());
    bob.permit(&at_alice.to_string());
    let attempt = alice.connected(&at_bob.to_string());
    let private = |public: SocketAddr| SocketAddr::new(nat.local, public.port());
    assert_eq!((attempt.from, attempt.to), (private(at_alice), private(at_bob)));
    // And the other one is told the address that it knows.
    rig.peer_connects(&private(at_alice).to_string(), at_bob).expect("a connection");
    let told = rig.next_told(&bob).expect("an indication");
    let told = taciturn_stun::Message::parse(&told).unwrap();
    assert_eq!(told.peer(), Ok(Some(at_alice)));
    assert_eq!(Family::of(at_alice.ip()), Family::V4);
    // By its private address nobody reaches it.
    alice.connect(&private(at_bob).to_string()).send().assert_error(403);
}
