//! Addresses and names as people write them: the external address, listeners, peer ranges, and
//! the placeholders that set-up guides leave behind.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;

use taciturn_turn::policy::is_public;

use super::error::Note;
use super::placeholder::placeholder;
use super::read::{Item, Reader};
use super::{ExternalIp, Listen, RelayAddress, Transport};

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

fn is_documentation_v6(ip: Ipv6Addr) -> bool {
    let [a, b, ..] = ip.segments();
    (a == 0x2001 && b == 0xdb8) || (a == 0x3fff && b < 0x1000)
}

const EXTERNAL_HELP: &str = "write the address that clients on the Internet reach this machine at:\n\
     external_ip = \"auto\" (find it), an IPv4 or IPv6 address,\n\
     or PUBLIC/PRIVATE when the provider maps one to the other (1:1 NAT)";

pub(super) fn external_ip(reader: &mut Reader<'_>) -> ExternalIp {
    let items = reader.list("external_ip", "\"auto\", an address, or a list of two addresses");
    let mut given: Vec<RelayAddress> = Vec::new();
    for item in &items {
        if item.text.trim().eq_ignore_ascii_case("auto") {
            if items.len() > 1 {
                let message = "\"auto\" cannot be combined with addresses";
                reader.error(item, message, "write either \"auto\" alone or only addresses");
            }
            continue;
        }
        let Some(address) = relay_address(reader, item) else { continue };
        let family = if address.public.is_ipv4() { "IPv4" } else { "IPv6" };
        if given.iter().any(|other| other.public.is_ipv4() == address.public.is_ipv4()) {
            let message = format!("a second {family} address, {}", address.public);
            let help = "relayed addresses are made on one address of each family: keep one\n\
                        IPv4 and one IPv6 address at most";
            reader.error(item, message, help);
            continue;
        }
        if address.public.is_loopback() {
            let text = format!("external_ip {} is reachable on this machine only", address.public);
            reader.findings.notes.push(Note::warning(text));
        } else if is_example(address.public) {
            let text = format!(
                "external_ip {} is an address from documentation that nobody can reach; \
                 write this machine's own",
                address.public
            );
            reader.findings.notes.push(Note::warning(text));
        } else if is_public(address.local) && !is_public(address.public) {
            let RelayAddress { public, local } = address;
            let message = format!(
                "\"{public}/{local}\": the two are the wrong way round, {local} is the public one"
            );
            reader.error(item, message, &format!("write \"{local}/{public}\""));
        } else if !is_public(address.public) {
            reader.findings.notes.push(Note::warning(in_one_network(address.public)));
        }
        given.push(address);
    }
    if given.is_empty() { ExternalIp::Auto } else { ExternalIp::Given(given) }
}

/// What a relayed address means that the Internet cannot reach.
fn in_one_network(ip: IpAddr) -> String {
    format!(
        "external_ip {ip} is no public address: only clients in the same network (LAN or VPN) will reach the relay. \
         Peers in private networks are denied until peers.allow names them: for a server of this network alone, add \
         the network to peers.allow, like allow = [\"{net}\"]; see docs/networks.md. If there is a 1:1 NAT, write \
         external_ip = \"PUBLIC/{ip}\"",
        net = network_around(ip)
    )
}

/// The usual network of a private address.
fn network_around(ip: IpAddr) -> IpNet {
    let length = if ip.is_ipv4() { 24 } else { 64 };
    IpNet::new(ip, length).map_or_else(|_| ip.into(), |net| net.trunc())
}

fn is_example(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_documentation(),
        IpAddr::V6(ip) => is_documentation_v6(ip),
    }
}

pub(super) fn relay_address(reader: &mut Reader<'_>, item: &Item) -> Option<RelayAddress> {
    let text = item.text.trim();
    if is_placeholder(text) {
        reader.error(item, format!("\"{text}\" is a placeholder"), EXTERNAL_HELP);
        return None;
    }
    if text.contains(',') {
        let help = "write a list: external_ip = [\"203.0.113.7\", \"2001:db8::7\"]";
        reader.error(item, format!("\"{text}\" is several addresses in one string"), help);
        return None;
    }
    let (public, local) = text.split_once('/').map_or((text, None), |(p, l)| (p, Some(l)));
    let public = usable_ip(reader, item, public)?;
    let local = match local {
        None => public,
        Some(length) if length.trim().parse::<u8>().is_ok() => {
            let help = format!(
                "after the slash stands the private address of a 1:1 NAT, not a prefix length;\n\
                 write \"{public}\""
            );
            reader.error(item, format!("\"{text}\" is a network, not an address"), &help);
            return None;
        }
        Some(local) => usable_ip(reader, item, local)?,
    };
    if public.is_ipv4() != local.is_ipv4() {
        let message = format!("{public} and {local} are of different families");
        let help = "both sides of PUBLIC/PRIVATE are IPv4, or both are IPv6;\n\
                    two public addresses are a list of two strings";
        reader.error(item, message, help);
        return None;
    }
    Some(RelayAddress { public, local })
}

