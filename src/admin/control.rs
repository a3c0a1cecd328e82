//! The control socket: one request a connection, a line of JSON; the answer is lines of JSON, the
//! last of which has `ok`.
//!
//! Who may connect is said by the socket's mode, 0660.

use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _};
use std::os::unix::net::{UnixListener as StdListener, UnixStream as StdStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::Mode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::{sleep, timeout};

use super::asker::Asker;
use super::board::Board;
use super::listeners::Closing;
use taciturn_config::LogFilter;
use taciturn_stun::Family;
use taciturn_turn::{Session, Whose};

/// Connections at a time; more wait.
const CONNECTIONS: usize = 8;

/// How long a request and its answer may take.
const CONNECTION_TIME: Duration = Duration::from_secs(30);

/// The longest request, in bytes.
const LONGEST: u64 = 4096;

/// How long accepting rests when the system has no descriptor left.
const EXHAUSTED: Duration = Duration::from_millis(100);

/// What can be asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case")]
pub enum Request {
    /// How the server is.
    Status,
    /// The allocations there are.
    Sessions {
        /// Of this user alone.
        user: Option<String>,
    },
    /// End allocations.
    Kick {
        /// Of this user.
        user: Option<String>,
        /// Of this client, an address and a port.
        client: Option<std::net::SocketAddr>,
    },
    /// Read the configuration again.
    Reload,
    /// Make no allocation any more, and end when there is none.
    Drain {
        /// End after so many seconds in any case.
        timeout_seconds: Option<u64>,
    },
    /// Make allocations again.
    CancelDrain,
    /// What is logged.
    LogLevel {
        /// Log this from now on.
        filter: Option<String>,
        /// And what was logged before, after so many seconds.
        for_seconds: Option<u64>,
    },
    /// The certificates in use.
    Certs,
}

/// What only the main loop can do.
#[derive(Debug)]
pub enum Order {
    /// Read the configuration again; the answer is what has changed, or why it was refused.
    Reload(oneshot::Sender<Result<Vec<String>, String>>),
    /// Drain, and end after so long in any case.
    Drain(Option<Duration>, oneshot::Sender<Result<Vec<String>, String>>),
    /// Take clients again.
    CancelDrain(oneshot::Sender<Result<Vec<String>, String>>),
    /// Log this, where it is given, for so long; the answer is what is logged.
    LogLevel(Option<(LogFilter, Option<Duration>)>, oneshot::Sender<Result<Vec<String>, String>>),
}

/// Takes the place of a socket that nobody listens on (any more).
///
/// # Errors
/// When another server listens there, or no socket can be made.
pub fn bind(path: &Path) -> io::Result<StdListener> {
    if let Ok(there) = std::fs::symlink_metadata(path) {
        if !there.file_type().is_socket() {
            return Err(io::Error::other("there is a file of another kind"));
        }
        if StdStream::connect(path).is_ok() {
            return Err(io::Error::other("another server listens there"));
        }
        std::fs::remove_file(path)?;
    }
    if let Some(dir) = path.parent() {
        std::fs::DirBuilder::new().recursive(true).mode(0o750).create(dir)?;
    }
    // From its first moment nobody else may connect.
    let before = rustix::process::umask(Mode::from_raw_mode(0o117));
    let bound = StdListener::bind(path);
    rustix::process::umask(before);
    let bound = bound?;
    bound.set_nonblocking(true)?;
    Ok(bound)
}

/// Serves the socket in the runtime at hand, for as long as that runs.
///
/// # Errors
/// When the runtime does not take the socket.
pub fn start(socket: StdListener, board: Board, orders: mpsc::Sender<Order>) -> io::Result<()> {
    tokio::spawn(serve(UnixListener::from_std(socket)?, board, orders));
    Ok(())
}

async fn serve(socket: UnixListener, board: Board, orders: mpsc::Sender<Order>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&room).acquire_owned().await else { return };
        let Ok((stream, _)) = socket.accept().await else {
            sleep(EXHAUSTED).await;
            continue;
        };
        let (board, orders) = (board.clone(), orders.clone());
        tokio::spawn(async move {
            let _place = place;
            // Who goes away, or is too slow, gets no answer.
            let _ = timeout(CONNECTION_TIME, converse(stream, &board, &orders)).await;
        });
    }
}

async fn converse(
    stream: UnixStream,
    board: &Board,
    orders: &mpsc::Sender<Order>,
) -> io::Result<()> {
    let asker = Asker::of(&stream);
    let (read, mut write) = stream.into_split();
    let mut line = String::new();
    BufReader::new(read.take(LONGEST)).read_line(&mut line).await?;
    let request = serde_json::from_str(&line).inspect(|request| Asker::log(asker, request));
    let outcome = match request {
        Ok(Request::Sessions { user }) => {
            let whose = Whose { user, client: None };
            for worker in 0..board.workers.number() {
                let mut from = Some(0);
                while let Some(at) = from {
                    let (sessions, next) = board.workers.sessions(worker, &whose, at).await?;
                    for session in &sessions {
                        say(&mut write, &json!({ "session": shown(session) })).await?;
                    }
                    from = next;
                }
            }
            Ok(Value::Null)
        }
        Ok(request) => answer(request, board, orders).await,
        Err(error) => Err(format!("this is no request: {error}")),
    };
    let last = match outcome {
        Ok(result) => json!({ "ok": true, "result": result }),
        Err(error) => json!({ "ok": false, "error": error }),
    };
    say(&mut write, &last).await
}

