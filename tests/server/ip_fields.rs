//! DSCP, ECN and TTL of relayed datagrams (RFC 8656 sections 13 to 16), on sockets that set and see them.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use taciturn_stun::{AttributeType as T, Family, Message, Method};
use testkit::datagrams::{Datagrams, udp};
use testkit::ip_fields::{mark, seen_of_next, set_ttl, watch};
use testkit::server::{PATIENCE, Server};
use testkit::stream_client::{PASSWORD, REALM, StreamClient, USER, channel};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream};

/// Expedited forwarding, as audio is marked.
const EF: u8 = 0xb8;
const ECT_1: u8 = 0b01;
const ECT_0: u8 = 0b10;
const CE: u8 = 0b11;

/// What is sent: with L4S, with congestion on the way, with none of it, with each of both alone.
const MARKS: [u8; 6] = [EF | ECT_1, EF | CE, 0, EF, CE, 0x88 | ECT_0];

const FAMILIES: [Family; 2] = [Family::V4, Family::V6];

fn configuration(protocol: &str) -> String {
    let mut text = format!(
        "realm = \"{REALM}\"\nexternal_ip = [\"127.0.0.1\", \"::1\"]\nworkers = 1\n\
         [auth]\nusers = [\"{USER}:{PASSWORD}\"]\n[peers]\nallow = [\"127.0.0.0/8\", \"::1\"]\n\
         [protocol]\n{protocol}\n"
    );
    for transport in ["udp", "tcp"] {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let listen = format!("transport = \"{transport}\"\naddress = \"{address}\"");
            text.push_str(&format!("[[listen]]\n{listen}\n"));
        }
    }
    text
}

const fn loopback(family: Family) -> IpAddr {
    match family {
        Family::V4 => IpAddr::V4(Ipv4Addr::LOCALHOST),
        Family::V6 => IpAddr::V6(Ipv6Addr::LOCALHOST),
    }
}

/// A client whose packets are datagrams.
trait OverUdp: AsyncRead + AsyncWrite + Unpin {
    fn socket(&self) -> &tokio::net::UdpSocket;
}

impl OverUdp for Datagrams {
    fn socket(&self) -> &tokio::net::UdpSocket {
        &self.socket
    }
}

#[cfg(feature = "dtls")]
impl OverUdp for testkit::dtls_stream::DtlsStream {
    fn socket(&self) -> &tokio::net::UdpSocket {
        &self.socket
    }
}

/// A client with a channel to one peer, and a permission for another one.
struct Call<S> {
    client: StreamClient<S>,
    own: SocketAddr,
    relayed: SocketAddr,
    with_channel: UdpSocket,
    without: UdpSocket,
}

fn peer(family: Family) -> UdpSocket {
    let socket = UdpSocket::bind((loopback(family), 0)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    watch(&socket, socket.local_addr().unwrap());
    socket
}

fn received(socket: &UdpSocket) -> Vec<u8> {
    let mut buffer = [0; 2000];
    let len = socket.recv(&mut buffer).unwrap();
    buffer[..len].to_vec()
}

async fn allocate<S>(client: &mut StreamClient<S>, relayed: Family) -> SocketAddr
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    client.challenged().await;
    let answer = client.ask(Method::ALLOCATE, |writer| {
        writer.requested_transport(17).family(T::REQUESTED_ADDRESS_FAMILY, relayed);
    });
    Message::parse(&answer.await).unwrap().relayed_address().unwrap()
}

impl<S: OverUdp> Call<S> {
    async fn new(wire: S, relayed: Family) -> Self {
        let own = wire.socket().local_addr().unwrap();
        watch(wire.socket(), own);
        let mut client = StreamClient::new(wire);
        let relayed_address = allocate(&mut client, relayed).await;
        let (with_channel, without) = (peer(relayed), peer(relayed));
        client.bind(channel(), with_channel.local_addr().unwrap()).await;
        Self { client, own, relayed: relayed_address, with_channel, without }
    }

