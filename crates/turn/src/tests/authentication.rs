//! The long-term credential mechanism (RFC 8489 section 9.2) and whose an allocation is (section 5).

use super::*;
use crate::DropReason;
use crate::auth::{Denied, LongTermKey, long_term_key};
use taciturn_stun::{AttributeType as T, Class, Message, Method, TransactionId, Writer};

const TID: TransactionId = TransactionId(*b"123456789012");

/// A request as a test writes it.
fn request(method: Method, write: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
    let mut buffer = [0; 1500];
    let mut writer = Writer::new(&mut buffer, Class::Request, method, TID);
    write(&mut writer);
    let len = writer.finish().unwrap();
    buffer[..len].to_vec()
}

/// The first request of a session: no credentials.
fn first_allocate() -> Vec<u8> {
    request(Method::ALLOCATE, |writer| {
        writer.requested_transport(17);
    })
}

/// An Allocate request with all that belongs to MESSAGE-INTEGRITY.
fn signed(user: &str, nonce: &[u8], key: &LongTermKey) -> Vec<u8> {
    request(Method::ALLOCATE, |writer| {
        writer.requested_transport(17);
        credentials(writer, user, nonce);
        writer.integrity(key);
    })
}

fn credentials(writer: &mut Writer<'_>, user: &str, nonce: &[u8]) {
    writer.attribute(T::USERNAME, user.as_bytes());
    writer.attribute(T::REALM, b"example.org");
    writer.attribute(T::NONCE, nonce);
}

/// The nonce that a client is given.
fn nonce_for(client: &TestClient) -> Vec<u8> {
    let reply = client.raw(&first_allocate()).reply();
    Message::parse(&reply).unwrap().nonce().unwrap().into()
}

fn code(reply: &[u8]) -> u16 {
    Message::parse(reply).unwrap().error_code().expect("an error")
}

//= 8489-6.1-small-messages, 8489-9.2.4-no-integrity, 8489-9.2.4-challenge-is-bare, 8489-14.10-nonce
#[test]
fn the_first_answer_is_a_challenge_of_64_bytes() {
    // It goes to addresses that nobody has proven: 64 bytes for 28, and nothing that says more.
    let rig = Rig::new();
    let asked = first_allocate();
    let reply = rig.alice().raw(&asked).reply();
    assert_eq!((asked.len(), reply.len()), (28, 64));
    let answer = Message::parse(&reply).unwrap();
    assert_eq!((answer.class(), answer.transaction_id()), (Class::Error, TID));
    assert_eq!(answer.attribute_types(), [T::ERROR_CODE.0, T::REALM.0, T::NONCE.0]);
    assert_eq!(answer.find(T::ERROR_CODE), Some(&[0, 0, 4, 1][..]), "401 without a reason");
    assert_eq!(answer.realm(), Ok(Some("example.org")));
    assert_eq!(answer.nonce().map(<[u8]>::len), Some(16));
    assert_eq!(rig.events(), [], "a first 401 is not worth a line");
    rig.assert_empty();
}

#[test]
fn the_challenge_of_a_request_with_fingerprint_is_72_bytes() {
    let asked = request(Method::ALLOCATE, |writer| {
        writer.requested_transport(17).fingerprint();
    });
    let reply = Rig::new().alice().raw(&asked).reply();
    assert_eq!((asked.len(), reply.len()), (36, 72));
    assert!(Message::parse(&reply).unwrap().has_fingerprint());
}

//= 8489-9.2.4-no-integrity, 8489-12-binding-without-credentials, 8656-5-long-term,
//= 8656-7.2-authenticated
#[test]
fn every_method_but_binding_is_challenged_first() {
    let rig = Rig::new();
    for method in
        [Method::ALLOCATE, Method::REFRESH, Method::CREATE_PERMISSION, Method::CHANNEL_BIND]
    {
        // Nothing of a stranger's request is looked at, so there is nothing to complain of.
        let bare = request(method, |writer| {
            writer.attribute(T(0x7FFF), b"unknown");
        });
        let reply = rig.alice().raw(&bare).reply();
        assert_eq!((code(&reply), reply.len()), (401, 64), "{method:?}");
    }
    let binding = rig.alice().raw(&request(Method::BINDING, |_| {})).reply();
    assert_eq!(binding.len(), 32);
    let mapped = Message::parse(&binding).unwrap().mapped_address();
    assert_eq!(mapped, Some(addr("192.0.2.1:1001")));
}

