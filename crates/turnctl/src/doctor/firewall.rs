//! Whether this machine's firewall lets in what clients and peers send.

use serde_json::Value;

use taciturn_config::Config;

use super::super::report::{Finding, Section};
use super::super::snippet::{Facts, nft as nft_commands, ufw as ufw_commands};
use super::nft::Ruleset;
use super::ports::{Passage, Ports};
use super::ufw::Ufw;
use super::world::World;
use super::{ports_of, relay_ports};
use taciturn_config::uris::Host;

/// Ports that everybody must reach.
fn wanted(config: &Config) -> Vec<Ports> {
    let public = config
        .listen
        .iter()
        .filter(|listen| !listen.address.ip().is_loopback() && !listen.proxy_protocol);
    let mut wanted: Vec<Ports> = Vec::new();
    for ports in public.filter_map(ports_of).chain([relay_ports(config)]) {
        if !wanted.contains(&ports) {
            wanted.push(ports);
        }
    }
    wanted
}

/// Whether clients may come over IPv6.
fn serves_v6(config: &Config) -> bool {
    let has_v6 = if_addrs::get_if_addrs().is_ok_and(|interfaces| {
        interfaces.iter().any(|interface| {
            taciturn_turn::policy::is_public(interface.ip()) && interface.ip().is_ipv6()
        })
    });
    has_v6 && config.listen.iter().any(|listen| listen.address.is_ipv6())
}

pub(super) fn section(config: &Config, world: &World) -> Section {
    let mut section = Section::new("Firewall of this machine");
    let wanted = wanted(config);
    let families: &[bool] = if serves_v6(config) { &[false, true] } else { &[false] };
    let facts = Facts::of(config, Host::Placeholder);
    let ufw = (world.run)("ufw", &["status", "verbose"])
        .and_then(|text| Ufw::of(&text).ok_or_else(|| "ufw: its answer is not understood".into()));
    let nft = (world.run)("nft", &["-j", "list", "ruleset"]).and_then(|text| {
        let json = serde_json::from_str::<Value>(&text);
        json.map_err(|_| "nft: its answer is not understood".to_owned())
    });
    let ruleset = nft.as_ref().ok().and_then(Ruleset::of);
    if let Ok(ufw @ Ufw::Active { .. }) = &ufw {
        judge(&mut section, "ufw", &wanted, families, &ufw_commands(&facts), |ports, v6| {
            ufw.passage(ports, v6)
        });
    } else if let Some(ruleset) = &ruleset {
        if ruleset.filters() {
            let commands = nft_commands(&facts);
            judge(&mut section, "nftables", &wanted, families, &commands, |ports, v6| {
                ruleset.passage(ports, v6)
            });
        } else {
            section
                .push(Finding::pass("firewall", "nothing on this machine filters what comes in"));
        }
    } else {
        let mut why: Vec<String> = Vec::new();
        why.extend(ufw.err().filter(|why| !why.ends_with("is not installed")));
        why.extend(nft.err());
        let title = format!("could not look: {}", why.join("; "));
        section.push(
            Finding::skip("firewall", title)
                .fix("Run it as root; nft is in nftables:\n  apt install nftables"),
        );
    }
    section.push(
        Finding::info("provider-firewall", "a firewall of your provider cannot be seen from here")
            .fix(format!("Open the same ports in its panel: {}.", list(&wanted))),
    );
    section
}

fn list(ports: &[Ports]) -> String {
    ports.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn judge(
    section: &mut Section,
    name: &str,
    wanted: &[Ports],
    families: &[bool],
    commands: &str,
    passage: impl Fn(Ports, bool) -> Passage,
) {
    let commands: String = commands.lines().map(|line| format!("\n  {line}")).collect();
    for v6 in families {
        let over = if *v6 { " over IPv6" } else { "" };
        for ports in wanted {
            section.push(match passage(*ports, *v6) {
                Passage::Open => Finding::pass("firewall", format!("{name} lets in {ports}{over}")),
                Passage::Closed(closed) => {
                    let relay = ports.last != ports.first;
                    let why = if relay {
                        "Calls ring and stay at \"Connecting\": what the other side sends does not \
                         arrive."
                    } else {
                        "Clients cannot reach the server on this port."
                    };
                    Finding::fail(
                        if relay { "firewall-relay-closed" } else { "firewall-closed" },
                        format!("{name} keeps out {}{over}", list(&closed)),
                    )
                    .why(why)
                    .fix(format!("All that is needed:{commands}"))
                }
                Passage::Unsure => Finding::skip(
                    "firewall",
                    format!("{name}: whether {ports} comes in{over} depends on rules that are not understood"),
                ),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Status;

    fn statuses(run: fn(&str, &[&str]) -> Result<String, String>) -> Vec<(Status, &'static str)> {
        let toml =
            "auth.secrets = [\"a secret of some length\"]\nlisten = [\"udp:0.0.0.0:3478\"]\n";
        let config = Config::from_toml(toml).unwrap().config;
        let world = World { root: "/nowhere".into(), run };
        let section = section(&config, &world);
        section.findings.iter().map(|finding| (finding.status, finding.id)).collect()
    }

    const INFO: (Status, &str) = (Status::Info, "provider-firewall");

    #[test]
    fn ufw_is_asked_first_and_closed_ports_fail() {
        let found = statuses(|program, _| match program {
            "ufw" => {
                let status = "Status: active\nDefault: deny (incoming)\n\n";
                Ok(format!("{status}3478/udp   ALLOW IN   Anywhere\n"))
            }
            // nft shows ufw's rules as well, but not all of what they mean.
            _ => Ok(include_str!("../../../../tests/fixtures/doctor/nft-ruleset.json").into()),
        });
        let closed = (Status::Fail, "firewall-relay-closed");
        assert_eq!(found, [(Status::Pass, "firewall"), closed, INFO]);
    }

    #[test]
    fn nft_is_asked_where_ufw_is_not_active() {
        let found = statuses(|program, _| match program {
            "ufw" => Ok("Status: inactive\n".into()),
            _ => Ok(include_str!("../../../../tests/fixtures/doctor/nft-ruleset.json").into()),
        });
        assert_eq!(found, [(Status::Pass, "firewall"), (Status::Pass, "firewall"), INFO]);
    }

    #[test]
    fn empty_ruleset_passes_and_no_permission_is_told() {
        let found = statuses(|program, _| match program {
            "ufw" => Err("ufw is not installed".into()),
            _ => Ok("{\"nftables\": []}".into()),
        });
        assert_eq!(found, [(Status::Pass, "firewall"), INFO]);
        let found = statuses(|program, _| Err(format!("{program}: Operation not permitted")));
        assert_eq!(found, [(Status::Skip, "firewall"), INFO]);
    }
}
