//! The least that a relay can do, as a mark to measure servers against: it asks nobody who he is, checks
//! nothing, keeps no time, and forwards. With `--plain` one recvfrom and one sendto a packet; without, the
//! batches of the server (recvmmsg with UDP_GRO in, UDP_SEGMENT out).
//!
//! It speaks enough TURN for `turnctl bench` (Allocate, ChannelBind, Refresh, ChannelData over UDP), so
//! that the same load runs against it. For loopback only: whoever reaches it may relay to anywhere.
//!
//! ```text
//! cargo bench --bench forwarder -- --port 3478 [--plain]
//! ```
#![allow(clippy::print_stdout)]

use std::collections::HashMap;
use std::error::Error;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd as _;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use taciturn_net::load_generator::{Bulk, Hop};
use taciturn_stun::{AttributeType, ChannelData, Class, Kind, Message, Method, Writer};

const LISTENER: u32 = u32::MAX;

/// Requests that one batch may bring.
const REQUESTS: usize = 64;

struct Relay {
    socket: UdpSocket,
    client: SocketAddr,
    peer: Option<SocketAddr>,
}

struct Forwarder {
    poll: Poll,
    listener: UdpSocket,
    relays: Vec<Option<Relay>>,
    by_client: HashMap<SocketAddr, u32>,
    plain: bool,
    bulk: Bulk,
    requests: Vec<(SocketAddr, Vec<u8>)>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let (mut port, mut plain) = (3478, false);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--bench" => {} // `cargo bench` adds it
            "--plain" => plain = true,
            "--port" => port = arguments.next().ok_or("--port: its number is missing")?.parse()?,
            // So that `cargo test --benches` and a filter of `cargo bench` end at once.
            _ => return Ok(()),
        }
    }
    if std::env::args().all(|argument| argument != "--port") {
        println!("forwarder: serves where --port is given");
        return Ok(());
    }
    Forwarder::open(port, plain)?.run()?;
    Ok(())
}

impl Forwarder {
    fn open(port: u16, plain: bool) -> io::Result<Self> {
        let forwarder = Self {
            poll: Poll::new()?,
            listener: UdpSocket::bind((Ipv4Addr::LOCALHOST, port))?,
            relays: Vec::new(),
            by_client: HashMap::new(),
            plain,
            bulk: Bulk::default(),
            requests: Vec::with_capacity(REQUESTS),
        };
        forwarder.watch(&forwarder.listener, LISTENER)?;
        Ok(forwarder)
    }

    fn watch(&self, socket: &UdpSocket, number: u32) -> io::Result<()> {
        match self.plain {
            true => socket.set_nonblocking(true)?,
            false => Bulk::prepare(socket)?,
        }
        let token = Token(number as usize);
        self.poll.registry().register(&mut SourceFd(&socket.as_raw_fd()), token, Interest::READABLE)
    }

    fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(256);
        let mut packet = vec![0; 65_536];
        loop {
            match self.poll.poll(&mut events, None) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
            for event in &events {
                let number = u32::try_from(event.token().0).unwrap_or(LISTENER);
                while self.read(number, &mut packet) {}
                for (client, request) in std::mem::take(&mut self.requests) {
                    self.answer(client, &request)?;
                }
            }
        }
    }

    /// Reads a socket once; returns whether there may be more.
    fn read(&mut self, number: u32, packet: &mut [u8]) -> bool {
        let Self { listener, relays, by_client, bulk, requests, .. } = self;
        let Some(socket) = socket(listener, relays, number) else { return false };
        let mut route = |source: SocketAddr, bytes: &[u8]| -> Option<Hop> {
            if let Some(relay) = relays.get(number as usize) {
                let len = u16::try_from(bytes.len()).ok()?.to_be_bytes();
                let header = Some([0x40, 0, len[0], len[1]]);
                return Some(Hop { socket: LISTENER, to: relay.as_ref()?.client, header, skip: 0 });
            }
            if Kind::of(bytes) == Kind::ChannelData {
                let socket = *by_client.get(&source)?;
                let to = relays.get(socket as usize)?.as_ref()?.peer?;
                return Some(Hop { socket, to, header: None, skip: ChannelData::HEADER_LEN });
            }
            if requests.len() < REQUESTS {
                requests.push((source, bytes.to_vec()));
            }
            None
        };
        if !self.plain {
            let more = bulk.receive(socket, route);
            bulk.flush(|number| self::socket(listener, relays, number));
            return match more {
                Ok(more) => more,
                Err(error) => error.kind() != io::ErrorKind::WouldBlock,
            };
        }
        // Room for the header in front.
        let (len, source) = match socket.recv_from(&mut packet[ChannelData::HEADER_LEN..]) {
            Ok(received) => received,
            Err(error) => return error.kind() != io::ErrorKind::WouldBlock,
        };
        let end = ChannelData::HEADER_LEN + len;
        if let Some(hop) = route(source, &packet[ChannelData::HEADER_LEN..end])
            && let Some(socket) = self::socket(listener, relays, hop.socket)
        {
            let start = match hop.header {
                Some(header) => {
                    packet[..ChannelData::HEADER_LEN].copy_from_slice(&header);
                    0
                }
                None => ChannelData::HEADER_LEN + hop.skip,
            };
            // What finds no room is lost, as in any relay.
            let _ = socket.send_to(&packet[start..end], hop.to);
        }
        true
    }

    fn answer(&mut self, client: SocketAddr, request: &[u8]) -> io::Result<()> {
        let Ok(message) = Message::parse(request) else { return Ok(()) };
        let known = self.by_client.get(&client).copied();
        let mut relayed = None;
        match message.method() {
            Method::ALLOCATE if known.is_none() => {
                let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
                relayed = Some(socket.local_addr()?);
                let number = u32::try_from(self.relays.len()).map_err(io::Error::other)?;
                self.watch(&socket, number)?;
                self.by_client.insert(client, number);
                self.relays.push(Some(Relay { socket, client, peer: None }));
            }
            Method::CHANNEL_BIND => {
                let relay = known.and_then(|number| self.relays.get_mut(number as usize)?.as_mut());
                if let Some(relay) = relay {
                    relay.peer = message.peer().ok().flatten();
                }
            }
            Method::REFRESH => {
                self.by_client.remove(&client);
                if let Some(relay) = known.and_then(|number| self.relays.get_mut(number as usize)) {
                    *relay = None;
                }
            }
            _ => return Ok(()),
        }
        let mut buffer = [0; 128];
        let tid = message.transaction_id();
        let mut writer = Writer::new(&mut buffer, Class::Success, message.method(), tid);
        if let Some(relayed) = relayed {
            writer
                .address(AttributeType::XOR_RELAYED_ADDRESS, relayed)
                .address(AttributeType::XOR_MAPPED_ADDRESS, client);
        }
        let len = writer.lifetime(600).finish().map_err(io::Error::other)?;
        self.listener.send_to(&buffer[..len], client)?;
        Ok(())
    }
}

fn socket<'a>(
    listener: &'a UdpSocket,
    relays: &'a [Option<Relay>],
    number: u32,
) -> Option<&'a UdpSocket> {
    if number == LISTENER {
        return Some(listener);
    }
    Some(&relays.get(number as usize)?.as_ref()?.socket)
}
