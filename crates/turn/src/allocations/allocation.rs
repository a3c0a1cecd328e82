//! One allocation.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::announced::Announced;
use super::channels::Channels;
use super::mobility::{Mobility, Presence};
use super::permissions::{Permissions, Reach};
use super::tcp::PeerConnections;
use crate::accounting::{Account, SessionIds};
use crate::auth::Origin;
use crate::channel_route::{ChannelRoute, OwnPeer};
use crate::clock::{Remaining, TakeOver, Tick};
use crate::effects::DataPath;
use crate::event::{EndReason, UsageRecord};
use crate::guests::{GuestRelay, GuestTicket};
use crate::policy::{AllocationAnswers, Meter, PeerPolicy, PortLease, QuotaTicket, RequestBudget};
use crate::snapshot::records::{AllocationRecord, GrantedRecord, KindRecord, RelayRecord};
use crate::statistics::Statistics;
use crate::tenant_traffic::TenantSlot;
use crate::traffic::{Traffic, Usage};
use crate::types::{Carrier, Client, PeerAddr, RelayAddress, RelayId};
use crate::user::UserId;
use taciturn_stun::{ErrorCode, Family, LongTermKey, TransactionId};

/// A relay socket of an allocation, and the port it is on.
#[derive(Debug)]
pub(crate) struct Relay {
    pub(crate) id: RelayId,
    pub(crate) lease: PortLease,
    /// As told to the client.
    pub(crate) public: SocketAddr,
    /// As bound.
    pub(crate) local: SocketAddr,
    /// Of an allocation of a guest's.
    pub(crate) _of_guest: Option<GuestRelay>,
}

impl Relay {
    /// For another process. Its number is of this one alone.
    const fn snapshot(&self, now: Tick) -> RelayRecord {
        // Nothing of a guest goes there.
        let Self { id: _, lease, public, local, _of_guest: _ } = self;
        RelayRecord { lease: lease.leased(now), public: *public, local: *local }
    }
}

/// What every allocation has, and what its kind has.
#[derive(Debug)]
pub(crate) struct Allocation {
    pub(super) client: Client,
    pub(crate) carrier: Carrier,
    /// Where its tenant is counted on the shard that has it.
    pub(crate) tenant_slot: TenantSlot,
    pub(crate) username: UserId,
    pub(crate) key: LongTermKey,
    //= 8656-6-no-password
    /// When the credential ends, in seconds since 1970.
    pub(crate) credential_expires: Option<u64>,
    /// The user or secret of the configuration that it was made with.
    pub(crate) origin: Option<Origin>,
    /// The guest whose it is, if it is one's.
    pub(crate) guest: Option<GuestTicket>,
    /// The peer rules of its tenant; `None` of the default one, which has those of the server. Kept here so that no
    /// packet has to look for them.
    pub(crate) peers: Option<Arc<PeerPolicy>>,
    /// Gives the place in the user's quota back when dropped.
    pub(crate) quota: QuotaTicket,
    /// What it has spent of its rates; shared with the connections of a TCP allocation.
    pub(crate) meter: Arc<Meter>,
    /// IPv4 and IPv6.
    pub(super) relays: [Option<Relay>; 2],
    pub(crate) since: Tick,
    pub(super) expires: Tick,
    /// The deadline that it is queued for.
    pub(super) queued: Tick,
    pub(crate) granted: Granted,
    pub(super) permissions: Permissions,
    pub(crate) traffic: Traffic,
    /// What was recorded of it, if records are kept. In a box: most servers keep none.
    pub(crate) account: Option<Box<Account>>,
    /// When something was relayed last.
    pub(crate) active: Tick,
    /// What is answered on its 5-tuple without a credential.
    pub(crate) answers: AllocationAnswers,
    /// What is judged on its 5-tuple.
    pub(crate) requests: RequestBudget,
    pub(crate) kind: Kind,
}

/// What the two kinds of allocations have.
#[derive(Debug)]
pub(crate) enum Kind {
    /// Its relays are for UDP.
    Udp(Datagrams),
    /// Its relays are for TCP (RFC 6062).
    Tcp(PeerConnections),
}

/// What an allocation for UDP has.
#[derive(Debug, Default)]
pub(crate) struct Datagrams {
    pub(super) channels: Channels,
    announced: Announced,
    /// Where it may move with its client (RFC 8016).
    pub(super) mobility: Option<Mobility>,
}

impl Datagrams {
    pub(crate) const fn channels(&self) -> &Channels {
        &self.channels
    }
}

