//! What a snippet is made of, and why there may be none.

use taciturn_config::uris::{self, Host};
use taciturn_config::{Config, Listen, Secret, Transport};
use taciturn_turn::auth::StaticKey;

use crate::CtlError;
use crate::media_servers::MediaServer;

/// Where a target looks for the secret, if it is in no file on the server.
pub(super) const SECRET_FILE: &str = "/run/secrets/turn_secret";

/// Why there is no snippet.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SnippetError {
    /// Only static users are configured.
    #[error(
        "no shared secret is configured, and this target takes nothing else. Add one to secrets or \
         secret_files in [auth]"
    )]
    NoSecret,
    /// No application may have credentials made.
    #[error(
        "no token for applications is configured. Make one, (umask 077; openssl rand -hex 24 > FILE), and add \
         token_files = [\"FILE\"] to the section [ice]"
    )]
    NoIceToken,
    /// No static user whose password is known is configured.
    #[error(
        "this target takes one name and one password that never end, and no static user is configured with its \
         password. Add one to users in [auth], for this target alone: users = [\"{0}:PASSWORD\"]"
    )]
    NoUser(&'static str),
    /// The secret is not UTF-8.
    #[error("the shared secret is not text, and the snippet can only hold text")]
    NotText,
    /// No listener that clients can reach directly.
    #[error("no listener is configured that clients can reach directly: add one")]
    NoListener,
    /// The target speaks plain TURN.
    #[error("this target needs a listener with transport = \"udp\" or \"tcp\"")]
    NoPlainListener,
    /// The target takes neither names nor IPv6.
    #[error(
        "this target takes an IPv4 address, no name, and external_ip names none: pass --host ADDRESS"
    )]
    NoIpv4,
    /// Traefik has nowhere to pass connections on to.
    #[error(
        "no listener takes connections from a proxy. Add one to the configuration, with the network \
         that Traefik is in:\n\n\
         [[listen]]\n\
         transport = \"tcp\"      # Traefik ends TLS; \"tls\" where it passes TLS through\n\
         address = \"172.17.0.1:5350\"\n\
         proxy_protocol = true\n\
         trusted_proxies = [\"172.16.0.0/12\"]\n"
    )]
    NoProxyListener,
    /// The domain of the homeserver is guessed from the host.
    #[error(
        "the files need the domain of the homeserver, and the host gives none: pass --host turn.DOMAIN, as in \
         --host turn.domain.org"
    )]
    NoDomain,
    /// The system gives no randomness.
    #[error("the system gives no random bytes for the key of LiveKit")]
    NoRandomness,
    /// Traefik tells connections apart by name.
    #[error("Traefik needs the DNS name that clients ask for: pass --host NAME")]
    NoName,
}

impl From<SnippetError> for CtlError {
    fn from(error: SnippetError) -> Self {
        Self::mistake(error)
    }
}

/// What to set if the target runs on the relay's own machine.
pub(super) fn same_machine(target: &MediaServer) -> String {
    format!(
        "If {} runs on this machine, taciturn needs {}, or clients behind the relay do not reach it: docs/networks.md",
        target.name,
        target.remedy()
    )
}

/// What a snippet is made of.
pub(crate) struct Facts<'a> {
    pub(crate) config: &'a Config,
    pub(crate) host: Host,
    /// At most three, UDP first.
    pub(super) uris: Vec<String>,
    pub(super) inline: bool,
    pub(super) secret_path: Option<String>,
    /// Whether the configuration is coturn's.
    pub(super) coturn: bool,
}

/// How a target gets the secret.
pub(super) enum Given<'a> {
    Inline(&'a str),
    File(String),
}

impl<'a> Facts<'a> {
    /// For the snippets that need no secret.
    pub(crate) fn of(config: &'a Config, host: Host) -> Self {
        let uris = uris::of_listeners(config, &host);
        Self { config, host, uris, inline: false, secret_path: None, coturn: false }
    }

    /// What the server gets its configuration by.
    pub(super) const fn config_flag(&self) -> &'static str {
        if self.coturn { "--coturn-config" } else { "--config" }
    }

    pub(super) fn port(&self, transports: &[Transport]) -> Option<u16> {
        uris::port(self.config, transports)
    }

    pub(super) fn udp(&self) -> Option<u16> {
        self.port(uris::UDP)
    }

    pub(super) fn tcp(&self) -> Option<u16> {
        self.port(uris::TCP)
    }

    pub(super) fn tls(&self) -> Option<u16> {
        self.port(uris::TLS)
    }

    /// The port for clients that want one for UDP and TCP, and which of both it serves.
    pub(super) fn plain(&self) -> Result<(u16, bool, bool), SnippetError> {
        let (udp, tcp) = (self.udp(), self.tcp());
        let port = udp.or(tcp).ok_or(SnippetError::NoPlainListener)?;
        Ok((port, udp == Some(port), tcp == Some(port)))
    }

    pub(super) fn uris(&self) -> Result<&[String], SnippetError> {
        if self.uris.is_empty() { Err(SnippetError::NoListener) } else { Ok(&self.uris) }
    }

    pub(super) fn secret(&self) -> Result<&'a Secret, SnippetError> {
        self.config.auth.secrets.first().ok_or(SnippetError::NoSecret)
    }

    /// For targets that take the secret as text only.
    pub(super) fn text(&self) -> Result<&'a str, SnippetError> {
        std::str::from_utf8(self.secret()?.secret.expose()).map_err(|_| SnippetError::NotText)
    }

    /// For targets that take one name and one password: those of the first static user.
    pub(super) fn static_user(&self) -> Result<(&'a str, &'a str), SnippetError> {
        let mut users = self.config.auth.users.iter();
        let known = users.find_map(|user| match &user.key {
            StaticKey::Password(password) => Some((user.name.as_str(), password.as_str())),
            StaticKey::Md5(_) => None,
        });
        known.ok_or(SnippetError::NoUser("media"))
    }

    /// For targets that can read it from a file.
    pub(super) fn given(&self) -> Result<Given<'a>, SnippetError> {
        if self.inline {
            return Ok(Given::Inline(self.text()?));
        }
        let own = self.secret()?.path.as_ref().map(|path| path.display().to_string());
        let path = self.secret_path.clone().or(own);
        Ok(Given::File(path.unwrap_or_else(|| SECRET_FILE.into())))
    }

    /// The listeners that others than this machine can reach.
    pub(super) fn open(&self) -> impl Iterator<Item = &'a Listen> {
        self.config.listen.iter().filter(|listen| !listen.address.ip().is_loopback())
    }
}

/// A snippet, and where it belongs.
pub(super) struct Snippet {
    pub(super) text: String,
    pub(super) place: String,
}

impl Snippet {
    pub(super) fn new(text: String, place: impl Into<String>) -> Self {
        Self { text, place: place.into() }
    }
}
