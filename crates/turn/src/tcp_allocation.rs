//! The peer connections of a TCP allocation (RFC 6062), from their beginning to their end.

use std::time::Duration;

use super::connect::LateAnswer;
use super::connection_ids::{IdTicket, Waiting};
use super::outside::Outside;
use super::shard::Shard;
use super::types::{AllocationId, ConnectionId, PeerAddr, Traffic};
use crate::clock::{Now, Tick};
use crate::policy::StreamLimit;
use taciturn_stun::{ErrorCode, Family};

/// RFC 6062 sections 5.2 and 5.3: a peer connection that nobody binds for 30 seconds is closed.
const BIND_TIME: Duration = Duration::from_secs(30);

/// Connections of one allocation that are not bound (yet). Peers can make them at will.
const UNBOUND: usize = 16;

/// The peer connections of one allocation.
#[derive(Debug, Default)]
pub(super) struct TcpAllocation {
    connections: Vec<PeerConnection>,
}

#[derive(Debug)]
pub(super) struct PeerConnection {
    pub(super) ticket: IdTicket,
    pub(super) peer: PeerAddr,
    pub(super) stage: Stage,
}

#[derive(Debug)]
pub(super) enum Stage {
    /// The Connect request is answered when the peer has.
    Connecting { answer: Box<LateAnswer>, until: Tick },
    /// For ConnectionBind. It may have come meanwhile, to another shard.
    Waiting { until: Tick },
    /// The client's data connection is there.
    Bound,
}

impl TcpAllocation {
    pub(super) fn has(&self, peer: PeerAddr) -> bool {
        self.connections.iter().any(|connection| connection.peer == peer)
    }

    pub(super) fn has_room(&mut self, limit: usize) -> bool {
        for connection in &mut self.connections {
            connection.look_whether_bound();
        }
        let unbound = self.connections.iter().filter(|c| !matches!(c.stage, Stage::Bound)).count();
        self.connections.len() < limit && unbound < UNBOUND
    }

    pub(super) fn push(&mut self, connection: PeerConnection) {
        self.connections.push(connection);
    }

    fn find(&mut self, id: ConnectionId) -> Option<&mut PeerConnection> {
        self.connections.iter_mut().find(|connection| connection.ticket.id() == id)
    }

    /// Takes out the first one that fits.
    fn take(&mut self, fits: impl FnMut(&PeerConnection) -> bool) -> Option<PeerConnection> {
        let at = self.connections.iter().position(fits)?;
        Some(self.connections.swap_remove(at))
    }

    /// The earliest moment at which one of them has waited for too long.
    pub(super) fn deadline(&self) -> Option<Tick> {
        self.connections.iter().filter_map(PeerConnection::until).min()
    }

    /// How many there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.connections.len()
    }
}

impl PeerConnection {
    const fn until(&self) -> Option<Tick> {
        match self.stage {
            Stage::Connecting { until, .. } | Stage::Waiting { until } => Some(until),
            Stage::Bound => None,
        }
    }

    fn look_whether_bound(&mut self) {
        if matches!(self.stage, Stage::Waiting { .. }) && !self.ticket.is_waiting() {
            self.stage = Stage::Bound;
        }
    }
}

impl Shard {
    /// The connection that Connect asked for is there (RFC 6062 section 5.2).
    pub fn peer_connected(
        &mut self,
        now: Now,
        owner: AllocationId,
        connection: ConnectionId,
        outside: &mut impl Outside,
    ) {
        let Some(index) = self.find(owner) else { return };
        let Some(answer) = self.begin_waiting(now.tick, index, connection) else { return };
        self.answer_connect(index, &answer, Ok(connection), outside);
    }

    /// It could not be had.
    pub fn connect_failed(
        &mut self,
        owner: AllocationId,
        connection: ConnectionId,
        outside: &mut impl Outside,
    ) {
        let Some(index) = self.find(owner) else { return };
        let Some(tcp) = self.tcp_mut(index) else { return };
        let Some(gone) = tcp.take(|known| known.ticket.id() == connection) else { return };
        if let Stage::Connecting { answer, .. } = gone.stage {
            self.answer_connect(index, &answer, Err(ErrorCode::CONNECTION_TIMEOUT), outside);
        }
    }

