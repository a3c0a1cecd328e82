//! A client for tests: it keeps credentials and nonce, and holds every answer to the rules that
//! all answers share.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;

use super::addr;
use super::outcome::Outcome;
use super::rig::{REALM, Rig};
use super::world::Attempt;
use crate::auth::{PASSWORD_ALGORITHMS, long_term_key, long_term_key_by, userhash};
use crate::{Client, ConnectionId};
use taciturn_stun::{
    AttributeType as T, ChannelData, ChannelNumber, Class, Family, LongTermKey, Message, Method,
    PasswordAlgorithm, TransactionId, Writer,
};

pub(super) struct TestClient {
    rig: Rig,
    pub(super) at: Client,
    pub(super) user: String,
    realm: &'static str,
    pub(super) key: LongTermKey,
    key_sha256: LongTermKey,
    /// Whether it takes the offer of SHA-256 (RFC 8489 section 9.2.5).
    pub(super) sha256: Cell<bool>,
    /// Whether it sends USERHASH in place of USERNAME.
    pub(super) hashed: Cell<bool>,
    pub(super) nonce: RefCell<Vec<u8>>,
    /// Whether requests end with FINGERPRINT.
    pub(super) fingerprint: Cell<bool>,
    last_tid: Cell<u64>,
}

impl TestClient {
    pub(super) fn new(rig: Rig, at: Client, user: &str, password: &str) -> Self {
        Self::in_realm(REALM, rig, at, user, password)
    }

    /// A user of another realm.
    pub(super) fn in_realm(
        realm: &'static str,
        rig: Rig,
        at: Client,
        user: &str,
        password: &str,
    ) -> Self {
        let key = long_term_key(user, realm, password);
        Self {
            rig,
            at,
            user: user.into(),
            realm,
            key,
            key_sha256: long_term_key_by(PasswordAlgorithm::Sha256, user, realm, password),
            sha256: Cell::new(false),
            hashed: Cell::new(false),
            nonce: RefCell::default(),
            fingerprint: Cell::new(false),
            last_tid: Cell::new(0),
        }
    }

    /// The same client, whose packets come to another process.
    pub(super) fn of(&self, rig: &Rig) -> Self {
        Self {
            rig: rig.clone(),
            at: self.at,
            user: self.user.clone(),
            realm: self.realm,
            key: self.key.clone(),
            key_sha256: self.key_sha256.clone(),
            sha256: self.sha256.clone(),
            hashed: self.hashed.clone(),
            nonce: self.nonce.clone(),
            fingerprint: self.fingerprint.clone(),
            last_tid: self.last_tid.clone(),
        }
    }

    /// Another user on the 5-tuple of this one.
    pub(super) fn impostor(&self, user: &str) -> Self {
        let other = Self::new(self.rig.clone(), self.at, user, &format!("{user}'s password"));
        other.last_tid.set(0xBAD0_0000);
        other
    }

    /// A transaction id that this client has not used yet.
    pub(super) fn fresh_tid(&self) -> TransactionId {
        self.last_tid.set(self.last_tid.get() + 1);
        let mut tid = *b"tid.12345678";
        tid[4..].copy_from_slice(&self.last_tid.get().to_be_bytes());
        TransactionId(tid)
    }

    // Requests.

