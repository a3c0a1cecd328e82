//! NAT behaviour discovery (RFC 5780).

use super::client::TestClient;
use super::*;
use crate::{Client, DropReason, NatDiscovery, RelayAddress, Via};
use taciturn_stun::{AttributeType as T, Class, Message, Method, TransactionId, Writer};

const CHANGE_BOTH: [u8; 4] = [0, 0, 0, 6];
const CHANGE_ADDRESS: [u8; 4] = [0, 0, 0, 4];
const CHANGE_PORT: [u8; 4] = [0, 0, 0, 2];

fn discovery() -> Rig {
    let plain = |text: &str| RelayAddress::plain(text.parse().unwrap());
    let second =
        RelayAddress { public: "203.0.113.8".parse().unwrap(), local: "10.0.0.8".parse().unwrap() };
    let addresses = [Some([plain("203.0.113.7"), second]), None];
    Rig::with(|setup| {
        setup.nat_discovery = Some(NatDiscovery { addresses, ports: [3478, 3479] });
    })
}

fn binding(attributes: &[(T, &[u8])]) -> Vec<u8> {
    let mut buffer = [0; 4000];
    let tid = TransactionId(*b"what is here");
    let mut writer = Writer::new(&mut buffer, Class::Request, Method::BINDING, tid);
    for (kind, value) in attributes {
        writer.attribute(*kind, value);
    }
    let len = writer.finish().unwrap();
    buffer[..len].to_vec()
}

