//! The task that keeps a server and the board of one mind.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::watch;
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
    tasks: Vec<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    own: Mutex<NodeRecord>,
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
    pub fn start(settings: Settings, own: NodeRecord, listeners: Vec<Listener>) -> Self {
        let (sender, contents) = channel(1);
        let (orders, ordered) = channel(ORDERS);
        let (connections, connected) = watch::channel(0);
        let (subscriptions, subscribed) = watch::channel(0);
        let (publisher, told) = Publisher::new(connected, subscribed);
        let settings = Arc::new(settings);
        let state = State { trouble: Some("not connected yet".to_owned()), ..State::default() };
        let shared = Arc::new(Shared { own: Mutex::new(own), state: Mutex::new(state) });
        let mut tasks = Vec::new();
        if !listeners.is_empty() {
            tasks.push(tokio::spawn(listen(Arc::clone(&settings), listeners, subscriptions)));
        }
        let worker =
            Worker { settings, shared: Arc::clone(&shared), contents: sender, connections };
        tasks.push(tokio::spawn(worker.run(Orders { orders: ordered, told })));
        Self { contents, orders, publisher, shared, tasks }
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
        change(&mut self.shared.own.lock().unwrap_or_else(PoisonError::into_inner));
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

    fn own(&self) -> NodeRecord {
        self.own.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What the board is to be told, as it comes.
struct Orders {
    orders: Receiver<Order>,
    told: Receiver<Told>,
}

impl Orders {
    fn drop_all(&mut self) {
        while self.orders.try_recv().is_ok() {}
        while self.told.try_recv().is_ok() {}
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
        loop {
            let connected = async {
                let board = Board::open(&self.settings).await?;
                // What was meant for it is told when it has been read again.
                orders.drop_all();
                self.keep(board, &mut orders, &mut tries).await
            };
            let Err(error) = connected.await else { return };
            {
                let mut state = self.shared.state();
                state.losses += u64::from(state.trouble.is_none());
                state.trouble = Some(error.to_string());
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
    ) -> Result<(), BoardError> {
        // Another one each time: a board that has lost everything is another board, also to who names it twice.
        let moment = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let fresh = format!("{:x}.{:x}", self.shared.own().boot, moment.as_nanos());
        let mut known = None;
        let mut taken = 0_u32;
        let (mut look, mut meet) = (interval(LOOK), interval(MEET));
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        meet.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                Some(told) = orders.told.recv() => board.publish(&told).await?,
                Some(order) = orders.orders.recv() => {
                    let written = match order {
                        Order::Bans { add, remove } => board.write(&add, &remove, None, now()).await,
                        Order::Kick(kick) => board.write(&[], &[], Some(&kick), now()).await,
                    };
                    let (version, contents) = written?;
                    known = Some((version, contents.epoch.clone()));
                    if self.contents.send(contents).await.is_err() {
                        return Ok(());
                    }
                }
                _ = look.tick() => {
                    let version = board.version(&fresh).await?;
                    if known.as_ref() != Some(&version) {
                        let contents = board.read(now()).await?;
                        if self.contents.send(contents).await.is_err() {
                            // The server ends.
                            return Ok(());
                        }
                        known = Some(version);
                        *tries = 0;
                        self.connected();
                    }
                }
                _ = meet.tick() => {
                    let (nodes, is_ours) = board.meet(self.shared.own()).await?;
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

    fn connected(&self) {
        if self.shared.state().trouble.take().is_some() {
            tracing::info!("fleet: connected to {}", self.settings.place);
            self.connections.send_modify(|times| *times += 1);
        }
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
