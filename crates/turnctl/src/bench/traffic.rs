//! Packets on their way, and what is counted of them.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::rc::Rc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio::io::AsyncReadExt as _;
use tokio::io::unix::AsyncFd;
use tokio::task::spawn_local;

use super::BenchError;
use super::args::{Direction, SMALLEST, Shape};
use super::end::{End, Reader, Stream, Way};
use super::opening::Ends;
use super::pace::Pace;
use crate::client::random;
use taciturn_net::load_generator::{Bulk, Hop};
use taciturn_stun::Frame;

/// How long a closed loop waits for a burst before it counts the rest as lost.
const BURST_LIMIT: Duration = Duration::from_millis(200);

/// How often closed loops are looked at for that.
const BURST_CHECK: Duration = Duration::from_millis(50);

/// Bursts that are sent before others of this program get their turn.
const BURSTS_A_TURN: u64 = 32;

/// Batches read from one socket before others get their turn.
const BATCHES_A_TURN: usize = 4;

/// The longest round trip that is recorded, in nanoseconds.
const LONGEST: u64 = 60_000_000_000;

/// An end of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Client,
    Peer,
}

/// How to handle a packet that has arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Arrived {
    Taken,
    Echo,
}

/// At the front of each payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    /// The run, to know its packets from others.
    tag: u32,
    /// The burst of the flow.
    burst: u32,
    /// When it was sent, in nanoseconds of the run.
    sent: u64,
}

impl Stamp {
    const LEN: usize = SMALLEST as usize;

    fn to_bytes(self) -> [u8; Self::LEN] {
        (u128::from(self.tag) << 96 | u128::from(self.burst) << 64 | u128::from(self.sent))
            .to_be_bytes()
    }

    // SAFE: each part is cut to its own bits.
    #[allow(clippy::cast_possible_truncation)]
    fn read(payload: &[u8]) -> Option<Self> {
        let all = u128::from_be_bytes(*payload.first_chunk::<{ Self::LEN }>()?);
        Some(Self { tag: (all >> 96) as u32, burst: (all >> 64) as u32, sent: all as u64 })
    }
}

/// A flow: its ends, and the state of its closed loop.
struct Flow {
    ends: Ends,
    burst: Cell<u32>,
    /// Packets of that burst that have arrived.
    back: Cell<u16>,
    /// When that burst was sent, in nanoseconds of the run.
    sent: Cell<u64>,
}

impl Flow {
    fn end(&self, side: Side) -> &End {
        match side {
            Side::Client => &self.ends.client,
            Side::Peer => &self.ends.peer,
        }
    }
}

/// The fate of the packets that were sent during the measurement.
#[derive(Clone, Debug)]
pub(super) struct Counts {
    pub(super) sent: u64,
    /// Those that have arrived where they were to end.
    pub(super) arrived: u64,
    /// Those that this machine had no room to send.
    pub(super) unsent: u64,
    /// From sending to the end of the way, in nanoseconds.
    pub(super) latency: Histogram<u64>,
}

/// All flows of a run.
pub(super) struct Traffic {
    shape: Shape,
    flows: Vec<Flow>,
    tag: u32,
    began: Instant,
    /// A burst as it goes into a socket or a stream, and the length of each of its messages.
    scratch: RefCell<Vec<u8>>,
    message: usize,
    bulk: RefCell<Bulk>,
    /// Packets that have come out of the server, whenever they were sent.
    relayed: Cell<u64>,
    /// From when to when packets are measured, in nanoseconds of the run.
    window: Cell<(u64, u64)>,
    over: Cell<bool>,
    counts: RefCell<Counts>,
}

impl Traffic {
    /// Flows that are stalled.
    pub(super) fn new(flows: Vec<Ends>, shape: Shape) -> Result<Self, BenchError> {
        let tag = u32::from_be_bytes(random().map_err(io::Error::other)?);
        let latency = Histogram::new_with_bounds(1, LONGEST, 3).map_err(io::Error::other)?;
        let flow =
            |ends| Flow { ends, burst: Cell::new(0), back: Cell::new(0), sent: Cell::new(0) };
        let flows: Vec<_> = flows.into_iter().map(flow).collect();
        let source = source(shape.direction);
        let message =
            flows.first().map_or_else(Vec::new, |flow| flow.end(source).message(shape.size));
        Ok(Self {
            shape,
            flows,
            tag,
            began: Instant::now(),
            scratch: RefCell::new(message.repeat(usize::from(shape.burst))),
            message: message.len(),
            bulk: RefCell::default(),
            relayed: Cell::new(0),
            window: Cell::new((u64::MAX, u64::MAX)),
            over: Cell::new(false),
            counts: RefCell::new(Counts { sent: 0, arrived: 0, unsent: 0, latency }),
        })
    }

