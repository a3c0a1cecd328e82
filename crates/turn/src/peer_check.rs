//! Which peers a client may have, and what an address of this server's own means as client or peer.

use std::net::{IpAddr, SocketAddr};

use super::allocations::{Allocation, Reach};
use super::event::Remedy;
use super::policy::{PeerPolicy, Refusal};
use super::rules::Rules;
use super::settings::Settings;
use super::types::{Client, RelayAddress};
use taciturn_stun::{Family, canonical_ip};

/// A peer that a client may not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    /// The rule, or `None` if the port of an own address is no relay port.
    pub(super) refusal: Option<Refusal>,
    /// What would let clients have it.
    pub(super) remedy: Remedy,
}

impl Refused {
    /// Nobody is its own peer.
    pub(super) const ITSELF: Self = Self { refusal: None, remedy: Remedy::Unknown };

    fn of(peers: &PeerPolicy, ip: IpAddr, refusal: Option<Refusal>, is_own: bool) -> Self {
        let is_of_this_host = refusal.is_some_and(|refusal| refusal.is_own_address());
        let remedy = match is_own {
            true => Remedy::OwnPort,
            false if is_of_this_host || peers.some_port_allowed_by_name(ip) => Remedy::Port,
            false => Remedy::Unknown,
        };
        Self { refusal, remedy }
    }
}

/// Returns whether a request has come round by a relayed transport address of this server: such
/// clients could pile relays upon relays, and hide behind the server's own address.
pub(super) fn comes_from_own_relay(settings: &Settings, rules: &Rules, client: &Client) -> bool {
    let (ip, port) = (canonical_ip(client.remote.0.ip()), client.remote.0.port());
    let family = Family::of(ip);
    settings.relay_address(family).is_some_and(|own| own.local == ip)
        && match client.via.is_tcp() {
            true => rules.ports.is_live_for_tcp(family, port),
            false => rules.ports.is_live(family, port),
        }
}

/// A peer's address as other clients know it: behind a 1:1 NAT, packets of this server's own
/// relays come from the private side.
#[inline]
pub(super) fn public_address(
    settings: &Settings,
    rules: &Rules,
    family: Family,
    peer: SocketAddr,
) -> SocketAddr {
    public_side(settings, family, peer, |port| rules.ports.is_live(family, port))
}

/// As [`public_address`], for the TCP connections of this server's own relays.
pub(super) fn public_tcp_address(
    settings: &Settings,
    rules: &Rules,
    family: Family,
    peer: SocketAddr,
) -> SocketAddr {
    public_side(settings, family, peer, |port| rules.ports.is_live_for_tcp(family, port))
}

#[inline]
fn public_side(
    settings: &Settings,
    family: Family,
    peer: SocketAddr,
    is_live: impl FnOnce(u16) -> bool,
) -> SocketAddr {
    match settings.relay_address(family) {
        Some(RelayAddress { public, local })
            if local != public && peer.ip() == local && is_live(peer.port()) =>
        {
            SocketAddr::new(public, peer.port())
        }
        _ => peer,
    }
}

/// Fails if the rules refuse a peer. `port` is given where it matters: a permission is for an address,
/// a channel for an address and a port. An address is refused if all its ports are. Returns which ports of the
/// address are good.
fn check_peer(
    settings: &Settings,
    rules: &Rules,
    peers: &PeerPolicy,
    ip: IpAddr,
    port: Option<u16>,
) -> Result<Reach, Refused> {
    let refusal = peers.check(ip).err();
    let is_own = settings.relay_address(Family::of(ip)).is_some_and(|own| own.public == ip);
    if refusal.is_none() && (!is_own || peers.allowed_by_name(ip)) {
        return Ok(Reach::All);
    }
    let is_named = port.map_or_else(
        || peers.some_port_allowed_by_name(ip),
        |port| peers.port_allowed_by_name(ip, port),
    );
    // Relayed addresses of this server are good peers, unless the operator denies them.
    // Packets pass to live relay ports alone; a channel elsewhere is refused at once.
    let is_denied = !is_own || refusal.is_some_and(|refusal| refusal.is_configured());
    let reach = if is_denied { Reach::Named } else { Reach::Own };
    let elsewhere = port.is_some_and(|port| !rules.ports.range().contains(port));
    match is_named || (!is_denied && !elsewhere) {
        true => Ok(reach),
        false => Err(Refused::of(peers, ip, refusal, is_own)),
    }
}

