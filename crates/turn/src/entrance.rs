//! Where a client came in, as far as it decides which realm it gets.

use std::sync::Arc;

/// Where a client came in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entrance {
    /// The realm that the operator has given to the listener.
    pub realm: Option<Arc<str>>,
    /// The name that the client asked for by TLS or DTLS (RFC 6066 section 3), in lower case.
    pub server_name: Option<Arc<str>>,
}
