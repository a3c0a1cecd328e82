//! A snapshot as a whole: put together of what shards and their rules give, written, read, and divided up
//! again.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use borsh::{BorshDeserialize, BorshSerialize};
use zeroize::Zeroizing;

use super::check::check;
use super::envelope::{open, read_body, seal};
use super::error::SnapshotError;
use super::records::{
    AllocationRecord, KindRecord, MobilityRecord, MoveRecord, ShardRecord, SharedRecord,
    TakenRecord,
};
use super::share::Share;
use super::wire::Record;
use crate::clock::{TakeOver, Tick};
use crate::types::{Client, ConnectionId, ShardNumber};

/// When a snapshot was taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// In ticks of the process that took it. If the ticks of the next process go on from there, ages of
    /// allocations stay right, however long they are.
    pub tick: Tick,
    /// Since the system started, on a clock that goes on while it sleeps (CLOCK_BOOTTIME): both processes
    /// have it.
    pub boot: Duration,
}

impl Taken {
    /// The moment at which another process takes over, given its own ticks and the clock that both have.
    #[must_use]
    pub const fn take_over(&self, now: Tick, boot: Duration) -> TakeOver {
        TakeOver { now, passed: boot.saturating_sub(self.boot) }
    }
}

/// What all shards share, from [`Rules::snapshot`](crate::Rules::snapshot).
#[derive(Debug)]
pub struct SharedSnapshot(pub(crate) SharedRecord);

/// What one shard has, from [`Shard::snapshot`](crate::Shard::snapshot).
#[derive(Debug)]
pub struct ShardSnapshot(pub(crate) ShardRecord);

/// What a server holds at some moment, for another process.
///
/// It contains keys. `Debug` shows none of them, and all are wiped when it is dropped.
#[derive(Debug)]
pub struct Snapshot {
    taken: Taken,
    writer: String,
    shared: SharedRecord,
    /// In the order of their numbers.
    shards: Vec<ShardRecord>,
}

/// What is written: all of it, in this order.
#[derive(BorshSerialize)]
struct Written<'a> {
    taken: Record<TakenRecord>,
    shared: Record<&'a SharedRecord>,
    shards: &'a [ShardRecord],
}

/// The same, read.
#[derive(BorshDeserialize)]
struct Read {
    taken: Record<TakenRecord>,
    shared: Record<SharedRecord>,
    shards: Vec<ShardRecord>,
}

/// The sockets of one allocation, by which whoever hands them over knows them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldSockets {
    /// The shard that the allocation was on.
    pub shard: ShardNumber,
    /// Its client there; `None` where the client's connection was gone.
    pub client: Option<Client>,
    /// What its relay sockets are bound to: IPv4 and IPv6.
    pub relays: [Option<SocketAddr>; 2],
    /// Whether they listen for TCP connections (RFC 6062).
    pub is_tcp: bool,
    /// Its peer connections.
    pub connections: Vec<ConnectionId>,
}

impl Snapshot {
    /// Puts one together. `shards` are in the order of their numbers, which begin with 0.
    #[must_use]
    pub fn new(
        taken: Taken,
        SharedSnapshot(shared): SharedSnapshot,
        shards: Vec<ShardSnapshot>,
    ) -> Self {
        let shards = shards.into_iter().map(|ShardSnapshot(shard)| shard).collect();
        Self { taken, writer: env!("CARGO_PKG_VERSION").to_owned(), shared, shards }
    }

    /// The snapshot as bytes, which another version of this program can read. They hold keys, and are wiped
    /// when dropped; whoever copies them has to wipe the copy.
    ///
    /// # Errors
    /// When it is longer than a snapshot may be.
    pub fn write(&self) -> Result<Zeroizing<Vec<u8>>, SnapshotError> {
        let millis = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        let taken = TakenRecord { tick: self.taken.tick.0, boot: millis(self.taken.boot) };
        let written =
            Written { taken: Record(taken), shared: Record(&self.shared), shards: &self.shards };
        seal(env!("CARGO_PKG_VERSION"), &written)
    }

    /// Reads what another process has written, and holds that all of it can be right. So what is read can be
    /// restored, apart from what has changed around it.
    ///
    /// # Errors
    /// When the bytes are not whole, not as they were written, of a newer format, or say what cannot be.
    pub fn read(bytes: &[u8]) -> Result<Self, SnapshotError> {
        let opened = open(bytes)?;
        let writer = opened.version.to_owned();
        let Read { taken, shared, shards } = read_body(opened.body)?;
        check(&shared.0, &shards).map_err(|what| SnapshotError::Invalid(what.to_owned()))?;
        let Record(TakenRecord { tick, boot }) = taken;
        let taken = Taken { tick: Tick(tick), boot: Duration::from_millis(boot) };
        Ok(Self { taken, writer, shared: shared.0, shards })
    }

