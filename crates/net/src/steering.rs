//! Which worker gets the datagrams of a client, where several listen on one address (SO_REUSEPORT): a function of the
//! client's address and port, and of the number of workers.
//!
//! By itself the kernel chooses by a hash with a secret of its own, so nobody could tell where a client is after the
//! number of workers has changed, and its allocation would be on another worker than its packets. So the kernel gets a
//! program (BPF), which returns the same as [`worker_of`].
#![allow(unsafe_code)]

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;

use libc::sock_filter;

/// Odd, and without a pattern: each bit of what is multiplied moves many.
const MIX: u32 = 0x9e37_79b1;

/// Where the headers of the packet begin, for the program (`SKF_NET_OFF`): it stands in front of the payload.
const NETWORK: u32 = -0x0010_0000_i32 as u32;

/// Offsets in the IP header.
const V4_SOURCE: u32 = 12;
const V6_SOURCE: u32 = 8;
const V6_HEADER: u32 = 40;

/// Returns the number of the worker that the datagrams from `client` come to.
pub(crate) fn worker_of(client: SocketAddr, workers: u16) -> u16 {
    let mixed = match client {
        SocketAddr::V4(at) => mix(mix(0, at.ip().to_bits()), at.port().into()),
        SocketAddr::V6(at) => {
            let bits = at.ip().to_bits();
            // SAFE: each word is cut out.
            #[allow(clippy::cast_possible_truncation)]
            let words = [96, 64, 32, 0].map(|shift| (bits >> shift) as u32);
            mix(words.into_iter().fold(0, mix), at.port().into())
        }
    };
    // SAFE: less than a u16.
    #[allow(clippy::cast_possible_truncation)]
    let worker = ((mixed ^ (mixed >> 16)) % u32::from(workers.max(1))) as u16;
    worker
}

const fn mix(mixed: u32, word: u32) -> u32 {
    (mixed ^ word).wrapping_mul(MIX)
}

/// Has the kernel choose by [`worker_of`] among the sockets that share the address of this one, which are in the order
/// of their workers, of which there are `workers`.
///
/// # Errors
/// Where the kernel has no such programs; then it chooses as it likes.
pub(crate) fn steer(socket: &impl AsRawFd, is_ipv6: bool, workers: u16) -> io::Result<()> {
    let mut program = program(is_ipv6, workers);
    let program = libc::sock_fprog {
        // SAFE: some twenty instructions.
        #[allow(clippy::cast_possible_truncation)]
        len: program.len() as libc::c_ushort,
        filter: program.as_mut_ptr(),
    };
    // SAFE: some bytes.
    #[allow(clippy::cast_possible_truncation)]
    const LEN: libc::socklen_t = size_of::<libc::sock_fprog>() as libc::socklen_t;
    // SAFETY: the descriptor is open while `socket` is borrowed; the value is as long as is said, and the instructions
    // that it points to are alive during the call, which copies them.
    let outcome = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_REUSEPORT_CBPF,
            (&raw const program).cast(),
            LEN,
        )
    };
    if outcome == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// [`worker_of`] for the kernel: A holds what is mixed so far.
