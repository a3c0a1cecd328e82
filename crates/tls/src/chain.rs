//! A certificate chain with its key, checked against each other and ready to serve.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rustls::SignatureScheme;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::CertificateDer;
use rustls::sign::CertifiedKey;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer as _;
use x509_parser::public_key::PublicKey;
use x509_parser::time::ASN1Time;
use x509_parser::x509::X509Name;
use zeroize::Zeroizing;

use super::error::{CertError, Place};
use super::names::{Fit, fit};
use super::pem::{KeyKind, PrivateKey};

/// Signature schemes that current clients accept.
const USUAL_SCHEMES: [SignatureScheme; 4] = [
    SignatureScheme::RSA_PSS_SHA256,
    SignatureScheme::ECDSA_NISTP256_SHA256,
    SignatureScheme::ECDSA_NISTP384_SHA384,
    SignatureScheme::ED25519,
];

/// Number of signatures made to measure one.
const SIGNATURES: usize = 3;

/// A certificate chain and the key that belongs to its first certificate.
///
/// `Debug` prints names and dates, nothing of the key.
pub struct CertifiedChain {
    served: Arc<CertifiedKey>,
    key: PrivateKey,
    facts: Facts,
    generation: u64,
    /// What its source holds besides that cannot be read, in words.
    left_out: Vec<String>,
}

/// The facts that the checks and the choice by name need, read once.
pub(super) struct Facts {
    pub(super) names: Vec<String>,
    pub(super) not_before: i64,
    pub(super) not_after: i64,
    pub(super) issuer: String,
    pub(super) self_signed: bool,
    /// The first certificate, counted from 1, that the one after it did not issue.
    pub(super) broken_after: Option<usize>,
    /// The length of the key in bits, if it is RSA.
    pub(super) rsa_bits: Option<usize>,
}

impl CertifiedChain {
    /// Takes certificates (the server's own first) and their key.
    pub(super) fn new(
        (certs, cert_place): (Vec<CertificateDer<'static>>, Place),
        (key, key_place): (PrivateKey, Place),
    ) -> Result<Self, CertError> {
        let mut parsed = Vec::with_capacity(certs.len());
        for (index, der) in certs.iter().enumerate() {
            match X509Certificate::from_der(der) {
                Ok(([], cert)) => parsed.push(cert),
                _ => {
                    let number = index + 1;
                    return Err(CertError::BadCertificate { place: cert_place, number });
                }
            }
        }
        // By reference: the alternative takes a copy of the key that is never wiped.
        let Ok(signing) = any_supported_type(key.der()) else {
            return Err(CertError::UnsupportedKey { place: key_place });
        };
        let spki = signing.public_key();
        let owns = |cert: &X509Certificate<'_>| {
            spki.as_ref().is_some_and(|spki| spki.as_ref() == cert.public_key().raw)
        };
        let owned = parsed.iter().position(owns);
        let (Some(leaf), Some(0)) = (parsed.first(), owned) else {
            let matches = owned.map(|index| index + 1);
            return Err(CertError::KeyMismatch { cert: cert_place, key: key_place, matches });
        };
        let broken_after = parsed
            .windows(2)
            .position(|pair| matches!(pair, [a, b] if !same(a.issuer(), b.subject())))
            .map(|index| index + 1);
        let facts = Facts {
            names: subject_names(leaf),
            not_before: leaf.validity().not_before.timestamp(),
            not_after: leaf.validity().not_after.timestamp(),
            issuer: leaf.issuer().to_string(),
            self_signed: same(leaf.issuer(), leaf.subject()),
            broken_after,
            rsa_bits: rsa_bits(leaf),
        };
        let served = Arc::new(CertifiedKey::new(certs, signing));
        Ok(Self { served, key, facts, generation: 0, left_out: Vec::new() })
    }

    /// Notes what else stands in its source and was passed over.
    pub(super) fn with_left_out(self, left_out: Vec<String>) -> Self {
        Self { left_out, ..self }
    }

    /// What its source holds besides that cannot be read, each in a sentence without a full stop.
    #[must_use]
    pub fn left_out(&self) -> &[String] {
        &self.left_out
    }

    /// The certificates in DER, the server's own first. Never empty.
    #[must_use]
    pub fn certs_der(&self) -> &[CertificateDer<'static>] {
        &self.served.cert
    }

    /// The private key in DER. Secret: hand it to a TLS stack, never to a log.
    #[must_use]
    pub fn key_der(&self) -> &[u8] {
        self.key.der().secret_der()
    }

    /// The encoding of [`key_der`](Self::key_der).
    #[must_use]
    pub fn key_kind(&self) -> KeyKind {
        self.key.kind()
    }

    /// The certificates in PEM, the server's own first.
    #[must_use]
    pub fn chain_pem(&self) -> String {
        let blocks = self.certs_der().iter().map(|der| pem_block("CERTIFICATE", der));
        blocks.map(|block| block.to_string()).collect()
    }

    /// The private key in PEM. Secret.
    #[must_use]
    pub fn key_pem(&self) -> Zeroizing<String> {
        pem_block(self.key_kind().pem_label(), self.key_der())
    }

