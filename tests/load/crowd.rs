//! A thousand idle TLS connections and two hundred slow ones, beside a call over UDP that loses
//! nothing.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use testkit::datagrams;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use taciturn_stun::ChannelNumber;
use testkit::certificates::{Authority, HOST};
use testkit::server::{PATIENCE, Server};
use testkit::stream_client::{PASSWORD, REALM, StreamClient, USER};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::client::TlsStream;

const IDLE: usize = 1000;
/// Of each of the four kinds.
const SLOW: usize = 50;

/// Handshakes at a time: a slow machine must not take longer for one than the server allows.
const AT_ONCE: usize = 16;

/// What an idle connection may cost the server, in bytes.
const MEMORY_OF_ONE: u64 = 32 * 1024;

/// The voice of a call: a packet each 20 ms in each direction.
const PACE: Duration = Duration::from_millis(20);

fn channel() -> ChannelNumber {
    ChannelNumber::new(0x4001).unwrap()
}

fn start() -> (Arc<Authority>, Server) {
    let authority = Authority::new();
    let directory = tempfile::tempdir().unwrap();
    authority.issue().write_pair(directory.path());
    let listener =
        |transport| format!("[[listen]]\ntransport = \"{transport}\"\naddress = \"127.0.0.1:0\"\n");
    let server = Server::configured(&format!(
        "realm = \"{REALM}\"\nhost = \"{HOST}\"\nexternal_ip = \"127.0.0.1\"\nworkers = 1\n\
         [auth]\nusers = [\"{USER}:{PASSWORD}\"]\n[peers]\nallow = [\"127.0.0.0/8\"]\n\
         [limits]\nconnections_per_address = 2000\n\
         [tls]\ncert = \"{0}/cert.pem\"\nkey = \"{0}/key.pem\"\n{1}{2}",
        directory.path().display(),
        listener("udp"),
        listener("tls"),
    ));
    (Arc::new(authority), server)
}

// --- The call -----------------------------------------------------------------------------

/// A call on a thread of its own, so that nothing that the crowd's clients do delays it.
struct Call {
    over: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<Vec<Duration>>,
}

impl Call {
    fn begin(server: SocketAddr) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&over);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(talk(server, &until))
        });
        Self { over, thread }
    }

    /// Ends it; answers how long each packet was on its way to the peer and back.
    fn end(self) -> Vec<Duration> {
        self.over.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// Sends a packet each way, one after the other; a packet that is lost is waited for in vain.
async fn talk(server: SocketAddr, over: &AtomicBool) -> Vec<Duration> {
    let mut client = StreamClient::new(datagrams::udp(server).await);
    let relayed = client.allocate().await;
    let peer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    client.bind(channel(), peer.local_addr().unwrap()).await;
    let mut trips = Vec::new();
    let mut buffer = [0; 1000];
    let mut ticks = tokio::time::interval(PACE);
    while !over.load(Ordering::Relaxed) {
        ticks.tick().await;
        let voice = [(trips.len() % 251) as u8; 160];
        let start = Instant::now();
        client.send(channel(), &voice).await;
        let len = timeout(PATIENCE, peer.recv(&mut buffer)).await.expect("lost").unwrap();
        assert_eq!(buffer[..len], voice, "packet {} to the peer", trips.len());
        peer.send_to(&voice, relayed).await.unwrap();
        assert_eq!(client.receive(channel()).await, voice, "packet {} to the client", trips.len());
        trips.push(start.elapsed());
    }
    trips
}

// --- The crowd ----------------------------------------------------------------------------

type Tls = StreamClient<TlsStream<TcpStream>>;

async fn connect(authority: &Authority, server: SocketAddr) -> Tls {
    let stream = TcpStream::connect(server).await.unwrap();
    StreamClient::new(authority.connect(stream).await.unwrap())
}

/// Runs `count` of `one`, some at a time.
async fn all<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
    count: usize,
    one: impl Fn() -> F,
) -> Vec<T> {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let mut tasks = JoinSet::new();
    for _ in 0..count {
        let (places, future) = (Arc::clone(&places), one());
        tasks.spawn(async move {
            let _place = places.acquire().await.unwrap();
            future.await
        });
    }
    tasks.join_all().await
}

/// Waits until the server has closed the connection.
async fn until_closed(mut stream: TcpStream) {
    let mut buffer = [0; 4096];
    while !matches!(
        timeout(PATIENCE, stream.read(&mut buffer)).await.expect("open"),
        Ok(0) | Err(_)
    ) {}
}

/// What a TLS handshake begins with: a record that announces 512 bytes.
const HELLO: [u8; 9] = [0x16, 3, 1, 2, 0, 1, 0, 1, 0xFC];

