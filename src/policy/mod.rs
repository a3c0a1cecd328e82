//! What those who may use the relay may do with it: peer rules, the port pool, quotas.
#![forbid(unsafe_code)]

mod connections;
mod peers;
mod ports;
mod quota;
mod strangers;

pub use connections::{ConnectionTicket, Connections};
pub use peers::{PeerPolicy, Refusal, built_in_rule, is_public, is_tunnelled};
pub use ports::{LeaseError, PortLease, PortPool, PortRange, PortRangeError, Wish};
pub use quota::{Quota, QuotaTicket};
pub use strangers::{AnswerLimit, SourceBudget};
