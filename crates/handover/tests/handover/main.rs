//! Descriptors and state from one process to the next: both ends, over real sockets.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

mod claim;
mod descriptors;
mod failures;
mod hand_over;
mod processes;
mod rig;
