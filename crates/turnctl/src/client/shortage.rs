//! Why a server that accepts the credentials creates no allocation.

use super::ClientError;
use taciturn_stun::Method;
use taciturn_turn::Cause;

/// The resource that a server has run out of, by its error code and reason phrase (RFC 8656 section 7.2:
/// 486 is about the user, 508 about the server).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortage {
    /// This user has as many allocations as it may. coturn sends the same for its `total-quota`.
    User,
    /// All users together have as many as they may.
    All,
    /// The last relay ports are kept for users who have none yet.
    KeptPorts,
    /// There is no free relay port. Assumed if the server sends only the code.
    Ports,
    /// The server is draining: it exits when its last call has ended.
    Draining,
    /// The listener was removed from the server's configuration and accepts no new clients.
    Listener,
}

impl Shortage {
    /// `None` where an Allocate was refused for another reason, and for other requests.
    #[must_use]
    pub fn of(error: &ClientError) -> Option<Self> {
        let ClientError::Refused { method: Method::ALLOCATE, code, reason } = error else {
            return None;
        };
        let says = |words: &str| reason.contains(words);
        match code {
            486 => Some(Self::User),
            // coturn answers 403 while it drains, which elsewhere is about the peer.
            403 | 508 if says("drain") => Some(Self::Draining),
            508 if says(Cause::RetiredListener.reason()) => Some(Self::Listener),
            508 if says(Cause::KeptPorts.reason()) => Some(Self::KeptPorts),
            508 if says(Cause::AllAllocations.reason()) => Some(Self::All),
            508 => Some(Self::Ports),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(code: u16, reason: &str) -> Option<Shortage> {
        Shortage::of(&ClientError::Refused {
            method: Method::ALLOCATE,
            code,
            reason: reason.to_owned(),
        })
    }

    #[test]
    fn other_servers_are_understood() {
        let coturn = "Server is draining, then will shutdown, please try another server";
        assert_eq!(of(403, coturn), Some(Shortage::Draining));
        assert_eq!(of(508, "Cannot create socket"), Some(Shortage::Ports));
        assert_eq!(of(508, "Insufficient Capacity"), Some(Shortage::Ports));
        assert_eq!(of(508, ""), Some(Shortage::Ports));
        assert_eq!(of(486, "Allocation Quota Reached"), Some(Shortage::User));
    }

    #[test]
    fn this_server_is_understood() {
        let own = |cause: Cause| of(cause.code().number(), cause.reason());
        assert_eq!(own(Cause::UserAllocations), Some(Shortage::User));
        assert_eq!(own(Cause::UserAllocationsElsewhere), Some(Shortage::User));
        assert_eq!(own(Cause::AllAllocations), Some(Shortage::All));
        assert_eq!(own(Cause::NoRelayPort), Some(Shortage::Ports));
        assert_eq!(own(Cause::KeptPorts), Some(Shortage::KeptPorts));
        assert_eq!(own(Cause::Draining), Some(Shortage::Draining));
        assert_eq!(own(Cause::RetiredListener), Some(Shortage::Listener));
    }

    #[test]
    fn other_refusals_are_no_shortage() {
        assert_eq!(of(403, "Forbidden IP"), None);
        assert_eq!(of(401, "drain"), None);
        assert_eq!(Shortage::of(&ClientError::Closed), None);
    }
}
