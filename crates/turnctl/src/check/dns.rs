//! Names: what they lead to, and whether a stranger could get there.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;
use tokio::time::timeout;

use super::uris::Origin;
use crate::client::TurnUri;
use crate::report::{Finding, Section};
use taciturn_stun::canonical_ip;
use taciturn_turn::policy::is_public;

/// What a resolver is given; beyond it browsers have given up as well.
const PATIENCE: Duration = Duration::from_secs(6);

/// Where Cloudflare's proxies are, as Cloudflare publishes it.
const CLOUDFLARE: &[&str] = &[
    "103.21.244.0/22",
    "103.22.200.0/22",
    "103.31.4.0/22",
    "104.16.0.0/13",
    "104.24.0.0/14",
    "108.162.192.0/18",
    "131.0.72.0/22",
    "141.101.64.0/18",
    "162.158.0.0/15",
    "172.64.0.0/13",
    "173.245.48.0/20",
    "188.114.96.0/20",
    "190.93.240.0/20",
    "197.234.240.0/22",
    "198.41.128.0/17",
    "2400:cb00::/32",
    "2405:8100::/32",
    "2405:b500::/32",
    "2606:4700::/32",
    "2803:f800::/32",
    "2a06:98c0::/29",
    "2c0f:f248::/32",
];

/// Whether web traffic to this address goes through Cloudflare's proxies.
pub(crate) fn is_cloudflare(ip: IpAddr) -> bool {
    CLOUDFLARE.iter().filter_map(|net| net.parse().ok()).any(|net: IpNet| net.contains(&ip))
}

/// The addresses of each URI's host, IPv4 first, and what is to be said about its name.
pub(super) async fn resolve(uris: &[TurnUri], section: &mut Section) -> Vec<Vec<SocketAddr>> {
    let mut known: Vec<(String, Vec<IpAddr>)> = Vec::new();
    let mut resolved = Vec::with_capacity(uris.len());
    for uri in uris {
        let found = known.iter().find(|(host, _)| *host == uri.host).map(|(_, ips)| ips.clone());
        let ips = match found {
            Some(ips) => ips,
            None => {
                let ips = look_up(&uri.host, section).await;
                known.push((uri.host.clone(), ips.clone()));
                ips
            }
        };
        resolved.push(ips.into_iter().map(|ip| SocketAddr::new(ip, uri.port)).collect());
    }
    resolved
}

async fn look_up(host: &str, section: &mut Section) -> Vec<IpAddr> {
    if let Ok(ip) = host.parse() {
        section.findings.extend(of_address(host, ip));
        return vec![ip];
    }
    let answer = timeout(PATIENCE, tokio::net::lookup_host((host, 0))).await;
    let addresses: BTreeSet<IpAddr> = match answer {
        Ok(Ok(addresses)) => addresses.map(|address| canonical_ip(address.ip())).collect(),
        Ok(Err(error)) => {
            section.push(missing(host, &error.to_string()));
            return Vec::new();
        }
        Err(_) => {
            section.push(missing(host, "the resolver of this machine does not answer"));
            return Vec::new();
        }
    };
    // A set of addresses is in order, IPv4 first.
    let addresses: Vec<_> = addresses.into_iter().collect();
    if addresses.is_empty() {
        section.push(missing(host, "it has neither an A nor an AAAA record"));
        return addresses;
    }
    let list: Vec<_> = addresses.iter().map(ToString::to_string).collect();
    let warnings: Vec<_> = addresses.iter().filter_map(|ip| of_address(host, *ip)).collect();
    section.push(Finding::pass("dns", format!("{host} is {}", list.join(" and "))));
    section.findings.extend(warnings);
    addresses
}

fn missing(host: &str, what: &str) -> Finding {
    Finding::fail("dns-missing", format!("the name {host} leads nowhere: {what}"))
        .why("clients cannot even begin: no request leaves them.")
        .fix(format!(
            "Make an A record for {host} with the public IPv4 address of the TURN server, and look \
             at it with:\n  dig +short {host} A\nA record made minutes ago may need some more."
        ))
}

