//! Connections in memory, with tokio's clock in the test's hand.

use std::future::{Future, poll_fn};
use std::io;
use std::net::Ipv4Addr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::{Domain, SockRef, Socket, Type};
use tokio::io::{
    AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream, ReadBuf, duplex,
    split,
};
use tokio::task::{JoinHandle, LocalSet, spawn_local};
use tokio::time::{Instant, timeout};

use super::accept::Host as _;
use super::connection::{self, Accepted};
use super::listener_handle::ListenerHandle;
use super::receive_buffer::{OverTcp, STRANGER};
use super::send_queue::{SendQueue, UNREAD_ANSWERS};
use super::settings::{Speaks, StreamSettings};
use crate::batch::ip_fields::KeptFields;
use crate::clock::Clock;
use crate::limit_names::LimitNames;
use crate::listener::id::ListenerId;
use crate::mailbox::OtherWorkers;
use crate::shared::Shared;
use crate::sockets::FIRST_STREAM_LISTENER;
use crate::test_rules::{request, rules, settings};
use crate::timeouts::{FIRST_MESSAGE, WITHOUT_ALLOCATION};
use crate::worker::Core;
use taciturn_stun::{Frame, Message, Method};
use taciturn_turn::policy::{ConnectionTicket, Connections, HandshakeLimit};
use taciturn_turn::{Client, ClientAddr, Via, Whose};

/// Longer than anything that is waited for. The clock is paused, so it costs nothing.
const NEVER: Duration = Duration::from_secs(3600);

/// A worker without a thread and without sockets.
struct Rig {
    core: Rc<Core>,
    connections: Arc<Connections>,
}

impl Rig {
    fn new(connections: u32) -> Self {
        let clock = Clock::start();
        let connections = Arc::new(Connections::new(connections, 1000));
        let shared = Shared {
            settings: settings(),
            rules: rules(clock.now().tick, Vec::new()),
            entrances: Arc::default(),
            connections: Arc::clone(&connections),
            handshakes: Arc::new(HandshakeLimit::new(0, Vec::new())),
            failed_logins: Arc::default(),
            usage: None,
            reception: Arc::default(),
            limit_names: LimitNames::default(),
            wake_delay: Duration::ZERO,
            kept_fields: KeptFields::default(),
            kernel: None,
        };
        let core = Core::new(clock, &shared, Arc::default(), OtherWorkers::default()).unwrap();
        Self { core, connections }
    }

    fn ticket(&self) -> ConnectionTicket {
        self.connections.take(Ipv4Addr::LOCALHOST.into()).unwrap()
    }

    /// A connection that was accepted now. `room` is what is on its way in either direction.
    fn connect(&self, room: usize) -> TestClient {
        let (near, far) = duplex(room);
        let far = OnSocket::accepted(far);
        let socket = Rc::clone(&far.socket);
        let served = spawn_local(serve(Rc::clone(&self.core), self.ticket(), far));
        TestClient { stream: near, socket, served, unread: Vec::new(), nonce: Vec::new() }
    }

    fn answered(&self) -> u64 {
        self.core.snapshot().statistics.answered
    }
}

/// Talks on a connection, and hands over the kind of the error that ends it.
async fn serve(
    core: Rc<Core>,
    ticket: ConnectionTicket,
    stream: OnSocket,
) -> Option<io::ErrorKind> {
    let queue = Rc::new(SendQueue::new("tcp"));
    let number = core.connect(Rc::clone(&queue));
    let address = (Ipv4Addr::LOCALHOST, 0).into();
    let settings = StreamSettings {
        name: "tcp:0".to_owned(),
        address,
        speaks: Speaks::Plain,
        trusted_proxies: None,
    };
    let listener = ListenerHandle::new(ListenerId(0), FIRST_STREAM_LISTENER, Arc::new(settings));
    let client = Client {
        via: Via::Stream { connection: number, listener: FIRST_STREAM_LISTENER },
        local: Ipv4Addr::LOCALHOST.into(),
        remote: ClientAddr((Ipv4Addr::LOCALHOST, 4711).into()),
    };
    let since = Instant::now();
    let accepted = Accepted { client, queue: &queue, listener: &listener, ticket: &ticket, since };
    let outcome = connection::serve(&*core, accepted, None, stream).await;
    core.disconnect(client, number);
    outcome.err().map(|error| error.kind())
}

/// A stream in memory, with a socket that has the options of an accepted connection.
struct OnSocket {
    stream: DuplexStream,
    socket: Rc<Socket>,
}

