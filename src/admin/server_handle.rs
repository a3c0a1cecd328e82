//! What a running server knows of itself, in one place for all who ask.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;

use super::certificate_report::CertificateReport;
use super::ice::Ice;
use super::listeners::Closing;
use super::log_sink::LogSink;
use super::test_links::TestLinks;
use crate::kernel_relay::KernelRelay;
use taciturn_config::Config;
use taciturn_control::CarriedOver;
use taciturn_net::external::External;
use taciturn_net::{FailedLogins, Shared, Workers};
use taciturn_records::Recorder;
use taciturn_stun::Family;
use taciturn_turn::policy::{Bans, Connections, PortPool, Quota};
use taciturn_turn::{Alternates, RelayAddress};
use taciturn_web::PageState;

/// Clones are handles to the same one.
#[derive(Clone, Debug)]
pub struct ServerHandle {
    pub(super) workers: Workers,
    pub(super) ports: Arc<PortPool>,
    pub(super) quota: Arc<Quota>,
    pub(super) connections: Arc<Connections>,
    pub(super) bans: Arc<Bans>,
    pub(super) alternates: Arc<Alternates>,
    /// The families that are relayed.
    pub(super) relayed: [bool; 2],
    certificates: Arc<ArcSwap<CertificateReport>>,
    closing: Arc<ArcSwap<Vec<Closing>>>,
    pub(super) health: Arc<Health>,
    pub(super) log: LogSink,
    pub(super) carried_over: Option<CarriedOver>,
    /// What became of records of sessions, if any are kept.
    pub(super) recorder: Option<Recorder>,
    pub(super) failed_logins: Arc<FailedLogins>,
    /// What the status page needs.
    pub(super) page: Arc<PageState>,
    pub(super) tests: Arc<TestLinks>,
    /// Who has credentials made over HTTP.
    pub(super) ice: Arc<Ice>,
    pub(super) kernel: KernelRelay,
}

/// How the server is.
#[derive(Debug)]
pub struct Health {
    ready: AtomicBool,
    /// Seconds since 1970.
    started: u64,
    /// The numbers of reloads that were applied and refused.
    reloads: [AtomicU64; 2],
    last: Mutex<Reload>,
    /// For IPv4 and IPv6: whether there is a relayed address, and it is not on this machine now.
    relayed_missing: [AtomicBool; 2],
    /// Whether the fleet can be asked, the number of its nodes, and how often the connection was lost.
    fleet: [AtomicU64; 3],
    database: Mutex<DatabaseState>,
}

/// What is known of the database of users and secrets.
#[derive(Clone, Copy, Debug, Default)]
pub struct DatabaseState {
    /// Whether it can be read.
    pub connected: bool,
    /// Seconds since it was read last, or since the start.
    pub age: u64,
    /// Its users that may use the relay.
    pub users: usize,
    /// Its secrets that are in use.
    pub secrets: usize,
    /// Rows that are neither.
    pub left_out: usize,
    /// How often it could not be read any more.
    pub losses: u64,
}

/// How a reload went, or the start where there was none.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reload {
    pub(super) taken_up: bool,
    /// In seconds since 1970.
    pub(super) at: u64,
}

impl ServerHandle {
    /// Of a server that has just begun. What is asked here stays through reloads, but for the
    /// certificates, see [`ServerHandle::serve`], and listeners that were removed, see [`ServerHandle::close`].
    #[must_use]
    pub fn new(
        workers: Workers,
        shared: &Shared,
        certificates: CertificateReport,
        log: LogSink,
    ) -> Self {
        let started = unix_now();
        Self {
            workers,
            ports: Arc::clone(&shared.rules.ports),
            quota: Arc::clone(&shared.rules.quota),
            connections: Arc::clone(&shared.connections),
            bans: Arc::clone(&shared.rules.bans),
            alternates: Arc::clone(&shared.rules.alternates),
            relayed: shared.settings.relay_addresses.map(|address| address.is_some()),
            certificates: Arc::new(ArcSwap::from_pointee(certificates)),
            closing: Arc::default(),
            health: Arc::new(Health {
                ready: AtomicBool::new(true),
                started,
                reloads: Default::default(),
                last: Mutex::new(Reload { taken_up: true, at: started }),
                relayed_missing: Default::default(),
                fleet: Default::default(),
                database: Mutex::default(),
            }),
            log,
            carried_over: None,
            recorder: None,
            failed_logins: Arc::clone(&shared.failed_logins),
            page: Arc::default(),
            tests: Arc::new(TestLinks::new(Arc::clone(&shared.rules.guests))),
            ice: Arc::default(),
            kernel: KernelRelay::default(),
        }
    }

    /// The same server, beside which the kernel relays.
    #[must_use]
    pub fn with_kernel(self, kernel: KernelRelay) -> Self {
        Self { kernel, ..self }
    }

