//! The UDP sockets of one worker: its listening sockets and the relay sockets of its allocations.

use std::cell::Cell;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use slab::Slab;

use super::batch::ip_fields::KeptFields;
use super::batch::system::{
    dont_fragment, join_datagrams, overflowed, tell_icmp_errors, tell_ip_fields,
};
use super::counters::Overflowed;
use super::listener::datagrams::Spoken;
use super::listener::id::ListenerId;
use super::listener::udp::{UdpListener, UdpListeners, open_relay};
use taciturn_stun::Family;
use taciturn_turn::{AllocationId, RelayId};

/// Relay sockets are numbered from here on, listening sockets below.
const FIRST_RELAY: usize = 1 << 16;

/// Listeners for connections are numbered from here on, UDP listening sockets from 0.
pub(super) const FIRST_STREAM_LISTENER: u16 = 1 << 15;

/// A relay socket.
#[derive(Debug)]
pub(super) struct RelaySocket {
    pub(super) socket: UdpSocket,
    pub(super) owner: AllocationId,
    pub(super) family: Family,
    /// Whether it currently sends with DF.
    dont_fragment: Cell<bool>,
    /// The fields of IP headers that it tells.
    told: KeptFields,
    /// Whether it is in the queue of sockets to be read.
    queued: bool,
    /// Whether the shard has closed it. It is kept until the datagrams that wait to leave by it have left.
    closing: bool,
}

impl RelaySocket {
    /// Has it tell the fields of IP headers that are kept.
    fn tell(&mut self, kept: KeptFields) {
        tell_ip_fields(&self.socket, self.family == Family::V6, self.told, kept);
        self.told = kept;
    }
}

/// Names a UDP socket of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SocketId {
    Listener(u16),
    Relay(RelayId),
}

impl From<Token> for SocketId {
    fn from(Token(number): Token) -> Self {
        // SAFE: tokens are made by `number` below, from a u16 or a slab index.
        #[allow(clippy::cast_possible_truncation)]
        match number.checked_sub(FIRST_RELAY) {
            Some(relay) => Self::Relay(RelayId(relay as u32)),
            None => Self::Listener(number as u16),
        }
    }
}

impl SocketId {
    /// Returns its number in epoll and in the egress.
    pub(super) const fn number(self) -> u32 {
        match self {
            Self::Listener(number) => number as u32,
            Self::Relay(RelayId(relay)) => FIRST_RELAY as u32 + relay,
        }
    }
}

/// The UDP sockets of one worker.
#[derive(Debug)]
pub(super) struct Sockets {
    registry: Registry,
    listeners: UdpListeners,
    relays: Slab<RelaySocket>,
    closing: Vec<usize>,
    /// Datagrams that closed sockets have missed.
    overflowed: Overflowed,
    /// Whether new relay sockets report ICMP errors.
    icmp_errors: bool,
    /// Whether any relay socket may.
    had_icmp_errors: bool,
    /// The fields of IP headers that relayed datagrams keep: every socket tells them.
    kept_fields: KeptFields,
    /// Whether the kernel may join datagrams of one sender (UDP_GRO). It does that before a program of the kernel sees
    /// them, which could not tell them apart any more.
    joins: bool,
}

impl Sockets {
    /// No sockets yet. `registry` is that of the epoll that will watch them.
    pub(super) const fn new(
        registry: Registry,
        icmp_errors: bool,
        kept_fields: KeptFields,
        joins: bool,
    ) -> Self {
        Self {
            registry,
            listeners: Slab::new(),
            relays: Slab::new(),
            closing: Vec::new(),
            overflowed: Overflowed { listeners: 0, relays: 0 },
            icmp_errors,
            had_icmp_errors: icmp_errors,
            kept_fields,
            joins,
        }
    }

    /// Adds a listening socket and watches it. Returns its number.
    ///
    /// # Errors
    /// If epoll refuses it, or there are too many.
    pub(super) fn listen(&mut self, listener: UdpListener) -> io::Result<u16> {
        let entry = self.listeners.vacant_entry();
        let number = u16::try_from(entry.key()).ok().filter(|n| *n < FIRST_STREAM_LISTENER);
        let number = number.ok_or_else(|| io::Error::other("too many listeners"))?;
        let fd = listener.socket.as_raw_fd();
        self.registry.register(
            &mut SourceFd(&fd),
            Token(usize::from(number)),
            Interest::READABLE,
        )?;
        let v6 = listener.address.is_ipv6();
        // Another process may have listened on it, and have been configured otherwise.
        tell_ip_fields(&listener.socket, v6, self.kept_fields.negated(), self.kept_fields);
        join_datagrams(&listener.socket, self.joins);
        entry.insert(listener);
        Ok(number)
    }

