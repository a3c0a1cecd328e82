//! Listeners: what is configured, and the sockets of each worker.

pub(crate) mod bind;
pub(crate) mod datagrams;
pub(crate) mod error;
pub(crate) mod id;
pub(crate) mod udp;
