//! What several servers tell each other: which nodes there are, who is banned, whose sessions are ended; and a stream of
//! entries for others.
//!
//! Each server is whole by itself. A Valkey or Redis is the board that they write to and read from, in a task of its
//! own: no request waits for it, and no packet knows of it. What it holds is judged as a stranger's, and bounded.
#![forbid(unsafe_code)]

mod board;
mod channels;
mod counts;
mod entries;
mod link;
mod node;
mod questions;
mod reach;
mod sentinel;
mod settings;
mod task;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

pub use board::{BoardBan, BoardKick, Contents};
pub use channels::{LONGEST_MESSAGE, Listener, Publisher};
pub use counts::{Counts, Hearer, Teller, UserCount};
pub use entries::EntryWriter;
pub use node::NodeRecord;
pub use questions::{Asked, Asker, Questions, Replies, Wanted};
pub use settings::{Place, Sentinels, Settings};
pub use task::{Fleet, Order, State};
