//! What those who may use the relay may do with it: peer rules, the port pool, quotas.
#![forbid(unsafe_code)]

mod ports;

pub use ports::{PortRange, PortRangeError};
