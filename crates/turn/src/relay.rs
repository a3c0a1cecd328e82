//! The packets themselves: ChannelData and Send indications on their way to a peer, and what
//! peers send back (RFC 8656 sections 11 and 12). No table is walked here, nothing is allocated,
//! no lock taken, no line logged. When a rate is reached, an event says so once a minute.

use std::net::SocketAddr;
use std::ops::Range;

use super::allocations::{Allocation, Reach};
use super::clock::Tick;
use super::context::Context;
use super::effects::{Observer, Outside};
use super::event::Event;
use super::parts::Parts;
use super::peer_check::{is_for_guest, is_within_reach};
use super::policy::{Direction, RateLimits, Scope, Tenant};
use super::rules::Rules;
use super::types::{AllocationId, Client, PeerAddr, Via};
use super::verdict::{DropReason, Prefix, Verdict};
use taciturn_stun::{ChannelData, Family, Message, canonical_ip, data_indication_prefix};

/// What a client sends to a peer: these bytes of its packet.
struct ToPeer {
    peer: PeerAddr,
    payload: Range<usize>,
    dont_fragment: bool,
}

//= 8656-12.6-no-refresh
/// RFC 8656 section 12.6.
pub(super) fn channel_data<O: Outside>(
    cx: &mut Context<'_, O>,
    client: Client,
    packet: &[u8],
) -> Verdict {
    let Some(message) = ChannelData::parse(packet) else {
        return Verdict::Drop(DropReason::Malformed);
    };
    let now = cx.now.tick;
    send_to_peer(cx, client, |_, allocation| {
        //= 8656-12.6-empty
        let payload = ChannelData::HEADER_LEN..ChannelData::HEADER_LEN + message.data.len();
        let channel = allocation.udp().and_then(|udp| udp.channels().get(message.channel));
        //= 8656-12.6-not-bound
        let channel = channel.ok_or(DropReason::NoChannel)?;
        if !channel.is_open(now) {
            let bound = now < channel.expires;
            return Err(if bound { DropReason::NoPermission } else { DropReason::NoChannel });
        }
        Ok(ToPeer { peer: channel.peer, payload, dont_fragment: false })
    })
}

/// RFC 8656 section 11.2.
pub(super) fn send_indication<O: Outside>(
    cx: &mut Context<'_, O>,
    client: Client,
    packet: &[u8],
    message: &Message<'_>,
) -> Verdict {
    //= 8656-11.2-both-attributes, 8489-6.3.2-indications
    let (Ok(Some(peer)), Some(data), true) =
        (message.peer(), message.data(), message.unknown().is_empty())
    else {
        return Verdict::Drop(DropReason::BadIndication);
    };
    let now = cx.now.tick;
    send_to_peer(cx, client, |rules, allocation| {
        // Data of a TCP allocation go over connections of their own (RFC 6062 section 4.5).
        if allocation.tcp().is_some() {
            return Err(DropReason::BadIndication);
        }
        let peer = PeerAddr(SocketAddr::new(canonical_ip(peer.ip()), peer.port()));
        //= 8656-11.2-permission
        let reach = allocation.permitted(peer.0.ip(), now).ok_or(DropReason::NoPermission)?;
        // Which ports of an own address are good is looked at below, for channels as well.
        if reach == Reach::Named && !is_within_reach(rules, allocation, reach, peer.0) {
            return Err(DropReason::NoPermission);
        }
        let start = (data.as_ptr() as usize).saturating_sub(packet.as_ptr() as usize);
        //= 8656-11.2-empty-data
        let payload = start..start + data.len();
        //= 8656-13.1-ignore-dont-fragment
        // RFC 8656 section 13: from UDP to UDP, DONT-FRAGMENT is for IPv4 on both sides and is
        // ignored elsewhere. Section 15: from a connection it always counts.
        let both_v4 = client.remote.0.is_ipv4() && peer.0.is_ipv4();
        //= 8656-15-tcp-to-udp
        let honoured = both_v4 || matches!(client.via, Via::Stream { .. });
        //= 8656-11.2-dont-fragment
        let dont_fragment = message.dont_fragment() && honoured;
        Ok(ToPeer { peer, payload, dont_fragment })
    })
}

/// Sends bytes of a client's packet on to a peer that `judge` has found good: out by the relay socket,
/// or, if the peer is a relayed address of this shard, straight to the client behind it.
#[inline]
fn send_to_peer<O: Outside>(
    cx: &mut Context<'_, O>,
    client: Client,
    judge: impl FnOnce(&Rules, &Allocation) -> Result<ToPeer, DropReason>,
) -> Verdict {
    let Parts { settings, rules, allocations, statistics, .. } = &mut *cx.parts;
    //= 8656-5-no-allocation-data
    let Some(mut entry) = allocations.entry_of(&client) else {
        return Verdict::Drop(DropReason::NoAllocation);
    };
    let ToPeer { peer, payload, dont_fragment } = match judge(rules, &entry) {
        Ok(to_peer) => to_peer,
        Err(reason) => return Verdict::Drop(reason),
    };
    if let Some(guest) = &entry.guest {
        if !is_for_guest(settings, rules, peer.0) {
            return Verdict::Drop(DropReason::NoPermission);
        }
        if !guest.takes(rules.guests.rates(), cx.now.tick, Direction::ToPeers, payload.len()) {
            return Verdict::Drop(DropReason::UserRate);
        }
    }
    let family = Family::of(peer.0.ip());
    let Some(relay) = entry.relay(family) else {
        return Verdict::Drop(DropReason::NoPermission);
    };
    let (relay, source) = (relay.id, relay.public);
    let mut destination = peer.0;
    let mut other = None;
    if let Some(own) = settings.relay_address(family)
        && own.public == peer.0.ip()
    {
        other = entry.on_port(family, peer.0.port());
        if other.is_some() {
            // It goes to the client behind that port, without a socket.
        } else if rules.ports.is_live(family, peer.0.port()) {
            // A relay of another shard: the kernel takes it there.
            destination.set_ip(own.local);
        } else if !entry.peers(&rules.peers).port_allowed_by_name(peer.0.ip(), peer.0.port()) {
            return Verdict::Drop(DropReason::OwnAddress);
        }
    }
    let now = cx.now.tick;
    if rules.rates.is_on() {
        let (rates, len) = (&rules.rates, payload.len());
        if let Err(reason) = within(rates, now, &entry, Direction::ToPeers, len, cx.outside) {
            return Verdict::Drop(reason);
        }
    }
    entry.traffic.count_to_peer(payload.len());
    entry.active = now;
    statistics.count_to_peer(entry.counted_as(), payload.len());
    if let Some(other) = other {
        return deliver(cx, other, source, payload);
    }
    //= 8656-11.2-datagram
    Verdict::ToPeer { relay, peer: destination, payload, dont_fragment }
}