/// From where to where an answer goes, and what it is.
#[track_caller]
fn elsewhere(client: &TestClient, attributes: &[(T, &[u8])]) -> (String, String, Vec<u8>) {
    match client.raw(&binding(attributes)) {
        Outcome::ReplyFrom { from, to, bytes } => (from.to_string(), to.to_string(), bytes),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn error(client: &TestClient, attributes: &[(T, &[u8])]) -> Option<u16> {
    Message::parse(&client.raw(&binding(attributes)).reply()).unwrap().error_code()
}

fn plain_address(bytes: &[u8], kind: T) -> String {
    let message = Message::parse(bytes).unwrap();
    let value = message.find(kind).unwrap();
    let port = u16::from_be_bytes([value[2], value[3]]);
    format!("{}.{}.{}.{}:{port}", value[4], value[5], value[6], value[7])
}

//= 5780-6.1-both-mapped, 5780-6.1-response-origin, 5780-6.1-other-address
#[test]
fn an_answer_tells_where_it_comes_from_and_where_else_it_might() {
    // RFC 5780 section 6.1.
    let rig = discovery();
    let bytes = rig.alice().raw(&binding(&[])).reply();
    let types = [T::XOR_MAPPED_ADDRESS, T::MAPPED_ADDRESS, T::RESPONSE_ORIGIN, T::OTHER_ADDRESS];
    assert_eq!(Message::parse(&bytes).unwrap().attribute_types(), types.map(|kind| kind.0));
    assert_eq!(plain_address(&bytes, T::MAPPED_ADDRESS), "192.0.2.1:1001");
    assert_eq!(plain_address(&bytes, T::RESPONSE_ORIGIN), "203.0.113.7:3478");
    assert_eq!(plain_address(&bytes, T::OTHER_ADDRESS), "203.0.113.8:3479");
    assert_eq!(bytes.len(), 68, "what a forged request of 20 bytes can cause");
}

//= 5780-6.1-source, 5780-6.1-response-origin, 5780-6.1-other-address
#[test]
fn change_request_is_answered_from_the_other_address_and_port() {
    // RFC 5780 sections 6.1 and 7.2: the socket is the private one, the client hears of the public.
    let rig = discovery();
    let alice = rig.alice();
    let (from, to, bytes) = elsewhere(&alice, &[(T::CHANGE_REQUEST, &CHANGE_BOTH)]);
    assert_eq!((from.as_str(), to.as_str()), ("10.0.0.8:3479", "192.0.2.1:1001"));
    assert_eq!(plain_address(&bytes, T::RESPONSE_ORIGIN), "203.0.113.8:3479");
    assert_eq!(plain_address(&bytes, T::OTHER_ADDRESS), "203.0.113.8:3479");
    let (from, _, bytes) = elsewhere(&alice, &[(T::CHANGE_REQUEST, &CHANGE_PORT)]);
    assert_eq!(from, "203.0.113.7:3479");
    assert_eq!(plain_address(&bytes, T::OTHER_ADDRESS), "203.0.113.8:3479");
    let (from, _, bytes) = elsewhere(&alice, &[(T::CHANGE_REQUEST, &CHANGE_ADDRESS)]);
    assert_eq!(from, "10.0.0.8:3478");
    assert_eq!(plain_address(&bytes, T::RESPONSE_ORIGIN), "203.0.113.8:3478");
    assert_eq!(plain_address(&bytes, T::OTHER_ADDRESS), "203.0.113.8:3479");
    let nothing = alice.raw(&binding(&[(T::CHANGE_REQUEST, &[0; 4])]));
    assert!(matches!(nothing, Outcome::Reply(_)), "{nothing:?}");
    // The other way round, from the second address and port.
    let at = Client { via: Via::Udp(1), local: "10.0.0.8".parse().unwrap(), ..alice.at };
    let there = TestClient::new(rig.clone(), at, "alice", "");
    assert_eq!(elsewhere(&there, &[(T::CHANGE_REQUEST, &CHANGE_BOTH)]).0, "203.0.113.7:3478");
}

//= 5780-7.5-response-port, 5780-6.1-port-and-padding
#[test]
fn response_port_sends_the_answer_to_another_port_of_the_same_address() {
    // RFC 5780 section 7.5.
    let rig = discovery();
    let (from, to, bytes) = elsewhere(&rig.alice(), &[(T::RESPONSE_PORT, &[0x12, 0x34, 0, 0])]);
    assert_eq!((from.as_str(), to.as_str()), ("203.0.113.7:3478", "192.0.2.1:4660"));
    assert_eq!(plain_address(&bytes, T::MAPPED_ADDRESS), "192.0.2.1:1001");
    assert_eq!(error(&rig.alice(), &[(T::RESPONSE_PORT, &[0; 4])]), Some(400));
    assert_eq!(error(&rig.alice(), &[(T::RESPONSE_PORT, &[0; 3])]), Some(400));
    let both: [(T, &[u8]); 2] = [(T::RESPONSE_PORT, &[0x12, 0x34, 0, 0]), (T::PADDING, &[0; 8])];
    assert_eq!(error(&rig.alice(), &both), Some(400), "section 6.1");
}

//= 5780-6.1-padding, 5780-7.6-longest
#[test]
fn padding_is_answered_with_padding_and_never_with_more_than_was_asked() {
    // RFC 5780 section 7.6; the size is ours: a forged source is not flooded.
    let rig = discovery();
    for len in [0, 4, 60, 500, 1500, 1700, 3000] {
        let request = binding(&[(T::PADDING, &vec![7; len])]);
        let bytes = rig.alice().raw(&request).reply();
        let padding = Message::parse(&bytes).unwrap().find(T::PADDING).unwrap().len();
        assert!(bytes.len() <= request.len().max(72), "{len}: {}", bytes.len());
        assert!(padding <= 1500 && (len < 1700 || padding == 1500), "{len}: {padding}");
    }
}

#[test]
fn what_is_not_understood_is_still_named() {
    let rig = discovery();
    let mixed: [(T, &[u8]); 2] = [(T::CHANGE_REQUEST, &CHANGE_BOTH), (T(0x7FFF), &[])];
    let bytes = rig.alice().raw(&binding(&mixed)).reply();
    let message = Message::parse(&bytes).unwrap();
    assert_eq!(message.error_code(), Some(420));
    assert_eq!(message.find(T::UNKNOWN_ATTRIBUTES), Some(&[0x7F, 0xFF][..]));
    // CACHE-TIMEOUT is optional, and of no use here.
    let plain = rig.alice().raw(&binding(&[(T(0x8027), &[0, 0, 0, 9])]));
    assert!(matches!(plain, Outcome::Reply(_)), "{plain:?}");
    let allocate = rig.alice().allocation().attribute(T::CHANGE_REQUEST, &CHANGE_BOTH).send();
    allocate.assert_error(420);
}

//= 5780-6-no-alternate
#[test]
fn without_another_address_a_change_is_420_and_nothing_is_added() {
    // RFC 5780 section 6.1: a server without an alternate address does not know the attribute.
    let change: [(T, &[u8]); 1] = [(T::CHANGE_REQUEST, &CHANGE_BOTH)];
    let off = Rig::new();
    let on = discovery();
    let v6 = TestClient::new(
        on.clone(),
        Client { local: "2001:db8::7".parse().unwrap(), ..on.client("[2a00::1]:9", "").at },
        "alice",
        "",
    );
    for client in [off.alice(), on.stream_client("192.0.2.1:1", "alice"), v6] {
        assert_eq!(error(&client, &change), Some(420));
        let bytes = client.raw(&binding(&[])).reply();
        let types = Message::parse(&bytes).unwrap().attribute_types();
        assert_eq!(types, [T::XOR_MAPPED_ADDRESS.0]);
    }
}

#[test]
fn strangers_have_the_same_budget_whatever_they_ask() {
    let addresses = discovery().shard(|shard| shard.parts.settings.nat_discovery.clone());
    let rig = Rig::with(|setup| {
        setup.nat_discovery = addresses;
        setup.answers = (20, 0);
    });
    let request = binding(&[(T::RESPONSE_PORT, &[0x12, 0x34, 0, 0])]);
    let outcomes: Vec<_> = (0..100).map(|_| rig.alice().raw(&request)).collect();
    let answered = outcomes.iter().filter(|it| matches!(it, Outcome::ReplyFrom { .. })).count();
    assert_eq!(answered, 60);
    outcomes[99].assert_dropped(DropReason::Withheld);
}
