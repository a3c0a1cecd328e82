//! How long clients may take that hold memory by being there: over TCP, TLS and DTLS alike.

use std::time::Duration;

/// How long a client may take for its first byte, and for the handshake of TLS or DTLS.
pub(super) const HANDSHAKE_TIME: Duration = Duration::from_secs(10);

/// How long the first whole message may take.
pub(super) const FIRST_MESSAGE: Duration = Duration::from_secs(10);

/// How long a client without an allocation may be silent.
pub(super) const IDLE: Duration = Duration::from_secs(60);
