//! The PROXY protocol, versions 1 and 2 (haproxy.org, `doc/proxy-protocol.txt`): how a proxy such
//! as Traefik or nginx tells a server behind it who the client is.
//!
//! Sans-IO: [`parse`] looks at the bytes that have arrived so far and says whether a whole header
//! is there. The header proves nothing about its sender, so the caller asks for it only on
//! connections from a trusted proxy; it then must be there, and anything else ends the
//! connection. Whether to expect a header is never guessed from the bytes (section 2 of the text).
#![forbid(unsafe_code)]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use thiserror::Error;

/// Longest header of version 1 in bytes, CRLF included (section 2.1).
pub const MAX_V1_LEN: usize = 107;

/// Longest header of version 2 in bytes that is taken: the 16 fixed ones, then addresses and TLVs.
///
/// Section 2.2 allows 64 KiB, though the header was made to fit the 536 bytes of the smallest TCP
/// segment (section 2). TLVs, such as the details of a client's TLS session, may go beyond that;
/// this leaves room for them.
pub const MAX_V2_LEN: usize = V2_FIXED + 2048;

const V1_PREFIX: &[u8] = b"PROXY ";
const V2_SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const V2_FIXED: usize = 16;

/// What [`parse`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// A header may be beginning here; read on and ask again with all bytes so far.
    Incomplete,
    /// A whole header.
    Done {
        /// Its length in bytes; what follows belongs to the connection.
        len: usize,
        /// Who is behind it. `None` for a connection of the proxy itself (a health check) and for
        /// one whose addresses it does not know (UNKNOWN, UNSPEC, unix sockets): the addresses of
        /// the socket hold.
        source: Option<ProxiedAddrs>,
    },
}

/// The addresses of the connection between the client and the proxy.
///
/// IPv4-mapped IPv6 addresses come as IPv4, so that rules and limits see one client once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProxiedAddrs {
    /// The client's address, as the proxy saw it.
    pub client: SocketAddr,
    /// The address of the proxy that the client connected to.
    pub dest: SocketAddr,
}

/// Why the bytes are no PROXY header. The connection must be closed (section 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ProxyError {
    /// Neither signature. Usually a client came directly, or the proxy is not set to send it.
    #[error(
        "no PROXY protocol header: the proxy does not send one (is proxyProtocol set on it?), \
         or this is a client that did not come through it"
    )]
    NoHeader,
    /// Version 1 without its CRLF in 107 bytes.
    #[error("PROXY v1 header has no end within 107 bytes")]
    TooLongV1,
    /// Version 1 with something else than TCP4, TCP6 or UNKNOWN.
    #[error("PROXY v1 header names an unknown protocol (TCP4, TCP6 and UNKNOWN exist)")]
    ProtocolV1,
    /// Version 1 with fields missing, left over, or parted by anything but one space.
    #[error("PROXY v1 header must hold two addresses and two ports, one space between them")]
    FieldsV1,
    /// An address that is none of the named family.
    #[error("PROXY v1 header holds a malformed address")]
    AddressV1,
    /// A port that is no decimal number up to 65535, or has leading zeros.
    #[error("PROXY v1 header holds a malformed port")]
    PortV1,
    /// The version nibble of a binary header is not 2.
    #[error("PROXY header of version {0}; versions 1 and 2 are known")]
    Version(u8),
    /// A command other than LOCAL and PROXY.
    #[error("PROXY v2 header holds the unknown command {0}")]
    Command(u8),
    /// An address family or transport that version 2 does not define.
    #[error("PROXY v2 header holds the unknown family and transport 0x{0:02x}")]
    Family(u8),
    /// More bytes announced than [`MAX_V2_LEN`] allows.
    #[error("PROXY v2 header announces {0} bytes after the first 16; at most 2048 are taken")]
    TooLongV2(u16),
    /// Fewer bytes announced than the addresses of its family take.
    #[error("PROXY v2 header announces {0} bytes, too few for the addresses of its family")]
    TooShortV2(u16),
}

