//! `turnctl snippet`: the settings that other programs need to use this server, or to let it run.

mod homeservers;
mod machine;
mod media;
mod meetings;
mod memory;
mod systemd;
mod text;

use std::io::Write;

use taciturn_config::homeserver::{self, BlockOptions};
use taciturn_config::uris::{self, Host};
use taciturn_config::{Config, Environment, ExternalIp, Listen, Secret, Transport};
use taciturn_net::external;
use taciturn_turn::auth::StaticKey;
use taciturn_turn::policy::allow_line;

use super::{CtlError, ServerFiles, host_argument};

pub(super) use machine::{nft, ufw};
pub(super) use systemd::preparation;
pub(super) use text::toml;

const EXAMPLES: &str = "\
Examples:
  turnctl snippet dendrite --config /etc/taciturn/taciturn.toml --host turn.domain.org
  turnctl snippet livekit --secret-path /run/secrets/turn_secret
      Names the file where LiveKit finds the secret.
  turnctl snippet ufw | sh
      Opens the firewall for the configured ports.

Standard output is the snippet and nothing else; standard error says where it belongs. The secret
itself is printed if the program cannot read it from a file, or with --inline.";

/// Where a target looks for the secret, if it is in no file on the server.
const SECRET_FILE: &str = "/run/secrets/turn_secret";

/// Whom a snippet is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Target {
    /// Synapse: homeserver.yaml (YAML)
    Synapse,
    /// Dendrite: dendrite.yaml (YAML)
    Dendrite,
    /// Conduit: conduit.toml (TOML)
    Conduit,
    /// continuwuity: continuwuity.toml (TOML)
    Continuwuity,
    /// tuwunel: tuwunel.toml (TOML)
    Tuwunel,
    /// LiveKit, for Element Call: livekit.yaml (YAML)
    Livekit,
    /// Nextcloud Talk: occ commands (shell)
    Nextcloud,
    /// Jitsi Meet for Docker: .env
    Jitsi,
    /// Prosody: prosody.cfg.lua (Lua)
    Prosody,
    /// ejabberd: ejabberd.yml (YAML)
    Ejabberd,
    /// Snikket: snikket.conf (environment)
    Snikket,
    /// Mattermost Calls: settings of the plugin (JSON)
    Mattermost,
    /// Galène: data/ice-servers.json (JSON)
    Galene,
    /// Any WebRTC page: iceServers, valid for a day (JSON)
    Webrtc,
    /// BigBlueButton: turn-stun-servers.xml (XML)
    Bbb,
    /// Janus: janus.jcfg, with a static user (libconfig)
    Janus,
    /// Kurento: WebRtcEndpoint.conf.ini, with a static user
    Kurento,
    /// OpenVidu 2: .env
    Openvidu,
    /// go2rtc, also in Frigate: go2rtc.yaml, with a static user (YAML)
    Go2rtc,
    /// Home Assistant: configuration.yaml, with a static user (YAML)
    HomeAssistant,
    /// MiroTalk P2P: .env, with a static user
    Mirotalk,
    /// Rocket.Chat: a setting, with a static user
    Rocketchat,
    /// PeerJS: options of new Peer, with a static user (JSON)
    Peerjs,
    /// mediamtx (WHIP, WHEP): mediamtx.yml (YAML)
    Mediamtx,
    /// live777 (WHIP, WHEP): live777.toml, with a static user (TOML)
    Live777,
    /// Traefik: a TCP router in the dynamic configuration (YAML)
    Traefik,
    /// Docker Compose: compose.yaml (YAML)
    Compose,
    /// systemd: taciturn.service
    Systemd,
    /// ufw: commands (shell)
    Ufw,
    /// nftables: commands (shell)
    Nft,
}

/// Arguments of `turnctl snippet`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct SnippetForArgs {
    /// The program that the settings are for
    #[arg(value_enum, value_name = "TARGET")]
    pub target: Target,

    /// Which server.
    #[command(flatten)]
    pub server: ServerFiles,

    /// Name or address at which clients reach the server [default: host, else the realm, else the
    /// external address]
    #[arg(long, value_name = "NAME")]
    pub host: Option<String>,

    /// Print the secret itself even if a file could be named
    #[arg(long, conflicts_with = "secret_path")]
    pub inline: bool,

    /// File with the secret, as the target sees it [default: the server's own file]
    #[arg(long, value_name = "PATH")]
    pub secret_path: Option<String>,
}

