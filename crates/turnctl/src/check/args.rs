//! What `turnctl check` is asked for, and where its secrets come from.

use std::fmt;
use std::io::{IsTerminal as _, Read as _, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use zeroize::Zeroizing;

use super::Plan;
use super::credentials::Credentials;
use super::http::Http;
use super::uris::Origin;
use crate::client::Login;
use crate::credentials::{parse_secret_hash, secret_hash};
use crate::report::{Finding, Section};
use crate::tenant::TenantArg;
use crate::{CtlError, ServerFiles, host_argument};
use taciturn_config::uris::{self, Host};
use taciturn_config::{Config, Environment, parse_duration};
use taciturn_net::external;
use taciturn_turn::auth::{SecretHash, SharedSecret, StaticKey};
use taciturn_turn::policy::PortRange;

const EXAMPLES: &str = "\
Examples:
  turnctl check --homeserver https://matrix.example.org --token-file token.txt
      What Element gets: queries the homeserver, then tests every URI it returns.
  turnctl check turn:turn.example.org --secret-file /etc/turn.secret
      Any TURN server, with the shared secret of the homeserver.
  turnctl check turn:turn.example.org turns:turn.example.org:443 --user alice
      A static user. turnctl prompts for the password, or reads TURNCTL_PASSWORD.
  turnctl check --config /etc/taciturn/taciturn.toml
      The server that this file configures; it must be running.
  turnctl check --config /etc/taciturn/taciturn.toml --tenant acme
      The same, as the clients of a tenant see it.

Run it where the callers are, not on the server: a closed firewall shows only from outside. It takes
about five seconds for each URI, creates up to nine allocations at a time and ends them, and sends
four wrong logins on purpose (fail2ban may count them; --skip-security leaves them out).

Exit status: 0 no problems, 1 warnings, 2 failures or wrong arguments. Findings have fixed names, in
[brackets]; --json has them as \"id\".";

/// Arguments of `turnctl check`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct CheckArgs {
    /// What to test: turn:HOST[:PORT][?transport=udp|tcp] or turns:HOST[:PORT]
    #[arg(value_name = "URI")]
    pub uris: Vec<String>,

    /// Query this homeserver, as Element does, and test the servers it returns
    #[arg(long, value_name = "URL", conflicts_with_all = ["user", "secret_file", "config"])]
    pub homeserver: Option<String>,

    /// Access token for the homeserver. Everybody on this machine can see it in ps: prefer
    /// --token-file, TURNCTL_TOKEN or the prompt
    #[arg(long, value_name = "TOKEN", requires = "homeserver")]
    pub token: Option<Hidden>,

    /// File with the access token; - is standard input
    #[arg(long, value_name = "FILE", requires = "homeserver", conflicts_with = "token")]
    pub token_file: Option<PathBuf>,

    /// Who logs in.
    #[command(flatten)]
    pub login: LoginArgs,

    /// Test the server that this configuration file of taciturn describes
    #[arg(long, short, value_name = "FILE", conflicts_with_all = ["user", "secret_file"])]
    pub config: Option<PathBuf>,

    /// With --config: name or address at which clients reach the server
    #[arg(long, value_name = "NAME", requires = "config")]
    pub host: Option<String>,

    /// With --config: log in as a client of this tenant, by the name that leads to its realm
    #[arg(long, value_name = "NAME", requires = "config")]
    pub tenant: Option<String>,

    /// Expected relay ports, FIRST-LAST
    #[arg(long, value_name = "PORTS")]
    pub expect_ports: Option<String>,

    /// Also send through the relay to this UDP echo or STUN server
    #[arg(long, value_name = "HOST:PORT")]
    pub echo: Option<String>,

    /// PEM file with certificate authorities to trust in addition to those of browsers
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,

    /// Skip the tests that attack the server: wrong logins, private peers
    #[arg(long)]
    pub skip_security: bool,

    /// Time limit for the tests of the server: 30s, 2m
    #[arg(long, value_name = "TIME", default_value = "2m")]
    pub timeout: String,

    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Why nothing can be tested.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckError {
    /// Neither URI nor homeserver nor configuration.
    #[error(
        "nothing to test: pass a URI (turn:HOST), or --homeserver URL, or --config FILE. \
         `turnctl check --help` has examples"
    )]
    Nothing,
    /// A file cannot be read.
    #[error("{option} {path}: {what}")]
    File {
        /// The option that names it.
        option: &'static str,
        /// As given.
        path: String,
        /// Why.
        what: String,
    },
    /// No password, and nobody to ask.
    #[error("{what} is missing: pass {option} FILE, or set {variable}")]
    Missing {
        /// What.
        what: &'static str,
        /// The option to pass.
        option: &'static str,
        /// The variable to set.
        variable: &'static str,
    },
    /// `--expect-ports` is no range.
    #[error("--expect-ports: {0}")]
    Ports(String),
    /// `--timeout` is no duration.
    #[error("--timeout \"{0}\": write a number and a unit, up to an hour: 30s, 2m")]
    Timeout(String),
    /// `--echo` is no place.
    #[error("--echo \"{0}\": write HOST:PORT, like stun.example.org:3478")]
    Echo(String),
    /// The configuration does not tell where its server is.
    #[error("the address of the configured server is not known: pass --host NAME")]
    Host,
    /// The system refuses what is needed to begin.
    #[error("cannot begin: {0}")]
    System(String),
}

