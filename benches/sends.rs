//! What it costs to send a datagram, by each of the ways that Linux has: why the server sends as it does.
//! `cargo bench --bench sends` prints processor time a datagram, the kernel's included, over loopback.
//!
//! Each way sends the same datagrams in the same order to one socket, which is emptied meanwhile at
//! nobody's expense. The ways take turns, and the medians of the rounds are printed.
#![allow(unsafe_code, clippy::print_stdout, clippy::unwrap_used)]

#[cfg(not(target_os = "linux"))]
fn main() {}

#[cfg(target_os = "linux")]
fn main() {
    linux::main();
}

#[cfg(target_os = "linux")]
mod linux {
    use std::mem::{size_of, zeroed};
    use std::net::{SocketAddr, UdpSocket};
    use std::os::fd::AsRawFd as _;
    use std::ptr;
    use std::time::Duration;

    use io_uring::{IoUring, opcode, types};
    use rustix::time::{ClockId, clock_gettime};

    /// Datagrams that are sent at a time: what one batch of the server holds.
    const BATCH: usize = 32;
    const BATCHES: usize = 1_000;
    const ROUNDS: usize = 15;
    /// The header of ChannelData, and what audio and video have in a packet.
    const HEADER: [u8; 4] = [0x40, 0, 0, 172];
    const SIZES: [usize; 2] = [172, 1200];

    /// Sends one batch.
    type Way<'a> = Box<dyn FnMut() + 'a>;

    pub(super) fn main() {
        println!("processor time for a datagram, ns; median of {ROUNDS} rounds");
        for size in SIZES {
            println!("\n| {size} bytes | one | ratio |\n| --- | ---: | ---: |");
            let to = UdpSocket::bind("127.0.0.1:0").unwrap();
            to.set_nonblocking(true).unwrap();
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            let connected = UdpSocket::bind("127.0.0.1:0").unwrap();
            connected.connect(to.local_addr().unwrap()).unwrap();
            measure(&to, ways(&socket, &connected, to.local_addr().unwrap(), size));
        }
    }

    fn measure(receiver: &UdpSocket, mut ways: Vec<(&str, Way<'_>)>) {
        let mut costs = vec![Vec::new(); ways.len()];
        let mut room = vec![0; 65_536];
        for _ in 0..ROUNDS {
            for ((_, send), costs) in ways.iter_mut().zip(&mut costs) {
                let (mut spent, mut arrived) = (Duration::ZERO, 0);
                for _ in 0..BATCHES {
                    let before = processor_time();
                    send();
                    spent += processor_time() - before;
                    while receiver.recv(&mut room).is_ok() {
                        arrived += 1;
                    }
                }
                assert_eq!(arrived, BATCHES * BATCH, "a datagram was lost: nothing is measured");
                costs.push(spent.as_nanos() / (BATCHES * BATCH) as u128);
            }
        }
        let medians: Vec<_> = costs
            .iter_mut()
            .map(|costs| {
                costs.sort_unstable();
                costs[ROUNDS / 2]
            })
            .collect();
        for ((name, _), cost) in ways.iter().zip(&medians) {
            println!("| {name} | {cost} | {:.2} |", *cost as f64 / medians[0] as f64);
        }
    }

    /// Of all threads: io_uring may have some of its own.
    fn processor_time() -> Duration {
        let time = clock_gettime(ClockId::ProcessCPUTime);
        Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap())
    }

