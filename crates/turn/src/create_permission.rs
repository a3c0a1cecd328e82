//! CreatePermission (RFC 8656 section 10), and the peer check it shares with ChannelBind.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::cause::Cause;
use super::outside::{Event, Outside};
use super::request::{Answer, Failure, Request};
use super::shard::Shard;
use crate::policy::{Refusal, Scope};
use taciturn_stun::{ErrorCode, Family, canonical_ip};

//= 8656-9-300-s
/// RFC 8656 section 9: always 300 seconds.
pub(super) const PERMISSION_LIFETIME: Duration = Duration::from_secs(300);

/// How many XOR-PEER-ADDRESSes one request may hold.
const MAX_PEERS_A_REQUEST: usize = 32;

impl Shard {
    pub(super) fn create_permission(
        &mut self,
        request: &Request<'_>,
        outside: &mut impl Outside,
    ) -> Answer {
        let now = request.now.tick;
        let Some((index, _)) = self.allocation_of(&request.client) else {
            //= 8656-5-no-allocation-request
            return Err(Failure::new(ErrorCode::ALLOCATION_MISMATCH, "There is no allocation"));
        };
        //= 8656-10.2-all-or-none
        // RFC 8656 section 10.2: all of them or none, so each is judged before any is installed.
        let mut peers = [IpAddr::from([0, 0, 0, 0]); MAX_PEERS_A_REQUEST];
        let mut count = 0;
        for peer in request.message.peers() {
            let peer = self.judge_peer(request, index, peer?, None, outside)?;
            //= 8656-9-by-address
            // RFC 8656 section 9: ports do not matter, so one address is one permission.
            if peers.get(..count).is_some_and(|known| known.contains(&peer.ip())) {
                continue;
            }
            let Some(slot) = peers.get_mut(count) else {
                return Err(Failure::new(ErrorCode::INSUFFICIENT_CAPACITY, "Too many peers"));
            };
            *slot = peer.ip();
            count += 1;
        }
        let peers = peers.get(..count).unwrap_or_default();
        if peers.is_empty() {
            //= 8656-10.2-at-least-one
            return Err(Failure::new(ErrorCode::BAD_REQUEST, "XOR-PEER-ADDRESS is missing"));
        }
        self.make_room(now, index, peers, outside)?;
        for ip in peers {
            self.permit(now, index, *ip);
        }
        Ok(())
    }

    /// Fails with 508 unless the allocation has room for permissions for all of `peers`, and may
    /// have so many new ones now. Those it has already count neither here nor there.
    pub(super) fn make_room(
        &mut self,
        now: crate::clock::Tick,
        index: u32,
        peers: &[IpAddr],
        outside: &mut impl Outside,
    ) -> Result<(), Failure> {
        let limit = self.settings.max_permissions;
        let fits = |shard: &Self| {
            let allocation = shard.allocations.get(index as usize);
            allocation.is_some_and(|a| a.has_room_for_permissions(a.new_among(peers), limit))
        };
        if !fits(self) {
            self.sweep(now, index, outside);
            if !fits(self) {
                //= 8656-10.2-no-capacity
                return Err(Cause::Permissions.into());
            }
        }
        let new = self.allocations.get(index as usize).map_or(0, |a| a.new_among(peers));
        if new > 0 { self.admit_new_peers(now, index, new) } else { Ok(()) }
    }

    /// Takes new peers out of what the allocation and its user may have in a second, or fails with
    /// 508.
    pub(super) fn admit_new_peers(
        &self,
        now: crate::clock::Tick,
        index: u32,
        new: usize,
    ) -> Result<(), Failure> {
        let Some(allocation) = self.allocations.get(index as usize) else { return Ok(()) };
        let user = allocation.quota.meter();
        let admitted = self.rules.rates.new_peers(now, new, &allocation.meter, user);
        admitted.map_err(|exceeded| match exceeded.scope {
            Scope::Allocation => Cause::AllocationPeerRate.into(),
            Scope::User | Scope::All => Cause::UserPeerRate.into(),
        })
    }

    /// Installs or refreshes a permission that was judged good.
    pub(super) fn permit(&mut self, now: crate::clock::Tick, index: u32, ip: IpAddr) {
        let expires = now + PERMISSION_LIFETIME;
        if let Some(allocation) = self.allocations.get_mut(index as usize) {
            allocation.permit(ip, expires);
        }
        self.queue(index, expires);
    }

    /// Whether the client may have this peer; returns its canonical address. `port` is given where
    /// it matters: a permission is for an address, a channel for an address and a port.
    pub(super) fn judge_peer(
        &self,
        request: &Request<'_>,
        index: u32,
        peer: SocketAddr,
        port: Option<u16>,
        outside: &mut impl Outside,
    ) -> Result<SocketAddr, Failure> {
        let ip = canonical_ip(peer.ip());
        // RFC 8656 sections 10.2 and 12.2: a peer of a family that the allocation has no relayed
        // address of.
        let has_family = self
            .allocations
            .get(index as usize)
            .is_some_and(|allocation| allocation.relay(Family::of(ip)).is_some());
        if !has_family {
            //= 8656-10.2-family-mismatch, 8656-12.2-family-mismatch
            return Err(Failure::new(ErrorCode::PEER_ADDRESS_FAMILY_MISMATCH, ""));
        }
        let refused = self.peer_refusal(ip, port);
        if let Some(refusal) = refused {
            outside.event(Event::PeerRefused { client: request.client, peer: ip, refusal });
            //= 8656-10.2-forbidden
            return Err(Failure::new(ErrorCode::FORBIDDEN, ""));
        }
        Ok(SocketAddr::new(ip, peer.port()))
    }

    /// Why the rules refuse a peer, if they do; `Some(None)` where the port of an own address is no
    /// relay port.
    pub(super) fn peer_refusal(&self, ip: IpAddr, port: Option<u16>) -> Option<Option<Refusal>> {
        let refusal = self.rules.peers.check(ip).err();
        if self.is_relay_address(ip) {
            // Relayed addresses of this server are good peers, unless the operator denies them.
            // Packets pass to live relay ports alone; a channel elsewhere is refused at once.
            let elsewhere = port.is_some_and(|port| !self.rules.ports.range().contains(port));
            match refusal {
                Some(refusal) if refusal.is_configured() => Some(Some(refusal)),
                Some(refusal) if elsewhere => Some(Some(refusal)),
                _ if elsewhere && !self.rules.peers.allowed_by_name(ip) => Some(None),
                _ => None,
            }
        } else {
            refusal.map(Some)
        }
    }
}
