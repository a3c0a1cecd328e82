//! The packets of DTLS clients: from a batch of datagrams to verdicts, and from deadlines to ends.

use super::door::{Admitted, Plain, Tuple};
use super::session::Due;
use crate::batch::{Destination, Egress, Ingress};
use crate::dtls::CloseReason;
use crate::event_log::Kind;
use crate::io::{Io, Which};
use crate::patience::STRANGER;
use crate::worker::sending::{forward, source_of};
use crate::worker::try_again;
use taciturn_turn::clock::{Now, Tick};
use taciturn_turn::{Client, DropReason, Shard, Verdict};

/// Why a client has to go that has no allocation.
const LOST: &str =
    "is closed to make room for others: it has no allocation, and limits.connections is reached";

/// What of a worker it takes to serve DTLS clients.
#[derive(Debug)]
pub(crate) struct Hands<'a> {
    pub(crate) shard: &'a mut Shard,
    pub(crate) io: &'a mut Io,
    pub(crate) egress: &'a mut Egress,
    pub(crate) reply: &'a mut [u8],
    pub(crate) plain: &'a mut Plain,
}

impl Hands<'_> {
    /// One batch from the clients of a listener. Returns whether there may be more.
    pub(crate) fn read(&mut self, now: Now, number: u16, ingress: &mut Ingress) -> bool {
        let Some(listener) = self.io.listener(number) else { return false };
        let address = listener.address;
        let more = match ingress.receive(&listener.socket) {
            Ok(more) => more,
            Err(error) => return try_again(&error),
        };
        for received in ingress.received() {
            let tuple = Tuple {
                listener: number,
                local: received.local.unwrap_or_else(|| address.ip()),
                remote: received.source,
            };
            for (start, end) in received.datagrams() {
                self.datagram(now, tuple, ingress.bytes().get(start..end).unwrap_or_default());
            }
        }
        self.flush();
        more
    }

    /// One datagram.
    pub(super) fn datagram(&mut self, now: Now, tuple: Tuple, datagram: &[u8]) {
        let known = self.io.dtls.by_tuple.get(&tuple).copied();
        if let Some(number) = known
            && let Some(session) = self.io.dtls.session(number)
            && !session.connection.is_restart(datagram)
        {
            session.connection.handle_datagram(datagram);
            self.go_on(now, number);
            return;
        }
        let to = Destination {
            socket: Which::Listener(tuple.listener).number(),
            address: tuple.remote,
            source: source_of(self.io, tuple.listener, tuple.local),
            dont_fragment: false,
        };
        let (dtls, sockets) = self.io.dtls_and_sockets();
        match dtls.admit(now.tick, to, tuple, datagram, known, sockets) {
            Admitted::Stranger => {}
            Admitted::TooMany => self.turned_away(
                tuple,
                "too many connections from it, or in all (limits.connections_per_address, \
                 limits.connections)",
            ),
            Admitted::TooManyHandshakes(why) => self.turned_away(tuple, why.text()),
            Admitted::In(number) => {
                if let Some(old) = known {
                    self.end(now, old, "the client has started anew");
                }
                self.go_on(now, number);
            }
        }
    }

    /// Serves what a connection has, and sees whether it has ended.
    fn go_on(&mut self, now: Now, number: u32) {
        self.records(now, number);
        let (dtls, sockets) = self.io.dtls_and_sockets();
        dtls.drain(number, sockets);
        let Some(session) = dtls.session(number) else { return };
        let established = session.connection.is_established();
        if session.connection.is_closed() {
            self.end(now, number, "");
        } else if !established || session.note_handshake(now.tick) {
            dtls.queue(now.tick, number);
        }
    }

    /// Hands every record that a connection has read to the shard, and does what that says.
    fn records(&mut self, now: Now, number: u32) {
        loop {
            if self.plain.room().is_none() {
                self.flush();
            }
            let Some(room) = self.plain.room() else { return };
            let Some(session) = self.io.dtls.session(number) else { return };
            let Some(len) = session.connection.recv(room) else { return };
            let client = session.client;
            let start = self.plain.keep(len);
            let bytes = self.plain.bytes();
            let packet = bytes.get(start..start + len).unwrap_or_default();
            let verdict = self.shard.from_client(now, client, packet, self.reply, self.io);
            if let Some(session) = self.io.dtls.session(number) {
                if !matches!(verdict, Verdict::Drop(DropReason::Malformed)) {
                    session.note_message();
                }
                if !session.settled
                    && self.shard.has_allocation(&client)
                    && !session.set_settled(now.tick, true)
                {
                    // It has lost its place, and must not hear of the allocation.
                    self.leave(now, number, LOST);
                    return;
                }
            }
            if let Verdict::Reply(len) = verdict {
                let answer = self.reply.get(..len).unwrap_or_default();
                let (dtls, sockets) = self.io.dtls_and_sockets();
                dtls.answer(now.tick, number, answer, sockets);
            } else {
                forward(self.egress, self.io, verdict, bytes, start);
            }
        }
    }

    /// Does what is due by now.
    pub(crate) fn handle_timeout(&mut self, now: Now) {
        while let Some((at, id)) = self.io.dtls.deadlines.pop(now.tick) {
            let Some(session) = self.io.dtls.session(id.number) else { continue };
            if session.generation != id.generation || session.queued != at {
                continue; // an earlier deadline came in between
            }
            session.queued = Tick(u64::MAX);
            let due = session.handle_timeout(now.tick);
            let client = session.client;
            if session.connection.is_closed() {
                self.leave(now, id.number, "");
                continue;
            }
            match due {
                Due::Over(why) => self.leave(now, id.number, why),
                Due::Allocation => self.stay_or_leave(now, id.number, client),
                Due::Later => {
                    let (dtls, sockets) = self.io.dtls_and_sockets();
                    dtls.drain(id.number, sockets);
                    dtls.queue(now.tick, id.number);
                }
            }
        }
        self.flush();
    }

    /// Lets a client stay that has an allocation, which has its own lifetime, or has one not for too long.
    fn stay_or_leave(&mut self, now: Now, number: u32, client: Client) {
        let has_allocation = self.shard.has_allocation(&client);
        let Some(session) = self.io.dtls.session(number) else { return };
        if !session.set_settled(now.tick, has_allocation) {
            self.leave(now, number, LOST);
        } else if !has_allocation && now.tick >= session.stranger_since + STRANGER {
            self.leave(now, number, "no allocation in time");
        } else {
            if has_allocation && now.tick >= session.stranger_since + STRANGER {
                session.stranger_since = now.tick;
            }
            self.io.dtls.queue(now.tick, number);
        }
    }

    /// Takes leave of the clients that have lost their places to others.
    pub(crate) fn leave_lost(&mut self, now: Now) {
        for number in self.io.dtls.take_lost_places() {
            let client = self.io.dtls.session(number).map(|session| session.client.remote);
            if let Some(client) = client {
                let text = format_args!("{client} {LOST}");
                self.io.warn(Kind::Connection, client.0.ip(), text);
            }
            self.leave(now, number, LOST);
        }
        self.flush();
    }

    /// Takes leave of the clients of a listener that have no allocation, or of all of them.
    pub(crate) fn leave_listener(&mut self, now: Now, listener: u16, all: bool) {
        for number in self.io.dtls.on_listener(listener) {
            let client = self.io.dtls.session(number).map(|session| session.client);
            if client.is_some_and(|client| all || !self.shard.has_allocation(&client)) {
                self.leave(now, number, "the listener was removed");
            }
        }
        self.flush();
    }

    /// Takes leave of every client; the server stops.
    pub(crate) fn shut_down(&mut self) {
        let now = self.io.now;
        let (dtls, sockets) = self.io.dtls_and_sockets();
        let all: Vec<usize> = dtls.sessions.iter().map(|(number, _)| number).collect();
        for number in all {
            if let Some(session) = dtls.sessions.get_mut(number) {
                session.connection.close();
                // SAFE: sessions have u32 numbers.
                #[allow(clippy::cast_possible_truncation)]
                dtls.drain(number as u32, sockets);
            }
        }
        dtls.flush(now, sockets);
    }

    /// Tells a client that its connection ends, and ends it.
    fn leave(&mut self, now: Now, number: u32, why: &str) {
        let (dtls, sockets) = self.io.dtls_and_sockets();
        if let Some(session) = dtls.session(number) {
            session.connection.close();
        }
        dtls.drain(number, sockets);
        self.end(now, number, why);
    }

    /// A connection is gone, and with it the client's allocation. Without a reason, its own is
    /// told.
    fn end(&mut self, now: Now, number: u32, why: &str) {
        let Some(session) = self.io.dtls.remove(number) else { return };
        self.shard.client_gone(now, session.client, self.io);
        let reason = match (why, session.connection.close_reason()) {
            ("", Some(CloseReason::Peer)) => "closed by the client",
            ("", Some(CloseReason::Silent)) => "the client does not answer",
            ("", Some(CloseReason::Failed(reason))) => reason,
            (why, _) => why,
        };
        let client = session.client.remote;
        tracing::debug!(%client, transport = "dtls", reason, "connection ended");
        if session.dropped > 0 {
            let longest = session.connection.max_payload();
            self.io.log.long_messages(now.tick, client, session.dropped, longest);
        }
    }

    fn turned_away(&mut self, tuple: Tuple, why: &str) {
        let Io { dtls, log, now, .. } = &mut *self.io;
        let (name, client) = (dtls.name(tuple.listener), tuple.remote);
        let text = format_args!("{name}: {client} is turned away: {why}");
        log.warn(Kind::Connection, client.ip(), *now, text);
    }

    fn flush(&mut self) {
        self.io.flush(self.egress, self.plain.bytes());
        self.plain.clear();
    }
}
