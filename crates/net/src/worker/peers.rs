//! What happens to the TCP connections between relayed addresses and peers (RFC 6062).

use std::io;
use std::net::SocketAddr;

use tokio::net::TcpStream;

use super::core::Core;
use crate::engine::entered::Entered;
use crate::event_log::{Kind, NO_SOURCE};
use crate::tcp_relay::{PeerEvents, refuse};
use taciturn_stun::Family;
use taciturn_turn::{AllocationId, ConnectionId, Traffic};

impl PeerEvents for Core {
    fn arrived(&self, owner: AllocationId, family: Family, stream: TcpStream, peer: SocketAddr) {
        self.engine.borrow_mut().enter(|entered| {
            let Entered { now, shard, out, .. } = &mut *entered;
            match shard.peer_arrived(*now, owner, family, peer, out) {
                Some(connection) => {
                    if let Err(error) = offer(entered, owner, connection, stream) {
                        tracing::debug!(%peer, %error, "a peer's connection cannot be kept");
                        entered.shard.peer_closed(owner, connection, Traffic::default());
                    }
                }
                None => refuse(stream),
            }
        });
    }

    fn accept_failed(&self, error: &io::Error) {
        let text = format_args!("cannot accept a peer's connection: {error}");
        self.engine.borrow_mut().warn(Kind::Socket, NO_SOURCE, text);
    }

    fn connected(&self, owner: AllocationId, connection: ConnectionId, stream: TcpStream) {
        self.engine.borrow_mut().enter(|entered| {
            let offered = offer(entered, owner, connection, stream);
            let Entered { now, shard, out, .. } = entered;
            match offered {
                Ok(()) => shard.peer_connected(*now, owner, connection, out),
                Err(error) => {
                    tracing::debug!(%error, "a connection to a peer cannot be kept");
                    out.resources.tcp.close_peer(connection);
                    shard.connect_failed(*now, owner, connection, out);
                }
            }
        });
    }

    fn failed(&self, owner: AllocationId, connection: ConnectionId) {
        self.engine.borrow_mut().enter(|entered| {
            entered.out.resources.tcp.close_peer(connection);
            entered.shard.connect_failed(entered.now, owner, connection, &mut entered.out);
        });
    }

    fn closed(&self, owner: AllocationId, connection: ConnectionId) {
        self.engine.borrow_mut().enter(|entered| {
            let traffic = entered.out.resources.tcp.close_peer(connection);
            entered.shard.peer_closed(owner, connection, traffic);
        });
    }
}

/// Keeps a peer connection until it is bound.
fn offer(
    entered: &mut Entered<'_>,
    owner: AllocationId,
    connection: ConnectionId,
    stream: TcpStream,
) -> io::Result<()> {
    let gone = || io::Error::other("the allocation is gone");
    let limit = entered.shard.stream_limit(owner).ok_or_else(gone)?;
    entered.out.resources.tcp.offer(owner, connection, stream, limit)
}
