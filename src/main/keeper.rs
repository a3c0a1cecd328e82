//! What the service manager keeps for the next process of this service, so that running calls go on after a restart or a
//! crash.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use taciturn_handover::{Handover, Store};
use taciturn_net::{Exported, Running};
use taciturn_stun::Family;
use taciturn_turn::Rules;
use tokio::time::Instant;

use super::failure::Failure;

/// How often what is kept is replaced, at most.
const EVERY: Duration = Duration::from_secs(1);

/// Of the time of a worker, one part in so many goes into that at most.
const SHARE: u32 = 200;

/// How long the service manager may take to read what it is to keep when the server stops.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long clients on TLS may take to hear that the server stops.
const LAST_WORD: Duration = Duration::from_millis(20);

/// Has the service manager keep the sockets and the state.
#[derive(Debug)]
pub(super) struct Keeper {
    store: Store,
    /// When what is kept may be replaced next.
    next: Instant,
    /// Whether what is kept has allocations in it.
    has_some: bool,
    /// Whether it has failed, and that was logged.
    failed: bool,
    /// How many processes before this one have crashed, one after the other.
    crashes: u8,
    /// From then on this one is not one of them.
    sound: Instant,
}

/// After so many crashes in a row the server begins anew: what it goes on with may be the cause.
const CRASHES: u8 = 3;

/// A process that lives for so long has not crashed of what it has begun with.
const SOUND: Duration = Duration::from_secs(30);

impl Keeper {
    /// `line` is a connection to the service manager. It keeps the descriptors of these names already.
    ///
    /// # Errors
    /// When the system refuses.
    pub(super) fn new(line: UnixDatagram, kept: Vec<String>) -> io::Result<Self> {
        let store = Store::new(line, kept)?;
        let now = Instant::now();
        Ok(Self {
            store,
            next: now,
            has_some: false,
            failed: false,
            crashes: 0,
            sound: now + SOUND,
        })
    }

    /// Notes how many processes have crashed with what this one begins with. Returns false if it should not begin with it.
    pub(super) const fn note_crashes(&mut self, crashes: u8) -> bool {
        self.crashes = crashes;
        crashes < CRASHES
    }

    /// Has it keep nothing: what it has kept is in use, and if that cannot be used, the next process begins anew.
    pub(super) fn clear(&mut self) {
        if let Err(error) = self.store.clear() {
            tracing::warn!("{error}");
        }
    }

    /// Waits until there may be something else to be kept.
    pub(super) async fn due(&self) {
        tokio::time::sleep_until(self.next).await;
    }

    /// Has it keep what there is now, if anything can have changed.
    pub(super) async fn look(&mut self, running: &Running, rules: &Rules) {
        let has_some = [Family::V4, Family::V6].iter().any(|family| rules.ports.used(*family) > 0);
        self.next = Instant::now() + EVERY;
        if has_some || self.has_some {
            self.keep(running, rules).await;
            self.has_some = has_some;
        }
    }

    /// Has it keep what there is now. A failure is logged once.
    pub(super) async fn keep(&mut self, running: &Running, rules: &Rules) {
        let kept = match running.export(rules).await {
            Ok(mut exported) => {
                if self.sound <= Instant::now() {
                    self.crashes = 0;
                }
                exported.note_crashes(self.crashes.saturating_add(1));
                self.next = Instant::now() + EVERY.max(SHARE * exported.took());
                self.save(&exported)
            }
            Err(error) => Err(error.into()),
        };
        match kept {
            Ok(()) => self.failed = false,
            Err(error) if self.failed => tracing::debug!("{error}"),
            Err(error) => {
                self.failed = true;
                tracing::warn!("calls would not survive a crash of this server: {error}");
            }
        }
    }

    /// Has it keep what there is, and lets go of it: the next process goes on with it, if this was a restart. Returns how
    /// many allocations that are.
    ///
    /// # Errors
    /// When it does not keep it. The server has gone on then.
    pub(super) async fn leave(
        &mut self,
        running: &Running,
        rules: &Rules,
    ) -> Result<usize, Failure> {
        if running.end_secure().await? > 0 {
            tokio::time::sleep(LAST_WORD).await;
        }
        let (standing, exported) = running.stand_still(rules, true).await?;
        self.save(&exported)?;
        self.store.settle(PATIENCE)?;
        standing.leave().await?;
        Ok(exported.allocations())
    }

    fn save(&mut self, exported: &Exported) -> Result<(), Failure> {
        let handover = Handover::new(exported.sockets(), exported.state()?)?;
        Ok(self.store.save(&handover)?)
    }
}
