//! The `[redirect]` section: servers that clients are sent to.

use std::net::SocketAddr;

use taciturn_stun::Family;
use taciturn_turn::Redirect;

use super::address;
use super::read::Reader;

const EXAMPLE: &str = "write an address with its port, like \"198.51.100.2:3478\" or\n\
     \"[2001:db8::2]:3478\": clients are told numbers, not names";

//= 8489-14.16-alternate-domain-form
/// RFC 8489 section 14.16: a DNS name of at most 255 characters.
const LONGEST_DOMAIN: usize = 255;

/// Reads the section; `None` where clients are sent nowhere.
pub(super) fn redirect(reader: &mut Reader<'_>) -> Option<Redirect> {
    let plain = servers(reader, "redirect.servers");
    let secure = servers(reader, "redirect.tls_servers");
    let domain = reader.text("redirect.tls_domain", "\"turn2.domain.org\"");
    let domain = domain.and_then(|item| {
        let text = item.text.trim();
        if !address::is_dns_name(text) || text.len() > LONGEST_DOMAIN {
            let message = format!("\"{text}\" is no DNS name");
            reader.error(&item, message, "write the name in the other server's certificate");
            return None;
        }
        if secure == [None, None] {
            let message = "no client over TLS is sent anywhere";
            reader.error(&item, message, "add tls_servers to the section [redirect], or remove it");
        }
        Some(text.into())
    });
    let anywhere = plain.iter().chain(&secure).any(Option::is_some);
    anywhere.then_some(Redirect { plain, secure, domain })
}

fn servers(reader: &mut Reader<'_>, key: &'static str) -> [Option<SocketAddr>; 2] {
    let mut servers = [None, None];
    for item in reader.list(key, "a list: [\"198.51.100.2:3478\"]") {
        let text = item.text.trim();
        let good = text.parse().ok().filter(|address: &SocketAddr| {
            address.port() != 0 && !address.ip().is_unspecified() && !address.ip().is_multicast()
        });
        let Some(address) = good else {
            reader.error(&item, format!("\"{text}\" is no address of a server"), EXAMPLE);
            continue;
        };
        let slot = &mut servers[Family::of(address.ip()) as usize];
        if slot.is_some() {
            let message = "is a second one of its address family";
            reader.error(&item, message, "name one IPv4 and one IPv6 address at most");
            continue;
        }
        *slot = Some(address);
    }
    servers
}
