//! Requests that are answered later. There is one way to do that: whoever waits for something keeps the
//! [`ParkedRequest`], and gives it to [`Resumed`] with the outcome. The shard answers what is there before
//! it returns to its caller.
//!
//! Whoever keeps parked requests bounds them: a TCP allocation has one for each peer connection that is
//! being made, a 5-tuple that waits for its allocation has a few (`moves`).

use std::collections::VecDeque;

use super::reply::ReplyForm;
use super::snapshot::records::ConnectRecord;
use super::types::{Client, ConnectionId};
use super::user::UserId;
use taciturn_stun::ErrorCode;

/// A request that waits for something. Its verdict was [`Verdict::Later`](super::Verdict::Later).
#[derive(Debug)]
pub(super) enum ParkedRequest {
    /// One that is judged again from its beginning, as if it came then: it finds out by itself whether it
    /// has waited in vain.
    Again { client: Client, bytes: Box<[u8]> },
    /// One whose outcome is its answer.
    Answered(Box<Answered>),
}

impl ParkedRequest {
    /// What the answer is made with, for another process; `None` where it is judged again instead.
    pub(super) fn snapshot(&self) -> Option<ConnectRecord> {
        match self {
            Self::Again { .. } => None,
            // The user and the client are those of the allocation.
            Self::Answered(answered) => answered.form.snapshot(),
        }
    }
}

/// What the answer to a parked request is made with.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) client: Client,
    pub(super) user: UserId,
    pub(super) form: ReplyForm,
}

/// How the waiting ended: well, with the connection that there is now if it was for one, or with an
/// error.
pub(super) type Outcome = Result<Option<ConnectionId>, ErrorCode>;

/// Parked requests whose waiting has ended, in the order of their answers.
#[derive(Debug, Default)]
pub(super) struct Resumed(VecDeque<(ParkedRequest, Outcome)>);

impl Resumed {
    /// Has a parked request answered.
    pub(super) fn resume(&mut self, parked: ParkedRequest, outcome: Outcome) {
        self.0.push_back((parked, outcome));
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next one to answer.
    pub(super) fn next(&mut self) -> Option<(ParkedRequest, Outcome)> {
        self.0.pop_front()
    }
}
