//! What strangers can do with the server.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::reach::{Reached, Target};
use super::{Run, credentials, entering};
use crate::client::{ClientError, Login, Opened, Spoken, random};
use crate::report::{Finding, Section};
use taciturn_turn::auth::SharedSecret;
use taciturn_turn::policy::is_public;

/// Names and passwords of guides and example files, which scanners try first.
const WELL_KNOWN: &[(&str, &str)] = &[("test", "test"), ("user", "password")];

/// The secret of coturn's example file.
const WELL_KNOWN_SECRET: &str = "north";

/// What a relay must not reach for its clients: the machine itself, the metadata of a cloud, and
/// private networks.
const INSIDE: &[(&str, Ipv4Addr)] = &[
    ("loopback", Ipv4Addr::LOCALHOST),
    ("cloud metadata", Ipv4Addr::new(169, 254, 169, 254)),
    ("10.0.0.0/8", Ipv4Addr::new(10, 0, 0, 1)),
    ("172.16.0.0/12", Ipv4Addr::new(172, 17, 0, 1)),
    ("192.168.0.0/16", Ipv4Addr::new(192, 168, 0, 1)),
    ("100.64.0.0/10", Ipv4Addr::new(100, 64, 0, 1)),
];

const INSIDE_V6: &[(&str, Ipv6Addr)] = &[
    ("loopback", Ipv6Addr::LOCALHOST),
    ("fd00::/8", Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1)),
    ("IPv4 loopback in IPv6", Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0x7f00, 1)),
];

/// A stranger's answer may be so many times the request, IP and UDP headers counted: more is worth
/// something to who sends with another's address. A usual 401 is at three.
const AMPLIFICATION: f64 = 5.0;

/// Headers of IPv4 and UDP.
const HEADERS: usize = 28;

/// Tries one target, which answers.
pub(super) async fn test(
    run: &mut Run<'_>,
    target: &Target,
    reached: &Reached,
    section: &mut Section,
) {
    if target.uri.spoken() == Spoken::Udp {
        section.findings.extend(amplification(reached));
    }
    let tried = if reached.challenge.is_some() {
        match logins(run, target).await {
            Ok(findings) => {
                section.findings.extend(findings);
                Ok(())
            }
            Err(error) => Err(error),
        }
    } else {
        Ok(())
    };
    if let Err(error) = tried {
        section.push(Finding::skip("logins", format!("logins not tried to the end: {error}")));
    }
    match entering::another(run, target, None).await {
        Ok((mut client, allocation)) => {
            let v4: Vec<_> = INSIDE.iter().map(|(name, ip)| (*name, IpAddr::from(*ip))).collect();
            let v6: Vec<_> =
                INSIDE_V6.iter().map(|(name, ip)| (*name, IpAddr::from(*ip))).collect();
            let relay = allocation.relayed.ip();
            let peers = if relay.is_ipv4() { v4 } else { v6 };
            // A server in a private network may serve that network, and its own relayed address is
            // where two of its users meet.
            let local = !is_public(target.address.ip());
            let never = |ip: IpAddr| ip.is_loopback() || is_link_local(ip);
            let peers = peers.into_iter().filter(|(_, ip)| *ip != relay && (!local || never(*ip)));
            let mut allowed = Vec::new();
            for (name, ip) in peers {
                if client.permit(ip).await.is_ok() {
                    allowed.push(format!("{ip} ({name})"));
                }
            }
            let _ = client.refresh(0).await;
            section.push(of_peers(&allowed));
        }
        Err(error) => section.push(Finding::skip(
            "private-peers",
            format!("private peers not tried, as there is no allocation: {error}"),
        )),
    }
}

fn is_link_local(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V4(v4) if v4.is_link_local())
}

fn of_peers(allowed: &[String]) -> Finding {
    if allowed.is_empty() {
        return Finding::pass("private-peers", "private networks are refused as peers");
    }
    Finding::fail(
        "private-peers",
        format!("the server relays into private networks: {}", allowed.join(", ")),
    )
    .why(
        "every user can reach what only the server should: databases, admin pages, and the cloud's \
         metadata with its keys.",
    )
    .fix(
        "coturn, in turnserver.conf:\n  denied-peer-ip=0.0.0.0-0.255.255.255\n  \
         denied-peer-ip=10.0.0.0-10.255.255.255\n  denied-peer-ip=100.64.0.0-100.127.255.255\n  \
         denied-peer-ip=127.0.0.0-127.255.255.255\n  denied-peer-ip=169.254.0.0-169.254.255.255\n  \
         denied-peer-ip=172.16.0.0-172.31.255.255\n  denied-peer-ip=192.168.0.0-192.168.255.255\n  \
         denied-peer-ip=fc00::-fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff\ntaciturn denies them by \
         itself: take them out of allow in [peers].",
    )
}

