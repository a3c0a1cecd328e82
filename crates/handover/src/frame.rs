//! What the two processes say to each other, as bytes. Each message has a header of 8 bytes: its kind as u32 and
//! the length of what follows as u32, little-endian.
//!
//! | kind | from | what follows |
//! | --- | --- | --- |
//! | 1, begin | new | the oldest and the newest version it speaks, u16 each |
//! | 2, offer | old | the version that is spoken, u16; how many descriptors there are, u32 |
//! | 3, accept | new | nothing |
//! | 4, batch | old | the names of the descriptors that come with its header, each with a line feed |
//! | 5, received | new | how many descriptors have come so far, u32 |
//! | 6, ready | new | nothing |
//! | 7, refuse | both | why, as text |

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use super::rights::{self, Failed, MOST_AT_ONCE};

/// The versions of the protocol that this release speaks.
pub const VERSIONS: Versions = Versions { oldest: 1, newest: 1 };

/// The longest message after its header: as many names as there are descriptors in one, or a reason.
const LONGEST: usize = MOST_AT_ONCE * 256;

/// The longest reason, in bytes.
const LONGEST_REASON: usize = 400;

/// How long it may take to receive what was sent before the connection was closed.
const A_MOMENT: Duration = Duration::from_millis(100);

/// Versions of the protocol, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Versions {
    /// The oldest one.
    pub oldest: u16,
    /// The newest one.
    pub newest: u16,
}

impl Versions {
    /// The newest version that both speak.
    #[must_use]
    pub fn common(self, other: Self) -> Option<u16> {
        let newest = self.newest.min(other.newest);
        (newest >= self.oldest && newest >= other.oldest).then_some(newest)
    }
}

/// Why a message was not received.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The other process has closed the connection, or is gone.
    #[error("the other process has closed the connection, or has ended")]
    Gone,
    /// Nothing came in time.
    #[error("the other process was silent for too long")]
    Silent,
    /// Not all descriptors could be received.
    #[error(
        "this process may not have so many descriptors. Allow it more: LimitNOFILE= in the systemd unit, \
         ulimits in the compose file"
    )]
    Full,
    /// What came is no message, or not the one that is to come now.
    #[error("the other process sent something else than a hand-over has")]
    Unexpected,
    /// The other process ends the hand-over.
    #[error("the other process refuses: {0}")]
    Refused(String),
    /// The system refuses.
    #[error(transparent)]
    Io(io::Error),
}

impl From<Failed> for FrameError {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Gone => Self::Gone,
            Failed::TooMany => Self::Unexpected,
            Failed::Full => Self::Full,
            Failed::Io(error) => error.into(),
        }
    }
}

impl From<io::Error> for FrameError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::TimedOut => Self::Silent,
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => Self::Gone,
            _ => Self::Io(error),
        }
    }
}

/// One message.
#[derive(Debug)]
pub(super) enum Frame {
    Begin(Versions),
    Offer { version: u16, descriptors: u32 },
    Accept,
    Batch { names: Vec<String>, descriptors: Vec<OwnedFd> },
    Received(u32),
    Ready,
    Refuse(String),
}

const BEGIN: u32 = 1;
const OFFER: u32 = 2;
const ACCEPT: u32 = 3;
const BATCH: u32 = 4;
const RECEIVED: u32 = 5;
const READY: u32 = 6;
const REFUSE: u32 = 7;

