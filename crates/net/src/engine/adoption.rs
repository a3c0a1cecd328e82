//! How a shard gets the sockets that another process has had: the trait `Adoption`, on a worker's resources.

use std::net::SocketAddr;

use super::effects::Effects;
use crate::event_log::{Kind, NO_SOURCE};
use taciturn_stun::Family;
use taciturn_turn::policy::StreamLimit;
use taciturn_turn::{Adoption, AllocationId, ConnectionId, PeerStage, RelayId};

impl Adoption for Effects<'_> {
    fn adopt_relay(&mut self, owner: AllocationId, address: SocketAddr) -> Option<RelayId> {
        let socket = self.resources.carried.as_ref()?.relay(address)?;
        let adopted = self.resources.sockets.go_on(owner, Family::of(address.ip()), socket);
        self.adopted("a relay socket", adopted)
    }

    fn adopt_tcp_relay(&mut self, owner: AllocationId, address: SocketAddr) -> Option<RelayId> {
        let socket = self.resources.carried.as_ref()?.tcp_relay(address)?;
        let adopted = self.resources.tcp.go_on(owner, socket);
        self.adopted("a relay socket for TCP", adopted)
    }

    fn adopt_peer(
        &mut self,
        owner: AllocationId,
        connection: ConnectionId,
        stage: PeerStage,
        limit: StreamLimit,
    ) -> bool {
        let carried = self.resources.carried.as_ref().and_then(|carried| carried.peer(connection));
        match (stage, carried) {
            // The kernel goes on connecting, but nobody waits for it: the client asks again.
            (PeerStage::Connecting, _) | (_, None) => false,
            (PeerStage::Unbound | PeerStage::Bound, Some(socket)) => {
                let adopted = self.resources.tcp.go_on_with_peer(owner, connection, socket, limit);
                self.adopted("a connection with a peer", adopted).is_some()
            }
        }
    }
}

impl Effects<'_> {
    fn adopted<T>(&mut self, what: &str, outcome: std::io::Result<T>) -> Option<T> {
        let warn = |error: &std::io::Error| {
            let text = format_args!("cannot go on with {what} of another process: {error}");
            self.resources.log.warn(Kind::Socket, NO_SOURCE, self.now, text);
        };
        outcome.inspect_err(warn).ok()
    }
}
