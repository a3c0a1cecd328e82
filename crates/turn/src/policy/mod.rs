//! What those who may use the relay may do with it: peer rules, the port pool, quotas, rates.
#![forbid(unsafe_code)]

mod budget;
mod connections;
mod failures;
mod handshakes;
mod own_services;
mod peers;
mod ports;
mod quota;
mod rates;
mod repeats;
mod strangers;

pub use connections::{ConnectionTicket, Connections, UnnamedTicket};
pub use failures::FailureLimit;
pub use handshakes::{HandshakeLimit, WorkShare};
pub use own_services::allow_line;
pub use peers::{PeerPolicy, Refusal, built_in_rule, is_public, is_tunnelled};
pub use ports::{
    LeaseError, PORT_QUARANTINE, PortLease, PortPool, PortRange, PortRangeError, Wish,
};
pub use quota::{Quota, QuotaError, QuotaTicket, User};
pub use rates::{Counted, Direction, Each, Exceeded, Meter, RateLimits, Rates, Scope, StreamLimit};
pub use strangers::{Admission, AllocationAnswers, AnswerLimit, SourceBudget, subscriber};