/// Hands what `peer` sent to the client of an allocation (RFC 8656 sections 11.3 and 12.7).
#[inline]
pub(super) fn deliver<O: Outside>(
    cx: &mut Context<'_, O>,
    id: AllocationId,
    peer: SocketAddr,
    payload: Range<usize>,
) -> Verdict {
    let Parts { settings, rules, allocations, statistics, tids, .. } = &mut *cx.parts;
    let now = cx.now.tick;
    let Some(allocation) = allocations.get_mut(id) else {
        return Verdict::Drop(DropReason::NoAllocation);
    };
    let Ok(len) = u16::try_from(payload.len()) else {
        return Verdict::Drop(DropReason::TooLong);
    };
    if allocation.is_away() {
        return Verdict::Drop(DropReason::NoAllocation);
    }
    if let Some(guest) = &allocation.guest {
        if !is_for_guest(settings, rules, peer) {
            guest.count_outside();
            return Verdict::Drop(DropReason::NoPermission);
        }
        if !guest.takes(rules.guests.rates(), now, Direction::ToClient, payload.len()) {
            return Verdict::Drop(DropReason::UserRate);
        }
    }
    let client = allocation.client();
    //= 8656-11.3-channel-first
    let channel = allocation.udp().and_then(|udp| udp.channels().to(PeerAddr(peer)));
    let channel = channel.filter(|channel| channel.is_open(now)).map(|channel| channel.number);
    //= 8656-9-no-permission
    if channel.is_none() {
        let permitted = allocation.permitted(peer.ip(), now);
        if !permitted.is_some_and(|reach| is_within_reach(rules, allocation, reach, peer)) {
            return Verdict::Drop(DropReason::NoPermission);
        }
    }
    if rules.rates.is_on() {
        let (rates, len) = (&rules.rates, payload.len());
        if let Err(reason) = within(rates, now, allocation, Direction::ToClient, len, cx.outside) {
            return Verdict::Drop(reason);
        }
    }
    if let Some(channel) = channel {
        allocation.traffic.count_to_client(len);
        allocation.active = now;
        statistics.count_to_client(allocation.counted_as(), len);
        //= 8656-12.5-padding
        // RFC 8656 section 12.5: padding over streams only. Records of DTLS keep their borders
        // as datagrams do.
        let padding = match client.via {
            Via::Udp(_) | Via::Dtls { .. } => 0,
            Via::Stream { .. } => padding(len),
        };
        //= 8656-12.5-use-channel
        let prefix = Prefix::new(&ChannelData::header(channel, len));
        return Verdict::ToClient { client, prefix, payload, padding };
    }
    let tid = tids.next(cx.outside);
    let mut head = [0; 48];
    let Ok(used) = data_indication_prefix(&mut head, tid, peer, len) else {
        return Verdict::Drop(DropReason::TooLong);
    };
    allocation.traffic.count_to_client(len);
    allocation.active = now;
    statistics.count_to_client(allocation.counted_as(), len);
    let prefix = Prefix::new(head.get(..used).unwrap_or_default());
    Verdict::ToClient { client, prefix, payload, padding: padding(len) }
}

/// Takes a packet out of the rates, if there are any. What is beyond them is dropped, and the
/// log hears of it once a minute.
#[inline(never)]
pub(super) fn within(
    rates: &RateLimits,
    now: Tick,
    allocation: &Allocation,
    direction: Direction,
    len: usize,
    outside: &mut impl Observer,
) -> Result<(), DropReason> {
    let shared @ (user, tenant) = allocation.quota.spenders();
    let Err(exceeded) = rates.packet(now, direction, len, &allocation.meter, shared) else {
        return Ok(());
    };
    let (meter, reason) = match exceeded.scope {
        Scope::Allocation => (&*allocation.meter, DropReason::AllocationRate),
        Scope::User => (user, DropReason::UserRate),
        Scope::Tenant => {
            (tenant.map_or_else(|| rates.all(), Tenant::meter), DropReason::TenantRate)
        }
        Scope::All => (rates.all(), DropReason::TotalRate),
    };
    if let Some(packets) = meter.hold_back(now) {
        let (client, user) = (allocation.client(), &allocation.username);
        outside.event(Event::HeldBack { client, user, exceeded, packets });
    }
    Err(reason)
}

/// Zero bytes up to the next multiple of 4.
const fn padding(len: u16) -> u8 {
    (len.wrapping_neg() & 3) as u8
}
