//! One DTLS connection: datagrams in and out, records up and down.
#![forbid(unsafe_code)]

use std::fmt;
use std::time::Duration;

use openssl::ssl::{Error, ErrorCode, NameType, Ssl, SslStream};

use super::error::{DtlsError, library, reason};
use super::ffi::{self, Timer};
use super::guard::{self, Guard};
use super::hello::ClientHello;
use super::wire::Wire;

/// The longest payload of one record, in bytes: [`Connection::send`] refuses more. It also bounds
/// the write buffer of each connection. A client may ask for less ([`Connection::max_payload`]).
pub const MAX_PAYLOAD: u16 = 4096;

/// Bytes a record is longer than its payload, at most, with the ciphers we take: 13 of header, 8
/// of nonce, 16 of tag.
pub const RECORD_OVERHEAD: usize = 37;

/// Bytes of the tag of the AEAD ciphers we take.
const TAG: usize = 16;

/// Why a connection is closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The peer sent close_notify.
    Peer,
    /// [`Connection::close`] was called.
    Local,
    /// A fatal alert or a broken handshake, in OpenSSL's words.
    Failed(Box<str>),
    /// The peer did not answer retransmissions.
    Silent,
}

#[derive(Debug)]
enum State {
    Handshake(Guard),
    Established,
    Closed(CloseReason),
}

/// A DTLS connection whose peer has returned its cookie.
///
/// After every call that takes input ([`Self::handle_datagram`], [`Self::recv`],
/// [`Self::handle_timeout`], [`Self::send`], [`Self::close`]) the owner empties
/// [`Self::poll_transmit`], on closed connections too: an alert may wait there. The deadline of the
/// handshake is the owner's. No error of one connection reaches another: OpenSSL's error queue is
/// emptied around every call.
pub struct Connection {
    stream: SslStream<Wire>,
    state: State,
    random: [u8; 32],
    max_payload: u16,
    /// Bytes of nonce and tag in each record.
    overhead: usize,
}

impl Connection {
    /// Starts the handshake with the ClientHello in `datagram`, whose cookie is good.
    pub(super) fn accept(
        ssl: Ssl,
        random: [u8; 32],
        datagram: &[u8],
    ) -> Result<Option<Self>, DtlsError> {
        ffi::clear_errors();
        let mut stream =
            SslStream::new(ssl, Wire::default()).map_err(library("make a connection"))?;
        stream.get_mut().deliver(datagram);
        let listening = ffi::listen(&mut stream);
        ffi::clear_errors();
        if !listening {
            return Ok(None);
        }
        let state = State::Handshake(Guard::default());
        let mut connection =
            Self { stream, state, random, max_payload: MAX_PAYLOAD, overhead: TAG };
        connection.shake_hands();
        Ok(Some(connection))
    }

    /// Takes a datagram from the peer. Follow it with [`Self::recv`] until `None`, before the next
    /// datagram: one that is not taken up by then is lost.
    ///
    /// Invalid records are ignored (RFC 6347 section 4.1.2.7).
    pub fn handle_datagram(&mut self, datagram: &[u8]) {
        match &mut self.state {
            State::Handshake(guard) => {
                if guard.admits(datagram) {
                    self.stream.get_mut().deliver(datagram);
                    self.shake_hands();
                }
            }
            State::Established => {
                if guard::plausible(datagram, self.overhead) {
                    self.stream.get_mut().deliver(datagram);
                }
            }
            State::Closed(_) => {}
        }
    }

    /// Copies the next application record into `buf` and gives its length; `None` when there is no
    /// more. Answers and alerts inside the datagram are acted on here.
    ///
    /// A record longer than `buf` is dropped whole: half a STUN message is none.
    pub fn recv(&mut self, buf: &mut [u8]) -> Option<usize> {
        if buf.is_empty() {
            return None;
        }
        while matches!(self.state, State::Established) {
            ffi::clear_errors();
            let read = self.stream.ssl_read(buf);
            match read {
                Ok(n) if n == buf.len() && self.stream.ssl().pending() > 0 => self.skip_record(),
                Ok(n) => {
                    ffi::clear_errors();
                    return Some(n);
                }
                Err(error) if would_block(&error) => {
                    self.stream.get_mut().discard_inbound();
                    break;
                }
                Err(error) if error.code() == ErrorCode::ZERO_RETURN => {
                    // RFC 5246 section 7.2.1: answer with a close_notify of our own.
                    self.shutdown();
                    self.state = State::Closed(CloseReason::Peer);
                }
                Err(error) => self.fail(&error),
            }
        }
        ffi::clear_errors();
        None
    }

    /// Takes the next datagram for the peer and gives its length; `None` when there is no more.
    /// Each call is one UDP datagram.
    ///
    /// `buf` should hold [`MAX_PAYLOAD`] + [`RECORD_OVERHEAD`] bytes: a datagram that does not fit
    /// is dropped.
    pub fn poll_transmit(&mut self, buf: &mut [u8]) -> Option<usize> {
        self.stream.get_mut().poll(buf)
    }

