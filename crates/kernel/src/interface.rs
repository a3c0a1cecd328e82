//! Network interfaces, as far as the program depends on them.

use std::fs;
use std::net::IpAddr;
use std::path::Path;

use super::error::Error;

/// ARPHRD_ETHER: packets have an Ethernet header.
pub(crate) const ETHERNET: u16 = 1;

/// Checks that packets come in by an interface with Ethernet headers, without which the program would misread them.
/// Returns its driver, where it has one.
///
/// # Errors
/// When there is no such interface, or its packets have none.
pub fn interface_kind(name: &str) -> Result<Option<String>, Error> {
    let fails = |why: String| Error::Interface { interface: name.to_owned(), why };
    if name.is_empty() || name.contains('/') || name.starts_with('.') {
        return Err(fails("that is no name of an interface".to_owned()));
    }
    let directory = Path::new("/sys/class/net").join(name);
    let kind = fs::read_to_string(directory.join("type"))
        .map_err(|error| fails(format!("there is no such interface ({error})")))?;
    if kind.trim().parse() != Ok(ETHERNET) {
        return Err(fails("its packets have no Ethernet header".to_owned()));
    }
    let driver = fs::read_link(directory.join("device/driver")).ok();
    let name = driver.as_deref().and_then(Path::file_name);
    Ok(name.map(|name| name.to_string_lossy().into_owned()))
}

/// Returns the names of the interfaces that have one of these addresses, as far as packets have Ethernet headers there.
/// An address that stands for any of its family, or `::` for any of both, means all but those of one link.
#[must_use]
pub fn interfaces_with(addresses: &[IpAddr]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for interface in if_addrs::get_if_addrs().unwrap_or_default() {
        let ip = interface.ip();
        let of_any = |any: &IpAddr| any.is_unspecified() && (any.is_ipv6() || ip.is_ipv4());
        let is_ours =
            addresses.contains(&ip) || (addresses.iter().any(of_any) && !is_of_a_link(ip));
        if is_ours && !names.contains(&interface.name) && interface_kind(&interface.name).is_ok() {
            names.push(interface.name);
        }
    }
    names
}

fn is_of_a_link(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local() || ip.is_loopback(),
        IpAddr::V6(ip) => ip.is_unicast_link_local() || ip.is_loopback(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_interfaces_with_ethernet_headers_are_good() {
        for (name, why) in [
            ("lo", "no Ethernet header"),
            ("none0", "no such interface"),
            ("../lo", "no name"),
            ("", "no name"),
        ] {
            let error = interface_kind(name).unwrap_err().to_string();
            assert!(error.contains(why) && error.contains(name), "{error}");
        }
    }
}
