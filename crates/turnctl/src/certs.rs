//! `turnctl certs`: the certificates that the running server serves.

use std::io::Write;
use std::time::{Duration, UNIX_EPOCH};

use super::CtlError;
use super::socket::{SocketArgs, another_answer, ask_once};
use taciturn_config::Environment;
use taciturn_control::{Answer, Certificate, Request};

/// A certificate that expires in fewer days should have been renewed.
const SOON_DAYS: i64 = 14;

/// Prints them. Returns the exit code: 1 where one has expired, or will within 14 days.
pub(super) fn run(
    args: &SocketArgs,
    env: &Environment,
    out: &mut dyn Write,
) -> Result<u8, CtlError> {
    let certificates = match ask_once(args, env, &Request::Certs, out)? {
        Answer::Certificates(certificates) => certificates,
        other => return Err(another_answer(&other)),
    };
    if !args.json {
        print(&certificates, out)?;
    }
    Ok(u8::from(certificates.iter().any(is_due)))
}

const fn is_due(certificate: &Certificate) -> bool {
    certificate.expired || certificate.days_left < SOON_DAYS
}

fn print(certificates: &[Certificate], out: &mut dyn Write) -> std::io::Result<()> {
    if certificates.is_empty() {
        return writeln!(out, "no certificates: no listener uses TLS or DTLS");
    }
    for certificate in certificates {
        // A certificate may hold any text as its names and issuer.
        let names = joined(&certificate.names, "a certificate without a name");
        writeln!(out, "{}", names.escape_debug())?;
        let mut line = |name: &str, value: &str| writeln!(out, "  {name:<12} {value}");
        line("listeners", &joined(&certificate.listeners, "none"))?;
        line("issuer", &certificate.issuer.escape_debug().to_string())?;
        let left = match certificate.days_left {
            _ if certificate.expired => "EXPIRED".to_owned(),
            0 => "less than a day left".to_owned(),
            1 => "1 day left".to_owned(),
            days => format!("{days} days left"),
        };
        line("expires", &format!("{}, {left}", date(certificate.expires_at)))?;
        line("source", &format!("{}, {}", certificate.source, certificate.path))?;
        line("in use since", &date(certificate.in_use_since))?;
        match &certificate.renewal_failure {
            Some(failure) => line("renewal", &format!("FAILED, this one stays in use: {failure}"))?,
            None => line("renewal", "ok: the newest one is in use")?,
        }
        for warning in &certificate.warnings {
            line("warning", warning)?;
        }
    }
    Ok(())
}

fn joined(names: &[String], none: &str) -> String {
    if names.is_empty() { none.to_owned() } else { names.join(", ") }
}

/// A moment in seconds since 1970. Moments before that are shown as its beginning.
pub(super) fn date(seconds: i64) -> String {
    // httpdate panics beyond the year 9999.
    const LAST: u64 = 253_402_300_799;
    let since = u64::try_from(seconds).unwrap_or(0).min(LAST);
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(since))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(days_left: i64, expired: bool) -> Certificate {
        Certificate {
            names: vec!["turn.domain.org".to_owned(), "\u{1b}[2J".to_owned()],
            issuer: "CN=R11".to_owned(),
            listeners: vec!["tls:5349".to_owned()],
            source: "certbot".to_owned(),
            path: "/live/turn".to_owned(),
            begins_at: 0,
            expires_at: 1_800_000_000,
            days_left,
            expired,
            in_use_since: 1_700_000_000,
            renewal_failure: None,
            warnings: vec!["the certificate is self-signed".to_owned()],
        }
    }

    fn printed(certificates: &[Certificate]) -> String {
        let mut out = Vec::new();
        print(certificates, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn fourteen_days_are_enough_and_thirteen_are_not() {
        assert!(!is_due(&certificate(14, false)));
        assert!(is_due(&certificate(13, false)));
        assert!(is_due(&certificate(-1, true)));
    }

    #[test]
    fn what_matters_is_printed_and_nothing_a_terminal_obeys() {
        let text = printed(&[certificate(60, false)]);
        for wanted in [
            "turn.domain.org, \\u{1b}[2J\n",
            "listeners    tls:5349\n",
            "issuer       CN=R11\n",
            "expires      Fri, 15 Jan 2027 08:00:00 GMT, 60 days left\n",
            "source       certbot, /live/turn\n",
            "renewal      ok",
            "warning      the certificate is self-signed\n",
        ] {
            assert!(text.contains(wanted), "{wanted:?} in {text}");
        }
        assert!(printed(&[certificate(0, true)]).contains("EXPIRED"));
        let mut failed = certificate(3, false);
        failed.renewal_failure = Some("cannot read it".to_owned());
        assert!(
            printed(&[failed])
                .contains("renewal      FAILED, this one stays in use: cannot read it")
        );
        assert!(printed(&[]).starts_with("no certificates"));
        assert!(date(i64::MAX).contains("9999"));
        assert!(date(-1).contains("1970"));
    }
}
