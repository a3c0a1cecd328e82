//! What became of the records, for metrics and messages.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Why a record was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// More sessions ended than the writer kept up with.
    Queue,
    /// The spool has as many bytes as it may.
    Spool,
    /// What was read of the spool is none: the disk has lost or changed it.
    Damaged,
    /// The receiver refuses it as too long, though it is alone.
    TooLong,
}

impl Dropped {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Queue, Self::Spool, Self::Damaged, Self::TooLong];

    /// Its name among the metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Spool => "spool",
            Self::Damaged => "damaged",
            Self::TooLong => "too_long",
        }
    }
}

/// Numbers that the thread counts up, and others read.
#[derive(Debug, Default)]
pub struct Counts {
    written: [AtomicU64; 2],
    delivered: AtomicU64,
    failures: AtomicU64,
    /// In the spool.
    waiting: AtomicU64,
    /// In memory.
    in_hand: AtomicU64,
    spool_bytes: AtomicU64,
    dropped: [AtomicU64; Dropped::ALL.len()],
    /// Why nothing can be written or delivered now, in words.
    trouble: Mutex<Option<String>>,
}

/// All of them at some moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Records that are on disk, or were: of sessions that had ended, and of those that went on.
    pub written: [u64; 2],
    /// Records that the receiver has taken.
    pub delivered: u64,
    /// Attempts to write or to deliver that failed.
    pub failures: u64,
    /// Records that wait: for the receiver, or for the disk.
    pub waiting: u64,
    /// Bytes in the spool.
    pub spool_bytes: u64,
    /// Records that were dropped, by reason, in the order of [`Dropped::ALL`].
    pub dropped: [u64; Dropped::ALL.len()],
    /// Why nothing can be written or delivered now, in words.
    pub trouble: Option<String>,
}

impl Counts {
    /// Reads them.
    #[must_use]
    pub fn read(&self) -> Totals {
        let load = |number: &AtomicU64| number.load(Ordering::Relaxed);
        Totals {
            written: self.written.each_ref().map(load),
            delivered: load(&self.delivered),
            failures: load(&self.failures),
            waiting: load(&self.waiting) + load(&self.in_hand),
            spool_bytes: load(&self.spool_bytes),
            dropped: self.dropped.each_ref().map(load),
            trouble: self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }

    pub(crate) fn count_written(&self, ended: u64, running: u64) {
        self.written[0].fetch_add(ended, Ordering::Relaxed);
        self.written[1].fetch_add(running, Ordering::Relaxed);
    }

    pub(crate) fn count_delivered(&self, records: u64) {
        self.delivered.fetch_add(records, Ordering::Relaxed);
    }

    /// Counts dropped records. Returns whether they are the first of this reason.
    pub(crate) fn count_dropped(&self, why: Dropped, records: u64) -> bool {
        let at = Dropped::ALL.iter().position(|known| *known == why).unwrap_or_default();
        self.dropped.get(at).is_some_and(|count| count.fetch_add(records, Ordering::Relaxed) == 0)
    }

    /// Notes an attempt that failed. Returns whether the one before had not.
    pub(crate) fn count_failure(&self, trouble: &str) -> bool {
        self.failures.fetch_add(1, Ordering::Relaxed);
        let mut known = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        known.replace(trouble.to_owned()).is_none()
    }

    /// Notes one that has not. Returns whether the one before had failed.
    pub(crate) fn recovered(&self) -> bool {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).take().is_some()
    }

    pub(crate) fn set_in_hand(&self, records: usize) {
        self.in_hand.store(records as u64, Ordering::Relaxed);
    }

    pub(crate) fn set_waiting(&self, records: u64, spool_bytes: u64) {
        self.waiting.store(records, Ordering::Relaxed);
        self.spool_bytes.store(spool_bytes, Ordering::Relaxed);
    }
}
