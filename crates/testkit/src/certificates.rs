//! A certificate authority of the test's own, and clients that trust it.

use std::path::Path;
use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// The name that certificates of these tests are for.
pub const HOST: &str = "turn.example.org";

/// A root and an intermediate, as public authorities have them.
pub struct Authority {
    root: CertificateDer<'static>,
    intermediate: rcgen::Certificate,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate for [`HOST`], with its chain and its key.
pub struct Issued {
    pub der: CertificateDer<'static>,
    chain: String,
    key: String,
}

impl Authority {
    pub fn new() -> Self {
        let authority = |name: &str| {
            let mut params = CertificateParams::default();
            params.distinguished_name.push(DnType::CommonName, name);
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params
        };
        let (root_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let root_params = authority("Root of a test");
        let root = root_params.self_signed(&root_key).unwrap().der().clone();
        let params = authority("Intermediate of a test");
        let intermediate = params.signed_by(&key, &Issuer::new(root_params, root_key)).unwrap();
        Self { root, intermediate, issuer: Issuer::new(params, key) }
    }

    /// The root, which clients trust.
    pub const fn root(&self) -> &CertificateDer<'static> {
        &self.root
    }

    /// A new certificate with a new key.
    pub fn issue(&self) -> Issued {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([HOST.to_owned()]).unwrap();
        let leaf = params.signed_by(&key, &self.issuer).unwrap();
        let chain = format!("{}{}", leaf.pem(), self.intermediate.pem());
        Issued { der: leaf.der().clone(), chain, key: key.serialize_pem() }
    }

    /// Shakes hands as a client that trusts the root alone.
    pub async fn connect(&self, stream: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from(HOST).unwrap();
        TlsConnector::from(self.client_config()).connect(name, stream).await
    }

    /// A client that trusts this authority.
    pub fn client_config(&self) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.root.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Arc::new(config)
    }
}

impl Issued {
    /// Writes `cert.pem` and `key.pem`.
    pub fn write_pair(&self, directory: &Path) {
        self.write_certificate(directory);
        std::fs::write(directory.join("key.pem"), &self.key).unwrap();
    }

    /// Writes `cert.pem`.
    pub fn write_certificate(&self, directory: &Path) {
        std::fs::write(directory.join("cert.pem"), &self.chain).unwrap();
    }

    /// The text of an acme.json that holds it, as Traefik writes one.
    pub fn acme_json(&self) -> String {
        let certificate = serde_json::json!({
            "domain": { "main": HOST },
            "certificate": STANDARD.encode(&self.chain),
            "key": STANDARD.encode(&self.key),
            "Store": "default",
        });
        let resolver = serde_json::json!({ "Account": null, "Certificates": [certificate] });
        serde_json::to_string_pretty(&serde_json::json!({ "letsencrypt": resolver })).unwrap()
    }
}

/// The certificate that the other side of a connection has shown.
pub fn shown(stream: &TlsStream<TcpStream>) -> CertificateDer<'static> {
    stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
}
