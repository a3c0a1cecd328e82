//! A batch in, a batch out.
//!
//! [`system::Ingress`] holds the buffers that a batch is received into, [`egress::Egress`] collects what is to be
//! sent of it. Two implementations stand behind them: `linux` (recvmmsg with UDP_GRO, sendmsg with
//! UDP_SEGMENT; its control messages are read and written in `control`) and `portable` (one datagram a
//! call), for other systems.

#[cfg(target_os = "linux")]
pub mod control;
pub(crate) mod datagrams;
pub(crate) mod egress;
pub(crate) mod ip_fields;
#[cfg(target_os = "linux")]
mod linux;
#[cfg(any(test, not(target_os = "linux")))]
mod portable;
mod segmentation;
pub(crate) mod system;
#[cfg(test)]
mod tests;
