//! Media servers on the relay's own machine, and whether the relay may reach them.

use std::net::IpAddr;

use taciturn_config::{Config, ExternalIp, allow_line};
use taciturn_net::external;

use super::super::report::{Finding, Section};
use super::sockets::{Bound, Process};
use super::world::World;

/// Beginnings of process names (the kernel keeps 15 bytes), and what people call the program.
const PROGRAMS: &[(&str, &str)] = &[
    ("livekit", "LiveKit"),
    ("janus", "Janus"),
    ("freeswitch", "FreeSWITCH"),
    ("mediasoup", "mediasoup"),
    ("go2rtc", "go2rtc"),
    ("mediamtx", "mediamtx"),
    ("live777", "live777"),
    ("kurento", "Kurento"),
    ("galene", "Galène"),
    ("rtpengine", "rtpengine"),
    ("asterisk", "Asterisk"),
    ("OvenMediaEngin", "OvenMediaEngine"),
    ("ion-sfu", "ion-sfu"),
];

/// What stands in the command line of a program whose process is called after its language.
const BY_COMMAND: &[(&str, &str)] = &[
    ("jitsi-videobridge", "Jitsi Videobridge"),
    ("org.jitsi.videobridge", "Jitsi Videobridge"),
    ("mediasoup", "mediasoup"),
    ("bbb-webrtc-sfu", "bbb-webrtc-sfu"),
];

pub(super) fn section(config: &Config, world: &World, sockets: &[Bound]) -> Option<Section> {
    let mut section = Section::new("Peers");
    let own = own(config);
    section.findings.extend(denied(config, &own));
    section.findings.extend(servers(config, world, sockets, &own));
    (!section.findings.is_empty()).then_some(section)
}

/// The addresses that clients know this machine by.
fn own(config: &Config) -> Vec<IpAddr> {
    match &config.external_ip {
        ExternalIp::Given(given) => given.iter().map(|address| address.public).collect(),
        ExternalIp::Auto => external::public_source().into_iter().collect(),
    }
}

fn is_allowed(config: &Config, address: IpAddr) -> bool {
    config.peers.allow.iter().any(|net| net.contains(&address))
}

fn servers(config: &Config, world: &World, sockets: &[Bound], own: &[IpAddr]) -> Vec<Finding> {
    let mut names: Vec<&'static str> = sockets
        .iter()
        .filter(|bound| !bound.address.ip().is_loopback())
        .filter_map(|bound| name(world, bound.owner.as_ref()?))
        .collect();
    names.sort_unstable();
    names.dedup();
    let Some(address) = own.iter().find(|address| !is_allowed(config, **address)) else {
        let pass = |name: &&str| {
            Finding::pass(
                "media-server",
                format!("{name} on this machine: peers.allow lets the relay reach it"),
            )
        };
        return if own.is_empty() { Vec::new() } else { names.iter().map(pass).collect() };
    };
    let warn = |name: &&str| {
        Finding::warn(
            "media-server-unreachable",
            format!("{name} runs on this machine, and the relay does not reach it at {address}"),
        )
        .why(
            "Of this machine's own addresses only relay ports are peers. A client behind the relay gets 403 for the \
             media server, so its calls fail wherever the direct way is blocked.",
        )
        .fix(format!(
            "If clients shall reach it through the relay, add the address, and restart or reload:\n  {}\nThis opens \
             every UDP port of that address to whoever has a credential: bind what is for this machine alone to \
             127.0.0.1.",
            allow_line(*address)
        ))
    };
    names.iter().map(warn).collect()
}

fn name(world: &World, process: &Process) -> Option<&'static str> {
    let known = PROGRAMS.iter().find(|(begin, _)| process.name.starts_with(begin));
    if let Some((_, name)) = known {
        return Some(name);
    }
    let command = world.read(&format!("proc/{}/cmdline", process.pid))?;
    BY_COMMAND.iter().find(|(part, _)| command.contains(part)).map(|(_, name)| *name)
}

/// `peers.deny` that denies more than its writer may want.
fn denied(config: &Config, own: &[IpAddr]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for net in config.peers.deny.iter().filter(|net| net.prefix_len() == 0) {
        let family = if net.network().is_ipv4() { "IPv4" } else { "IPv6" };
        findings.push(
            Finding::warn("peers-deny-all", format!("peers.deny holds {net}: every {family} peer is denied"))
                .why("Only what peers.allow names is relayed to; with nothing there, no call works over the relay.")
                .fix("Remove it, unless peers.allow names all that clients shall reach."),
        );
    }
    for address in own {
        let net = config.peers.deny.iter().find(|net| net.contains(address));
        if let Some(net) = net.filter(|_| !is_allowed(config, *address)) {
            findings.push(
                Finding::warn(
                    "peers-deny-own",
                    format!("peers.deny holds {net}, and with it this server's own address {address}"),
                )
                .why("Two clients that both need the relay do not reach each other, nor a media server here.")
                .fix(format!("Remove it, or allow the own address:\n  {}", allow_line(*address))),
            );
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::ports::Protocol;
    use super::super::sockets::of_test;
    use super::*;

    fn ids(toml: &str, names: &[&str], cmdline: &str) -> Vec<&'static str> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("proc/42")).unwrap();
        std::fs::write(dir.path().join("proc/42/cmdline"), cmdline).unwrap();
        let world = World { root: dir.path().into(), run: |_, _| Err(String::new()) };
        let toml = format!("external_ip = \"9.9.9.9\"\n{toml}");
        let config = Config::from_toml(&toml).unwrap().config;
        let sockets: Vec<_> =
            names.iter().map(|name| of_test(Protocol::Udp, "0.0.0.0:10000", Some(name))).collect();
        let section = section(&config, &world, &sockets);
        section.into_iter().flat_map(|s| s.findings).map(|f| f.id).collect()
    }

    #[test]
    fn media_servers_are_known_by_their_processes() {
        for name in [
            "livekit-server",
            "janus",
            "freeswitch",
            "mediasoup-worke",
            "go2rtc",
            "mediamtx",
            "kurento-media-s",
        ] {
            assert_eq!(ids("", &[name], ""), ["media-server-unreachable"], "{name}");
            assert_eq!(ids("peers.allow = [\"9.9.9.9\"]", &[name], ""), ["media-server"], "{name}");
            assert_eq!(
                ids("peers.allow = [\"9.9.9.0/24\"]", &[name, name], ""),
                ["media-server"],
                "{name}"
            );
        }
        let java = "java\0-cp\0/usr/share/jitsi-videobridge/jitsi-videobridge.jar\0";
        assert_eq!(ids("", &["java"], java), ["media-server-unreachable"]);
        assert!(ids("", &["java", "nginx", "taciturn"], "java\0-jar\0x.jar").is_empty());
    }

    #[test]
    fn a_deny_of_everything_or_of_the_own_address_is_named() {
        assert_eq!(
            ids("peers.deny = [\"0.0.0.0/0\"]", &[], ""),
            ["peers-deny-all", "peers-deny-own"]
        );
        assert_eq!(ids("peers.deny = [\"9.9.0.0/16\"]", &[], ""), ["peers-deny-own"]);
        assert_eq!(ids("peers.deny = [\"::/0\"]", &[], ""), ["peers-deny-all"]);
        assert!(ids("peers.deny = [\"8.8.8.0/24\"]", &[], "").is_empty());
        let allowed = "peers.deny = [\"9.9.0.0/16\"]\npeers.allow = [\"9.9.9.9\"]";
        assert!(ids(allowed, &[], "").is_empty());
    }
}
