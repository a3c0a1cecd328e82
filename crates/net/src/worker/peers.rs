//! What becomes of the TCP connections between relayed addresses and peers (RFC 6062).

use std::io;
use std::net::SocketAddr;

use tokio::net::TcpStream;

use super::Core;
use crate::io::Io;
use crate::tcp_relay;
use taciturn_stun::Family;
use taciturn_turn::{AllocationId, ConnectionId, Shard, Traffic};

impl Core {
    /// A peer has connected to a TCP relay socket.
    pub(crate) fn peer_arrived(
        &self,
        owner: AllocationId,
        family: Family,
        stream: TcpStream,
        peer: SocketAddr,
    ) {
        self.on_time(|now, shard, io| match shard.peer_arrived(now, owner, family, peer, io) {
            Some(connection) => {
                if let Err(error) = offer(shard, io, owner, connection, stream) {
                    tracing::debug!(%peer, %error, "a peer's connection cannot be kept");
                    shard.peer_closed(owner, connection, Traffic::default());
                }
            }
            None => tcp_relay::refuse(stream),
        });
    }

    /// A connection to a peer is there.
    pub(crate) fn peer_connected(
        &self,
        owner: AllocationId,
        connection: ConnectionId,
        stream: TcpStream,
    ) {
        self.on_time(|now, shard, io| match offer(shard, io, owner, connection, stream) {
            Ok(()) => shard.peer_connected(now, owner, connection, io),
            Err(error) => {
                tracing::debug!(%error, "a connection to a peer cannot be kept");
                io.tcp.close_peer(connection);
                shard.connect_failed(now, owner, connection, io);
            }
        });
    }

    /// A connection to a peer cannot be had.
    pub(crate) fn connect_failed(&self, owner: AllocationId, connection: ConnectionId) {
        self.on_time(|now, shard, io| {
            io.tcp.close_peer(connection);
            shard.connect_failed(now, owner, connection, io);
        });
    }

    /// A peer connection and its data connection have ended.
    pub(crate) fn peer_closed(&self, owner: AllocationId, connection: ConnectionId) {
        self.on_time(|_, shard, io| {
            let traffic = io.tcp.close_peer(connection);
            shard.peer_closed(owner, connection, traffic);
        });
    }
}

/// Lays a peer connection down for its ConnectionBind.
fn offer(
    shard: &Shard,
    io: &mut Io,
    owner: AllocationId,
    connection: ConnectionId,
    stream: TcpStream,
) -> io::Result<()> {
    let gone = || io::Error::other("the allocation is gone");
    let limit = shard.stream_limit(owner).ok_or_else(gone)?;
    io.tcp.offer(owner, connection, stream, limit)
}
