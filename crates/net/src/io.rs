//! The sockets of one worker, as its shard sees them.

use std::cell::Cell;
use std::fmt::Arguments;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::rc::Rc;
use std::sync::Arc;

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use slab::Slab;

use super::batch::{Egress, dont_fragment, overflowed, tell_icmp_errors};
use super::clock::Clock;
use super::colleagues::Colleagues;
use super::command::Command;
use super::dtls_clients::Dtls;
use super::event_log::{EventLog, Kind, NO_SOURCE};
use super::listener::{ListenerId, UdpListener, UdpListeners, open_relay};
use super::losses::{Loss, Losses};
use super::stream::Line;
use super::tally::{Overflowed, Tally};
use super::tcp_relay::{Handover, TcpRelays};
use super::worker::sending::answer;
use taciturn_stun::Family;
use taciturn_turn::clock::Tick;
use taciturn_turn::{
    AllocationId, ChannelRoute, Client, Clients, ConnectError, ConnectionId, DataPath, Event,
    MobileId, Observer, OpenError, OtherShards, PeerConnections, Prefix, Randomness, RelayId,
    RelaySockets, ShardNumber, Traffic, Usage, Via,
};

/// Relay sockets have the numbers from here on, listeners those below.
const FIRST_RELAY: usize = 1 << 16;

/// Numbers of listeners for connections begin here, those of UDP listeners at 0.
pub(super) const FIRST_STREAM_LISTENER: u16 = 1 << 15;

/// A relay socket.
#[derive(Debug)]
pub(super) struct RelaySocket {
    pub(super) socket: UdpSocket,
    pub(super) owner: AllocationId,
    pub(super) family: Family,
    /// Whether it sends with DF now.
    dont_fragment: Cell<bool>,
    /// Whether it waits for its turn to be read.
    queued: bool,
    /// Closed for the shard, and kept until what is on its way out has left.
    closing: bool,
}

/// The sockets of one worker.
#[derive(Debug)]
pub(super) struct Io {
    registry: Registry,
    listeners: UdpListeners,
    relays: Slab<RelaySocket>,
    closing: Vec<usize>,
    /// The connections of this worker.
    lines: Slab<Rc<Line>>,
    pub(super) dtls: Dtls,
    /// What TCP allocations have.
    pub(super) tcp: TcpRelays,
    /// The other workers.
    pub(super) colleagues: Colleagues,
    pub(super) log: EventLog,
    pub(super) tally: Tally,
    /// What clients have lost whose connections have ended.
    lost: Losses,
    /// What sockets have missed that are closed.
    overflowed: Overflowed,
    /// Whether relay sockets tell ICMP errors.
    icmp_errors: bool,
    /// The time of the batch at hand.
    pub(super) now: Tick,
}

/// A socket of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    Listener(u16),
    Relay(RelayId),
}

impl From<Token> for Which {
    fn from(Token(number): Token) -> Self {
        // SAFE: tokens are made by `number` below, from a u16 or a slab index.
        #[allow(clippy::cast_possible_truncation)]
        match number.checked_sub(FIRST_RELAY) {
            Some(relay) => Self::Relay(RelayId(relay as u32)),
            None => Self::Listener(number as u16),
        }
    }
}

impl Which {
    /// The number under which epoll and the egress know it.
    pub(super) const fn number(self) -> u32 {
        match self {
            Self::Listener(number) => number as u32,
            Self::Relay(RelayId(relay)) => FIRST_RELAY as u32 + relay,
        }
    }
}

impl Io {
    /// No sockets yet.
    pub(super) fn new(
        clock: Clock,
        registry: Registry,
        dtls: Dtls,
        handover: Arc<Handover>,
        icmp_errors: bool,
    ) -> Self {
        Self {
            registry,
            listeners: Slab::new(),
            relays: Slab::new(),
            closing: Vec::new(),
            lines: Slab::new(),
            dtls,
            tcp: TcpRelays::new(clock, handover),
            colleagues: Colleagues::default(),
            log: EventLog::default(),
            tally: Tally::default(),
            lost: Losses::default(),
            overflowed: Overflowed::default(),
            icmp_errors,
            now: Tick(0),
        }
    }

    /// Takes a listening socket in; returns its number.
    ///
    /// # Errors
    /// When epoll does not take it, or there are too many.
    pub(super) fn listen(&mut self, listener: UdpListener) -> io::Result<u16> {
        let entry = self.listeners.vacant_entry();
        let number = u16::try_from(entry.key()).ok().filter(|n| *n < FIRST_STREAM_LISTENER);
        let number = number.ok_or_else(|| io::Error::other("too many listeners"))?;
        let fd = listener.socket.as_raw_fd();
        self.registry.register(
            &mut SourceFd(&fd),
            Token(usize::from(number)),
            Interest::READABLE,
        )?;
        entry.insert(listener);
        Ok(number)
    }

