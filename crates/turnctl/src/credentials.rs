//! `turnctl credentials`: a username and password of the REST scheme.

use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::json;

use taciturn_config::uris::{self, Host};
use taciturn_config::{Config, Environment, Secret, parse_duration, show_duration};
use taciturn_net::external;
use taciturn_turn::auth::SecretHash;

use super::tenant::TenantArg;
use super::{CtlError, ServerFiles, host_argument};

const EXAMPLES: &str = "\
Examples:
  turnctl credentials --config /etc/taciturn/taciturn.toml --user alice --ttl 12h
  turnctl credentials --json
      iceServers for RTCPeerConnection.
  turnctl credentials --tenant acme --user alice
  turnctl credentials --format link
      Link header fields for WHIP and WHEP clients (RFC 9725).

The password is derived from the shared secret of the server, which does not have to run. Running
calls outlive the credentials they were started with.";

/// Arguments of `turnctl credentials`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct CredentialsArgs {
    /// Which server.
    #[command(flatten)]
    pub server: ServerFiles,

    /// Which tenant.
    #[command(flatten)]
    pub tenant: TenantArg,

    /// Name of the user: any name; quotas apply to it
    #[arg(long, value_name = "NAME", default_value = "test-user")]
    pub user: String,

    /// How long the credentials are valid: 90s, 10m, 12h, 7d
    #[arg(long, value_name = "TIME", default_value = "1h")]
    pub ttl: String,

    /// File with the shared secret, instead of the configured one
    #[arg(long, value_name = "FILE")]
    pub secret_file: Option<PathBuf>,

    /// What the password is made with: sha1, sha256 or sha512 [default: the first of auth.secret_hashes]
    #[arg(long, value_name = "HASH", value_parser = parse_secret_hash)]
    pub secret_hash: Option<SecretHash>,

    /// Name or address at which clients reach the server
    #[arg(long, value_name = "NAME")]
    pub host: Option<String>,

    /// Print iceServers as JSON
    #[arg(long)]
    pub json: bool,

    /// How to print them
    #[arg(
        long,
        value_enum,
        value_name = "FORMAT",
        default_value = "text",
        conflicts_with = "json"
    )]
    pub format: Format,
}

/// How credentials are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people
    #[default]
    Text,
    /// iceServers for RTCPeerConnection, as --json
    Json,
    /// Link header fields of a WHIP or WHEP server (RFC 9725), one a line
    Link,
}

/// A Link header field for each URI (RFC 9725 section 4.6).
fn links(urls: &[String], credentials: &Credentials) -> String {
    // A quoted-string of RFC 9110 section 5.6.4.
    let quoted = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    let link = |url: &String| {
        format!(
            "Link: <{url}>; rel=\"ice-server\"; username={}; credential={}; credential-type=\"password\"\n",
            quoted(&credentials.username),
            quoted(&credentials.password)
        )
    };
    urls.iter().map(link).collect()
}

/// Why there are no credentials.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsError {
    /// `--ttl` is not a duration.
    #[error("--ttl \"{0}\": write a number and a unit: 90s, 10m, 12h, 7d")]
    Ttl(String),
    /// `--user` is not a name.
    #[error("--user: {0}")]
    User(&'static str),
    /// Only static users are configured.
    #[error(
        "no shared secret is configured, only static users: they log in with the password from the \
         configuration. Pass --secret-file FILE, or add a secret to [auth]"
    )]
    NoSecret,
    /// The clock is wrong.
    #[error("the clock of this machine is set to a time before 1970")]
    Clock,
}

impl From<CredentialsError> for CtlError {
    fn from(error: CredentialsError) -> Self {
        Self::mistake(error)
    }
}

/// A username and password, and when they end.
pub(super) struct Credentials {
    pub(super) username: String,
    pub(super) password: zeroize::Zeroizing<String>,
    /// Seconds since 1970.
    expires: u64,
}

/// What passwords for the server of this configuration are made with.
pub(super) fn secret_hash(config: &Config) -> SecretHash {
    config.auth.secret_hashes.first().copied().unwrap_or_default()
}

/// Reads `--secret-hash`.
pub(super) fn parse_secret_hash(text: &str) -> Result<SecretHash, String> {
    let found = SecretHash::ALL.into_iter().find(|hash| hash.name() == text);
    found.ok_or_else(|| "write sha1, sha256 or sha512".to_owned())
}

pub(super) fn make(
    secret: &Secret,
    hash: SecretHash,
    name: &str,
    ttl: Duration,
    now: SystemTime,
) -> Result<Credentials, CredentialsError> {
    let fault = match name {
        "" => Some("the name is empty"),
        _ if name.chars().any(char::is_control) => Some("the name contains a control character"),
        // RFC 8489 section 14.3, less the expiry in front.
        _ if name.len() > 480 => Some("the name is longer than 480 bytes"),
        _ => None,
    };
    if let Some(fault) = fault {
        return Err(CredentialsError::User(fault));
    }
    let now = now.duration_since(UNIX_EPOCH).map_err(|_| CredentialsError::Clock)?;
    let expires = now.as_secs().saturating_add(ttl.as_secs());
    let username = format!("{expires}:{name}");
    let password = secret.secret.password_by(hash, &username);
    Ok(Credentials { username, password, expires })
}

