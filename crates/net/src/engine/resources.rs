//! What a worker has besides the protocol's state: sockets, clients, and what is counted and logged.

use std::sync::Arc;

use crate::batch::egress::Egress;
use crate::carry::CarriedSockets;
use crate::clients::Clients;
use crate::counters::{EventCounts, Snapshot};
use crate::entrances::Entrances;
use crate::event_log::EventLog;
use crate::kernel_path::KernelPath;
use crate::mailbox::OtherWorkers;
use crate::sockets::Sockets;
use crate::tcp_relay::TcpRelays;
use crate::usage::UsageSink;
use taciturn_turn::clock::Tick;

/// All that the calls into a shard act upon.
#[derive(Debug)]
pub(crate) struct Resources {
    pub(crate) sockets: Sockets,
    pub(crate) clients: Clients,
    /// Datagrams that wait for the end of the batch.
    pub(crate) egress: Egress,
    /// The sockets of TCP allocations, and their connections to peers.
    pub(crate) tcp: TcpRelays,
    pub(crate) workers: OtherWorkers,
    /// The channels that the kernel relays, if it relays any.
    pub(crate) kernel: Option<KernelPath>,
    /// The sockets of another process, while this one takes over what it has had.
    pub(crate) carried: Option<CarriedSockets>,
    /// Which realms the clients of listeners get.
    pub(crate) entrances: Arc<Entrances>,
    pub(crate) log: EventLog,
    pub(crate) events: EventCounts,
    /// Who takes the records of what sessions have used.
    pub(crate) usage: Option<Arc<dyn UsageSink>>,
}

impl Resources {
    /// Sends all that a batch has led to, then closes the sockets that the shard has given up. `bytes` are those
    /// that the batch was read into.
    #[inline]
    pub(super) fn flush(&mut self, now: Tick, bytes: &[u8]) {
        let Self { sockets, clients, egress, .. } = self;
        egress.set_now(now);
        egress.flush(bytes, |number, df| sockets.sender(number, df));
        clients.flush(now, sockets.listeners());
        sockets.close_given_up();
    }

    /// Adds what is counted here to `snapshot`.
    pub(super) fn count(&self, snapshot: &mut Snapshot) {
        snapshot.events = self.events.clone();
        snapshot.unsent = self.egress.statistics.failed;
        snapshot.unsent.add_all(&self.clients.lost());
        snapshot.overflowed = self.sockets.overflowed();
    }
}