    /// The DNS names (lower case) and IP addresses that the certificate is valid for. The
    /// common name does not count: clients ignore it (RFC 9525).
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.facts.names
    }

    /// The issuer, as written in the certificate: `C=US, O=Let's Encrypt, CN=R11`.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.facts.issuer
    }

    /// The start of the certificate's validity.
    #[must_use]
    pub fn not_before(&self) -> SystemTime {
        system_time(self.facts.not_before)
    }

    /// The end of the certificate's validity.
    #[must_use]
    pub fn not_after(&self) -> SystemTime {
        system_time(self.facts.not_after)
    }

    /// Grows with every chain that a [`CertStore`](super::CertStore) takes in, so that the user of
    /// a chain sees that there is a new one. 0 outside of a store.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Whether clients that look for `host`, a name or an IP address, accept this certificate.
    #[must_use]
    pub fn covers(&self, host: &str) -> bool {
        self.fit(host).is_some()
    }

    pub(super) fn fit(&self, host: &str) -> Option<Fit> {
        self.facts.names.iter().filter_map(|name| fit(name, host)).max()
    }

    pub(super) fn facts(&self) -> &Facts {
        &self.facts
    }

    /// How long one signature with its key takes on this machine: the shortest of a few, which nothing else
    /// has come between. `None` where the key signs by none of the usual schemes.
    #[must_use]
    pub fn signature_cost(&self) -> Option<Duration> {
        let signer = self.served.key.choose_scheme(&USUAL_SCHEMES)?;
        let one = || {
            let began = Instant::now();
            signer.sign(b"how long this takes").ok().map(|_| began.elapsed())
        };
        (0..SIGNATURES).filter_map(|_| one()).min()
    }

    /// The chain in the form that rustls serves.
    pub(super) fn served(&self) -> &Arc<CertifiedKey> {
        &self.served
    }

    pub(super) fn with_generation(self, generation: u64) -> Self {
        Self { generation, ..self }
    }

    /// Whether both hold the same certificates and key.
    pub(super) fn same_as(&self, other: &Self) -> bool {
        self.same_certificates_as(other) && self.key_der() == other.key_der()
    }

    /// Whether both hold the same certificates. Their keys then belong to the same one, and can
    /// differ in how they are written.
    pub(super) fn same_certificates_as(&self, other: &Self) -> bool {
        self.certs_der() == other.certs_der()
    }
}

impl fmt::Debug for CertifiedChain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CertifiedChain")
            .field("names", &self.facts.names)
            .field("not_after", &day(self.facts.not_after))
            .field("certificates", &self.served.cert.len())
            .field("generation", &self.generation)
            .finish_non_exhaustive()
    }
}

fn rsa_bits(leaf: &X509Certificate<'_>) -> Option<usize> {
    match leaf.public_key().parsed() {
        Ok(PublicKey::RSA(key)) => Some(key.key_size()),
        _ => None,
    }
}

/// Byte for byte, as clients compare when they build a path.
fn same(a: &X509Name<'_>, b: &X509Name<'_>) -> bool {
    a.as_raw() == b.as_raw()
}

fn subject_names(leaf: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(extension)) = leaf.subject_alternative_name() else { return Vec::new() };
    let text = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
        GeneralName::IPAddress(bytes) => ip(bytes).map(|ip| ip.to_string()),
        _ => None,
    };
    extension.value.general_names.iter().filter_map(text).collect()
}

fn ip(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(Ipv4Addr::from).map(IpAddr::V4);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(Ipv6Addr::from).map(IpAddr::V6)).ok()
}

/// RFC 7468: 64 characters a line.
fn pem_block(label: &str, der: &[u8]) -> Zeroizing<String> {
    let encoded = Zeroizing::new(STANDARD.encode(der));
    // Enough capacity from the start: growing would leave unwiped copies in memory.
    let lines = encoded.len().div_ceil(64);
    let mut text = Zeroizing::new(String::with_capacity(encoded.len() + lines + 100));
    text.extend(["-----BEGIN ", label, "-----\n"]);
    let mut rest = encoded.as_str();
    while !rest.is_empty() {
        let (line, more) = rest.split_at_checked(64).unwrap_or((rest, ""));
        text.extend([line, "\n"]);
        rest = more;
    }
    text.extend(["-----END ", label, "-----\n"]);
    text
}

/// `seconds` since 1970, which a certificate may put before it.
fn system_time(seconds: i64) -> SystemTime {
    let distance = Duration::from_secs(seconds.unsigned_abs());
    let time = if seconds < 0 {
        SystemTime::UNIX_EPOCH.checked_sub(distance)
    } else {
        SystemTime::UNIX_EPOCH.checked_add(distance)
    };
    time.unwrap_or(SystemTime::UNIX_EPOCH)
}

/// `2026-01-31` for seconds since 1970.
pub(super) fn day(seconds: i64) -> String {
    let time = ASN1Time::from_timestamp(seconds);
    time.map(|time| time.to_datetime().date().to_string()).unwrap_or_default()
}
