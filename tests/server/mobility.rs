//! Mobility (RFC 8016) over several workers and real sockets: the kernel gives each new 5-tuple of a
//! client to whichever worker.
#![allow(clippy::unwrap_used)]
// Its clients speak DTLS too.
#![cfg(feature = "dtls")]

use testkit::stream_client;

use std::future::{Future as _, poll_fn};
use std::net::SocketAddr;
use std::process::Command;
use std::task::Poll;

use stream_client::channel;
use taciturn_stun::{AttributeType as T, Message, Method};
use testkit::everywhere::{AnyClient, Site, TRANSPORTS};
use testkit::server::PATIENCE;
use tokio::net::UdpSocket;
use tokio::time::timeout;

/// What is logged when one worker asks another, with success.
const GIVEN: &str = "given=true";

/// Four workers: three of four moves go to another one.
fn site() -> Site {
    Site::new(SETTINGS)
}

const SETTINGS: &str = "workers = 4\n[protocol]\nmobility = true\n[log]\nlevel = \"debug\"\n";

/// An answer's error code, and the ticket in it.
fn read(answer: &[u8]) -> (Option<u16>, Option<Vec<u8>>) {
    let message = Message::parse(answer).unwrap();
    (message.error_code(), message.mobility_ticket().map(<[u8]>::to_vec))
}

/// Makes an allocation that may move; returns the relayed address and the ticket.
async fn allocate(client: &mut AnyClient) -> (SocketAddr, Vec<u8>) {
    client.challenged().await;
    let answer = client.ask(Method::ALLOCATE, |writer| {
        writer.requested_transport(17).attribute(T::MOBILITY_TICKET, b"");
    });
    let answer = answer.await;
    let relayed = Message::parse(&answer).unwrap().relayed_address().unwrap();
    (relayed, read(&answer).1.unwrap())
}

/// A client that comes with a ticket; returns the next one, or the code of the error.
async fn resume(client: &mut AnyClient, ticket: &[u8], lifetime: u32) -> Result<Vec<u8>, u16> {
    let answer = client.ask(Method::REFRESH, |writer| {
        writer.lifetime(lifetime).attribute(T::MOBILITY_TICKET, ticket);
    });
    match read(&answer.await) {
        (Some(code), _) => Err(code),
        (None, ticket) => Ok(ticket.unwrap_or_default()),
    }
}

/// Binds the channel; returns the code of the error.
async fn bind(client: &mut AnyClient, peer: SocketAddr) -> Option<u16> {
    let answer = client.ask(Method::CHANNEL_BIND, |writer| {
        writer.channel_number(channel()).address(T::XOR_PEER_ADDRESS, peer);
    });
    read(&answer.await).0
}

async fn refresh(client: &mut AnyClient, lifetime: u32) -> Option<u16> {
    let answer = client.ask(Method::REFRESH, |writer| {
        writer.lifetime(lifetime);
    });
    read(&answer.await).0
}

fn turnctl(site: &Site, arguments: &[&str]) -> String {
    let mut turnctl = Command::new(testkit::program::turnctl());
    turnctl.args(arguments).arg("--socket").arg(site.server.state.path().join("control.sock"));
    String::from_utf8(turnctl.output().unwrap().stdout).unwrap()
}

/// Data pass between a client and its peer, by this relayed address.
async fn relays(client: &mut AnyClient, peer: &UdpSocket, relayed: SocketAddr, data: &[u8]) {
    let mut buffer = [0; 100];
    client.send(channel(), data).await;
    let got = timeout(PATIENCE, peer.recv_from(&mut buffer)).await.unwrap().unwrap();
    assert_eq!((&buffer[..got.0], got.1), (data, relayed));
    peer.send_to(data, relayed).await.unwrap();
    assert_eq!(client.receive(channel()).await, data);
}