fn amplification(reached: &Reached) -> Option<Finding> {
    let challenge = reached.challenge.as_ref().map(|challenge| challenge.sizes);
    let factor =
        |(request, answer): (usize, usize)| (answer + HEADERS) as f64 / (request + HEADERS) as f64;
    let (name, sizes) = [("401", challenge), ("Binding", reached.binding_sizes)]
        .into_iter()
        .filter_map(|(name, sizes)| Some((name, sizes?)))
        .max_by(|a, b| factor(a.1).total_cmp(&factor(b.1)))?;
    let title = format!(
        "a stranger's packet of {} bytes gets one of {} back ({name}; {:.1} times)",
        sizes.0 + HEADERS,
        sizes.1 + HEADERS,
        factor(sizes)
    );
    Some(if factor(sizes) <= AMPLIFICATION {
        Finding::pass("amplification", title)
    } else {
        Finding::warn("amplification", title)
            .why("who sends with another's address can flood it through this server.")
            .fix(
                "Shorten realm and software name (coturn: no-software-attribute), and limit requests \
                 of one address in the firewall.",
            )
    })
}

/// A made-up user, then those that everybody knows. All of them must be refused.
async fn logins(run: &Run<'_>, target: &Target) -> Result<Vec<Finding>, ClientError> {
    let secret = SharedSecret::new(WELL_KNOWN_SECRET);
    let rest = format!("{}:turnctl-check", credentials::now().saturating_add(3600));
    let of_secret = Login { password: secret.password_for(&rest), username: rest };
    let mut tries: Vec<(String, Login)> = Vec::new();
    for (name, password) in WELL_KNOWN {
        tries.push((format!("user {name} with password {password}"), Login::new(*name, *password)));
    }
    tries.push((format!("the example secret \"{WELL_KNOWN_SECRET}\""), of_secret));
    let [a, b]: [u64; 2] = [random()?, random()?].map(u64::from_be_bytes);
    let stranger = Login::new(format!("turnctl-check-{a:016x}"), format!("{b:016x}"));
    if accepted(run, target, &stranger).await? {
        return Ok(vec![entering::open_relay("whatever name and password it gives")]);
    }
    let mut findings =
        vec![Finding::pass("wrong-login", "a made-up name and password are refused")];
    let mut weak = Vec::new();
    for (shown, login) in &tries {
        if accepted(run, target, login).await? {
            weak.push(shown.as_str());
        }
    }
    findings.push(if weak.is_empty() {
        Finding::pass("well-known-login", "the names, passwords and secrets of guides are refused")
    } else {
        Finding::fail("weak-credentials", format!("the server takes {}", weak.join(", and ")))
            .why("scanners try these first, and then use your server as theirs.")
            .fix(
                "Take another, on the server and on the homeserver:\n  openssl rand -hex 24\nBest is \
                 a shared secret: each user then gets a password of its own that ends.",
            )
    });
    Ok(findings)
}

/// Whether the server gives this login an allocation, which is ended at once.
async fn accepted(run: &Run<'_>, target: &Target, login: &Login) -> Result<bool, ClientError> {
    let (mut client, _) = target.connect(&run.roots, run.plan.patience).await?;
    let Opened::Challenged(challenge) = client.open().await? else { return Ok(true) };
    client.log_in(login, &challenge);
    match client.allocate(None).await {
        Ok(_) => {
            let _ = client.refresh(0).await;
            Ok(true)
        }
        // Refused for another reason than the login: it was a good one.
        Err(ClientError::Refused { code: 486 | 508, .. }) => Ok(true),
        Err(ClientError::Refused { .. }) => Ok(false),
        // Many servers stop answering who gives wrong passwords.
        Err(ClientError::Silent { .. } | ClientError::Closed) => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Challenge;
    use crate::report::Status;

    #[test]
    fn a_long_answer_to_a_stranger_is_a_warning() {
        let reached = |answer| Reached {
            challenge: Some(Challenge {
                realm: "r".into(),
                nonce: vec![],
                software: None,
                sizes: (28, answer),
            }),
            ..Reached::default()
        };
        let usual = amplification(&reached(120)).unwrap();
        assert_eq!(usual.status, Status::Pass);
        assert!(usual.title.contains("56 bytes gets one of 148"), "{}", usual.title);
        assert_eq!(amplification(&reached(300)).unwrap().status, Status::Warn);
    }
}
