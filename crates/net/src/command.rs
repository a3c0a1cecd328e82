//! What a running worker is asked from outside, and by other workers: seldom, and never for a packet.

use std::io;
use std::rc::Rc;

use tokio::sync::{mpsc, oneshot};

use super::colleagues::{Colleagues, Delivery};
use super::listener::{ListenerChange, ListenerId, Listeners};
use super::server::Shared;
use super::tally::Snapshot;
use super::worker::Core;
use taciturn_turn::{Client, MobileId, Session, ShardNumber, Whose, Withdrawn};

/// How many commands wait for one worker at most. Who asks waits for room, except other workers:
/// they go on without, and their clients ask again.
pub(super) const WAITING: usize = 16;

/// How a worker is spoken to, and speaks to the others.
#[derive(Debug)]
pub(super) struct Post {
    pub(super) commands: mpsc::Receiver<Command>,
    /// What it has asked of others.
    pub(super) deliveries: mpsc::Receiver<Delivery>,
    pub(super) colleagues: Colleagues,
}

/// One thing to do, and where the answer goes.
#[derive(Debug)]
pub(super) enum Command {
    /// Go on with other rules.
    SetRules { shared: Box<Shared>, done: oneshot::Sender<Withdrawn> },
    /// Tell some of the sessions, from this place on.
    Sessions { whose: Whose, from: usize, done: oneshot::Sender<(Vec<Session>, Option<usize>)> },
    /// End these allocations.
    Kick { whose: Whose, done: oneshot::Sender<usize> },
    /// Make no allocation any more, or again.
    Drain { on: bool, done: oneshot::Sender<()> },
    /// Listen on more sockets.
    Listen { listeners: Box<Listeners>, done: oneshot::Sender<io::Result<()>> },
    /// Go on with listeners in another way.
    Change { changes: Vec<ListenerChange>, done: oneshot::Sender<()> },
    /// Tell how many clients these listeners have.
    Clients { of: Vec<ListenerId>, done: oneshot::Sender<Vec<usize>> },
    /// Say that you are there.
    Ping { done: oneshot::Sender<()> },
    /// Tell what you have done until now.
    Count { done: oneshot::Sender<Box<Snapshot>> },
    /// Give an allocation to another worker, which its client has come to.
    HandOver { allocation: MobileId, to: ShardNumber, client: Client },
    /// End an allocation, as its client has asked another worker.
    Release { allocation: MobileId },
    /// Ask for the allocation that waits to come to this client.
    FetchFor { client: Client },
}

/// Does what it is told, until nobody is left to tell it.
pub(super) async fn obey(
    core: Rc<Core>,
    mut commands: mpsc::Receiver<Command>,
    mut deliveries: mpsc::Receiver<Delivery>,
) {
    loop {
        let command = tokio::select! {
            Some(delivery) = deliveries.recv() => {
                core.take_delivery(delivery);
                continue;
            }
            command = commands.recv() => command,
        };
        let Some(command) = command else { return };
        // What another worker gave before it did as it was told must not be missed here.
        while let Ok(delivery) = deliveries.try_recv() {
            core.take_delivery(delivery);
        }
        // Who has stopped waiting for an answer needs none.
        match command {
            Command::SetRules { shared, done } => {
                let _ = done.send(core.set_rules(*shared));
            }
            Command::Sessions { whose, from, done } => {
                let _ = done.send(core.sessions(&whose, from));
            }
            Command::Kick { whose, done } => {
                let _ = done.send(core.kick(&whose));
            }
            Command::Drain { on, done } => {
                core.drain(on);
                let _ = done.send(());
            }
            Command::Listen { listeners, done } => {
                let _ = done.send(core.listen(*listeners));
            }
            Command::Change { changes, done } => {
                changes.into_iter().for_each(|change| core.change_listener(change));
                let _ = done.send(());
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
        }
    }
}
