//! The status page and test links, without sockets: their files; who may read the status page and who may act on it, the
//! last hour of traffic, and what `turnctl doctor` has found; and in [`test`] what a link is and what a test comes to.
//!
//! And who may have credentials made for an application, and what is asked for then.
//!
//! The server serves both (`src/admin` there): the status page on the address for metrics, a link on its listeners.
#![forbid(unsafe_code)]

mod access;
mod assets;
mod callers;
mod data;
mod headers;
mod history;
mod ice_request;
mod state;
pub mod test;
mod tokens;

pub use access::{Access, Asker, Refused, Right};
pub use assets::{Asset, asset, test_asset};
pub use callers::{Caller, Callers};
pub use data::{DoctorReport, FailedLogin, Overview, RefusedPeers, SESSIONS};
pub use headers::HEADERS;
pub use history::{EVERY, History, Sample};
pub use ice_request::{IceRequest, LONGEST_USER};
pub use state::PageState;
pub use tokens::{Token, Tokens};
