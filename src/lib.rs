//! The server: how it is seen and changed while it runs, and what it does to its own process.
//!
//! What it serves is in the crates below: `taciturn-stun`, `taciturn-turn`, `taciturn-tls`, `taciturn-net`,
//! `taciturn-config`. docs/architecture.md has the map.
#![forbid(unsafe_code)]

pub mod admin;
pub mod bans;
pub mod kernel_relay;
pub mod notify;
pub mod process;
