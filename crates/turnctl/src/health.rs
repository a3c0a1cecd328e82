//! `turnctl health`: whether a server answers, for health checks.
//!
//! One STUN Binding, which needs no credentials and leaves no state.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs as _, UdpSocket};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};

use taciturn_config::{Config, Environment, Listen, Loaded, ServerArgs, Transport};
use taciturn_stun::{Class, Frame, Message, Method, TransactionId, Writer};

use super::CtlError;

const EXAMPLES: &str = "\
Examples:
  turnctl health --config /etc/taciturn/taciturn.toml
      Asks the first listener of that configuration, UDP before TCP before TLS.
  turnctl health tls:turn.domain.org:5349
      Asks that listener. Transports are udp (the default), tcp and tls.

The exit status is 0 if the server answers, 1 if it does not, 2 for a wrong argument or
configuration. The certificate of a TLS listener is not checked.";

/// How long the server may take, all in all.
const PATIENCE: Duration = Duration::from_secs(3);

/// A datagram can be lost: so long until it is sent again (RFC 8489 section 6.2.1).
const RETRANSMIT: Duration = Duration::from_millis(500);

/// Arguments of `turnctl health`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct HealthArgs {
    /// Listener to ask, such as udp:127.0.0.1:3478 [default: the first configured one]
    #[arg(value_name = "[TRANSPORT:]ADDRESS:PORT")]
    pub address: Option<String>,

    /// Configuration file of the server; also TACITURN_CONFIG
    #[arg(long, short, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Why a server is not known to be well.
#[derive(Debug, thiserror::Error)]
pub enum HealthError {
    /// The argument names no listener.
    #[error(
        "\"{0}\": write TRANSPORT:ADDRESS:PORT, like udp:127.0.0.1:3478; transports are udp, tcp, tls"
    )]
    Target(String),
    /// None of the configured listeners can be asked.
    #[error(
        "no listener can be tested: only udp, tcp, tls, auto and udp+dtls listeners can, and only if the port is not 0"
    )]
    NoListener,
    /// No answer, or a wrong one.
    #[error("{address}/{transport} does not answer: {error}", transport = transport.name())]
    Silent {
        /// The listener that was tested.
        address: SocketAddr,
        /// How.
        transport: Transport,
        /// The cause.
        error: io::Error,
    },
}

impl From<HealthError> for CtlError {
    fn from(error: HealthError) -> Self {
        if error.is_mistake() { Self::mistake(error) } else { Self::failure(error) }
    }
}

impl HealthError {
    /// Whether the server is ill, or the question wrong.
    pub(super) const fn is_mistake(&self) -> bool {
        !matches!(self, Self::Silent { .. })
    }
}

/// Whom to ask, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Target {
    transport: Transport,
    address: SocketAddr,
    /// The listener accepts connections only from proxies.
    behind_proxy: bool,
}

impl FromStr for Target {
    type Err = HealthError;

    fn from_str(text: &str) -> Result<Self, HealthError> {
        let wrong = || HealthError::Target(text.to_owned());
        let known = [("udp:", Transport::Udp), ("tcp:", Transport::Tcp), ("tls:", Transport::Tls)];
        let found = known.into_iter().find_map(|(name, transport)| {
            text.strip_prefix(name).map(|address| (transport, address))
        });
        let (transport, address) = found.unwrap_or((Transport::Udp, text));
        let address = address.to_socket_addrs().ok().and_then(|mut found| found.next());
        let address = address.ok_or_else(wrong)?;
        Ok(Self { transport, address: reachable(address), behind_proxy: false })
    }
}

/// For a wildcard address, loopback is tested.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip: IpAddr = match address.ip() {
        // `[::]` is both families, and IPv4 is there where IPv6 is off.
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) | IpAddr::V6(Ipv6Addr::UNSPECIFIED) => {
            Ipv4Addr::LOCALHOST.into()
        }
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// The most informative listener that is the cheapest to test: UDP first, those behind a proxy last.
fn choose(listeners: &[Listen]) -> Option<Target> {
    let rank = |listen: &Listen| {
        let transport = match listen.transport {
            Transport::Udp | Transport::UdpAndDtls => 0,
            Transport::Tcp | Transport::Auto => 1,
            Transport::Tls => 2,
            // This command has no client for it.
            Transport::Dtls => return None,
        };
        (listen.address.port() != 0).then_some((listen.proxy_protocol, transport))
    };
    let best = listeners.iter().filter(|listen| rank(listen).is_some()).min_by_key(|l| rank(l))?;
    let transport = match best.transport {
        Transport::Auto => Transport::Tcp,
        Transport::UdpAndDtls => Transport::Udp,
        other => other,
    };
    let address = reachable(best.address);
    Some(Target { transport, address, behind_proxy: best.proxy_protocol })
}