    /// Sends a datagram with this mark each way, by the channel and by an indication; returns what each arrives
    /// with.
    async fn pass(&mut self, marked: u8) -> [u8; 4] {
        mark(self.client.stream().socket(), self.own, marked);
        self.client.send(channel(), b"by channel").await;
        let first = seen_of_next(&self.with_channel).traffic_class;
        assert_eq!(received(&self.with_channel), b"by channel");
        let without = self.without.local_addr().unwrap();
        self.client.indicate(without, b"by indication").await;
        let second = seen_of_next(&self.without).traffic_class;
        assert_eq!(received(&self.without), b"by indication");
        for peer in [&self.with_channel, &self.without] {
            mark(peer, self.relayed, marked);
        }
        self.with_channel.send_to(b"to the channel", self.relayed).unwrap();
        let third = seen_of_next(self.client.stream().socket()).traffic_class;
        assert_eq!(self.client.receive(channel()).await, b"to the channel");
        self.without.send_to(b"as an indication", self.relayed).unwrap();
        let fourth = seen_of_next(self.client.stream().socket()).traffic_class;
        assert_eq!(self.client.indicated().await, (without, b"as an indication".to_vec()));
        [first, second, third, fourth]
    }
}

/// Where the server listens for a transport in a family.
fn listener(server: &Server, transport: &str, family: Family) -> SocketAddr {
    let of_family = |address: &SocketAddr| Family::of(address.ip()) == family;
    let listeners = server.listeners.iter().filter(|(_, spoken)| spoken == transport);
    listeners.map(|(address, _)| *address).find(of_family).unwrap()
}

//= 8656-14-dscp, 8656-14-ecn, 8656-13-traffic-class
#[tokio::test]
async fn dscp_and_ecn_pass_both_ways_within_and_between_families() {
    let server = Server::configured(&configuration(""));
    for client in FAMILIES {
        for relayed in FAMILIES {
            let mut call = Call::new(udp(listener(&server, "udp", client)).await, relayed).await;
            for marked in MARKS {
                assert_eq!(call.pass(marked).await, [marked; 4], "{client:?} to {relayed:?}");
            }
        }
    }
}

/// Over DTLS each record of a client is a datagram, and so is each for it.
//= 8656-14-dscp, 8656-14-ecn
#[cfg(feature = "dtls")]
#[tokio::test]
async fn they_pass_for_clients_of_dtls() {
    use testkit::dtls::Client;
    use testkit::dtls_stream::DtlsStream;
    use testkit::everywhere::Site;

    let site = Site::new("");
    let at = site.server.listener("dtls");
    let wire = DtlsStream::connect(at, Client::new(&site.root)).await.unwrap();
    let mut call = Call::new(wire, Family::V4).await;
    for marked in MARKS {
        assert_eq!(call.pass(marked).await, [marked; 4]);
    }
}

#[tokio::test]
async fn they_pass_between_two_clients_of_the_server() {
    let server = Server::configured(&configuration(""));
    let at = listener(&server, "udp", Family::V4);
    let (wire_a, wire_b) = (udp(at).await, udp(at).await);
    let (own_a, own_b) = (wire_a.socket.local_addr().unwrap(), wire_b.socket.local_addr().unwrap());
    watch(&wire_b.socket, own_b);
    let (mut a, mut b) = (StreamClient::new(wire_a), StreamClient::new(wire_b));
    let (at_a, at_b) = (a.allocate().await, b.allocate().await);
    a.bind(channel(), at_b).await;
    b.bind(channel(), at_a).await;
    for marked in MARKS {
        mark(&a.stream().socket, own_a, marked);
        a.send(channel(), b"x").await;
        assert_eq!(seen_of_next(&b.stream().socket).traffic_class, marked);
        assert_eq!(b.receive(channel()).await, b"x");
    }
}

/// So many at once are read and sent in batches.
#[tokio::test]
async fn each_of_a_burst_arrives_with_its_own_and_in_its_order() {
    const BURST: usize = 48;
    let server = Server::configured(&configuration(""));
    for family in FAMILIES {
        let mut call = Call::new(udp(listener(&server, "udp", family)).await, family).await;
        let marked = |n: usize| MARKS[n / 3 % MARKS.len()];
        let data = |n: usize| [n as u8; 100];
        for n in 0..BURST {
            mark(call.client.stream().socket(), call.own, marked(n));
            call.client.send(channel(), &data(n)).await;
        }
        for n in 0..BURST {
            assert_eq!(seen_of_next(&call.with_channel).traffic_class, marked(n), "{n}");
            assert_eq!(received(&call.with_channel), data(n));
        }
        for n in 0..BURST {
            mark(&call.with_channel, call.relayed, marked(n));
            call.with_channel.send_to(&data(n), call.relayed).unwrap();
        }
        for n in 0..BURST {
            let seen = seen_of_next(call.client.stream().socket());
            assert_eq!(seen.traffic_class, marked(n), "{n}");
            assert_eq!(call.client.receive(channel()).await, data(n));
        }
    }
}

