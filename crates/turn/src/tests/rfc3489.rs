//! Clients of RFC 3489, which know no magic cookie (RFC 8489 section 11).

use super::*;
use crate::DropReason;

const REQUEST: &[u8] = b"\x00\x01\x00\x000123456789abcdef";

fn rig() -> Rig {
    Rig::with(|setup| setup.rfc3489 = true)
}

//= 8489-11-classic
#[test]
fn a_request_without_the_cookie_is_answered_with_mapped_address() {
    // Section 11: the bytes in the cookie's place are copied, and nothing is XORed.
    let expected = b"\x01\x01\x00\x0C0123456789abcdef\
                     \x00\x01\x00\x08\x00\x01\x03\xE9\xC0\x00\x02\x01";
    assert_eq!(rig().alice().raw(REQUEST), Outcome::Reply(expected.to_vec()));
}

#[test]
fn a_change_request_is_420() {
    let request = [&b"\x00\x01\x00\x080123456789abcdef"[..], &[0, 3, 0, 4, 0, 0, 0, 6]].concat();
    let answer = rig().alice().raw(&request).reply();
    assert_eq!(&answer[..2], [1, 0x11]);
    assert_eq!(&answer[20..28], [0, 9, 0, 4, 0, 0, 4, 20]);
}

#[test]
fn by_default_there_is_silence() {
    let rig = Rig::new();
    rig.alice().raw(REQUEST).assert_dropped(DropReason::Classic);
    // As Asterisk, pystun and old telephones send it, with whatever attributes.
    for more in [&[0, 6, 0, 4, b'n', b'a', b'm', b'e'][..], &[0, 3, 0, 4, 0, 0, 0, 6]] {
        let mut request = [REQUEST, more].concat();
        request[3] = more.len() as u8;
        rig.alice().raw(&request).assert_dropped(DropReason::Classic);
    }
    // Anything else without the cookie is no STUN.
    let mut other = REQUEST.to_vec();
    other[1] = 3;
    rig.alice().raw(&other).assert_dropped(DropReason::Malformed);
}

#[test]
fn only_binding_over_udp_is_answered() {
    let rig = rig();
    rig.stream_client("192.0.2.1:1", "alice").raw(REQUEST).assert_dropped(DropReason::Malformed);
    for first in [[0, 3], [1, 1], [0, 0x11]] {
        let mut other = REQUEST.to_vec();
        other[..2].copy_from_slice(&first);
        rig.alice().raw(&other).assert_dropped(DropReason::Malformed);
    }
}

//= 8489-11-classic-over-dtls
#[test]
fn over_dtls_it_is_refused_with_500() {
    let answer = rig().dtls_client("192.0.2.1:1", "alice").raw(REQUEST).reply();
    assert_eq!(answer, b"\x01\x11\x00\x080123456789abcdef\x00\x09\x00\x04\x00\x00\x05\x00");
}

#[test]
fn strangers_have_their_budget_and_relays_are_not_answered() {
    let rig = Rig::with(|setup| {
        setup.rfc3489 = true;
        setup.answers = (20, 0);
    });
    let alice = rig.alice();
    let answered = (0..100).filter(|_| matches!(alice.raw(REQUEST), Outcome::Reply(_))).count();
    assert_eq!(answered, 60);
    alice.raw(REQUEST).assert_dropped(DropReason::Withheld);
    let relayed = rig.bob().allocate();
    let from_relay = rig.client(&relayed.to_string(), "bob");
    from_relay.raw(REQUEST).assert_dropped(DropReason::OwnAddress);
}
