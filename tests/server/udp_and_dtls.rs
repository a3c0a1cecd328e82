//! UDP and DTLS on one port of the real server.
#![allow(clippy::unwrap_used)]
#![cfg(feature = "dtls")]

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::time::Duration;

use taciturn_stun::{AttributeType as T, ChannelData, Class, Message, Method};
use testkit::datagrams::{Datagrams, udp};
use testkit::dtls::Client;
use testkit::dtls_stream::DtlsStream;
use testkit::stream_client::{StreamClient, channel, relays_both_ways};
use tokio::net::UdpSocket;
use tokio::time::{sleep, timeout};

use super::dtls_clients::{PEERS, Site};

const BOTH: &str = "transport = \"udp+dtls\"\naddress = \"127.0.0.1:0\"";

/// A moment after which nothing comes any more over loopback.
const MOMENT: Duration = Duration::from_millis(200);

fn site(more: &str) -> Site {
    Site::listening(&[BOTH], more)
}

async fn plain(site: &Site) -> StreamClient<Datagrams> {
    StreamClient::new(udp(site.server.listener("udp+dtls")).await)
}

async fn secure(site: &Site) -> StreamClient<DtlsStream> {
    let address = site.server.listener("udp+dtls");
    StreamClient::new(DtlsStream::connect(address, site.client()).await.unwrap())
}

/// A plain client and one on DTLS, both at the same address and port.
async fn of_one_socket(site: &Site) -> (StreamClient<Datagrams>, StreamClient<DtlsStream>) {
    let address = site.server.listener("udp+dtls");
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_nonblocking(true).unwrap();
    let again = UdpSocket::from_std(socket.try_clone().unwrap()).unwrap();
    let secure = DtlsStream::connect_from(again, address, site.client()).await.unwrap();
    let plain = Datagrams::over(UdpSocket::from_std(socket).unwrap());
    (StreamClient::new(plain), StreamClient::new(secure))
}

/// A peer that `client` has a channel to.
async fn peer_of<S>(client: &mut StreamClient<S>) -> UdpSocket
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let peer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    client.bind(channel(), peer.local_addr().unwrap()).await;
    peer
}

async fn hears(peer: &UdpSocket, data: &[u8]) {
    let mut buffer = [0; 1500];
    let len = timeout(MOMENT * 50, peer.recv(&mut buffer)).await.unwrap().unwrap();
    assert_eq!(&buffer[..len], data);
}

async fn hears_nothing(peer: &UdpSocket) {
    assert!(timeout(MOMENT, peer.recv(&mut [0; 1500])).await.is_err());
}

//= 8656-5-tcp-tls-dtls, 7983-7-dtls
#[tokio::test]
async fn clients_of_both_use_one_port_and_reach_each_other() {
    let mut site = site(PEERS);
    let (mut a, mut b) = (plain(&site).await, secure(&site).await);
    a.mapped().await;
    b.mapped().await;
    let (at_a, at_b) = (a.allocate().await, b.allocate().await);
    a.bind(channel(), at_b).await;
    b.bind(channel(), at_a).await;
    for len in [1, 100, 1200] {
        let data = vec![len as u8; len];
        a.send(channel(), &data).await;
        assert_eq!(b.receive(channel()).await, data);
        b.send(channel(), &data).await;
        assert_eq!(a.receive(channel()).await, data);
    }
    relays_both_ways(secure(&site).await).await;
    let mut another = plain(&site).await;
    another.allocate().await;
    let peer = peer_of(&mut another).await;
    another.send(channel(), b"to a peer").await;
    hears(&peer, b"to a peer").await;
    // They are told apart wherever the operator looks.
    let mut turnctl = Command::new(testkit::program::turnctl());
    turnctl.arg("sessions").arg("--socket").arg(site.server.state.path().join("control.sock"));
    let sessions = String::from_utf8(turnctl.output().unwrap().stdout).unwrap();
    assert_eq!(sessions.matches(" udp ").count(), 2, "{sessions}");
    assert!(sessions.contains(" dtls "), "{sessions}");
    let log = site.server.log();
    assert!(log.contains("transport=\"udp\"") && log.contains("transport=\"dtls\""), "{log}");
}

