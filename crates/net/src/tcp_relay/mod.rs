//! TCP connections between relayed transport addresses and peers (RFC 6062).
//!
//! Each worker has a [`TcpRelays`]: what its shard has asked for. A peer connection begins in a task
//! of that worker. It then waits among the [`UnboundPeers`], unread, until a ConnectionBind request arrives at
//! any worker. That worker joins it with the client's data connection in the data connection's own task
//! ([`pipe`]); no shard sees the data.

mod pace;
mod pipe;
pub(super) mod piped;
mod sockets;
pub(super) mod unbound;

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd as _, OwnedFd};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use ahash::AHashMap;
use slab::Slab;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::{AbortHandle, spawn_local};
use tokio::time::sleep;

use self::pace::Pace;
use self::unbound::{BoundPeer, Counters, Leash, Over, UnboundPeers};
use super::carry::NamedSockets;
use super::carry::record::PeerRecord;
use super::clock::Clock;
use taciturn_handover::{Entry, Name};
use taciturn_stun::Family;
use taciturn_turn::policy::StreamLimit;
use taciturn_turn::{AllocationId, ConnectError, ConnectionId, RelayId, Traffic};

/// How long to wait before accepting again when the system has no descriptor left.
const EXHAUSTED: Duration = Duration::from_millis(100);

/// What happens to relay sockets and peer connections, reported by their tasks.
pub(super) trait PeerEvents {
    /// A peer has connected to a relay socket.
    fn arrived(&self, owner: AllocationId, family: Family, stream: TcpStream, peer: SocketAddr);

    /// A relay socket cannot accept a connection.
    fn accept_failed(&self, error: &io::Error);

    /// A connection to a peer is established.
    fn connected(&self, owner: AllocationId, connection: ConnectionId, stream: TcpStream);

    /// A connection to a peer could not be established.
    fn failed(&self, owner: AllocationId, connection: ConnectionId);

    /// A peer connection has ended, and with it its data connection.
    fn closed(&self, owner: AllocationId, connection: ConnectionId);
}

/// The TCP relay sockets and peer connections of one worker.
#[derive(Debug)]
pub(super) struct TcpRelays {
    events: Option<Weak<dyn PeerEvents>>,
    clock: Clock,
    unbound: Arc<UnboundPeers>,
    listening: Slab<Listening>,
    peers: AHashMap<ConnectionId, PeerEnd>,
    /// By the number of the client's connection, until its task takes it.
    bound: AHashMap<u32, BoundPeer>,
}

/// A TCP relay socket. The task that accepts has no hold on it, so that it closes at once.
#[derive(Debug)]
struct Listening {
    socket: Rc<TcpListener>,
    local: SocketAddr,
    task: AbortHandle,
}

/// A peer connection, as the worker of its allocation holds it.
#[derive(Debug)]
enum PeerEnd {
    Connecting(AbortHandle),
    /// Unbound, or joined on some worker. The task reports its end.
    There {
        leash: Leash,
        task: AbortHandle,
    },
}

impl TcpRelays {
    pub(super) fn new(clock: Clock, unbound: Arc<UnboundPeers>) -> Self {
        Self {
            events: None,
            clock,
            unbound,
            listening: Slab::new(),
            peers: AHashMap::new(),
            bound: AHashMap::new(),
        }
    }

    /// Has the tasks report to `events`.
    pub(super) fn report_to(&mut self, events: Weak<dyn PeerEvents>) {
        self.events = Some(events);
    }

    fn events(&self) -> io::Result<Weak<dyn PeerEvents>> {
        self.events.clone().ok_or_else(|| io::Error::other("the worker has not begun"))
    }

    pub(super) fn open(&mut self, owner: AllocationId, address: SocketAddr) -> io::Result<RelayId> {
        let opened = sockets::listen(address).and_then(TcpListener::from_std);
        self.listen(owner, address, opened?)
    }

