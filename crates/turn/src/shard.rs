//! The state of one shard, and the ways into it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ahash::AHashMap;
use slab::Slab;

use super::allocation::{Allocation, Relay};
use super::connection_ids::ConnectionIds;
use super::mobile_allocations::MobileAllocations;
use super::mobility::{Mobility, Waiting};
use super::nat_discovery::NatDiscovery;
use super::outside::{ChannelRoute, EndReason, Event, Outside};
use super::redirect::Redirect;
use super::ticket::TicketKey;
use super::timers::Timers;
use super::types::{
    AllocationId, Carrier, Client, DropReason, RelayAddress, RelayId, ShardNumber, Traffic, Verdict,
};
use crate::auth::{Authenticator, NonceError, NonceKeys};
use crate::clock::{Now, Tick};
use crate::policy::{AnswerLimit, FailureLimit, PeerPolicy, PortPool, Quota, RateLimits};
use taciturn_stun::{Family, Kind, TransactionId};

/// How long a retransmission of the request that ended an allocation, or one family of it, is
/// recognised: longer than the 39.5 s over which RFC 8489 section 6.2.1 retransmits.
const REMEMBER_ENDED: Duration = Duration::from_secs(40);

/// How many of those are remembered at most.
const REMEMBERED: usize = 256;

/// Bounds and addresses; the same for all shards.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where relayed transport addresses are made: IPv4 and IPv6.
    pub relay_addresses: [Option<RelayAddress>; 2],
    /// The longest lifetime of an allocation without a refresh.
    pub max_lifetime: Duration,
    /// Permissions of one allocation.
    pub max_permissions: usize,
    /// Channels of one allocation.
    pub max_channels: usize,
    /// Whether channel numbers up to 0x7FFF may be bound, as RFC 5766 had it.
    pub rfc5766_channels: bool,
    /// Whether TCP allocations are made (RFC 6062).
    pub tcp_relay: bool,
    /// Peer connections of one TCP allocation.
    pub max_peer_connections: usize,
    /// Of the relay ports of each family, so many per cent are for users without an allocation.
    pub ports_reserved_percent: u32,
    /// Whether SHA-256 and hashed usernames (RFC 8489) are offered over UDP too.
    pub rfc8489_over_udp: bool,
    /// Where clients are sent instead of being served.
    pub redirect: Option<Redirect>,
    /// Whether clients are told of ICMP errors ([`Shard::from_icmp`]).
    pub icmp_errors: bool,
    /// The addresses and ports of NAT behaviour discovery (RFC 5780), where that is served.
    pub nat_discovery: Option<NatDiscovery>,
    /// Whether clients of RFC 3489, which know no magic cookie, are answered.
    pub rfc3489: bool,
    /// Whether an allocation may move with its client (RFC 8016).
    pub mobility: bool,
    /// Whether an allocation goes on although the user or the secret that it was made with was
    /// removed from the configuration.
    pub keep_removed: bool,
    /// Whether a success of Allocate names the server in SOFTWARE.
    pub software: bool,
}

/// What all shards share, and a reload replaces. Asked for requests; a relayed packet asks `rates`
/// and whether a port is live, which take no lock.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Credentials.
    pub authenticator: Arc<Authenticator>,
    /// Nonces.
    pub nonces: Arc<NonceKeys>,
    /// Peers.
    pub peers: Arc<PeerPolicy>,
    /// Relay ports.
    pub ports: Arc<PortPool>,
    /// Allocations a user, and in all.
    pub quota: Arc<Quota>,
    /// Bytes, packets and new peers a second. The one rule that packets ask: without a lock, and
    /// only whether there are limits where there are none.
    pub rates: Arc<RateLimits>,
    /// Answers to sources that have proven nothing.
    pub answers: Arc<AnswerLimit>,
    /// Wrong credentials of one source.
    pub failures: Arc<FailureLimit>,
    /// The peer connections of TCP allocations.
    pub connection_ids: Arc<ConnectionIds>,
    /// What tickets of mobility are sealed with.
    pub tickets: Arc<TicketKey>,
    /// Where the allocations are that may move.
    pub mobile: Arc<MobileAllocations>,
}

