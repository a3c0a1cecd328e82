//! The relayed addresses of guests.

use std::sync::Arc;

use super::table::Guests;
use taciturn_stun::Family;

/// A relayed address of a guest: other guests reach it until this is dropped.
#[derive(Debug)]
pub(crate) struct GuestRelay {
    guests: Arc<Guests>,
    family: Family,
    port: u16,
}

impl GuestRelay {
    /// One that is live from now on.
    pub(crate) fn open(guests: &Arc<Guests>, family: Family, port: u16) -> Self {
        guests.relays[family as usize].add(port);
        Self { guests: Arc::clone(guests), family, port }
    }
}

impl Drop for GuestRelay {
    fn drop(&mut self) {
        self.guests.relays[self.family as usize].remove(self.port);
    }
}
