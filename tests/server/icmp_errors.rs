//! ICMP errors from the real network stack to a client (RFC 8656 section 11.5).
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]

use testkit::server;

use std::net::UdpSocket;

use server::Server;
use taciturn_stun::{AttributeType as T, ChannelNumber, Message, Method};
use testkit::stream_client::{PASSWORD, REALM, StreamClient, USER};
use tokio::net::TcpStream;

fn configuration(protocol: &str) -> String {
    format!(
        "realm = \"{REALM}\"\nexternal_ip = \"127.0.0.1\"\n[auth]\nusers = [\"{USER}:{PASSWORD}\"]\n\
         [peers]\nallow = [\"127.0.0.0/8\"]\n[protocol]\n{protocol}\n\
         [[listen]]\naddress = \"127.0.0.1:0\"\ntransport = \"tcp\"\n"
    )
}

//= 8656-11.5-attributes
#[tokio::test]
async fn a_closed_port_is_told_and_data_to_an_open_one_go_on() {
    let server = Server::configured(&configuration("icmp_errors = true"));
    let mut client = StreamClient::new(TcpStream::connect(server.address).await.unwrap());
    client.allocate().await;
    let (open, closed) = (ChannelNumber::new(0x4000).unwrap(), ChannelNumber::new(0x4001).unwrap());
    let peer = UdpSocket::bind("127.0.0.2:0").unwrap();
    peer.set_read_timeout(Some(server::PATIENCE)).unwrap();
    let gone = UdpSocket::bind("127.0.0.3:0").unwrap().local_addr().unwrap();
    client.bind(open, peer.local_addr().unwrap()).await;
    client.bind(closed, gone).await;
    for round in 0..3_u8 {
        client.send(closed, &[round]).await;
        let told = client.read().await.unwrap();
        let told = Message::parse(&told).unwrap();
        assert_eq!((told.method(), told.peer()), (Method::DATA, Ok(Some(gone))));
        // Destination unreachable, port unreachable.
        assert_eq!(told.find(T::ICMP), Some(&[0, 0, 6, 3, 0, 0, 0, 0][..]));
        // The error that one datagram met takes no other with it.
        client.send(closed, &[round]).await;
        client.send(open, &[round]).await;
        let mut data = [0; 10];
        assert_eq!((peer.recv(&mut data).unwrap(), data[0]), (1, round));
        client.read().await.unwrap();
    }
}

#[tokio::test]
async fn nobody_is_told_by_default() {
    let server = Server::configured(&configuration("icmp_errors = false"));
    let mut client = StreamClient::new(TcpStream::connect(server.address).await.unwrap());
    client.allocate().await;
    let closed = ChannelNumber::new(0x4001).unwrap();
    let gone = UdpSocket::bind("127.0.0.3:0").unwrap().local_addr().unwrap();
    client.bind(closed, gone).await;
    client.send(closed, b"x").await;
    // The answers to later requests are all that the client reads.
    for _ in 0..10 {
        client.mapped().await;
    }
}
