//! One worker: a shard, its sockets, and the loop that joins them.
//= 8656-5-udp

mod hand_over;
mod listening;
mod orders;
mod peers;
pub(super) mod sending;
#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell, RefMut};
use std::collections::VecDeque;
use std::fmt::Arguments;
use std::future::{Future as _, poll_fn};
use std::io;
use std::net::IpAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use mio::{Events, Poll};
use tokio::sync::Notify;
use tokio::sync::watch::Receiver;
use tokio::task::LocalSet;

use self::listening::Doors;
use self::sending::{answer, answer_from, forward};
use super::batch::{Egress, Ingress, icmp_errors};
use super::clock::Clock;
use super::colleagues::Colleagues;
use super::command::{self, Post};
use super::dtls_clients::{Dtls, Hands, Plain};
use super::event_log::{EventLog, Kind};
use super::handshakes::Gate;
use super::heartbeat::Heart;
use super::io::{Io, Which};
use super::listener::Listeners;
use super::losses::Loss;
use super::moderation::Moderation;
use super::readiness::watch;
use super::server::Shared;
use super::stream::Line;
use super::tcp_relay::{BoundPeer, Handover};
use taciturn_stun::Frame;
use taciturn_turn::clock::{Now, Tick};
use taciturn_turn::policy::{Connections, Exceeded};
use taciturn_turn::{
    Client, ClientAddr, DropReason, PeerAddr, Prefix, RelayId, Shard, Verdict, Via,
};

/// Batches read in one turn before other tasks of the worker get theirs.
const BATCHES_A_TURN: usize = 64;

/// Turns of connections without an allocation before the worker looks at its sockets.
const STRANGERS_A_LOOK: u32 = 8;

/// Sockets that epoll names at a time.
const EVENTS: usize = 256;

/// The longest answer: Allocate's, with its reservation and two relays, is below 200 bytes; a 401
/// holds a realm of up to 763. A padded answer of NAT discovery has about 1600.
pub(super) const REPLY: usize = 2048;

/// By how much the kernel may prolong a nap to wake several threads at once, in nanoseconds. Its default,
/// 50 us, is a good part of a nap.
#[cfg(target_os = "linux")]
const NAP_SLACK: u64 = 1000;

/// Bytes that a connection reads at a time.
const ROOM: usize = 64 * 1024;

/// Serves the clients that the kernel gives to `listeners`, until `stop` turns true.
pub(super) async fn run(
    clock: Clock,
    listeners: Listeners,
    shared: &Shared,
    handover: Arc<Handover>,
    mut stop: Receiver<bool>,
    mut heart: Heart,
    post: Post,
) -> io::Result<()> {
    // Where it is refused naps are a little longer.
    #[cfg(target_os = "linux")]
    let _ = nix::sys::prctl::set_timerslack(NAP_SLACK);
    let Post { commands, deliveries, colleagues } = post;
    let core = Core::new(clock, shared, handover, colleagues)?;
    let tasks = LocalSet::new();
    tasks.spawn_local(command::obey(Rc::clone(&core), commands, deliveries));
    let work = async {
        core.listen(listeners)?;
        core.pump(clock, &mut stop, &mut heart).await
    };
    let mut work = pin!(work);
    // Polled once for each round of the other tasks, of which tokio runs up to 61 in between.
    let work = poll_fn(|context| {
        core.strangers.set(STRANGERS_A_LOOK);
        work.as_mut().poll(context)
    });
    tasks.run_until(work).await
}

/// A worker as its tasks share it: the one that serves the sockets, and one for each connection.
/// No borrow of the state outlives a call.
#[derive(Debug)]
pub(super) struct Core {
    state: RefCell<State>,
    /// What handshakes of TLS and DTLS pass.
    pub(super) handshakes: Rc<Gate>,
    room: RefCell<Box<[u8]>>,
    /// How many connections without an allocation may still have a turn in this round.
    strangers: Cell<u32>,
    /// Tells the pump that a deadline has come before the one it waits for, or that DTLS clients have
    /// lost their places.
    deadline_moved: Arc<Notify>,
    connections: Arc<Connections>,
    doors: RefCell<Doors>,
}

