//! What one input has to hold is in tests/corpus, where `cargo test` replays the corpus.
#![no_main]

#[path = "../../crates/stun/tests/wire/differential/agree.rs"]
mod agree;
#[path = "../../crates/testkit/src/stun.rs"]
mod common;
#[path = "../../tests/corpus/differential.rs"]
mod target;

use taciturn_turn::auth::{LongTermKey, PasswordAlgorithm, long_term_key_by};

/// The SHA-256 key of the user that the tests share.
fn key_sha256() -> LongTermKey {
    use common::{PASSWORD, REALM, USERNAME};
    long_term_key_by(PasswordAlgorithm::Sha256, USERNAME, REALM, PASSWORD)
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| target::run(bytes));