/// Looks for a PROXY header of either version at the start of `bytes`.
///
/// Fails as soon as the bytes cannot become a header, so that nothing waits for a client that
/// speaks something else. Never allocates, and looks at [`MAX_V2_LEN`] bytes at the most.
///
/// # Errors
///
/// Every way in which the bytes are no header; see [`ProxyError`].
pub fn parse(bytes: &[u8]) -> Result<Parsed, ProxyError> {
    if begins(bytes, V1_PREFIX) {
        if bytes.len() < V1_PREFIX.len() { Ok(Parsed::Incomplete) } else { parse_v1(bytes) }
    } else if begins(bytes, V2_SIGNATURE) {
        parse_v2(bytes)
    } else {
        Err(ProxyError::NoHeader)
    }
}

/// Returns true if `bytes` starts with `prefix` as far as it goes.
fn begins(bytes: &[u8], prefix: &[u8]) -> bool {
    bytes.iter().zip(prefix).all(|(a, b)| a == b)
}

fn parse_v1(bytes: &[u8]) -> Result<Parsed, ProxyError> {
    let window = bytes.get(..MAX_V1_LEN).unwrap_or(bytes);
    let Some(end) = window.windows(2).position(|pair| pair == b"\r\n") else {
        let full = window.len() == MAX_V1_LEN;
        return if full { Err(ProxyError::TooLongV1) } else { Ok(Parsed::Incomplete) };
    };
    let line = window.get(V1_PREFIX.len()..end).unwrap_or_default();
    let done = |source| Ok(Parsed::Done { len: end + 2, source });

    // Section 2.1: the receiver must ignore anything on the line after UNKNOWN.
    if line == b"UNKNOWN" || line.starts_with(b"UNKNOWN ") {
        return done(None);
    }
    let mut fields = line.split(|byte| *byte == b' ');
    let source = match fields.next() {
        Some(b"TCP4") => addresses_v1::<Ipv4Addr>(fields)?,
        Some(b"TCP6") => addresses_v1::<Ipv6Addr>(fields)?,
        _ => return Err(ProxyError::ProtocolV1),
    };
    done(Some(source))
}

fn addresses_v1<'a, A: FromStr + Into<IpAddr>>(
    mut fields: impl Iterator<Item = &'a [u8]>,
) -> Result<ProxiedAddrs, ProxyError> {
    let mut next = || fields.next().ok_or(ProxyError::FieldsV1);
    let (client_ip, dest_ip, client_port, dest_port) = (next()?, next()?, next()?, next()?);
    if fields.next().is_some() {
        return Err(ProxyError::FieldsV1);
    }
    Ok(ProxiedAddrs {
        client: socket_addr(ip_v1::<A>(client_ip)?, port_v1(client_port)?),
        dest: socket_addr(ip_v1::<A>(dest_ip)?, port_v1(dest_port)?),
    })
}

fn ip_v1<A: FromStr + Into<IpAddr>>(field: &[u8]) -> Result<IpAddr, ProxyError> {
    let text = str::from_utf8(field).map_err(|_| ProxyError::AddressV1)?;
    text.parse::<A>().map(Into::into).map_err(|_| ProxyError::AddressV1)
}

/// Digits only: `u16::from_str` would take a leading `+` and leading zeros as well.
fn port_v1(field: &[u8]) -> Result<u16, ProxyError> {
    let digits = field.iter().all(u8::is_ascii_digit);
    let leading_zero = field.len() > 1 && field.first() == Some(&b'0');
    if !digits || leading_zero {
        return Err(ProxyError::PortV1);
    }
    let text = str::from_utf8(field).map_err(|_| ProxyError::PortV1)?;
    text.parse().map_err(|_| ProxyError::PortV1)
}

