//! From listening sockets and rules to running workers, and back.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};

use super::carry::{Carried, Exported, Share};
use super::clock::Clock;
use super::counters::Snapshot;
use super::heartbeat::Heartbeat;
use super::listener::bind::{ListenerChange, Listeners, Numbers};
use super::listener::id::ListenerId;
use super::mailbox::{Command, OtherWorkers, Still};
use super::shared::Shared;
use super::tcp_relay::unbound::UnboundPeers;
use super::worker::{self, Beginning, Restoring};
use taciturn_stun::Family;
use taciturn_turn::auth::NonceKeys;
use taciturn_turn::clock::Tick;
use taciturn_turn::policy::PortLease;
use taciturn_turn::{Restored, Rules, Session, Whose, Withdrawn};

/// Why the workers cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The system refused something that every server needs: threads, epoll, randomness.
    #[error("cannot start the workers: {0}")]
    System(#[from] io::Error),
}

/// Workers that run.
#[derive(Debug)]
pub struct Running {
    clock: Clock,
    stop: watch::Sender<bool>,
    heartbeat: Heartbeat,
    workers: Workers,
    threads: Vec<JoinHandle<io::Result<()>>>,
}

/// How workers are asked, from any thread.
#[derive(Clone, Debug)]
pub struct Workers {
    commands: Vec<mpsc::Sender<Command>>,
}

impl Workers {
    /// Returns what they have done until now, all together.
    ///
    /// # Errors
    /// When a worker is no longer there.
    pub async fn count(&self) -> io::Result<Snapshot> {
        let mut all = Snapshot::default();
        for worker in &self.commands {
            let (done, answer) = oneshot::channel();
            worker.send(Command::Count { done }).await.map_err(|_| gone())?;
            all.add(&*answer.await.map_err(|_| gone())?);
        }
        Ok(all)
    }

    /// Waits until each of them has answered, which costs it nothing else.
    ///
    /// # Errors
    /// When a worker is no longer there.
    pub async fn ping(&self) -> io::Result<()> {
        for worker in &self.commands {
            let (done, answer) = oneshot::channel();
            worker.send(Command::Ping { done }).await.map_err(|_| gone())?;
            answer.await.map_err(|_| gone())?;
        }
        Ok(())
    }

    /// Returns how many clients each of these listeners has on all workers. For UDP those with an allocation
    /// count, otherwise connections.
    ///
    /// # Errors
    /// When a worker is no longer there.
    pub async fn clients_of(&self, listeners: &[ListenerId]) -> io::Result<Vec<usize>> {
        let mut all = vec![0; listeners.len()];
        for worker in &self.commands {
            let (done, answer) = oneshot::channel();
            let command = Command::Clients { of: listeners.to_vec(), done };
            worker.send(command).await.map_err(|_| gone())?;
            let some = answer.await.map_err(|_| gone())?;
            all.iter_mut().zip(some).for_each(|(all, some)| *all += some);
        }
        Ok(all)
    }

