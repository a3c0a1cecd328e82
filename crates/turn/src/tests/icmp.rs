//! ICMP errors on their way to the client (section 11.5, section 18.13).

use super::*;
use crate::IcmpError;
use taciturn_stun::{AttributeType as T, Class, Family, Message, Method};

const UNREACHABLE: IcmpError = IcmpError { kind: 3, code: 3, mtu: 0 };

/// Peer and value of the ICMP attribute, as the client reads them.
fn told(bytes: &[u8]) -> (SocketAddr, Vec<u8>) {
    let message = Message::parse(bytes).unwrap();
    assert_eq!((message.class(), message.method()), (Class::Indication, Method::DATA));
    assert_eq!(message.attribute_types(), [T::XOR_PEER_ADDRESS.0, T::ICMP.0], "no DATA");
    (message.peer().unwrap().unwrap(), message.find(T::ICMP).unwrap().to_vec())
}

//= 8656-11.5-whose-permission, 8656-11.5-attributes, 8656-18.13-icmp-reserved
#[test]
fn an_error_reaches_the_client_with_the_peer_it_is_about() {
    let rig = Rig::new();
    let alice = rig.alice();
    let relayed = alice.allocate();
    alice.permit(PEER);
    let (client, bytes) = rig.icmp(PEER, relayed, UNREACHABLE).expect("an indication");
    assert_eq!(client, alice.at);
    // Type in 7 bits, code in 9.
    assert_eq!(told(&bytes), (addr(PEER), vec![0, 0, 0x06, 0x03, 0, 0, 0, 0]));
    // A channel makes no difference, nor does another port of a permitted address.
    alice.bind(CHANNEL, PEER);
    assert!(rig.icmp(PEER, relayed, UNREACHABLE).is_some());
    assert!(rig.icmp("8.8.8.8:1", relayed, UNREACHABLE).is_some());
}

//= 8656-18.13-icmp-data
#[test]
fn the_mtu_is_told_where_a_datagram_was_too_big_and_nowhere_else() {
    let rig = Rig::new();
    let alice = rig.alice();
    let v4 = alice.allocate();
    alice.permit(PEER);
    let bob = rig.bob();
    let v6 = bob.allocate_v6();
    bob.permit(PEER_V6);
    let value = |peer: &str, relayed, kind, code| {
        let error = IcmpError { kind, code, mtu: 1280 };
        rig.icmp(peer, relayed, error).map(|(_, bytes)| told(&bytes).1)
    };
    assert_eq!(value(PEER, v4, 3, 4), Some(vec![0, 0, 0x06, 0x04, 0, 0, 5, 0]));
    assert_eq!(value(PEER, v4, 3, 1), Some(vec![0, 0, 0x06, 0x01, 0, 0, 0, 0]));
    assert_eq!(value(PEER, v4, 11, 0), Some(vec![0, 0, 0x16, 0x00, 0, 0, 0, 0]));
    assert_eq!(value(PEER_V6, v6, 2, 0), Some(vec![0, 0, 0x04, 0x00, 0, 0, 5, 0]));
    assert_eq!(value(PEER_V6, v6, 1, 4), Some(vec![0, 0, 0x02, 0x04, 0, 0, 0, 0]));
    assert_eq!(value(PEER_V6, v6, 3, 0), Some(vec![0, 0, 0x06, 0x00, 0, 0, 0, 0]));
}

//= 8656-11.5-types, 8656-11.5-whose-permission
#[test]
fn other_types_and_peers_without_permission_are_dropped() {
    let rig = Rig::new();
    let alice = rig.alice();
    let relayed = alice.allocate();
    assert_eq!(rig.icmp(PEER, relayed, UNREACHABLE), None);
    alice.permit(PEER);
    for kind in [0, 4, 5, 8, 12, 255] {
        assert_eq!(rig.icmp(PEER, relayed, IcmpError { kind, code: 0, mtu: 0 }), None, "{kind}");
    }
    assert_eq!(rig.icmp(OTHER_PEER, relayed, UNREACHABLE), None);
    rig.advance(seconds(300));
    assert_eq!(rig.icmp(PEER, relayed, UNREACHABLE), None);
}

#[test]
fn errors_count_for_the_rates_as_packets_of_the_peer_do() {
    let rig = Rig::with(|setup| setup.rates.packets.allocation = 10);
    let alice = rig.alice();
    let relayed = alice.allocate();
    alice.permit(PEER);
    let told = || (0..30).filter(|_| rig.icmp(PEER, relayed, UNREACHABLE).is_some()).count();
    assert_eq!(told(), 10);
    rig.advance(seconds(1));
    assert_eq!(told(), 10);
    let dropped = rig.shard(|shard| shard.statistics().dropped);
    assert_eq!(dropped[crate::DropReason::AllocationRate as usize], 40);
}

#[test]
fn behind_a_1_to_1_nat_the_peer_is_told_by_its_public_address() {
    // Two relays of one server: what was sent to the private side is known by the public one.
    let address = crate::RelayAddress {
        public: "203.0.113.7".parse().unwrap(),
        local: "10.0.0.7".parse().unwrap(),
    };
    let rig = Rig::with(|setup| setup.v4 = Some(address));
    let (alice, bob) = (rig.alice(), rig.bob());
    let (relayed, other) = (alice.allocate(), bob.allocate());
    alice.permit(&other.to_string());
    let private = SocketAddr::new(address.local, other.port());
    let (_, bytes) = rig.icmp(&private.to_string(), relayed, UNREACHABLE).unwrap();
    assert_eq!(told(&bytes).0, other);
    assert_eq!(Family::of(other.ip()), Family::V4);
}