    fn listen(
        &mut self,
        owner: AllocationId,
        address: SocketAddr,
        socket: TcpListener,
    ) -> io::Result<RelayId> {
        let socket = Rc::new(socket);
        let family = Family::of(address.ip());
        let accepting = accept(self.events()?, owner, family, Rc::downgrade(&socket));
        let task = spawn_local(accepting).abort_handle();
        // SAFE: fewer relays than ports.
        #[allow(clippy::cast_possible_truncation)]
        let number = self.listening.insert(Listening { socket, local: address, task }) as u32;
        Ok(RelayId(number))
    }

    pub(super) fn close(&mut self, RelayId(relay): RelayId) {
        if let Some(listening) = self.listening.try_remove(relay as usize) {
            listening.task.abort();
        }
    }

    pub(super) fn connect(
        &mut self,
        owner: AllocationId,
        RelayId(relay): RelayId,
        connection: ConnectionId,
        peer: SocketAddr,
    ) -> Result<(), ConnectError> {
        let listening = self.listening.get(relay as usize).ok_or(ConnectError::Impossible)?;
        let socket = sockets::outgoing(listening.local).map_err(|error| {
            tracing::debug!(relayed = %listening.local, %error, "cannot open a socket to a peer");
            match error.kind() {
                io::ErrorKind::AddrInUse | io::ErrorKind::AddrNotAvailable => {
                    ConnectError::Unreachable
                }
                _ => ConnectError::Impossible,
            }
        })?;
        let events = self.events().map_err(|_| ConnectError::Impossible)?;
        let connecting = connect(events, owner, connection, socket, peer);
        let task = spawn_local(connecting).abort_handle();
        self.peers.insert(connection, PeerEnd::Connecting(task));
        Ok(())
    }

    /// Makes a connection one that any worker can bind, to be no faster than `limit`.
    ///
    /// # Errors
    /// Those of the connection.
    pub(super) fn offer(
        &mut self,
        owner: AllocationId,
        connection: ConnectionId,
        stream: TcpStream,
        limit: StreamLimit,
    ) -> io::Result<()> {
        let pace = Pace::new(self.clock, limit);
        let (leash, over) = self.unbound.put(connection, stream, pace)?;
        self.watch(owner, connection, leash, over)
    }

    /// Reports the end of a peer connection.
    fn watch(
        &mut self,
        owner: AllocationId,
        connection: ConnectionId,
        leash: Leash,
        over: Over,
    ) -> io::Result<()> {
        let events = self.events()?;
        let telling = async move {
            over.wait().await;
            if let Some(events) = events.upgrade() {
                events.closed(owner, connection);
            }
        };
        let task = spawn_local(telling).abort_handle();
        self.peers.insert(connection, PeerEnd::There { leash, task });
        Ok(())
    }

    /// Returns duplicates of the relay sockets and of the peer connections that no client has bound, for another
    /// process.
    ///
    /// # Errors
    /// If this process may have no more descriptors.
    pub(super) fn export(&self) -> io::Result<(Vec<PeerRecord>, NamedSockets)> {
        let (mut records, mut sockets) = (Vec::new(), Vec::new());
        for (_, listening) in &self.listening {
            let socket = listening.socket.as_fd().try_clone_to_owned()?;
            sockets.push((Entry::new(Name::PeerListener(listening.local)), socket));
        }
        for connection in self.peers.keys() {
            if let Some(socket) = self.unbound.duplicate(*connection)?
                && let Some((record, socket)) = exported_peer(*connection, socket)
            {
                records.push(record);
                sockets.push(socket);
            }
        }
        Ok((records, sockets))
    }

    /// Goes on with a relay socket that another process has had.
    ///
    /// # Errors
    /// If the runtime refuses it.
    pub(super) fn go_on(
        &mut self,
        owner: AllocationId,
        socket: std::net::TcpListener,
    ) -> io::Result<RelayId> {
        let local = socket.local_addr()?;
        self.listen(owner, local, TcpListener::from_std(socket)?)
    }

    /// Goes on with a peer connection that another process has had: any worker can bind it.
    ///
    /// # Errors
    /// If the worker has not begun.
    pub(super) fn go_on_with_peer(
        &mut self,
        owner: AllocationId,
        connection: ConnectionId,
        stream: std::net::TcpStream,
        limit: StreamLimit,
    ) -> io::Result<()> {
        let pace = Pace::new(self.clock, limit);
        let (leash, over) =
            self.unbound.put_prepared(connection, stream, pace, Counters::default());
        self.watch(owner, connection, leash, over)
    }

