//! What runs out, or is made to: connections that never finish, descriptors, relay ports, room in
//! buffers. The server keeps serving, and afterwards it holds what it held before.
#![allow(clippy::unwrap_used, clippy::expect_used)]
#![cfg(all(target_os = "linux", feature = "dtls"))]

use testkit::dtls as support;
use testkit::stream_client;

use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use stream_client::channel;
use testkit::dtls_stream::half_open;
use testkit::everywhere::{AnyClient, Site, TRANSPORTS, leave};
use testkit::server::PATIENCE;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream, UdpSocket};
use tokio::time::{sleep, timeout};

/// What may stay of an attack: pages of the allocator that are used again, not more with each.
const MEMORY: u64 = 3 * 1024 * 1024;

/// A call by UDP that is held on to.
struct Call {
    client: AnyClient,
    peer: UdpSocket,
    relayed: std::net::SocketAddr,
}

impl Call {
    async fn begin(site: &Site) -> Self {
        let mut client = site.connect("udp").await.unwrap();
        let relayed = client.allocate().await;
        let peer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        client.bind(channel(), peer.local_addr().unwrap()).await;
        Self { client, peer, relayed }
    }

    /// A packet each way.
    async fn goes_on(&mut self) {
        self.client.send(channel(), b"voice").await;
        let mut buffer = [0; 100];
        let len = timeout(PATIENCE, self.peer.recv(&mut buffer)).await.unwrap().unwrap();
        assert_eq!(&buffer[..len], b"voice");
        self.peer.send_to(b"answer", self.relayed).await.unwrap();
        assert_eq!(self.client.receive(channel()).await, b"answer");
    }
}

/// Lets everybody in once, so that what the server sets up once is not counted later.
async fn warm_up(site: &Site) {
    for transport in TRANSPORTS {
        for _ in 0..8 {
            let mut client = site.connect(transport).await.unwrap();
            client.allocate().await;
            leave(client).await;
        }
    }
}

async fn until_closed(mut stream: TcpStream) {
    let mut buffer = [0; 4096];
    while !matches!(
        timeout(PATIENCE, stream.read(&mut buffer)).await.expect("open"),
        Ok(0) | Err(_)
    ) {}
}

/// Takes ten seconds: so long the server waits for a first message, or the rest of a handshake.
#[tokio::test]
async fn slowloris_on_tcp_and_tls_is_cut_off_and_leaves_nothing() {
    let _alone = crate::alone();
    let site = Site::new("");
    warm_up(&site).await;
    let mut call = Call::begin(&site).await;
    let (open, resident) = (site.descriptors(), site.resident());
    let mut slow = Vec::new();
    for _ in 0..60 {
        for (transport, beginning) in [
            ("tcp", &[0, 1, 0, 8, 0x21][..]),
            ("tls", &[0x16, 3, 1, 2, 0, 1, 0, 1, 0xFC][..]),
            ("tcp", &[]),
            ("tls", &[]),
        ] {
            let mut stream = TcpStream::connect(site.server.listener(transport)).await.unwrap();
            stream.write_all(beginning).await.unwrap();
            slow.push(stream);
        }
    }
    call.goes_on().await;
    let mut other = site.connect("tls").await.unwrap();
    other.allocate().await;
    leave(other).await;
    for stream in slow {
        until_closed(stream).await;
    }
    call.goes_on().await;
    site.descriptors_fall_to(open).await;
    let grown = site.resident().saturating_sub(resident);
    assert!(grown < MEMORY, "{grown} bytes stay");
}

/// Takes ten seconds, for the same reason.
#[tokio::test]
async fn half_open_dtls_with_and_without_cookies_leaves_nothing() {
    let _alone = crate::alone();
    let site = Site::new("");
    warm_up(&site).await;
    let at = site.server.listener("dtls");
    let mut call = Call::begin(&site).await;
    let (open, resident) = (site.descriptors(), site.resident());
    // Without a valid cookie: ClientHello after ClientHello.
    let hello = support::Client::new(&site.root).step().remove(0);
    for _ in 0..2000 {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.send_to(&hello, at).await.unwrap();
    }
    call.goes_on().await;
    // With one: the server waits for the next flight.
    let mut silent = Vec::new();
    for _ in 0..32 {
        silent.push(half_open(at, &site.root).await);
    }
    call.goes_on().await;
    drop(silent);
    let start = Instant::now();
    loop {
        let connecting = timeout(Duration::from_secs(2), site.connect("dtls")).await;
        if let Ok(Ok(mut client)) = connecting {
            client.allocate().await;
            leave(client).await;
            break;
        }
        assert!(start.elapsed() < PATIENCE, "nobody gets in any more");
    }
    sleep(Duration::from_secs(11)).await;
    site.descriptors_fall_to(open).await;
    let grown = site.resident().saturating_sub(resident);
    assert!(grown < MEMORY, "{grown} bytes stay");
}