#[tokio::test]
async fn a_listener_on_all_addresses_serves_both_from_the_one_that_was_asked() {
    let site = Site::listening(&["transport = \"udp+dtls\"\naddress = \"[::]:0\""], PEERS);
    let port = site.server.listener("udp+dtls").port();
    for asked in ["127.0.0.1", "127.0.0.2", "::1"] {
        let server = SocketAddr::new(asked.parse().unwrap(), port);
        let stream = DtlsStream::connect(server, site.client()).await.unwrap();
        relays_both_ways(StreamClient::new(stream)).await;
        let socket = UdpSocket::bind((server.ip(), 0)).await.unwrap();
        socket.connect(server).await.unwrap();
        StreamClient::new(Datagrams::over(socket)).allocate().await;
    }
}

/// RFC 8656 section 5: the transport is part of the 5-tuple.
//= 8656-5-five-tuple
#[tokio::test]
async fn a_plain_client_and_one_on_dtls_at_one_address_have_nothing_of_each_other() {
    let site = site(PEERS);
    let (mut plain, mut secure) = of_one_socket(&site).await;
    let relayed = secure.allocate().await;
    let of_secure = peer_of(&mut secure).await;

    // What somebody who forges the address of a DTLS client, or shares it, can send.
    plain.send(channel(), b"on the channel of another").await;
    hears_nothing(&of_secure).await;
    plain.challenged().await;
    for lifetime in [0, 600] {
        let answer = plain.ask(Method::REFRESH, |writer| {
            writer.lifetime(lifetime);
        });
        assert_eq!(Message::parse(&answer.await).unwrap().error_code(), Some(437));
    }
    let to = of_secure.local_addr().unwrap();
    let answer = plain.ask(Method::CREATE_PERMISSION, |writer| {
        writer.address(T::XOR_PEER_ADDRESS, to);
    });
    assert_eq!(Message::parse(&answer.await).unwrap().error_code(), Some(437));
    of_secure.send_to(b"for DTLS alone", relayed).await.unwrap();
    assert_eq!(secure.receive(channel()).await, b"for DTLS alone");

    // It gets an allocation of its own, and each has what is its own.
    let answer = plain.ask(Method::ALLOCATE, |writer| {
        writer.requested_transport(17);
    });
    let answer = answer.await;
    let of_plain_relayed = Message::parse(&answer).unwrap().relayed_address().unwrap();
    assert_ne!(of_plain_relayed, relayed);
    let of_plain = peer_of(&mut plain).await;
    plain.send(channel(), b"plain").await;
    hears(&of_plain, b"plain").await;
    secure.send(channel(), b"encrypted").await;
    hears(&of_secure, b"encrypted").await;
    of_plain.send_to(b"for the plain one", of_plain_relayed).await.unwrap();
    assert_eq!(plain.receive(channel()).await, b"for the plain one");
    of_secure.send_to(b"for DTLS", relayed).await.unwrap();
    assert_eq!(secure.receive(channel()).await, b"for DTLS");

    // The end of one is not that of the other.
    secure.stream().close().await;
    plain.send(channel(), b"still here").await;
    hears(&of_plain, b"still here").await;
    while UdpSocket::bind(relayed).await.is_err() {
        sleep(Duration::from_millis(5)).await;
    }
}

/// What is sent in the name of a plain client, from outside or by the client itself, does not touch its allocation.
#[tokio::test]
async fn no_datagram_of_dtls_touches_the_allocation_of_a_plain_client() {
    let site = site(&format!("{PEERS}[limits]\nconnections = 1\n"));
    let (mut plain, mut secure) = of_one_socket(&site).await;
    plain.allocate().await;
    let peer = peer_of(&mut plain).await;
    let hello = site.client().step().remove(0);
    let forged: [&[u8]; 6] = [
        // A fatal alert and a close_notify that nobody has encrypted.
        &[21, 254, 253, 0, 0, 0, 0, 0, 0, 0, 2, 0, 2, 2, 40],
        &[21, 254, 253, 0, 0, 0, 0, 0, 0, 0, 3, 0, 2, 1, 0],
        &[23; 300],
        &[63; 20],
        &hello[..hello.len() / 2],
        &[22],
    ];
    for _ in 0..50 {
        for datagram in forged {
            secure.stream().socket.send(datagram).await.unwrap();
        }
        plain.send(channel(), b"plain").await;
        hears(&peer, b"plain").await;
    }
    // The connection is there still, with the only place that there is.
    let binding = secure.mapped().await;
    assert_eq!(binding, secure.stream().socket.local_addr().unwrap());
    // It ends, and another begins in its place: the plain client does not notice.
    secure.stream().close().await;
    assert!(secure.read().await.is_none());
    let address = site.server.listener("udp+dtls");
    let next = DtlsStream::connect(address, site.client()).await.unwrap();
    StreamClient::new(next).mapped().await;
    plain.send(channel(), b"goes on").await;
    hears(&peer, b"goes on").await;
}