    pub(super) fn request(&self, method: Method) -> Request<'_> {
        Request { client: self, method, tid: self.fresh_tid(), attributes: Vec::new() }
    }

    /// An Allocate request for UDP, to add to.
    pub(super) fn allocation(&self) -> Request<'_> {
        self.request(Method::ALLOCATE).attribute(T::REQUESTED_TRANSPORT, &[17, 0, 0, 0])
    }

    #[track_caller]
    pub(super) fn allocate(&self) -> SocketAddr {
        self.allocation().send().relayed()
    }

    #[track_caller]
    pub(super) fn allocate_v6(&self) -> SocketAddr {
        self.allocation().family(T::REQUESTED_ADDRESS_FAMILY, Family::V6).send().relayed()
    }

    /// An Allocate request for TCP, to add to.
    pub(super) fn tcp_allocation(&self) -> Request<'_> {
        self.request(Method::ALLOCATE).attribute(T::REQUESTED_TRANSPORT, &[6, 0, 0, 0])
    }

    #[track_caller]
    pub(super) fn allocate_tcp(&self) -> SocketAddr {
        self.tcp_allocation().send().relayed()
    }

    /// A Connect request, to send or to begin.
    pub(super) fn connect(&self, peer: &str) -> Request<'_> {
        self.request(Method::CONNECT).peer(addr(peer))
    }

    /// Connects to a peer, which accepts.
    #[track_caller]
    pub(super) fn connected(&self, peer: &str) -> Attempt {
        let asked = self.connect(peer).begin();
        let attempt = self.rig.peer_accepts();
        assert_eq!(asked.answer().connection_id(), attempt.id);
        attempt
    }

    #[track_caller]
    pub(super) fn bind_connection(&self, id: ConnectionId) -> Answer {
        let request = self.request(Method::CONNECTION_BIND);
        request.attribute(T::CONNECTION_ID, &id.0.to_be_bytes()).send()
    }

    #[track_caller]
    pub(super) fn refresh(&self, lifetime: u32) -> Answer {
        self.request(Method::REFRESH).lifetime(lifetime).send()
    }

    #[track_caller]
    pub(super) fn try_permit(&self, peers: &[&str]) -> Answer {
        let request = self.request(Method::CREATE_PERMISSION);
        peers.iter().fold(request, |request, peer| request.peer(addr(peer))).send()
    }

    #[track_caller]
    pub(super) fn permit(&self, peer: &str) {
        self.try_permit(&[peer]).assert_ok();
    }

    #[track_caller]
    pub(super) fn try_bind(&self, channel: u16, peer: &str) -> Answer {
        let [high, low] = channel.to_be_bytes();
        let request = self.request(Method::CHANNEL_BIND);
        request.attribute(T::CHANNEL_NUMBER, &[high, low, 0, 0]).peer(addr(peer)).send()
    }

    #[track_caller]
    pub(super) fn bind(&self, channel: u16, peer: &str) {
        self.try_bind(channel, peer).assert_ok();
    }

    // Data.

    /// A Send indication.
    pub(super) fn send(&self, peer: &str, data: &[u8]) -> Outcome {
        self.indication(|writer| {
            writer.address(T::XOR_PEER_ADDRESS, addr(peer)).attribute(T::DATA, data);
        })
    }

    pub(super) fn indication(&self, write: impl FnOnce(&mut Writer<'_>)) -> Outcome {
        let mut buffer = vec![0; 66_000];
        let tid = self.fresh_tid();
        let mut writer = Writer::new(&mut buffer, Class::Indication, Method::SEND, tid);
        write(&mut writer);
        let len = writer.finish().unwrap();
        self.raw(&buffer[..len])
    }

    pub(super) fn channel_data(&self, channel: u16, data: &[u8]) -> Outcome {
        self.raw(&channel_data(channel, data))
    }

    /// Any bytes.
    pub(super) fn raw(&self, packet: &[u8]) -> Outcome {
        self.rig.client_sends(self.at, packet)
    }
}

/// A ChannelData message without padding.
pub(super) fn channel_data(channel: u16, data: &[u8]) -> Vec<u8> {
    let [n0, n1] = channel.to_be_bytes();
    let [l0, l1] = u16::try_from(data.len()).unwrap().to_be_bytes();
    [&[n0, n1, l0, l1], data].concat()
}

enum Value {
    Bytes(Vec<u8>),
    Address(SocketAddr),
}

/// A request that is being put together.
pub(super) struct Request<'a> {
    client: &'a TestClient,
    method: Method,
    tid: TransactionId,
    attributes: Vec<(T, Value)>,
}

