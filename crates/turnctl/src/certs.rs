//! `turnctl certs`: the certificates that the running server serves.

use std::io::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use super::CtlError;
use super::socket::{SocketArgs, ask, text};
use taciturn_config::Environment;
use taciturn_control::Request;

/// Days before the end from which on a certificate should have been renewed.
const SOON_DAYS: i64 = 14;

/// Prints them. Answers the exit code: 1 where one has ended, or will within 14 days.
pub(super) fn run(
    args: &SocketArgs,
    env: &Environment,
    out: &mut dyn Write,
) -> Result<u8, CtlError> {
    let result = ask(args, env, &Request::Certs, out, |_, _| Ok(()))?.unwrap_or_default();
    let certificates = result["certificates"].as_array().cloned().unwrap_or_default();
    if !args.json {
        print(&certificates, out)?;
    }
    Ok(u8::from(certificates.iter().any(is_due)))
}

fn is_due(certificate: &Value) -> bool {
    certificate["expired"] == true || days_left(certificate) < SOON_DAYS
}

fn days_left(certificate: &Value) -> i64 {
    certificate["days_left"].as_i64().unwrap_or(0)
}

fn print(certificates: &[Value], out: &mut dyn Write) -> std::io::Result<()> {
    if certificates.is_empty() {
        return writeln!(out, "no certificates: no listener speaks TLS or DTLS");
    }
    for certificate in certificates {
        let or_none = |key: &str, none: &str| match list(&certificate[key]) {
            Some(names) => names,
            None => none.to_owned(),
        };
        // What certificates say of themselves is whatever their issuer has put there.
        writeln!(out, "{}", or_none("names", "a certificate without a name").escape_debug())?;
        let mut line = |name: &str, value: &str| writeln!(out, "  {name:<12} {value}");
        line("listeners", &or_none("listeners", "none"))?;
        line("issuer", &text(&certificate["issuer"]).escape_debug().to_string())?;
        let days = days_left(certificate);
        let left = match certificate["expired"] == true {
            true => "EXPIRED".to_owned(),
            false if days == 0 => "less than a day left".to_owned(),
            false if days == 1 => "1 day left".to_owned(),
            false => format!("{days} days left"),
        };
        line("expires", &format!("{}, {left}", date(&certificate["expires"])))?;
        let source = (text(&certificate["source"]), text(&certificate["path"]));
        line("source", &format!("{}, {}", source.0, source.1))?;
        line("in use since", &date(&certificate["in_use_since"]))?;
        match certificate["renewal_failure"].as_str() {
            Some(failure) => line("renewal", &format!("FAILED, this one stays: {failure}"))?,
            None => line("renewal", "good: what is there now is in use")?,
        }
        for warning in certificate["warnings"].as_array().into_iter().flatten() {
            line("warning", text(warning))?;
        }
    }
    Ok(())
}

fn list(value: &Value) -> Option<String> {
    let names: Vec<_> = value.as_array()?.iter().map(text).collect();
    (!names.is_empty()).then(|| names.join(", "))
}

/// Times before 1970 are shown as its beginning.
fn date(seconds: &Value) -> String {
    let since = Duration::from_secs(seconds.as_u64().unwrap_or(0));
    // What lies beyond the calendar cannot be written.
    const LAST: u64 = 253_402_300_799;
    let time: SystemTime = UNIX_EPOCH + since.min(Duration::from_secs(LAST));
    httpdate::fmt_http_date(time)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn certificate(days: i64, expired: bool) -> Value {
        json!({
            "names": ["turn.domain.org", "\u{1b}[2J"], "issuer": "CN=R11", "listeners": ["tls:5349"],
            "source": "certbot", "path": "/live/turn", "begins": 0, "expires": 1_800_000_000,
            "days_left": days, "expired": expired, "in_use_since": 1_700_000_000,
            "renewal_failure": null, "warnings": ["the certificate is self-signed"],
        })
    }

    fn printed(certificates: &[Value]) -> String {
        let mut out = Vec::new();
        print(certificates, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn fourteen_days_are_enough_and_thirteen_are_not() {
        assert!(!is_due(&certificate(14, false)));
        assert!(is_due(&certificate(13, false)));
        assert!(is_due(&certificate(-1, true)));
        assert!(is_due(&json!({})), "what is not told is not well");
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
            "renewal      good",
            "warning      the certificate is self-signed\n",
        ] {
            assert!(text.contains(wanted), "{wanted:?} in {text}");
        }
        assert!(printed(&[certificate(0, true)]).contains("EXPIRED"));
        let mut failed = certificate(3, false);
        failed["renewal_failure"] = json!("cannot read it");
        assert!(printed(&[failed]).contains("renewal      FAILED, this one stays: cannot read it"));
        assert!(printed(&[]).starts_with("no certificates"));
        assert!(date(&json!(u64::MAX)).contains("9999"));
    }
}
