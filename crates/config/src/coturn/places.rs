//! Addresses, ranges and lists of line numbers, from coturn's spelling into ours.

use std::net::{IpAddr, SocketAddr};

use ipnet::{IpNet, Ipv4Net, Ipv4Subnets, Ipv6Subnets};

use crate::address::{is_dns_name, is_placeholder};

/// An address as coturn takes it, without brackets.
///
/// # Errors
/// In words, what it is instead.
pub(super) fn ip(text: &str) -> Result<IpAddr, String> {
    let bare = text.trim().trim_start_matches('[').trim_end_matches(']');
    bare.parse().map_err(|_| {
        if is_placeholder(bare) {
            format!("\"{bare}\" is a placeholder")
        } else if is_dns_name(bare) {
            format!("\"{bare}\" is a name; only addresses are taken here")
        } else {
            format!("\"{bare}\" is no address")
        }
    })
}

/// `ADDRESS:PORT` as coturn takes it; an IPv6 address may lack its brackets.
pub(super) fn ip_port(text: &str) -> Result<SocketAddr, String> {
    let text = text.trim();
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let split = text.rsplit_once(':').and_then(|(ip, port)| Some((ip, port.parse::<u16>().ok()?)));
    let Some((address, port)) = split else {
        return Err(format!("\"{text}\" is not ADDRESS:PORT"));
    };
    Ok(SocketAddr::new(ip(address)?, port))
}

/// A peer range as coturn takes it, `FIRST-LAST` or one address, as networks. `0.0.0.0` and `::`
/// are everything: coturn takes "any address" at its word. A network with a prefix length, at which
/// coturn stops, is taken as it is meant.
pub(super) fn networks(text: &str) -> Result<Vec<IpNet>, String> {
    if text.contains('/') {
        let net = text.trim().parse::<IpNet>();
        return net.map(|net| vec![net.trunc()]).map_err(|_| format!("\"{text}\" is no network"));
    }
    let Some((first, last)) = text.split_once('-') else {
        let address = ip(text)?;
        if address.is_unspecified() {
            return Ok(["0.0.0.0/0", "::/0"].iter().filter_map(|all| all.parse().ok()).collect());
        }
        return Ok(vec![canonical(IpNet::from(address))]);
    };
    let (first, last) = (ip(first)?, ip(last)?);
    if first > last {
        return Err(format!("{first} is behind {last}"));
    }
    let nets: Vec<IpNet> = match (first, last) {
        (IpAddr::V4(first), IpAddr::V4(last)) => {
            Ipv4Subnets::new(first, last, 0).map(IpNet::V4).collect()
        }
        (IpAddr::V6(first), IpAddr::V6(last)) => {
            Ipv6Subnets::new(first, last, 0).map(IpNet::V6).collect()
        }
        _ => return Err(format!("{first} and {last} are of different families")),
    };
    Ok(nets.into_iter().map(canonical).collect())
}

/// Peers in IPv6 dress are judged as the IPv4 addresses they are, so a rule must be in IPv4.
fn canonical(net: IpNet) -> IpNet {
    let IpNet::V6(v6) = net else { return net };
    let undressed =
        v6.addr().to_ipv4_mapped().zip(v6.prefix_len().checked_sub(96).filter(|n| *n > 0));
    undressed.and_then(|(ip, length)| Ipv4Net::new(ip, length).ok()).map_or(net, IpNet::V4)
}

/// Whether coturn lets nothing through to here, whatever `allowed-peer-ip` says.
pub(super) fn never_allowed(net: &IpNet) -> bool {
    const NEVER: [&str; 7] = [
        "0.0.0.0/8",
        "169.254.0.0/16",
        "::/128",
        "fe80::/10",
        "fc00::/7",
        "fec0::/10",
        "::ffff:0:0/96",
    ];
    let mut never = NEVER.iter().filter_map(|never| never.parse::<IpNet>().ok());
    never.any(|never| never.contains(net))
}

/// `line 4`, `lines 4 and 9`, `lines 4 to 9`.
pub(super) fn line_numbers(lines: &[usize]) -> String {
    match lines {
        [] => String::new(),
        [one] => format!("line {one}"),
        [one, two] => format!("lines {one} and {two}"),
        [first, .., last] => {
            if last - first + 1 == lines.len() {
                return format!("lines {first} to {last}");
            }
            format!("{} lines from {first} to {last}", lines.len())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        let nets = networks(text).unwrap();
        nets.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn ranges_become_networks() {
        assert_eq!(shown("10.0.0.0-10.255.255.255"), "10.0.0.0/8");
        assert_eq!(
            shown("192.88.99.1-192.88.99.4"),
            "192.88.99.1/32 192.88.99.2/31 192.88.99.4/32"
        );
        assert_eq!(shown("fc00::-fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), "fc00::/7");
        assert_eq!(shown("8.8.8.8"), "8.8.8.8/32");
        assert_eq!(shown("8.8.8.9/24"), "8.8.8.0/24");
    }

    #[test]
    fn any_address_is_every_address_and_dress_is_taken_off() {
        assert_eq!(shown("0.0.0.0"), "0.0.0.0/0 ::/0");
        assert_eq!(shown("::"), "0.0.0.0/0 ::/0");
        assert_eq!(shown("::ffff:8.8.8.0-::ffff:8.8.8.255"), "8.8.8.0/24");
        assert_eq!(shown("::ffff:0.0.0.0-::ffff:255.255.255.255"), "::ffff:0.0.0.0/96");
    }

    #[test]
    fn what_is_no_range_says_what_it_is() {
        for (text, words) in [
            ("10.0.0.9-10.0.0.1", "10.0.0.9 is behind 10.0.0.1"),
            ("10.0.0.1-fe80::1", "different families"),
            ("turn.domain.org", "is a name"),
            ("X.X.X.X", "is a placeholder"),
            ("10.0.0.0/33", "no network"),
            ("ten", "no address"),
        ] {
            let told = networks(text).unwrap_err();
            assert!(told.contains(words), "{text}: {told}");
        }
    }

    #[test]
    fn lines_are_counted_in_words() {
        assert_eq!(line_numbers(&[4]), "line 4");
        assert_eq!(line_numbers(&[4, 9]), "lines 4 and 9");
        assert_eq!(line_numbers(&[4, 5, 6]), "lines 4 to 6");
        assert_eq!(line_numbers(&[4, 5, 9]), "3 lines from 4 to 9");
    }

    #[test]
    fn addresses_with_ports_may_lack_brackets() {
        assert_eq!(ip_port("10.0.0.1:3480").unwrap().to_string(), "10.0.0.1:3480");
        assert_eq!(ip_port("2001:db8::1:3480").unwrap().to_string(), "[2001:db8::1]:3480");
        assert!(ip_port("10.0.0.1").is_err());
    }
}
