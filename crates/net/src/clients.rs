//! Sending to clients, whatever carries their packets.

use std::io::IoSlice;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::rc::Rc;

use slab::Slab;

use super::batch::datagrams::{Framed, Outgoing};
use super::batch::egress::{Destination, Egress};
use super::batch::ip_fields::IpFields;
use super::batch::system::send;
use super::dtls_clients::DtlsClients;
use super::listener::udp::{UdpListeners, listener_at, source_of};
use super::send_errors::{Loss, Losses};
use super::sockets::SocketId;
use super::stream::send_queue::SendQueue;
use taciturn_turn::clock::Tick;
use taciturn_turn::{Client, Prefix, Via};

/// What is sent to a client.
#[derive(Debug)]
pub(super) enum Message<'a> {
    /// Data from a peer: part of a batch, to be flushed with it. Dropped if the client is too slow.
    Data {
        /// What it is sent with over UDP and DTLS.
        ip_fields: IpFields,
        /// What precedes the payload.
        prefix: Prefix,
        /// The bytes that the batch was read into.
        batch: &'a [u8],
        /// Where in them the payload is.
        payload: Range<usize>,
        /// How many zero bytes follow.
        padding: u8,
    },
    /// The answer to a request that was read just now. Sent at once over UDP.
    Answer(&'a [u8]),
    /// The answer to an earlier request, or an indication about a peer connection. The client may have
    /// an allocation since, or none any more.
    LateAnswer(&'a [u8]),
    /// An indication of an ICMP error. Dropped if the client is too slow.
    Indication(&'a [u8]),
}

/// The clients of one worker.
#[derive(Debug)]
pub(super) struct Clients {
    /// What waits for clients on TCP and TLS, by the number of the connection.
    streams: Slab<Rc<SendQueue>>,
    pub(super) dtls: DtlsClients,
    /// Answers that were not sent, and what was lost on connections that have ended.
    lost: Losses,
}

impl Clients {
    /// No clients yet.
    pub(super) fn new(dtls: DtlsClients) -> Self {
        Self { streams: Slab::new(), dtls, lost: Losses::default() }
    }

    /// Sends one message. This is the only place that knows how each transport does it. What cannot be
    /// sent is counted ([`Self::lost`], or the egress for what waits there).
    #[inline]
    pub(super) fn send(
        &mut self,
        now: Tick,
        listeners: &UdpListeners,
        egress: &mut Egress,
        client: Client,
        message: Message<'_>,
    ) {
        match client.via {
            Via::Udp(number) => {
                let source = source_of(listeners, number, client.local);
                match message {
                    Message::Data { ip_fields, prefix, payload, padding, .. } => {
                        let to = Destination {
                            socket: SocketId::Listener(number).number(),
                            address: client.remote.0,
                            source,
                            dont_fragment: false,
                        };
                        egress.push(to, ip_fields, Some(prefix), payload, padding);
                    }
                    Message::Answer(bytes)
                    | Message::LateAnswer(bytes)
                    | Message::Indication(bytes) => {
                        self.send_datagram(listeners, number, client.remote.0, source, bytes);
                    }
                }
            }
            Via::Stream { connection, .. } => {
                let Some(queue) = self.streams.get(connection as usize) else { return };
                match message {
                    Message::Data { prefix, batch, payload, padding, .. } => {
                        queue.data(&prefix, batch.get(payload).unwrap_or_default(), padding);
                    }
                    Message::Answer(bytes) => queue.answer(bytes),
                    Message::LateAnswer(bytes) => {
                        queue.answer(bytes);
                        queue.allocation_changed();
                    }
                    Message::Indication(bytes) => queue.data(&Prefix::new(&[]), bytes, 0),
                }
            }
            Via::Dtls { connection, .. } => match message {
                Message::Data { ip_fields, prefix, batch, payload, padding } => {
                    let payload = batch.get(payload).unwrap_or_default();
                    let data = Framed { ip_fields, prefix: &prefix, payload, padding };
                    self.dtls.data(now, connection, data, listeners);
                }
                Message::Answer(bytes) | Message::Indication(bytes) => {
                    self.dtls.answer(now, connection, bytes, listeners);
                }
                Message::LateAnswer(bytes) => {
                    self.dtls.answer(now, connection, bytes, listeners);
                    self.dtls.allocation_changed(now, connection);
                }
            },
        }
    }

    /// Sends an answer from one of the server's other addresses and ports (RFC 5780).
    pub(super) fn send_from(
        &mut self,
        listeners: &UdpListeners,
        from: SocketAddr,
        to: SocketAddr,
        bytes: &[u8],
    ) {
        let Some(number) = listener_at(listeners, from) else { return };
        let source = source_of(listeners, number, from.ip());
        self.send_datagram(listeners, number, to, source, bytes);
    }

    /// Sends one datagram at once. A client that misses an answer repeats its request.
    fn send_datagram(
        &mut self,
        listeners: &UdpListeners,
        listener: u16,
        destination: SocketAddr,
        source: Option<IpAddr>,
        bytes: &[u8],
    ) {
        let Some(listener) = listeners.get(usize::from(listener)) else { return };
        let (parts, ip_fields) = (&[IoSlice::new(bytes)], IpFields::default());
        let outgoing = Outgoing { destination, source, parts, segment: 0, ip_fields };
        if let Err(error) = send(&listener.socket, &outgoing) {
            self.lost.count(Loss::of(&error));
        }
    }

    /// Sends what waits for DTLS clients.
    pub(super) fn flush(&mut self, now: Tick, listeners: &UdpListeners) {
        self.dtls.flush(now, listeners);
    }

    /// Adds a connection. Returns its number.
    pub(super) fn connect(&mut self, queue: Rc<SendQueue>) -> u32 {
        // SAFE: fewer connections than descriptors.
        #[allow(clippy::cast_possible_truncation)]
        let number = self.streams.insert(queue) as u32;
        number
    }

    /// Forgets a connection that has ended.
    pub(super) fn disconnect(&mut self, connection: u32) {
        if let Some(queue) = self.streams.try_remove(connection as usize) {
            self.lost.add(Loss::SlowClient, queue.dropped());
        }
    }

    /// Returns what waits for the client of a connection.
    pub(super) fn stream(&self, connection: u32) -> Option<&SendQueue> {
        self.streams.get(connection as usize).map(Rc::as_ref)
    }

    /// Returns all connections with their numbers.
    pub(super) fn streams(&self) -> impl Iterator<Item = (u32, &SendQueue)> {
        // SAFE: as in `connect`.
        #[allow(clippy::cast_possible_truncation)]
        self.streams.iter().map(|(number, queue)| (number as u32, queue.as_ref()))
    }

    /// Wakes the task of every connection, although nothing has arrived for it.
    pub(super) fn wake_streams(&self) {
        self.streams.iter().for_each(|(_, queue)| queue.wake());
    }

    /// Has it looked at whether a client has an allocation, in its task or in the worker's next turn.
    pub(super) fn allocation_changed(&mut self, now: Tick, client: Client) {
        match client.via {
            Via::Udp(_) => {}
            Via::Dtls { connection, .. } => self.dtls.allocation_changed(now, connection),
            Via::Stream { connection, .. } => {
                if let Some(queue) = self.stream(connection) {
                    queue.allocation_changed();
                }
            }
        }
    }

    /// Returns the name of the transport, for logs.
    pub(super) fn transport(&self, via: Via) -> &'static str {
        match via {
            Via::Udp(_) => "udp",
            Via::Dtls { .. } => "dtls",
            Via::Stream { connection, .. } => {
                self.stream(connection).map_or("tcp", SendQueue::transport)
            }
        }
    }

    /// Returns true if a client's packets are encrypted.
    pub(super) fn is_secure(&self, via: Via) -> bool {
        matches!(self.transport(via), "tls" | "dtls")
    }

    /// Returns how many messages to clients were lost, but for those that the egress counts.
    pub(super) fn lost(&self) -> Losses {
        let mut lost = self.lost;
        self.streams.iter().for_each(|(_, queue)| lost.add(Loss::SlowClient, queue.dropped()));
        lost.add_all(&self.dtls.lost());
        lost
    }
}
