//! What a snapshot holds, as it is written.
//!
//! This is the format: a field that is added, moved or taken away here, or in a type that is named here, makes
//! it another one (`super::envelope` has the number). Only at the end of a [`Record`] may fields be added that
//! a reader of today can do without.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use borsh::{BorshDeserialize, BorshSerialize};

use super::wire::{self, Record, Secret, Trailing};
use crate::auth::Origin;
use crate::clock::Remaining;
use crate::policy::{LeasedPort, PortsSnapshot, Spent, SpentByTenant, SpentByUser};
use crate::traffic::Traffic;
use crate::types::{Carrier, Client, ConnectionId, PeerAddr, ShardNumber};
use crate::user::UserId;
use taciturn_stun::{ChannelNumber, ErrorCode, Family, LongTermKey, TransactionId};

/// When a snapshot was taken, in milliseconds: in ticks of the process, and since the system started.
#[derive(Debug, BorshSerialize, BorshDeserialize)]
pub(crate) struct TakenRecord {
    pub(crate) tick: u64,
    pub(crate) boot: u64,
}

/// What all shards share.
#[derive(Debug, BorshSerialize, BorshDeserialize)]
pub(crate) struct SharedRecord {
    pub(crate) nonces: NoncesRecord,
    pub(crate) ticket_key: Secret,
    /// The number of the allocation that was the last to become mobile.
    pub(crate) last_mobile: u64,
    pub(crate) ports: PortsSnapshot,
    /// What users have spent of their rates.
    pub(crate) spent: Vec<SpentByUser>,
    /// What all have spent together.
    pub(crate) spent_in_all: Spent,
    /// What tenants have spent.
    #[borsh(deserialize_with = "wire::added::read")]
    pub(crate) spent_by_tenants: Vec<SpentByTenant>,
}

/// The keys of nonces, and the clock that nonces are dated by.
#[derive(Debug, BorshSerialize, BorshDeserialize)]
pub(crate) struct NoncesRecord {
    pub(crate) current: Secret,
    pub(crate) previous: Secret,
    /// Milliseconds on the clock of the nonces: when the current key was made, and now.
    pub(crate) since: u64,
    pub(crate) now: u64,
}

/// What one shard has.
#[derive(Debug, BorshSerialize, BorshDeserialize)]
pub(crate) struct ShardRecord {
    pub(crate) intake: Record<IntakeRecord>,
    pub(crate) allocations: Vec<Record<AllocationRecord>>,
    pub(crate) moves: Vec<Record<MoveRecord>>,
    pub(crate) ended: Vec<Record<EndedRecord>>,
}

/// Whether new allocations are created.
#[derive(Debug, BorshSerialize, BorshDeserialize)]
pub(crate) struct IntakeRecord {
    pub(crate) draining: bool,
    /// Listeners that take no new clients, by their numbers on this shard.
    pub(crate) retired: Vec<u16>,
}

/// One allocation.
#[derive(Debug, BorshSerialize, BorshDeserialize)]
pub(crate) struct AllocationRecord {
    pub(crate) client: Client,
    /// Whether nothing can be sent to its client, which may come back.
    pub(crate) is_away: bool,
    pub(crate) carrier: Carrier,
    pub(crate) username: UserId,
    /// Whose place in the quota it has.
    pub(crate) quota: UserId,
    #[borsh(serialize_with = "wire::key::write", deserialize_with = "wire::key::read")]
    pub(crate) key: LongTermKey,
    pub(crate) credential_expires: Option<u64>,
    pub(crate) origin: Option<Origin>,
    pub(crate) spent: Spent,
    /// IPv4 and IPv6.
    pub(crate) relays: [Option<RelayRecord>; 2],
    #[borsh(serialize_with = "wire::age::write", deserialize_with = "wire::age::read")]
    pub(crate) age: Duration,
    #[borsh(serialize_with = "wire::age::write", deserialize_with = "wire::age::read")]
    pub(crate) idle: Duration,
    pub(crate) left: Remaining,
    pub(crate) granted: GrantedRecord,
    pub(crate) permissions: Vec<PermissionRecord>,
    pub(crate) traffic: Traffic,
    /// How long it is until each of these budgets is whole again.
    pub(crate) answers: Remaining,
    pub(crate) requests: Remaining,
    pub(crate) kind: KindRecord,
    /// A writer that keeps no records, or knows of none, has none.
    pub(crate) account: Trailing<AccountRecord>,
}

/// What was recorded of the use of an allocation.
#[derive(Clone, Debug, BorshSerialize, BorshDeserialize)]
pub(crate) struct AccountRecord {
    pub(crate) process: u64,
    pub(crate) number: u64,
    /// In seconds since 1970.
    pub(crate) began: u64,
    pub(crate) records: u32,
    pub(crate) recorded: Traffic,
    #[borsh(serialize_with = "wire::age::write", deserialize_with = "wire::age::read")]
    pub(crate) age: Duration,
}

#[derive(Debug, BorshSerialize, BorshDeserialize)]
pub(crate) enum KindRecord {
    Udp { channels: ChannelsRecord, mobility: Option<MobilityRecord> },
    Tcp { connections: Vec<PeerConnectionRecord> },
}