    /// When it was taken.
    #[must_use]
    pub const fn taken(&self) -> Taken {
        self.taken
    }

    /// The version of the program that wrote it.
    #[must_use]
    pub fn writer(&self) -> &str {
        &self.writer
    }

    /// How many shards there were.
    #[must_use]
    pub fn shards(&self) -> usize {
        self.shards.len()
    }

    /// How many allocations there are in it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.allocations.len()).sum()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the server created no new allocations.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.shards.iter().any(|shard| shard.intake.0.draining)
    }

    /// The listeners that were removed and still had clients, by their numbers there: each with the shard.
    #[must_use]
    pub fn retired_listeners(&self) -> BTreeSet<(ShardNumber, u16)> {
        let of = |(number, shard): (ShardNumber, &ShardRecord)| {
            let retired = shard.intake.0.retired.clone();
            retired.into_iter().map(move |listener| (number, listener))
        };
        numbered(self.shards.iter()).flat_map(of).collect()
    }

    /// The sockets of all allocations.
    pub fn sockets(&self) -> impl Iterator<Item = HeldSockets> {
        numbered(self.shards.iter()).flat_map(|(shard, record)| {
            record.allocations.iter().map(move |Record(allocation)| held(shard, allocation))
        })
    }

    /// Divides it up: what all shards share, and a part for each of `shards` shards, in the order of their
    /// numbers.
    ///
    /// `place` returns the shard that the packets of a client come to from now on, and how the client is named
    /// there; `None` if it is gone, or is not taken over. It is asked for each 5-tuple, some of them several
    /// times, with the shard that they were on.
    #[must_use]
    pub fn divide(
        self,
        shards: u16,
        mut place: impl FnMut(ShardNumber, Client) -> Option<(ShardNumber, Client)>,
    ) -> (SharedSnapshot, Vec<Share>) {
        let count = shards.max(1);
        let mut place = |shard: ShardNumber, client| {
            let (shard, client) = place(shard, client)?;
            (shard.0 < count).then_some((shard, client))
        };
        let mut shares: Vec<_> = (0..count).map(|_| Share::default()).collect();
        for (number, shard) in numbered(self.shards.into_iter()) {
            let anywhere = ShardNumber(number.0 % count);
            for Record(mut allocation) in shard.allocations {
                if let KindRecord::Udp { mobility: Some(mobility), .. } = &mut allocation.kind {
                    place_arriving(mobility, &mut place);
                }
                let there = match allocation.is_away {
                    true => None,
                    false => place(number, allocation.client),
                };
                let at = there.map_or(anywhere, |(shard, _)| shard);
                let client = there.map(|(_, client)| client);
                share_of(&mut shares, at, |share| share.add_allocation(allocation, client));
            }
            for Record(expected) in shard.moves {
                if let Some((at, client)) = place(number, expected.client) {
                    let expected = MoveRecord { client, ..expected };
                    share_of(&mut shares, at, |share| share.moves.push(expected));
                }
            }
            for Record(mut ended) in shard.ended {
                if let Some((at, client)) = place(number, ended.client) {
                    ended.client = client;
                    share_of(&mut shares, at, |share| share.ended.push(ended));
                }
            }
        }
        (SharedSnapshot(self.shared), shares)
    }
}

fn share_of(shares: &mut [Share], at: ShardNumber, add: impl FnOnce(&mut Share)) {
    if let Some(share) = shares.get_mut(usize::from(at.0)) {
        add(share);
    }
}

fn place_arriving(
    mobility: &mut MobilityRecord,
    place: impl FnOnce(ShardNumber, Client) -> Option<(ShardNumber, Client)>,
) {
    mobility.arriving = mobility.arriving.and_then(|(shard, client)| place(shard, client));
}

/// Each with its number; there are no more than there are numbers.
fn numbered<T>(shards: impl Iterator<Item = T>) -> impl Iterator<Item = (ShardNumber, T)> {
    (0..=u16::MAX).map(ShardNumber).zip(shards)
}

fn held(shard: ShardNumber, allocation: &AllocationRecord) -> HeldSockets {
    let connections = match &allocation.kind {
        KindRecord::Udp { .. } => Vec::new(),
        KindRecord::Tcp { connections } => connections.iter().map(|known| known.id).collect(),
    };
    HeldSockets {
        shard,
        client: (!allocation.is_away).then_some(allocation.client),
        relays: allocation.relays.map(|relay| relay.map(|relay| relay.local)),
        is_tcp: allocation.is_tcp(),
        connections,
    }
}
