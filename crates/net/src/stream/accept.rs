//! From a listening socket to an accepted connection: limits, PROXY header, TLS.

use std::fmt::Arguments;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use ipnet::IpNet;
use socket2::Domain;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::server::TlsStream;

use super::connection::{Accepted, Messages, UNSENT_RECORDS, lost_its_place};
use super::handshake::NoHandshake;
use super::listener_handle::ListenerHandle;
use super::misdirected::{self, Expected};
use super::receive_buffer::OverTcp;
use super::rewound::Rewound;
use super::send_queue::SendQueue;
use super::settings::{Speaks, StreamSettings};
use super::{connection, handshake, receive_buffer};
use crate::batch::ip_fields::IpFields;
use crate::batch::system::dscp_of_connection;
use crate::event_log::{Kind, NO_SOURCE};
use crate::handshakes::{Gate, Refused};
use crate::proxy_protocol::{MAX_V2_LEN, Parsed, ProxyError, parse};
use crate::reception::{self, Reception, Visitor, VisitorStream};
use crate::tcp_relay::unbound::BoundPeer;
use crate::timeouts::{FIRST_MESSAGE, HANDSHAKE_TIME};
use taciturn_stun::canonical_ip;
use taciturn_tls::TlsServer;
use taciturn_turn::policy::{ConnectionTicket, Connections};
use taciturn_turn::{Client, ClientAddr, Via};

/// How long a proxy may take for its header.
const PROXY_TIME: Duration = Duration::from_secs(5);

/// How long to wait before accepting again when the system has no descriptor left.
const EXHAUSTED: Duration = Duration::from_millis(100);

/// Connections accepted before the worker looks at its other sockets.
const ACCEPTS_A_TURN: u32 = 4;

/// What a TLS record of a handshake begins with (RFC 7983 section 7).
const TLS_HANDSHAKE: u8 = 0x16;

/// The worker, as it serves new connections.
pub(crate) trait Host: Messages {
    /// Adds a connection. Returns its number.
    fn connect(&self, queue: Rc<SendQueue>) -> u32;

    /// Removes a connection that has ended, and its client's allocation.
    fn disconnect(&self, client: Client, connection: u32);

    /// Returns true if the operator has banned this address.
    fn refuses(&self, address: IpAddr) -> bool;

    /// Returns what limits handshakes.
    fn handshakes(&self) -> &Gate;

    /// Returns true if the name that a client asks for by TLS decides which realm it gets.
    fn asks_for_server_names(&self) -> bool;

    /// Returns who takes connections that speak HTTP.
    fn reception(&self) -> &Reception;

    /// Writes a warning to the log, within the budget of its source.
    fn warn(&self, kind: Kind, source: IpAddr, text: Arguments<'_>);

    /// Logs that a connection has ended whose client was too slow for its media.
    fn slow_client(&self, client: ClientAddr, transport: &'static str, dropped: u64);
}

/// Accepts connections until the listener is retired or the worker ends, each into a task of its
/// own.
pub(crate) async fn serve<H: Host + 'static>(
    worker: Rc<H>,
    socket: Rc<TcpListener>,
    listener: Rc<ListenerHandle>,
    connections: Arc<Connections>,
) {
    let mut accepted_now = 0;
    loop {
        if accepted_now == ACCEPTS_A_TURN {
            accepted_now = 0;
            tokio::task::yield_now().await;
        }
        accepted_now += 1;
        let accepted = tokio::select! {
            biased;
            () = listener.closed() => return,
            accepted = socket.accept() => accepted,
        };
        let settings = listener.settings();
        let (stream, from) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // A connection that was closed at once, or no descriptors. Others are not affected.
                if error.kind() != io::ErrorKind::ConnectionAborted {
                    let name = &settings.name;
                    let text = format_args!("{name}: cannot accept a connection: {error}");
                    worker.warn(Kind::Socket, NO_SOURCE, text);
                    sleep(EXHAUSTED).await;
                }
                continue;
            }
        };
        // Without a task: a flood gets no more of the worker's time than that.
        if is_refused(&*worker, &settings, from) {
            continue;
        }
        let incoming = Incoming {
            worker: Rc::clone(&worker),
            settings,
            listener: Rc::clone(&listener),
            connections: Arc::clone(&connections),
        };
        tokio::task::spawn_local(async move {
            if let Err(error) = incoming.serve(stream, from).await {
                tracing::debug!(client = %from, %error, "connection ended");
            }
        });
    }
}

