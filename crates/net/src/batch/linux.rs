//! recvmmsg with UDP_GRO in, sendmsg with UDP_SEGMENT out. All `unsafe` of the sockets is here.
#![allow(unsafe_code)]
// The types of lengths in control messages differ between C libraries.
#![allow(clippy::unnecessary_cast)]

use std::io;
use std::marker::PhantomData;
use std::mem;
use std::net::UdpSocket;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::AsRawFd;
use std::ptr::{self, NonNull};

use super::control::{self, Asked, CONTROL, Control, read_control, read_error, write_control};
use super::datagrams::{BATCH, ICMP_ERRORS, Outgoing, Received, SLOT, Wishes};
use super::ip_fields::{IpFields, KeptFields, dscp};
use taciturn_turn::IcmpError;

/// Datagrams that a read wants room for.
const ROOM: usize = 8;

/// Pieces of the datagrams that one call sends, all together.
const PIECES: usize = 512;

// The C library's macros and `control` mean the same, on every machine that this is built for.
// SAFETY: the macros only count.
const _: () = unsafe {
    assert!(libc::CMSG_LEN(0) as usize == control::HEADER);
    assert!(libc::CMSG_SPACE(0) as usize == control::space(0));
    assert!(libc::CMSG_SPACE(1) as usize == control::space(1));
    assert!(align_of::<Control>() >= align_of::<libc::cmsghdr>());
};

/// A value on the heap that headers for the kernel point into.
///
/// A `Box` claims that nothing else reaches what it owns, whenever it is moved or borrowed, and so makes
/// pointers invalid that were taken before. This one is reached through the one pointer alone, which
/// those of the headers are derived from.
struct Shared<T: ?Sized>(NonNull<T>);

impl<T: ?Sized> Shared<T> {
    fn new(value: Box<T>) -> Self {
        // SAFETY: the pointer of a box is not null.
        Self(unsafe { NonNull::new_unchecked(Box::into_raw(value)) })
    }

    /// Valid for reads and writes for as long as `self` lives, wherever `self` is moved to.
    const fn pointer(&self) -> *mut T {
        self.0.as_ptr()
    }
}

impl<T: ?Sized> Drop for Shared<T> {
    fn drop(&mut self) {
        // SAFETY: the pointer came from a box, and nobody else makes one of it.
        drop(unsafe { Box::from_raw(self.pointer()) });
    }
}

/// What the kernel reads and writes of the datagrams of one batch, apart from their bytes.
struct Slots {
    names: [libc::sockaddr_storage; BATCH],
    controls: [Control; BATCH],
    /// Never looked at after construction: the headers point at it.
    vectors: [libc::iovec; BATCH],
    headers: [libc::mmsghdr; BATCH],
}

/// The buffers of one batch, and the headers that point at them.
///
/// 2 MiB of address space; memory is taken only where datagrams have been.
pub(crate) struct Ingress {
    bytes: Shared<[u8]>,
    slots: Shared<Slots>,
    /// Where the last read begins, and where the next one will; at most `BATCH`.
    first: usize,
    end: usize,
}

impl Default for Ingress {
    fn default() -> Self {
        let bytes = Shared::new(vec![0_u8; BATCH * SLOT].into_boxed_slice());
        // SAFETY: all-zero is a valid sockaddr_storage, Control, iovec and mmsghdr (null pointers, zero
        // lengths).
        let slots = Shared::new(Box::new(unsafe { mem::zeroed::<Slots>() }));
        let (first_byte, all) = (bytes.pointer().cast::<u8>(), slots.pointer());
        for n in 0..BATCH {
            // SAFETY: `all` is valid, `n` lies within each array of it and `n * SLOT` within the bytes.
            // No reference is made that a pointer kept here would have to outlive.
            unsafe {
                let vector = &raw mut (*all).vectors[n];
                (*vector).iov_base = first_byte.add(n * SLOT).cast();
                (*vector).iov_len = SLOT;
                let header = &raw mut (*all).headers[n].msg_hdr;
                (*header).msg_name = (&raw mut (*all).names[n]).cast();
                (*header).msg_iov = vector;
                (*header).msg_iovlen = 1;
                (*header).msg_control = (&raw mut (*all).controls[n]).cast();
                rearm(&mut *header);
            }
        }
        Self { bytes, slots, first: 0, end: 0 }
    }
}

impl std::fmt::Debug for Ingress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ingress").field("end", &self.end).finish_non_exhaustive()
    }
}

