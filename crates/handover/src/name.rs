//! What a descriptor is: its name in the list of them, and where systemd keeps it (FDNAME).
//!
//! A name is text, because systemd shows it and keeps it: at most 255 characters of ASCII without control
//! characters and without ":" (sd_notify(3)). An IPv6 address has "_" in place of ":", and a port follows "+":
//!
//! ```text
//! listener/udp/2001_db8__1+3478/0/4
//! relay/203.0.113.7+59000
//! client/203.0.113.7+3478/198.51.100.9+49152
//! ```
//!
//! Each descriptor has one name, and each name one text: what is not written exactly so is no name.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::str::{FromStr, Split};

/// The longest name that systemd keeps, in bytes.
const LONGEST: usize = 255;

/// What a descriptor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Name {
    /// A listening socket of one worker.
    Listener {
        /// What comes in there.
        transport: Transport,
        /// Where it is bound.
        address: SocketAddr,
        /// Which of the sockets there it is.
        place: Place,
    },
    /// The UDP socket of a relayed transport address.
    Relay(SocketAddr),
    /// The TCP connection of a client.
    Client {
        /// The server's address and port.
        local: SocketAddr,
        /// The client's.
        remote: SocketAddr,
    },
    /// The TCP socket that listens at a relayed transport address (RFC 6062, section 4.2).
    PeerListener(SocketAddr),
    /// A TCP connection between a relayed transport address and a peer (RFC 6062, section 3).
    PeerConnection {
        /// The relayed transport address.
        relayed: SocketAddr,
        /// The peer's.
        peer: SocketAddr,
    },
    /// The control socket.
    Control,
    /// The socket for metrics.
    Metrics(SocketAddr),
    /// A socket in which all sockets of the list with this number wait.
    Sockets(u32),
    /// The list of all of them, with the snapshot. Of two the one with the higher number is the later one.
    State(u32),
}

/// What comes in at a listening socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// Datagrams of STUN and ChannelData.
    Udp,
    /// Datagrams of DTLS.
    Dtls,
    /// Connections, whatever is spoken there.
    Tcp,
}

/// A place among the sockets that share one address and port (SO_REUSEPORT). The kernel chooses by their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The first is 0.
    index: u16,
    /// How many there are.
    of: u16,
}

impl Place {
    /// `None` if there is no such place.
    #[must_use]
    pub const fn new(index: u16, of: u16) -> Option<Self> {
        if index < of { Some(Self { index, of }) } else { None }
    }

    /// The first is 0.
    #[must_use]
    pub const fn index(self) -> u16 {
        self.index
    }

    /// How many there are: one or more.
    #[must_use]
    pub const fn of(self) -> u16 {
        self.of
    }
}

/// A text that is no name. What it was is not repeated in full: it may come from anywhere.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not a name of a descriptor of this server")]
pub struct BadName(String);

impl BadName {
    fn of(text: &str) -> Self {
        let shown = text.chars().take(60).map(|c| if c.is_control() { '?' } else { c });
        Self(shown.collect())
    }

    /// The text, in short.
    pub(super) fn shown(self) -> String {
        self.0
    }
}

impl Transport {
    const ALL: [Self; 3] = [Self::Udp, Self::Dtls, Self::Tcp];

    /// `udp`, `dtls` or `tcp`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Dtls => "dtls",
            Self::Tcp => "tcp",
        }
    }
}

/// An address and port without the characters that a name may not have.
struct At(SocketAddr);

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            SocketAddr::V4(at) => write!(f, "{}+{}", at.ip(), at.port()),
            SocketAddr::V6(at) => {
                f.write_str(&at.ip().to_string().replace(':', "_"))?;
                // The interface of a link-local address.
                if at.scope_id() != 0 {
                    write!(f, "%{}", at.scope_id())?;
                }
                write!(f, "+{}", at.port())
            }
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listener { transport, address, place } => {
                let (transport, Place { index, of }) = (transport.name(), place);
                write!(f, "listener/{transport}/{}/{index}/{of}", At(*address))
            }
            Self::Relay(address) => write!(f, "relay/{}", At(*address)),
            Self::Client { local, remote } => write!(f, "client/{}/{}", At(*local), At(*remote)),
            Self::PeerListener(address) => write!(f, "peer-listener/{}", At(*address)),
            Self::PeerConnection { relayed, peer } => {
                write!(f, "peer-connection/{}/{}", At(*relayed), At(*peer))
            }
            Self::Control => f.write_str("control"),
            Self::Metrics(address) => write!(f, "metrics/{}", At(*address)),
            Self::Sockets(number) => write!(f, "sockets/{number}"),
            Self::State(number) => write!(f, "state/{number}"),
        }
    }
}

