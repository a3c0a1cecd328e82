//! CreatePermission (RFC 8656 section 10), and what it shares with ChannelBind.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::allocations::{Allocation, Entry, Reach};
use super::announcing::announce;
use super::cause::Cause;
use super::clock::Tick;
use super::context::{Context, Request};
use super::effects::{Observer, Outside};
use super::event::Event;
use super::failure::{Answer, Failure};
use super::parts::Parts;
use super::peer_check::{Refused, check_peer_of};
use super::policy::Scope;
use super::rules::Rules;
use super::settings::Settings;
use taciturn_stun::{ErrorCode, Family, canonical_ip};

//= 8656-9-300-s
/// RFC 8656 section 9: always 300 seconds.
pub(super) const PERMISSION_LIFETIME: Duration = Duration::from_secs(300);

/// How many XOR-PEER-ADDRESSes one request may hold.
const MAX_PEERS_A_REQUEST: usize = 32;

pub(super) fn create_permission<O: Outside>(
    cx: &mut Context<'_, O>,
    request: &Request<'_>,
) -> Answer {
    let now = cx.now.tick;
    let Parts { settings, rules, allocations, .. } = &mut *cx.parts;
    let Some(mut entry) = allocations.entry_of(&request.client) else {
        //= 8656-5-no-allocation-request
        return Err(Failure::new(ErrorCode::ALLOCATION_MISMATCH, "There is no allocation"));
    };
    //= 8656-10.2-all-or-none
    // RFC 8656 section 10.2: all of them or none, so each is judged before any is installed.
    let mut peers = [IpAddr::from([0, 0, 0, 0]); MAX_PEERS_A_REQUEST];
    let mut reaches = [Reach::Named; MAX_PEERS_A_REQUEST];
    let mut count = 0;
    for peer in request.message.peers() {
        let (peer, reach) = judge_peer(settings, rules, &entry, peer?, None, cx.outside)?;
        if reach != Reach::All {
            tell_port(settings, rules, &entry, peer, cx.outside);
        }
        //= 8656-9-by-address
        // RFC 8656 section 9: ports do not matter, so one address is one permission.
        if peers.get(..count).is_some_and(|known| known.contains(&peer.ip())) {
            continue;
        }
        let (Some(slot), Some(of_slot)) = (peers.get_mut(count), reaches.get_mut(count)) else {
            return Err(Failure::new(ErrorCode::INSUFFICIENT_CAPACITY, "Too many peers"));
        };
        (*slot, *of_slot) = (peer.ip(), reach);
        count += 1;
    }
    let peers = peers.get(..count).unwrap_or_default();
    if peers.is_empty() {
        //= 8656-10.2-at-least-one
        return Err(Failure::new(ErrorCode::BAD_REQUEST, "XOR-PEER-ADDRESS is missing"));
    }
    make_room(settings, rules, now, &mut entry, peers)?;
    for (ip, reach) in peers.iter().zip(reaches) {
        entry.permit(*ip, reach, now + PERMISSION_LIFETIME);
    }
    let id = entry.id();
    announce(cx, id);
    Ok(())
}

/// Fails with 508 unless the allocation has room for permissions for all of `peers`, and may
/// have so many new ones now. Peers that already have a permission count toward neither limit.
pub(super) fn make_room(
    settings: &Settings,
    rules: &Rules,
    now: Tick,
    entry: &mut Entry<'_>,
    peers: &[IpAddr],
) -> Result<(), Failure> {
    let limit = settings.max_permissions;
    let fits = |allocation: &Allocation| {
        let permissions = allocation.permissions();
        permissions.has_room(permissions.new_among(peers), limit)
    };
    if !fits(entry) {
        entry.sweep(now);
        if !fits(entry) {
            //= 8656-10.2-no-capacity
            return Err(Cause::Permissions.into());
        }
    }
    let new = entry.permissions().new_among(peers);
    if new > 0 { admit_new_peers(rules, now, entry, new) } else { Ok(()) }
}

/// Takes new peers out of what the allocation and its user may have in a second, or fails with
/// 508.
pub(super) fn admit_new_peers(
    rules: &Rules,
    now: Tick,
    allocation: &Allocation,
    new: usize,
) -> Result<(), Failure> {
    let (own, shared) = (&allocation.meter, allocation.quota.spenders());
    let admitted = rules.rates.new_peers(now, new, own, shared);
    admitted.map_err(|exceeded| match exceeded.scope {
        Scope::Allocation => Cause::AllocationPeerRate.into(),
        Scope::User | Scope::Tenant | Scope::All => Cause::UserPeerRate.into(),
    })
}

/// Tells the operator of a port that no data will pass to, although its address is permitted.
fn tell_port(
    settings: &Settings,
    rules: &Rules,
    allocation: &Allocation,
    peer: SocketAddr,
    outside: &mut impl Observer,
) {
    // Clients that mean the address alone send any port, mostly 0.
    let port = Some(peer.port()).filter(|port| *port != 0);
    if let Err(refused) = check_peer_of(allocation, settings, rules, peer.ip(), port) {
        let (client, remedy) = (allocation.client(), refused.remedy);
        outside.event(Event::PortOutOfReach { client, peer, remedy });
    }
}

/// Fails if the client may not have this peer; returns its canonical address, and which of its ports are good.
/// `port` is given where it matters, see [`check_peer_of`].
pub(super) fn judge_peer(
    settings: &Settings,
    rules: &Rules,
    allocation: &Allocation,
    peer: SocketAddr,
    port: Option<u16>,
    outside: &mut impl Observer,
) -> Result<(SocketAddr, Reach), Failure> {
    let ip = canonical_ip(peer.ip());
    // RFC 8656 sections 10.2 and 12.2: a peer of a family that the allocation has no relayed
    // address of.
    if allocation.relay(Family::of(ip)).is_none() {
        //= 8656-10.2-family-mismatch, 8656-12.2-family-mismatch
        return Err(Failure::new(ErrorCode::PEER_ADDRESS_FAMILY_MISMATCH, ""));
    }
    let peer = SocketAddr::new(ip, peer.port());
    let checked = check_peer_of(allocation, settings, rules, ip, port);
    checked.map(|reach| (peer, reach)).map_err(|refused| {
        let Refused { refusal, remedy } = refused;
        outside.event(Event::PeerRefused { client: allocation.client(), peer, refusal, remedy });
        //= 8656-10.2-forbidden
        Failure::new(ErrorCode::FORBIDDEN, "")
    })
}