    /// The numbers of a listener: one for each address family.
    pub(super) fn numbers(&self, id: ListenerId) -> Vec<u16> {
        let of_it = self.listeners.iter().filter(|(_, listener)| listener.id == id);
        of_it.filter_map(|(number, _)| u16::try_from(number).ok()).collect()
    }

    /// Closes a listening socket.
    pub(super) fn close_listener(&mut self, number: u16) {
        if let Some(listener) = self.listeners.try_remove(usize::from(number)) {
            self.overflowed.listeners += u64::from(overflowed(&listener.socket));
            let fd = listener.socket.as_raw_fd();
            // Closing takes it out of epoll too; an error here changes nothing.
            let _ = self.registry.deregister(&mut SourceFd(&fd));
        }
    }

    /// Has every connection looked at, although nothing has come for it.
    pub(super) fn nudge_connections(&self) {
        self.lines.iter().for_each(|(_, line)| line.nudge());
    }

    /// Whether relay sockets that are opened from now on tell ICMP errors.
    pub(super) const fn set_icmp_errors(&mut self, on: bool) {
        self.icmp_errors = on;
    }

    pub(super) fn listener(&self, number: u16) -> Option<&UdpListener> {
        self.listeners.get(usize::from(number))
    }

    /// The UDP listener that `address` belongs to.
    pub(super) fn listener_at(&self, address: SocketAddr) -> Option<&UdpListener> {
        let (ip, port) = (address.ip(), address.port());
        let serves = |listener: &&UdpListener| {
            let at = listener.address;
            let is_any = at.ip().is_unspecified() && at.is_ipv4() == ip.is_ipv4();
            at.port() == port && (at.ip() == ip || is_any)
        };
        self.listeners.iter().map(|(_, listener)| listener).find(serves)
    }

    pub(super) fn relay(&self, RelayId(relay): RelayId) -> Option<&RelaySocket> {
        self.relays.get(relay as usize).filter(|relay| !relay.closing)
    }

    /// Notes that a socket waits for its turn to be read, or not any more. Returns whether that is
    /// news.
    pub(super) fn set_queued(&mut self, which: Which, queued: bool) -> bool {
        let flag = match which {
            Which::Listener(number) => {
                self.listeners.get_mut(usize::from(number)).map(|listener| &mut listener.queued)
            }
            Which::Relay(RelayId(relay)) => {
                self.relays.get_mut(relay as usize).map(|relay| &mut relay.queued)
            }
        };
        flag.is_some_and(|flag| std::mem::replace(flag, queued) != queued)
    }

    /// The socket of a number, sending with DF or without.
    pub(super) fn sender(&self, number: u32, df: bool) -> Option<&UdpSocket> {
        match Which::from(Token(number as usize)) {
            Which::Listener(number) => self.listener(number).map(|listener| &listener.socket),
            Which::Relay(RelayId(relay)) => {
                let relay = self.relays.get(relay as usize)?;
                if relay.dont_fragment.get() != df {
                    // Where DF cannot be set the datagram goes out without it.
                    let _ = dont_fragment(&relay.socket, relay.family == Family::V6, df);
                    relay.dont_fragment.set(df);
                }
                Some(&relay.socket)
            }
        }
    }

    /// Takes a connection in; returns its number.
    pub(super) fn connect(&mut self, line: Rc<Line>) -> u32 {
        // SAFE: fewer connections than descriptors.
        #[allow(clippy::cast_possible_truncation)]
        let number = self.lines.insert(line) as u32;
        number
    }

    pub(super) fn disconnect(&mut self, connection: u32) {
        if let Some(line) = self.lines.try_remove(connection as usize) {
            self.lost.add(Loss::SlowClient, line.dropped());
        }
        self.tcp.take_bound(connection);
    }

    pub(super) fn line(&self, connection: u32) -> Option<&Line> {
        self.lines.get(connection as usize).map(Rc::as_ref)
    }

    /// What clients on connections have lost, over DTLS as well.
    pub(super) fn lost(&self) -> Losses {
        let mut lost = self.lost;
        self.lines.iter().for_each(|(_, line)| lost.add(Loss::SlowClient, line.dropped()));
        lost.add_all(&self.dtls.lost());
        lost
    }