pub(super) fn run(
    args: &CredentialsArgs,
    env: &Environment,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<(), CtlError> {
    // A hundred years: beyond it the sum and the calendar make no sense.
    let longest = Duration::from_secs(100 * 366 * 86400);
    let ttl = parse_duration(&args.ttl)
        .filter(|ttl| !ttl.is_zero() && *ttl <= longest)
        .ok_or_else(|| CredentialsError::Ttl(args.ttl.clone()))?;
    let asked = host_argument(args.host.as_ref())?;
    let config = args.tenant.see(args.server.load(args.secret_file.as_ref(), env, err)?)?;
    let secret = secret(&config, args.secret_file.as_ref()).ok_or(CredentialsError::NoSecret)?;
    let hash = args.secret_hash.unwrap_or_else(|| secret_hash(&config));
    let credentials = make(secret, hash, &args.user, ttl, SystemTime::now())?;
    let host = Host::of(&config, asked.as_deref(), external::public_source());
    let urls = uris::of_listeners(&config, &host);
    if host == Host::Placeholder {
        writeln!(err, "warning: the address of this server is not known: pass --host NAME")?;
    }
    if args.format == Format::Link {
        return Ok(out.write_all(links(&urls, &credentials).as_bytes())?);
    }
    if args.json || args.format == Format::Json {
        let server = json!({
            "urls": urls,
            "username": credentials.username,
            "credential": credentials.password.as_str(),
        });
        let text = serde_json::to_string_pretty(&json!({ "iceServers": [server] }));
        writeln!(out, "{}", text.map_err(std::io::Error::other)?)?;
        return Ok(());
    }
    writeln!(out, "Username: {}", credentials.username)?;
    writeln!(out, "Password: {}", credentials.password.as_str())?;
    let ends = utc(credentials.expires);
    writeln!(out, "Expires:  {ends} (in {}; a running call continues)", show_duration(ttl))?;
    for url in urls {
        writeln!(out, "Server:   {url}")?;
    }
    Ok(())
}

/// The secret to use: the one of the file that was named, else the first.
fn secret<'a>(config: &'a Config, file: Option<&PathBuf>) -> Option<&'a Secret> {
    let secrets = &config.auth.secrets;
    match file {
        Some(_) => secrets.iter().find(|secret| secret.path.as_ref() == file),
        None => secrets.first(),
    }
}

/// A time as `2026-01-31 12:00:00 UTC`.
fn utc(seconds: u64) -> String {
    let (mut days, time) = (seconds / 86400, seconds % 86400);
    let leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let mut year = 1970;
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let february = 28 + u64::from(leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    let (hour, minute, second) = (time / 3600, time / 60 % 60, time % 60);
    format!("{year}-{month:02}-{:02} {hour:02}:{minute:02}:{second:02} UTC", days + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use taciturn_turn::auth::SharedSecret;

    fn made(name: &str) -> Result<Credentials, CredentialsError> {
        let secret = Secret { secret: SharedSecret::new("s3cret"), path: None, generated: false };
        let now = UNIX_EPOCH + Duration::from_secs(1_700_000_000 - 3600);
        make(&secret, SecretHash::Sha1, name, Duration::from_secs(3600), now)
    }

    #[test]
    fn credentials_are_those_synapse_makes() {
        let made = made("@alice:domain.org").ok().unwrap();
        assert_eq!(made.username, "1700000000:@alice:domain.org");
        assert_eq!(made.password.as_str(), "50TfR1MtIiRPp/Eno7I1arJ4dzs=");
    }

    #[test]
    fn links_are_header_fields_of_rfc_9725() {
        let made = made("a \"b\" \\c").ok().unwrap();
        let urls = ["turn:turn.domain.org:3478?transport=udp".to_owned()];
        let text = links(&urls, &made);
        let expected = "Link: <turn:turn.domain.org:3478?transport=udp>; rel=\"ice-server\"; \
             username=\"1700000000:a \\\"b\\\" \\\\c\"; credential=\"";
        assert!(text.starts_with(expected), "{text}");
        assert!(text.ends_with("; credential-type=\"password\"\n"), "{text}");
    }

    #[test]
    fn names_that_no_server_takes_are_refused() {
        for name in ["", "a\nb", &"x".repeat(481)] {
            assert!(matches!(made(name), Err(CredentialsError::User(_))), "{name}");
        }
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(utc(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(utc(1_700_000_000), "2023-11-14 22:13:20 UTC");
        assert_eq!(utc(951_782_400), "2000-02-29 00:00:00 UTC");
        assert_eq!(utc(1_735_689_599), "2024-12-31 23:59:59 UTC");
        assert_eq!(utc(4_102_444_800), "2100-01-01 00:00:00 UTC");
    }
}
