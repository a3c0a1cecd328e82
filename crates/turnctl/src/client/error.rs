//! What can go wrong between a client and a server.

use std::io;
use std::time::Duration;

use taciturn_stun::Method;

/// Why a step of the client failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nothing came back, though asked again and again.
    #[error("no answer within {:.1} s", .waited.as_secs_f32())]
    Silent {
        /// How long.
        waited: Duration,
    },
    /// The other machine said that nothing listens: an ICMP message, or a reset.
    #[error("the port is closed: nothing listens there")]
    PortClosed,
    /// A router reported that the machine does not exist, or that traffic to it is prohibited.
    #[error("a router answered that this host cannot be reached")]
    HostUnreachable,
    /// This machine has no way to that address.
    #[error("this machine has no route to that address")]
    NoRoute,
    /// The server closed the connection.
    #[error("the server closed the connection")]
    Closed,
    /// The reply is not STUN.
    #[error("the reply is not STUN: {0}")]
    NotStun(String),
    /// TLS was not agreed on.
    #[error("TLS failed: {}", super::tls_words::of(.0))]
    Tls(rustls::Error),
    /// An error response.
    #[error("{} was refused: {code} {reason}", .method.name())]
    Refused {
        /// The requested method.
        method: Method,
        /// ERROR-CODE (RFC 8489 section 14.8).
        code: u16,
        /// Its reason phrase.
        reason: String,
    },
    /// A success without a right MESSAGE-INTEGRITY (RFC 8489 section 9.2.5).
    #[error("the answer to {} is not signed with the password", .0.name())]
    Unsigned(Method),
    /// An answer without what it must have.
    #[error("the answer to {} has no {what}", .method.name())]
    Incomplete {
        /// The requested method.
        method: Method,
        /// The attribute that is missing.
        what: &'static str,
    },
    /// Anything else of the system.
    #[error("{0}")]
    Io(io::Error),
}

impl ClientError {
    /// The code of an error response.
    #[must_use]
    pub const fn code(&self) -> Option<u16> {
        match self {
            Self::Refused { code, .. } => Some(*code),
            _ => None,
        }
    }
}

impl From<io::Error> for ClientError {
    fn from(error: io::Error) -> Self {
        use io::ErrorKind as K;
        match error.kind() {
            K::ConnectionRefused => Self::PortClosed,
            K::HostUnreachable => Self::HostUnreachable,
            // The address family is missing, or no route is there: nothing has left this machine.
            K::NetworkUnreachable | K::AddrNotAvailable => Self::NoRoute,
            K::ConnectionReset | K::ConnectionAborted | K::BrokenPipe | K::UnexpectedEof => {
                Self::Closed
            }
            K::TimedOut => Self::Silent { waited: Duration::ZERO },
            _ => {
                let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
                tls.cloned().map_or(Self::Io(error), Self::Tls)
            }
        }
    }
}