/// What is to be said about an address that strangers do not reach.
fn of_address(host: &str, ip: IpAddr) -> Option<Finding> {
    if is_public(ip) {
        return None;
    }
    if ip.is_loopback() || host.parse::<IpAddr>().is_ok() {
        let title = format!("{ip} is no public address: what follows holds for this network only");
        return Some(Finding::info("dns-private", title));
    }
    let warn = Finding::warn("dns-private", format!("{host} leads to {ip}, no public address"));
    Some(
        warn.why(
            "who is outside of this network cannot reach it, so calls over the Internet fail.",
        )
        .fix(format!(
            "Give {host} the public address of the server. If your router or VPN answers \
                 differently inside, run this check from outside as well."
        )),
    )
}

/// What Chrome makes of a TURN server in the local network. A literal address is judged as a name is: Chrome goes by
/// the address.
pub(super) fn local_network(
    uris: &[TurnUri],
    resolved: &[Vec<SocketAddr>],
    origin: Origin,
) -> Option<Finding> {
    let mut pairs =
        uris.iter().zip(resolved).flat_map(|(u, list)| list.iter().map(move |a| (u, a)));
    let of_clients = |uri: &TurnUri| uri.ip().is_none() || origin == Origin::Homeserver;
    let (uri, address) =
        pairs.find(|(uri, a)| of_clients(uri) && !is_public(a.ip()) && !a.ip().is_unspecified())?;
    Some(
        Finding::info(
            "local-network-access",
            format!("{} leads to {}: Chrome may ask its user before it goes there", uri.host, address.ip()),
        )
        .why(
            "Chrome asks for the permission \"local network access\" before a page from the Internet reaches \
             private or loopback addresses. For WebRTC, TURN servers included, this is a setting \
             (chrome://flags/#local-network-access-check-webrtc), off in the versions this was written for. \
             Where it is on and the user declines, there is no relay.",
        )
        .fix(format!(
            "Grant it in the page's site settings (Local network access); a company allows its pages by the \
             policy LocalNetworkAccessAllowedForUrls. Or let {} lead to the public address at home as well, if \
             the router reaches it from inside (hairpin NAT).",
            uri.host
        )),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_range_of_cloudflare_is_read() {
        for net in CLOUDFLARE {
            let net: IpNet = net.parse().unwrap();
            assert!(is_cloudflare(net.network()) && is_cloudflare(net.broadcast()), "{net}");
        }
        assert!(!is_cloudflare("8.8.8.8".parse().unwrap()));
    }

    #[test]
    fn chrome_may_ask_for_addresses_of_the_local_network() {
        let found = |uri: &str, ip: &str, origin| {
            let address = SocketAddr::new(ip.parse().unwrap(), 3478);
            local_network(&[uri.parse().unwrap()], &[vec![address]], origin)
                .map(|finding| finding.id)
        };
        for ip in ["192.168.1.5", "10.0.0.5", "100.64.0.5", "fd00::5", "127.0.1.1", "169.254.1.5"] {
            assert!(found("turn:turn.example.org", ip, Origin::User).is_some(), "{ip}");
        }
        assert!(found("turn:192.168.1.5", "192.168.1.5", Origin::Homeserver).is_some());
        assert!(found("turn:192.168.1.5", "192.168.1.5", Origin::User).is_none());
        assert!(found("turn:turn.example.org", "9.9.9.9", Origin::Homeserver).is_none());
    }

    #[tokio::test]
    async fn a_name_that_leads_nowhere_is_named_once() {
        let uris = ["turn:no-such-host.invalid", "turn:no-such-host.invalid?transport=tcp"]
            .map(|uri| uri.parse().unwrap());
        let mut section = Section::default();
        let resolved = resolve(&uris, &mut section).await;
        assert!(resolved.iter().all(Vec::is_empty));
        let ids: Vec<_> = section.findings.iter().map(|finding| finding.id).collect();
        assert_eq!(ids, ["dns-missing"]);
    }
}
