//! The end of a server that takes no calls any more.

use std::time::{Duration, Instant};

use taciturn::admin::Board;
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
    board: Board,
    state: State,
}

impl Drainer {
    /// That of a server that makes allocations.
    pub(super) const fn new(board: Board) -> Self {
        Self { board, state: State::Serving }
    }

    /// Makes no allocation from now on, and lets those that run go on for so long at most. Where that
    /// is so already, the time limit is set anew.
    pub(super) async fn start(&mut self, within: Option<Duration>) -> Messages {
        self.board.workers().drain(true).await.map_err(internal)?;
        self.board.health().set_ready(false);
        // A limit beyond what the clock can count is none.
        let until = within.and_then(|within| Instant::now().checked_add(within));
        self.state = until.map_or(State::UntilEmpty, State::Until);
        let running = self.board.workers().count().await.map_err(internal)?;
        let message = format!("draining: {} allocations are left", running.allocations);
        tracing::info!("{message}");
        Ok(vec![message])
    }

    /// Makes allocations again.
    pub(super) async fn cancel(&mut self) -> Messages {
        if matches!(self.state, State::Serving) {
            return Ok(vec!["the server was not draining".to_owned()]);
        }
        self.board.workers().drain(false).await.map_err(internal)?;
        self.board.health().set_ready(true);
        self.state = State::Serving;
        let message = "draining is cancelled: new allocations are made again";
        tracing::info!("{message}");
        Ok(vec![message.to_owned()])
    }

    /// Whether the server is to end: no allocation is made, and none is left or their time is over.
    pub(super) async fn is_finished(&self) -> bool {
        let is_over = match self.state {
            State::Serving => return false,
            State::UntilEmpty => false,
            State::Until(end) => end <= Instant::now(),
        };
        is_over || self.board.workers().count().await.is_ok_and(|now| now.allocations == 0)
    }
}

fn internal(error: std::io::Error) -> Error {
    Error::new(ErrorKind::Internal, error)
}