#[tokio::test]
async fn a_flood_of_hellos_beside_a_plain_call_takes_nothing_from_it() {
    let mut site = site(PEERS);
    let mut call = plain(&site).await;
    let relayed = call.allocate().await;
    let peer = peer_of(&mut call).await;
    let address = site.server.listener("udp+dtls");
    let hello = site.client().step().remove(0);
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let flood = {
        let stop = std::sync::Arc::clone(&stop);
        std::thread::spawn(move || {
            let mut sent = 0_u32;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) && sent < 200_000 {
                let socket = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
                for _ in 0..20 {
                    let _ = socket.send_to(&hello, address);
                    sent += 1;
                }
                std::thread::sleep(Duration::from_millis(1));
            }
            sent
        })
    };
    for number in 0..500_u32 {
        call.send(channel(), &number.to_be_bytes()).await;
        hears(&peer, &number.to_be_bytes()).await;
        peer.send_to(&number.to_be_bytes(), relayed).await.unwrap();
        assert_eq!(call.receive(channel()).await, number.to_be_bytes());
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    assert!(flood.join().unwrap() > 500);
    // And nothing is left of it: one that means it is let in.
    relays_both_ways(secure(&site).await).await;
    let log = site.server.log();
    assert!(!log.contains(" refused: ") && !log.contains("panicked"), "{log}");
}

/// What is neither STUN, ChannelData nor DTLS is not answered (RFC 7983 section 7).
//= 7983-7-unknown
#[tokio::test]
async fn what_is_neither_is_dropped_in_silence() {
    let mut site = site("");
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(site.server.listener("udp+dtls")).await.unwrap();
    for byte in 0..=255 {
        for len in [1, 4, 20, 60] {
            socket.send(&vec![byte; len]).await.unwrap();
        }
    }
    socket.send(&[]).await.unwrap();
    secure(&site).await.mapped().await;
    plain(&site).await.mapped().await;
    assert!(socket.try_recv(&mut [0; 10]).is_err(), "nothing is answered to garbage");
    let log = site.server.log();
    assert!(!log.contains(" refused: ") && !log.contains("panicked"), "{log}");
}

/// An address that no other process has.
fn own_address() -> SocketAddr {
    let id = std::process::id().to_be_bytes();
    SocketAddr::from(([127, 64 + (id[1] & 63), id[2], id[3].max(1)], 43_001))
}

