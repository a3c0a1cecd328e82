//! Addresses, from coturn's spelling into ours.

use std::net::{IpAddr, SocketAddr};

use crate::address::is_dns_name;
use crate::placeholder::placeholder;

/// An address as coturn takes it, without brackets.
///
/// # Errors
/// In words, what it is instead.
pub(super) fn ip(text: &str) -> Result<IpAddr, String> {
    let bare = text.trim().trim_start_matches('[').trim_end_matches(']');
    bare.parse().map_err(|_| {
        if placeholder(bare).is_some() {
            format!("\"{bare}\" is a placeholder")
        } else if is_dns_name(bare) {
            format!("\"{bare}\" is a name; only addresses are taken here")
        } else {
            format!("\"{bare}\" is no address")
        }
    })
}

/// `ADDRESS:PORT` as coturn takes it; an IPv6 address may lack its brackets.
///
/// # Errors
/// In words, what it is instead.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_with_ports_may_lack_brackets() {
        assert_eq!(ip_port("10.0.0.1:3480").unwrap().to_string(), "10.0.0.1:3480");
        assert_eq!(ip_port("2001:db8::1:3480").unwrap().to_string(), "[2001:db8::1]:3480");
        assert!(ip_port("10.0.0.1").is_err());
    }

    #[test]
    fn what_is_no_address_says_what_it_is() {
        for (text, words) in [
            ("turn.domain.org", "is a name"),
            ("X.X.X.X", "is a placeholder"),
            ("ten", "no address"),
        ] {
            let told = ip(text).unwrap_err();
            assert!(told.contains(words), "{text}: {told}");
        }
    }
}
