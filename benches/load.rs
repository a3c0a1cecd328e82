//! A load on a TURN server over UDP, TCP or TLS: flows of ChannelData to echo peers and back, and the
//! processor time that the server spent on each packet it relayed.
//!
//! `benches/compare` runs it beside two servers; by hand:
//!
//! ```text
//! cargo bench --bench load -- --server 127.0.0.1:3478 --user alice --password s3cret \
//!     --flows 20 --size 1200 --burst 10 --rate 30 --seconds 10 --pid PID
//! ```
//!
//! A flow sends `burst` packets of `size` payload bytes `rate` times a second; with `--rate 0` it
//! sends the next burst when the one before has come back. Its peer sends every packet back. The
//! result is one line of JSON. With `--idle N` there is no traffic: N connections of `--transport`
//! are opened, each asks for its mapped address once, and the server's memory before and after is
//! told. It uses nothing of the library: its few STUN messages are written
//! here, so it measures any server and follows no change of ours.
#![allow(clippy::print_stdout)]

#[path = "load/wire.rs"]
mod wire;

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use hmac::{Hmac, KeyInit as _, Mac as _};
use md5::{Digest as _, Md5};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use sha1::Sha1;
use tokio::net::UdpSocket;
use tokio::time::{MissedTickBehavior, interval_at, sleep, timeout};
use wire::{Receiver, Sender, Transport, connect};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

const WARM_UP: Duration = Duration::from_millis(500);
const DRAIN: Duration = Duration::from_millis(300);
/// How long a closed loop waits for a burst before it takes the rest for lost.
const BURST_LIMIT: Duration = Duration::from_millis(200);
/// How long an answer may take before the request is sent again.
const ANSWER_LIMIT: Duration = Duration::from_millis(500);
/// Idle connections that are opened before the memory is looked at, so that what the server sets
/// up once is not counted.
const IDLE_WARM_UP: usize = 50;
/// The unit of /proc/PID/stat, `getconf CLK_TCK`: 100 a second on every Linux port of today.
const MILLISECONDS_PER_TICK: u64 = 10;

fn main() -> Result<()> {
    let options = Options::from_arguments()?;
    // One thread: the load then fits on the one core it is pinned to.
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(run(options))
}

async fn run(options: Options) -> Result<()> {
    if options.idle > 0 {
        return stand_idle(&options).await;
    }
    let counters = Arc::new(Counters::default());
    let mut flows = Vec::with_capacity(options.flows);
    for _ in 0..options.flows {
        let peer = start_echo_peer(Arc::clone(&counters)).await?;
        flows.push(Flow::open_patiently(&options, peer).await?);
    }
    let mut releases = Vec::new();
    for (index, flow) in flows.into_iter().enumerate() {
        releases.extend(flow.release(&options)?);
        start_traffic(flow, index, &options, &counters);
    }

    sleep(WARM_UP).await;
    let relayed_before = counters.relayed();
    let cpu_before = cpu_milliseconds(options.pid)?;
    let started = Instant::now();
    sleep(options.duration).await;
    let relayed = counters.relayed() - relayed_before;
    let cpu = cpu_milliseconds(options.pid)? - cpu_before;
    let seconds = started.elapsed().as_secs_f64();

    counters.stopped.store(1, Relaxed);
    sleep(DRAIN).await;
    let sent = counters.sent.load(Relaxed);
    let result = serde_json::json!({
        "transport": format!("{:?}", options.transport),
        "flows": options.flows,
        "size": options.size,
        "burst": options.burst,
        "seconds": seconds,
        "relayed": relayed,
        "relayed_per_second": relayed as f64 / seconds,
        "sent": sent,
        "lost": sent.saturating_sub(counters.returned.load(Relaxed)),
        "server_cpu_ms": cpu,
        "server_cpu_us_per_packet": cpu as f64 * 1000.0 / relayed.max(1) as f64,
    });
    println!("{result}");
    // The next load on this server starts without the allocations of this one. Those of streams
    // end with their connections.
    for (socket, refresh) in releases {
        socket.send(&refresh).await?;
    }
    Ok(())
}