impl Request<'_> {
    pub(super) fn attribute(mut self, kind: T, value: &[u8]) -> Self {
        self.attributes.push((kind, Value::Bytes(value.into())));
        self
    }

    pub(super) fn peer(mut self, peer: SocketAddr) -> Self {
        self.attributes.push((T::XOR_PEER_ADDRESS, Value::Address(peer)));
        self
    }

    pub(super) fn lifetime(self, seconds: u32) -> Self {
        self.attribute(T::LIFETIME, &seconds.to_be_bytes())
    }

    pub(super) fn family(self, kind: T, family: Family) -> Self {
        self.attribute(kind, &[family.number(), 0, 0, 0])
    }

    pub(super) fn even_port(self, reserve_next: bool) -> Self {
        self.attribute(T::EVEN_PORT, &[u8::from(reserve_next) << 7])
    }

    pub(super) fn tid(mut self, tid: TransactionId) -> Self {
        self.tid = tid;
        self
    }

    /// The request as bytes; signed, if the client has a nonce.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut buffer = vec![0; 66_000];
        let mut writer = Writer::new(&mut buffer, Class::Request, self.method, self.tid);
        for (kind, value) in &self.attributes {
            match value {
                Value::Bytes(bytes) => writer.attribute(*kind, bytes),
                Value::Address(address) => writer.address(*kind, *address),
            };
        }
        let nonce = self.client.nonce.borrow();
        if !nonce.is_empty() {
            match self.client.hashed.get() {
                true => {
                    writer.attribute(T::USERHASH, &userhash(&self.client.user, self.client.realm))
                }
                false => writer.attribute(T::USERNAME, self.client.user.as_bytes()),
            };
            writer.attribute(T::REALM, self.client.realm.as_bytes());
            writer.attribute(T::NONCE, &nonce);
            if self.client.sha256.get() {
                writer.attribute(T::PASSWORD_ALGORITHMS, &PASSWORD_ALGORITHMS);
                let chosen = PasswordAlgorithm::Sha256.value();
                writer.attribute(T::PASSWORD_ALGORITHM, &chosen);
                writer.integrity_sha256(&self.client.key_sha256);
            } else {
                writer.integrity(&self.client.key);
            }
        }
        if self.client.fingerprint.get() {
            writer.fingerprint();
        }
        let len = writer.finish().unwrap();
        buffer.truncate(len);
        buffer
    }

    /// Sends the request once, as it is.
    #[track_caller]
    pub(super) fn once(&self) -> Answer {
        let request = self.bytes();
        let answer = Answer { bytes: self.client.raw(&request).reply() };
        let key = match self.client.sha256.get() {
            true => &self.client.key_sha256,
            false => &self.client.key,
        };
        answer.assert_answers(&request, key);
        answer
    }

    /// Sends the request as a client does (RFC 8489 section 9.2): again, with the nonce of the
    /// challenge, where the first try had none or an old one.
    #[track_caller]
    pub(super) fn send(&self) -> Answer {
        let mut answer = self.once();
        let first = self.client.nonce.borrow().is_empty();
        if answer.code() == Some(438) || (first && answer.code() == Some(401)) {
            self.client.nonce.replace(answer.nonce());
            answer = self.once();
        }
        answer
    }
}

impl<'a> Request<'a> {
    /// Sends it, and tells what becomes of it.
    #[track_caller]
    pub(super) fn outcome(&self) -> Outcome {
        self.client.raw(&self.bytes())
    }

    /// Sends a request that is answered later.
    #[track_caller]
    pub(super) fn begin(&self) -> Unanswered<'a> {
        let request = self.bytes();
        assert_eq!(self.client.raw(&request), Outcome::Later);
        Unanswered { client: self.client, request }
    }
}

/// A request that waits for its answer.
pub(super) struct Unanswered<'a> {
    client: &'a TestClient,
    request: Vec<u8>,
}

impl Unanswered<'_> {
    /// The same request, that the process of `client` is to answer.
    pub(super) fn of<'c>(&self, client: &'c TestClient) -> Unanswered<'c> {
        Unanswered { client, request: self.request.clone() }
    }

    /// Its answer, which has been given meanwhile.
    #[track_caller]
    pub(super) fn answer(&self) -> Answer {
        let bytes = self.client.rig.next_told(self.client).expect("an answer");
        let answer = Answer { bytes };
        answer.assert_answers(&self.request, &self.client.key);
        answer
    }
}

/// An answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) bytes: Vec<u8>,
}

