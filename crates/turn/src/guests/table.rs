//! The guests there are.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::guest::{Guest, NewGuest};
use super::ports::Ports;
use super::seen::GuestSeen;
use crate::policy::{Each, RateLimits, Rates};
use taciturn_stun::Family;

/// Guests at a time.
pub const GUESTS: usize = 32;

/// How long the credential of one is good.
pub const GUEST_TIME: Duration = Duration::from_secs(600);

/// Bytes a second of one guest, in each direction.
const BYTES: u32 = 256 * 1024;

/// Bytes a second of all guests, in each direction.
const BYTES_IN_ALL: u32 = 2 * 1024 * 1024;

/// The guests there are. All shards share them.
#[derive(Debug)]
pub struct Guests {
    /// How many are in the list: where there are none, no request takes the lock.
    number: AtomicUsize,
    list: Mutex<Vec<Arc<Guest>>>,
    /// The ports of their relayed addresses, IPv4 and IPv6.
    pub(super) relays: [Ports; 2],
    rates: RateLimits,
}

impl Default for Guests {
    fn default() -> Self {
        let bytes = Each { user: BYTES, in_all: BYTES_IN_ALL, ..Each::default() };
        Self {
            number: AtomicUsize::new(0),
            list: Mutex::default(),
            relays: [Ports::default(), Ports::default()],
            rates: RateLimits::new(Rates { bytes, ..Rates::default() }),
        }
    }
}

impl Guests {
    /// Takes a guest in at `unix`, in seconds since 1970, for [`GUEST_TIME`]. `None` if there are as many as may be.
    pub fn admit(&self, new: NewGuest, unix: u64) -> Option<Arc<Guest>> {
        let mut list = self.list();
        list.retain(|guest| !guest.has_ended(unix));
        if list.len() >= GUESTS {
            self.number.store(list.len(), Relaxed);
            return None;
        }
        let guest = Arc::new(Guest::new(new, unix.saturating_add(GUEST_TIME.as_secs())));
        list.push(Arc::clone(&guest));
        self.number.store(list.len(), Relaxed);
        Some(guest)
    }

    /// Ends a guest's credential: it makes no allocation from now on. Those that it has end with its time.
    pub fn end(&self, name: &str) {
        let mut list = self.list();
        list.retain(|guest| guest.name() != name);
        self.number.store(list.len(), Relaxed);
    }

    /// What was seen of a guest so far. `None` if there is none of this name any more.
    #[must_use]
    pub fn seen(&self, name: &str) -> Option<GuestSeen> {
        self.list().iter().find(|guest| guest.name() == name).map(|guest| guest.seen())
    }

    /// Returns how many there are.
    #[must_use]
    pub fn number(&self) -> usize {
        self.number.load(Relaxed)
    }

    /// The guest of whom `is_meant` holds, if its credential is still good.
    pub(crate) fn find(&self, unix: u64, is_meant: impl Fn(&Guest) -> bool) -> Option<Arc<Guest>> {
        if self.number() == 0 {
            return None;
        }
        let list = self.list();
        list.iter().find(|guest| !guest.has_ended(unix) && is_meant(guest)).cloned()
    }

    /// Whether a live relayed address of a guest is on this port.
    #[inline]
    pub(crate) fn is_relay(&self, family: Family, port: u16) -> bool {
        self.relays[family as usize].has(port)
    }

    pub(crate) const fn rates(&self) -> &RateLimits {
        &self.rates
    }

    fn list(&self) -> MutexGuard<'_, Vec<Arc<Guest>>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
