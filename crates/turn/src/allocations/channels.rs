//! The channels of one allocation (RFC 8656 section 12).

use std::net::IpAddr;
use std::time::Duration;

use crate::clock::{Remaining, TakeOver, Tick};
use crate::snapshot::records::{ChannelRecord, ChannelsRecord};
use crate::types::PeerAddr;
use taciturn_stun::ChannelNumber;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Channel {
    pub(crate) number: ChannelNumber,
    pub(crate) peer: PeerAddr,
    pub(crate) expires: Tick,
    /// The expiry of the permission for the peer's address, kept here too so that a packet needs
    /// one look-up.
    pub(crate) permitted_until: Tick,
}

impl Channel {
    /// Returns whether data may pass: the binding and the permission both live.
    pub(crate) fn is_open(&self, now: Tick) -> bool {
        now < self.expires && now < self.permitted_until
    }

    /// When it closes, unless it is refreshed.
    pub(crate) fn open_until(&self) -> Tick {
        self.expires.min(self.permitted_until)
    }
}

//= 8656-12-five-minutes
/// RFC 8656 section 12: so long after a binding has ended neither its number nor its peer may be
/// bound otherwise. Data under way would reach the wrong peer.
const REBIND_GUARD: Duration = Duration::from_secs(300);

/// A channel that has ended, and until when its number and its peer go together only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ended {
    number: ChannelNumber,
    peer: PeerAddr,
    until: Tick,
}

/// What forbids to bind a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Conflict {
    /// The number is bound to another peer.
    OtherPeer,
    /// The peer is bound to another number.
    OtherChannel,
    /// Number or peer had another partner until a moment ago.
    Guarded,
}

/// Found by number and by peer; those that have ended are kept for a while.
#[derive(Debug, Default)]
pub(crate) struct Channels {
    /// Sorted by number.
    bound: Vec<Channel>,
    /// Peers with a channel, sorted, with the channel's number.
    peers: Vec<(PeerAddr, ChannelNumber)>,
    /// No more than there may be channels: each has lived twice as long as it is kept here.
    guard: Vec<Ended>,
}

impl Channels {
    //= 8656-12-per-allocation
    pub(crate) fn get(&self, number: ChannelNumber) -> Option<&Channel> {
        let at = self.bound.binary_search_by_key(&number, |channel| channel.number).ok()?;
        self.bound.get(at)
    }

