//! ICMP errors that datagrams to peers met on their way (RFC 8656 section 11.5). Off by default;
//! `net` reads them off the relay sockets where they are wanted.

use std::net::SocketAddr;

use super::outside::Outside;
use super::relay::within;
use super::shard::Shard;
use super::types::{AllocationId, Client, Verdict};
use crate::clock::Now;
use crate::policy::Direction;
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

impl Shard {
    /// Takes an ICMP error about a datagram that the relay socket of `allocation` in `family` sent
    /// to `peer`. Writes a Data indication into `out`; answers for whom it is, and its length.
    /// `None` where nobody is to be told.
    pub fn from_icmp(
        &mut self,
        now: Now,
        (allocation, family): (AllocationId, Family),
        peer: SocketAddr,
        error: IcmpError,
        out: &mut [u8],
        outside: &mut impl Outside,
    ) -> Option<(Client, usize)> {
        let peer = SocketAddr::new(canonical_ip(peer.ip()), peer.port());
        let peer = self.public_address(family, peer);
        let index = self.find(allocation)?;
        let allocation = self.allocations.get(index as usize)?;
        //= 8656-11.5-whose-permission
        // The permission is asked for of whom the datagram was for, not of who sent the error.
        let is_told = error.is_relayed(family) && !allocation.is_away();
        if !is_told || !allocation.permits(peer.ip(), now.tick) {
            return None;
        }
        let client = allocation.client;
        let tid = self.tids.next(outside);
        let len = Writer::new(out, Class::Indication, Method::DATA, tid)
            .address(T::XOR_PEER_ADDRESS, peer)
            //= 8656-11.5-attributes
            .attribute(T::ICMP, &error.value(family))
            .finish()
            .ok()?;
        // Anybody can make such errors up, as often as they like.
        let rates = &self.rules.rates;
        if rates.is_on()
            && let Err(reason) =
                within(rates, now.tick, allocation, Direction::ToClient, len, outside)
        {
            self.count(&Verdict::Drop(reason));
            return None;
        }
        Some((client, len))
    }
}