fn usable_ip(reader: &mut Reader<'_>, item: &Item, text: &str) -> Option<IpAddr> {
    let bare = text.trim().trim_start_matches('[').trim_end_matches(']');
    let Ok(ip) = bare.parse::<IpAddr>() else {
        let message = match bare {
            "" => "an address is missing".to_owned(),
            name if is_dns_name(name) => format!("\"{name}\" is a name, not an address"),
            _ if bare.parse::<SocketAddr>().is_ok() => {
                format!("\"{bare}\" has a port; relay ports are set by relay_ports")
            }
            _ => format!("\"{bare}\" is no IP address"),
        };
        reader.error(item, message, EXTERNAL_HELP);
        return None;
    };
    let unusable = match ip {
        IpAddr::V4(Ipv4Addr::BROADCAST) => Some("the broadcast address"),
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => Some("an IPv4 address in IPv6 dress"),
        _ if ip.is_unspecified() => Some("a placeholder that means \"any address\""),
        _ if ip.is_multicast() => Some("a multicast address"),
        _ => None,
    };
    if let Some(what) = unusable {
        reader.error(item, format!("{ip} is {what}"), EXTERNAL_HELP);
        return None;
    }
    Some(ip)
}

pub(super) fn peer_ranges(reader: &mut Reader<'_>, key: &'static str) -> Vec<IpNet> {
    let items = reader.list(key, "a list: [\"10.0.0.0/8\", \"2001:db8::/32\"]");
    let mut ranges = Vec::with_capacity(items.len());
    for item in items {
        let Some(net) = network(reader, &item) else { continue };
        if key == "peers.allow" && net.prefix_len() == 0 {
            let text = format!(
                "peers.allow holds {net}: whoever has a credential can reach everything this \
                 machine can, its private networks included"
            );
            reader.findings.notes.push(Note::warning(text));
        }
        ranges.push(net.trunc());
    }
    ranges
}

/// Reads a network, or a single address as a network of one.
fn network(reader: &mut Reader<'_>, item: &Item) -> Option<IpNet> {
    let text = item.text.trim();
    let net = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    if net.is_err() {
        let help = "write an address or a network with its prefix length: \"10.1.2.3\",\n\
                    \"10.0.0.0/8\", \"2001:db8::/32\"";
        reader.error(item, format!("\"{text}\" is no address and no network"), help);
    }
    net.ok()
}

/// Reads who may send PROXY protocol headers. An IPv4 network in IPv6 dress, as a dual-stack
/// socket shows it, is the IPv4 network.
pub(super) fn trusted_proxies(reader: &mut Reader<'_>, items: &[Item]) -> Vec<IpNet> {
    let mut proxies = Vec::with_capacity(items.len());
    for item in items {
        let Some(net) = network(reader, item) else { continue };
        if net.prefix_len() == 0 {
            let text = format!(
                "{} is {net}: whoever can connect to this listener can pretend to be any client",
                item.key
            );
            reader.findings.notes.push(Note::warning(text));
        }
        let mapped = match net.addr() {
            IpAddr::V6(ip) => ip.to_ipv4_mapped().zip(net.prefix_len().checked_sub(96)),
            IpAddr::V4(_) => None,
        };
        let mapped = mapped.and_then(|(ip, length)| IpNet::new(ip.into(), length).ok());
        proxies.push(mapped.unwrap_or(net).trunc());
    }
    proxies
}

/// Reads `host:port`, with or without `stun:` in front and the port behind.
pub(super) fn stun_servers(reader: &mut Reader<'_>) -> Vec<String> {
    let items = reader.list("stun_servers", "a list: [\"stun.example.org:3478\"]");
    let mut servers = Vec::with_capacity(items.len());
    for item in items {
        let text = item.text.trim();
        let text = text.strip_prefix("stun:").unwrap_or(text);
        match host_port(text) {
            Some((host, port)) if !is_placeholder(text) => servers.push(format!("{host}:{port}")),
            _ => {
                let message = format!("\"{text}\" is not HOST:PORT");
                reader.error(&item, message, "write it like \"stun.example.org:3478\"");
            }
        }
    }
    servers
}

/// Splits `host:port`, taking port 3478 where there is none.
fn host_port(text: &str) -> Option<(String, u16)> {
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

/// Reads the name of a transport.
pub(super) fn transport(text: &str) -> Option<Transport> {
    Some(match text.trim() {
        "udp" => Transport::Udp,
        "tcp" => Transport::Tcp,
        "tls" => Transport::Tls,
        "dtls" => Transport::Dtls,
        "auto" => Transport::Auto,
        _ => return None,
    })
}

/// What is bound when nothing is configured; TLS only where there is a certificate for it.
pub(super) fn default_listeners(tls: bool) -> Vec<Listen> {
    let listen = |transport: Transport, port| Listen {
        name: format!("{}:{port}", transport.name()),
        transport,
        address: SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)),
        explicit: false,
        cert: None,
        proxy_protocol: false,
        trusted_proxies: Vec::new(),
    };
    let mut listeners = vec![listen(Transport::Udp, 3478), listen(Transport::Tcp, 3478)];
    listeners.extend(tls.then(|| listen(Transport::Tls, 5349)));
    listeners
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