impl Core {
    /// Serves nothing yet.
    ///
    /// # Errors
    /// When the system refuses a descriptor.
    pub(super) fn new(
        clock: Clock,
        shared: &Shared,
        handover: Arc<Handover>,
        colleagues: Colleagues,
    ) -> io::Result<Rc<Self>> {
        let limit = Arc::clone(&shared.handshakes);
        let handshakes = Rc::new(Gate::new(clock, limit, Arc::clone(&shared.rules.answers)));
        let state = State::new(clock, shared, handover, colleagues, Rc::clone(&handshakes))?;
        let deadline_moved = state.io.dtls.lost_places();
        let core = Rc::new(Self {
            state: RefCell::new(state),
            handshakes,
            strangers: Cell::new(u32::MAX),
            room: RefCell::new(vec![0; ROOM].into()),
            deadline_moved,
            connections: Arc::clone(&shared.connections),
            doors: RefCell::default(),
        });
        core.state.borrow_mut().io.tcp.report_to(Rc::downgrade(&core));
        Ok(core)
    }

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
            // In a statement of its own: the borrow must be over before the next.
            let more = self.state.borrow_mut().turn()?;
            let nap = if more { Some(Duration::ZERO) } else { self.state.borrow_mut().nap() };
            if let Some(nap) = nap {
                // A thread's sleep: tokio's has milliseconds, and would end at the first packet.
                if !nap.is_zero() {
                    std::thread::sleep(nap);
                }
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

    /// Takes a connection in; returns its number.
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

    /// Takes whole messages at the front of what a connection has read, `messages` at most, and none
    /// once its answers have no room. Returns how many bytes they are, and counts `messages` down.
    ///
    /// # Errors
    /// When what follows is no message.
    //= 8489-6.3.1.2-answer-goes-back
    pub(super) fn read_stream(
        &self,
        client: Client,
        bytes: &[u8],
        messages: &mut usize,
    ) -> io::Result<usize> {
        let mut state = self.state.borrow_mut();
        let taken = state.read_stream(client, bytes, messages);
        if state.deadline_is_earlier() {
            self.deadline_moved.notify_one();
        }
        taken
    }

    /// The peer connection that a client's connection was bound to by what was read last.
    pub(super) fn take_bound(&self, client: Client) -> Option<BoundPeer> {
        let Via::Stream { connection, .. } = client.via else { return None };
        self.state.borrow_mut().io.tcp.take_bound(connection)
    }

    /// Tells the shard what has happened, once everything due by now has ended.
    fn on_time(&self, tell: impl FnOnce(Now, &mut Shard, &mut Io)) {
        let mut state = self.state.borrow_mut();
        let now = state.on_time();
        let State { shard, io, .. } = &mut *state;
        tell(now, shard, io);
        if state.deadline_is_earlier() {
            self.deadline_moved.notify_one();
        }
    }

    /// Whether one more connection without an allocation may have its turn now; otherwise it waits for the next
    /// round, so that many of them do not keep the worker from its sockets.
    pub(super) fn admits_stranger(&self) -> bool {
        let left = self.strangers.get();
        self.strangers.set(left.saturating_sub(1));
        left > 0
    }

    /// Room to read into, for the turn of one connection. All share it: a connection that waits for
    /// its client holds none.
    pub(super) fn room(&self) -> RefMut<'_, Box<[u8]>> {
        self.room.borrow_mut()
    }

    pub(super) fn has_allocation(&self, client: &Client) -> bool {
        self.state.borrow().shard.has_allocation(client)
    }

    /// Writes a warning to the log, unless there were many of this source.
    pub(super) fn warn(&self, kind: Kind, source: IpAddr, text: Arguments<'_>) {
        self.log(|now, log| log.warn(kind, source, now, text));
    }

    /// A connection has ended whose client was too slow for its media.
    pub(super) fn slow_client(&self, client: ClientAddr, transport: &'static str, dropped: u64) {
        self.log(|now, log| log.slow_client(now, client, transport, dropped));
    }

    /// A TCP connection between a client and a peer waits for a limit.
    pub(super) fn slowed_down(&self, client: ClientAddr, user: &str, exceeded: Exceeded) {
        self.log(|now, log| log.slowed_down(now, client, user, exceeded));
    }

    fn log(&self, write: impl FnOnce(Tick, &mut EventLog)) {
        let mut state = self.state.borrow_mut();
        state.now();
        let Io { log, now, .. } = &mut state.io;
        write(*now, log);
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
    icmp_errors: bool,
    ingress: Ingress,
    egress: Egress,
    reply: Box<[u8; REPLY]>,
    moderation: Moderation,
    plain: Plain,
}

impl State {
    fn new(
        clock: Clock,
        shared: &Shared,
        handover: Arc<Handover>,
        colleagues: Colleagues,
        gate: Rc<Gate>,
    ) -> io::Result<Self> {
        let poll = Poll::new()?;
        let dtls = Dtls::new(clock, &shared.connections, gate);
        let icmp_errors = shared.settings.icmp_errors;
        let number = colleagues.me();
        let mut io = Io::new(clock, poll.registry().try_clone()?, dtls, handover, icmp_errors);
        io.colleagues = colleagues;
        Ok(Self {
            clock,
            poll,
            events: Events::with_capacity(EVENTS),
            ready: VecDeque::new(),
            shard: Shard::numbered(number, shared.settings.clone(), shared.rules.clone()),
            armed: None,
            io,
            icmp_errors,
            ingress: Ingress::default(),
            egress: Egress::default(),
            reply: Box::new([0; REPLY]),
            moderation: Moderation::new(shared.wake_delay),
            plain: Plain::default(),
        })
    }

