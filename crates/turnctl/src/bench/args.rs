//! The arguments of `turnctl bench`, and their bounds.

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use rustls::pki_types::CertificateDer;

use crate::CtlError;
use crate::check::credentials::Credentials;
use crate::check::{LoginArgs, certificates};
use crate::client::uri::UriFault;
use crate::client::{ClientError, Shortage, TurnUri};
use taciturn_config::Environment;

const EXAMPLES: &str = "\
Examples:
  turnctl bench turn:127.0.0.1 --user alice --pid 1234
      Ten calls for ten seconds, and the cost of a packet for the local server.
  turnctl bench turn:127.0.0.1 --user alice --flows 20 --size 1200 --burst 10 --closed-loop
      As fast as packets come back.
  turnctl bench turn:turn.example.org --secret-file /etc/turn.secret --relayed-peers
      A remote server: both ends of each flow are its clients.
  turnctl bench \"turn:127.0.0.1?transport=tcp\" --user alice --idle 1000 --pid 1234
      The cost of an idle connection.

Measure your own servers only. The peers are sockets of this program, so nobody else receives packets.
By default a server denies peers on its own machine and in private networks (taciturn: [peers] allow);
--relayed-peers needs no exception.

Exit status: 0 measured, 1 the server refused or did not answer, 2 the arguments are wrong.";

/// The longest measurement: a permission lasts 300 s (RFC 8656 section 9), and none is refreshed here.
const LONGEST: f64 = 240.0;
/// Flows, or clients that are opened.
const MOST_FLOWS: usize = 2_000;
const MOST_CLIENTS: usize = 20_000;
/// Payload bytes: the least that identifies a packet, and the most that fits into an Ethernet frame.
pub(super) const SMALLEST: u16 = 16;
const LARGEST: u16 = 1400;
const LONGEST_BURST: u16 = 64;
/// Packets a second, all flows together: beyond what a core sends.
const MOST_PACKETS: f64 = 2e6;

/// Arguments of `turnctl bench`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct BenchArgs {
    /// The server: turn:HOST[:PORT][?transport=udp|tcp] or turns:HOST[:PORT]
    #[arg(value_name = "URI")]
    pub uri: String,

    /// The credentials.
    #[command(flatten)]
    pub login: LoginArgs,

    /// Number of flows: allocations with one channel each
    #[arg(long, value_name = "NUMBER", default_value_t = 10)]
    pub flows: usize,

    /// Payload of a packet, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 172)]
    pub size: u16,

    /// Packets that a flow sends at once
    #[arg(long, value_name = "PACKETS", default_value_t = 1)]
    pub burst: u16,

    /// Bursts per second in each flow
    #[arg(long, value_name = "NUMBER", default_value_t = 50.0, conflicts_with = "closed_loop")]
    pub rate: f64,

    /// Send the next burst of a flow when the previous one has arrived, instead of at a fixed rate
    #[arg(long)]
    pub closed_loop: bool,

    /// Spread the bursts of the flows evenly over time, instead of sending all at once
    #[arg(long, conflicts_with = "closed_loop")]
    pub spread: bool,

    /// Which side sends
    #[arg(long, value_name = "WAY", value_enum, default_value_t = Direction::Both)]
    pub direction: Direction,

    /// Seconds to measure, after a warm-up of half a second
    #[arg(long, value_name = "NUMBER", default_value_t = 10.0)]
    pub seconds: f64,

    /// Use clients of the server as peers: each packet passes the server twice, from relayed address
    /// to relayed address
    #[arg(long)]
    pub relayed_peers: bool,

    /// Address of this machine that peers use [default: the one that routes to the server]
    #[arg(long, value_name = "ADDRESS", conflicts_with = "relayed_peers")]
    pub peer_address: Option<IpAddr>,

    /// Poll for packets instead of sleeping until one arrives: uses a whole core, and the server spends no
    /// time on waking this program
    #[arg(long)]
    pub spin: bool,

    /// No traffic: create this many allocations, --flows at a time, hold them, and
    /// end them
    #[arg(long, value_name = "NUMBER", conflicts_with = "idle")]
    pub allocations: Option<usize>,

    /// No traffic: open this many connections, each with one Binding request
    #[arg(long, value_name = "NUMBER")]
    pub idle: Option<usize>,

    /// Process of a server on this machine: also report its processor time and memory
    #[arg(long, value_name = "PID")]
    pub pid: Option<u32>,

    /// PEM file with certificate authorities to trust in addition to those of browsers
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,

    /// Accept any certificate of the server
    #[arg(long, conflicts_with = "ca")]
    pub any_certificate: bool,

    /// Print JSON on one line
    #[arg(long)]
    pub json: bool,
}

