//! Crowds, exhaustion and time: tests that measure a process, one after another.
// The lock is what keeps the tests apart, and each has a runtime of its own.
#![allow(clippy::await_holding_lock)]

mod crowd;
mod dtls_memory;
mod exhaustion;
mod soak;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Held by each test while it runs: they measure processes and fill tables, and must not disturb each other.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}
