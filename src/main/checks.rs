//! What of a configuration can only be judged on the machine that it is for.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use taciturn_config::Config;
use taciturn_net::external::External;

use super::failure::Failure;

/// Descriptors other than relay sockets and listeners: epolls, signals, the terminal, the log.
const SPARE_DESCRIPTORS: u64 = 64;

/// Refuses to redirect clients to this server itself, which would send them here again and again.
pub(super) fn redirect(config: &Config, external: &External) -> Result<(), Failure> {
    let Some(redirect) = &config.redirect else { return Ok(()) };
    for server in redirect.plain.iter().chain(&redirect.secure).flatten() {
        let listens = config.listen.iter().any(|listen| listen.address.port() == server.port());
        if listens && external.own.contains(&server.ip()) {
            let error = format!(
                "[redirect]: {server} is this server itself. Name another server, or remove the section"
            );
            return Err(error.into());
        }
    }
    Ok(())
}

/// Refuses addresses of NAT discovery (RFC 5780) that are not of this machine.
pub(super) fn nat_discovery(config: &Config) -> Result<(), Failure> {
    let addresses = config.nat_discovery.iter().flat_map(|discovery| discovery.addresses);
    for address in addresses.flatten().flatten() {
        std::net::UdpSocket::bind((address.local, 0)).map_err(|error| {
            format!(
                "protocol.nat_discovery: no answer can be sent from {} ({error}); name addresses that \
                 `ip address` shows",
                address.local
            )
        })?;
    }
    Ok(())
}

/// Refuses ICMP errors where the system does not report them.
pub(super) fn icmp_errors(config: &Config) -> Result<(), Failure> {
    match config.protocol.icmp_errors && !cfg!(target_os = "linux") {
        true => Err("protocol.icmp_errors works on Linux only; remove it".into()),
        false => Ok(()),
    }
}

/// Makes room for as many descriptors as the configuration needs. Each relayed address takes one, and the usual soft
/// limit of 1024 is below the default range of ports.
pub(super) fn make_room_for_descriptors(config: &Config) {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!("cannot raise the limit of open files: {error}");
    }
    let has_streams = config.listen.iter().any(|listen| !listen.transport.is_datagram());
    let connections = if has_streams { u64::from(config.limits.connections) } else { 0 };
    let connections = if config.protocol.tcp_relay { 2 * connections } else { connections };
    let needed = 2 * u64::from(config.relay_ports.len()) + connections + SPARE_DESCRIPTORS;
    let allowed = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    if allowed < needed {
        tracing::warn!(
            "this process may open {allowed} files, but {needed} are needed for all relay ports and connections. \
             Set LimitNOFILE={needed} in the systemd unit, or --ulimit nofile={needed} for a container"
        );
    }
    grow_descriptor_table(allowed.min(needed));
}

/// Lets the table of descriptors have `size` places now. Linux doubles it whenever it is full, and in a process with
/// threads each time waits until all processors have passed a scheduler tick: a worker that opens the 65th, 257th or
/// 1025th socket would stand still for about 20 ms, with all calls on it.
fn grow_descriptor_table(size: u64) {
    let Ok(last) = i32::try_from(size.saturating_sub(1)) else { return };
    // Closed at once: the table does not shrink. If it fails, the table grows later.
    let _ = rustix::io::fcntl_dupfd_cloexec(std::io::stderr(), last);
}
