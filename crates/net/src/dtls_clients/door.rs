//! All DTLS listeners of a worker and their connections: who gets in, who is who.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use ahash::AHashMap;
use slab::Slab;
use tokio::sync::Notify;

use super::deadlines::{Deadlines, SessionId};
use super::outbox::Outbox;
use super::places::{LostPlaces, Place};
use super::session::{Session, Stage};
use super::settings::DtlsSettings;
use crate::batch::Destination;
use crate::clock::Clock;
use crate::dtls::{Admission, DtlsContext, Listener};
use crate::handshakes::{Gate, Refused};
use crate::listener::UdpListeners;
use crate::losses::{Loss, Losses};
use taciturn_turn::clock::Tick;
use taciturn_turn::policy::Connections;
use taciturn_turn::{Client, ClientAddr, Prefix, Via};

/// Handshakes of one worker that are not finished, in all and from one address (one /64 for IPv6).
/// Beyond them a ClientHello is dropped, and the client sends it again. How many begin is limited by
/// [`Gate`] besides.
pub(super) const HALF_OPEN: u32 = 256;
pub(super) const HALF_OPEN_PER_ADDRESS: u32 = 32;

/// Bytes of the longest record.
const RECORD: usize = 16 * 1024;

/// Bytes of records that are kept for the end of a batch, at most.
const PLAIN: usize = 256 * 1024;

/// The 5-tuple of a datagram: the server's port and the transport follow from the listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Tuple {
    pub(super) listener: u16,
    pub(super) local: IpAddr,
    pub(super) remote: SocketAddr,
}

/// One listener: what strangers meet.
#[derive(Debug)]
struct Door {
    settings: Arc<DtlsSettings>,
    listener: Listener,
    /// What it serves new connections with.
    served: Arc<DtlsContext>,
    /// Whether it takes nobody new.
    retired: bool,
}

/// What became of a datagram from somebody without a connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Admitted {
    /// It was answered, or is no ClientHello; nothing was kept.
    Stranger,
    /// There are as many connections as may be.
    TooMany,
    /// As many handshakes.
    TooManyHandshakes(Refused),
    /// A new connection.
    In(u32),
}

/// The DTLS connections of one worker.
pub(crate) struct Dtls {
    clock: Clock,
    /// By the number of the listening socket. Most are of those that speak no DTLS.
    doors: Vec<Option<Door>>,
    pub(super) sessions: Slab<Session>,
    pub(super) by_tuple: AHashMap<Tuple, u32>,
    pub(super) deadlines: Deadlines,
    pub(super) next_generation: u32,
    gate: Rc<Gate>,
    connections: Arc<Connections>,
    pub(super) half_open: Arc<Connections>,
    lost_places: Arc<LostPlaces>,
    outbox: Outbox,
    lost: Losses,
    /// Where a message is put together.
    message: Vec<u8>,
}

impl Dtls {
    /// Serves no listening socket yet.
    pub(crate) fn new(clock: Clock, connections: &Arc<Connections>, gate: Rc<Gate>) -> Self {
        Self {
            clock,
            doors: Vec::new(),
            outbox: Outbox::default(),
            lost: Losses::default(),
            sessions: Slab::new(),
            by_tuple: AHashMap::new(),
            deadlines: Deadlines::default(),
            next_generation: 0,
            gate,
            connections: Arc::clone(connections),
            half_open: Arc::new(Connections::refusing(HALF_OPEN, HALF_OPEN_PER_ADDRESS)),
            lost_places: Arc::default(),
            message: Vec::new(),
        }
    }

