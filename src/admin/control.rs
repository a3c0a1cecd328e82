//! The server's side of the control socket: reads a request, does what it asks, and writes the
//! answer. What requests and answers look like is in [`taciturn_control`].
//!
//! Who may connect is decided by the mode of the socket, 0660.

use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _};
use std::os::unix::net::{UnixListener as StdListener, UnixStream as StdStream};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use rustix::fs::Mode;
use tokio::io::{
    AsyncBufReadExt as _, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader,
};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use super::answers;
use super::control_peer::ControlPeer;
use super::server_handle::ServerHandle;
use super::tenants::{is_known, tenants};
use super::unix_time::unix_milliseconds_now;
use taciturn_config::LogFilter;
use taciturn_control::{
    Answer, Error, ErrorKind, FleetStatus, LONGEST_REQUEST, Line, PageToken, Request, Session,
    decode_request, encode_line, whole_line,
};
use taciturn_turn::policy::Banned;
use taciturn_turn::{TenantName, TenantNameError, Whose};

/// The release of this server.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Connections that are served at a time; more wait.
const CONNECTIONS: usize = 8;

/// How long a request and its answer may take.
const CONNECTION_TIME: Duration = Duration::from_secs(30);

/// How long the server waits before it accepts again when the system has no descriptor left.
const EXHAUSTED: Duration = Duration::from_millis(100);

/// How long a client may take to read a line.
const A_MOMENT: Duration = Duration::from_secs(1);

/// How long a token for the status page may be valid.
const TOKEN_SECONDS: std::ops::RangeInclusive<u64> = 60..=30 * 86_400;

/// The result of an order: lines for the operator, or why it was not executed.
pub type Messages = Result<Vec<String>, Error>;

/// What the nodes of the fleet have answered: their state, and their sessions.
pub type FleetAnswer = (FleetStatus, Vec<Session>);

/// What is to be done about bans.
#[derive(Debug)]
pub enum BanOrder {
    /// Return all.
    List,
    /// Ban these, for so long, or until the operator ends it.
    Add {
        /// Who.
        banned: Banned,
        /// How long.
        for_seconds: Option<u64>,
    },
    /// End the ban of these.
    Remove(Banned),
}

/// A request that only the main loop can execute.
#[derive(Debug)]
pub enum Order {
    /// Read the configuration again; the answer is what has changed, or why it was refused.
    Reload(oneshot::Sender<Messages>),
    /// Drain, and end after so long in any case.
    Drain(Option<Duration>, oneshot::Sender<Messages>),
    /// Make allocations again.
    CancelDrain(oneshot::Sender<Messages>),
    /// Ban somebody, end a ban, or list all.
    Ban(BanOrder, oneshot::Sender<Result<Answer, Error>>),
    /// End the sessions of a user on all servers of the fleet.
    KickEverywhere(Whose, oneshot::Sender<Result<Answer, Error>>),
    /// Return what is known of the fleet.
    Fleet(oneshot::Sender<Result<Answer, Error>>),
    /// Ask all nodes of the fleet for their state, and with `sessions` for these; only of a user or a tenant, if one is
    /// given.
    AskFleet {
        /// Whether sessions are listed.
        sessions: bool,
        /// Whose.
        whose: Whose,
        /// Where the answer goes.
        done: oneshot::Sender<Result<FleetAnswer, Error>>,
    },
    /// Hand everything over to the process at the other end, which has not had an answer yet.
    HandOver(StdStream),
    /// Change the log filter, if one is given, for a time; the answer is the filter in use.
    LogLevel(Option<(LogFilter, Option<Duration>)>, oneshot::Sender<Messages>),
}

/// Makes the socket. One that no server listens on any more is replaced.
///
/// # Errors
/// When another server listens there, or no socket can be made.
pub fn bind(path: &Path) -> io::Result<StdListener> {
    if let Ok(there) = std::fs::symlink_metadata(path) {
        if !there.file_type().is_socket() {
            return Err(io::Error::other("the file there is not a socket"));
        }
        if StdStream::connect(path).is_ok() {
            return Err(io::Error::other("another server listens there"));
        }
        std::fs::remove_file(path)?;
    }
    if let Some(dir) = path.parent() {
        std::fs::DirBuilder::new().recursive(true).mode(0o750).create(dir)?;
    }
    // Others must not be able to connect before the mode could be changed.
    let before = rustix::process::umask(Mode::from_raw_mode(0o117));
    let bound = StdListener::bind(path);
    rustix::process::umask(before);
    let bound = bound?;
    bound.set_nonblocking(true)?;
    Ok(bound)
}

/// Serves the socket in the runtime at hand, for as long as that runs, or until the task is aborted.
///
/// # Errors
/// When the runtime does not take the socket.
pub fn start(
    socket: StdListener,
    server: ServerHandle,
    orders: mpsc::Sender<Order>,
) -> io::Result<AbortHandle> {
    Ok(tokio::spawn(serve(UnixListener::from_std(socket)?, server, orders)).abort_handle())
}

