//! The packets themselves: ChannelData and Send indications on their way to a peer, and what
//! peers send back (RFC 8656 sections 11 and 12). No table is walked here, nothing is allocated,
//! no lock taken, no line logged. Where a rate is reached, an event says so once a minute.

use std::net::SocketAddr;
use std::ops::Range;

use super::allocation::Allocation;
use super::outside::{Event, Outside};
use super::shard::{Shard, relay_id};
use super::types::{Client, DropReason, PeerAddr, Prefix, Verdict, Via};
use crate::clock::{Now, Tick};
use crate::policy::{Direction, RateLimits, Scope};
use taciturn_stun::{ChannelData, Family, Message, data_indication_prefix};

impl Shard {
    //= 8656-12.6-no-refresh
    /// RFC 8656 section 12.6.
    pub(super) fn channel_data(
        &mut self,
        now: Now,
        client: Client,
        packet: &[u8],
        outside: &mut impl Outside,
    ) -> Verdict {
        let Some(message) = ChannelData::parse(packet) else {
            return Verdict::Drop(DropReason::Malformed);
        };
        //= 8656-12.6-empty
        let payload = ChannelData::HEADER_LEN..ChannelData::HEADER_LEN + message.data.len();
        //= 8656-5-no-allocation-data
        let Some(index) = self.by_client.get(&client).copied() else {
            return Verdict::Drop(DropReason::NoAllocation);
        };
        let Some(allocation) = self.allocations.get(index as usize) else {
            return Verdict::Drop(DropReason::NoAllocation);
        };
        let Some(channel) = allocation.channel(message.channel) else {
            //= 8656-12.6-not-bound
            return Verdict::Drop(DropReason::NoChannel);
        };
        if !channel.is_open(now.tick) {
            let bound = now.tick < channel.expires;
            let reason = if bound { DropReason::NoPermission } else { DropReason::NoChannel };
            return Verdict::Drop(reason);
        }
        let peer = channel.peer;
        self.send_to_peer(now.tick, index, peer, payload, false, outside)
    }

