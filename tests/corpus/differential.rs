//! Any bytes as a message to three codecs: ours, `stun` 0.17 and `stun-types` 2. What they must
//! agree in, and where they are known to differ, is in crates/stun/tests/wire/differential/agree.rs.

/// Reads `bytes` with all three and compares.
pub(crate) fn run(bytes: &[u8]) {
    crate::agree::agree(bytes);
}
