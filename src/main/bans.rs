//! What the operator's bans do: they are kept, hold for all workers, and end running sessions.

use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use taciturn::admin::control::BanOrder;
use taciturn::bans::{BanFile, BanList, Term};
use taciturn_control::{Answer, Error, ErrorKind};
use taciturn_net::Workers;
use taciturn_turn::policy::{Banned, Bans};

/// The bans of a running server.
pub(super) struct BanKeeper {
    list: BanList,
    /// `None` if what is there cannot be read: it must not be replaced.
    file: Option<BanFile>,
    /// What the workers ask.
    enforced: Arc<Bans>,
}

impl BanKeeper {
    /// Reads what was kept, and has it hold.
    pub(super) fn open(state_dir: &Path, enforced: Arc<Bans>) -> Self {
        let file = BanFile::within(state_dir);
        let read = file.read();
        if let Err(error) = &read {
            tracing::error!("bans: {error}");
        }
        let file = read.is_ok() || !file.path().exists();
        let file = file.then(|| BanFile::within(state_dir));
        let mut bans = Self { list: read.unwrap_or_default(), file, enforced };
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
        let error = file.write(&self.list).err()?;
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
        let listed = self.list.add(banned, term);
        listed.map_err(|error| Error::new(ErrorKind::NotPossible, error))?;
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
        self.hold();
        tracing::info!(ban = %banned, "ban ended by the operator");
        let mut messages = vec![format!("{banned} is not banned any more")];
        messages.extend(self.keep());
        Ok(Answer::Messages(messages))
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
