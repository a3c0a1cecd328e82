//! The loop that serves a worker's UDP sockets.
//= 8656-5-udp

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use mio::{Events, Poll};

use super::batch::system::{Ingress, icmp_errors};
use super::clients::Message;
use super::clock::Clock;
use super::engine::entered::Entered;
use super::engine::{Engine, dtls};
use super::listener::datagrams::{Spoken, is_dtls};
use super::listener::udp::try_again;
use super::sockets::SocketId;
use super::wake_delay::WakeDelay;
use taciturn_turn::{Client, ClientAddr, RelayId, Via};

/// Batches read in one turn before other tasks of the worker get theirs.
const BATCHES_A_TURN: usize = 64;

/// Sockets that epoll names at a time.
const EVENTS: usize = 256;

/// Which sockets are to be read, and what was read from them.
#[derive(Debug)]
pub(super) struct UdpLoop {
    clock: Clock,
    poll: Poll,
    events: Events,
    reader: Reader,
}

#[derive(Debug)]
struct Reader {
    /// Sockets with more to read, each once, in the order of their turns.
    ready: VecDeque<SocketId>,
    ingress: Ingress,
    wake_delay: WakeDelay,
}

impl UdpLoop {
    /// Watches no sockets yet.
    ///
    /// # Errors
    /// If the system refuses a descriptor.
    pub(super) fn new(clock: Clock, wake_delay: Duration) -> io::Result<Self> {
        Ok(Self {
            clock,
            poll: Poll::new()?,
            events: Events::with_capacity(EVENTS),
            reader: Reader {
                ready: VecDeque::new(),
                ingress: Ingress::default(),
                wake_delay: WakeDelay::new(wake_delay),
            },
        })
    }

    /// Returns the epoll that watches the sockets.
    pub(super) const fn poll(&self) -> &Poll {
        &self.poll
    }

    /// Sets `tuning.wake_delay_us`.
    pub(super) const fn set_wake_delay(&mut self, delay: Duration) {
        self.reader.wake_delay.set_delay(delay);
    }

    /// Serves what has arrived. Returns true if there is more.
    ///
    /// # Errors
    /// Those of epoll.
    pub(super) fn turn(&mut self, engine: &mut Engine) -> io::Result<bool> {
        engine.run();
        engine.enter(|entered| {
            entered.out.resources.log.tell_suppressed(entered.now.tick);
            match self.poll.poll(&mut self.events, Some(Duration::ZERO)) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
            let mut events = 0;
            for event in &self.events {
                events += 1;
                let id = SocketId::from(event.token());
                if entered.out.resources.sockets.set_queued(id, true) {
                    self.reader.ready.push_back(id);
                }
            }
            self.reader.read_ready(entered);
            // As many events as there is room for: epoll may have more, and will not wake for them.
            Ok(!self.reader.ready.is_empty() || events == EVENTS)
        })
    }

    /// Returns how long to sleep before the next turn, rather than wait for the sockets.
    pub(super) fn nap(&mut self) -> Option<Duration> {
        self.reader.wake_delay.idle(self.clock.now().tick)
    }
}

impl Reader {
    /// Reads batches from the sockets that are ready, and sends what they have led to.
    fn read_ready(&mut self, entered: &mut Entered<'_>) {
        for _ in 0..BATCHES_A_TURN {
            let Some(id) = self.ready.pop_front() else { break };
            let more = match id {
                SocketId::Listener(number) => {
                    // Its batch takes the place of what was read from relay sockets.
                    self.flush(entered);
                    self.read_listener(entered, number)
                }
                SocketId::Relay(relay) => self.read_relay(entered, relay),
            };
            if more {
                self.ready.push_back(id);
            } else {
                entered.out.resources.sockets.set_queued(id, false);
            }
        }
        self.flush(entered);
    }