/// What a shard has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Packets dropped, by [`DropReason`].
    pub dropped: [u64; DropReason::ALL.len()],
    /// Requests answered, with whatever answer.
    pub answered: u64,
    /// Requests of strangers that were answered because they were repeated: the budget of all such
    /// answers was spent.
    pub answered_repeats: u64,
    /// Requests with a stale nonce (438), by [`NonceError`]. What else they hold is not judged.
    pub stale_nonces: [u64; NonceError::ALL.len()],
    /// What was relayed, by [`Carrier`] of the client. Connections of TCP allocations count when
    /// they end.
    pub relayed: [Traffic; Carrier::ALL.len()],
}

impl Statistics {
    /// Adds those of another shard.
    pub fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.dropped.iter_mut().zip(other.dropped) {
            *mine += theirs;
        }
        self.answered += other.answered;
        self.answered_repeats += other.answered_repeats;
        for (mine, theirs) in self.stale_nonces.iter_mut().zip(other.stale_nonces) {
            *mine += theirs;
        }
        for (mine, theirs) in self.relayed.iter_mut().zip(other.relayed) {
            mine.add(theirs);
        }
    }
}

/// All allocations of the clients that the kernel gave to one worker.
#[derive(Debug)]
pub struct Shard {
    /// Which of the server's it is.
    pub(super) number: ShardNumber,
    pub(super) settings: Settings,
    pub(super) rules: Rules,
    pub(super) allocations: Slab<Allocation>,
    pub(super) by_client: AHashMap<Client, u32>,
    /// The 5-tuples that an allocation of whichever shard moves to once they are made use of.
    pub(super) arriving: AHashMap<Client, Waiting>,
    /// The allocation on each relay port of this shard, for peers that are relayed addresses of
    /// its own.
    pub(super) by_port: [AHashMap<u16, u32>; 2],
    pub(super) timers: Timers,
    /// Whether no allocation is made any more.
    pub(super) draining: bool,
    /// Listeners that take no new clients; their clients may stay.
    pub(super) retired: Vec<u16>,
    next_generation: u32,
    ended: std::collections::VecDeque<(Client, TransactionId, Tick)>,
    pub(super) statistics: Statistics,
    /// For Data indications.
    pub(super) tids: TransactionIds,
}

impl Shard {
    /// A shard without allocations, the only one of its server.
    #[must_use]
    pub fn new(settings: Settings, rules: Rules) -> Self {
        Self::numbered(ShardNumber(0), settings, rules)
    }

    /// One of several, without allocations. They must share what `rules` has.
    #[must_use]
    pub fn numbered(number: ShardNumber, settings: Settings, rules: Rules) -> Self {
        Self {
            number,
            settings,
            rules,
            allocations: Slab::new(),
            by_client: AHashMap::new(),
            arriving: AHashMap::new(),
            by_port: [AHashMap::new(), AHashMap::new()],
            timers: Timers::default(),
            draining: false,
            retired: Vec::new(),
            next_generation: 0,
            ended: std::collections::VecDeque::new(),
            statistics: Statistics::default(),
            tids: TransactionIds::default(),
        }
    }

    /// Takes a packet from a client. Answers are written into `reply`.
    pub fn from_client(
        &mut self,
        now: Now,
        client: Client,
        packet: &[u8],
        reply: &mut [u8],
        outside: &mut impl Outside,
    ) -> Verdict {
        let verdict = match Kind::of(packet) {
            Kind::ChannelData => {
                if !self.arriving.is_empty() {
                    self.arrive(client, outside);
                }
                self.channel_data(now, client, packet, outside)
            }
            Kind::Stun => self.stun(now, client, packet, reply, outside),
            Kind::Other => Verdict::Drop(DropReason::Malformed),
        };
        self.count(&verdict);
        verdict
    }

