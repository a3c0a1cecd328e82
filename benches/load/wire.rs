//! The ways to a server: datagrams, TCP, TLS. What is sent on a stream is padded to a multiple of
//! four, and each message is written by itself, as clients of calls do it.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::io::{
    AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadHalf, WriteHalf, split,
};
use tokio::net::{TcpStream, UdpSocket};
use tokio_rustls::TlsConnector;

use crate::Result;

/// How the load reaches the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    Udp,
    Tcp,
    Tls,
}

impl Transport {
    pub(crate) fn parse(name: &str) -> Result<Self> {
        match name {
            "udp" => Ok(Self::Udp),
            "tcp" => Ok(Self::Tcp),
            "tls" => Ok(Self::Tls),
            _ => Err(format!("--transport is udp, tcp or tls, not {name}").into()),
        }
    }
}

pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// The sending side of a flow.
pub(crate) enum Sender {
    Datagrams(Arc<UdpSocket>),
    Stream(WriteHalf<Box<dyn Stream>>),
}

/// The receiving side of a flow.
pub(crate) enum Receiver {
    Datagrams(Arc<UdpSocket>, Box<[u8; 2048]>),
    Stream(ReadHalf<Box<dyn Stream>>, Vec<u8>),
}

/// Opens a way to the server.
pub(crate) async fn connect(
    transport: Transport,
    server: SocketAddr,
) -> Result<(Sender, Receiver)> {
    if transport == Transport::Udp {
        let socket = UdpSocket::bind("127.0.0.1:0").await?;
        socket.connect(server).await?;
        let socket = Arc::new(socket);
        let receiver = Receiver::Datagrams(Arc::clone(&socket), Box::new([0; 2048]));
        return Ok((Sender::Datagrams(socket), receiver));
    }
    let stream = TcpStream::connect(server).await?;
    stream.set_nodelay(true)?;
    let stream: Box<dyn Stream> = if transport == Transport::Tls {
        let name = ServerName::try_from("turn.e2e.test")?;
        Box::new(TlsConnector::from(trusting_all()?).connect(name, stream).await?)
    } else {
        Box::new(stream)
    };
    let (reader, writer) = split(stream);
    Ok((Sender::Stream(writer), Receiver::Stream(reader, Vec::with_capacity(64 * 1024))))
}

impl Sender {
    /// Sends one message. On streams it has its padding.
    pub(crate) async fn send(&mut self, message: &[u8]) -> std::io::Result<()> {
        match self {
            Self::Datagrams(socket) => socket.send(message).await.map(drop),
            Self::Stream(stream) => {
                stream.write_all(message).await?;
                stream.flush().await
            }
        }
    }
}

impl Receiver {
    /// The next message.
    pub(crate) async fn receive(&mut self) -> std::io::Result<Vec<u8>> {
        let (reader, unread) = match self {
            Self::Datagrams(socket, buffer) => {
                let len = socket.recv(&mut buffer[..]).await?;
                return Ok(buffer[..len].to_vec());
            }
            Self::Stream(reader, unread) => (reader, unread),
        };
        loop {
            if let Some(len) = message_length(unread) {
                return Ok(unread.drain(..len).collect());
            }
            if reader.read_buf(unread).await? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Waits for messages and answers how many came; their content is not looked at.
    pub(crate) async fn count(&mut self) -> std::io::Result<u64> {
        let mut count = 0;
        match self {
            Self::Datagrams(socket, buffer) => {
                socket.readable().await?;
                while socket.try_recv(&mut buffer[..]).is_ok() {
                    count += 1;
                }
            }
            Self::Stream(reader, unread) => {
                if reader.read_buf(unread).await? == 0 {
                    return Err(std::io::ErrorKind::UnexpectedEof.into());
                }
                let mut taken = 0;
                while let Some(len) = message_length(&unread[taken..]) {
                    taken += len;
                    count += 1;
                }
                unread.drain(..taken);
            }
        }
        Ok(count)
    }
}

/// The length of the whole message at the front, with its padding (RFC 8656 section 12.5).
fn message_length(bytes: &[u8]) -> Option<usize> {
    let [first, _, high, low, ..] = *bytes else { return None };
    let length = usize::from(u16::from_be_bytes([high, low]));
    let whole = if first < 0x40 { 20 + length } else { (4 + length).next_multiple_of(4) };
    (bytes.len() >= whole).then_some(whole)
}

fn trusting_all() -> Result<Arc<ClientConfig>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(TrustsAll(provider)))
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// Whose the certificate is does not matter to a load.
#[derive(Debug)]
struct TrustsAll(Arc<CryptoProvider>);

impl ServerCertVerifier for TrustsAll {
    fn verify_server_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
