//! What the operator wants: the schema, its defaults, and the checks that turn a file, the
//! environment and the command line into one [`Config`] that the rest can rely on.
//!
//! The way of a value: `load` merges file, environment and flags by the table of keys in `schema`;
//! `read` takes values of the right type out of the result; `check` and its helpers (`address`,
//! `listeners`, `tls`, `credentials`, `secrets`) turn them into a [`Config`]; `error` tells what is wrong.
#![forbid(unsafe_code)]

mod address;
mod args;
mod check;
pub mod coturn;
mod credentials;
mod error;
pub mod homeserver;
mod listeners;
mod load;
mod log_format;
mod log_level;
mod nat_discovery;
mod placeholder;
mod read;
mod redirect;
mod removal;
mod schema;
mod secrets;
mod tls;
mod unfilled;
pub mod uris;

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;
use zeroize::Zeroizing;

use taciturn_tls::CertSource;
use taciturn_turn::auth::{SharedSecret, StaticUser};
use taciturn_turn::policy::{Each, PORT_QUARANTINE, PortRange, Rates};

pub use address::is_dns_name;
pub use args::ServerArgs;
pub use check::{MOST_WORKERS, parse_host};
pub use coturn::Translation;
pub use error::{ConfigErrors, Note, NoteLevel, Place, Problem, Topic};
pub use load::Environment;
pub use log_format::LogFormat;
pub use log_level::{BadFilter, LogFilter};
pub use placeholder::placeholder;
pub use read::{parse_duration, show_duration};
pub use removal::OnRemoval;
pub use secrets::{control_sockets, secret_in};
pub use taciturn_turn::{NatDiscovery, Redirect, RelayAddress};

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
    /// What peers may be reached.
    pub peers: Peers,
    /// Bounds.
    pub limits: Limits,
    /// Where clients are sent instead of being served; `None` by default.
    pub redirect: Option<Redirect>,
    /// What is spoken besides the current RFCs.
    pub protocol: Protocol,
    /// NAT behaviour discovery (RFC 5780); `None` where it is off, as by default.
    pub nat_discovery: Option<NatDiscovery>,
    /// What trades one kind of speed for another.
    pub tuning: Tuning,
    /// How the log is written.
    pub log_format: LogFormat,
    /// What is written to the log.
    pub log_level: LogFilter,
    /// Where the running server tells of itself.
    pub admin: Admin,
    /// What the process may.
    pub process: Process,
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

impl Config {
    /// Reads the file that `args` or `TACITURN_CONFIG` names, if any, lays the environment and then
    /// `args` over it, and checks the result.
    ///
    /// Where it holds no credential at all, a secret is made and kept in the state directory: only
    /// then, and only if all else is right, is anything written.
    ///
    /// # Errors
    /// All errors that were found, not only the first.
    pub fn load(args: &ServerArgs, env: &Environment) -> Result<Loaded, ConfigErrors> {
        load_with(args, env, Generate::Yes)
    }

    /// As [`Config::load`], for everybody but the server: a secret that the server has made is
    /// read, but none is made, and nothing is written.
    ///
    /// # Errors
    /// As [`Config::load`]; and where the server's own secret is needed and cannot be read.
    pub fn load_existing(args: &ServerArgs, env: &Environment) -> Result<Loaded, ConfigErrors> {
        load_with(args, env, Generate::No)
    }

    /// As [`Config::load`], but writes nothing: where no credential is configured, the result has
    /// none.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn inspect(args: &ServerArgs, env: &Environment) -> Result<Loaded, ConfigErrors> {
        load_with(args, env, Generate::Never)
    }

    /// Checks `text` as if it were a file, with no environment and no flags. Reads and writes nothing else: as
    /// [`Config::inspect`], where no credential is configured the result has none.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn from_toml(text: &str) -> Result<Loaded, ConfigErrors> {
        let (args, env) = (ServerArgs::default(), Environment::default());
        let source = error::Source::new(Path::new("taciturn.toml"), Zeroizing::new(text.into()));
        build(Some(source), &args, &env, error::Findings::default(), Generate::Never)
    }
}

/// What happens where there is no credential.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Generate {
    /// It is made.
    Yes,
    /// That of the server is read.
    No,
    /// It does not matter.
    Never,
}

/// Which file to read, and who named it.
struct Named {
    path: PathBuf,
    origin: error::Origin,
    is_coturns: bool,
}

fn named(args: &ServerArgs, env: &Environment) -> Option<Named> {
    let flag = |path: &Option<PathBuf>, name, is_coturns| {
        let path = path.clone()?;
        Some(Named { path, origin: error::Origin::Flag(name), is_coturns })
    };
    let variable = |name: &str, is_coturns| {
        let path = env.get(name).map(PathBuf::from)?;
        Some(Named { path, origin: error::Origin::Variable(name.into()), is_coturns })
    };
    flag(&args.config, "--config", false)
        .or_else(|| flag(&args.coturn_config, "--coturn-config", true))
        .or_else(|| variable("TACITURN_CONFIG", false))
        .or_else(|| variable("TACITURN_COTURN_CONFIG", true))
}