/// Sets back what the kernel writes over.
fn rearm(header: &mut libc::msghdr) {
    header.msg_namelen = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
    header.msg_controllen = CONTROL as _;
    header.msg_flags = 0;
}

impl Ingress {
    /// Receives what is there without waiting, in place of what was received before. Returns whether
    /// there may be more.
    pub(crate) fn receive(&mut self, socket: &UdpSocket) -> io::Result<bool> {
        self.clear();
        self.receive_more(socket)
    }

    /// Receives what is there behind what was received before, which stays where it is. There must be
    /// [room](Self::has_room). Returns whether there may be more.
    pub(crate) fn receive_more(&mut self, socket: &UdpSocket) -> io::Result<bool> {
        // SAFETY: `receive_by` hands over valid headers; the descriptor is open while `socket` is
        // borrowed.
        self.receive_by(|headers, count| unsafe {
            let flags = libc::MSG_DONTWAIT as _;
            libc::recvmmsg(socket.as_raw_fd(), headers, count, flags, ptr::null_mut())
        })
    }

    /// As [`Self::receive_more`], by a call that is given the free headers and their number, writes as
    /// recvmmsg does, and returns how many headers it used or -1.
    fn receive_by(
        &mut self,
        call: impl FnOnce(*mut libc::mmsghdr, libc::c_uint) -> libc::c_int,
    ) -> io::Result<bool> {
        self.first = self.end;
        let free = BATCH - self.end;
        // SAFETY: `end` is at most BATCH, so this points into the array or right behind it. The headers
        // point into what `self` owns, which stays where it is, with the lengths that it has.
        let headers = unsafe {
            (&raw mut (*self.slots.pointer()).headers).cast::<libc::mmsghdr>().add(self.end)
        };
        let received = call(headers, free as libc::c_uint);
        let count = usize::try_from(received).map_err(|_| io::Error::last_os_error())?;
        self.end = (self.end + count).min(BATCH);
        Ok(count >= free)
    }

    /// Returns true if another socket can be read without giving up what was received.
    pub(crate) const fn has_room(&self) -> bool {
        self.end <= BATCH - ROOM
    }

    /// Gives up what was received.
    pub(crate) fn clear(&mut self) {
        // SAFETY: the slots are valid, and `&mut self` keeps everybody else from them during the call.
        let headers = unsafe { &mut (*self.slots.pointer()).headers };
        headers.iter_mut().take(self.end).for_each(|header| rearm(&mut header.msg_hdr));
        (self.first, self.end) = (0, 0);
    }

    /// Returns what the last read has brought. A datagram without a usable source address is left out.
    pub(crate) fn received(&self) -> impl Iterator<Item = Received> + '_ {
        // SAFETY: the slots are valid, and nothing writes to them while `self` is borrowed.
        let Slots { names, controls, headers, .. } = unsafe { &*self.slots.pointer() };
        let parts = headers.iter().zip(names).zip(controls);
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
                ip_fields: IpFields {
                    traffic_class: told.traffic_class.unwrap_or(0),
                    //= 8656-13-ttl, 8656-14-ttl
                    hop_limit: told.hop_limit.map(|hops| hops.saturating_sub(1)),
                },
            })
        })
    }

    /// Returns the bytes that the batch's ranges mean.
    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: the bytes are valid, and nothing writes to them while `self` is borrowed.
        unsafe { &*self.bytes.pointer() }
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

/// Sets a socket up for use with this module. UDP_GRO is a wish: old kernels refuse it.
pub(crate) fn prepare(socket: &UdpSocket, wishes: Wishes) -> io::Result<()> {
    join_datagrams(socket, true);
    let v6 = socket.local_addr()?.is_ipv6();
    if wishes.local_address {
        match v6 {
            true => set(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1)?,
            false => set(socket, libc::IPPROTO_IP, libc::IP_PKTINFO, 1)?,
        }
    }
    dont_fragment(socket, v6, false)
}

