//! The task that reads a database again and again, and hands on what has changed.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{sleep, timeout};

use super::error::DatabaseError;
use super::postgres::Session;
use super::redis_session::RedisSession;
use super::rows::{Digest, Rows};
use super::settings::{Engine, Place, Settings};
use super::sqlite::{self, Signature};
use super::tables::Known;

/// How often a file is looked at. It is read only if it has changed.
const LOOK: Duration = Duration::from_secs(1);

/// A database that tells of changes without end has it read for a third of the time, if that is short; else for a tenth.
const SHARES: (u32, u32) = (2, 10);

/// A reading that is short.
const SHORT: Duration = Duration::from_millis(100);

/// The waits before another try: the first, and the longest.
const WAITS: [Duration; 2] = [Duration::from_millis(250), Duration::from_secs(10)];

/// What is known of the database.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// Why it cannot be read, in words; `None` if it can.
    pub trouble: Option<String>,
    /// When it was read last.
    pub read_at: Option<Instant>,
    /// How often it could not be read any more.
    pub losses: u64,
}

/// The server's end.
#[derive(Debug)]
pub struct Database {
    /// What was read, whenever it has changed.
    pub rows: Receiver<Rows>,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    wanted: Notify,
}

impl Drop for Database {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Database {
    /// Begins, in the runtime at hand.
    #[must_use]
    pub fn start(settings: Settings) -> Self {
        let (sender, rows) = channel(1);
        let shared = Arc::new(Shared::default());
        let worker = Worker {
            name: settings.to_string(),
            settings,
            shared: Arc::clone(&shared),
            rows: sender,
            known: Known::default(),
            last: None,
            complained: false,
            told_of_none: false,
            tries: 0,
        };
        let task = tokio::spawn(worker.run());
        Self { rows, shared, task }
    }

    /// Has it read now, and not when its time has come.
    pub fn read_now(&self) {
        self.shared.wanted.notify_one();
    }

