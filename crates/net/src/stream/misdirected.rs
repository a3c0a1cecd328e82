//! What it means when a connection carries something else than its listener expects, in words that say what to
//! change. Looked at once, when the connection is closed for it.

use std::fmt;
use std::io;

/// What HAProxy puts in front of a header of version 2.
const PROXY_V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// How requests of HTTP begin.
const HTTP: &[&[u8]] = &[
    b"GET ",
    b"HEAD ",
    b"POST ",
    b"PUT ",
    b"DELETE ",
    b"OPTIONS ",
    b"CONNECT ",
    b"PATCH ",
    b"TRACE ",
    b"PRI * HTTP/2",
];

/// What a listener expects, or what of it has come already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expected {
    /// STUN, right from the start of a TCP connection.
    Stun,
    /// STUN, inside of TLS.
    StunInTls,
    /// A handshake of TLS.
    Tls,
    /// A PROXY protocol header, from a trusted proxy.
    ProxyHeader,
    /// The next message: others have come.
    NextMessage,
}

/// An error that the operator, or whoever wrote the client, can do something about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Misdirected(&'static str);

impl fmt::Display for Misdirected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Misdirected {}

/// `head`: what has come first, as far as it was read.
pub(super) fn found(head: &[u8], expected: Expected) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, Misdirected(words(head, expected)))
}

/// What an error of [`found`] says; `None` for others.
pub(super) fn of(error: &io::Error) -> Option<&Misdirected> {
    error.get_ref()?.downcast_ref()
}

fn words(head: &[u8], expected: Expected) -> &'static str {
    if expected == Expected::NextMessage {
        return "what follows is neither STUN nor ChannelData: the client does not pad ChannelData to four bytes, as \
                it must over TCP and TLS (RFC 8656 section 12.5), or sends more than it announces";
    }
    let v2 = head.len() > 4 && (head.starts_with(PROXY_V2) || PROXY_V2.starts_with(head));
    if expected != Expected::ProxyHeader && (v2 || head.starts_with(b"PROXY ")) {
        return "it begins with a PROXY protocol header on a listener without it: set proxy_protocol = true and \
                trusted_proxies in its [[listen]] section, or let the proxy send none (HAProxy: without send-proxy; \
                nginx: proxy_protocol off; Traefik: without proxyProtocol)";
    }
    if HTTP.iter().any(|method| head.starts_with(method)) {
        return "it speaks HTTP, and TURN is no web page: a web browser, a monitor or a reverse proxy has the wrong \
                port; a proxy must pass TURN on as TCP";
    }
    if head.starts_with(b"SSH-") {
        return "it speaks SSH: it has the wrong port";
    }
    match (expected, head) {
        (Expected::Stun, [0x16, ..]) => {
            "it begins with TLS on a listener for plain TCP: clients need turn: with ?transport=tcp there; or set \
             transport = \"tls\", or \"auto\" for both, in its [[listen]] section"
        }
        (Expected::StunInTls, [0x16, ..]) => {
            "it begins with TLS inside of TLS: a proxy in front already speaks TLS; let it pass the connection on as \
             it is, or set transport = \"tcp\" for this listener"
        }
        (Expected::Tls, [0 | 1, ..]) => {
            "it speaks plain STUN on a listener for TLS: clients need turns: there, or a proxy in front has ended TLS; \
             or set transport = \"tcp\", or \"auto\" for both, in its [[listen]] section"
        }
        (Expected::Tls, _) => "it does not speak TLS, and the listener is for TLS",
        (Expected::ProxyHeader, _) => {
            "the trusted proxy sends no PROXY protocol header: switch it on there (HAProxy: send-proxy; nginx: \
             proxy_protocol on; Traefik: proxyProtocol), or remove proxy_protocol from this [[listen]] section"
        }
        (_, [0, 1, ..]) => {
            "it sends STUN without the magic cookie (RFC 3489), which is served over UDP alone, with \
             protocol.rfc3489 = true"
        }
        _ => "it sends neither STUN nor ChannelData",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STUN: &[u8] = b"\x00\x01\x00\x00\x21\x12\xa4\x42tttttttttttt";

    #[test]
    fn each_protocol_on_each_kind_of_listener_is_named() {
        use Expected as E;
        for (head, expected, part) in [
            (&b"PROXY TCP4 192.0.2.1 192.0.2.2 1234 443\r\n"[..], E::Stun, "proxy_protocol = true"),
            (b"PROXY UNKNOWN\r\n", E::Tls, "proxy_protocol = true"),
            (PROXY_V2, E::Stun, "proxy_protocol = true"),
            (&PROXY_V2[..6], E::Stun, "proxy_protocol = true"),
            (PROXY_V2, E::Tls, "proxy_protocol = true"),
            (PROXY_V2, E::StunInTls, "proxy_protocol = true"),
            (STUN, E::ProxyHeader, "sends no PROXY protocol header"),
            (b"\x16\x03\x01\x00", E::ProxyHeader, "sends no PROXY protocol header"),
            (b"GET / HTTP/1.1\r\n", E::Stun, "speaks HTTP"),
            (b"POST /x HTTP/1.1\r\n", E::Tls, "speaks HTTP"),
            (b"GET / HTTP/1.1\r\n", E::StunInTls, "speaks HTTP"),
            (b"PRI * HTTP/2.0\r\n", E::Stun, "speaks HTTP"),
            (b"SSH-2.0-OpenSSH_9.2\r\n", E::Stun, "speaks SSH"),
            (b"SSH-2.0-OpenSSH_9.2\r\n", E::Tls, "speaks SSH"),
            (b"\x16\x03\x01\x00\x7a", E::Stun, "TLS on a listener for plain TCP"),
            (b"\x16\x03\x01\x00\x7a", E::StunInTls, "TLS inside of TLS"),
            (STUN, E::Tls, "plain STUN on a listener for TLS"),
            (b"\x00\x01\x00\x00\x12\x34\x56\x78", E::Stun, "without the magic cookie"),
            (&[0; 40], E::Stun, "neither STUN nor ChannelData"),
            (b"\x80\x00\x00", E::Tls, "does not speak TLS"),
            (b"", E::Stun, "neither STUN nor ChannelData"),
            (b"hello", E::NextMessage, "pad ChannelData to four bytes"),
        ] {
            let said = words(head, expected);
            assert!(said.contains(part), "{head:?} {expected:?}: {said}");
        }
    }

    #[test]
    fn only_these_errors_are_told() {
        assert!(of(&found(b"SSH-", Expected::Stun)).is_some());
        for error in [io::Error::other("another"), io::ErrorKind::TimedOut.into()] {
            assert_eq!(of(&error), None);
        }
    }
}