impl From<CheckError> for CtlError {
    fn from(error: CheckError) -> Self {
        Self::mistake(error)
    }
}

impl CheckArgs {
    /// Reads files, asks the homeserver, and hands over what to test.
    pub(super) fn plan(&self, env: &Environment, err: &mut dyn Write) -> Result<Plan, CtlError> {
        let total = parse_duration(&self.timeout)
            .filter(|time| !time.is_zero() && *time <= Duration::from_secs(3600))
            .ok_or_else(|| CheckError::Timeout(self.timeout.clone()))?;
        let expect_ports = self.expect_ports.as_ref().map(|text| {
            let wrong = |error| CheckError::Ports(format!("{error}"));
            text.trim().parse::<PortRange>().map_err(wrong)
        });
        let echo = self.echo.clone().map(|echo| match echo.rsplit_once(':') {
            Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => Ok(echo),
            _ => Err(CheckError::Echo(echo)),
        });
        let mut plan = Plan {
            uris: self.uris.clone(),
            origin: Origin::User,
            expect_ports: expect_ports.transpose()?,
            echo: echo.transpose()?,
            extra_roots: self.ca.as_deref().map(certificates).transpose()?.unwrap_or_default(),
            security: !self.skip_security,
            total,
            ..Plan::default()
        };
        if let Some(homeserver) = &self.homeserver {
            let token = self.token(env)?;
            let asked = super::homeserver::ask(&Http::new(&plan.extra_roots), homeserver, &token);
            if plan.uris.is_empty() {
                plan.uris = asked.uris;
                plan.origin = Origin::Homeserver;
            }
            plan.credentials = asked.credentials;
            plan.expiry_explained = asked.expiry_explained;
            plan.hindered = asked.hindered;
            plan.before.push(asked.section);
        } else if let Some(file) = &self.config {
            let files = ServerFiles { config: Some(file.clone()), ..ServerFiles::default() };
            let config = files.load(None, env, err)?;
            let tenant = TenantArg { tenant: self.tenant.clone() };
            let config = tenant.see(config).map_err(CtlError::mistake)?;
            self.configured(&config, &mut plan)?;
        } else {
            if plan.uris.is_empty() {
                return Err(CheckError::Nothing.into());
            }
            plan.credentials = self.login.credentials("turnctl-check", env)?;
        }
        Ok(plan)
    }

    fn token(&self, env: &Environment) -> Result<Zeroizing<String>, CheckError> {
        if let Some(token) = &self.token {
            return Ok(token.0.clone());
        }
        if let Some(file) = &self.token_file {
            return secret("--token-file", file);
        }
        asked("Access token", "the access token", "--token-file", "TURNCTL_TOKEN", env)
    }

