//! Requests and their answers: retransmission, authentication, and data that comes in between.
//! The content of answers is in `answer.rs`.

use std::collections::VecDeque;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use zeroize::Zeroizing;

use super::answer::{Allocation, Answer, Challenge, Incoming, Opened, allocation};
use super::{ClientError, Connection};
use taciturn_stun::{
    AttributeType as T, ChannelData, ChannelNumber, Class, Family, Kind, LongTermKey, Message,
    Method, TransactionId, Writer, canonical_ip,
};
use taciturn_turn::auth::long_term_key;

/// RFC 8489 section 6.2.1: the first wait before a request is sent again; each one is twice the
/// one before it.
const FIRST_WAIT: Duration = Duration::from_millis(500);

/// RFC 8489 section 6.2.1: how often a request is sent at most (Rc).
const MOST_SENDS: u32 = 7;

/// How many packets of data are kept for the caller while an answer is waited for.
const INBOX: usize = 1024;

/// REQUESTED-TRANSPORT: UDP.
const UDP: u8 = 17;

/// A username and its password. `Debug` does not show the password.
#[derive(Clone)]
pub struct Login {
    /// USERNAME.
    pub username: String,
    /// The password.
    pub password: Zeroizing<String>,
}

impl Login {
    /// A username and its password.
    pub fn new(username: impl Into<String>, password: impl Into<String>) -> Self {
        Self { username: username.into(), password: Zeroizing::new(password.into()) }
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("username", &self.username).finish_non_exhaustive()
    }
}

struct Keyed {
    username: String,
    realm: String,
    nonce: Vec<u8>,
    key: LongTermKey,
}

/// A client that has given its connection away.
pub(crate) struct Paused {
    patience: Duration,
    keyed: Option<Keyed>,
}

impl Paused {
    /// Continues the session; `connection` must be the one that was given away.
    pub(crate) fn resume(self, connection: Connection) -> Client {
        let Self { patience, keyed } = self;
        Client { connection, patience, keyed, inbox: VecDeque::new() }
    }
}

/// A client of one server, over one connection.
pub struct Client {
    connection: Connection,
    /// How long one request is waited for.
    patience: Duration,
    keyed: Option<Keyed>,
    inbox: VecDeque<Incoming>,
}

impl Client {
    /// A client that gives each request `patience`. Within it the request is sent again by the
    /// schedule of RFC 8489 section 6.2.1; the whole schedule would take 39.5 s.
    #[must_use]
    pub fn new(connection: Connection, patience: Duration) -> Self {
        Self { connection, patience, keyed: None, inbox: VecDeque::new() }
    }

    /// Gives the connection away, so that data can bypass this client.
    pub(crate) fn pause(self) -> (Connection, Paused) {
        (self.connection, Paused { patience: self.patience, keyed: self.keyed })
    }

    /// Waits for requests this long from now on.
    pub fn set_patience(&mut self, patience: Duration) {
        self.patience = patience;
    }

    /// Where the server sees this client (Binding, RFC 8489 section 3).
    ///
    /// # Errors
    /// If there is no valid answer.
    pub async fn binding(&mut self) -> Result<(SocketAddr, Answer), ClientError> {
        let answer = self.transact(Method::BINDING, &|_| (), false).await?;
        let mapped = {
            let message = answer.message()?;
            match message.class() {
                Class::Success => message.mapped_address(),
                _ => return Err(answer.refused(Method::BINDING)?),
            }
        };
        let what = "XOR-MAPPED-ADDRESS";
        let mapped = mapped.ok_or(ClientError::Incomplete { method: Method::BINDING, what })?;
        Ok((mapped, answer))
    }

