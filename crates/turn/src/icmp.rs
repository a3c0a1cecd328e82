//! ICMP errors that datagrams to peers met on their way (RFC 8656 section 11.5). Off by default;
//! `net` reads them off the relay sockets if they are wanted.

use std::net::SocketAddr;

use super::context::Context;
use super::effects::Outside;
use super::parts::Parts;
use super::peer_check::{is_for_guest, is_within_reach, public_address};
use super::policy::Direction;
use super::relay::within;
use super::types::{AllocationId, Client};
use super::verdict::Verdict;
use taciturn_stun::{AttributeType as T, Class, Family, Method, Writer, canonical_ip};

/// An ICMP error about a datagram of a relay socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IcmpError {
    /// Its type; what it means depends on the address family.
    pub kind: u8,
    /// Its code.
    pub code: u8,
    /// The MTU that it tells; of use for "too big" only.
    pub mtu: u32,
}

impl IcmpError {
    //= 8656-11.5-types
    /// Whether clients are told of it: unreachable and time exceeded, in IPv6 too big as well.
    const fn is_relayed(self, family: Family) -> bool {
        match family {
            Family::V4 => matches!(self.kind, 3 | 11),
            Family::V6 => matches!(self.kind, 1..=3),
        }
    }

    //= 8656-18.13-icmp-reserved
    /// The value of the ICMP attribute (RFC 8656 section 18.13): 16 reserved bits, 7 for the type, 9
    /// for the code, then 32 bits of data, which are zero unless the datagram was too big.
    fn value(self, family: Family) -> [u8; 8] {
        let too_big = match family {
            Family::V4 => (self.kind, self.code) == (3, 4),
            Family::V6 => self.kind == 2,
        };
        let [high, low] = (u16::from(self.kind) << 9 | u16::from(self.code)).to_be_bytes();
        //= 8656-18.13-icmp-data
        let [a, b, c, d] = if too_big { self.mtu.to_be_bytes() } else { [0; 4] };
        [0, 0, high, low, a, b, c, d]
    }
}

/// Writes a Data indication about an error into `out`. Returns the client that it is for, and its length;
/// `None` if nobody is to be told.
pub(super) fn from_icmp<O: Outside>(
    cx: &mut Context<'_, O>,
    (allocation, family): (AllocationId, Family),
    peer: SocketAddr,
    error: IcmpError,
    out: &mut [u8],
) -> Option<(Client, usize)> {
    let Parts { settings, rules, allocations, statistics, tids, .. } = &mut *cx.parts;
    let now = cx.now.tick;
    let peer = SocketAddr::new(canonical_ip(peer.ip()), peer.port());
    let peer = public_address(settings, rules, family, peer);
    let allocation = allocations.get(allocation)?;
    //= 8656-11.5-whose-permission
    // The permission is asked for of the peer that the datagram was for, not of the sender of the error.
    let is_told = error.is_relayed(family) && !allocation.is_away();
    let is_told = is_told && (allocation.guest.is_none() || is_for_guest(settings, rules, peer));
    let permitted = allocation.permitted(peer.ip(), now);
    if !is_told || !permitted.is_some_and(|reach| is_within_reach(rules, allocation, reach, peer)) {
        return None;
    }
    let tid = tids.next(cx.outside);
    let len = Writer::new(out, Class::Indication, Method::DATA, tid)
        .address(T::XOR_PEER_ADDRESS, peer)
        //= 8656-11.5-attributes
        .attribute(T::ICMP, &error.value(family))
        .finish()
        .ok()?;
    // Anybody can make such errors up, as often as they like.
    let rates = &rules.rates;
    if rates.is_on()
        && let Err(reason) = within(rates, now, allocation, Direction::ToClient, len, cx.outside)
    {
        statistics.count(&Verdict::Drop(reason));
        return None;
    }
    Some((allocation.client(), len))
}