/// Tells the process at the other end that it is handed over to from now on.
///
/// # Errors
/// When it has gone away.
pub fn promise(stream: &mut StdStream) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_write_timeout(Some(A_MOMENT))?;
    let outcome = Ok(Answer::HandOver(taciturn_handover::VERSIONS.newest));
    let line = encode_line(Line::Last { version: VERSION.to_owned(), outcome })?;
    stream.write_all(line.as_bytes())
}

async fn serve(socket: UnixListener, server: ServerHandle, orders: mpsc::Sender<Order>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&room).acquire_owned().await else { return };
        let Ok((stream, _)) = socket.accept().await else {
            sleep(EXHAUSTED).await;
            continue;
        };
        let (server, orders) = (server.clone(), orders.clone());
        tokio::spawn(async move {
            let _place = place;
            // A client that goes away, or is too slow, gets no answer.
            let _ = timeout(CONNECTION_TIME, converse(stream, &server, &orders)).await;
        });
    }
}

async fn converse(
    stream: UnixStream,
    server: &ServerHandle,
    orders: &mpsc::Sender<Order>,
) -> io::Result<()> {
    let asker = ControlPeer::of(&stream);
    let (read, mut write) = stream.into_split();
    let mut read_so_far = Vec::new();
    let mut read = BufReader::new(read.take(LONGEST_REQUEST as u64));
    read.read_until(b'\n', &mut read_so_far).await?;
    let request = whole_line(&read_so_far, LONGEST_REQUEST).map_err(Error::from);
    let outcome = match request.and_then(|line| decode_request(line, VERSION)) {
        Ok(Request::HandOver) if ControlPeer::may_take(asker).is_ok() => {
            ControlPeer::log(asker, &Request::HandOver);
            let stream = read.into_inner().into_inner().reunite(write).map_err(io::Error::other)?;
            let order = Order::HandOver(stream.into_std()?);
            return orders.send(order).await.map_err(|_| io::ErrorKind::BrokenPipe.into());
        }
        Ok(request) => {
            ControlPeer::log(asker, &request);
            answer(request, asker, server, orders, &mut write).await
        }
        Err(error) => Err(error),
    };
    say(&mut write, Line::Last { version: VERSION.to_owned(), outcome }).await
}

async fn say(write: &mut (impl AsyncWrite + Unpin), line: Line) -> io::Result<()> {
    write.write_all(encode_line(line)?.as_bytes()).await
}

/// Writes a line for each allocation; returns how many there are.
async fn list_sessions(
    server: &ServerHandle,
    whose: Whose,
    write: &mut (impl AsyncWrite + Unpin),
) -> io::Result<u64> {
    let mut listed = 0;
    for worker in 0..server.workers.number() {
        let mut from = Some(0);
        while let Some(at) = from {
            let (sessions, next) = server.workers.sessions(worker, &whose, at).await?;
            for session in &sessions {
                say(write, Line::Session(answers::session(session))).await?;
                listed += 1;
            }
            from = next;
        }
    }
    Ok(listed)
}

