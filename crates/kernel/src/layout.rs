//! The keys and values of the maps, byte by byte as in `relay.bpf.c`.

use std::net::{IpAddr, SocketAddr};

use super::flow::{Flow, Peer};

pub(crate) type Channel4 = [u8; 16];
pub(crate) type Peer4 = [u8; 12];
pub(crate) type Flow4 = [u8; 20];
pub(crate) type Channel6 = [u8; 40];
pub(crate) type Peer6 = [u8; 36];
pub(crate) type Flow6 = [u8; 44];
pub(crate) type LeaseBytes = [u8; 24];
pub(crate) type TrafficBytes = [u8; 40];

/// The names of the maps.
pub(crate) const MAPS: [&str; 8] =
    ["channels4", "peers4", "channels6", "peers6", "leases", "traffic", "alive", "stats"];

/// Until when a flow may be served, and by which way its packets leave: to the peer, and to the client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lease {
    /// In nanoseconds of CLOCK_MONOTONIC.
    pub(crate) until: u64,
    pub(crate) ways: [Way; 2],
}

/// A way out. No interface: there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Way {
    pub(crate) ifindex: u32,
    /// Bytes of the longest IP packet.
    pub(crate) mtu: u16,
}

impl Lease {
    pub(crate) fn to_bytes(self) -> LeaseBytes {
        let [to_peer, to_client] = self.ways;
        let mut bytes = Writer::<24>::default();
        bytes.put(&self.until.to_ne_bytes());
        bytes.put(&to_peer.ifindex.to_ne_bytes());
        bytes.put(&to_client.ifindex.to_ne_bytes());
        bytes.put(&to_peer.mtu.to_ne_bytes());
        bytes.put(&to_client.mtu.to_ne_bytes());
        bytes.0
    }
}

/// The counters of a flow: packets and bytes to the peer and to the client, and when the last packet was, in units of
/// 2^20 ns of CLOCK_MONOTONIC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Traffic {
    pub(crate) packets: [u64; 2],
    pub(crate) bytes: [u64; 2],
    pub(crate) last: u32,
}

impl Traffic {
    pub(crate) fn read(bytes: &TrafficBytes) -> Self {
        let number = |at: usize| {
            let bytes = bytes.get(at..at + 8).and_then(|bytes| bytes.try_into().ok());
            u64::from_ne_bytes(bytes.unwrap_or_default())
        };
        let last = bytes.get(32..36).and_then(|bytes| bytes.try_into().ok()).unwrap_or_default();
        Self {
            packets: [number(0), number(8)],
            bytes: [number(16), number(24)],
            last: u32::from_ne_bytes(last),
        }
    }
}

/// The two keys and values of a flow.
pub(crate) enum Entries {
    V4 { channel: Channel4, to_peer: Flow4, peer: Peer4, to_client: Flow4 },
    V6 { channel: Channel6, to_peer: Flow6, peer: Peer6, to_client: Flow6 },
}

impl Entries {
    pub(crate) fn of(flow: &Flow, slot: u32) -> Self {
        let seen = flow.peer_as_seen();
        let (from, to, is_own) = match flow.peer {
            Peer::Elsewhere(peer) => (flow.relay, peer, false),
            Peer::Own { bound, relay, .. } => (relay, bound, true),
        };
        if flow.client.is_ipv6() {
            Self::V6 {
                channel: channel_key(flow),
                to_peer: value(from, to, 0, is_own, slot),
                peer: peer_key(seen, flow.relay),
                to_client: value(flow.server, flow.client, flow.channel, is_own, slot),
            }
        } else {
            Self::V4 {
                channel: channel_key(flow),
                to_peer: value(from, to, 0, is_own, slot),
                peer: peer_key(seen, flow.relay),
                to_client: value(flow.server, flow.client, flow.channel, is_own, slot),
            }
        }
    }
}

fn channel_key<const N: usize>(flow: &Flow) -> [u8; N] {
    let mut key = Writer::<N>::default();
    key.put_ends(flow.client, flow.server);
    key.put(&flow.channel.to_be_bytes());
    key.0
}

fn peer_key<const N: usize>(peer: SocketAddr, relay: SocketAddr) -> [u8; N] {
    let mut key = Writer::<N>::default();
    key.put_ends(peer, relay);
    key.0
}

fn value<const N: usize>(
    from: SocketAddr,
    to: SocketAddr,
    channel: u16,
    is_own: bool,
    slot: u32,
) -> [u8; N] {
    let mut value = Writer::<N>::default();
    value.put_ends(from, to);
    value.put(&channel.to_be_bytes());
    value.put(&u16::from(is_own).to_ne_bytes());
    value.put(&slot.to_ne_bytes());
    value.0
}

/// Writes fields one after the other; the rest stays zero.
struct Writer<const N: usize>([u8; N], usize);

impl<const N: usize> Default for Writer<N> {
    fn default() -> Self {
        Self([0; N], 0)
    }
}

impl<const N: usize> Writer<N> {
    fn put(&mut self, bytes: &[u8]) {
        if let Some(place) = self.0.get_mut(self.1..self.1 + bytes.len()) {
            place.copy_from_slice(bytes);
        }
        self.1 += bytes.len();
    }

    fn put_ends(&mut self, one: SocketAddr, other: SocketAddr) {
        for ip in [one.ip(), other.ip()] {
            match ip {
                IpAddr::V4(ip) => self.put(&ip.octets()),
                IpAddr::V6(ip) => self.put(&ip.octets()),
            }
        }
        self.put(&one.port().to_be_bytes());
        self.put(&other.port().to_be_bytes());
    }
}
