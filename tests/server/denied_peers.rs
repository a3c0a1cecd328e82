//! A user with good credentials tries every denied range in every encoding with the real server, by
//! each request that names a peer. `stages/attacks/run denied-peers` runs it where all those addresses
//! are local, and counts what leaves.
#![allow(clippy::unwrap_used)]
#![cfg(target_os = "linux")]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use taciturn_stun::{AttributeType as T, Class, Message, Method, TransactionId, Writer};
use testkit::server::{PATIENCE, Server};
use testkit::stream_client::{PASSWORD, REALM, StreamClient, USER, channel};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

/// The one that is allowed, to see that the same by the same means goes out.
const ALLOWED_PORT: u16 = 4001;

const DENIED: &[Ipv4Addr] = &[
    Ipv4Addr::new(0, 0, 0, 0),
    Ipv4Addr::new(10, 9, 8, 7),
    Ipv4Addr::new(100, 64, 7, 7),
    Ipv4Addr::new(127, 7, 7, 7),
    Ipv4Addr::new(168, 63, 129, 16),
    Ipv4Addr::new(169, 254, 169, 254),
    Ipv4Addr::new(172, 16, 9, 7),
    Ipv4Addr::new(192, 0, 0, 192),
    Ipv4Addr::new(192, 0, 2, 7),
    Ipv4Addr::new(192, 88, 99, 1),
    Ipv4Addr::new(192, 168, 77, 7),
    Ipv4Addr::new(198, 18, 0, 7),
    Ipv4Addr::new(198, 51, 100, 7),
    Ipv4Addr::new(203, 0, 113, 7),
    Ipv4Addr::new(224, 0, 0, 251),
    Ipv4Addr::new(240, 0, 0, 7),
    Ipv4Addr::new(255, 255, 255, 255),
];

/// Not `::1`, for that is where this server relays from: of it the live relayed ports are peers.
const DENIED_V6: &[&str] =
    &["::", "::2", "fd00:7::7", "fe80::7", "fec0::7", "ff02::1", "2001:db8::7"];

/// In itself, and in each IPv6 dress: mapped, compatible, translated, 6to4, NAT64, Teredo, ISATAP.
fn encodings(ip: Ipv4Addr) -> Vec<IpAddr> {
    let [a, b, c, d] = ip.octets();
    let (high, low) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    let v6 = |a, b, c, d, e, f, g, h| IpAddr::V6(Ipv6Addr::new(a, b, c, d, e, f, g, h));
    vec![
        ip.into(),
        v6(0, 0, 0, 0, 0, 0xffff, high, low),
        v6(0, 0, 0, 0, 0, 0, high, low),
        v6(0, 0, 0, 0, 0xffff, 0, high, low),
        v6(0x2002, high, low, 0, 0, 0, 0, 1),
        v6(0x64, 0xff9b, 0, 0, 0, 0, high, low),
        v6(0x2001, 0, 0x0808, 0x0808, 0, 0, !high, !low),
        v6(0x2a00, 1, 2, 3, 0x200, 0x5efe, high, low),
    ]
}

fn denied() -> Vec<IpAddr> {
    let v6 = DENIED_V6.iter().map(|text| text.parse().unwrap());
    DENIED.iter().copied().flat_map(encodings).chain(v6).collect()
}

fn start() -> Server {
    Server::configured(&format!(
        "realm = \"{REALM}\"\nexternal_ip = [\"127.0.0.1\", \"::1\"]\nworkers = 1\n\
         [admin]\nmetrics = \"off\"\n[auth]\nusers = [\"{USER}:{PASSWORD}\"]\n\
         [peers]\nallow = [\"127.0.0.1/32\"]\n[protocol]\ntcp_relay = true\n\
         [[listen]]\naddress = \"127.0.0.1:0\"\ntransport = \"tcp\"\n"
    ))
}

type Client = StreamClient<TcpStream>;

/// A client over TCP with an allocation for `protocol` (17 is UDP, 6 TCP) of a family (1 or 2).
async fn allocated(server: &Server, protocol: u8, family: u8) -> Client {
    let mut client = StreamClient::new(TcpStream::connect(server.address).await.unwrap());
    client.challenged().await;
    let answer = client.ask(Method::ALLOCATE, |writer| {
        writer.requested_transport(protocol);
        writer.attribute(T::REQUESTED_ADDRESS_FAMILY, &[family, 0, 0, 0]);
    });
    let answer = answer.await;
    assert_eq!(Message::parse(&answer).unwrap().error_code(), None, "{protocol} {family}");
    client
}

/// The code of the answer to a request about `peer`.
async fn code(client: &mut Client, method: Method, peer: SocketAddr) -> Option<u16> {
    let answer = client.ask(method, |writer| {
        if method == Method::CHANNEL_BIND {
            writer.channel_number(channel());
        }
        writer.address(T::XOR_PEER_ADDRESS, peer);
    });
    Message::parse(&answer.await).unwrap().error_code()
}

async fn send(client: &mut Client, peer: SocketAddr) {
    let mut buffer = [0; 100];
    let tid = TransactionId([9; 12]);
    let mut writer = Writer::new(&mut buffer, Class::Indication, Method::SEND, tid);
    writer.address(T::XOR_PEER_ADDRESS, peer).attribute(T::DATA, b"data");
    let len = writer.finish().unwrap();
    client.write(&buffer[..len]).await;
}

#[tokio::test]
async fn permission_channel_and_send_reach_no_denied_address() {
    let server = start();
    for family in [1, 2] {
        let mut client = allocated(&server, 17, family).await;
        for (n, ip) in denied().into_iter().enumerate() {
            if n % 40 == 39 {
                client = allocated(&server, 17, family).await; // it counts requests in a byte
            }
            let peer = SocketAddr::new(ip, 4000);
            for method in [Method::CREATE_PERMISSION, Method::CHANNEL_BIND] {
                let code = code(&mut client, method, peer).await;
                assert!(matches!(code, Some(403 | 443)), "{method:?} {peer}: {code:?}");
            }
            send(&mut client, peer).await;
            client.send(channel(), b"data").await;
        }
        client.mapped().await; // all of it has been read
    }
}

#[tokio::test]
async fn connect_reaches_no_denied_address() {
    let server = start();
    for family in [1, 2] {
        let mut client = allocated(&server, 6, family).await;
        for (n, ip) in denied().into_iter().enumerate() {
            if n % 100 == 99 {
                client = allocated(&server, 6, family).await;
            }
            let code = code(&mut client, Method::CONNECT, SocketAddr::new(ip, 4000)).await;
            assert!(matches!(code, Some(403 | 443)), "{ip}: {code:?}");
        }
    }
}

/// The control: by the same means an allowed peer is reached.
#[tokio::test]
async fn an_allowed_address_is_reached_by_the_same_means() {
    let server = start();
    let mut client = allocated(&server, 17, 1).await;
    // Some other program may have the port; packets are counted on their way all the same.
    let peer = SocketAddr::from(([127, 0, 0, 1], ALLOWED_PORT));
    let listener = UdpSocket::bind(peer).await;
    assert_eq!(code(&mut client, Method::CREATE_PERMISSION, peer).await, None);
    send(&mut client, peer).await;
    if let Ok(listener) = listener {
        let mut buffer = [0; 10];
        let len = timeout(PATIENCE, listener.recv(&mut buffer)).await.unwrap().unwrap();
        assert_eq!(&buffer[..len], b"data");
    }
    client.mapped().await;
}
