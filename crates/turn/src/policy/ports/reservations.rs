//! Ports that are held for who brings a token (RFC 8656 section 7.2).

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use super::free::Rest;
use crate::clock::Tick;
use crate::user::UserId;

//= 8656-7.2-reservation-30-s
/// RFC 8656 section 7.2: a reserved port is held for at least 30 seconds.
pub(super) const RESERVATION_LIFETIME: Duration = Duration::from_secs(30);

/// How many ports one user holds reserved at a time. A reservation outlives its allocation, so the
/// quota of allocations does not bound them.
const RESERVATIONS_PER_USER: u32 = 32;

type Token = [u8; 8];

/// The reservations of one family.
#[derive(Debug, Default)]
pub(super) struct Reservations {
    by_token: HashMap<Token, Reservation>,
    /// In the order in which they run out.
    by_end: BTreeSet<(Tick, Token)>,
    /// How many each user holds; nobody with none.
    by_user: HashMap<UserId, u32>,
}

#[derive(Debug)]
pub(super) struct Reservation {
    pub(super) port: u16,
    pub(super) user: UserId,
    pub(super) expires: Tick,
    /// Of the port before it was reserved.
    pub(super) rest: Rest,
}

impl Reservations {
    /// Whether `user` may hold one more under `token`.
    pub(super) fn may_add(&self, token: Token, user: &UserId) -> bool {
        let held = self.by_user.get(user).copied().unwrap_or(0);
        // A token that is in use already: the client tries again with another.
        held < RESERVATIONS_PER_USER && !self.by_token.contains_key(&token)
    }

    /// Holds `port` for `user` from now on.
    pub(super) fn add(&mut self, token: Token, user: &UserId, port: u16, rest: Rest, now: Tick) {
        self.hold(token, user, port, rest, now + RESERVATION_LIFETIME);
    }

    /// Whether there is one of this token.
    pub(super) fn has(&self, token: Token) -> bool {
        self.by_token.contains_key(&token)
    }

    /// All of them, in the order in which they run out.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Token, &Reservation)> {
        let of = |(_, token): &(Tick, Token)| Some((*token, self.by_token.get(token)?));
        self.by_end.iter().filter_map(of)
    }

    /// Holds `port` for `user` until `expires`.
    pub(super) fn hold(
        &mut self,
        token: Token,
        user: &UserId,
        port: u16,
        rest: Rest,
        expires: Tick,
    ) {
        let Entry::Vacant(place) = self.by_token.entry(token) else { return };
        place.insert(Reservation { port, user: user.clone(), expires, rest });
        self.by_end.insert((expires, token));
        *self.by_user.entry(user.clone()).or_default() += 1;
    }

    /// Takes out that of `token`, where `user` made it. Returns its port and what that still has to
    /// rest.
    pub(super) fn redeem(&mut self, token: Token, user: &UserId) -> Option<(u16, Rest)> {
        self.by_token.get(&token).filter(|found| found.user == *user)?;
        self.remove(token)
    }

    /// Takes out one that has run out by `now`.
    pub(super) fn next_over(&mut self, now: Tick) -> Option<(u16, Rest)> {
        let (_, token) = *self.by_end.first().filter(|(expires, _)| *expires <= now)?;
        self.remove(token)
    }

    fn remove(&mut self, token: Token) -> Option<(u16, Rest)> {
        let Reservation { port, user, expires, rest } = self.by_token.remove(&token)?;
        self.by_end.remove(&(expires, token));
        if let Entry::Occupied(mut held) = self.by_user.entry(user) {
            *held.get_mut() -= 1;
            if *held.get() == 0 {
                held.remove();
            }
        }
        Some((port, rest))
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.by_token.len()
    }
}
