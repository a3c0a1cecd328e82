//! What the operator wants: the schema, its defaults, and the checks that turn a file, the
//! environment and the command line into one [`Config`] that the rest can rely on.
#![forbid(unsafe_code)]

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use crate::auth::{SharedSecret, StaticUser};
use crate::policy::PortRange;

/// A whole, validated configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where it came from; `None` when there is no file.
    pub file: Option<PathBuf>,
    /// The realm in every challenge (RFC 8489 section 9.2).
    pub realm: String,
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
    /// Who may.
    pub auth: Auth,
    /// What peers may be reached.
    pub peers: Peers,
    /// Bounds.
    pub limits: Limits,
    /// Where the server keeps what it made itself (the generated secret).
    pub state_dir: PathBuf,
}

/// The `external_ip` key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExternalIp {
    /// Find it.
    Auto,
    /// At most one mapping of each address family, at least one in all.
    Given(Vec<RelayAddress>),
}

/// One address that relayed transport addresses are made on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelayAddress {
    /// What clients are told and peers send to.
    pub public: IpAddr,
    /// What the sockets are bound to: the same address, or the private side of a 1:1 NAT.
    pub local: IpAddr,
}

/// How clients reach a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// STUN and TURN over UDP.
    Udp,
    /// Over TCP.
    Tcp,
    /// Over TLS.
    Tls,
    /// Over DTLS.
    Dtls,
    /// TCP and TLS on one port, told apart by the first byte.
    Auto,
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
}

/// The `[auth]` section.
#[derive(Clone, Debug)]
pub struct Auth {
    /// Static long-term users.
    pub users: Vec<StaticUser>,
    /// REST shared secrets; a credential of any of them is good.
    pub secrets: Vec<Secret>,
    /// Ends an allocation when its REST credential expires. Off by default: a running call
    /// outlives its credential.
    pub strict_expiry: bool,
}

/// A shared secret and where it was read.
#[derive(Clone, Debug)]
pub struct Secret {
    /// The secret.
    pub secret: SharedSecret,
    /// Its file, if it has one.
    pub path: Option<PathBuf>,
    /// Whether the server made it up itself on its first start.
    pub generated: bool,
}

/// The `[peers]` section, on top of the built-in deny list.
#[derive(Clone, Debug, Default)]
pub struct Peers {
    /// Ranges that are allowed although a rule denies them.
    pub allow: Vec<IpNet>,
    /// Ranges that are denied in addition.
    pub deny: Vec<IpNet>,
}

/// The `[limits]` section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Allocations one user may hold at a time.
    pub allocations_per_user: u32,
    /// Permissions of one allocation.
    pub permissions_per_allocation: u32,
    /// Channels of one allocation.
    pub channels_per_allocation: u32,
    /// Longest lifetime an allocation gets without a refresh.
    pub max_lifetime: Duration,
    /// How long a nonce is good.
    pub nonce_lifetime: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            allocations_per_user: 200,
            permissions_per_allocation: 256,
            channels_per_allocation: 256,
            max_lifetime: Duration::from_secs(3600),
            nonce_lifetime: Duration::from_secs(3600),
        }
    }
}
