//! Why a certificate cannot be used, in words that hold the fix.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::access::Access;

/// Names that an error lists at most.
const LISTED_NAMES: usize = 20;

/// Why [`load`](super::load) gave no certificate. No text of it ever holds key material.
#[derive(Debug, Error)]
pub enum CertError {
    /// The server was asked for certificates but given no place to look.
    #[error("no certificate source is configured")]
    NoSources,
    /// The file could not be read.
    #[error("cannot read {}: {error}{}", path.display(), access_text(access.as_ref()))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        error: io::Error,
        /// Owner, mode and our ids, if permissions are the reason.
        access: Option<Access>,
    },
    /// The file is a symbolic link to nowhere.
    #[error(
        "{} is a symbolic link to {}, which does not exist here; in a container, mount the whole \
         directory (for certbot all of /etc/letsencrypt: live/ only links into archive/)",
        path.display(), target.display()
    )]
    DanglingLink {
        /// The link.
        path: PathBuf,
        /// Its target.
        target: PathBuf,
    },
    /// A directory, a device or a pipe.
    #[error("{} is not a regular file{}", path.display(), directory_text(*directory))]
    NotAFile {
        /// The path as configured.
        path: PathBuf,
        /// Whether it is a directory. Docker makes one when a mounted file does not exist.
        directory: bool,
    },
    /// Nobody's certificate file is that large.
    #[error("{} is larger than {limit} bytes; is it the right file?", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The limit in bytes.
        limit: u64,
    },
    /// The file holds no bytes.
    #[error("{} is empty{}", path.display(), empty_text(path))]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The file contains no PEM block of the required kind.
    #[error("{place} holds no {wanted}{}", found.hint())]
    NoPem {
        /// Where.
        place: Place,
        /// `certificate` or `private key`.
        wanted: &'static str,
        /// The content that was found instead.
        found: Found,
    },
    /// A PEM block is damaged.
    #[error("{place}: {problem}")]
    BadPem {
        /// Where.
        place: Place,
        /// How.
        problem: PemProblem,
    },
    /// The two files were given in the wrong places.
    #[error(
        "certificate and key are swapped: {} holds the private key and {} the certificate; \
         exchange the two paths",
        cert.display(), key.display()
    )]
    Swapped {
        /// Given as certificate, holds a key.
        cert: PathBuf,
        /// Given as key, holds certificates.
        key: PathBuf,
    },
    /// The key belongs to another certificate.
    #[error("the key in {key} does not belong to the certificate in {cert}{}", order_text(*matches))]
    KeyMismatch {
        /// Where the certificate is.
        cert: Place,
        /// Where the key is.
        key: Place,
        /// The certificate of that file that it does belong to, counted from 1.
        matches: Option<usize>,
    },
    /// The key needs a passphrase.
    #[error(
        "the private key in {place} is encrypted with a passphrase, which is not supported: \
         a server must start by itself. Write it without one: \
         openssl pkey -in KEY -out NEWKEY && chmod 600 NEWKEY"
    )]
    EncryptedKey {
        /// Where.
        place: Place,
    },
    /// A key of a kind or size that TLS here cannot sign with, or damaged.
    #[error(
        "the private key in {place} cannot be used: it is damaged, or not RSA with 2048 to \
         4096 bits, ECDSA P-256 or P-384, Ed25519 in PKCS#8"
    )]
    UnsupportedKey {
        /// Where.
        place: Place,
    },
    /// A certificate that does not parse.
    #[error("certificate number {number} in {place} is not a valid X.509 certificate")]
    BadCertificate {
        /// Where.
        place: Place,
        /// Which one, counted from 1.
        number: usize,
    },
    /// A directory without `acme*.json`.
    #[error("there is no acme*.json in {}", path.display())]
    NoAcmeFiles {
        /// The directory.
        path: PathBuf,
    },
    /// The JSON ends before it should.
    #[error(
        "{} ends in the middle of its JSON (line {line}, column {column}): it is being written, \
         or was cut off", path.display()
    )]
    TruncatedJson {
        /// The file.
        path: PathBuf,
        /// Where it ends, counted from 1.
        line: usize,
        /// Where it ends, counted from 1.
        column: usize,
    },
    /// Not JSON, or JSON of another shape.
    #[error(
        "{} is {} (line {line}, column {column})", path.display(),
        if *syntax { "not valid JSON" } else { "JSON, but not shaped like Traefik's acme.json" }
    )]
    BadJson {
        /// The file.
        path: PathBuf,
        /// Whether it is not JSON at all.
        syntax: bool,
        /// Where, counted from 1.
        line: usize,
        /// Where, counted from 1.
        column: usize,
    },
    /// What Traefik 1 wrote.
    #[error(
        "{} is of Traefik 1, whose form is not read: let Traefik 2 or 3 make a new one, or export the certificate \
         to PEM files (traefik-certs-dumper) and name those with cert and key", path.display()
    )]
    TraefikOne {
        /// The file.
        path: PathBuf,
    },
    /// A resolver or an entry of acme.json that is not shaped as Traefik writes it.
    #[error("{}: {what} is not shaped like Traefik's acme.json", path.display())]
    OddPart {
        /// The file.
        path: PathBuf,
        /// Which part.
        what: String,
    },
    /// An entry of acme.json whose value is not base64.
    #[error("{place}: the value of `{field}` is not base64")]
    BadBase64 {
        /// Which entry.
        place: Place,
        /// `certificate` or `key`.
        field: &'static str,
    },
    /// Traefik has no certificate for this name.
    #[error("{} holds no certificate for {domain}{}", path.display(), names_text(names))]
    NotInAcme {
        /// The file or directory.
        path: PathBuf,
        /// The name that was looked for.
        domain: String,
        /// The names that are there.
        names: Vec<String>,
    },
}

