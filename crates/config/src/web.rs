//! The `[web]` section: an address of its own for test links.

use super::address::listen_address;
use super::config::{Listen, Tls};
use super::error::Origin;
use super::read::Reader;
use super::transport::Transport;

/// The key of the address.
pub(super) const KEY: &str = "web.listen";

/// Returns the listener of `web.listen`, and where that stands: TLS if there is a certificate, and TCP.
pub(super) fn listener(reader: &mut Reader<'_>, tls: &Tls) -> Option<(Listen, Origin)> {
    let item = reader.text(KEY, "\"[::]:8443\"")?;
    let address = match listen_address(&item.text) {
        Ok(address) => address,
        Err((message, help)) => {
            reader.error(&item, message, &help);
            return None;
        }
    };
    let listen = Listen {
        name: "web".to_owned(),
        transport: if tls.certificates.is_empty() { Transport::Tcp } else { Transport::Auto },
        address,
        explicit: true,
        for_links: true,
        cert: None,
        proxy_protocol: false,
        trusted_proxies: Vec::new(),
        realm: None,
    };
    Some((listen, item.origin))
}
