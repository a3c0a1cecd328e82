//! recvmmsg with UDP_GRO in, sendmsg with UDP_SEGMENT out. All `unsafe` of the sockets is here.
#![allow(unsafe_code)]
// The types of lengths in control messages differ between C libraries.
#![allow(clippy::unnecessary_cast)]

use std::io;
use std::marker::PhantomData;
use std::mem;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::AsRawFd as _;
use std::ptr;

use std::net::UdpSocket;

use super::{BATCH, ICMP_ERRORS, Outgoing, Received, SLOT, Wishes};
use taciturn_turn::IcmpError;

/// Datagrams that a read wants room for.
const ROOM: usize = 8;

/// Pieces of the datagrams that one call sends, all together.
const PIECES: usize = 512;

/// Room for the control messages of one datagram: IPV6_PKTINFO and UDP_GRO, rounded up.
const CONTROL: usize = 96;

#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct Control([u8; CONTROL]);

/// The buffers of one batch, and the headers that point at them.
///
/// 2 MiB of address space; memory is taken only where datagrams have been.
pub(crate) struct Ingress {
    bytes: Box<[u8]>,
    names: Box<[libc::sockaddr_storage; BATCH]>,
    controls: Box<[Control; BATCH]>,
    /// Never read after construction: the headers point at it.
    _vectors: Box<[libc::iovec; BATCH]>,
    headers: Box<[libc::mmsghdr; BATCH]>,
    /// Where the last read begins, and where the next one will.
    first: usize,
    end: usize,
}

impl Default for Ingress {
    fn default() -> Self {
        let mut bytes = vec![0_u8; BATCH * SLOT].into_boxed_slice();
        // SAFETY: all-zero is a valid sockaddr_storage, iovec and mmsghdr (null pointers, zero
        // lengths).
        let (mut names, mut vectors, mut headers) = unsafe {
            (
                Box::new(mem::zeroed::<[libc::sockaddr_storage; BATCH]>()),
                Box::new(mem::zeroed::<[libc::iovec; BATCH]>()),
                Box::new(mem::zeroed::<[libc::mmsghdr; BATCH]>()),
            )
        };
        let mut controls = Box::new([Control([0; CONTROL]); BATCH]);
        for (slot, vector) in bytes.chunks_exact_mut(SLOT).zip(vectors.iter_mut()) {
            vector.iov_base = slot.as_mut_ptr().cast();
            vector.iov_len = SLOT;
        }
        let parts = headers.iter_mut().zip(names.iter_mut()).zip(vectors.iter_mut());
        for (((header, name), vector), control) in parts.zip(controls.iter_mut()) {
            header.msg_hdr.msg_name = ptr::from_mut(name).cast();
            header.msg_hdr.msg_iov = vector;
            header.msg_hdr.msg_iovlen = 1;
            header.msg_hdr.msg_control = control.0.as_mut_ptr().cast();
            rearm(header);
        }
        Self { bytes, names, controls, _vectors: vectors, headers, first: 0, end: 0 }
    }
}

impl std::fmt::Debug for Ingress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ingress").field("end", &self.end).finish_non_exhaustive()
    }
}

/// Sets back what the kernel writes over.
fn rearm(header: &mut libc::mmsghdr) {
    header.msg_hdr.msg_namelen = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
    header.msg_hdr.msg_controllen = CONTROL as _;
    header.msg_hdr.msg_flags = 0;
}

impl Ingress {
    /// Receives what is there without waiting, in place of what was received before. Answers whether
    /// there may be more.
    pub(crate) fn receive(&mut self, socket: &UdpSocket) -> io::Result<bool> {
        self.clear();
        self.receive_more(socket)
    }