/// Which side sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Direction {
    /// Clients send, peers send everything back.
    Both,
    /// Clients send.
    Up,
    /// Peers send.
    Down,
}

impl Direction {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Both => "both",
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The URI cannot be used.
    #[error("\"{0}\": {1}")]
    Uri(String, UriFault),
    /// A URI without a relay.
    #[error("\"{0}\": a stun: server has no relay to measure; write turn: or turns:")]
    NotTurn(String),
    /// A number is out of its bounds.
    #[error("{option} {found}: write a number from {least} to {most}")]
    Bounds {
        /// The option.
        option: &'static str,
        /// The given value.
        found: f64,
        /// The smallest.
        least: f64,
        /// The largest.
        most: f64,
    },
    /// The load is beyond what turnctl can send.
    #[error(
        "{0:.0} packets per second are more than turnctl can send ({MOST_PACKETS:.0}): lower --flows, --burst \
         or --rate, or use --closed-loop to find out how many the server takes"
    )]
    TooMuch(f64),
    /// UDP has no connections.
    #[error("--idle: UDP has no connections: use ?transport=tcp or turns:, or --allocations")]
    IdleDatagrams,
    /// The name has no address.
    #[error("{host}: {what}")]
    Name {
        /// The host of the URI.
        host: String,
        /// Why.
        what: String,
    },
    /// A step of a client failed.
    #[error("{step}: {error}{}", hint(.error, *.own_peer))]
    Client {
        /// Which.
        step: &'static str,
        /// Why.
        error: ClientError,
        /// Whether the server was asked to relay to a socket of this machine.
        own_peer: bool,
    },
    /// The server requires credentials.
    #[error("the server requires credentials: pass --user NAME or --secret-file FILE")]
    NoLogin,
    /// The certificate is bad.
    #[error("the server's certificate: {}; pass --ca FILE, or --any-certificate", crate::client::tls_words::of(.0))]
    Certificate(rustls::Error),
    /// Peers of this machine cannot be reached.
    #[error(
        "the server sees this machine as {0}, so peers on it are behind NAT: use --relayed-peers, or \
         --peer-address with an address that the server reaches"
    )]
    BehindNat(IpAddr),
    /// There is no such process, or it cannot be inspected.
    #[error("--pid {0}: there is no such process on this machine, or you may not inspect it")]
    Process(u32),
    /// The figure exists only for traffic.
    #[error("there is no traffic to measure")]
    NoTraffic,
    /// A system call failed.
    #[error("the operating system refuses: {0}")]
    System(#[from] io::Error),
}

impl From<BenchError> for CtlError {
    fn from(error: BenchError) -> Self {
        if error.is_mistake() { Self::mistake(error) } else { Self::failure(error) }
    }
}

impl BenchError {
    /// Whether the arguments are wrong, rather than the server or the machine.
    pub(crate) const fn is_mistake(&self) -> bool {
        !matches!(self, Self::Client { .. } | Self::Name { .. } | Self::System(_))
    }
}

/// A remedy for the refusal of a server.
fn hint(error: &ClientError, own_peer: bool) -> &'static str {
    match Shortage::of(error) {
        Some(Shortage::User) => {
            "\n  the server's limits for one user or address are lower than what was requested"
        }
        Some(Shortage::All) => "\n  the server's limit for all users together is reached",
        Some(Shortage::Ports | Shortage::KeptPorts) => "\n  the server has no free relay ports",
        Some(Shortage::Draining) => "\n  the server is draining: it creates no new allocations",
        Some(Shortage::Listener) => {
            "\n  the server is removing this listener: it creates no new allocations there"
        }
        None if error.code() == Some(403) && own_peer => {
            "\n  the server does not relay to this machine: allow it there for the measurement (taciturn: \
             [peers] allow), or use --relayed-peers"
        }
        None if error.code() == Some(508) => "\n  a limit of the server is reached",
        None => "",
    }
}

