//! How much was relayed.

use borsh::{BorshDeserialize, BorshSerialize};

use super::clock::Tick;

/// Packets and bytes of application data, both ways. TCP allocations count bytes alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Traffic {
    /// Packets from the client to peers.
    pub packets_to_peers: u64,
    /// Bytes from the client to peers.
    pub bytes_to_peers: u64,
    /// Packets from peers to the client.
    pub packets_to_client: u64,
    /// Bytes from peers to the client.
    pub bytes_to_client: u64,
}

impl Traffic {
    /// Nothing.
    pub(super) const NONE: Self =
        Self { packets_to_peers: 0, bytes_to_peers: 0, packets_to_client: 0, bytes_to_client: 0 };

    /// What was relayed of it after `before`.
    pub(super) const fn since(self, before: Self) -> Self {
        Self {
            packets_to_peers: self.packets_to_peers.saturating_sub(before.packets_to_peers),
            bytes_to_peers: self.bytes_to_peers.saturating_sub(before.bytes_to_peers),
            packets_to_client: self.packets_to_client.saturating_sub(before.packets_to_client),
            bytes_to_client: self.bytes_to_client.saturating_sub(before.bytes_to_client),
        }
    }

    pub(super) fn count_to_peer(&mut self, len: usize) {
        self.packets_to_peers += 1;
        self.bytes_to_peers += len as u64;
    }

    pub(super) fn count_to_client(&mut self, len: u16) {
        self.packets_to_client += 1;
        self.bytes_to_client += u64::from(len);
    }

    /// Adds what another has counted.
    pub const fn add(&mut self, other: Self) {
        self.packets_to_peers += other.packets_to_peers;
        self.bytes_to_peers += other.bytes_to_peers;
        self.packets_to_client += other.packets_to_client;
        self.bytes_to_client += other.bytes_to_client;
    }
}

/// What another data path has relayed on one channel since it reported last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Packets and bytes, both ways.
    pub traffic: Traffic,
    /// When the last of these packets was relayed. Of no meaning where there was none.
    pub last: Tick,
}

impl Usage {
    /// Whether nothing was relayed.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.traffic == Traffic::default()
    }

    /// Adds that of another channel of the same allocation.
    pub(super) fn add(&mut self, other: Self) {
        if !other.is_nothing() {
            self.traffic.add(other.traffic);
            self.last = self.last.max(other.last);
        }
    }
}
