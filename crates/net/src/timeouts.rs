//! How long clients on TCP, TLS and DTLS may take: each connection holds memory.

use std::time::Duration;

/// How long a client may take for its first byte, and for the handshake of TLS or DTLS.
pub(super) const HANDSHAKE_TIME: Duration = Duration::from_secs(10);

/// How long the first whole message may take.
pub(super) const FIRST_MESSAGE: Duration = Duration::from_secs(10);

/// How long a client may be there without an allocation, in all: from its beginning, or from the end of
/// its allocation. Whatever it says meanwhile, for nobody needs that long to ask for one.
pub(super) const WITHOUT_ALLOCATION: Duration = Duration::from_secs(60);
