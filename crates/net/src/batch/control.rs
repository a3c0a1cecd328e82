//! Control messages of a datagram (cmsg(3)): what the kernel tells beside its bytes, and what it is asked.
//!
//! Each is a `cmsghdr` (a length of one machine word, level, type), data, and padding to the next
//! multiple of a machine word.
#![forbid(unsafe_code)]

use std::net::IpAddr;

use taciturn_turn::IcmpError;

/// Room for the control messages of one datagram, in bytes: IPV6_PKTINFO and UDP_GRO, rounded up.
pub const CONTROL: usize = 96;

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

/// Reads the first control message of the first `len` bytes, a sock_extended_err: errno, origin, type,
/// code, a byte of padding, info. `None` for anything else, and for errors of the host itself.
#[must_use]
pub fn read_error(control: &Control, len: usize) -> Option<IcmpError> {
    let mut rest = control.0.get(..len.min(CONTROL))?;
    let ControlMessage { level, kind, data } = take(&mut rest)?;
    let about_errors =
        [(libc::IPPROTO_IP, libc::IP_RECVERR), (libc::IPPROTO_IPV6, libc::IPV6_RECVERR)];
    if !about_errors.contains(&(level, kind)) {
        return None;
    }
    let [_, _, _, _, origin, kind, code, _, info @ ..] = *data.first_chunk::<12>()?;
    let from_icmp = [libc::SO_EE_ORIGIN_ICMP, libc::SO_EE_ORIGIN_ICMP6].contains(&origin);
    from_icmp.then_some(IcmpError { kind, code, mtu: u32::from_ne_bytes(info) })
}

/// Writes the address to send from, and the length in bytes of each datagram of a run (0 for a single
/// one). Returns how many bytes are used.
pub fn write_control(control: &mut Control, source: Option<IpAddr>, segment: u16) -> usize {
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
    if segment > 0 {
        used =
            push_control(control, used, libc::SOL_UDP, libc::UDP_SEGMENT, &segment.to_ne_bytes());
    }
    used
}

// What `write_control` may ask for fits.
const _: () = assert!(space(20) + space(2) <= CONTROL);

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
