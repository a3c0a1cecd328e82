//! Network interfaces, as far as the program depends on them.

use std::fs;
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