async fn say(write: &mut (impl tokio::io::AsyncWrite + Unpin), value: &Value) -> io::Result<()> {
    write.write_all(format!("{value}\n").as_bytes()).await
}

async fn answer(
    request: Request,
    board: &Board,
    orders: &mpsc::Sender<Order>,
) -> Result<Value, String> {
    match request {
        Request::Sessions { .. } => Ok(Value::Null),
        Request::Status => status(board).await.map_err(|error| error.to_string()),
        Request::Kick { user: None, client: None } => Err("name a user or a client".to_owned()),
        Request::Kick { user, client } => {
            let kicked = board.workers.kick(&Whose { user, client }).await;
            let kicked = kicked.map_err(|error| error.to_string())?;
            tracing::info!(allocations = kicked, "ended by the operator");
            Ok(json!({ "kicked": kicked }))
        }
        Request::Reload => obeyed(orders, Order::Reload).await,
        Request::Drain { timeout_seconds } => {
            let within = timeout_seconds.map(Duration::from_secs);
            obeyed(orders, |done| Order::Drain(within, done)).await
        }
        Request::CancelDrain => obeyed(orders, Order::CancelDrain).await,
        Request::LogLevel { filter, for_seconds } => {
            let filter = filter.map(|text| text.parse::<LogFilter>()).transpose();
            let within = for_seconds.map(Duration::from_secs);
            let wanted = filter.map_err(|error| error.to_string())?.map(|filter| (filter, within));
            obeyed(orders, |done| Order::LogLevel(wanted, done)).await
        }
        Request::Certs => {
            let certificates = board.served().told(std::time::SystemTime::now());
            Ok(json!({ "certificates": certificates }))
        }
    }
}

/// Has the main loop do something.
async fn obeyed(
    orders: &mpsc::Sender<Order>,
    order: impl FnOnce(oneshot::Sender<Result<Vec<String>, String>>) -> Order,
) -> Result<Value, String> {
    let stopping = || "the server is stopping".to_owned();
    let (done, outcome) = oneshot::channel();
    orders.send(order(done)).await.map_err(|_| stopping())?;
    let told = outcome.await.map_err(|_| stopping())??;
    Ok(json!({ "told": told }))
}

async fn status(board: &Board) -> io::Result<Value> {
    let now = board.workers.count().await?;
    let health = board.health();
    let mut certificates = Vec::new();
    for chain in board.served().chains() {
        let until = chain.not_after().duration_since(std::time::UNIX_EPOCH);
        certificates.push(json!({
            "names": chain.names(),
            "expires": until.map_or(0, |until| until.as_secs()),
        }));
    }
    let closing = board.closing().await?.into_iter().map(|(listener, clients)| {
        let Closing { name, address, transport, .. } = listener;
        json!({
            "name": name,
            "address": address.to_string(),
            "transport": transport.name(),
            "clients": clients,
        })
    });
    let closing: Vec<_> = closing.collect();
    let mut relayed = taciturn_turn::Traffic::default();
    now.statistics.relayed.iter().for_each(|traffic| relayed.add(*traffic));
    Ok(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "started": health.started(),
        "ready": health.is_ready(),
        "workers": board.workers.number(),
        "allocations": now.allocations,
        "users": board.quota.users(),
        "connections": board.connections.open(),
        "relay_ports": board.ports.range().len(),
        "relay_ports_used": {
            "ipv4": board.ports.used(Family::V4), "ipv6": board.ports.used(Family::V6),
        },
        "bytes_to_peers": relayed.bytes_to_peers,
        "bytes_to_clients": relayed.bytes_to_client,
        "packets_to_peers": relayed.packets_to_peers,
        "packets_to_clients": relayed.packets_to_client,
        "last_reload": { "taken_up": health.last_reload().taken_up, "at": health.last_reload().at },
        "certificates": certificates,
        "closing_listeners": closing,
    }))
}

fn shown(session: &Session) -> Value {
    let Session {
        client,
        carrier,
        username,
        relayed,
        permissions,
        channels,
        traffic,
        age,
        expires_in,
    } = session;
    json!({
        "client": client.to_string(),
        "transport": carrier.name(),
        "user": username,
        "relayed": relayed.iter().flatten().map(ToString::to_string).collect::<Vec<_>>(),
        "peers": permissions,
        "channels": channels,
        "bytes_to_peers": traffic.bytes_to_peers,
        "packets_to_peers": traffic.packets_to_peers,
        "bytes_to_client": traffic.bytes_to_client,
        "packets_to_client": traffic.packets_to_client,
        "age_seconds": age.as_secs(),
        "expires_in_seconds": expires_in.as_secs(),
    })
}
