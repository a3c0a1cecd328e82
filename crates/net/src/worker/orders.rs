//! What the operator asks of a worker: other rules, its sessions, its figures. Never for a packet.

use std::sync::Arc;

use super::{Core, State};
use crate::server::Shared;
use crate::tally::Snapshot;
use taciturn_turn::{Session, Whose, Withdrawn};

impl Core {
    /// Goes on with other settings and rules; what serves connections stays.
    pub(crate) fn set_rules(&self, shared: Shared) -> Withdrawn {
        let Shared { settings, rules, handshakes, wake_delay, .. } = shared;
        self.handshakes.set(handshakes, Arc::clone(&rules.answers));
        let mut state = self.state.borrow_mut();
        let now = state.on_time();
        let State { shard, io, moderation, icmp_errors, .. } = &mut *state;
        moderation.set_nap(wake_delay);
        io.set_icmp_errors(settings.icmp_errors);
        // Once on it stays on: what waits on sockets that were opened before must be read.
        *icmp_errors |= settings.icmp_errors;
        let withdrawn = shard.set_rules(now, settings, rules, io);
        io.close_given_up();
        if state.deadline_is_earlier() {
            self.deadline_moved.notify_one();
        }
        withdrawn
    }

    /// Some of the sessions, and where to go on.
    pub(crate) fn sessions(&self, whose: &Whose, from: usize) -> (Vec<Session>, Option<usize>) {
        let state = self.state.borrow();
        state.shard.sessions(state.clock.now(), whose, from)
    }

    /// Ends allocations; returns how many.
    pub(crate) fn kick(&self, whose: &Whose) -> usize {
        let mut kicked = 0;
        self.on_time(|now, shard, io| {
            kicked = shard.kick(now, whose, io);
            io.close_given_up();
        });
        kicked
    }

    /// Makes no allocation any more, or again.
    pub(crate) fn drain(&self, on: bool) {
        self.state.borrow_mut().shard.drain(on);
    }

    /// What this worker has done until now.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let state = self.state.borrow();
        let mut unsent = state.egress.statistics.failed;
        unsent.add_all(&state.io.lost());
        Snapshot {
            statistics: *state.shard.statistics(),
            tally: state.io.tally.clone(),
            allocations: state.shard.len(),
            unsent,
            overflowed: state.io.overflowed(),
            refused_handshakes: self.handshakes.refused(),
        }
    }
}
