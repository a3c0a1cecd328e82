//! Why the server refuses a request that is in order.

use taciturn_stun::ErrorCode;

/// A bound or a state of the server because of which it refuses a request that is in order.
///
/// The client gets an error code and a phrase in terms of the protocol. Which key of the configuration an
/// operator may have to change is known outside of this crate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// The user has as many allocations as one user may have.
    UserAllocations,
    /// With those on other servers of the fleet, the user has as many allocations as one user may have.
    UserAllocationsElsewhere,
    /// All users together have as many allocations as there may be.
    AllAllocations,
    /// The user makes allocations faster than one user may.
    UserAllocationRate,
    /// No relay port is free, or the system has no socket for it.
    NoRelayPort,
    /// The free relay ports are kept for users without an allocation.
    KeptPorts,
    /// EVEN-PORT: the next port is not free, or the user has too many reservations.
    NextPort,
    /// The server creates no new allocations, because it is being drained.
    Draining,
    /// The listener of the client was removed by a reload.
    RetiredListener,
    /// The allocation has as many permissions as one may have.
    Permissions,
    /// The allocation has as many channels as one may have.
    Channels,
    /// The allocation adds new peers faster than one may.
    AllocationPeerRate,
    /// The user adds new peers faster than one user may.
    UserPeerRate,
    /// The allocation has as many peer connections as one may have, or too many that are not bound.
    PeerConnections,
    /// All allocations together have as many peer connections as there may be.
    AllPeerConnections,
    /// Mobility is off.
    MobilityOff,
}

impl Cause {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::UserAllocations,
        Self::UserAllocationsElsewhere,
        Self::AllAllocations,
        Self::UserAllocationRate,
        Self::NoRelayPort,
        Self::KeptPorts,
        Self::NextPort,
        Self::Draining,
        Self::RetiredListener,
        Self::Permissions,
        Self::Channels,
        Self::AllocationPeerRate,
        Self::UserPeerRate,
        Self::PeerConnections,
        Self::AllPeerConnections,
        Self::MobilityOff,
    ];

    /// The error code of the answer. RFC 8656 section 7.2: 486 is about the user, 508 about the server.
    #[must_use]
    pub const fn code(self) -> ErrorCode {
        match self {
            Self::UserAllocations | Self::UserAllocationsElsewhere | Self::UserAllocationRate => {
                ErrorCode::ALLOCATION_QUOTA_REACHED
            }
            Self::MobilityOff => ErrorCode::MOBILITY_FORBIDDEN,
            Self::AllAllocations
            | Self::NoRelayPort
            | Self::KeptPorts
            | Self::NextPort
            | Self::Draining
            | Self::RetiredListener
            | Self::Permissions
            | Self::Channels
            | Self::AllocationPeerRate
            | Self::UserPeerRate
            | Self::PeerConnections
            | Self::AllPeerConnections => ErrorCode::INSUFFICIENT_CAPACITY,
        }
    }

    /// The reason phrase of the answer (RFC 8489 section 14.8).
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::UserAllocations => "This user has the maximum number of allocations",
            Self::UserAllocationsElsewhere => {
                "This user has the maximum number of allocations, with those on other servers"
            }
            Self::AllAllocations => "The server has the maximum number of allocations",
            Self::UserAllocationRate => "This user makes allocations too fast",
            Self::NoRelayPort => "No free relay port, or no socket to be had",
            Self::KeptPorts => "The last free relay ports are for users without an allocation",
            Self::NextPort => "The next port is taken, or the user holds too many reservations",
            Self::Draining => "The server is being drained",
            Self::RetiredListener => "This listener is being removed",
            Self::Permissions => "The allocation has the maximum number of permissions",
            Self::Channels => "The allocation has the maximum number of channels",
            Self::AllocationPeerRate => "The allocation adds new peers too fast",
            Self::UserPeerRate => "This user adds new peers too fast",
            Self::PeerConnections => {
                "The allocation has the maximum number of peer connections, or of unbound ones"
            }
            Self::AllPeerConnections => "The server has the maximum number of peer connections",
            Self::MobilityOff => "Mobility is off",
        }
    }
}
