//! What another process needs to go on with a connection: its socket, and what was read from it and is not done.

use std::cell::{Cell, RefCell, RefMut};
use std::io;
use std::net::TcpStream;
use std::rc::Rc;

use socket2::{SockRef, Socket};

use crate::tcp_relay::piped::Piped;
use crate::tcp_relay::unbound::BoundPeer;
use taciturn_turn::{Client, ConnectionId};

/// What another process needs of a connection, besides what waits to be written to it.
#[derive(Debug, Default)]
pub(crate) struct Continuation {
    /// What was read and not done: the front of a message whose rest has not come yet, or more.
    unread: RefCell<Vec<u8>>,
    /// The client and a duplicate of the socket, while another process could go on with it.
    kept: RefCell<Option<(Client, Socket)>>,
    /// The peer connection that the client has bound: what is read and written from then on are data.
    joined: RefCell<Option<Joined>>,
    end: Cell<Option<End>>,
}

/// Why this process lets go of a connection that has not ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Another process goes on with it.
    GivenAway,
    /// No other process can.
    Stopping,
}

/// A peer connection that is joined with a client's data connection.
#[derive(Debug)]
struct Joined {
    connection: ConnectionId,
    piped: Rc<Piped>,
    /// A duplicate of its socket.
    socket: Socket,
}

/// A data connection for another process.
#[derive(Debug)]
pub(crate) struct Exported {
    pub(crate) connection: ConnectionId,
    /// The connection with the peer.
    pub(crate) peer: TcpStream,
    /// Read from the client, to be written to the peer.
    pub(crate) to_peer: Vec<u8>,
    /// Read from the peer, to be written to the client.
    pub(crate) to_client: Vec<u8>,
}

impl Continuation {
    /// Of a connection that another process had, with what that had read.
    pub(crate) fn of_unread(unread: Vec<u8>) -> Self {
        Self { unread: RefCell::new(unread), ..Self::default() }
    }

    /// Returns what was read and is not done.
    pub(crate) fn unread(&self) -> RefMut<'_, Vec<u8>> {
        self.unread.borrow_mut()
    }

    /// Keeps a duplicate of the socket from now on. Without one, the connection ends with this process.
    pub(super) fn keep(&self, client: Client, socket: &SockRef<'_>) {
        self.kept.replace(socket.try_clone().ok().map(|socket| (client, socket)));
    }

    /// Keeps it no longer.
    pub(super) fn drop_socket(&self) {
        self.kept.replace(None);
    }

    /// Returns the client and a duplicate of the socket. `None` if another process cannot go on with the connection.
    ///
    /// # Errors
    /// If this process may have no more descriptors.
    pub(crate) fn duplicate(&self) -> io::Result<Option<(Client, TcpStream)>> {
        let kept = self.kept.borrow();
        kept.as_ref().map(|(client, socket)| Ok((*client, socket.try_clone()?.into()))).transpose()
    }

    /// Has this process let go of it at the next turn of its task.
    pub(super) fn end(&self, why: End) {
        self.end.set(Some(why));
    }

    /// Returns why this process is to let go of it.
    pub(super) const fn ends(&self) -> Option<End> {
        self.end.get()
    }

    /// Notes which peer connection the client has bound.
    pub(super) fn join(&self, peer: &BoundPeer) {
        let joined = peer.duplicate().ok().map(|socket| Joined {
            connection: peer.connection(),
            piped: peer.piped(),
            socket,
        });
        if joined.is_none() {
            self.drop_socket();
        }
        self.joined.replace(joined);
    }

    /// Returns the peer connection that the client has bound.
    ///
    /// # Errors
    /// If this process may have no more descriptors.
    pub(crate) fn joined(&self) -> io::Result<Option<Exported>> {
        let joined = self.joined.borrow();
        let Some(Joined { connection, piped, socket }) = joined.as_ref() else { return Ok(None) };
        let (peer, [to_peer, to_client]) = (socket.try_clone()?.into(), piped.bytes());
        Ok(Some(Exported { connection: *connection, peer, to_peer, to_client }))
    }
}
