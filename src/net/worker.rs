//! One worker: a shard, its sockets, and the loop that joins them.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt::Arguments;
use std::io;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use mio::{Events, Poll};
use tokio::sync::Notify;
use tokio::sync::watch::Receiver;
use tokio::task::LocalSet;

use super::batch::{Destination, Egress, Ingress, Outgoing, send};
use super::clock::Clock;
use super::heartbeat::Heart;
use super::io::{Io, Which};
use super::listener::Listeners;
use super::readiness::watch;
use super::server::Shared;
use super::stream::{self, Line};
use crate::clock::{Now, Tick};
use crate::stun::Frame;
use crate::turn::{Client, ClientAddr, PeerAddr, Shard, Verdict, Via};

/// Batches read in one turn before other tasks of the worker get theirs.
const BATCHES_A_TURN: usize = 64;

/// Sockets that epoll names at a time.
const EVENTS: usize = 256;

/// The longest answer: Allocate's, with its reservation and two relays, is below 200 bytes; a 401
/// holds a realm of up to 763.
const REPLY: usize = 1500;

/// Numbers of listeners for connections begin here, those of UDP listeners at 0.
const FIRST_STREAM_LISTENER: u16 = 1 << 15;

/// Serves the clients that the kernel gives to `listeners`, until `stop` turns true.
pub(super) async fn run(
    clock: Clock,
    mut listeners: Listeners,
    shared: &Shared,
    mut stop: Receiver<bool>,
    mut heart: Heart,
) -> io::Result<()> {
    let streams = std::mem::take(&mut listeners.streams);
    let core = Rc::new(Core {
        state: RefCell::new(State::new(clock, listeners, shared)?),
        deadline_moved: Notify::new(),
    });
    let tasks = LocalSet::new();
    for (number, listener) in (FIRST_STREAM_LISTENER..).zip(streams) {
        let connections = Arc::clone(&shared.connections);
        tasks.spawn_local(stream::serve(Rc::clone(&core), listener, number, connections));
    }
    tasks.run_until(core.pump(clock, &mut stop, &mut heart)).await
}

/// A worker as its tasks share it: the one that serves the sockets, and one for each connection.
/// No borrow of the state outlives a call.
#[derive(Debug)]
pub(super) struct Core {
    state: RefCell<State>,
    /// Tells the pump that a deadline has come before the one it waits for.
    deadline_moved: Notify,
}

impl Core {
    /// Serves the sockets until `stop` turns true, then ends every allocation.
    async fn pump(
        &self,
        clock: Clock,
        stop: &mut Receiver<bool>,
        heart: &mut Heart,
    ) -> io::Result<()> {
        let readable = watch(&self.state.borrow().poll)?;
        while !*stop.borrow() {
            heart.answer();
            if self.state.borrow_mut().turn()? {
                tokio::task::yield_now().await;
                continue;
            }
            let timeout = self.state.borrow_mut().arm().map(|tick| clock.instant(tick));
            tokio::select! {
                biased;
                _ = stop.changed() => {}
                // Cleared before the sockets are asked, so that what comes in between wakes again.
                guard = readable.readable() => guard?.clear_ready(),
                () = self.deadline_moved.notified() => {}
                () = heart.called() => {}
                () = sleep_until(timeout) => {}
            }
        }
        self.state.borrow_mut().shut_down();
        Ok(())
    }

    /// Takes a connection in; answers its number.
    pub(super) fn connect(&self, line: Rc<Line>) -> u32 {
        self.state.borrow_mut().io.connect(line)
    }

    /// A connection is gone, and with it the client's allocation.
    pub(super) fn disconnect(&self, client: Client, connection: u32) {
        let mut state = self.state.borrow_mut();
        let now = state.now();
        let State { shard, io, .. } = &mut *state;
        shard.client_gone(now, client, io);
        io.close_given_up();
        io.disconnect(connection);
    }

    /// Takes the whole messages at the front of what a connection has read; answers how many bytes
    /// they are.
    ///
    /// # Errors
    /// When what follows is no message.
    pub(super) fn read_stream(&self, client: Client, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.state.borrow_mut();
        let taken = state.read_stream(client, bytes);
        if state.deadline_is_earlier() {
            self.deadline_moved.notify_one();
        }
        taken
    }

    pub(super) fn has_allocation(&self, client: &Client) -> bool {
        self.state.borrow().shard.has_allocation(client)
    }

