//! The relayed transport address: whether others can send to it.

use std::net::IpAddr;

use super::Plan;
use super::reach::Target;
use crate::client::Allocation;
use crate::report::Finding;
use taciturn_turn::policy::is_public;

/// Judges the address that peers are told.
pub(super) fn judge(plan: &Plan, target: &Target, allocation: &Allocation) -> Vec<Finding> {
    let (relayed, server) = (allocation.relayed, target.address.ip());
    let mut findings = vec![of_address(relayed.ip(), server)];
    if let Some(range) = plan.expect_ports {
        let (first, last) = (range.first(), range.last());
        let title = format!("relay port {} is in {first}-{last}", relayed.port());
        findings.push(if (first..=last).contains(&relayed.port()) {
            Finding::pass("relay-port-range", title)
        } else {
            Finding::fail(
                "relay-port-range",
                format!("the relay port {} is not in {first}-{last}", relayed.port()),
            )
            .why("firewalls and port mappings are open for that range only, so media get lost.")
            .fix(format!(
                "Make both the same. In the server's configuration:\n  taciturn: relay_ports = \
                 \"{first}-{last}\"\n  coturn:   min-port={first}\n            max-port={last}"
            ))
        });
    }
    findings
}

fn of_address(relayed: IpAddr, server: IpAddr) -> Finding {
    if is_public(relayed) {
        return Finding::pass("relay-address", format!("the relayed address {relayed} is public"));
    }
    if relayed == server {
        let title = format!("the relayed address {relayed} is good in this network only");
        return Finding::info("relay-address", title);
    }
    let kind = match relayed {
        IpAddr::V4(v4) if v4.is_documentation() => "an example address from a manual",
        IpAddr::V4(v4) if v4.is_loopback() => "the server's own loopback",
        IpAddr::V4(v4) if v4.octets().starts_with(&[172]) => "a private address, often Docker's",
        _ => "no public address",
    };
    let public = if is_public(server) { server.to_string() } else { "PUBLIC-ADDRESS".to_owned() };
    Finding::fail("relay-private", format!("the relayed address is {relayed}, {kind}"))
        .why(
            "it is what the other side of a call is told to send to, and it cannot: the call stays \
             at \"Connecting\".",
        )
        .fix(format!(
            "Tell the server its public address, and restart it:\n  taciturn: external_ip = \
             \"{public}\"   (behind a 1:1 NAT \"{public}/{relayed}\")\n  coturn:   \
             external-ip={public}/{relayed}\nIn Docker use network_mode: host."
        ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Status;

    fn of(relayed: &str, server: &str) -> (&'static str, Status) {
        let finding = of_address(relayed.parse().unwrap(), server.parse().unwrap());
        (finding.id, finding.status)
    }

    #[test]
    fn private_relays_fail_unless_the_server_is_there_too() {
        assert_eq!(of("8.8.4.4", "8.8.4.4"), ("relay-address", Status::Pass));
        assert_eq!(of("192.168.1.5", "192.168.1.5"), ("relay-address", Status::Info));
        assert_eq!(of("172.17.0.2", "8.8.4.4"), ("relay-private", Status::Fail));
        assert_eq!(of("172.17.0.2", "192.168.1.5"), ("relay-private", Status::Fail));
        assert_eq!(of("203.0.113.7", "8.8.4.4"), ("relay-private", Status::Fail));
    }
}
