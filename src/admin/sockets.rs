//! Which listeners can have the same socket, and which are in each other's way.

use std::net::{IpAddr, SocketAddr};

use taciturn_config::{Listen, Transport};

/// An address that cannot be bound because this server has it itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "listener \"{wanted}\": {address} is still held by the listener \"{holder}\", which was removed and serves its \
     calls until they end. Reload again when they have, or restart the server"
)]
pub struct InTheWay {
    /// The new listener.
    pub wanted: String,
    /// Its address.
    pub address: SocketAddr,
    /// The listener that goes.
    pub holder: String,
}

/// Checks that the listeners `new` can come in place of `old` while the server runs.
///
/// # Errors
/// The first listener whose address another one has, which cannot make room for it.
pub(super) fn check_sockets(old: &[Listen], new: &[Listen]) -> Result<(), InTheWay> {
    let mut leaving: Vec<&Listen> = old.iter().collect();
    let mut coming = Vec::new();
    for listen in new {
        match leaving.iter().position(|other| same_socket(listen, other)) {
            Some(at) => drop(leaving.remove(at)),
            None => coming.push(listen),
        }
    }
    for listen in coming {
        if let Some(holder) = leaving.iter().find(|other| in_the_way(listen, other)) {
            let (wanted, holder) = (listen.name.clone(), holder.name.clone());
            return Err(InTheWay { wanted, address: listen.address, holder });
        }
    }
    Ok(())
}

/// Whether the listener `new` can go on with the sockets of `old`: connections are told apart when they come
/// in, and DTLS clients can be told that their connection ends. Clients of plain UDP that are there cannot.
pub(super) fn same_socket(new: &Listen, old: &Listen) -> bool {
    use Transport::{Auto, Dtls, Tcp, Tls, Udp, UdpAndDtls};
    let goes_on = match old.transport {
        Udp | UdpAndDtls => matches!(new.transport, Udp | UdpAndDtls),
        Dtls => matches!(new.transport, Dtls | UdpAndDtls),
        Tcp | Tls | Auto => matches!(new.transport, Tcp | Tls | Auto),
    };
    // Of several on "any free port" the name says which is meant.
    goes_on && new.address == old.address && (has_port(new) || new.name == old.name)
}

/// Whether one cannot be bound while the other is.
pub(super) fn in_the_way(a: &Listen, b: &Listen) -> bool {
    let covers = |a: IpAddr, b: IpAddr| match a {
        IpAddr::V6(ip) => ip.is_unspecified(), // every address of both families
        IpAddr::V4(ip) => ip.is_unspecified() && b.is_ipv4(),
    };
    let (ip_a, ip_b) = (a.address.ip(), b.address.ip());
    a.transport.is_datagram() == b.transport.is_datagram()
        && has_port(a)
        && a.address.port() == b.address.port()
        && (ip_a == ip_b || covers(ip_a, ip_b) || covers(ip_b, ip_a))
}

/// Whether it is not on "any free port".
pub(super) const fn has_port(listen: &Listen) -> bool {
    listen.address.port() != 0
}