fn program(is_ipv6: bool, workers: u16) -> Vec<sock_filter> {
    use libc::{
        BPF_A, BPF_ABS, BPF_ALU, BPF_B, BPF_H, BPF_IND, BPF_K, BPF_LD, BPF_LDX, BPF_MISC, BPF_MOD,
        BPF_MSH, BPF_MUL, BPF_RET, BPF_RSH, BPF_ST, BPF_TAX, BPF_W, BPF_X, BPF_XOR,
    };
    // SAFE: codes have 16 bits.
    #[allow(clippy::cast_possible_truncation)]
    let step = |code: u32, k: u32| sock_filter { code: code as u16, jt: 0, jf: 0, k };
    let mix = [step(BPF_ALU | BPF_XOR | BPF_X, 0), step(BPF_ALU | BPF_MUL | BPF_K, MIX)];
    let take_up = step(BPF_MISC | BPF_TAX, 0);
    let word = |at: u32| step(BPF_LD | BPF_W | BPF_ABS, NETWORK.wrapping_add(at));
    let mut program = Vec::new();
    if is_ipv6 {
        // X is 0 at the beginning, as A is.
        for at in (0..4).map(|word| V6_SOURCE + 4 * word) {
            program.push(word(at));
            program.extend(mix);
            program.push(take_up);
        }
        program.push(step(BPF_LD | BPF_H | BPF_ABS, NETWORK.wrapping_add(V6_HEADER)));
        program.extend(mix);
    } else {
        program.push(word(V4_SOURCE));
        program.push(step(BPF_ALU | BPF_MUL | BPF_K, MIX));
        program.push(step(BPF_ST, 0));
        // The port is behind the header, whose length is in its first byte.
        program.push(step(BPF_LDX | BPF_B | BPF_MSH, NETWORK));
        program.push(step(BPF_LD | BPF_H | BPF_IND, NETWORK));
        program.push(step(BPF_LDX | libc::BPF_MEM, 0));
        program.extend(mix);
    }
    program.push(take_up);
    program.push(step(BPF_ALU | BPF_RSH | BPF_K, 16));
    program.push(step(BPF_ALU | BPF_XOR | BPF_X, 0));
    program.push(step(BPF_ALU | BPF_MOD | BPF_K, u32::from(workers.max(1))));
    program.push(step(BPF_RET | BPF_A, 0));
    program
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use socket2::{Domain, Socket, Type};

    use super::*;

    /// Sockets of so many workers on one address, which do not block.
    fn group(at: SocketAddr, workers: u16) -> Vec<UdpSocket> {
        let mut at = at;
        let mut sockets = Vec::new();
        for _ in 0..workers {
            let socket = Socket::new(Domain::for_address(at), Type::DGRAM, None).unwrap();
            socket.set_reuse_port(true).unwrap();
            socket.bind(&at.into()).unwrap();
            socket.set_nonblocking(true).unwrap();
            at = socket.local_addr().unwrap().as_socket().unwrap();
            sockets.push(socket.into());
        }
        sockets
    }

    /// Has 100 clients send, and holds that each datagram comes to the worker that it is said to come to.
    fn assert_steered(at: &str, workers: &[u16]) {
        let at: SocketAddr = at.parse().unwrap();
        let most = workers.iter().copied().max().unwrap();
        let sockets = group(at, most);
        let there = sockets[0].local_addr().unwrap();
        for workers in workers.iter().copied() {
            steer(&sockets[0], at.is_ipv6(), workers).unwrap();
            let mut reached = vec![0; usize::from(workers)];
            for _ in 0..100 {
                let client = UdpSocket::bind((at.ip(), 0)).unwrap();
                client.send_to(b"x", there).unwrap();
                let came = |socket: &UdpSocket| socket.recv_from(&mut [0; 10]).is_ok();
                let worker = sockets.iter().position(came).unwrap();
                let expected = worker_of(client.local_addr().unwrap(), workers);
                assert_eq!(worker, usize::from(expected), "of {workers}");
                reached[worker] += 1;
            }
            assert!(reached.iter().all(|times| *times > 0), "{reached:?}");
        }
    }

    #[test]
    fn the_kernel_chooses_the_worker_that_is_told_from_the_clients_address() {
        assert_steered("127.0.0.1:0", &[4, 3, 1, 2]);
    }

    #[test]
    fn over_ipv6_it_does_as_well() {
        assert_steered("[::1]:0", &[2, 5]);
    }

    #[test]
    fn clients_are_spread_evenly() {
        for workers in [2, 3, 8] {
            let mut reached = vec![0_u32; usize::from(workers)];
            for n in 0..10_000_u32 {
                let ip = std::net::Ipv4Addr::from_bits(0xcb00_7100 + n % 250);
                // SAFE: any port will do.
                #[allow(clippy::cast_possible_truncation)]
                let client = SocketAddr::from((ip, (1024 + n * 7) as u16));
                reached[usize::from(worker_of(client, workers))] += 1;
            }
            let fair = 10_000 / u32::from(workers);
            assert!(
                reached.iter().all(|n| (fair * 9 / 10..fair * 11 / 10).contains(n)),
                "{reached:?}"
            );
        }
    }
}
