//! What the people of one link leave for each other, so that their browsers find each other through the relay.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::messages::Offered;

/// The longest message, in bytes as JSON.
pub const ROOM_MESSAGE: usize = 4096;

/// Messages that one may leave in all.
const MESSAGES: u32 = 32;

/// How long one is there after it has asked last.
const PRESENT: Duration = Duration::from_secs(10);

/// Why a message is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotLeft {
    /// The test is not known.
    Unknown,
    /// It is too long.
    Long,
    /// It is one too many.
    TooMany,
}

/// The place of one person.
#[derive(Debug, Default)]
pub(super) struct Place {
    asked: Option<Instant>,
    left: u32,
    inbox: VecDeque<Offered>,
    last: u32,
}

impl Place {
    /// Notes that its browser has asked.
    pub(super) fn note(&mut self, now: Instant) {
        self.asked = Some(now);
    }

    /// Whether its browser has asked a moment ago.
    pub(super) fn is_there(&self, now: Instant) -> bool {
        self.asked.is_some_and(|asked| now.saturating_duration_since(asked) < PRESENT)
    }

    /// Takes what it has left for another out of what it may leave.
    pub(super) fn leaves(&mut self, data: &Value) -> Result<(), NotLeft> {
        if data.to_string().len() > ROOM_MESSAGE {
            return Err(NotLeft::Long);
        }
        if self.left >= MESSAGES {
            return Err(NotLeft::TooMany);
        }
        self.left += 1;
        Ok(())
    }

    /// Puts a message of another in. What was not fetched in time goes, the oldest first.
    pub(super) fn receive(&mut self, data: Value) {
        self.last += 1;
        if self.inbox.len() >= MESSAGES as usize {
            self.inbox.pop_front();
        }
        self.inbox.push_back(Offered { n: self.last, data });
    }

    /// What came behind the message of this number; the others are not needed any more.
    pub(super) fn fetch(&mut self, after: u32) -> Vec<Offered> {
        self.inbox.retain(|message| message.n > after);
        self.inbox.iter().cloned().collect()
    }
}
