//! The task that keeps a server and the board of one mind.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ring::hmac;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::board::{Board, BoardBan, BoardKick, Contents};
use super::channels::{Listener, Publisher, Told, listen};
use super::link::BoardError;
use super::node::NodeRecord;
use super::settings::Settings;

/// How often the board is asked whether something has changed.
const LOOK: Duration = Duration::from_millis(250);

/// How often this node tells of itself, and learns of the others.
const MEET: Duration = Duration::from_secs(5);

/// How often it does so at most, because another node has said that something has changed.
const MEET_AGAIN: Duration = Duration::from_millis(500);

/// Where nodes say that something has changed: a message that says no more than that.
const CHANGED: &str = "nodes";

/// The waits before another try to connect.
const WAITS: [Duration; 2] = [Duration::from_millis(100), Duration::from_millis(800)];

/// How often the log says that the board cannot be asked.
const COMPLAIN: Duration = Duration::from_secs(60);

/// After how many meetings with another process of the same name that is no leftover.
const TAKEN: u32 = 5;

/// How many orders wait.
const ORDERS: usize = 16;

/// What the board is to be told.
#[derive(Clone, Debug)]
pub enum Order {
    /// Bans that begin and that end.
    Bans {
        /// Those that begin, or have another end.
        add: Vec<BoardBan>,
        /// Whom others are for.
        remove: Vec<String>,
    },
    /// Sessions end on all nodes.
    Kick(BoardKick),
}

/// What is known of the fleet.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// Why the board cannot be asked, in words; `None` if it can.
    pub trouble: Option<String>,
    /// Where the master is that is asked, if Sentinel has named it: `10.9.0.2 port 6379`.
    pub master: Option<String>,
    /// Whether another process has the name of this node.
    pub name_taken: bool,
    /// All nodes, as of the last time that they were read.
    pub nodes: Vec<NodeRecord>,
    /// How often the connection was lost.
    pub losses: u64,
}

/// The server's end.
#[derive(Debug)]
pub struct Fleet {
    /// What was read of bans and kicks, whenever it has changed.
    pub contents: Receiver<Contents>,
    orders: Sender<Order>,
    publisher: Publisher,
    shared: Arc<Shared>,
    /// The one that asks, and the one that listens.
    tasks: [JoinHandle<()>; 2],
}

