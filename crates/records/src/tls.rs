//! The connection to a receiver.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::url::Url;

/// Any connection.
pub(crate) trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Wire for S {}

/// Connects to a receiver, which must have a certificate of the authorities in `ca_file` if the connection is secured.
pub(crate) async fn connect(url: &Url, ca_file: Option<&Path>) -> io::Result<Box<dyn Wire>> {
    let stream = TcpStream::connect((url.host.as_str(), url.port)).await?;
    stream.set_nodelay(true)?;
    if !url.tls {
        return Ok(Box::new(stream));
    }
    let name = ServerName::try_from(url.host.clone()).map_err(io::Error::other)?;
    let connector = TlsConnector::from(Arc::new(client_config(ca_file)?));
    Ok(Box::new(connector.connect(name, stream).await?))
}

/// Trusts the authorities of the file, and no others. It is read each time: it may have changed.
pub(crate) fn client_config(ca_file: Option<&Path>) -> io::Result<ClientConfig> {
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
