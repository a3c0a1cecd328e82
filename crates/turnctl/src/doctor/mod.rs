//! `turnctl doctor`: what is wrong on the machine of the server.

mod addresses;
mod ask;
mod certificates;
mod firewall;
mod kernel_relay;
mod listeners;
mod machine;
pub(crate) mod media;
mod nft;
mod ntp;
mod ports;
mod records;
mod settings;
mod sockets;
mod tell_server;
mod ufw;
mod world;

use std::io::Write;
use std::path::PathBuf;

use taciturn_config::Environment;

use super::report::{Finding, Look, Report, Section};
use super::{CtlError, ServerFiles};
use ports::{ports_of, relay_ports};
use world::World;

const EXAMPLES: &str = "\
Examples:
  sudo turnctl doctor --config /etc/taciturn/taciturn.toml
      Only root sees the firewall and the owners of sockets.
  turnctl doctor --offline --json
      Queries no name server; for scripts.
  turnctl doctor --ntp pool.ntp.org
      Also checks the clock.

A running server shows the report on its status page.

Exit status: 0 no problems, 1 warnings, 2 failures. turnctl check, run in another
network, shows what only a client can see, such as the firewall of your provider.";

/// Arguments of `turnctl doctor`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct DoctorArgs {
    /// Which server.
    #[command(flatten)]
    pub server: ServerFiles,

    /// Print JSON
    #[arg(long)]
    pub json: bool,

    /// Do not query any name server
    #[arg(long)]
    pub offline: bool,

    /// Compare the clock with this time server
    #[arg(long, value_name = "HOST[:PORT]", conflicts_with = "offline")]
    pub ntp: Option<String>,
}

/// The report, and the control socket of the server that it is about.
fn examine(args: &DoctorArgs, env: &Environment, world: &World) -> (Report, Option<PathBuf>) {
    let (section, config) = settings::configuration(&args.server, env);
    let mut report = Report { sections: vec![section], ..Report::default() };
    let Some(config) = config else {
        let mut rest = Section::new("The rest");
        let title = "nothing else is looked at before the configuration is right";
        rest.push(Finding::skip("not-examined", title));
        report.sections.push(rest);
        return (report, None);
    };
    let sockets = sockets::bound(&world.root);
    let sockets = sockets.as_deref().map_err(ToString::to_string);
    report.sections.push(listeners::section(&config, &sockets));
    report.sections.push(addresses::section(&config, args.offline));
    report.sections.push(firewall::section(&config, world));
    report.sections.extend(certificates::section(&config));
    let server = sockets.as_ref().ok().and_then(|sockets| listeners::server(&config, sockets));
    let sockets = sockets.unwrap_or_default();
    report.sections.extend(media::section(&config, world, sockets));
    let mut section = machine::section(&config, world, sockets, server);
    if let Some(host) = &args.ntp {
        section.push(ntp::finding(host));
    }
    report.sections.push(section);
    report.sections.extend(records::section(&config, world, server));
    report.sections.extend(kernel_relay::section(&config));
    (report, config.admin.socket)
}

pub(super) fn run(
    args: &DoctorArgs,
    env: &Environment,
    out: &mut dyn Write,
) -> Result<u8, CtlError> {
    let (report, socket) = examine(args, env, &World::here());
    if args.json {
        writeln!(out, "{:#}", report.to_json())?;
    } else {
        report.write_text(out, Look::of_output(env))?;
        if report.exit_code() == 0 {
            writeln!(
                out,
                "Next, where the callers are: turnctl check --homeserver https://YOUR.HOMESERVER"
            )?;
        }
    }
    if let Some(socket) = socket {
        tell_server::tell(&socket, &report);
    }
    Ok(report.exit_code())
}
