//! The external address: against the interfaces, and against DNS.

use std::net::{IpAddr, ToSocketAddrs as _};
use std::sync::mpsc;
use std::time::Duration;

use taciturn_config::{Config, ExternalIp, is_dns_name};
use taciturn_net::external::{self, External};
use taciturn_turn::policy::is_public;

use super::super::check::dns::is_cloudflare;
use super::super::report::{Finding, Section};
use taciturn_config::uris::Host;

/// How long a name server may take.
const PATIENCE: Duration = Duration::from_secs(6);

pub(super) fn section(config: &Config, offline: bool) -> Section {
    let mut section = Section::new("Addresses");
    let given = match &config.external_ip {
        ExternalIp::Auto => &[][..],
        ExternalIp::Given(given) => given,
    };
    let stun_servers = if offline { &[][..] } else { &config.stun_servers };
    let external = match external::find(given, stun_servers) {
        Ok(external) => external,
        Err(error) => {
            section.push(
                Finding::fail("external-address", error.to_string())
                    .why("The server does not start without an address to relay on.")
                    .fix("Set external_ip to the address that clients reach this machine at."),
            );
            return section;
        }
    };
    section.findings.extend(relay(&external, config));
    let Host::Known(name) = Host::of(config, None, external::public_source()) else {
        return section;
    };
    if !is_dns_name(&name) {
        let title = format!("clients use the address {name}; there is no name to look up");
        section.push(Finding::info("dns", title));
    } else if offline {
        section.push(Finding::skip("dns", format!("{name} is not looked up (--offline)")));
    } else {
        match resolve(&name) {
            Ok(found) => section.findings.extend(dns(&name, &found, &external.own)),
            Err(why) => section.push(
                Finding::fail("dns-missing", format!("{name} has no address: {why}"))
                    .why("Clients look for this name, and find nobody.")
                    .fix("Add an A record with the public address of this machine, or set host."),
            ),
        }
    }
    section
}

fn relay(external: &External, config: &Config) -> Vec<Finding> {
    let mut findings = Vec::new();
    for address in external.addresses.iter().flatten() {
        let nat = if address.public == address.local {
            String::new()
        } else {
            format!(" (bound to {})", address.local)
        };
        let title = format!("relaying on {}{nat}", address.public);
        let for_one_network = config.peers.policy(&[], Vec::new()).allowed_by_name(address.public);
        findings.push(if is_public(address.public) {
            Finding::pass("external-address", title)
        } else if for_one_network {
            let title = format!("{title}, for one network alone: peers.allow names it");
            Finding::info("external-address", title)
        } else {
            Finding::fail("external-private", format!("{title}, which is not public"))
                .why("From the Internet this address leads nowhere; in a LAN or VPN the server denies private peers.")
                .fix(
                    "Write the public address; behind a 1:1 NAT (most clouds) both:\n  \
                      external_ip = \"PUBLIC/PRIVATE\"\nFor a server of a LAN or VPN alone, allow that network, \
                     as docs/networks.md has it:\n  peers.allow = [\"10.0.0.0/24\"]",
                )
        });
    }
    // The private address is told of above.
    let others = external.notes.iter().filter(|note| !note.contains("is not a public address"));
    findings.extend(others.map(|note| Finding::info("external-address", note.as_str())));
    findings
}

fn resolve(name: &str) -> Result<Vec<IpAddr>, String> {
    let (answer, wait) = mpsc::channel();
    let wanted = (name.to_owned(), 0);
    // The resolver of the system cannot be given up on: the thread is left to it.
    std::thread::spawn(move || {
        let found = wanted.to_socket_addrs();
        let _ = answer.send(found.map(|found| found.map(|at| at.ip()).collect::<Vec<_>>()));
    });
    let found = wait.recv_timeout(PATIENCE);
    let mut found = found
        .map_err(|_| "the name server did not answer".to_owned())?
        .map_err(|error| error.to_string())?;
    found.sort();
    found.dedup();
    if found.is_empty() { Err("there is no A and no AAAA record".into()) } else { Ok(found) }
}

/// Judges what DNS has, where `own` are the addresses of this machine, the external ones as well.
fn dns(name: &str, found: &[IpAddr], own: &[IpAddr]) -> Vec<Finding> {
    let any_own = found.iter().any(|ip| own.contains(ip));
    let mut findings = Vec::new();
    for ip in found {
        let kind = if ip.is_ipv4() { "A" } else { "AAAA" };
        let title = format!("{name} leads to {ip} ({kind})");
        findings.push(if own.contains(ip) {
            Finding::pass("dns", title)
        } else if is_cloudflare(*ip) {
            Finding::fail("dns-proxied", format!("{title}, a proxy of Cloudflare's"))
                .why("It passes HTTP on, and no TURN: nothing of a call reaches this server.")
                .fix(
                    "Set the record to \"DNS only\" (the grey cloud), with this machine's address.",
                )
        } else if !any_own {
            let mine: Vec<_> =
                own.iter().filter(|ip| is_public(**ip)).map(ToString::to_string).collect();
            let mine = if mine.is_empty() { "of this machine".into() } else { mine.join(" or ") };
            Finding::fail("dns-elsewhere", format!("{title}, which is not this machine"))
                .why("Clients go there. An old address, or a router in front that translates.")
                .fix(format!(
                    "Set the record to the public address: {mine}. Behind a NAT set \
                              external_ip = \"PUBLIC/PRIVATE\"."
                ))
        } else {
            Finding::warn("dns-partly-elsewhere", format!("{title}, which is not this machine"))
                .why("Clients that choose this record fail, each time or now and then.")
                .fix(format!("Remove the {kind} record of {ip}, or give this machine the address."))
        });
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::super::report::Status;
    use super::*;
    use taciturn_turn::RelayAddress;

    fn ids(found: &[&str], own: &[&str]) -> Vec<&'static str> {
        let ips = |texts: &[&str]| -> Vec<IpAddr> {
            texts.iter().map(|text| text.parse().unwrap()).collect()
        };
        dns("h.org", &ips(found), &ips(own)).iter().map(|finding| finding.id).collect()
    }

    #[test]
    fn records_are_held_against_this_machine() {
        let own = ["9.9.9.9", "10.0.0.5"];
        assert_eq!(ids(&["9.9.9.9"], &own), ["dns"]);
        assert_eq!(ids(&["8.8.8.8"], &own), ["dns-elsewhere"]);
        assert_eq!(ids(&["104.21.3.4"], &own), ["dns-proxied"]);
        assert_eq!(ids(&["9.9.9.9", "2a00::1"], &own), ["dns", "dns-partly-elsewhere"]);
    }

    #[test]
    fn private_relay_address_fails() {
        let address = |text: &str| RelayAddress::plain(text.parse().unwrap());
        let external = |text: &str| External {
            addresses: [Some(address(text)), None],
            own: vec![],
            notes: vec!["192.168.1.5 is not a public address: only".into()],
        };
        let found = |text, toml| {
            let config = Config::from_toml(toml).unwrap().config;
            relay(&external(text), &config).iter().map(|f| (f.id, f.status)).collect::<Vec<_>>()
        };
        assert_eq!(found("192.168.1.5", ""), [("external-private", Status::Fail)]);
        assert_eq!(found("9.9.9.9", ""), [("external-address", Status::Pass)]);
        let lan = "peers.allow = [\"192.168.1.0/24\"]";
        assert_eq!(found("192.168.1.5", lan), [("external-address", Status::Info)]);
    }
}