    /// Gives an unbound peer connection, of any worker, to a client's connection of this one. Returns false if it
    /// is gone.
    ///
    /// # Errors
    /// If the runtime refuses it.
    pub(super) fn bind(&mut self, client: u32, connection: ConnectionId) -> io::Result<bool> {
        let Some(peer) = self.unbound.take(connection)? else { return Ok(false) };
        self.bound.insert(client, peer);
        Ok(true)
    }

    pub(super) fn is_bound(&self, client: u32) -> bool {
        self.bound.contains_key(&client)
    }

    pub(super) fn take_bound(&mut self, client: u32) -> Option<BoundPeer> {
        self.bound.remove(&client)
    }

    /// Returns what a peer connection has relayed, and was not returned yet.
    pub(super) fn take_traffic(&self, connection: ConnectionId) -> Traffic {
        match self.peers.get(&connection) {
            Some(PeerEnd::There { leash, .. }) => leash.take_traffic(),
            Some(PeerEnd::Connecting(_)) | None => Traffic::default(),
        }
    }

    /// Closes a peer connection, on whichever worker it is. Returns what it has relayed, and
    /// [`Self::take_traffic`] has not returned.
    pub(super) fn close_peer(&mut self, connection: ConnectionId) -> Traffic {
        self.unbound.remove(connection);
        match self.peers.remove(&connection) {
            Some(PeerEnd::Connecting(task)) => {
                task.abort();
                Traffic::default()
            }
            Some(PeerEnd::There { leash, task }) => {
                task.abort();
                leash.take_traffic()
            }
            None => Traffic::default(),
        }
    }
}

/// A peer connection for another process; `None` if the peer has reset it meanwhile.
pub(super) fn exported_peer(
    connection: ConnectionId,
    socket: std::net::TcpStream,
) -> Option<(PeerRecord, (Entry, OwnedFd))> {
    let (relayed, peer) = (socket.local_addr().ok()?, socket.peer_addr().ok()?);
    let name = Name::PeerConnection { relayed, peer };
    let record = PeerRecord { connection: connection.0, socket: name.to_string() };
    Some((record, (Entry::new(name), socket.into())))
}

/// Peers accepted before the worker looks at its other sockets: anybody can connect to a relay port.
const ACCEPTS_A_TURN: u32 = 4;

/// Accepts peers for as long as the relay socket is there.
async fn accept(
    events: Weak<dyn PeerEvents>,
    owner: AllocationId,
    family: Family,
    socket: Weak<TcpListener>,
) {
    let mut accepted_now = 0;
    loop {
        if accepted_now == ACCEPTS_A_TURN {
            accepted_now = 0;
            tokio::task::yield_now().await;
        }
        accepted_now += 1;
        let accepted = poll_fn(|context| match socket.upgrade() {
            Some(socket) => socket.poll_accept(context).map(Some),
            None => Poll::Ready(None),
        });
        let (Some(accepted), Some(events)) = (accepted.await, events.upgrade()) else { return };
        match accepted {
            Ok((stream, from)) => events.arrived(owner, family, stream, from),
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                events.accept_failed(&error);
                drop(events);
                sleep(EXHAUSTED).await;
            }
        }
    }
}

async fn connect(
    events: Weak<dyn PeerEvents>,
    owner: AllocationId,
    connection: ConnectionId,
    socket: TcpSocket,
    peer: SocketAddr,
) {
    let outcome = socket.connect(peer).await;
    let Some(events) = events.upgrade() else { return };
    match outcome {
        Ok(stream) => events.connected(owner, connection, stream),
        Err(error) => {
            tracing::debug!(%peer, %error, "cannot connect to a peer");
            events.failed(owner, connection);
        }
    }
}

/// Closes a connection that nobody asked for, leaving nothing of it in the kernel.
pub(super) fn refuse(stream: TcpStream) {
    // Without it the port would fill with connections that linger; an error changes nothing.
    let _ = socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO));
    drop(stream);
}
