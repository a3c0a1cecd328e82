//! What RFC 8489 added to the long-term credential mechanism: password algorithms, hashed
//! usernames, and the nonce cookie that keeps both from being taken away (section 9.2).

use super::*;
use crate::auth::{Denied, PASSWORD_ALGORITHMS, long_term_key, long_term_key_by, userhash};
use taciturn_stun::{
    AttributeType as T, Class, Message, Method, PasswordAlgorithm, TransactionId, Writer,
};

/// A static user over TCP, where everything is offered.
fn over_tcp() -> (Rig, TestClient) {
    let rig = Rig::with(|setup| setup.shared_secret = false);
    let alice = rig.stream_client("192.0.2.1:1001", "alice");
    (rig, alice)
}

/// The first answer to a client that knows nothing yet.
fn challenge(client: &TestClient) -> Vec<u8> {
    client.nonce.borrow_mut().clear();
    let challenge = client.allocation().once();
    challenge.assert_error(401);
    challenge.bytes
}

fn nonce_of(challenge: &[u8]) -> &[u8] {
    Message::parse(challenge).unwrap().nonce().unwrap()
}

/// An Allocate request put together by hand.
fn asked(write: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
    let mut buffer = [0; 1500];
    let tid = TransactionId(*b"by hand.....");
    let mut writer = Writer::new(&mut buffer, Class::Request, Method::ALLOCATE, tid);
    writer.requested_transport(17);
    write(&mut writer);
    let len = writer.finish().unwrap();
    buffer[..len].to_vec()
}

fn code(client: &TestClient, packet: &[u8]) -> Option<u16> {
    Message::parse(&client.raw(packet).reply()).unwrap().error_code()
}

//= 8489-9.2-nonce-cookie, 8489-9.2.4-algorithms-bit, 8489-9.2.4-anonymity-bit, 8489-18.5.1.1-md5
#[test]
fn a_connection_is_offered_algorithms_and_hashed_names() {
    // Section 9.2.4: the list, the strongest first, and the bits in the nonce.
    let (_, alice) = over_tcp();
    let bytes = challenge(&alice);
    let challenge = Message::parse(&bytes).unwrap();
    let expected = [T::ERROR_CODE, T::REALM, T::NONCE, T::PASSWORD_ALGORITHMS].map(|t| t.0);
    assert_eq!(challenge.attribute_types(), expected);
    assert_eq!(challenge.find(T::PASSWORD_ALGORITHMS), Some(&[0, 2, 0, 0, 0, 1, 0, 0][..]));
    assert!(challenge.nonce().unwrap().starts_with(b"obMatJos2wAAA"));
    assert_eq!(bytes.len(), 92);
}

#[test]
fn a_stranger_over_udp_is_offered_nothing() {
    // 64 bytes, as the first answer has always had: nobody has proven the address.
    let rig = Rig::with(|setup| setup.shared_secret = false);
    assert_eq!(challenge(&rig.alice()).len(), 64);
    let rig = Rig::with(|setup| setup.rfc8489_over_udp = true);
    let bytes = challenge(&rig.alice());
    assert_eq!(bytes.len(), 92);
    assert!(nonce_of(&bytes).starts_with(b"obMatJos2gAAA"), "hashed names fail with secrets");
}

//= 8489-6.3.1.1-authenticated-answers, 8489-9.2.4-signed-with-sha256, 8489-18.5.1.1-md5
#[test]
fn a_session_with_sha256_from_its_first_request_to_its_last() {
    // `TestClient` holds each answer to MESSAGE-INTEGRITY-SHA256 with the SHA-256 key.
    for hashed in [false, true] {
        let (rig, alice) = over_tcp();
        alice.sha256.set(true);
        alice.hashed.set(hashed);
        alice.fingerprint.set(hashed);
        let allocation = alice.allocation();
        let made = allocation.send();
        made.assert_ok();
        assert_eq!(allocation.once(), made, "a retransmission");
        alice.allocation().send().assert_error(437);
        alice.bind(CHANNEL, PEER);
        alice.try_permit(&["10.0.0.1:1"]).assert_error(403);
        alice.channel_data(CHANNEL, b"x").assert_reaches(PEER, b"x");
        rig.advance(seconds(500));
        alice.refresh(3600).assert_ok();
        rig.advance(seconds(3500));
        let refresh = alice.request(Method::REFRESH).lifetime(0);
        refresh.once().assert_error(438);
        refresh.send().assert_ok();
        // Quotas and events know the user by name, hash or not.
        let named = |event: &Happened| match event {
            Happened::Allocated { username, .. } | Happened::Ended { username, .. } => {
                username == "alice"
            }
            _ => true,
        };
        assert!(rig.events().iter().all(named));
        rig.assert_empty();
    }
}

