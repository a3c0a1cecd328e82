//! What an allocation has that may move with its client (RFC 8016).

use crate::clock::Tick;
use crate::mobile_allocations::{MobileId, Registration};
use crate::snapshot::records::MobilityRecord;

#[derive(Debug)]
pub(crate) struct Mobility {
    registration: Registration,
    pub(super) presence: Presence,
}

/// Whether a client can be sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    There,
    /// Its connection is gone. It may come back on another 5-tuple.
    Away,
}

impl Mobility {
    pub(crate) const fn new(registration: Registration) -> Self {
        Self { registration, presence: Presence::There }
    }

    /// As another process had it.
    pub(crate) const fn restore(registration: Registration, presence: Presence) -> Self {
        Self { registration, presence }
    }

    /// For another process.
    pub(super) fn snapshot(&self, now: Tick) -> Option<MobilityRecord> {
        self.registration.snapshot(now)
    }

    pub(crate) const fn id(&self) -> MobileId {
        self.registration.id
    }

    /// The deadline that the last Refresh has set, on whichever shard that was.
    pub(crate) fn expires(&self) -> Option<Tick> {
        self.registration.expires()
    }
}
