//! What those who may use the relay may do with it: peer rules, the port pool, quotas, rates.
#![forbid(unsafe_code)]

mod bans;
mod budget;
mod connections;
mod failures;
mod handshakes;
mod meter;
mod peer_ports;
mod peers;
mod ports;
mod quota;
mod rates;
mod repeats;
mod requests;
mod source_budget;
mod stream_limit;
mod unverified;

pub use bans::{BanError, Banned, Bans};
pub use connections::{ConnectionTicket, Connections, UnnamedTicket};
pub use failures::FailureLimit;
pub use handshakes::{HandshakeLimit, WorkShare};
pub use meter::{Counted, Direction, Meter, Spent};
pub use peer_ports::{PeerPorts, PeerPortsError};
pub use peers::{PeerPolicy, Refusal, built_in_rule, is_public, is_tunnelled};
pub use ports::snapshot::{LeasedPort, PortsSnapshot, ReservedPort, Resting, RestingPort};
pub use ports::{
    LeaseError, PORT_QUARANTINE, PortLease, PortPool, PortRange, PortRangeError, Wish,
};
pub use quota::{Quota, QuotaError, QuotaTicket, SpentByUser, User, UserTag};
pub use rates::{Each, Exceeded, RateLimits, Rates, Scope};
pub use requests::{REQUESTS_PER_SECOND, RequestBudget, RequestLimit};
pub use source_budget::{SourceBudget, subscriber};
pub use stream_limit::StreamLimit;
pub use unverified::{Admission, AllocationAnswers, AnswerLimit};
