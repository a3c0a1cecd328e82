//! turnctl: one file for each subcommand.
#![forbid(unsafe_code)]

mod ask_fleet;
mod bans;
mod bench;
mod certs;
pub mod check;
pub mod client;
pub mod completions_and_man;
mod control;
mod credentials;
mod doctor;
mod drain;
mod error;
mod fleet;
mod health;
mod homeserver;
mod host;
mod import_coturn;
mod init;
#[cfg(feature = "kernel-relay")]
mod kernel_relay;
mod media_servers;
mod page;
mod private_file;
pub mod report;
mod running;
mod server_files;
mod session_table;
mod snippet;
mod socket;
mod tenant;
mod test_link;
mod top;
mod upgrade;
mod users;

use std::io::{self, IsTerminal as _, Write};
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

use self::host::host_argument;
use taciturn_config::Environment;

pub use bans::{BanArgs, UnbanArgs};
pub use bench::{BenchArgs, BenchError};
pub use check::CheckArgs;
pub use completions_and_man::{CompletionsArgs, ManArgs};
pub use control::{KickArgs, LogLevelArgs, SessionsArgs, StatusArgs};
pub use credentials::CredentialsArgs;
pub use doctor::DoctorArgs;
pub use drain::DrainArgs;
pub use error::CtlError;
pub use health::{HealthArgs, HealthError};
pub use homeserver::SnippetArgs;
pub use import_coturn::ImportArgs;
pub use init::InitArgs;
#[cfg(feature = "kernel-relay")]
pub use kernel_relay::KernelRelayArgs;
pub use page::PageArgs;
pub use server_files::ServerFiles;
pub use snippet::{SnippetForArgs, Target};
pub use socket::SocketArgs;
pub use test_link::TestLinkArgs;
pub use top::TopArgs;
pub use upgrade::UpgradeArgs;
pub use users::UsersArgs;

const EXAMPLES: &str = "\
Examples:
  turnctl init --domain turn.domain.org
      First setup: a configuration, its secret, and the remaining steps.
  turnctl import-coturn /etc/turnserver.conf -o /etc/taciturn/taciturn.toml
      Migration from coturn.
  turnctl doctor --config /etc/taciturn/taciturn.toml
      Find out why calls fail, on the server.";

/// Set up, test and control a taciturn relay server.
#[derive(Clone, Debug, Parser)]
#[command(name = "turnctl", version, about = "Set up, test and control a taciturn relay server", long_about = None, after_help = EXAMPLES)]
pub struct Cli {
    /// The subcommand.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Write a first configuration and its secret, and print the remaining steps
    Init(InitArgs),
    /// Convert coturn's turnserver.conf, and report on each line
    ImportCoturn(ImportArgs),
    /// Print the TURN block for Synapse's homeserver.yaml
    HomeserverSnippet(SnippetArgs),
    /// Print the settings that another program needs to use this server
    Snippet(SnippetForArgs),
    /// Find problems on the machine of the server
    Doctor(DoctorArgs),
    /// Find out why calls fail: test any TURN server from the client's side
    Check(Box<CheckArgs>),
    /// Test whether the server answers; for health checks
    Health(HealthArgs),
    /// Show the state of the running server
    Status(StatusArgs),
    /// List the allocations of the running server
    Sessions(SessionsArgs),
    /// Watch the busiest allocations of the running server
    Top(TopArgs),
    /// End the allocations of a user or a client
    Kick(KickArgs),
    /// Ban a user, an address or a network: end its sessions, and refuse new ones
    Ban(BanArgs),
    /// End a ban
    Unban(UnbanArgs),
    /// List the bans
    #[command(after_help = "Example:\n  turnctl bans --json")]
    Bans(SocketArgs),
    /// List the servers of the fleet; exit status 1 if something differs among them
    #[command(after_help = "Example:\n  turnctl fleet --json")]
    Fleet(SocketArgs),
    /// Reload the configuration of the running server, and show what changes
    #[command(after_help = "Example:\n  turnctl reload && turnctl status")]
    Reload(SocketArgs),
    /// Stop accepting new calls, and exit when the last one ends
    Drain(DrainArgs),
    /// Say what to type for an update of the running server that ends no calls
    Upgrade(UpgradeArgs),
    /// Show or change what the running server logs
    LogLevel(LogLevelArgs),
    /// Show the certificates in use; exit status 1 if one expires within 14 days
    #[command(after_help = "Example:\n  turnctl certs || echo 'renew them'")]
    Certs(SocketArgs),
    /// Print the address of the status page, with a token that allows to end sessions
    Page(PageArgs),
    /// Print an address for the person whose call fails, and show what its test finds
    TestLink(TestLinkArgs),
    /// Add, list and remove users, without a configuration file to edit
    Users(UsersArgs),
    /// Attach or detach the program that relays channels in the kernel
    #[cfg(feature = "kernel-relay")]
    KernelRelay(KernelRelayArgs),
    /// Print a username and password that expire
    Credentials(CredentialsArgs),
    /// Load-test any TURN server and measure its performance
    Bench(Box<BenchArgs>),
    /// Print completions for a shell
    Completions(CompletionsArgs),
    /// Write the man pages of both programs
    Man(ManArgs),
}

