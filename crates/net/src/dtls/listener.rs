//! Datagrams from unknown sources: cookies for strangers, connections for clients that return one.
#![forbid(unsafe_code)]

use std::fmt;
use std::net::SocketAddr;
use std::time::Instant;

use super::connection::{Connection, MAX_PAYLOAD};
use super::context::DtlsContext;
use super::cookie::CookieKeys;
use super::error::DtlsError;
use super::hello::{ClientHello, VERIFY_REQUEST_LEN};

/// Bytes of a handshake datagram's UDP payload unless set otherwise: fits into 1280 (IPv6's
/// minimum) with room for a tunnel.
pub const DEFAULT_MTU: u16 = 1200;

/// What to do with a datagram from a source without a connection.
#[derive(Debug)]
#[must_use]
pub enum Admission<'a> {
    /// Send these bytes back (a HelloVerifyRequest). Never longer than what came in, and nothing
    /// was kept. The owner limits how many go out: the source may be forged.
    Reply(&'a [u8]),
    /// Ignore the datagram. Nothing was kept.
    Drop,
    /// The source receives what is sent to it: keep this connection for it. Its first flight waits
    /// in [`Connection::poll_transmit`]. It may be closed already (a client that offers nothing we
    /// take), with an alert waiting there.
    Accept(Connection),
}

/// Admits connections on one UDP socket of a shard.
///
/// Its size does not depend on who knocks: one key pair and one answer buffer. `Debug` shows no
/// cookie.
pub struct Listener {
    context: DtlsContext,
    keys: CookieKeys,
    mtu: u16,
    answer: [u8; VERIFY_REQUEST_LEN],
}

impl Listener {
    /// A listener that serves `context`, with fresh cookie keys.
    ///
    /// # Errors
    /// [`DtlsError::Random`] when the system gives no random bytes.
    pub fn new(context: DtlsContext, now: Instant) -> Result<Self, DtlsError> {
        let keys = CookieKeys::new(now)?;
        Ok(Self { context, keys, mtu: DEFAULT_MTU, answer: [0; VERIFY_REQUEST_LEN] })
    }

    /// Serves new connections with `context` from now on; running ones keep theirs.
    pub fn set_context(&mut self, context: DtlsContext) {
        self.context = context;
    }

    /// Sets the longest UDP payload, in bytes, of handshake datagrams of new connections
    /// (RFC 6347 section 4.1.1.1); 256 to 4096. Application records are as long as their payload.
    ///
    /// # Errors
    /// [`DtlsError::Mtu`] outside of these limits; the old value stays.
    pub fn set_mtu(&mut self, mtu: u16) -> Result<(), DtlsError> {
        if !(256..=MAX_PAYLOAD).contains(&mtu) {
            return Err(DtlsError::Mtu(mtu));
        }
        self.mtu = mtu;
        Ok(())
    }

    /// Judges a datagram from `client`, which has no connection (or may start a new one, see
    /// [`Connection::is_restart`]).
    ///
    /// Anything but one whole ClientHello is dropped unread. A ClientHello without a good cookie
    /// gets one (RFC 6347 section 4.2.1 wants a wrong cookie treated like none); with one, it gets
    /// a connection. `now` turns the cookie keys over once an hour.
    pub fn datagram_from_unknown(
        &mut self,
        client: SocketAddr,
        datagram: &[u8],
        now: Instant,
    ) -> Admission<'_> {
        self.datagram_from_unknown_if(client, datagram, now, || true)
    }

    /// As [`Self::datagram_from_unknown`], and asks `has_room` once the cookie is good, before the
    /// handshake costs anything. Without room the datagram is dropped; the client sends it again.
    pub fn datagram_from_unknown_if(
        &mut self,
        client: SocketAddr,
        datagram: &[u8],
        now: Instant,
        has_room: impl FnOnce() -> bool,
    ) -> Admission<'_> {
        let Some(hello) = ClientHello::parse(datagram) else { return Admission::Drop };
        // 0 in the first ClientHello and 1 in the second: OpenSSL continues from 1.
        if hello.message_seq > 1 {
            return Admission::Drop;
        }
        self.keys.rotate(now);
        let returned = hello.message_seq == 1 && self.keys.verify(client, hello.cookie);
        if !returned {
            self.answer = hello.verify_request(&self.keys.make(client));
            return Admission::Reply(&self.answer);
        }
        if !has_room() {
            return Admission::Drop;
        }
        match self.accept(&hello, datagram) {
            Ok(Some(connection)) => Admission::Accept(connection),
            // Out of memory, or OpenSSL reads the ClientHello otherwise than we do.
            Ok(None) | Err(_) => Admission::Drop,
        }
    }

    fn accept(
        &self,
        hello: &ClientHello<'_>,
        datagram: &[u8],
    ) -> Result<Option<Connection>, DtlsError> {
        // `verify` compared all of it, so the length fits.
        let Ok(cookie) = hello.cookie.try_into() else { return Ok(None) };
        let ssl = self.context.ssl(cookie, self.mtu)?;
        Connection::accept(ssl, hello.random, datagram)
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").field("mtu", &self.mtu).finish_non_exhaustive()
    }
}
