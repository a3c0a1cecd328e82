//! From a listening socket to a conversation: limits, PROXY header, TLS.

use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use ipnet::IpNet;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::server::TlsStream;

use super::conversation::{Guest, converse, lost_its_place};
use super::handshake::{NoHandshake, shake_hands};
use super::misdirected::{self, Expected};
use super::rewound::Rewound;
use super::{Door, Line, Speaks, StreamSettings};
use crate::event_log::{Kind, NO_SOURCE};
use crate::handshakes::Refused;
use crate::patience::HANDSHAKE_TIME;
use crate::proxy_protocol::{MAX_V2_LEN, Parsed, ProxyError, parse};
use crate::worker::Core;
use taciturn_stun::canonical_ip;
use taciturn_tls::TlsServer;
use taciturn_turn::policy::{ConnectionTicket, Connections};
use taciturn_turn::{Client, ClientAddr, Via};

/// How long a proxy may take for its header.
const PROXY_TIME: Duration = Duration::from_secs(5);

/// How long accepting rests when the system has no descriptor left.
const EXHAUSTED: Duration = Duration::from_millis(100);

/// Connections accepted before the worker looks at its other sockets.
const ACCEPTS_A_TURN: u32 = 4;

/// Bytes of TLS records that wait for a client that does not read, besides its line.
pub(super) const UNSENT_RECORDS: usize = 16 * 1024;

/// What a TLS record of a handshake begins with (RFC 7983 section 7).
const TLS_HANDSHAKE: u8 = 0x16;

/// Accepts connections until the listener is retired or the worker ends, each into a task of its
/// own.
pub(crate) async fn serve(
    core: Rc<Core>,
    socket: TcpListener,
    door: Rc<Door>,
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
            () = door.closed() => return,
            accepted = socket.accept() => accepted,
        };
        let settings = door.settings();
        let (stream, from) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // One connection that went away at once, or no descriptors. The others go on.
                if error.kind() != io::ErrorKind::ConnectionAborted {
                    let name = &settings.name;
                    let text = format_args!("{name}: cannot accept a connection: {error}");
                    core.warn(Kind::Socket, NO_SOURCE, text);
                    sleep(EXHAUSTED).await;
                }
                continue;
            }
        };
        // Not a task for each: who floods gets no more of the worker's time than that.
        if is_hopeless(&core, &settings, from) {
            continue;
        }
        let arrival = Arrival {
            core: Rc::clone(&core),
            settings,
            door: Rc::clone(&door),
            connections: Arc::clone(&connections),
        };
        tokio::task::spawn_local(async move {
            if let Err(error) = arrival.serve(stream, from).await {
                tracing::debug!(client = %from, %error, "connection ended");
            }
        });
    }
}

/// Whether a connection can be closed unread: nothing but TLS is spoken, and its source has no handshake left.
fn is_hopeless(core: &Core, settings: &StreamSettings, from: SocketAddr) -> bool {
    let direct = settings.trusted_proxies.is_none();
    let refused = match settings.speaks {
        Speaks::Tls(_) if direct => core.handshakes.refuses(from.ip()),
        _ => None,
    };
    if let Some(why) = refused {
        turned_away(core, settings, from, why);
    }
    refused.is_some()
}

fn turned_away(core: &Core, settings: &StreamSettings, client: SocketAddr, why: Refused) {
    let text = format_args!("{}: {client} is turned away: {}", settings.name, why.text());
    core.warn(Kind::Connection, client.ip(), text);
}

/// A connection that is on its way in.
struct Arrival {
    core: Rc<Core>,
    settings: Arc<StreamSettings>,
    door: Rc<Door>,
    connections: Arc<Connections>,
}

/// A connection of which it is known for whom it is, and that has a place.
struct Arrived {
    client: SocketAddr,
    local: IpAddr,
    stream: TcpStream,
    /// What was read behind the header of a proxy.
    head: Vec<u8>,
    /// Its place among the connections, for as long as it lasts.
    ticket: ConnectionTicket,
    since: Instant,
}

enum Welcome {
    Plain(Rewound<TcpStream>),
    Tls(Box<TlsStream<Rewound<TcpStream>>>),
}

