//! Clients on connections: TCP and TLS, with or without a PROXY protocol header in front.
//!
//! A connection is a task of the worker that accepted it. What it reads goes to the worker's shard
//! by a plain call; what the shard has for it is put into its [`send_queue::SendQueue`], which is bounded, so
//! that a slow client delays nobody.
//= 8656-5-tcp-tls-dtls

pub(crate) mod accept;
pub(crate) mod connection;
pub(crate) mod continuation;
mod handshake;
pub(crate) mod listener_handle;
mod misdirected;
mod receive_buffer;
mod rewound;
pub(crate) mod send_queue;
pub(crate) mod settings;
pub(crate) mod sockets;
#[cfg(test)]
mod tests;