    /// Serves what is there now. Returns whether there is more.
    fn turn(&mut self) -> io::Result<bool> {
        let now = self.on_time();
        self.io.log.tell_left_out(now.tick);
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
                Which::Listener(number) => {
                    // Its batch takes the place of what was read from relay sockets.
                    self.flush();
                    if self.io.dtls.serves(number) {
                        let (mut hands, ingress) = self.hands();
                        hands.read(now, number, ingress)
                    } else {
                        self.read_listener(now, number)
                    }
                }
                Which::Relay(_) => self.read_relay(now, which),
            };
            if more {
                self.ready.push_back(which);
            } else {
                self.io.set_queued(which, false);
            }
        }
        self.flush();
        // As many events as there is room for: epoll may have more, and will not wake for them.
        Ok(!self.ready.is_empty() || told == EVENTS)
    }

    /// How long to sleep before the next look at the sockets, rather than wait for them.
    fn nap(&mut self) -> Option<Duration> {
        let now = self.clock.now().tick;
        self.moderation.idle(now)
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
        if self.io.dtls.next_timeout().is_some_and(|at| at <= now.tick) {
            self.hands().0.handle_timeout(now);
        }
        if self.io.dtls.has_lost_places() {
            self.hands().0.leave_lost(now);
        }
        now
    }

    fn next_timeout(&self) -> Option<Tick> {
        [self.shard.next_timeout(), self.io.dtls.next_timeout()].into_iter().flatten().min()
    }

    /// The deadline to wait for.
    fn arm(&mut self) -> Option<Tick> {
        self.armed = self.next_timeout();
        self.armed
    }

    fn deadline_is_earlier(&self) -> bool {
        self.next_timeout().is_some_and(|next| self.armed.is_none_or(|armed| next < armed))
    }

    fn shut_down(&mut self) {
        let now = self.now();
        self.hands().0.shut_down();
        self.shard.shut_down(now, &mut self.io);
        self.io.close_given_up();
        self.io.log.finish(now.tick);
    }

    /// What it takes to serve DTLS clients, and the batch that they are read into.
    fn hands(&mut self) -> (Hands<'_>, &mut Ingress) {
        let Self { shard, io, egress, reply, plain, ingress, .. } = self;
        (Hands { shard, io, egress, reply: &mut reply[..], plain }, ingress)
    }

    /// One batch from clients. Returns whether there may be more.
    fn read_listener(&mut self, now: Now, number: u16) -> bool {
        let Some(listener) = self.io.listener(number) else { return false };
        let address = listener.address;
        let more = match self.ingress.receive(&listener.socket) {
            Ok(more) => more,
            Err(error) => return try_again(&error),
        };
        let bytes = self.ingress.bytes();
        let mut packets = 0;
        for received in self.ingress.received() {
            let client = Client {
                via: Via::Udp(number),
                local: received.local.unwrap_or_else(|| address.ip()),
                remote: ClientAddr(received.source),
            };
            for (start, end) in received.datagrams() {
                packets += 1;
                let packet = bytes.get(start..end).unwrap_or_default();
                let reply = &mut self.reply[..];
                let verdict = self.shard.from_client(now, client, packet, reply, &mut self.io);
                if let Verdict::ReplyFrom { len, from, to } = verdict {
                    let bytes = self.reply.get(..len).unwrap_or_default();
                    if let Err(error) = answer_from(&self.io, from, to, bytes) {
                        self.egress.statistics.failed.count(Loss::of(&error));
                    }
                } else if let Verdict::Reply(len) = verdict {
                    // An answer that cannot be sent is asked for again.
                    let answer =
                        answer(&self.io, client, self.reply.get(..len).unwrap_or_default());
                    if let Err(error) = answer {
                        self.egress.statistics.failed.count(Loss::of(&error));
                    }
                } else {
                    forward(&mut self.egress, &mut self.io, verdict, bytes, start);
                }
            }
        }
        self.moderation.count(packets);
        self.flush();
        more
    }

    /// One batch from peers, to be flushed with those of other relay sockets: most of it leaves by the same
    /// listener. Returns whether there may be more.
    fn read_relay(&mut self, now: Now, which: Which) -> bool {
        let Which::Relay(id) = which else { return false };
        let Some(relay) = self.io.relay(id) else { return false };
        let (owner, family) = (relay.owner, relay.family);
        if self.icmp_errors {
            self.read_icmp_errors(now, id);
        }
        if !self.ingress.has_room() {
            self.flush();
        }
        let Some(relay) = self.io.relay(id) else { return false };
        let more = match self.ingress.receive_more(&relay.socket) {
            Ok(more) => more,
            Err(error) => return try_again(&error),
        };
        let bytes = self.ingress.bytes();
        let mut packets = 0;
        for received in self.ingress.received() {
            let peer = PeerAddr(received.source);
            for (start, end) in received.datagrams() {
                packets += 1;
                let len = end - start;
                let verdict = self.shard.from_peer(now, owner, family, peer.0, len, &mut self.io);
                forward(&mut self.egress, &mut self.io, verdict, bytes, start);
            }
        }
        self.moderation.count(packets);
        more
    }

    /// Tells clients of the ICMP errors that wait on a relay socket.
    fn read_icmp_errors(&mut self, now: Now, id: RelayId) {
        let Some(relay) = self.io.relay(id) else { return };
        let owner = (relay.owner, relay.family);
        let mut errors = Vec::new();
        icmp_errors(&relay.socket, |peer, error| errors.push((peer, error)));
        for (peer, error) in errors {
            let (shard, out) = (&mut self.shard, &mut self.reply[..]);
            let told = shard.from_icmp(now, owner, peer, error, out, &mut self.io);
            let Some((client, len)) = told else { continue };
            let bytes = self.reply.get(..len).unwrap_or_default();
            match client.via {
                Via::Udp(_) => {
                    if let Err(error) = answer(&self.io, client, bytes) {
                        self.egress.statistics.failed.count(Loss::of(&error));
                    }
                }
                Via::Stream { connection, .. } => {
                    if let Some(line) = self.io.line(connection) {
                        line.media(&Prefix::new(&[]), bytes, 0);
                    }
                }
                Via::Dtls { connection, .. } => {
                    let at = self.io.now;
                    let (dtls, sockets) = self.io.dtls_and_sockets();
                    dtls.media(at, connection, &Prefix::new(&[]), bytes, 0, sockets);
                }
            }
        }
    }

    /// Whole messages at the front of `bytes`, which a connection has read: see [`Core::read_stream`].
    fn read_stream(
        &mut self,
        client: Client,
        bytes: &[u8],
        messages: &mut usize,
    ) -> io::Result<usize> {
        let now = self.on_time();
        let Via::Stream { connection, .. } = client.via else { return Ok(0) };
        let mut at = 0;
        let outcome = loop {
            if *messages == 0 {
                break Ok(());
            }
            let rest = bytes.get(at..).unwrap_or_default();
            let (len, padded) = match Frame::of(rest) {
                Frame::Whole { len, padded } => (len, padded),
                Frame::Incomplete { .. } => break Ok(()),
                Frame::Foreign => {
                    let what = "neither STUN nor ChannelData";
                    break Err(io::Error::new(io::ErrorKind::InvalidData, what));
                }
            };
            *messages -= 1;
            let packet = rest.get(..len).unwrap_or_default();
            let reply = &mut self.reply[..];
            let verdict = self.shard.from_client(now, client, packet, reply, &mut self.io);
            match (verdict, self.io.line(connection)) {
                (Verdict::Reply(len), Some(line)) => {
                    line.answer(self.reply.get(..len).unwrap_or_default());
                    // What follows a ConnectionBind that succeeded is data.
                    if self.io.tcp.is_bound(connection) || !line.has_room_for_an_answer() {
                        at += padded;
                        break Ok(());
                    }
                }
                // Over a connection nobody asks again: silence would keep the client waiting.
                (Verdict::Drop(DropReason::WrongCredentials), _) => {
                    break Err(io::Error::other("too many wrong credentials from this address"));
                }
                (Verdict::Drop(DropReason::Withheld), _) if !self.shard.has_allocation(&client) => {
                    break Err(io::Error::other("too many requests without a good credential"));
                }
                (verdict, _) => forward(&mut self.egress, &mut self.io, verdict, bytes, at),
            }
            at += padded;
        };
        self.io.flush(&mut self.egress, bytes);
        outcome.map(|()| at)
    }

    /// Sends what the batches at hand have come to, and gives their room back.
    fn flush(&mut self) {
        self.io.flush(&mut self.egress, self.ingress.bytes());
        self.ingress.clear();
    }
}

/// Whether a socket is to be read again after an error: nothing more to read is the usual one; an
/// ICMP error of an earlier datagram is taken off the socket by being told.
pub(super) fn try_again(error: &io::Error) -> bool {
    !matches!(error.kind(), io::ErrorKind::WouldBlock)
}

async fn sleep_until(deadline: Option<tokio::time::Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
