//! A stream cut into messages: however the bytes arrive, the messages are the same.

use taciturn_stun::{ChannelData, Frame, Kind, Message};

/// What became of a stream: where its messages lie, how much was taken, whether it is foreign.
#[derive(Debug, PartialEq, Eq)]
struct Cut {
    messages: Vec<(usize, usize)>,
    taken: usize,
    foreign: bool,
}

/// The first byte says how the rest is split.
//= 8489-6.2.2-framing
pub(crate) fn run(bytes: &[u8]) {
    let Some((&split, stream)) = bytes.split_first() else { return };
    let whole = cut(std::iter::once(stream));
    let size = usize::from(split % 37) + 1;
    assert_eq!(cut(stream.chunks(size)), whole, "pieces of {size}");
    let at = usize::from(split).min(stream.len());
    let (front, back) = stream.split_at(at);
    assert_eq!(cut([front, back].into_iter()), whole, "two pieces, cut at {at}");

    for (at, len) in whole.messages {
        let message = &stream[at..at + len];
        match Kind::of(message) {
            // RFC 8489 section 6.2.2: the length is known from the header alone.
            Kind::Stun => assert!(len >= 20 && len.is_multiple_of(4)),
            Kind::ChannelData => assert_eq!(
                ChannelData::parse(message).map(|found| found.data.len() + 4),
                Some(len),
                "ChannelData without its padding"
            ),
            Kind::Other => panic!("a foreign message"),
        }
        drop(Message::parse(message));
    }
}

/// As a connection does it: the front of a message is kept until its rest has come.
fn cut<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Cut {
    let mut cut = Cut { messages: Vec::new(), taken: 0, foreign: false };
    let mut unread: Vec<u8> = Vec::new();
    for piece in pieces {
        unread.extend_from_slice(piece);
        loop {
            match Frame::of(&unread) {
                Frame::Whole { len, padded } => {
                    assert!(len <= padded && padded <= unread.len() && padded - len < 4);
                    cut.messages.push((cut.taken, len));
                    cut.taken += padded;
                    unread.drain(..padded);
                }
                Frame::Incomplete { needed } => {
                    assert!(needed > unread.len(), "nothing is missing");
                    assert!(needed <= 0xFFFF + 20, "more than any message has");
                    break;
                }
                Frame::Foreign => {
                    // The connection ends here.
                    cut.foreign = true;
                    return cut;
                }
            }
        }
    }
    cut
}