    /// Allocate without credentials: what every conversation begins with.
    ///
    /// # Errors
    /// When the answer is neither 401 with REALM and NONCE nor a success.
    pub async fn open(&mut self) -> Result<Opened, ClientError> {
        let method = Method::ALLOCATE;
        let wish = |writer: &mut Writer<'_>| {
            writer.requested_transport(UDP);
        };
        let answer = self.transact(method, &wish, false).await?;
        let message = answer.message()?;
        if message.class() == Class::Success {
            return Ok(Opened::Granted(allocation(&message)?));
        }
        if message.error_code() != Some(401) {
            return Err(answer.refused(method)?);
        }
        let missing = |what| ClientError::Incomplete { method, what };
        let realm = message.realm().ok().flatten().ok_or_else(|| missing("REALM"))?;
        let nonce = message.nonce().ok_or_else(|| missing("NONCE"))?;
        let software = message.find(T::SOFTWARE).map(|s| String::from_utf8_lossy(s).into_owned());
        Ok(Opened::Challenged(Challenge {
            realm: realm.to_owned(),
            nonce: nonce.to_vec(),
            software,
            sizes: (answer.request_len, answer.len()),
        }))
    }

    /// Signs the requests from now on (RFC 8489 section 9.2.3). Nothing is sent.
    pub fn log_in(&mut self, login: &Login, challenge: &Challenge) {
        self.keyed = Some(Keyed {
            username: login.username.clone(),
            realm: challenge.realm.clone(),
            nonce: challenge.nonce.clone(),
            key: long_term_key(&login.username, &challenge.realm, &login.password),
        });
    }

    /// The beginning of each call: challenge, login, Allocate. A server that gives an allocation to a
    /// stranger is asked for nothing more.
    ///
    /// # Errors
    /// When a step is refused or not answered; without a login with 401.
    pub async fn enter(
        &mut self,
        login: Option<&Login>,
        family: Option<Family>,
    ) -> Result<Allocation, ClientError> {
        let challenge = match self.open().await? {
            Opened::Granted(allocation) => return Ok(allocation),
            Opened::Challenged(challenge) => challenge,
        };
        if let Some(login) = login {
            self.log_in(login, &challenge);
        }
        self.allocate(family).await
    }

    /// Allocate (RFC 8656 section 7), of a certain family or of the server's default.
    ///
    /// # Errors
    /// When it is refused or not answered.
    pub async fn allocate(&mut self, family: Option<Family>) -> Result<Allocation, ClientError> {
        let answer = self
            .ask(Method::ALLOCATE, &|writer| {
                writer.requested_transport(UDP);
                if let Some(family) = family {
                    writer.family(T::REQUESTED_ADDRESS_FAMILY, family);
                }
            })
            .await?;
        allocation(&answer.message()?)
    }

    /// Refresh (RFC 8656 section 8). 0 ends the allocation. Returns the lifetime that is granted.
    ///
    /// # Errors
    /// When it is refused or not answered.
    pub async fn refresh(&mut self, lifetime: u32) -> Result<u32, ClientError> {
        let method = Method::REFRESH;
        let wish = |writer: &mut Writer<'_>| {
            writer.lifetime(lifetime);
        };
        let answer = self.ask(method, &wish).await?;
        let granted = answer.message()?.lifetime().ok().flatten();
        granted.ok_or(ClientError::Incomplete { method, what: "LIFETIME" })
    }

    /// CreatePermission (RFC 8656 section 10).
    ///
    /// # Errors
    /// When it is refused or not answered.
    pub async fn permit(&mut self, peer: IpAddr) -> Result<(), ClientError> {
        let wish = |writer: &mut Writer<'_>| {
            // The port is of no meaning here.
            writer.address(T::XOR_PEER_ADDRESS, SocketAddr::new(peer, 0));
        };
        self.ask(Method::CREATE_PERMISSION, &wish).await.map(drop)
    }

    /// ChannelBind (RFC 8656 section 12).
    ///
    /// # Errors
    /// When it is refused or not answered.
    pub async fn bind(
        &mut self,
        channel: ChannelNumber,
        peer: SocketAddr,
    ) -> Result<(), ClientError> {
        let wish = |writer: &mut Writer<'_>| {
            writer.channel_number(channel).address(T::XOR_PEER_ADDRESS, peer);
        };
        self.ask(Method::CHANNEL_BIND, &wish).await.map(drop)
    }

    /// Sends data in a Send indication (RFC 8656 section 11.2). Nobody answers.
    ///
    /// # Errors
    /// When it cannot be sent.
    pub async fn send_to(&mut self, peer: SocketAddr, data: &[u8]) -> Result<(), ClientError> {
        let mut buffer = vec![0; 64 + data.len().next_multiple_of(4)];
        let tid = TransactionId(random()?);
        let len = Writer::new(&mut buffer, Class::Indication, Method::SEND, tid)
            .address(T::XOR_PEER_ADDRESS, peer)
            .attribute(T::DATA, data)
            .finish()
            .map_err(std::io::Error::other)?;
        self.connection.send(buffer.get(..len).unwrap_or_default()).await
    }

    /// Sends data on a channel (RFC 8656 section 12.5). Nobody answers.
    ///
    /// # Errors
    /// When it cannot be sent.
    pub async fn send_on(
        &mut self,
        channel: ChannelNumber,
        data: &[u8],
    ) -> Result<(), ClientError> {
        let len = u16::try_from(data.len()).map_err(std::io::Error::other)?;
        let mut message = ChannelData::header(channel, len).to_vec();
        message.extend_from_slice(data);
        if !self.connection.is_datagram() {
            message.resize(message.len().next_multiple_of(4), 0);
        }
        self.connection.send(&message).await
    }

    /// The next data from a peer; `None` where there are none until `deadline`.
    ///
    /// # Errors
    /// When the connection is over.
    pub async fn receive(&mut self, deadline: Instant) -> Result<Option<Incoming>, ClientError> {
        loop {
            if let Some(incoming) = self.inbox.pop_front() {
                return Ok(Some(incoming));
            }
            let Ok(received) = timeout_at(deadline, self.connection.receive()).await else {
                return Ok(None);
            };
            self.keep(&received?);
        }
    }

    /// A request with credentials, where there are some; once more where the nonce was stale.
    ///
    /// # Errors
    /// An error response, an answer without a right signature, or none.
    async fn ask(
        &mut self,
        method: Method,
        wish: &(dyn Fn(&mut Writer<'_>) + Sync),
    ) -> Result<Answer, ClientError> {
        let mut stale = 0;
        loop {
            let answer = self.transact(method, wish, true).await?;
            let message = answer.message()?;
            if message.class() == Class::Success {
                // RFC 8489 section 9.2.5: an answer that anybody could have sent is none.
                let signed = |keyed: &Keyed| message.verify_integrity(&keyed.key);
                return match &self.keyed {
                    Some(keyed) if !signed(keyed) => Err(ClientError::Unsigned(method)),
                    _ => Ok(answer),
                };
            }
            let nonce = message.nonce().map(<[u8]>::to_vec);
            match (&mut self.keyed, nonce) {
                (Some(keyed), Some(nonce)) if message.error_code() == Some(438) && stale < 2 => {
                    keyed.nonce = nonce;
                    stale += 1;
                }
                _ => return Err(answer.refused(method)?),
            }
        }
    }

    /// One transaction (RFC 8489 section 6.2), whatever its outcome.
    async fn transact(
        &mut self,
        method: Method,
        wish: &(dyn Fn(&mut Writer<'_>) + Sync),
        sign: bool,
    ) -> Result<Answer, ClientError> {
        let tid = TransactionId(random()?);
        let mut buffer = [0; 2048];
        let mut writer = Writer::new(&mut buffer, Class::Request, method, tid);
        wish(&mut writer);
        if let Some(keyed) = self.keyed.as_ref().filter(|_| sign) {
            writer
                .attribute(T::USERNAME, keyed.username.as_bytes())
                .attribute(T::REALM, keyed.realm.as_bytes())
                .attribute(T::NONCE, &keyed.nonce)
                .integrity(&keyed.key);
        }
        let request_len = writer.finish().map_err(std::io::Error::other)?;
        let request = buffer.get(..request_len).unwrap_or_default();
        let begun = Instant::now();
        let end = begun + self.patience;
        let (mut sends, mut wait) = (0, FIRST_WAIT);
        while sends < MOST_SENDS && Instant::now() < end {
            self.connection.send(request).await?;
            sends += 1;
            // RFC 8489 section 6.2.2: over a stream nothing is sent twice.
            let next = if self.connection.is_datagram() { Instant::now() + wait } else { end };
            wait *= 2;
            let until = next.min(end);
            while let Ok(received) = timeout_at(until, self.connection.receive()).await {
                let received = received?;
                if answers(&received, tid, method) {
                    return Ok(Answer {
                        bytes: received,
                        took: begun.elapsed(),
                        sends,
                        request_len,
                    });
                }
                self.keep(&received);
            }
        }
        Err(ClientError::Silent { waited: begun.elapsed() })
    }

    /// Puts data into the inbox; drops everything else.
    fn keep(&mut self, message: &[u8]) {
        let incoming = match Kind::of(message) {
            Kind::ChannelData => ChannelData::parse(message)
                .map(|m| Incoming::Channel { channel: m.channel, data: m.data.to_vec() }),
            Kind::Stun => Message::parse(message)
                .ok()
                .filter(|m| m.class() == Class::Indication && m.method() == Method::DATA)
                .and_then(|m| {
                    let peer = m.peer().ok().flatten()?;
                    let peer = SocketAddr::new(canonical_ip(peer.ip()), peer.port());
                    Some(Incoming::Indication { peer, data: m.data()?.to_vec() })
                }),
            Kind::Other => None,
        };
        if let Some(incoming) = incoming.filter(|_| self.inbox.len() < INBOX) {
            self.inbox.push_back(incoming);
        }
    }
}

fn answers(received: &[u8], tid: TransactionId, method: Method) -> bool {
    Message::parse(received).is_ok_and(|message| {
        message.transaction_id() == tid
            && message.method() == method
            && matches!(message.class(), Class::Success | Class::Error)
    })
}

/// Bytes of the system's randomness.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], ClientError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(std::io::Error::other)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests;
