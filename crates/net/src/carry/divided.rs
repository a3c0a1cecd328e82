//! What another process had, divided among the workers of this one.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ahash::AHashMap;
use taciturn_handover::{Held, Name};
use taciturn_turn::clock::TakeOver;
use taciturn_turn::{Client, ClientAddr, ConnectionId, ShardNumber, Via, snapshot};

use super::record::{ClientRecord, ListenerRecord, Record};
use crate::batch::ip_fields::IpFields;
use crate::listener::bind::Numbers;
use crate::steering::worker_of;

/// What one worker goes on with.
#[derive(Debug)]
pub(crate) struct Share {
    pub(crate) shard: snapshot::Share,
    pub(crate) there: TakeOver,
    pub(crate) sockets: CarriedSockets,
    /// In the order of the numbers of their connections, which begin with 0.
    pub(crate) clients: Vec<CarriedClient>,
}

/// A TCP connection of a client.
#[derive(Debug)]
pub(crate) struct CarriedClient {
    pub(crate) client: Client,
    pub(crate) socket: TcpStream,
    pub(crate) ip_fields: IpFields,
    /// Read from the socket, and not done.
    pub(crate) unread: Vec<u8>,
    /// To be written to the socket first.
    pub(crate) unsent: Vec<u8>,
    /// The peer connection that it carries the data of.
    pub(crate) bound: Option<ConnectionId>,
}

/// The sockets of all allocations, for whichever worker has them from now on. What nobody has taken when the workers
/// begin is closed.
#[derive(Clone, Debug, Default)]
pub(crate) struct CarriedSockets(Arc<Mutex<Sockets>>);

#[derive(Debug, Default)]
struct Sockets {
    relays: AHashMap<SocketAddr, UdpSocket>,
    tcp_relays: AHashMap<SocketAddr, TcpListener>,
    peers: AHashMap<ConnectionId, TcpStream>,
}

impl CarriedSockets {
    /// Takes the relay socket that is bound to `address`.
    pub(crate) fn relay(&self, address: SocketAddr) -> Option<UdpSocket> {
        self.lock().relays.remove(&address)
    }

    /// Likewise, of a TCP allocation.
    pub(crate) fn tcp_relay(&self, address: SocketAddr) -> Option<TcpListener> {
        self.lock().tcp_relays.remove(&address)
    }

    /// Takes a connection with a peer.
    pub(crate) fn peer(&self, connection: ConnectionId) -> Option<TcpStream> {
        self.lock().peers.remove(&connection)
    }

    fn lock(&self) -> MutexGuard<'_, Sockets> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// From the numbers of the other process to those of this one.
#[derive(Debug)]
pub(super) struct Division<'a> {
    /// How many workers the other process had, and this one has.
    had: u16,
    workers: u16,
    numbers: &'a Numbers,
    /// The addresses that the numbers of the other process stood for.
    listeners: AHashMap<(ShardNumber, u16), (bool, SocketAddr)>,
    /// Clients on connections.
    clients: AHashMap<(ShardNumber, u32), (ShardNumber, Client)>,
}

impl<'a> Division<'a> {
    pub(super) fn new(record: &Record, workers: u16, numbers: &'a Numbers) -> Self {
        let mut listeners = AHashMap::new();
        for (shard, worker) in (0..=u16::MAX).map(ShardNumber).zip(&record.workers) {
            for ListenerRecord { number, is_stream, address } in &worker.listeners {
                listeners.insert((shard, *number), (*is_stream, *address));
            }
        }
        let had = u16::try_from(record.workers.len()).unwrap_or(u16::MAX);
        Self { had, workers, numbers, listeners, clients: AHashMap::new() }
    }

    /// Finds the connections of clients their workers and numbers. One whose socket did not come, or whose listener is
    /// not there any more, is gone.
    pub(super) fn place_clients(
        &mut self,
        record: &Record,
        held: &mut BTreeMap<Name, Held>,
    ) -> Vec<Vec<CarriedClient>> {
        let mut placed: Vec<Vec<CarriedClient>> = (0..self.workers).map(|_| Vec::new()).collect();
        for (from, worker) in (0..=u16::MAX).map(ShardNumber).zip(&record.workers) {
            // Connections can be served by any worker.
            let to = ShardNumber(from.0 % self.workers.max(1));
            let Some(there) = placed.get_mut(usize::from(to.0)) else { continue };
            for known in &worker.clients {
                let Some(listener) = self.listener(from, known.listener, true) else { continue };
                let Ok(connection) = u32::try_from(there.len()) else { continue };
                let Some(held) = known.socket.parse().ok().and_then(|name| held.remove(&name))
                else {
                    continue;
                };
                let client = carried(known, Via::Stream { connection, listener }, held);
                self.clients.insert((from, known.connection), (to, client.client));
                there.push(client);
            }
        }
        placed
    }

    /// Where the packets of a client come to from now on, and how it is named there.
    pub(super) fn place(
        &self,
        shard: ShardNumber,
        client: Client,
    ) -> Option<(ShardNumber, Client)> {
        match client.via {
            Via::Udp(number) => {
                let number = self.listener(shard, number, false)?;
                let to = match self.had == self.workers {
                    // The sockets are in the same order.
                    true => shard,
                    false if self.numbers.steered => {
                        ShardNumber(worker_of(client.remote.0, self.workers))
                    }
                    // The kernel knows, and does not tell.
                    false => return None,
                };
                Some((to, Client { via: Via::Udp(number), ..client }))
            }
            Via::Stream { connection, .. } => self.clients.get(&(shard, connection)).copied(),
            Via::Dtls { .. } => None,
        }
    }

    /// The sockets of allocations.
    pub(super) fn sockets(
        &self,
        record: &Record,
        mut held: BTreeMap<Name, Held>,
    ) -> CarriedSockets {
        let mut sockets = Sockets::default();
        for known in record.workers.iter().flat_map(|worker| &worker.peers) {
            let Some(held) = known.socket.parse().ok().and_then(|name| held.remove(&name)) else {
                continue;
            };
            sockets.peers.insert(ConnectionId(known.connection), held.socket.into());
        }
        for (name, held) in held {
            match name {
                Name::Relay(address) => {
                    sockets.relays.insert(address, held.socket.into());
                }
                Name::PeerListener(address) => {
                    sockets.tcp_relays.insert(address, held.socket.into());
                }
                _ => {}
            }
        }
        CarriedSockets(Arc::new(Mutex::new(sockets)))
    }

    /// The number that a listener has here.
    fn listener(&self, shard: ShardNumber, number: u16, is_stream: bool) -> Option<u16> {
        let (was_stream, address) = *self.listeners.get(&(shard, number))?;
        if was_stream != is_stream {
            return None;
        }
        self.numbers.at(is_stream, address)
    }
}

fn carried(known: &ClientRecord, via: Via, held: Held) -> CarriedClient {
    let client = Client { via, local: known.local, remote: ClientAddr(known.client) };
    CarriedClient {
        client,
        socket: held.socket.into(),
        ip_fields: IpFields { traffic_class: known.traffic_class, hop_limit: None },
        unread: held.unread,
        unsent: held.unsent,
        bound: known.bound.map(ConnectionId),
    }
}