    /// Returns the numbers of a listener's sockets: one for each address family.
    pub(super) fn numbers(&self, id: ListenerId) -> Vec<u16> {
        let sockets = self.listeners.iter().filter(|(_, listener)| listener.id == id);
        sockets.filter_map(|(number, _)| u16::try_from(number).ok()).collect()
    }

    /// Sets what is spoken on a listening socket.
    pub(super) fn set_spoken(&mut self, number: u16, spoken: Spoken) {
        if let Some(listener) = self.listeners.get_mut(usize::from(number)) {
            listener.spoken = spoken;
        }
    }

    /// Closes a listening socket.
    pub(super) fn close_listener(&mut self, number: u16) {
        if let Some(listener) = self.listeners.try_remove(usize::from(number)) {
            self.overflowed.listeners += u64::from(overflowed(&listener.socket));
            let fd = listener.socket.as_raw_fd();
            // Closing the descriptor removes it from epoll too, so an error here changes nothing.
            let _ = self.registry.deregister(&mut SourceFd(&fd));
        }
    }

    /// Sets whether relay sockets that are opened from now on report ICMP errors.
    pub(super) const fn set_icmp_errors(&mut self, on: bool) {
        self.icmp_errors = on;
        // Errors that wait on sockets opened before still have to be read.
        self.had_icmp_errors |= on;
    }

    /// Returns true if relay sockets may have ICMP errors to be read.
    pub(super) const fn have_icmp_errors(&self) -> bool {
        self.had_icmp_errors
    }

    /// Sets which fields of IP headers relayed datagrams keep.
    pub(super) fn set_kept_fields(&mut self, kept: KeptFields) {
        for (_, listener) in &self.listeners {
            let v6 = listener.address.is_ipv6();
            tell_ip_fields(&listener.socket, v6, self.kept_fields, kept);
        }
        self.relays.iter_mut().for_each(|(_, relay)| relay.tell(kept));
        self.kept_fields = kept;
    }

    /// Returns which fields of IP headers relayed datagrams keep.
    pub(super) const fn kept_fields(&self) -> KeptFields {
        self.kept_fields
    }

    pub(super) const fn listeners(&self) -> &UdpListeners {
        &self.listeners
    }

    pub(super) fn listener(&self, number: u16) -> Option<&UdpListener> {
        self.listeners.get(usize::from(number))
    }

    pub(super) fn relay(&self, RelayId(relay): RelayId) -> Option<&RelaySocket> {
        self.relays.get(relay as usize).filter(|relay| !relay.closing)
    }

    /// Notes whether a socket is in the queue of sockets to be read. Returns true if that has changed.
    pub(super) fn set_queued(&mut self, id: SocketId, queued: bool) -> bool {
        let flag = match id {
            SocketId::Listener(number) => {
                self.listeners.get_mut(usize::from(number)).map(|listener| &mut listener.queued)
            }
            SocketId::Relay(RelayId(relay)) => {
                self.relays.get_mut(relay as usize).map(|relay| &mut relay.queued)
            }
        };
        flag.is_some_and(|flag| std::mem::replace(flag, queued) != queued)
    }

    /// Returns the socket of a number, set to send with or without DF.
    pub(super) fn sender(&self, number: u32, df: bool) -> Option<&UdpSocket> {
        match SocketId::from(Token(number as usize)) {
            SocketId::Listener(number) => self.listener(number).map(|listener| &listener.socket),
            SocketId::Relay(RelayId(relay)) => {
                let relay = self.relays.get(relay as usize)?;
                if relay.dont_fragment.get() != df {
                    // If DF cannot be set, the datagram is sent without it.
                    let _ = dont_fragment(&relay.socket, relay.family == Family::V6, df);
                    relay.dont_fragment.set(df);
                }
                Some(&relay.socket)
            }
        }
    }

    /// Returns how many datagrams the sockets have missed so far. One system call for each socket, so not
    /// to be called for each packet.
    pub(super) fn overflowed(&self) -> Overflowed {
        let listeners =
            self.listeners.iter().map(|(_, listener)| u64::from(overflowed(&listener.socket)));
        let relays = self.relays.iter().map(|(_, relay)| u64::from(overflowed(&relay.socket)));
        Overflowed {
            listeners: self.overflowed.listeners + listeners.sum::<u64>(),
            relays: self.overflowed.relays + relays.sum::<u64>(),
        }
    }