fn parse_v2(bytes: &[u8]) -> Result<Parsed, ProxyError> {
    // Each check stands as early as its byte is there.
    let (version, command) = match bytes.get(12) {
        Some(byte) => (byte >> 4, byte & 0x0f),
        None => return Ok(Parsed::Incomplete),
    };
    if version != 2 {
        return Err(ProxyError::Version(version));
    }
    let local = match command {
        0 => true,
        1 => false,
        other => return Err(ProxyError::Command(other)),
    };
    let Some(&kind) = bytes.get(13) else { return Ok(Parsed::Incomplete) };
    // Section 2.2: with LOCAL, the family is ignored.
    let family = match (kind >> 4, kind & 0x0f) {
        _ if local => Family::None,
        (0..=3, 0) | (0, 1..=2) => Family::None,
        (1, 1..=2) => Family::Inet,
        (2, 1..=2) => Family::Inet6,
        (3, 1..=2) => Family::Unix,
        _ => return Err(ProxyError::Family(kind)),
    };
    let Some(announced) = array::<2>(bytes, 14).map(u16::from_be_bytes) else {
        return Ok(Parsed::Incomplete);
    };
    let len = V2_FIXED + usize::from(announced);
    if len > MAX_V2_LEN {
        return Err(ProxyError::TooLongV2(announced));
    }
    if usize::from(announced) < family.address_len() {
        return Err(ProxyError::TooShortV2(announced));
    }
    // The rest are TLVs: nothing of them is needed.
    let Some(body) = bytes.get(V2_FIXED..len) else { return Ok(Parsed::Incomplete) };
    let source = match family {
        Family::None | Family::Unix => None,
        Family::Inet => pair(
            array::<4>(body, 0),
            array::<4>(body, 4),
            array::<2>(body, 8),
            array::<2>(body, 10),
        ),
        Family::Inet6 => pair(
            array::<16>(body, 0),
            array::<16>(body, 16),
            array::<2>(body, 32),
            array::<2>(body, 34),
        ),
    };
    Ok(Parsed::Done { len, source })
}

/// What the address block of a version 2 header holds.
#[derive(Clone, Copy)]
enum Family {
    None,
    Inet,
    Inet6,
    Unix,
}

impl Family {
    /// Section 2.2: the length of the addresses in bytes; TLVs follow them.
    fn address_len(self) -> usize {
        match self {
            Self::None => 0,
            Self::Inet => 12,
            Self::Inet6 => 36,
            Self::Unix => 216,
        }
    }
}

fn pair<A: Into<IpAddr>>(
    client_ip: Option<A>,
    dest_ip: Option<A>,
    client_port: Option<[u8; 2]>,
    dest_port: Option<[u8; 2]>,
) -> Option<ProxiedAddrs> {
    Some(ProxiedAddrs {
        client: socket_addr(client_ip?.into(), u16::from_be_bytes(client_port?)),
        dest: socket_addr(dest_ip?.into(), u16::from_be_bytes(dest_port?)),
    })
}

