//! `protocol.nat_discovery`: the addresses of NAT behaviour discovery, and the ports that the
//! listeners make with them.

use std::net::SocketAddr;

use taciturn_stun::Family;
use taciturn_turn::{NatDiscovery, RelayAddress};

use super::config::Listen;
use super::external::relay_address;
use super::read::Reader;
use super::transport::Transport;

const KEY: &str = "protocol.nat_discovery";

/// Reads the key; `None` where it is off.
pub(super) fn nat_discovery(reader: &mut Reader<'_>, listen: &[Listen]) -> Option<NatDiscovery> {
    let items = reader.list(KEY, "a list of two addresses of this server");
    if items.is_empty() {
        return None;
    }
    let mut given: [Vec<RelayAddress>; 2] = [Vec::new(), Vec::new()];
    for item in &items {
        let address = relay_address(reader, item)?;
        let same = given[address.family() as usize]
            .iter()
            .any(|other| other.public == address.public || other.local == address.local);
        if same {
            let message = format!("\"{}\" is there twice", item.text.trim());
            reader.error(item, message, "name two different addresses of a family");
        }
        given[address.family() as usize].push(address);
    }
    let origin = reader.origin(KEY);
    let mut addresses = [None, None];
    for (slot, given) in addresses.iter_mut().zip(&given) {
        match given.as_slice() {
            [] => {}
            [first, second] => *slot = Some([*first, *second]),
            several => {
                let family = if several.iter().any(|a| a.family() == Family::V4) { 4 } else { 6 };
                let message = format!(
                    "has {} IPv{family} address{}; RFC 5780 takes two of a family",
                    several.len(),
                    if several.len() == 1 { "" } else { "es" }
                );
                let help = "write two addresses of this server, like [\"192.0.2.10\", \
                            \"192.0.2.11\"] (behind a 1:1 NAT \"PUBLIC/PRIVATE\"), or remove the key";
                reader.findings.error(&origin, KEY, message, help);
                return None;
            }
        }
    }
    let Some(ports) = ports(&addresses, listen) else {
        let message = "takes two ports, and no two have a UDP listener on each of its addresses";
        let help = "add a second one to the sections [[listen]]:\n\
                    transport = \"udp\"\naddress = \"[::]:3479\"";
        reader.findings.error(&origin, KEY, message, help);
        return None;
    };
    Some(NatDiscovery { addresses, ports })
}

/// The first two ports on which every address has a UDP listener.
fn ports(addresses: &[Option<[RelayAddress; 2]>; 2], listen: &[Listen]) -> Option<[u16; 2]> {
    let speaks_udp = |transport| matches!(transport, Transport::Udp | Transport::UdpAndDtls);
    let udp = || listen.iter().filter(|listen| speaks_udp(listen.transport));
    let is_served = |port: u16| {
        addresses.iter().flatten().flatten().all(|address| {
            udp().any(|listen| serves(listen.address, SocketAddr::new(address.local, port)))
        })
    };
    let mut ports = udp().map(|listen| listen.address.port()).filter(|port| is_served(*port));
    let first = ports.next()?;
    ports.find(|port| *port != first).map(|second| [first, second])
}

/// Whether a listener is on an address; `[::]` is on all of both families.
fn serves(listener: SocketAddr, address: SocketAddr) -> bool {
    let any = listener.ip().is_unspecified() && (listener.is_ipv6() || address.is_ipv4());
    listener.port() == address.port() && (any || listener.ip() == address.ip())
}

#[cfg(test)]
mod tests {
    use crate::Config;

    const LISTEN: &str = "[[listen]]\ntransport = \"udp\"\naddress = \"[::]:3478\"\n\
                          [[listen]]\ntransport = \"udp\"\naddress = \"[::]:3479\"\n";

    fn told(list: &str, listen: &str) -> Result<String, String> {
        let text = format!(
            "{listen}[auth]\nsecrets = [\"a secret for this test\"]\n[protocol]\nnat_discovery = {list}"
        );
        let config = Config::from_toml(&text).map_err(|errors| errors.to_string())?.config;
        Ok(format!(
            "{:?}",
            config.nat_discovery.map(|it| (
                it.ports,
                it.addresses[0].is_some(),
                it.addresses[1].is_some()
            ))
        ))
    }

    #[test]
    fn two_addresses_and_two_ports_are_what_it_takes() {
        let good = told(r#"["8.8.4.4", "8.8.8.8/10.0.0.8"]"#, LISTEN);
        assert_eq!(good.unwrap(), "Some(([3478, 3479], true, false))");
        let both = told(r#"["8.8.4.4", "2a00::1", "8.8.8.8", "2a00::2"]"#, LISTEN);
        assert_eq!(both.unwrap(), "Some(([3478, 3479], true, true))");
        assert_eq!(told("[]", LISTEN).unwrap(), "None");
        let of_each = ["8.8.4.4", "8.8.8.8"].map(|ip| {
            [3478, 5000]
                .map(|port| format!("[[listen]]\ntransport = \"udp\"\naddress = \"{ip}:{port}\"\n"))
        });
        let good = told(r#"["8.8.4.4", "8.8.8.8"]"#, &of_each.concat().concat());
        assert_eq!(good.unwrap(), "Some(([3478, 5000], true, false))");
    }

    #[test]
    fn udp_beside_dtls_is_udp_and_dtls_alone_is_not() {
        let listen = |transport: &str| {
            let second = LISTEN.replacen("\"udp\"", &format!("\"{transport}\""), 1);
            format!("tls.certbot = \"/live\"\n{second}")
        };
        let list = r#"["8.8.4.4", "8.8.8.8"]"#;
        let good = told(list, &listen("udp+dtls")).unwrap();
        assert_eq!(good, "Some(([3478, 3479], true, false))");
        assert!(told(list, &listen("dtls")).unwrap_err().contains("takes two ports"));
    }

    #[test]
    fn what_is_not_two_of_each_is_refused_in_words() {
        let one = told(r#"["8.8.4.4"]"#, LISTEN).unwrap_err();
        assert!(one.contains("has 1 IPv4 address; RFC 5780 takes two of a family"), "{one}");
        let mixed = told(r#"["8.8.4.4", "2a00::1"]"#, LISTEN).unwrap_err();
        assert!(mixed.contains("has 1 IPv4 address"), "{mixed}");
        let same = told(r#"["8.8.4.4", "8.8.4.4"]"#, LISTEN).unwrap_err();
        assert!(same.contains("is there twice"), "{same}");
        let port = told(r#"["8.8.4.4", "8.8.8.8"]"#, "").unwrap_err();
        assert!(port.contains("address = \"[::]:3479\""), "{port}");
        let elsewhere = LISTEN.replace("[::]:3479", "8.8.4.4:3479");
        let elsewhere = told(r#"["8.8.4.4", "8.8.8.8"]"#, &elsewhere).unwrap_err();
        assert!(elsewhere.contains("takes two ports"), "{elsewhere}");
        let name = told(r#"["stun.example.com", "8.8.8.8"]"#, LISTEN).unwrap_err();
        assert!(name.contains("stun.example.com"), "{name}");
    }
}
