//! `turnctl kernel-relay`: attaches the program that relays channels in the kernel, for a server that may not do so
//! itself, and detaches it.

use std::io::Write;
use std::net::{IpAddr, Ipv6Addr};
use std::path::Path;

use clap::{Args, Subcommand};
use nix::unistd::{Gid, Group, Uid, User};

use super::{CtlError, ServerFiles};
use taciturn_config::{Config, Environment, ExternalIp};
use taciturn_kernel::{Wanted, attach, detach_left, detach_pins, is_pinned, let_through, pin};

/// The arguments of `kernel-relay`.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Examples:\n  turnctl kernel-relay attach --config /etc/taciturn/taciturn.toml\n  turnctl kernel-relay detach"
)]
pub struct KernelRelayArgs {
    #[command(subcommand)]
    what: What,
}

/// What is done.
#[derive(Clone, Debug, Subcommand)]
enum What {
    /// Attach the program, for a server that may not do so itself; needs CAP_BPF and CAP_NET_ADMIN
    #[command(
        after_help = "Example:\n  turnctl kernel-relay attach --config /etc/taciturn/taciturn.toml"
    )]
    Attach(AttachArgs),
    /// Detach the program; the sockets of the server relay then
    #[command(
        after_help = "Example:\n  turnctl kernel-relay detach --config /etc/taciturn/taciturn.toml"
    )]
    Detach(ServerFiles),
}

#[derive(Clone, Debug, Args)]
struct AttachArgs {
    #[command(flatten)]
    server: ServerFiles,
    /// The account that the server runs as: USER, USER:GROUP or their numbers [default: process.user, or taciturn]
    #[arg(long, value_name = "USER")]
    user: Option<String>,
}

/// Why it cannot be done.
#[derive(Debug, thiserror::Error)]
enum RelayError {
    #[error(
        "kernel_relay.pins is \"off\": write a directory of a BPF file system, such as /sys/fs/bpf/taciturn"
    )]
    NoPins,
    #[error("{0} is attached already. To attach it anew: turnctl kernel-relay detach")]
    Attached(String),
    #[error(
        "there is no account \"{0}\" on this system: name the one that the server runs as by --user"
    )]
    NoAccount(String),
    #[error("{0}")]
    Interface(String),
    #[error("{0}{1}")]
    Kernel(taciturn_kernel::Error, &'static str),
}

pub(super) fn run(
    args: &KernelRelayArgs,
    env: &Environment,
    out: &mut dyn Write,
) -> Result<(), CtlError> {
    let server = match &args.what {
        What::Attach(attach) => &attach.server,
        What::Detach(server) => server,
    };
    let source = server.source(env);
    source.enter();
    let config = Config::load_existing(&source.args, &source.env)?.config;
    let pins = config.kernel_relay.pins.as_deref();
    let pins = pins.ok_or_else(|| CtlError::mistake(RelayError::NoPins))?;
    let (attached, done) = match &args.what {
        What::Attach(args) => {
            let attached = attach_all(args, &config, pins, out)?;
            let kernel = |error| CtlError::failure(RelayError::Kernel(error, ""));
            if let_through(pins).map_err(kernel)? {
                let parent = pins.parent().unwrap_or(pins).display();
                writeln!(
                    out,
                    "others than root may pass through {parent} now, for the server's user"
                )?;
            }
            (attached, "attached to")
        }
        What::Detach(_) if is_pinned(pins) => {
            let kernel = |error| CtlError::failure(RelayError::Kernel(error, ""));
            (detach_pins(pins).map_err(kernel)?, "detached from")
        }
        // What a server has left that attached it itself, without links.
        What::Detach(_) => (detach_left(&wanted(&config).names()), "detached from"),
    };
    if attached.is_empty() {
        writeln!(out, "nothing was attached")?;
    }
    for attached in attached {
        writeln!(out, "{done} {} ({})", attached.interface, attached.to)?;
    }
    Ok(())
}

fn attach_all(
    args: &AttachArgs,
    config: &Config,
    pins: &Path,
    out: &mut dyn Write,
) -> Result<Vec<taciturn_kernel::Attached>, CtlError> {
    if is_pinned(pins) {
        return Err(CtlError::mistake(RelayError::Attached(pins.display().to_string())));
    }
    let of_config = config.process.user.as_ref().map(taciturn_config::Account::as_str);
    let name = args.user.as_deref().or(of_config).unwrap_or("taciturn");
    let owner =
        account(name).ok_or_else(|| CtlError::mistake(RelayError::NoAccount(name.to_owned())))?;
    let refused = |error| {
        let help = "\n  This needs root, or CAP_BPF and CAP_NET_ADMIN; and for the pins a BPF file system: \
                    mount -t bpf bpf /sys/fs/bpf";
        CtlError::failure(RelayError::Kernel(error, help))
    };
    let program = attach(wanted(config), config.kernel_relay.channels).map_err(refused)?;
    for error in program.failed() {
        if !matches!(error, taciturn_kernel::Error::NoSuchInterface(_)) {
            return Err(CtlError::failure(RelayError::Interface(error.to_string())));
        }
        writeln!(out, "{error}. From Linux 6.6 the server attaches to it when it comes")?;
    }
    pin(program, pins, owner).map_err(refused)
}

/// The interfaces that are named, or that have the addresses of the listeners and of the relay.
fn wanted(config: &Config) -> Wanted {
    let named: Vec<_> = config.kernel_relay.interfaces.iter().map(ToString::to_string).collect();
    if !named.is_empty() {
        return Wanted::Named(named);
    }
    let listeners = config.listen.iter().filter(|listen| listen.transport.is_datagram());
    let mut addresses: Vec<IpAddr> = listeners.map(|listen| listen.address.ip()).collect();
    match &config.external_ip {
        // Which one it is the server finds out.
        ExternalIp::Auto => addresses.push(Ipv6Addr::UNSPECIFIED.into()),
        ExternalIp::Given(given) => addresses.extend(given.iter().map(|given| given.local)),
    }
    Wanted::With(addresses)
}

/// The numbers of `USER` or `USER:GROUP`.
fn account(name: &str) -> Option<(u32, u32)> {
    let (user, group) = match name.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (name, None),
    };
    let known = match user.parse() {
        Ok(number) => User::from_uid(Uid::from_raw(number)).ok().flatten(),
        Err(_) => User::from_name(user).ok().flatten(),
    };
    let number = user.parse().ok().or_else(|| Some(known.as_ref()?.uid.as_raw()))?;
    let own = known.as_ref().map_or(number, |user| user.gid.as_raw());
    let group = match group {
        None => own,
        Some(group) => match group.parse() {
            Ok(number) => Gid::from_raw(number).as_raw(),
            Err(_) => Group::from_name(group).ok().flatten()?.gid.as_raw(),
        },
    };
    Some((number, group))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_a_name_or_a_number() {
        assert_eq!(account("root"), Some((0, 0)));
        assert_eq!(account("0:0"), Some((0, 0)));
        assert_eq!(account("4000123456"), Some((4_000_123_456, 4_000_123_456)), "unknown here");
        assert_eq!(
            (account("nobody-has-this-name"), account("root:no-group-has-it")),
            (None, None)
        );
    }
}
