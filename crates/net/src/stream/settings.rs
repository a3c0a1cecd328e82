//! A listener for connections, as it is configured.

use std::net::SocketAddr;

use ipnet::IpNet;

use taciturn_tls::TlsServer;

/// What is spoken on a listener for connections.
#[derive(Clone, Debug)]
pub enum Speaks {
    /// STUN as it is.
    Plain,
    /// TLS alone.
    Tls(TlsServer),
    /// Either, told apart by the first byte.
    Either(TlsServer),
}

impl Speaks {
    /// As the configuration calls it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Plain => "tcp",
            Self::Tls(_) => "tls",
            Self::Either(_) => "auto",
        }
    }
}

/// A listener for connections, as the configuration has it.
#[derive(Clone, Debug)]
pub struct StreamSettings {
    /// Its name in logs.
    pub name: String,
    /// Where; `[::]` stands for all addresses of both families.
    pub address: SocketAddr,
    /// What is spoken.
    pub speaks: Speaks,
    /// Whether a PROXY protocol header comes first, and from whom it is taken.
    pub trusted_proxies: Option<Vec<IpNet>>,
}