    /// RFC 8656 section 11.2.
    pub(super) fn send_indication(
        &mut self,
        now: Now,
        client: Client,
        packet: &[u8],
        message: &Message<'_>,
        outside: &mut impl Outside,
    ) -> Verdict {
        //= 8656-11.2-both-attributes
        let (Ok(Some(peer)), Some(data), true) =
            //= 8489-6.3.2-indications
            (message.peer(), message.data(), message.unknown().is_empty())
        else {
            return Verdict::Drop(DropReason::BadIndication);
        };
        let Some((index, allocation)) = self.allocation_of(&client) else {
            return Verdict::Drop(DropReason::NoAllocation);
        };
        // Data of a TCP allocation go over connections of their own (RFC 6062 section 4.5).
        if allocation.tcp.is_some() {
            return Verdict::Drop(DropReason::BadIndication);
        }
        let peer = PeerAddr(SocketAddr::new(taciturn_stun::canonical_ip(peer.ip()), peer.port()));
        //= 8656-11.2-permission
        if !allocation.permits(peer.0.ip(), now.tick) {
            return Verdict::Drop(DropReason::NoPermission);
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
        self.send_to_peer(now.tick, index, peer, payload, dont_fragment, outside)
    }

    /// Sends `payload` of the packet on to a permitted peer: out by the relay socket, or, where the
    /// peer is a relayed address of this shard, straight to the client behind it.
    fn send_to_peer(
        &mut self,
        now: Tick,
        index: u32,
        peer: PeerAddr,
        payload: Range<usize>,
        dont_fragment: bool,
        outside: &mut impl Outside,
    ) -> Verdict {
        let family = Family::of(peer.0.ip());
        let Some(allocation) = self.allocations.get_mut(index as usize) else {
            return Verdict::Drop(DropReason::NoAllocation);
        };
        let (Some(relay), Some(source)) =
            (relay_id(allocation, family), allocation.relay(family).map(|relay| relay.public))
        else {
            return Verdict::Drop(DropReason::NoPermission);
        };
        let mut destination = peer.0;
        let mut other = None;
        if let Some(own) = self.settings.relay_addresses[family as usize]
            && own.public == peer.0.ip()
        {
            other = self.by_port[family as usize].get(&peer.0.port()).copied();
            if other.is_some() {
                // It goes to the client behind that port, without a socket.
            } else if self.rules.ports.is_live(family, peer.0.port()) {
                // A relay of another shard: the kernel takes it there.
                destination.set_ip(own.local);
            } else if !self.rules.peers.allowed_by_name(peer.0.ip()) {
                return Verdict::Drop(DropReason::OwnAddress);
            }
        }
        if self.rules.rates.is_on() {
            let (rates, len) = (&self.rules.rates, payload.len());
            if let Err(reason) = within(rates, now, allocation, Direction::ToPeers, len, outside) {
                return Verdict::Drop(reason);
            }
        }
        allocation.traffic.count_to_peer(payload.len());
        self.statistics.relayed[allocation.carrier as usize].count_to_peer(payload.len());
        if let Some(other) = other {
            return self.deliver(now, other, source, payload, outside);
        }
        //= 8656-11.2-datagram
        Verdict::ToPeer { relay, peer: destination, payload, dont_fragment }
    }

    /// Hands what `peer` sent to the client of an allocation (RFC 8656 sections 11.3 and 12.7).
    pub(super) fn deliver(
        &mut self,
        now: Tick,
        index: u32,
        peer: SocketAddr,
        payload: Range<usize>,
        outside: &mut impl Outside,
    ) -> Verdict {
        let Some(allocation) = self.allocations.get_mut(index as usize) else {
            return Verdict::Drop(DropReason::NoAllocation);
        };
        let Ok(len) = u16::try_from(payload.len()) else {
            return Verdict::Drop(DropReason::TooLong);
        };
        if allocation.is_away() {
            return Verdict::Drop(DropReason::NoAllocation);
        }
        let client = allocation.client;
        //= 8656-11.3-channel-first
        let channel = allocation.channel_to(PeerAddr(peer)).copied();
        let channel = channel.filter(|channel| channel.is_open(now));
        //= 8656-9-no-permission
        if channel.is_none() && !allocation.permits(peer.ip(), now) {
            return Verdict::Drop(DropReason::NoPermission);
        }
        if self.rules.rates.is_on() {
            let (rates, len) = (&self.rules.rates, payload.len());
            if let Err(reason) = within(rates, now, allocation, Direction::ToClient, len, outside) {
                return Verdict::Drop(reason);
            }
        }
        if let Some(channel) = channel {
            allocation.traffic.count_to_client(len);
            self.statistics.relayed[allocation.carrier as usize].count_to_client(len);
            //= 8656-12.5-padding
            // RFC 8656 section 12.5: padding over streams only. Records of DTLS keep their borders
            // as datagrams do.
            let padding = match client.via {
                Via::Udp(_) | Via::Dtls { .. } => 0,
                Via::Stream { .. } => padding(len),
            };
            //= 8656-12.5-use-channel
            let prefix = Prefix::new(&ChannelData::header(channel.number, len));
            return Verdict::ToClient { client, prefix, payload, padding };
        }
        let tid = self.tids.next(outside);
        let mut head = [0; 48];
        let Ok(used) = data_indication_prefix(&mut head, tid, peer, len) else {
            return Verdict::Drop(DropReason::TooLong);
        };
        allocation.traffic.count_to_client(len);
        self.statistics.relayed[allocation.carrier as usize].count_to_client(len);
        let prefix = Prefix::new(head.get(..used).unwrap_or_default());
        Verdict::ToClient { client, prefix, payload, padding: padding(len) }
    }
}

/// Takes a packet out of the rates, where there are any. What is beyond them is dropped, and the
/// log hears of it once a minute.
#[inline(never)]
pub(super) fn within(
    rates: &RateLimits,
    now: Tick,
    allocation: &Allocation,
    direction: Direction,
    len: usize,
    outside: &mut impl Outside,
) -> Result<(), DropReason> {
    let user = allocation.quota.meter();
    let Err(exceeded) = rates.packet(now, direction, len, &allocation.meter, user) else {
        return Ok(());
    };
    let (meter, reason) = match exceeded.scope {
        Scope::Allocation => (&*allocation.meter, DropReason::AllocationRate),
        Scope::User => (user, DropReason::UserRate),
        Scope::All => (rates.all(), DropReason::TotalRate),
    };
    if let Some(packets) = meter.hold_back(now) {
        let (client, user) = (allocation.client, &allocation.username);
        outside.event(Event::HeldBack { client, user, exceeded, packets });
    }
    Err(reason)
}

/// Zero bytes up to the next multiple of 4.
const fn padding(len: u16) -> u8 {
    (len.wrapping_neg() & 3) as u8
}