    /// A warning that clients can cause at will: written now and then.
    pub(super) fn limited_warning(&self, text: Arguments<'_>) {
        let mut state = self.state.borrow_mut();
        state.now();
        if state.io.may_log() {
            tracing::warn!("{text}");
        }
    }
}

#[derive(Debug)]
struct State {
    clock: Clock,
    poll: Poll,
    events: Events,
    /// Sockets with more to read, each once, in the order of their turns.
    ready: VecDeque<Which>,
    shard: Shard,
    /// The deadline that the pump waits for.
    armed: Option<Tick>,
    io: Io,
    ingress: Ingress,
    egress: Egress,
    reply: Box<[u8; REPLY]>,
}

impl State {
    fn new(clock: Clock, listeners: Listeners, shared: &Shared) -> io::Result<Self> {
        let poll = Poll::new()?;
        let io = Io::new(poll.registry().try_clone()?, listeners.udp)?;
        Ok(Self {
            clock,
            poll,
            events: Events::with_capacity(EVENTS),
            ready: VecDeque::new(),
            shard: Shard::new(shared.settings.clone(), shared.rules.clone()),
            armed: None,
            io,
            ingress: Ingress::default(),
            egress: Egress::default(),
            reply: Box::new([0; REPLY]),
        })
    }

    /// Serves what is there now. Answers whether there is more.
    fn turn(&mut self) -> io::Result<bool> {
        let now = self.on_time();
        match self.poll.poll(&mut self.events, Some(Duration::ZERO)) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        let mut told = 0;
        for event in &self.events {
            told += 1;
            let which = Which::from(event.token());
            if self.io.set_queued(which, true) {
                self.ready.push_back(which);
            }
        }
        for _ in 0..BATCHES_A_TURN {
            let Some(which) = self.ready.pop_front() else { break };
            let more = match which {
                Which::Listener(number) => self.read_listener(now, number),
                Which::Relay(_) => self.read_relay(now, which),
            };
            if more {
                self.ready.push_back(which);
            } else {
                self.io.set_queued(which, false);
            }
        }
        // As many events as there is room for: epoll may have more, and will not wake for them.
        Ok(!self.ready.is_empty() || told == EVENTS)
    }

    fn now(&mut self) -> Now {
        let now = self.clock.now();
        self.io.now = now.tick;
        now
    }

    /// What time it is, once everything due by then has ended.
    fn on_time(&mut self) -> Now {
        let now = self.now();
        if self.shard.next_timeout().is_some_and(|at| at <= now.tick) {
            self.shard.handle_timeout(now, &mut self.io);
            self.io.close_given_up();
        }
        now
    }

    /// The deadline to wait for.
    fn arm(&mut self) -> Option<Tick> {
        self.armed = self.shard.next_timeout();
        self.armed
    }

    fn deadline_is_earlier(&self) -> bool {
        self.shard.next_timeout().is_some_and(|next| self.armed.is_none_or(|armed| next < armed))
    }

    fn shut_down(&mut self) {
        let now = self.now();
        self.shard.shut_down(now, &mut self.io);
        self.io.close_given_up();
    }

    /// One batch from clients. Answers whether there may be more.
    fn read_listener(&mut self, now: Now, number: u16) -> bool {
        let Some(listener) = self.io.listener(number) else { return false };
        let address = listener.address;
        let more = match self.ingress.receive(&listener.socket) {
            Ok(more) => more,
            Err(error) => return try_again(&error),
        };
        let bytes = self.ingress.bytes();
        for received in self.ingress.received() {
            let client = Client {
                via: Via::Udp(number),
                local: received.local.unwrap_or_else(|| address.ip()),
                remote: ClientAddr(received.source),
            };
            for (start, end) in received.datagrams() {
                let packet = bytes.get(start..end).unwrap_or_default();
                let reply = &mut self.reply[..];
                let verdict = self.shard.from_client(now, client, packet, reply, &mut self.io);
                if let Verdict::Reply(len) = verdict {
                    // An answer that cannot be sent is asked for again.
                    let _ = answer(&self.io, client, self.reply.get(..len).unwrap_or_default());
                } else {
                    forward(&mut self.egress, &self.io, verdict, bytes, start);
                }
            }
        }
        self.flush();
        more
    }

