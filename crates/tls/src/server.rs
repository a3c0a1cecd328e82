//! The rustls side: what is offered to TLS clients.

use std::io;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::ring::{self, Ticketer};
use rustls::server::{Acceptor, ClientHello, NoServerSessionStorage};
use rustls::version::{TLS12, TLS13};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use super::store::CertStore;

/// The application protocols that are agreed to, in the order of preference (RFC 7443).
pub const ALPN_PROTOCOLS: [&[u8]; 2] = [b"stun.turn", b"stun.nat-discovery"];

/// TLS 1.2 and 1.3 with the certificates of `store`, and [`ALPN_PROTOCOLS`]. A client that offers
/// no application protocol is served; one that offers only others is refused, as RFC 7301 section
/// 3.2 has it. [`TlsServer`] is more patient.
///
/// Sessions are resumed by tickets, so that the server keeps nothing for clients that are gone.
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
/// an attacker, finds nothing: this server answers nothing but STUN.
#[derive(Clone, Debug)]
pub struct TlsServer {
    named: Arc<ServerConfig>,
    silent: Arc<ServerConfig>,
}

impl TlsServer {
    /// Serves the certificates of `store`, as they are at the time of each handshake.
    #[must_use]
    pub fn new(store: Arc<CertStore>) -> Self {
        let named = server_config(store);
        // Shares the ticket keys: a client may change its list between two connections.
        let mut silent = ServerConfig::clone(&named);
        silent.alpn_protocols.clear();
        Self { named, silent: Arc::new(silent) }
    }

    /// The configuration for a client that begins with `hello`.
    #[must_use]
    pub fn config_for(&self, hello: &ClientHello<'_>) -> Arc<ServerConfig> {
        let ours = |protocol: &[u8]| ALPN_PROTOCOLS.contains(&protocol);
        let named = hello.alpn().is_some_and(|mut offered| offered.any(ours));
        Arc::clone(if named { &self.named } else { &self.silent })
    }

    /// Shakes hands with the client on `io`. Sets no time limit: that is the caller's.
    ///
    /// # Errors
    ///
    /// Those of `io`, and [`io::ErrorKind::InvalidData`] or
    /// [`io::ErrorKind::UnexpectedEof`] when the client does not speak TLS or goes away.
    pub async fn accept<IO>(&self, io: IO) -> io::Result<TlsStream<IO>>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        let start = LazyConfigAcceptor::new(Acceptor::default(), io).await?;
        let config = self.config_for(&start.client_hello());
        start.into_stream(config).await
    }
}
