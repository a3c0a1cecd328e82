//! Whole packets of UDP, with their checksums from scratch.

use std::net::{IpAddr, SocketAddr};

/// The header of IP, as far as it is not the same for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ip {
    /// Traffic class of IPv6.
    pub(super) tos: u8,
    /// Hop limit of IPv6.
    pub(super) ttl: u8,
    /// Identification of IPv4, flow label of IPv6.
    pub(super) id: u32,
    /// Flags and offset of IPv4.
    pub(super) fragment: u16,
}

pub(super) const DF: u16 = 0x4000;

/// Ethernet, IP, UDP. Without a checksum of UDP, that is 0.
pub(super) fn packet(
    from: SocketAddr,
    to: SocketAddr,
    ip: Ip,
    with_check: bool,
    payload: &[u8],
) -> Vec<u8> {
    let length = u16::try_from(8 + payload.len()).unwrap();
    let mut udp = Vec::new();
    udp.extend(from.port().to_be_bytes());
    udp.extend(to.port().to_be_bytes());
    udp.extend(length.to_be_bytes());
    udp.extend([0, 0]);
    udp.extend(payload);
    if with_check {
        let sum = !sum(&udp, pseudo_header(from.ip(), to.ip(), length));
        let sum = if sum == 0 { 0xffff } else { sum };
        udp[6..8].copy_from_slice(&sum.to_be_bytes());
    }
    let mut packet = vec![0; 12];
    match (from.ip(), to.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            packet.extend([8, 0]);
            let mut header = vec![0x45, ip.tos];
            header.extend((20 + length).to_be_bytes());
            header.extend((ip.id as u16).to_be_bytes());
            header.extend(ip.fragment.to_be_bytes());
            header.extend([ip.ttl, 17, 0, 0]);
            header.extend(from.octets());
            header.extend(to.octets());
            let check = !sum(&header, 0);
            header[10..12].copy_from_slice(&check.to_be_bytes());
            packet.extend(header);
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            packet.extend([0x86, 0xdd]);
            let first = 6 << 28 | u32::from(ip.tos) << 20 | ip.id & 0xf_ffff;
            packet.extend(first.to_be_bytes());
            packet.extend(length.to_be_bytes());
            packet.extend([17, ip.ttl]);
            packet.extend(from.octets());
            packet.extend(to.octets());
        }
        _ => panic!("{from} and {to} are of two families"),
    }
    packet.extend(udp);
    packet
}

/// What the checksum of UDP is while the sender leaves it to its device.
pub(super) fn unfinished(from: IpAddr, to: IpAddr, length: usize) -> u16 {
    sum(&[], pseudo_header(from, to, u16::try_from(length).unwrap()))
}

/// Where the checksum of UDP is.
pub(super) fn check_of(packet: &[u8], is_ipv6: bool) -> u16 {
    let at = if is_ipv6 { 60 } else { 40 };
    u16::from_be_bytes([packet[at], packet[at + 1]])
}

fn pseudo_header(from: IpAddr, to: IpAddr, length: u16) -> u32 {
    let octets = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    let addresses = u32::from(sum(&octets(from), 0)) + u32::from(sum(&octets(to), 0));
    addresses + 17 + u32::from(length)
}

fn sum(bytes: &[u8], start: u32) -> u16 {
    let mut sum = start;
    for pair in bytes.chunks(2) {
        sum += u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
    }
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}
