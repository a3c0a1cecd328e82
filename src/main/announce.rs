//! The report that the server prints when it starts, and its status for the service manager.

use std::io::{self, IsTerminal as _, Write as _};
use std::net::IpAddr;

use taciturn::notify;
use taciturn_config::Config;
use taciturn_config::homeserver::{self, BlockOptions};
use taciturn_config::uris::Host;
use taciturn_net::external::External;
use taciturn_stun::Family;
use taciturn_turn::Rules;

/// Prints what is served where and, without a configuration file, what Synapse needs to know.
pub(super) fn announce(config: &Config, external: &External, bound: &[String]) -> io::Result<()> {
    let relays = external.addresses.iter().flatten();
    let relays = relays.map(|address| {
        let nat = address.local != address.public;
        let behind = if nat { format!(" (bound to {})", address.local) } else { String::new() };
        format!("{}{behind}", address.public)
    });
    let users = config.auth.users.len();
    let secrets = config.auth.secrets.len();
    let mut out = io::stdout().lock();
    writeln!(out, "taciturn {}", env!("CARGO_PKG_VERSION"))?;
    writeln!(out, "  listening    {}", bound.join(", "))?;
    writeln!(
        out,
        "  relaying on  {}, ports {} ({})",
        relays.collect::<Vec<_>>().join(", "),
        config.relay_ports,
        config.relay_ports.len()
    )?;
    writeln!(out, "  realm        {}", config.realm)?;
    writeln!(out, "  credentials  {users} static users, {secrets} shared secrets")?;
    writeln!(out, "  workers      {}, one core each", config.workers)?;
    if config.file.is_none()
        && let Some(block) = homeserver_block(config, external)
    {
        writeln!(out, "\nFor Synapse, at the end of homeserver.yaml:\n\n{block}")?;
    }
    out.flush()
}

/// The block for homeserver.yaml. The secret itself is shown on a terminal only: what goes
/// elsewhere ends in logs, so there the secret's file is named.
fn homeserver_block(config: &Config, external: &External) -> Option<String> {
    let found = external.addresses.iter().flatten().map(|address| address.public).next();
    let host = Host::of(config, None, found.filter(|ip: &IpAddr| !ip.is_loopback()));
    let mut options = BlockOptions::default();
    if !io::stdout().is_terminal() {
        let path = config.auth.secrets.first().and_then(|secret| secret.path.as_ref())?;
        options.secret_path = Some(path.display().to_string());
    }
    // Without a shared secret there is nothing to print: `turnctl homeserver-snippet` knows more.
    homeserver::block(config, &host, &options).ok()
}

/// The text that `systemctl status` shows.
pub(super) fn status(rules: &Rules) -> String {
    let used: u32 = [Family::V4, Family::V6].map(|family| rules.ports.used(family)).iter().sum();
    notify::status(used, rules.quota.users())
}
