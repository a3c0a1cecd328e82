//! Which peers a client may have, and what an address of this server's own means as client or peer.

use std::net::{IpAddr, SocketAddr};

use super::policy::Refusal;
use super::rules::Rules;
use super::settings::Settings;
use super::types::{Client, RelayAddress};
use taciturn_stun::{Family, canonical_ip};

/// A peer that a client may not have: the rule, or `None` if the port of an own address is no relay
/// port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refused(pub(super) Option<Refusal>);

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
/// a channel for an address and a port.
pub(super) fn check_peer(
    settings: &Settings,
    rules: &Rules,
    ip: IpAddr,
    port: Option<u16>,
) -> Result<(), Refused> {
    let refusal = rules.peers.check(ip).err();
    let is_own = settings.relay_address(Family::of(ip)).is_some_and(|own| own.public == ip);
    if !is_own {
        return refusal.map_or(Ok(()), |refusal| Err(Refused(Some(refusal))));
    }
    // Relayed addresses of this server are good peers, unless the operator denies them.
    // Packets pass to live relay ports alone; a channel elsewhere is refused at once.
    let elsewhere = port.is_some_and(|port| !rules.ports.range().contains(port));
    match refusal {
        Some(refusal) if refusal.is_configured() => Err(Refused(Some(refusal))),
        Some(refusal) if elsewhere => Err(Refused(Some(refusal))),
        _ if elsewhere && !rules.peers.allowed_by_name(ip) => Err(Refused(None)),
        _ => Ok(()),
    }
}

/// Fails if there may be no TCP connection with `peer`; returns where it is connected to. A relayed
/// address of this server is a good peer if a TCP allocation listens on that very port.
pub(super) fn check_tcp_peer(
    settings: &Settings,
    rules: &Rules,
    peer: SocketAddr,
) -> Result<SocketAddr, Refused> {
    let family = Family::of(peer.ip());
    let refusal = rules.peers.check(peer.ip()).err();
    let own = settings.relay_address(family).filter(|own| own.public == peer.ip());
    let Some(own) = own else {
        return refusal.map_or(Ok(peer), |refusal| Err(Refused(Some(refusal))));
    };
    match refusal {
        Some(refusal) if refusal.is_configured() => Err(Refused(Some(refusal))),
        _ if rules.ports.is_live_for_tcp(family, peer.port()) => {
            Ok(SocketAddr::new(own.local, peer.port()))
        }
        _ if rules.peers.allowed_by_name(peer.ip()) => Ok(peer),
        refusal => Err(Refused(refusal)),
    }
}
