//! The system calls of a batch: those of this system.

#[cfg(target_os = "linux")]
pub(crate) use super::linux::{
    Ingress, SendBatch, dont_fragment, icmp_errors, overflowed, prepare, send, tell_icmp_errors,
};
#[cfg(not(target_os = "linux"))]
pub(crate) use super::portable::{
    Ingress, dont_fragment, icmp_errors, overflowed, prepare, send, tell_icmp_errors,
};