/// Opens connections that do nothing after one Binding request.
async fn stand_idle(options: &Options) -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?;
    let mut held = Vec::new();
    let mut before = 0;
    for n in 0..IDLE_WARM_UP + options.idle {
        if n == IDLE_WARM_UP {
            sleep(DRAIN).await;
            before = resident_kilobytes(options.pid)?;
        }
        let (mut sender, mut receiver) = connect(options.transport, options.server).await?;
        let request = Request::new(BINDING)?.bytes;
        ask(&mut sender, &mut receiver, request, BINDING | SUCCESS).await?;
        held.push((sender, receiver));
    }
    sleep(DRAIN).await;
    let after = resident_kilobytes(options.pid)?;
    let result = serde_json::json!({
        "transport": format!("{:?}", options.transport),
        "idle": options.idle,
        "memory_before_kb": before,
        "memory_after_kb": after,
        "kb_per_connection": after.saturating_sub(before) as f64 / options.idle as f64,
    });
    println!("{result}");
    Ok(())
}

// --- Traffic ------------------------------------------------------------------------------

/// What has happened so far, in packets. Together for all flows.
#[derive(Default)]
struct Counters {
    sent: AtomicU64,
    echoed: AtomicU64,
    returned: AtomicU64,
    stopped: AtomicU64,
}

impl Counters {
    /// Packets the server has relayed: those that reached a peer and those that came back.
    fn relayed(&self) -> u64 {
        self.echoed.load(Relaxed) + self.returned.load(Relaxed)
    }

    fn stopped(&self) -> bool {
        self.stopped.load(Relaxed) != 0
    }
}

async fn start_echo_peer(counters: Arc<Counters>) -> Result<SocketAddr> {
    let socket = UdpSocket::bind("127.0.0.1:0").await?;
    let address = socket.local_addr()?;
    tokio::spawn(async move {
        let mut packet = [0; 2048];
        while socket.readable().await.is_ok() {
            while let Ok((length, from)) = socket.try_recv_from(&mut packet) {
                counters.echoed.fetch_add(1, Relaxed);
                // A full send buffer loses the packet, as on any network; it is counted as lost.
                let _ = socket.try_send_to(&packet[..length], from);
            }
        }
    });
    Ok(address)
}

fn start_traffic(flow: Flow, index: usize, options: &Options, counters: &Arc<Counters>) {
    let packet = flow.channel_data(options.size);
    let Flow { sender, receiver, .. } = flow;
    let burst = options.burst;
    if options.rate == 0 {
        tokio::spawn(closed_loop(sender, receiver, packet, burst, Arc::clone(counters)));
        return;
    }
    let period = Duration::from_secs(1) / options.rate;
    // Spread over the period, so that not all flows send at the same moment.
    let offset = period * index as u32 / options.flows as u32;
    tokio::spawn(count_returned(receiver, Arc::clone(counters)));
    tokio::spawn(paced(sender, packet, burst, period, offset, Arc::clone(counters)));
}