#[derive(Debug, Default)]
struct Shared {
    own: Mutex<NodeRecord>,
    key: Mutex<Option<hmac::Key>>,
    /// Whether others can be sent here has changed, or the key.
    changed: Notify,
    state: Mutex<State>,
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Fleet {
    /// Begins, in the runtime at hand. `own` has the name of the node, and a number of this process.
    #[must_use]
    pub fn start(settings: Settings, own: NodeRecord, mut listeners: Vec<Listener>) -> Self {
        let (changes, changed) = Listener::new(CHANGED);
        listeners.push(changes);
        let (sender, contents) = channel(1);
        let (orders, ordered) = channel(ORDERS);
        let (connections, connected) = watch::channel(0);
        let (subscriptions, subscribed) = watch::channel(0);
        let (publisher, told) = Publisher::new(connected, subscribed);
        let settings = Arc::new(settings);
        let state = State { trouble: Some("not connected yet".to_owned()), ..State::default() };
        let shared = Arc::new(Shared {
            own: Mutex::new(own),
            state: Mutex::new(state),
            ..Shared::default()
        });
        let listening = tokio::spawn(listen(Arc::clone(&settings), listeners, subscriptions));
        let worker =
            Worker { settings, shared: Arc::clone(&shared), contents: sender, connections };
        let asking = tokio::spawn(worker.run(Orders { orders: ordered, told, changed }));
        Self { contents, orders, publisher, shared, tasks: [asking, listening] }
    }

    /// Has the board told of this; false if it cannot be asked now. What is not told is found missing when it is
    /// read next.
    #[must_use]
    pub fn tell(&self, order: Order) -> bool {
        self.state().trouble.is_none() && self.orders.try_send(order).is_ok()
    }

    /// Who tells the other nodes something in passing.
    #[must_use]
    pub fn publisher(&self) -> Publisher {
        self.publisher.clone()
    }

    /// What this node tells of itself from now on.
    pub fn describe(&self, change: impl FnOnce(&mut NodeRecord)) {
        let mut own = self.shared.own.lock().unwrap_or_else(PoisonError::into_inner);
        let had_room = own.has_room();
        change(&mut own);
        if own.has_room() != had_room {
            self.shared.changed.notify_one();
        }
    }

    /// What records are sealed with: a key that all nodes have, and the board has not.
    pub fn set_key(&self, key: &[u8; 32]) {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        *self.shared.key.lock().unwrap_or_else(PoisonError::into_inner) = Some(key);
        self.shared.changed.notify_one();
    }

    /// What this node tells of itself.
    #[must_use]
    pub fn own(&self) -> NodeRecord {
        self.shared.own()
    }

    /// What is known.
    #[must_use]
    pub fn state(&self) -> State {
        self.shared.state().clone()
    }
}

impl Shared {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn key(&self) -> Option<hmac::Key> {
        self.key.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn own(&self) -> NodeRecord {
        self.own.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What the board is to be told, as it comes.
struct Orders {
    orders: Receiver<Order>,
    told: Receiver<Told>,
    /// Of other nodes.
    changed: Receiver<Vec<u8>>,
}

impl Orders {
    fn drop_all(&mut self) {
        while self.orders.try_recv().is_ok() {}
        while self.told.try_recv().is_ok() {}
        while self.changed.try_recv().is_ok() {}
    }
}

struct Worker {
    settings: Arc<Settings>,
    shared: Arc<Shared>,
    contents: Sender<Contents>,
    /// How often the board was connected to.
    connections: watch::Sender<u64>,
}

impl Worker {
    async fn run(self, mut orders: Orders) {
        let (mut complained, mut tries) = (None::<Instant>, 0_u32);
        let mut seen = Seen::default();
        loop {
            let connected = async {
                let board = Board::open(&self.settings).await?;
                // What was meant for it is told when it has been read again.
                orders.drop_all();
                self.keep(board, &mut orders, &mut tries, &mut seen).await
            };
            let Err(error) = connected.await else { return };
            {
                let mut state = self.shared.state();
                state.losses += u64::from(state.trouble.is_none());
                state.trouble = Some(error.to_string());
                state.master = None;
                state.nodes.clear();
            }
            if complained.is_none_or(|last| last.elapsed() >= COMPLAIN) {
                complained = Some(Instant::now());
                tracing::warn!(
                    "fleet: cannot ask {}: {error}. Calls do not need it; bans and nodes of others are as they were",
                    self.settings.place
                );
            }
            let [least, most] = WAITS;
            tries = tries.saturating_add(1);
            sleep(most.min(least * 2_u32.saturating_pow(tries.min(8)))).await;
        }
    }

    /// Serves one connection. Ends with the error that ends it, or without one if nobody reads any more.
    async fn keep(
        &self,
        mut board: Board<'_>,
        orders: &mut Orders,
        tries: &mut u32,
        seen: &mut Seen,
    ) -> Result<(), BoardError> {
        // Another one each time: a board that has lost everything is another board, also to who names it twice.
        let moment = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let fresh = format!("{:x}.{:x}", self.shared.own().boot, moment.as_nanos());
        let mut known = None;
        let mut taken = 0_u32;
        let (mut look, mut meet) = (interval(LOOK), interval(MEET));
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        meet.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut met, mut has_changed) = (Instant::now(), true);
        loop {
            tokio::select! {
                () = self.shared.changed.notified() => {
                    has_changed = true;
                    meet.reset_immediately();
                }
                Some(_) = orders.changed.recv() => meet.reset_at(met + MEET_AGAIN),
                Some(told) = orders.told.recv() => board.publish(&told).await?,
                Some(order) = orders.orders.recv() => {
                    let written = match order {
                        Order::Bans { add, remove } => board.write(&add, &remove, None, now()).await,
                        Order::Kick(kick) => board.write(&[], &[], Some(&kick), now()).await,
                    };
                    let (version, contents) = written?;
                    seen.has_less(&version, &contents.epoch);
                    known = Some((version, contents.epoch.clone()));
                    if self.contents.send(contents).await.is_err() {
                        return Ok(());
                    }
                }
                _ = look.tick() => {
                    let version = board.version(&fresh).await?;
                    if known.as_ref() != Some(&version) {
                        let mut contents = board.read(now()).await?;
                        contents.has_lost = seen.has_less(&version.0, &version.1);
                        if self.contents.send(contents).await.is_err() {
                            // The server ends.
                            return Ok(());
                        }
                        known = Some(version);
                        *tries = 0;
                        self.connected(board.master());
                    }
                }
                _ = meet.tick() => {
                    let (nodes, is_ours) = board.meet(self.shared.own(), self.shared.key().as_ref()).await?;
                    met = Instant::now();
                    if std::mem::take(&mut has_changed) {
                        board.publish(&Told { channel: CHANGED, messages: vec![Vec::new()] }).await?;
                    }
                    let mut state = self.shared.state();
                    // For some seconds the one before this one seems to be there.
                    taken = if is_ours { 0 } else { taken + 1 };
                    let name_taken = taken >= TAKEN;
                    if name_taken && !state.name_taken {
                        tracing::warn!(
                            "fleet: another process is called {:?}: set node in [fleet] to another name",
                            self.settings.node
                        );
                    }
                    (state.nodes, state.name_taken) = (nodes, name_taken);
                }
            }
        }
    }

    fn connected(&self, master: Option<&str>) {
        let had_trouble = {
            let mut state = self.shared.state();
            state.master = master.map(str::to_owned);
            state.trouble.take().is_some()
        };
        if had_trouble {
            let at = master.map(|at| format!(" at {at}")).unwrap_or_default();
            tracing::info!("fleet: connected to {}{at}", self.settings.place);
            self.connections.send_modify(|times| *times += 1);
        }
    }
}

/// What was seen last of the number that grows with each change, and on which board.
#[derive(Debug, Default)]
struct Seen {
    epoch: String,
    version: u64,
}

impl Seen {
    /// Notes what is seen now. Returns whether it is less, on the same board.
    fn has_less(&mut self, version: &[u8], epoch: &str) -> bool {
        let version = str::from_utf8(version).ok().and_then(|text| text.parse().ok());
        let version = version.unwrap_or_default();
        let has_less = self.epoch == epoch && version < self.version;
        *self = Self { epoch: epoch.to_owned(), version };
        has_less
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_board_with_a_lower_version_than_before_has_lost_something() {
        let mut seen = Seen::default();
        for (version, epoch, expected) in [
            ("", "one", false),
            ("7", "one", false),
            ("7", "one", false),
            ("6", "one", true),
            ("8", "one", false),
            ("1", "another", false),
            ("", "another", true),
            ("x", "another", false),
        ] {
            assert_eq!(seen.has_less(version.as_bytes(), epoch), expected, "{version} {epoch}");
        }
    }
}