    /// Begins to send and to read, in tasks of the set that runs this.
    pub(super) fn start(self: &Rc<Self>) {
        for (index, flow) in self.flows.iter().enumerate() {
            for side in [Side::Client, Side::Peer] {
                match &flow.end(side).way {
                    Way::Datagrams(..) => {
                        spawn_local(Rc::clone(self).read_datagrams(index, side));
                    }
                    Way::Stream(stream) => self.start_stream(index, side, stream),
                }
            }
        }
        if self.shape.spin {
            spawn_local(Rc::clone(self).spin());
        }
        match self.shape.rate {
            Some(rate) => drop(spawn_local(Rc::clone(self).paced(rate))),
            None => drop(spawn_local(Rc::clone(self).closed_loops())),
        }
    }

    fn start_stream(self: &Rc<Self>, index: usize, side: Side, stream: &Stream) {
        let Some((reader, writer, unread)) = stream.take_halves() else { return };
        spawn_local(Rc::clone(self).read_stream(index, side, reader, unread));
        let this = Rc::clone(self);
        spawn_local(async move {
            let flow = this.flows.get(index);
            if let Some(Way::Stream(stream)) = flow.map(|flow| &flow.end(side).way) {
                let len = flow.map_or(0, |flow| flow.end(side).message(this.shape.size).len());
                stream.write(writer, len).await;
            }
        });
    }

    /// Keeps this thread from sleeping: it asks for packets again as soon as there is none.
    async fn spin(self: Rc<Self>) {
        while !self.is_over() {
            tokio::task::yield_now().await;
        }
    }

    /// Packets that have come out of the server so far.
    pub(super) fn relayed(&self) -> u64 {
        self.relayed.get()
    }

    /// From now on packets are measured.
    pub(super) fn open_window(&self) {
        self.window.set((self.now(), u64::MAX));
    }

    /// From now on none is sent.
    pub(super) fn close_window(&self) {
        self.window.set((self.window.get().0, self.now()));
        self.over.set(true);
    }

    /// Their counts.
    pub(super) fn counts(&self) -> Counts {
        self.counts.borrow().clone()
    }

