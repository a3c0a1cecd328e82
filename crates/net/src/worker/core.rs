//! What the tasks of a worker share.

use std::cell::{Cell, RefCell, RefMut};
use std::io;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::stream_listeners::StreamListeners;
use crate::clock::Clock;
use crate::engine::Engine;
use crate::handshakes::Gate;
use crate::mailbox::OtherWorkers;
use crate::reception::Reception;
use crate::shared::Shared;
use crate::tcp_relay::unbound::UnboundPeers;
use crate::udp_loop::UdpLoop;
use taciturn_turn::policy::Connections;

/// Turns of connections without an allocation before the worker looks at its sockets.
const STRANGERS_A_ROUND: u32 = 8;

/// Bytes that a connection reads at a time.
const READ_BUFFER: usize = 64 * 1024;

/// A worker as its tasks share it: the one that serves the sockets, one for each connection, and the one that
/// carries out commands. No borrow of the engine outlives a call.
#[derive(Debug)]
pub(crate) struct Core {
    pub(super) engine: RefCell<Engine>,
    pub(super) udp: RefCell<UdpLoop>,
    /// Limits the handshakes of TLS and DTLS.
    pub(super) handshakes: Rc<Gate>,
    read_buffer: RefCell<Box<[u8]>>,
    /// How many connections without an allocation may still have a turn in this round.
    strangers: Cell<u32>,
    /// Wakes the loop that serves the sockets.
    pub(super) wake: Arc<Notify>,
    pub(super) connections: Arc<Connections>,
    pub(super) reception: Arc<Reception>,
    pub(super) stream_listeners: RefCell<StreamListeners>,
}

impl Core {
    /// A worker without sockets.
    ///
    /// # Errors
    /// If the system refuses a descriptor.
    pub(crate) fn new(
        clock: Clock,
        shared: &Shared,
        unbound: Arc<UnboundPeers>,
        workers: OtherWorkers,
    ) -> io::Result<Rc<Self>> {
        let limit = Arc::clone(&shared.handshakes);
        let handshakes = Rc::new(Gate::new(clock, limit, Arc::clone(&shared.rules.answers)));
        let udp = UdpLoop::new(clock, shared.wake_delay)?;
        let registry = udp.poll().registry().try_clone()?;
        let engine = Engine::new(clock, registry, shared, unbound, workers, Rc::clone(&handshakes));
        let wake = engine.wake();
        let core = Rc::new(Self {
            engine: RefCell::new(engine),
            udp: RefCell::new(udp),
            handshakes,
            read_buffer: RefCell::new(vec![0; READ_BUFFER].into()),
            strangers: Cell::new(u32::MAX),
            wake,
            reception: Arc::clone(&shared.reception),
            connections: Arc::clone(&shared.connections),
            stream_listeners: RefCell::default(),
        });
        let weak: Weak<Self> = Rc::downgrade(&core);
        core.engine.borrow_mut().report_peers_to(weak);
        Ok(core)
    }

    /// Serves what has arrived on the UDP sockets. Returns true if there is more.
    ///
    /// # Errors
    /// Those of epoll.
    pub(super) fn turn(&self) -> io::Result<bool> {
        self.udp.borrow_mut().turn(&mut self.engine.borrow_mut())
    }

    /// Returns how long to sleep before the next turn, rather than wait for the sockets.
    pub(super) fn nap(&self) -> Option<Duration> {
        self.udp.borrow_mut().nap()
    }

    /// Begins a round of the tasks of connections.
    pub(super) fn begin_round(&self) {
        self.strangers.set(STRANGERS_A_ROUND);
    }

    /// Returns true if one more connection without an allocation may have its turn in this round. Otherwise it
    /// waits for the next, so that many of them do not keep the worker from its sockets.
    pub(super) fn admits_stranger(&self) -> bool {
        let left = self.strangers.get();
        self.strangers.set(left.saturating_sub(1));
        left > 0
    }

    /// Returns the buffer to read into, for the turn of one connection. All share it: a connection that waits for its
    /// client holds none.
    pub(super) fn read_buffer(&self) -> RefMut<'_, Box<[u8]>> {
        self.read_buffer.borrow_mut()
    }
}
