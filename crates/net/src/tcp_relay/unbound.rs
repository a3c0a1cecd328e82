//! Peer connections that no client has bound yet: on their way from the worker that made them to the worker
//! whose client binds them. A lock is taken a few times for each connection.

use std::convert::Infallible;
use std::io;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ahash::AHashMap;
use socket2::{SockRef, Socket};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use super::pace::Pace;
use super::piped::Piped;
use super::sockets::prepare;
use taciturn_turn::{ConnectionId, Traffic};

/// The unbound peer connections of all workers. There are no more than the
/// shards' bounds allow. Nothing is read: what peers send waits in the kernel's buffer, and a peer
/// that fills it has to wait.
#[derive(Debug, Default)]
pub(crate) struct UnboundPeers {
    unbound: Mutex<AHashMap<ConnectionId, Unbound>>,
}

#[derive(Debug)]
struct Unbound {
    /// Not registered with a runtime.
    stream: std::net::TcpStream,
    ends: Ends,
}

/// What ties a peer connection to the worker of its allocation.
#[derive(Debug)]
pub(super) struct Ends {
    pub(super) traffic: Arc<Counters>,
    /// Resolves when the allocation lets go.
    pub(super) let_go: oneshot::Receiver<Infallible>,
    /// How fast it may be.
    pub(super) pace: Pace,
    /// Dropped when the connection ends.
    _alive: oneshot::Sender<Infallible>,
}

/// A peer connection on the worker of its data connection.
#[derive(Debug)]
pub(crate) struct BoundPeer {
    connection: ConnectionId,
    /// What is on its way between the two.
    pub(super) piped: Rc<Piped>,
    pub(super) stream: TcpStream,
    pub(super) ends: Ends,
}

/// Held by the worker of the allocation; dropping it closes the connection wherever it is.
#[derive(Debug)]
pub(super) struct Leash {
    traffic: Arc<Counters>,
    _held: oneshot::Sender<Infallible>,
}

/// Resolves when the connection has ended.
#[derive(Debug)]
pub(super) struct Over(oneshot::Receiver<Infallible>);

/// Bytes relayed and not counted yet, both ways.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) to_peer: AtomicU64,
    pub(super) to_client: AtomicU64,
}

impl UnboundPeers {
    /// Keeps a connection until it is bound.
    ///
    /// # Errors
    /// Those of the connection.
    pub(super) fn put(
        &self,
        connection: ConnectionId,
        stream: TcpStream,
        pace: Pace,
    ) -> io::Result<(Leash, Over)> {
        prepare(&stream)?;
        Ok(self.put_prepared(connection, stream.into_std()?, pace, Counters::default()))
    }

    /// Keeps a connection that another process has had, as [`Self::put`] does. It has relayed what `traffic` says.
    pub(super) fn put_prepared(
        &self,
        connection: ConnectionId,
        stream: std::net::TcpStream,
        pace: Pace,
        traffic: Counters,
    ) -> (Leash, Over) {
        let traffic = Arc::new(traffic);
        let (held, let_go) = oneshot::channel();
        let (alive, over) = oneshot::channel();
        let ends = Ends { traffic: Arc::clone(&traffic), let_go, pace, _alive: alive };
        self.lock().insert(connection, Unbound { stream, ends });
        (Leash { traffic, _held: held }, Over(over))
    }

    /// Removes and returns an unbound connection, for the runtime of the calling thread.
    ///
    /// # Errors
    /// If the runtime refuses it.
    pub(super) fn take(&self, connection: ConnectionId) -> io::Result<Option<BoundPeer>> {
        let Some(Unbound { stream, ends }) = self.lock().remove(&connection) else {
            return Ok(None);
        };
        let (stream, piped) = (TcpStream::from_std(stream)?, Rc::default());
        Ok(Some(BoundPeer { connection, piped, stream, ends }))
    }

    /// Returns a duplicate of the socket of an unbound connection.
    ///
    /// # Errors
    /// If this process may have no more descriptors.
    pub(super) fn duplicate(
        &self,
        connection: ConnectionId,
    ) -> io::Result<Option<std::net::TcpStream>> {
        self.lock().get(&connection).map(|unbound| unbound.stream.try_clone()).transpose()
    }

    /// Closes a connection, unless it was bound.
    pub(super) fn remove(&self, connection: ConnectionId) {
        let removed = self.lock().remove(&connection);
        drop(removed); // not under the lock
    }

    fn lock(&self) -> MutexGuard<'_, AHashMap<ConnectionId, Unbound>> {
        self.unbound.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BoundPeer {
    /// Returns its number.
    pub(crate) const fn connection(&self) -> ConnectionId {
        self.connection
    }

    /// Returns what is on its way between the two.
    pub(crate) fn piped(&self) -> Rc<Piped> {
        Rc::clone(&self.piped)
    }

    /// Returns a duplicate of its socket.
    ///
    /// # Errors
    /// If this process may have no more descriptors.
    pub(crate) fn duplicate(&self) -> io::Result<Socket> {
        SockRef::from(&self.stream).try_clone()
    }
}

impl Leash {
    /// Returns what has been relayed since the last time.
    pub(super) fn take_traffic(&self) -> Traffic {
        Traffic {
            bytes_to_peers: self.traffic.to_peer.swap(0, Ordering::Relaxed),
            bytes_to_client: self.traffic.to_client.swap(0, Ordering::Relaxed),
            ..Traffic::default()
        }
    }
}

impl Over {
    pub(super) async fn wait(self) {
        // Nothing is ever sent; the sender is dropped.
        let _ = self.0.await;
    }
}
