//! A shard, and the ways into it.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::announcing;
use super::banned;
use super::channel_route::ChannelRoute;
use super::clock::{Now, TakeOver, Tick};
use super::connection_attempt;
use super::context::Context;
use super::dispatch;
use super::effects::{Adoption, Outside};
use super::endings;
use super::event::{EndReason, UsageRecord};
use super::icmp::{self, IcmpError};
use super::interim;
use super::mobile_allocations::MobileId;
use super::mobility;
use super::parts::Parts;
use super::peer_check::public_address;
use super::peer_connections;
use super::policy::StreamLimit;
use super::relay;
use super::reload::{self, Withdrawn};
use super::restore;
use super::restored::Restored;
use super::rules::Rules;
use super::sessions::{self, Session, Whose};
use super::settings::Settings;
use super::snapshot::{ShardSnapshot, Share};
use super::statistics::Statistics;
use super::take_snapshot;
use super::timeouts;
use super::traffic::{Traffic, Usage};
use super::transfer::{self, Departed};
use super::types::{AllocationId, Client, ConnectionId, RelayId, ShardNumber};
use super::verdict::{DropReason, Verdict};
use taciturn_stun::{Family, Kind};

/// All allocations of the clients that the kernel gave to one worker.
#[derive(Debug)]
pub struct Shard {
    pub(super) parts: Parts,
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
        Self { parts: Parts::new(number, settings, rules) }
    }

    /// Does something, and then answers the parked requests that it has resumed.
    fn enter<O: Outside, T>(
        &mut self,
        now: Now,
        outside: &mut O,
        act: impl FnOnce(&mut Context<'_, O>) -> T,
    ) -> T {
        let mut cx = Context { now, parts: &mut self.parts, outside };
        let done = act(&mut cx);
        dispatch::answer_resumed(&mut cx);
        done
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
                if !self.parts.moves.is_empty() {
                    self.enter(now, outside, |cx| mobility::used(cx, client));
                }
                let mut cx = Context { now, parts: &mut self.parts, outside };
                relay::channel_data(&mut cx, client, packet)
            }
            Kind::Stun => {
                let mut cx = Context { now, parts: &mut self.parts, outside };
                let verdict = dispatch::stun(&mut cx, client, packet, reply);
                dispatch::answer_resumed(&mut cx);
                verdict
            }
            //= 7983-7-unknown
            Kind::Other => Verdict::Drop(DropReason::Malformed),
        };
        self.parts.statistics.count(&verdict);
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
        let Parts { settings, rules, .. } = &self.parts;
        let peer = public_address(settings, rules, family, peer);
        let mut cx = Context { now, parts: &mut self.parts, outside };
        let verdict = relay::deliver(&mut cx, allocation, peer, 0..len);
        self.parts.statistics.count(&verdict);
        verdict
    }

    /// Takes an ICMP error about a datagram that the relay socket of `allocation` in `family` sent
    /// to `peer`. Writes a Data indication into `out`; returns the client that it is for, and its length.
    /// `None` if nobody is to be told.
    pub fn from_icmp(
        &mut self,
        now: Now,
        of: (AllocationId, Family),
        peer: SocketAddr,
        error: IcmpError,
        out: &mut [u8],
        outside: &mut impl Outside,
    ) -> Option<(Client, usize)> {
        self.enter(now, outside, |cx| icmp::from_icmp(cx, of, peer, error, out))
    }

    /// Takes a report of another data path ([`DataPath`](super::DataPath)): what it has relayed on a channel
    /// since it reported last. It counts like what the shard relays: for the allocation, its rates, the
    /// metrics, the line at the end of the session. Returns false if there is no such channel; then it
    /// was closed, and [`DataPath::channel_closed`](super::DataPath::channel_closed) has returned the rest.
    pub fn channel_used(&mut self, now: Now, route: &ChannelRoute, used: Usage) -> bool {
        announcing::channel_used(&mut self.parts, now.tick, route, used)
    }

    /// Announces all channels that another data path may serve, as to one that has heard of none.
    pub fn announce_anew(&mut self, now: Now, outside: &mut impl Outside) {
        self.enter(now, outside, announcing::announce_anew);
    }

    /// The connection of a client is gone, and its allocation with it (RFC 8656 section 5), unless that may
    /// move.
    //= 8656-5-connection-ends
    pub fn client_gone(&mut self, now: Now, client: Client, outside: &mut impl Outside) {
        self.enter(now, outside, |cx| mobility::left_by(cx, &client));
    }

    /// When [`Shard::handle_timeout`] wants to be called next.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Tick> {
        self.parts.allocations.next_deadline()
    }

    /// Ends what has expired by `now`.
    pub fn handle_timeout(&mut self, now: Now, outside: &mut impl Outside) {
        self.enter(now, outside, timeouts::expire);
    }

    /// Goes on with other settings and rules. Allocations stay, with what they have, but for two
    /// things. Those whose user or secret was removed end, unless the operator wants it otherwise.
    /// And peers that the new rules refuse are out of reach at once: their permissions, channels and
    /// TCP connections end. Bounds hold for what is asked for from now on.
    ///
    /// `rules` must hold the ports, quotas, nonce keys and CONNECTION-IDs of those before, and
    /// `settings` the relay addresses: allocations rely on them.
    pub fn set_rules(
        &mut self,
        now: Now,
        settings: Settings,
        rules: Rules,
        outside: &mut impl Outside,
    ) -> Withdrawn {
        self.enter(now, outside, |cx| reload::set_rules(cx, settings, rules))
    }

    /// Ends every allocation; the server stops.
    pub fn shut_down(&mut self, now: Now, outside: &mut impl Outside) {
        self.enter(now, outside, |cx| {
            for id in cx.parts.allocations.ids() {
                endings::end(cx, id, EndReason::Shutdown);
            }
        });
    }

    /// Returns whether this client has an allocation.
    #[must_use]
    pub fn has_allocation(&self, client: &Client) -> bool {
        self.parts.allocations.has(client)
    }

    /// How many allocations there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.parts.allocations.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.parts.allocations.is_empty()
    }

    /// What it has done so far.
    #[must_use]
    pub const fn statistics(&self) -> &Statistics {
        &self.parts.statistics
    }

    /// Some allocations from the place `from` of the table on, and the place to go on from; `None` after
    /// the last. Looks at a bounded number of allocations in one call, so that packets do not wait.
    #[must_use]
    pub fn sessions(&self, now: Now, whose: &Whose, from: usize) -> (Vec<Session>, Option<usize>) {
        sessions::sessions(&self.parts, now.tick, whose, from)
    }

    /// Makes a record of each session whose last record is at least `every` old, where records are kept
    /// ([`Rules::session_ids`]). Returns some, from the place `from` of the table on, and the place to go on from; `None`
    /// after the last.
    pub fn interim_records(
        &mut self,
        now: Now,
        every: Duration,
        from: usize,
        outside: &mut impl Outside,
    ) -> (Vec<UsageRecord>, Option<usize>) {
        self.enter(now, outside, |cx| interim::records(cx, every, from))
    }

    /// Counts what TCP connections have relayed until now, for a snapshot.
    pub fn gather(&mut self, now: Now, outside: &mut impl Outside) {
        self.enter(now, outside, interim::gather_all);
    }

    /// Ends allocations. Returns how many.
    pub fn kick(&mut self, now: Now, whose: &Whose, outside: &mut impl Outside) -> usize {
        self.kick_older(now, whose, Duration::ZERO, outside)
    }

    /// Ends those of them that are at least so old: who is told of a kick late does not end what began after it.
    /// Returns how many.
    pub fn kick_older(
        &mut self,
        now: Now,
        whose: &Whose,
        age: Duration,
        outside: &mut impl Outside,
    ) -> usize {
        self.enter(now, outside, |cx| sessions::kick(cx, whose, age))
    }

    /// Ends the allocations of those whom the operator has banned. Returns how many.
    pub fn end_banned(&mut self, now: Now, outside: &mut impl Outside) -> usize {
        self.enter(now, outside, banned::end_banned)
    }

    /// Whether a connection from this address is not wanted.
    #[must_use]
    pub fn refuses(&self, address: IpAddr) -> bool {
        self.parts.rules.bans.refuses_address(address)
    }

    /// Whether from now on no allocation is created, but for ports that running calls have reserved.
    pub const fn drain(&mut self, on: bool) {
        self.parts.intake.draining = on;
    }

    /// Whether from now on clients of this listener get no allocation, likewise. Those that have one
    /// keep it.
    pub fn retire_listener(&mut self, listener: u16, on: bool) {
        match on {
            true => self.parts.intake.retire(listener),
            false => self.parts.intake.restore(listener),
        }
    }

    /// How many allocations clients have that send plain datagrams to a listening socket.
    #[must_use]
    pub fn udp_clients_of_listener(&self, listener: u16) -> usize {
        sessions::udp_clients_of_listener(&self.parts, listener)
    }

    /// The listener is gone, with its number: the next one of that number is another.
    pub fn close_listener(&mut self, now: Now, listener: u16, outside: &mut impl Outside) {
        self.enter(now, outside, |cx| sessions::close_listener(cx, listener));
    }

    /// A peer has connected to the relayed transport address of `owner` in `family`. Returns the number of
    /// the connection, or `None` if it is to be closed at once. The client learns of it
    /// when this returns, and may bind it from then on.
    pub fn peer_arrived(
        &mut self,
        now: Now,
        owner: AllocationId,
        family: Family,
        peer: SocketAddr,
        outside: &mut impl Outside,
    ) -> Option<ConnectionId> {
        self.enter(now, outside, |cx| connection_attempt::peer_arrived(cx, owner, family, peer))
    }

    /// The connection that Connect asked for is there (RFC 6062 section 5.2).
    pub fn peer_connected(
        &mut self,
        now: Now,
        owner: AllocationId,
        connection: ConnectionId,
        outside: &mut impl Outside,
    ) {
        self.enter(now, outside, |cx| peer_connections::connected(cx, owner, connection));
    }

    /// The connection that Connect asked for could not be had.
    pub fn connect_failed(
        &mut self,
        now: Now,
        owner: AllocationId,
        connection: ConnectionId,
        outside: &mut impl Outside,
    ) {
        self.enter(now, outside, |cx| peer_connections::failed(cx, owner, connection));
    }

    /// A peer connection that was bound has ended, with its data connection.
    pub fn peer_closed(&mut self, owner: AllocationId, connection: ConnectionId, traffic: Traffic) {
        peer_connections::closed(&mut self.parts, owner, connection, traffic);
    }

    /// The limits for what the connections of an allocation relay.
    #[must_use]
    pub fn stream_limit(&self, owner: AllocationId) -> Option<StreamLimit> {
        peer_connections::stream_limit(&self.parts, owner)
    }

    /// Gives an allocation away to shard `to`, whose client has made use of a 5-tuple there. `None` if
    /// it is not here, or is not to go there: it has ended, or another 5-tuple has got it.
    pub fn depart(
        &mut self,
        now: Now,
        id: MobileId,
        to: ShardNumber,
        client: Client,
        outside: &mut impl Outside,
    ) -> Option<Departed> {
        self.enter(now, outside, |cx| transfer::depart(cx, id, to, client))
    }

    /// Takes in an allocation that another shard has given away, with the numbers that its relay
    /// sockets have here. Without one of them it ends. What the peer rules of this shard refuse ends
    /// as well. Requests that came to its 5-tuple before it are answered. Returns its number here.
    ///
    /// If its client's connection is gone by now, it waits for the client to come back.
    pub fn land(
        &mut self,
        now: Now,
        departed: Departed,
        relays: [Option<RelayId>; 2],
        outside: &mut impl Outside,
    ) -> AllocationId {
        self.enter(now, outside, |cx| transfer::land(cx, departed, relays))
    }

    /// The allocation does not come to this 5-tuple. Requests that waited for it are answered.
    pub fn not_fetched(
        &mut self,
        now: Now,
        id: MobileId,
        client: Client,
        outside: &mut impl Outside,
    ) {
        self.enter(now, outside, |cx| transfer::not_fetched(cx, id, client));
    }

    /// The 5-tuple that an allocation of another shard would come to is the only one left to it.
    pub fn fetch_for(&mut self, now: Now, client: Client, outside: &mut impl Outside) {
        self.enter(now, outside, |cx| mobility::used(cx, client));
    }

    /// What the clients that `goes` is true for have here, for another process. Nothing changes; from now on
    /// nothing may, if the other process is to go on from there.
    ///
    /// Of allocations that are on their way from shard to shard nothing is in it, and parked requests
    /// that wait for them are not either: let them arrive before.
    #[must_use]
    pub fn snapshot(&self, now: Tick, goes: impl Fn(&Client) -> bool) -> ShardSnapshot {
        take_snapshot::snapshot(&self.parts, now, goes)
    }

    /// Returns the clients that have an allocation here.
    #[must_use]
    pub fn clients(&self) -> Vec<Client> {
        self.parts.allocations.clients().map(|(client, _)| *client).collect()
    }

    /// Returns the relay ports of the allocations that are not in that: their clients stay with this process.
    #[must_use]
    pub fn left(&self, goes: impl Fn(&Client) -> bool) -> Vec<(Family, u16)> {
        take_snapshot::left(&self.parts, goes)
    }

    /// Takes the allocations out that another process has from now on, which are those of the clients that
    /// `goes` is true for. What this process has of them is closed, and nothing is reported. Returns how many
    /// they are.
    pub fn forget(
        &mut self,
        now: Now,
        goes: impl Fn(&Client) -> bool,
        outside: &mut impl Outside,
    ) -> usize {
        self.enter(now, outside, |cx| take_snapshot::forget(cx, goes))
    }

    /// Restores what another process had, as far as that goes: an allocation whose lifetime has run out, whose
    /// client or relay socket was not handed over, or that the configuration has no place for, is left out, and
    /// its end is reported. `there` is the moment at which the snapshot is taken over, for all shards alike.
    ///
    /// The rules of this shard have been restored before ([`Rules::restore`]), and no shard is given a packet
    /// before all are restored.
    pub fn restore<O: Outside + Adoption>(
        &mut self,
        now: Now,
        share: Share,
        there: &TakeOver,
        outside: &mut O,
    ) -> Restored {
        self.enter(now, outside, |cx| restore::restore(cx, share, there))
    }

    /// Ends an allocation that its client has ended on another shard.
    pub fn release(&mut self, now: Now, id: MobileId, outside: &mut impl Outside) {
        self.enter(now, outside, |cx| transfer::release(cx, id));
    }
}