//= 8489-9.2.4-stale-nonce
#[test]
fn a_stale_nonce_over_a_connection_is_answered_with_the_offer() {
    // Section 9.2.4: 438 holds NONCE, REALM and PASSWORD-ALGORITHMS.
    let (rig, alice) = over_tcp();
    alice.sha256.set(true);
    alice.allocate();
    rig.advance(seconds(599));
    alice.nonce.replace(b"obMatJos2wAAAmade up by who".to_vec());
    let stale = alice.request(Method::REFRESH).once();
    stale.assert_error(438);
    let expected = [T::ERROR_CODE, T::REALM, T::NONCE, T::PASSWORD_ALGORITHMS].map(|t| t.0);
    assert_eq!(stale.message().attribute_types(), expected);
}

//= 8489-9.2.4-signed-with-sha1
#[test]
fn a_client_of_rfc_5389_is_served_as_ever() {
    // Section 9.2.4: neither attribute, and MD5 it is, with MESSAGE-INTEGRITY in the answers.
    let (_, alice) = over_tcp();
    alice.allocate();
    alice.refresh(600).assert_ok();
    assert!(alice.nonce.borrow().starts_with(b"obMatJos2wAAA"));
}

//= 8489-9.2.4-signed-with-sha256
#[test]
fn md5_may_be_chosen_too() {
    let (_, alice) = over_tcp();
    let bytes = challenge(&alice);
    let with_md5 = |sha256: bool| {
        asked(|writer| {
            writer.attribute(T::USERNAME, b"alice").attribute(T::REALM, b"example.org");
            writer.attribute(T::NONCE, nonce_of(&bytes));
            writer.attribute(T::PASSWORD_ALGORITHMS, &PASSWORD_ALGORITHMS);
            writer.attribute(T::PASSWORD_ALGORITHM, &PasswordAlgorithm::Md5.value());
            match sha256 {
                true => writer.integrity_sha256(&alice.key),
                false => writer.integrity(&alice.key),
            };
        })
    };
    for sha256 in [true, false] {
        let reply = alice.raw(&with_md5(sha256)).reply();
        let answer = Message::parse(&reply).unwrap();
        assert_eq!((answer.error_code(), answer.has_integrity_sha256()), (None, sha256));
        assert!(answer.verify_integrity(&alice.key));
    }
}

//= 8489-9.2.1-bid-down, 8489-9.2.4-algorithms-match
#[test]
fn an_offer_that_was_cut_on_the_way_is_noticed() {
    // Section 9.2.1: somebody in between wants MD5.
    let (rig, alice) = over_tcp();
    let bytes = challenge(&alice);
    let nonce = nonce_of(&bytes);
    let request = |nonce: &[u8], list: Option<&[u8]>, choice: Option<&[u8]>| {
        asked(|writer| {
            writer.attribute(T::USERNAME, b"alice").attribute(T::REALM, b"example.org");
            writer.attribute(T::NONCE, nonce);
            if let Some(list) = list {
                writer.attribute(T::PASSWORD_ALGORITHMS, list);
            }
            if let Some(choice) = choice {
                writer.attribute(T::PASSWORD_ALGORITHM, choice);
            }
            writer.integrity(&alice.key);
        })
    };
    let md5 = PasswordAlgorithm::Md5.value();
    // The list lacks SHA-256, or was taken out and a choice is left, or there is none.
    assert_eq!(code(&alice, &request(nonce, Some(&md5), Some(&md5))), Some(400));
    assert_eq!(code(&alice, &request(nonce, None, Some(&md5))), Some(400));
    assert_eq!(code(&alice, &request(nonce, Some(&PASSWORD_ALGORITHMS), None)), Some(400));
    // The cookie was taken out, or its bits: no nonce of ours.
    assert_eq!(code(&alice, &request(&nonce[13..], None, None)), Some(438));
    let other = [b"obMatJos2QAAA", &nonce[13..]].concat();
    assert_eq!(code(&alice, &request(&other, None, None)), Some(438));
    rig.assert_empty();
}