impl Arrival {
    async fn serve(self, stream: TcpStream, from: SocketAddr) -> io::Result<()> {
        // On the heap, for its room is needed no longer once the client is in. A connection spends
        // its life idle, and there are many.
        let arrived = Box::pin(self.arrive(stream, from)).await;
        let arrived = arrived.inspect_err(|error| self.tell_misdirected(from, error))?;
        let Some(arrived) = arrived else { return Ok(()) };
        let Arrived { client, local, stream, head, ticket, since } = arrived;
        let welcome = tokio::select! {
            biased;
            () = lost(&ticket) => Err(lost_its_place()),
            welcome = Box::pin(self.welcome(stream, client, head)) => welcome,
        };
        let outcome = match welcome {
            Ok(Some(Welcome::Plain(stream))) => {
                Box::pin(self.talk(stream, client, local, "tcp", &ticket, since)).await
            }
            Ok(Some(Welcome::Tls(mut stream))) => {
                stream.get_mut().1.set_buffer_limit(Some(UNSENT_RECORDS));
                Box::pin(self.talk(stream, client, local, "tls", &ticket, since)).await
            }
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = &outcome {
            self.tell_misdirected(client, error);
        }
        if ticket.is_lost() {
            let name = &self.settings.name;
            let text = format_args!(
                "{name}: {client} is closed to make room for others: it has no allocation, and \
                 limits.connections is reached"
            );
            self.core.warn(Kind::Connection, client.ip(), text);
        }
        outcome
    }

    /// A connection was closed that carries something else than it should: a line, as far as there is a budget.
    fn tell_misdirected(&self, client: SocketAddr, error: &io::Error) {
        if let Some(what) = misdirected::of(error) {
            let name = &self.settings.name;
            let text = format_args!("{name}: the connection of {client} is closed: {what}");
            self.core.warn(Kind::Connection, client.ip(), text);
        }
    }

    /// Finds out for whom a connection is, and takes a place for it. `None` for one that is turned
    /// away without a word.
    async fn arrive(&self, mut stream: TcpStream, from: SocketAddr) -> io::Result<Option<Arrived>> {
        let since = Instant::now();
        stream.set_nodelay(true)?;
        let mut client = SocketAddr::new(canonical_ip(from.ip()), from.port());
        let mut local = stream.local_addr()?.ip();
        let mut head = Vec::new();
        if let Some(trusted) = &self.settings.trusted_proxies {
            if !trusts(trusted, client.ip()) {
                let name = &self.settings.name;
                let text = format_args!(
                    "{name}: {client} is not in trusted_proxies; its connection was closed"
                );
                self.core.warn(Kind::Connection, client.ip(), text);
                return Ok(None);
            }
            // Connections from a proxy are counted for the client behind it, once that is known.
            let _unnamed = self.connections.take_unnamed().ok_or_else(|| {
                let name = &self.settings.name;
                let text = format_args!(
                    "{name}: too many connections of proxies that have not sent their header"
                );
                self.core.warn(Kind::Connection, client.ip(), text);
                io::Error::other("too many connections of proxies")
            })?;
            let header = timeout(PROXY_TIME, read_proxy_header(&mut stream, &mut head)).await?;
            if let Some((source, destination)) = header? {
                client = SocketAddr::new(canonical_ip(source.ip()), source.port());
                local = canonical_ip(destination.ip());
            }
        }
        let ticket = self.ticket(client.ip())?;
        Ok(Some(Arrived { client, local, stream, head, ticket, since }))
    }

    /// `None` for one that went away without a word.
    async fn welcome(
        &self,
        mut stream: TcpStream,
        client: SocketAddr,
        mut head: Vec<u8>,
    ) -> io::Result<Option<Welcome>> {
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
            // What has come with the first byte tells what it is.
            let mut more = [0; 64];
            if let Ok(read) = stream.try_read(&mut more) {
                head.extend_from_slice(more.get(..read).unwrap_or_default());
            }
            return Err(misdirected::found(&head, Expected::Tls));
        }
        let stream = Rewound::new(head, stream);
        let stream = match (&self.settings.speaks, is_tls) {
            (Speaks::Tls(tls) | Speaks::Either(tls), true) => {
                Welcome::Tls(Box::new(self.shake_hands(tls, client, stream).await?))
            }
            (Speaks::Plain | Speaks::Either(_), false) => Welcome::Plain(stream),
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
        let gate = &self.core.handshakes;
        let shaken = match gate.knock(client.ip()) {
            Ok(knocked) => timeout(HANDSHAKE_TIME, shake_hands(gate, knocked, tls, stream)).await?,
            Err(refused) => Err(NoHandshake::Refused(refused)),
        };
        shaken.map_err(|error| match error {
            NoHandshake::Failed(error) => error,
            NoHandshake::Refused(why) => {
                turned_away(&self.core, &self.settings, client, why);
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
            self.core.warn(Kind::Connection, from, text);
            io::Error::other("too many connections")
        })
    }

    async fn talk<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
        client: SocketAddr,
        local: IpAddr,
        transport: &'static str,
        ticket: &ConnectionTicket,
        since: Instant,
    ) -> io::Result<()> {
        if self.door.is_retired() {
            return Err(io::Error::other("the listener was removed"));
        }
        let line = Rc::new(Line::new(transport));
        let connection = self.core.connect(Rc::clone(&line));
        let via = Via::Stream { connection, listener: self.door.number };
        let client = Client { via, local: canonical_ip(local), remote: ClientAddr(client) };
        let guest = Guest { client, line: &line, door: &self.door, ticket, since };
        let outcome = converse(&self.core, guest, stream).await;
        self.core.disconnect(client, connection);
        if line.dropped() > 0 {
            self.core.slow_client(client.remote, transport, line.dropped());
        }
        outcome
    }
}

/// Ready when another has got the place.
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

/// Reads a whole header; what has been read beyond it is left in `head`. `None` for a connection
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