    /// Some of the sessions of one worker (by its number), and where to go on there.
    ///
    /// # Errors
    /// When the worker is no longer there.
    pub async fn sessions(
        &self,
        worker: usize,
        whose: &Whose,
        from: usize,
    ) -> io::Result<(Vec<Session>, Option<usize>)> {
        let (done, answer) = oneshot::channel();
        let worker = self.commands.get(worker).ok_or_else(gone)?;
        let command = Command::Sessions { whose: whose.clone(), from, done };
        worker.send(command).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())
    }

    /// Ends allocations of all workers; returns how many. One that has moved to a worker that was
    /// asked already (RFC 8016) is met by asking all once more.
    ///
    /// # Errors
    /// When a worker is no longer there.
    pub async fn kick(&self, whose: &Whose) -> io::Result<usize> {
        self.kick_older(whose, Duration::ZERO).await
    }

    /// Ends those of them that are at least so old; returns how many.
    ///
    /// # Errors
    /// When a worker is no longer there.
    pub async fn kick_older(&self, whose: &Whose, age: Duration) -> io::Result<usize> {
        let mut kicked = 0;
        let rounds = if self.commands.len() > 1 { 2 } else { 1 };
        for worker in (0..rounds).flat_map(|_| &self.commands) {
            let (done, answer) = oneshot::channel();
            let command = Command::Kick { whose: whose.clone(), age, done };
            worker.send(command).await.map_err(|_| gone())?;
            kicked += answer.await.map_err(|_| gone())?;
        }
        Ok(kicked)
    }

    /// Ends the allocations of those who are banned, of all workers; returns how many. As with
    /// [`kick`](Self::kick), all are asked twice.
    ///
    /// # Errors
    /// When a worker is no longer there.
    pub async fn end_banned(&self) -> io::Result<usize> {
        let mut ended = 0;
        let rounds = if self.commands.len() > 1 { 2 } else { 1 };
        for worker in (0..rounds).flat_map(|_| &self.commands) {
            let (done, answer) = oneshot::channel();
            worker.send(Command::EndBanned { done }).await.map_err(|_| gone())?;
            ended += answer.await.map_err(|_| gone())?;
        }
        Ok(ended)
    }

    /// Lets no worker make an allocation any more, or lets them again. What runs goes on.
    ///
    /// # Errors
    /// When a worker is no longer there.
    pub async fn drain(&self, on: bool) -> io::Result<()> {
        for worker in &self.commands {
            let (done, answer) = oneshot::channel();
            worker.send(Command::Drain { on, done }).await.map_err(|_| gone())?;
            answer.await.map_err(|_| gone())?;
        }
        Ok(())
    }

    /// Returns how many there are.
    #[must_use]
    pub fn number(&self) -> usize {
        self.commands.len()
    }
}

fn gone() -> io::Error {
    io::Error::other("a worker is gone")
}

/// Starts a worker thread for each set of listeners. `shared` makes what they share, given the nonce keys; what another
/// process has had (`carried`) is restored in it and in them. They handle packets when they are told to.
///
/// # Errors
/// When the system refuses a thread or a descriptor.
pub fn start(
    listeners: Vec<Listeners>,
    nonce_lifetime: Duration,
    carried: Option<Carried>,
    shared: impl FnOnce(NonceKeys) -> Shared,
) -> Result<Prepared, ServerError> {
    let clock =
        carried.as_ref().map_or_else(Clock::start, |carried| Clock::going_on_from(carried.tick()));
    let now = clock.now().tick;
    let mut shared = shared(nonce_keys(nonce_lifetime, now)?);
    let mut shares = divide(carried, &mut shared.rules, now, &listeners).into_iter();
    let (stop, stopping) = watch::channel(false);
    let unbound = Arc::new(UnboundPeers::default());
    let (mut heartbeat, mut threads, mut waiting) = (Heartbeat::new(), Vec::new(), Vec::new());
    let (restored, outcomes) = std::sync::mpsc::channel();
    let (inboxes, commands) = OtherWorkers::of(listeners.len());
    for (number, (listeners, inbox)) in listeners.into_iter().zip(inboxes).enumerate() {
        let (shared, stopping) = (shared.clone(), stopping.clone());
        let (unbound, heart) = (Arc::clone(&unbound), heartbeat.heart());
        let (start, go) = std::sync::mpsc::channel();
        waiting.push(start);
        let restoring = Restoring { share: shares.next(), restored: restored.clone(), go };
        let beginning = Beginning { inbox, restoring };
        let thread = std::thread::Builder::new().name(format!("worker-{number}"));
        threads.push(thread.spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let work = worker::run(clock, listeners, &shared, unbound, stopping, heart, beginning);
            runtime.block_on(work)
        })?);
    }
    drop(restored);
    // A worker that cannot begin sends none, and has ended.
    let mut all = Restored::default();
    outcomes.iter().for_each(|restored| all.add(&restored));
    let running = Running { clock, stop, heartbeat, workers: Workers { commands }, threads };
    Ok(Prepared { running, shared, restored: all, waiting })
}

/// The share of each worker in what another process has had.
fn divide(
    carried: Option<Carried>,
    rules: &mut Rules,
    now: Tick,
    listeners: &[Listeners],
) -> Vec<Share> {
    let divided = carried.map(|carried| {
        let there = carried.take_over(now);
        let numbers = listeners.first().map(Numbers::of).unwrap_or_default();
        let workers = u16::try_from(listeners.len()).unwrap_or(u16::MAX);
        carried.divide(rules, &there, workers, &numbers)
    });
    divided.unwrap_or_default()
}