/// The request that made an allocation, for its retransmissions, with what was granted.
#[derive(Debug)]
pub(crate) struct Granted {
    pub(crate) by: TransactionId,
    /// In seconds; 0 until the request has succeeded.
    pub(crate) lifetime: u32,
    pub(crate) token: Option<[u8; 8]>,
    /// The ADDITIONAL-ADDRESS-FAMILY that could not be had.
    pub(crate) address_error: Option<(Family, ErrorCode)>,
}

/// What an allocation is made of; the rest starts empty.
pub(crate) struct Foundation {
    pub(crate) client: Client,
    pub(crate) carrier: Carrier,
    pub(crate) tenant_slot: TenantSlot,
    pub(crate) username: UserId,
    pub(crate) key: LongTermKey,
    pub(crate) credential_expires: Option<u64>,
    pub(crate) origin: Option<Origin>,
    pub(crate) guest: Option<GuestTicket>,
    pub(crate) peers: Option<Arc<PeerPolicy>>,
    pub(crate) quota: QuotaTicket,
    pub(crate) made_by: TransactionId,
    pub(crate) kind: Kind,
}

impl Allocation {
    pub(crate) fn new(foundation: Foundation, now: Tick, expires: Tick) -> Self {
        Self {
            client: foundation.client,
            carrier: foundation.carrier,
            tenant_slot: foundation.tenant_slot,
            username: foundation.username,
            key: foundation.key,
            credential_expires: foundation.credential_expires,
            origin: foundation.origin,
            guest: foundation.guest,
            peers: foundation.peers,
            quota: foundation.quota,
            meter: Arc::default(),
            relays: [None, None],
            since: now,
            expires,
            queued: expires,
            granted: Granted {
                by: foundation.made_by,
                lifetime: 0,
                token: None,
                address_error: None,
            },
            permissions: Permissions::default(),
            traffic: Traffic::default(),
            account: None,
            active: now,
            answers: AllocationAnswers::default(),
            requests: RequestBudget::default(),
            kind: foundation.kind,
        }
    }

    /// All of it, for another process. A new field has to be in the record as well, or it has to be said
    /// here what it becomes without.
    pub(super) fn snapshot(&self, now: Tick) -> AllocationRecord {
        let Self {
            client,
            carrier,
            tenant_slot: _, // of this shard
            username,
            key,
            credential_expires,
            origin,
            guest: _, // those of guests stay here
            peers: _, // configured
            quota,
            meter,
            relays,
            since,
            expires,
            queued: _, // follows from the deadlines
            granted: Granted { by, lifetime, token, address_error },
            permissions,
            traffic,
            account,
            active,
            answers,
            requests,
            kind,
        } = self;
        AllocationRecord {
            client: *client,
            is_away: self.is_away(),
            carrier: *carrier,
            username: username.clone(),
            quota: quota.user().clone(),
            key: key.clone(),
            credential_expires: *credential_expires,
            origin: *origin,
            spent: meter.spent(now),
            relays: relays.each_ref().map(|relay| relay.as_ref().map(|relay| relay.snapshot(now))),
            age: now.since(*since),
            idle: now.since(*active),
            left: Remaining::until(*expires, now),
            granted: GrantedRecord {
                by: *by,
                lifetime: *lifetime,
                token: *token,
                address_error: *address_error,
            },
            permissions: permissions.snapshot(now),
            traffic: *traffic,
            answers: answers.spent(now),
            requests: requests.spent(now),
            kind: match kind {
                // What was announced to another data path is announced anew.
                Kind::Udp(Datagrams { channels, announced: _, mobility }) => KindRecord::Udp {
                    channels: channels.snapshot(now),
                    mobility: mobility.as_ref().and_then(|mobility| mobility.snapshot(now)),
                },
                Kind::Tcp(tcp) => KindRecord::Tcp { connections: tcp.snapshot(now) },
            },
            account: account.as_ref().map(|account| account.snapshot(now)).into(),
        }
    }

