//! The protocol of the control socket: what `turnctl` asks a running server, and what the server
//! answers.
//!
//! A connection carries one request. Both directions are lines of JSON that end with a line feed:
//!
//! ```text
//! {"protocol":1,"version":"0.1.0","command":"sessions","user":"alice"}
//! {"protocol":1,"session":{"client":"192.0.2.1:49152", ...}}
//! {"protocol":1,"version":"0.1.0","ok":true,"result":{"sessions":1}}
//! ```
//!
//! Every line has the number of the protocol, so that two programs of different releases notice it
//! before they misunderstand each other. Fields that are not known are ignored: adding one does not
//! change the number. Removing or renaming one, or giving it another meaning, does.
//!
//! Names say their unit: `_seconds` is a span of time, `_at` a moment in seconds since 1970. Addresses are written `192.0.2.1:3478` and `[2001:db8::1]:3478`.
//!
//! The types, the codec and the client's connection are here, for both programs; this module
//! depends on nothing else of the project.
#![forbid(unsafe_code)]

mod answer;
mod codec;
mod connection;
mod error;
mod fleet_status;
mod kernel_relay;
mod request;
mod session;
mod test_link;
#[cfg(test)]
mod tests;

pub use answer::{
    Answer, Ban, CarriedOver, Certificate, CertificateSummary, ClosingListener, FleetNode,
    FleetReport, Line, PageToken, RecordsState, ReloadOutcome, Status, TenantStatus,
};
pub use codec::{
    LONGEST_LINE, LONGEST_REQUEST, LineError, decode_request, encode_line, whole_line,
};
pub use connection::{ClientError, Connection, Received};
pub use error::{Error, ErrorKind, Mismatch, Peer};
pub use fleet_status::{
    FleetStatus, LONGEST_NODE_ANSWER, MOST_NODE_SESSIONS, NodeAnswer, NodeStatus,
};
pub use kernel_relay::{KernelRelay, PacketCount};
pub use request::{Banned, DoctorFinding, Request};
pub use session::{PortsUsed, Session, Traffic};
pub use test_link::{TestLink, TestReport, TestSeen, TestedPair, TestedUri};

/// The number of the protocol that this release speaks.
pub const PROTOCOL: u32 = 1;
