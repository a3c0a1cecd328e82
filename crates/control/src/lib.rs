//! What `turnctl` asks of a running server, over its control socket.
#![forbid(unsafe_code)]

use serde::{Deserialize, Serialize};

/// What can be asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case")]
pub enum Request {
    /// How the server is.
    Status,
    /// The allocations there are.
    Sessions {
        /// Of this user alone.
        user: Option<String>,
    },
    /// End allocations.
    Kick {
        /// Of this user.
        user: Option<String>,
        /// Of this client, an address and a port.
        client: Option<std::net::SocketAddr>,
    },
    /// Read the configuration again.
    Reload,
    /// Make no allocation any more, and end when there is none.
    Drain {
        /// End after so many seconds in any case.
        timeout_seconds: Option<u64>,
    },
    /// Make allocations again.
    CancelDrain,
    /// What is logged.
    LogLevel {
        /// Log this from now on.
        filter: Option<String>,
        /// And what was logged before, after so many seconds.
        for_seconds: Option<u64>,
    },
    /// The certificates in use.
    Certs,
}