//= 8489-9.2.4-incomplete, 8489-9.2.4-incomplete-is-bare
#[test]
fn message_integrity_without_username_realm_or_nonce_is_a_bad_request() {
    let rig = Rig::new();
    let alice = rig.alice();
    let nonce = nonce_for(&alice);
    for missing in [T::USERNAME, T::REALM, T::NONCE] {
        let asked = request(Method::ALLOCATE, |writer| {
            writer.requested_transport(17);
            for (kind, value) in
                [(T::USERNAME, &b"alice"[..]), (T::REALM, b"example.org"), (T::NONCE, &nonce)]
            {
                if kind != missing {
                    writer.attribute(kind, value);
                }
            }
            writer.integrity(&alice.key);
        });
        let reply = alice.raw(&asked).reply();
        assert_eq!(code(&reply), 400, "without {missing:?}");
        let answer = Message::parse(&reply).unwrap();
        assert_eq!(answer.attribute_types(), [T::ERROR_CODE.0], "no REALM, no NONCE");
    }
    rig.assert_empty();
}

//= 8489-9.2.4-stale-nonce, 8489-9.2.4-fresh-nonce, 8656-5-nonce-expires
#[test]
fn a_nonce_goes_stale_and_the_fresh_one_works() {
    let rig = Rig::new();
    let alice = rig.alice();
    let old = nonce_for(&alice);
    rig.advance(seconds(3601));
    let reply = alice.raw(&signed("alice", &old, &alice.key)).reply();
    assert_eq!(code(&reply), 438);
    let answer = Message::parse(&reply).unwrap();
    assert_eq!(answer.attribute_types(), [T::ERROR_CODE.0, T::REALM.0, T::NONCE.0]);
    let fresh = answer.nonce().unwrap();
    assert_ne!(fresh, old);
    let reply = alice.raw(&signed("alice", fresh, &alice.key)).reply();
    assert!(Message::parse(&reply).unwrap().relayed_address().is_some());
}

//= 8489-9.2.4-fresh-nonce
#[test]
fn a_running_call_goes_on_over_a_stale_nonce() {
    let rig = Rig::new();
    let alice = rig.alice();
    alice.allocation().lifetime(3600).send().assert_ok();
    rig.advance(seconds(3000));
    alice.refresh(3600).assert_ok();
    rig.advance(seconds(1000));
    let refresh = alice.request(Method::REFRESH).lifetime(3600);
    refresh.once().assert_error(438);
    refresh.send().assert_ok();
}

//= 8489-9.2.4-stale-nonce
#[test]
fn a_nonce_that_was_never_made_here_is_stale() {
    let rig = Rig::new();
    let alice = rig.alice();
    for nonce in [&b""[..], b"AAAAAAAAAAAAAAAA", b"obMatJos2AAABadl7W7PeDU4hKE72jda", &[0xFF; 763]]
    {
        assert_eq!(code(&alice.raw(&signed("alice", nonce, &alice.key)).reply()), 438);
    }
    rig.assert_empty();
}

//= 8489-9.2.4-stale-nonce
#[test]
fn without_a_nonce_that_is_good_a_wrong_password_is_not_told_from_a_right_one() {
    // RFC 8489 section 9.2.4 judges the password first: 438 then says that it is right.
    let rig = Rig::with(|setup| setup.failures = 10);
    let udp = rig.alice();
    let guess = |password: &str| long_term_key("alice", "example.org", password);
    for client in [&udp, &rig.tcp_client(7, "alice"), &rig.dtls_client("192.0.2.5:9", "alice")] {
        let asks = |user: &str, nonce: &[u8], key: &LongTermKey| {
            let reply = client.raw(&signed(user, nonce, key)).reply();
            let answer = Message::parse(&reply).unwrap();
            let nonce = answer.nonce().unwrap();
            (code(&reply), reply.len(), answer.attribute_types().clone(), nonce.len())
        };
        let good = nonce_for(client);
        rig.advance(seconds(3601));
        let elsewhere = nonce_for(&rig.client("192.0.2.77:1", "alice"));
        rig.events();
        for nonce in [&b""[..], b"AAAAAAAAAAAAAAAA", &elsewhere, &good] {
            let right = asks("alice", nonce, &udp.key);
            assert_eq!(right.0, 438, "{nonce:?}");
            for n in 0..30 {
                assert_eq!(asks("alice", nonce, &guess(&format!("guess {n}"))), right);
                assert_eq!(asks("nobody", nonce, &guess("guess")), right);
            }
        }
        let told = rig.events();
        let judged = told.iter().any(|event| *event != Happened::ForeignNonce);
        assert!(!judged, "nothing was judged, so nothing is told or counted: {told:?}");
        let fresh = nonce_for(client);
        assert_eq!(asks("alice", &fresh, &guess("guess")).0, 401);
        assert_eq!(rig.events().len(), 1);
        assert_eq!(client.raw(&signed("alice", &fresh, &udp.key)).reply()[..2], [0x01, 0x03]);
    }
    assert_eq!(rig.shard(|shard| shard.statistics().stale_nonces), [549, 183]);
}