    /// Takes a packet of `len` bytes that arrived on the relay socket of `allocation` in `family`.
    pub fn from_peer(
        &mut self,
        now: Now,
        allocation: AllocationId,
        family: Family,
        peer: SocketAddr,
        len: usize,
        outside: &mut impl Outside,
    ) -> Verdict {
        let peer = self.public_address(family, peer);
        let verdict = match self.find(allocation) {
            Some(index) => self.deliver(now.tick, index, peer, 0..len, outside),
            None => Verdict::Drop(DropReason::NoAllocation),
        };
        self.count(&verdict);
        verdict
    }

    pub(super) fn count(&mut self, verdict: &Verdict) {
        match verdict {
            Verdict::Drop(reason) => {
                if let Some(count) = self.statistics.dropped.get_mut(*reason as usize) {
                    *count += 1;
                }
            }
            Verdict::Reply(_) | Verdict::ReplyFrom { .. } => self.statistics.answered += 1,
            Verdict::ToClient { .. } | Verdict::ToPeer { .. } | Verdict::Later => {}
        }
    }

    /// The connection of a client is gone, and its allocation with it (RFC 8656 section 5).
    //= 8656-5-connection-ends
    pub fn client_gone(&mut self, now: Now, client: Client, outside: &mut impl Outside) {
        self.left_by(now, &client, outside);
    }