impl OnSocket {
    fn accepted(stream: DuplexStream) -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(STRANGER).unwrap();
        Self { stream, socket: Rc::new(socket) }
    }
}

impl OverTcp for OnSocket {
    fn socket(&self) -> SockRef<'_> {
        SockRef::from(&*self.socket)
    }
}

impl AsyncRead for OnSocket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for OnSocket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

struct TestClient {
    stream: DuplexStream,
    /// The server's end.
    socket: Rc<Socket>,
    served: JoinHandle<Option<io::ErrorKind>>,
    unread: Vec<u8>,
    nonce: Vec<u8>,
}

fn binding(number: u8) -> Vec<u8> {
    request(Method::BINDING, number, &[], |_| ())
}

impl TestClient {
    async fn ask(&mut self, method: Method, number: u8) -> Vec<u8> {
        let message = request(method, number, &self.nonce, |writer| {
            if method == Method::ALLOCATE {
                writer.requested_transport(17);
            }
        });
        self.stream.write_all(&message).await.unwrap();
        self.hear().await.unwrap()
    }

    /// The next message; `None` once the server has closed the connection.
    async fn hear(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Frame::Whole { len, .. } = Frame::of(&self.unread) {
                return Some(self.unread.drain(..len).collect());
            }
            let read = self.stream.read_buf(&mut self.unread).await.unwrap();
            if read == 0 {
                return None;
            }
        }
    }

    async fn allocate(&mut self, first: u8) {
        let challenge = self.ask(Method::ALLOCATE, first).await;
        let nonce = Message::parse(&challenge).unwrap().nonce().map(<[u8]>::to_vec);
        self.nonce = nonce.unwrap_or_default();
        let answer = self.ask(Method::ALLOCATE, first + 1).await;
        assert!(Message::parse(&answer).unwrap().relayed_address().is_some());
    }

    /// How long it takes until the server closes the connection.
    async fn closed_after(&mut self) -> Duration {
        let start = Instant::now();
        assert_eq!(timeout(NEVER, self.hear()).await, Ok(None));
        start.elapsed()
    }
}

async fn locally(test: impl Future<Output = ()>) {
    LocalSet::new().run_until(test).await;
}

/// What a test that waits for so long must have come to, by a clock that counts milliseconds.
fn about(waited: Duration, expected: Duration) -> bool {
    waited >= expected && waited < expected + Duration::from_millis(10)
}

