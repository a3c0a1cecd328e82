//! Users and secrets of a database, beside those of the configuration.
//!
//! The task in `taciturn-database` reads it. What it has read arrives here, between the other tasks of the main thread,
//! and is taken over as a reload is: no request waits, and running calls keep their keys.

mod judge;
mod kept;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use taciturn::admin::{DatabaseState, ServerHandle};
use taciturn_config::{Config, DatabaseUrl, RedisPlace, SqlPlace};
use taciturn_database::{Database, Engine, Password, Place, Rows, Settings};
use taciturn_net::Running;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::timeout;

use self::judge::{Judge, Judged, other_realms};
use self::kept::Kept;
use super::failure::Failure;
use super::in_use::InUse;
use super::rules::{Extra, authenticator};

/// How long the start waits for what a database holds, if nothing is known of it: clients would be refused.
const FIRST: Duration = Duration::from_secs(2);

/// The database of a server, if it has one.
pub(super) struct DatabaseReader {
    running: Option<(Settings, Database)>,
    started: Instant,
    kept: Kept,
    /// Whether something was read, and is the newest there is.
    taken_up: bool,
    known: Known,
    /// The state directory is written on a thread of its own, once at a time.
    writing: Option<JoinHandle<()>>,
    unwritten: bool,
}

/// What is known of the rows, and what the log has of it.
#[derive(Default)]
struct Known {
    digest: Option<[u8; 32]>,
    users: usize,
    secrets: usize,
    left_out: usize,
    told: BTreeSet<&'static str>,
    other_realm: Option<String>,
}

impl DatabaseReader {
    /// Begins to read, and returns what is known: what was read before the restart, else what can be read at once.
    /// Within a runtime.
    pub(super) async fn open(config: &Config) -> Result<(Self, Arc<Extra>), Failure> {
        let mut reader = Self {
            running: None,
            started: Instant::now(),
            kept: Kept::within(&config.state_dir),
            taken_up: false,
            known: Known::default(),
            writing: None,
            unwritten: false,
        };
        let Some(settings) = settings(config) else { return Ok((reader, Arc::default())) };
        let is_file = matches!(settings.place, Place::File(_));
        let kept = if is_file { None } else { reader.kept.read(&settings) };
        let mut database = Database::start(settings.clone());
        let extra = match kept {
            Some(extra) => {
                let found = || extra.tenants.iter().map(|of| &of.found).chain([&extra.own]);
                let users: usize = found().map(|found| found.users.len()).sum();
                let secrets: usize = found().map(|found| found.secrets.len()).sum();
                tracing::info!(
                    users,
                    secrets,
                    "auth.database: until {settings} is read, users and secrets are as they were before the restart"
                );
                (reader.known.users, reader.known.secrets) = (users, secrets);
                Arc::new(extra)
            }
            None => match timeout(FIRST, database.rows.recv()).await {
                Ok(Some(rows)) => Arc::new(reader.judge(rows, config).await?),
                // Why is in the log.
                Ok(None) | Err(_) => Arc::default(),
            },
        };
        reader.running = Some((settings, database));
        Ok((reader, extra))
    }

    /// What was read, whenever it has changed; never without a database.
    pub(super) async fn changed(&mut self) -> Rows {
        let rows = match &mut self.running {
            Some((_, database)) => database.rows.recv().await,
            None => None,
        };
        match rows {
            Some(rows) => rows,
            None => std::future::pending().await,
        }
    }

    /// Has the workers go on with what was read, unless it is what they have.
    pub(super) async fn take_up(
        &mut self,
        rows: Rows,
        in_use: &mut InUse,
        running: &Running,
    ) -> Result<(), Failure> {
        let before = self.known.digest;
        let extra = Arc::new(self.judge(rows, &in_use.config).await?);
        if self.known.digest == before {
            return Ok(());
        }
        let (config, of_extra) = (in_use.config.clone(), Arc::clone(&extra));
        // With many users that takes its time, which nobody else has to wait for.
        let made = spawn_blocking(move || Arc::new(authenticator(&config, &of_extra))).await?;
        let mut shared = in_use.shared.clone();
        shared.rules.authenticator = made;
        let withdrawn = running.set_rules(&shared).await?;
        let old = std::mem::replace(&mut in_use.shared, shared);
        let old = (old, std::mem::replace(&mut in_use.extra, extra));
        // The workers have let go of it.
        drop(spawn_blocking(move || drop(old)));
        let (ended, kept) = (withdrawn.allocations, withdrawn.kept);
        if ended > 0 {
            tracing::warn!(
                "{ended} allocations ended: the user or secret that they were created with is not in the database \
                 any more (on_removal in [auth.database])"
            );
        }
        tracing::debug!(
            users = self.known.users,
            secrets = self.known.secrets,
            kept,
            "auth.database: users and secrets of the database have changed"
        );
        Ok(())
    }

