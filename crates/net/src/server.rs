//! From listening sockets and rules to running workers, and back.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};

use super::clock::Clock;
use super::counters::Snapshot;
use super::heartbeat::Heartbeat;
use super::listener::bind::{ListenerChange, Listeners};
use super::listener::id::ListenerId;
use super::mailbox::{Command, OtherWorkers};
use super::shared::Shared;
use super::tcp_relay::unbound::UnboundPeers;
use super::worker;
use taciturn_turn::auth::NonceKeys;
use taciturn_turn::clock::Tick;
use taciturn_turn::{Rules, Session, Whose, Withdrawn};

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
        let mut kicked = 0;
        let rounds = if self.commands.len() > 1 { 2 } else { 1 };
        for worker in (0..rounds).flat_map(|_| &self.commands) {
            let (done, answer) = oneshot::channel();
            let command = Command::Kick { whose: whose.clone(), done };
            worker.send(command).await.map_err(|_| gone())?;
            kicked += answer.await.map_err(|_| gone())?;
        }
        Ok(kicked)
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

/// Starts a worker thread for each set of listeners. `shared` makes what they share, given the
/// nonce keys.
///
/// # Errors
/// When the system refuses a thread or a descriptor.
pub fn start(
    listeners: Vec<Listeners>,
    nonce_lifetime: Duration,
    shared: impl FnOnce(NonceKeys) -> Shared,
) -> Result<Running, ServerError> {
    let clock = Clock::start();
    let shared = shared(nonce_keys(nonce_lifetime, Tick(0))?);
    let (stop, stopping) = watch::channel(false);
    let unbound = Arc::new(UnboundPeers::default());
    let (mut heartbeat, mut threads) = (Heartbeat::new(), Vec::new());
    let (inboxes, commands) = OtherWorkers::of(listeners.len());
    for (number, (listeners, inbox)) in listeners.into_iter().zip(inboxes).enumerate() {
        let (shared, stopping) = (shared.clone(), stopping.clone());
        let (unbound, heart) = (Arc::clone(&unbound), heartbeat.heart());
        let thread = std::thread::Builder::new().name(format!("worker-{number}"));
        threads.push(thread.spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let work = worker::run(clock, listeners, &shared, unbound, stopping, heart, inbox);
            runtime.block_on(work)
        })?);
    }
    Ok(Running { clock, stop, heartbeat, workers: Workers { commands }, threads })
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
