//! What must hold of what was read, before any of it is restored.

use std::collections::HashSet;

use super::records::{
    AllocationRecord, ChannelsRecord, KindRecord, MobilityRecord, RelayRecord, ShardRecord,
    SharedRecord,
};
use crate::ended_requests::REMEMBERED;
use crate::traffic::Traffic;
use crate::types::Client;
use taciturn_stun::Family;

/// As many as the configuration allows of each at the most.
const PERMISSIONS: usize = 65_536;
const CHANNELS: usize = 4096;
const PEER_CONNECTIONS: usize = 65_536;

/// Listeners that were removed, on one shard: their numbers have 16 bits.
const LISTENERS: usize = 65_536;

/// Numbers that are counted up go on without an end in sight.
const FAR: u64 = 1 << 62;

/// Holds that the records of all shards can be of one server.
pub(super) fn check(shared: &SharedRecord, shards: &[ShardRecord]) -> Result<(), &'static str> {
    let mobile = shards.iter().flat_map(|shard| &shard.allocations);
    let mut ids = mobile.filter_map(|record| record.0.mobility()).map(|mobility| mobility.id);
    if shared.last_mobile > FAR || ids.any(|id| id > shared.last_mobile) {
        return Err("the number of an allocation that may move was never given out");
    }
    if shards.len() > 1 + usize::from(u16::MAX) {
        return Err("too many shards");
    }
    shards.iter().try_for_each(|shard| check_shard(shard, shards.len()))
}

fn check_shard(shard: &ShardRecord, shards: usize) -> Result<(), &'static str> {
    let ShardRecord { intake, allocations, moves: _, ended } = shard;
    if intake.0.retired.len() > LISTENERS {
        return Err("too many listeners");
    }
    if ended.len() > REMEMBERED {
        return Err("too many requests that ended something");
    }
    let mut clients: HashSet<Client> = HashSet::with_capacity(allocations.len());
    for record in allocations {
        check_allocation(&record.0, shards)?;
        if !record.0.is_away && !clients.insert(record.0.client) {
            return Err("a client has two allocations");
        }
    }
    Ok(())
}

fn check_allocation(allocation: &AllocationRecord, shards: usize) -> Result<(), &'static str> {
    check_relays(allocation)?;
    if allocation.granted.lifetime == 0 {
        return Err("an allocation was never granted");
    }
    let Traffic { packets_to_peers, bytes_to_peers, packets_to_client, bytes_to_client } =
        allocation.traffic;
    let counts = [packets_to_peers, bytes_to_peers, packets_to_client, bytes_to_client];
    if counts.iter().any(|count| *count > FAR) {
        return Err("an allocation has relayed too much");
    }
    if allocation.is_away && allocation.mobility().is_none() {
        return Err("an allocation that cannot move has no client");
    }
    let ips = &allocation.permissions;
    if ips.len() > PERMISSIONS || !ips.is_sorted_by(|one, next| one.ip < next.ip) {
        return Err("permissions are not in order");
    }
    match &allocation.kind {
        KindRecord::Udp { channels, mobility } => {
            check_channels(channels)?;
            mobility.as_ref().map_or(Ok(()), |mobility| check_mobility(mobility, shards))
        }
        KindRecord::Tcp { connections } => {
            let ids: HashSet<_> = connections.iter().map(|known| known.id).collect();
            match connections.len() <= PEER_CONNECTIONS && ids.len() == connections.len() {
                true if allocation.client.via.is_tcp() => Ok(()),
                true => Err("a client without a connection has an allocation for TCP"),
                false => Err("two peer connections have the same number"),
            }
        }
    }
}

fn check_relays(allocation: &AllocationRecord) -> Result<(), &'static str> {
    let [v4, v6] = &allocation.relays;
    let fits = |relay: &RelayRecord, is_ipv4: bool| {
        let addresses = [relay.public, relay.local];
        let on_port =
            |port| addresses.iter().all(|at| at.port() == port && at.is_ipv4() == is_ipv4);
        (relay.lease.family == Family::V4) == is_ipv4 && on_port(relay.lease.port)
    };
    let all_fit =
        v4.is_none_or(|relay| fits(&relay, true)) && v6.is_none_or(|relay| fits(&relay, false));
    match (all_fit, v4, v6) {
        (true, None, None) => Err("an allocation has no relayed transport address"),
        (true, ..) => Ok(()),
        (false, ..) => Err("a relayed transport address and its port do not fit"),
    }
}

fn check_channels(channels: &ChannelsRecord) -> Result<(), &'static str> {
    let ChannelsRecord { bound, guard } = channels;
    let peers: HashSet<_> = bound.iter().map(|channel| channel.peer).collect();
    let in_order = bound.is_sorted_by(|one, next| one.number < next.number);
    match bound.len() <= CHANNELS && guard.len() <= 2 * CHANNELS {
        true if in_order && peers.len() == bound.len() => Ok(()),
        true => Err("a channel or its peer is bound twice"),
        false => Err("too many channels"),
    }
}

fn check_mobility(mobility: &MobilityRecord, shards: usize) -> Result<(), &'static str> {
    match mobility.arriving {
        Some((shard, _)) if usize::from(shard.0) >= shards => {
            Err("an allocation is to move to a shard that there is not")
        }
        _ => Ok(()),
    }
}
