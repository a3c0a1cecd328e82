//! The delivery of what waits in the spool: one file of it after another, each until it was taken.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::counts::{Counts, Dropped};
use super::lines::whole;
use super::receiver::{Receiver, Refused};
use super::segment::Segment;
use super::spool::Spool;

/// The first wait after a delivery that failed, and the longest.
pub(crate) const WAITS: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(60)];

/// How often it is looked whether other processes have left something.
const ADOPT: Duration = Duration::from_secs(30);

/// How long records gather before they are delivered.
const GATHER: Duration = Duration::from_millis(500);

/// Delivers what waits.
pub(crate) struct Deliverer {
    pub(crate) spool: Rc<RefCell<Spool>>,
    pub(crate) receiver: Box<dyn Receiver>,
    pub(crate) counts: Arc<Counts>,
    /// Told when something is added.
    pub(crate) added: Rc<Notify>,
    /// The first wait after a delivery that failed, and the longest.
    pub(crate) waits: [Duration; 2],
}

impl Deliverer {
    /// Without an end.
    pub(crate) async fn run(&mut self) {
        loop {
            let next = self.spool.borrow_mut().next();
            match next {
                Some(segment) => self.deliver(&segment).await,
                None => self.rest().await,
            }
        }
    }

    /// Until nothing waits, or a delivery fails.
    pub(crate) async fn run_once(&mut self) {
        loop {
            let Some(segment) = self.spool.borrow_mut().next() else { return };
            let Ok(contents) = segment.read() else { return };
            let (lines, _) = whole(&contents);
            if !lines.is_empty() && self.receiver.deliver(&lines).await.is_err() {
                return;
            }
            self.delivered(&segment, lines.len());
        }
    }

    /// Waits until something may have been added.
    async fn rest(&self) {
        if timeout(ADOPT, self.added.notified()).await.is_ok() {
            sleep(GATHER).await;
            return;
        }
        let adopted = self.spool.borrow_mut().adopt();
        if let Err(error) = adopted {
            tracing::debug!("records: cannot look what other processes have left: {error}");
        }
        show(&self.counts, &self.spool.borrow());
    }

    /// Delivers one file, until it was taken.
    async fn deliver(&mut self, segment: &Segment) {
        let contents = match segment.read() {
            Ok(contents) => contents,
            Err(error) => return self.lost(segment, &error),
        };
        let (lines, damaged) = whole(&contents);
        if damaged > 0 && self.counts.count_dropped(Dropped::Damaged, damaged) {
            tracing::warn!(
                "records: {} has {damaged} lines that are no records, and are left out: was the disk full, or switched off?",
                segment.path.display()
            );
        }
        let (mut from, mut most, mut tries) = (0, lines.len(), 0_u32);
        while from < lines.len() {
            let some = lines.get(from..lines.len().min(from + most)).unwrap_or_default();
            match self.receiver.deliver(some).await {
                Ok(()) => {
                    (from, tries) = (from + some.len(), 0);
                    self.recovered();
                }
                Err(refused) if refused.too_long && some.len() > 1 => most = some.len() / 2,
                Err(refused) if refused.too_long => {
                    from += 1;
                    if self.counts.count_dropped(Dropped::TooLong, 1) {
                        tracing::warn!(
                            "records: {} refuses a single record as too long",
                            self.receiver.name()
                        );
                    }
                }
                Err(refused) => {
                    self.failed(&refused);
                    sleep(self.wait(tries, refused.wait)).await;
                    tries = tries.saturating_add(1);
                }
            }
        }
        self.delivered(segment, lines.len());
    }

    fn delivered(&self, segment: &Segment, records: usize) {
        self.counts.count_delivered(records as u64);
        let removed = self.spool.borrow_mut().remove(segment);
        if let Err(error) = removed {
            tracing::warn!(
                "records: cannot remove {}, which was delivered: {error}. The next start delivers it again",
                segment.path.display()
            );
        }
        show(&self.counts, &self.spool.borrow());
    }

    fn lost(&self, segment: &Segment, error: &io::Error) {
        let first = self.counts.count_dropped(Dropped::Damaged, segment.records);
        if first {
            tracing::warn!("records: cannot read {}: {error}", segment.path.display());
        }
        let _ = self.spool.borrow_mut().remove(segment);
        show(&self.counts, &self.spool.borrow());
    }

    fn failed(&self, refused: &Refused) {
        let name = self.receiver.name();
        // What it says may be long, and is a stranger's word.
        let why: String =
            refused.why.chars().take(200).collect::<String>().escape_debug().collect();
        if self.counts.count_failure(&format!("{name}: {why}")) {
            tracing::warn!(
                "records: not delivered to {name}: {why}. They wait on disk, and are tried again"
            );
        }
    }

    fn recovered(&self) {
        if self.counts.recovered() {
            tracing::info!("records: delivered again to {}", self.receiver.name());
        }
    }

    /// A time between half and all of what doubles with each try; not less than the receiver wants.
    fn wait(&self, tries: u32, wanted: Option<Duration>) -> Duration {
        let [least, most] = self.waits;
        let full = most.min(least.saturating_mul(2_u32.saturating_pow(tries.min(16))));
        let mut random = [0];
        // Without randomness all servers come back at the same time: no reason not to come back.
        let _ = getrandom::fill(&mut random);
        let jitter = full.mul_f64(f64::from(random[0]) / 512.0);
        (full / 2 + jitter).max(wanted.unwrap_or_default())
    }
}

/// Shows what waits.
pub(crate) fn show(counts: &Counts, spool: &Spool) {
    counts.set_waiting(spool.records(), spool.bytes());
}
