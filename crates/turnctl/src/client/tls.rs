//! TLS that judges a certificate and remembers the verdict instead of ending the connection, so
//! that the fault can be named.

use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::ClientError;

/// The authorities that are trusted.
#[derive(Clone, Debug)]
pub struct Roots(Arc<RootCertStore>);

impl Roots {
    /// Mozilla's, as browsers have them, and `extra`. The certificates of `extra` that cannot be
    /// read are left out.
    #[must_use]
    pub fn browsers_and(extra: &[CertificateDer<'static>]) -> Self {
        let mut store = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        store.add_parsable_certificates(extra.iter().cloned());
        Self(Arc::new(store))
    }
}

/// The certificate a server showed, and what a browser would think of it.
#[derive(Clone, Debug)]
pub struct ServerCertificate {
    /// In the order of the handshake, the server's own first.
    pub chain: Vec<CertificateDer<'static>>,
    /// The verdict: dates, name and chain.
    pub verdict: Result<(), Error>,
}

#[derive(Debug)]
struct Judge {
    browser: Arc<WebPkiServerVerifier>,
    provider: Arc<CryptoProvider>,
    seen: Mutex<Option<ServerCertificate>>,
}

impl ServerCertVerifier for Judge {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verdict = self.browser.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        );
        let chain = std::iter::once(end_entity).chain(intermediates);
        let chain = chain.map(|certificate| certificate.clone().into_owned()).collect();
        let seen = ServerCertificate { chain, verdict: verdict.map(|_| ()) };
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(seen);
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// A handshake on `tcp` with a server that is expected to be `host`. The caller has to look at the
/// verdict: the connection is there whatever the certificate.
pub(super) async fn handshake(
    tcp: TcpStream,
    host: &str,
    roots: &Roots,
) -> Result<(TlsStream<TcpStream>, ServerCertificate), ClientError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let no_verifier = |error: rustls::client::VerifierBuilderError| {
        ClientError::Tls(Error::General(error.to_string()))
    };
    let builder = WebPkiServerVerifier::builder_with_provider(roots.0.clone(), provider.clone());
    let browser = builder.build().map_err(no_verifier)?;
    let judge = Arc::new(Judge { browser, provider: provider.clone(), seen: Mutex::new(None) });
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(ClientError::Tls)?
        .dangerous()
        .with_custom_certificate_verifier(judge.clone())
        .with_no_client_auth();
    let name = ServerName::try_from(host.to_owned())
        .map_err(|error| ClientError::Tls(Error::General(error.to_string())))?;
    let stream = TlsConnector::from(Arc::new(config)).connect(name, tcp).await?;
    let seen = judge.seen.lock().unwrap_or_else(PoisonError::into_inner).take();
    let none = || ClientError::Tls(Error::NoCertificatesPresented);
    Ok((stream, seen.ok_or_else(none)?))
}
