//! The module as its users see it: sources, renewal, handshakes.

mod acme;
mod handshake;
mod load;
mod renewal;
mod warnings;
