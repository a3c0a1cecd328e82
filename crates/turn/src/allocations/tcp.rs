//! The peer connections of one TCP allocation (RFC 6062).

use std::time::Duration;

use crate::clock::{Remaining, Tick};
use crate::connection_ids::IdTicket;
use crate::parked::ParkedRequest;
use crate::snapshot::records::{PeerConnectionRecord, StageRecord};
use crate::types::{ConnectionId, PeerAddr};

/// RFC 6062 sections 5.2 and 5.3: a peer connection that nobody binds for 30 seconds is closed.
const BIND_TIME: Duration = Duration::from_secs(30);

/// Connections of one allocation that are not bound (yet). Peers can make them at will.
const UNBOUND: usize = 16;

/// The peer connections of one allocation.
#[derive(Debug, Default)]
pub(crate) struct PeerConnections {
    connections: Vec<PeerConnection>,
}

#[derive(Debug)]
pub(crate) struct PeerConnection {
    pub(crate) ticket: IdTicket,
    pub(crate) peer: PeerAddr,
    pub(crate) stage: Stage,
}

#[derive(Debug)]
pub(crate) enum Stage {
    /// The Connect request is answered when the peer has answered.
    Connecting { request: ParkedRequest, until: Tick },
    /// For ConnectionBind. It may have come meanwhile, to another shard.
    Unbound { until: Tick },
    /// The client's data connection is there.
    Bound,
}

impl PeerConnections {
    pub(crate) fn has(&self, peer: PeerAddr) -> bool {
        self.connections.iter().any(|connection| connection.peer == peer)
    }

    pub(crate) fn has_room(&mut self, limit: usize) -> bool {
        for connection in &mut self.connections {
            connection.look_whether_bound();
        }
        let unbound = self.connections.iter().filter(|c| !matches!(c.stage, Stage::Bound)).count();
        self.connections.len() < limit && unbound < UNBOUND
    }

    pub(super) fn push(&mut self, connection: PeerConnection) {
        self.connections.push(connection);
    }

    /// Takes out the first one that fits.
    pub(crate) fn take(
        &mut self,
        fits: impl FnMut(&PeerConnection) -> bool,
    ) -> Option<PeerConnection> {
        let at = self.connections.iter().position(fits)?;
        Some(self.connections.swap_remove(at))
    }

    /// Takes out the one of this number.
    pub(crate) fn take_id(&mut self, id: ConnectionId) -> Option<PeerConnection> {
        self.take(|connection| connection.ticket.id() == id)
    }

    /// Takes out one that has waited for too long. One that was bound at the last moment stays.
    pub(crate) fn take_due(&mut self, now: Tick) -> Option<PeerConnection> {
        let is_due = |known: &PeerConnection| known.until().is_some_and(|until| until <= now);
        loop {
            let mut due = self.take(is_due)?;
            match due.stage {
                Stage::Unbound { .. } if !due.ticket.withdraw() => {
                    due.stage = Stage::Bound;
                    self.push(due);
                }
                _ => return Some(due),
            }
        }
    }

    /// The numbers of all of them.
    pub(crate) fn ids(&self) -> impl Iterator<Item = ConnectionId> {
        self.connections.iter().map(|connection| connection.ticket.id())
    }

    /// All of them, for another process.
    pub(super) fn snapshot(&self, now: Tick) -> Vec<PeerConnectionRecord> {
        self.connections.iter().filter_map(|connection| connection.snapshot(now)).collect()
    }

    /// The earliest moment at which one of them has waited for too long.
    pub(super) fn deadline(&self) -> Option<Tick> {
        self.connections.iter().filter_map(PeerConnection::until).min()
    }

    /// How many there are.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.connections.len()
    }
}

impl Stage {
    /// Waiting for ConnectionBind, from now on.
    pub(crate) fn unbound(now: Tick) -> Self {
        Self::Unbound { until: now + BIND_TIME }
    }
}

impl PeerConnection {
    pub(super) const fn until(&self) -> Option<Tick> {
        match self.stage {
            Stage::Connecting { until, .. } | Stage::Unbound { until } => Some(until),
            Stage::Bound => None,
        }
    }

    fn look_whether_bound(&mut self) {
        if self.is_bound_elsewhere() {
            self.stage = Stage::Bound;
        }
    }

    /// Whether ConnectionBind has come to another shard.
    fn is_bound_elsewhere(&self) -> bool {
        matches!(self.stage, Stage::Unbound { .. }) && !self.ticket.is_waiting()
    }

    /// For another process. `None` where nobody could go on with it.
    fn snapshot(&self, now: Tick) -> Option<PeerConnectionRecord> {
        let Self { ticket, peer, stage } = self;
        let left = |until: &Tick| Remaining::until(*until, now);
        let stage = match stage {
            Stage::Connecting { request, until } => {
                StageRecord::Connecting { request: request.snapshot()?, left: left(until) }
            }
            Stage::Unbound { .. } if self.is_bound_elsewhere() => StageRecord::Bound,
            Stage::Unbound { until } => StageRecord::Unbound { left: left(until) },
            Stage::Bound => StageRecord::Bound,
        };
        Some(PeerConnectionRecord { id: ticket.id(), peer: *peer, stage })
    }
}
