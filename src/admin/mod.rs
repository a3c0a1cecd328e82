//! The running server as its operator sees and changes it: metrics and health, the form of the log, the control
//! socket, the change from one configuration to another, and the certificates.
//!
//! `main.rs` joins this with `net`; what a change means for calls is in `turn`.
#![forbid(unsafe_code)]

mod answers;
mod cached;
mod certificate_report;
mod certificates;
pub mod control;
mod control_peer;
pub mod http;
mod http_connections;
mod http_responses;
mod ice;
mod keys;
mod listeners;
mod log_lines;
mod log_sink;
mod metrics;
mod node_answer;
mod overview;
mod page;
mod reload_plan;
mod server_handle;
mod sockets;
mod tenants;
mod test_links;
mod test_page;
mod test_report;
mod unix_time;
pub mod visitors;

pub use certificate_report::CertificateReport;
pub use certificates::{CertificateError, Certificates, Renewed, Successors};
pub use keys::LIMIT_NAMES;
pub use listeners::{Closing, ListenError, ListenerTable, Moved};
pub use log_lines::log_lines;
pub use log_sink::LogSink;
pub use node_answer::node_answer;
pub use reload_plan::ReloadPlan;
pub use server_handle::{DatabaseState, Health, ServerHandle};
pub use sockets::InTheWay;
