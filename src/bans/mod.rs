//! Users and addresses that the operator has banned: the list, and the file that keeps it over a restart.
//!
//! What a ban does to requests and sessions is in `taciturn-turn`.
#![forbid(unsafe_code)]

mod file;
mod list;
mod merge;

pub use file::{BanFile, ReadError};
pub use list::{BanList, MOST, Term, Unlisted};
pub use merge::{Memory, Tell};
