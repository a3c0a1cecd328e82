//! The few OpenSSL calls that the `openssl` crate does not bind. The only `unsafe` of the module.
#![allow(unsafe_code)]
#![deny(unsafe_op_in_unsafe_fn)]

use std::ffi::{c_int, c_long, c_void};
use std::io::{Read, Write};
use std::ptr::{self, NonNull};
use std::time::Duration;

use foreign_types::ForeignTypeRef as _;
use openssl::ssl::{SslContextBuilder, SslRef, SslStream};
use openssl_sys as sys;

/// OpenSSL's `BIO_ADDR`, only ever behind a pointer.
#[repr(C)]
struct BioAddr {
    _opaque: [u8; 0],
}

unsafe extern "C" {
    fn DTLSv1_listen(ssl: *mut sys::SSL, client: *mut BioAddr) -> c_int;
    fn BIO_ADDR_new() -> *mut BioAddr;
    fn BIO_ADDR_free(addr: *mut BioAddr);
    fn SSL_SESSION_get_max_fragment_length(session: *const sys::SSL_SESSION) -> u8;
}

/// `SSL_CTRL_SET_MAX_SEND_FRAGMENT` of openssl/ssl.h.
const SET_MAX_SEND_FRAGMENT: c_int = 52;
/// `DTLS_CTRL_GET_TIMEOUT` of openssl/ssl.h.
const GET_TIMEOUT: c_int = 73;
/// `DTLS_CTRL_HANDLE_TIMEOUT` of openssl/ssl.h.
const HANDLE_TIMEOUT: c_int = 74;

/// A `BIO_ADDR` that is freed on every way out.
struct OwnedBioAddr(NonNull<BioAddr>);

impl OwnedBioAddr {
    fn new() -> Option<Self> {
        // SAFETY: takes no arguments; a null result means that memory ran out and is handled.
        NonNull::new(unsafe { BIO_ADDR_new() }).map(Self)
    }
}

impl Drop for OwnedBioAddr {
    fn drop(&mut self) {
        // SAFETY: the pointer came from BIO_ADDR_new, is owned by `self` and freed only here.
        unsafe { BIO_ADDR_free(self.0.as_ptr()) }
    }
}

/// What `handle_timeout` did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timer {
    /// No timer was due.
    NotDue,
    /// The last flight was sent again.
    Resent,
    /// Sent too often, or it could not be sent.
    Failed,
}

/// Empties this thread's OpenSSL error queue, so that no connection sees another one's errors.
pub(super) fn clear_errors() {
    // SAFETY: takes no arguments and touches only this thread's queue.
    unsafe { sys::ERR_clear_error() }
}

/// `DTLSv1_listen`: takes the datagram that waits in `stream`; `true` when it was a ClientHello
/// whose cookie the verify callback approved, so that the handshake may go on.
pub(super) fn listen<S: Read + Write>(stream: &mut SslStream<S>) -> bool {
    let Some(addr) = OwnedBioAddr::new() else { return false };
    // SAFETY: the SSL is alive and exclusively borrowed through `stream` for the whole call, so its
    // BIO callbacks are the only ones that touch `S`; `addr` is a live BIO_ADDR (never null, which
    // OpenSSL 3.0 would dereference) and outlives the call. OpenSSL keeps neither pointer.
    unsafe { DTLSv1_listen(stream.ssl().as_ptr(), addr.0.as_ptr()) >= 1 }
}

/// `DTLSv1_get_timeout`: how long until the retransmission timer is due; `None` when it is off.
pub(super) fn timeout(ssl: &SslRef) -> Option<Duration> {
    let mut left = libc::timeval { tv_sec: 0, tv_usec: 0 };
    // SAFETY: the SSL is alive behind `ssl`; this control only reads it and writes one timeval
    // through the pointer, which is valid for that and aligned.
    let armed = unsafe {
        sys::SSL_ctrl(ssl.as_ptr(), GET_TIMEOUT, 0, ptr::from_mut(&mut left).cast::<c_void>())
    };
    if armed != 1 {
        return None;
    }
    let secs = u64::try_from(left.tv_sec).unwrap_or(0);
    let micros = u64::try_from(left.tv_usec).unwrap_or(0);
    Some(Duration::from_secs(secs) + Duration::from_micros(micros))
}

/// `DTLSv1_handle_timeout`: sends the last flight again when its timer is due.
pub(super) fn handle_timeout<S: Read + Write>(stream: &mut SslStream<S>) -> Timer {
    // SAFETY: the SSL is alive and exclusively borrowed through `stream`, so the BIO callbacks the
    // call runs are the only ones that touch `S`; this control takes no pointer.
    match unsafe { sys::SSL_ctrl(stream.ssl().as_ptr(), HANDLE_TIMEOUT, 0, ptr::null_mut()) } {
        0 => Timer::NotDue,
        n if n > 0 => Timer::Resent,
        _ => Timer::Failed,
    }
}

/// `SSL_CTX_set_max_send_fragment`: bounds the payload of one record and with it the write buffer
/// that each connection owns. Nothing longer may be written afterwards: not every OpenSSL checks.
pub(super) fn set_max_send_fragment(builder: &mut SslContextBuilder, bytes: u16) -> bool {
    // SAFETY: the SSL_CTX is alive and exclusively borrowed through `builder`; this control takes
    // a number and no pointer.
    unsafe {
        sys::SSL_CTX_ctrl(
            builder.as_ptr(),
            SET_MAX_SEND_FRAGMENT,
            c_long::from(bytes),
            ptr::null_mut(),
        ) == 1
    }
}

/// Returns the payload, in bytes, to which the client has asked to keep records (RFC 6066 section 4).
///
/// OpenSSL up to 3.1 may cut the write buffer down to it. A longer write is past its end there, or
/// ends the connection where OpenSSL checks it.
pub(super) fn max_fragment(ssl: &SslRef) -> Option<u16> {
    let session = ssl.session()?;
    // SAFETY: the session is alive, as it is borrowed from the SSL; the call reads one byte of it.
    match unsafe { SSL_SESSION_get_max_fragment_length(session.as_ptr()) } {
        1 => Some(512),
        2 => Some(1024),
        3 => Some(2048),
        4 => Some(4096),
        _ => None,
    }
}