    fn ways<'a>(
        socket: &'a UdpSocket,
        connected: &'a UdpSocket,
        to: SocketAddr,
        size: usize,
    ) -> Vec<(&'static str, Way<'a>)> {
        let payload = vec![7; size];
        let whole = [&HEADER[..], &payload].concat();
        let SocketAddr::V4(v4) = to else { return Vec::new() };
        let name: &'static libc::sockaddr_in = Box::leak(Box::new(libc::sockaddr_in {
            sin_family: libc::AF_INET as libc::sa_family_t,
            sin_port: v4.port().to_be(),
            sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(v4.ip().octets()) },
            sin_zero: [0; 8],
        }));
        let fd = socket.as_raw_fd();
        let (one, same, many, run) = (whole.clone(), whole.clone(), whole.clone(), whole.clone());
        vec![
            (
                "sendto, one piece",
                Box::new(move || repeat(|| assert!(socket.send_to(&one, to).unwrap() > 0))),
            ),
            (
                "sendmsg, header and payload",
                Box::new(move || {
                    let mut parts = [piece(&HEADER), piece(&payload)];
                    let header = message(name, &mut parts);
                    // SAFETY: everything that the header points at outlives the call.
                    repeat(|| assert!(unsafe { libc::sendmsg(fd, &raw const header, 0) } > 0));
                }),
            ),
            (
                "send on a connected socket",
                Box::new(move || repeat(|| assert!(connected.send(&same).unwrap() > 0))),
            ),
            (
                "sendmmsg, 32 at a time",
                Box::new(move || {
                    let mut parts = [piece(&many)];
                    let header = message(name, &mut parts);
                    let mut batch = [libc::mmsghdr { msg_hdr: header, msg_len: 0 }; BATCH];
                    // SAFETY: everything that the headers point at outlives the call.
                    let sent = unsafe { libc::sendmmsg(fd, batch.as_mut_ptr(), BATCH as u32, 0) };
                    assert_eq!(sent, BATCH as i32);
                }),
            ),
            ("io_uring, 32 at a time", uring(fd, name, whole)),
            (
                "UDP_SEGMENT, 32 at a time, where all go to one address",
                Box::new(move || {
                    let mut parts = [piece(&run); BATCH];
                    let mut header = message(name, &mut parts);
                    let mut control = [0_u64; 3];
                    // SAFETY: all-zero is a valid cmsghdr.
                    let mut segment: libc::cmsghdr = unsafe { zeroed() };
                    segment.cmsg_len = size_of::<libc::cmsghdr>() + size_of::<u16>();
                    segment.cmsg_level = libc::SOL_UDP;
                    segment.cmsg_type = libc::UDP_SEGMENT;
                    // SAFETY: the buffer has room for a cmsghdr and 8 bytes, and its alignment.
                    unsafe {
                        ptr::write(control.as_mut_ptr().cast(), segment);
                        let size = u16::try_from(run.len()).unwrap();
                        ptr::write(control.as_mut_ptr().add(2).cast::<u16>(), size);
                    }
                    header.msg_control = control.as_mut_ptr().cast();
                    header.msg_controllen = segment.cmsg_len as _;
                    // SAFETY: everything that the header points at outlives the call.
                    assert!(unsafe { libc::sendmsg(fd, &raw const header, 0) } > 0);
                }),
            ),
        ]
    }

    fn uring<'a>(fd: i32, name: &'static libc::sockaddr_in, bytes: Vec<u8>) -> Way<'a> {
        let mut ring: IoUring = IoUring::builder()
            .setup_single_issuer()
            .setup_coop_taskrun()
            .build(u32::try_from(BATCH).unwrap())
            .unwrap();
        Box::new(move || {
            for _ in 0..BATCH {
                let len = u32::try_from(bytes.len()).unwrap();
                let entry = opcode::Send::new(types::Fd(fd), bytes.as_ptr(), len)
                    .dest_addr(ptr::from_ref(name).cast())
                    .dest_addr_len(size_of::<libc::sockaddr_in>() as libc::socklen_t)
                    .build();
                // SAFETY: bytes and address live on, and all entries are waited for below.
                unsafe { ring.submission().push(&entry).unwrap() };
            }
            ring.submit_and_wait(BATCH).unwrap();
            let mut done = 0;
            for entry in ring.completion() {
                assert!(entry.result() > 0, "{}", entry.result());
                done += 1;
            }
            assert_eq!(done, BATCH);
        })
    }

    fn repeat(mut send: impl FnMut()) {
        for _ in 0..BATCH {
            send();
        }
    }

    fn piece(bytes: &[u8]) -> libc::iovec {
        libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() }
    }

    fn message(name: &'static libc::sockaddr_in, parts: &mut [libc::iovec]) -> libc::msghdr {
        // SAFETY: all-zero is a valid msghdr.
        let mut header: libc::msghdr = unsafe { zeroed() };
        header.msg_name = ptr::from_ref(name).cast_mut().cast();
        header.msg_namelen = size_of::<libc::sockaddr_in>() as libc::socklen_t;
        header.msg_iov = parts.as_mut_ptr();
        header.msg_iovlen = parts.len() as _;
        header
    }
}
