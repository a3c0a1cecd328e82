//! The spool, and the thread with receivers that fail in every way.

mod receivers;
mod recorder;
mod spool;
