//! What is said of the use of a session, where the operator keeps records: at its end, and meanwhile.
//!
//! Each record says what was relayed since the one before, so that the sum of the records of a session is what it has
//! relayed. A session has a number that no other has, also of another process and another server, and keeps it when it
//! moves to another shard or another process.

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::clock::{TakeOver, Tick};
use super::snapshot::records::AccountRecord;
use super::traffic::Traffic;

/// Numbers for the sessions of one process.
#[derive(Debug)]
pub struct SessionIds {
    process: u64,
    next: AtomicU64,
}

impl SessionIds {
    /// `process` is a random number, which no other process has.
    #[must_use]
    pub const fn new(process: u64) -> Self {
        Self { process, next: AtomicU64::new(1) }
    }

    pub(super) fn next(&self) -> SessionId {
        SessionId { process: self.process, number: self.next.fetch_add(1, Ordering::Relaxed) }
    }
}

/// The number of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId {
    /// The process that it began in.
    pub(crate) process: u64,
    pub(crate) number: u64,
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}-{}", self.process, self.number)
    }
}

/// What was recorded of an allocation so far.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    id: SessionId,
    /// In seconds since 1970.
    began: u64,
    /// How many records there are.
    records: u32,
    recorded: Traffic,
    /// When the last record was made, or the session began.
    last: Tick,
    /// IPv4 and IPv6. The session may have given one up since.
    relayed: [Option<SocketAddr>; 2],
}

impl Account {
    pub(crate) const fn new(
        id: SessionId,
        began: u64,
        last: Tick,
        relayed: [Option<SocketAddr>; 2],
    ) -> Self {
        let recorded = Traffic::NONE;
        Self { id, began, records: 0, recorded, last, relayed }
    }

    /// For another process.
    pub(crate) fn snapshot(&self, now: Tick) -> AccountRecord {
        // The addresses follow from the relays that it has.
        let Self { id, began, records, recorded, last, relayed: _ } = self;
        AccountRecord {
            process: id.process,
            number: id.number,
            began: *began,
            records: *records,
            recorded: *recorded,
            age: now.since(*last),
        }
    }

    pub(crate) fn restore(
        record: &AccountRecord,
        relayed: [Option<SocketAddr>; 2],
        there: &TakeOver,
    ) -> Self {
        let AccountRecord { process, number, began, records, recorded, age } = record;
        Self {
            id: SessionId { process: *process, number: *number },
            began: *began,
            records: *records,
            recorded: *recorded,
            last: there.beginning(*age),
            relayed,
        }
    }

    /// Whether the last record is at least so old.
    pub(crate) fn is_due(&self, now: Tick, every: Duration) -> bool {
        now.since(self.last) >= every
    }

    /// The next record: what was relayed since the one before, of `total`.
    pub(crate) fn record(&mut self, now: Tick, total: Traffic) -> Accounted {
        let used = total.since(self.recorded);
        self.records = self.records.saturating_add(1);
        (self.recorded, self.last) = (total, now);
        Accounted {
            session: self.id,
            sequence: self.records,
            began: self.began,
            relayed: self.relayed,
            used,
        }
    }
}

/// What one record of a session has beside what is known of the session anyway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accounted {
    /// Whose it is.
    pub session: SessionId,
    /// The how manieth of this session it is, from 1 on.
    pub sequence: u32,
    /// When the session began, in seconds since 1970.
    pub began: u64,
    /// The relayed transport addresses that it has had: IPv4 and IPv6.
    pub relayed: [Option<SocketAddr>; 2],
    /// What was relayed since the record before.
    pub used: Traffic,
}
