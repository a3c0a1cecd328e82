//! Crowds, exhaustion and time: tests that measure a process, one after another.

mod crowd;
mod dtls_memory;
mod exhaustion;
mod soak;
