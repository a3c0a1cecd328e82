//! Why bytes are not a STUN message.

/// Why bytes are not a STUN message. The server never answers such bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Fewer than 20 bytes.
    #[error("shorter than a STUN header")]
    Short,
    /// One of the two top bits is set.
    #[error("the two top bits are not zero")]
    TopBits,
    /// RFC 3489, or another protocol.
    #[error("no magic cookie")]
    Cookie,
    /// The length field and the bytes disagree, or the length is not a multiple of 4.
    #[error("the length field does not match")]
    Length,
    /// An attribute reaches past the end.
    #[error("an attribute reaches past the end")]
    Attribute,
    /// RFC 8489 section 14.7: FINGERPRINT is the last attribute.
    #[error("an attribute follows FINGERPRINT")]
    AfterFingerprint,
    /// FINGERPRINT is present and wrong (RFC 8489 section 6.3).
    #[error("FINGERPRINT does not match")]
    Fingerprint,
}