/// Has the kernel join datagrams of one sender on their way to the socket (UDP_GRO), or leave them as they are. A wish:
/// old kernels refuse it.
pub(crate) fn join_datagrams(socket: &UdpSocket, on: bool) {
    let _ = set(socket, libc::SOL_UDP, libc::UDP_GRO, on.into());
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
    socket: &impl AsRawFd,
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

/// Returns how many datagrams the kernel has dropped on their way into the socket, because its buffer was full
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

/// Returns what the kernel is asked for `outgoing`.
const fn asked_for(outgoing: &Outgoing<'_>) -> Asked {
    let Outgoing { destination, source, segment, ip_fields, .. } = *outgoing;
    let IpFields { traffic_class, hop_limit } = ip_fields;
    Asked { source, segment, traffic_class, hop_limit, v6: destination.is_ipv6() }
}

/// Sends one datagram, or several of one size.
pub(crate) fn send(socket: &UdpSocket, outgoing: &Outgoing<'_>) -> io::Result<()> {
    let (mut name, name_len) = Name::of(outgoing.destination);
    let mut control = Control([0; CONTROL]);
    let used = write_control(&mut control, asked_for(outgoing));
    // SAFETY: all-zero is a valid msghdr.
    let mut header: libc::msghdr = unsafe { mem::zeroed() };
    (header.msg_name, header.msg_namelen) = (ptr::from_mut(&mut name).cast(), name_len);
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

/// What the kernel reads of several messages.
struct Sheets {
    headers: [libc::mmsghdr; BATCH],
    names: [Name; BATCH],
    controls: [Control; BATCH],
    pieces: [libc::iovec; PIECES],
}

/// Several messages that leave by one socket in one call, and what the kernel reads of them.
pub(crate) struct SendBatch(Shared<Sheets>);

impl Default for SendBatch {
    fn default() -> Self {
        // SAFETY: all-zero is a valid mmsghdr, Name, Control and iovec (null pointers, zero lengths).
        Self(Shared::new(Box::new(unsafe { mem::zeroed::<Sheets>() })))
    }
}

impl std::fmt::Debug for SendBatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SendBatch").finish_non_exhaustive()
    }
}

impl SendBatch {
    /// Begins with no message.
    pub(crate) const fn open<'b>(&mut self) -> Messages<'_, 'b> {
        Messages { batch: self, count: 0, pieces: 0, bytes: PhantomData }
    }
}

/// The messages that are in an [`SendBatch`] now, while their bytes are borrowed.
pub(crate) struct Messages<'o, 'b> {
    batch: &'o mut SendBatch,
    /// Messages, at most `BATCH`.
    count: usize,
    /// Pieces of all of them, at most `PIECES`.
    pieces: usize,
    bytes: PhantomData<&'b [u8]>,
}

impl<'b> Messages<'_, 'b> {
    /// Adds one: `outgoing` without its parts, which are these. Returns whether there was room.
    pub(crate) fn add(
        &mut self,
        outgoing: &Outgoing<'_>,
        parts: impl Iterator<Item = &'b [u8]>,
    ) -> bool {
        let (n, first, all) = (self.count, self.pieces, self.batch.0.pointer());
        if n >= BATCH {
            return false;
        }
        let mut end = first;
        for part in parts {
            if end >= PIECES {
                return false;
            }
            let piece =
                libc::iovec { iov_base: part.as_ptr().cast_mut().cast(), iov_len: part.len() };
            // SAFETY: `all` is valid, and `end` lies within the array.
            unsafe { (*all).pieces[end] = piece };
            end += 1;
        }
        // SAFETY: `all` is valid, `n` lies within each array, and `first` within the pieces or right behind
        // them. The references end with the statement that they are made in; what is kept are pointers
        // that were derived without one.
        unsafe {
            let (name, control) = (&raw mut (*all).names[n], &raw mut (*all).controls[n]);
            let (value, name_len) = Name::of(outgoing.destination);
            *name = value;
            let used = write_control(&mut *control, asked_for(outgoing));
            let header = &raw mut (*all).headers[n].msg_hdr;
            (*header).msg_name = name.cast();
            (*header).msg_namelen = name_len;
            (*header).msg_iov = (&raw mut (*all).pieces).cast::<libc::iovec>().add(first);
            (*header).msg_iovlen = (end - first) as _;
            (*header).msg_control = if used > 0 { control.cast() } else { ptr::null_mut() };
            (*header).msg_controllen = used as _;
        }
        self.count += 1;
        self.pieces = end;
        true
    }

    /// Sends them in their order until one fails. Returns how many were sent.
    pub(crate) fn send(self, socket: &UdpSocket) -> usize {
        // SAFETY: `send_by` hands over valid headers; the descriptor is open while `socket` is borrowed.
        self.send_by(|headers, count| unsafe {
            libc::sendmmsg(socket.as_raw_fd(), headers, count, libc::MSG_DONTWAIT as _)
        })
    }

    /// As [`Self::send`], by a call that is given the headers and their number, reads as sendmmsg does, and
    /// returns how many it sent or -1.
    fn send_by(self, call: impl FnOnce(*mut libc::mmsghdr, libc::c_uint) -> libc::c_int) -> usize {
        // SAFETY: the batch is valid. The first `count` headers were written by `add`: they point into
        // the batch, which is borrowed, and at bytes that are borrowed for as long as this value lives.
        let headers = unsafe { &raw mut (*self.batch.0.pointer()).headers };
        usize::try_from(call(headers.cast(), self.count as libc::c_uint)).unwrap_or(0)
    }
}

