//! The status page without sockets: its files, who may read it and who may act on it, the last hour of traffic, and what
//! `turnctl doctor` has found.
//!
//! The server serves it, on the address for metrics (`src/admin` there).
#![forbid(unsafe_code)]

mod access;
mod assets;
mod data;
mod headers;
mod history;
mod state;
mod tokens;

pub use access::{Access, Asker, Refused, Right};
pub use assets::{Asset, asset, test_asset};
pub use data::{DoctorReport, FailedLogin, Overview, RefusedPeers, SESSIONS};
pub use headers::HEADERS;
pub use history::{EVERY, History, Sample};
pub use state::PageState;
pub use tokens::{Token, Tokens};
