//! The configurations of docs/networks.md: the server starts with each, on loopback in place of its addresses, and
//! relays to a peer of the network that the page speaks of.
#![allow(clippy::unwrap_used)]

use testkit::server::{PATIENCE, Server};
use testkit::stream_client::{PASSWORD, REALM, StreamClient, USER, channel};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

/// The TOML blocks of the page.
fn blocks() -> Vec<String> {
    let page = testkit::program::repository().join("docs/networks.md");
    let text = std::fs::read_to_string(page).unwrap();
    let blocks = text.split("```toml\n").skip(1);
    blocks.map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

/// The same with addresses of loopback. The networks that a block allows become loopback's; one that allows nothing
/// keeps the defaults, which deny it. The port of a media server becomes that of the peer.
fn on_loopback(block: &str, peer: u16) -> String {
    let mut text = block.replace("self:10000", &format!("self:{peer}"));
    for (documented, loopback) in [
        ("203.0.113.7/10.0.0.5", "127.0.0.1"),
        ("10.0.0.0/24", "127.0.0.0/8"),
        ("10.8.0.0/24", "127.0.0.0/8"),
        ("100.64.0.0/10", "127.0.0.0/8"),
        ("10.0.0.5", "127.0.0.1"),
        ("10.8.0.1", "127.0.0.1"),
        ("100.64.0.1", "127.0.0.1"),
        ("203.0.113.7", "127.0.0.1"),
        ("2001:db8::7", "::1"),
    ] {
        text = text.replace(documented, loopback);
    }
    let listen = if text.contains("127.0.0.1") { "127.0.0.1:0" } else { "[::1]:0" };
    format!(
        "realm = \"{REALM}\"\nworkers = 1\n{text}\n[auth]\nusers = [\"{USER}:{PASSWORD}\"]\n\
         [[listen]]\naddress = \"{listen}\"\ntransport = \"tcp\"\n"
    )
}

#[tokio::test]
async fn every_configuration_of_the_page_starts_and_relays_where_it_allows_to() {
    let blocks = blocks();
    assert!(blocks.len() >= 8, "{} blocks", blocks.len());
    for block in blocks {
        let peer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let server = Server::configured(&on_loopback(&block, peer.local_addr().unwrap().port()));
        let stream = TcpStream::connect(server.address).await.unwrap();
        let mut client = StreamClient::new(stream);
        if !block.contains("203.0.113.7") && block.contains("2001:db8::7") {
            assert_eq!(client.try_allocate().await, Err(440), "no IPv4, as the page says: {block}");
            continue;
        }
        let relayed = client.allocate().await;
        assert!(relayed.ip().is_loopback(), "{block}");
        if !block.contains("allow") {
            continue;
        }
        client.bind(channel(), peer.local_addr().unwrap()).await;
        client.send(channel(), b"to the peer").await;
        let mut buffer = [0; 100];
        let (len, from) = timeout(PATIENCE, peer.recv_from(&mut buffer)).await.unwrap().unwrap();
        assert_eq!((&buffer[..len], from), (&b"to the peer"[..], relayed), "{block}");
    }
}
