//! The maps that the program and the server share.

use std::path::PathBuf;

use aya::Ebpf;
use aya::maps::{Array, HashMap, Map, MapData, MapError};
use aya::pin::PinError;

use super::error::{Error, NotInstalled, words};
use super::layout::{
    Channel4, Channel6, Entries, Flow4, Flow6, Lease, LeaseBytes, MAPS, Peer4, Peer6, Traffic,
    TrafficBytes,
};
use super::stats::Stats;

/// E2BIG: how the kernel says that a table is full.
const FULL: i32 = 7;

/// No packet and no byte.
const NOTHING: TrafficBytes = [0; 40];

/// All maps of one program.
pub(crate) struct Maps {
    channels4: HashMap<MapData, Channel4, Flow4>,
    peers4: HashMap<MapData, Peer4, Flow4>,
    channels6: HashMap<MapData, Channel6, Flow6>,
    peers6: HashMap<MapData, Peer6, Flow6>,
    leases: Array<MapData, LeaseBytes>,
    traffic: Array<MapData, TrafficBytes>,
    alive: Array<MapData, u64>,
    stats: Array<MapData, u64>,
}

impl Maps {
    /// Takes those of a program that was loaded.
    pub(crate) fn of(program: &mut Ebpf) -> Result<Self, Error> {
        Self::named(|name| {
            let none = || Error::Map { name, words: "it is not there".to_owned() };
            program.take_map(name).ok_or_else(none)
        })
    }

    /// Takes each by its name.
    pub(crate) fn named(
        mut take: impl FnMut(&'static str) -> Result<Map, Error>,
    ) -> Result<Self, Error> {
        let [channels4, peers4, channels6, peers6, leases, traffic, alive, stats] = MAPS;
        Ok(Self {
            channels4: take(channels4)?.try_into().map_err(refused(channels4))?,
            peers4: take(peers4)?.try_into().map_err(refused(peers4))?,
            channels6: take(channels6)?.try_into().map_err(refused(channels6))?,
            peers6: take(peers6)?.try_into().map_err(refused(peers6))?,
            leases: take(leases)?.try_into().map_err(refused(leases))?,
            traffic: take(traffic)?.try_into().map_err(refused(traffic))?,
            alive: take(alive)?.try_into().map_err(refused(alive))?,
            stats: take(stats)?.try_into().map_err(refused(stats))?,
        })
    }

    /// Pins each where `place` says for its name.
    pub(crate) fn pin(self, place: impl Fn(&str) -> PathBuf) -> Result<(), Error> {
        let pinned = |name, pinned: Result<(), PinError>| {
            pinned.map_err(|error| Error::Pin { path: place(name), words: words(&error) })
        };
        let [channels4, peers4, channels6, peers6, leases, traffic, alive, stats] = MAPS;
        pinned(channels4, self.channels4.pin(place(channels4)))?;
        pinned(peers4, self.peers4.pin(place(peers4)))?;
        pinned(channels6, self.channels6.pin(place(channels6)))?;
        pinned(peers6, self.peers6.pin(place(peers6)))?;
        pinned(leases, self.leases.pin(place(leases)))?;
        pinned(traffic, self.traffic.pin(place(traffic)))?;
        pinned(alive, self.alive.pin(place(alive)))?;
        pinned(stats, self.stats.pin(place(stats)))
    }

    /// How many flows there is room for.
    pub(crate) fn capacity(&self) -> u32 {
        self.leases.len()
    }

    /// Adds a flow's keys. Either both are there afterwards, or none.
    pub(crate) fn insert(&mut self, entries: &Entries) -> Result<(), NotInstalled> {
        let inserted = match entries {
            Entries::V4 { channel, to_peer, peer, to_client } => {
                let peers = self.peers4.insert(peer, to_client, 0);
                peers.and_then(|()| self.channels4.insert(channel, to_peer, 0))
            }
            Entries::V6 { channel, to_peer, peer, to_client } => {
                let peers = self.peers6.insert(peer, to_client, 0);
                peers.and_then(|()| self.channels6.insert(channel, to_peer, 0))
            }
        };
        inserted.map_err(|error| {
            self.remove(entries);
            match number(&error) {
                Some(FULL) => NotInstalled::Full,
                _ => NotInstalled::Refused,
            }
        })
    }

    /// Removes a flow's keys. One that is not there is no error.
    pub(crate) fn remove(&mut self, entries: &Entries) {
        let _ = match entries {
            Entries::V4 { channel, peer, .. } => {
                let _ = self.channels4.remove(channel);
                self.peers4.remove(peer)
            }
            Entries::V6 { channel, peer, .. } => {
                let _ = self.channels6.remove(channel);
                self.peers6.remove(peer)
            }
        };
    }

    /// Removes what another process has left.
    pub(crate) fn clear(&mut self) -> Result<(), Error> {
        let [channels4, peers4, channels6, peers6, ..] = MAPS;
        clear(channels4, &mut self.channels4)?;
        clear(peers4, &mut self.peers4)?;
        clear(channels6, &mut self.channels6)?;
        clear(peers6, &mut self.peers6)
    }

    pub(crate) fn set_lease(&mut self, slot: u32, lease: Lease) -> Result<(), NotInstalled> {
        self.leases.set(slot, lease.to_bytes(), 0).map_err(|_| NotInstalled::Refused)
    }

    /// Begins to count anew.
    pub(crate) fn reset_traffic(&mut self, slot: u32) -> Result<(), NotInstalled> {
        self.traffic.set(slot, NOTHING, 0).map_err(|_| NotInstalled::Refused)
    }

    /// What was counted; nothing where the kernel does not say.
    pub(crate) fn traffic(&self, slot: u32) -> Traffic {
        self.traffic
            .get(&slot, 0)
            .map_or_else(|_| Traffic::default(), |bytes| Traffic::read(&bytes))
    }

    /// Has the program take the server for alive until then, in nanoseconds of CLOCK_MONOTONIC.
    pub(crate) fn set_alive(&mut self, until: u64) -> Result<(), Error> {
        self.alive.set(0, until, 0).map_err(refused("alive"))
    }

    pub(crate) fn stats(&self) -> Stats {
        let mut stats = Stats::default();
        for (place, count) in (0..).zip(self.stats.iter()) {
            stats.add(place, count.unwrap_or(0));
        }
        stats
    }
}

fn clear<const K: usize, const V: usize>(
    name: &'static str,
    map: &mut HashMap<MapData, [u8; K], [u8; V]>,
) -> Result<(), Error>
where
    [u8; K]: aya::Pod,
    [u8; V]: aya::Pod,
{
    let keys: Result<Vec<_>, _> = map.keys().collect();
    for key in keys.map_err(refused(name))? {
        map.remove(&key).map_err(refused(name))?;
    }
    Ok(())
}

fn refused(name: &'static str) -> impl Fn(MapError) -> Error {
    move |error| Error::Map { name, words: words(&error) }
}

/// The number of the error that the kernel has returned.
fn number(error: &MapError) -> Option<i32> {
    match error {
        MapError::SyscallError(error) => error.io_error.raw_os_error(),
        MapError::IoError(error) => error.raw_os_error(),
        _ => None,
    }
}