    /// What the sockets have missed so far: a system call for each, so to be asked now and then.
    pub(super) fn overflowed(&self) -> Overflowed {
        let listeners =
            self.listeners.iter().map(|(_, listener)| u64::from(overflowed(&listener.socket)));
        let relays = self.relays.iter().map(|(_, relay)| u64::from(overflowed(&relay.socket)));
        Overflowed {
            listeners: self.overflowed.listeners + listeners.sum::<u64>(),
            relays: self.overflowed.relays + relays.sum::<u64>(),
        }
    }

    pub(super) fn dtls_and_sockets(&mut self) -> (&mut Dtls, &UdpListeners) {
        (&mut self.dtls, &self.listeners)
    }

    /// Sends everything that a batch has come to, and closes what has been given up.
    pub(super) fn flush(&mut self, egress: &mut Egress, bytes: &[u8]) {
        egress.set_now(self.now);
        egress.flush(bytes, |number, df| self.sender(number, df));
        self.dtls.flush(self.now, &self.listeners);
        self.close_given_up();
    }

    /// Writes a warning to the log, unless there were many of this source.
    pub(super) fn warn(&mut self, kind: Kind, source: IpAddr, text: Arguments<'_>) {
        self.log.warn(kind, source, self.now, text);
    }

    /// A relay socket is not to be had: what the shard is told, and the log.
    fn not_opened(&mut self, what: &str, address: SocketAddr, error: &io::Error) -> OpenError {
        if error.kind() == io::ErrorKind::AddrInUse {
            return OpenError::InUse;
        }
        let text = format_args!("cannot {what} on {address}: {error}");
        self.warn(Kind::Socket, address.ip(), text);
        OpenError::Impossible
    }

    /// Takes a relay socket in, and watches it: a new one, or one of another worker's. What waits on
    /// it already is read.
    ///
    /// # Errors
    /// When epoll does not take it; it is closed then.
    pub(super) fn adopt(&mut self, relay: RelaySocket) -> io::Result<RelayId> {
        let entry = self.relays.vacant_entry();
        let fd = relay.socket.as_raw_fd();
        let token = Token(FIRST_RELAY + entry.key());
        self.registry.register(&mut SourceFd(&fd), token, Interest::READABLE)?;
        // SAFE: fewer relays than ports.
        #[allow(clippy::cast_possible_truncation)]
        let id = RelayId(entry.key() as u32);
        entry.insert(RelaySocket { queued: false, ..relay });
        Ok(id)
    }

    /// Takes a relay socket out, for another worker.
    pub(super) fn give_up(&mut self, RelayId(relay): RelayId) -> Option<RelaySocket> {
        let relay = self.relays.try_remove(relay as usize)?;
        let fd = relay.socket.as_raw_fd();
        // Were it watched here still, this worker would wake for what the other reads.
        if let Err(error) = self.registry.deregister(&mut SourceFd(&fd)) {
            tracing::debug!(%error, "a relay socket that moves was not watched");
        }
        Some(relay)
    }

    /// Says whose a relay socket is from now on.
    pub(super) fn set_owner(&mut self, RelayId(relay): RelayId, owner: AllocationId) {
        if let Some(relay) = self.relays.get_mut(relay as usize) {
            relay.owner = owner;
        }
    }

    /// Closes the relay sockets that the shard has given up, once nothing waits to leave by them.
    pub(super) fn close_given_up(&mut self) {
        for relay in self.closing.drain(..) {
            if let Some(relay) = self.relays.try_remove(relay) {
                self.overflowed.relays += u64::from(overflowed(&relay.socket));
                let fd = relay.socket.as_raw_fd();
                // Closing takes it out of epoll too; an error here changes nothing.
                let _ = self.registry.deregister(&mut SourceFd(&fd));
            }
        }
    }
}

impl Randomness for Io {
    fn random(&mut self, bytes: &mut [u8]) {
        // SAFE: the OS generator fails on a kernel without getrandom only, and the server has drawn
        // from it at start. Going on without randomness would be worse than stopping.
        #[allow(clippy::expect_used)]
        getrandom::fill(bytes).expect("the operating system gives randomness");
    }
}

impl RelaySockets for Io {
    fn open_relay(
        &mut self,
        owner: AllocationId,
        address: SocketAddr,
    ) -> Result<RelayId, OpenError> {
        let opened = open_relay(address);
        let socket =
            opened.map_err(|error| self.not_opened("open a relay socket", address, &error))?;
        if self.icmp_errors
            && let Err(error) = tell_icmp_errors(&socket, address.is_ipv6())
        {
            return Err(self.not_opened("ask for ICMP errors", address, &error));
        }
        let relay = RelaySocket {
            socket,
            owner,
            family: Family::of(address.ip()),
            dont_fragment: Cell::new(false),
            queued: false,
            closing: false,
        };
        let adopted = self.adopt(relay);
        adopted.map_err(|error| self.not_opened("watch a relay socket", address, &error))
    }