    /// A peer connection that was bound has ended, with its data connection.
    pub fn peer_closed(&mut self, owner: AllocationId, connection: ConnectionId, traffic: Traffic) {
        let Some(index) = self.find(owner) else { return };
        if let Some(allocation) = self.allocations.get_mut(index as usize) {
            allocation.traffic.add(traffic);
            self.statistics.relayed[allocation.carrier as usize].add(traffic);
            if let Some(tcp) = &mut allocation.tcp {
                tcp.take(|known| known.ticket.id() == connection);
            }
        }
    }

    /// The limits for what the connections of an allocation relay.
    #[must_use]
    pub fn stream_limit(&self, owner: AllocationId) -> Option<StreamLimit> {
        let allocation = self.allocations.get(self.find(owner)? as usize)?;
        Some(StreamLimit::new(&self.rules.rates, &allocation.meter, &allocation.quota))
    }

    pub(super) fn tcp_mut(&mut self, index: u32) -> Option<&mut TcpAllocation> {
        self.allocations.get_mut(index as usize)?.tcp.as_mut()
    }

    /// Offers a peer connection to the client's ConnectionBind; hands over the answer that Connect
    /// waits for.
    pub(super) fn begin_waiting(
        &mut self,
        now: Tick,
        index: u32,
        connection: ConnectionId,
    ) -> Option<Box<LateAnswer>> {
        let until = now + BIND_TIME;
        let allocation = self.allocations.get_mut(index as usize)?;
        let (username, key) = (allocation.username.clone(), allocation.key.clone());
        let known = allocation.tcp.as_mut()?.find(connection)?;
        known.ticket.offer(Waiting { username, key, peer: known.peer });
        let before = std::mem::replace(&mut known.stage, Stage::Waiting { until });
        self.queue(index, until);
        match before {
            Stage::Connecting { answer, .. } => Some(answer),
            Stage::Waiting { .. } | Stage::Bound => None,
        }
    }

    /// Closes what has waited for too long.
    pub(super) fn sweep_connections(&mut self, now: Tick, index: u32, outside: &mut impl Outside) {
        let is_due = |known: &PeerConnection| known.until().is_some_and(|until| until <= now);
        while let Some(mut due) = self.tcp_mut(index).and_then(|tcp| tcp.take(is_due)) {
            match due.stage {
                // Bound at the last moment: it stays.
                Stage::Waiting { .. } if !due.ticket.withdraw() => {
                    due.stage = Stage::Bound;
                    if let Some(tcp) = self.tcp_mut(index) {
                        tcp.push(due);
                    }
                }
                _ => self.close_connection(index, due, outside),
            }
        }
    }

    /// RFC 6062 section 5.5: with the allocation, or its relayed address of that family, the peer
    /// connections end.
    pub(super) fn close_connections(
        &mut self,
        index: u32,
        family: Family,
        outside: &mut impl Outside,
    ) {
        let of_family = |known: &PeerConnection| Family::of(known.peer.0.ip()) == family;
        while let Some(known) = self.tcp_mut(index).and_then(|tcp| tcp.take(of_family)) {
            self.close_connection(index, known, outside);
        }
    }

    /// Closes the peer connections whose peers the rules refuse as of now. Returns how many.
    pub(super) fn close_refused_connections(
        &mut self,
        index: u32,
        outside: &mut impl Outside,
    ) -> usize {
        let Some(tcp) = self.allocations.get(index as usize).and_then(|a| a.tcp.as_ref()) else {
            return 0;
        };
        let peers = tcp.connections.iter().map(|known| known.peer);
        let refused: Vec<_> =
            peers.filter(|peer| self.peer_refusal(peer.0.ip(), None).is_some()).collect();
        for peer in &refused {
            let taken = self.tcp_mut(index).and_then(|tcp| tcp.take(|known| known.peer == *peer));
            if let Some(known) = taken {
                self.close_connection(index, known, outside);
            }
        }
        refused.len()
    }

    fn close_connection(
        &mut self,
        index: u32,
        connection: PeerConnection,
        outside: &mut impl Outside,
    ) {
        let traffic = outside.close_peer(connection.ticket.id());
        if let Some(allocation) = self.allocations.get_mut(index as usize) {
            allocation.traffic.add(traffic);
            self.statistics.relayed[allocation.carrier as usize].add(traffic);
        }
        if let Stage::Connecting { answer, .. } = connection.stage {
            self.answer_connect(index, &answer, Err(ErrorCode::CONNECTION_TIMEOUT), outside);
        }
    }
}
