//! What has gone wrong in other servers, by the number it was given, as far as the state machine is
//! concerned; `tests/server/advisories.rs` has the rest, docs/security.md the table of all.

use super::*;
use crate::DropReason;
use taciturn_stun::{AttributeType as T, Message, Method};

/// Every byte of padding in `message` is zero.
#[track_caller]
fn assert_padding_is_zero(message: &[u8]) {
    let mut rest = &message[20..];
    while let [_, _, high, low, ..] = *rest {
        let len = usize::from(u16::from_be_bytes([high, low]));
        let (value, whole) = (4 + len, 4 + len.next_multiple_of(4));
        assert!(rest[value..whole].iter().all(|byte| *byte == 0), "{rest:02x?}");
        rest = &rest[whole..];
    }
}

/// coturn sent what was left in its buffer. The buffer for answers is full of 0xAA in these tests.
#[test]
fn cve_2020_4067_padding_holds_nothing_of_others() {
    let rig = Rig::new();
    let alice = rig.alice();
    let relayed = alice.allocate();
    let challenge = rig.client("192.0.2.9:9", "alice").allocation().once();
    assert_padding_is_zero(&challenge.bytes);
    alice.permit(PEER);
    for len in 0..9 {
        let data = vec![0xFF; len];
        let Outcome::ToClient { bytes, .. } = rig.peer_sends(PEER, relayed, &data) else {
            panic!("a Data indication")
        };
        assert_padding_is_zero(&bytes);
    }
}

#[test]
fn cve_2020_26262_the_unspecified_address_and_loopback_are_no_peers() {
    let rig = Rig::new();
    let (v4, v6) = (rig.alice(), rig.bob());
    v4.allocate();
    v6.allocate_v6();
    for peer in ["0.0.0.0:3478", "127.0.0.1:80", "127.9.9.9:80"] {
        v4.try_permit(&[peer]).assert_error(403);
        v4.try_bind(CHANNEL, peer).assert_error(403);
    }
    for peer in ["[::]:3478", "[::1]:80"] {
        v6.try_permit(&[peer]).assert_error(403);
        v6.try_bind(CHANNEL, peer).assert_error(403);
    }
}

/// Then CVE-2026-53450 (GHSA-w4hf-cr3w-6h79): the order of the checks; then 6to4, NAT64 and
/// IPv4-compatible addresses.
#[test]
fn cve_2026_27624_ipv4_in_ipv6_is_judged_as_what_it_reaches() {
    let rig = Rig::new();
    let (v4, v6) = (rig.alice(), rig.bob());
    v4.allocate();
    v6.allocate_v6();
    for peer in ["[::ffff:127.0.0.1]:80", "[::ffff:10.0.0.1]:80", "[::ffff:169.254.169.254]:80"] {
        v4.try_permit(&[peer]).assert_error(403);
        let code = v6.try_permit(&[peer]).code();
        assert!(matches!(code, Some(403 | 443)), "{peer}: {code:?}");
    }
}

#[test]
fn cve_2026_53450_no_dress_of_an_ipv4_address_goes_past_the_rules() {
    let rig = Rig::new();
    let v6 = rig.bob();
    v6.allocate_v6();
    for peer in ["[::127.0.0.1]:80", "[64:ff9b::7f00:1]:80", "[2002:7f00:1::1]:80"] {
        v6.try_permit(&[peer]).assert_error(403);
        v6.try_bind(CHANNEL, peer).assert_error(403);
    }
}

/// coturn took nonces and ports from `random()` since 4.6: three outputs told all the others.
#[test]
fn cve_2025_69217_nonces_and_ports_show_no_pattern() {
    let rig = Rig::with(|setup| setup.ports = (40_000, 49_999));
    let clients: Vec<_> =
        (1..=60).map(|n| rig.client(&format!("192.0.2.{n}:1000"), "alice")).collect();
    let nonces: Vec<_> =
        clients.iter().take(32).map(|client| client.allocation().once().nonce()).collect();
    for (at, nonce) in nonces.iter().enumerate() {
        // The time may be the same; half of the characters of the rest differ, at the least.
        for other in &nonces[..at] {
            let same = nonce.iter().zip(other).filter(|(a, b)| a == b).count();
            assert!(nonce.len() - same >= 6, "{nonce:?} {other:?}");
        }
    }
    let ports: Vec<i32> =
        clients.iter().take(30).map(|client| client.allocate().port().into()).collect();
    let steps: std::collections::BTreeSet<i32> = ports.windows(2).map(|p| p[1] - p[0]).collect();
    assert!(steps.len() > 25, "steps between ports repeat: {ports:?}");
}

/// coturn's OAuth token of 128 KiB on the stack, read before it was authenticated.
#[test]
fn cve_2026_43994_a_token_of_any_length_is_an_attribute_like_others() {
    let rig = Rig::new();
    let alice = rig.alice();
    const ACCESS_TOKEN: T = T(0x001B);
    for len in [0, 4, 255, 256, 1000, 60_000] {
        let bytes =
            alice.request(Method::ALLOCATE).attribute(ACCESS_TOKEN, &vec![0xFF; len]).bytes();
        // Without credentials: the challenge, or silence; never more than a challenge.
        match alice.raw(&bytes) {
            Outcome::Reply(answer) => assert_eq!(
                Message::parse(&answer).unwrap().error_code(),
                Some(401),
                "{len} bytes of token"
            ),
            outcome => assert!(matches!(outcome, Outcome::Dropped(_)), "{outcome:?}"),
        }
    }
    alice.allocate();
}

/// EVEN-PORT without R: coturn kept the odd port for good.
#[test]
fn coturn_4adbd82e_even_port_without_reservation_keeps_one_port() {
    let rig = Rig::with(|setup| setup.ports = (50_000, 50_009));
    let alice = rig.alice();
    for _ in 0..50 {
        alice.allocation().even_port(false).send().assert_ok();
        assert_eq!(rig.used_ports(), 1);
        alice.refresh(0).assert_ok();
        rig.assert_empty();
    }
}

/// 18 kB for each forged Allocate: here it is nothing.
#[test]
fn coturn_1999_an_unauthenticated_request_leaves_nothing() {
    let rig = Rig::new();
    for n in 0..5000_u32 {
        let from = format!("9.{}.{}.1:1000", n >> 8, n & 255);
        rig.client(&from, "alice").allocation().once().assert_error(401);
    }
    rig.assert_empty();
    assert!(rig.events().is_empty(), "not even a line in the log");
}

/// libjuice passed on what peers without a permission sent.
#[test]
fn libjuice_288_data_of_peers_without_a_permission_are_dropped() {
    let rig = Rig::new();
    let alice = rig.alice();
    let relayed = alice.allocate();
    alice.permit(PEER);
    rig.peer_sends(OTHER_PEER, relayed, b"x").assert_dropped(DropReason::NoPermission);
    rig.peer_sends(PEER, relayed, b"x").at(&alice);
}

/// pion's Connect did not ask the rules for peers.
#[test]
fn pion_0dafcab_connect_asks_the_rules_for_peers() {
    let rig = tcp_allocations::rig();
    let alice = rig.tcp_client(1, "alice");
    alice.allocate_tcp();
    for peer in ["127.0.0.1:22", "10.0.0.1:22", "169.254.169.254:80", "203.0.113.7:22"] {
        alice.connect(peer).send().assert_error(403);
    }
    assert!(rig.world(|world| world.attempts.is_empty()));
}