    /// Receives what is there behind what was received before, which stays where it is. There must be
    /// [room](Self::has_room). Answers whether there may be more.
    pub(crate) fn receive_more(&mut self, socket: &UdpSocket) -> io::Result<bool> {
        self.first = self.end;
        let free = self.headers.get_mut(self.end..).unwrap_or_default();
        // SAFETY: the headers point into boxes that `self` owns and never moves or resizes, and
        // their lengths are those of the boxes' elements; the descriptor is open while `socket` is
        // borrowed.
        let received = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                free.as_mut_ptr(),
                free.len() as libc::c_uint,
                libc::MSG_DONTWAIT as _,
                ptr::null_mut(),
            )
        };
        let count = usize::try_from(received).map_err(|_| io::Error::last_os_error())?;
        let more = count >= free.len();
        self.end = (self.end + count).min(BATCH);
        Ok(more)
    }

    /// Whether another socket can be read without giving up what was received.
    pub(crate) const fn has_room(&self) -> bool {
        self.end <= BATCH - ROOM
    }

    /// Gives up what was received.
    pub(crate) fn clear(&mut self) {
        self.headers.iter_mut().take(self.end).for_each(rearm);
        (self.first, self.end) = (0, 0);
    }

    /// What the last read has brought. A datagram without a usable source address is left out.
    pub(crate) fn received(&self) -> impl Iterator<Item = Received> + '_ {
        let parts = self.headers.iter().zip(self.names.iter()).zip(self.controls.iter());
        let read = parts.enumerate().take(self.end).skip(self.first);
        read.filter_map(|(n, ((header, name), control))| {
            let source = address(name)?;
            let told = read_control(control, header.msg_hdr.msg_controllen as usize);
            let len = (header.msg_len as usize).min(SLOT);
            Some(Received {
                source,
                local: told.local,
                start: n * SLOT,
                len,
                segment: told.segment.filter(|segment| *segment < len).unwrap_or(0),
            })
        })
    }

    /// The bytes that the batch's ranges mean.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

fn address(name: &libc::sockaddr_storage) -> Option<SocketAddr> {
    match libc::c_int::from(name.ss_family) {
        libc::AF_INET => {
            // SAFETY: the kernel says that it has written a sockaddr_in; a sockaddr_storage has
            // room and alignment for one.
            let v4 = unsafe { &*ptr::from_ref(name).cast::<libc::sockaddr_in>() };
            let ip = Ipv4Addr::from(v4.sin_addr.s_addr.to_ne_bytes());
            Some(SocketAddr::V4(SocketAddrV4::new(ip, u16::from_be(v4.sin_port))))
        }
        libc::AF_INET6 => {
            // SAFETY: likewise for sockaddr_in6.
            let v6 = unsafe { &*ptr::from_ref(name).cast::<libc::sockaddr_in6>() };
            let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
            let port = u16::from_be(v6.sin6_port);
            // The scope matters for link-local sources only, and is needed to answer them.
            Some(SocketAddr::V6(SocketAddrV6::new(ip, port, 0, v6.sin6_scope_id)))
        }
        _ => None,
    }
}

#[derive(Default)]
struct Told {
    local: Option<IpAddr>,
    segment: Option<usize>,
}

/// Reads the control messages by hand: each is a cmsghdr, data, and padding to 8 bytes.
fn read_control(control: &Control, len: usize) -> Told {
    let mut told = Told::default();
    let mut rest = control.0.get(..len.min(CONTROL)).unwrap_or_default();
    const HEADER: usize = size_of::<libc::cmsghdr>();
    while rest.len() >= HEADER {
        // SAFETY: there are at least a cmsghdr's bytes, and any bytes are a valid cmsghdr.
        let header = unsafe { rest.as_ptr().cast::<libc::cmsghdr>().read_unaligned() };
        let total = header.cmsg_len as usize;
        let Some(data) = rest.get(HEADER..total) else { break };
        match (header.cmsg_level, header.cmsg_type) {
            (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                // in_pktinfo: ifindex, ipi_spec_dst, ipi_addr. spec_dst is what to answer from.
                if let Some(bytes) = data.get(4..8).and_then(|b| <[u8; 4]>::try_from(b).ok()) {
                    told.local = Some(IpAddr::from(bytes));
                }
            }
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                if let Some(bytes) = data.get(..16).and_then(|b| <[u8; 16]>::try_from(b).ok()) {
                    told.local = Some(IpAddr::from(bytes));
                }
            }
            (libc::SOL_UDP, libc::UDP_GRO) => {
                if let Some(bytes) = data.get(..4).and_then(|b| <[u8; 4]>::try_from(b).ok()) {
                    told.segment =
                        usize::try_from(i32::from_ne_bytes(bytes)).ok().filter(|size| *size > 0);
                }
            }
            _ => {}
        }
        rest = rest.get(total.next_multiple_of(8)..).unwrap_or_default();
    }
    told
}

