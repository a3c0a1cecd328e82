//! The old process: gives its descriptors and its state to a new one that has asked for them.
//!
//! It must not touch its sockets from the moment at which the state was written until [`Giver::give`] returns. Then
//! either the new process has everything and serves, or nothing has happened and the old one goes on.

use std::io;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use super::frame::{Frame, FrameError, VERSIONS, Versions, send_batch};
use super::handover::Handover;
use super::patience::{Patience, Until};
use super::peer::{Peer, Stranger};
use super::rights::MOST_AT_ONCE;

/// Why nothing was handed over. The old process goes on.
#[derive(Debug, thiserror::Error)]
pub enum GiveError {
    /// The other process may not have it.
    #[error("the process that asks may not take over: {0}")]
    Stranger(#[from] Stranger),
    /// The two releases have no version of the protocol in common.
    #[error(
        "the other release speaks versions {} to {} of the hand-over, and this one {} to {}",
        .0.oldest, .0.newest, VERSIONS.oldest, VERSIONS.newest
    )]
    Version(Versions),
    /// It did not come to an end.
    #[error(transparent)]
    Frame(#[from] FrameError),
}

impl From<io::Error> for GiveError {
    fn from(error: io::Error) -> Self {
        Self::Frame(error.into())
    }
}

/// The old process's side of a hand-over: it has heard what versions the new one speaks.
#[derive(Debug)]
pub struct Giver {
    stream: UnixStream,
    version: u16,
    patience: Patience,
}

impl Giver {
    /// Begins with a process that was told that it may ask. Nothing has to be stopped yet. `own` is the user whom
    /// this process runs as.
    ///
    /// # Errors
    /// If the process may not have what there is, speaks no common version, or says nothing.
    pub fn meet(stream: UnixStream, own: u32, patience: Patience) -> Result<Self, GiveError> {
        stream.set_nonblocking(false)?;
        match begin(&stream, own, patience.begin()) {
            Ok(version) => Ok(Self { stream, version, patience }),
            Err(error) => {
                end(&stream, &error);
                Err(error)
            }
        }
    }

    /// Hands everything over. When this returns without an error, the new process serves. It sees this one end when the
    /// connection that is returned is closed.
    ///
    /// # Errors
    /// With the reason why it does not, and never will with what it has received.
    pub fn give(self, handover: &Handover<'_>) -> Result<UnixStream, GiveError> {
        let until = self.patience.begin();
        if let Err(error) = self.send(handover, until) {
            end(&self.stream, &error);
            return Err(error);
        }
        self.ready(until).or_else(|error| close(&self.stream, error))?;
        Ok(self.stream)
    }

    /// Ends the hand-over before anything was given.
    pub fn refuse(self, why: &str) {
        refuse(&self.stream, why);
    }

    fn send(&self, handover: &Handover<'_>, until: Until) -> Result<(), GiveError> {
        let (names, descriptors) = handover.all();
        let offer = Frame::Offer { version: self.version, descriptors: descriptors.len() as u32 };
        offer.send(&self.stream, until.step())?;
        let Frame::Accept = Frame::receive(&self.stream, until.step())? else {
            return Err(FrameError::Unexpected.into());
        };
        let mut sent = 0;
        for (names, descriptors) in names.chunks(MOST_AT_ONCE).zip(descriptors.chunks(MOST_AT_ONCE))
        {
            send_batch(&self.stream, names, descriptors, until.step())?;
            sent += descriptors.len() as u32;
            match Frame::receive(&self.stream, until.step())? {
                Frame::Received(count) if count == sent => {}
                _ => return Err(FrameError::Unexpected.into()),
            }
        }
        Ok(())
    }

    fn ready(&self, until: Until) -> Result<(), FrameError> {
        match Frame::receive(&self.stream, until.step())? {
            Frame::Ready => Ok(()),
            _ => Err(FrameError::Unexpected),
        }
    }
}

/// How long the last words may take. The other side reads, or is gone.
const A_MOMENT: Duration = Duration::from_millis(100);

fn begin(stream: &UnixStream, own: u32, until: Until) -> Result<u16, GiveError> {
    Peer::of(stream)?.may_take(own)?;
    match Frame::receive(stream, until.step())? {
        Frame::Begin(theirs) => VERSIONS.common(theirs).ok_or(GiveError::Version(theirs)),
        _ => Err(FrameError::Unexpected.into()),
    }
}

/// Ends a hand-over after which the other process did not say that it is ready. If it was only too late, the kernel
/// decides: it can no more say so once the connection is closed, and what it has said before is here.
fn close(stream: &UnixStream, error: FrameError) -> Result<(), GiveError> {
    let is_late = matches!(error, FrameError::Silent);
    let error = error.into();
    end(stream, &error);
    match Frame::receive(stream, Instant::now() + A_MOMENT) {
        Ok(Frame::Ready) if is_late => Ok(()),
        _ => Err(error),
    }
}

/// Says why it ends here, and ends it.
fn end(stream: &UnixStream, error: &GiveError) {
    refuse(stream, &error.to_string());
}

/// Sends a reason, and closes the connection for both sides. A process that is gone needs none.
pub(super) fn refuse(stream: &UnixStream, why: &str) {
    let _ = Frame::Refuse(why.to_owned()).send(stream, Instant::now() + A_MOMENT);
    let _ = stream.shutdown(Shutdown::Both);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(5)
    }

    /// It has said so, and serves. That the old one has not heard it in time does not matter.
    #[test]
    fn a_process_that_was_ready_before_the_connection_was_closed_serves() {
        let (old, new) = UnixStream::pair().unwrap();
        Frame::Ready.send(&new, soon()).unwrap();
        close(&old, FrameError::Silent).unwrap();
    }

    #[test]
    fn a_process_that_is_ready_after_the_connection_was_closed_hears_that_it_must_not_serve() {
        let (old, new) = UnixStream::pair().unwrap();
        close(&old, FrameError::Silent).unwrap_err();
        let heard = Frame::Ready.send(&new, soon());
        assert!(matches!(heard, Err(FrameError::Refused(_))), "{heard:?}");
    }

    /// One that says "ready" after something else has not kept to the protocol.
    #[test]
    fn a_process_that_has_said_something_else_before_does_not_serve() {
        let (old, new) = UnixStream::pair().unwrap();
        Frame::Ready.send(&new, soon()).unwrap();
        close(&old, FrameError::Unexpected).unwrap_err();
    }
}
