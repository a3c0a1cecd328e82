//! The certificate, as browsers and as the apps see it.

use std::time::{SystemTime, UNIX_EPOCH};

use rustls::{CertificateError, Error};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer as _;

use crate::client::{ServerCertificate, tls_words};
use crate::report::Finding;

/// Warn when a certificate ends sooner: renewal is usually tried 30 days before.
const SOON_DAYS: i64 = 14;

/// Authorities that native libwebrtc does not know: its list of 2023 has neither.
const UNKNOWN_TO_APPS: &[&str] = &["Internet Security Research Group", "Let's Encrypt", "Amazon"];

/// What a browser thinks of the certificate. With a [`Finding`] of [`Status::Fail`] it goes no
/// further.
///
/// [`Status::Fail`]: crate::report::Status::Fail
pub(super) fn judge(host: &str, certificate: &ServerCertificate) -> Vec<Finding> {
    let leaf = certificate.chain.first().and_then(|der| X509Certificate::from_der(der).ok());
    let Some((_, leaf)) = leaf else {
        return vec![
            Finding::fail("tls-unreadable", "the server's certificate cannot be read")
                .why("no client gets beyond it.")
                .fix("Have a new certificate issued."),
        ];
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let now = i64::try_from(now).unwrap_or(i64::MAX);
    let days_left = (leaf.validity().not_after.timestamp() - now).div_euclid(86400);
    if let Err(error) = &certificate.verdict {
        return vec![fault(host, &leaf, certificate.chain.len(), error)];
    }
    let issuer = organization(&leaf);
    let day = date(&leaf.validity().not_after);
    let mut findings = Vec::new();
    if days_left < SOON_DAYS {
        findings.push(
            Finding::warn(
                "tls-expires-soon",
                format!("the certificate of {host} ends in {days_left} days, on {day}"),
            )
            .why("from then on every turns: connection fails; renewal seems not to work.")
            .fix(
                "Look why it is not renewed, for example\n  certbot renew --dry-run\nand that the \
                 server takes up renewed files (taciturn does by itself; coturn needs a restart).",
            ),
        );
    } else {
        let title = format!("certificate of {host} by {issuer}, good until {day}");
        findings.push(Finding::pass("tls-certificate", title));
    }
    if UNKNOWN_TO_APPS.iter().any(|name| issuer.contains(name)) {
        findings.push(
            Finding::warn(
                "tls-native-roots",
                format!("browsers trust {issuer}, but the classic Element apps may not"),
            )
            .why(
                "native libwebrtc (Element Android and iOS classic, LiveKit's SDKs) checks TURN \
                 certificates against a list of its own, which lacks this authority. On phones \
                 only the turns: URI fails; turn: over UDP and TCP still works.",
            )
            .fix(
                "Keep turn: URIs beside turns:. Where phones need turns:, take a certificate of \
                 ZeroSSL or of Google Trust Services, for example\n  \
                 certbot certonly --server https://acme.zerossl.com/v2/DV90 --eab-kid KID \
                 --eab-hmac-key KEY ...",
            ),
        );
    }
    findings
}

fn fault(host: &str, leaf: &X509Certificate<'_>, length: usize, error: &Error) -> Finding {
    let issuer = organization(leaf);
    let (until, from) = (date(&leaf.validity().not_after), date(&leaf.validity().not_before));
    let fail = |id, title: String| {
        Finding::fail(id, title).why("every client ends a turns: connection there.")
    };
    let Error::InvalidCertificate(error) = error else {
        let words = tls_words::of(error);
        return fail("tls-certificate", format!("the certificate of {host} is refused: {words}"))
            .fix("Have a new certificate issued.");
    };
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            fail("tls-expired", format!("the certificate of {host} ended on {until}")).fix(
                "Renew it, and have the server take it up:\n  certbot renew\n  systemctl restart \
                 coturn      (taciturn takes renewed files up by itself)\nIf it was renewed \
                 already, the server still serves the old one.",
            )
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => fail(
            "tls-not-yet-valid",
            format!("the certificate of {host} is good from {from} on only"),
        )
        .fix("Compare the clock of this machine and of the server with\n  timedatectl"),
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            fail(
                "tls-name",
                format!("the certificate is not for {host}, but for {}", names(leaf)),
            )
            .fix(format!(
                "Use a name of the certificate in the URI, or have one issued for {host}:\n  \
                 certbot certonly --standalone -d {host}"
            ))
        }
        CertificateError::UnknownIssuer if leaf.issuer().to_string().contains("CloudFlare Origin") => {
            fail(
                "tls-cloudflare-origin",
                format!("the certificate of {host} is a Cloudflare Origin certificate"),
            )
            .fix(format!(
                "Only Cloudflare's own proxies trust those, and TURN does not go through them. Take a \
                 public one:\n  certbot certonly --standalone -d {host}"
            ))
        }
        // What openssl req -x509 makes by default is of an authority (CA:TRUE), and refused for that first.
        CertificateError::UnknownIssuer | CertificateError::Other(_)
            if leaf.issuer() == leaf.subject() => fail(
            "tls-self-signed",
            format!("the certificate of {host} is signed by itself, so nobody trusts it"),
        )
        .fix(format!("Take a public one:\n  certbot certonly --standalone -d {host}")),
        CertificateError::UnknownIssuer if length == 1 => fail(
            "tls-chain-incomplete",
            format!(
                "the server of {host} sends its own certificate alone, without that of its issuer \
                 {issuer}"
            ),
        )
        .why(
            "clients know root authorities, not the one in between, and end a turns: connection \
             there. Some browsers hide this by looking the missing one up; apps do not.",
        )
        .fix(
            "Serve the whole chain: fullchain.pem, not cert.pem.\n  coturn:   \
             cert=/etc/letsencrypt/live/NAME/fullchain.pem\n  taciturn: \
             certbot = \"/etc/letsencrypt/live/NAME\"   in [tls]\nIf the issuer is an authority of \
             your own, browsers need it installed; pass it here with --ca FILE.",
        ),
        CertificateError::UnknownIssuer => fail(
            "tls-unknown-ca",
            format!("the certificate of {host} leads to no authority that browsers know ({issuer})"),
        )
        .fix(format!(
            "Take a public one:\n  certbot certonly --standalone -d {host}\nFor an authority of your \
             own pass --ca FILE."
        )),
        CertificateError::Other(_) if leaf.is_ca() => fail(
            "tls-authority",
            format!("the certificate of {host} is that of an authority (CA:TRUE), and not of a server"),
        )
        .fix(
            "Serve the certificate that the authority has issued for the server, and the authority's behind it. \
             One of your own is made with basicConstraints=CA:FALSE.",
        ),
        CertificateError::Revoked => {
            fail("tls-revoked", format!("the certificate of {host} is revoked"))
                .fix("Have a new one issued.")
        }
        other => {
            let words = tls_words::of_certificate(other);
            fail("tls-certificate", format!("the certificate of {host} is refused: {words}"))
                .fix("Have a new certificate issued.")
        }
    }
}