pub(super) fn run(
    args: &HealthArgs,
    env: &Environment,
    out: &mut dyn Write,
) -> Result<(), CtlError> {
    let target = match &args.address {
        Some(text) => text.parse()?,
        None => {
            let args = ServerArgs { config: args.config.clone(), ..ServerArgs::default() };
            let Loaded { config, .. } = Config::inspect(&args, env)?;
            choose(&config.listen).ok_or(HealthError::NoListener)?
        }
    };
    let start = Instant::now();
    let Target { transport, address, .. } = target;
    let mapped = ask(target).map_err(|error| {
        // The text of std for a timeout ("Resource temporarily unavailable") is not helpful.
        let error = match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                io::Error::new(io::ErrorKind::TimedOut, format!("nothing within {PATIENCE:?}"))
            }
            _ => error,
        };
        HealthError::Silent { address, transport, error }
    })?;
    let after = start.elapsed().as_secs_f64() * 1000.0;
    let how = match mapped {
        Some(mapped) => format!("answers, and sees us as {mapped}"),
        None => "refuses connections that do not come from its proxy, as it should".to_owned(),
    };
    writeln!(out, "{address}/{} {how} ({after:.1} ms)", transport.name())?;
    Ok(())
}

/// Tests the listener. Returns our mapped address, or `None` if the server correctly closed the connection.
fn ask(target: Target) -> io::Result<Option<SocketAddr>> {
    let mut tid = [0; 12];
    getrandom::fill(&mut tid).map_err(io::Error::other)?;
    let tid = TransactionId(tid);
    let mut request = [0; 20];
    Writer::new(&mut request, Class::Request, Method::BINDING, tid)
        .finish()
        .map_err(io::Error::other)?;
    if target.transport == Transport::Udp {
        return ask_udp(target.address, tid, &request).map(Some);
    }
    let mut stream = TcpStream::connect_timeout(&target.address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let answer = (|| {
        if target.behind_proxy {
            stream.write_all(b"PROXY UNKNOWN\r\n")?;
        }
        if target.transport == Transport::Tcp {
            return ask_stream(stream, tid, &request);
        }
        let name = ServerName::IpAddress(target.address.ip().into());
        let session = ClientConnection::new(Arc::new(any_certificate()?), name);
        ask_stream(StreamOwned::new(session.map_err(io::Error::other)?, stream), tid, &request)
    })();
    let closed = |error: &io::Error| {
        use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
        matches!(error.kind(), BrokenPipe | ConnectionReset | UnexpectedEof)
    };
    match answer {
        Err(error) if target.behind_proxy && closed(&error) => Ok(None),
        answer => answer.map(Some),
    }
}

fn ask_udp(server: SocketAddr, tid: TransactionId, request: &[u8]) -> io::Result<SocketAddr> {
    let any: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(server)?;
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        socket.send(request)?;
        let again = end.min(Instant::now() + RETRANSMIT);
        let mut answer = [0; 1500];
        while let Some(left) = again.checked_duration_since(Instant::now()).filter(|t| !t.is_zero())
        {
            socket.set_read_timeout(Some(left))?;
            match socket.recv(&mut answer) {
                Ok(len) => {
                    // Everything else is not a response to this request.
                    if let Ok(mapped) = mapped(answer.get(..len).unwrap_or_default(), tid) {
                        return Ok(mapped);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
    }
    Err(io::ErrorKind::TimedOut.into())
}

fn ask_stream(
    mut stream: impl Read + Write,
    tid: TransactionId,
    request: &[u8],
) -> io::Result<SocketAddr> {
    stream.write_all(request)?;
    stream.flush()?;
    let (mut answer, mut len) = ([0; 1500], 0);
    loop {
        let read = match stream.read(answer.get_mut(len..).unwrap_or_default()) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        len += read;
        let bytes = answer.get(..len).unwrap_or_default();
        match Frame::of(bytes) {
            Frame::Whole { len, .. } => return mapped(bytes.get(..len).unwrap_or_default(), tid),
            Frame::Incomplete { .. } if len < answer.len() => {}
            _ => return Err(io::Error::other("the reply is not STUN")),
        }
    }
}

/// The address in a success to our request.
fn mapped(bytes: &[u8], tid: TransactionId) -> io::Result<SocketAddr> {
    let message = Message::parse(bytes).map_err(io::Error::other)?;
    let ours = message.transaction_id() == tid && message.class() == Class::Success;
    let mapped = message.mapped_address().filter(|_| ours);
    mapped.ok_or_else(|| io::Error::other("the reply is not a response to a Binding request"))
}

fn any_certificate() -> io::Result<ClientConfig> {
    let provider = Arc::new(ring::default_provider());
    let verifier = Arc::new(AnyCertificate(Arc::clone(&provider)));
    let builder = ClientConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions().map_err(io::Error::other)?;
    Ok(builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
}

/// Accepts every certificate: the test is only whether the server responds, and sends nothing secret.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, cert, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, cert, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(listeners: &str) -> Option<(Transport, String, bool)> {
        let text = format!(
            "{listeners}\n[auth]\nsecrets = [\"0123456789abcdef0123456789abcdef\"]\n[tls]\ncert = \
             \"a\"\nkey = \"b\""
        );
        let config = Config::from_toml(&text).unwrap().config;
        let Target { transport, address, behind_proxy } = choose(&config.listen)?;
        Some((transport, address.to_string(), behind_proxy))
    }

    fn listen(transport: &str, address: &str, more: &str) -> String {
        format!("[[listen]]\ntransport = \"{transport}\"\naddress = \"{address}\"\n{more}\n")
    }

    #[test]
    fn udp_is_asked_before_tcp_before_tls_before_what_is_behind_a_proxy() {
        let proxy = "proxy_protocol = true\ntrusted_proxies = [\"10.0.0.0/8\"]";
        let mut listeners = vec![
            listen("tcp", "172.17.0.1:5350", proxy),
            listen("tls", "[::]:5349", ""),
            listen("auto", "0.0.0.0:443", ""),
            listen("udp", "[2001:db8::7]:3478", ""),
            listen("udp+dtls", "[2001:db8::7]:3479", ""),
        ];
        // Of two over UDP the first.
        assert_eq!(
            chosen(&listeners.concat()),
            Some((Transport::Udp, "[2001:db8::7]:3478".into(), false))
        );
        listeners.remove(3);
        let mut next = || {
            let found = chosen(&listeners.concat()).unwrap();
            listeners.pop();
            found
        };
        assert_eq!(next(), (Transport::Udp, "[2001:db8::7]:3479".into(), false));
        assert_eq!(next(), (Transport::Tcp, "127.0.0.1:443".into(), false));
        assert_eq!(next(), (Transport::Tls, "127.0.0.1:5349".into(), false));
        assert_eq!(next(), (Transport::Tcp, "172.17.0.1:5350".into(), true));
        assert_eq!(chosen(""), Some((Transport::Udp, "127.0.0.1:3478".into(), false)));
    }

    #[test]
    fn a_port_that_nobody_knows_cannot_be_asked() {
        assert_eq!(chosen(&listen("udp", "127.0.0.1:0", "")), None);
    }

    #[test]
    fn targets_are_written_like_listeners() {
        let target = |text: &str| text.parse::<Target>();
        let found = target("tls:[::1]:5349").unwrap();
        assert_eq!(
            (found.transport, found.address.to_string()),
            (Transport::Tls, "[::1]:5349".into())
        );
        assert_eq!(target("127.0.0.1:3478").unwrap().transport, Transport::Udp);
        for wrong in ["", "3478", "udp:127.0.0.1", "sctp:127.0.0.1:3478", "tls:"] {
            assert!(target(wrong).unwrap_err().to_string().contains("TRANSPORT:"), "{wrong}");
        }
    }
}