    /// The flows, to be ended.
    pub(super) fn into_flows(self) -> Vec<Ends> {
        self.flows.into_iter().map(|flow| flow.ends).collect()
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn is_measured(&self, sent: u64) -> bool {
        let (from, to) = self.window.get();
        (from..to).contains(&sent)
    }

    fn is_over(&self) -> bool {
        self.over.get()
    }

    // --- Sending ---

    /// Bursts by the clock.
    async fn paced(self: Rc<Self>, rate: f64) -> io::Result<()> {
        let period = Duration::from_secs_f64(1.0 / rate);
        let all = self.flows.len() as u64;
        // What is due at a tick.
        let (step, flows) =
            if self.shape.spread { (period / all as u32, 1) } else { (period, all) };
        let mut pace = Pace::new(step.max(Duration::from_micros(1)))?;
        let mut next = 0;
        loop {
            // Late ticks are made up for, as a sender of media does.
            for n in 0..pace.ticks().await?.saturating_mul(flows) {
                if self.is_over() {
                    return Ok(());
                }
                self.send_burst(next);
                next = (next + 1) % self.flows.len();
                if n % BURSTS_A_TURN == BURSTS_A_TURN - 1 {
                    tokio::task::yield_now().await;
                }
            }
        }
    }

    /// The first burst of each flow, and another where one was lost.
    async fn closed_loops(self: Rc<Self>) {
        let limit = u64::try_from(BURST_LIMIT.as_nanos()).unwrap_or(u64::MAX);
        while !self.is_over() {
            for index in 0..self.flows.len() {
                let Some(flow) = self.flows.get(index) else { continue };
                let fresh = flow.burst.get() == 0;
                if fresh || self.now().saturating_sub(flow.sent.get()) > limit {
                    self.send_burst(index);
                }
            }
            tokio::time::sleep(BURST_CHECK).await;
        }
    }

    fn send_burst(&self, index: usize) {
        let Some(flow) = self.flows.get(index) else { return };
        let end = flow.end(source(self.shape.direction));
        let sent = self.now();
        let burst = flow.burst.get().wrapping_add(1);
        flow.burst.set(burst);
        flow.back.set(0);
        flow.sent.set(sent);
        let stamp = Stamp { tag: self.tag, burst, sent }.to_bytes();
        let mut scratch = self.scratch.borrow_mut();
        for message in scratch.chunks_mut(self.message.max(1)) {
            if let Some(place) = message.get_mut(end.head()..end.head() + Stamp::LEN) {
                place.copy_from_slice(&stamp);
            }
        }
        let count = u64::from(self.shape.burst);
        let went = match &end.way {
            Way::Datagrams(socket, to) => {
                let size = u16::try_from(self.message).unwrap_or(u16::MAX);
                self.bulk.borrow_mut().send(socket.get_ref(), *to, &scratch, size) as u64
            }
            Way::Stream(stream) => count * u64::from(stream.put(&scratch)),
        };
        if self.is_measured(sent) {
            let mut counts = self.counts.borrow_mut();
            counts.sent += count;
            counts.unsent += count - went;
        }
    }

    // --- Reading ---

    async fn read_datagrams(self: Rc<Self>, index: usize, side: Side) -> io::Result<()> {
        let Some(flow) = self.flows.get(index) else { return Ok(()) };
        let Way::Datagrams(socket, _) = &flow.end(side).way else { return Ok(()) };
        loop {
            let mut guard = socket.readable().await?;
            for _ in 0..BATCHES_A_TURN {
                match self.read_batch(flow, side, socket) {
                    Ok(true) => {}
                    // A batch that is not full has emptied the socket.
                    Ok(false) => {
                        guard.clear_ready();
                        break;
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        guard.clear_ready();
                        break;
                    }
                    // What an ICMP message left is gone once told.
                    Err(_) => {}
                }
            }
            self.go_on(index);
        }
    }

    fn read_batch(&self, flow: &Flow, side: Side, socket: &AsyncFd<UdpSocket>) -> io::Result<bool> {
        let socket: &UdpSocket = socket.get_ref();
        let now = self.now();
        let mut bulk = self.bulk.borrow_mut();
        let mut echoed = false;
        let take = |source: SocketAddr, message: &[u8]| {
            let echo = self.take(flow, side, message, now) == Arrived::Echo;
            echoed |= echo;
            echo.then_some(Hop { socket: 0, to: source, header: None, skip: 0 })
        };
        let more = bulk.receive(socket, take)?;
        if echoed {
            // What cannot be sent back is lost, as on any network.
            bulk.flush(|_| Some(socket));
        }
        Ok(more)
    }

    async fn read_stream(
        self: Rc<Self>,
        index: usize,
        side: Side,
        mut reader: Reader,
        mut unread: Vec<u8>,
    ) -> io::Result<()> {
        let Some(flow) = self.flows.get(index) else { return Ok(()) };
        let Way::Stream(stream) = &flow.end(side).way else { return Ok(()) };
        loop {
            let (mut taken, now) = (0, self.now());
            while let Some(rest) = unread.get(taken..)
                && let Frame::Whole { padded, .. } = Frame::of(rest)
            {
                let message = rest.get(..padded).unwrap_or_default();
                if self.take(flow, side, message, now) == Arrived::Echo {
                    stream.put(message);
                }
                taken += padded;
            }
            unread.drain(..taken);
            self.go_on(index);
            unread.reserve(64 * 1024);
            if reader.read_buf(&mut unread).await? == 0 {
                return Ok(());
            }
        }
    }

    /// Looks at a message that has arrived at an end, and counts it.
    fn take(&self, flow: &Flow, side: Side, message: &[u8], now: u64) -> Arrived {
        let payload = message.get(flow.end(side).head()..).unwrap_or_default();
        let Some(stamp) = Stamp::read(payload).filter(|stamp| stamp.tag == self.tag) else {
            return Arrived::Taken;
        };
        self.relayed.set(self.relayed.get() + 1);
        if self.shape.direction == Direction::Both && side == Side::Peer {
            return Arrived::Echo;
        }
        if stamp.burst == flow.burst.get() {
            flow.back.set(flow.back.get().saturating_add(1));
        }
        if self.is_measured(stamp.sent) {
            let mut counts = self.counts.borrow_mut();
            counts.arrived += 1;
            counts.latency.saturating_record(now.saturating_sub(stamp.sent));
        }
        Arrived::Taken
    }

    /// Sends the next burst of a closed loop where this one is complete.
    fn go_on(&self, index: usize) {
        let complete = |flow: &Flow| flow.burst.get() > 0 && flow.back.get() >= self.shape.burst;
        if self.shape.rate.is_none()
            && !self.is_over()
            && self.flows.get(index).is_some_and(complete)
        {
            self.send_burst(index);
        }
    }
}

/// Which side sends first.
const fn source(direction: Direction) -> Side {
    match direction {
        Direction::Both | Direction::Up => Side::Client,
        Direction::Down => Side::Peer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_read_as_it_was_written() {
        let stamp = Stamp { tag: 0xdead_beef, burst: u32::MAX, sent: 1_234_567_890_123 };
        let mut payload = stamp.to_bytes().to_vec();
        payload.push(7);
        assert_eq!(Stamp::read(&payload), Some(stamp));
        assert_eq!(Stamp::read(&payload[..15]), None);
    }
}