/// Workers that have what they need, and touch no socket yet. If this is dropped, they never will.
#[derive(Debug)]
pub struct Prepared {
    running: Running,
    shared: Shared,
    restored: Restored,
    waiting: Vec<std::sync::mpsc::Sender<()>>,
}

impl Prepared {
    /// What they share.
    #[must_use]
    pub const fn shared(&self) -> &Shared {
        &self.shared
    }

    /// What became of the allocations of another process.
    #[must_use]
    pub const fn restored(&self) -> &Restored {
        &self.restored
    }

    /// Has them handle packets from now on.
    #[must_use]
    pub fn go(self) -> Running {
        for worker in &self.waiting {
            // One that has ended is seen by `has_failed`.
            let _ = worker.send(());
        }
        self.running
    }
}

/// Workers that stand still: no socket of theirs is touched. If this is dropped, they go on.
#[derive(Debug)]
pub struct StandingStill {
    workers: Vec<std::sync::mpsc::Sender<Still>>,
}

impl StandingStill {
    async fn ask<T>(&self, order: impl Fn(oneshot::Sender<T>) -> Still) -> io::Result<Vec<T>> {
        let mut asked = Vec::new();
        for worker in &self.workers {
            let (done, answer) = oneshot::channel();
            worker.send(order(done)).map_err(|_| gone())?;
            asked.push(answer);
        }
        let mut answers = Vec::new();
        for answer in asked {
            answers.push(answer.await.map_err(|_| gone())?);
        }
        Ok(answers)
    }

    /// Lets go of what was exported: another process has it, and its clients are not told. Those whose allocations have
    /// stayed are served until these end; nobody else is.
    ///
    /// # Errors
    /// When a worker is no longer there.
    pub async fn leave(self) -> io::Result<()> {
        self.ask(Still::Leave).await.map(drop)
    }
}

