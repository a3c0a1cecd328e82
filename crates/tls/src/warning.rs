//! What clients will not like about a certificate that loads well.

use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::chain::{CertifiedChain, day};

/// Days before the end from which on a certificate is said to expire soon. Traefik and certbot
/// renew 30 days before it, so that at 14 something is wrong.
const SOON_DAYS: i64 = 14;

const DAY: i64 = 24 * 60 * 60;

/// RSA keys of this length or more are too slow for a server that relays between its handshakes.
const SLOW_RSA_BITS: usize = 4096;

/// Something that makes clients refuse a certificate, now or soon, that gives its key away, or that costs the
/// server much. `Display` says what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// It ends within 14 days.
    ExpiresSoon {
        /// Its last day, `2026-01-31` (UTC).
        last_day: String,
        /// Whole days until then.
        days: i64,
    },
    /// It has ended.
    Expired {
        /// Its last day (UTC).
        last_day: String,
    },
    /// It has not begun.
    NotYetValid {
        /// Its first day (UTC).
        first_day: String,
    },
    /// The file contains only the server's certificate, although another one issued it.
    MissingIntermediate {
        /// The issuer.
        issuer: String,
    },
    /// A certificate is followed by one that did not issue it.
    BrokenChain {
        /// Which, counted from 1.
        number: usize,
    },
    /// It is its own issuer.
    SelfSigned,
    /// It is not valid for a name that clients use.
    NameMismatch {
        /// The name that clients use.
        expected: String,
        /// The names that it is valid for.
        names: Vec<String>,
    },
    /// It cannot be read, and the server runs with its other certificates.
    NotServed {
        /// Why.
        why: String,
    },
    /// Its source holds something else that cannot be read.
    PassedOver {
        /// What, and why.
        what: String,
    },
    /// Every user of this machine can read its private key.
    ExposedKey {
        /// The file.
        key: PathBuf,
    },
    /// Its key is slow to sign with.
    SlowKey {
        /// The length of the RSA key.
        bits: usize,
        /// How long one signature takes on this machine.
        cost: Duration,
    },
    /// Issued by Cloudflare for the way between Cloudflare and an origin server.
    CloudflareOrigin,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ExpiresSoon { last_day, days } => write!(
                f,
                "the certificate expires on {last_day}, in {days} days, and should have been \
                 renewed by now: look at `certbot renew --dry-run` or at Traefik's log"
            ),
            Self::Expired { last_day } => write!(
                f,
                "the certificate expired on {last_day}: clients refuse it. Renew it; the new one \
                 is picked up without a restart"
            ),
            Self::NotYetValid { first_day } => write!(
                f,
                "the certificate is not valid before {first_day}: clients refuse it. Check the \
                 clock of this machine"
            ),
            Self::MissingIntermediate { issuer } => write!(
                f,
                "the file holds the server's certificate alone, without the intermediate of \
                 {issuer}: many clients refuse it. Use fullchain.pem instead of cert.pem, or \
                 append the intermediate"
            ),
            Self::BrokenChain { number } => write!(
                f,
                "certificate number {number} of the chain was not issued by the one after it: \
                 clients may refuse it. Put the server's first, then its issuer, and so on"
            ),
            Self::NotServed { why } => write!(
                f,
                "this certificate is not served, the others are: {why}. It is taken up without a restart once it \
                 can be read"
            ),
            Self::PassedOver { what } => {
                write!(f, "left out: {what}. The certificate that is needed is served")
            }
            Self::SelfSigned => write!(
                f,
                "the certificate is self-signed: browsers and apps refuse it for turns: without \
                 a word. Use one of a public CA"
            ),
            Self::NameMismatch { expected, names } if names.is_empty() => write!(
                f,
                "the certificate names no host (clients ignore the common name), so they \
                 refuse it for {expected}: get one with the subject alternative name {expected}"
            ),
            Self::NameMismatch { expected, names } => write!(
                f,
                "the certificate is not for {expected} but for {}: clients refuse it. Get one \
                 for {expected}, or use a name it has in the turns: address",
                names.join(", ")
            ),
            Self::ExposedKey { key } => write!(
                f,
                "the private key {0} can be read by every user of this machine: chmod o= {0} (and let this \
                 server's user read it, for example by its group)",
                key.display()
            ),
            Self::SlowKey { bits, cost } => write!(
                f,
                "a signature with its RSA key of {bits} bits takes {:.1} ms on this machine, and each TLS or \
                 DTLS handshake needs one, for which calls have to wait: few clients can come in at a time. \
                 Use an ECDSA key (P-256), or RSA with 2048 bits; certbot: --key-type ecdsa",
                cost.as_secs_f64() * 1000.0
            ),
            Self::CloudflareOrigin => write!(
                f,
                "this is a Cloudflare Origin certificate: only Cloudflare itself trusts it, no \
                 client does, and Cloudflare does not proxy TURN. Use one of a public CA (Let's \
                 Encrypt works with a DNS challenge, too)"
            ),
        }
    }
}

impl CertifiedChain {
    /// What clients, or the server, will not like at the time `now`, for the host name or IP address `expected`
    /// where given. Whether the issuer is one that clients know is not looked at.
    #[must_use]
    pub fn warnings(&self, now: SystemTime, expected: Option<&str>) -> Vec<Warning> {
        let facts = self.facts();
        let now = unix_seconds(now);
        let mut warnings = Vec::new();

        let days = facts.not_after.saturating_sub(now) / DAY;
        if now > facts.not_after {
            warnings.push(Warning::Expired { last_day: day(facts.not_after) });
        } else if now < facts.not_before {
            warnings.push(Warning::NotYetValid { first_day: day(facts.not_before) });
        } else if days < SOON_DAYS {
            warnings.push(Warning::ExpiresSoon { last_day: day(facts.not_after), days });
        }

        if facts.issuer.to_ascii_lowercase().contains("cloudflare origin") {
            // Nothing that could be said about its chain would help.
            warnings.push(Warning::CloudflareOrigin);
        } else if facts.self_signed {
            warnings.push(Warning::SelfSigned);
        } else if self.certs_der().len() == 1 {
            warnings.push(Warning::MissingIntermediate { issuer: facts.issuer.clone() });
        } else if let Some(number) = facts.broken_after {
            warnings.push(Warning::BrokenChain { number });
        }

        if let Some(bits) = facts.rsa_bits.filter(|bits| *bits >= SLOW_RSA_BITS)
            && let Some(cost) = self.signature_cost()
        {
            warnings.push(Warning::SlowKey { bits, cost });
        }

        if let Some(expected) = expected.filter(|expected| !self.covers(expected)) {
            warnings.push(Warning::NameMismatch {
                expected: expected.into(),
                names: facts.names.clone(),
            });
        }
        warnings
    }
}

fn unix_seconds(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
