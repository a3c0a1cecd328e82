//! What another process had, for this one to go on with.

use std::collections::BTreeMap;

use taciturn_handover::{Claimed, Held, Name};
use taciturn_turn::Rules;
use taciturn_turn::clock::{TakeOver, Tick};
use taciturn_turn::snapshot::{Snapshot, SnapshotError};

use super::divided::{Division, Share};
use super::groups::Groups;
use super::record::{Record, RecordError};
use super::since_boot;
use crate::listener::bind::Numbers;

/// Why what another process had cannot be used. Nothing of it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CarriedError {
    /// There is no state among it.
    #[error("no state came with the sockets")]
    Stateless,
    /// The list of sockets cannot be read.
    #[error("{0}")]
    Record(String),
    /// The state of the protocol cannot be read.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The two do not fit.
    #[error("its parts do not fit together: {workers} workers and {shards} shards")]
    Workers {
        /// In the list of sockets.
        workers: usize,
        /// In the state.
        shards: usize,
    },
}

impl From<RecordError> for CarriedError {
    fn from(error: RecordError) -> Self {
        Self::Record(error.to_string())
    }
}

/// What another process had: its state, and its sockets by their names.
#[derive(Debug)]
pub struct Carried {
    pub(super) snapshot: Snapshot,
    pub(super) record: Record,
    pub(super) held: BTreeMap<Name, Held>,
}

impl Carried {
    /// Reads what was claimed of another process. Nothing has changed by that.
    ///
    /// # Errors
    /// When the state is not whole, of a later release, or says what cannot be.
    pub fn read(claimed: Claimed) -> Result<(Self, Groups), CarriedError> {
        let state = claimed.snapshot.ok_or(CarriedError::Stateless)?;
        let (record, snapshot) = Record::read(&state)?;
        let snapshot = Snapshot::read(snapshot)?;
        let (workers, shards) = (record.workers.len(), snapshot.shards());
        if workers != shards {
            return Err(CarriedError::Workers { workers, shards });
        }
        let held = claimed.held.into_iter().map(|held| (held.name, held)).collect();
        Ok((Self { snapshot, record, held }, Groups::new(claimed.groups)))
    }

    /// The release that wrote it.
    #[must_use]
    pub fn writer(&self) -> &str {
        self.snapshot.writer()
    }

    /// How many processes in a row have crashed with this.
    #[must_use]
    pub const fn crashes(&self) -> u8 {
        self.record.crashes
    }

    /// The relay ports that the other process goes on using, each with whether it is of IPv6.
    #[must_use]
    pub fn left(&self) -> Vec<(bool, u16)> {
        self.record.workers.iter().flat_map(|worker| worker.left.iter().copied()).collect()
    }

    /// Which tick it is for this process, so that the ticks of the other one go on.
    pub(crate) fn tick(&self) -> Tick {
        let taken = self.snapshot.taken();
        taken.tick + since_boot().saturating_sub(taken.boot)
    }

    /// The moment at which this process takes over.
    pub(crate) fn take_over(&self, now: Tick) -> TakeOver {
        self.snapshot.taken().take_over(now, since_boot())
    }

    /// Restores what all shards share, and divides the rest among `workers` workers that listen on the sockets of
    /// `numbers`.
    pub(crate) fn divide(
        self,
        rules: &mut Rules,
        there: &TakeOver,
        workers: u16,
        numbers: &Numbers,
    ) -> Vec<Share> {
        let Self { snapshot, record, mut held } = self;
        let mut division = Division::new(&record, workers, numbers);
        let clients = division.place_clients(&record, &mut held);
        let (shared, shares) =
            snapshot.divide(workers, |shard, client| division.place(shard, client));
        rules.restore(shared, there);
        let sockets = division.sockets(&record, held);
        let shares = shares.into_iter().zip(clients);
        shares
            .map(|(shard, clients)| Share {
                shard,
                there: *there,
                sockets: sockets.clone(),
                clients,
            })
            .collect()
    }
}
