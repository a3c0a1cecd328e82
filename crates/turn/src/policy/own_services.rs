//! What lets clients reach a program on the relay's own machine, such as a media server: one place for the words.

use std::net::IpAddr;

/// The setting by which clients may relay to other programs at `address`, an address of this server.
#[must_use]
pub fn allow_line(address: IpAddr) -> String {
    format!("peers.allow = [\"{address}\"]")
}