    /// When [`Shard::handle_timeout`] wants to be called next.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Tick> {
        self.timers.next()
    }

    /// Ends what has expired by `now`.
    pub fn handle_timeout(&mut self, now: Now, outside: &mut impl Outside) {
        self.forget_stale_arrivals();
        while let Some((at, id)) = self.timers.pop(now.tick) {
            let Some(index) = self.find(id) else { continue };
            let Some(allocation) = self.allocations.get_mut(index as usize) else { continue };
            if allocation.queued != at {
                continue; // an earlier deadline came in between
            }
            if let Some(expires) = allocation.mobility.as_ref().and_then(Mobility::expires) {
                // A Refresh that came to another shard.
                allocation.expires = allocation.expires.max(expires);
            }
            //= 8656-6-expiry
            if allocation.expires <= now.tick {
                let strict = self.rules.authenticator.strict_expiry();
                let over = allocation.credential_expires.is_some_and(|expires| expires <= now.unix);
                let reason =
                    if strict && over { EndReason::CredentialExpired } else { EndReason::Expired };
                self.end(now.tick, index, reason, outside);
                continue;
            }
            self.sweep(now.tick, index, outside);
            self.sweep_connections(now.tick, index, outside);
            if let Some(allocation) = self.allocations.get_mut(index as usize) {
                let next = allocation.deadline();
                allocation.queued = next;
                self.timers.push(next, id);
            }
        }
    }

    /// Makes sure that the allocation is looked at when `deadline` comes.
    pub(super) fn queue(&mut self, index: u32, deadline: Tick) {
        if let Some(allocation) = self.allocations.get_mut(index as usize)
            && deadline < allocation.queued
        {
            allocation.queued = deadline;
            let id = AllocationId { index, generation: allocation.generation };
            self.timers.push(deadline, id);
        }
    }

    /// Drops expired permissions and channels of one allocation.
    pub(super) fn sweep(&mut self, now: Tick, index: u32, outside: &mut impl Outside) {
        let Some(allocation) = self.allocations.get_mut(index as usize) else { return };
        let client = allocation.client;
        let relays = allocation.relays.each_ref().map(|relay| relay.as_ref().map(|r| r.local));
        allocation.sweep(now, |channel| {
            let family = Family::of(channel.peer.0.ip());
            if let Some(relay) = relays[family as usize] {
                let (channel, peer) = (channel.number, channel.peer);
                outside.channel_ended(ChannelRoute { client, channel, relay, peer });
            }
        });
    }

    /// Ends every allocation; the server stops.
    pub fn shut_down(&mut self, now: Now, outside: &mut impl Outside) {
        for index in self.indices() {
            self.end(now.tick, index, EndReason::Shutdown, outside);
        }
    }

    /// The numbers of all allocations.
    pub(super) fn indices(&self) -> Vec<u32> {
        // SAFE: each allocation holds a port, and there are fewer than 2^17 of those.
        #[allow(clippy::cast_possible_truncation)]
        self.allocations.iter().map(|(index, _)| index as u32).collect()
    }

    /// Whether this client has an allocation.
    #[must_use]
    pub fn has_allocation(&self, client: &Client) -> bool {
        self.by_client.contains_key(client)
    }

    /// How many allocations there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.allocations.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.allocations.is_empty()
    }

    /// What it has done so far.
    #[must_use]
    pub const fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    /// Puts a new allocation into its tables; returns its number.
    pub(super) fn insert(&mut self, make: impl FnOnce(u32) -> Allocation) -> AllocationId {
        let id = self.place(make);
        if let Some(allocation) = self.allocations.get(id.index as usize) {
            let client = allocation.client;
            self.forget_arriving(&client);
            self.by_client.insert(client, id.index);
        }
        id
    }

    /// Puts an allocation into the table that numbers them, and queues it.
    pub(super) fn place(&mut self, make: impl FnOnce(u32) -> Allocation) -> AllocationId {
        self.next_generation = self.next_generation.wrapping_add(1);
        let generation = self.next_generation;
        let allocation = make(generation);
        let queued = allocation.queued;
        // SAFE: each allocation holds a port, and there are fewer than 2^17 of those.
        #[allow(clippy::cast_possible_truncation)]
        let index = self.allocations.insert(allocation) as u32;
        let id = AllocationId { index, generation };
        self.timers.push(queued, id);
        let allocations = &self.allocations;
        self.timers.compact(allocations.len(), |at, id| {
            let found = allocations.get(id.index as usize);
            found.is_some_and(|a| a.generation == id.generation && a.queued == at)
        });
        id
    }

    /// Gives an allocation a relay.
    pub(super) fn attach(&mut self, index: u32, family: Family, relay: Relay) {
        if let Some(allocation) = self.allocations.get_mut(index as usize) {
            // Data of UDP allocations must not find a TCP allocation there.
            if allocation.tcp.is_none() {
                self.by_port[family as usize].insert(relay.lease.port(), index);
            }
            allocation.relays[family as usize] = Some(relay);
        }
    }

    /// Takes a relay away from an allocation and closes it.
    //= 8656-8.1-one-family
    pub(super) fn detach(
        &mut self,
        now: Tick,
        index: u32,
        family: Family,
        outside: &mut impl Outside,
    ) {
        self.close_connections(index, family, outside);
        let Some(allocation) = self.allocations.get_mut(index as usize) else { return };
        let client = allocation.client;
        let Some(relay) = allocation.relays[family as usize].take() else { return };
        if allocation.tcp.is_some() {
            outside.close_tcp_relay(relay.id);
            relay.lease.retire(now);
            return;
        }
        for channel in allocation.channels() {
            if Family::of(channel.peer.0.ip()) == family {
                let (channel, peer) = (channel.number, channel.peer);
                let relay = relay.local;
                outside.channel_ended(ChannelRoute { client, channel, relay, peer });
            }
        }
        self.by_port[family as usize].remove(&relay.lease.port());
        outside.close_relay(relay.id);
        relay.lease.retire(now);
    }

    /// Takes an allocation out of every table and says so.
    pub(super) fn end(
        &mut self,
        now: Tick,
        index: u32,
        reason: EndReason,
        outside: &mut impl Outside,
    ) {
        let relayed = self.allocations.get(index as usize).and_then(Allocation::relayed);
        self.detach(now, index, Family::V4, outside);
        self.detach(now, index, Family::V6, outside);
        let Some(allocation) = self.allocations.try_remove(index as usize) else { return };
        self.forget_client(&allocation.client, index);
        self.forget_arrival_of(&allocation);
        // An allocation that was never granted ends without a word.
        if let Some(relayed) = relayed.filter(|_| allocation.granted > 0) {
            outside.event(Event::Ended {
                client: allocation.client,
                user: &allocation.username,
                relayed,
                traffic: allocation.traffic,
                lived: now.since(allocation.since),
                reason,
            });
        }
    }

    /// Remembers the request that ended an allocation, for its retransmissions.
    pub(super) fn remember_end(&mut self, now: Tick, client: Client, tid: TransactionId) {
        if self.ended.len() == REMEMBERED {
            self.ended.pop_front();
        }
        self.ended.push_back((client, tid, now + REMEMBER_ENDED));
    }

    /// Whether this request ended an allocation a moment ago (RFC 8489 section 6.3.1).
    pub(super) fn ended_by(&self, now: Tick, client: Client, tid: TransactionId) -> bool {
        self.ended.iter().any(|(c, t, until)| *c == client && *t == tid && now < *until)
    }

    pub(super) fn find(&self, id: AllocationId) -> Option<u32> {
        let allocation = self.allocations.get(id.index as usize)?;
        (allocation.generation == id.generation).then_some(id.index)
    }

    pub(super) fn allocation_of(&self, client: &Client) -> Option<(u32, &Allocation)> {
        let index = *self.by_client.get(client)?;
        self.allocations.get(index as usize).map(|allocation| (index, allocation))
    }

    /// Whether relayed transport addresses are made on `ip`.
    pub(super) fn is_relay_address(&self, ip: IpAddr) -> bool {
        self.settings.relay_addresses[Family::of(ip) as usize].is_some_and(|a| a.public == ip)
    }

    /// A peer's address as other clients know it: behind a 1:1 NAT, packets of this server's own
    /// relays come from the private side.
    pub(super) fn public_address(&self, family: Family, peer: SocketAddr) -> SocketAddr {
        match self.settings.relay_addresses[family as usize] {
            Some(RelayAddress { public, local })
                if local != public
                    && peer.ip() == local
                    && self.rules.ports.is_live(family, peer.port()) =>
            {
                SocketAddr::new(public, peer.port())
            }
            _ => peer,
        }
    }

    #[cfg(test)]
    pub(super) fn queued_timers(&self) -> usize {
        self.timers.len()
    }

    #[cfg(test)]
    pub(super) fn remembered_ends(&self) -> usize {
        self.ended.len()
    }
}

/// The relay socket that a packet of an allocation leaves by.
pub(super) fn relay_id(allocation: &Allocation, family: Family) -> Option<RelayId> {
    allocation.relay(family).map(|relay| relay.id)
}

//= 8489-5-random-transaction-id
/// Random transaction ids, fetched from the OS some hundred at a time.
#[derive(Debug)]
pub(super) struct TransactionIds {
    pool: Box<[u8; 4096]>,
    used: usize,
}

impl Default for TransactionIds {
    fn default() -> Self {
        Self { pool: Box::new([0; 4096]), used: 4096 }
    }
}

impl TransactionIds {
    pub(super) fn next(&mut self, outside: &mut impl Outside) -> TransactionId {
        if self.used + 12 > self.pool.len() {
            outside.random(&mut self.pool[..]);
            self.used = 0;
        }
        let mut tid = [0; 12];
        if let Some(bytes) = self.pool.get(self.used..self.used + 12) {
            tid.copy_from_slice(bytes);
        }
        self.used += 12;
        TransactionId(tid)
    }
}