    /// Encrypts `data` as one record in one datagram. Nothing is sent for empty `data`.
    ///
    /// # Errors
    /// [`DtlsError::NotEstablished`], [`DtlsError::Closed`], [`DtlsError::TooLarge`], or
    /// [`DtlsError::QueueFull`]: nothing was sent then, and the connection goes on.
    pub fn send(&mut self, data: &[u8]) -> Result<(), DtlsError> {
        match self.state {
            State::Handshake(_) => return Err(DtlsError::NotEstablished),
            State::Closed(_) => return Err(DtlsError::Closed),
            State::Established => {}
        }
        if data.is_empty() {
            return Ok(());
        }
        if data.len() > usize::from(self.max_payload) {
            return Err(DtlsError::TooLarge(data.len()));
        }
        if self.stream.get_mut().is_full() {
            return Err(DtlsError::QueueFull);
        }
        ffi::clear_errors();
        let written = self.stream.ssl_write(data);
        let result = match written {
            Ok(_) => Ok(()),
            Err(error) if would_block(&error) => Err(DtlsError::QueueFull),
            Err(error) => {
                self.fail(&error);
                Err(DtlsError::Closed)
            }
        };
        ffi::clear_errors();
        result
    }

    /// Returns the longest payload that [`Self::send`] takes, in bytes: [`MAX_PAYLOAD`], or what the client
    /// asked for (RFC 6066 section 4).
    #[must_use]
    pub fn max_payload(&self) -> u16 {
        self.max_payload
    }

    /// Returns how long until [`Self::handle_timeout`] is due; `None` when no flight waits for an answer
    /// (RFC 6347 section 4.2.4: one second at first, doubled each time).
    #[must_use]
    pub fn timeout(&self) -> Option<Duration> {
        match self.state {
            State::Handshake(_) | State::Established => ffi::timeout(self.stream.ssl()),
            State::Closed(_) => None,
        }
    }

    /// Sends the last flight again when its time has come; does nothing before.
    pub fn handle_timeout(&mut self) {
        if self.is_closed() {
            return;
        }
        ffi::clear_errors();
        if ffi::handle_timeout(&mut self.stream) == Timer::Failed {
            self.state = State::Closed(CloseReason::Silent);
        }
        ffi::clear_errors();
    }

    /// Returns true if the handshake is done and the connection open.
    #[must_use]
    pub fn is_established(&self) -> bool {
        matches!(self.state, State::Established)
    }

    /// Returns true if the connection has ended; take what [`Self::poll_transmit`] still has and drop it.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed(_))
    }

    /// Returns why the connection has ended; `None` while it has not.
    #[must_use]
    pub fn close_reason(&self) -> Option<&CloseReason> {
        match &self.state {
            State::Closed(why) => Some(why),
            _ => None,
        }
    }

    /// Returns the ALPN name agreed on (RFC 7443), when the client offered any.
    #[must_use]
    pub fn alpn(&self) -> Option<&[u8]> {
        self.stream.ssl().selected_alpn_protocol()
    }

    /// Returns the name that the client asked for (RFC 6066 section 3), when it did.
    #[must_use]
    pub fn server_name(&self) -> Option<&str> {
        self.stream.ssl().servername(NameType::HOST_NAME)
    }

    /// Returns the cipher agreed on, by OpenSSL's name.
    #[must_use]
    pub fn cipher(&self) -> Option<&'static str> {
        self.stream.ssl().current_cipher().map(|cipher| cipher.name())
    }

    /// Returns true if `datagram` is the ClientHello of another handshake from the same address: a client
    /// that has restarted (RFC 6347 section 4.2.8). Give it to
    /// [`super::Listener::datagram_from_unknown`] then, and replace this connection only when that
    /// accepts.
    #[must_use]
    pub fn is_restart(&self, datagram: &[u8]) -> bool {
        ClientHello::parse(datagram).is_some_and(|hello| hello.random != self.random)
    }

    /// Ends the connection; a close_notify waits in [`Self::poll_transmit`] if the handshake was
    /// done.
    pub fn close(&mut self) {
        match self.state {
            State::Closed(_) => return,
            State::Established => self.shutdown(),
            State::Handshake(_) => {}
        }
        self.state = State::Closed(CloseReason::Local);
    }

    fn shake_hands(&mut self) {
        ffi::clear_errors();
        match self.stream.accept() {
            Ok(()) => {
                self.state = State::Established;
                // RFC 6066 section 4: the server must keep to what it has agreed to.
                let agreed = ffi::max_fragment(self.stream.ssl()).unwrap_or(MAX_PAYLOAD);
                self.max_payload = agreed.min(MAX_PAYLOAD);
                // RFC 5288 section 3; RFC 7905 section 2 sends no nonce.
                let nonce = if self.cipher().is_some_and(|c| c.contains("GCM")) { 8 } else { 0 };
                self.overhead = nonce + TAG;
            }
            Err(error) if would_block(&error) => {}
            Err(error) => self.fail(&error),
        }
        ffi::clear_errors();
    }

    fn shutdown(&mut self) {
        ffi::clear_errors();
        // Whether the alert went out makes no difference: the connection ends here.
        let _ = self.stream.shutdown();
        ffi::clear_errors();
    }

    /// Reads the rest of a record that was too long for the caller and throws it away.
    fn skip_record(&mut self) {
        let mut scratch = [0; 1024];
        while self.stream.ssl().pending() > 0 {
            if self.stream.ssl_read(&mut scratch).is_err() {
                break;
            }
        }
    }

    fn fail(&mut self, error: &Error) {
        let why = error.ssl_error().map_or_else(|| "the transport failed".into(), reason);
        self.state = State::Closed(CloseReason::Failed(why));
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("state", &self.state).finish_non_exhaustive()
    }
}

fn would_block(error: &Error) -> bool {
    matches!(error.code(), ErrorCode::WANT_READ | ErrorCode::WANT_WRITE)
}
