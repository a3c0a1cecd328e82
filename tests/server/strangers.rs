//! Clients without an allocation, against the real server: they make room for others, and take no
//! more memory than docs/security.md says, whatever they send and do not read.
#![allow(clippy::unwrap_used, clippy::expect_used)]
#![cfg(all(target_os = "linux", feature = "dtls"))]

use testkit::everywhere;
use testkit::server;

use std::time::Duration;

use everywhere::Site;
use server::PATIENCE;
use taciturn_net::STRANGER_MEMORY;
use taciturn_stun::{Class, Method, TransactionId, Writer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, split};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// What may come on top for pages of the allocator, in all.
const SLACK: u64 = 4 * 1024 * 1024;

fn bindings(number: usize) -> Vec<u8> {
    let mut buffer = [0; 20];
    let tid = TransactionId([7; 12]);
    Writer::new(&mut buffer, Class::Request, Method::BINDING, tid).finish().unwrap();
    buffer.repeat(number)
}

//= 8489-6.2.2-overload
#[tokio::test]
async fn the_last_place_goes_to_the_newcomer_and_the_oldest_stranger_makes_room() {
    for transport in ["tcp", "tls", "dtls"] {
        let mut site = Site::new("workers = 2\n[limits]\nconnections = 3\n");
        let mut relaying = site.connect(transport).await.unwrap();
        relaying.allocate().await;
        let mut older = site.connect(transport).await.unwrap();
        older.mapped().await;
        let mut newer = site.connect("tcp").await.unwrap();
        newer.mapped().await;
        let mut newcomer = site.connect("tls").await.unwrap();
        newcomer.mapped().await;
        assert_eq!(older.read().await, None, "{transport}");
        newer.mapped().await;
        relaying.mapped().await;
        // With three allocations there is nobody who could go.
        newer.allocate().await;
        newcomer.allocate().await;
        let mut refused = site.connect("tcp").await.unwrap();
        assert_eq!(refused.read().await, None, "{transport}");
        relaying.mapped().await;
        let log = site.server.log();
        assert!(log.contains("closed to make room for others"), "{log}");
        assert!(log.contains("too many connections from"), "{log}");
    }
}

async fn pipelines_and_reads(stream: impl AsyncRead + AsyncWrite + Send + 'static) {
    const MANY: usize = 30_000;
    let (mut reader, mut writer) = split(stream);
    let writing = tokio::spawn(async move {
        writer.write_all(&bindings(MANY)).await.unwrap();
        writer.flush().await.unwrap();
        writer
    });
    let mut answers = vec![0; MANY * 32];
    timeout(PATIENCE, reader.read_exact(&mut answers)).await.unwrap().unwrap();
    drop(writing.await.unwrap());
}

#[tokio::test]
async fn a_client_that_pipelines_and_reads_gets_every_answer() {
    let site = Site::new("[protocol]\nsoftware = false\n");
    pipelines_and_reads(TcpStream::connect(site.server.listener("tcp")).await.unwrap()).await;
    let stream = TcpStream::connect(site.server.listener("tls")).await.unwrap();
    pipelines_and_reads(site.authority.connect(stream).await.unwrap()).await;
}

/// A connection with little room in the client's kernel.
async fn narrow(to: std::net::SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(2304).unwrap();
    socket.set_send_buffer_size(4608).unwrap();
    timeout(PATIENCE, socket.connect(to)).await.unwrap().unwrap()
}

/// Asks and does not read, until nothing is taken any more.
async fn asks_and_does_not_read<S: AsyncWrite + Unpin>(mut stream: S) -> S {
    let many = bindings(100_000);
    let mut taken = 0;
    while let Ok(written) = timeout(Duration::from_secs(2), stream.write(&many[taken..])).await {
        taken += written.unwrap();
        assert!(taken < many.len(), "it is read from although it does not read");
    }
    stream
}

//= 8489-6.2.2-overload
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_nobody_reads_take_what_is_told_and_no_more() {
    const CLIENTS: usize = 100;
    for transport in ["tcp", "tls"] {
        let site = Site::new("[limits]\nconnections_per_address = 1000\n");
        let at = site.server.listener(transport);
        let mut tasks = JoinSet::new();
        let before = site.resident();
        for _ in 0..CLIENTS {
            let stream = narrow(at).await;
            if transport == "tls" {
                let stream = site.authority.connect(stream).await.unwrap();
                tasks.spawn(async { drop(Box::new(asks_and_does_not_read(stream).await)) });
            } else {
                tasks.spawn(async { drop(Box::new(asks_and_does_not_read(stream).await)) });
            }
        }
        let mut most = before;
        while !tasks.is_empty() {
            let _ = timeout(Duration::from_millis(100), tasks.join_next()).await;
            most = most.max(site.resident());
        }
        let (grown, bound) = (most - before, (CLIENTS * STRANGER_MEMORY) as u64 + SLACK);
        println!("{transport}: {} bytes each", grown / CLIENTS as u64);
        assert!(grown <= bound, "{transport}: {grown} bytes more, not {bound}");
    }
}
