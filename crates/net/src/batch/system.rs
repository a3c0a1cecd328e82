//! The system calls of a batch: those of this system.

#[cfg(target_os = "linux")]
pub(crate) use super::linux::{
    Ingress, SendBatch, dont_fragment, dscp_of_connection, icmp_errors, join_datagrams, overflowed,
    prepare, remember_dscp, send, tell_icmp_errors, tell_ip_fields,
};
#[cfg(not(target_os = "linux"))]
pub(crate) use super::portable::{
    Ingress, dont_fragment, dscp_of_connection, icmp_errors, join_datagrams, overflowed, prepare,
    remember_dscp, send, tell_icmp_errors, tell_ip_fields,
};
