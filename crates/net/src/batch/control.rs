//! Control messages of a datagram (cmsg(3)): what the kernel tells beside its bytes, and what it is asked.
//!
//! Each is a `cmsghdr` (a length of one machine word, level, type), data, and padding to the next
//! multiple of a machine word.
#![forbid(unsafe_code)]

use std::net::IpAddr;

use taciturn_turn::IcmpError;

/// Room for the control messages of one datagram, in bytes: IPV6_PKTINFO, IPV6_TCLASS, IPV6_HOPLIMIT and UDP_GRO; or
/// IPV6_TCLASS, IPV6_HOPLIMIT and IPV6_RECVERR. Rounded up.
pub const CONTROL: usize = 128;

/// Bytes of a machine word, which is how the kernel aligns control messages (CMSG_ALIGN).
const WORD: usize = size_of::<usize>();

/// Bytes of a `cmsghdr`.
pub(super) const HEADER: usize = WORD + 2 * size_of::<i32>();

// C libraries differ in how they declare it, but it is what the kernel writes.
const _: () = assert!(HEADER == size_of::<libc::cmsghdr>() && HEADER.is_multiple_of(WORD));

/// Bytes that a message with so much data takes, with its padding (CMSG_SPACE).
pub(super) const fn space(data: usize) -> usize {
    (HEADER + data).next_multiple_of(WORD)
}

/// The control messages of one datagram, aligned as a `cmsghdr` is.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug)]
pub struct Control(pub [u8; CONTROL]);

/// What the kernel told of a datagram.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// The local address that it came to.
    pub local: Option<IpAddr>,
    /// The length in bytes of each datagram of a joined run; more than 0.
    pub segment: Option<usize>,
    /// The TOS or the traffic class.
    pub traffic_class: Option<u8>,
    /// The TTL or the hop limit.
    pub hop_limit: Option<u8>,
}

/// A control message where it lies.
struct ControlMessage<'a> {
    level: i32,
    kind: i32,
    data: &'a [u8],
}

/// Takes a message off the front; `None` where there is no whole one.
fn take<'a>(rest: &mut &'a [u8]) -> Option<ControlMessage<'a>> {
    let (word, after) = rest.split_first_chunk()?;
    let (level, after) = after.split_first_chunk()?;
    let (kind, _) = after.split_first_chunk()?;
    let len = usize::from_ne_bytes(*word);
    let data = rest.get(HEADER..len)?;
    // `len` is not longer than what there is, so this does not overflow.
    *rest = rest.get(len.next_multiple_of(WORD)..).unwrap_or_default();
    Some(ControlMessage {
        level: i32::from_ne_bytes(*level),
        kind: i32::from_ne_bytes(*kind),
        data,
    })
}

/// Reads the first `len` bytes as the kernel's word of a datagram. A torn message ends the reading.
#[must_use]
pub fn read_control(control: &Control, len: usize) -> Told {
    let mut told = Told::default();
    let mut rest = control.0.get(..len.min(CONTROL)).unwrap_or_default();
    while let Some(ControlMessage { level, kind, data }) = take(&mut rest) {
        match (level, kind) {
            (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                // in_pktinfo: ifindex, ipi_spec_dst, ipi_addr. spec_dst is what to answer from.
                if let Some(bytes) = data.get(4..).and_then(|data| data.first_chunk::<4>()) {
                    told.local = Some(IpAddr::from(*bytes));
                }
            }
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                if let Some(bytes) = data.first_chunk::<16>() {
                    told.local = Some(IpAddr::from(*bytes));
                }
            }
            (libc::IPPROTO_IP, libc::IP_TOS) | (libc::IPPROTO_IPV6, libc::IPV6_TCLASS) => {
                told.traffic_class = byte(data);
            }
            (libc::IPPROTO_IP, libc::IP_TTL) | (libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT) => {
                told.hop_limit = byte(data);
            }
            (libc::SOL_UDP, libc::UDP_GRO) => {
                if let Some(bytes) = data.first_chunk() {
                    let size = usize::try_from(i32::from_ne_bytes(*bytes)).ok();
                    told.segment = size.filter(|size| *size > 0);
                }
            }
            _ => {}
        }
    }
    told
}

/// Reads a field of the IP header: the kernel tells the TOS as a byte, the others as an int.
fn byte(data: &[u8]) -> Option<u8> {
    match data {
        [byte] => Some(*byte),
        _ => u8::try_from(i32::from_ne_bytes(*data.first_chunk()?)).ok(),
    }
}