/// Sets a socket up for use with this module. UDP_GRO is a wish: old kernels refuse it.
pub(crate) fn prepare(socket: &UdpSocket, wishes: Wishes) -> io::Result<()> {
    let _ = set(socket, libc::SOL_UDP, libc::UDP_GRO, 1);
    let v6 = socket.local_addr()?.is_ipv6();
    if wishes.local_address {
        match v6 {
            true => set(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1)?,
            false => set(socket, libc::IPPROTO_IP, libc::IP_PKTINFO, 1)?,
        }
    }
    dont_fragment(socket, v6, false)
}

//= 8656-13-alternate-behaviour, 8656-13.2-flow-label, 8656-14-udp-to-udp
/// Sets DF for what the socket sends from now on (RFC 8656 section 15), or clears it.
pub(crate) fn dont_fragment(socket: &UdpSocket, v6: bool, on: bool) -> io::Result<()> {
    // PROBE sets DF and leaves the path MTU that the kernel believes in aside: the client that
    // asked for DF is probing.
    let (level, name, value) = match (v6, on) {
        (false, true) => (libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_PROBE),
        (false, false) => (libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_DONT),
        (true, true) => (libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_PROBE),
        (true, false) => (libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_DONT),
    };
    set(socket, level, name, value)
}

fn set(
    socket: &UdpSocket,
    level: libc::c_int,
    name: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    // SAFETY: the option's value is an int, alive during the call, of the length given.
    let failed = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            ptr::from_ref(&value).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if failed == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// How many datagrams the kernel has dropped on their way into the socket, because its buffer was full
/// (or its memory used up): a number that wraps around. 0 where the kernel does not tell (before 4.12).
pub(crate) fn overflowed(socket: &UdpSocket) -> u32 {
    /// Of enum in linux/sock_diag.h: where the drops stand, and how many numbers there are.
    const DROPS: usize = 8;
    let mut info = [0_u32; DROPS + 1];
    let mut len = size_of_val(&info) as libc::socklen_t;
    // SAFETY: the buffer is alive during the call and has the length given; the kernel writes no
    // more than that.
    let failed = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_MEMINFO,
            ptr::from_mut(&mut info).cast(),
            &mut len,
        )
    };
    if failed == 0 { info[DROPS] } else { 0 }
}

/// Sends one datagram, or several of one size.
pub(crate) fn send(socket: &UdpSocket, outgoing: &Outgoing<'_>) -> io::Result<()> {
    let mut name = Name::of(outgoing.destination);
    let mut control = Control([0; CONTROL]);
    let used = write_control(&mut control, outgoing.source, outgoing.segment);
    // SAFETY: all-zero is a valid msghdr.
    let mut header: libc::msghdr = unsafe { mem::zeroed() };
    header.msg_name = name.as_mut_ptr();
    header.msg_namelen = name.len();
    // IoSlice has the layout of iovec (std guarantees it), and sendmsg does not write through it.
    header.msg_iov = outgoing.parts.as_ptr().cast_mut().cast();
    header.msg_iovlen = outgoing.parts.len() as _;
    if used > 0 {
        header.msg_control = control.0.as_mut_ptr().cast();
        header.msg_controllen = used as _;
    }
    // SAFETY: every pointer of the header is to something that outlives the call, with its length;
    // the descriptor is open while `socket` is borrowed.
    let send = || match unsafe { libc::sendmsg(socket.as_raw_fd(), &header, libc::MSG_DONTWAIT) } {
        sent if sent < 0 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    };
    match send() {
        // What an ICMP error about an earlier datagram left behind says nothing of this one, and is
        // gone once told.
        Err(error) if error.kind() != io::ErrorKind::WouldBlock => send(),
        sent => sent,
    }
}

/// Several messages that leave by one socket in one call, and what the kernel reads of them.
pub(crate) struct Outbox {
    headers: Box<[libc::mmsghdr; BATCH]>,
    names: Box<[Name; BATCH]>,
    controls: Box<[Control; BATCH]>,
    pieces: Box<[libc::iovec; PIECES]>,
}

