//! Connections that begin with a request of HTTP instead of STUN, and who takes them.
//!
//! Such a connection is closed like any other that is no TURN, unless somebody is expected and it names a secret in its
//! very first bytes. Only then it leaves the worker, with what was read of it; until then nothing is written to it.

use std::fmt;
use std::future::poll_fn;
use std::net::{IpAddr, SocketAddr};
use std::sync::OnceLock;
use std::task::Poll;

use rustls::AlertDescription as Alert;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use taciturn_turn::policy::ConnectionTicket;

/// Bytes that are looked at. A secret stands within them.
const HEAD: usize = 512;

/// Whoever takes such connections. Asked by all workers.
pub trait Receptionist: fmt::Debug + Send + Sync {
    /// Whether anybody is expected. Asked for each connection, so it takes no lock.
    fn is_open(&self) -> bool;

    /// Whether a connection that begins with these bytes is one that is expected.
    fn admits(&self, head: &[u8], from: IpAddr) -> bool;

    /// Takes one in. Never waits.
    fn take(&self, visitor: Visitor);

    /// Notes that a client has ended a handshake of TLS because it does not accept the certificate.
    fn certificate_refused(&self, by: IpAddr);
}

/// Where workers find whoever takes such connections; empty until there is one.
#[derive(Debug, Default)]
pub struct Reception(OnceLock<Box<dyn Receptionist>>);

impl Reception {
    /// Opens it, once.
    pub fn open(&self, receptionist: Box<dyn Receptionist>) {
        // There is one in a process.
        let _ = self.0.set(receptionist);
    }

    /// Whoever is there, if anybody is expected.
    pub(crate) fn expecting(&self) -> Option<&dyn Receptionist> {
        self.0.get().map(AsRef::as_ref).filter(|receptionist| receptionist.is_open())
    }
}

/// What is spoken on is a connection, whatever secures it.
pub trait VisitorStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> VisitorStream for S {}

/// A connection that somebody else serves from now on.
pub struct Visitor {
    /// The other end: that of the client, behind a proxy that says so.
    pub client: SocketAddr,
    /// The connection; it begins with what was looked at.
    pub stream: Box<dyn VisitorStream>,
    /// Its place among the connections, for as long as it lasts.
    pub(crate) ticket: ConnectionTicket,
}

impl Visitor {
    /// Takes it apart.
    #[must_use]
    pub fn into_parts(self) -> (Box<dyn VisitorStream>, VisitorTicket) {
        (self.stream, VisitorTicket(self.ticket))
    }
}

impl fmt::Debug for Visitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Visitor({})", self.client)
    }
}

/// The place of a visitor among the connections; given back when dropped.
#[derive(Debug)]
pub struct VisitorTicket(ConnectionTicket);

impl VisitorTicket {
    /// Waits until another connection gets the place.
    pub async fn lost(&self) {
        poll_fn(|context| {
            self.0.on_loss(context.waker().clone());
            if self.0.is_lost() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

/// Reads what has come beside the first byte of a connection, if that is one of HTTP. Never waits: whoever sends a
/// request in crumbs fares like all others.
pub(crate) fn read_on(stream: &TcpStream, head: &mut Vec<u8>) {
    if !matches!(head.first(), Some(b'G' | b'P')) {
        return;
    }
    let mut more = [0; HEAD];
    if let Ok(read) = stream.try_read(&mut more) {
        head.extend_from_slice(more.get(..read).unwrap_or_default());
    }
}

/// Whether a client has ended a handshake with an alert about the certificate.
pub(crate) fn is_about_certificate(error: &std::io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let Some(rustls::Error::AlertReceived(alert)) = inner else { return false };
    matches!(
        alert,
        Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::UnknownCA
    )
}
