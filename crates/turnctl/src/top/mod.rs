//! `turnctl top`: the sessions of the running server, or of all of its fleet, the busiest first, again and again.

mod rates;
mod screen;
mod show;

use std::io::{self, IsTerminal as _, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyEventKind};

use self::rates::Sample;
use self::screen::Screen;
use super::CtlError;
use super::ask_fleet;
use super::socket::{SocketArgs, another_answer, ask, ask_once};
use taciturn_config::{Environment, parse_duration};
use taciturn_control::{Answer, Request};

/// How long a paused screen waits for a key at a time.
const PAUSED: Duration = Duration::from_secs(60);

/// The shortest interval for a fleet.
const SHORTEST_OF_FLEET: Duration = Duration::from_secs(2);

/// The longest interval.
const LONGEST: Duration = Duration::from_secs(3600);

/// The arguments of `top`.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Keys:\n  q quit, s sort by another column, p pause, u filter by user name,\n  \
    arrows, PgUp, PgDn and Home scroll\n\n\
    Examples:\n  turnctl top\n  turnctl top --once --interval 10s\n      One table, with the rates of ten seconds.\n  \
    turnctl top --fleet\n  turnctl top --fleet --tenant acme"
)]
pub struct TopArgs {
    /// Control socket of the server [default: the usual path for this machine or user]
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// Measuring interval, such as 5s
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = interval)]
    interval: Duration,
    /// Measure once and print a plain table; the default if the output is not a terminal
    #[arg(long)]
    once: bool,
    /// Only this user: the USERNAME, or the name that follows the expiry time in it
    #[arg(long)]
    user: Option<String>,
    /// Only this tenant; default is the one without a name
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,
    /// On all servers of the fleet
    #[arg(long)]
    fleet: bool,
}

fn interval(text: &str) -> Result<Duration, String> {
    let good = |time: &Duration| !time.is_zero() && *time <= LONGEST;
    parse_duration(text).filter(good).ok_or_else(|| "write 1s to 1h".to_owned())
}

/// The interval is shorter than the servers of a fleet may be asked.
#[derive(Debug, thiserror::Error)]
#[error("--interval: with --fleet write {} s or more: all servers of the fleet are asked each time", SHORTEST_OF_FLEET.as_secs())]
struct TooOften;

/// Runs it until a key ends it, or once.
pub(super) fn run(args: &TopArgs, env: &Environment, out: &mut dyn Write) -> Result<(), CtlError> {
    if args.fleet && args.interval < SHORTEST_OF_FLEET {
        return Err(CtlError::mistake(TooOften));
    }
    // If the server cannot be reached at all, the error is printed before the screen is set up.
    let first = sample(args, env)?;
    if args.once || !io::stdout().is_terminal() {
        std::thread::sleep(args.interval);
        return Ok(show::table(&first, &sample(args, env)?, out)?);
    }
    let mut terminal = ratatui::try_init()?;
    let outcome = watch(args, env, &mut terminal, first);
    ratatui::try_restore()?;
    Ok(outcome?)
}

fn watch(
    args: &TopArgs,
    env: &Environment,
    terminal: &mut DefaultTerminal,
    first: Sample,
) -> io::Result<()> {
    let mut screen = Screen::new(first);
    let mut next = Instant::now() + args.interval;
    loop {
        terminal.draw(|frame| screen.draw(frame))?;
        let wait = match screen.is_paused() {
            true => PAUSED,
            false => next.saturating_duration_since(Instant::now()),
        };
        if event::poll(wait)? {
            if let Event::Key(key) = event::read()?
                && key.kind != KeyEventKind::Release
                && !screen.key(key)
            {
                return Ok(());
            }
        } else if !screen.is_paused() {
            match sample(args, env) {
                Ok(sample) => screen.take(sample),
                // It may be restarting: what was seen last stays.
                Err(error) => screen.failed(error.to_string()),
            }
            next = Instant::now() + args.interval;
        }
    }
}

/// Asks the server for its state and its sessions.
fn sample(args: &TopArgs, env: &Environment) -> Result<Sample, CtlError> {
    let socket = SocketArgs { socket: args.socket.clone(), json: false };
    if args.fleet {
        let request = Request::AskFleet {
            sessions: true,
            user: args.user.clone(),
            tenant: args.tenant.clone(),
        };
        let (fleet, sessions) = ask_fleet::gather(&socket, env, &request, &mut io::sink())?;
        return Ok(Sample::of_fleet(Instant::now(), fleet, sessions));
    }
    let server = match ask_once(&socket, env, &Request::Status, &mut io::sink())? {
        Answer::Status(status) => *status,
        other => return Err(another_answer(&other)),
    };
    let mut sessions = Vec::new();
    let request = Request::Sessions { user: args.user.clone(), tenant: args.tenant.clone() };
    let answer = ask(&socket, env, &request, &mut io::sink(), |session, _| {
        sessions.push(session);
        Ok(())
    })?;
    match answer {
        Answer::Sessions(_) => Ok(Sample::of_server(Instant::now(), server, sessions)),
        other => Err(another_answer(&other)),
    }
}
