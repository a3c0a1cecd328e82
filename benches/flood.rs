//! A flood of strangers: Binding and Allocate requests from many addresses, which nobody answers to.
//!
//! `stages/attacks/run flood` runs it in a network namespace where all of 9.0.0.0/8 is local
//! (`ip route add local 9.0.0.0/8 dev lo`), so that each request can come from an address of its own:
//!
//! ```text
//! flood --server 10.77.0.1:3478 --requests 1000000 --addresses 200000 --rate 20000
//! ```
//!
//! One line of JSON tells what was sent. It uses the standard library alone.
#![allow(clippy::print_stdout)]

use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The first of the addresses.
const FIRST: u32 = u32::from_be_bytes([9, 0, 1, 0]);
/// The port of the first request of each address; the next has the next.
const PORT: u16 = 20_000;
/// How often the pace is looked at.
const BEAT: Duration = Duration::from_millis(2);

fn main() -> Result<()> {
    let options = Options::from_arguments()?;
    let started = Instant::now();
    let mut bytes = 0;
    for n in 0..options.requests {
        let due = Duration::from_secs_f64(f64::from(n) / f64::from(options.rate));
        while started.elapsed() + BEAT < due {
            std::thread::sleep(BEAT);
        }
        let from = Ipv4Addr::from(FIRST + n % options.addresses);
        let port = PORT + u16::try_from(n / options.addresses)?;
        let socket = UdpSocket::bind((from, port))?;
        bytes += socket.send_to(&request(n), options.server)?;
    }
    println!(
        "{{\"requests\": {}, \"bytes\": {bytes}, \"seconds\": {:.1}}}",
        options.requests,
        started.elapsed().as_secs_f64()
    );
    Ok(())
}

/// A Binding request, or an Allocate request with REQUESTED-TRANSPORT, as first messages are (RFC
/// 8489 section 5, RFC 8656 section 7.1).
fn request(n: u32) -> Vec<u8> {
    let allocate = n % 2 == 1;
    let mut bytes = vec![0, if allocate { 3 } else { 1 }, 0, if allocate { 8 } else { 0 }];
    bytes.extend([0x21, 0x12, 0xa4, 0x42]);
    bytes.extend(b"a flood:");
    bytes.extend(n.to_be_bytes());
    if allocate {
        bytes.extend([0, 0x19, 0, 4, 17, 0, 0, 0]);
    }
    bytes
}

struct Options {
    server: SocketAddr,
    requests: u32,
    addresses: u32,
    /// Requests a second.
    rate: u32,
}

impl Options {
    fn from_arguments() -> Result<Self> {
        let mut options = Self {
            server: SocketAddr::from(([10, 77, 0, 1], 3478)),
            requests: 100_000,
            addresses: 200_000,
            rate: 20_000,
        };
        let mut arguments = std::env::args().skip(1);
        while let Some(name) = arguments.next() {
            if name == "--bench" {
                continue; // `cargo bench` adds it
            }
            let value = arguments.next().ok_or_else(|| format!("{name}: its value is missing"))?;
            match name.as_str() {
                "--server" => options.server = value.parse()?,
                "--requests" => options.requests = value.parse()?,
                "--addresses" => options.addresses = value.parse()?,
                "--rate" => options.rate = value.parse()?,
                _ => return Err(format!("unknown option {name}").into()),
            }
        }
        if options.addresses == 0 || options.rate == 0 {
            return Err("--addresses and --rate are at least 1".into());
        }
        Ok(options)
    }
}
