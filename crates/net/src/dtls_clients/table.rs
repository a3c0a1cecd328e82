//! The DTLS clients of a worker: who is admitted, which datagram belongs to whom, and their deadlines.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use ahash::AHashMap;
use slab::Slab;
use tokio::sync::Notify;

use super::client::{DtlsClient, Stage};
use super::deadlines::{Deadlines, DtlsClientId};
use super::evictions::{Evictions, Place};
use super::record_queue::RecordQueue;
use super::settings::DtlsSettings;
use crate::batch::datagrams::Framed;
use crate::batch::egress::Destination;
use crate::batch::ip_fields::IpFields;
use crate::clock::Clock;
use crate::dtls::{Admission, Connection, DtlsContext, Listener};
use crate::handshakes::{Gate, Refused};
use crate::listener::udp::UdpListeners;
use crate::send_errors::{Loss, Losses};
use taciturn_turn::clock::Tick;
use taciturn_turn::policy::{ConnectionTicket, Connections};
use taciturn_turn::{Client, ClientAddr, Via};

/// Handshakes of one worker that are not finished, in all and from one address (one /64 for IPv6).
/// Beyond them a ClientHello is dropped, and the client sends it again. [`Gate`] limits how many
/// begin.
pub(super) const HALF_OPEN: u32 = 256;
pub(super) const HALF_OPEN_PER_ADDRESS: u32 = 32;

/// The 5-tuple of a datagram: the server's port and the transport follow from the listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Tuple {
    pub(crate) listener: u16,
    pub(crate) local: IpAddr,
    pub(crate) remote: SocketAddr,
}

/// One listening socket.
#[derive(Debug)]
struct DtlsListener {
    settings: Arc<DtlsSettings>,
    /// Handles datagrams from unknown sources.
    unknown: Listener,
    /// The context of new connections.
    served: Arc<DtlsContext>,
    /// Whether it was removed, and admits no new clients.
    retired: bool,
    /// Whether it goes on for UDP alone, and admits no new clients of DTLS.
    withdrawn: bool,
}

impl DtlsListener {
    const fn admits(&self) -> bool {
        !self.retired && !self.withdrawn
    }
}

/// What became of a datagram from an unknown source.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Admitted {
    /// It was answered, or is no ClientHello; nothing was kept.
    Stranger,
    /// There are as many connections as allowed.
    TooMany,
    /// There are as many handshakes as allowed.
    TooManyHandshakes(Refused),
    /// It is a new connection.
    In(u32),
}

/// The DTLS clients of one worker.
pub(crate) struct DtlsClients {
    clock: Clock,
    /// By the number of the listening socket. Most of the numbers belong to sockets for plain UDP.
    listeners: Vec<Option<DtlsListener>>,
    pub(super) clients: Slab<DtlsClient>,
    pub(super) by_tuple: AHashMap<Tuple, u32>,
    pub(super) deadlines: Deadlines,
    pub(super) next_generation: u32,
    gate: Rc<Gate>,
    connections: Arc<Connections>,
    pub(super) half_open: Arc<Connections>,
    evictions: Arc<Evictions>,
    records: RecordQueue,
    lost: Losses,
    /// Where a message is put together.
    message: Vec<u8>,
}

impl DtlsClients {
    /// No listening sockets yet.
    pub(crate) fn new(clock: Clock, connections: &Arc<Connections>, gate: Rc<Gate>) -> Self {
        Self {
            clock,
            listeners: Vec::new(),
            clients: Slab::new(),
            by_tuple: AHashMap::new(),
            deadlines: Deadlines::default(),
            next_generation: 0,
            gate,
            connections: Arc::clone(connections),
            half_open: Arc::new(Connections::refusing(HALF_OPEN, HALF_OPEN_PER_ADDRESS)),
            evictions: Arc::default(),
            records: RecordQueue::default(),
            lost: Losses::default(),
            message: Vec::new(),
        }
    }

    /// Serves a listening socket.
    ///
    /// # Errors
    /// If the system gives no randomness.
    pub(crate) fn open(&mut self, listener: u16, settings: Arc<DtlsSettings>) -> io::Result<()> {
        let start = self.clock.instant(self.clock.now().tick).into_std();
        let served = settings.served();
        let context = DtlsContext::clone(&served);
        let unknown = Listener::new(context, start).map_err(io::Error::other)?;
        let at = usize::from(listener);
        if self.listeners.len() <= at {
            self.listeners.resize_with(at + 1, || None);
        }
        if let Some(slot) = self.listeners.get_mut(at) {
            let (retired, withdrawn) = (false, false);
            *slot = Some(DtlsListener { settings, unknown, served, retired, withdrawn });
        }
        self.records.open();
        Ok(())
    }

