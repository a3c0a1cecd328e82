//! The new process: takes descriptors and state from the old one, and says when it is ready.

use std::io;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::process::{Resource, getrlimit};

use super::claim::{Claimed, claim};
use super::frame::{Frame, FrameError, VERSIONS, Versions};
use super::giver::refuse;
use super::patience::{Patience, Until};
use super::peer::{Peer, Stranger};
use super::state::MOST_DESCRIPTORS;

/// Why nothing was taken over. The old process goes on, if it runs.
#[derive(Debug, thiserror::Error)]
pub enum TakeError {
    /// What is at the other end is not a server of this user.
    #[error("what listens there is not a server to take over from: {0}")]
    Stranger(#[from] Stranger),
    /// The old process wants another version of the protocol than it was asked for.
    #[error("the other process speaks version {0} of the hand-over, which was not asked for")]
    Version(u16),
    /// There are more descriptors than this process may have.
    #[error(
        "the server has {count} descriptors, and this process may have {limit}. Allow it more: LimitNOFILE= in \
         the systemd unit, ulimits in the compose file"
    )]
    TooMany {
        /// What there is.
        count: u64,
        /// What this process may have (RLIMIT_NOFILE).
        limit: u64,
    },
    /// The state that came along cannot be used.
    #[error("what the other process sent cannot be used: {0}")]
    Unusable(String),
    /// It did not come to an end.
    #[error(transparent)]
    Frame(#[from] FrameError),
}

impl From<io::Error> for TakeError {
    fn from(error: io::Error) -> Self {
        Self::Frame(error.into())
    }
}

/// The new process's side of a hand-over.
#[derive(Debug)]
pub struct Taker {
    stream: UnixStream,
    patience: Patience,
}

/// What was received is the new process's as soon as it says so.
#[derive(Debug)]
pub struct Taken {
    stream: UnixStream,
}

impl Taker {
    /// Begins with a server that has said that it hands over. `own` is the user whom this process runs as, and
    /// `account` the one that it will switch to if that is root.
    ///
    /// # Errors
    /// If what is at the other end runs as somebody else, or is gone.
    pub fn meet(
        stream: UnixStream,
        own: u32,
        account: Option<u32>,
        patience: Patience,
    ) -> Result<Self, TakeError> {
        stream.set_nonblocking(false)?;
        Peer::of(&stream)?.may_give(own, account)?;
        Frame::Begin(VERSIONS).send(&stream, patience.begin().step())?;
        Ok(Self { stream, patience })
    }

    /// Receives everything. The old process waits meanwhile, and no packet is relayed: what the new one does with
    /// it must not take long.
    ///
    /// # Errors
    /// If it does not come, or its list cannot be used. All that came is closed then.
    pub fn take(self) -> Result<(Claimed, Taken), TakeError> {
        match receive(&self.stream, self.patience.begin()) {
            Ok(claimed) => Ok((claimed, Taken { stream: self.stream })),
            Err(error) => {
                refuse(&self.stream, &error.to_string());
                Err(error)
            }
        }
    }
}

impl Taken {
    /// Says that this process serves from now on. Only when this returns without an error may it touch the sockets. The
    /// connection that is returned is closed when the old process has ended.
    ///
    /// # Errors
    /// If the old process has not waited: it goes on serving, and this one must not.
    pub fn ready(self) -> Result<UnixStream, TakeError> {
        match Frame::Ready.send(&self.stream, Instant::now() + A_SECOND) {
            // One that goes on would have said why before it closed the connection. One that has not is dead, and
            // then nobody serves but this process.
            Ok(()) | Err(FrameError::Gone) => Ok(self.stream),
            Err(error) => Err(error.into()),
        }
    }

    /// Leaves everything to the old process, and tells it why.
    pub fn refuse(self, why: &str) {
        refuse(&self.stream, why);
    }
}

const A_SECOND: Duration = Duration::from_secs(1);

fn receive(stream: &UnixStream, until: Until) -> Result<Claimed, TakeError> {
    let Frame::Offer { version, descriptors } = Frame::receive(stream, until.step())? else {
        return Err(FrameError::Unexpected.into());
    };
    if VERSIONS.common(Versions { oldest: version, newest: version }).is_none() {
        return Err(TakeError::Version(version));
    }
    let all = room_for(descriptors)?;
    Frame::Accept.send(stream, until.step())?;
    let mut received = Vec::new();
    while received.len() < all {
        match Frame::receive(stream, until.step())? {
            Frame::Batch { names, descriptors }
                if !names.is_empty() && names.len() <= all - received.len() =>
            {
                received.extend(names.into_iter().zip(descriptors));
            }
            _ => return Err(FrameError::Unexpected.into()),
        }
        Frame::Received(received.len() as u32).send(stream, until.step())?;
    }
    let claimed = claim(received);
    if claimed.snapshot.is_some() {
        return Ok(claimed);
    }
    let why = claimed.refused.iter().map(ToString::to_string).find(|why| why.starts_with("state/"));
    Err(TakeError::Unusable(why.unwrap_or_else(|| "there is no state among it".to_owned())))
}

/// How many descriptors are to be received, if there is room for them.
fn room_for(descriptors: u32) -> Result<usize, TakeError> {
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let count = u64::from(descriptors);
    if count > MOST_DESCRIPTORS as u64 + 1 || count > limit {
        return Err(TakeError::TooMany { count, limit: limit.min(MOST_DESCRIPTORS as u64) });
    }
    Ok(descriptors as usize)
}