/// Returns true if a connection can be closed unread: the source is banned, or the listener is for TLS alone, and the
/// source has no handshake left.
fn is_refused<H: Host>(worker: &H, settings: &StreamSettings, from: SocketAddr) -> bool {
    let direct = settings.trusted_proxies.is_none();
    if direct && worker.refuses(from.ip()) {
        return true;
    }
    let refused = match settings.speaks {
        Speaks::Tls(_) if direct => worker.handshakes().refuses(from.ip()),
        _ => None,
    };
    if let Some(why) = refused {
        refuse(worker, settings, from, why);
    }
    refused.is_some()
}

fn refuse<H: Host>(worker: &H, settings: &StreamSettings, client: SocketAddr, why: Refused) {
    let name = &settings.name;
    let text = format_args!("{name}: connection from {client} refused: {}", why.text());
    worker.warn(Kind::Connection, client.ip(), text);
}

/// A new connection.
struct Incoming<H> {
    worker: Rc<H>,
    settings: Arc<StreamSettings>,
    listener: Rc<ListenerHandle>,
    connections: Arc<Connections>,
}

/// A connection whose client is known, and that has a place.
struct Admitted {
    client: SocketAddr,
    local: IpAddr,
    stream: TcpStream,
    /// What was read behind the header of a proxy.
    head: Vec<u8>,
    /// Its place among the connections, for as long as it lasts.
    ticket: ConnectionTicket,
    since: Instant,
}

/// A connection that messages can be read from.
enum Established {
    Tcp(Rewound<TcpStream>),
    Tls(Box<TlsStream<Rewound<TcpStream>>>),
    /// It is served elsewhere.
    Visitor(Box<dyn VisitorStream>),
}

