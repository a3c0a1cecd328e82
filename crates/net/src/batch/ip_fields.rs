//! The fields of the IP header that a relayed datagram keeps (RFC 8656 sections 13 to 15).

/// Bits of the TOS and of the traffic class that are the DSCP (RFC 2474).
const DSCP: u8 = 0b1111_1100;

/// Bits of the TOS and of the traffic class that are ECN (RFC 3168).
const ECN: u8 = 0b0000_0011;

/// Which fields of the IP header of a received datagram are kept in the one that it is relayed in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeptFields {
    /// The DSCP: otherwise 0, best effort.
    pub dscp: bool,
    /// ECN: otherwise 0, Not-ECT.
    pub ecn: bool,
    /// The TTL of IPv4 and the hop limit of IPv6, less one: otherwise the system's default.
    pub ttl: bool,
}

impl KeptFields {
    /// Returns true if the TOS or the traffic class of datagrams has to be known.
    pub(crate) const fn any_of_traffic_class(self) -> bool {
        self.dscp || self.ecn
    }

    /// Returns the fields that are not kept: what a socket of which nothing is known may have been asked for.
    pub(crate) const fn negated(self) -> Self {
        let any = self.any_of_traffic_class();
        Self { dscp: !any, ecn: !any, ttl: !self.ttl }
    }

    /// Returns what is kept of a datagram that came with these.
    pub(crate) const fn of(self, received: IpFields) -> IpFields {
        let dscp = if self.dscp { DSCP } else { 0 };
        let ecn = if self.ecn { ECN } else { 0 };
        IpFields { traffic_class: received.traffic_class & (dscp | ecn), ..received }
    }
}

/// Returns the DSCP alone of a TOS or traffic class.
pub(super) const fn dscp(traffic_class: u8) -> u8 {
    traffic_class & DSCP
}

/// What a datagram is sent with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct IpFields {
    /// DSCP and ECN: the TOS of IPv4, the traffic class of IPv6.
    pub(crate) traffic_class: u8,
    /// The TTL of IPv4, the hop limit of IPv6; `None` for the system's default. A datagram with 0 has used up
    /// what its sender gave it, and is not sent.
    pub(crate) hop_limit: Option<u8>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_field_is_kept_or_zero() {
        let received = IpFields { traffic_class: 0xbb, hop_limit: Some(9) };
        for (dscp, ecn, kept) in
            [(true, true, 0xbb), (true, false, 0xb8), (false, true, 0x03), (false, false, 0)]
        {
            let fields = KeptFields { dscp, ecn, ttl: true };
            assert_eq!(fields.of(received), IpFields { traffic_class: kept, ..received });
            assert_eq!(fields.any_of_traffic_class(), kept != 0);
        }
    }
}
