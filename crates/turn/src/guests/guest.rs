//! One guest, and what it holds.

use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use zeroize::Zeroizing;

use super::seen::GuestSeen;
use crate::auth::{LongTermKey, PasswordAlgorithm, long_term_key_by};
use crate::cause::Cause;
use crate::clock::Tick;
use crate::policy::{Direction, Meter, RateLimits};
use crate::traffic::Traffic;
use crate::types::Carrier;
use taciturn_stun::ErrorCode;

/// Allocations of one guest at a time: a browser makes one for each of its addresses, and both ends of a test are in it.
const ALLOCATIONS: u32 = 8;

/// Allocations of one guest in all. Each port that it has had rests for a while.
const ALLOCATIONS_IN_ALL: u32 = 64;

/// A credential that is to be made: both texts are random, and the caller's.
#[derive(Clone)]
pub struct NewGuest {
    /// The USERNAME. No name of a user may look like it.
    pub name: String,
    /// The password.
    pub password: Zeroizing<String>,
}

impl fmt::Debug for NewGuest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NewGuest({})", self.name)
    }
}

/// Somebody with a credential for a few minutes.
pub struct Guest {
    new: NewGuest,
    /// In seconds since 1970.
    ends: u64,
    /// How many allocations it holds, and has made.
    held: AtomicU32,
    made: AtomicU32,
    meter: Meter,
    /// Packets that came to its relayed addresses from others than guests.
    outside: AtomicU32,
    seen: Mutex<GuestSeen>,
}

impl Guest {
    pub(super) fn new(new: NewGuest, ends: u64) -> Self {
        Self {
            new,
            ends,
            held: AtomicU32::new(0),
            made: AtomicU32::new(0),
            meter: Meter::default(),
            outside: AtomicU32::new(0),
            seen: Mutex::default(),
        }
    }

    /// Its USERNAME.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.new.name
    }

    /// The end of its credential, in seconds since 1970.
    #[must_use]
    pub const fn ends(&self) -> u64 {
        self.ends
    }

    /// Whether its credential has ended at `unix`.
    #[must_use]
    pub const fn has_ended(&self, unix: u64) -> bool {
        unix >= self.ends
    }

    /// What was seen of it so far.
    #[must_use]
    pub fn seen(&self) -> GuestSeen {
        GuestSeen { outside: self.outside.load(Relaxed), ..*self.lock() }
    }

    /// Its key in this realm.
    pub(crate) fn key(&self, algorithm: PasswordAlgorithm, realm: &str) -> LongTermKey {
        long_term_key_by(algorithm, self.name(), realm, &self.new.password)
    }

    /// Notes a request in its name that it has not signed.
    pub(crate) fn note_wrong(&self) {
        let mut seen = self.lock();
        seen.wrong = seen.wrong.saturating_add(1);
    }

    /// Notes a request that it has signed.
    pub(crate) fn note_request(&self, carrier: Carrier, from: IpAddr) {
        let mut seen = self.lock();
        let by = seen.by(carrier);
        by.requests = by.requests.saturating_add(1);
        by.address = Some(from);
    }

    /// Notes that a request of its was refused.
    pub(crate) fn note_refusal(&self, code: ErrorCode, cause: Option<Cause>) {
        self.lock().refused(code, cause);
    }

    fn lock(&self) -> MutexGuard<'_, GuestSeen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Guest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Guest({})", self.name())
    }
}

/// A guest's allocation: its place among those of the guest, given back when dropped.
#[derive(Debug)]
pub(crate) struct GuestTicket(Arc<Guest>);

impl GuestTicket {
    /// One more allocation; `None` if the guest has as many as it may.
    pub(crate) fn take(guest: &Arc<Guest>) -> Option<Self> {
        let below = |most: u32| move |count: u32| (count < most).then_some(count + 1);
        guest.held.fetch_update(Relaxed, Relaxed, below(ALLOCATIONS)).ok()?;
        let ticket = Self(Arc::clone(guest));
        guest.made.fetch_update(Relaxed, Relaxed, below(ALLOCATIONS_IN_ALL)).ok()?;
        Some(ticket)
    }

    /// Notes that the allocation was made.
    pub(crate) fn note_made(&self, carrier: Carrier) {
        let mut seen = self.0.lock();
        let by = seen.by(carrier);
        by.allocations = by.allocations.saturating_add(1);
    }

    /// Notes what the allocation has relayed: it ends.
    pub(crate) fn note_end(&self, carrier: Carrier, traffic: Traffic) {
        self.0.lock().by(carrier).traffic.add(traffic);
    }

    /// Counts a packet that came to the allocation from somebody who is no guest. It goes no further, but tells that
    /// the relay port can be reached.
    pub(crate) fn count_outside(&self) {
        self.0.outside.fetch_add(1, Relaxed);
    }

    /// Takes a packet out of what the guest, and all of them, may relay in a second. Returns whether it may pass.
    pub(crate) fn takes(&self, rates: &RateLimits, now: Tick, way: Direction, len: usize) -> bool {
        let of_allocation = Meter::default();
        rates.packet(now, way, len, &of_allocation, (&self.0.meter, None)).is_ok()
    }
}

impl Drop for GuestTicket {
    fn drop(&mut self) {
        self.0.held.fetch_sub(1, Relaxed);
    }
}
