//! The running server as its operator sees and changes it: metrics and health, the form of the log, the control
//! socket, the change from one configuration to another, and the certificates.
//!
//! `main.rs` joins this with `net`; what a change means for calls is in `turn`.
#![forbid(unsafe_code)]

mod answers;
mod asker;
mod board;
mod cached;
mod certificates;
pub mod control;
mod guests;
pub mod http;
mod keys;
mod listeners;
mod log_lines;
mod log_sink;
mod metrics;
mod reload_plan;
mod served;
mod sockets;
mod unix_time;

pub use board::{Board, Health};
pub use certificates::{CertificateError, Certificates, Renewed, Successors};
pub use keys::LIMIT_NAMES;
pub use listeners::{Closing, ListenError, ListenerTable, Moved};
pub use log_lines::log_lines;
pub use log_sink::LogSink;
pub use reload_plan::ReloadPlan;
pub use served::Served;
pub use sockets::InTheWay;