    /// Sets the settings for new clients of a listening socket, which may not have served DTLS before.
    ///
    /// # Errors
    /// If the system gives no randomness.
    pub(crate) fn set(&mut self, listener: u16, settings: Arc<DtlsSettings>) -> io::Result<()> {
        let Some(known) = self.listener(listener) else { return self.open(listener, settings) };
        // The next ClientHello sees that `served` is not what these settings have.
        known.settings = settings;
        known.withdrawn = false;
        Ok(())
    }

    /// Admits no new clients on a listening socket that goes on for UDP alone.
    pub(crate) fn withdraw(&mut self, listener: u16) {
        if let Some(listener) = self.listener(listener) {
            listener.withdrawn = true;
        }
    }

    /// Returns true if a listening socket admits new clients.
    pub(crate) fn admits(&self, listener: u16) -> bool {
        let listener = self.listeners.get(usize::from(listener)).and_then(Option::as_ref);
        listener.is_some_and(DtlsListener::admits)
    }

    /// Sets whether a listening socket was removed, and admits no new clients.
    pub(crate) fn retire(&mut self, listener: u16, on: bool) {
        if let Some(listener) = self.listener(listener) {
            listener.retired = on;
        }
    }

    /// Forgets a listening socket, whose connections must have ended.
    pub(crate) fn close(&mut self, listener: u16) {
        if let Some(slot) = self.listeners.get_mut(usize::from(listener)) {
            *slot = None;
        }
    }

    /// Returns the connections of a listening socket.
    pub(crate) fn on_listener(&self, listener: u16) -> Vec<u32> {
        let clients = self.clients.iter();
        let clients = clients.filter(|(_, client)| client.five_tuple.via.listener() == listener);
        // SAFE: connections have u32 numbers.
        #[allow(clippy::cast_possible_truncation)]
        clients.map(|(number, _)| number as u32).collect()
    }

    fn listener(&mut self, listener: u16) -> Option<&mut DtlsListener> {
        self.listeners.get_mut(usize::from(listener))?.as_mut()
    }

    /// Returns the name of a listener, for logs.
    pub(crate) fn name(&self, listener: u16) -> &str {
        let listener = self.listeners.get(usize::from(listener)).and_then(Option::as_ref);
        listener.map_or("", |listener| &listener.settings.name)
    }

    /// Returns what is notified when clients have been evicted.
    pub(crate) fn evicted(&self) -> Arc<Notify> {
        Arc::clone(&self.evictions.notify)
    }

    /// Returns true if clients have been evicted: others have got their places.
    pub(crate) fn has_evicted(&self) -> bool {
        self.evictions.are_some()
    }

    /// Returns the connections of evicted clients, each once.
    pub(crate) fn take_evicted(&self) -> Vec<u32> {
        let is_there = |id: &DtlsClientId| {
            let found = self.clients.get(id.number as usize);
            found.is_some_and(|client| client.generation == id.generation)
        };
        let evicted = self.evictions.take().into_iter();
        evicted.filter(is_there).map(|id| id.number).collect()
    }

    /// Has a connection looked at in the worker's next turn: its client's allocation may have come or
    /// ended.
    pub(crate) fn allocation_changed(&mut self, now: Tick, number: u32) {
        if let Some(client) = self.clients.get_mut(number as usize)
            && now < client.queued
        {
            client.queued = now;
            self.deadlines.push(now, client.id(number));
        }
    }

    /// Returns the earliest deadline.
    pub(crate) fn next_timeout(&self) -> Option<Tick> {
        self.deadlines.next()
    }

    /// Returns the next connection whose deadline `now` has reached. It has to be queued again, or removed.
    pub(crate) fn next_due(&mut self, now: Tick) -> Option<(u32, &mut DtlsClient)> {
        let number = loop {
            let (at, id) = self.deadlines.pop(now)?;
            let client = self.clients.get(id.number as usize);
            // Otherwise another deadline has taken the place of this one, or another client that of the client.
            if client
                .is_some_and(|client| client.generation == id.generation && client.queued == at)
            {
                break id.number;
            }
        };
        let client = self.client(number)?;
        client.queued = Tick(u64::MAX);
        Some((number, client))
    }

    /// Returns the connection of a 5-tuple.
    pub(crate) fn known(&self, tuple: &Tuple) -> Option<u32> {
        self.by_tuple.get(tuple).copied()
    }

    pub(crate) fn client(&mut self, number: u32) -> Option<&mut DtlsClient> {
        self.clients.get_mut(number as usize)
    }