impl<H: Host> Incoming<H> {
    async fn serve(self, stream: TcpStream, from: SocketAddr) -> io::Result<()> {
        // On the heap, because its memory is needed no longer once the connection is accepted. Most connections are
        // idle, and there are many.
        let admitted = Box::pin(self.admit(stream, from)).await;
        let admitted = admitted.inspect_err(|error| self.report_misdirected(from, error))?;
        let Some(admitted) = admitted else { return Ok(()) };
        let Admitted { client, local, stream, head, ticket, since } = admitted;
        let established = tokio::select! {
            biased;
            () = lost(&ticket) => Err(lost_its_place()),
            established = Box::pin(self.establish(stream, client, head)) => established,
        };
        let outcome = match established {
            Ok(Some(Established::Tcp(stream))) => {
                let carrier = ("tcp", None);
                Box::pin(self.serve_messages(stream, client, local, carrier, &ticket, since)).await
            }
            Ok(Some(Established::Visitor(stream))) => {
                if let Some(receptionist) = self.worker.reception().expecting() {
                    receptionist.take(Visitor { client, stream, ticket });
                }
                return Ok(());
            }
            Ok(Some(Established::Tls(stream))) => {
                let carrier = ("tls", self.server_name(&stream));
                Box::pin(self.serve_messages(stream, client, local, carrier, &ticket, since)).await
            }
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = &outcome {
            self.report_misdirected(client, error);
        }
        if ticket.is_lost() {
            let name = &self.settings.name;
            let text = format_args!(
                "{name}: connection from {client} closed to make room for others: it has no allocation, and \
                 limits.connections is reached"
            );
            self.worker.warn(Kind::Connection, client.ip(), text);
        }
        outcome
    }

    /// Logs that a connection was closed because it carries something else than it should, within the budget of its
    /// source.
    fn report_misdirected(&self, client: SocketAddr, error: &io::Error) {
        if let Some(what) = misdirected::of(error) {
            let name = &self.settings.name;
            let text = format_args!("{name}: connection from {client} closed: {what}");
            self.worker.warn(Kind::Connection, client.ip(), text);
        }
    }

    /// Finds out who the client of a connection is, and takes a place for it. `None` if the connection is closed
    /// unanswered.
    async fn admit(&self, mut stream: TcpStream, from: SocketAddr) -> io::Result<Option<Admitted>> {
        let since = Instant::now();
        stream.set_nodelay(true)?;
        receive_buffer::limit(&stream)?;
        let mut client = SocketAddr::new(canonical_ip(from.ip()), from.port());
        let mut local = stream.local_addr()?.ip();
        let mut head = Vec::new();
        if let Some(trusted) = &self.settings.trusted_proxies {
            if !trusts(trusted, client.ip()) {
                let name = &self.settings.name;
                let text = format_args!(
                    "{name}: {client} is not in trusted_proxies; its connection was closed"
                );
                self.worker.warn(Kind::Connection, client.ip(), text);
                return Ok(None);
            }
            // Connections from a proxy are counted for the client behind it, once that is known.
            let _unnamed = self.connections.take_unnamed().ok_or_else(|| {
                let name = &self.settings.name;
                let text = format_args!(
                    "{name}: too many proxy connections that wait for their PROXY header"
                );
                self.worker.warn(Kind::Connection, client.ip(), text);
                io::Error::other("too many proxy connections without a PROXY header")
            })?;
            let header = timeout(PROXY_TIME, read_proxy_header(&mut stream, &mut head)).await?;
            if let Some((source, destination)) = header? {
                client = SocketAddr::new(canonical_ip(source.ip()), source.port());
                local = canonical_ip(destination.ip());
            }
            if self.worker.refuses(client.ip()) {
                return Ok(None);
            }
        }
        let ticket = self.ticket(client.ip())?;
        Ok(Some(Admitted { client, local, stream, head, ticket, since }))
    }

    /// Finds out what is spoken, and completes the TLS handshake. `None` if the client has closed the connection
    /// without sending anything.
    async fn establish(
        &self,
        mut stream: TcpStream,
        client: SocketAddr,
        mut head: Vec<u8>,
    ) -> io::Result<Option<Established>> {
        if head.is_empty() {
            let mut first = [0; 1];
            let read = timeout(HANDSHAKE_TIME, stream.read(&mut first)).await??;
            if read == 0 {
                return Ok(None);
            }
            head.extend(first);
        }
        let is_tls = head.first() == Some(&TLS_HANDSHAKE);
        if matches!(self.settings.speaks, Speaks::Tls(_)) && !is_tls {
            // What has come with the first byte shows what it is.
            let mut more = [0; 64];
            if let Ok(read) = stream.try_read(&mut more) {
                head.extend_from_slice(more.get(..read).unwrap_or_default());
            }
            return Err(misdirected::found(&head, Expected::Tls));
        }
        let receptionist = self.worker.reception().expecting();
        if let (Some(receptionist), false) = (receptionist, is_tls) {
            reception::read_on(&stream, &mut head);
            if receptionist.admits(&head, client.ip()) {
                return Ok(Some(Established::Visitor(Box::new(Rewound::new(head, stream)))));
            }
        }
        let stream = Rewound::new(head, stream);
        let stream = match (&self.settings.speaks, is_tls) {
            (Speaks::Tls(tls) | Speaks::Either(tls), true) => {
                let mut stream = Box::new(self.shake_hands(tls, client, stream).await?);
                stream.get_mut().1.set_buffer_limit(Some(UNSENT_RECORDS));
                if let Some(receptionist) = self.worker.reception().expecting() {
                    let head = timeout(FIRST_MESSAGE, stream.fill_buf()).await??;
                    if receptionist.admits(head, client.ip()) {
                        return Ok(Some(Established::Visitor(stream)));
                    }
                }
                Established::Tls(stream)
            }
            (Speaks::Plain | Speaks::Either(_), false) => Established::Tcp(stream),
            (Speaks::Tls(_), false) => return Err(misdirected::found(&[], Expected::Tls)),
            (Speaks::Plain, true) => {
                return Err(misdirected::found(&[TLS_HANDSHAKE], Expected::Stun));
            }
        };
        Ok(Some(stream))
    }

    async fn shake_hands(
        &self,
        tls: &TlsServer,
        client: SocketAddr,
        stream: Rewound<TcpStream>,
    ) -> io::Result<TlsStream<Rewound<TcpStream>>> {
        let gate = self.worker.handshakes();
        let shaken = match gate.knock(client.ip()) {
            Ok(knocked) => {
                let handshake = handshake::shake_hands(gate, knocked, tls, stream);
                timeout(HANDSHAKE_TIME, handshake).await?
            }
            Err(refused) => Err(NoHandshake::Refused(refused)),
        };
        shaken.map_err(|error| match error {
            NoHandshake::Failed(error) => {
                if let Some(receptionist) = self.worker.reception().expecting()
                    && reception::is_about_certificate(&error)
                {
                    receptionist.certificate_refused(client.ip());
                }
                error
            }
            NoHandshake::Refused(why) => {
                refuse(&*self.worker, &self.settings, client, why);
                io::Error::other(why.text())
            }
        })
    }

    fn ticket(&self, from: IpAddr) -> io::Result<ConnectionTicket> {
        self.connections.take(from).ok_or_else(|| {
            let name = &self.settings.name;
            let text = format_args!(
                "{name}: too many connections from {from}, or in all (limits.connections_per_address, \
                 limits.connections)"
            );
            self.worker.warn(Kind::Connection, from, text);
            io::Error::other("too many connections")
        })
    }

    /// The name that the client asked for, if that matters. It is a DNS name (rustls takes no other), and so short.
    fn server_name(&self, stream: &TlsStream<Rewound<TcpStream>>) -> Option<Arc<str>> {
        let name = stream.get_ref().1.server_name().filter(|_| self.worker.asks_for_server_names());
        name.map(|name| name.to_ascii_lowercase().into())
    }

    async fn serve_messages<S: AsyncRead + AsyncWrite + OverTcp + Unpin>(
        &self,
        stream: S,
        client: SocketAddr,
        local: IpAddr,
        (transport, server_name): (&'static str, Option<Arc<str>>),
        ticket: &ConnectionTicket,
        since: Instant,
    ) -> io::Result<()> {
        if self.listener.is_retired() {
            return Err(io::Error::other("the listener was removed"));
        }
        let queue = SendQueue::new(transport).with_ip_fields(ip_fields(&stream));
        let queue = Rc::new(queue.entered_by(self.listener.id, server_name));
        let number = self.worker.connect(Rc::clone(&queue));
        let via = Via::Stream { connection: number, listener: self.listener.number };
        let client = Client { via, local: canonical_ip(local), remote: ClientAddr(client) };
        let accepted = Accepted { client, queue: &queue, listener: &self.listener, ticket, since };
        let outcome = connection::serve(&*self.worker, accepted, None, stream).await;
        self.worker.disconnect(client, number);
        if queue.dropped() > 0 {
            self.worker.slow_client(client.remote, transport, queue.dropped());
        }
        outcome
    }
}

/// A connection that another process has had.
pub(crate) struct GoingOn {
    pub(crate) client: Client,
    /// Its number.
    pub(crate) number: u32,
    pub(crate) queue: Rc<SendQueue>,
    /// Its place among the connections.
    pub(crate) ticket: ConnectionTicket,
    pub(crate) listener: Rc<ListenerHandle>,
    /// The peer connection that it carries the data of.
    pub(crate) bound: Option<BoundPeer>,
}

/// Serves such a connection until it ends.
pub(crate) async fn go_on<H: Host>(worker: Rc<H>, going_on: GoingOn, stream: TcpStream) {
    let GoingOn { client, number, queue, ticket, listener, bound } = going_on;
    let (ticket, since) = (&ticket, Instant::now());
    let accepted = Accepted { client, queue: &queue, listener: &listener, ticket, since };
    let outcome = connection::serve(&*worker, accepted, bound, stream).await;
    worker.disconnect(client, number);
    if queue.dropped() > 0 {
        worker.slow_client(client.remote, queue.transport(), queue.dropped());
    }
    if let Err(error) = outcome {
        tracing::debug!(client = %client.remote, %error, "connection ended");
    }
}

/// Returns what the client's data are sent to peers with: its connection has one DSCP, and ECN is the connection's own
/// affair (RFC 8656 section 15).
fn ip_fields(stream: &impl OverTcp) -> IpFields {
    let socket = stream.socket();
    let v6 = socket.domain().is_ok_and(|domain| domain == Domain::IPV6);
    IpFields { traffic_class: dscp_of_connection(&*socket, v6), hop_limit: None }
}

/// Waits until another connection has got the place.
async fn lost(ticket: &ConnectionTicket) {
    poll_fn(|context| {
        ticket.on_loss(context.waker().clone());
        if ticket.is_lost() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

fn trusts(trusted: &[IpNet], from: IpAddr) -> bool {
    trusted.iter().any(|net| net.contains(&from))
}

/// Reads a whole header. What has been read beyond it is left in `head`. `None` for a connection
/// of the proxy itself.
async fn read_proxy_header(
    stream: &mut TcpStream,
    head: &mut Vec<u8>,
) -> io::Result<Option<(SocketAddr, SocketAddr)>> {
    loop {
        let mut buffer = [0; 512];
        let room = (MAX_V2_LEN + 1).saturating_sub(head.len()).min(buffer.len());
        let read = stream.read(buffer.get_mut(..room).unwrap_or_default()).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        head.extend_from_slice(buffer.get(..read).unwrap_or_default());
        let parsed = parse(head).map_err(|error| match error {
            ProxyError::NoHeader => misdirected::found(head, Expected::ProxyHeader),
            error => io::Error::other(error),
        })?;
        match parsed {
            Parsed::Incomplete => {}
            Parsed::Done { len, source } => {
                head.drain(..len.min(head.len()));
                return Ok(source.map(|source| (source.client, source.dest)));
            }
        }
    }
}