fn socket_addr(ip: IpAddr, port: u16) -> SocketAddr {
    SocketAddr::new(ip.to_canonical(), port)
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn done(bytes: &[u8]) -> (usize, Option<(String, String)>) {
        match parse(bytes) {
            Ok(Parsed::Done { len, source }) => {
                (len, source.map(|s| (s.client.to_string(), s.dest.to_string())))
            }
            other => panic!("{other:?}"),
        }
    }

    fn addrs(client: &str, dest: &str) -> Option<(String, String)> {
        Some((client.into(), dest.into()))
    }

    fn v2(ver_cmd: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let mut bytes = V2_SIGNATURE.to_vec();
        bytes.extend([ver_cmd, family]);
        bytes.extend(u16::try_from(body.len()).unwrap().to_be_bytes());
        bytes.extend(body);
        bytes
    }

    fn inet_body() -> Vec<u8> {
        vec![203, 0, 113, 7, 198, 51, 100, 1, 0xc0, 0x00, 0x01, 0xbb]
    }

    /// The lines that section 2.1 of the text gives as the longest of their kind.
    #[test]
    fn longest_lines_of_section_2_1() {
        let tcp4 = b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n";
        assert_eq!(tcp4.len(), 56);
        assert_eq!(done(tcp4), (56, addrs("255.255.255.255:65535", "255.255.255.255:65535")));

        let all = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
        let tcp6 = format!("PROXY TCP6 {all} {all} 65535 65535\r\n");
        assert_eq!(tcp6.len(), 104);
        let want = format!("[{all}]:65535");
        assert_eq!(done(tcp6.as_bytes()), (104, addrs(&want, &want)));

        assert_eq!(done(b"PROXY UNKNOWN\r\n"), (15, None));
        let unknown = format!("PROXY UNKNOWN {all} {all} 65535 65535\r\n");
        assert_eq!(unknown.len(), MAX_V1_LEN);
        assert_eq!(done(unknown.as_bytes()), (MAX_V1_LEN, None));
    }

    #[test]
    fn what_follows_the_header_is_left_alone() {
        let mut bytes = b"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n".to_vec();
        let header = bytes.len();
        bytes.extend(b"GET / HTTP/1.1\r\n");
        assert_eq!(done(&bytes), (header, addrs("192.168.0.1:56324", "192.168.0.11:443")));

        let mut bytes = v2(0x21, 0x11, &inet_body());
        let header = bytes.len();
        bytes.extend([0x16, 0x03, 0x01]);
        assert_eq!(done(&bytes), (header, addrs("203.0.113.7:49152", "198.51.100.1:443")));
    }

    #[test]
    fn a_line_of_108_bytes_is_refused_at_107() {
        let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(92));
        assert_eq!(long.len(), 108);
        assert_eq!(parse(long.as_bytes()), Err(ProxyError::TooLongV1));
        assert_eq!(parse(&long.as_bytes()[..MAX_V1_LEN]), Err(ProxyError::TooLongV1));
        assert_eq!(parse(&long.as_bytes()[..MAX_V1_LEN - 1]), Ok(Parsed::Incomplete));
    }

    #[test]
    fn version_1_is_strict() {
        use ProxyError as E;
        for (line, error) in [
            ("PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n", E::FieldsV1),
            ("PROXY TCP4 1.2.3.4 5.6.7.8 1 2 3\r\n", E::FieldsV1),
            ("PROXY TCP4 1.2.3.4 5.6.7.8 1 2 \r\n", E::FieldsV1),
            ("PROXY TCP4  1.2.3.4 5.6.7.8 1 2\r\n", E::FieldsV1),
            ("PROXY TCP4 1.2.3.4 5.6.7.8 1 \r\n", E::PortV1),
            ("PROXY TCP4 1.2.3.4 5.6.7.8 01 2\r\n", E::PortV1),
            ("PROXY TCP4 1.2.3.4 5.6.7.8 +1 2\r\n", E::PortV1),
            ("PROXY TCP4 1.2.3.4 5.6.7.8 -1 2\r\n", E::PortV1),
            ("PROXY TCP4 1.2.3.4 5.6.7.8 65536 2\r\n", E::PortV1),
            ("PROXY TCP4 1.2.3.04 5.6.7.8 1 2\r\n", E::AddressV1),
            ("PROXY TCP4 1.2.3 5.6.7.8 1 2\r\n", E::AddressV1),
            ("PROXY TCP4 ::1 ::1 1 2\r\n", E::AddressV1),
            ("PROXY TCP6 1.2.3.4 5.6.7.8 1 2\r\n", E::AddressV1),
            ("PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n", E::AddressV1),
            ("PROXY UDP4 1.2.3.4 5.6.7.8 1 2\r\n", E::ProtocolV1),
            ("PROXY UNKNOWNS\r\n", E::ProtocolV1),
            ("PROXY tcp4 1.2.3.4 5.6.7.8 1 2\r\n", E::ProtocolV1),
            ("PROXY \r\n", E::ProtocolV1),
            ("PROXY\r\n", E::NoHeader),
            ("proxy TCP4 1.2.3.4 5.6.7.8 1 2\r\n", E::NoHeader),
        ] {
            assert_eq!(parse(line.as_bytes()), Err(error), "{line:?}");
        }
        let zero = b"PROXY TCP4 1.2.3.4 5.6.7.8 0 65535\r\n";
        assert_eq!(done(zero).1, addrs("1.2.3.4:0", "5.6.7.8:65535"));
    }

    #[test]
    fn mapped_addresses_become_ipv4() {
        let line = b"PROXY TCP6 ::ffff:203.0.113.7 2001:db8::1 1 2\r\n";
        assert_eq!(done(line).1, addrs("203.0.113.7:1", "[2001:db8::1]:2"));

        let mut body = Ipv4Addr::new(203, 0, 113, 7).to_ipv6_mapped().octets().to_vec();
        body.extend("2001:db8::1".parse::<Ipv6Addr>().unwrap().octets());
        body.extend([0, 1, 0, 2]);
        assert_eq!(done(&v2(0x21, 0x21, &body)).1, addrs("203.0.113.7:1", "[2001:db8::1]:2"));
    }

    #[test]
    fn tlvs_are_skipped() {
        let mut body = inet_body();
        body.extend([0x02, 0x00, 0x03, b'a', b'.', b'b']); // PP2_TYPE_AUTHORITY
        body.extend([0x04, 0x00, 0x02, 0, 0]); // PP2_TYPE_NOOP
        let bytes = v2(0x21, 0x11, &body);
        assert_eq!(done(&bytes), (bytes.len(), addrs("203.0.113.7:49152", "198.51.100.1:443")));
    }

    /// Section 2.2: LOCAL and UNSPEC keep the socket's addresses; their bytes are skipped.
    #[test]
    fn local_unspecified_and_unix_keep_the_socket_address() {
        for (ver_cmd, family, body) in [
            (0x20, 0x00, vec![]),
            (0x20, 0x11, inet_body()),
            (0x20, 0x11, vec![]),
            (0x20, 0xff, vec![1, 2, 3]),
            (0x21, 0x00, vec![]),
            (0x21, 0x00, vec![9; 30]),
            (0x21, 0x10, inet_body()),
            (0x21, 0x01, inet_body()),
            (0x21, 0x31, vec![0; 216]),
        ] {
            let bytes = v2(ver_cmd, family, &body);
            assert_eq!(done(&bytes), (bytes.len(), None), "{ver_cmd:#x} {family:#x}");
        }
    }

    #[test]
    fn version_2_is_strict() {
        use ProxyError as E;
        for (bytes, error) in [
            (v2(0x11, 0x11, &inet_body()), E::Version(1)),
            (v2(0x31, 0x11, &inet_body()), E::Version(3)),
            (v2(0x22, 0x11, &inet_body()), E::Command(2)),
            (v2(0x21, 0x41, &inet_body()), E::Family(0x41)),
            (v2(0x21, 0x13, &inet_body()), E::Family(0x13)),
            (v2(0x21, 0x11, &inet_body()[..11]), E::TooShortV2(11)),
            (v2(0x21, 0x21, &inet_body()), E::TooShortV2(12)),
            (v2(0x21, 0x31, &inet_body()), E::TooShortV2(12)),
        ] {
            assert_eq!(parse(&bytes), Err(error));
        }
    }

    #[test]
    fn a_long_version_2_header_is_refused_by_its_first_16_bytes() {
        let mut body = inet_body();
        body.resize(2048, 0);
        assert_eq!(done(&v2(0x21, 0x11, &body)).0, MAX_V2_LEN);
        body.push(0);
        let bytes = v2(0x21, 0x11, &body);
        assert_eq!(parse(&bytes[..16]), Err(ProxyError::TooLongV2(2049)));
    }

    /// TLS, STUN and ChannelData without a header are told apart by their first byte.
    #[test]
    fn other_protocols_are_refused_at_once() {
        for first in [0x16, 0x00, 0x01, 0x40, b'G'] {
            assert_eq!(parse(&[first]), Err(ProxyError::NoHeader));
        }
        assert_eq!(parse(b""), Ok(Parsed::Incomplete));
        assert_eq!(parse(b"\r\n\r\nGET"), Err(ProxyError::NoHeader));
    }

    fn any_header() -> impl Strategy<Value = (Vec<u8>, Option<ProxiedAddrs>)> {
        let ports = any::<(u16, u16)>();
        prop_oneof![
            (any::<(Ipv4Addr, Ipv4Addr)>(), ports).prop_map(|((a, b), (p, q))| {
                let line = format!("PROXY TCP4 {a} {b} {p} {q}\r\n");
                (line.into_bytes(), expected(a.into(), p, b.into(), q))
            }),
            (any::<(Ipv6Addr, Ipv6Addr)>(), ports).prop_map(|((a, b), (p, q))| {
                let line = format!("PROXY TCP6 {a} {b} {p} {q}\r\n");
                (line.into_bytes(), expected(a.into(), p, b.into(), q))
            }),
            "PROXY UNKNOWN( [ -~]{0,80})?\r\n".prop_map(|line| (line.into_bytes(), None)),
            (any::<(Ipv4Addr, Ipv4Addr)>(), ports, any::<Vec<u8>>()).prop_map(
                |((a, b), (p, q), tlvs)| {
                    let mut body = [a.octets(), b.octets()].concat();
                    body.extend([p.to_be_bytes(), q.to_be_bytes()].concat());
                    body.extend(tlvs);
                    (v2(0x21, 0x11, &body), expected(a.into(), p, b.into(), q))
                }
            ),
            (any::<(Ipv6Addr, Ipv6Addr)>(), ports, any::<Vec<u8>>()).prop_map(
                |((a, b), (p, q), tlvs)| {
                    let mut body = [a.octets(), b.octets()].concat();
                    body.extend([p.to_be_bytes(), q.to_be_bytes()].concat());
                    body.extend(tlvs);
                    (v2(0x21, 0x22, &body), expected(a.into(), p, b.into(), q))
                }
            ),
            any::<Vec<u8>>().prop_map(|body| (v2(0x20, 0x00, &body), None)),
        ]
    }

    fn expected(a: IpAddr, p: u16, b: IpAddr, q: u16) -> Option<ProxiedAddrs> {
        Some(ProxiedAddrs {
            client: SocketAddr::new(a.to_canonical(), p),
            dest: SocketAddr::new(b.to_canonical(), q),
        })
    }

    proptest! {
        #[test]
        fn a_header_split_anywhere_waits_for_its_end(
            (header, source) in any_header(),
            rest in any::<Vec<u8>>(),
        ) {
            for cut in 0..header.len() {
                prop_assert_eq!(parse(&header[..cut]), Ok(Parsed::Incomplete), "cut at {}", cut);
            }
            let len = header.len();
            let whole = [header, rest].concat();
            prop_assert_eq!(parse(&whole), Ok(Parsed::Done { len, source }));
        }

        /// More bytes never change a verdict, and a header never ends beyond the bytes given.
        #[test]
        fn verdicts_on_arbitrary_bytes_are_final(
            prefix in prop_oneof![
                Just(&b""[..]),
                Just(V1_PREFIX),
                Just(&b"PROXY TCP4 "[..]),
                Just(V2_SIGNATURE),
                Just(&b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00"[..]),
            ],
            tail in any::<Vec<u8>>(),
        ) {
            let bytes = [prefix, &tail[..]].concat();
            let mut verdict = None;
            for end in 0..=bytes.len() {
                let now = parse(&bytes[..end]);
                if let Some(earlier) = verdict {
                    prop_assert_eq!(now, earlier);
                } else if now != Ok(Parsed::Incomplete) {
                    if let Ok(Parsed::Done { len, .. }) = now {
                        prop_assert!(len <= end);
                    }
                    verdict = Some(now);
                }
            }
        }
    }
}