impl CertError {
    /// Whether an error of this kind, given by the system, is the cause.
    #[must_use]
    pub fn is_caused_by(&self, kind: io::ErrorKind) -> bool {
        matches!(self, Self::Unreadable { error, .. } if error.kind() == kind)
    }

    /// Wraps what the system said about `path`, with what can be found out about permissions.
    pub(super) fn unreadable(path: &Path, error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::NotFound
            && let Ok(target) = path.read_link()
        {
            return Self::DanglingLink { path: path.into(), target };
        }
        let denied = error.kind() == io::ErrorKind::PermissionDenied;
        let access = if denied { Access::to(path) } else { None };
        Self::Unreadable { path: path.into(), error, access }
    }
}

/// A file, or one entry of an acme.json.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub path: PathBuf,
    /// The main name of the entry in an acme.json.
    pub entry: Option<String>,
}

impl Place {
    pub(super) fn file(path: &Path) -> Self {
        Self { path: path.into(), entry: None }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.entry {
            Some(entry) => write!(f, "{} (entry of {entry})", self.path.display()),
            None => write!(f, "{}", self.path.display()),
        }
    }
}

/// How a PEM block is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PemProblem {
    /// The file ends before the END line.
    #[error("the file ends inside a PEM block: it is being written, or was cut off")]
    CutOff,
    /// The text between BEGIN and END is not base64.
    #[error("a PEM block contains something other than base64")]
    Base64,
    /// A malformed BEGIN line, or a block beyond any size.
    #[error("a PEM block is malformed")]
    Malformed,
}

/// The content of a file that lacks what was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// Certificates, but no key.
    Certificates,
    /// A key, but no certificates.
    Key,
    /// Bytes that look like DER or PKCS#12.
    Binary,
    /// No PEM block that is known.
    Nothing,
}

impl Found {
    fn hint(self) -> &'static str {
        match self {
            Self::Certificates => ", only certificates",
            Self::Key => ", only a private key",
            Self::Binary => {
                ": it looks like binary DER or PKCS#12; convert it to PEM (openssl x509, pkey \
                 or pkcs12)"
            }
            Self::Nothing => " in PEM form (-----BEGIN ...-----)",
        }
    }
}

fn access_text(access: Option<&Access>) -> String {
    access.map(|access| format!("; {access}")).unwrap_or_default()
}

fn directory_text(directory: bool) -> &'static str {
    if directory {
        " but a directory (Docker makes one when the file to mount does not exist on the host)"
    } else {
        ""
    }
}

fn empty_text(path: &Path) -> &'static str {
    if path.extension().is_some_and(|extension| extension == "json") {
        ": Traefik has not stored a certificate yet"
    } else {
        ""
    }
}

fn order_text(matches: Option<usize>) -> String {
    match matches {
        Some(number) => format!(
            "; it belongs to certificate number {number} of that file: put that one first, \
             intermediates after it"
        ),
        None => "; are they from the same renewal?".into(),
    }
}

fn names_text(names: &[String]) -> String {
    if names.is_empty() {
        return "; it holds none at all: let a Traefik router with tls.certResolver request it"
            .into();
    }
    let listed: Vec<_> = names.iter().take(LISTED_NAMES).map(String::as_str).collect();
    let more = match names.len().saturating_sub(LISTED_NAMES) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("; it has {}{more}", listed.join(", "))
}