impl Answer {
    pub(super) fn message(&self) -> Message<'_> {
        Message::parse(&self.bytes).expect("answers are well-formed")
    }

    /// What holds for every answer to every request.
    #[track_caller]
    fn assert_answers(&self, request: &[u8], key: &LongTermKey) {
        let (request, answer) = (Message::parse(request).unwrap(), self.message());
        assert_eq!(answer.transaction_id(), request.transaction_id());
        assert_eq!(answer.method(), request.method());
        let class = if answer.error_code().is_some() { Class::Error } else { Class::Success };
        assert_eq!(answer.class(), class);
        // RFC 8489 section 6.3.1 asks for FINGERPRINT where the request had one.
        assert_eq!(answer.has_fingerprint(), request.has_fingerprint(), "FINGERPRINT");
        // RFC 8489 section 9.2.4: all that is answered to a proven user is signed with its key.
        let challenge = matches!(answer.error_code(), Some(401 | 438));
        assert_eq!(answer.has_integrity(), !challenge, "MESSAGE-INTEGRITY");
        assert!(challenge || answer.verify_integrity(key), "MESSAGE-INTEGRITY is wrong");
        let sha256 = answer.has_integrity_sha256();
        assert_eq!(sha256, !challenge && request.has_integrity_sha256(), "of the same kind");
        assert!(self.bytes.len() <= 600, "{} bytes", self.bytes.len());
    }

    /// The error, or `None` for a success.
    pub(super) fn code(&self) -> Option<u16> {
        self.message().error_code()
    }

    #[track_caller]
    pub(super) fn assert_error(&self, code: u16) {
        assert_eq!(self.code(), Some(code));
    }

    #[track_caller]
    pub(super) fn assert_ok(&self) {
        assert_eq!(self.code(), None);
    }

    #[track_caller]
    pub(super) fn relayed(&self) -> SocketAddr {
        self.assert_ok();
        self.message().relayed_address().expect("XOR-RELAYED-ADDRESS")
    }

    #[track_caller]
    pub(super) fn lifetime(&self) -> u32 {
        self.assert_ok();
        self.message().lifetime().unwrap().expect("LIFETIME")
    }

    #[track_caller]
    pub(super) fn token(&self) -> [u8; 8] {
        self.assert_ok();
        self.message().reservation_token().unwrap().expect("RESERVATION-TOKEN")
    }

    #[track_caller]
    pub(super) fn connection_id(&self) -> ConnectionId {
        self.assert_ok();
        ConnectionId(self.message().connection_id().unwrap().expect("CONNECTION-ID"))
    }

    #[track_caller]
    pub(super) fn nonce(&self) -> Vec<u8> {
        self.message().nonce().expect("NONCE").into()
    }

    /// How many attributes of a type it holds.
    pub(super) fn count(&self, kind: T) -> usize {
        self.message().attribute_types().iter().filter(|found| **found == kind.0).count()
    }
}

/// What a client got from a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Received {
    Channel { number: u16, data: Vec<u8> },
    Data { peer: SocketAddr, data: Vec<u8> },
}

impl Received {
    pub(super) fn channel(number: u16, data: &[u8]) -> Self {
        Self::Channel { number, data: data.into() }
    }

    pub(super) fn data(peer: &str, data: &[u8]) -> Self {
        Self::Data { peer: addr(peer), data: data.into() }
    }

    /// Reads a packet as a client does, and holds the framing to the letter.
    #[track_caller]
    pub(super) fn read(bytes: &[u8], stream: bool) -> Self {
        if let Some(message) = ChannelData::parse(bytes) {
            let exact = ChannelData::HEADER_LEN + message.data.len();
            // Section 12.5: padded to a multiple of 4 over TCP, not counted in the length field.
            let expected = if stream { exact.next_multiple_of(4) } else { exact };
            assert_eq!(bytes.len(), expected, "padding of ChannelData");
            assert!(bytes[exact..].iter().all(|byte| *byte == 0), "padding is zero");
            return Self::Channel { number: number(message.channel), data: message.data.into() };
        }
        let message = Message::parse(bytes).expect("a Data indication");
        assert_eq!((message.class(), message.method()), (Class::Indication, Method::DATA));
        assert_eq!(message.attribute_types(), [T::XOR_PEER_ADDRESS.0, T::DATA.0]);
        Self::Data {
            peer: message.peer().unwrap().expect("XOR-PEER-ADDRESS"),
            data: message.data().expect("DATA").into(),
        }
    }
}

const fn number(channel: ChannelNumber) -> u16 {
    channel.number()
}