/// Why there is no snippet.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SnippetError {
    /// Only static users are configured.
    #[error(
        "no shared secret is configured, and this target takes nothing else. Add one to secrets or \
         secret_files in [auth]"
    )]
    NoSecret,
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
    /// Traefik tells connections apart by name.
    #[error("Traefik needs the DNS name that clients ask for: pass --host NAME")]
    NoName,
}

/// What a snippet is made of.
pub(super) struct Facts<'a> {
    pub(super) config: &'a Config,
    pub(super) host: Host,
    /// At most three, UDP first.
    uris: Vec<String>,
    inline: bool,
    secret_path: Option<String>,
    /// Whether the configuration is coturn's.
    coturn: bool,
}

/// How a target gets the secret.
enum Given<'a> {
    Inline(&'a str),
    File(String),
}

impl<'a> Facts<'a> {
    /// For the snippets that need no secret.
    pub(super) fn of(config: &'a Config, host: Host) -> Self {
        let uris = uris::of_listeners(config, &host);
        Self { config, host, uris, inline: false, secret_path: None, coturn: false }
    }

    /// What the server gets its configuration by.
    const fn config_flag(&self) -> &'static str {
        if self.coturn { "--coturn-config" } else { "--config" }
    }

    fn port(&self, transports: &[Transport]) -> Option<u16> {
        uris::port(self.config, transports)
    }

    fn udp(&self) -> Option<u16> {
        self.port(&[Transport::Udp])
    }

    fn tcp(&self) -> Option<u16> {
        self.port(&[Transport::Tcp, Transport::Auto])
    }

    fn tls(&self) -> Option<u16> {
        self.port(&[Transport::Tls, Transport::Auto])
    }

    /// The port for clients that want one for UDP and TCP, and which of both it serves.
    fn plain(&self) -> Result<(u16, bool, bool), SnippetError> {
        let (udp, tcp) = (self.udp(), self.tcp());
        let port = udp.or(tcp).ok_or(SnippetError::NoPlainListener)?;
        Ok((port, udp == Some(port), tcp == Some(port)))
    }

    fn uris(&self) -> Result<&[String], SnippetError> {
        if self.uris.is_empty() { Err(SnippetError::NoListener) } else { Ok(&self.uris) }
    }

    fn secret(&self) -> Result<&'a Secret, SnippetError> {
        self.config.auth.secrets.first().ok_or(SnippetError::NoSecret)
    }

    /// For targets that take the secret as text only.
    fn text(&self) -> Result<&'a str, SnippetError> {
        std::str::from_utf8(self.secret()?.secret.expose()).map_err(|_| SnippetError::NotText)
    }

    /// For targets that take one name and one password: those of the first static user.
    fn static_user(&self) -> Result<(&'a str, &'a str), SnippetError> {
        let mut users = self.config.auth.users.iter();
        let known = users.find_map(|user| match &user.key {
            StaticKey::Password(password) => Some((user.name.as_str(), password.as_str())),
            StaticKey::Md5(_) => None,
        });
        known.ok_or(SnippetError::NoUser("media"))
    }

    /// What to set if the target runs on the relay's own machine.
    fn same_machine(&self, who: &str) -> String {
        let address = match &self.config.external_ip {
            ExternalIp::Given(given) => given.first().map(|address| allow_line(address.public)),
            ExternalIp::Auto => None,
        };
        let line = address.unwrap_or_else(|| "peers.allow = [\"PUBLIC-ADDRESS\"]".to_owned());
        format!(
            "If {who} runs on this machine, taciturn needs {line}, or clients behind the relay do not reach it (that \
             opens all UDP ports of that address to them; docs/networks.md)"
        )
    }

    /// For targets that can read it from a file.
    fn given(&self) -> Result<Given<'a>, SnippetError> {
        if self.inline {
            return Ok(Given::Inline(self.text()?));
        }
        let own = self.secret()?.path.as_ref().map(|path| path.display().to_string());
        let path = self.secret_path.clone().or(own);
        Ok(Given::File(path.unwrap_or_else(|| SECRET_FILE.into())))
    }

    /// The listeners that others than this machine can reach.
    fn open(&self) -> impl Iterator<Item = &'a Listen> {
        self.config.listen.iter().filter(|listen| !listen.address.ip().is_loopback())
    }
}