#[test]
fn on_a_stale_nonce_an_allocation_s_own_key_is_not_judged_either() {
    let rig = Rig::new();
    let alice = rig.alice();
    alice.allocation().lifetime(3600).send().assert_ok();
    rig.advance(seconds(3000));
    alice.refresh(3600).assert_ok();
    rig.advance(seconds(1000));
    let old = alice.nonce.borrow().clone();
    let refresh = |key: &LongTermKey| {
        let asked = request(Method::REFRESH, |writer| {
            credentials(writer, "alice", &old);
            writer.integrity(key);
        });
        code(&alice.raw(&asked).reply())
    };
    let guess = long_term_key("alice", "example.org", "guess");
    assert_eq!((refresh(&alice.key), refresh(&guess)), (438, 438));
}

#[test]
fn a_failure_is_reported_only_of_an_address_that_a_good_nonce_was_made_for() {
    // Whoever reads the log to ban addresses must not ban those that were made up.
    let rig = Rig::new();
    let (alice, elsewhere) = (rig.alice(), rig.client("192.0.2.1:1002", "alice"));
    let nonce = nonce_for(&alice);
    let guess = long_term_key("alice", "example.org", "guess");
    elsewhere.raw(&signed("alice", &nonce, &guess)).reply();
    alice.raw(&signed("alice", b"made up", &guess)).reply();
    assert_eq!(rig.events(), [Happened::ForeignNonce, Happened::ForeignNonce]);
    alice.raw(&signed("alice", &nonce, &guess)).reply();
    assert_eq!(rig.events().len(), 1);
    rig.advance(seconds(3601));
    alice.raw(&signed("alice", &nonce, &guess)).reply();
    assert_eq!(rig.events(), []);
}

//= 8489-9.2.4-nonce-differs
#[test]
fn a_nonce_of_another_client_address_is_stale() {
    let rig = Rig::new();
    let (alice, elsewhere) = (rig.alice(), rig.client("192.0.2.1:1002", "alice"));
    let nonce = nonce_for(&alice);
    assert_eq!(code(&elsewhere.raw(&signed("alice", &nonce, &alice.key)).reply()), 438);
    assert_eq!(rig.shard(|shard| shard.len()), 0);
}

//= 8489-9.2.4-unknown-user, 8489-9.2.4-wrong-integrity
#[test]
fn wrong_password_and_unknown_user_get_the_same_bytes() {
    // RFC 8489 section 16.1.1: nobody learns from the server which names exist.
    let rig = Rig::new();
    let client = rig.alice();
    let nonce = nonce_for(&client);
    let attempt = |user: &str, password: &str| {
        let key = long_term_key(user, "example.org", password);
        client.raw(&signed(user, &nonce, &key)).reply()
    };
    let known = attempt("alice", "wrong");
    assert_eq!((code(&known), known.len()), (401, 64));
    let rest = format!("{}:carol", rig::START + 60);
    for stranger in ["nobody", &rest, "", "1:expired"] {
        assert_eq!(attempt(stranger, "wrong"), known, "{stranger:?}");
    }
    rig.assert_empty();
    // The operator learns it, with the name.
    let username = "alice".into();
    let reason = Denied::WrongPassword;
    assert_eq!(rig.events()[0], Happened::AuthenticationFailed { username, reason });
}

