//! The process whose place this one takes: it has left its sockets and its state with the service manager, or gives them
//! now.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use rustix::process::geteuid;
use taciturn::process::Account;
use taciturn_config::Config;
use taciturn_control::{Answer, Connection, Line, Request};
use taciturn_handover::{Claimed, Inherited, Name, Patience, Taken, Taker, claim};
use taciturn_net::{Carried, Groups};

use super::failure::Failure;

/// What the process before this one has had.
#[derive(Debug, Default)]
pub(super) struct Predecessor {
    /// The state, and the sockets that belong to allocations.
    carried: Option<Carried>,
    /// The listening sockets.
    groups: Groups,
    control: Option<OwnedFd>,
    metrics: Option<(SocketAddr, OwnedFd)>,
    /// It still runs, and waits for this process to be ready.
    waits: Option<Taken>,
}

impl Predecessor {
    /// What the service manager has kept. What cannot be used is logged, and closed.
    pub(super) fn kept(inherited: Inherited) -> Self {
        if let Some(error) = inherited.error {
            tracing::warn!("the descriptors of the service manager are not used: {error}");
            return Self::default();
        }
        if inherited.descriptors.is_empty() {
            return Self::default();
        }
        let claimed = claim(inherited.descriptors);
        Self::read(claimed, None).unwrap_or_else(|error| {
            tracing::warn!("calls cannot go on, and this server begins anew: {error}");
            Self::default()
        })
    }

    /// What the server that listens on the control socket has, from which this one takes over. Without one there is
    /// nothing.
    ///
    /// # Errors
    /// When it gives nothing: it goes on, and this process must not.
    pub(super) fn running(config: &Config) -> Result<Self, Failure> {
        let Some(path) = &config.admin.socket else {
            return Err(
                "--take-over needs the control socket, and socket in [admin] is \"off\"".into()
            );
        };
        let patience = Patience::default();
        let opened = Connection::open(path, patience.step, env!("CARGO_PKG_VERSION"));
        let connection = match opened {
            Ok(connection) => connection,
            Err(error) if is_nobody(&error) => {
                tracing::info!("no server listens on {}: this one starts as usual", path.display());
                return Ok(Self::default());
            }
            Err(error) => return Err(cannot(path, &error)),
        };
        let stream = ask(connection).map_err(|error| cannot(path, &error))?;
        let account = config.process.user.as_ref();
        let account = account.map(|user| Account::find(user.as_str())).transpose()?;
        let account = account.map(|account| account.uid());
        let own = geteuid().as_raw();
        let taker = Taker::meet(stream, own, account, patience);
        let (claimed, taken) = taker.and_then(Taker::take).map_err(|error| cannot(path, &error))?;
        Self::read(claimed, Some(taken)).map_err(|error| cannot(path, &error))
    }

    /// Reads what came. A server that waits is told why, if that cannot be used.
    fn read(mut claimed: Claimed, waits: Option<Taken>) -> Result<Self, Failure> {
        for refused in &claimed.refused {
            tracing::warn!("not carried over: {refused}");
        }
        for name in &claimed.missing {
            tracing::warn!("not carried over: {name} did not come");
        }
        let mut control = None;
        let mut metrics = None;
        let mut held = Vec::new();
        for one in claimed.held.drain(..) {
            match one.name {
                Name::Control => control = Some(one.socket),
                Name::Metrics(address) => metrics = Some((address, one.socket)),
                _ => held.push(one),
            }
        }
        claimed.held = held;
        match Carried::read(claimed) {
            Ok((carried, groups)) => {
                Ok(Self { carried: Some(carried), groups, control, metrics, waits })
            }
            Err(error) => {
                if let Some(taken) = waits {
                    taken.refuse(&error.to_string());
                }
                Err(error.into())
            }
        }
    }

    /// Returns true if there is nothing.
    pub(super) const fn is_none(&self) -> bool {
        self.carried.is_none()
    }

    /// How many processes in a row have crashed with what is there.
    pub(super) fn crashes(&self) -> u8 {
        self.carried.as_ref().map_or(0, Carried::crashes)
    }

    /// Takes the listening sockets.
    pub(super) fn take_groups(&mut self) -> Groups {
        std::mem::take(&mut self.groups)
    }

    /// Takes the control socket, if it is at this path.
    pub(super) fn take_control(&mut self, path: &Path) -> Option<UnixListener> {
        let socket = UnixListener::from(self.control.take()?);
        let is_there = socket.local_addr().is_ok_and(|at| at.as_pathname() == Some(path));
        is_there.then_some(socket)
    }

    /// Takes the socket for metrics, if it is at this address.
    pub(super) fn take_metrics(&mut self, address: SocketAddr) -> Option<std::net::TcpListener> {
        let (at, socket) = self.metrics.take()?;
        (at == address).then(|| socket.into())
    }

    /// Takes the state, with what is left.
    pub(super) fn take_carried(&mut self) -> Option<Carried> {
        self.carried.take()
    }

    /// Says that this process serves from now on. Before that it must not touch a socket of the other one. Returns a
    /// connection that is closed when the other one has ended, where it still runs.
    ///
    /// # Errors
    /// If the other one has not waited: it goes on, and this process must not.
    pub(super) fn ready(self) -> Result<Option<UnixStream>, Failure> {
        let ready = self.waits.map(Taken::ready).transpose();
        ready.map_err(|error| {
            format!("the running server has not waited, and goes on serving: {error}").into()
        })
    }
}

/// Asks a server to hand over. Returns the connection for what follows.
fn ask(mut connection: Connection) -> Result<UnixStream, Failure> {
    connection.send(&Request::HandOver)?;
    match connection.receive()?.line {
        Line::Last { outcome: Ok(Answer::HandOver(_)), .. } => Ok(connection.into_stream()?),
        Line::Last { outcome: Err(error), .. } => Err(error.to_string().into()),
        _ => Err("its answer is of another shape than this release expects".into()),
    }
}

/// Whether nobody listens there.
fn is_nobody(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}

fn cannot(path: &Path, error: &dyn std::fmt::Display) -> Failure {
    let path = path.display();
    format!(
        "cannot take over from the server that listens on {path}: {error}\n  \
         That server goes on as before"
    )
    .into()
}
