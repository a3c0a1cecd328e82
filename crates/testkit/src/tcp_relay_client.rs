//! A client for TCP allocations (RFC 6062), written out step by step.

use std::io::Cursor;
use std::net::SocketAddr;

use taciturn_stun::{AttributeType as T, Class, Frame, Message, Method, TransactionId, Writer};
use taciturn_turn::auth::{LongTermKey, long_term_key};
use tokio::io::{
    AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, Chain, Join, ReadHalf, WriteHalf,
};
use tokio::time::timeout;

use crate::server::PATIENCE;

/// Name and password.
pub type User = (&'static str, &'static str);

pub const ALICE: User = ("alice", "correct horse battery");
pub const BOB: User = ("bob", "staple of another make");

/// A data connection.
pub type Data<S> = Join<Chain<Cursor<Vec<u8>>, ReadHalf<S>>, WriteHalf<S>>;

pub struct RelayClient<S> {
    stream: S,
    unread: Vec<u8>,
    /// Indications that came while an answer was waited for.
    attempts: Vec<Vec<u8>>,
    nonce: Vec<u8>,
    transactions: u8,
    user: User,
    key: LongTermKey,
}

impl<S: AsyncRead + AsyncWrite + Unpin> RelayClient<S> {
    pub fn new(stream: S, user: User) -> Self {
        Self {
            stream,
            unread: Vec::new(),
            attempts: Vec::new(),
            nonce: Vec::new(),
            transactions: 0,
            key: long_term_key(user.0, "example.org", user.1),
            user,
        }
    }

    pub fn binding_request() -> Vec<u8> {
        let mut buffer = [0; 20];
        let tid = TransactionId([1; 12]);
        Writer::new(&mut buffer, Class::Request, Method::BINDING, tid).finish().unwrap();
        buffer.to_vec()
    }

    async fn read(&mut self) -> Vec<u8> {
        loop {
            match Frame::of(&self.unread) {
                Frame::Whole { len, padded } => {
                    let message = self.unread[..len].to_vec();
                    self.unread.drain(..padded);
                    return message;
                }
                Frame::Incomplete { .. } => {}
                Frame::Foreign => panic!("the server sent {:02x?}", self.unread),
            }
            let read = timeout(PATIENCE, self.stream.read_buf(&mut self.unread)).await.unwrap();
            assert!(read.unwrap() > 0, "the server has closed the connection");
        }
    }

    fn request(&mut self, method: Method, attributes: impl Fn(&mut Writer<'_>)) -> Vec<u8> {
        self.transactions += 1;
        let mut buffer = [0; 1000];
        let tid = TransactionId([self.transactions; 12]);
        let mut writer = Writer::new(&mut buffer, Class::Request, method, tid);
        attributes(&mut writer);
        if !self.nonce.is_empty() {
            writer.attribute(T::USERNAME, self.user.0.as_bytes());
            writer.attribute(T::REALM, b"example.org");
            writer.attribute(T::NONCE, &self.nonce);
            writer.integrity(&self.key);
        }
        let len = writer.finish().unwrap();
        buffer[..len].to_vec()
    }

    async fn answer(&mut self) -> Vec<u8> {
        loop {
            let message = self.read().await;
            if Message::parse(&message).unwrap().method() != Method::CONNECTION_ATTEMPT {
                return message;
            }
            self.attempts.push(message);
        }
    }

    /// Learns the nonce.
    async fn challenge(&mut self) {
        let request = self.request(Method::REFRESH, |_| ());
        self.stream.write_all(&request).await.unwrap();
        let answer = self.answer().await;
        let answer = Message::parse(&answer).unwrap();
        assert_eq!(answer.error_code(), Some(401));
        self.nonce = answer.nonce().unwrap().to_vec();
    }

    /// Sends a request with credentials and hands over the answer to it.
    pub async fn ask(&mut self, method: Method, attributes: impl Fn(&mut Writer<'_>)) -> Vec<u8> {
        if self.nonce.is_empty() {
            self.challenge().await;
        }
        let request = self.request(method, attributes);
        self.stream.write_all(&request).await.unwrap();
        self.stream.flush().await.unwrap();
        let answer = self.answer().await;
        let message = Message::parse(&answer).unwrap();
        assert_eq!((message.method(), message.transaction_id().0[0]), (method, self.transactions));
        assert!(message.verify_integrity(&self.key));
        answer
    }

    /// Makes an allocation for TCP; returns the relayed address.
    pub async fn allocate(&mut self) -> SocketAddr {
        let answer = self
            .ask(Method::ALLOCATE, |writer| {
                writer.requested_transport(6);
            })
            .await;
        Message::parse(&answer).unwrap().relayed_address().unwrap()
    }

    pub async fn release(&mut self) {
        let answer = self
            .ask(Method::REFRESH, |writer| {
                writer.lifetime(0);
            })
            .await;
        assert_eq!(Message::parse(&answer).unwrap().class(), Class::Success);
    }

    pub async fn permit(&mut self, peer: SocketAddr) {
        let answer = self
            .ask(Method::CREATE_PERMISSION, |writer| {
                writer.address(T::XOR_PEER_ADDRESS, peer);
            })
            .await;
        assert_eq!(Message::parse(&answer).unwrap().class(), Class::Success);
    }

    /// Connects to a peer; returns the CONNECTION-ID, or the error.
    pub async fn connect(&mut self, peer: SocketAddr) -> Result<u32, u16> {
        let answer = self
            .ask(Method::CONNECT, |writer| {
                writer.address(T::XOR_PEER_ADDRESS, peer);
            })
            .await;
        let answer = Message::parse(&answer).unwrap();
        match answer.error_code() {
            Some(code) => Err(code),
            None => Ok(answer.connection_id().unwrap().unwrap()),
        }
    }

    /// The next peer that has connected: CONNECTION-ID and address.
    pub async fn attempt(&mut self) -> (u32, SocketAddr) {
        let message =
            if self.attempts.is_empty() { self.read().await } else { self.attempts.remove(0) };
        let message = Message::parse(&message).unwrap();
        assert_eq!(message.class(), Class::Indication);
        assert_eq!(message.method(), Method::CONNECTION_ATTEMPT);
        (message.connection_id().unwrap().unwrap(), message.peer().unwrap().unwrap())
    }

    /// Turns into the data connection of a peer connection.
    pub async fn bind(mut self, id: u32) -> Result<Data<S>, u16> {
        let answer = self
            .ask(Method::CONNECTION_BIND, |writer| {
                writer.connection_id(id);
            })
            .await;
        match Message::parse(&answer).unwrap().error_code() {
            Some(code) => Err(code),
            None => Ok(self.data()),
        }
    }

    /// The data connection, with the bytes that followed the answer.
    fn data(self) -> Data<S> {
        let (reader, writer) = tokio::io::split(self.stream);
        tokio::io::join(Cursor::new(self.unread).chain(reader), writer)
    }

    /// The same, with bytes after the request in one write.
    pub async fn bind_and_say(mut self, id: u32, bytes: &[u8]) -> Data<S> {
        self.challenge().await;
        let mut request = self.request(Method::CONNECTION_BIND, |writer| {
            writer.connection_id(id);
        });
        request.extend_from_slice(bytes);
        self.stream.write_all(&request).await.unwrap();
        let answer = self.read().await;
        assert_eq!(Message::parse(&answer).unwrap().class(), Class::Success);
        self.data()
    }
}
