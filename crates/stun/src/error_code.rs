//! Error codes: RFC 8489 section 14.8, RFC 8656 section 19, RFC 6062 section 6.3, RFC 8016
//! section 3.5.

use std::fmt;

/// A number from 300 to 699 with its reason phrase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ErrorCode(u16);

#[allow(missing_docs)] // the names are those of the RFCs
impl ErrorCode {
    pub const TRY_ALTERNATE: Self = Self(300);
    pub const BAD_REQUEST: Self = Self(400);
    pub const UNAUTHENTICATED: Self = Self(401);
    pub const FORBIDDEN: Self = Self(403);
    pub const MOBILITY_FORBIDDEN: Self = Self(405);
    pub const UNKNOWN_ATTRIBUTE: Self = Self(420);
    pub const ALLOCATION_MISMATCH: Self = Self(437);
    pub const STALE_NONCE: Self = Self(438);
    pub const ADDRESS_FAMILY_NOT_SUPPORTED: Self = Self(440);
    pub const WRONG_CREDENTIALS: Self = Self(441);
    pub const UNSUPPORTED_TRANSPORT: Self = Self(442);
    pub const PEER_ADDRESS_FAMILY_MISMATCH: Self = Self(443);
    pub const CONNECTION_ALREADY_EXISTS: Self = Self(446);
    pub const CONNECTION_TIMEOUT: Self = Self(447);
    pub const ALLOCATION_QUOTA_REACHED: Self = Self(486);
    pub const SERVER_ERROR: Self = Self(500);
    pub const INSUFFICIENT_CAPACITY: Self = Self(508);

    /// All that this server answers with.
    const ALL: [Self; 17] = [
        Self::TRY_ALTERNATE,
        Self::BAD_REQUEST,
        Self::UNAUTHENTICATED,
        Self::FORBIDDEN,
        Self::MOBILITY_FORBIDDEN,
        Self::UNKNOWN_ATTRIBUTE,
        Self::ALLOCATION_MISMATCH,
        Self::STALE_NONCE,
        Self::ADDRESS_FAMILY_NOT_SUPPORTED,
        Self::WRONG_CREDENTIALS,
        Self::UNSUPPORTED_TRANSPORT,
        Self::PEER_ADDRESS_FAMILY_MISMATCH,
        Self::CONNECTION_ALREADY_EXISTS,
        Self::CONNECTION_TIMEOUT,
        Self::ALLOCATION_QUOTA_REACHED,
        Self::SERVER_ERROR,
        Self::INSUFFICIENT_CAPACITY,
    ];

    /// The code of this number, if it is one that this server answers with.
    #[must_use]
    pub fn known(number: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.number() == number)
    }

    /// The number.
    #[must_use]
    pub const fn number(self) -> u16 {
        self.0
    }

    /// The phrase that the RFCs recommend.
    #[must_use]
    //= 8489-6.3.1.1-reason-phrase
    pub const fn reason(self) -> &'static str {
        match self.0 {
            300 => "Try Alternate",
            400 => "Bad Request",
            401 => "Unauthenticated",
            403 => "Forbidden",
            405 => "Mobility Forbidden",
            420 => "Unknown Attribute",
            437 => "Allocation Mismatch",
            438 => "Stale Nonce",
            440 => "Address Family not Supported",
            441 => "Wrong Credentials",
            442 => "Unsupported Transport Protocol",
            443 => "Peer Address Family Mismatch",
            446 => "Connection Already Exists",
            447 => "Connection Timeout or Failure",
            486 => "Allocation Quota Reached",
            500 => "Server Error",
            508 => "Insufficient Capacity",
            _ => "",
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.0, self.reason())
    }
}