    /// The same server, which goes on with calls of another process.
    #[must_use]
    pub fn carrying(self, carried_over: CarriedOver) -> Self {
        Self { carried_over: Some(carried_over), ..self }
    }

    /// The same server, which keeps records of what sessions have used.
    #[must_use]
    pub fn recording(self, recorder: Recorder) -> Self {
        Self { recorder: Some(recorder), ..self }
    }

    /// How the workers are asked.
    #[must_use]
    pub const fn workers(&self) -> &Workers {
        &self.workers
    }

    /// Other certificates, or other listeners that serve them.
    pub fn serve(&self, certificates: CertificateReport) {
        self.certificates.store(Arc::new(certificates));
    }

    /// Has test links and credentials for applications made of this configuration from now on.
    pub fn issue_by(&self, config: &Config, external: &External) {
        self.tests.set_terms(config, external);
        self.ice.set_terms(config, external);
    }

    /// Whether credentials are made for applications.
    #[must_use]
    pub fn issues(&self) -> bool {
        self.ice.is_on()
    }

    /// The certificates as of now.
    pub(super) fn certificates(&self) -> Arc<CertificateReport> {
        self.certificates.load_full()
    }

    /// The listeners that were removed and close when their clients have left.
    pub fn close(&self, listeners: Vec<Closing>) {
        self.closing.store(Arc::new(listeners));
    }

    /// Listeners that were removed and are still open, each with how many clients it has: for UDP
    /// allocations, otherwise connections.
    ///
    /// # Errors
    /// If a worker has ended.
    pub(super) async fn closing(&self) -> std::io::Result<Vec<(Closing, usize)>> {
        let closing = self.closing.load_full();
        if closing.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<_> = closing.iter().map(|listener| listener.id).collect();
        let clients = self.workers.clients_of(&ids).await?;
        Ok(closing.iter().cloned().zip(clients).collect())
    }

    /// Free relay ports, of the family with fewer.
    #[must_use]
    pub fn free_ports(&self) -> u64 {
        let families = [Family::V4, Family::V6].into_iter().filter(|f| self.relayed[*f as usize]);
        let used = families.map(|family| self.ports.used(family)).max().unwrap_or_default();
        u64::from(self.ports.range().len().saturating_sub(used))
    }

    /// Relay ports, of each family.
    #[must_use]
    pub fn ports(&self) -> u64 {
        u64::from(self.ports.range().len())
    }

    /// How many allocations there may be in all; 0 is no limit.
    #[must_use]
    pub fn limit(&self) -> u64 {
        u64::from(self.quota.limit_in_all())
    }

    /// How it is.
    #[must_use]
    pub fn health(&self) -> &Health {
        &self.health
    }
}

impl Health {
    /// Notes how a reload went.
    pub fn reloaded(&self, taken_up: bool) {
        let [good, bad] = &self.reloads;
        let count = if taken_up { good } else { bad };
        count.fetch_add(1, Ordering::Relaxed);
        let now = Reload { taken_up, at: unix_now() };
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = now;
    }

    /// Whether new allocations are made from now on.
    pub fn set_ready(&self, ready: bool) {
        self.ready.store(ready, Ordering::Relaxed);
    }

    /// Notes which relayed addresses this machine has not got now.
    pub fn set_relayed_missing<'a>(&self, missing: impl Iterator<Item = &'a RelayAddress>) {
        let mut are_missing = [false; 2];
        for address in missing {
            are_missing[address.family() as usize] = true;
        }
        for (missing, now) in self.relayed_missing.iter().zip(are_missing) {
            missing.store(now, Ordering::Relaxed);
        }
    }

    /// Whether the relayed address of a family is on this machine.
    pub(super) fn has_relayed(&self, family: Family) -> bool {
        !self.relayed_missing[family as usize].load(Ordering::Relaxed)
    }

    /// Notes what is known of the fleet.
    pub fn set_fleet(&self, connected: bool, nodes: usize, losses: u64) {
        for (known, now) in self.fleet.iter().zip([u64::from(connected), nodes as u64, losses]) {
            known.store(now, Ordering::Relaxed);
        }
    }

    /// Whether the fleet can be asked, the number of its nodes, and how often the connection was lost.
    pub(super) fn fleet(&self) -> [u64; 3] {
        self.fleet.each_ref().map(|number| number.load(Ordering::Relaxed))
    }

    /// Notes what is known of the database of users and secrets.
    pub fn set_database(&self, state: DatabaseState) {
        *self.database.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }

    pub(super) fn database(&self) -> DatabaseState {
        *self.database.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether new allocations are made.
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed)
    }

    pub(super) const fn started(&self) -> u64 {
        self.started
    }

    /// The numbers of reloads that were applied and refused.
    pub(super) fn reloads(&self) -> [u64; 2] {
        self.reloads.each_ref().map(|count| count.load(Ordering::Relaxed))
    }

    pub(super) fn last_reload(&self) -> Reload {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