/// The issuer as people know it.
fn organization(leaf: &X509Certificate<'_>) -> String {
    let issuer = leaf.issuer();
    let organization = issuer.iter_organization().next().and_then(|name| name.as_str().ok());
    let common = || issuer.iter_common_name().next().and_then(|name| name.as_str().ok());
    organization.or_else(common).unwrap_or("an unnamed issuer").to_owned()
}

fn names(leaf: &X509Certificate<'_>) -> String {
    let Ok(Some(extension)) = leaf.subject_alternative_name() else { return "no name".into() };
    let text = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress([a, b, c, d]) => Some(format!("{a}.{b}.{c}.{d}")),
        _ => None,
    };
    let names: Vec<_> = extension.value.general_names.iter().filter_map(text).take(5).collect();
    names.join(", ")
}

fn date(time: &x509_parser::time::ASN1Time) -> String {
    time.to_datetime().date().to_string()
}

/// What a handshake that failed without a word about the certificate means.
pub(super) fn handshake(host: &str, error: &Error) -> Finding {
    match error {
        Error::InvalidMessage(_) => not_spoken(host),
        error => Finding::fail(
            "tls-handshake",
            format!("TLS with {host} fails: {}", tls_words::of(error)),
        )
        .why("no turns: connection comes about.")
        .fix(
            "Look into the server's log. TLS 1.2 or 1.3 is needed; an \"alert\" is the server's \
                 own refusal, often a certificate and key that do not belong together.",
        ),
    }
}

/// Something else answers, or the connection ends, when TLS begins.
pub(super) fn not_spoken(host: &str) -> Finding {
    Finding::fail("tls-not-spoken", format!("{host} does not speak TLS on this port"))
        .why("a turns: URI needs a port with TLS; the usual one is 5349, or 443.")
        .fix(
            "Correct the port in the URI, or write turn: with ?transport=tcp. If the port is right, \
             TLS is off on the server, often because it cannot read the key file: look into its log.",
        )
}