fn load_with(
    args: &ServerArgs,
    env: &Environment,
    generate: Generate,
) -> Result<Loaded, ConfigErrors> {
    let mut findings = error::Findings::default();
    let Some(named) = named(args, env) else { return build(None, args, env, findings, generate) };
    let bytes = std::fs::read(&named.path)
        .map_err(|error| unreadable(&named, &error.to_string(), Some(error.kind())))?;
    let text = String::from_utf8(bytes).map(Zeroizing::new);
    let text = text.map_err(|_| unreadable(&named, "it is not UTF-8 text", None))?;
    let source = match named.is_coturns {
        false => error::Source::new(&named.path, text),
        true => translated(&named.path, &text, &mut findings),
    };
    build(Some(source), args, env, findings, generate)
}

/// A turnserver.conf as a source of ours; what is lost on the way goes into `findings`.
fn translated(path: &Path, text: &str, findings: &mut error::Findings) -> error::Source {
    let translation = Translation::of(text);
    let file = path.display();
    for setting in translation.errors() {
        let help = "see what becomes of every line: turnctl import-coturn FILE";
        findings.error(&error::Origin::Unplaced, "", format!("{file}, {setting}"), help);
    }
    for warning in translation.warnings() {
        findings.notes.push(Note::warning(format!("{file}, {warning}")));
    }
    findings.notes.push(Note::info(format!(
        "{file} is coturn's: {} settings were read; `turnctl import-coturn {file}` tells what became \
         of each, and writes a configuration of taciturn's own",
        translation.settings.len()
    )));
    error::Source { translated: true, ..error::Source::new(path, translation.toml) }
}

fn build(
    mut source: Option<error::Source>,
    args: &ServerArgs,
    env: &Environment,
    mut findings: error::Findings,
    generate: Generate,
) -> Result<Loaded, ConfigErrors> {
    let mut settings = load::Settings::new();
    if let Some(source) = &mut source {
        load::file(source, &mut settings, &mut findings);
    }
    load::environment(env, &mut settings, &mut findings);
    load::flags(args, &mut settings, &mut findings);
    let mut config = check::check(&settings, env, source.as_ref(), &mut findings);
    if findings.is_clean() {
        check::ensure_credential(&mut config, env, generate, &mut findings);
        // A file that is only translated is not the one that will be used.
        let used = source.as_ref().filter(|_| generate != Generate::Never);
        check::warn_of_exposed_file(&settings, used, &mut findings);
    }
    if findings.is_clean() {
        return Ok(Loaded { config, notes: findings.notes });
    }
    Err(findings.into_errors(&source.unwrap_or_default()))
}

fn unreadable(named: &Named, why: &str, cause: Option<std::io::ErrorKind>) -> ConfigErrors {
    let mut findings = error::Findings::default();
    let message = format!("cannot read {}: {why}", named.path.display());
    let help = match named.is_coturns {
        false => "name a TOML file that taciturn's user can read",
        true => "name coturn's turnserver.conf; taciturn's user must be able to read it",
    };
    findings.error(&named.origin, "", message, help);
    findings.caused_by(cause);
    findings.into_errors(&error::Source::default())
}

/// The `external_ip` key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExternalIp {
    /// Find it.
    Auto,
    /// At most one mapping of each address family, at least one in all.
    Given(Vec<RelayAddress>),
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

impl Transport {
    /// Its name in the configuration: `udp`, `tcp`, `tls`, `dtls`, `auto`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Dtls => "dtls",
            Self::Auto => "auto",
        }
    }

    /// Whether it needs a certificate.
    #[must_use]
    pub const fn is_secure(self) -> bool {
        matches!(self, Self::Tls | Self::Dtls | Self::Auto)
    }

    /// Whether it takes a UDP port, not a TCP port.
    #[must_use]
    pub const fn is_datagram(self) -> bool {
        matches!(self, Self::Udp | Self::Dtls)
    }
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
    /// This listener's own certificate; otherwise those of `[tls]`.
    pub cert: Option<CertSource>,
    /// Whether each connection begins with a PROXY protocol header (v1 or v2).
    pub proxy_protocol: bool,
    /// Who may send such headers. Empty only where `proxy_protocol` is off.
    pub trusted_proxies: Vec<IpNet>,
}

/// The `[tls]` section.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// Chosen by the name a client asks for; the first is the default. Empty: TLS is off, but for
    /// listeners that have a certificate of their own.
    pub certificates: Vec<CertSource>,
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
    /// What becomes of allocations whose user or secret is removed, or changed, by a reload.
    pub on_removal: OnRemoval,
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