    /// URIs, credentials and ports of a configuration.
    fn configured(&self, config: &Config, plan: &mut Plan) -> Result<(), CtlError> {
        let asked = host_argument(self.host.as_ref())?;
        let host = Host::of(config, asked.as_deref(), external::public_source());
        if plan.uris.is_empty() {
            if host == Host::Placeholder {
                return Err(CheckError::Host.into());
            }
            plan.uris = uris::of_listeners(config, &host);
        }
        plan.expect_ports.get_or_insert(config.relay_ports);
        let user = config.auth.users.iter().find_map(|user| match &user.key {
            StaticKey::Password(password) => {
                Some(Login { username: user.name.clone(), password: password.clone() })
            }
            StaticKey::Md5(_) => None,
        });
        plan.credentials = match (config.auth.secrets.first(), user) {
            (Some(secret), _) => Credentials::Secret {
                secret: secret.secret.clone(),
                hash: secret_hash(config),
                name: "turnctl-check".to_owned(),
            },
            (None, Some(login)) => Credentials::Fixed(login),
            (None, None) => Credentials::None,
        };
        if let Some(hint) = uris::proxy_hint(config, &host) {
            let mut section = Section::new("Configuration");
            section.push(Finding::info("behind-proxy", hint));
            plan.before.push(section);
        }
        Ok(())
    }
}

/// A secret of the command line. `Debug` does not show it.
#[derive(Clone)]
pub struct Hidden(Zeroizing<String>);

impl std::str::FromStr for Hidden {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(Zeroizing::new(text.to_owned())))
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

/// Who logs in, and how that is proved: for each subcommand that is a client.
#[derive(Clone, Default, clap::Args)]
pub struct LoginArgs {
    /// Log in as this user. NAME:PASSWORD is taken as well, as by the server; see --password
    #[arg(long, value_name = "NAME")]
    pub user: Option<User>,

    /// Password of the user. Everybody on this machine can see it in ps: prefer --password-file,
    /// TURNCTL_PASSWORD or the prompt
    #[arg(long, value_name = "PASSWORD", requires = "user")]
    pub password: Option<String>,

    /// File with the password; - is standard input
    #[arg(long, value_name = "FILE", requires = "user", conflicts_with = "password")]
    pub password_file: Option<PathBuf>,

    /// File with the shared secret of server and homeserver; - is standard input. With --user, the
    /// username contains that name
    #[arg(long, value_name = "FILE", conflicts_with_all = ["password", "password_file"])]
    pub secret_file: Option<PathBuf>,

    /// What the password is made with: sha1, sha256 or sha512 (auth.secret_hashes of the server)
    #[arg(long, value_name = "HASH", requires = "secret_file", default_value = "sha1",
        value_parser = parse_secret_hash)]
    pub secret_hash: SecretHash,
}

/// `--user`: a name, and the password if it follows the name.
#[derive(Clone)]
pub struct User {
    name: String,
    password: Option<Zeroizing<String>>,
}

impl std::str::FromStr for User {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, password) = match text.split_once(':') {
            // A username of the REST scheme begins with the time of its expiry.
            Some((name, password)) if name.parse::<u64>().is_err() && !name.is_empty() => {
                (name, Some(Zeroizing::new(password.to_owned())))
            }
            _ => (text, None),
        };
        Ok(Self { name: name.to_owned(), password })
    }
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl fmt::Debug for LoginArgs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoginArgs")
            .field("user", &self.user.as_ref().map(|user| &user.name))
            .field("password", &self.password.as_ref().map(|_| "(hidden)"))
            .field("password_file", &self.password_file)
            .field("secret_file", &self.secret_file)
            .field("secret_hash", &self.secret_hash)
            .finish()
    }
}

