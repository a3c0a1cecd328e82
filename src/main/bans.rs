//! What the operator's bans do: they are kept, hold for all workers, and end running sessions.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use taciturn::admin::control::BanOrder;
use taciturn::bans::{BanFile, BanList, Memory, Term};
use taciturn_config::Config;
use taciturn_control::{Answer, Error, ErrorKind};
use taciturn_net::Workers;
use taciturn_turn::policy::{Banned, Bans};

/// The bans of a running server.
pub(super) struct BanKeeper {
    list: BanList,
    /// What is remembered of the fleet, if the server is in one.
    memory: Memory,
    in_fleet: bool,
    /// `None` if what is there cannot be read: it must not be replaced.
    file: Option<BanFile>,
    /// What the workers ask.
    enforced: Arc<Bans>,
}

impl BanKeeper {
    /// Reads what was kept, and has it hold.
    pub(super) fn open(config: &Config, enforced: Arc<Bans>) -> Self {
        let (state_dir, in_fleet) = (&config.state_dir, config.fleet.url.is_some());
        let file = BanFile::within(state_dir);
        let read = file.read();
        if let Err(error) = &read {
            tracing::error!("bans: {error}");
        }
        let file = read.is_ok() || !file.path().exists();
        let file = file.then(|| BanFile::within(state_dir));
        let (list, memory) = read.unwrap_or_default();
        let mut bans = Self { list, memory, in_fleet, file, enforced };
        if !bans.list.is_empty() {
            tracing::info!("{} bans hold, as before", bans.list.len());
        }
        bans.expire();
        bans.hold();
        bans
    }

    /// Has the list hold for what is asked from now on.
    fn hold(&self) {
        self.enforced.set(self.list.iter().map(|(banned, _)| banned));
    }

    /// Ends the sessions of those who are banned. Returns how many.
    pub(super) async fn enforce(&self, workers: &Workers) -> std::io::Result<usize> {
        if self.list.is_empty() { Ok(0) } else { workers.end_banned().await }
    }

    /// Ends the bans whose time is over.
    pub(super) fn expire(&mut self) {
        let over = self.list.expire(now());
        if over.is_empty() {
            return;
        }
        for banned in &over {
            tracing::info!(ban = %banned, "a ban has ended");
        }
        self.hold();
        self.keep();
    }

    /// Writes the file. Returns what the operator has to know if that cannot be.
    fn keep(&self) -> Option<String> {
        let Some(file) = &self.file else {
            return Some(
                "it holds until the server ends: what is kept could not be read at the start"
                    .to_owned(),
            );
        };
        let error = file.write(&self.list, &self.memory).err()?;
        let text = format!(
            "it holds until the server ends: cannot write {}: {error}",
            file.path().display()
        );
        tracing::warn!("bans: {text}");
        Some(text)
    }

    /// Does what the operator asks.
    pub(super) async fn obey(
        &mut self,
        order: BanOrder,
        workers: &Workers,
    ) -> Result<Answer, Error> {
        match order {
            BanOrder::List => Ok(Answer::Bans(self.list.shown())),
            BanOrder::Add { banned, for_seconds } => self.add(banned, for_seconds, workers).await,
            BanOrder::Remove(banned) => self.remove(&banned),
        }
    }

    async fn add(
        &mut self,
        banned: Banned,
        for_seconds: Option<u64>,
        workers: &Workers,
    ) -> Result<Answer, Error> {
        let since = now();
        let term = Term { since, until: for_seconds.map(|seconds| since.saturating_add(seconds)) };
        let told = banned.to_string();
        let listed = self.list.add(banned.clone(), term);
        listed.map_err(|error| Error::new(ErrorKind::NotPossible, error))?;
        if self.in_fleet {
            self.memory.begin(banned);
        }
        // Before sessions are ended: none begins behind them.
        self.hold();
        let ended = workers.end_banned().await;
        let ended = ended.map_err(|error| Error::new(ErrorKind::Internal, error))?;
        tracing::info!(ban = told, for_seconds, allocations = ended, "banned by the operator");
        let mut messages = vec![format!("{told} is banned; {ended} allocations ended")];
        messages.extend(self.keep());
        Ok(Answer::Messages(messages))
    }

    fn remove(&mut self, banned: &Banned) -> Result<Answer, Error> {
        if !self.list.remove(banned) {
            let text = format!("{banned} is not banned; `turnctl bans` shows who is");
            return Err(Error::new(ErrorKind::NotPossible, text));
        }
        if self.in_fleet {
            self.memory.end(banned.clone());
        }
        self.hold();
        tracing::info!(ban = %banned, "ban ended by the operator");
        let mut messages = vec![format!("{banned} is not banned any more")];
        messages.extend(self.keep());
        Ok(Answer::Messages(messages))
    }
}

#[cfg(feature = "fleet")]
impl BanKeeper {
    /// What the fleet is to be told.
    pub(super) fn outstanding(&self) -> taciturn::bans::Tell {
        self.memory.outstanding(&self.list)
    }

    /// The fleet may have lost bans that it had: what is here is told again.
    pub(super) fn doubt_fleet(&mut self) {
        self.memory.epoch.clear();
    }

    /// Takes over what the fleet has.
    pub(super) async fn merge(
        &mut self,
        epoch: &str,
        of_fleet: &std::collections::BTreeMap<Banned, Option<u64>>,
        workers: &Workers,
    ) {
        let (list, memory) = (self.list.clone(), self.memory.clone());
        self.memory.merge(&mut self.list, epoch, of_fleet, now());
        if self.list != list {
            self.list.expire(now());
            self.hold();
            let ended = self.enforce(workers).await;
            let allocations = ended.unwrap_or_default();
            tracing::info!(
                bans = self.list.len(),
                allocations,
                "the bans of the fleet have changed"
            );
        }
        if self.list != list || self.memory != memory {
            self.keep();
        }
    }
}

/// Now, in seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
