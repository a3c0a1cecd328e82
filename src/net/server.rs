//! From listening sockets and rules to running workers, and back.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::watch;

use super::clock::Clock;
use super::heartbeat::Heartbeat;
use super::listener::Listeners;
use super::tcp_relay::Handover;
use super::worker;
use crate::auth::NonceKeys;
use crate::clock::Tick;
use crate::policy::Connections;
use crate::turn::{Rules, Settings};

/// What all workers work with.
#[derive(Clone, Debug)]
pub struct Shared {
    /// Bounds and addresses.
    pub settings: Settings,
    /// Credentials, peers, ports, quotas.
    pub rules: Rules,
    /// TCP, TLS and DTLS connections.
    pub connections: Arc<Connections>,
    /// How long a worker lets packets gather where they come often and one by one. Zero is not at
    /// all.
    pub wake_delay: Duration,
}

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
    threads: Vec<JoinHandle<io::Result<()>>>,
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
    let shared = shared(NonceKeys::new(nonce_lifetime, [random()?, random()?], Tick(0)));
    let (stop, stopping) = watch::channel(false);
    let handover = Arc::new(Handover::default());
    let (mut heartbeat, mut threads) = (Heartbeat::new(), Vec::new());
    for (number, listeners) in listeners.into_iter().enumerate() {
        let (shared, stopping) = (shared.clone(), stopping.clone());
        let (handover, heart) = (Arc::clone(&handover), heartbeat.heart());
        let thread = std::thread::Builder::new().name(format!("worker-{number}"));
        threads.push(thread.spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(worker::run(clock, listeners, &shared, handover, stopping, heart))
        })?);
    }
    Ok(Running { clock, stop, heartbeat, threads })
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

    /// Whether a worker has ended by itself, which none should.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.threads.iter().any(JoinHandle::is_finished)
    }

    /// Whether every worker has answered the call before, from within its loop; if so, calls again.
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

fn random() -> io::Result<[u8; 32]> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(bytes)
}
