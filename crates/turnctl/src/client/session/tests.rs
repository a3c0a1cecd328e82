//! A client against a socket that plays its server.

use super::*;
use taciturn_stun::ErrorCode;
use tokio::net::UdpSocket;

const PATIENCE: Duration = Duration::from_secs(30);

/// A client, and a socket that plays its server.
async fn pair() -> (Client, UdpSocket) {
    let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = server.local_addr().unwrap();
    let connection = Connection::udp(address, PATIENCE).await.unwrap();
    (Client::new(connection, PATIENCE), server)
}

async fn request(server: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut buffer = vec![0; 2048];
    let (len, from) = server.recv_from(&mut buffer).await.unwrap();
    buffer.truncate(len);
    (buffer, from)
}

/// Answers `request` with what `write` adds.
async fn answer(
    server: &UdpSocket,
    (request, to): &(Vec<u8>, SocketAddr),
    class: Class,
    write: impl FnOnce(&mut Writer<'_>),
) {
    let message = Message::parse(request).unwrap();
    let mut buffer = [0; 1024];
    let mut writer = Writer::new(&mut buffer, class, message.method(), message.transaction_id());
    write(&mut writer);
    let len = writer.finish().unwrap();
    server.send_to(&buffer[..len], to).await.unwrap();
}

fn challenge(nonce: &[u8]) -> Challenge {
    Challenge { realm: "r".into(), nonce: nonce.to_vec(), software: None, sizes: (0, 0) }
}

#[tokio::test]
async fn rfc8489_6_2_1_a_lost_request_is_sent_again_as_it_was() {
    let (mut client, server) = pair().await;
    let serving = async {
        let first = request(&server).await;
        let second = request(&server).await;
        assert_eq!(first.0, second.0, "the same transaction");
        let mapped = "192.0.2.1:5000".parse().unwrap();
        answer(&server, &second, Class::Success, |writer| {
            writer.address(T::XOR_MAPPED_ADDRESS, mapped);
        })
        .await;
    };
    let (bound, ()) = tokio::join!(client.binding(), serving);
    let (mapped, answer) = bound.unwrap();
    assert_eq!((mapped.to_string().as_str(), answer.sends), ("192.0.2.1:5000", 2));
    assert!(answer.took >= FIRST_WAIT);
}

#[tokio::test]
async fn rfc8489_9_2_5_a_stale_nonce_is_replaced_and_the_request_repeated() {
    let (mut client, server) = pair().await;
    client.log_in(&Login::new("alice", "secret"), &challenge(b"old"));
    let serving = async {
        let first = request(&server).await;
        assert_eq!(Message::parse(&first.0).unwrap().nonce(), Some(&b"old"[..]));
        answer(&server, &first, Class::Error, |writer| {
            writer.error(ErrorCode::STALE_NONCE, "").attribute(T::NONCE, b"new");
        })
        .await;
        let second = request(&server).await;
        assert_eq!(Message::parse(&second.0).unwrap().nonce(), Some(&b"new"[..]));
        answer(&server, &second, Class::Success, |writer| {
            writer.lifetime(600).integrity(&long_term_key("alice", "r", "secret"));
        })
        .await;
    };
    let (granted, ()) = tokio::join!(client.refresh(600), serving);
    assert_eq!(granted.unwrap(), 600);
}

#[tokio::test]
async fn rfc8489_9_2_5_a_success_that_is_not_signed_is_none() {
    let (mut client, server) = pair().await;
    client.log_in(&Login::new("alice", "secret"), &challenge(b"nonce"));
    let serving = async {
        let first = request(&server).await;
        answer(&server, &first, Class::Success, |writer| {
            writer.lifetime(600).integrity(&long_term_key("alice", "r", "guessed"));
        })
        .await;
    };
    let (granted, ()) = tokio::join!(client.refresh(600), serving);
    assert!(matches!(granted, Err(ClientError::Unsigned(Method::REFRESH))));
}

#[tokio::test]
async fn data_that_come_before_an_answer_are_kept() {
    let (mut client, server) = pair().await;
    let serving = async {
        let first = request(&server).await;
        server.send_to(&[0x40, 0, 0, 2, b'h', b'i'], first.1).await.unwrap();
        answer(&server, &first, Class::Success, |writer| {
            writer.lifetime(600);
        })
        .await;
    };
    let (granted, ()) = tokio::join!(client.refresh(600), serving);
    assert_eq!(granted.unwrap(), 600);
    let kept = client.receive(Instant::now() + PATIENCE).await.unwrap().unwrap();
    assert_eq!(kept.data(), b"hi");
}

#[test]
fn debug_shows_no_password() {
    let shown = format!("{:?}", Login::new("alice", "correct horse"));
    assert!(shown.contains("alice") && !shown.contains("horse"), "{shown}");
}