impl Running {
    /// Gives the nonces a fresh key when theirs has served its time. To be called now and then.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn rotate_nonce_key(&self, rules: &Rules) -> io::Result<()> {
        let now = self.clock.now().tick;
        if rules.nonces.rotation_due(now) {
            rules.nonces.rotate(random()?, now);
        }
        Ok(())
    }

    /// The clock that all shards go by.
    #[must_use]
    pub const fn clock(&self) -> Clock {
        self.clock
    }

    /// Returns how to ask them.
    #[must_use]
    pub fn workers(&self) -> Workers {
        self.workers.clone()
    }

    /// Lets every worker go on with other settings and rules, which must come from
    /// [`Terms::in_place_of`](super::Terms::in_place_of). Returns what of running allocations has ended by that.
    ///
    /// # Errors
    /// When a worker is no longer there.
    pub async fn set_rules(&self, shared: &Shared) -> io::Result<Withdrawn> {
        let mut withdrawn = Withdrawn::default();
        for worker in &self.workers.commands {
            let (done, answer) = oneshot::channel();
            let command = Command::SetRules { shared: Box::new(shared.clone()), done };
            worker.send(command).await.map_err(|_| gone())?;
            withdrawn = withdrawn.and(answer.await.map_err(|_| gone())?);
        }
        Ok(withdrawn)
    }

    /// Listens on more sockets: `listeners` has those of each worker, from [`Listeners::bind`].
    ///
    /// # Errors
    /// When a worker cannot take them, or is no longer there. Some of them may be in use then:
    /// [`ListenerChange::Close`] takes them away.
    pub async fn listen(&self, listeners: Vec<Listeners>) -> io::Result<()> {
        for (worker, listeners) in self.workers.commands.iter().zip(listeners) {
            let (done, answer) = oneshot::channel();
            let command = Command::Listen { listeners: Box::new(listeners), done };
            worker.send(command).await.map_err(|_| gone())?;
            answer.await.map_err(|_| gone())??;
        }
        Ok(())
    }

    /// Lets every worker go on with listeners in another way.
    ///
    /// # Errors
    /// When the system gives a worker no randomness for DTLS, or a worker is no longer there.
    pub async fn change_listeners(&self, changes: &[ListenerChange]) -> io::Result<()> {
        for worker in &self.workers.commands {
            let (done, answer) = oneshot::channel();
            let command = Command::Change { changes: changes.to_vec(), done };
            worker.send(command).await.map_err(|_| gone())?;
            answer.await.map_err(|_| gone())??;
        }
        Ok(())
    }

    /// Exports what all workers have, for another process. They go on as before.
    ///
    /// # Errors
    /// When this process may have no more descriptors, or a worker is no longer there.
    pub async fn export(&self, rules: &Rules) -> io::Result<Exported> {
        let mut exports = Vec::new();
        for worker in &self.workers.commands {
            let (done, answer) = oneshot::channel();
            worker.send(Command::Export { done }).await.map_err(|_| gone())?;
            exports.push(*answer.await.map_err(|_| gone())??);
        }
        Ok(Exported::new(rules, self.clock.now().tick, exports))
    }

    /// Leases relay ports, each with whether it is of IPv6, that another process has: no other allocation gets them, and
    /// data to them are for its clients. Those that are not free are left out.
    #[must_use]
    pub fn note_ports(&self, rules: &Rules, ports: &[(bool, u16)]) -> Vec<PortLease> {
        let now = self.clock.now().tick;
        let lease = |(is_ipv6, port): &(bool, u16)| {
            let family = if *is_ipv6 { Family::V6 } else { Family::V4 };
            let mut lease = rules.ports.claim(family, *port, now)?;
            lease.set_live();
            Some(lease)
        };
        ports.iter().filter_map(lease).collect()
    }

    /// Ends the allocations of clients on TLS and DTLS, which no other process can go on with, and tells them. Returns how
    /// many they are.
    ///
    /// # Errors
    /// When a worker is no longer there.
    pub async fn end_secure(&self) -> io::Result<usize> {
        let mut ended = 0;
        for worker in &self.workers.commands {
            let (done, answer) = oneshot::channel();
            worker.send(Command::EndSecure { done }).await.map_err(|_| gone())?;
            ended += answer.await.map_err(|_| gone())?;
        }
        Ok(ended)
    }

    /// Has all workers stand still, and exports what they have.
    ///
    /// # Errors
    /// When this process may have no more descriptors, or a worker is no longer there. They go on then.
    pub async fn stand_still(&self, rules: &Rules) -> io::Result<(StandingStill, Exported)> {
        let mut workers = Vec::new();
        for worker in &self.workers.commands {
            let (done, stands) = oneshot::channel();
            let (sender, orders) = std::sync::mpsc::channel();
            worker.send(Command::StandStill { done, orders }).await.map_err(|_| gone())?;
            stands.await.map_err(|_| gone())?;
            workers.push(sender);
        }
        let standing = StandingStill { workers };
        // What is on its way from one worker to another has arrived when none has anything left to do. Nothing new
        // begins, so that is soon.
        while standing.ask(Still::Settle).await?.into_iter().sum::<usize>() > 0 {}
        let exports = standing.ask(Still::Export).await?;
        let exports = exports.into_iter().map(|export| export.map(|export| *export));
        let exports = exports.collect::<io::Result<Vec<_>>>()?;
        let exported = Exported::new(rules, self.clock.now().tick, exports);
        Ok((standing, exported))
    }

    /// Returns true if a worker has ended by itself, which none should.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.threads.iter().any(JoinHandle::is_finished)
    }

    /// Returns true if every worker has answered the call before, from within its loop; if so, calls again.
    /// To be asked every few seconds: a worker that turns answers at once.
    #[must_use]
    pub fn beat(&self) -> bool {
        self.heartbeat.beat() && !self.has_failed()
    }

    /// Ends every session and waits for the workers.
    ///
    /// # Errors
    /// With the error of a worker that failed, or panicked.
    pub fn stop(self) -> io::Result<()> {
        // Nobody listens any more only when all workers have ended already.
        let _ = self.stop.send(true);
        let mut outcome = Ok(());
        for thread in self.threads {
            let ended =
                thread.join().unwrap_or_else(|_| Err(io::Error::other("a worker panicked")));
            outcome = outcome.and(ended);
        }
        outcome
    }
}

fn nonce_keys(lifetime: Duration, now: Tick) -> io::Result<NonceKeys> {
    Ok(NonceKeys::new(lifetime, [random()?, random()?], now))
}

fn random() -> io::Result<[u8; 32]> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(bytes)
}