    /// One that another process had, without its relays and peer connections: they have sockets. Its place
    /// in the quota, and where it may move, are restored already.
    pub(super) fn restore(
        record: &AllocationRecord,
        (client, carrier, tenant_slot): (Client, Carrier, TenantSlot),
        (quota, mobility): (QuotaTicket, Option<Mobility>),
        there: &TakeOver,
    ) -> Self {
        let AllocationRecord {
            client: _,
            is_away: _,
            carrier: _,
            username,
            quota: _,
            key,
            credential_expires,
            origin,
            spent,
            relays: _,
            age,
            idle,
            left,
            granted: GrantedRecord { by, lifetime, token, address_error },
            permissions,
            traffic,
            answers,
            requests,
            kind,
            account,
        } = record;
        let permissions = Permissions::restore(permissions, there);
        let kind = match kind {
            KindRecord::Udp { channels, mobility: _ } => {
                let channels = Channels::restore(channels, |ip| permissions.until(ip), there);
                Kind::Udp(Datagrams { channels, announced: Announced::default(), mobility })
            }
            KindRecord::Tcp { connections: _ } => Kind::Tcp(PeerConnections::default()),
        };
        let meter = Meter::default();
        meter.restore(spent, there);
        let expires = there.deadline(*left);
        Self {
            client,
            carrier,
            tenant_slot,
            username: username.clone(),
            key: key.clone(),
            credential_expires: *credential_expires,
            origin: *origin,
            guest: None,
            // Set as after a reload.
            peers: None,
            quota,
            meter: Arc::new(meter),
            relays: [None, None],
            since: there.beginning(*age),
            expires,
            queued: expires,
            granted: Granted {
                by: *by,
                lifetime: *lifetime,
                token: *token,
                address_error: *address_error,
            },
            permissions,
            traffic: *traffic,
            account: account.0.as_ref().map(|account| {
                Box::new(Account::restore(account, record.relayed_addresses(), there))
            }),
            active: there.beginning(*idle),
            answers: AllocationAnswers::restore(*answers, there),
            requests: RequestBudget::restore(*requests, there),
            kind,
        }
    }

    /// What it counts as among what is relayed.
    #[inline]
    pub(crate) const fn counted_as(&self) -> (Carrier, TenantSlot) {
        (self.carrier, self.tenant_slot)
    }

    pub(crate) const fn client(&self) -> Client {
        self.client
    }

    /// Its peer rules, given those of the server.
    #[inline]
    pub(crate) fn peers<'a>(&'a self, server: &'a PeerPolicy) -> &'a PeerPolicy {
        self.peers.as_deref().unwrap_or(server)
    }

    pub(crate) const fn expires(&self) -> Tick {
        self.expires
    }

    pub(crate) const fn permissions(&self) -> &Permissions {
        &self.permissions
    }

    /// The part of an allocation for UDP.
    pub(crate) const fn udp(&self) -> Option<&Datagrams> {
        match &self.kind {
            Kind::Udp(udp) => Some(udp),
            Kind::Tcp(_) => None,
        }
    }

    /// The peer connections, if it is a TCP allocation.
    pub(crate) const fn tcp(&self) -> Option<&PeerConnections> {
        match &self.kind {
            Kind::Udp(_) => None,
            Kind::Tcp(tcp) => Some(tcp),
        }
    }

    pub(crate) const fn tcp_mut(&mut self) -> Option<&mut PeerConnections> {
        match &mut self.kind {
            Kind::Udp(_) => None,
            Kind::Tcp(tcp) => Some(tcp),
        }
    }

    /// What it has that may move.
    pub(crate) fn mobility(&self) -> Option<&Mobility> {
        self.udp().and_then(|udp| udp.mobility.as_ref())
    }

    pub(super) const fn mobility_mut(&mut self) -> Option<&mut Mobility> {
        match &mut self.kind {
            Kind::Udp(udp) => udp.mobility.as_mut(),
            Kind::Tcp(_) => None,
        }
    }

    /// Whether nothing can be sent to its client, which may come back.
    pub(crate) fn is_away(&self) -> bool {
        self.mobility().is_some_and(|mobility| mobility.presence == Presence::Away)
    }

    pub(crate) fn relay(&self, family: Family) -> Option<&Relay> {
        self.relays[family as usize].as_ref()
    }

    /// IPv4 and IPv6.
    pub(crate) const fn relays(&self) -> &[Option<Relay>; 2] {
        &self.relays
    }

    /// The relayed transport address that logs name it by: the first it has.
    pub(crate) fn relayed(&self) -> Option<SocketAddr> {
        self.relays.iter().flatten().next().map(|relay| relay.public)
    }

    /// The relayed transport addresses: IPv4 and IPv6.
    pub(crate) fn relayed_addresses(&self) -> [Option<SocketAddr>; 2] {
        self.relays.each_ref().map(|relay| relay.as_ref().map(|relay| relay.public))
    }

    /// Has its use recorded from now on, if records are kept. `began` is in seconds since 1970.
    pub(crate) fn open_account(&mut self, ids: Option<&SessionIds>, began: u64, now: Tick) {
        if let Some(ids) = ids {
            let relayed = self.relayed_addresses();
            self.account = Some(Box::new(Account::new(ids.next(), began, now, relayed)));
        }
    }