    fn close_relay(&mut self, RelayId(relay): RelayId) {
        if let Some(socket) = self.relays.get_mut(relay as usize) {
            socket.closing = true;
            self.closing.push(relay as usize);
        }
    }
}

impl PeerConnections for Io {
    fn open_tcp_relay(
        &mut self,
        owner: AllocationId,
        address: SocketAddr,
    ) -> Result<RelayId, OpenError> {
        let opened = self.tcp.open(owner, address);
        opened.map_err(|error| self.not_opened("open a relay socket for TCP", address, &error))
    }

    fn close_tcp_relay(&mut self, relay: RelayId) {
        self.tcp.close(relay);
    }

    fn connect_peer(
        &mut self,
        owner: AllocationId,
        relay: RelayId,
        connection: ConnectionId,
        peer: SocketAddr,
    ) -> Result<(), ConnectError> {
        self.tcp.connect(owner, relay, connection, peer)
    }

    fn bind_peer(&mut self, client: Client, connection: ConnectionId) -> bool {
        match client.via {
            Via::Stream { connection: number, .. } => {
                self.tcp.bind(number, connection).unwrap_or_else(|error| {
                    let text = format_args!("cannot take over a connection to a peer: {error}");
                    self.warn(Kind::Socket, NO_SOURCE, text);
                    false
                })
            }
            Via::Udp(_) | Via::Dtls { .. } => false,
        }
    }

    fn close_peer(&mut self, connection: ConnectionId) -> Traffic {
        self.tcp.close_peer(connection)
    }
}

impl Clients for Io {
    fn tell(&mut self, client: Client, message: &[u8]) {
        match client.via {
            Via::Udp(_) => {
                if let Err(error) = answer(self, client, message) {
                    self.lost.count(Loss::of(&error));
                }
            }
            Via::Stream { connection, .. } => {
                if let Some(line) = self.line(connection) {
                    line.answer(message);
                    line.tell_allocation_news();
                }
            }
            Via::Dtls { connection, .. } => {
                let nothing = Prefix::new(&[]);
                self.dtls.media(self.now, connection, &nothing, message, 0, &self.listeners);
                self.dtls.look_at(self.now, connection);
                self.dtls.flush(self.now, &self.listeners);
            }
        }
    }

    fn listening_port(&self, client: Client) -> Option<u16> {
        self.listener(client.via.listener()).map(|listener| listener.address.port())
    }

    fn is_secure(&self, client: Client) -> bool {
        match client.via {
            Via::Udp(_) => false,
            Via::Dtls { .. } => true,
            Via::Stream { connection, .. } => {
                self.line(connection).is_some_and(|line| line.transport() == "tls")
            }
        }
    }
}

impl OtherShards for Io {
    fn fetch(&mut self, from: ShardNumber, allocation: MobileId, client: Client) -> bool {
        self.colleagues.fetch(from, allocation, client)
    }

    fn release_at(&mut self, shard: ShardNumber, allocation: MobileId) -> bool {
        self.colleagues.command(shard, Command::Release { allocation })
    }

    fn offer_to(&mut self, shard: ShardNumber, client: Client) {
        self.colleagues.command(shard, Command::FetchFor { client });
    }
}

impl Observer for Io {
    fn event(&mut self, event: Event<'_>) {
        self.tally.count(&event);
        if let Event::Ended { client, .. } = event {
            match client.via {
                Via::Udp(_) => {}
                Via::Dtls { connection, .. } => self.dtls.look_at(self.now, connection),
                Via::Stream { connection, .. } => {
                    if let Some(line) = self.line(connection) {
                        line.tell_allocation_news();
                    }
                }
            }
        }
        let lines = &self.lines;
        self.log.write(self.now, &event, |via| match via {
            Via::Udp(_) => "udp",
            Via::Dtls { .. } => "dtls",
            Via::Stream { connection, .. } => {
                lines.get(connection as usize).map_or("tcp", |line| line.transport())
            }
        });
    }
}

/// The sockets relay everything: there is no other data path.
impl DataPath for Io {
    const IS_THERE: bool = false;

    fn channel_opened(&mut self, _: ChannelRoute, _: Tick) {}

    fn channel_closed(&mut self, _: ChannelRoute) -> Usage {
        Usage::default()
    }
}