/// An error as standard error shows it: a terminal in lines of its width and in colours, unless `NO_COLOR` is set.
fn message(error: &CtlError, env: &Environment) -> String {
    let text = error.to_string();
    if !io::stderr().is_terminal() {
        return text;
    }
    let columns = rustix::termios::tcgetwinsize(io::stderr()).map_or(0, |size| size.ws_col);
    let text = report::wrapped_message(&text, if columns > 0 { usize::from(columns) } else { 80 });
    if env.get("NO_COLOR").is_none() { taciturn_config::with_colours(&text) } else { text }
}

impl Cli {
    /// Runs the subcommand: its result goes to `out`, everything else to `err`. The exit code is 0,
    /// 2 for a mistake in the arguments or the configuration, 1 when the server is not well or `out`
    /// cannot be written to; `doctor`, `check` and `certs` have their own.
    pub fn run(&self, env: &Environment, out: &mut dyn Write, err: &mut dyn Write) -> ExitCode {
        let ok = |()| 0;
        let done = match &self.command {
            Command::Init(args) => init::run(args, env, out, err).map(ok),
            Command::HomeserverSnippet(args) => homeserver::run(args, env, out, err).map(ok),
            Command::Snippet(args) => snippet::run(args, env, out, err).map(ok),
            Command::Users(args) => users::run(args, env, out, err).map(ok),
            Command::Credentials(args) => credentials::run(args, env, out, err).map(ok),
            Command::Doctor(args) => doctor::run(args, env, out),
            Command::Health(args) => health::run(args, env, out).map(ok),
            Command::ImportCoturn(args) => import_coturn::run(args, out, err).map(ok),
            Command::Check(args) => check::run(args, env, out, err),
            Command::Bench(args) => bench::run(args, env, out, err).map(ok),
            Command::Completions(args) => {
                completions_and_man::completions(args, Self::command(), out).map(ok)
            }
            Command::Man(args) => completions_and_man::man(args, Self::command(), err).map(ok),
            Command::Status(args) => control::status(args, env, out),
            Command::Sessions(args) => control::sessions(args, env, out),
            Command::Top(args) => top::run(args, env, out).map(ok),
            Command::Kick(args) => control::kick(args, env, out).map(ok),
            Command::Ban(args) => bans::ban(args, env, out).map(ok),
            Command::Unban(args) => bans::unban(args, env, out).map(ok),
            Command::Bans(args) => bans::bans(args, env, out).map(ok),
            Command::Fleet(args) => fleet::run(args, env, out),
            Command::Reload(args) => control::reload(args, env, out).map(ok),
            Command::Drain(args) => drain::drain(args, env, out).map(ok),
            Command::Upgrade(_) => upgrade::run(out).map(ok),
            Command::LogLevel(args) => control::log_level(args, env, out).map(ok),
            Command::Certs(args) => certs::run(args, env, out),
            Command::Page(args) => page::run(args, env, out).map(ok),
            #[cfg(feature = "kernel-relay")]
            Command::KernelRelay(args) => kernel_relay::run(args, env, out).map(ok),
            Command::TestLink(args) => test_link::run(args, env, out).map(ok),
        };
        let error = match done.and_then(|code| Ok((code, out.flush()?))) {
            Ok((code, ())) => return ExitCode::from(code),
            Err(error) => error,
        };
        if let CtlError::Output(error) = &error
            && error.kind() == io::ErrorKind::BrokenPipe
        {
            return ExitCode::FAILURE;
        }
        // If standard error is closed as well, there is no way to report the error.
        let _ = writeln!(err, "{}", message(&error, env));
        ExitCode::from(error.exit_code())
    }
}
