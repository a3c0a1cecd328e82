//! The URIs by which clients find this server (RFC 7065), as libwebrtc takes them.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use super::address::is_dns_name;
use super::config::{Config, ExternalIp, Listen};
use super::transport::Transport;

/// The host part of the URIs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// A name or an address, without brackets.
    Known(String),
    /// Nothing is known: an example that the reader has to replace.
    Placeholder,
}

impl Host {
    /// What clients of a server with this configuration should use: `asked`, else the key `host`,
    /// else a realm that looks like a DNS name, else the external address, else `found` (an
    /// address the caller saw on an interface), else a placeholder.
    #[must_use]
    pub fn of(config: &Config, asked: Option<&str>, found: Option<IpAddr>) -> Self {
        if let Some(host) = asked.or(config.host.as_deref()) {
            return Self::Known(host.to_owned());
        }
        if is_dns_name(&config.realm) {
            return Self::Known(config.realm.clone());
        }
        let given = match &config.external_ip {
            // IPv4 first: more clients have it.
            ExternalIp::Given(given) => {
                let v4 = given.iter().find(|address| address.public.is_ipv4());
                v4.or_else(|| given.first()).map(|address| address.public)
            }
            ExternalIp::Auto => found,
        };
        given.map_or(Self::Placeholder, |ip| Self::Known(ip.to_string()))
    }

    /// The name or address, where it is known.
    #[must_use]
    pub fn known(self) -> Option<String> {
        match self {
            Self::Known(host) => Some(host),
            Self::Placeholder => None,
        }
    }
}

impl fmt::Display for Host {
    /// As it stands in a URI: an IPv6 address in brackets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known(host) if host.parse::<Ipv6Addr>().is_ok() => write!(f, "[{host}]"),
            Self::Known(host) => f.write_str(host),
            Self::Placeholder => f.write_str("turn.example.org"),
        }
    }
}

/// The transports that serve plain TURN over UDP.
pub const UDP: &[Transport] = &[Transport::Udp, Transport::UdpAndDtls];

/// Those that serve it over TCP.
pub const TCP: &[Transport] = &[Transport::Tcp, Transport::Auto];

/// Those that serve TURN over TLS.
pub const TLS: &[Transport] = &[Transport::Tls, Transport::Auto];

/// Those that serve it over DTLS.
const DTLS: &[Transport] = &[Transport::Dtls, Transport::UdpAndDtls];

/// The listeners that serve one of `transports`, either to clients themselves or to a proxy.
fn serving<'a>(
    config: &'a Config,
    transports: &'a [Transport],
    proxy: bool,
) -> impl Iterator<Item = &'a Listen> {
    let serves = move |listen: &&Listen| {
        transports.contains(&listen.transport)
            && listen.proxy_protocol == proxy
            && !listen.for_links
    };
    config.listen.iter().filter(serves)
}

/// The port of the first listener that serves one of `transports`; if that serves both with and without
/// encryption, and another one on the usual port of the scheme (RFC 8656 section 2.2) does too, of that one. The port behind a proxy is not
/// the one that clients reach.
#[must_use]
pub fn port(config: &Config, transports: &[Transport]) -> Option<u16> {
    let is_plain = transports.iter().any(|transport| !transport.is_secure());
    let usual = if is_plain { 3478 } else { 5349 };
    // Port 0 is "any free port": nobody can be told which.
    let reached = || serving(config, transports, false).filter(|listen| listen.address.port() != 0);
    let first = reached().next()?;
    let both = |listen: &&Listen| listen.transport.is_mixed();
    let better = reached().filter(both).find(|listen| listen.address.port() == usual);
    let better = better.filter(|_| both(&first));
    Some(better.unwrap_or(first).address.port())
}

/// What is to be said about listeners behind a proxy: their URIs are not known here. `None` when
/// there is nothing to add.
#[must_use]
pub fn proxy_hint(config: &Config, host: &Host) -> Option<String> {
    const STREAMS: &[Transport] = &[Transport::Tcp, Transport::Tls, Transport::Auto];
    let behind = serving(config, STREAMS, true).next()?;
    Some(format!(
        "the listener {} is reached through a proxy, whose port is not known here. Where clients \
         speak TLS to the proxy on port 443, add turns:{host}:443?transport=tcp",
        behind.name
    ))
}

/// At most three URIs, UDP first, one for each way in that is open. DTLS is never among them: no
/// browser speaks it to a TURN server, and `turns:` with `transport=udp` is taken for TLS.
#[must_use]
pub fn of_listeners(config: &Config, host: &Host) -> Vec<String> {
    let ways: [(&str, &[Transport], &str); 3] =
        [("turn", UDP, "udp"), ("turn", TCP, "tcp"), ("turns", TLS, "tcp")];
    ways.into_iter()
        .filter_map(|(scheme, transports, transport)| {
            let port = port(config, transports)?;
            Some(format!("{scheme}:{host}:{port}?transport={transport}"))
        })
        .collect()
}

/// The four URIs of the usual Matrix guide for coturn, in its order, whether the listeners are on
/// or not, and what is to be said about those that are not.
#[must_use]
pub fn of_article(config: &Config, host: &Host) -> (Vec<String>, Vec<String>) {
    let ways: [(&str, &[Transport], &str, u16); 4] = [
        ("turns", TLS, "tcp", 5349),
        ("turns", DTLS, "udp", 5349),
        ("turn", TCP, "tcp", 3478),
        ("turn", UDP, "udp", 3478),
    ];
    let secure = port(config, TLS).or_else(|| port(config, DTLS));
    let plain = port(config, UDP).or_else(|| port(config, TCP));
    let (mut uris, mut missing) = (Vec::new(), Vec::new());
    for (scheme, transports, transport, default) in ways {
        let on = port(config, transports);
        let shared = if scheme == "turns" { secure } else { plain };
        let port = on.or(shared).unwrap_or(default);
        let uri = format!("{scheme}:{host}:{port}?transport={transport}");
        if serving(config, transports, true).next().is_some() && on.is_none() {
            missing.push(format!(
                "{uri} is reached through a proxy: write the proxy's port in place of {port}"
            ));
        } else if on.is_none() {
            missing.push(format!("no listener serves {uri}: clients try it in vain"));
        }
        uris.push(uri);
    }
    (uris, missing)
}

/// What browsers will not like about a URI's port; `None` when they take it.
#[must_use]
pub fn port_warning(config: &Config) -> Option<String> {
    let refused = |port: u16| !(matches!(port, 0 | 53 | 80 | 443) || port >= 1024);
    let public = config.listen.iter().filter(|listen| !listen.proxy_protocol);
    let port = public.map(|listen| listen.address.port()).find(|port| refused(*port))?;
    Some(format!(
        "browsers ignore TURN servers on port {port}: only 53, 80, 443 and ports from 1024 on are \
         used"
    ))
}
