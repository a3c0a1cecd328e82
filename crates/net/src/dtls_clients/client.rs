//! One DTLS client: its connection, its place in the limits, and how far it has come.

use std::time::Duration;

use super::deadlines::DtlsClientId;
use crate::batch::egress::Destination;
use crate::dtls::Connection;
use crate::timeouts::{FIRST_MESSAGE, HANDSHAKE_TIME, WITHOUT_ALLOCATION};
use taciturn_turn::Client;
use taciturn_turn::clock::Tick;
use taciturn_turn::policy::ConnectionTicket;

/// The resolution of the clock. A wait begins with the next tick.
const MOMENT: Duration = Duration::from_millis(1);

/// How far a client has come.
#[derive(Debug)]
pub(crate) enum Stage {
    /// Its handshake is not finished; it holds one of the few places for that.
    HalfOpen(#[allow(dead_code, reason = "it counts for as long as it lives")] ConnectionTicket),
    /// It has not sent a message yet.
    Silent,
    /// It has sent a message of STUN.
    Spoken,
}

/// A client whose cookie was valid.
#[derive(Debug)]
pub(crate) struct DtlsClient {
    pub(crate) connection: Connection,
    pub(crate) five_tuple: Client,
    /// Where its datagrams go, and by which socket.
    pub(crate) to: Destination,
    pub(crate) generation: u32,
    pub(crate) stage: Stage,
    /// When this stage began.
    pub(crate) since: Tick,
    /// When the client came, or when its last allocation ended; while it has one, when that was seen.
    pub(crate) stranger_since: Tick,
    /// Whether it has an allocation, as its ticket knows it.
    pub(crate) settled: bool,
    /// The deadline that it is queued for.
    pub(crate) queued: Tick,
    /// How many relayed messages did not fit into a record.
    pub(crate) dropped: u64,
    /// Its place among all connections. A client's next connection takes it over.
    pub(crate) ticket: Option<ConnectionTicket>,
}

/// What becomes of a client at its deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// It stays, and is queued again.
    Later,
    /// It has taken too long, for this reason.
    Over(&'static str),
    /// It may stay only if it has an allocation.
    Allocation,
}

impl DtlsClient {
    pub(super) const fn id(&self, number: u32) -> DtlsClientId {
        DtlsClientId { number, generation: self.generation }
    }

    /// Notes that the handshake is done, which gives its place to others. Returns whether that is
    /// news.
    pub(crate) fn note_handshake(&mut self, now: Tick) -> bool {
        let done = matches!(self.stage, Stage::HalfOpen(_)) && self.connection.is_established();
        if done {
            self.stage = Stage::Silent;
            self.since = now;
        }
        done
    }

    /// Notes that the client has sent something that a server understands.
    pub(crate) fn note_message(&mut self) {
        if matches!(self.stage, Stage::Silent) {
            self.stage = Stage::Spoken;
        }
    }

    /// Notes whether the client has an allocation. Returns whether it still has its place.
    pub(crate) fn set_settled(&mut self, now: Tick, settled: bool) -> bool {
        if settled == self.settled {
            return true;
        }
        (self.settled, self.stranger_since) = (settled, now);
        self.ticket.as_ref().is_some_and(|ticket| ticket.set_settled(settled))
    }

    /// Returns when it is to be looked at again.
    pub(super) fn deadline(&self, now: Tick) -> Tick {
        match self.stage {
            Stage::HalfOpen(_) => {
                let end = self.since + HANDSHAKE_TIME;
                let resend = self.connection.timeout().map(|wait| now + wait + MOMENT);
                resend.map_or(end, |resend| resend.min(end))
            }
            Stage::Silent => self.since + FIRST_MESSAGE,
            Stage::Spoken => self.stranger_since + WITHOUT_ALLOCATION,
        }
    }

    /// Does what is due by now, and says what comes next.
    pub(crate) fn handle_timeout(&mut self, now: Tick) -> Due {
        let over = |limit| now >= self.since + limit;
        match self.stage {
            Stage::HalfOpen(_) if over(HANDSHAKE_TIME) => {
                return Due::Over("the handshake was not finished in time");
            }
            Stage::HalfOpen(_) => self.connection.handle_timeout(),
            Stage::Silent if over(FIRST_MESSAGE) => return Due::Over("no STUN message in time"),
            Stage::Spoken => return Due::Allocation,
            Stage::Silent => {}
        }
        Due::Later
    }
}