/// The `[protocol]` section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Protocol {
    /// Takes channel numbers up to 0x7FFF, as RFC 5766 had them. RFC 8656 ends them at 0x4FFF, and
    /// no browser uses others; coturn's test clients before 4.16 do.
    pub rfc5766_channels: bool,
    /// Makes TCP allocations (RFC 6062), for clients that speak to peers over TCP. No browser does.
    pub tcp_relay: bool,
    /// Offers SHA-256 and hashed usernames (RFC 8489) over UDP too. Over TCP, TLS and DTLS they
    /// always are.
    pub rfc8489_over_udp: bool,
    /// Tells clients of ICMP errors that their datagrams met (RFC 8656 section 11.5).
    pub icmp_errors: bool,
    /// Answers clients of RFC 3489, which know no magic cookie.
    pub rfc3489: bool,
    /// Lets an allocation move with its client (RFC 8016).
    pub mobility: bool,
    /// Names the server in SOFTWARE, to clients that have made an allocation.
    pub software: bool,
}

impl Default for Protocol {
    fn default() -> Self {
        Self {
            rfc5766_channels: false,
            tcp_relay: false,
            rfc8489_over_udp: false,
            icmp_errors: false,
            rfc3489: false,
            mobility: false,
            software: true,
        }
    }
}

/// The `[admin]` section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// Where metrics and health are told over HTTP; `None` when that is off.
    pub metrics: Option<SocketAddr>,
    /// The control socket; `None` when that is off.
    pub socket: Option<PathBuf>,
}

impl Admin {
    /// Where metrics are by default.
    pub(crate) const METRICS: SocketAddr =
        SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9641);
}

/// The `[process]` section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// `USER` or `USER:GROUP` to run as once the ports are bound. `None`: as started.
    pub user: Option<String>,
    /// Whether all files but those in use are shut for it, where the kernel can do that.
    pub sandbox: bool,
    /// Whether system calls that a relay does not need are refused, where the kernel can do that.
    pub seccomp: bool,
}

/// The `[tuning]` section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tuning {
    /// How long a worker lets packets gather where they come often and one by one: saves wake-ups,
    /// and delays those packets by up to this. Zero is not at all.
    pub wake_delay: Duration,
}

impl Default for Tuning {
    fn default() -> Self {
        // What it saves and costs is in docs/performance.md.
        Self { wake_delay: Duration::from_micros(400) }
    }
}

/// The `[limits]` section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Allocations one user may hold at a time.
    pub allocations_per_user: u32,
    /// Permissions of one allocation.
    pub permissions_per_allocation: u32,
    /// Channels of one allocation.
    pub channels_per_allocation: u32,
    /// Connections with peers of one TCP allocation.
    pub peer_connections_per_allocation: u32,
    /// Connections (TCP, TLS and DTLS) in all; and as many with peers, where `tcp_relay` is on.
    pub connections: u32,
    /// Connections from one address (one /64 for IPv6).
    pub connections_per_address: u32,
    /// Answers a second to one UDP source (one /64 for IPv6) that has proven nothing, and to one
    /// connection; three times as many at once. 0 is no limit.
    pub unverified_answers_per_address: u32,
    /// Likewise, to all such UDP sources together.
    pub unverified_answers: u32,
    /// Sources that those two do not hold for, nor the limit of handshakes.
    pub unverified_exempt: Vec<IpNet>,
    /// Wrong credentials a second from the ports of one source that have failed a moment ago, and twice
    /// as many from its others; three times as many at once. 0 is no limit.
    pub failures_per_address: u32,
    /// TLS and DTLS handshakes a second from one address; three times as many at once. 0 is no limit.
    pub handshakes_per_address: u32,
    /// Allocations in all; 0 is no limit.
    pub allocations: u32,
    /// Of the relay ports of each address family, so many per cent are for users without an
    /// allocation.
    pub ports_reserved_percent: u32,
    /// How long a relay port is not given again, where there is another.
    pub port_quarantine: Duration,
    /// Bytes, packets, new peers and new allocations a second.
    pub rates: Rates,
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
            peer_connections_per_allocation: 32,
            connections: 4096,
            connections_per_address: 256,
            unverified_answers_per_address: 20,
            // What strangers can have sent to others comes to 8 Mbit/s: docs/security.md.
            unverified_answers: 10_000,
            unverified_exempt: Vec::new(),
            failures_per_address: 10,
            handshakes_per_address: 10,
            allocations: 0,
            ports_reserved_percent: 10,
            port_quarantine: PORT_QUARANTINE,
            rates: Rates {
                new_peers: Each { allocation: 50, user: 200, in_all: 0 },
                allocations: Each { allocation: 0, user: 20, in_all: 0 },
                ..Rates::default()
            },
            max_lifetime: Duration::from_secs(3600),
            nonce_lifetime: Duration::from_secs(3600),
        }
    }
}