#[tokio::test]
async fn without_descriptors_calls_go_on_and_with_them_all_is_well_again() {
    let _alone = crate::alone();
    let site = Site::new("");
    warm_up(&site).await;
    let mut call = Call::begin(&site).await;
    let open = site.descriptors();
    let process = Pid::from_raw(site.server.id().try_into().unwrap()).unwrap();
    let few =
        Rlimit { current: Some(open as u64 + 10), maximum: getrlimit(Resource::Nofile).maximum };
    let many = prlimit(Some(process), Resource::Nofile, few).unwrap();

    let mut crowd = Vec::new();
    for _ in 0..60 {
        crowd.push(TcpStream::connect(site.server.listener("tcp")).await.unwrap());
    }
    site.server.wait_for_log("cannot accept a connection", 1);
    call.goes_on().await;
    // No socket for an allocation: an answer, not silence, and not the end of the server.
    let mut late = site.connect("udp").await.unwrap();
    assert_eq!(late.try_allocate().await, Err(508));
    call.goes_on().await;
    assert!(site.server.logged("cannot accept a connection") < 20, "a line for each");

    drop(crowd);
    site.descriptors_fall_to(open).await;
    for transport in TRANSPORTS {
        let mut client = site.connect(transport).await.unwrap();
        client.allocate().await;
        leave(client).await;
    }
    call.goes_on().await;
    site.descriptors_fall_to(open).await;
    prlimit(Some(process), Resource::Nofile, many).unwrap();
}

#[tokio::test]
async fn a_relay_range_that_is_used_up_is_508_until_somebody_leaves() {
    let _alone = crate::alone();
    // Outside of the range from which the system gives ports.
    let site = Site::new("relay_ports = \"21400-21409\"\n[limits]\nports_reserved_percent = 0\n");
    let open = site.descriptors();
    let mut held = Vec::new();
    let refused = loop {
        let mut client = site.connect("udp").await.unwrap();
        match client.try_allocate().await {
            Ok(_) => held.push(client),
            Err(code) => break code,
        }
        assert!(held.len() <= 10, "more allocations than ports");
    };
    assert_eq!(refused, 508);
    assert!(held.len() >= 8, "{}", held.len()); // some other program may have one of them
    for _ in 0..3 {
        leave(held.pop().unwrap()).await;
        let mut next = site.connect("tcp").await.unwrap();
        next.allocate().await;
        assert_eq!(site.connect("udp").await.unwrap().try_allocate().await, Err(508));
        held.insert(0, next);
    }
    for client in held {
        leave(client).await;
    }
    site.descriptors_fall_to(open).await;
}

/// Room in the buffers of clients that do not read runs out. What comes for them is dropped.
#[tokio::test]
async fn send_buffers_that_are_full_hold_up_nobody_and_are_given_back() {
    let _alone = crate::alone();
    let site = Site::new("");
    warm_up(&site).await;
    let mut call = Call::begin(&site).await;
    let (open, resident) = (site.descriptors(), site.resident());
    let mut deaf = Vec::new();
    for _ in 0..10 {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        let stream = socket.connect(site.server.listener("tcp")).await.unwrap();
        let mut client = stream_client::StreamClient::new(stream);
        let relayed = client.allocate().await;
        let peer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        client.bind(channel(), peer.local_addr().unwrap()).await;
        for n in 0..800 {
            peer.send_to(&[0; 8000], relayed).await.unwrap();
            if n % 40 == 0 {
                call.goes_on().await;
            }
        }
        deaf.push(client);
    }
    drop(deaf);
    call.goes_on().await;
    site.descriptors_fall_to(open).await;
    let grown = site.resident().saturating_sub(resident);
    assert!(grown < MEMORY, "{grown} bytes stay");
}
