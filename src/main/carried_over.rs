//! What became of the calls of the process before this one.

use std::io::{ErrorKind, Read as _};
use std::os::unix::net::UnixStream;
use std::time::Instant;

use taciturn_control::CarriedOver as Report;
use taciturn_net::{Carried, Running, Shared};
use taciturn_turn::policy::PortLease;
use taciturn_turn::{LeftOut, Restored};

use super::hand_over::STAY;

/// What is known of another process before its allocations are restored.
#[derive(Debug)]
pub(super) struct Before {
    writer: String,
    /// The relay ports of the allocations that have stayed there.
    left: Vec<(bool, u16)>,
}

/// What became of its allocations.
#[derive(Debug)]
pub(super) struct CarriedOver {
    pub(super) report: Report,
    /// The relay ports that the other process still has, and until when at most.
    left: Vec<PortLease>,
    until: Instant,
    /// Closed when it has ended.
    lives: Option<UnixStream>,
}

impl Before {
    pub(super) fn of(carried: &Carried) -> Self {
        Self { writer: carried.writer().to_owned(), left: carried.left() }
    }

    /// Logs what became of it. `lives` is a connection that is closed when the other process has ended, where it still
    /// runs.
    pub(super) fn tell(
        self,
        restored: &Restored,
        running: &Running,
        shared: &Shared,
        lives: Option<UnixStream>,
    ) -> CarriedOver {
        // With a process that has ended, its clients on TLS are gone as well.
        let (left, gone) = match lives {
            Some(_) => (running.note_ports(&shared.rules, &self.left), 0),
            None => (Vec::new(), self.left.len()),
        };
        let ended = gone + restored.left_out.iter().sum::<usize>();
        tracing::info!(
            from = self.writer,
            allocations = restored.allocations,
            stayed = left.len(),
            ended,
            "running calls were carried over"
        );
        for why in LeftOut::ALL {
            match restored.left_out(why) {
                0 => {}
                allocations => {
                    tracing::warn!(allocations, "not carried over: {}", why.text());
                }
            }
        }
        let report = Report {
            from_version: self.writer,
            allocations: restored.allocations as u64,
            stayed: left.len() as u64,
            ended: ended as u64,
        };
        CarriedOver { report, left, lives, until: Instant::now() + STAY }
    }
}

impl CarriedOver {
    /// Gives the relay ports back that the other process has no longer, and the connection. To be called every few
    /// seconds.
    pub(super) fn look(&mut self) {
        if self.until <= Instant::now() || self.has_ended() {
            self.left.clear();
            self.lives = None;
        }
    }

    fn has_ended(&self) -> bool {
        let Some(mut lives) = self.lives.as_ref() else { return true };
        // It says nothing more.
        lives.set_nonblocking(true).is_err()
            || lives
                .read(&mut [0])
                .map_or_else(|error| error.kind() != ErrorKind::WouldBlock, |_| true)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_connection_to_a_process_that_has_ended_is_closed() {
        let (lives, other) = UnixStream::pair().unwrap();
        let report = Report { from_version: String::new(), allocations: 0, stayed: 0, ended: 0 };
        let until = Instant::now() + STAY;
        let mut carried_over = CarriedOver { report, left: Vec::new(), lives: Some(lives), until };
        carried_over.look();
        assert!(carried_over.lives.is_some());
        drop(other);
        carried_over.look();
        assert!(carried_over.lives.is_none());
    }
}