    /// What is known.
    #[must_use]
    pub fn state(&self) -> State {
        self.shared.state().clone()
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a worker stops reading for a while.
enum Stop {
    /// Nobody wants the rows any more.
    Unwanted,
    /// Something is wrong.
    Trouble(DatabaseError),
}

impl From<DatabaseError> for Stop {
    fn from(error: DatabaseError) -> Self {
        Self::Trouble(error)
    }
}

struct Worker {
    name: String,
    settings: Settings,
    shared: Arc<Shared>,
    rows: Sender<Rows>,
    known: Known,
    /// What was handed on last.
    last: Option<Digest>,
    /// Whether the log has it that the database cannot be read.
    complained: bool,
    /// Whether the log has it that a Redis has no key of coturn's.
    told_of_none: bool,
    /// Tries in a row that have failed.
    tries: u32,
}

impl Worker {
    async fn run(mut self) {
        let settings = self.settings.clone();
        loop {
            let stopped = match (settings.engine, &settings.place) {
                (Engine::Redis, _) => self.keep_redis(&settings).await,
                (Engine::Sql, Place::File(path)) => self.keep_file(path).await,
                (Engine::Sql, _) => self.keep_session(&settings).await,
            };
            let Err(Stop::Trouble(error)) = stopped else { return };
            self.complain(&error);
            self.tries = self.tries.saturating_add(1);
            let wait = wait(self.tries);
            let wanted = timeout(wait, self.shared.wanted.notified()).await.is_ok();
            if wanted {
                self.begin_anew();
            }
        }
    }

    /// Somebody wants it read: whatever it is, it is handed on, for it may mean something else now.
    fn begin_anew(&mut self) {
        self.known = Known::default();
        self.last = None;
    }

    /// Reads a PostgreSQL for as long as its connection holds.
    async fn keep_session(&mut self, settings: &Settings) -> Result<(), Stop> {
        let mut session = Session::open(settings).await?;
        session.listen().await;
        let (shared, notices) = (Arc::clone(&self.shared), session.notices());
        loop {
            let begun = Instant::now();
            let rows = session.read(&mut self.known).await?;
            self.hand_on(rows).await?;
            let rest = rest_after(begun.elapsed());
            tokio::select! {
                () = sleep(settings.every) => {}
                error = session.ended() => return Err(error.into()),
                () = shared.wanted.notified() => self.begin_anew(),
                () = async {
                    notices.notified().await;
                    sleep(rest.saturating_sub(begun.elapsed())).await;
                } => {}
            }
        }
    }

    /// Reads a Redis for as long as its connection holds.
    async fn keep_redis(&mut self, settings: &Settings) -> Result<(), Stop> {
        let mut session = RedisSession::open(settings).await?;
        let shared = Arc::clone(&self.shared);
        loop {
            let (rows, is_any) = session.read().await?;
            if !is_any && !std::mem::replace(&mut self.told_of_none, true) {
                tracing::warn!(
                    "auth.database: there is no key turn/realm/... in database {} of {}: has url the right number?",
                    settings.database,
                    self.name
                );
            }
            self.hand_on(rows).await?;
            tokio::select! {
                () = sleep(settings.every) => {}
                error = session.ended() => return Err(error.into()),
                () = shared.wanted.notified() => self.begin_anew(),
            }
        }
    }

    /// Reads a file whenever it has changed.
    async fn keep_file(&mut self, path: &Path) -> Result<(), Stop> {
        let mut before: Option<Signature> = None;
        loop {
            let now = Signature::of(path);
            if before.as_ref().is_some_and(|before| before.is_still(&now)) {
                self.shared.state().read_at = Some(Instant::now());
            } else {
                let rows = self.read_file(path).await?;
                self.hand_on(rows).await?;
                before = Some(now);
            }
            if timeout(LOOK, self.shared.wanted.notified()).await.is_ok() {
                self.begin_anew();
                before = None;
            }
        }
    }

    /// On a thread of its own: a disk may hang. Another one is not begun before.
    async fn read_file(&mut self, path: &Path) -> Result<Rows, DatabaseError> {
        let (path, settings) = (path.to_owned(), self.settings.clone());
        let mut known = std::mem::take(&mut self.known);
        let mut reading = spawn_blocking(move || {
            let rows = sqlite::read(&path, &settings, &mut known);
            (known, rows)
        });
        let done = match timeout(2 * sqlite::READ, &mut reading).await {
            Ok(done) => done,
            Err(_) => {
                self.complain(&DatabaseError::Silent(2 * sqlite::READ));
                reading.await
            }
        };
        let (known, rows) = done.map_err(|error| DatabaseError::Refused(error.to_string()))?;
        self.known = known;
        rows
    }

    /// Hands on what was read, if it is something else than before.
    async fn hand_on(&mut self, mut rows: Rows) -> Result<(), Stop> {
        let sorted = spawn_blocking(move || (rows.arrange(), rows)).await;
        let (digest, rows) = sorted.map_err(|error| DatabaseError::Refused(error.to_string()))?;
        if self.last != Some(digest) {
            self.rows.send(rows).await.map_err(|_| Stop::Unwanted)?;
            self.last = Some(digest);
        }
        self.tries = 0;
        let mut state = self.shared.state();
        state.read_at = Some(Instant::now());
        state.trouble = None;
        if std::mem::take(&mut self.complained) {
            tracing::info!("auth.database: {} can be read again", self.name);
        }
        Ok(())
    }

    /// Notes why it cannot be read; the log says so once, and once when it can be read again.
    fn complain(&mut self, error: &DatabaseError) {
        {
            let mut state = self.shared.state();
            state.losses += u64::from(state.trouble.is_none() && state.read_at.is_some());
            state.trouble = Some(error.to_string());
        }
        if std::mem::replace(&mut self.complained, true) {
            tracing::debug!("auth.database: cannot read {}: {error}", self.name);
        } else {
            tracing::warn!(
                "auth.database: cannot read {}: {error}. Users and secrets are as they were read last",
                self.name
            );
        }
    }
}

/// How long to wait at least after a reading that took so long.
fn rest_after(took: Duration) -> Duration {
    let (short, long) = SHARES;
    took * if took < SHORT { short } else { long }
}

/// Twice as long each time, and not in step with other servers.
fn wait(tries: u32) -> Duration {
    let [least, most] = WAITS;
    let wait = most.min(least * 2_u32.saturating_pow(tries.min(8)));
    let mut byte = [0];
    // Without randomness it is in step.
    let _ = getrandom::fill(&mut byte);
    let [byte] = byte;
    wait / 2 + wait * u32::from(byte) / 512
}