#[test]
fn an_algorithm_that_was_not_offered_is_passed_over() {
    // Section 6.3: known and not expected. So the key is that of MD5, and SHA-256 fails.
    let rig = Rig::new();
    let alice = rig.alice();
    let bytes = challenge(&alice);
    let request = |algorithm| {
        let key = long_term_key_by(algorithm, "alice", "example.org", "alice's password");
        asked(|writer| {
            writer.attribute(T::USERNAME, b"alice").attribute(T::REALM, b"example.org");
            writer.attribute(T::NONCE, nonce_of(&bytes));
            writer.attribute(T::PASSWORD_ALGORITHM, &PasswordAlgorithm::Sha256.value());
            writer.integrity_sha256(&key);
        })
    };
    assert_eq!(code(&alice, &request(PasswordAlgorithm::Sha256)), Some(401));
    assert_eq!(code(&alice, &request(PasswordAlgorithm::Md5)), None);
}

//= 8489-14.6-integrity-sha256
#[test]
fn of_both_integrities_the_sha256_one_is_judged() {
    // Section 9.2.4. MESSAGE-INTEGRITY may be of any key then; what stands between has no effect.
    let (rig, alice) = over_tcp();
    let bytes = challenge(&alice);
    let wrong = long_term_key("alice", "example.org", "guess");
    let right =
        long_term_key_by(PasswordAlgorithm::Sha256, "alice", "example.org", "alice's password");
    let request = |good_first: bool| {
        asked(|writer| {
            writer.attribute(T::USERNAME, b"alice").attribute(T::REALM, b"example.org");
            writer.attribute(T::NONCE, nonce_of(&bytes));
            writer.attribute(T::PASSWORD_ALGORITHMS, &PASSWORD_ALGORITHMS);
            writer.attribute(T::PASSWORD_ALGORITHM, &PasswordAlgorithm::Sha256.value());
            let (sha1, sha256) = if good_first { (&right, &wrong) } else { (&wrong, &right) };
            writer.integrity(sha1).attribute(T(0x7FFF), b"unknown").integrity_sha256(sha256);
            writer.fingerprint();
        })
    };
    assert_eq!(code(&alice, &request(true)), Some(401));
    assert_eq!(code(&alice, &request(false)), None);
    assert_eq!(rig.shard(|shard| shard.len()), 1);
}

//= 8489-14.6-integrity-sha256-length
#[test]
fn a_shortened_sha256_integrity_is_refused() {
    // Section 14.6: a usage may allow it, and TURN does not.
    let (rig, alice) = over_tcp();
    let bytes = challenge(&alice);
    let key =
        long_term_key_by(PasswordAlgorithm::Sha256, "alice", "example.org", "alice's password");
    for len in (0..32).chain([33, 36]) {
        let mut packet = asked(|writer| {
            writer.attribute(T::USERNAME, b"alice").attribute(T::REALM, b"example.org");
            writer.attribute(T::NONCE, nonce_of(&bytes));
            writer.attribute(T::PASSWORD_ALGORITHMS, &PASSWORD_ALGORITHMS);
            writer.attribute(T::PASSWORD_ALGORITHM, &PasswordAlgorithm::Sha256.value());
            writer.integrity_sha256(&key);
        });
        // The tag of the whole message, cut.
        let at = packet.len() - 32;
        packet.resize(at + len_padded(len), 0);
        packet[at - 1] = len;
        let length = u16::try_from(packet.len() - 20).unwrap().to_be_bytes();
        packet[2..4].copy_from_slice(&length);
        assert_eq!(code(&alice, &packet), Some(401), "{len} bytes");
    }
    rig.assert_empty();
}

fn len_padded(len: u8) -> usize {
    usize::from(len).next_multiple_of(4)
}