/// The traffic of a run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) flows: usize,
    pub(super) size: u16,
    pub(super) burst: u16,
    /// Bursts per second in each flow; `None` is a closed loop.
    pub(super) rate: Option<f64>,
    pub(super) spread: bool,
    pub(super) spin: bool,
    pub(super) direction: Direction,
    pub(super) relayed_peers: bool,
}

/// The measurement.
#[derive(Clone, Copy, Debug)]
pub(super) enum Work {
    Traffic(Shape),
    Allocations(usize),
    Idle(usize),
}

/// The checked arguments.
#[derive(Debug)]
pub(super) struct BenchPlan {
    pub(super) uri: TurnUri,
    pub(super) credentials: Credentials,
    pub(super) work: Work,
    /// Clients that are opened at the same time.
    pub(super) at_once: usize,
    pub(super) duration: Duration,
    pub(super) peer_address: Option<IpAddr>,
    pub(super) pid: Option<u32>,
    pub(super) extra_roots: Vec<CertificateDer<'static>>,
    pub(super) any_certificate: bool,
}

impl BenchArgs {
    /// Checks the numbers and reads the files.
    pub(super) fn plan(&self, env: &Environment) -> Result<BenchPlan, CtlError> {
        let uri = self.uri.parse::<TurnUri>();
        let uri = uri.map_err(|fault| BenchError::Uri(self.uri.clone(), fault))?;
        if uri.scheme == crate::client::uri::Scheme::Stun {
            return Err(BenchError::NotTurn(self.uri.clone()).into());
        }
        let work = self.work(&uri)?;
        within("--seconds", self.seconds, 0.1, LONGEST)?;
        Ok(BenchPlan {
            uri,
            credentials: self.login.credentials("turnctl-bench", env)?,
            work,
            at_once: self.flows,
            duration: Duration::from_secs_f64(self.seconds),
            peer_address: self.peer_address,
            pid: self.pid,
            extra_roots: self.ca.as_deref().map(certificates).transpose()?.unwrap_or_default(),
            any_certificate: self.any_certificate,
        })
    }

    fn work(&self, uri: &TurnUri) -> Result<Work, BenchError> {
        within("--flows", self.flows as f64, 1.0, MOST_FLOWS as f64)?;
        if let Some(count) = self.allocations {
            within("--allocations", count as f64, 1.0, MOST_CLIENTS as f64)?;
            return Ok(Work::Allocations(count));
        }
        if let Some(count) = self.idle {
            within("--idle", count as f64, 1.0, MOST_CLIENTS as f64)?;
            if uri.spoken() == crate::client::Spoken::Udp {
                return Err(BenchError::IdleDatagrams);
            }
            return Ok(Work::Idle(count));
        }
        within("--size", f64::from(self.size), f64::from(SMALLEST), f64::from(LARGEST))?;
        within("--burst", f64::from(self.burst), 1.0, f64::from(LONGEST_BURST))?;
        let rate = (!self.closed_loop).then_some(self.rate);
        if let Some(rate) = rate {
            within("--rate", rate, 0.1, 100_000.0)?;
            let packets = rate * f64::from(self.burst) * self.flows as f64;
            if packets > MOST_PACKETS {
                return Err(BenchError::TooMuch(packets));
            }
        }
        Ok(Work::Traffic(Shape {
            flows: self.flows,
            size: self.size,
            burst: self.burst,
            rate,
            spread: self.spread,
            spin: self.spin,
            direction: self.direction,
            relayed_peers: self.relayed_peers,
        }))
    }
}

fn within(option: &'static str, found: f64, least: f64, most: f64) -> Result<(), BenchError> {
    // Written so that NaN is out of bounds.
    if found >= least && found <= most {
        return Ok(());
    }
    Err(BenchError::Bounds { option, found, least, most })
}