    /// Makes the next record of its use; `None` if none are kept.
    pub(crate) fn record(&mut self, now: Tick, ended: Option<EndReason>) -> Option<UsageRecord> {
        let accounted = self.account.as_mut()?.record(now, self.traffic);
        Some(UsageRecord {
            accounted,
            client: self.client.remote,
            carrier: self.carrier,
            username: self.username.clone(),
            user: self.quota.user().clone(),
            total: self.traffic,
            lived: now.since(self.since),
            ended,
        })
    }

    /// Returns which ports of this address data may pass to and from (RFC 8656 section 9); `None` without a
    /// permission.
    pub(crate) fn permitted(&self, ip: IpAddr, now: Tick) -> Option<Reach> {
        self.permissions.reach(ip, now)
    }

    /// Installs or refreshes a permission, for the channels too.
    pub(super) fn permit(&mut self, ip: IpAddr, reach: Reach, expires: Tick) {
        self.permissions.install(ip, reach, expires);
        if let Kind::Udp(udp) = &mut self.kind {
            udp.channels.permit(ip, expires);
        }
    }

    /// Sets which ports of a permitted address the rules of now let through.
    pub(crate) fn limit_permission(&mut self, ip: IpAddr, reach: Reach) {
        self.permissions.limit(ip, reach);
    }

    /// Lets the permission for an address end now, for the channels too.
    pub(crate) fn expire_permission(&mut self, now: Tick, ip: IpAddr) {
        self.permissions.expire(now, ip);
        if let Kind::Udp(udp) = &mut self.kind {
            udp.channels.permit(ip, now);
        }
    }

    /// Lets the channel to a peer end now.
    pub(crate) fn expire_channel(&mut self, now: Tick, peer: PeerAddr) {
        if let Kind::Udp(udp) = &mut self.kind {
            udp.channels.expire(now, peer);
        }
    }

    /// Drops the permissions and channels that have expired.
    pub(crate) fn sweep(&mut self, now: Tick) {
        self.permissions.sweep(now);
        if let Kind::Udp(udp) = &mut self.kind {
            udp.channels.sweep(now);
        }
    }

    /// The earliest moment at which something of it expires.
    pub(super) fn deadline(&self) -> Tick {
        let of_kind = match &self.kind {
            Kind::Udp(udp) => udp.channels.deadline(),
            Kind::Tcp(tcp) => tcp.deadline(),
        };
        let deadlines = self.permissions.deadline().into_iter().chain(of_kind);
        deadlines.fold(self.expires, Tick::min)
    }

    /// Counts what was relayed for it elsewhere, by its TCP connections or by another data path.
    pub(crate) fn count(&mut self, used: Usage, statistics: &mut Statistics) {
        self.traffic.add(used.traffic);
        statistics.add_relayed(self.counted_as(), used.traffic);
        if !used.is_nothing() {
            self.active = self.active.max(used.last);
        }
    }

    /// Tells another data path which channels it may serve: those that are open, if it may serve any. `own` returns
    /// the address of relayed addresses of a family. Returns what it has relayed on channels that it may not serve any
    /// more.
    pub(crate) fn announce(
        &mut self,
        now: Tick,
        may_serve: bool,
        own: impl Fn(Family) -> Option<RelayAddress>,
        path: &mut impl DataPath,
    ) -> Usage {
        let Self { client, relays, expires, kind: Kind::Udp(udp), .. } = self else {
            return Usage::default();
        };
        let is_reachable = match &udp.mobility {
            Some(mobility) => mobility.presence == Presence::There,
            None => true,
        };
        let open = udp.channels.iter().filter_map(|channel| {
            let (number, peer) = (channel.number, channel.peer);
            let family = Family::of(peer.0.ip());
            let Relay { local, public, .. } = relays[family as usize].as_ref()?;
            let until = channel.open_until().min(*expires);
            let is_open = is_reachable && now < until && may_serve;
            let own = own(family).filter(|own| own.public == peer.0.ip());
            let between = own.map(|own| OwnPeer {
                relay: *public,
                peer: SocketAddr::new(own.local, peer.0.port()),
            });
            let route =
                ChannelRoute { client: *client, channel: number, relay: *local, peer, between };
            is_open.then_some((route, until))
        });
        let open: Vec<_> = open.collect();
        udp.announced.update(&open, path)
    }

    /// Forgets what another data path was told: that one is gone.
    pub(crate) fn forget_announced(&mut self) {
        if let Kind::Udp(udp) = &mut self.kind {
            udp.announced = Announced::default();
        }
    }
}
