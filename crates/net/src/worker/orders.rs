//! Commands to a worker: other rules, its sessions, its counters, its listeners. Never for a packet.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::core::Core;
use super::listening;
use crate::counters::Snapshot;
use crate::mailbox::{Command, HandedOver};
use crate::shared::Shared;
use taciturn_turn::{Whose, Withdrawn};

/// Carries out commands until no sender is left.
pub(super) async fn obey(
    core: Rc<Core>,
    mut commands: mpsc::Receiver<Command>,
    mut responses: mpsc::Receiver<HandedOver>,
) {
    loop {
        let command = tokio::select! {
            Some(response) = responses.recv() => {
                core.take_over(response);
                continue;
            }
            command = commands.recv() => command,
        };
        let Some(command) = command else { return };
        // An allocation that another worker has handed over before must not be missed by the command.
        while let Ok(response) = responses.try_recv() {
            core.take_over(response);
        }
        if let Command::StandStill { done, orders } = command {
            let _ = done.send(());
            core.stand_still(&orders, || settle(&core, &mut commands, &mut responses));
        } else {
            carry_out(&core, command);
        }
    }
}

/// Carries out what waits, so that no allocation is between two workers. Returns how much that was.
fn settle(
    core: &Rc<Core>,
    commands: &mut mpsc::Receiver<Command>,
    responses: &mut mpsc::Receiver<HandedOver>,
) -> usize {
    let mut settled = 0;
    while let Ok(response) = responses.try_recv() {
        core.take_over(response);
        settled += 1;
    }
    while let Ok(command) = commands.try_recv() {
        carry_out(core, command);
        settled += 1;
    }
    settled
}

/// Carries out one command. A result that cannot be sent is ignored: the caller has gone away.
fn carry_out(core: &Rc<Core>, command: Command) {
    match command {
        Command::SetRules { shared, done } => {
            let _ = done.send(core.set_rules(*shared));
        }
        Command::Sessions { whose, from, done } => {
            let mut engine = core.engine.borrow_mut();
            if from == 0 {
                engine.count_kernel();
            }
            let _ = done.send(engine.sessions(&whose, from));
        }
        Command::InterimRecords { every, from, done } => {
            let _ = done.send(core.engine.borrow_mut().interim_records(every, from));
        }
        Command::Kick { whose, age, done } => {
            let _ = done.send(core.kick(&whose, age));
        }
        Command::EndBanned { done } => {
            let mut engine = core.engine.borrow_mut();
            let ended =
                engine.enter(|entered| entered.shard.end_banned(entered.now, &mut entered.out));
            let _ = done.send(ended);
        }
        Command::Drain { on, done } => {
            core.engine.borrow_mut().enter(|entered| entered.shard.drain(on));
            let _ = done.send(());
        }
        Command::Listen { listeners, done } => {
            let _ = done.send(listening::listen(core, *listeners));
        }
        Command::Change { changes, done } => {
            let outcomes = changes.into_iter().map(|change| core.change_listener(change));
            // Each is made, whatever becomes of the others.
            let _ = done.send(outcomes.fold(Ok(()), Result::and));
        }
        Command::Clients { of, done } => {
            let _ = done.send(of.into_iter().map(|id| core.clients_of(id)).collect());
        }
        Command::Ping { done } => {
            let _ = done.send(());
        }
        Command::Count { done } => {
            let _ = done.send(Box::new(core.snapshot()));
        }
        Command::HandOver { allocation, to, client } => {
            core.hand_over(allocation, to, client);
        }
        Command::Release { allocation } => core.release(allocation),
        Command::FetchFor { client } => core.fetch_for(client),
        Command::Export { done } => {
            let _ = done.send(core.export().map(Box::new));
        }
        Command::EndSecure { done } => {
            let _ = done.send(core.end_secure());
        }
        // There is one at a time, and the worker stands still already.
        Command::StandStill { .. } => {}
    }
}

impl Core {
    /// Replaces the settings and rules. What serves connections stays.
    fn set_rules(&self, shared: Shared) -> Withdrawn {
        let Shared { settings, rules, entrances, handshakes, wake_delay, kept_fields, .. } = shared;
        self.handshakes.set(handshakes, Arc::clone(&rules.answers));
        self.udp.borrow_mut().set_wake_delay(wake_delay);
        self.engine.borrow_mut().enter(|entered| {
            entered.out.resources.sockets.set_icmp_errors(settings.icmp_errors);
            entered.out.resources.sockets.set_kept_fields(kept_fields);
            entered.out.resources.entrances = entrances;
            entered.shard.set_rules(entered.now, settings, rules, &mut entered.out)
        })
    }

    /// Ends allocations that are at least so old. Returns how many.
    pub(crate) fn kick(&self, whose: &Whose, age: Duration) -> usize {
        let mut engine = self.engine.borrow_mut();
        engine.enter(|entered| entered.shard.kick_older(entered.now, whose, age, &mut entered.out))
    }

    /// Returns the counters.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let mut engine = self.engine.borrow_mut();
        engine.count_kernel();
        let mut snapshot = engine.snapshot();
        snapshot.refused_handshakes = self.handshakes.refused();
        snapshot
    }
}
