//! What a worker has, for another process, and how it stands still until that has it. Never for a packet.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use ahash::AHashSet;
use taciturn_handover::{Entry, Name};
use taciturn_stun::Family;
use taciturn_turn::{Client, Via};

use super::core::Core;
use crate::carry::record::{ClientRecord, ListenerRecord, PeerRecord};
use crate::carry::{NamedSockets, WorkerExport};
use crate::engine::dtls;
use crate::engine::entered::Entered;
use crate::engine::resources::Resources;
use crate::listener::udp::UdpListener;
use crate::mailbox::Still;
use crate::stream::continuation::Exported;
use crate::stream::send_queue::SendQueue;
use crate::tcp_relay::exported_peer;

/// The clients on connections that go to another process, by their numbers.
type Streams = AHashSet<u32>;

/// Whether a client goes to another process.
fn goes(client: &Client, streams: &Streams) -> bool {
    match client.via {
        Via::Udp(_) => true,
        Via::Stream { connection, .. } => streams.contains(&connection),
        Via::Dtls { .. } => false,
    }
}

impl Core {
    /// Exports what this worker has. It goes on as before.
    ///
    /// # Errors
    /// If this process may have no more descriptors.
    pub(super) fn export(&self) -> io::Result<WorkerExport> {
        Ok(self.export_with_streams()?.0)
    }

    fn export_with_streams(&self) -> io::Result<(WorkerExport, Streams)> {
        let begun = Instant::now();
        // What the kernel has relayed until now goes along.
        self.engine.borrow_mut().count_kernel();
        let mut listeners = Vec::new();
        for listener in self.stream_listeners.borrow().all() {
            if let Some(socket) = listener.duplicate()? {
                let address = std::net::TcpListener::from(socket.try_clone()?).local_addr()?;
                listeners.push((
                    ListenerRecord { number: listener.number, is_stream: true, address },
                    socket,
                ));
            }
        }
        self.engine.borrow_mut().enter(|entered| {
            let resources = &mut *entered.out.resources;
            listeners.extend(datagram_listeners(resources)?);
            let Clients { clients, mut peers, mut sockets } = Clients::of(resources)?;
            let streams: Streams = clients.iter().map(|client| client.connection).collect();
            let staying: AHashSet<_> = ports(entered.shard.left(|client| goes(client, &streams)));
            let (unbound, of_unbound) = resources.tcp.export()?;
            peers.extend(unbound);
            sockets.extend(of_unbound);
            for (address, socket) in resources.sockets.duplicate_relays()? {
                if !staying.contains(&(address.is_ipv6(), address.port())) {
                    sockets.push((Entry::new(Name::Relay(address)), socket));
                }
            }
            // What its connections relay there is counted there.
            entered.shard.gather(entered.now, &mut entered.out);
            let shard = entered.shard.snapshot(entered.now.tick, |client| goes(client, &streams));
            // Clients on DTLS cannot stay: their datagrams come to a socket that goes.
            let is_dtls = |client: &Client| matches!(client.via, Via::Dtls { .. });
            let left =
                ports(entered.shard.left(|client| is_dtls(client) || goes(client, &streams)));
            let took = begun.elapsed();
            Ok((WorkerExport { shard, listeners, sockets, clients, peers, left, took }, streams))
        })
    }

    /// Does nothing but what `orders` say, until there are no more. Packets wait in the kernel.
    pub(super) fn stand_still(
        &self,
        orders: &mpsc::Receiver<Still>,
        mut settle: impl FnMut() -> usize,
    ) {
        let mut streams = Streams::new();
        // The sockets have all packets from now on, which wait there. What the kernel has relayed goes along.
        let mut kernel = self.engine.borrow_mut().take_kernel();
        // A result that cannot be sent is ignored: who has asked goes away, and so does this loop.
        while let Ok(order) = orders.recv() {
            match order {
                Still::Settle(done) => {
                    let _ = done.send(settle());
                }
                Still::Record(done) => {
                    self.put_interim_records();
                    let _ = done.send(());
                }
                Still::Export(done) => {
                    let exported = self.export_with_streams().map(|(exported, of)| {
                        streams = of;
                        exported
                    });
                    let _ = done.send(exported.map(Box::new));
                }
                Still::Leave(done) => {
                    // The kernel's part is the other process's, too.
                    kernel = None;
                    self.leave(&streams);
                    let _ = done.send(());
                }
            }
        }
        self.engine.borrow_mut().give_kernel(kernel);
    }

    /// Has a record made of each session, up to now.
    fn put_interim_records(&self) {
        let mut engine = self.engine.borrow_mut();
        let mut from = Some(0);
        while let Some(place) = from {
            let records;
            (records, from) = engine.interim_records(Duration::ZERO, place);
            if let Some(usage) = &engine.resources().usage {
                records.into_iter().for_each(|record| usage.put(record));
            }
        }
    }

