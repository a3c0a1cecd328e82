//! One allocation: relayed transport addresses, permissions and channels (RFC 8656 section 3).

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use super::mobility::Mobility;
use super::outside::ChannelRoute;
use super::tcp_allocation::TcpAllocation;
use super::types::{Carrier, Client, PeerAddr, RelayId, Traffic};
use crate::auth::Origin;
use crate::clock::Tick;
use crate::policy::{AllocationAnswers, Meter, PortLease, QuotaTicket};
use crate::user::UserId;
use taciturn_stun::{ChannelNumber, Family, LongTermKey, TransactionId};

/// A relay socket of an allocation, and the port it is on.
#[derive(Debug)]
pub(super) struct Relay {
    pub(super) id: RelayId,
    pub(super) lease: PortLease,
    /// As told to the client.
    pub(super) public: SocketAddr,
    /// As bound.
    pub(super) local: SocketAddr,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Permission {
    pub(super) ip: IpAddr,
    pub(super) expires: Tick,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Channel {
    pub(super) number: ChannelNumber,
    pub(super) peer: PeerAddr,
    pub(super) expires: Tick,
    /// The expiry of the permission for the peer's address, kept here too so that a packet needs
    /// one look-up.
    pub(super) permitted_until: Tick,
}

impl Channel {
    /// Whether data may pass: the binding and the permission both live.
    pub(super) fn is_open(&self, now: Tick) -> bool {
        now < self.expires && now < self.permitted_until
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

#[derive(Debug)]
pub(super) struct Allocation {
    pub(super) generation: u32,
    pub(super) client: Client,
    pub(super) carrier: Carrier,
    pub(super) username: UserId,
    pub(super) key: LongTermKey,
    //= 8656-6-no-password
    /// When the credential ends, in seconds since 1970.
    pub(super) credential_expires: Option<u64>,
    /// The user or secret of the configuration that it was made with.
    pub(super) origin: Option<Origin>,
    /// Gives the place in the user's quota back when dropped.
    pub(super) quota: QuotaTicket,
    /// What it has spent of its rates; shared with the connections of a TCP allocation.
    pub(super) meter: Arc<Meter>,
    /// IPv4 and IPv6.
    pub(super) relays: [Option<Relay>; 2],
    pub(super) since: Tick,
    pub(super) expires: Tick,
    /// The deadline that it is queued for.
    pub(super) queued: Tick,
    /// The request that made it, for its retransmissions, with what was granted.
    pub(super) made_by: TransactionId,
    pub(super) granted: u32,
    pub(super) token: Option<[u8; 8]>,
    /// The ADDITIONAL-ADDRESS-FAMILY that could not be had, told again in a retransmission.
    pub(super) address_error: Option<(Family, taciturn_stun::ErrorCode)>,
    /// Sorted by address.
    permissions: Vec<Permission>,
    /// Sorted by number.
    channels: Vec<Channel>,
    /// Peers with a channel, sorted, with the channel's number.
    peers: Vec<(PeerAddr, ChannelNumber)>,
    /// The peer connections, where it is a TCP allocation.
    pub(super) tcp: Option<TcpAllocation>,
    /// No more than there may be channels: each has lived twice as long as it is kept here.
    ended: Vec<Ended>,
    pub(super) traffic: Traffic,
    /// What is answered on its 5-tuple without a credential.
    pub(super) answers: AllocationAnswers,
    /// Where it may move with its client (RFC 8016).
    pub(super) mobility: Option<Mobility>,
}

/// What an allocation is made of; the rest starts empty.
pub(super) struct Foundation {
    pub(super) client: Client,
    pub(super) username: UserId,
    pub(super) key: LongTermKey,
    pub(super) credential_expires: Option<u64>,
    pub(super) origin: Option<Origin>,
    pub(super) quota: QuotaTicket,
    pub(super) made_by: TransactionId,
    /// Whether its relays are for TCP (RFC 6062).
    pub(super) tcp: bool,
}

impl Allocation {
    pub(super) fn new(foundation: Foundation, generation: u32, now: Tick, expires: Tick) -> Self {
        Self {
            generation,
            client: foundation.client,
            carrier: Carrier::of(foundation.client.via, false),
            username: foundation.username,
            key: foundation.key,
            credential_expires: foundation.credential_expires,
            origin: foundation.origin,
            quota: foundation.quota,
            meter: Arc::default(),
            relays: [None, None],
            since: now,
            expires,
            queued: expires,
            made_by: foundation.made_by,
            granted: 0,
            token: None,
            address_error: None,
            permissions: Vec::new(),
            channels: Vec::new(),
            peers: Vec::new(),
            tcp: foundation.tcp.then(TcpAllocation::default),
            ended: Vec::new(),
            traffic: Traffic::default(),
            answers: AllocationAnswers::default(),
            mobility: None,
        }
    }

    /// Whether nothing can be sent to its client, which may come back.
    pub(super) fn is_away(&self) -> bool {
        self.mobility.as_ref().is_some_and(|mobility| mobility.is_away)
    }

    pub(super) fn relay(&self, family: Family) -> Option<&Relay> {
        self.relays[family as usize].as_ref()
    }

    /// The relayed transport address that logs name it by: the first it has.
    pub(super) fn relayed(&self) -> Option<SocketAddr> {
        self.relays.iter().flatten().next().map(|relay| relay.public)
    }

    /// Whether data may pass to and from this address (RFC 8656 section 9).
    pub(super) fn permits(&self, ip: IpAddr, now: Tick) -> bool {
        let found = self.permissions.binary_search_by_key(&ip, |permission| permission.ip);
        found.ok().and_then(|at| self.permissions.get(at)).is_some_and(|found| now < found.expires)
    }

    /// How many of these addresses there is no permission for.
    pub(super) fn new_among(&self, ips: &[IpAddr]) -> usize {
        let known = |ip: &IpAddr| self.permissions.binary_search_by_key(ip, |p| p.ip).is_ok();
        ips.iter().filter(|ip| !known(ip)).count()
    }

    /// Whether so many `new` permissions would still be within `limit`.
    pub(super) const fn has_room_for_permissions(&self, new: usize, limit: usize) -> bool {
        new == 0 || self.permissions.len() + new <= limit
    }

    //= 8656-9-refreshed-by
    /// Installs or refreshes a permission.
    pub(super) fn permit(&mut self, ip: IpAddr, expires: Tick) {
        match self.permissions.binary_search_by_key(&ip, |permission| permission.ip) {
            Ok(at) => {
                if let Some(permission) = self.permissions.get_mut(at) {
                    permission.expires = expires;
                }
            }
            Err(at) => self.permissions.insert(at, Permission { ip, expires }),
        }
        for channel in &mut self.channels {
            if channel.peer.0.ip() == ip {
                channel.permitted_until = expires;
            }
        }
    }

    //= 8656-12-per-allocation
    pub(super) fn channel(&self, number: ChannelNumber) -> Option<&Channel> {
        let at = self.channels.binary_search_by_key(&number, |channel| channel.number).ok()?;
        self.channels.get(at)
    }

    pub(super) fn channel_to(&self, peer: PeerAddr) -> Option<&Channel> {
        let at = self.peers.binary_search_by_key(&peer, |(peer, _)| *peer).ok()?;
        self.peers.get(at).and_then(|(_, number)| self.channel(*number))
    }

    pub(super) fn channel_count(&self) -> usize {
        self.channels.len()
    }

    /// Whether number or peer had another partner until a moment ago.
    pub(super) fn is_guarded(&self, number: ChannelNumber, peer: PeerAddr, now: Tick) -> bool {
        self.ended
            .iter()
            .any(|ended| now < ended.until && (ended.number == number) != (ended.peer == peer))
    }

    /// Binds a channel or refreshes its binding; returns whether it is new. The caller has made
    /// sure that neither number nor peer is bound otherwise.
    pub(super) fn bind(&mut self, channel: Channel) -> bool {
        match self.channels.binary_search_by_key(&channel.number, |channel| channel.number) {
            Ok(at) => {
                if let Some(slot) = self.channels.get_mut(at) {
                    *slot = channel;
                }
                false
            }
            Err(at) => {
                self.channels.insert(at, channel);
                if let Err(at) = self.peers.binary_search_by_key(&channel.peer, |(peer, _)| *peer) {
                    self.peers.insert(at, (channel.peer, channel.number));
                }
                true
            }
        }
    }

    /// Drops what has expired; hands each dropped channel to `ended`.
    pub(super) fn sweep(&mut self, now: Tick, mut ended: impl FnMut(&Channel)) {
        self.permissions.retain(|permission| now < permission.expires);
        let (peers, guard) = (&mut self.peers, &mut self.ended);
        self.channels.retain(|channel| {
            let keep = now < channel.expires;
            if !keep {
                peers.retain(|(_, number)| *number != channel.number);
                let until = channel.expires + REBIND_GUARD;
                guard.push(Ended { number: channel.number, peer: channel.peer, until });
                ended(channel);
            }
            keep
        });
        guard.retain(|ended| now < ended.until);
    }

    /// The addresses that there are permissions for.
    pub(super) fn permitted(&self) -> impl Iterator<Item = IpAddr> {
        self.permissions.iter().map(|permission| permission.ip)
    }

    /// Lets the permission for an address end now.
    pub(super) fn expire_permission(&mut self, now: Tick, ip: IpAddr) {
        self.permit(ip, now);
    }

    /// Lets the channel to a peer end now.
    pub(super) fn expire_channel(&mut self, now: Tick, peer: PeerAddr) {
        if let Some(channel) = self.channels.iter_mut().find(|channel| channel.peer == peer) {
            channel.expires = channel.expires.min(now);
        }
    }

    pub(super) fn channels(&self) -> impl Iterator<Item = &Channel> {
        self.channels.iter()
    }

    /// Its channels, as a faster data path knows them.
    pub(super) fn routes(&self) -> impl Iterator<Item = ChannelRoute> {
        self.channels.iter().filter_map(|channel| {
            let relay = self.relay(Family::of(channel.peer.0.ip()))?.local;
            let (client, peer) = (self.client, channel.peer);
            Some(ChannelRoute { client, channel: channel.number, relay, peer })
        })
    }

    #[cfg(test)]
    pub(super) fn remembered_channels(&self) -> usize {
        self.ended.len()
    }

    /// The earliest moment at which something of it expires.
    pub(super) fn deadline(&self) -> Tick {
        let permissions = self.permissions.iter().map(|permission| permission.expires);
        let channels = self.channels.iter().map(|channel| channel.expires);
        let connections = self.tcp.as_ref().and_then(TcpAllocation::deadline);
        permissions.chain(channels).chain(connections).fold(self.expires, Tick::min)
    }
}