#[tokio::test(start_paused = true)]
async fn who_says_nothing_is_left_after_ten_seconds() {
    locally(async {
        let rig = Rig::new(10);
        let waited = rig.connect(4096).closed_after().await;
        assert!(about(waited, FIRST_MESSAGE), "{waited:?}");
        assert_eq!(rig.connections.open(), 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_kernel_holds_much_only_of_a_client_with_an_allocation() {
    locally(async {
        let rig = Rig::new(10);
        let mut client = rig.connect(4096);
        let accepted = client.socket.recv_buffer_size().unwrap();
        client.ask(Method::BINDING, 1).await;
        assert_eq!(client.socket.recv_buffer_size().unwrap(), accepted);
        client.allocate(2).await;
        assert!(client.socket.recv_buffer_size().unwrap() > accepted);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn without_an_allocation_a_connection_lives_for_a_minute_whatever_it_says() {
    locally(async {
        let rig = Rig::new(10);
        let (mut client, start) = (rig.connect(4096), Instant::now());
        for number in 1..8 {
            client.ask(Method::BINDING, number).await;
            tokio::time::sleep(WITHOUT_ALLOCATION / 8).await;
        }
        client.ask(Method::BINDING, 8).await;
        client.closed_after().await;
        assert!(about(start.elapsed(), WITHOUT_ALLOCATION), "{:?}", start.elapsed());
        assert_eq!(client.served.await.unwrap(), Some(io::ErrorKind::TimedOut));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn with_an_allocation_it_may_be_silent_and_after_it_has_a_minute() {
    locally(async {
        let rig = Rig::new(10);
        let mut client = rig.connect(4096);
        client.allocate(1).await;
        assert!(
            timeout(WITHOUT_ALLOCATION * 5 / 2, client.hear()).await.is_err(),
            "it is still there"
        );
        assert_eq!(rig.core.kick(&Whose::default(), Duration::ZERO), 1);
        let waited = client.closed_after().await;
        assert!(about(waited, WITHOUT_ALLOCATION), "{waited:?}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_pipelines_and_reads_gets_every_answer() {
    locally(async {
        let rig = Rig::new(10);
        let client = rig.connect(4096);
        let many: Vec<u8> = (0..20_000).flat_map(|_| binding(1)).collect();
        let (mut reader, mut writer) = split(client.stream);
        let writing = spawn_local(async move {
            writer.write_all(&many).await.unwrap();
            writer
        });
        let mut answers = vec![0; 20_000 * 32];
        reader.read_exact(&mut answers).await.unwrap();
        assert_eq!(rig.answered(), 20_000);
        drop((writing.await.unwrap(), reader));
        assert_eq!(client.served.await.unwrap(), None);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn who_does_not_read_is_not_read_either_and_takes_no_more_than_is_told() {
    locally(async {
        let rig = Rig::new(10);
        let room = 4096;
        let mut client = rig.connect(room);
        let many: Vec<u8> = (0..20_000).flat_map(|_| binding(1)).collect();
        let mut taken = 0;
        let wait = Duration::from_secs(1);
        while let Ok(written) = timeout(wait, client.stream.write(&many[taken..])).await {
            taken += written.unwrap();
        }
        let answers = rig.answered() as usize * 32;
        assert!(answers <= UNREAD_ANSWERS + room, "{answers} bytes of answers");
        let kept = taken - room - rig.answered() as usize * 20;
        assert!(kept <= 2 * 4096, "{kept} bytes of requests");
        // It does not keep it beyond its minute either.
        tokio::time::sleep(WITHOUT_ALLOCATION).await;
        assert_eq!(client.served.await.unwrap(), Some(io::ErrorKind::TimedOut));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_turn_of_a_connection_without_an_allocation_ends_after_16_messages() {
    let rig = Rig::new(10);
    let (mut near, far) = duplex(64 * 1024);
    let many: Vec<u8> = (0..300).flat_map(|_| binding(1)).collect();
    near.write_all(&many).await.unwrap();
    let mut serving = Box::pin(serve(Rc::clone(&rig.core), rig.ticket(), OnSocket::accepted(far)));
    for turn in 1..=3 {
        poll_fn(|context| {
            assert!(serving.as_mut().poll(context).is_pending());
            Poll::Ready(())
        })
        .await;
        assert_eq!(rig.answered(), turn * 16);
    }
}

#[tokio::test(start_paused = true)]
async fn who_has_no_more_to_say_still_gets_all_answers() {
    locally(async {
        let rig = Rig::new(10);
        let client = rig.connect(256);
        let many: Vec<u8> = (0..400).flat_map(|_| binding(1)).collect();
        let (mut reader, mut writer) = split(client.stream);
        spawn_local(async move {
            writer.write_all(&many).await.unwrap();
            writer.shutdown().await
        });
        let mut answers = Vec::new();
        reader.read_to_end(&mut answers).await.unwrap();
        assert_eq!(answers.len(), 400 * 32);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn where_all_places_are_taken_who_has_no_allocation_makes_room() {
    locally(async {
        let rig = Rig::new(2);
        let (mut relaying, mut stranger) = (rig.connect(4096), rig.connect(4096));
        relaying.allocate(1).await;
        stranger.ask(Method::BINDING, 1).await;
        let mut newcomer = rig.connect(4096);
        assert_eq!(stranger.closed_after().await, Duration::ZERO);
        assert_eq!(stranger.served.await.unwrap(), Some(io::ErrorKind::QuotaExceeded));
        newcomer.allocate(1).await;
        assert!(rig.connections.take(Ipv4Addr::LOCALHOST.into()).is_none());
        relaying.ask(Method::BINDING, 9).await;
        assert_eq!((rig.connections.open(), rig.connections.evicted()), (2, 1));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn who_has_lost_its_place_gets_no_allocation() {
    locally(async {
        let rig = Rig::new(1);
        let mut client = rig.connect(4096);
        let challenge = client.ask(Method::ALLOCATE, 1).await;
        client.nonce = Message::parse(&challenge).unwrap().nonce().unwrap().to_vec();
        let message = request(Method::ALLOCATE, 2, &client.nonce, |writer| {
            writer.requested_transport(17);
        });
        client.stream.write_all(&message).await.unwrap();
        let _newcomer = rig.ticket();
        assert_eq!(client.hear().await, None);
        assert_eq!(rig.core.snapshot().allocations, 0);
    })
    .await;
}
