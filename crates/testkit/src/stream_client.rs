//! A TURN client on any stream, written out step by step.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use taciturn_stun::{
    AttributeType as T, ChannelData, ChannelNumber, Class, Frame, Message, Method, TransactionId,
    Writer,
};
use taciturn_turn::auth::{LongTermKey, long_term_key};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::UdpSocket;
use tokio::time::timeout;

use crate::server::PATIENCE;

pub const REALM: &str = "example.org";
pub const USER: &str = "alice";
pub const PASSWORD: &str = "correct horse battery";

/// How many there have been.
static CLIENTS: AtomicU64 = AtomicU64::new(0);

pub struct StreamClient<S> {
    stream: S,
    unread: Vec<u8>,
    nonce: Vec<u8>,
    /// Which client this is: two on the same port, one after the other, have ids of their own.
    number: u64,
    transactions: u8,
    user: String,
    key: LongTermKey,
}

impl<S: AsyncRead + AsyncWrite + Unpin> StreamClient<S> {
    pub fn new(stream: S) -> Self {
        Self::of_user(stream, USER, PASSWORD)
    }

    pub fn of_user(stream: S, user: &str, password: &str) -> Self {
        let key = long_term_key(user, REALM, password);
        let user = user.to_owned();
        let number = CLIENTS.fetch_add(1, Ordering::Relaxed);
        Self { stream, unread: Vec::new(), nonce: Vec::new(), number, transactions: 0, user, key }
    }

    pub fn stream(&mut self) -> &mut S {
        &mut self.stream
    }

    pub async fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// The next message, without padding; `None` when the server has closed the connection.
    pub async fn read(&mut self) -> Option<Vec<u8>> {
        loop {
            match Frame::of(&self.unread) {
                Frame::Whole { len, padded } => {
                    let message = self.unread[..len].to_vec();
                    self.unread.drain(..padded);
                    return Some(message);
                }
                Frame::Incomplete { .. } => {}
                Frame::Foreign => panic!("the server sent {:02x?}", self.unread),
            }
            // Room for any datagram, should this be no stream.
            self.unread.reserve(2048);
            let read = timeout(PATIENCE, self.stream.read_buf(&mut self.unread)).await.unwrap();
            if read.is_err() || read.unwrap() == 0 {
                return None;
            }
        }
    }

    /// Sends a request and hands over the answer to it.
    pub async fn ask(&mut self, method: Method, attributes: impl Fn(&mut Writer<'_>)) -> Vec<u8> {
        self.transactions = self.transactions.wrapping_add(1);
        let mut buffer = [0; 1000];
        let mut tid = TransactionId([self.transactions; 12]);
        tid.0[..8].copy_from_slice(&self.number.to_be_bytes());
        let mut writer = Writer::new(&mut buffer, Class::Request, method, tid);
        attributes(&mut writer);
        if !self.nonce.is_empty() {
            writer.attribute(T::USERNAME, self.user.as_bytes());
            writer.attribute(T::REALM, REALM.as_bytes());
            writer.attribute(T::NONCE, &self.nonce);
            writer.integrity(&self.key);
        }
        let len = writer.finish().unwrap();
        self.write(&buffer[..len]).await;
        self.read().await.unwrap()
    }

    /// Where the server sees this client.
    pub async fn mapped(&mut self) -> SocketAddr {
        let answer = self.ask(Method::BINDING, |_| ()).await;
        Message::parse(&answer).unwrap().mapped_address().unwrap()
    }

    /// Asks for an allocation without credentials, and keeps the nonce of the answer.
    pub async fn challenged(&mut self) {
        let challenge = self.ask(Method::ALLOCATE, |writer| {
            writer.requested_transport(17);
        });
        let challenge = challenge.await;
        let challenge = Message::parse(&challenge).unwrap();
        assert_eq!(challenge.error_code(), Some(401));
        self.nonce = challenge.nonce().unwrap().to_vec();
    }

    /// Makes an allocation; returns the relayed address.
    pub async fn allocate(&mut self) -> SocketAddr {
        self.try_allocate().await.unwrap()
    }

    /// Makes an allocation; returns the relayed address, or the code of the error.
    pub async fn try_allocate(&mut self) -> Result<SocketAddr, u16> {
        self.challenged().await;
        let wish = |writer: &mut Writer<'_>| {
            writer.requested_transport(17);
        };
        let answer = self.ask(Method::ALLOCATE, wish).await;
        let answer = Message::parse(&answer).unwrap();
        if let Some(code) = answer.error_code() {
            return Err(code);
        }
        assert!(answer.verify_integrity(&self.key));
        Ok(answer.relayed_address().unwrap())
    }

