//! What can go wrong, in types. No text holds key material: OpenSSL's reasons are fixed strings.
#![forbid(unsafe_code)]

use openssl::error::ErrorStack;

/// An error of the DTLS layer.
#[derive(Debug, thiserror::Error)]
pub enum DtlsError {
    /// No certificate was given.
    #[error("the certificate chain is empty")]
    EmptyChain,
    /// A certificate of the chain cannot be used; the leaf has index 0.
    #[error("certificate {index} of the chain cannot be used: {reason}")]
    Certificate {
        /// Its place in the chain, from 0.
        index: usize,
        /// OpenSSL's reason.
        reason: Box<str>,
    },
    /// The private key cannot be read or used.
    #[error("the private key cannot be used: {0}")]
    PrivateKey(Box<str>),
    /// The private key does not belong to the leaf certificate.
    #[error("the private key does not belong to the first certificate of the chain")]
    KeyMismatch,
    /// OpenSSL refused a step that depends on no input.
    #[error("OpenSSL refused to {doing}: {reason}")]
    Library {
        /// The step.
        doing: &'static str,
        /// OpenSSL's reason.
        reason: Box<str>,
    },
    /// The system gave no random bytes.
    #[error("the system gave no random bytes: {0}")]
    Random(getrandom::Error),
    /// The MTU is outside of 256 to 4096 bytes.
    #[error("a DTLS MTU of {0} bytes is outside of 256 to 4096")]
    Mtu(u16),
    /// The handshake is not finished.
    #[error("the DTLS handshake is not finished")]
    NotEstablished,
    /// The connection is closed.
    #[error("the DTLS connection is closed")]
    Closed,
    /// The payload is longer than one record may be ([`super::Connection::max_payload`]).
    #[error("{0} bytes do not fit into one DTLS record")]
    TooLarge(usize),
    /// The output queue is full: the owner has not taken what is in it. Nothing was sent.
    #[error("the DTLS output queue is full")]
    QueueFull,
}

/// Returns the first reason of OpenSSL's `stack`, in its own fixed words.
pub(super) fn reason(stack: &ErrorStack) -> Box<str> {
    stack.errors().iter().find_map(|e| e.reason()).unwrap_or("no reason given").into()
}

/// For steps that depend on no input.
pub(super) fn library(doing: &'static str) -> impl Fn(ErrorStack) -> DtlsError {
    move |stack| DtlsError::Library { doing, reason: reason(&stack) }
}