impl FromStr for Name {
    type Err = BadName;

    /// Total: any text is a name, or an error.
    fn from_str(text: &str) -> Result<Self, BadName> {
        let name = (text.len() <= LONGEST).then(|| read(text)).flatten();
        // One text for each name, or one descriptor could be there twice.
        name.filter(|name| name.to_string() == text).ok_or_else(|| BadName::of(text))
    }
}

fn read(text: &str) -> Option<Name> {
    let (kind, rest) = text.split_once('/').unwrap_or((text, ""));
    let mut fields = rest.split('/');
    let name = match kind {
        "listener" => {
            let transport = fields.next()?;
            let transport = Transport::ALL.into_iter().find(|known| known.name() == transport)?;
            let (address, index) = (address(&mut fields)?, number(&mut fields)?);
            let place = Place::new(index, number(&mut fields)?)?;
            Name::Listener { transport, address, place }
        }
        "relay" => Name::Relay(address(&mut fields)?),
        "client" => Name::Client { local: address(&mut fields)?, remote: address(&mut fields)? },
        "peer-listener" => Name::PeerListener(address(&mut fields)?),
        "peer-connection" => {
            Name::PeerConnection { relayed: address(&mut fields)?, peer: address(&mut fields)? }
        }
        "control" => Name::Control,
        "metrics" => Name::Metrics(address(&mut fields)?),
        "sockets" => Name::Sockets(fields.next()?.parse().ok()?),
        "state" => Name::State(fields.next()?.parse().ok()?),
        _ => return None,
    };
    Some(name)
}

fn number(fields: &mut Split<'_, char>) -> Option<u16> {
    fields.next()?.parse().ok()
}

fn address(fields: &mut Split<'_, char>) -> Option<SocketAddr> {
    let (ip, port) = fields.next()?.split_once('+')?;
    let port = port.parse().ok()?;
    if let Ok(ip) = ip.parse::<Ipv4Addr>() {
        return Some(SocketAddrV4::new(ip, port).into());
    }
    let (ip, scope) = match ip.split_once('%') {
        Some((ip, scope)) => (ip, scope.parse().ok()?),
        None => (ip, 0),
    };
    let ip: Ipv6Addr = ip.replace('_', ":").parse().ok()?;
    Some(SocketAddrV6::new(ip, port, 0, scope).into())
}

/// An address without the flow label, which is no part of what a socket is bound to.
pub(super) const fn plain(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(_) => address,
        SocketAddr::V6(at) => {
            SocketAddr::V6(SocketAddrV6::new(*at.ip(), at.port(), 0, at.scope_id()))
        }
    }
}

impl Name {
    /// A listening socket: the `index`-th of `of` at its address. `None` if there is no such place.
    #[must_use]
    pub fn listener(
        transport: Transport,
        address: SocketAddr,
        index: u16,
        of: u16,
    ) -> Option<Self> {
        let place = Place::new(index, of)?;
        Some(Self::Listener { transport, address: plain(address), place })
    }

    /// Whether it carries others: those are in the list.
    pub(super) const fn is_carrier(&self) -> bool {
        matches!(self, Self::Sockets(_) | Self::State(_))
    }

    /// The address that the socket is bound to, where it is one of IP.
    #[must_use]
    pub const fn local(&self) -> Option<SocketAddr> {
        match *self {
            Self::Listener { address, .. }
            | Self::Relay(address)
            | Self::PeerListener(address)
            | Self::Metrics(address) => Some(address),
            Self::Client { local, .. } => Some(local),
            Self::PeerConnection { relayed, .. } => Some(relayed),
            Self::Control | Self::Sockets(_) | Self::State(_) => None,
        }
    }

    /// The address at the other end, of a connection.
    #[must_use]
    pub const fn remote(&self) -> Option<SocketAddr> {
        match *self {
            Self::Client { remote, .. } => Some(remote),
            Self::PeerConnection { peer, .. } => Some(peer),
            _ => None,
        }
    }