    /// One batch from peers. Answers whether there may be more.
    fn read_relay(&mut self, now: Now, which: Which) -> bool {
        let Which::Relay(id) = which else { return false };
        let Some(relay) = self.io.relay(id) else { return false };
        let (owner, family) = (relay.owner, relay.family);
        let more = match self.ingress.receive(&relay.socket) {
            Ok(more) => more,
            Err(error) => return try_again(&error),
        };
        let bytes = self.ingress.bytes();
        for received in self.ingress.received() {
            let peer = PeerAddr(received.source);
            for (start, end) in received.datagrams() {
                let len = end - start;
                let verdict = self.shard.from_peer(now, owner, family, peer.0, len, &mut self.io);
                forward(&mut self.egress, &self.io, verdict, bytes, start);
            }
        }
        self.flush();
        more
    }

    /// The whole messages at the front of `bytes`, which a connection has read.
    fn read_stream(&mut self, client: Client, bytes: &[u8]) -> io::Result<usize> {
        let now = self.on_time();
        let Via::Stream { connection, .. } = client.via else { return Ok(0) };
        let mut at = 0;
        let outcome = loop {
            let rest = bytes.get(at..).unwrap_or_default();
            let (len, padded) = match Frame::of(rest) {
                Frame::Whole { len, padded } => (len, padded),
                Frame::Incomplete { .. } => break Ok(()),
                Frame::Foreign => break Err(io::Error::other("neither STUN nor ChannelData")),
            };
            let packet = rest.get(..len).unwrap_or_default();
            let reply = &mut self.reply[..];
            let verdict = self.shard.from_client(now, client, packet, reply, &mut self.io);
            match (verdict, self.io.line(connection)) {
                (Verdict::Reply(len), Some(line)) => {
                    line.answer(self.reply.get(..len).unwrap_or_default());
                }
                (verdict, _) => forward(&mut self.egress, &self.io, verdict, bytes, at),
            }
            at += padded;
        };
        let io = &self.io;
        self.egress.flush(bytes, |number, df| io.sender(number, df));
        self.io.close_given_up();
        outcome.map(|()| at)
    }

    fn flush(&mut self) {
        let io = &self.io;
        self.egress.flush(self.ingress.bytes(), |number, df| io.sender(number, df));
        self.io.close_given_up();
    }
}

/// Sends what a verdict wants sent: into the egress, or into the line of a connection. `base` is
/// where the packet begins in `bytes`.
fn forward(egress: &mut Egress, io: &Io, verdict: Verdict, bytes: &[u8], base: usize) {
    match verdict {
        Verdict::ToPeer { relay, peer, payload, dont_fragment } => {
            let to = Destination {
                socket: Which::Relay(relay).number(),
                address: peer,
                source: None,
                dont_fragment,
            };
            egress.push(to, None, base + payload.start..base + payload.end, 0);
        }
        Verdict::ToClient { client, prefix, payload, padding } => {
            let payload = base + payload.start..base + payload.end;
            match client.via {
                Via::Udp(number) => {
                    let to = Destination {
                        socket: Which::Listener(number).number(),
                        address: client.remote.0,
                        source: source(io, client),
                        dont_fragment: false,
                    };
                    egress.push(to, Some(prefix), payload, padding);
                }
                Via::Stream { connection, .. } => {
                    if let Some(line) = io.line(connection) {
                        line.media(&prefix, bytes.get(payload).unwrap_or_default(), padding);
                    }
                }
            }
        }
        Verdict::Reply(_) | Verdict::Drop(_) => {}
    }
}

/// Sends an answer to a request at once.
fn answer(io: &Io, client: Client, bytes: &[u8]) -> io::Result<()> {
    let Some(listener) = io.listener(client.via.listener()) else { return Ok(()) };
    send(
        &listener.socket,
        &Outgoing {
            destination: client.remote.0,
            source: source(io, client),
            parts: &[io::IoSlice::new(bytes)],
            segment: 0,
        },
    )
}

/// The address to send from, where the socket is bound to all of the host's.
fn source(io: &Io, client: Client) -> Option<IpAddr> {
    let listener = io.listener(client.via.listener())?;
    let told = listener.address.ip().is_unspecified() && !client.local.is_unspecified();
    told.then_some(client.local)
}

/// Whether a socket is to be read again after an error: nothing more to read is the usual one; an
/// ICMP error of an earlier datagram is taken off the socket by being told.
fn try_again(error: &io::Error) -> bool {
    !matches!(error.kind(), io::ErrorKind::WouldBlock)
}

async fn sleep_until(deadline: Option<tokio::time::Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
