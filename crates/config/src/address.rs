//! Addresses and names as people write them, and the placeholders that set-up guides leave behind.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use super::placeholder::placeholder;

/// Whether `text` is what a guide tells its reader to replace.
pub(super) fn is_placeholder(text: &str) -> bool {
    placeholder(text).is_some()
}

/// Whether `name` looks like a name that DNS can hold and the Internet can ask for: labels with
/// dots between them, and not an address.
#[must_use]
pub fn is_dns_name(name: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last_is_word = name.rsplit('.').next().is_some_and(|last| !last.starts_with(is_digit));
    name.len() <= 253 && name.contains('.') && name.split('.').all(label) && last_is_word
}

fn is_digit(c: char) -> bool {
    c.is_ascii_digit()
}

/// Takes a DNS name or an IP address, the latter with or without brackets; gives it back without.
#[must_use]
pub fn parse_host(text: &str) -> Option<String> {
    let bare = text.trim().trim_start_matches('[').trim_end_matches(']');
    let is_ip = bare.parse::<IpAddr>().is_ok_and(|ip| !ip.is_unspecified());
    let is_name = is_dns_name(bare) || bare == "localhost";
    ((is_ip || is_name) && !is_placeholder(bare)).then(|| bare.to_owned())
}

/// Splits `host:port`, taking port 3478 where there is none.
pub(super) fn host_port(text: &str) -> Option<(String, u16)> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        let host = address.ip();
        let host = if host.is_ipv6() { format!("[{host}]") } else { host.to_string() };
        return Some((host, address.port()));
    }
    if let Ok(ip) = text.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
        return Some((if ip.is_ipv6() { format!("[{ip}]") } else { ip.to_string() }, 3478));
    }
    let (host, port) = match text.split_once(':') {
        Some((host, port)) => (host, port.parse().ok().filter(|port| *port != 0)?),
        None => (text, 3478),
    };
    let named = host == "localhost" || is_dns_name(host);
    named.then(|| (host.to_owned(), port))
}

/// Reads a listener's address and says what is wrong with it.
pub(super) fn listen_address(text: &str) -> Result<SocketAddr, (String, String)> {
    let text = text.trim();
    if let Ok(address) = text.parse::<SocketAddr>() {
        if address.ip().is_multicast() {
            return Err((
                format!("{} is a multicast address", address.ip()),
                "write an address of this machine, or [::] for all".into(),
            ));
        }
        return Ok(address);
    }
    let port = text.strip_prefix(':').or_else(|| text.strip_prefix("*:")).unwrap_or(text);
    let (message, help) = if let Ok(port) = port.parse::<u16>() {
        ("has no address".into(), format!("write \"[::]:{port}\" for every address"))
    } else if let Ok(ip) = text.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
        ("has no port".into(), format!("write \"{}\"", SocketAddr::new(ip, 3478)))
    } else if let Some((ip, port)) = text
        .rsplit_once(':')
        .and_then(|(ip, port)| Some((ip.parse::<Ipv6Addr>().ok()?, port.parse::<u16>().ok()?)))
    {
        ("has an IPv6 address without brackets".into(), format!("write \"[{ip}]:{port}\""))
    } else {
        (
            format!("\"{text}\" is not ADDRESS:PORT"),
            "write \"[::]:3478\" for every address, or an address of this machine and a port"
                .into(),
        )
    };
    Err((message, help))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dns_names_have_dots_and_are_no_addresses() {
        assert!(is_dns_name("turn.domain.org"));
        assert!(is_dns_name("a-b.xn--p1ai"));
        for name in
            ["taciturn", "203.0.113.7", "a..b", "-a.org", "a b.org", "a.org.", "a.org:1", ""]
        {
            assert!(!is_dns_name(name), "{name}");
        }
    }

    #[test]
    fn half_written_listen_addresses_are_completed_in_the_help() {
        let help = |text| listen_address(text).unwrap_err().1;
        assert!(help("3478").contains("\"[::]:3478\""));
        assert!(help(":3478").contains("\"[::]:3478\""));
        assert!(help("*:3478").contains("\"[::]:3478\""));
        assert!(help("10.0.0.1").contains("\"10.0.0.1:3478\""));
        assert!(help("2001:db8::1").contains("\"[2001:db8::1]:3478\""));
        assert!(help("localhost:3478").contains("[::]:3478"));
        assert!(listen_address("0.0.0.0:3478").is_ok());
    }

    #[test]
    fn stun_servers_get_the_default_port() {
        let text = |text| host_port(text).map(|(host, port)| format!("{host}:{port}"));
        assert_eq!(text("stun.domain.org").as_deref(), Some("stun.domain.org:3478"));
        assert_eq!(text("stun.domain.org:19302").as_deref(), Some("stun.domain.org:19302"));
        assert_eq!(text("[2001:db8::1]:99").as_deref(), Some("[2001:db8::1]:99"));
        assert_eq!(text("2001:db8::1").as_deref(), Some("[2001:db8::1]:3478"));
        assert_eq!(text("stun domain:1"), None);
        assert_eq!(text("stun.domain.org:0"), None);
    }
}