#[tokio::test]
async fn dtls_comes_to_a_udp_listener_and_goes_while_its_calls_go_on() {
    let address = own_address();
    let elsewhere = "transport = \"udp\"\naddress = \"127.0.0.1:0\"";
    let at = |transport: &str| format!("transport = \"{transport}\"\naddress = \"{address}\"");
    let (udp_alone, both, dtls_alone) = (at("udp"), at("udp+dtls"), at("dtls"));
    let site = Site::listening(&[elsewhere, &udp_alone], PEERS);
    let reload = |listeners: &[&str]| {
        site.server.reload(&Site::text(site.certificate.path(), listeners, PEERS));
    };
    let connect = async || {
        let connecting = DtlsStream::connect(address, Client::new(&site.pki.root));
        let made = timeout(Duration::from_millis(1500), connecting).await;
        made.ok().and_then(Result::ok).map(StreamClient::new)
    };
    let mut plain_call = StreamClient::new(udp(address).await);
    plain_call.allocate().await;
    let peer = peer_of(&mut plain_call).await;
    assert!(connect().await.is_none(), "DTLS is not spoken yet");

    reload(&[elsewhere, &both]);
    let mut call = connect().await.unwrap();
    let relayed = call.allocate().await;
    let other = peer_of(&mut call).await;
    let mut idle = connect().await.unwrap();
    idle.mapped().await;
    plain_call.send(channel(), b"with DTLS beside").await;
    hears(&peer, b"with DTLS beside").await;

    reload(&[elsewhere, &udp_alone]);
    assert_eq!(idle.read().await, None, "who has no allocation is taken leave of");
    assert!(connect().await.is_none(), "nobody is let in");
    other.send_to(b"goes on!", relayed).await.unwrap();
    assert_eq!(call.receive(channel()).await, b"goes on!");
    StreamClient::new(udp(address).await).allocate().await;

    // Plain clients cannot be told to go: that takes a restart, and nothing changes.
    reload(&[elsewhere, &dtls_alone]);
    site.server.wait_for_log("needs a restart: listen: added dtls ", 1);
    plain_call.send(channel(), b"no change").await;
    hears(&peer, b"no change").await;

    // Removed as a whole, it has two clients that stay, and a third that comes and goes.
    reload(&[elsewhere, &both]);
    assert!(connect().await.is_some());
    reload(&[elsewhere]);
    let mut turnctl = Command::new(testkit::program::turnctl());
    turnctl.arg("status").arg("--socket").arg(site.server.state.path().join("control.sock"));
    let status = String::from_utf8(turnctl.output().unwrap().stdout).unwrap();
    assert!(status.contains("(udp+dtls ") && status.contains("clients\n"), "{status}");
    assert_eq!(StreamClient::new(udp(address).await).try_allocate().await, Err(508));
    other.send_to(b"still on", relayed).await.unwrap();
    assert_eq!(call.receive(channel()).await, b"still on");
}

#[tokio::test]
async fn dtls_alone_becomes_both() {
    let address = own_address();
    let address = SocketAddr::new(address.ip(), 43_002);
    let elsewhere = "transport = \"udp\"\naddress = \"127.0.0.1:0\"";
    let at = |transport: &str| format!("transport = \"{transport}\"\naddress = \"{address}\"");
    let site = Site::listening(&[elsewhere, &at("dtls")], PEERS);
    let stream = DtlsStream::connect(address, site.client()).await.unwrap();
    let mut call = StreamClient::new(stream);
    let relayed = call.allocate().await;
    let peer = peer_of(&mut call).await;
    let both = at("udp+dtls");
    site.server.reload(&Site::text(site.certificate.path(), &[elsewhere, &both], PEERS));
    StreamClient::new(udp(address).await).allocate().await;
    peer.send_to(b"goes on", relayed).await.unwrap();
    assert_eq!(call.receive(channel()).await, b"goes on");
}

/// A Send indication of the size of a connectivity check that carries a flight of DTLS.
#[tokio::test]
async fn indications_of_1200_bytes_pass_both_ways_over_both() {
    async fn passes<S>(mut client: StreamClient<S>)
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    {
        let relayed = client.allocate().await;
        let peer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let to = peer.local_addr().unwrap();
        let answer = client.ask(Method::CREATE_PERMISSION, |writer| {
            writer.address(T::XOR_PEER_ADDRESS, to);
        });
        assert_eq!(Message::parse(&answer.await).unwrap().class(), Class::Success);
        let mut buffer = [0; 1500];
        let tid = taciturn_stun::TransactionId(*b"twelve bytes");
        let mut writer =
            taciturn_stun::Writer::new(&mut buffer, Class::Indication, Method::SEND, tid);
        writer.address(T::XOR_PEER_ADDRESS, to).attribute(T::DATA, &[7; 1200]);
        let len = writer.finish().unwrap();
        client.write(&buffer[..len]).await;
        hears(&peer, &[7; 1200]).await;
        peer.send_to(&[8; 1200], relayed).await.unwrap();
        let indication = client.read().await.unwrap();
        assert_eq!(Message::parse(&indication).unwrap().data(), Some(&[8; 1200][..]));
        assert!(ChannelData::parse(&indication).is_none());
    }
    let site = site(PEERS);
    passes(plain(&site).await).await;
    passes(secure(&site).await).await;
}
