//! A media server beside the relay, on the relay's own address: its port is reached, and its neighbours are not.
#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;

use taciturn_stun::{AttributeType as T, Class, Message, Method, TransactionId, Writer};
use testkit::server::{PATIENCE, Server};
use testkit::stream_client::{PASSWORD, REALM, StreamClient, USER, channel};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

fn configuration(allow: &str) -> String {
    format!(
        "realm = \"{REALM}\"\nexternal_ip = \"127.0.0.1\"\nworkers = 1\n[admin]\nmetrics = \"off\"\n\
         [auth]\nusers = [\"{USER}:{PASSWORD}\"]\n[peers]\nallow = [\"{allow}\"]\n\
         [[listen]]\naddress = \"127.0.0.1:0\"\ntransport = \"tcp\"\n"
    )
}

/// Three sockets on ports next to each other.
async fn neighbours() -> [UdpSocket; 3] {
    for _ in 0..1000 {
        let first = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let port = first.local_addr().unwrap().port();
        let next = async |by: u16| UdpSocket::bind(("127.0.0.1", port.checked_add(by)?)).await.ok();
        if let (Some(second), Some(third)) = (next(1).await, next(2).await) {
            return [first, second, third];
        }
    }
    panic!("no three ports in a row");
}

async fn code(
    client: &mut StreamClient<TcpStream>,
    method: Method,
    peer: SocketAddr,
) -> Option<u16> {
    let answer = client.ask(method, |writer| {
        if method == Method::CHANNEL_BIND {
            writer.channel_number(channel());
        }
        writer.address(T::XOR_PEER_ADDRESS, peer);
    });
    Message::parse(&answer.await).unwrap().error_code()
}

async fn send(client: &mut StreamClient<TcpStream>, peer: SocketAddr, data: &[u8]) {
    let mut buffer = [0; 100];
    let tid = TransactionId([9; 12]);
    let mut writer = Writer::new(&mut buffer, Class::Indication, Method::SEND, tid);
    writer.address(T::XOR_PEER_ADDRESS, peer).attribute(T::DATA, data);
    let len = writer.finish().unwrap();
    client.write(&buffer[..len]).await;
}

async fn receive(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut buffer = [0; 100];
    let (len, from) = timeout(PATIENCE, socket.recv_from(&mut buffer)).await.unwrap().unwrap();
    (buffer[..len].to_vec(), from)
}

/// The peer and the data of the next Data indication.
async fn indication(client: &mut StreamClient<TcpStream>) -> (SocketAddr, Vec<u8>) {
    let message = client.read().await.unwrap();
    let message = Message::parse(&message).unwrap();
    assert_eq!(message.method(), Method::DATA);
    (message.peer().unwrap().unwrap(), message.data().unwrap().to_vec())
}

/// Of these sockets only `open` exchanges data with the client, in both directions.
async fn only_one_is_reached(
    client: &mut StreamClient<TcpStream>,
    relayed: SocketAddr,
    sockets: &[UdpSocket; 3],
    open: usize,
) {
    for socket in sockets {
        send(client, socket.local_addr().unwrap(), b"by indication").await;
        socket.send_to(b"back", relayed).await.unwrap();
    }
    // What is not sent cannot be waited for: the server has read all before this is answered, and what it relays of
    // the three comes in the order that it was sent in.
    let opened = sockets[open].local_addr().unwrap();
    assert_eq!(receive(&sockets[open]).await, (b"by indication".to_vec(), relayed));
    assert_eq!(indication(client).await, (opened, b"back".to_vec()));
    sockets[open].send_to(b"the last", relayed).await.unwrap();
    assert_eq!(indication(client).await, (opened, b"the last".to_vec()));
    let mark = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for (at, socket) in sockets.iter().enumerate().filter(|(at, _)| *at != open) {
        mark.send_to(b"mark", socket.local_addr().unwrap()).await.unwrap();
        assert_eq!(receive(socket).await.0, b"mark", "socket {at} was reached");
    }
}

#[tokio::test]
async fn a_media_server_on_the_relays_own_address_is_reached_at_its_port_alone() {
    let sockets = neighbours().await;
    let [below, media, above] = sockets.each_ref().map(|socket| socket.local_addr().unwrap());
    let server = Server::configured(&configuration(&format!("self:{}", media.port())));
    let mut client = StreamClient::new(TcpStream::connect(server.address).await.unwrap());
    let relayed = client.allocate().await;
    // A browser permits the address, and names the port that it means.
    assert_eq!(code(&mut client, Method::CREATE_PERMISSION, above).await, None);
    server.wait_for_log("permission granted, but not for this port", 1);
    let hint = |port: u16| format!("is meant: peers.allow = [\\\"self:{port}\\\"]\"");
    server.wait_for_log(&hint(above.port()), 1);
    only_one_is_reached(&mut client, relayed, &sockets, 1).await;
    for neighbour in [below, above] {
        assert_eq!(code(&mut client, Method::CHANNEL_BIND, neighbour).await, Some(403));
    }
    server.wait_for_log(&format!("peer={below} rule=\"built-in rule: loopback (127.0.0.0/8)\""), 1);
    server.wait_for_log(&hint(below.port()), 1);
    assert_eq!(code(&mut client, Method::CHANNEL_BIND, media).await, None);
    client.send(channel(), b"by channel").await;
    assert_eq!(receive(&sockets[1]).await, (b"by channel".to_vec(), relayed));
    sockets[1].send_to(b"and back", relayed).await.unwrap();
    assert_eq!(client.receive(channel()).await, b"and back");

    // The operator names another port: the permission goes on, and the channel ends.
    server.reload(&configuration(&format!("127.0.0.1:{}", above.port())));
    client.send(channel(), b"late").await;
    only_one_is_reached(&mut client, relayed, &sockets, 2).await;
    assert_eq!(code(&mut client, Method::CHANNEL_BIND, media).await, Some(403));
}
