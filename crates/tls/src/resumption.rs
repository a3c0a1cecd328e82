//! The certificates of a store for clients that may resume a session, and nothing else.
//!
//! Whether a client can resume is known only once its ticket is decrypted, in the middle of the handshake:
//! what its ClientHello offers anybody can make up. So such a client is served with a key that refuses to
//! sign. With a valid ticket no signature is needed; without one the handshake fails.

use std::sync::Arc;

use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::{CertifiedKey, Signer, SigningKey};
use rustls::{Error, SignatureAlgorithm, SignatureScheme};

use super::store::CertStore;

/// A [`CertStore`] whose keys sign nothing.
#[derive(Debug)]
pub(super) struct ResumptionOnly(pub(super) Arc<CertStore>);

impl ResolvesServerCert for ResumptionOnly {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let served = self.0.resolve(hello)?;
        let key = Arc::new(NoSignature(Arc::clone(&served.key)));
        Some(Arc::new(CertifiedKey::new(served.cert.clone(), key)))
    }
}

/// A key that agrees to the schemes of another one, and refuses to sign.
#[derive(Debug)]
struct NoSignature(Arc<dyn SigningKey>);

impl SigningKey for NoSignature {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        let scheme = self.0.choose_scheme(offered)?.scheme();
        Some(Box::new(Refuses(scheme)))
    }

    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        self.0.public_key()
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        self.0.algorithm()
    }
}

#[derive(Debug)]
struct Refuses(SignatureScheme);

impl Signer for Refuses {
    fn sign(&self, _: &[u8]) -> Result<Vec<u8>, Error> {
        Err(Error::General("only resumed sessions are served at the moment".into()))
    }

    fn scheme(&self) -> SignatureScheme {
        self.0
    }
}