/// Reads the first error among the first `len` bytes, a sock_extended_err: errno, origin, type, code, a byte
/// of padding, info. `None` if there is none, and for errors of the host itself. What else the socket was
/// asked to tell stands before it.
#[must_use]
pub fn read_error(control: &Control, len: usize) -> Option<IcmpError> {
    let mut rest = control.0.get(..len.min(CONTROL))?;
    let about_errors =
        [(libc::IPPROTO_IP, libc::IP_RECVERR), (libc::IPPROTO_IPV6, libc::IPV6_RECVERR)];
    let data = loop {
        let ControlMessage { level, kind, data } = take(&mut rest)?;
        if about_errors.contains(&(level, kind)) {
            break data;
        }
    };
    let [_, _, _, _, origin, kind, code, _, info @ ..] = *data.first_chunk::<12>()?;
    let from_icmp = [libc::SO_EE_ORIGIN_ICMP, libc::SO_EE_ORIGIN_ICMP6].contains(&origin);
    from_icmp.then_some(IcmpError { kind, code, mtu: u32::from_ne_bytes(info) })
}

/// What the kernel is asked for a datagram, or a run of them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asked {
    /// The address to send from.
    pub source: Option<IpAddr>,
    /// The length in bytes of each datagram of a run; 0 for a single one.
    pub segment: u16,
    /// The TOS or the traffic class.
    pub traffic_class: u8,
    /// The TTL or the hop limit; `None` for the system's default.
    pub hop_limit: Option<u8>,
    /// Whether it goes to an IPv6 address.
    pub v6: bool,
}

//= 8656-13-traffic-class, 8656-14-dscp, 8656-14-ecn
/// Writes what the kernel is asked. What is left to its defaults takes no message. Returns how many bytes are
/// used.
pub fn write_control(control: &mut Control, asked: Asked) -> usize {
    let Asked { source, segment, traffic_class, hop_limit, v6 } = asked;
    let mut used = 0;
    match source {
        Some(IpAddr::V4(ip)) => {
            let mut info = [0; 12]; // in_pktinfo: ifindex 0, ipi_spec_dst, ipi_addr
            info[4..8].copy_from_slice(&ip.octets());
            used = push_control(control, used, libc::IPPROTO_IP, libc::IP_PKTINFO, &info);
        }
        Some(IpAddr::V6(ip)) => {
            let mut info = [0; 20]; // in6_pktinfo: address, ifindex 0
            info[..16].copy_from_slice(&ip.octets());
            used = push_control(control, used, libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, &info);
        }
        None => {}
    }
    let (level, class, hops) = match v6 {
        true => (libc::IPPROTO_IPV6, libc::IPV6_TCLASS, libc::IPV6_HOPLIMIT),
        false => (libc::IPPROTO_IP, libc::IP_TOS, libc::IP_TTL),
    };
    if traffic_class > 0 {
        let value = i32::from(traffic_class).to_ne_bytes();
        used = push_control(control, used, level, class, &value);
    }
    if let Some(hop_limit) = hop_limit {
        let value = i32::from(hop_limit).to_ne_bytes();
        used = push_control(control, used, level, hops, &value);
    }
    if segment > 0 {
        used =
            push_control(control, used, libc::SOL_UDP, libc::UDP_SEGMENT, &segment.to_ne_bytes());
    }
    used
}

// What `write_control` may ask for fits.
const _: () = assert!(space(20) + 2 * space(4) + space(2) <= CONTROL);

// And so does what the kernel may tell: of a datagram, and of an error (a sock_extended_err and a sockaddr_in6).
const _: () = assert!(space(20) + 3 * space(4) <= CONTROL);
const _: () = assert!(2 * space(4) + space(44) <= CONTROL);

/// Appends a control message behind the first `used` bytes, a multiple of a machine word. Returns how
/// many bytes are used then: as many as before where it does not fit.
fn push_control(control: &mut Control, used: usize, level: i32, kind: i32, data: &[u8]) -> usize {
    let end = used + space(data.len());
    let message = control.0.get_mut(used..end);
    let Some((head, rest)) = message.and_then(|bytes| bytes.split_first_chunk_mut::<HEADER>())
    else {
        return used;
    };
    head[..WORD].copy_from_slice(&(HEADER + data.len()).to_ne_bytes());
    head[WORD..WORD + 4].copy_from_slice(&level.to_ne_bytes());
    head[WORD + 4..].copy_from_slice(&kind.to_ne_bytes());
    if let Some(place) = rest.get_mut(..data.len()) {
        place.copy_from_slice(data);
    }
    end
}

#[cfg(test)]
mod tests;
