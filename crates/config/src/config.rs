//! What the rest of the server relies on: a configuration in which everything is right.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use ipnet::IpNet;

use taciturn_tls::CertSource;
use taciturn_turn::policy::PortRange;
use taciturn_turn::{NatDiscovery, Redirect, RelayAddress};

use super::error::Note;
use super::keys::{
    Admin, Auth, Database, Fleet, Ice, KernelRelay, Limits, Log, Peers, Process, Protocol, Records,
    Tuning,
};
use super::tenant::Tenant;
use super::transport::Transport;

/// A whole, validated configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where it came from; `None` when there is no file.
    pub file: Option<PathBuf>,
    /// The realm in every challenge (RFC 8489 section 9.2).
    pub realm: String,
    /// The name or address that clients use in URIs, without brackets; `None` when the realm or
    /// the external address has to serve.
    pub host: Option<String>,
    /// Where peers reach the relay.
    pub external_ip: ExternalIp,
    /// STUN servers that may be asked for the external address, `host:port`. Empty by default: the
    /// server talks to nobody unless told to.
    pub stun_servers: Vec<String>,
    /// Relay ports, both ends included.
    pub relay_ports: PortRange,
    /// Worker threads; one shard each.
    pub workers: NonZeroUsize,
    /// The listeners, in the order of the file. Never empty.
    pub listen: Vec<Listen>,
    /// The certificates that listeners share.
    pub tls: Tls,
    /// Who may.
    pub auth: Auth,
    /// Who else may, by a database.
    pub database: Database,
    /// What peers may be reached.
    pub peers: Peers,
    /// Bounds.
    pub limits: Limits,
    /// Customers that are kept apart, in the order of the file.
    pub tenants: Vec<Tenant>,
    /// Where clients are sent instead of being served; `None` by default.
    pub redirect: Option<Redirect>,
    /// What is spoken besides the current RFCs.
    pub protocol: Protocol,
    /// NAT behaviour discovery (RFC 5780); `None` where it is off, as by default.
    pub nat_discovery: Option<NatDiscovery>,
    /// What trades one kind of speed for another.
    pub tuning: Tuning,
    /// How the log is written, and what is written to it.
    pub log: Log,
    /// Where the running server tells of itself.
    pub admin: Admin,
    /// What the process may.
    pub process: Process,
    /// Where it meets other servers.
    pub fleet: Fleet,
    /// Who may have credentials made over HTTP, and which.
    pub ice: Ice,
    /// Where records of what sessions have used go.
    pub records: Records,
    /// What the kernel relays.
    pub kernel_relay: KernelRelay,
    /// Where the server keeps what it made itself (the generated secret).
    pub state_dir: PathBuf,
}

/// A configuration, and what the operator should hear about it.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Warnings, and what was made up where; to be printed at start.
    pub notes: Vec<Note>,
}

/// The `external_ip` key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExternalIp {
    /// Find it.
    Auto,
    /// At most one mapping of each address family, at least one in all.
    Given(Vec<RelayAddress>),
}

/// One `[[listen]]` section.
#[derive(Clone, Debug)]
pub struct Listen {
    /// The name in logs: the configured one, or `transport:port`.
    pub name: String,
    /// What is spoken on it.
    pub transport: Transport,
    /// Where. `[::]` means every address of both families.
    pub address: SocketAddr,
    /// Whether the operator asked for it, or it is there by default.
    pub explicit: bool,
    /// Whether it is there for test links (`web.listen`): no client is told of it.
    pub for_links: bool,
    /// This listener's own certificate; otherwise those of `[tls]`.
    pub cert: Option<CertSource>,
    /// Whether each connection begins with a PROXY protocol header (v1 or v2).
    pub proxy_protocol: bool,
    /// Who may send such headers. Empty only where `proxy_protocol` is off.
    pub trusted_proxies: Vec<IpNet>,
    /// The realm of its clients; `None` where it is that of the server, or of the name that they ask for.
    pub realm: Option<String>,
}

/// The `[tls]` section.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// Chosen by the name a client asks for; the first is the default. Empty: TLS is off, but for
    /// listeners that have a certificate of their own.
    pub certificates: Vec<CertSource>,
}
