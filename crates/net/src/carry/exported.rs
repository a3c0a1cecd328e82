//! What the workers of this process have, for another one.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::time::Duration;

use taciturn_handover::{Entry, Name, Snapshot as State, Transport};
use taciturn_turn::Rules;
use taciturn_turn::clock::Tick;
use taciturn_turn::snapshot::{ShardSnapshot, Snapshot, Taken};

use super::record::{ClientRecord, ListenerRecord, PeerRecord, Record, WorkerRecord};
use super::since_boot;

/// Sockets with their names, and the bytes that are between each and the server.
pub(crate) type NamedSockets = Vec<(Entry, OwnedFd)>;

/// What one worker has. The descriptors are duplicates: the worker can go on with its own.
#[derive(Debug)]
pub(crate) struct WorkerExport {
    pub(crate) shard: ShardSnapshot,
    /// In the order of their numbers.
    pub(crate) listeners: Vec<(ListenerRecord, OwnedFd)>,
    /// All other sockets.
    pub(crate) sockets: NamedSockets,
    pub(crate) clients: Vec<ClientRecord>,
    pub(crate) peers: Vec<PeerRecord>,
    /// Relay ports of the allocations that are not in it.
    pub(crate) left: Vec<(bool, u16)>,
    /// For how long no packet was relayed because of it.
    pub(crate) took: Duration,
}

/// What all workers have, for another process. The descriptors are duplicates.
#[derive(Debug)]
pub struct Exported {
    sockets: NamedSockets,
    snapshot: Snapshot,
    record: Record,
    took: Duration,
}

impl Exported {
    /// Puts together what the workers have, in the order of their numbers. It was exported at `now`.
    pub(crate) fn new(rules: &Rules, now: Tick, workers: Vec<WorkerExport>) -> Self {
        let taken = Taken { tick: now, boot: since_boot() };
        let names = listener_names(&workers);
        let (mut sockets, mut shards, mut record) = (Vec::new(), Vec::new(), Record::default());
        let mut took = Duration::ZERO;
        for (worker, names) in workers.into_iter().zip(names) {
            took = took.max(worker.took);
            shards.push(worker.shard);
            let (listeners, descriptors): (Vec<_>, Vec<_>) = worker.listeners.into_iter().unzip();
            let named = names.into_iter().zip(descriptors);
            sockets.extend(named.filter_map(|(name, fd)| Some((Entry::new(name?), fd))));
            sockets.extend(worker.sockets);
            record.workers.push(WorkerRecord {
                listeners,
                clients: worker.clients,
                peers: worker.peers,
                left: worker.left,
            });
        }
        let snapshot = Snapshot::new(taken, rules.snapshot(now), shards);
        Self { sockets, snapshot, record, took }
    }

    /// Notes how many processes in a row have crashed with this, if this one does as well.
    pub const fn note_crashes(&mut self, crashes: u8) {
        self.record.crashes = crashes;
    }

    /// How many allocations are in it.
    #[must_use]
    pub fn allocations(&self) -> usize {
        self.snapshot.len()
    }

    /// How many allocations stay in this process: those of clients on TLS and DTLS.
    #[must_use]
    pub fn left(&self) -> usize {
        self.record.workers.iter().map(|worker| worker.left.len()).sum()
    }

    /// The relay ports that are in it, each with whether it is of IPv6.
    #[must_use]
    pub fn ports(&self) -> Vec<(bool, u16)> {
        let relays = self.snapshot.sockets().flat_map(|held| held.relays);
        relays.flatten().map(|relay| (relay.is_ipv6(), relay.port())).collect()
    }

    /// For how long the worker that took longest has relayed nothing because of it.
    #[must_use]
    pub const fn took(&self) -> Duration {
        self.took
    }

    /// The state as bytes, which hold keys and are wiped when dropped.
    ///
    /// # Errors
    /// When there is more than can be handed over.
    pub fn state(&self) -> io::Result<State> {
        let snapshot = self.snapshot.write().map_err(io::Error::other)?;
        let mut bytes = self.record.write(&snapshot)?;
        Ok(State::from(std::mem::take(&mut *bytes)))
    }

    /// The sockets, each with its name and the bytes that are between it and the server.
    pub fn sockets(&self) -> impl Iterator<Item = (Entry, BorrowedFd<'_>)> {
        self.sockets.iter().map(|(entry, socket)| (entry.clone(), socket.as_fd()))
    }
}

/// The names of each worker's listening sockets: those of all workers at one address are one group, in their order.
fn listener_names(workers: &[WorkerExport]) -> Vec<Vec<Option<Name>>> {
    let at = |worker: &WorkerExport, is_stream: bool, address: SocketAddr| {
        let same = |listener: &ListenerRecord| {
            (listener.is_stream, listener.address) == (is_stream, address)
        };
        worker.listeners.iter().filter(|(listener, _)| same(listener)).count()
    };
    let name = |number: usize, listener: &ListenerRecord| {
        let (is_stream, address) = (listener.is_stream, listener.address);
        let before: usize =
            workers.iter().take(number).map(|other| at(other, is_stream, address)).sum();
        let all: usize = workers.iter().map(|other| at(other, is_stream, address)).sum();
        let transport = if is_stream { Transport::Tcp } else { Transport::Udp };
        Name::listener(transport, address, u16::try_from(before).ok()?, u16::try_from(all).ok()?)
    };
    let of = |(number, worker): (usize, &WorkerExport)| {
        worker.listeners.iter().map(|(listener, _)| name(number, listener)).collect()
    };
    workers.iter().enumerate().map(of).collect()
}
