//! How a request fails.

use super::auth::RealmId;
use super::cause::Cause;
use super::redirect::Alternate;
use taciturn_stun::{BadAttribute, ErrorCode, Unknown};

/// Success, with the attributes already written, or the error to answer with.
pub(super) type Answer = Result<(), Failure>;

/// An error answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Failure {
    code: ErrorCode,
    /// The reason phrase; where it is empty, that of the code.
    reason: &'static str,
    /// Why, if the request itself is in order.
    cause: Option<Cause>,
    extra: Extra,
}

/// What an error answer has beyond its code and reason phrase.
#[derive(Clone, Copy, Debug)]
pub(super) enum Extra {
    /// Nothing.
    None,
    /// REALM and a fresh NONCE.
    Challenge(RealmId),
    /// UNKNOWN-ATTRIBUTES.
    Unknown(Unknown),
    /// ALTERNATE-SERVER.
    Alternate(Alternate),
    /// There is no answer at all: the client repeats the request, and gets an answer then.
    Silence,
}

impl Failure {
    pub(super) const fn new(code: ErrorCode, reason: &'static str) -> Self {
        Self { code, reason, cause: None, extra: Extra::None }
    }

    /// No answer. The code is what the log of requests shows.
    pub(super) const fn silence() -> Self {
        Self { extra: Extra::Silence, ..Self::new(ErrorCode::ALLOCATION_MISMATCH, "") }
    }

    pub(super) const fn challenge(code: ErrorCode, realm: RealmId) -> Self {
        Self { extra: Extra::Challenge(realm), ..Self::new(code, "") }
    }

    pub(super) const fn try_alternate(alternate: Alternate) -> Self {
        Self { extra: Extra::Alternate(alternate), ..Self::new(ErrorCode::TRY_ALTERNATE, "") }
    }

    pub(super) const fn unknown(unknown: Unknown) -> Self {
        Self { extra: Extra::Unknown(unknown), ..Self::new(ErrorCode::UNKNOWN_ATTRIBUTE, "") }
    }

    pub(super) const fn code(&self) -> ErrorCode {
        self.code
    }

    pub(super) const fn reason(&self) -> &'static str {
        self.reason
    }

    pub(super) const fn cause(&self) -> Option<Cause> {
        self.cause
    }

    pub(super) const fn extra(&self) -> &Extra {
        &self.extra
    }
}

impl From<Cause> for Failure {
    fn from(cause: Cause) -> Self {
        Self { cause: Some(cause), ..Self::new(cause.code(), cause.reason()) }
    }
}

impl From<BadAttribute> for Failure {
    fn from(bad: BadAttribute) -> Self {
        let reason = match bad {
            BadAttribute::Length => "Attribute of wrong length",
            BadAttribute::Family => "Unknown address family",
            BadAttribute::Text => "Attribute is not UTF-8",
            BadAttribute::Value => "Attribute out of range",
        };
        Self::new(ErrorCode::BAD_REQUEST, reason)
    }
}
