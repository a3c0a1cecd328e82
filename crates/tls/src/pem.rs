//! PEM files into certificates and keys.

use std::fmt;

use rustls::pki_types::pem::{self, PemObject as _, SectionKind};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::Zeroize as _;

use super::error::{CertError, Found, PemProblem, Place};

/// The encoding of a private key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// RSA alone (RFC 8017 appendix A.1.2), `RSA PRIVATE KEY` in PEM.
    Pkcs1,
    /// An elliptic curve alone (RFC 5915), `EC PRIVATE KEY` in PEM.
    Sec1,
    /// Any kind (RFC 5958), `PRIVATE KEY` in PEM.
    Pkcs8,
}

impl KeyKind {
    /// The label of its PEM block.
    #[must_use]
    pub fn pem_label(self) -> &'static str {
        match self {
            Self::Pkcs1 => "RSA PRIVATE KEY",
            Self::Sec1 => "EC PRIVATE KEY",
            Self::Pkcs8 => "PRIVATE KEY",
        }
    }
}

/// A private key that is wiped from memory at its end. `Debug` prints nothing of it.
pub(super) struct PrivateKey(PrivateKeyDer<'static>);

impl PrivateKey {
    pub(super) fn der(&self) -> &PrivateKeyDer<'static> {
        &self.0
    }

    pub(super) fn kind(&self) -> KeyKind {
        match &self.0 {
            PrivateKeyDer::Pkcs1(_) => KeyKind::Pkcs1,
            PrivateKeyDer::Sec1(_) => KeyKind::Sec1,
            // The enum is open for more; these are the three that PEM labels exist for.
            _ => KeyKind::Pkcs8,
        }
    }
}

impl Drop for PrivateKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(..)")
    }
}

/// All that counts in one PEM text.
#[derive(Debug)]
pub(super) struct PemText {
    certs: Vec<CertificateDer<'static>>,
    key: Option<PrivateKey>,
    encrypted_key: bool,
    binary: bool,
    place: Place,
}

impl PemText {
    /// Reads every block of `bytes`; other kinds (DH or EC parameters) are skipped.
    pub(super) fn parse(bytes: &[u8], place: Place) -> Result<Self, CertError> {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let encrypted_key = contains(bytes, b"-----BEGIN ENCRYPTED PRIVATE KEY-----")
            || contains(bytes, b"Proc-Type: 4,ENCRYPTED");
        // DER and PKCS#12 begin with a SEQUENCE of long length.
        let binary = bytes.starts_with(&[0x30, 0x82]);
        let mut text = Self { certs: Vec::new(), key: None, encrypted_key, binary, place };
        for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(bytes) {
            let (kind, der) = match section {
                Ok(section) => section,
                // The headers of an old-style encrypted key are not base64.
                Err(_) if encrypted_key => continue,
                Err(error) => {
                    return Err(CertError::BadPem { place: text.place, problem: problem(&error) });
                }
            };
            match kind {
                SectionKind::Certificate => text.certs.push(der.into()),
                kind => {
                    let key = PrivateKeyDer::from_pem(kind, der).map(PrivateKey);
                    text.key = text.key.take().or(key);
                }
            }
        }
        Ok(text)
    }

    /// Whether this was meant to be a certificate but is a key.
    pub(super) fn only_key(&self) -> bool {
        self.certs.is_empty() && (self.key.is_some() || self.encrypted_key)
    }

    /// Whether this was meant to be a key but is a certificate.
    pub(super) fn only_certs(&self) -> bool {
        !self.certs.is_empty() && self.key.is_none() && !self.encrypted_key
    }

    /// Its certificates, at least one, in their order.
    pub(super) fn into_certs(self) -> Result<(Vec<CertificateDer<'static>>, Place), CertError> {
        if self.certs.is_empty() {
            let found = if self.only_key() { Found::Key } else { self.found_nothing() };
            return Err(CertError::NoPem { place: self.place, wanted: "certificate", found });
        }
        Ok((self.certs, self.place))
    }

    /// Its first key.
    pub(super) fn into_key(self) -> Result<(PrivateKey, Place), CertError> {
        let found = if self.only_certs() { Found::Certificates } else { self.found_nothing() };
        match self.key {
            Some(key) => Ok((key, self.place)),
            None if self.encrypted_key => Err(CertError::EncryptedKey { place: self.place }),
            None => Err(CertError::NoPem { place: self.place, wanted: "private key", found }),
        }
    }

    fn found_nothing(&self) -> Found {
        if self.binary { Found::Binary } else { Found::Nothing }
    }
}

/// The error's own text may contain lines of the file, so only its kind is reported.
fn problem(error: &pem::Error) -> PemProblem {
    match error {
        pem::Error::MissingSectionEnd { .. } => PemProblem::CutOff,
        pem::Error::Base64Decode(_) => PemProblem::Base64,
        _ => PemProblem::Malformed,
    }
}

fn contains(bytes: &[u8], what: &[u8]) -> bool {
    bytes.windows(what.len()).any(|window| window == what)
}
