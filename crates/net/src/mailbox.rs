//! How a worker is asked to do something: from outside, and by other workers when a client has moved from one
//! to another (RFC 8016). Never for a packet.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::carry::WorkerExport;
use super::counters::Snapshot;
use super::listener::bind::{ListenerChange, Listeners};
use super::listener::id::ListenerId;
use super::shared::Shared;
use super::sockets::RelaySocket;
use taciturn_turn::{
    Client, Departed, MobileId, Session, ShardNumber, UsageRecord, Whose, Withdrawn,
};

/// How many commands can wait for one worker. A sender from outside waits for room. Another worker
/// does not: it drops the command, and its client repeats the request.
const COMMANDS: usize = 16;

/// How many allocations a worker can wait for, and so how many responses can wait for it.
const AWAITED: usize = 64;

/// One thing that a worker is asked to do, and where the result goes.
#[derive(Debug)]
pub(super) enum Command {
    /// Replace the settings and rules.
    SetRules { shared: Box<Shared>, done: oneshot::Sender<Withdrawn> },
    /// Return some of the sessions, from this place on.
    Sessions { whose: Whose, from: usize, done: oneshot::Sender<(Vec<Session>, Option<usize>)> },
    /// Make records of sessions whose last one is at least so old; return some, from this place on.
    InterimRecords {
        every: Duration,
        from: usize,
        done: oneshot::Sender<(Vec<UsageRecord>, Option<usize>)>,
    },
    /// End these allocations, if they are at least so old.
    Kick { whose: Whose, age: Duration, done: oneshot::Sender<usize> },
    /// End the allocations of those who are banned.
    EndBanned { done: oneshot::Sender<usize> },
    /// Create no new allocations, or create them again.
    Drain { on: bool, done: oneshot::Sender<()> },
    /// Listen on more sockets.
    Listen { listeners: Box<Listeners>, done: oneshot::Sender<io::Result<()>> },
    /// Change listeners.
    Change { changes: Vec<ListenerChange>, done: oneshot::Sender<io::Result<()>> },
    /// Return how many clients these listeners have.
    Clients { of: Vec<ListenerId>, done: oneshot::Sender<Vec<usize>> },
    /// Respond, and do nothing else.
    Ping { done: oneshot::Sender<()> },
    /// Return the counters.
    Count { done: oneshot::Sender<Box<Snapshot>> },
    /// Export what there is, for another process, and go on.
    Export { done: oneshot::Sender<io::Result<Box<WorkerExport>>> },
    /// End what no other process can go on with; return how many allocations that were.
    EndSecure { done: oneshot::Sender<usize> },
    /// Stand still, and do nothing but what `orders` say until there are no more.
    StandStill { done: oneshot::Sender<()>, orders: std::sync::mpsc::Receiver<Still> },
    /// Hand an allocation over to another worker, which its client has moved to.
    HandOver { allocation: MobileId, to: ShardNumber, client: Client },
    /// End an allocation: its client has asked another worker to.
    Release { allocation: MobileId },
    /// Ask for the allocation that this client waits for.
    FetchFor { client: Client },
}

/// What a worker that stands still is asked to do.
#[derive(Debug)]
pub(super) enum Still {
    /// Carry out the commands that wait; return how many they were.
    Settle(oneshot::Sender<usize>),
    /// Make a record of what each session has used until now.
    Record(oneshot::Sender<()>),
    /// Export what there is, for another process.
    Export(oneshot::Sender<io::Result<Box<WorkerExport>>>),
    /// Let go of what was exported: another process has it.
    Leave(oneshot::Sender<()>),
}

/// An allocation on its way to another worker, with its relay sockets for IPv4 and IPv6.
#[derive(Debug)]
pub(super) struct MovedAllocation {
    pub(super) departed: Departed,
    pub(super) sockets: [Option<RelaySocket>; 2],
}

/// The response to [`Command::HandOver`]. Each gets one.
#[derive(Debug)]
pub(super) struct HandedOver {
    pub(super) allocation: MobileId,
    /// The client whose request has led to it.
    pub(super) client: Client,
    /// `None` if the allocation is not there.
    pub(super) moved: Option<Box<MovedAllocation>>,
}

/// What one worker receives, and how it reaches the others.
#[derive(Debug)]
pub(super) struct Inbox {
    pub(super) commands: mpsc::Receiver<Command>,
    /// The responses to its own [`Command::HandOver`]s.
    pub(super) responses: mpsc::Receiver<HandedOver>,
    pub(super) workers: OtherWorkers,
}

/// How to reach one worker.
#[derive(Clone, Debug)]
struct Senders {
    commands: mpsc::Sender<Command>,
    responses: mpsc::Sender<HandedOver>,
}

/// All workers, as one of them reaches the others.
#[derive(Debug, Default)]
pub(super) struct OtherWorkers {
    me: ShardNumber,
    all: Arc<[Senders]>,
    /// Allocations that were asked for, without a response yet.
    awaited: usize,
}