/// Begins a handshake and leaves it at that.
async fn half_a_hello(server: SocketAddr) {
    let mut stream = TcpStream::connect(server).await.unwrap();
    stream.write_all(&HELLO).await.unwrap();
    until_closed(stream).await;
}

/// Makes a handshake last, a byte at a time.
async fn a_hello_in_bytes(server: SocketAddr) {
    let stream = TcpStream::connect(server).await.unwrap();
    let (reader, mut writer) = stream.into_split();
    let writes = tokio::spawn(async move {
        for n in 0.. {
            let byte = HELLO.get(n).copied().unwrap_or(0);
            if n == 500 || writer.write_all(&[byte]).await.is_err() {
                return writer; // still short of its end
            }
            sleep(Duration::from_millis(30)).await;
        }
        writer
    });
    let mut reader = reader;
    let read = timeout(PATIENCE, reader.read(&mut [0; 10])).await.expect("open");
    assert!(matches!(read, Ok(0) | Err(_)));
    drop(writes.await.unwrap());
}

/// After the handshake, makes the first message last.
async fn a_message_in_bytes(mut client: Tls) {
    for byte in [0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42, 0, 0] {
        client.write(&[byte]).await;
        sleep(Duration::from_millis(200)).await;
    }
    assert!(client.read().await.is_none());
}

/// Has a peer that sends a lot, and reads none of it.
async fn not_reading(authority: Arc<Authority>, server: SocketAddr) -> Tls {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let stream = socket.connect(server).await.unwrap();
    let mut client = StreamClient::new(authority.connect(stream).await.unwrap());
    let relayed = client.allocate().await;
    let peer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    client.bind(channel(), peer.local_addr().unwrap()).await;
    // More than the socket buffers of both ends and its line take.
    for n in 0..800 {
        peer.send_to(&[0; 8000], relayed).await.unwrap();
        if n % 10 == 0 {
            sleep(Duration::from_millis(20)).await;
        }
    }
    client
}

/// Takes some 15 seconds: the server gives a handshake and a first message ten.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_beside_idle_and_slow_connections_loses_nothing() {
    let _alone = crate::alone();
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).unwrap();
    let (authority, mut server) = start();
    let at = server.listener("tls");
    let call = Call::begin(server.listener("udp"));

    // Idle: one Binding, then silence.
    let idle = |count| {
        let authority = &authority;
        all(count, move || {
            let authority = Arc::clone(authority);
            async move {
                let mut client = connect(&authority, at).await;
                client.mapped().await;
                client
            }
        })
    };
    let mut crowd = idle(IDLE / 20).await; // what is set up once is not counted
    let before = server.resident();
    crowd.extend(idle(IDLE - IDLE / 20).await);
    let each = (server.resident() - before) / (IDLE - IDLE / 20) as u64;
    assert!(each < MEMORY_OF_ONE, "an idle connection takes {each} bytes");

    // Slow: all of them at the same time.
    let talkers = all(SLOW, || {
        let authority = Arc::clone(&authority);
        async move { connect(&authority, at).await }
    });
    let mut slow = JoinSet::new();
    for client in talkers.await {
        slow.spawn(a_message_in_bytes(client));
    }
    for _ in 0..SLOW {
        slow.spawn(half_a_hello(at));
        slow.spawn(a_hello_in_bytes(at));
    }
    let deaf = all(SLOW, || not_reading(Arc::clone(&authority), at)).await;
    slow.join_all().await;

    // The idle ones are still served.
    for client in &mut crowd {
        client.mapped().await;
    }
    let mut trips = call.end();
    let packets = trips.len();
    assert!(packets > 100, "the call was too short to say anything: {packets} packets");
    trips.sort();
    eprintln!(
        "{each} bytes for an idle connection; {packets} packets each way and none lost, there and \
         back in {:?} (median), {:?} (longest)",
        trips[packets / 2],
        trips[packets - 1]
    );
    drop(deaf);
    // A server that is told to end first says no more of them.
    let patience = Instant::now() + Duration::from_secs(10);
    while server.logged("session ended") < SLOW && Instant::now() < patience {
        sleep(Duration::from_millis(20)).await;
    }
    let log = server.log();
    // A few lines tell of one each, the last one of all others.
    let told = log.lines().filter(|line| line.contains("client too slow; media dropped")).count();
    let rest = log.lines().filter(|line| line.contains("dropped media"));
    let number = |line: &str| -> usize {
        let (_, number) = line.split_once("lines=").unwrap();
        number.split(' ').next().unwrap().parse().unwrap()
    };
    let deaf = told + rest.map(number).sum::<usize>();
    // Where the machine is slow, datagrams are lost before they get that far.
    assert!(deaf >= SLOW / 2, "what {deaf} of {SLOW} do not read is dropped: {log}");
}