    /// Returns the name that the client of a connection asked for, in lower case.
    pub(crate) fn server_name(&self, number: u32) -> Option<Arc<str>> {
        let client = self.clients.get(number as usize)?;
        client.connection.server_name().map(|name| name.to_ascii_lowercase().into())
    }

    /// Handles a datagram from an unknown source, or from the client of connection `known` that begins a new
    /// one.
    pub(crate) fn admit(
        &mut self,
        now: Tick,
        to: Destination,
        tuple: Tuple,
        datagram: &[u8],
        known: Option<u32>,
        sockets: &UdpListeners,
    ) -> Admitted {
        let listener = self.listeners.get_mut(usize::from(tuple.listener)).and_then(Option::as_mut);
        let Some(listener) = listener.filter(|listener| listener.admits()) else {
            return Admitted::Stranger;
        };
        if let Some(renewed) = listener.settings.news(&listener.served) {
            listener.unknown.set_context(DtlsContext::clone(&renewed));
            listener.served = renewed;
        }
        let (connections, half_open, gate) = (&self.connections, &self.half_open, &*self.gate);
        let from = tuple.remote.ip();
        let keeps_place = known
            .and_then(|known| self.clients.get(known as usize)?.ticket.as_ref())
            .is_some_and(|ticket| !ticket.is_lost());
        let (mut places, mut refused, mut began) = (None, Admitted::Stranger, None);
        let take_places = || match take_places(connections, half_open, from, keeps_place) {
            Ok(taken) => {
                places = Some(taken);
                true
            }
            Err(why) => {
                if why != Admitted::TooMany {
                    gate.dtls_had_no_place();
                }
                refused = why;
                false
            }
        };
        let may_begin = || match gate.begin_dtls(now, from, take_places) {
            Ok(begins) => {
                began = begins.then(Instant::now);
                Ok(begins)
            }
            Err(why) => Err(Admitted::TooManyHandshakes(why)),
        };
        let mut no_budget = None;
        let instant = self.clock.instant(now).into_std();
        let admission =
            listener.unknown.datagram_from_unknown_if(tuple.remote, datagram, instant, || {
                may_begin().unwrap_or_else(|why| {
                    no_budget = Some(why);
                    false
                })
            });
        if let Some(began) = began {
            gate.dtls_has_cost(now, from, began.elapsed());
        }
        let connection = match admission {
            Admission::Accept(connection) => connection,
            // The source may be forged, so an answer may reach somebody who has not asked.
            Admission::Reply(answer) => {
                if gate.answers_stranger(now, from) {
                    self.records.push(to, sockets, answer);
                }
                return Admitted::Stranger;
            }
            Admission::Drop => return no_budget.unwrap_or(refused),
        };
        let Some((half_open, place)) = places else { return Admitted::Stranger };
        let known = known.and_then(|known| self.clients.get_mut(known as usize));
        let ticket = place.or_else(|| known.and_then(|known| known.ticket.take()));
        Admitted::In(self.insert(now, to, tuple, connection, half_open, ticket))
    }

    /// Adds a connection whose handshake begins. Returns its number.
    fn insert(
        &mut self,
        now: Tick,
        to: Destination,
        tuple: Tuple,
        connection: Connection,
        half_open: ConnectionTicket,
        ticket: Option<ConnectionTicket>,
    ) -> u32 {
        self.next_generation = self.next_generation.wrapping_add(1);
        let entry = self.clients.vacant_entry();
        // SAFE: fewer connections than the limit on them, which is a u32.
        #[allow(clippy::cast_possible_truncation)]
        let number = entry.key() as u32;
        let via = Via::Dtls { connection: number, listener: tuple.listener };
        if let Some(ticket) = &ticket {
            // An allocation ends with the connection before.
            let _ = ticket.set_settled(false);
            let client = DtlsClientId { number, generation: self.next_generation };
            let evictions = Arc::clone(&self.evictions);
            ticket.on_loss(Arc::new(Place { evictions, client }).into());
        }
        entry.insert(DtlsClient {
            connection,
            five_tuple: Client { via, local: tuple.local, remote: ClientAddr(tuple.remote) },
            to,
            generation: self.next_generation,
            stage: Stage::HalfOpen(half_open),
            since: now,
            stranger_since: now,
            settled: false,
            queued: Tick(u64::MAX),
            dropped: 0,
            ticket,
        });
        self.by_tuple.insert(tuple, number);
        let clients = &self.clients;
        self.deadlines.compact(clients.len(), |at, DtlsClientId { number, generation }| {
            let found = clients.get(number as usize);
            found.is_some_and(|client| client.generation == generation && client.queued == at)
        });
        number
    }

