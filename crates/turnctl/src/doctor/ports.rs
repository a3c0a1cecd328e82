//! Ports, and whether a firewall lets them in.

use std::fmt;

use taciturn_config::{Config, Listen};

/// A transport protocol that a port belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Protocol {
    Udp,
    Tcp,
}

impl Protocol {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
        }
    }
}

/// Ports that have to be reached from everywhere, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ports {
    pub(super) protocol: Protocol,
    pub(super) first: u16,
    pub(super) last: u16,
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { protocol, first, last } = self;
        if first == last {
            return write!(f, "{first}/{}", protocol.name());
        }
        write!(f, "{first}-{last}/{}", protocol.name())
    }
}

/// The port of a listener; `None` where it is any free one.
pub(super) fn ports_of(listen: &Listen) -> Option<Ports> {
    let port = listen.address.port();
    let protocol = if listen.transport.is_datagram() { Protocol::Udp } else { Protocol::Tcp };
    (port != 0).then_some(Ports { protocol, first: port, last: port })
}

/// The relay ports.
pub(super) fn relay_ports(config: &Config) -> Ports {
    let range = config.relay_ports;
    Ports { protocol: Protocol::Udp, first: range.first(), last: range.last() }
}

/// What a firewall does with ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Passage {
    /// All of them are let in.
    Open,
    /// These are not.
    Closed(Vec<Ports>),
    /// A rule decides that is not understood here.
    Unsure,
}

/// What becomes of single ports, put together: closed ones as ranges.
pub(super) fn passage(ports: Ports, judge: impl Fn(u16) -> Option<bool>) -> Passage {
    let mut closed: Vec<Ports> = Vec::new();
    let mut unsure = false;
    for port in ports.first..=ports.last {
        match judge(port) {
            Some(true) => {}
            None => unsure = true,
            Some(false) => match closed.last_mut() {
                Some(range) if range.last.checked_add(1) == Some(port) => range.last = port,
                _ => closed.push(Ports { first: port, last: port, ..ports }),
            },
        }
    }
    match (closed.is_empty(), unsure) {
        (false, _) => Passage::Closed(closed),
        (true, true) => Passage::Unsure,
        (true, false) => Passage::Open,
    }
}