impl OtherWorkers {
    /// Returns the inbox of each of `workers` workers, and how to send it commands.
    pub(super) fn of(workers: usize) -> (Vec<Inbox>, Vec<mpsc::Sender<Command>>) {
        let (mut receivers, mut all) = (Vec::new(), Vec::new());
        for _ in 0..workers {
            let (commands, received_commands) = mpsc::channel(COMMANDS);
            let (responses, received_responses) = mpsc::channel(AWAITED);
            receivers.push((received_commands, received_responses));
            all.push(Senders { commands, responses });
        }
        let senders = all.iter().map(|worker| worker.commands.clone()).collect();
        let all: Arc<[Senders]> = all.into();
        let inboxes = (0..).map(ShardNumber).zip(receivers).map(|(me, (commands, responses))| {
            let workers = Self { me, all: Arc::clone(&all), awaited: 0 };
            Inbox { commands, responses, workers }
        });
        (inboxes.collect(), senders)
    }

    /// Returns the number of this worker.
    pub(super) const fn me(&self) -> ShardNumber {
        self.me
    }

    /// Asks for an allocation whose client has moved here. Returns false if too many are awaited.
    pub(super) fn fetch(
        &mut self,
        from: ShardNumber,
        allocation: MobileId,
        client: Client,
    ) -> bool {
        let command = Command::HandOver { allocation, to: self.me, client };
        let asked = self.awaited < AWAITED && self.command(from, command);
        self.awaited += usize::from(asked);
        asked
    }

    /// Sends a command to another worker. Returns false if too many wait there.
    pub(super) fn command(&self, worker: ShardNumber, command: Command) -> bool {
        let worker = self.all.get(usize::from(worker.0));
        worker.is_some_and(|worker| worker.commands.try_send(command).is_ok())
    }

    /// Responds to a worker that has asked for an allocation. There is room: no worker awaits more.
    ///
    /// # Errors
    /// With the response, if the other worker has ended.
    pub(super) fn respond(&self, to: ShardNumber, response: HandedOver) -> Result<(), HandedOver> {
        let Some(worker) = self.all.get(usize::from(to.0)) else { return Err(response) };
        worker.responses.try_send(response).map_err(mpsc::error::TrySendError::into_inner)
    }

    /// Notes that a response has arrived.
    pub(super) const fn responded(&mut self) {
        self.awaited = self.awaited.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use taciturn_turn::{ClientAddr, Via};

    fn client(port: u16) -> Client {
        let remote = SocketAddr::from(([192, 0, 2, 1], port));
        Client { via: Via::Udp(0), local: [192, 0, 2, 2].into(), remote: ClientAddr(remote) }
    }

    #[test]
    fn no_more_is_asked_than_there_is_room_for() {
        let (mut inboxes, _) = OtherWorkers::of(2);
        let (mut other, mut me) = (inboxes.pop().unwrap(), inboxes.pop().unwrap());
        let (there, here) = (other.workers.me(), me.workers.me());
        assert_ne!(there, here);
        let mut asked = 0;
        for n in 0.. {
            let room_there = other.commands.len() < COMMANDS;
            let fetched = me.workers.fetch(there, MobileId(n), client(1));
            assert_eq!(fetched, room_there && asked < AWAITED);
            if fetched {
                asked += 1;
            } else if asked == AWAITED {
                break;
            } else {
                while other.commands.try_recv().is_ok() {}
            }
        }
        // All of them are answered before the first answer is looked at.
        for n in 0..AWAITED {
            let allocation = MobileId(n as u64);
            let response = HandedOver { allocation, client: client(1), moved: None };
            assert!(other.workers.respond(here, response).is_ok(), "{n}");
        }
        while other.commands.try_recv().is_ok() {}
        assert!(me.responses.try_recv().is_ok());
        me.workers.responded();
        assert!(me.workers.fetch(there, MobileId(0), client(1)));
        assert!(!me.workers.fetch(there, MobileId(0), client(1)));
    }

    #[test]
    fn a_worker_that_has_ended_is_told_nothing_and_what_it_asked_for_comes_back() {
        let (mut inboxes, _) = OtherWorkers::of(2);
        let (gone, mut me) = (inboxes.pop().unwrap().workers.me(), inboxes.pop().unwrap());
        assert!(!me.workers.fetch(gone, MobileId(1), client(1)));
        assert!(!me.workers.command(gone, Command::Release { allocation: MobileId(1) }));
        let response = HandedOver { allocation: MobileId(7), client: client(1), moved: None };
        let back = me.workers.respond(gone, response).unwrap_err();
        assert_eq!(back.allocation, MobileId(7));
        // Nor is a number that no worker has.
        assert!(!me.workers.fetch(ShardNumber(9), MobileId(1), client(1)));
    }
}