//= 8489-9.2.4-wrong-integrity
#[test]
fn a_message_integrity_of_wrong_length_is_a_wrong_password() {
    let rig = Rig::new();
    let alice = rig.alice();
    let nonce = nonce_for(&alice);
    for len in [0, 4, 16, 24, 32] {
        let asked = request(Method::ALLOCATE, |writer| {
            writer.requested_transport(17);
            credentials(writer, "alice", &nonce);
            writer.attribute(T::MESSAGE_INTEGRITY, &vec![0; len]);
        });
        assert_eq!(code(&alice.raw(&asked).reply()), 401, "{len} bytes");
    }
}

#[test]
fn a_username_that_is_no_text_or_too_long_is_a_bad_request() {
    let rig = Rig::new();
    let alice = rig.alice();
    let nonce = nonce_for(&alice);
    for name in [&[0xFF; 4][..], &[b'a'; 764]] {
        let asked = request(Method::ALLOCATE, |writer| {
            writer.attribute(T::USERNAME, name).attribute(T::REALM, b"example.org");
            writer.attribute(T::NONCE, &nonce).integrity(&alice.key);
        });
        assert_eq!(code(&alice.raw(&asked).reply()), 400);
    }
}

//= 8656-5-wrong-credentials
#[test]
fn another_valid_user_cannot_touch_an_allocation() {
    // Section 5: 441, and a proven user's errors are signed like all its answers.
    let rig = Rig::new();
    let alice = rig.alice();
    alice.allocate();
    let bob = alice.impostor("bob");
    bob.refresh(0).assert_error(441);
    bob.try_permit(&[PEER]).assert_error(441);
    bob.try_bind(CHANNEL, PEER).assert_error(441);
    assert_eq!(rig.shard(|shard| shard.len()), 1);
    alice.send(PEER, b"not permitted").assert_dropped(DropReason::NoPermission);
    alice.refresh(600).assert_ok();
}

#[test]
fn allocate_by_another_user_on_a_used_5_tuple_is_a_mismatch() {
    let rig = Rig::new();
    let alice = rig.alice();
    let made = alice.allocation();
    made.send().assert_ok();
    let bob = alice.impostor("bob");
    bob.allocation().send().assert_error(437);
    // Not even with the transaction id of the request that made it.
    let tid = Message::parse(&made.bytes()).unwrap().transaction_id();
    bob.allocation().tid(tid).send().assert_error(437);
    assert_eq!(rig.shard(|shard| shard.len()), 1);
}

#[test]
fn a_stranger_cannot_touch_an_allocation() {
    let rig = Rig::new();
    let alice = rig.alice();
    alice.allocate();
    let nonce = alice.nonce.borrow().clone();
    let guess = long_term_key("alice", "example.org", "guess");
    let asked = request(Method::REFRESH, |writer| {
        writer.lifetime(0);
        credentials(writer, "alice", &nonce);
        writer.integrity(&guess);
    });
    assert_eq!(code(&alice.raw(&asked).reply()), 401);
    assert_eq!(rig.shard(|shard| shard.len()), 1);
}

//= 8489-9-after-integrity
#[test]
fn attributes_behind_message_integrity_have_no_effect() {
    // RFC 8489 section 14.5: they are not covered by it. coturn obeyed them until 4.15.
    let rig = Rig::new();
    let alice = rig.alice();
    alice.allocate();
    let nonce = alice.nonce.borrow().clone();
    let asked = request(Method::REFRESH, |writer| {
        credentials(writer, "alice", &nonce);
        writer.integrity(&alice.key);
        writer.lifetime(0).attribute(T(0x7FFF), b"unknown");
    });
    let reply = alice.raw(&asked).reply();
    assert_eq!(Message::parse(&reply).unwrap().lifetime(), Ok(Some(600)));

    let asked = request(Method::CREATE_PERMISSION, |writer| {
        writer.address(T::XOR_PEER_ADDRESS, addr(PEER));
        credentials(writer, "alice", &nonce);
        writer.integrity(&alice.key);
        writer.address(T::XOR_PEER_ADDRESS, addr(OTHER_PEER));
    });
    assert_eq!(Message::parse(&alice.raw(&asked).reply()).unwrap().error_code(), None);
    alice.send(PEER, b"covered").assert_reaches(PEER, b"covered");
    alice.send(OTHER_PEER, b"not covered").assert_dropped(DropReason::NoPermission);

    let mut asked = request(Method::CREATE_PERMISSION, |writer| {
        credentials(writer, "alice", &nonce);
        writer.integrity(&alice.key);
        writer.address(T::XOR_PEER_ADDRESS, addr(OTHER_PEER)).fingerprint();
    });
    assert_eq!(code(&alice.raw(&asked).reply()), 400, "there is no peer");
    *asked.last_mut().unwrap() ^= 1;
    alice.raw(&asked).assert_dropped(DropReason::Malformed);
}

