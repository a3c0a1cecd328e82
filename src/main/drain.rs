//! Draining: the server accepts no new calls, and exits when the last one ends.

use std::time::{Duration, Instant};

use taciturn::admin::ServerHandle;
use taciturn::admin::control::Messages;
use taciturn_control::{Error, ErrorKind};

/// Whether new allocations are made.
enum State {
    /// They are.
    Serving,
    /// None is made, and the server ends with the last one.
    UntilEmpty,
    /// None is made, and the server ends with the last one, or at this moment.
    Until(Instant),
}

/// Lets the server end with its last allocation.
pub(super) struct Drainer {
    server: ServerHandle,
    state: State,
}

impl Drainer {
    /// The state of a server that creates allocations.
    pub(super) const fn new(server: ServerHandle) -> Self {
        Self { server, state: State::Serving }
    }

    /// Stops creating allocations, and lets the existing ones run for at most `within`. If the server is
    /// draining already, this replaces the time limit.
    pub(super) async fn start(&mut self, within: Option<Duration>) -> Messages {
        self.server.workers().drain(true).await.map_err(internal)?;
        self.server.health().set_ready(false);
        // A limit that the clock cannot represent means no limit.
        let until = within.and_then(|within| Instant::now().checked_add(within));
        self.state = until.map_or(State::UntilEmpty, State::Until);
        let running = self.server.workers().count().await.map_err(internal)?;
        let message = format!("draining: {} allocations left", running.allocations);
        tracing::info!("{message}");
        Ok(vec![message])
    }

    /// As [`start`](Self::start), because the server is asked to end. An earlier limit holds.
    pub(super) async fn stop(&mut self, within: Option<Duration>) -> Messages {
        let limit = match self.state {
            State::Until(end) => Some(end.saturating_duration_since(Instant::now())),
            State::Serving | State::UntilEmpty => None,
        };
        self.start([limit, within].into_iter().flatten().min()).await
    }

    /// Creates allocations again.
    pub(super) async fn cancel(&mut self) -> Messages {
        if matches!(self.state, State::Serving) {
            return Ok(vec!["the server was not draining".to_owned()]);
        }
        self.server.workers().drain(false).await.map_err(internal)?;
        self.server.health().set_ready(true);
        self.state = State::Serving;
        let message = "draining cancelled: the server creates new allocations again";
        tracing::info!("{message}");
        Ok(vec![message.to_owned()])
    }

    /// Whether the server should exit: it is draining, and no allocation is left or the time is over.
    pub(super) async fn is_finished(&self) -> bool {
        let is_over = match self.state {
            State::Serving => return false,
            State::UntilEmpty => false,
            State::Until(end) => end <= Instant::now(),
        };
        is_over || self.server.workers().count().await.is_ok_and(|now| now.allocations == 0)
    }
}

fn internal(error: std::io::Error) -> Error {
    Error::new(ErrorKind::Internal, error)
}
