//! Addresses as attributes carry them (RFC 8489 sections 14.1 and 14.2).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::header::TransactionId;
use super::{BadAttribute, MAGIC_COOKIE};

/// An address family, with the numbers of RFC 8489 section 14.1 (and RFC 8656 section 18.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// 0x01.
    V4,
    /// 0x02.
    V6,
}

impl Family {
    /// The family of an address.
    #[must_use]
    pub const fn of(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    /// The number on the wire.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::V4 => 1,
            Self::V6 => 2,
        }
    }

    /// The family with this number on the wire.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::V4),
            2 => Some(Self::V6),
            _ => None,
        }
    }
}

/// The IPv4 address that an IPv4-mapped IPv6 address represents; any other address unchanged.
///
/// Every rule about addresses is asked about the canonical form, so that `::ffff:127.0.0.1` is
/// judged as what it reaches.
#[must_use]
pub fn canonical_ip(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(ip, IpAddr::V4),
        IpAddr::V4(_) => ip,
    }
}

/// Reads an XOR-…-ADDRESS value.
//= 8489-14.1-address-length, 8489-14.1-first-byte
pub(super) fn read_xored(value: &[u8], tid: TransactionId) -> Result<SocketAddr, BadAttribute> {
    let [_reserved, family, port_high, port_low, address @ ..] = value else {
        return Err(BadAttribute::Length);
    };
    let port = u16::from_be_bytes([*port_high, *port_low])
        ^ u16::from_be_bytes([MAGIC_COOKIE[0], MAGIC_COOKIE[1]]);
    let ip = match Family::from_number(*family).ok_or(BadAttribute::Family)? {
        Family::V4 => {
            let mut octets: [u8; 4] = address.try_into().map_err(|_| BadAttribute::Length)?;
            xor(&mut octets, &MAGIC_COOKIE);
            IpAddr::V4(Ipv4Addr::from(octets))
        }
        Family::V6 => {
            let mut octets: [u8; 16] = address.try_into().map_err(|_| BadAttribute::Length)?;
            xor(&mut octets, &v6_mask(tid));
            IpAddr::V6(Ipv6Addr::from(octets))
        }
    };
    Ok(SocketAddr::new(ip, port))
}

/// Writes an XOR-…-ADDRESS value into `out`; returns its length, 8 or 20.
pub(super) fn write_xored(address: SocketAddr, tid: TransactionId, out: &mut [u8; 20]) -> usize {
    let port = address.port() ^ u16::from_be_bytes([MAGIC_COOKIE[0], MAGIC_COOKIE[1]]);
    out[0] = 0;
    out[1] = Family::of(address.ip()).number();
    out[2..4].copy_from_slice(&port.to_be_bytes());
    match address.ip() {
        IpAddr::V4(v4) => {
            let mut octets = v4.octets();
            xor(&mut octets, &MAGIC_COOKIE);
            out[4..8].copy_from_slice(&octets);
            8
        }
        IpAddr::V6(v6) => {
            let mut octets = v6.octets();
            xor(&mut octets, &v6_mask(tid));
            out[4..20].copy_from_slice(&octets);
            20
        }
    }
}

/// Writes a MAPPED-ADDRESS or ALTERNATE-SERVER value into `out`; returns its length, 8 or 20.
pub(super) fn write_plain(address: SocketAddr, out: &mut [u8; 20]) -> usize {
    out[0] = 0;
    out[1] = Family::of(address.ip()).number();
    out[2..4].copy_from_slice(&address.port().to_be_bytes());
    match address.ip() {
        IpAddr::V4(v4) => {
            out[4..8].copy_from_slice(&v4.octets());
            8
        }
        IpAddr::V6(v6) => {
            out[4..20].copy_from_slice(&v6.octets());
            20
        }
    }
}

//= 8489-14.2-xor-mapped-address
/// RFC 8489 section 14.2: an IPv6 address is XORed with the cookie and the transaction id.
fn v6_mask(tid: TransactionId) -> [u8; 16] {
    let mut mask = [0; 16];
    mask[..4].copy_from_slice(&MAGIC_COOKIE);
    mask[4..].copy_from_slice(&tid.0);
    mask
}

fn xor<const N: usize>(bytes: &mut [u8; N], mask: &[u8; N]) {
    for (byte, mask) in bytes.iter_mut().zip(mask) {
        *byte ^= mask;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mapped_ipv4_is_canonicalised_and_nothing_else_is() {
        let canonical = |s: &str| canonical_ip(s.parse().unwrap()).to_string();
        assert_eq!(canonical("::ffff:127.0.0.1"), "127.0.0.1");
        assert_eq!(canonical("::ffff:7f00:1"), "127.0.0.1");
        assert_eq!(canonical("::1"), "::1");
        assert_eq!(canonical("2001:db8::1"), "2001:db8::1");
        assert_eq!(canonical("192.0.2.1"), "192.0.2.1");
    }

    #[test]
    fn addresses_of_both_families_come_back() {
        let tid = TransactionId(*b"0123456789ab");
        for text in ["192.0.2.1:32853", "[2001:db8::1]:65535", "0.0.0.0:0"] {
            let address: SocketAddr = text.parse().unwrap();
            let mut out = [0; 20];
            let len = write_xored(address, tid, &mut out);
            assert_eq!(read_xored(&out[..len], tid), Ok(address));
        }
    }

    //= 8489-14.1-address-length
    #[test]
    fn addresses_of_wrong_length_or_family_are_refused() {
        let tid = TransactionId([0; 12]);
        assert_eq!(read_xored(&[], tid), Err(BadAttribute::Length));
        assert_eq!(read_xored(&[0, 1, 0, 0, 1, 2, 3], tid), Err(BadAttribute::Length));
        assert_eq!(read_xored(&[0, 2, 0, 0, 1, 2, 3, 4], tid), Err(BadAttribute::Length));
        assert_eq!(read_xored(&[0, 1, 0, 0, 1, 2, 3, 4, 5], tid), Err(BadAttribute::Length));
        assert_eq!(read_xored(&[0, 3, 0, 0, 1, 2, 3, 4], tid), Err(BadAttribute::Family));
    }
}