    /// Opens a relay socket and watches it.
    ///
    /// # Errors
    /// If the system refuses one of the steps: which one, and its error.
    pub(super) fn open_relay(
        &mut self,
        owner: AllocationId,
        address: SocketAddr,
    ) -> Result<RelayId, (&'static str, io::Error)> {
        let socket = open_relay(address).map_err(|error| ("open a relay socket", error))?;
        if !self.joins {
            join_datagrams(&socket, false);
        }
        if self.icmp_errors {
            tell_icmp_errors(&socket, address.is_ipv6(), true)
                .map_err(|error| ("ask for ICMP errors", error))?;
        }
        let relay = RelaySocket {
            socket,
            owner,
            family: Family::of(address.ip()),
            dont_fragment: Cell::new(false),
            told: KeptFields::default(),
            queued: false,
            closing: false,
        };
        self.adopt(relay).map_err(|error| ("watch a relay socket", error))
    }

    /// Adds a relay socket, new or from another worker, and watches it. What is already waiting on it will
    /// be read.
    ///
    /// # Errors
    /// If epoll refuses it; it is closed then.
    pub(super) fn adopt(&mut self, mut relay: RelaySocket) -> io::Result<RelayId> {
        relay.tell(self.kept_fields);
        let entry = self.relays.vacant_entry();
        let fd = relay.socket.as_raw_fd();
        let token = Token(FIRST_RELAY + entry.key());
        self.registry.register(&mut SourceFd(&fd), token, Interest::READABLE)?;
        // SAFE: fewer relays than ports.
        #[allow(clippy::cast_possible_truncation)]
        let id = RelayId(entry.key() as u32);
        entry.insert(RelaySocket { queued: false, ..relay });
        Ok(id)
    }

    /// Returns duplicates of the relay sockets, with what they are bound to.
    ///
    /// # Errors
    /// If this process may have no more descriptors.
    pub(super) fn duplicate_relays(&self) -> io::Result<Vec<(SocketAddr, OwnedFd)>> {
        let open = self.relays.iter().filter(|(_, relay)| !relay.closing);
        let duplicate = |relay: &RelaySocket| {
            Ok((relay.socket.local_addr()?, relay.socket.as_fd().try_clone_to_owned()?))
        };
        open.map(|(_, relay)| duplicate(relay)).collect()
    }

    /// Adds a relay socket that another process has had, and watches it.
    ///
    /// # Errors
    /// If the system refuses one of the steps.
    pub(super) fn go_on(
        &mut self,
        owner: AllocationId,
        family: Family,
        socket: UdpSocket,
    ) -> io::Result<RelayId> {
        let v6 = family == Family::V6;
        // That process may have been configured otherwise.
        dont_fragment(&socket, v6, false)?;
        tell_icmp_errors(&socket, v6, self.icmp_errors)?;
        join_datagrams(&socket, self.joins);
        let told = self.kept_fields.negated();
        let dont_fragment = Cell::new(false);
        self.adopt(RelaySocket {
            socket,
            owner,
            family,
            dont_fragment,
            told,
            queued: false,
            closing: false,
        })
    }

    /// Removes a relay socket that moves to another worker.
    pub(super) fn release(&mut self, RelayId(relay): RelayId) -> Option<RelaySocket> {
        let relay = self.relays.try_remove(relay as usize)?;
        let fd = relay.socket.as_raw_fd();
        // If it stayed in this epoll, this worker would wake up for what the other one reads.
        if let Err(error) = self.registry.deregister(&mut SourceFd(&fd)) {
            tracing::debug!(%error, "a relay socket that moves to another worker was not in epoll");
        }
        Some(relay)
    }

    /// Sets the allocation that a relay socket belongs to.
    pub(super) fn set_owner(&mut self, RelayId(relay): RelayId, owner: AllocationId) {
        if let Some(relay) = self.relays.get_mut(relay as usize) {
            relay.owner = owner;
        }
    }

    /// Reads nothing from a relay socket any more, and closes it with [`Self::close_given_up`].
    pub(super) fn give_up(&mut self, RelayId(relay): RelayId) {
        if let Some(socket) = self.relays.get_mut(relay as usize) {
            socket.closing = true;
            self.closing.push(relay as usize);
        }
    }

    /// Closes the relay sockets that were given up. Called once nothing waits to leave by them.
    pub(super) fn close_given_up(&mut self) {
        for relay in self.closing.drain(..) {
            if let Some(relay) = self.relays.try_remove(relay) {
                self.overflowed.relays += u64::from(overflowed(&relay.socket));
                let fd = relay.socket.as_raw_fd();
                // As in `close_listener`.
                let _ = self.registry.deregister(&mut SourceFd(&fd));
            }
        }
    }
}