#[derive(Clone, Copy, Debug, BorshSerialize, BorshDeserialize)]
pub(crate) struct RelayRecord {
    pub(crate) lease: LeasedPort,
    #[borsh(serialize_with = "wire::address::write", deserialize_with = "wire::address::read")]
    pub(crate) public: SocketAddr,
    #[borsh(serialize_with = "wire::address::write", deserialize_with = "wire::address::read")]
    pub(crate) local: SocketAddr,
}

#[derive(Debug, BorshSerialize, BorshDeserialize)]
pub(crate) struct GrantedRecord {
    #[borsh(
        serialize_with = "wire::transaction::write",
        deserialize_with = "wire::transaction::read"
    )]
    pub(crate) by: TransactionId,
    pub(crate) lifetime: u32,
    pub(crate) token: Option<[u8; 8]>,
    #[borsh(
        serialize_with = "wire::address_error::write",
        deserialize_with = "wire::address_error::read"
    )]
    pub(crate) address_error: Option<(Family, ErrorCode)>,
}

#[derive(Clone, Copy, Debug, BorshSerialize, BorshDeserialize)]
pub(crate) struct PermissionRecord {
    pub(crate) ip: IpAddr,
    pub(crate) left: Remaining,
}

#[derive(Debug, Default, BorshSerialize, BorshDeserialize)]
pub(crate) struct ChannelsRecord {
    pub(crate) bound: Vec<ChannelRecord>,
    /// Those that have ended, and how long they are kept.
    pub(crate) guard: Vec<ChannelRecord>,
}

#[derive(Clone, Copy, Debug, BorshSerialize, BorshDeserialize)]
pub(crate) struct ChannelRecord {
    #[borsh(serialize_with = "wire::channel::write", deserialize_with = "wire::channel::read")]
    pub(crate) number: ChannelNumber,
    pub(crate) peer: PeerAddr,
    pub(crate) left: Remaining,
}

/// Where an allocation may move.
#[derive(Debug, BorshSerialize, BorshDeserialize)]
pub(crate) struct MobilityRecord {
    pub(crate) id: u64,
    pub(crate) serial: u32,
    pub(crate) issued: u32,
    pub(crate) arriving: Option<(ShardNumber, Client)>,
    /// Until the deadline that all shards know of.
    pub(crate) left: Remaining,
    pub(crate) released: bool,
}

#[derive(Debug, BorshSerialize, BorshDeserialize)]
pub(crate) struct PeerConnectionRecord {
    pub(crate) id: ConnectionId,
    pub(crate) peer: PeerAddr,
    pub(crate) stage: StageRecord,
}

#[derive(Debug, BorshSerialize, BorshDeserialize)]
pub(crate) enum StageRecord {
    Connecting { request: ConnectRecord, left: Remaining },
    Unbound { left: Remaining },
    Bound,
}

/// A Connect request that waits for its answer.
#[derive(Debug, BorshSerialize, BorshDeserialize)]
pub(crate) struct ConnectRecord {
    #[borsh(
        serialize_with = "wire::transaction::write",
        deserialize_with = "wire::transaction::read"
    )]
    pub(crate) tid: TransactionId,
    pub(crate) fingerprint: bool,
    #[borsh(serialize_with = "wire::key::write", deserialize_with = "wire::key::read")]
    pub(crate) key: LongTermKey,
    pub(crate) sha256: bool,
}

/// A 5-tuple that an allocation is to move to.
#[derive(Debug, BorshSerialize, BorshDeserialize)]
pub(crate) struct MoveRecord {
    pub(crate) client: Client,
    pub(crate) mobile: u64,
}

/// A request that ended an allocation.
#[derive(Debug, BorshSerialize, BorshDeserialize)]
pub(crate) struct EndedRecord {
    pub(crate) client: Client,
    #[borsh(
        serialize_with = "wire::transaction::write",
        deserialize_with = "wire::transaction::read"
    )]
    pub(crate) tid: TransactionId,
    pub(crate) left: Remaining,
}

impl AllocationRecord {
    pub(crate) const fn mobility(&self) -> Option<&MobilityRecord> {
        match &self.kind {
            KindRecord::Udp { mobility, .. } => mobility.as_ref(),
            KindRecord::Tcp { .. } => None,
        }
    }

    pub(crate) const fn is_tcp(&self) -> bool {
        matches!(self.kind, KindRecord::Tcp { .. })
    }

    /// What is left of it: a Refresh may have come to another shard.
    pub(crate) fn left(&self) -> Remaining {
        self.mobility().map_or(self.left, |mobility| mobility.left.max(self.left))
    }

    /// The relayed transport addresses: IPv4 and IPv6.
    pub(crate) fn relayed_addresses(&self) -> [Option<SocketAddr>; 2] {
        self.relays.map(|relay| relay.map(|relay| relay.public))
    }

    /// The relayed transport address that logs name it by.
    pub(crate) fn relayed(&self) -> Option<SocketAddr> {
        self.relays.iter().flatten().next().map(|relay| relay.public)
    }
}