#[tokio::test]
async fn what_the_configuration_clears_is_cleared_and_the_rest_stays() {
    let server = Server::configured(&configuration("keep_dscp = false"));
    let mut call = Call::new(udp(listener(&server, "udp", Family::V4)).await, Family::V6).await;
    for (protocol, kept) in [
        ("keep_dscp = false", 0x03),
        ("keep_ecn = false", 0xfc),
        ("keep_dscp = false\nkeep_ecn = false", 0),
        ("", 0xff),
    ] {
        // The listener and the call's relay socket are those of before.
        server.reload(&configuration(protocol));
        for marked in MARKS {
            assert_eq!(call.pass(marked).await, [marked & kept; 4], "{protocol}");
        }
    }
}

//= 8656-14-ttl, 8656-13-ttl
#[tokio::test]
async fn with_keep_ttl_each_has_one_hop_less_and_without_it_the_default() {
    let server = Server::configured(&configuration("keep_ttl = true"));
    for family in FAMILIES {
        for relayed in FAMILIES {
            let mut call = Call::new(udp(listener(&server, "udp", family)).await, relayed).await;
            for (sent, seen) in [(40, 39), (255, 254), (2, 1)] {
                set_ttl(call.client.stream().socket(), call.own, sent);
                // It has no hop left, and is dropped.
                set_ttl(&call.with_channel, call.relayed, 1);
                call.with_channel.send_to(b"lost", call.relayed).unwrap();
                set_ttl(&call.with_channel, call.relayed, sent);
                call.client.send(channel(), b"x").await;
                assert_eq!(seen_of_next(&call.with_channel).ttl, seen);
                assert_eq!(received(&call.with_channel), b"x");
                call.with_channel.send_to(b"y", call.relayed).unwrap();
                assert_eq!(seen_of_next(call.client.stream().socket()).ttl, seen);
                assert_eq!(call.client.receive(channel()).await, b"y");
            }
        }
    }
    // What is not relayed is served with any.
    let client = udp(listener(&server, "udp", Family::V4)).await;
    set_ttl(&client.socket, client.socket.local_addr().unwrap(), 1);
    StreamClient::new(client).mapped().await;
    server.reload(&configuration(""));
    let mut call = Call::new(udp(listener(&server, "udp", Family::V4)).await, Family::V6).await;
    let default = seen_of_next_to(&call.without);
    set_ttl(call.client.stream().socket(), call.own, 40);
    call.client.send(channel(), b"x").await;
    assert_eq!(seen_of_next(&call.with_channel).ttl, default);
}

/// What the system sends with where nothing else is set.
fn seen_of_next_to(socket: &UdpSocket) -> u8 {
    let at = socket.local_addr().unwrap();
    UdpSocket::bind((at.ip(), 0)).unwrap().send_to(b"x", at).unwrap();
    seen_of_next(socket).ttl
}

/// A client by TCP whose connection has this DSCP.
async fn by_tcp(at: SocketAddr, dscp: u8) -> StreamClient<TcpStream> {
    let socket = if at.is_ipv6() { TcpSocket::new_v6() } else { TcpSocket::new_v4() }.unwrap();
    mark(&socket, at, dscp);
    StreamClient::new(socket.connect(at).await.unwrap())
}

//= 8656-15-dscp, 8656-15-ecn, 8656-16-udp-to-tcp
#[tokio::test]
async fn for_a_client_of_tcp_the_dscp_is_that_of_its_connection_and_ecn_ends_here() {
    let server = Server::configured(&configuration(""));
    for family in FAMILIES {
        for dscp in [0, EF] {
            let mut client = by_tcp(listener(&server, "tcp", family), dscp).await;
            let relayed = client.allocate().await;
            let peer = peer(Family::V4);
            client.bind(channel(), peer.local_addr().unwrap()).await;
            for marked in MARKS {
                mark(&peer, relayed, marked);
                peer.send_to(b"x", relayed).unwrap();
                assert_eq!(client.receive(channel()).await, b"x");
                client.send(channel(), b"y").await;
                assert_eq!(seen_of_next(&peer).traffic_class, dscp, "{family:?}");
                assert_eq!(received(&peer), b"y");
            }
        }
    }
    server.reload(&configuration("keep_dscp = false"));
    let mut client = by_tcp(listener(&server, "tcp", Family::V4), EF).await;
    client.allocate().await;
    let peer = peer(Family::V4);
    client.bind(channel(), peer.local_addr().unwrap()).await;
    client.send(channel(), b"y").await;
    assert_eq!(seen_of_next(&peer).traffic_class, 0);
}