    pub(crate) fn to(&self, peer: PeerAddr) -> Option<&Channel> {
        let at = self.peers.binary_search_by_key(&peer, |(peer, _)| *peer).ok()?;
        self.peers.get(at).and_then(|(_, number)| self.get(*number))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Channel> {
        self.bound.iter()
    }

    pub(crate) fn len(&self) -> usize {
        self.bound.len()
    }

    /// Returns what forbids to bind this number to this peer.
    pub(crate) fn conflict(
        &self,
        number: ChannelNumber,
        peer: PeerAddr,
        now: Tick,
    ) -> Option<Conflict> {
        if self.get(number).is_some_and(|channel| channel.peer != peer) {
            return Some(Conflict::OtherPeer);
        }
        if self.to(peer).is_some_and(|channel| channel.number != number) {
            return Some(Conflict::OtherChannel);
        }
        let is_guarded =
            |ended: &Ended| now < ended.until && (ended.number == number) != (ended.peer == peer);
        self.guard.iter().any(is_guarded).then_some(Conflict::Guarded)
    }

    /// Binds a channel or refreshes its binding. The caller has made sure that there is no
    /// [`Conflict`].
    pub(super) fn bind(&mut self, channel: Channel) {
        match self.bound.binary_search_by_key(&channel.number, |channel| channel.number) {
            Ok(at) => {
                if let Some(slot) = self.bound.get_mut(at) {
                    *slot = channel;
                }
            }
            Err(at) => {
                self.bound.insert(at, channel);
                if let Err(at) = self.peers.binary_search_by_key(&channel.peer, |(peer, _)| *peer) {
                    self.peers.insert(at, (channel.peer, channel.number));
                }
            }
        }
    }

    /// Takes over the expiry of the permission for an address.
    pub(super) fn permit(&mut self, ip: IpAddr, expires: Tick) {
        for channel in &mut self.bound {
            if channel.peer.0.ip() == ip {
                channel.permitted_until = expires;
            }
        }
    }

    /// Lets the channel to a peer end now.
    pub(super) fn expire(&mut self, now: Tick, peer: PeerAddr) {
        if let Some(channel) = self.bound.iter_mut().find(|channel| channel.peer == peer) {
            channel.expires = channel.expires.min(now);
        }
    }

    /// Drops what has expired.
    pub(super) fn sweep(&mut self, now: Tick) {
        let (peers, guard) = (&mut self.peers, &mut self.guard);
        self.bound.retain(|channel| {
            let keep = now < channel.expires;
            if !keep {
                peers.retain(|(_, number)| *number != channel.number);
                let until = channel.expires + REBIND_GUARD;
                guard.push(Ended { number: channel.number, peer: channel.peer, until });
            }
            keep
        });
        guard.retain(|ended| now < ended.until);
    }

    /// Those that are bound, and those that have ended, for another process.
    pub(super) fn snapshot(&self, now: Tick) -> ChannelsRecord {
        let mut record = ChannelsRecord::default();
        for Channel { number, peer, expires, permitted_until: _ } in &self.bound {
            match now < *expires {
                true => record.bound.push(channel_record(*number, *peer, *expires, now)),
                // It has ended, and has not been swept yet.
                false => {
                    record.guard.push(channel_record(*number, *peer, *expires + REBIND_GUARD, now))
                }
            }
        }
        let ended = self
            .guard
            .iter()
            .map(|Ended { number, peer, until }| channel_record(*number, *peer, *until, now));
        record.guard.extend(ended);
        record.guard.retain(|ended| !ended.left.is_over());
        record
    }

    /// Those that another process had. `permitted` is when the permission for an address ends.
    pub(super) fn restore(
        record: &ChannelsRecord,
        permitted: impl Fn(IpAddr) -> Option<Tick>,
        there: &TakeOver,
    ) -> Self {
        let mut channels = Self::default();
        for ChannelRecord { number, peer, left } in record.bound.iter().copied() {
            if there.left(left).is_over() {
                channels.hold_back(number, peer, Remaining(left.0 + REBIND_GUARD), there);
            } else if channels.conflict(number, peer, there.now).is_none() {
                let permitted_until = permitted(peer.0.ip()).unwrap_or(there.now);
                channels.bind(Channel {
                    number,
                    peer,
                    expires: there.deadline(left),
                    permitted_until,
                });
            }
        }
        for ChannelRecord { number, peer, left } in record.guard.iter().copied() {
            channels.hold_back(number, peer, left, there);
        }
        channels
    }

    /// Keeps a number and its peer together for what is left of it.
    fn hold_back(
        &mut self,
        number: ChannelNumber,
        peer: PeerAddr,
        left: Remaining,
        there: &TakeOver,
    ) {
        if !there.left(left).is_over() {
            self.guard.push(Ended { number, peer, until: there.deadline(left) });
        }
    }

    /// The earliest moment at which one of them expires.
    pub(super) fn deadline(&self) -> Option<Tick> {
        self.bound.iter().map(|channel| channel.expires).min()
    }

    #[cfg(test)]
    pub(crate) fn guarded(&self) -> usize {
        self.guard.len()
    }
}

const fn channel_record(
    number: ChannelNumber,
    peer: PeerAddr,
    until: Tick,
    now: Tick,
) -> ChannelRecord {
    ChannelRecord { number, peer, left: Remaining::until(until, now) }
}