//= 8489-9.2.4-unknown-user
#[test]
fn a_hash_of_nobody_gets_the_bytes_of_a_wrong_password() {
    let (rig, alice) = over_tcp();
    let bytes = challenge(&alice);
    let attempt = |hash: [u8; 32], password: &str| {
        let key = long_term_key("alice", "example.org", password);
        let packet = asked(|writer| {
            writer.attribute(T::USERHASH, &hash).attribute(T::REALM, b"example.org");
            writer.attribute(T::NONCE, nonce_of(&bytes)).integrity(&key);
        });
        alice.raw(&packet).reply()
    };
    let known = attempt(userhash("alice", "example.org"), "guess");
    assert_eq!(Message::parse(&known).unwrap().error_code(), Some(401));
    assert_eq!(attempt([7; 32], "guess"), known);
    assert_eq!(attempt(userhash("alice", "other.org"), "alice's password"), known);
    let names: Vec<_> = rig.events().iter().map(|event| format!("{event:?}")).collect();
    assert!(names[0].contains("alice") && names[1].contains("unknown USERHASH"), "{names:?}");
}

#[test]
fn username_and_userhash_together_or_a_hash_of_wrong_length_are_a_bad_request() {
    let (_, alice) = over_tcp();
    let bytes = challenge(&alice);
    let hash = userhash("alice", "example.org");
    for (hash, name) in [(&hash[..], Some("alice")), (&hash[..31], None), (&[], None)] {
        let packet = asked(|writer| {
            writer.attribute(T::USERHASH, hash);
            if let Some(name) = name {
                writer.attribute(T::USERNAME, name.as_bytes());
            }
            writer.attribute(T::REALM, b"example.org");
            writer.attribute(T::NONCE, nonce_of(&bytes)).integrity(&alice.key);
        });
        assert_eq!(code(&alice, &packet), Some(400));
    }
}

#[test]
fn the_maker_of_an_allocation_may_go_on_by_hash_and_nobody_else() {
    // RFC 8656 section 5. Of a REST name the hash is of use from then on.
    let rig = Rig::new();
    let carol = rig.rest_client("192.0.2.3:1003", "carol", 700);
    carol.hashed.set(true);
    carol.allocation().once().assert_error(401);
    carol.allocation().send().assert_error(401);
    carol.hashed.set(false);
    carol.allocate();
    carol.hashed.set(true);
    carol.refresh(600).assert_ok();
    let bob = carol.impostor("bob");
    bob.hashed.set(true);
    bob.refresh(0).assert_error(441);
    carol.permit(PEER);
    let denied = |event: &Happened| {
        let Happened::AuthenticationFailed { reason, .. } = event else { return false };
        *reason == Denied::UnknownUser
    };
    assert_eq!(rig.events().iter().filter(|event| denied(event)).count(), 1);
}

//= 8489-14.3-username-763
#[test]
fn names_of_up_to_763_bytes_are_read() {
    // Section 14.3: to be compatible with RFC 5389.
    let rig = Rig::new();
    let name = |len: usize| "x".repeat(len);
    rig.rest_client("192.0.2.3:1003", &name(763 - 11), 700).allocate();
    let longer = rig.rest_client("192.0.2.3:1004", &name(763 - 10), 700);
    longer.allocation().once().assert_error(401);
    let bytes = challenge(&longer);
    let packet = asked(|writer| {
        writer.attribute(T::USERNAME, longer.user.as_bytes()).attribute(T::REALM, b"example.org");
        writer.attribute(T::NONCE, nonce_of(&bytes)).integrity(&longer.key);
    });
    assert_eq!(code(&longer, &packet), Some(400));
}

#[test]
fn quotes_around_username_and_realm_do_not_count() {
    // Section 9.2.2: the key is made of both without their quotes.
    let rig = Rig::new();
    let alice = rig.alice();
    let bytes = challenge(&alice);
    let packet = asked(|writer| {
        writer.attribute(T::USERNAME, b"\"alice\"").attribute(T::REALM, b"\"example.org\"");
        writer.attribute(T::NONCE, nonce_of(&bytes)).integrity(&alice.key);
    });
    assert_eq!(code(&alice, &packet), None);
    alice.nonce.replace(nonce_of(&bytes).to_vec());
    alice.refresh(600).assert_ok();
}
