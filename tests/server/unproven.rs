//! Who has not logged in, over real connections: no oracle for passwords, and a bound on what is
//! answered and judged.
#![allow(clippy::unwrap_used)] // helpers of tests

use testkit::server;
use testkit::stream_client;

use server::Server;
use stream_client::{PASSWORD, REALM, StreamClient, USER};
use taciturn_stun::{AttributeType as T, Class, Message, Method, TransactionId, Writer};
use taciturn_turn::auth::long_term_key;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

/// A listener as it is, and one behind a proxy on this host: what comes from loopback itself has no
/// limit.
fn configuration() -> String {
    format!(
        "realm = \"{REALM}\"\nexternal_ip = \"127.0.0.1\"\nworkers = 1\n[auth]\n\
         users = [\"{USER}:{PASSWORD}\"]\n\
         [[listen]]\naddress = \"127.0.0.1:0\"\ntransport = \"tcp\"\n\
         [[listen]]\naddress = \"127.0.0.1:0\"\ntransport = \"tcp\"\nproxy_protocol = true\n\
         trusted_proxies = [\"127.0.0.1\"]\n"
    )
}

async fn connect(server: &Server) -> TcpStream {
    TcpStream::connect(server.listeners[0].0).await.unwrap()
}

/// A connection that comes from this port of 192.0.2.1.
async fn connect_from(server: &Server, port: u16) -> TcpStream {
    let mut stream = TcpStream::connect(server.listeners[1].0).await.unwrap();
    let header = format!("PROXY TCP4 192.0.2.1 192.0.2.2 {port} 3478\r\n");
    stream.write_all(header.as_bytes()).await.unwrap();
    stream
}

fn allocate(number: u32, password: &str, nonce: &[u8]) -> Vec<u8> {
    let mut tid = [7; 12];
    tid[..4].copy_from_slice(&number.to_be_bytes());
    let mut buffer = [0; 500];
    let mut writer = Writer::new(&mut buffer, Class::Request, Method::ALLOCATE, TransactionId(tid));
    writer.requested_transport(17);
    if !nonce.is_empty() {
        writer.attribute(T::USERNAME, USER.as_bytes());
        writer.attribute(T::REALM, REALM.as_bytes());
        writer.attribute(T::NONCE, nonce);
        writer.integrity(&long_term_key(USER, REALM, password));
    }
    let len = writer.finish().unwrap();
    buffer[..len].to_vec()
}

/// Asks again and again until the server closes the connection. Returns the codes of the answers.
async fn asked_until_closed(mut stream: TcpStream, password: &str, nonce: &[u8]) -> Vec<u16> {
    let mut codes = Vec::new();
    for number in 0..20_000 {
        if stream.write_all(&allocate(number, password, nonce)).await.is_err() {
            break;
        }
        let Some(code) = answer(&mut stream).await else { break };
        codes.push(code.0);
    }
    codes
}

/// The code of the next answer and its nonce; `None` where the connection is closed.
async fn answer(stream: &mut TcpStream) -> Option<(u16, Vec<u8>)> {
    let mut client = StreamClient::new(stream);
    let bytes = client.read().await?;
    let answer = Message::parse(&bytes).unwrap();
    Some((answer.error_code().unwrap_or(0), answer.nonce().unwrap_or_default().to_vec()))
}

async fn nonce(stream: &mut TcpStream) -> Vec<u8> {
    stream.write_all(&allocate(0, "", b"")).await.unwrap();
    answer(stream).await.unwrap().1
}

#[tokio::test]
async fn a_hundred_requests_with_a_nonce_of_nobody_s_do_not_tell_right_from_wrong() {
    let mut server = Server::configured(&configuration());
    let mut stream = connect(&server).await;
    for number in 0..100 {
        let password = if number % 10 == 3 { PASSWORD } else { "a guess" };
        stream.write_all(&allocate(number, password, b"x23456789012345x")).await.unwrap();
        assert_eq!(answer(&mut stream).await.unwrap().0, 438, "{password}");
    }
    let own = nonce(&mut stream).await;
    stream.write_all(&allocate(100, "a guess", &own)).await.unwrap();
    assert_eq!(answer(&mut stream).await.unwrap().0, 401);
    server.wait_for_log("authentication failed", 1);
    stream.write_all(&allocate(101, PASSWORD, &own)).await.unwrap();
    assert_eq!(answer(&mut stream).await.unwrap().0, 0);
    assert_eq!(server.log().matches("authentication failed").count(), 1);
}

#[tokio::test]
async fn a_connection_that_asks_on_without_a_login_is_closed_and_its_neighbour_is_served() {
    let server = Server::configured(&configuration());
    let flooding = connect_from(&server, 1000).await;
    let codes = asked_until_closed(flooding, "a guess", b"x23456789012345x").await;
    // 60 at once, and 20 a second while it lasts.
    assert!((60..10_000).contains(&codes.len()), "{}", codes.len());
    assert!(codes.iter().all(|code| *code == 438));
    StreamClient::new(connect_from(&server, 1001).await).allocate().await;
}

#[tokio::test]
async fn guesses_are_told_each_and_limited_and_a_neighbour_is_served() {
    let mut server = Server::configured(&configuration());
    let mut guessing = connect_from(&server, 1000).await;
    let own = nonce(&mut guessing).await;
    let codes = asked_until_closed(guessing, "a guess", &own).await;
    assert!((6..100).contains(&codes.len()), "{}", codes.len());
    assert!(codes.iter().all(|code| *code == 401));
    StreamClient::new(connect_from(&server, 1001).await).allocate().await;
    server.wait_for_log("authentication failed", codes.len());
    assert_eq!(server.log().matches("client=192.0.2.1:1000").count(), codes.len());
}
