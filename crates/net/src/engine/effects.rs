//! How a shard's wishes are carried out: the traits of `Outside`, on a worker's resources.

use std::io;
use std::net::SocketAddr;

use super::resources::Resources;
use crate::batch::ip_fields::IpFields;
use crate::clients::Message;
use crate::event_log::{Kind, NO_SOURCE};
use crate::mailbox::Command;
use crate::stream::send_queue::SendQueue;
use taciturn_turn::clock::Tick;
use taciturn_turn::{
    AllocationId, ChannelRoute, Client, Clients, ConnectError, ConnectionId, DataPath, Entrance,
    Event, MobileId, Observer, OpenError, OtherShards, PeerConnections, Randomness, RelayId,
    RelaySockets, ShardNumber, Traffic, Usage, Via,
};

/// A worker's resources, for the duration of a call into its shard.
#[derive(Debug)]
pub(crate) struct Effects<'a> {
    pub(crate) now: Tick,
    pub(crate) resources: &'a mut Resources,
    /// What the data that are relayed now are sent with.
    pub(crate) ip_fields: IpFields,
}

impl Effects<'_> {
    /// Has the data that are served next sent with these fields, as far as they are kept.
    #[inline]
    pub(crate) const fn keep_ip_fields(&mut self, received: IpFields) {
        self.ip_fields = self.resources.sockets.kept_fields().of(received);
    }

    /// Sends one message to a client.
    #[inline]
    pub(crate) fn send(&mut self, client: Client, message: Message<'_>) {
        let Resources { sockets, clients, egress, .. } = &mut *self.resources;
        clients.send(self.now, sockets.listeners(), egress, client, message);
    }

    /// Logs that a relay socket cannot be opened, unless only the port is taken. Returns what the shard is
    /// told.
    fn not_opened(&mut self, what: &str, address: SocketAddr, error: &io::Error) -> OpenError {
        if error.kind() == io::ErrorKind::AddrInUse {
            return OpenError::InUse;
        }
        let text = format_args!("cannot {what} on {address}: {error}");
        self.resources.log.warn(Kind::Socket, address.ip(), self.now, text);
        OpenError::Impossible
    }
}

impl Randomness for Effects<'_> {
    fn random(&mut self, bytes: &mut [u8]) {
        // SAFE: the OS generator fails only on a kernel without getrandom, and the server has drawn
        // from it at start. Going on without randomness would be worse than stopping.
        #[allow(clippy::expect_used)]
        getrandom::fill(bytes).expect("the operating system gives randomness");
    }
}

impl RelaySockets for Effects<'_> {
    fn open_relay(
        &mut self,
        owner: AllocationId,
        address: SocketAddr,
    ) -> Result<RelayId, OpenError> {
        let opened = self.resources.sockets.open_relay(owner, address);
        opened.map_err(|(what, error)| self.not_opened(what, address, &error))
    }

    fn close_relay(&mut self, relay: RelayId) {
        self.resources.sockets.give_up(relay);
    }
}

impl PeerConnections for Effects<'_> {
    fn open_tcp_relay(
        &mut self,
        owner: AllocationId,
        address: SocketAddr,
    ) -> Result<RelayId, OpenError> {
        let opened = self.resources.tcp.open(owner, address);
        opened.map_err(|error| self.not_opened("open a relay socket for TCP", address, &error))
    }

    fn close_tcp_relay(&mut self, relay: RelayId) {
        self.resources.tcp.close(relay);
    }

    fn connect_peer(
        &mut self,
        owner: AllocationId,
        relay: RelayId,
        connection: ConnectionId,
        peer: SocketAddr,
    ) -> Result<(), ConnectError> {
        self.resources.tcp.connect(owner, relay, connection, peer)
    }

    fn bind_peer(&mut self, client: Client, connection: ConnectionId) -> bool {
        let Via::Stream { connection: number, .. } = client.via else { return false };
        let Resources { tcp, log, .. } = &mut *self.resources;
        tcp.bind(number, connection).unwrap_or_else(|error| {
            let text = format_args!("cannot take over a peer connection: {error}");
            log.warn(Kind::Socket, NO_SOURCE, self.now, text);
            false
        })
    }

    fn close_peer(&mut self, connection: ConnectionId) -> Traffic {
        self.resources.tcp.close_peer(connection)
    }

    fn take_traffic(&mut self, connection: ConnectionId) -> Traffic {
        self.resources.tcp.take_traffic(connection)
    }
}

impl Clients for Effects<'_> {
    fn tell(&mut self, client: Client, message: &[u8]) {
        self.send(client, Message::LateAnswer(message));
    }

    fn listening_port(&self, client: Client) -> Option<u16> {
        let listener = self.resources.sockets.listener(client.via.listener())?;
        Some(listener.address.port())
    }

    fn is_secure(&self, client: Client) -> bool {
        self.resources.clients.is_secure(client.via)
    }

    fn entrance(&self, client: Client) -> Entrance {
        let Resources { sockets, clients, entrances, .. } = &*self.resources;
        let (listener, server_name) = match client.via {
            Via::Stream { connection, .. } => {
                let queue = clients.stream(connection);
                let listener = queue.and_then(SendQueue::listener);
                (listener, queue.and_then(SendQueue::server_name))
            }
            Via::Udp(number) => (sockets.listener(number).map(|of| of.id), None),
            Via::Dtls { connection, listener } => {
                let name = entrances.by_name().then(|| clients.dtls.server_name(connection));
                (sockets.listener(listener).map(|of| of.id), name.flatten())
            }
        };
        let realm = listener.and_then(|listener| entrances.realm(listener));
        Entrance { realm, server_name }
    }
}

impl OtherShards for Effects<'_> {
    fn fetch(&mut self, from: ShardNumber, allocation: MobileId, client: Client) -> bool {
        self.resources.workers.fetch(from, allocation, client)
    }

    fn release_at(&mut self, shard: ShardNumber, allocation: MobileId) -> bool {
        self.resources.workers.command(shard, Command::Release { allocation })
    }

    fn offer_to(&mut self, shard: ShardNumber, client: Client) {
        self.resources.workers.command(shard, Command::FetchFor { client });
    }
}

impl Observer for Effects<'_> {
    fn event(&mut self, event: Event<'_>) {
        let Resources { clients, log, events, usage, .. } = &mut *self.resources;
        events.count(&event);
        if let Event::Ended { client, .. } = event {
            clients.allocation_changed(self.now, client);
        }
        log.write(self.now, &event, |via| clients.transport(via));
        if let (Event::Ended { record: Some(record), .. }, Some(usage)) = (event, usage) {
            usage.put(*record);
        }
    }
}

/// The kernel, where it relays channels by itself.
impl DataPath for Effects<'_> {
    fn is_there(&self) -> bool {
        self.resources.kernel.is_some()
    }

    fn channel_opened(&mut self, route: ChannelRoute, until: Tick) {
        let port = self.listening_port(route.client);
        if let Some(kernel) = &mut self.resources.kernel {
            kernel.open(self.now, route, port, until);
        }
    }

    fn channel_closed(&mut self, route: ChannelRoute) -> Usage {
        let kernel = self.resources.kernel.as_mut();
        kernel.map(|kernel| kernel.close(self.now, &route)).unwrap_or_default()
    }
}