fn send_frame(
    stream: &UnixStream,
    kind: u32,
    body: &[u8],
    descriptors: &[BorrowedFd<'_>],
    moment: Instant,
) -> Result<(), FrameError> {
    let len = u32::try_from(body.len()).ok().filter(|len| *len as usize <= LONGEST);
    let len = len.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    let mut bytes = Vec::with_capacity(8 + body.len());
    bytes.extend(kind.to_le_bytes());
    bytes.extend(len.to_le_bytes());
    bytes.extend(body);
    rights::send(stream, &bytes, descriptors, moment).map_err(|error| match error.into() {
        FrameError::Gone => reason(stream),
        error => error,
    })
}

/// Why the other process has closed the connection: it may have said so before.
fn reason(stream: &UnixStream) -> FrameError {
    match Frame::receive(stream, Instant::now() + A_MOMENT) {
        Err(refused @ FrameError::Refused(_)) => refused,
        _ => FrameError::Gone,
    }
}

/// Sends the descriptors of a batch with their names.
pub(super) fn send_batch(
    stream: &UnixStream,
    names: &[String],
    descriptors: &[BorrowedFd<'_>],
    moment: Instant,
) -> Result<(), FrameError> {
    let body: String = names.iter().flat_map(|name| [name.as_str(), "\n"]).collect();
    send_frame(stream, BATCH, body.as_bytes(), descriptors, moment)
}

impl Frame {
    /// Sends a message without descriptors; [`send_batch`] is for those that have some.
    ///
    /// # Errors
    /// If the other process does not take it; with its reason, if it has given one.
    pub(super) fn send(&self, stream: &UnixStream, moment: Instant) -> Result<(), FrameError> {
        let (kind, body) = match self {
            Self::Begin(Versions { oldest, newest }) => {
                (BEGIN, [oldest.to_le_bytes(), newest.to_le_bytes()].concat())
            }
            Self::Offer { version, descriptors } => {
                let mut body = version.to_le_bytes().to_vec();
                body.extend(descriptors.to_le_bytes());
                (OFFER, body)
            }
            Self::Accept => (ACCEPT, Vec::new()),
            Self::Batch { .. } => return Err(FrameError::Unexpected),
            Self::Received(count) => (RECEIVED, count.to_le_bytes().to_vec()),
            Self::Ready => (READY, Vec::new()),
            Self::Refuse(why) => {
                let end = (0..=LONGEST_REASON).rev().find(|end| why.is_char_boundary(*end));
                let why = end.and_then(|end| why.get(..end)).unwrap_or(why);
                (REFUSE, why.as_bytes().to_vec())
            }
        };
        send_frame(stream, kind, &body, &[], moment)
    }

    /// The next message, which comes by `moment`. A reason to end the hand-over is an error.
    pub(super) fn receive(stream: &UnixStream, moment: Instant) -> Result<Self, FrameError> {
        let (mut header, mut descriptors) = ([0; 8], Vec::new());
        rights::receive(stream, &mut header, &mut descriptors, MOST_AT_ONCE, moment)?;
        let [a, b, c, d, length @ ..] = header;
        let kind = u32::from_le_bytes([a, b, c, d]);
        let length = u32::from_le_bytes(length) as usize;
        if length > LONGEST || (kind != BATCH && !descriptors.is_empty()) {
            return Err(FrameError::Unexpected);
        }
        let mut body = vec![0; length];
        rights::read(stream, &mut body, moment)?;
        match Self::read(kind, &body, descriptors) {
            Some(Self::Refuse(why)) => Err(FrameError::Refused(why)),
            Some(frame) => Ok(frame),
            None => Err(FrameError::Unexpected),
        }
    }

    /// `None` if it is no message.
    fn read(kind: u32, body: &[u8], descriptors: Vec<OwnedFd>) -> Option<Self> {
        Some(match (kind, body) {
            (BEGIN, &[a, b, c, d]) => Self::Begin(Versions {
                oldest: u16::from_le_bytes([a, b]),
                newest: u16::from_le_bytes([c, d]),
            }),
            (OFFER, &[a, b, c, d, e, f]) => Self::Offer {
                version: u16::from_le_bytes([a, b]),
                descriptors: u32::from_le_bytes([c, d, e, f]),
            },
            (ACCEPT, []) => Self::Accept,
            (BATCH, names) => {
                let names = str::from_utf8(names).ok()?;
                let names: Vec<_> = names.split_terminator('\n').map(str::to_owned).collect();
                if names.len() != descriptors.len() {
                    return None;
                }
                Self::Batch { names, descriptors }
            }
            (RECEIVED, &[a, b, c, d]) => Self::Received(u32::from_le_bytes([a, b, c, d])),
            (READY, []) => Self::Ready,
            // For the log of the other: no line of its own, and no sequence for a terminal.
            (REFUSE, why) => Self::Refuse(
                String::from_utf8_lossy(why.get(..LONGEST_REASON).unwrap_or(why))
                    .replace(char::is_control, " "),
            ),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use proptest::prelude::*;

    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(5)
    }

    /// What `frame` is on the wire.
    fn bytes(frame: &Frame) -> Vec<u8> {
        use std::io::Read as _;
        let (one, mut other) = UnixStream::pair().unwrap();
        frame.send(&one, soon()).unwrap();
        drop(one);
        let mut bytes = Vec::new();
        other.read_to_end(&mut bytes).unwrap();
        bytes
    }

    /// The message in these bytes.
    fn frame(bytes: &[u8]) -> Result<Frame, FrameError> {
        let (mut one, other) = UnixStream::pair().unwrap();
        one.write_all(bytes).unwrap();
        drop(one);
        Frame::receive(&other, soon())
    }

    /// Two releases speak with each other: what is here stays.
    #[test]
    fn every_message_is_on_the_wire_as_it_always_was_and_comes_back() {
        let versions = Versions { oldest: 1, newest: 2 };
        for (sent, wire) in [
            (Frame::Begin(versions), &b"\x01\0\0\0\x04\0\0\0\x01\0\x02\0"[..]),
            (
                Frame::Offer { version: 1, descriptors: 258 },
                b"\x02\0\0\0\x06\0\0\0\x01\0\x02\x01\0\0",
            ),
            (Frame::Accept, b"\x03\0\0\0\0\0\0\0"),
            (Frame::Received(1), b"\x05\0\0\0\x04\0\0\0\x01\0\0\0"),
            (Frame::Ready, b"\x06\0\0\0\0\0\0\0"),
        ] {
            assert_eq!(bytes(&sent), wire);
            assert_eq!(format!("{:?}", frame(wire).unwrap()), format!("{sent:?}"));
        }
        let refuse = bytes(&Frame::Refuse("no".into()));
        assert_eq!(refuse, b"\x07\0\0\0\x02\0\0\0no");
        assert!(matches!(frame(&refuse), Err(FrameError::Refused(why)) if why == "no"));
        let (one, other) = UnixStream::pair().unwrap();
        send_batch(&one, &["control".into()], &[std::os::fd::AsFd::as_fd(&other)], soon()).unwrap();
        let Ok(Frame::Batch { names, descriptors }) = Frame::receive(&other, soon()) else {
            panic!()
        };
        assert_eq!((names, descriptors.len()), (vec!["control".to_owned()], 1));
    }

    #[test]
    fn a_reason_is_one_short_line() {
        let long = format!("a\nb\x1b[2J{}", "ж".repeat(1000));
        let Err(FrameError::Refused(why)) = frame(&bytes(&Frame::Refuse(long))) else { panic!() };
        assert!(why.starts_with("a b [2Jж") && why.len() <= LONGEST_REASON, "{why}");
    }

    #[test]
    fn a_message_that_is_cut_short_is_the_end_of_the_other_process() {
        let whole = bytes(&Frame::Offer { version: 1, descriptors: 1 });
        for len in 0..whole.len() {
            assert!(matches!(frame(&whole[..len]), Err(FrameError::Gone)), "{len}");
        }
    }

    #[test]
    fn what_is_no_message_is_refused_without_memory_for_it() {
        for wire in [
            &b"\0\0\0\0\0\0\0\0"[..],
            b"\x08\0\0\0\0\0\0\0",
            b"\x01\0\0\0\0\0\0\0",
            b"\x03\0\0\0\x01\0\0\0\0",
            b"\x04\0\0\0\xff\xff\xff\xff",
            b"\x04\0\0\0\x02\0\0\0a\n",
            b"\x04\0\0\0\x02\0\0\0\xff\n",
            b"GET / HTTP/1.1\r\n\r\n",
        ] {
            assert!(matches!(frame(wire), Err(FrameError::Unexpected)), "{wire:?}");
        }
        let (one, other) = UnixStream::pair().unwrap();
        let none_expected = [std::os::fd::AsFd::as_fd(&other)];
        send_frame(&one, READY, &[], &none_expected, soon()).unwrap();
        assert!(matches!(Frame::receive(&other, soon()), Err(FrameError::Unexpected)));
    }

    #[test]
    fn the_newest_version_that_both_speak_is_spoken() {
        let versions = |oldest, newest| Versions { oldest, newest };
        assert_eq!(versions(1, 3).common(versions(2, 5)), Some(3));
        assert_eq!(versions(2, 5).common(versions(1, 3)), Some(3));
        assert_eq!(versions(1, 1).common(versions(2, 5)), None);
        assert_eq!(versions(2, 5).common(versions(1, 1)), None);
        assert_eq!(versions(1, 5).common(versions(4, 3)), None, "no version at all");
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_message_or_an_error(wire in prop::collection::vec(any::<u8>(), 0..40), kind in 0..9_u8) {
            let _ = frame(&wire);
            let mut wire = wire;
            if wire.len() > 8 {
                let len = wire.len() as u8 - 8;
                wire[..8].copy_from_slice(&[kind, 0, 0, 0, len, 0, 0, 0]);
                let _ = frame(&wire);
            }
        }
    }
}
