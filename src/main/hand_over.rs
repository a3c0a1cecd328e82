//! The running server's side of a hand-over: another process takes its place, and running calls go on there.

use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use rustix::process::geteuid;
use taciturn_handover::{Entry, Giver, Handover, Name, Patience};
use taciturn_net::Running;
use taciturn_turn::Rules;
use taciturn_turn::policy::PortLease;
use tokio::task::AbortHandle;

use super::failure::Failure;

/// How long the clients may stay that could not be handed over.
pub(super) const STAY: Duration = Duration::from_secs(3600);

/// The sockets beside those of the workers, which go to the other process as well.
#[derive(Debug, Default)]
pub(super) struct OwnSockets {
    pub(super) control: Option<UnixListener>,
    pub(super) metrics: Option<TcpListener>,
}

impl OwnSockets {
    /// Duplicates of these.
    pub(super) fn of(
        control: Option<&UnixListener>,
        metrics: Option<&TcpListener>,
    ) -> io::Result<Self> {
        Ok(Self {
            control: control.map(UnixListener::try_clone).transpose()?,
            metrics: metrics.map(TcpListener::try_clone).transpose()?,
        })
    }

    fn entries(&self) -> io::Result<Vec<(Entry, BorrowedFd<'_>)>> {
        let control = self.control.iter().map(|socket| (Entry::new(Name::Control), socket.as_fd()));
        let mut entries: Vec<_> = control.collect();
        if let Some(socket) = &self.metrics {
            entries.push((Entry::new(Name::Metrics(socket.local_addr()?)), socket.as_fd()));
        }
        Ok(entries)
    }
}

/// What the server serves beside the relay.
#[derive(Debug)]
pub(super) struct Outward {
    pub(super) own: OwnSockets,
    /// The tasks that accept at those sockets.
    pub(super) tasks: Vec<AbortHandle>,
}

impl Outward {
    /// Leaves it to another process.
    pub(super) fn leave(&self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

/// What is left in a process that has handed over.
#[derive(Debug)]
pub(super) struct HandedOver {
    /// Allocations that go on in the other process.
    pub(super) allocations: usize,
    /// Those that have stayed: their clients are on TLS.
    pub(super) left: usize,
    /// The relay ports that the other process has: data to them are for its clients.
    _ports: Vec<PortLease>,
    /// The other process sees by it when this one ends.
    _lives: UnixStream,
}

/// Hands everything over to the process at the other end of `stream`, which has been told that it may ask. No packet is
/// relayed until it serves, or has failed.
///
/// # Errors
/// With the reason why it does not serve. This process has gone on then.
pub(super) async fn hand_over(
    stream: UnixStream,
    running: &Running,
    rules: &Rules,
    own: &OwnSockets,
) -> Result<HandedOver, Failure> {
    let giver = Giver::meet(stream, geteuid().as_raw(), Patience::default())?;
    let (standing, exported) = match running.stand_still(rules, false).await {
        Ok(stands) => stands,
        Err(error) => {
            giver.refuse(&error.to_string());
            return Err(error.into());
        }
    };
    let made = exported.state().and_then(|state| Ok((state, own.entries()?)));
    let made = made
        .map_err(Failure::from)
        .and_then(|(state, entries)| Ok(Handover::new(exported.sockets().chain(entries), state)?));
    let handover = match made {
        Ok(handover) => handover,
        Err(error) => {
            giver.refuse(&error.to_string());
            return Err(error);
        }
    };
    let lives = giver.give(&handover)?;
    let (allocations, left) = (exported.allocations(), exported.left());
    let ports = exported.ports();
    standing.leave().await?;
    let ports = running.note_ports(rules, &ports);
    Ok(HandedOver { allocations, left, _ports: ports, _lives: lives })
}