/// Does something with all of them at the same time.
async fn at_once<T, R>(all: Vec<T>, act: impl AsyncFn(T) -> R) -> Vec<R> {
    let mut begun: Vec<_> = all.into_iter().map(|one| Box::pin(act(one))).collect();
    let mut done: Vec<Option<R>> = begun.iter().map(|_| None).collect();
    poll_fn(|context| {
        for (future, done) in begun.iter_mut().zip(&mut done).filter(|(_, done)| done.is_none()) {
            if let Poll::Ready(result) = future.as_mut().poll(context) {
                *done = Some(result);
            }
        }
        if done.iter().all(Option::is_some) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    done.into_iter().flatten().collect()
}

#[tokio::test]
async fn a_call_roams_over_workers_and_transports() {
    let site = site();
    let baseline = site.descriptors();
    let mut client = site.connect("udp").await.unwrap();
    let (relayed, mut ticket) = allocate(&mut client).await;
    let peer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    assert_eq!(bind(&mut client, peer.local_addr().unwrap()).await, None);
    relays(&mut client, &peer, relayed, b"at home").await;
    for (n, transport) in TRANSPORTS.into_iter().cycle().take(24).enumerate() {
        let mut moved = site.connect(transport).await.unwrap();
        moved.challenged().await;
        ticket = resume(&mut moved, &ticket, 600).await.unwrap();
        if n % 8 == 5 {
            // A reload loses neither tickets nor moves that wait.
            site.reload(&format!("{SETTINGS}[limits]\nallocations_per_user = {}\n", n + 1));
        }
        // The old way is good until the new one is used.
        relays(&mut client, &peer, relayed, format!("old {n}").as_bytes()).await;
        let request = if n % 2 == 0 {
            bind(&mut moved, peer.local_addr().unwrap()).await
        } else {
            refresh(&mut moved, 600).await
        };
        assert_eq!(request, None, "{transport} {n}");
        relays(&mut moved, &peer, relayed, format!("new {n}").as_bytes()).await;
        assert_eq!(refresh(&mut client, 600).await, Some(437), "{transport} {n}");
        client = moved;
    }
    // One in 2^48 that all 24 moves stayed on one worker.
    assert!(site.server.has_logged(GIVEN));
    let sessions = turnctl(&site, &["sessions"]);
    assert_eq!(sessions.matches(&relayed.to_string()).count(), 1, "{sessions}");
    assert_eq!(turnctl(&site, &["kick", "--user", stream_client::USER]), "1 allocations ended\n");
    assert_eq!(turnctl(&site, &["sessions"]), "no sessions\n");
    drop(client);
    site.descriptors_fall_to(baseline).await;
}

#[tokio::test]
async fn what_a_peer_sends_during_a_move_comes_the_old_way_or_the_new() {
    let site = site();
    let mut client = site.connect("udp").await.unwrap();
    let (relayed, mut ticket) = allocate(&mut client).await;
    let peer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    assert_eq!(bind(&mut client, peer.local_addr().unwrap()).await, None);
    for _ in 0..24 {
        let mut moved = site.connect("udp").await.unwrap();
        moved.challenged().await;
        ticket = resume(&mut moved, &ticket, 600).await.unwrap();
        // The worker of the new 5-tuple asks for the allocation, which has more and more to read.
        moved.send(channel(), b"x").await;
        for n in 0..20 {
            peer.send_to(&[n], relayed).await.unwrap();
        }
        let mut got = Vec::new();
        while got.len() < 20 {
            got.extend(tokio::select! {
                data = client.receive(channel()) => data,
                data = moved.receive(channel()) => data,
            });
        }
        got.sort_unstable();
        assert!(got.into_iter().eq(0..20));
        // All may have come the old way. A move that is over cannot be overtaken by the next.
        assert_eq!(refresh(&mut moved, 600).await, None);
        client = moved;
    }
    assert!(site.server.has_logged(GIVEN));
}

#[tokio::test]
async fn of_many_that_redeem_a_ticket_at_once_one_gets_the_allocation() {
    let site = site();
    let mut client = site.connect("udp").await.unwrap();
    let (relayed, ticket) = allocate(&mut client).await;
    let peer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let to = peer.local_addr().unwrap();
    let mut clients = Vec::new();
    for n in 0..16 {
        let mut moved = site.connect(TRANSPORTS[n % 4]).await.unwrap();
        moved.challenged().await;
        clients.push(moved);
    }
    let redeemed = at_once(clients, async |mut client| {
        let next = resume(&mut client, &ticket, 600).await.unwrap();
        (client, next)
    });
    let used = at_once(redeemed.await, async |(mut client, next)| {
        let code = bind(&mut client, to).await;
        (client, next, code)
    });
    let used = used.await;
    let codes: Vec<_> = used.iter().map(|(_, _, code)| *code).collect();
    assert_eq!(codes.iter().filter(|code| code.is_none()).count(), 1, "{codes:?}");
    assert_eq!(codes.iter().filter(|code| **code == Some(437)).count(), 15, "{codes:?}");
    let mut late = site.connect("udp").await.unwrap();
    late.challenged().await;
    assert_eq!(resume(&mut late, &ticket, 600).await, Err(400), "it is spent");
    for (mut client, next, code) in used {
        if code.is_none() {
            relays(&mut client, &peer, relayed, b"here").await;
            // From elsewhere, with the ticket that is good.
            assert_eq!(resume(&mut late, &next, 0).await, Ok(Vec::new()));
        }
    }
    site.server.wait_for_log("released by the client", 1);
    assert_eq!(turnctl(&site, &["sessions"]), "no sessions\n");
}

#[tokio::test]
async fn kick_and_stop_in_the_middle_of_moves_leave_nothing() {
    let mut site = site();
    let peer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let to = peer.local_addr().unwrap();
    for end in ["kick", "stop"] {
        let mut waiting = Vec::new();
        for n in 0..24 {
            let mut client = site.connect(TRANSPORTS[n % 4]).await.unwrap();
            let (_, ticket) = allocate(&mut client).await;
            let mut moved = site.connect("udp").await.unwrap();
            moved.challenged().await;
            resume(&mut moved, &ticket, 600).await.unwrap();
            waiting.push((client, moved));
        }
        // All begin to move; nobody waits for it.
        for (_, moved) in &mut waiting {
            moved.send(channel(), b"x").await;
        }
        if end == "kick" {
            let told = turnctl(&site, &["kick", "--user", stream_client::USER]);
            assert_eq!(told, "24 allocations ended\n");
            assert_eq!(turnctl(&site, &["sessions"]), "no sessions\n");
            for (_, moved) in &mut waiting {
                assert_eq!(bind(moved, to).await, Some(437));
            }
        } else {
            let log = site.server.log();
            assert!(!log.contains("panicked") && !log.contains("ERROR"), "{log}");
        }
    }
}

#[tokio::test]
async fn two_users_of_one_relay_reach_each_other_wherever_they_move() {
    let site = site();
    let (mut alice, mut bob) =
        (site.connect("udp").await.unwrap(), site.connect("tcp").await.unwrap());
    let (hers, mut ticket) = allocate(&mut alice).await;
    let (his, mut his_ticket) = allocate(&mut bob).await;
    assert_eq!(bind(&mut alice, his).await, None);
    assert_eq!(bind(&mut bob, hers).await, None);
    for n in 0..12_u8 {
        alice.send(channel(), &[n, 1]).await;
        assert_eq!(bob.receive(channel()).await, [n, 1]);
        bob.send(channel(), &[n, 2]).await;
        assert_eq!(alice.receive(channel()).await, [n, 2]);
        let mut moved = site.connect(TRANSPORTS[usize::from(n) % 4]).await.unwrap();
        moved.challenged().await;
        if n % 3 == 2 {
            his_ticket = resume(&mut moved, &his_ticket, 600).await.unwrap();
            assert_eq!(bind(&mut moved, hers).await, None);
            bob = moved;
        } else {
            ticket = resume(&mut moved, &ticket, 600).await.unwrap();
            assert_eq!(bind(&mut moved, his).await, None);
            alice = moved;
        }
    }
}