impl Default for Outbox {
    fn default() -> Self {
        let nowhere = Name::of(SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0)));
        // SAFETY: all-zero is a valid mmsghdr and iovec (null pointers, zero lengths).
        let (headers, pieces) = unsafe {
            (
                Box::new(mem::zeroed::<[libc::mmsghdr; BATCH]>()),
                Box::new(mem::zeroed::<[libc::iovec; PIECES]>()),
            )
        };
        Self {
            headers,
            names: Box::new([nowhere; BATCH]),
            controls: Box::new([Control([0; CONTROL]); BATCH]),
            pieces,
        }
    }
}

impl std::fmt::Debug for Outbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outbox").finish_non_exhaustive()
    }
}

impl Outbox {
    /// Begins with no message.
    pub(crate) const fn open<'b>(&mut self) -> Letters<'_, 'b> {
        Letters { outbox: self, count: 0, pieces: 0, bytes: PhantomData }
    }
}

/// The messages that are in an [`Outbox`] now, while their bytes are borrowed.
pub(crate) struct Letters<'o, 'b> {
    outbox: &'o mut Outbox,
    count: usize,
    pieces: usize,
    bytes: PhantomData<&'b [u8]>,
}

impl<'b> Letters<'_, 'b> {
    /// Adds one. Answers whether there was room.
    pub(crate) fn add(
        &mut self,
        destination: SocketAddr,
        source: Option<IpAddr>,
        segment: u16,
        parts: impl Iterator<Item = &'b [u8]>,
    ) -> bool {
        let Outbox { headers, names, controls, pieces } = &mut *self.outbox;
        let (Some(header), Some(name), Some(control), Some(pieces)) = (
            headers.get_mut(self.count),
            names.get_mut(self.count),
            controls.get_mut(self.count),
            pieces.get_mut(self.pieces..),
        ) else {
            return false;
        };
        let (mut used, first) = (0, pieces.as_mut_ptr());
        for part in parts {
            let Some(piece) = pieces.get_mut(used) else { return false };
            piece.iov_base = part.as_ptr().cast_mut().cast();
            piece.iov_len = part.len();
            used += 1;
        }
        *name = Name::of(destination);
        let header = &mut header.msg_hdr;
        (header.msg_name, header.msg_namelen) = (name.as_mut_ptr(), name.len());
        (header.msg_iov, header.msg_iovlen) = (first, used as _);
        let len = write_control(control, source, segment);
        header.msg_control = if len > 0 { control.0.as_mut_ptr().cast() } else { ptr::null_mut() };
        header.msg_controllen = len as _;
        self.count += 1;
        self.pieces += used;
        true
    }

    /// Sends them in their order until one fails. Answers how many were sent.
    pub(crate) fn send(self, socket: &UdpSocket) -> usize {
        // SAFETY: the first `count` headers were written by `add`: they point into boxes of the outbox,
        // which is borrowed, and at bytes that are borrowed for as long as this value lives; the
        // descriptor is open while `socket` is borrowed.
        let sent = unsafe {
            libc::sendmmsg(
                socket.as_raw_fd(),
                self.outbox.headers.as_mut_ptr(),
                self.count as libc::c_uint,
                libc::MSG_DONTWAIT as _,
            )
        };
        usize::try_from(sent).unwrap_or(0)
    }
}

