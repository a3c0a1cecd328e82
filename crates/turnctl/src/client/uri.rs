//! TURN URIs (RFC 7065), read as libwebrtc reads them: what it refuses is refused here, for one
//! such URI in a homeserver's answer ends every call.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

/// The transport to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Spoken {
    /// Datagrams.
    Udp,
    /// A plain connection.
    Tcp,
    /// TLS over TCP.
    Tls,
}

impl Spoken {
    /// As people write it: `UDP`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
        }
    }
}

/// The scheme of a URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// `stun:`, no relay.
    Stun,
    /// `turn:`.
    Turn,
    /// `turns:`.
    Turns,
}

/// A URI, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TurnUri {
    /// Its scheme.
    pub scheme: Scheme,
    /// A name or an address, without brackets.
    pub host: String,
    /// The port; 3478 or 5349 where none is written.
    pub port: u16,
    /// The value of `transport`: `Some(true)` for `udp`, `Some(false)` for `tcp`.
    pub asks_udp: Option<bool>,
    /// As it was written.
    pub text: String,
}

/// Why libwebrtc refuses a URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UriFault {
    /// Another scheme, or none.
    #[error("it does not begin with turn: or turns:")]
    Scheme,
    /// `turn://host`.
    #[error("there must be no // after the scheme")]
    Slashes,
    /// `turn:user@host`.
    #[error("a URI contains no user name and no @: the username and password are sent separately")]
    UserInfo,
    /// Something else than `?transport=udp` or `?transport=tcp`.
    #[error("only ?transport=udp or ?transport=tcp may follow the port, in lower case")]
    Query,
    /// `stun:host?transport=udp`.
    #[error("stun: takes no ?transport=")]
    StunQuery,
    /// No host, or one with characters that no host has.
    #[error("the host is missing, or contains a character that host names cannot have")]
    Host,
    /// An IPv6 address without brackets, or a bracket without its other.
    #[error("write an IPv6 address in brackets: turn:[2001:db8::1]:3478")]
    Brackets,
    /// No number from 1 to 65535.
    #[error("the port is not a number from 1 to 65535")]
    Port,
}

impl TurnUri {
    /// The transport that a browser uses for this URI. `turns:` is TLS over TCP, whatever `transport` says: no
    /// browser speaks DTLS to a TURN server.
    #[must_use]
    pub fn spoken(&self) -> Spoken {
        match (self.scheme, self.asks_udp) {
            (Scheme::Turns, _) => Spoken::Tls,
            (_, Some(false)) => Spoken::Tcp,
            _ => Spoken::Udp,
        }
    }

    /// The host as an address, if it is one.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }
}

impl fmt::Display for TurnUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for TurnUri {
    type Err = UriFault;

    fn from_str(text: &str) -> Result<Self, UriFault> {
        let (scheme, rest) = text.split_once(':').ok_or(UriFault::Scheme)?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "stun" => Scheme::Stun,
            "turn" => Scheme::Turn,
            "turns" => Scheme::Turns,
            _ => return Err(UriFault::Scheme),
        };
        if rest.starts_with('/') {
            return Err(UriFault::Slashes);
        }
        if rest.contains('@') {
            return Err(UriFault::UserInfo);
        }
        let (place, query) = rest.split_once('?').map_or((rest, None), |(p, q)| (p, Some(q)));
        let asks_udp = match query {
            Some(_) if scheme == Scheme::Stun => return Err(UriFault::StunQuery),
            None => None,
            Some("transport=udp") => Some(true),
            Some("transport=tcp") => Some(false),
            Some(_) => return Err(UriFault::Query),
        };
        let (host, port) = host_and_port(place)?;
        let default = if scheme == Scheme::Turns { 5349 } else { 3478 };
        let port = port.unwrap_or(default);
        Ok(Self { scheme, host: host.to_owned(), port, asks_udp, text: text.to_owned() })
    }
}

fn host_and_port(place: &str) -> Result<(&str, Option<u16>), UriFault> {
    let (host, port) = if let Some(bracketed) = place.strip_prefix('[') {
        let (host, after) = bracketed.split_once(']').ok_or(UriFault::Brackets)?;
        host.parse::<Ipv6Addr>().map_err(|_| UriFault::Brackets)?;
        match after {
            "" => (host, None),
            _ => (host, Some(after.strip_prefix(':').ok_or(UriFault::Port)?)),
        }
    } else {
        if place.parse::<Ipv6Addr>().is_ok() {
            return Err(UriFault::Brackets);
        }
        match place.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (place, None),
        }
    };
    let known = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
    if host.is_empty() || !host.chars().all(known) {
        return Err(UriFault::Host);
    }
    let number = |text: &str| {
        // `u16::from_str` would take a plus sign.
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|port| digits && *port != 0).ok_or(UriFault::Port)
    };
    Ok((host, port.map(number).transpose()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<TurnUri, UriFault> {
        text.parse()
    }

    #[test]
    fn uris_of_browsers_are_taken_apart() {
        let shown = |text: &str| {
            let uri = parse(text).unwrap();
            format!("{} {} {}", uri.host, uri.port, uri.spoken().name())
        };
        assert_eq!(shown("turn:h.org"), "h.org 3478 UDP");
        assert_eq!(shown("turns:h.org"), "h.org 5349 TLS");
        assert_eq!(shown("turn:h.org:53?transport=tcp"), "h.org 53 TCP");
        assert_eq!(shown("TURN:h.org:3478?transport=udp"), "h.org 3478 UDP");
        assert_eq!(shown("turns:h.org:443?transport=tcp"), "h.org 443 TLS");
        assert_eq!(shown("turn:[2001:db8::1]:3479"), "2001:db8::1 3479 UDP");
        assert_eq!(shown("turn:[::1]"), "::1 3478 UDP");
        assert_eq!(shown("stun:192.0.2.1"), "192.0.2.1 3478 UDP");
    }

    #[test]
    fn turns_over_udp_is_tls_to_a_browser() {
        assert_eq!(parse("turns:h.org:5349?transport=udp").unwrap().spoken(), Spoken::Tls);
    }

    #[test]
    fn what_libwebrtc_refuses_is_refused_with_its_reason() {
        for (text, fault) in [
            ("turn://h.org:3478", UriFault::Slashes),
            ("h.org:3478", UriFault::Scheme),
            ("https:h.org", UriFault::Scheme),
            ("turn", UriFault::Scheme),
            ("turn:alice@h.org", UriFault::UserInfo),
            ("turn:h.org?transport=UDP", UriFault::Query),
            ("turn:h.org?transport=tls", UriFault::Query),
            ("turn:h.org?Transport=udp", UriFault::Query),
            ("turn:h.org?transport=udp&x=1", UriFault::Query),
            ("turn:h.org?", UriFault::Query),
            ("stun:h.org?transport=udp", UriFault::StunQuery),
            ("turn:", UriFault::Host),
            ("turn:h org", UriFault::Host),
            ("turn:h.org/path", UriFault::Host),
            ("turn:h.org:", UriFault::Port),
            ("turn:h.org:0", UriFault::Port),
            ("turn:h.org:+1", UriFault::Port),
            ("turn:h.org:65536", UriFault::Port),
            ("turn:h.org:3478:1", UriFault::Port),
            ("turn:2001:db8::1", UriFault::Brackets),
            ("turn:[2001:db8::1:3478", UriFault::Brackets),
            ("turn:[h.org]:3478", UriFault::Brackets),
            ("turn:[::1]3478", UriFault::Port),
        ] {
            assert_eq!(parse(text), Err(fault), "{text}");
        }
    }
}
