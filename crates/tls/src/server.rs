//! The rustls side: what is offered to TLS clients.

use std::io;
use std::sync::Arc;

use rustls::crypto::ring::{self, Ticketer};
use rustls::server::{Acceptor, ClientHello, NoServerSessionStorage};
use rustls::version::{TLS12, TLS13};
use rustls::{HandshakeKind, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::server::TlsStream;
use tokio_rustls::{Accept, LazyConfigAcceptor, StartHandshake};

use super::resumption::ResumptionOnly;
use super::store::CertStore;

/// The application protocols that are agreed to, in the order of preference (RFC 7443).
pub const ALPN_PROTOCOLS: [&[u8]; 2] = [b"stun.turn", b"stun.nat-discovery"];

/// TLS 1.2 and 1.3 with the certificates of `store`, and [`ALPN_PROTOCOLS`]. A client that offers
/// no application protocol is served; one that offers only others is refused, as RFC 7301 section
/// 3.2 has it. [`TlsServer`] is more patient.
///
/// Sessions are resumed by tickets, so the server stores nothing for clients that have left.
#[must_use]
//= 8489-6.2.3-ecdhe-rsa, 8489-6.2.3-weak-suites, 8489-16-bcp195
pub fn server_config(store: Arc<CertStore>) -> Arc<ServerConfig> {
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&TLS13, &TLS12]);
    // SAFE: fails only for a provider without cipher suites for these versions.
    #[allow(clippy::expect_used)]
    let builder = builder.expect("ring has cipher suites for TLS 1.2 and 1.3");
    let mut config = builder.with_no_client_auth().with_cert_resolver(store);
    config.alpn_protocols = ALPN_PROTOCOLS.map(Vec::from).into();
    config.session_storage = Arc::new(NoServerSessionStorage {});
    match Ticketer::new() {
        Ok(ticketer) => {
            config.ticketer = ticketer;
            // A client comes back on one connection, not on two.
            config.send_tls13_tickets = 1;
        }
        // No randomness for ticket keys: every handshake is a full one.
        Err(_) => config.send_tls13_tickets = 0,
    }
    Arc::new(config)
}

/// Accepts TLS clients, and turns none away for the application protocols it offers.
///
/// A client that offers one of [`ALPN_PROTOCOLS`] gets it. One that offers none, as browsers do
/// for TURN, or only others is served without. rustls by itself, and RFC 7301 section 3.2, would
/// refuse the latter; but apps built on libwebrtc can set the list (`tls_alpn_protocols`) and name
/// `http/1.1` to pass firewalls, and coturn serves them, so that refusing would break calls that
/// worked. What the refusal guards against, a browser's request for a web site being led here by
/// an attacker, finds nothing: this server answers nothing but STUN, and HTTP only to who names the secret of a test link.
#[derive(Clone, Debug)]
pub struct TlsServer {
    named: Configs,
    silent: Configs,
}

/// The configuration for clients that the server may sign for, and for others.
#[derive(Clone, Debug)]
struct Configs {
    full: Arc<ServerConfig>,
    resumption: Arc<ServerConfig>,
}

impl Configs {
    fn new(full: ServerConfig, store: &Arc<CertStore>) -> Self {
        // Shares the ticket keys.
        let mut resumption = full.clone();
        resumption.cert_resolver = Arc::new(ResumptionOnly(Arc::clone(store)));
        Self { full: Arc::new(full), resumption: Arc::new(resumption) }
    }
}

/// Whether a handshake may cost a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signing {
    /// It may.
    Allowed,
    /// It may not: only a client with a valid ticket is served.
    ResumptionOnly,
}

/// A handshake after the server's first flight, which is the one that costs most.
pub struct Begun<IO> {
    /// The rest of it.
    pub accept: Accept<IO>,
    /// What kind it is. `None` where it has failed; `accept` has the error.
    pub kind: Option<HandshakeKind>,
}

impl TlsServer {
    /// Serves the certificates of `store`, as they are at the time of each handshake.
    #[must_use]
    pub fn new(store: Arc<CertStore>) -> Self {
        let named = ServerConfig::clone(&server_config(Arc::clone(&store)));
        // Shares the ticket keys: a client may change its list between two connections.
        let mut silent = named.clone();
        silent.alpn_protocols.clear();
        Self { named: Configs::new(named, &store), silent: Configs::new(silent, &store) }
    }

    /// The configuration for a client that begins with `hello`.
    #[must_use]
    pub fn config_for(&self, hello: &ClientHello<'_>, signing: Signing) -> Arc<ServerConfig> {
        let ours = |protocol: &[u8]| ALPN_PROTOCOLS.contains(&protocol);
        let named = hello.alpn().is_some_and(|mut offered| offered.any(ours));
        let configs = if named { &self.named } else { &self.silent };
        Arc::clone(match signing {
            Signing::Allowed => &configs.full,
            Signing::ResumptionOnly => &configs.resumption,
        })
    }

    /// Reads the ClientHello of the client on `io`, and does nothing yet that costs anything. Sets no limit
    /// of time or size: those are the caller's.
    ///
    /// # Errors
    ///
    /// Those of `io`, and [`io::ErrorKind::InvalidData`] or [`io::ErrorKind::UnexpectedEof`] when the client
    /// does not speak TLS or goes away.
    pub async fn read_hello<IO>(io: IO) -> io::Result<StartHandshake<IO>>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        LazyConfigAcceptor::new(Acceptor::default(), io).await
    }

    /// Answers a ClientHello: chooses the key, agrees on one for the session, and signs where that is needed
    /// and allowed. With a HelloRetryRequest (RFC 8446 section 4.1.4) that comes later, in `accept`.
    #[must_use]
    pub fn begin<IO>(&self, start: StartHandshake<IO>, signing: Signing) -> Begun<IO>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        let config = self.config_for(&start.client_hello(), signing);
        let mut kind = None;
        let accept = start.into_stream_with(config, |session| kind = session.handshake_kind());
        Begun { accept, kind }
    }

    /// Shakes hands with the client on `io`. Sets no limit of time or size: those are the caller's.
    ///
    /// # Errors
    ///
    /// As [`Self::read_hello`], and when the handshake fails.
    pub async fn accept<IO>(&self, io: IO) -> io::Result<TlsStream<IO>>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        let start = Self::read_hello(io).await?;
        self.begin(start, Signing::Allowed).accept.await
    }
}