    /// Whether its addresses are of one family.
    pub(super) fn is_consistent(&self) -> bool {
        let family = |at: Option<SocketAddr>| at.map(|at| matches!(at.ip(), IpAddr::V4(_)));
        self.remote().is_none() || family(self.local()) == family(self.remote())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn names() -> Vec<(Name, &'static str)> {
        let listener = |transport, address, index, of| {
            Name::listener(transport, at(address), index, of).unwrap()
        };
        vec![
            (listener(Transport::Udp, "0.0.0.0:3478", 0, 1), "listener/udp/0.0.0.0+3478/0/1"),
            (listener(Transport::Dtls, "[::]:5349", 3, 4), "listener/dtls/__+5349/3/4"),
            (listener(Transport::Tcp, "[fe80::1%2]:80", 1, 2), "listener/tcp/fe80__1%2+80/1/2"),
            (Name::Relay(at("203.0.113.7:59000")), "relay/203.0.113.7+59000"),
            (
                Name::Client { local: at("192.0.2.1:3478"), remote: at("198.51.100.9:1") },
                "client/192.0.2.1+3478/198.51.100.9+1",
            ),
            (Name::PeerListener(at("[2001:db8::7]:59001")), "peer-listener/2001_db8__7+59001"),
            (
                Name::PeerConnection { relayed: at("192.0.2.1:5"), peer: at("192.0.2.2:6") },
                "peer-connection/192.0.2.1+5/192.0.2.2+6",
            ),
            (Name::Control, "control"),
            (Name::Metrics(at("127.0.0.1:9641")), "metrics/127.0.0.1+9641"),
            (Name::Sockets(6), "sockets/6"),
            (Name::State(7), "state/7"),
        ]
    }

    /// What systemd keeps over an update is read by the version after: none of these may change.
    #[test]
    fn every_name_is_written_as_it_always_was_and_comes_back() {
        for (name, text) in names() {
            assert_eq!(name.to_string(), text);
            assert_eq!(text.parse(), Ok(name));
        }
    }

    #[test]
    fn the_longest_name_fits_into_what_systemd_keeps() {
        let longest: SocketAddr = SocketAddrV6::new(
            "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255".parse().unwrap(),
            65535,
            0,
            u32::MAX,
        )
        .into();
        let name = Name::PeerConnection { relayed: longest, peer: longest };
        assert!(name.to_string().len() <= 130, "{name}");
        assert_eq!(name.to_string().parse(), Ok(name));
    }

    #[test]
    fn what_is_written_otherwise_is_no_name() {
        let long = "x".repeat(256);
        for text in [
            "",
            "/",
            "stored",
            "unknown",
            "control/",
            "control/1",
            "relay",
            "relay/203.0.113.7",
            "relay/203.0.113.7+59000/",
            "relay/203.0.113.7+059000",
            "relay/203.0.113.7+65536",
            "relay/203.0.113.7:59000",
            "relay/2001_DB8__7+1",
            "relay/2001_db8_0_0_0_0_0_7+1",
            "relay/fe80__1%0+1",
            "relay/203.0.113.7%1+1",
            "listener/sctp/0.0.0.0+1/0/1",
            "listener/udp/0.0.0.0+1/1/1",
            "listener/udp/0.0.0.0+1/0/0",
            "listener/udp/0.0.0.0+1/-1/1",
            "listener/udp/0.0.0.0+1/0/65536",
            "client/192.0.2.1+3478",
            "state/",
            "state/4294967296",
            "Control",
            "control\n",
            "relay/203.0.113.7+59000\0",
            "контроль",
            &long,
        ] {
            assert!(text.parse::<Name>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn an_error_does_not_repeat_what_was_read_in_full_or_to_a_terminal() {
        let error = format!("\x1b[2J{}", "x".repeat(1000)).parse::<Name>().unwrap_err().to_string();
        assert!(error.len() < 150 && !error.contains('\x1b'), "{error:?}");
    }

    fn addresses() -> impl Strategy<Value = SocketAddr> {
        let v4 = (any::<[u8; 4]>(), any::<u16>()).prop_map(SocketAddr::from);
        let v6 = (any::<[u8; 16]>(), any::<u16>(), any::<u32>()).prop_map(|(ip, port, scope)| {
            SocketAddrV6::new(Ipv6Addr::from(ip), port, 0, scope).into()
        });
        prop_oneof![v4, v6]
    }

    proptest! {
        #[test]
        fn any_text_is_a_name_or_an_error(text in ".*", more in "(listener|relay|client)/[-0-9a-f_+%./]*") {
            for text in [text, more] {
                if let Ok(name) = text.parse::<Name>() {
                    prop_assert_eq!(name.to_string(), text);
                }
            }
        }

        #[test]
        fn any_name_is_one_that_systemd_keeps_and_comes_back(
            a in addresses(), b in addresses(), index in any::<u16>(), of in 1_u16.., number in any::<u32>()
        ) {
            let index = index % of;
            let listener = Name::listener(Transport::Udp, a, index, of).unwrap();
            let client = Name::Client { local: a, remote: b };
            let peer = Name::PeerConnection { relayed: a, peer: b };
            for name in [listener, Name::Relay(a), client, peer, Name::Metrics(b), Name::State(number)] {
                let text = name.to_string();
                prop_assert!(text.len() <= 255 && text.bytes().all(|b| (b' '..127).contains(&b) && b != b':'));
                prop_assert_eq!(text.parse(), Ok(name));
            }
        }
    }
}
