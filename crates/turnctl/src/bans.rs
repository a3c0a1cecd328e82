//! `turnctl ban`, `unban` and `bans`: whom the running server serves no longer.

use std::io::{self, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{Args, ValueEnum};

use super::CtlError;
use super::control::{duration, print_messages};
use super::socket::{SocketArgs, another_answer, ask_once};
use taciturn_config::{Environment, show_duration};
use taciturn_control::{Answer, Ban, Banned, Request};

/// What can be banned.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    /// A user: the USERNAME, or the name that follows the expiry time in it
    User,
    /// Clients with this IP address
    Address,
    /// Clients with an IP address of this network
    Network,
}

/// Who is meant.
#[derive(Clone, Debug, Args)]
struct Whom {
    /// What is banned
    #[arg(value_name = "KIND")]
    kind: Kind,
    /// The name, the address, or the network
    #[arg(value_name = "VALUE")]
    value: String,
    /// Only the user of this tenant; default is the one without a name. Without this option, the user of every tenant
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,
}

impl Whom {
    fn banned(&self) -> Result<Banned, CtlError> {
        let kind = match (self.kind, &self.tenant) {
            (Kind::User, Some(tenant)) => {
                let value = format!("{tenant}/{}", self.value);
                return Ok(Banned { kind: "tenant-user".to_owned(), value });
            }
            (_, Some(_)) => {
                let text = "--tenant is for a user: an address is banned for all tenants";
                return Err(CtlError::mistake(io::Error::other(text)));
            }
            (Kind::User, None) => "user",
            (Kind::Address, None) => "address",
            (Kind::Network, None) => "network",
        };
        Ok(Banned { kind: kind.to_owned(), value: self.value.clone() })
    }
}

/// The arguments of `ban`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:\n  turnctl ban user @alice:domain.org\n      \
    Ends the sessions of this user now, and refuses new ones.\n  \
    turnctl ban user alice --tenant acme\n  turnctl ban address 203.0.113.7 --for 1d\n  turnctl ban network 2001:db8:1::/48")]
pub struct BanArgs {
    #[command(flatten)]
    socket: SocketArgs,
    #[command(flatten)]
    whom: Whom,
    /// End the ban after this time, such as 1d
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    within: Option<Duration>,
}

/// The arguments of `unban`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Example:\n  turnctl unban user @alice:domain.org")]
pub struct UnbanArgs {
    #[command(flatten)]
    socket: SocketArgs,
    #[command(flatten)]
    whom: Whom,
}

/// Bans somebody.
pub(super) fn ban(args: &BanArgs, env: &Environment, out: &mut dyn Write) -> Result<(), CtlError> {
    let for_seconds = args.within.map(|within| within.as_secs());
    let request = Request::Ban { whom: args.whom.banned()?, for_seconds };
    print_messages(&args.socket, env, &request, out)
}

/// Ends a ban.
pub(super) fn unban(
    args: &UnbanArgs,
    env: &Environment,
    out: &mut dyn Write,
) -> Result<(), CtlError> {
    print_messages(&args.socket, env, &Request::Unban { whom: args.whom.banned()? }, out)
}

/// Prints all bans, one a line.
pub(super) fn bans(
    args: &SocketArgs,
    env: &Environment,
    out: &mut dyn Write,
) -> Result<(), CtlError> {
    let bans = match ask_once(args, env, &Request::Bans, out)? {
        _ if args.json => return Ok(()),
        Answer::Bans(bans) => bans,
        other => return Err(another_answer(&other)),
    };
    if bans.is_empty() {
        writeln!(out, "no bans")?;
        return Ok(());
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let seconds = |seconds: u64| show_duration(Duration::from_secs(seconds));
    writeln!(out, "{:<11} {:<40} {:>8} {:>8}", "KIND", "VALUE", "AGE", "ENDS IN")?;
    for Ban { kind, value, begins_at, ends_at } in &bans {
        let value = value.escape_debug().to_string();
        let age = seconds(now.saturating_sub(*begins_at));
        let ends =
            ends_at.map_or_else(|| "never".to_owned(), |end| seconds(end.saturating_sub(now)));
        writeln!(out, "{kind:<11} {value:<40} {age:>8} {ends:>8}")?;
    }
    Ok(())
}