/// A snippet, and where it belongs.
struct Snippet {
    text: String,
    place: String,
}

impl Snippet {
    fn new(text: String, place: impl Into<String>) -> Self {
        Self { text, place: place.into() }
    }
}

fn make(target: Target, facts: &Facts<'_>) -> Result<Snippet, CtlError> {
    Ok(match target {
        Target::Synapse => {
            let secret_path = match facts.given()? {
                Given::File(path) => Some(path),
                Given::Inline(_) => None,
            };
            let options = BlockOptions { secret_path, ..BlockOptions::default() };
            let block = homeserver::block(facts.config, &facts.host, &options)?;
            Snippet::new(block, "homeserver.yaml, in place of its turn_ lines; restart Synapse")
        }
        Target::Dendrite => homeservers::dendrite(facts)?,
        Target::Conduit => homeservers::conduit(facts)?,
        Target::Continuwuity => homeservers::continuwuity(facts)?,
        Target::Tuwunel => homeservers::tuwunel(facts)?,
        Target::Livekit => meetings::livekit(facts)?,
        Target::Nextcloud => meetings::nextcloud(facts)?,
        Target::Jitsi => meetings::jitsi(facts)?,
        Target::Prosody => meetings::prosody(facts)?,
        Target::Ejabberd => meetings::ejabberd(facts)?,
        Target::Snikket => meetings::snikket(facts)?,
        Target::Mattermost => meetings::mattermost(facts)?,
        Target::Galene => meetings::galene(facts)?,
        Target::Webrtc => meetings::webrtc(facts)?,
        Target::Bbb => media::bbb(facts)?,
        Target::Janus => media::janus(facts)?,
        Target::Kurento => media::kurento(facts)?,
        Target::Openvidu => media::openvidu(facts)?,
        Target::Go2rtc => media::go2rtc(facts)?,
        Target::HomeAssistant => media::home_assistant(facts)?,
        Target::Mirotalk => media::mirotalk(facts)?,
        Target::Rocketchat => media::rocketchat(facts)?,
        Target::Peerjs => media::peerjs(facts)?,
        Target::Mediamtx => media::mediamtx(facts)?,
        Target::Live777 => media::live777(facts)?,
        Target::Traefik => machine::traefik(facts)?,
        Target::Compose => machine::compose(facts),
        Target::Systemd => systemd::systemd(facts),
        Target::Ufw => Snippet::new(
            ufw(facts),
            "a root shell; the same ports have to be open in the panel of your provider",
        ),
        Target::Nft => Snippet::new(
            nft(facts),
            "a root shell, where the chain that drops is \"inet filter input\" (see `nft list \
             ruleset`); write the rules into /etc/nftables.conf as well, or a restart forgets them",
        ),
    })
}

pub(super) fn run(
    args: &SnippetForArgs,
    env: &Environment,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<(), CtlError> {
    let asked = host_argument(args.host.as_ref())?;
    let config = args.server.load(None, env, err)?;
    let host = Host::of(&config, asked.as_deref(), external::public_source());
    let mut facts = Facts::of(&config, host);
    facts.inline = args.inline;
    facts.secret_path.clone_from(&args.secret_path);
    facts.coturn = args.server.is_coturn(env);
    let snippet = make(args.target, &facts)?;
    let machine =
        matches!(args.target, Target::Compose | Target::Systemd | Target::Ufw | Target::Nft);
    if !machine {
        if facts.host == Host::Placeholder {
            writeln!(err, "warning: the address of this server is not known: pass --host NAME")?;
        }
        for warning in
            [uris::port_warning(&config), uris::proxy_hint(&config, &facts.host)].iter().flatten()
        {
            writeln!(err, "warning: {warning}")?;
        }
    }
    let in_file = config.auth.secrets.first().is_some_and(|secret| secret.path.is_some());
    if args.secret_path.is_none() && !in_file && snippet.text.contains(SECRET_FILE) {
        writeln!(
            err,
            "note: the secret stands in the configuration, in no file. Put it into {SECRET_FILE} on the \
             target's machine, name another with --secret-path, or print it with --inline"
        )?;
    }
    writeln!(err, "This belongs into {}.", snippet.place)?;
    Ok(out.write_all(snippet.text.as_bytes())?)
}