impl LoginArgs {
    /// Reads the files, or asks. `made_name` is the name that stands behind the time where a secret
    /// makes the login and no user is given.
    pub(crate) fn credentials(
        &self,
        made_name: &str,
        env: &Environment,
    ) -> Result<Credentials, CheckError> {
        if let Some(file) = &self.secret_file {
            let secret = SharedSecret::new(secret("--secret-file", file)?.as_bytes());
            let name = self.user.as_ref().map_or(made_name, |user| &user.name).to_owned();
            return Ok(Credentials::Secret { secret, hash: self.secret_hash, name });
        }
        let Some(User { name: username, password }) = self.user.clone() else {
            return Ok(Credentials::None);
        };
        let password = match (&self.password, &self.password_file, password) {
            (Some(password), ..) => Zeroizing::new(password.clone()),
            (None, Some(file), _) => secret("--password-file", file)?,
            (None, None, Some(password)) => password,
            (None, None, None) => asked(
                &format!("Password of {username}"),
                "the password",
                "--password-file",
                "TURNCTL_PASSWORD",
                env,
            )?,
        };
        Ok(Credentials::Fixed(Login { username, password }))
    }
}

/// The content of a file, or of standard input, without the white space around it.
fn secret(option: &'static str, path: &Path) -> Result<Zeroizing<String>, CheckError> {
    let fault = |what: String| CheckError::File { option, path: path.display().to_string(), what };
    let mut text = Zeroizing::new(String::new());
    let longest = 8192;
    let read = if path == Path::new("-") {
        std::io::stdin().lock().take(longest).read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(longest).read_to_string(&mut text))
    };
    read.map_err(|error| fault(error.to_string()))?;
    match text.trim() {
        "" => Err(fault("it is empty".into())),
        text if text.contains('\n') => Err(fault("it holds more than one line".into())),
        text => Ok(Zeroizing::new(text.to_owned())),
    }
}

/// A secret from the environment, or from whoever sits at the terminal.
fn asked(
    prompt: &str,
    what: &'static str,
    option: &'static str,
    variable: &'static str,
    env: &Environment,
) -> Result<Zeroizing<String>, CheckError> {
    if let Some(value) = env.get(variable).and_then(|value| value.to_str()) {
        return Ok(Zeroizing::new(value.to_owned()));
    }
    let missing = CheckError::Missing { what, option, variable };
    if !std::io::stdin().is_terminal() {
        return Err(missing);
    }
    let typed = rpassword::prompt_password(format!("{prompt}: ")).map_err(|_| missing.clone())?;
    let typed = Zeroizing::new(typed);
    if typed.trim().is_empty() { Err(missing) } else { Ok(Zeroizing::new(typed.trim().to_owned())) }
}

/// The certificates of the file that `--ca` names.
pub(crate) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, CheckError> {
    let fault =
        |what: String| CheckError::File { option: "--ca", path: path.display().to_string(), what };
    let read = CertificateDer::pem_file_iter(path).map_err(|error| fault(error.to_string()))?;
    let read: Result<Vec<_>, _> = read.collect();
    match read {
        Ok(list) if list.is_empty() => Err(fault("it holds no certificate".into())),
        Ok(list) => Ok(list),
        Err(error) => Err(fault(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_taken_with_a_password_as_the_server_takes_it() {
        let parts = |text: &str| {
            let User { name, password } = text.parse().unwrap();
            (name, password.map(|password| password.to_string()))
        };
        assert_eq!(parts("alice"), ("alice".into(), None));
        assert_eq!(parts("alice:a:b"), ("alice".into(), Some("a:b".into())));
        assert_eq!(parts("1767225600:@alice:example.org").0, "1767225600:@alice:example.org");
        assert_eq!(parts(":x"), (":x".into(), None));
    }

    #[test]
    fn a_token_is_not_in_the_debug_output_of_the_arguments() {
        let token: Hidden = "s3cret".parse().unwrap();
        assert_eq!(format!("{token:?}"), "(hidden)");
    }

    #[test]
    fn a_password_is_not_in_the_debug_output_of_a_login() {
        let login = LoginArgs { password: Some("s3cret".to_owned()), ..LoginArgs::default() };
        assert!(!format!("{login:?}").contains("s3cret"));
        assert!(format!("{login:?}").contains("hidden"));
    }
}