/// Asks to be told the fields of IP headers that are kept `now`, of a socket that was asked for those of `before`. It
/// is a wish: where the kernel refuses, datagrams are relayed with the system's defaults.
pub(crate) fn tell_ip_fields(socket: &UdpSocket, v6: bool, before: KeptFields, now: KeptFields) {
    let (level, class, hops) = match v6 {
        true => (libc::IPPROTO_IPV6, libc::IPV6_RECVTCLASS, libc::IPV6_RECVHOPLIMIT),
        false => (libc::IPPROTO_IP, libc::IP_RECVTOS, libc::IP_RECVTTL),
    };
    if before.any_of_traffic_class() != now.any_of_traffic_class() {
        let _ = set(socket, level, class, now.any_of_traffic_class().into());
    }
    if before.ttl != now.ttl {
        let _ = set(socket, level, hops, now.ttl.into());
    }
}

/// Has the connections of a listening socket for TCP remember the TOS or traffic class that they were opened with.
/// A wish, as above.
pub(crate) fn remember_dscp(listening: &impl AsRawFd, v6: bool) {
    let _ = match v6 {
        true => set(listening, libc::IPPROTO_IPV6, libc::IPV6_RECVTCLASS, 1),
        false => set(listening, libc::IPPROTO_IP, libc::IP_RECVTOS, 1),
    };
}

/// Returns the DSCP that the client has opened a TCP connection with, in its place in the TOS or traffic class; 0, best
/// effort, where the kernel does not tell. To be called once.
pub(crate) fn dscp_of_connection(connection: &impl AsRawFd, v6: bool) -> u8 {
    let (level, name) = match v6 {
        true => (libc::IPPROTO_IPV6, libc::IPV6_2292PKTOPTIONS),
        false => (libc::IPPROTO_IP, libc::IP_PKTOPTIONS),
    };
    let mut control = Control([0; CONTROL]);
    let mut len = CONTROL as libc::socklen_t;
    // SAFETY: the buffer is alive during the call and has the length given; the kernel writes no more than that.
    let failed = unsafe {
        libc::getsockopt(
            connection.as_raw_fd(),
            level,
            name,
            control.0.as_mut_ptr().cast(),
            &mut len,
        )
    };
    if v6 {
        // Otherwise the kernel keeps a copy of each packet of the connection, for its traffic class.
        let _ = set(connection, level, libc::IPV6_RECVTCLASS, 0);
    }
    let len = if failed == 0 { len as usize } else { 0 };
    dscp(read_control(&control, len).traffic_class.unwrap_or(0))
}

/// Asks for the ICMP errors that the socket's datagrams meet, to be read by [`icmp_errors`], or no longer.
pub(crate) fn tell_icmp_errors(socket: &UdpSocket, v6: bool, on: bool) -> io::Result<()> {
    match v6 {
        true => set(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVERR, on.into()),
        false => set(socket, libc::IPPROTO_IP, libc::IP_RECVERR, on.into()),
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

/// A socket address in the kernel's form.
#[derive(Clone, Copy)]
#[repr(C)]
union Name {
    v4: libc::sockaddr_in,
    v6: libc::sockaddr_in6,
}

impl Name {
    /// Returns the name of an address, and how many bytes of it count.
    fn of(address: SocketAddr) -> (Self, libc::socklen_t) {
        match address {
            SocketAddr::V4(v4) => {
                let v4 = libc::sockaddr_in {
                    sin_family: libc::AF_INET as libc::sa_family_t,
                    sin_port: v4.port().to_be(),
                    sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(v4.ip().octets()) },
                    sin_zero: [0; 8],
                };
                (Self { v4 }, size_of_val(&v4) as libc::socklen_t)
            }
            SocketAddr::V6(v6) => {
                let v6 = libc::sockaddr_in6 {
                    sin6_family: libc::AF_INET6 as libc::sa_family_t,
                    sin6_port: v6.port().to_be(),
                    sin6_flowinfo: 0,
                    sin6_addr: libc::in6_addr { s6_addr: v6.ip().octets() },
                    sin6_scope_id: v6.scope_id(),
                };
                (Self { v6 }, size_of_val(&v6) as libc::socklen_t)
            }
        }
    }
}

#[cfg(test)]
mod tests;
