//! What one input has to hold is in tests/corpus, where `cargo test` replays the corpus.
#![no_main]

#[path = "../../tests/corpus/snapshot.rs"]
mod target;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| target::run(bytes));
