//! Connections from peers, and the ConnectionAttempt indication (RFC 6062 section 5.3).

use std::net::SocketAddr;

use super::outside::{Event, Outside};
use super::shard::Shard;
use super::tcp_allocation::{PeerConnection, Stage};
use super::types::{AllocationId, ConnectionId, DropReason, PeerAddr, RelayAddress, Verdict};
use crate::clock::Now;
use taciturn_stun::{AttributeType, Class, Family, Method, Writer, canonical_ip};

impl Shard {
    /// A peer has connected to the relayed transport address of `owner` in `family`. Returns what
    /// to call the connection, or `None` where it is to be closed at once. The client learns of it
    /// when this returns, and may bind it from then on.
    pub fn peer_arrived(
        &mut self,
        now: Now,
        owner: AllocationId,
        family: Family,
        peer: SocketAddr,
        outside: &mut impl Outside,
    ) -> Option<ConnectionId> {
        let peer = SocketAddr::new(canonical_ip(peer.ip()), peer.port());
        let peer = PeerAddr(self.public_tcp_address(family, peer));
        let index = self.find(owner)?;
        let allocation = self.allocations.get(index as usize)?;
        let client = allocation.client;
        let permitted = allocation.permits(peer.0.ip(), now.tick);
        if !permitted || self.judge_tcp_peer(peer.0).is_err() {
            self.count(&Verdict::Drop(DropReason::NoPermission));
            return None;
        }
        let ticket = match self.room_for_connection(index, outside) {
            Ok(ticket) => ticket,
            Err(failure) => {
                let allocation = self.allocations.get(index as usize)?;
                outside.event(Event::RequestFailed {
                    client,
                    user: Some(&allocation.username),
                    method: Method::CONNECTION_ATTEMPT,
                    code: failure.code(),
                    reason: failure.reason(),
                    cause: failure.cause(),
                });
                return None;
            }
        };
        let connection = ticket.id();
        let stage = Stage::Waiting { until: now.tick };
        self.tcp_mut(index)?.push(PeerConnection { ticket, peer, stage });
        self.begin_waiting(now.tick, index, connection);

        let mut buffer = [0; 64];
        let tid = self.tids.next(outside);
        let method = Method::CONNECTION_ATTEMPT;
        let mut writer = Writer::new(&mut buffer, Class::Indication, method, tid);
        writer.connection_id(connection.0).address(AttributeType::XOR_PEER_ADDRESS, peer.0);
        if let Ok(len) = writer.finish() {
            outside.tell(client, buffer.get(..len).unwrap_or_default());
        }
        Some(connection)
    }

    /// Behind a 1:1 NAT, connections of this server's own relays come from the private side.
    fn public_tcp_address(&self, family: Family, peer: SocketAddr) -> SocketAddr {
        match self.settings.relay_addresses[family as usize] {
            Some(RelayAddress { public, local })
                if peer.ip() == local && self.rules.ports.is_live_for_tcp(family, peer.port()) =>
            {
                SocketAddr::new(public, peer.port())
            }
            _ => peer,
        }
    }
}
