//! A server on every transport, clients of each kind, and what its process holds.

use std::io;
use std::time::{Duration, Instant};

use openssl::x509::X509;
use taciturn_stun::{Message, Method};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::sleep;

use crate::certificates::{Authority, HOST};
use crate::datagrams::udp;
use crate::dtls;
use crate::dtls_stream::DtlsStream;
use crate::server::Server;
use crate::stream_client::{PASSWORD, REALM, StreamClient, USER};

pub const TRANSPORTS: [&str; 4] = ["udp", "tcp", "tls", "dtls"];

/// Any way to the server.
pub trait Wire: AsyncRead + AsyncWrite + Unpin {}
impl<S: AsyncRead + AsyncWrite + Unpin> Wire for S {}

pub type AnyClient = StreamClient<Box<dyn Wire>>;

pub struct Site {
    pub server: Server,
    pub authority: Authority,
    pub root: X509,
    certificate: tempfile::TempDir,
}

impl Site {
    /// A server that listens for all of [`TRANSPORTS`], with `more` in its configuration, and one
    /// worker unless that says otherwise.
    pub fn new(more: &str) -> Self {
        let authority = Authority::new();
        let certificate = tempfile::tempdir().unwrap();
        authority.issue().write_pair(certificate.path());
        let root = X509::from_der(authority.root()).unwrap();
        let server = Server::configured(&configuration(certificate.path(), more));
        // Each worker has a part in the answer: what they hold for themselves is open then, and those
        // who count descriptors begin with all of them.
        let mut status = std::process::Command::new(crate::program::turnctl());
        status.args(["status", "--socket"]).arg(server.state.path().join("control.sock"));
        let status = status.output().unwrap();
        assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stderr));
        Self { server, authority, root, certificate }
    }

    /// Has it read its configuration again, with `more` in it.
    pub fn reload(&self, more: &str) {
        self.server.reload(&configuration(self.certificate.path(), more));
    }

    /// A client by one of [`TRANSPORTS`].
    pub async fn connect(&self, transport: &str) -> io::Result<AnyClient> {
        let at = self.server.listener(transport);
        let wire: Box<dyn Wire> = match transport {
            "udp" => Box::new(udp(at).await),
            "tcp" => Box::new(TcpStream::connect(at).await?),
            "tls" => Box::new(self.authority.connect(TcpStream::connect(at).await?).await?),
            _ => Box::new(DtlsStream::connect(at, dtls::Client::new(&self.root)).await?),
        };
        Ok(StreamClient::new(wire))
    }

    /// How many descriptors the server has open.
    pub fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.server.id())).unwrap().count()
    }

    /// What they are.
    fn open_files(&self) -> Vec<std::path::PathBuf> {
        let all = std::fs::read_dir(format!("/proc/{}/fd", self.server.id())).unwrap();
        all.filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok()).collect()
    }

    /// Its resident memory, in bytes.
    pub fn resident(&self) -> u64 {
        self.server.resident()
    }

    /// Waits until it has no more descriptors than that.
    pub async fn descriptors_fall_to(&self, baseline: usize) {
        let start = Instant::now();
        while self.descriptors() > baseline {
            let now = self.descriptors();
            assert!(
                start.elapsed() < crate::server::PATIENCE * 2,
                "{now} open, not {baseline}: {:?}",
                self.open_files()
            );
            sleep(Duration::from_millis(50)).await;
        }
    }
}

fn configuration(certificate: &std::path::Path, more: &str) -> String {
    let workers = if more.contains("workers =") { "" } else { "workers = 1\n" };
    let mut text = format!(
        "realm = \"{REALM}\"\nhost = \"{HOST}\"\nexternal_ip = \"127.0.0.1\"\n{workers}{more}\n\
         [auth]\nusers = [\"{USER}:{PASSWORD}\"]\n[peers]\nallow = [\"127.0.0.0/8\"]\n\
         [admin]\nmetrics = \"off\"\n[tls]\ncert = \"{0}/cert.pem\"\nkey = \"{0}/key.pem\"\n",
        certificate.display()
    );
    for transport in TRANSPORTS {
        text.push_str(&format!(
            "[[listen]]\ntransport = \"{transport}\"\naddress = \"127.0.0.1:0\"\n"
        ));
    }
    text
}

/// Ends a client's allocation and its connection.
pub async fn leave(mut client: AnyClient) {
    let answer = client.ask(Method::REFRESH, |writer| {
        writer.lifetime(0);
    });
    assert_eq!(Message::parse(&answer.await).unwrap().error_code(), None);
    let _ = client.stream().shutdown().await;
}
