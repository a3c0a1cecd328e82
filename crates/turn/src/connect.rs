//! Connect (RFC 6062 section 5.2), and which peers there may be a TCP connection with.

use std::net::SocketAddr;
use std::time::Duration;

use super::authenticate::Signature;
use super::cause::Cause;
use super::outside::{ConnectError, Event, Outside};
use super::request::{Answer, Failure, Request};
use super::shard::Shard;
use super::tcp_allocation::{PeerConnection, Stage};
use super::types::{AllocationId, ConnectionId, PeerAddr};
use crate::policy::Refusal;
use taciturn_stun::{Class, ErrorCode, Family, Method, TransactionId, Writer, canonical_ip};

/// RFC 6062 section 5.2: a peer has at least 30 seconds to answer.
const CONNECT_TIME: Duration = Duration::from_secs(30);

/// What the answer to a request is made with, when it is given later.
#[derive(Debug)]
pub(super) struct LateAnswer {
    tid: TransactionId,
    signature: Signature,
    fingerprint: bool,
}

impl Shard {
    /// Begins a connection to a peer. The answer follows when the peer has answered, unless this
    /// fails.
    pub(super) fn connect(
        &mut self,
        request: &Request<'_>,
        signature: &Signature,
        outside: &mut impl Outside,
    ) -> Answer {
        let mismatch = |detail| Failure::new(ErrorCode::ALLOCATION_MISMATCH, detail);
        let bad = |detail| Failure::new(ErrorCode::BAD_REQUEST, detail);
        let exists = || Failure::new(ErrorCode::CONNECTION_ALREADY_EXISTS, "");
        let message = request.message;
        let Some((index, allocation)) = self.allocation_of(&request.client) else {
            return Err(mismatch("There is no allocation"));
        };
        let owner = AllocationId { index, generation: allocation.generation };
        let Some(tcp) = &allocation.tcp else {
            return Err(mismatch("The allocation is one for UDP"));
        };
        let peer = message.peer()?.ok_or_else(|| bad("XOR-PEER-ADDRESS is missing"))?;
        if peer.port() == 0 {
            return Err(bad("No peer has port 0"));
        }
        let peer = PeerAddr(SocketAddr::new(canonical_ip(peer.ip()), peer.port()));
        if tcp.has(peer) {
            return Err(exists());
        }
        let Some(relay) = allocation.relay(Family::of(peer.0.ip())) else {
            return Err(Failure::new(ErrorCode::PEER_ADDRESS_FAMILY_MISMATCH, ""));
        };
        let (relay, own) = (relay.id, relay.public);
        let judged = match self.judge_tcp_peer(peer.0) {
            // Nobody is a peer of himself: the kernel would join the socket with itself.
            Ok(_) if own == peer.0 => Err(None),
            judged => judged,
        };
        let destination = judged.map_err(|refusal| {
            let (client, peer) = (request.client, peer.0.ip());
            outside.event(Event::PeerRefused { client, peer, refusal });
            Failure::new(ErrorCode::FORBIDDEN, "")
        })?;
        let ticket = self.room_for_connection(index, outside)?;
        // A peer that was connected before counts again: nothing else bounds who tries ports.
        self.admit_new_peers(request.now.tick, index, 1)?;
        let connection = ticket.id();
        match outside.connect_peer(owner, relay, connection, destination) {
            Ok(()) => {}
            Err(ConnectError::Unreachable) => {
                return Err(Failure::new(ErrorCode::CONNECTION_TIMEOUT, ""));
            }
            Err(ConnectError::Impossible) => {
                let detail = "No socket to be had";
                return Err(Failure::new(ErrorCode::INSUFFICIENT_CAPACITY, detail));
            }
        }
        let until = request.now.tick + CONNECT_TIME;
        let answer = Box::new(LateAnswer {
            tid: message.transaction_id(),
            signature: signature.clone(),
            fingerprint: message.has_fingerprint(),
        });
        if let Some(tcp) = self.tcp_mut(index) {
            tcp.push(PeerConnection { ticket, peer, stage: Stage::Connecting { answer, until } });
        }
        self.queue(index, until);
        Ok(())
    }

    /// A CONNECTION-ID for one more peer connection of an allocation, or 508.
    pub(super) fn room_for_connection(
        &mut self,
        index: u32,
        outside: &mut impl Outside,
    ) -> Result<super::connection_ids::IdTicket, Failure> {
        let limit = self.settings.max_peer_connections;
        if !self.tcp_mut(index).is_some_and(|tcp| tcp.has_room(limit)) {
            return Err(Cause::PeerConnections.into());
        }
        let random = || {
            let mut bytes = [0; 4];
            outside.random(&mut bytes);
            u32::from_ne_bytes(bytes)
        };
        let ticket = self.rules.connection_ids.take(random);
        ticket.ok_or_else(|| Cause::AllPeerConnections.into())
    }

    /// Whether there may be a connection with `peer`; returns where it is connected to. A relayed
    /// address of this server's is a good peer where a TCP allocation listens on that very port.
    pub(super) fn judge_tcp_peer(&self, peer: SocketAddr) -> Result<SocketAddr, Option<Refusal>> {
        let family = Family::of(peer.ip());
        let refusal = self.rules.peers.check(peer.ip()).err();
        let own = self.settings.relay_addresses[family as usize];
        let Some(own) = own.filter(|own| own.public == peer.ip()) else {
            return refusal.map_or(Ok(peer), |refusal| Err(Some(refusal)));
        };
        match refusal {
            Some(refusal) if refusal.is_configured() => Err(Some(refusal)),
            _ if self.rules.ports.is_live_for_tcp(family, peer.port()) => {
                Ok(SocketAddr::new(own.local, peer.port()))
            }
            _ if self.rules.peers.allowed_by_name(peer.ip()) => Ok(peer),
            refusal => Err(refusal),
        }
    }

    /// Gives the answer that a Connect request waits for.
    pub(super) fn answer_connect(
        &mut self,
        index: u32,
        answer: &LateAnswer,
        outcome: Result<ConnectionId, ErrorCode>,
        outside: &mut impl Outside,
    ) {
        let Some(allocation) = self.allocations.get(index as usize) else { return };
        let client = allocation.client;
        let class = if outcome.is_ok() { Class::Success } else { Class::Error };
        let mut buffer = [0; 256];
        let mut writer = Writer::new(&mut buffer, class, Method::CONNECT, answer.tid);
        match outcome {
            Ok(connection) => writer.connection_id(connection.0),
            Err(code) => writer.error(code, code.reason()),
        };
        answer.signature.sign(&mut writer);
        if answer.fingerprint {
            writer.fingerprint();
        }
        let Ok(len) = writer.finish() else { return };
        self.statistics.answered += 1;
        outside.tell(client, buffer.get(..len).unwrap_or_default());
        if let Err(code) = outcome {
            outside.event(Event::RequestFailed {
                client,
                user: Some(&allocation.username),
                method: Method::CONNECT,
                code,
                reason: "",
                cause: None,
            });
        }
    }
}
