//! Listening sockets of another process, for this one to listen on.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use taciturn_handover::{Group, Transport};

/// The listening sockets that were carried over, those of one address together and in the order by which the kernel
/// chooses among them (SO_REUSEPORT). What is not taken is closed.
#[derive(Debug, Default)]
pub struct Groups(Vec<Group>);

impl Groups {
    pub(super) const fn new(groups: Vec<Group>) -> Self {
        Self(groups)
    }

    /// Keeps only those at the addresses that `wanted` is true for: any other would be in the way of a socket that is
    /// bound anew.
    pub(crate) fn retain(&mut self, wanted: impl Fn(bool, SocketAddr) -> bool) {
        self.0.retain(|group| wanted(is_stream(group), group.address));
    }

    /// Takes the sockets at an address, for connections or for datagrams. There are none where nothing was carried
    /// over.
    pub(crate) fn take(&mut self, streams: bool, address: SocketAddr) -> Vec<OwnedFd> {
        let at =
            self.0.iter().position(|group| (is_stream(group), group.address) == (streams, address));
        at.map(|at| self.0.swap_remove(at).sockets).unwrap_or_default()
    }
}

fn is_stream(group: &Group) -> bool {
    group.transport == Transport::Tcp
}