    /// Serves a listening socket.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub(crate) fn open(&mut self, listener: u16, settings: Arc<DtlsSettings>) -> io::Result<()> {
        let start = self.clock.instant(self.clock.now().tick).into_std();
        let served = settings.served();
        let context = DtlsContext::clone(&served);
        let stranger = Listener::new(context, start).map_err(io::Error::other)?;
        let door = Door { settings, listener: stranger, served, retired: false };
        let at = usize::from(listener);
        if self.doors.len() <= at {
            self.doors.resize_with(at + 1, || None);
        }
        if let Some(slot) = self.doors.get_mut(at) {
            *slot = Some(door);
        }
        self.outbox.open();
        Ok(())
    }

    /// Other settings for those who come from now on.
    pub(crate) fn set(&mut self, listener: u16, settings: Arc<DtlsSettings>) {
        if let Some(door) = self.door(listener) {
            // What it serves is not what these settings have: the next ClientHello sees that.
            door.settings = settings;
        }
    }

    /// Whether it takes nobody new.
    pub(crate) fn retire(&mut self, listener: u16, on: bool) {
        if let Some(door) = self.door(listener) {
            door.retired = on;
        }
    }

    /// Forgets a listening socket, whose connections must have ended.
    pub(crate) fn close(&mut self, listener: u16) {
        if let Some(slot) = self.doors.get_mut(usize::from(listener)) {
            *slot = None;
        }
    }

    /// The connections that came in by a listening socket.
    pub(crate) fn on_listener(&self, listener: u16) -> Vec<u32> {
        let of_it = self.sessions.iter();
        let of_it = of_it.filter(|(_, session)| session.client.via.listener() == listener);
        // SAFE: sessions have u32 numbers.
        #[allow(clippy::cast_possible_truncation)]
        of_it.map(|(number, _)| number as u32).collect()
    }

    fn door(&mut self, listener: u16) -> Option<&mut Door> {
        self.doors.get_mut(usize::from(listener))?.as_mut()
    }

    /// Whether a listening socket speaks DTLS.
    pub(crate) fn serves(&self, listener: u16) -> bool {
        self.doors.get(usize::from(listener)).is_some_and(Option::is_some)
    }

    /// The name of a listener, for logs.
    pub(super) fn name(&self, listener: u16) -> &str {
        let door = self.doors.get(usize::from(listener)).and_then(Option::as_ref);
        door.map_or("", |door| &door.settings.name)
    }

    /// Notified when clients have lost their places to others.
    pub(crate) fn lost_places(&self) -> Arc<Notify> {
        Arc::clone(&self.lost_places.told)
    }

    /// Whether clients have.
    pub(crate) fn has_lost_places(&self) -> bool {
        self.lost_places.are_some()
    }

    /// The connections that have.
    pub(super) fn take_lost_places(&self) -> Vec<u32> {
        let is_there = |id: &SessionId| {
            let found = self.sessions.get(id.number as usize);
            found.is_some_and(|session| session.generation == id.generation)
        };
        let lost = self.lost_places.take().into_iter();
        lost.filter(is_there).map(|id| id.number).collect()
    }

    /// Has a connection looked at in the worker's next turn.
    pub(crate) fn look_at(&mut self, now: Tick, number: u32) {
        if let Some(session) = self.sessions.get_mut(number as usize)
            && now < session.queued
        {
            session.queued = now;
            self.deadlines.push(now, session.id(number));
        }
    }

    /// When a connection is to be looked at.
    pub(crate) fn next_timeout(&self) -> Option<Tick> {
        self.deadlines.next()
    }

    pub(super) fn session(&mut self, number: u32) -> Option<&mut Session> {
        self.sessions.get_mut(number as usize)
    }

    /// Lets a datagram from somebody without a connection in, or from the client of `known`, who
    /// starts anew.
    pub(super) fn admit(
        &mut self,
        now: Tick,
        to: Destination,
        tuple: Tuple,
        datagram: &[u8],
        known: Option<u32>,
        sockets: &UdpListeners,
    ) -> Admitted {
        let door = self.doors.get_mut(usize::from(tuple.listener)).and_then(Option::as_mut);
        let Some(door) = door.filter(|door| !door.retired) else { return Admitted::Stranger };
        if let Some(renewed) = door.settings.news(&door.served) {
            door.listener.set_context(DtlsContext::clone(&renewed));
            door.served = renewed;
        }
        let (connections, half_open, gate) = (&self.connections, &self.half_open, &*self.gate);
        let from = tuple.remote.ip();
        let (mut place, mut early_place) = (None, None);
        let keeps_place = known
            .and_then(|known| self.sessions.get(known as usize)?.ticket.as_ref())
            .is_some_and(|ticket| !ticket.is_lost());
        let mut refused = Admitted::Stranger;
        let has_place = || {
            early_place = half_open.take(from);
            if early_place.is_none() {
                gate.dtls_had_no_place();
                refused = Admitted::TooManyHandshakes(Refused::Worker);
                return false;
            }
            // Who starts anew has a place already.
            if !keeps_place {
                place = connections.take(from);
                if place.is_none() {
                    refused = Admitted::TooMany;
                    return false;
                }
            }
            true
        };
        let (mut no_budget, mut began) = (None, None);
        let has_room = || match gate.begin_dtls(now, from, has_place) {
            Ok(has_place) => {
                began = has_place.then(Instant::now);
                has_place
            }
            Err(why) => {
                no_budget = Some(Admitted::TooManyHandshakes(why));
                false
            }
        };
        let instant = self.clock.instant(now).into_std();
        let admission =
            door.listener.datagram_from_unknown_if(tuple.remote, datagram, instant, has_room);
        if let Some(began) = began {
            gate.dtls_has_cost(now, from, began.elapsed());
        }
        let connection = match admission {
            Admission::Accept(connection) => connection,
            // It may go to somebody who asked nothing.
            Admission::Reply(answer) => {
                if gate.answers_stranger(now, from) {
                    self.outbox.push(to, sockets, answer);
                }
                return Admitted::Stranger;
            }
            Admission::Drop => return no_budget.unwrap_or(refused),
        };
        let Some(early_place) = early_place else { return Admitted::Stranger };
        let known = known.and_then(|known| self.sessions.get_mut(known as usize));
        let ticket = place.or_else(|| known.and_then(|known| known.ticket.take()));
        self.next_generation = self.next_generation.wrapping_add(1);
        if let Some(ticket) = &ticket {
            // Its allocation ends with the connection before.
            let _ = ticket.set_settled(false);
        }
        let entry = self.sessions.vacant_entry();
        // SAFE: fewer connections than the limit on them, which is a u32.
        #[allow(clippy::cast_possible_truncation)]
        let number = entry.key() as u32;
        let via = Via::Dtls { connection: number, listener: tuple.listener };
        if let Some(ticket) = &ticket {
            let session = SessionId { number, generation: self.next_generation };
            let places = Arc::clone(&self.lost_places);
            ticket.on_loss(Arc::new(Place { places, session }).into());
        }
        entry.insert(Session {
            connection,
            client: Client { via, local: tuple.local, remote: ClientAddr(tuple.remote) },
            to,
            generation: self.next_generation,
            stage: Stage::HalfOpen(early_place),
            since: now,
            stranger_since: now,
            settled: false,
            queued: Tick(u64::MAX),
            dropped: 0,
            ticket,
        });
        self.by_tuple.insert(tuple, number);
        let sessions = &self.sessions;
        self.deadlines.compact(sessions.len(), |at, SessionId { number, generation }| {
            let found = sessions.get(number as usize);
            found.is_some_and(|s| s.generation == generation && s.queued == at)
        });
        Admitted::In(number)
    }

    /// Takes a connection out of every table.
    pub(super) fn remove(&mut self, number: u32) -> Option<Session> {
        let session = self.sessions.try_remove(number as usize)?;
        let Client { via, local, remote } = session.client;
        let tuple = Tuple { listener: via.listener(), local, remote: remote.0 };
        // Another one may be there already: that of a client which has started anew.
        if self.by_tuple.get(&tuple) == Some(&number) {
            self.by_tuple.remove(&tuple);
        }
        Some(session)
    }

    /// Makes sure that a connection is looked at when its deadline comes.
    pub(super) fn queue(&mut self, now: Tick, number: u32) {
        let Some(session) = self.sessions.get_mut(number as usize) else { return };
        let deadline = session.deadline(now);
        if deadline < session.queued {
            session.queued = deadline;
            self.deadlines.push(deadline, session.id(number));
        }
    }

    /// Puts what a connection has to send into the outbox.
    pub(super) fn drain(&mut self, number: u32, sockets: &UdpListeners) {
        if let Some(session) = self.sessions.get_mut(number as usize) {
            let connection = &mut session.connection;
            self.outbox.fill(session.to, sockets, |room| connection.poll_transmit(room));
        }
    }

    /// Sends relayed data: a message too long for a record is dropped, and counted.
    pub(crate) fn media(
        &mut self,
        now: Tick,
        number: u32,
        prefix: &Prefix,
        payload: &[u8],
        padding: u8,
        sockets: &UdpListeners,
    ) {
        self.message.clear();
        self.message.extend_from_slice(prefix.as_bytes());
        self.message.extend_from_slice(payload);
        self.message.extend_from_slice([0; 3].get(..usize::from(padding)).unwrap_or_default());
        let message = std::mem::take(&mut self.message);
        self.answer(now, number, &message, sockets);
        self.message = message;
    }

    /// Sends one message as one record.
    pub(super) fn answer(
        &mut self,
        now: Tick,
        number: u32,
        message: &[u8],
        sockets: &UdpListeners,
    ) {
        let Some(session) = self.sessions.get_mut(number as usize) else { return };
        let sent = session.connection.send(message);
        if sent.is_err() {
            session.dropped += 1;
            let closed = session.connection.is_closed();
            self.lost.count(if closed { Loss::Closed } else { Loss::RecordTooLong });
            // Not in the middle of a verdict: the worker ends it in its next turn.
            if closed {
                self.look_at(now, number);
            }
        }
        self.drain(number, sockets);
    }

    /// What was to be sent and was not.
    pub(crate) fn lost(&self) -> Losses {
        let mut lost = self.lost;
        lost.add_all(&self.outbox.unsent());
        lost
    }

    /// Sends what is in the outbox.
    pub(crate) fn flush(&mut self, now: Tick, sockets: &UdpListeners) {
        self.outbox.set_now(now);
        self.outbox.flush(sockets);
    }
}

impl fmt::Debug for Dtls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dtls")
            .field("doors", &self.doors)
            .field("sessions", &self.sessions.len())
            .finish_non_exhaustive()
    }
}

/// What connections have sent, decrypted: kept until the end of a batch, for what goes on to
/// peers is sent from here.
#[derive(Default)]
pub(crate) struct Plain {
    bytes: Box<[u8]>,
    used: usize,
}

impl Plain {
    /// Room for the next record; `None` when what is here has to leave first.
    pub(super) fn room(&mut self) -> Option<&mut [u8]> {
        if self.bytes.is_empty() {
            self.bytes = vec![0; PLAIN].into_boxed_slice();
        }
        self.bytes.get_mut(self.used..).filter(|room| room.len() >= RECORD)
    }

    /// Keeps the first `len` bytes of the room; returns where they begin.
    pub(super) fn keep(&mut self, len: usize) -> usize {
        let start = self.used;
        self.used += len;
        start
    }

    pub(super) fn clear(&mut self) {
        self.used = 0;
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl fmt::Debug for Plain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plain").field("used", &self.used).finish_non_exhaustive()
    }
}