//= 8489-6.3-checks-first
#[test]
fn a_wrong_fingerprint_is_met_with_silence() {
    // RFC 8489 section 6.3: the message is not STUN, or not whole.
    let rig = Rig::new();
    for method in [Method::BINDING, Method::ALLOCATE] {
        let mut asked = request(method, |writer| {
            writer.requested_transport(17).fingerprint();
        });
        *asked.last_mut().unwrap() ^= 1;
        rig.alice().raw(&asked).assert_dropped(DropReason::Malformed);
    }
}

//= 8489-12-fingerprint-optional
#[test]
fn answers_carry_fingerprint_where_the_request_did() {
    let rig = Rig::new();
    let alice = rig.alice();
    // `TestClient` compares the two for every answer: success, challenge and error.
    for fingerprint in [true, false, true] {
        alice.fingerprint.set(fingerprint);
        alice.nonce.borrow_mut().clear();
        alice.allocation().send();
        alice.refresh(600).assert_ok();
        alice.try_permit(&[]).assert_error(400);
        alice.bind(CHANNEL, PEER);
    }
}

//= 8489-6.3.1-unknown-attributes, 8489-6.3.1.1-unknown-attributes-attribute
#[test]
fn an_unknown_attribute_is_named_after_authentication() {
    // RFC 8489 section 6.3.1; section 9.2.4 puts authentication first.
    let rig = Rig::new();
    let alice = rig.alice();
    let asked = alice
        .allocation()
        .attribute(T(0x7FFE), b"unknown, to be understood")
        .attribute(T(0xFFFE), b"unknown, to be passed over")
        .attribute(T(0x002F), b"twice")
        .attribute(T(0x002F), b"twice");
    asked.once().assert_error(401);
    let answer = asked.send();
    answer.assert_error(420);
    let unknown = answer.message().find(T::UNKNOWN_ATTRIBUTES).map(<[u8]>::to_vec);
    assert_eq!(unknown, Some(vec![0x7F, 0xFE, 0x00, 0x2F]));
    rig.assert_empty();
}

//= 8489-6.3.1-unknown-attributes
#[test]
fn a_binding_request_with_an_unknown_attribute_is_answered_420() {
    let asked = request(Method::BINDING, |writer| {
        writer.attribute(T(0x7FFE), b"");
    });
    let reply = Rig::new().alice().raw(&asked).reply();
    assert_eq!(code(&reply), 420);
    assert!(reply.len() <= 2 * asked.len());
}

//= 8489-6.3-checks-first, 8489-6.3.2-indications
#[test]
fn what_is_no_request_of_ours_is_met_with_silence() {
    // RFC 8489 section 6.3: unknown methods, answers, indications that ask for nothing.
    let rig = Rig::new();
    let alice = rig.alice();
    let message = |class, method| {
        let mut buffer = [0; 100];
        let len = Writer::new(&mut buffer, class, method, TID).finish().unwrap();
        buffer[..len].to_vec()
    };
    for (class, method) in [
        (Class::Request, Method(0x00A)), // Connect (RFC 6062)
        (Class::Request, Method::SEND),
        (Class::Request, Method(0xFFF)),
        (Class::Indication, Method::BINDING),
        (Class::Indication, Method::DATA),
        (Class::Indication, Method::ALLOCATE),
        (Class::Success, Method::ALLOCATE),
        (Class::Error, Method::BINDING),
    ] {
        alice.raw(&message(class, method)).assert_dropped(DropReason::Unexpected);
    }
    for bytes in [&b""[..], b"\x00", b"\x80\x00\x00\x00", b"\xFF\xFF", &[0; 20]] {
        alice.raw(bytes).assert_dropped(DropReason::Malformed);
    }
}