    async fn judge(&mut self, rows: Rows, config: &Config) -> Result<Extra, Failure> {
        let other_realm = rows.other_realm.clone();
        let judge = Judge::new(config);
        let judged = spawn_blocking(move || judge.judge(rows)).await?;
        let Judged { extra, users, secrets, left_out, digest } = judged;
        let known = &mut self.known;
        (known.users, known.secrets) = (users, secrets);
        known.digest = Some(digest);
        known.left_out = left_out.values().sum();
        if left_out.keys().any(|reason| !known.told.contains(reason)) {
            let reasons: Vec<_> =
                left_out.iter().map(|(reason, number)| format!("{reason} ({number})")).collect();
            tracing::warn!(
                "auth.database: {} rows of the database are left out: {}",
                known.left_out,
                reasons.join("; ")
            );
        }
        // What is put right may be told again.
        known.told = left_out.keys().copied().collect();
        if known.other_realm != other_realm
            && let Some(other) = &other_realm
        {
            tracing::warn!(
                "auth.database: the database has no rows of the realm {:?}, and some of {other:?}: set realm, and restart, \
                 if these are meant",
                config.realm
            );
        }
        known.other_realm = other_realm;
        self.taken_up = true;
        self.unwritten = true;
        Ok(extra)
    }

    /// The configuration was read again: so is the database.
    pub(super) fn reconfigured(&mut self, config: &Config) {
        match (settings(config), &self.running) {
            (Some(new), Some((old, database))) if new == *old => database.read_now(),
            (Some(new), _) => {
                let database = Database::start(new.clone());
                self.running = Some((new, database));
            }
            // Users that the server has made itself have gone with their file.
            (None, Some((_, database))) => database.read_now(),
            (None, None) => {}
        }
    }

    /// Keeps what was read for the next process, and tells of the metrics.
    pub(super) fn look(&mut self, server: &ServerHandle, in_use: &InUse) {
        let Some((settings, database)) = &self.running else { return };
        let state = database.state();
        let known = &self.known;
        server.health().set_database(DatabaseState {
            connected: state.trouble.is_none() && state.read_at.is_some(),
            age: state.read_at.unwrap_or(self.started).elapsed().as_secs(),
            users: known.users,
            secrets: known.secrets,
            left_out: known.left_out,
            losses: state.losses,
        });
        let is_idle = self.writing.as_ref().is_none_or(JoinHandle::is_finished);
        let is_file = matches!(settings.place, Place::File(_));
        if self.taken_up && self.unwritten && is_idle && !is_file {
            self.unwritten = false;
            let (kept, settings) = (self.kept.clone(), settings.clone());
            let extra = Arc::clone(&in_use.extra);
            self.writing = Some(spawn_blocking(move || kept.write(&settings, &extra)));
        }
    }

    /// Another process goes on in this one's place.
    pub(super) fn leave(&mut self) {
        self.running = None;
    }
}

/// The files that the database needs: to be read, and sockets to connect to.
pub(super) fn files(config: &Config) -> (Vec<PathBuf>, Vec<PathBuf>) {
    let keys = &config.database;
    let named = [&keys.url_file, &keys.password_file, &keys.ca_file];
    let mut files: Vec<_> = named.into_iter().flatten().cloned().collect();
    let mut sockets = Vec::new();
    match keys.url.as_ref().map(place) {
        Some(Place::File(path)) => files.push(path),
        Some(Place::Unix(path)) => sockets.push(path),
        Some(Place::Tcp { .. }) | None => {}
    }
    (files, sockets)
}

fn place(url: &DatabaseUrl) -> Place {
    let tls = url.is_secured();
    match url {
        DatabaseUrl::Sql(url) => match &url.place {
            SqlPlace::Tcp { host, port } => Place::Tcp { host: host.clone(), port: *port, tls },
            SqlPlace::Unix(path) => Place::Unix(path.clone()),
            SqlPlace::File(path) => Place::File(path.clone()),
        },
        DatabaseUrl::Redis(url) => match &url.place {
            RedisPlace::Tcp { host, port, .. } => {
                Place::Tcp { host: host.clone(), port: *port, tls }
            }
            RedisPlace::Unix(path) => Place::Unix(path.clone()),
        },
    }
}

/// Which database: the configured one, else the file of `turnctl users`, if it is there.
fn settings(config: &Config) -> Option<Settings> {
    let keys = &config.database;
    let (every, other_realms) = (keys.every, other_realms(config));
    let Some(url) = &keys.url else {
        let path = taciturn_config::users_file(&config.state_dir);
        let of_file =
            || Settings { every, other_realms, ..Settings::of_file(&path, &config.realm) };
        return path.exists().then(of_file);
    };
    let (engine, user, database, password) = match url {
        DatabaseUrl::Sql(url) => {
            (Engine::Sql, url.user.clone(), url.database.clone(), url.password.clone())
        }
        DatabaseUrl::Redis(url) => {
            let user = url.user.clone().unwrap_or_default();
            (Engine::Redis, user, url.database.to_string(), None)
        }
    };
    Some(Settings {
        engine,
        place: place(url),
        user,
        database,
        password: password.map(Password),
        password_file: keys.password_file.clone(),
        ca_file: keys.ca_file.clone(),
        schema: keys.schema.as_ref().map(|schema| schema.as_str().to_owned()),
        realm: config.realm.clone(),
        other_realms,
        every,
    })
}