/// As [`check_peer`], for the peer of an allocation that is there.
pub(super) fn check_peer_of(
    allocation: &Allocation,
    settings: &Settings,
    rules: &Rules,
    ip: IpAddr,
    port: Option<u16>,
) -> Result<Reach, Refused> {
    match allocation.guest {
        None => check_peer(settings, rules, allocation.peers(&rules.peers), ip, port),
        Some(_) => check_peer_of_guest(settings, rules, ip, port),
    }
}

/// A guest may have relayed addresses of guests as peers, and no other address, whatever the operator allows to users.
fn check_peer_of_guest(
    settings: &Settings,
    rules: &Rules,
    ip: IpAddr,
    port: Option<u16>,
) -> Result<Reach, Refused> {
    let family = Family::of(ip);
    let is_own = settings.relay_address(family).is_some_and(|own| own.public == ip);
    let is_denied = rules.peers.check(ip).is_err_and(|refusal| refusal.is_configured());
    let is_relay = port.is_none_or(|port| rules.guests.is_relay(family, port));
    match is_own && !is_denied && is_relay {
        true => Ok(Reach::Own),
        false => Err(Refused { refusal: Some(Refusal::of_guest()), remedy: Remedy::Unknown }),
    }
}

/// Returns whether data may pass between a guest and this peer. Asked for each packet, whatever permission there is.
#[inline]
pub(super) fn is_for_guest(settings: &Settings, rules: &Rules, peer: SocketAddr) -> bool {
    let family = Family::of(peer.ip());
    settings.relay_address(family).is_some_and(|own| own.public == peer.ip())
        && rules.guests.is_relay(family, peer.port())
}

/// Returns whether data may pass to and from this port of an address that there is a permission for. To an own
/// address they go to live relay ports, and to those that the operator allows.
#[inline]
pub(super) fn is_within_reach(
    rules: &Rules,
    allocation: &Allocation,
    reach: Reach,
    peer: SocketAddr,
) -> bool {
    let (ip, port) = (peer.ip(), peer.port());
    let is_named = || allocation.peers(&rules.peers).port_allowed_by_name(ip, port);
    match reach {
        Reach::All => true,
        Reach::Own => rules.ports.is_live(Family::of(ip), port) || is_named(),
        Reach::Named => is_named(),
    }
}

/// Fails if there may be no TCP connection with `peer` by the rules `peers` of the tenant; returns where it is connected
/// to. A relayed address of this server is a good peer if a TCP allocation listens on that very port.
pub(super) fn check_tcp_peer(
    settings: &Settings,
    rules: &Rules,
    peers: &PeerPolicy,
    peer: SocketAddr,
) -> Result<SocketAddr, Refused> {
    let (ip, port) = (peer.ip(), peer.port());
    let family = Family::of(ip);
    let refusal = peers.check(ip).err();
    let is_named = peers.port_allowed_by_name(ip, port);
    let own = settings.relay_address(family).filter(|own| own.public == ip);
    let refused = || Refused::of(peers, ip, refusal, own.is_some());
    match (own, refusal) {
        (None, None) => Ok(peer),
        (None, Some(_)) if is_named => Ok(peer),
        (None, Some(_)) => Err(refused()),
        (Some(_), Some(refusal)) if refusal.is_configured() && !is_named => Err(refused()),
        (Some(own), _) if rules.ports.is_live_for_tcp(family, port) => {
            Ok(SocketAddr::new(own.local, port))
        }
        (Some(_), _) if is_named => Ok(peer),
        (Some(_), _) => Err(refused()),
    }
}
