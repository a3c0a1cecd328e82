//! Any bytes as ChannelData, against the decoder of webrtc-rs.

use taciturn_stun::{ChannelData, Kind};

/// Reads `bytes` as ChannelData (RFC 8656 section 12.4) with both.
pub(crate) fn run(bytes: &[u8]) {
    let mut theirs =
        turn::proto::chandata::ChannelData { raw: bytes.to_vec(), ..Default::default() };
    let accepted = theirs.decode().is_ok();
    let Some(message) = ChannelData::parse(bytes) else {
        assert!(!accepted, "ours refuses what turn accepts");
        return;
    };
    assert!(accepted, "ours accepts what turn refuses");
    assert_eq!(Kind::of(bytes), Kind::ChannelData);
    let number = message.channel.number();
    assert_eq!((number, message.data), (theirs.number.0, &theirs.data[..]));
    // RFC 8656 section 12: what RFC 5766 had and RFC 8656 has not is told apart.
    assert_eq!(message.channel.is_current(), number < 0x5000);
    let len = message.data.len();
    let header = ChannelData::header(message.channel, len as u16);
    assert_eq!([&header[..], message.data].concat(), bytes[..4 + len]);
}
