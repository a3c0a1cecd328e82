//! Why a listener cannot be had.

use std::io;
use std::net::SocketAddr;

/// Why a listening socket cannot be bound, in words.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}/{protocol}: {}", explain(*address, protocol, error))]
pub struct BindError {
    /// Where.
    pub address: SocketAddr,
    /// "udp" or "tcp".
    pub protocol: &'static str,
    /// What the system said.
    pub error: io::Error,
}

fn explain(address: SocketAddr, protocol: &str, error: &io::Error) -> String {
    let port = address.port();
    let option = if protocol == "udp" { 'u' } else { 't' };
    match error.kind() {
        io::ErrorKind::AddrInUse => format!(
            "another program has the port. `ss -l{option}np 'sport = :{port}'` names it (often coturn, \
             Jitsi, Nextcloud Talk or a second taciturn); stop it, or set another `address`"
        ),
        io::ErrorKind::AddrNotAvailable => format!(
            "no interface of this host has {}. Set `address` to one that `ip address` shows, or to \
             [::]:{port} for all",
            address.ip()
        ),
        io::ErrorKind::PermissionDenied => {
            "ports below 1024 need CAP_NET_BIND_SERVICE. Give it to the service, or use a port above 1023".to_owned()
        }
        _ => error.to_string(),
    }
}

/// Why a DTLS listener cannot be served, in words.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct DtlsUnavailable(pub(crate) String);
