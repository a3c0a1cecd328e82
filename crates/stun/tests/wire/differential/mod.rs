//! The codec against two independent ones: `stun` 0.17 (webrtc-rs) and `stun-types` 2.
//!
//! Whatever ours accepts they must accept and read alike; whatever ours refuses they refuse too,
//! or ours has a rule to name. Where they are known to differ, [`agree`] says so in code.

// clippy.toml lets tests do this, but not the functions that they share.
#![allow(clippy::expect_used)]

mod agree;
mod mutation;
mod spec;

use agree::agree;
use mutation::{mutated, mutations};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use spec::{Spec, spec, spec_sha256};
use taciturn_stun::{AttributeType, ChannelData, Kind, Message};
use taciturn_turn::auth::long_term_key;
use testkit::stun::{key, key_sha256, raw_message, read_everything};

fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        ..ProptestConfig::default()
    }
}

/// Reads a well-formed message with all three, and holds them to what was to be written.
fn assert_reads(bytes: &[u8], spec: &Spec) {
    let message = Message::parse(bytes).expect("ours accepts a well-formed message");
    spec.assert_read(&message);
    assert_eq!(message.verify_integrity(&key()), spec.integrity && !spec.sha256);
    assert_eq!(message.verify_integrity(&key_sha256()), spec.sha256);
    assert!(!message.verify_integrity(&long_term_key("mallory", "example.org", "password")));
    assert_eq!(message.has_fingerprint(), spec.fingerprint);
    agree(bytes);
}

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn what_ours_writes_the_others_read(spec in spec()) {
        assert_reads(&spec.written_by_ours(), &spec);
    }

    #[test]
    fn what_the_stun_crate_writes_ours_reads(spec in spec()) {
        assert_reads(&spec.written_by_stun(), &spec);
    }

    #[test]
    fn what_stun_types_writes_ours_reads(spec in spec()) {
        assert_reads(&spec.written_by_stun_types(), &spec);
    }

    #[test]
    fn sha256_is_signed_and_verified_alike(spec in spec_sha256()) {
        let ours = spec.written_by_ours();
        assert_reads(&ours, &spec);
        prop_assert_eq!(ours, spec.written_by_stun_types());
    }

    #[test]
    fn all_three_write_the_same_bytes(spec in spec()) {
        let ours = spec.written_by_ours();
        prop_assert_eq!(&ours, &spec.written_by_stun());
        prop_assert_eq!(&ours, &spec.written_by_stun_types());
    }
}

proptest! {
    #![proptest_config(cases(2000))]

    #[test]
    fn mutated_messages_are_read_alike_or_refused(spec in spec(), mutations in mutations()) {
        let bytes = mutated(spec.written_by_ours(), &mutations);
        touch(&bytes);
        agree(&bytes);
    }

    #[test]
    fn mutated_messages_with_sha256_too(spec in spec_sha256(), mutations in mutations()) {
        let bytes = mutated(spec.written_by_ours(), &mutations);
        touch(&bytes);
        agree(&bytes);
    }

    #[test]
    fn arbitrary_bytes_do_not_panic(bytes in vec(any::<u8>(), 0..300)) {
        touch(&bytes);
        agree(&bytes);
    }

    /// The same behind a good header, so that the attributes are reached.
    #[test]
    fn arbitrary_attribute_bytes_do_not_panic(kind: u16, body in vec(any::<u8>(), 0..300)) {
        let mut bytes = raw_message(kind & 0x3FFF, &[]);
        bytes.extend(body);
        bytes.truncate(bytes.len() / 4 * 4);
        testkit::stun::set_length(&mut bytes);
        touch(&bytes);
        agree(&bytes);
    }

    /// The same with good attribute headers, so that every value is looked at.
    #[test]
    fn arbitrary_attribute_values_do_not_panic(
        kind: u16,
        attributes in vec((spec::any_kind(), vec(any::<u8>(), 0..40)), 0..12),
    ) {
        let attributes: Vec<(AttributeType, &[u8])> =
            attributes.iter().map(|(kind, value)| (AttributeType(*kind), &value[..])).collect();
        let bytes = raw_message(kind & 0x3FFF, &attributes);
        touch(&bytes);
        agree(&bytes);
    }

    #[test]
    fn channel_data_is_read_alike(
        number in prop_oneof![any::<u16>(), 0x3FFE_u16..0x5002],
        length in prop_oneof![any::<u16>(), 0_u16..40],
        body in vec(any::<u8>(), 0..40),
        cut in 0_usize..8,
    ) {
        let mut bytes = [&number.to_be_bytes()[..], &length.to_be_bytes(), &body].concat();
        bytes.truncate(if cut < 4 { cut } else { bytes.len() });
        touch(&bytes);
        let ours = ChannelData::parse(&bytes);
        let mut theirs =
            turn::proto::chandata::ChannelData { raw: bytes.clone(), ..Default::default() };
        let accepted = theirs.decode().is_ok();
        match ours {
            Some(message) => {
                prop_assert!(accepted);
                prop_assert_eq!(message.channel.number(), theirs.number.0);
                prop_assert_eq!(message.data, &theirs.data);
            }
            None => prop_assert!(!accepted),
        }
    }
}

/// Everything that can be called on bytes from outside.
fn touch(bytes: &[u8]) {
    let _ = Kind::of(bytes);
    let _ = ChannelData::parse(bytes);
    match Message::parse(bytes) {
        Ok(message) => {
            read_everything(&message, &key());
            let _ = (message.attribute_types(), format!("{message:?}"), message.method().name());
        }
        Err(reason) => drop(reason.to_string()),
    }
}
