//! The report that the server prints when it starts, and its status for the service manager.

use std::io::{self, IsTerminal as _, Write};
use std::net::IpAddr;

use taciturn::notify;
use taciturn_config::homeserver::{self, BlockOptions};
use taciturn_config::uris::Host;
use taciturn_config::{Config, Environment};
use taciturn_net::external::External;
use taciturn_stun::Family;
use taciturn_turn::Rules;

use super::look::{Look, separated};

/// Prints what is served where and, without a configuration file, what Synapse needs to know. In a terminal the next
/// steps follow.
pub(super) fn announce(
    config: &Config,
    environment: &Environment,
    external: &External,
    bound: &[String],
) -> io::Result<()> {
    let terminal = io::stdout().is_terminal();
    let look = Look::of(terminal, environment);
    // In one piece: the log leads to the same terminal.
    let mut out = Vec::new();
    writeln!(
        out,
        "{} is {}",
        look.bold(concat!("taciturn ", env!("CARGO_PKG_VERSION"))),
        look.good("ready")
    )?;
    let entry = |out: &mut dyn Write, label: &str, values: &[String]| {
        write!(out, "  {label:<13}{}", separated(values, 15))
    };
    entry(&mut out, "listening", &by_port(bound))?;
    entry(&mut out, "relaying on", &relayed_addresses(config, external))?;
    entry(&mut out, "realm", std::slice::from_ref(&config.realm))?;
    entry(&mut out, "credentials", &credentials(config))?;
    if config.listen.iter().all(|listen| !listen.explicit && !listen.transport.is_secure()) {
        entry(&mut out, "TLS", &["off: no certificate is configured in [tls]".into()])?;
    }
    writeln!(out, "  workers      {}, one core each", config.workers)?;
    if config.file.is_none()
        && let Some(block) = homeserver_block(config, external, terminal)
    {
        let heading = look.bold("For Synapse, at the end of homeserver.yaml:");
        writeln!(out, "\n{heading}\n\n{block}")?;
    }
    if terminal {
        writeln!(out, "{}", look.bold("Next:"))?;
        next_steps(config, &mut out)?;
    }
    let mut output = io::stdout().lock();
    output.write_all(&out)?;
    output.flush()
}

/// What to do, for somebody who has started the server by hand.
fn next_steps(config: &Config, mut out: impl Write) -> io::Result<()> {
    let mut open: Vec<String> = Vec::new();
    for listen in config.listen.iter().filter(|listen| !listen.proxy_protocol) {
        let kind = if listen.transport.is_datagram() { "udp" } else { "tcp" };
        open.push(format!("{}/{kind}", listen.address.port()));
    }
    open.push(format!("{}/udp", config.relay_ports));
    open.dedup();
    writeln!(out, "  1. Open these ports in every firewall, also in your provider's panel:")?;
    write!(out, "     {}", separated(&open, 5))?;
    let mut number = 1;
    let mut step = |text: &str| {
        number += 1;
        writeln!(out, "  {number}. {text}")
    };
    if !config.auth.secrets.is_empty() {
        step(match config.file {
            None => "Paste the block into homeserver.yaml, restart Synapse, and call.",
            Some(_) => "Print the settings for Synapse: turnctl homeserver-snippet",
        })?;
    }
    step("If a call fails, in another terminal: turnctl doctor")
}

/// The addresses that relayed packets come from, with the ports.
fn relayed_addresses(config: &Config, external: &External) -> Vec<String> {
    let relays = external.addresses.iter().flatten().map(|address| {
        let nat = address.local != address.public;
        let behind = if nat { format!(" (bound to {})", address.local) } else { String::new() };
        format!("{}{behind}", address.public)
    });
    let ports = format!("ports {} ({})", config.relay_ports, config.relay_ports.len());
    relays.chain([ports]).collect()
}

/// How many of each kind, and where the server keeps the secret that it has made itself.
fn credentials(config: &Config) -> Vec<String> {
    let count = |n: usize, one: &str| match n {
        0 => None,
        1 => Some(format!("1 {one}")),
        n => Some(format!("{n} {one}s")),
    };
    let mut kinds: Vec<_> = [
        count(config.auth.users.len(), "static user"),
        count(config.auth.secrets.len(), "shared secret"),
    ]
    .into_iter()
    .flatten()
    .collect();
    let generated = config.auth.secrets.iter().find(|secret| secret.generated);
    if let (Some(path), Some(last)) =
        (generated.and_then(|secret| secret.path.as_ref()), kinds.last_mut())
    {
        *last = format!("{last} of its own in {}", path.display());
    }
    kinds.extend(count(config.tenants.len(), "tenant"));
    let users = taciturn_config::users_file(&config.state_dir);
    match &config.database.url {
        Some(url) => kinds.push(format!("those of {url}")),
        None if users.exists() => kinds.push(format!("users of {}", users.display())),
        None => {}
    }
    kinds
}

/// The sockets, with `*` for those that are there for both families.
fn by_port(bound: &[String]) -> Vec<String> {
    let has = |family: &str, rest: &str| bound.contains(&format!("{family}{rest}"));
    let both = bound.iter().filter_map(|socket| {
        if let Some(rest) = socket.strip_prefix("[::]").filter(|rest| has("0.0.0.0", rest)) {
            return Some(format!("*{rest}"));
        }
        match socket.strip_prefix("0.0.0.0") {
            Some(rest) if has("[::]", rest) => None,
            _ => Some(socket.clone()),
        }
    });
    both.collect()
}

/// The block for homeserver.yaml. The secret itself is shown on a terminal only: what goes
/// elsewhere ends in logs, so there the secret's file is named.
fn homeserver_block(config: &Config, external: &External, terminal: bool) -> Option<String> {
    let found = external.addresses.iter().flatten().map(|address| address.public).next();
    let host = Host::of(config, None, found.filter(|ip: &IpAddr| !ip.is_loopback()));
    let mut options = BlockOptions::default();
    if !terminal {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_of_both_families_are_one_entry() {
        let listed =
            |bound: &[&str]| by_port(&bound.iter().map(ToString::to_string).collect::<Vec<_>>());
        let both = ["[::]:3478/udp", "0.0.0.0:3478/udp", "0.0.0.0:3478/tcp", "[::]:3478/tcp"];
        assert_eq!(listed(&both), ["*:3478/udp", "*:3478/tcp"]);
        let one_each = ["[::]:3478/udp", "0.0.0.0:3479/udp", "192.0.2.1:3478/udp"];
        assert_eq!(listed(&one_each), one_each);
    }
}
