//! Any bytes as the state that one process hands over to the next, and as the name of a descriptor.

use taciturn_handover::{Name, State};

/// Where the checksum begins, and where what it covers does.
const CHECKSUM: usize = 12;
const CHECKED: usize = 16;

/// Reads `bytes` as they are and with the checksum mended, and each line of them as a name.
pub(crate) fn run(bytes: &[u8]) {
    read(bytes);
    let mut mended = bytes.to_vec();
    if let Some((head, checked)) = mended.split_at_mut_checked(CHECKED) {
        head[CHECKSUM..].copy_from_slice(&crc32fast::hash(checked).to_le_bytes());
        read(&mended);
    }
    for line in String::from_utf8_lossy(bytes).lines() {
        match line.parse::<Name>() {
            Ok(name) => {
                assert_eq!(name.to_string(), line);
                assert!(line.len() <= 255 && line.is_ascii() && !line.contains(':'));
            }
            Err(error) => assert!(error.to_string().len() < 400, "{error}"),
        }
    }
}

fn read(bytes: &[u8]) {
    match State::decode(bytes) {
        Ok(state) => assert_eq!(*state.encode().unwrap(), bytes, "a state is written in one way"),
        Err(error) => assert!(error.to_string().len() < 400, "{error}"),
    }
}