async fn paced(
    mut sender: Sender,
    packet: Vec<u8>,
    burst: usize,
    period: Duration,
    offset: Duration,
    counters: Arc<Counters>,
) {
    let mut ticks = interval_at(tokio::time::Instant::now() + offset, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    while !counters.stopped() {
        ticks.tick().await;
        send_burst(&mut sender, &packet, burst, &counters).await;
    }
    // A connection that ends here would take what is on its way with it.
    sleep(DRAIN).await;
}

async fn closed_loop(
    mut sender: Sender,
    mut receiver: Receiver,
    packet: Vec<u8>,
    burst: usize,
    counters: Arc<Counters>,
) {
    while !counters.stopped() {
        send_burst(&mut sender, &packet, burst, &counters).await;
        let mut back = 0;
        while back < burst as u64 {
            let Ok(Ok(count)) = timeout(BURST_LIMIT, receiver.count()).await else { break };
            counters.returned.fetch_add(count, Relaxed);
            back += count;
        }
    }
}

async fn send_burst(sender: &mut Sender, packet: &[u8], burst: usize, counters: &Counters) {
    for _ in 0..burst {
        if sender.send(packet).await.is_ok() {
            counters.sent.fetch_add(1, Relaxed);
        }
    }
}

async fn count_returned(mut receiver: Receiver, counters: Arc<Counters>) {
    while let Ok(count) = receiver.count().await {
        counters.returned.fetch_add(count, Relaxed);
    }
}

/// User and system time of all threads of a process, from /proc/PID/stat. Zero without a PID.
fn cpu_milliseconds(pid: Option<u32>) -> Result<u64> {
    let Some(pid) = pid else { return Ok(0) };
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The second field is the name in brackets and may hold blanks; utime and stime are the 12th
    // and 13th after it.
    let (_, fields) = stat.rsplit_once(") ").ok_or("/proc/PID/stat has no name")?;
    let mut ticks = 0;
    for field in fields.split(' ').skip(11).take(2) {
        ticks += field.parse::<u64>()?;
    }
    Ok(ticks * MILLISECONDS_PER_TICK)
}

fn resident_kilobytes(pid: Option<u32>) -> Result<u64> {
    let Some(pid) = pid else { return Ok(0) };
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    Ok(number.ok_or("/proc/PID/status has no VmRSS")?.parse()?)
}

// --- A flow: one allocation with one channel ----------------------------------------------

const BINDING: u16 = 0x001;
const ALLOCATE: u16 = 0x003;
const REFRESH: u16 = 0x004;
const CHANNEL_BIND: u16 = 0x009;
const SUCCESS: u16 = 0x100;
const ERROR: u16 = 0x110;

const USERNAME: u16 = 0x0006;
const MESSAGE_INTEGRITY: u16 = 0x0008;
const CHANNEL_NUMBER: u16 = 0x000c;
const LIFETIME: u16 = 0x000d;
const XOR_PEER_ADDRESS: u16 = 0x0012;
const REALM: u16 = 0x0014;
const NONCE: u16 = 0x0015;
const REQUESTED_TRANSPORT: u16 = 0x0019;

const MAGIC_COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
const CHANNEL: u16 = 0x4000;
const UDP: [u8; 4] = [17, 0, 0, 0];

struct Flow {
    sender: Sender,
    receiver: Receiver,
    session: Session,
}

/// What a 401 hands out, and the key made with it.
struct Session {
    realm: Vec<u8>,
    nonce: Vec<u8>,
    key: [u8; 16],
}

impl Flow {
    /// Some servers hold an allocation for a while after it was released. Where this load's socket
    /// got the port of such a one (437), another socket gets another port.
    async fn open_patiently(options: &Options, peer: SocketAddr) -> Result<Self> {
        for _ in 0..4 {
            if let Ok(flow) = Self::open(options, peer).await {
                return Ok(flow);
            }
        }
        Self::open(options, peer).await
    }

    /// Allocates and binds the channel to `peer`, which gives the peer its permission too.
    async fn open(options: &Options, peer: SocketAddr) -> Result<Self> {
        let (mut sender, mut receiver) = connect(options.transport, options.server).await?;
        let challenge = Request::new(ALLOCATE)?.with(REQUESTED_TRANSPORT, &UDP);
        let challenge = ask(&mut sender, &mut receiver, challenge.bytes, ALLOCATE | ERROR).await?;
        let realm = attribute(&challenge, REALM).ok_or("no REALM in the 401")?.to_vec();
        let nonce = attribute(&challenge, NONCE).ok_or("no NONCE in the 401")?.to_vec();
        let key = long_term_key(&options.user, &realm, &options.password);
        let session = Session { realm, nonce, key };

        let allocate = Request::new(ALLOCATE)?.with(REQUESTED_TRANSPORT, &UDP);
        let allocate = allocate.signed(&options.user, &session)?;
        ask(&mut sender, &mut receiver, allocate, ALLOCATE | SUCCESS).await?;
        let bind = Request::new(CHANNEL_BIND)?
            .with(CHANNEL_NUMBER, &[CHANNEL.to_be_bytes(), [0, 0]].concat())
            .with(XOR_PEER_ADDRESS, &xor_address(peer)?);
        let bind = bind.signed(&options.user, &session)?;
        ask(&mut sender, &mut receiver, bind, CHANNEL_BIND | SUCCESS).await?;
        Ok(Self { sender, receiver, session })
    }

    /// What ends the allocation of a datagram flow (RFC 8656 section 8), and where to send it. The
    /// answer goes to whoever counts packets.
    fn release(&self, options: &Options) -> Result<Option<(Arc<UdpSocket>, Vec<u8>)>> {
        let Sender::Datagrams(socket) = &self.sender else { return Ok(None) };
        let refresh = Request::new(REFRESH)?.with(LIFETIME, &0_u32.to_be_bytes());
        Ok(Some((Arc::clone(socket), refresh.signed(&options.user, &self.session)?)))
    }

    /// One ChannelData message (RFC 8656 section 12.4) with `size` payload bytes, and padding where
    /// it goes into a stream.
    fn channel_data(&self, size: u16) -> Vec<u8> {
        let mut packet = [CHANNEL.to_be_bytes(), size.to_be_bytes()].concat();
        packet.resize(4 + usize::from(size), 0x5a);
        if matches!(self.sender, Sender::Stream(_)) {
            packet.resize(packet.len().next_multiple_of(4), 0);
        }
        packet
    }
}

/// Sends a request until its answer comes, and says so where the answer is another than
/// `expected`.
async fn ask(
    sender: &mut Sender,
    receiver: &mut Receiver,
    request: Vec<u8>,
    expected: u16,
) -> Result<Vec<u8>> {
    for _ in 0..4 {
        sender.send(&request).await?;
        let received = timeout(ANSWER_LIMIT, receiver.receive()).await;
        let Ok(Ok(answer)) = received else { continue };
        if answer.len() < 20 || answer[8..20] != request[8..20] {
            continue; // the second answer to a request that was sent twice
        }
        let kind = u16::from_be_bytes([answer[0], answer[1]]);
        if kind != expected {
            return Err(format!("the server answered {kind:#06x}, not {expected:#06x}").into());
        }
        return Ok(answer);
    }
    Err("no answer".into())
}

/// A STUN request being written (RFC 8489 section 5).
struct Request {
    bytes: Vec<u8>,
}

impl Request {
    fn new(method: u16) -> Result<Self> {
        let mut transaction = [0; 12];
        getrandom::fill(&mut transaction).map_err(|error| error.to_string())?;
        let mut bytes = method.to_be_bytes().to_vec();
        bytes.extend([0, 0]);
        bytes.extend(MAGIC_COOKIE);
        bytes.extend(transaction);
        Ok(Self { bytes })
    }

    fn with(mut self, kind: u16, value: &[u8]) -> Self {
        self.bytes.extend(kind.to_be_bytes());
        self.bytes.extend((value.len() as u16).to_be_bytes());
        self.bytes.extend(value);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        self.set_length(0);
        self
    }

    /// Writes the header's length: what is there, and `more` bytes to come.
    fn set_length(&mut self, more: usize) {
        let length = (self.bytes.len() - 20 + more) as u16;
        self.bytes[2..4].copy_from_slice(&length.to_be_bytes());
    }

    /// With long-term credentials (RFC 8489 section 14.5: the length covers the integrity
    /// attribute while it is computed).
    fn signed(self, user: &str, session: &Session) -> Result<Vec<u8>> {
        let mut request = self
            .with(USERNAME, user.as_bytes())
            .with(REALM, &session.realm)
            .with(NONCE, &session.nonce);
        request.set_length(24);
        let mut tag = Hmac::<Sha1>::new_from_slice(&session.key)?;
        tag.update(&request.bytes);
        Ok(request.with(MESSAGE_INTEGRITY, &tag.finalize().into_bytes()).bytes)
    }
}

/// RFC 8489 section 9.2.2.
fn long_term_key(user: &str, realm: &[u8], password: &str) -> [u8; 16] {
    let mut md5 = Md5::new();
    for part in [user.as_bytes(), b":", realm, b":", password.as_bytes()] {
        md5.update(part);
    }
    md5.finalize().into()
}

/// The value of the first attribute of that kind.
fn attribute(message: &[u8], wanted: u16) -> Option<&[u8]> {
    let mut rest = message.get(20..)?;
    while let [k0, k1, l0, l1, ..] = *rest {
        let length = usize::from(u16::from_be_bytes([l0, l1]));
        if u16::from_be_bytes([k0, k1]) == wanted {
            return rest.get(4..4 + length);
        }
        rest = rest.get(4 + length.next_multiple_of(4)..)?;
    }
    None
}

/// An IPv4 address as XOR-PEER-ADDRESS holds it (RFC 8489 section 14.2).
fn xor_address(address: SocketAddr) -> Result<Vec<u8>> {
    let SocketAddr::V4(address) = address else { return Err("peers are IPv4 here".into()) };
    let port = address.port() ^ u16::from_be_bytes([MAGIC_COOKIE[0], MAGIC_COOKIE[1]]);
    let mut value = vec![0, 1];
    value.extend(port.to_be_bytes());
    value
        .extend(address.ip().octets().iter().zip(MAGIC_COOKIE).map(|(byte, cookie)| byte ^ cookie));
    Ok(value)
}

// --- Arguments ----------------------------------------------------------------------------

struct Options {
    server: SocketAddr,
    transport: Transport,
    user: String,
    password: String,
    flows: usize,
    /// Connections without traffic, instead of flows.
    idle: usize,
    size: u16,
    burst: usize,
    /// Bursts a second in each flow; 0: a closed loop.
    rate: u32,
    duration: Duration,
    /// The server's process, to read its processor time.
    pid: Option<u32>,
}

impl Options {
    fn from_arguments() -> Result<Self> {
        let mut options = Self {
            server: SocketAddr::from(([127, 0, 0, 1], 3478)),
            transport: Transport::Udp,
            user: String::new(),
            password: String::new(),
            flows: 100,
            idle: 0,
            size: 172,
            burst: 1,
            rate: 50,
            duration: Duration::from_secs(10),
            pid: None,
        };
        let mut arguments = std::env::args().skip(1);
        while let Some(name) = arguments.next() {
            if name == "--bench" {
                continue; // `cargo bench` adds it
            }
            let value = arguments.next().ok_or_else(|| format!("{name}: its value is missing"))?;
            match name.as_str() {
                "--server" => options.server = value.parse()?,
                "--transport" => options.transport = Transport::parse(&value)?,
                "--user" => options.user = value,
                "--password" => options.password = value,
                "--flows" => options.flows = value.parse()?,
                "--idle" => options.idle = value.parse()?,
                "--size" => options.size = value.parse()?,
                "--burst" => options.burst = value.parse()?,
                "--rate" => options.rate = value.parse()?,
                "--seconds" => options.duration = Duration::from_secs_f64(value.parse()?),
                "--pid" => options.pid = Some(value.parse()?),
                _ => return Err(format!("unknown option {name}").into()),
            }
        }
        Ok(options)
    }
}
