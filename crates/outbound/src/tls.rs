//! TLS to another server: its certificate and the name in it are checked, always.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
pub use tokio_rustls::client::TlsStream;

/// Secures a connection.
pub struct Tls {
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl Tls {
    /// To the host of this name or address, by the authorities of this file and no others. The file is read each time:
    /// it may have changed.
    ///
    /// # Errors
    /// When there is no file, it cannot be read, or has no certificate in it; and when no certificate can be for the name.
    pub fn new(host: &str, ca_file: Option<&Path>) -> io::Result<Self> {
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let config = client_config(ca_file)?;
        Ok(Self { connector: TlsConnector::from(Arc::new(config)), name })
    }

    /// Shakes hands.
    ///
    /// # Errors
    /// When the other end is not who it should be, or speaks no TLS.
    pub async fn connect<S>(self, stream: S) -> io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        self.connector.connect(self.name, stream).await
    }
}

fn client_config(ca_file: Option<&Path>) -> io::Result<ClientConfig> {
    let path = ca_file.ok_or_else(|| io::Error::other("there is no ca_file"))?;
    let bad = |error: &dyn std::fmt::Display| {
        io::Error::other(format!("ca_file {}: {error}", path.display()))
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| bad(&error))? {
        // Of the many of a system some may be of a kind that is not known here.
        let _ = roots.add(certificate.map_err(|error| bad(&error))?);
    }
    if roots.is_empty() {
        return Err(bad(&"there is no certificate in it"));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;

    use rustls::ServerConfig;
    use rustls::pki_types::PrivateKeyDer;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;

    use super::*;
    use crate::connect::connect;

    /// What a server has whose certificate is for these names; the certificate is its own authority.
    fn certificate(names: &[&str]) -> (Arc<ServerConfig>, String) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let rcgen::CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed(names).unwrap();
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .unwrap();
        (Arc::new(config), cert.pem())
    }

    /// What comes of a connection to 127.0.0.1 whose server has this certificate.
    async fn connected(server: Arc<ServerConfig>, ca_file: &Path) -> io::Result<String> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let serving = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            if let Ok(mut stream) = TlsAcceptor::from(server).accept(stream).await {
                stream.write_all(b"hello").await.unwrap();
                stream.shutdown().await.unwrap();
            }
        });
        let mut told = String::new();
        let connected = connect("127.0.0.1", port, true, Some(ca_file)).await;
        let read = match connected {
            Ok(mut stream) => stream.read_to_string(&mut told).await.map(|_| told),
            Err(error) => Err(error),
        };
        serving.await.unwrap();
        read
    }

    #[tokio::test]
    async fn who_has_a_certificate_of_an_authority_of_the_file_is_spoken_with() {
        let directory = tempfile::tempdir().unwrap();
        let ca_file = directory.path().join("ca.pem");
        let (server, pem) = certificate(&["127.0.0.1"]);
        fs::write(&ca_file, pem).unwrap();
        assert_eq!(connected(server, &ca_file).await.unwrap(), "hello");
    }

    #[tokio::test]
    async fn another_authority_and_another_name_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let ca_file = directory.path().join("ca.pem");
        let (_, trusted) = certificate(&["127.0.0.1"]);
        let (other, _) = certificate(&["127.0.0.1"]);
        fs::write(&ca_file, trusted).unwrap();
        let error = connected(other, &ca_file).await.unwrap_err().to_string();
        assert!(error.contains("invalid peer certificate"), "{error}");
        let (named, pem) = certificate(&["valkey.internal"]);
        fs::write(&ca_file, pem).unwrap();
        let error = connected(named, &ca_file).await.unwrap_err().to_string();
        assert!(error.contains("not valid for name"), "{error}");
    }

    #[test]
    fn a_file_without_certificates_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let ca_file = directory.path().join("ca.pem");
        let refused = |ca_file| Tls::new("valkey.internal", ca_file).err().unwrap().to_string();
        assert_eq!(refused(None), "there is no ca_file");
        let named = format!("ca_file {}: ", ca_file.display());
        assert!(refused(Some(&ca_file)).starts_with(&named));
        fs::write(&ca_file, "nothing\n").unwrap();
        assert_eq!(refused(Some(&ca_file)), format!("{named}there is no certificate in it"));
        fs::write(&ca_file, "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n").unwrap();
        assert!(refused(Some(&ca_file)).starts_with(&named));
    }
}