/// Writes the address to send from, and the length of each datagram of a run; answers how many bytes are
/// used.
fn write_control(control: &mut Control, source: Option<IpAddr>, segment: u16) -> usize {
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

/// Asks for the ICMP errors that the socket's datagrams meet, to be read by [`icmp_errors`].
pub(crate) fn tell_icmp_errors(socket: &UdpSocket, v6: bool) -> io::Result<()> {
    match v6 {
        true => set(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVERR, 1),
        false => set(socket, libc::IPPROTO_IP, libc::IP_RECVERR, 1),
    }
}

/// Hands over the ICMP errors that have come in, a bounded number of them, each with where its
/// datagram was sent to. What the host itself had to complain of is left out.
pub(crate) fn icmp_errors(socket: &UdpSocket, mut take: impl FnMut(SocketAddr, IcmpError)) {
    for _ in 0..ICMP_ERRORS {
        // SAFETY: all-zero is a valid sockaddr_storage and msghdr.
        let (mut name, mut header): (libc::sockaddr_storage, libc::msghdr) =
            unsafe { (mem::zeroed(), mem::zeroed()) };
        let mut control = Control([0; CONTROL]);
        header.msg_name = ptr::from_mut(&mut name).cast();
        header.msg_namelen = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
        header.msg_control = control.0.as_mut_ptr().cast();
        header.msg_controllen = CONTROL as _;
        // SAFETY: name and control outlive the call and have the lengths given; there is no buffer
        // for the datagram itself, which is not wanted; the descriptor is open while `socket` is
        // borrowed.
        let read = unsafe {
            let flags = libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT;
            libc::recvmsg(socket.as_raw_fd(), &mut header, flags)
        };
        if read < 0 {
            return;
        }
        let error = read_error(&control, header.msg_controllen as usize);
        if let (Some(peer), Some(error)) = (address(&name), error) {
            take(peer, error);
        }
    }
}

/// Reads the first control message, a sock_extended_err: errno, origin, type, code, a byte of
/// padding, info.
fn read_error(control: &Control, len: usize) -> Option<IcmpError> {
    const HEADER: usize = size_of::<libc::cmsghdr>();
    let bytes = control.0.get(..len.min(CONTROL))?;
    let data = bytes.get(HEADER..HEADER + 12)?;
    // SAFETY: there are at least a cmsghdr's bytes, and any bytes are a valid cmsghdr.
    let header = unsafe { bytes.as_ptr().cast::<libc::cmsghdr>().read_unaligned() };
    let about_errors =
        [(libc::IPPROTO_IP, libc::IP_RECVERR), (libc::IPPROTO_IPV6, libc::IPV6_RECVERR)];
    if !about_errors.contains(&(header.cmsg_level, header.cmsg_type)) {
        return None;
    }
    let [_, _, _, _, origin, kind, code, _, info @ ..] = *<&[u8; 12]>::try_from(data).ok()?;
    let from_icmp = [libc::SO_EE_ORIGIN_ICMP, libc::SO_EE_ORIGIN_ICMP6].contains(&origin);
    from_icmp.then_some(IcmpError { kind, code, mtu: u32::from_ne_bytes(info) })
}

/// A socket address in the kernel's form.
#[derive(Clone, Copy)]
enum Name {
    V4(libc::sockaddr_in),
    V6(libc::sockaddr_in6),
}

impl Name {
    fn of(address: SocketAddr) -> Self {
        match address {
            SocketAddr::V4(v4) => Self::V4(libc::sockaddr_in {
                sin_family: libc::AF_INET as libc::sa_family_t,
                sin_port: v4.port().to_be(),
                sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(v4.ip().octets()) },
                sin_zero: [0; 8],
            }),
            SocketAddr::V6(v6) => Self::V6(libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as libc::sa_family_t,
                sin6_port: v6.port().to_be(),
                sin6_flowinfo: 0,
                sin6_addr: libc::in6_addr { s6_addr: v6.ip().octets() },
                sin6_scope_id: v6.scope_id(),
            }),
        }
    }

    fn as_mut_ptr(&mut self) -> *mut libc::c_void {
        match self {
            Self::V4(v4) => ptr::from_mut(v4).cast(),
            Self::V6(v6) => ptr::from_mut(v6).cast(),
        }
    }

    fn len(&self) -> libc::socklen_t {
        match self {
            Self::V4(v4) => size_of_val(v4) as libc::socklen_t,
            Self::V6(v6) => size_of_val(v6) as libc::socklen_t,
        }
    }
}

/// Appends a control message; answers how many bytes are used then.
fn push_control(
    control: &mut Control,
    used: usize,
    level: libc::c_int,
    kind: libc::c_int,
    data: &[u8],
) -> usize {
    const HEADER: usize = size_of::<libc::cmsghdr>();
    let end = used + HEADER + data.len();
    let Some(space) = control.0.get_mut(used..end) else { return used };
    // SAFETY: all-zero is a valid cmsghdr.
    let mut header: libc::cmsghdr = unsafe { mem::zeroed() };
    header.cmsg_len = (HEADER + data.len()) as _;
    header.cmsg_level = level;
    header.cmsg_type = kind;
    // SAFETY: `space` has at least a cmsghdr's bytes.
    unsafe { space.as_mut_ptr().cast::<libc::cmsghdr>().write_unaligned(header) };
    if let Some(space) = space.get_mut(HEADER..) {
        space.copy_from_slice(data);
    }
    end.next_multiple_of(8)
}
