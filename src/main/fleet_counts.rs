//! Quotas over the fleet: each server tells the others how many allocations its users hold, and counts what they tell.
//!
//! An Allocate request asks the quota of this server alone, which has what was told within the last moments. Nothing
//! waits for the board.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use taciturn_config::Config;
use taciturn_fleet::{Counts, Hearer, Listener, Publisher, Teller, UserCount};
use taciturn_net::Clock;
use taciturn_turn::policy::Quota;
use tokio::sync::mpsc::Receiver;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use super::fleet_keys::{CredentialsHash, FleetKeys};

/// Where counts are told.
const CHANNEL: &str = "counts";

/// How long changes gather before they are told.
const GATHER: Duration = Duration::from_millis(50);

/// How often everything is told, for those who have missed something.
const WHOLE: Duration = Duration::from_secs(10);

/// How often it is at most, for those who ask because they are new.
const AGAIN: Duration = Duration::from_secs(1);

/// Who this process is among the nodes.
pub(super) struct Process<'a> {
    pub(super) node: &'a str,
    /// When it began, in milliseconds since 1970.
    pub(super) began: u64,
    pub(super) prefix: &'a str,
}

/// A quota that is shared with the other servers, while the configuration says so.
pub(super) struct SharedQuota {
    prefix: String,
    credentials: Option<CredentialsHash>,
    keys: watch::Sender<Option<FleetKeys>>,
    task: JoinHandle<()>,
}

impl Drop for SharedQuota {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The messages of the channel for counts, and what has to be given to the fleet for them.
pub(super) fn listener() -> (Listener, Receiver<Vec<u8>>) {
    Listener::new(CHANNEL)
}

impl SharedQuota {
    /// Begins, in the runtime at hand.
    pub(super) fn start(
        process: &Process<'_>,
        config: &Config,
        (quota, clock): (Arc<Quota>, Clock),
        (publisher, heard): (Publisher, Receiver<Vec<u8>>),
    ) -> Self {
        let Process { node, began, prefix } = *process;
        let (keys, of_task) = watch::channel(None);
        // Both have other keys before they say or hear anything.
        let none = [0; 32];
        let exchange = Exchange {
            quota,
            clock,
            teller: Teller::new(node, began, &none),
            hearer: Hearer::new(node, began, &none),
            publisher: publisher.clone(),
        };
        let task = tokio::spawn(exchange.run(publisher, heard, of_task));
        let mut shared = Self { prefix: prefix.to_owned(), credentials: None, keys, task };
        shared.reconfigured(config);
        shared
    }

    /// The configuration has changed.
    pub(super) fn reconfigured(&mut self, config: &Config) {
        let credentials = config.fleet.share_quotas.then(|| CredentialsHash::of(config));
        if self.credentials == credentials {
            return;
        }
        let keys = credentials.as_ref().map(|hash| FleetKeys::of(hash, &self.prefix));
        self.credentials = credentials;
        self.keys.send_replace(keys);
    }
}

/// What is told and heard.
struct Exchange {
    quota: Arc<Quota>,
    clock: Clock,
    teller: Teller,
    hearer: Hearer,
    publisher: Publisher,
}

impl Exchange {
    async fn run(
        mut self,
        mut board: Publisher,
        mut heard: Receiver<Vec<u8>>,
        mut keys: watch::Receiver<Option<FleetKeys>>,
    ) {
        let mut whole = interval(WHOLE);
        whole.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut gathered, mut told) = (Instant::now(), Instant::now());
        loop {
            tokio::select! {
                () = changed(&self.quota, gathered) => {
                    gathered = Instant::now() + GATHER;
                    self.tell(&self.quota.changed());
                }
                message = heard.recv() => match message {
                    Some(message) if self.hear(&message) => whole.reset_at(told + AGAIN),
                    Some(_) => {}
                    // The fleet was left.
                    None => return,
                },
                _ = whole.tick() => {
                    self.hearer.pass();
                    self.quota.forget_elsewhere(self.clock.now().tick);
                    told = Instant::now();
                    self.tell(&self.quota.counted());
                }
                () = board.connected() => self.begin(),
                other = keys.changed() => {
                    if other.is_err() {
                        return;
                    }
                    self.use_keys(keys.borrow_and_update().as_ref());
                }
            }
        }
    }

    fn use_keys(&mut self, keys: Option<&FleetKeys>) {
        self.quota.share(keys.map(|keys| &*keys.tags));
        if let Some(keys) = keys {
            self.teller.set_key(&keys.seal);
            self.hearer.set_key(&keys.seal);
        }
        self.begin();
    }

    /// Tells everything, and asks for everything.
    fn begin(&mut self) {
        if self.quota.is_shared() {
            self.publisher.publish(CHANNEL, self.teller.question());
            self.tell(&self.quota.counted());
        }
    }

    /// What is lost is told with the next whole list.
    fn tell(&mut self, users: &[UserCount]) {
        self.publisher.publish(CHANNEL, self.teller.messages(users));
    }

    /// Whether it was a question.
    fn hear(&mut self, message: &[u8]) -> bool {
        let Some(Counts { node, is_new, users }) = self.hearer.hear(message) else { return false };
        let asks = users.is_empty();
        self.quota.hear(&node, is_new, users, self.clock.now().tick);
        asks
    }
}

/// Waits until there is a change to tell, and at least until `gathered`.
async fn changed(quota: &Quota, gathered: Instant) {
    sleep_until(gathered).await;
    poll_fn(|context| quota.poll_changed(context)).await;
}
