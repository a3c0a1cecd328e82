//! `turnctl snippet`: the settings that other programs need to use this server, or to let it run.

mod application;
mod facts;
mod homeservers;
mod machine;
mod matrixrtc;
mod media;
mod meetings;
mod memory;
mod systemd;
mod text;

use std::io::Write;

use taciturn_config::Environment;
use taciturn_config::homeserver::{self, BlockOptions};
use taciturn_config::uris::{self, Host};
use taciturn_net::external;

use self::facts::{Given, SECRET_FILE, Snippet, SnippetError, same_machine};
use super::tenant::TenantArg;
use super::{CtlError, ServerFiles, host_argument};

pub(super) use facts::Facts;
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

Standard output is only the snippet; standard error says where to put it. The secret
itself is printed if the program cannot read it from a file, or with --inline.";

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
    /// Element X and Element Call: all files of a MatrixRTC backend with LiveKit, for Pangolin (YAML, JSON)
    Matrixrtc,
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
    /// An application of your own, which has credentials made by POST /ice (curl, JavaScript)
    Ice,
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

    /// Which tenant.
    #[command(flatten)]
    pub tenant: TenantArg,

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
        Target::Matrixrtc => matrixrtc::matrixrtc(facts)?,
        Target::Nextcloud => meetings::nextcloud(facts)?,
        Target::Jitsi => meetings::jitsi(facts)?,
        Target::Prosody => meetings::prosody(facts)?,
        Target::Ejabberd => meetings::ejabberd(facts)?,
        Target::Snikket => meetings::snikket(facts)?,
        Target::Mattermost => meetings::mattermost(facts)?,
        Target::Galene => meetings::galene(facts)?,
        Target::Webrtc => meetings::webrtc(facts)?,
        Target::Ice => application::ice(facts)?,
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
    let config = args.tenant.see(args.server.load(None, env, err)?)?;
    let host = Host::of(&config, asked.as_deref(), external::public_source());
    let mut facts = Facts::of(&config, host);
    facts.inline = args.inline;
    facts.secret_path.clone_from(&args.secret_path);
    facts.coturn = args.server.source(env).is_coturn();
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
