//! One worker: a shard, its sockets, and the loop that joins them.

use std::collections::VecDeque;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use mio::{Events, Poll};
use tokio::sync::watch::Receiver;

use super::batch::{Destination, Egress, Ingress, Outgoing, send};
use super::clock::Clock;
use super::io::{Io, Which};
use super::listener::Listeners;
use super::readiness::watch;
use crate::clock::Now;
use crate::turn::{Client, ClientAddr, PeerAddr, Rules, Settings, Shard, Verdict, Via};

/// Batches read in one turn before other tasks of the worker get theirs.
const BATCHES_A_TURN: usize = 64;

/// The longest answer: Allocate's, with its reservation and two relays, is below 200 bytes; a 401
/// holds a realm of up to 763.
const REPLY: usize = 1500;

/// One worker.
#[derive(Debug)]
pub(super) struct Worker {
    clock: Clock,
    poll: Poll,
    events: Events,
    /// Sockets with more to read, each once, in the order of their turns.
    ready: VecDeque<Which>,
    shard: Shard,
    io: Io,
    ingress: Ingress,
    egress: Egress,
    reply: Box<[u8; REPLY]>,
}

impl Worker {
    pub(super) fn new(
        clock: Clock,
        listeners: Listeners,
        settings: Settings,
        rules: Rules,
    ) -> io::Result<Self> {
        let poll = Poll::new()?;
        let io = Io::new(poll.registry().try_clone()?, listeners.udp)?;
        Ok(Self {
            clock,
            poll,
            events: Events::with_capacity(256),
            ready: VecDeque::new(),
            shard: Shard::new(settings, rules),
            io,
            ingress: Ingress::default(),
            egress: Egress::default(),
            reply: Box::new([0; REPLY]),
        })
    }

    /// Serves until `stop` turns true, then ends every allocation.
    pub(super) async fn run(mut self, mut stop: Receiver<bool>) -> io::Result<()> {
        let readable = watch(&self.poll)?;
        while !*stop.borrow() {
            if self.turn()? {
                tokio::task::yield_now().await;
                continue;
            }
            let timeout = self.shard.next_timeout().map(|tick| self.clock.instant(tick));
            tokio::select! {
                biased;
                _ = stop.changed() => {}
                // Cleared before the sockets are asked, so that what comes in between wakes again.
                guard = readable.readable() => guard?.clear_ready(),
                () = sleep_until(timeout) => {}
            }
        }
        let now = self.now();
        self.shard.shut_down(now, &mut self.io);
        self.io.close_given_up();
        Ok(())
    }

    /// Serves what is there now. Answers whether there is more.
    fn turn(&mut self) -> io::Result<bool> {
        let now = self.now();
        if self.shard.next_timeout().is_some_and(|at| at <= now.tick) {
            self.shard.handle_timeout(now, &mut self.io);
            self.io.close_given_up();
        }
        match self.poll.poll(&mut self.events, Some(Duration::ZERO)) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        for event in &self.events {
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
        Ok(!self.ready.is_empty())
    }

    fn now(&mut self) -> Now {
        let now = self.clock.now();
        self.io.now = now.tick;
        now
    }

    /// One batch from clients. Answers whether there may be more.
    fn read_listener(&mut self, now: Now, number: u16) -> bool {
        let Some(listener) = self.io.listener(number) else { return false };
        let address = listener.address;
        let more = match self.ingress.receive(&listener.socket) {
            Ok(more) => more,
            Err(error) => return try_again(&error),
        };
        for received in self.ingress.received() {
            let client = Client {
                via: Via::Udp(number),
                local: received.local.unwrap_or_else(|| address.ip()),
                remote: ClientAddr(received.source),
            };
            for (start, end) in received.datagrams() {
                let packet = self.ingress.bytes().get(start..end).unwrap_or_default();
                let verdict =
                    self.shard.from_client(now, client, packet, &mut self.reply[..], &mut self.io);
                if let Verdict::Reply(len) = verdict {
                    // An answer that cannot be sent is asked for again.
                    let _ = answer(&self.io, client, self.reply.get(..len).unwrap_or_default());
                } else {
                    forward(&mut self.egress, &self.io, verdict, start);
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
        for received in self.ingress.received() {
            let peer = PeerAddr(received.source);
            for (start, end) in received.datagrams() {
                let len = end - start;
                let verdict = self.shard.from_peer(now, owner, family, peer.0, len, &mut self.io);
                forward(&mut self.egress, &self.io, verdict, start);
            }
        }
        self.flush();
        more
    }

    fn flush(&mut self) {
        let io = &self.io;
        self.egress.flush(self.ingress.bytes(), |number, df| io.sender(number, df));
        self.io.close_given_up();
    }
}

/// Puts what a verdict wants sent into the egress. `base` is where the packet begins.
fn forward(egress: &mut Egress, io: &Io, verdict: Verdict, base: usize) {
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
            let Via::Udp(number) = client.via else { return };
            let to = Destination {
                socket: Which::Listener(number).number(),
                address: client.remote.0,
                source: source(io, client),
                dont_fragment: false,
            };
            egress.push(to, Some(prefix), base + payload.start..base + payload.end, padding);
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