    /// Serves one batch from clients. Returns true if there may be more.
    fn read_listener(&mut self, entered: &mut Entered<'_>, number: u16) -> bool {
        let Some(listener) = entered.out.resources.sockets.listener(number) else { return false };
        let (address, spoken) = (listener.address.ip(), listener.spoken);
        let more = match self.ingress.receive(&listener.socket) {
            Ok(more) => more,
            Err(error) => return try_again(&error),
        };
        match spoken {
            Spoken::Udp => {
                self.serve_plain(entered, number, address, |_| true);
                self.flush(entered);
            }
            Spoken::Dtls => {
                dtls::serve(entered, number, address, &self.ingress, |_| true);
                self.ingress.clear();
            }
            // One after the other: what is sent on lies in the batch for the first, decrypted for the second.
            Spoken::UdpAndDtls => {
                let others = self.serve_plain(entered, number, address, |bytes| !is_dtls(bytes));
                entered.flush(self.ingress.bytes());
                if others {
                    dtls::serve(entered, number, address, &self.ingress, is_dtls);
                }
                self.ingress.clear();
            }
        }
        more
    }

    /// Serves those datagrams of a batch that are not encrypted. Returns true if there are others.
    #[inline]
    fn serve_plain(
        &mut self,
        entered: &mut Entered<'_>,
        number: u16,
        address: IpAddr,
        is_plain: impl Fn(&[u8]) -> bool,
    ) -> bool {
        let bytes = self.ingress.bytes();
        let (mut packets, mut others) = (0, false);
        for received in self.ingress.received() {
            let client = Client {
                via: Via::Udp(number),
                local: received.local.unwrap_or(address),
                remote: ClientAddr(received.source),
            };
            entered.out.keep_ip_fields(received.ip_fields);
            for (start, end) in received.datagrams() {
                if is_plain(bytes.get(start..end).unwrap_or_default()) {
                    packets += 1;
                    entered.serve(client, bytes, start, end);
                } else {
                    others = true;
                }
            }
        }
        self.wake_delay.count(packets);
        others
    }

    /// Serves one batch from peers, to be flushed with those of other relay sockets: most of it leaves by the same
    /// listener. Returns true if there may be more.
    fn read_relay(&mut self, entered: &mut Entered<'_>, id: RelayId) -> bool {
        let Some(relay) = entered.out.resources.sockets.relay(id) else { return false };
        let (owner, family) = (relay.owner, relay.family);
        if entered.out.resources.sockets.have_icmp_errors() {
            read_icmp_errors(entered, id);
        }
        if !self.ingress.has_room() {
            self.flush(entered);
        }
        let Some(relay) = entered.out.resources.sockets.relay(id) else { return false };
        let more = match self.ingress.receive_more(&relay.socket) {
            Ok(more) => more,
            Err(error) => return try_again(&error),
        };
        let bytes = self.ingress.bytes();
        let mut packets = 0;
        for received in self.ingress.received() {
            let peer = received.source;
            entered.out.keep_ip_fields(received.ip_fields);
            for (start, end) in received.datagrams() {
                packets += 1;
                let (now, out) = (entered.now, &mut entered.out);
                let verdict = entered.shard.from_peer(now, owner, family, peer, end - start, out);
                entered.out.relay(verdict, bytes, start);
            }
        }
        self.wake_delay.count(packets);
        more
    }

    /// Sends what the batches at hand have led to, and makes room for others.
    fn flush(&mut self, entered: &mut Entered<'_>) {
        entered.flush(self.ingress.bytes());
        self.ingress.clear();
    }
}

/// Tells clients of the ICMP errors that wait on a relay socket.
fn read_icmp_errors(entered: &mut Entered<'_>, id: RelayId) {
    let Some(relay) = entered.out.resources.sockets.relay(id) else { return };
    let owner = (relay.owner, relay.family);
    let mut errors = Vec::new();
    icmp_errors(&relay.socket, |peer, error| errors.push((peer, error)));
    for (peer, error) in errors {
        let Entered { now, shard, out, reply, .. } = &mut *entered;
        let told = shard.from_icmp(*now, owner, peer, error, reply, out);
        let Some((client, len)) = told else { continue };
        out.send(client, Message::Indication(reply.get(..len).unwrap_or_default()));
    }
}