/// Does what is asked. Lines before the last one go to `write`.
async fn answer(
    request: Request,
    asker: Option<ControlPeer>,
    server: &ServerHandle,
    orders: &mpsc::Sender<Order>,
    write: &mut (impl AsyncWrite + Unpin),
) -> Result<Answer, Error> {
    let internal = |error: io::Error| Error::new(ErrorKind::Internal, error);
    match request {
        Request::Sessions { user, tenant: of } => {
            let whose = Whose { user, tenant: tenant(of)?, client: None };
            list_sessions(server, whose, write).await.map(Answer::Sessions).map_err(internal)
        }
        Request::Status => {
            let counts = server.workers.count().await.map_err(internal)?;
            let status = answers::status(server, &counts, tenants(server, &counts))
                .await
                .map_err(internal)?;
            Ok(Answer::Status(Box::new(status)))
        }
        Request::Kick { user: None, client: None, tenant: None, .. } => {
            let text = "kick needs a user, a client, a tenant, or several of them";
            Err(Error::new(ErrorKind::InvalidArgument, text))
        }
        Request::Kick { user: None, fleet: true, .. }
        | Request::Kick { client: Some(_), fleet: true, .. } => {
            let text = "on all servers of the fleet only the sessions of a user can be ended";
            Err(Error::new(ErrorKind::InvalidArgument, text))
        }
        Request::Kick { user: Some(user), tenant: of, fleet: true, .. } => {
            let whose = Whose { user: Some(user), tenant: tenant(of)?, client: None };
            ordered(orders, |done| Order::KickEverywhere(whose, done)).await?
        }
        Request::Fleet => ordered(orders, Order::Fleet).await?,
        Request::AskFleet { sessions, user, tenant: of } => {
            let whose = Whose { user, tenant: tenant(of)?, client: None };
            if let Some(tenant) = whose.tenant.as_ref().filter(|tenant| !is_known(server, tenant)) {
                let text = format!("this server has no tenant {tenant}");
                return Err(Error::new(ErrorKind::InvalidArgument, text));
            }
            let order = |done| Order::AskFleet { sessions, whose, done };
            let (status, sessions) = ordered(orders, order).await??;
            for session in sessions {
                say(write, Line::Session(session)).await.map_err(internal)?;
            }
            Ok(Answer::FleetStatus(Box::new(status)))
        }
        Request::Kick { user, client, tenant: of, fleet: false } => {
            let whose = Whose { user, client, tenant: tenant(of)? };
            let kicked = server.workers.kick(&whose).await.map_err(internal)?;
            tracing::info!(allocations = kicked, "ended by the operator");
            Ok(Answer::Kicked(kicked as u64))
        }
        Request::Ban { whom, for_seconds } => {
            let banned = banned(&whom)?;
            about_bans(orders, BanOrder::Add { banned, for_seconds }).await
        }
        Request::Unban { whom } => about_bans(orders, BanOrder::Remove(banned(&whom)?)).await,
        Request::Bans => about_bans(orders, BanOrder::List).await,
        Request::Reload => obeyed(orders, Order::Reload).await,
        Request::Drain { timeout_seconds } => {
            let within = timeout_seconds.map(Duration::from_secs);
            obeyed(orders, |done| Order::Drain(within, done)).await
        }
        Request::CancelDrain => obeyed(orders, Order::CancelDrain).await,
        Request::LogLevel { filter, for_seconds } => {
            let filter = filter.map(|text| text.parse::<LogFilter>()).transpose();
            let filter = filter.map_err(|error| Error::new(ErrorKind::InvalidArgument, error))?;
            let within = for_seconds.map(Duration::from_secs);
            let wanted = filter.map(|filter| (filter, within));
            obeyed(orders, |done| Order::LogLevel(wanted, done)).await
        }
        Request::Certs => {
            Ok(Answer::Certificates(server.certificates().describe(SystemTime::now())))
        }
        Request::Page { for_seconds } => page_token(server, for_seconds),
        Request::DoctorReport { findings } => {
            server.page.set_doctor(unix_milliseconds_now() / 1000, findings);
            Ok(Answer::Messages(Vec::new()))
        }
        Request::TestLink { for_seconds, people } => {
            server.tests.issue(for_seconds, people).map(Answer::TestLink)
        }
        Request::TestReports { link, after } => {
            Ok(Answer::TestReports(server.tests.links.reports(Instant::now(), link, after)))
        }
        Request::EndTestLinks => {
            let ended = server.tests.links.end_all(Instant::now());
            Ok(Answer::Messages(vec![format!("{ended} links ended")]))
        }
        Request::HandOver => {
            ControlPeer::may_take(asker)?;
            // Otherwise it is not answered here.
            Err(Error::new(ErrorKind::NotPermitted, "not handed over to this process"))
        }
    }
}

/// The tenant of this name.
fn tenant(name: Option<String>) -> Result<Option<TenantName>, Error> {
    let tenant = name.map(|name| name.parse()).transpose();
    tenant.map_err(|error: TenantNameError| Error::new(ErrorKind::InvalidArgument, error))
}

/// Whom a ban is for.
fn banned(whom: &taciturn_control::Banned) -> Result<Banned, Error> {
    Banned::of(&whom.kind, &whom.value)
        .map_err(|error| Error::new(ErrorKind::InvalidArgument, error))
}

/// Makes a token for the status page.
fn page_token(server: &ServerHandle, for_seconds: u64) -> Result<Answer, Error> {
    let Some(address) = server.page.address() else {
        let text = "there is no status page: page or metrics is \"off\" in [admin], or the address for metrics could \
                    not be bound";
        return Err(Error::new(ErrorKind::NotPossible, text));
    };
    if !TOKEN_SECONDS.contains(&for_seconds) {
        let text = format!("a token is valid for 1m to 30d, not for {for_seconds} seconds");
        return Err(Error::new(ErrorKind::InvalidArgument, text));
    }
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|error| Error::new(ErrorKind::Internal, error))?;
    let valid = Duration::from_secs(for_seconds);
    let token = server.page.tokens.issue(random, Instant::now(), valid);
    let expires_at = (unix_milliseconds_now() / 1000).saturating_add(for_seconds);
    let (address, token) = (address.to_owned(), token.expose().to_owned());
    Ok(Answer::Page(PageToken { address, token, expires_at }))
}

/// Sends an order to the main loop, and returns its answer.
async fn obeyed(
    orders: &mpsc::Sender<Order>,
    order: impl FnOnce(oneshot::Sender<Messages>) -> Order,
) -> Result<Answer, Error> {
    ordered(orders, order).await?.map(Answer::Messages)
}

/// Sends an order about bans to the main loop, and returns its answer.
async fn about_bans(orders: &mpsc::Sender<Order>, order: BanOrder) -> Result<Answer, Error> {
    ordered(orders, |done| Order::Ban(order, done)).await?
}

async fn ordered<T>(
    orders: &mpsc::Sender<Order>,
    order: impl FnOnce(oneshot::Sender<T>) -> Order,
) -> Result<T, Error> {
    let stopping = || Error::new(ErrorKind::Stopping, "the server is stopping");
    let (done, outcome) = oneshot::channel();
    orders.send(order(done)).await.map_err(|_| stopping())?;
    outcome.await.map_err(|_| stopping())
}