    /// Lets go of what another process has from now on, and says nothing to its clients. Those that have stayed are
    /// served until they end.
    fn leave(&self, streams: &Streams) {
        let stream_listeners = self.stream_listeners.borrow();
        stream_listeners.all().for_each(|listener| listener.retire());
        self.engine.borrow_mut().enter(|entered| {
            // No more are made: the ports are the other process's.
            entered.shard.drain(true);
            let Entered { now, shard, out, .. } = &mut *entered;
            shard.forget(*now, |client| goes(client, streams), out);
            for (number, queue) in out.resources.clients.streams() {
                if streams.contains(&number) {
                    queue.give_away();
                }
            }
            for listener in stream_listeners.all() {
                shard.retire_listener(listener.number, true);
            }
            let numbers = out.resources.sockets.listeners().iter().map(|(number, _)| number);
            for number in
                numbers.filter_map(|number| u16::try_from(number).ok()).collect::<Vec<_>>()
            {
                // What they would have been sent comes to the other process.
                dtls::leave_listener(entered, number, true);
                entered.out.resources.clients.dtls.close(number);
                entered.out.resources.sockets.close_listener(number);
            }
            entered.out.resources.clients.wake_streams();
        });
    }

    /// Ends what cannot go to another process, and tells its clients. Returns how many allocations that were.
    pub(super) fn end_secure(&self) -> usize {
        self.engine.borrow_mut().enter(|entered| {
            let before = entered.shard.len();
            dtls::shut_down(entered);
            let secure = entered.out.resources.clients.streams();
            let secure = secure.filter(|(_, queue)| queue.transport() == "tls");
            let secure: Streams = secure
                .map(|(number, queue)| {
                    queue.end();
                    number
                })
                .collect();
            let clients = entered.shard.clients();
            for client in clients {
                if let Via::Stream { connection, .. } = client.via
                    && secure.contains(&connection)
                {
                    entered.shard.client_gone(entered.now, client, &mut entered.out);
                }
            }
            entered.out.resources.clients.wake_streams();
            before - entered.shard.len()
        })
    }
}

/// Ports, each with whether it is of IPv6.
fn ports<C: FromIterator<(bool, u16)>>(ports: Vec<(Family, u16)>) -> C {
    ports.into_iter().map(|(family, port)| (family == Family::V6, port)).collect()
}

fn datagram_listeners(resources: &Resources) -> io::Result<Vec<(ListenerRecord, OwnedFd)>> {
    let listeners = resources.sockets.listeners().iter();
    let one = |(number, listener): (usize, &UdpListener)| {
        let number = u16::try_from(number).map_err(io::Error::other)?;
        let record = ListenerRecord { number, is_stream: false, address: listener.address };
        Ok((record, listener.socket.as_fd().try_clone_to_owned()?))
    };
    listeners.map(one).collect()
}

/// The connections of clients that another process can go on with.
#[derive(Default)]
struct Clients {
    clients: Vec<ClientRecord>,
    peers: Vec<PeerRecord>,
    sockets: NamedSockets,
}

impl Clients {
    fn of(resources: &Resources) -> io::Result<Self> {
        let mut all = Self::default();
        for (number, queue) in resources.clients.streams() {
            all.add(number, queue)?;
        }
        Ok(all)
    }

    fn add(&mut self, number: u32, queue: &SendQueue) -> io::Result<()> {
        let continuation = queue.continuation();
        let Some((client, socket)) = continuation.duplicate()? else { return Ok(()) };
        // One that its client has reset meanwhile has no address.
        let (Ok(local), Ok(remote)) = (socket.local_addr(), socket.peer_addr()) else {
            return Ok(());
        };
        let name = Name::Client { local, remote };
        let (mut unread, mut unsent) = (continuation.unread().clone(), queue.unsent());
        let mut bound = None;
        if let Some(Exported { connection, peer, to_peer, to_client }) = continuation.joined()? {
            let Some((record, socket)) = exported_peer(connection, peer) else { return Ok(()) };
            unread.extend(to_peer);
            unsent.extend(to_client);
            bound = Some(connection.0);
            self.peers.push(record);
            self.sockets.push(socket);
        }
        self.clients.push(ClientRecord {
            connection: number,
            listener: client.via.listener(),
            socket: name.to_string(),
            client: client.remote.0,
            local: client.local,
            traffic_class: queue.ip_fields().traffic_class,
            bound,
        });
        self.sockets.push((Entry { name, unread, unsent }, socket.into()));
        Ok(())
    }
}