    /// Removes a connection from every table.
    pub(crate) fn remove(&mut self, number: u32) -> Option<DtlsClient> {
        let client = self.clients.try_remove(number as usize)?;
        let Client { via, local, remote } = client.five_tuple;
        let tuple = Tuple { listener: via.listener(), local, remote: remote.0 };
        // The tuple may already belong to the client's next connection.
        if self.by_tuple.get(&tuple) == Some(&number) {
            self.by_tuple.remove(&tuple);
        }
        Some(client)
    }

    /// Has a connection looked at when its deadline comes.
    pub(crate) fn queue(&mut self, now: Tick, number: u32) {
        let Some(client) = self.clients.get_mut(number as usize) else { return };
        let deadline = client.deadline(now);
        if deadline < client.queued {
            client.queued = deadline;
            self.deadlines.push(deadline, client.id(number));
        }
    }

    /// Puts what a connection has to send into the queue of records.
    pub(crate) fn drain(&mut self, number: u32, sockets: &UdpListeners) {
        self.drain_with(number, IpFields::default(), sockets);
    }

    fn drain_with(&mut self, number: u32, ip_fields: IpFields, sockets: &UdpListeners) {
        if let Some(client) = self.clients.get_mut(number as usize) {
            let connection = &mut client.connection;
            let next = |room: &mut [u8]| connection.poll_transmit(room);
            self.records.fill(client.to, ip_fields, sockets, next);
        }
    }

    /// Tells every client that its connection ends.
    pub(crate) fn close_all(&mut self, sockets: &UdpListeners) {
        for (_, client) in &mut self.clients {
            client.connection.close();
            let connection = &mut client.connection;
            let next = |room: &mut [u8]| connection.poll_transmit(room);
            self.records.fill(client.to, IpFields::default(), sockets, next);
        }
    }

    /// Sends relayed data. A message too long for a record is dropped and counted.
    pub(crate) fn data(
        &mut self,
        now: Tick,
        number: u32,
        data: Framed<'_>,
        sockets: &UdpListeners,
    ) {
        let Framed { ip_fields, prefix, payload, padding } = data;
        self.message.clear();
        self.message.extend_from_slice(prefix.as_bytes());
        self.message.extend_from_slice(payload);
        self.message.extend_from_slice([0; 3].get(..usize::from(padding)).unwrap_or_default());
        let message = std::mem::take(&mut self.message);
        self.send(now, number, ip_fields, &message, sockets);
        self.message = message;
    }

    /// Sends one message as one record.
    pub(crate) fn answer(
        &mut self,
        now: Tick,
        number: u32,
        message: &[u8],
        sockets: &UdpListeners,
    ) {
        self.send(now, number, IpFields::default(), message, sockets);
    }

    fn send(
        &mut self,
        now: Tick,
        number: u32,
        ip_fields: IpFields,
        message: &[u8],
        sockets: &UdpListeners,
    ) {
        let Some(client) = self.clients.get_mut(number as usize) else { return };
        let sent = client.connection.send(message);
        if sent.is_err() {
            client.dropped += 1;
            let closed = client.connection.is_closed();
            self.lost.count(if closed { Loss::Closed } else { Loss::RecordTooLong });
            // Not while a verdict is carried out: the worker ends the connection in its next turn.
            if closed {
                self.allocation_changed(now, number);
            }
        }
        self.drain_with(number, ip_fields, sockets);
    }

    /// Returns how many messages were lost.
    pub(crate) fn lost(&self) -> Losses {
        let mut lost = self.lost;
        lost.add_all(&self.records.unsent());
        lost
    }

    /// Sends the records that wait.
    pub(crate) fn flush(&mut self, now: Tick, sockets: &UdpListeners) {
        self.records.set_now(now);
        self.records.flush(sockets);
    }
}

impl fmt::Debug for DtlsClients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DtlsClients")
            .field("listeners", &self.listeners)
            .field("clients", &self.clients.len())
            .finish_non_exhaustive()
    }
}

/// Takes the places that a new connection needs: one of those for unfinished handshakes, and one among all
/// connections, unless it keeps that of the connection before.
fn take_places(
    connections: &Arc<Connections>,
    half_open: &Arc<Connections>,
    from: IpAddr,
    keeps_place: bool,
) -> Result<(ConnectionTicket, Option<ConnectionTicket>), Admitted> {
    let early = half_open.take(from).ok_or(Admitted::TooManyHandshakes(Refused::Worker))?;
    let place = match keeps_place {
        true => None,
        false => Some(connections.take(from).ok_or(Admitted::TooMany)?),
    };
    Ok((early, place))
}