    /// Ends the allocation.
    pub async fn release(&mut self) {
        let answer = self.ask(Method::REFRESH, |writer| {
            writer.lifetime(0);
        });
        assert_eq!(Message::parse(&answer.await).unwrap().class(), Class::Success);
    }

    /// Sends the last Allocate request once more; returns the relayed address.
    pub async fn allocate_again(&mut self) -> SocketAddr {
        self.transactions -= 1;
        let answer = self.ask(Method::ALLOCATE, |writer| {
            writer.requested_transport(17);
        });
        Message::parse(&answer.await).unwrap().relayed_address().unwrap()
    }

    /// Binds a channel to a peer.
    pub async fn bind(&mut self, channel: ChannelNumber, peer: SocketAddr) {
        let answer = self
            .ask(Method::CHANNEL_BIND, |writer| {
                writer.channel_number(channel).address(T::XOR_PEER_ADDRESS, peer);
            })
            .await;
        assert_eq!(Message::parse(&answer).unwrap().class(), Class::Success);
    }

    /// Makes a permission for a peer.
    pub async fn permit(&mut self, peer: SocketAddr) {
        let answer = self.ask(Method::CREATE_PERMISSION, |writer| {
            writer.address(T::XOR_PEER_ADDRESS, peer);
        });
        assert_eq!(Message::parse(&answer.await).unwrap().class(), Class::Success);
    }

    /// Sends data in a Send indication.
    pub async fn indicate(&mut self, peer: SocketAddr, data: &[u8]) {
        let mut buffer = vec![0; data.len() + 100];
        let tid = TransactionId([0xd; 12]);
        let mut writer = Writer::new(&mut buffer, Class::Indication, Method::SEND, tid);
        writer.address(T::XOR_PEER_ADDRESS, peer).attribute(T::DATA, data);
        let len = writer.finish().unwrap();
        self.write(&buffer[..len]).await;
    }

    /// The next data in a Data indication, and the peer that they are from.
    pub async fn indicated(&mut self) -> (SocketAddr, Vec<u8>) {
        let message = self.read().await.unwrap();
        let message = Message::parse(&message).unwrap();
        assert_eq!((message.class(), message.method()), (Class::Indication, Method::DATA));
        (message.peer().unwrap().unwrap(), message.data().unwrap().to_vec())
    }

    /// Sends data on a channel, padded as streams have it.
    pub async fn send(&mut self, channel: ChannelNumber, data: &[u8]) {
        let mut message = ChannelData::header(channel, data.len() as u16).to_vec();
        message.extend_from_slice(data);
        message.resize(message.len().next_multiple_of(4), 0);
        self.write(&message).await;
    }

    /// The next data on a channel.
    pub async fn receive(&mut self, channel: ChannelNumber) -> Vec<u8> {
        let message = self.read().await.unwrap();
        let data = ChannelData::parse(&message).unwrap();
        assert_eq!(data.channel, channel);
        data.data.to_vec()
    }
}

pub fn channel() -> ChannelNumber {
    ChannelNumber::new(0x4001).unwrap()
}

/// Sends data of many lengths to a peer and back.
pub async fn relays_both_ways<S: AsyncRead + AsyncWrite + Unpin>(mut client: StreamClient<S>) {
    let relayed = client.allocate().await;
    let peer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    client.bind(channel(), peer.local_addr().unwrap()).await;
    let mut buffer = [0; 5000];
    for len in [0, 1, 2, 3, 4, 5, 1200, 1471, 4000] {
        let data = vec![len as u8; len];
        client.send(channel(), &data).await;
        let (got, from) = timeout(PATIENCE, peer.recv_from(&mut buffer)).await.unwrap().unwrap();
        assert_eq!((&buffer[..got], from), (&data[..], relayed));
        peer.send_to(&data, relayed).await.unwrap();
        assert_eq!(client.receive(channel()).await, data);
    }
}
