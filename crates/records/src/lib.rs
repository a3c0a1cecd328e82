//! Records of what sessions have used: one line of JSON each, to a file, or by way of a spool on disk to a receiver.
//!
//! A thread of its own writes and delivers. Whoever has a record gives it to [`Recorder::put`], which waits for nothing.
//! A record counts as kept when its line is in the file or the spool and the system has confirmed that it is on the disk
//! (fdatasync). From then on it is lost neither by a kill nor by a restart, and is delivered at least once, with an id by
//! which a receiver can drop what comes twice. What could not be kept is counted by reason and said once.
#![forbid(unsafe_code)]

mod append;
mod counts;
mod deliver;
mod file;
mod http;
mod lines;
mod lock;
mod receiver;
mod record;
mod recorder;
mod rotation;
mod segment;
mod spool;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests;
mod time;
mod url;

pub use counts::{Counts, Dropped, Totals};
pub use file::{FileSettings, RecordFile};
pub use http::{HttpReceiver, HttpSettings};
pub use receiver::{Delivery, Receiver, Refused};
pub use record::{Addresses, Bytes, Record};
pub use recorder::{Ready, Recorder, Sink, Thread};
pub use spool::{Spool, SpoolError};
pub use url::Url;
