//! Media servers on the relay's own machine, and whether the relay may reach them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use taciturn_config::{AllowedPeer, Config, ExternalIp, allow_line};
use taciturn_net::external;
use taciturn_turn::policy::PeerPolicy;

use super::super::media_servers::MediaServer;
use super::super::report::{Finding, Section};
use super::ports::Protocol;
use super::sockets::{self, Bound, Process};
use super::world::World;

/// Ports that media servers have beside those for media: STUN, SIP, SSDP and mDNS.
const NOT_MEDIA: &[u16] = &[1900, 3478, 5060, 5061, 5080, 5353];

/// So many ports are named one by one. More of them come and go with the calls.
const NAMED: usize = 4;

/// A media server that runs on this machine.
pub(crate) struct Running {
    pub(crate) server: &'static MediaServer,
    /// The UDP ports that it has now, for media as far as can be told. May be none: some open them for calls alone.
    pub(crate) ports: BTreeSet<u16>,
}

/// The media servers of this machine with sockets that others reach, or that are bound to one of `own`; as far as
/// this user may see them.
pub(crate) fn running_here(own: &[IpAddr]) -> Vec<Running> {
    let world = World::here();
    sockets::bound(&world.root)
        .map_or_else(|_| Vec::new(), |sockets| running(&world, &sockets, own))
}

fn running(world: &World, sockets: &[Bound], own: &[IpAddr]) -> Vec<Running> {
    let is_open = |ip: IpAddr| !ip.is_loopback() || own.contains(&ip);
    let mut found: BTreeMap<&str, Running> = BTreeMap::new();
    for bound in sockets.iter().filter(|bound| is_open(bound.address.ip())) {
        let Some(server) = bound.owner.as_ref().and_then(|owner| server(world, owner)) else {
            continue;
        };
        let known = found.entry(server.name);
        let known = known.or_insert_with(|| Running { server, ports: BTreeSet::new() });
        let port = bound.address.port();
        if bound.protocol == Protocol::Udp && !NOT_MEDIA.contains(&port) {
            known.ports.insert(port);
        }
    }
    for running in found.values_mut() {
        running.keep_usual();
    }
    found.into_values().collect()
}

impl Running {
    /// Where some of the ports are the usual ones, the others are for something else.
    fn keep_usual(&mut self) {
        let Some(usual) = self.server.usual_ports() else { return };
        if self.ports.iter().any(|port| usual.contains(*port)) {
            self.ports.retain(|port| usual.contains(*port));
        }
    }

    /// Those of its ports that clients do not reach at `address`; `None` if they reach all of them. Empty if it
    /// has none now, and those that it usually has are not allowed.
    fn out_of_reach(&self, policy: &PeerPolicy, address: IpAddr) -> Option<Vec<u16>> {
        let is_allowed = |port: u16| policy.port_allowed_by_name(address, port);
        if !self.ports.is_empty() {
            let missing: Vec<_> =
                self.ports.iter().copied().filter(|port| !is_allowed(*port)).collect();
            return (!missing.is_empty()).then_some(missing);
        }
        let is_fine = match self.server.usual_ports() {
            // The operator may have given it other ports.
            Some(usual) => is_allowed(usual.first()) && is_allowed(usual.last()),
            None => false,
        };
        let is_fine = is_fine || policy.some_port_allowed_by_name(address);
        (!is_fine).then(Vec::new)
    }

    /// The entries of `peers.allow` for these ports.
    pub(crate) fn entries(&self, ports: &[u16]) -> Vec<String> {
        let usual = self.server.usual_ports();
        if let Some(usual) = usual.filter(|usual| ports.iter().all(|port| usual.contains(*port))) {
            return vec![AllowedPeer::own(usual).to_string()];
        }
        match ports.len() {
            1..=NAMED => ports.iter().map(|port| format!("self:{port}")).collect(),
            _ => vec!["self:FIRST-LAST".to_owned()],
        }
    }
}

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

/// The rules of this configuration; `own` stands for what the server finds out.
fn policy(config: &Config, own: &[IpAddr]) -> PeerPolicy {
    config.peers.policy(own, own.to_vec())
}

fn servers(config: &Config, world: &World, sockets: &[Bound], own: &[IpAddr]) -> Vec<Finding> {
    if own.is_empty() {
        return Vec::new();
    }
    let policy = policy(config, own);
    let judge = |running: &Running| {
        let missing = own.iter().find_map(|address| {
            running.out_of_reach(&policy, *address).map(|ports| (*address, ports))
        });
        let Some((address, ports)) = missing else {
            let name = running.server.name;
            let title = format!("{name} on this machine: peers.allow lets the relay reach it");
            return Finding::pass("media-server", title);
        };
        unreachable(config, running, address, &ports)
    };
    running(world, sockets, own).iter().map(judge).collect()
}

fn unreachable(config: &Config, running: &Running, address: IpAddr, ports: &[u16]) -> Finding {
    let name = running.server.name;
    let place = match ports {
        [] => address.to_string(),
        [port] => SocketAddr::new(address, *port).to_string(),
        ports => {
            let shown: Vec<_> = ports.iter().take(NAMED).map(u16::to_string).collect();
            let more = if ports.len() > NAMED { " and others" } else { "" };
            format!("{address}, ports {}{more}", shown.join(", "))
        }
    };
    let entries = config.peers.allow.iter().map(ToString::to_string).chain(running.entries(ports));
    let entries: Vec<_> = entries.collect();
    Finding::warn(
        "media-server-unreachable",
        format!("{name} runs on this machine, and the relay does not reach it at {place}"),
    )
    .why(
        "Of this machine's own addresses only relay ports are peers. A client behind the relay gets 403 for the \
         media server, so its calls fail wherever the direct way is blocked.",
    )
    .fix(format!(
        "If clients shall reach it through the relay, allow its ports, and reload:\n  {}\nIts ports are set by {}. \
         Whoever has a credential reaches these ports then, and no others of this machine.",
        allow_line(&entries),
        running.server.setting
    ))
}

fn server(world: &World, process: &Process) -> Option<&'static MediaServer> {
    let command = || world.read(&format!("proc/{}/cmdline", process.pid));
    MediaServer::of_process(&process.name, command)
}

/// `peers.deny` that denies more than its writer may want.
fn denied(config: &Config, own: &[IpAddr]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let policy = policy(config, own);
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
        let (first, last) = (config.relay_ports.first(), config.relay_ports.last());
        let is_allowed = |port| policy.port_allowed_by_name(*address, port);
        if let Some(net) = net.filter(|_| !is_allowed(first) || !is_allowed(last)) {
            findings.push(
                Finding::warn(
                    "peers-deny-own",
                    format!("peers.deny holds {net}, and with it this server's own address {address}"),
                )
                .why("Two clients that both need the relay do not reach each other, nor a media server here.")
                .fix(format!(
                    "Remove it, or allow the relay ports of the own address:\n  {}",
                    allow_line(&[format!("self:{}", config.relay_ports)])
                )),
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

    /// The findings of a machine with a process of pid 42, which has these sockets.
    fn findings(toml: &str, sockets: &[(Protocol, &str, &str)], cmdline: &str) -> Vec<Finding> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("proc/42")).unwrap();
        std::fs::write(dir.path().join("proc/42/cmdline"), cmdline).unwrap();
        let world = World { root: dir.path().into(), run: |_, _| Err(String::new()) };
        let toml = format!("external_ip = \"9.9.9.9\"\n{toml}");
        let config = Config::from_toml(&toml).unwrap().config;
        let sockets: Vec<_> = sockets
            .iter()
            .map(|(protocol, address, name)| of_test(*protocol, address, Some(name)))
            .collect();
        section(&config, &world, &sockets).into_iter().flat_map(|s| s.findings).collect()
    }

    fn udp<'a>(name: &'a str, addresses: &[&'a str]) -> Vec<(Protocol, &'a str, &'a str)> {
        addresses.iter().map(|address| (Protocol::Udp, *address, name)).collect()
    }

    fn ids(toml: &str, names: &[&str], cmdline: &str) -> Vec<&'static str> {
        let sockets: Vec<_> =
            names.iter().map(|name| (Protocol::Udp, "0.0.0.0:20000", *name)).collect();
        findings(toml, &sockets, cmdline).iter().map(|finding| finding.id).collect()
    }

    /// The setting that the only finding, a warning, tells to write.
    fn line(findings: &[Finding]) -> String {
        let [only] = findings else { panic!("{findings:?}") };
        assert_eq!(only.id, "media-server-unreachable");
        let fix = only.fix.clone().unwrap_or_default();
        fix.lines().find_map(|line| line.strip_prefix("  ")).unwrap().to_owned()
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
            for allow in ["9.9.9.9", "self", "9.9.9.9:20000", "self:19999-20001", "0.0.0.0/0:20000"]
            {
                let toml = format!("peers.allow = [\"{allow}\"]");
                assert_eq!(ids(&toml, &[name], ""), ["media-server"], "{name} {allow}");
            }
            for allow in ["9.9.9.9:20001", "self:1-19999", "8.8.8.8:20000"] {
                let toml = format!("peers.allow = [\"{allow}\"]");
                assert_eq!(ids(&toml, &[name], ""), ["media-server-unreachable"], "{name} {allow}");
            }
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
    fn the_line_has_the_ports_of_the_media_server() {
        let java = "java\0org.jitsi.videobridge.MainKt\0";
        let jvb = udp("java", &["0.0.0.0:10000", "[::]:5353", "127.0.0.1:4443", "0.0.0.0:39000"]);
        assert_eq!(line(&findings("", &jvb, java)), "peers.allow = [\"self:10000\"]");
        // Others than it has by default, and what is no media.
        let moved = udp("java", &["0.0.0.0:4443", "0.0.0.0:5353", "0.0.0.0:3478"]);
        assert_eq!(line(&findings("", &moved, java)), "peers.allow = [\"self:4443\"]");
        // A range of which calls have a few now.
        let livekit = udp("livekit-server", &["0.0.0.0:50112", "[::]:50700", "0.0.0.0:5353"]);
        assert_eq!(line(&findings("", &livekit, "")), "peers.allow = [\"self:50000-60000\"]");
        let muxed = udp("livekit-server", &["0.0.0.0:7882", "0.0.0.0:3478"]);
        assert_eq!(line(&findings("", &muxed, "")), "peers.allow = [\"self:7882\"]");
        // None now: what it has by default, unless something is allowed.
        let idle = [(Protocol::Tcp, "0.0.0.0:7880", "livekit-server")];
        assert_eq!(line(&findings("", &idle, "")), "peers.allow = [\"self:50000-60000\"]");
        let allowed = "peers.allow = [\"self:50100-50200\"]";
        assert_eq!(findings(allowed, &idle, "")[0].id, "media-server");
        // What is allowed already stays.
        let allowed = "peers.allow = [\"10.0.0.0/8:5000-6000\", \"self:7882\"]";
        let both = format!("{}, \"self:8555\"]", allowed.trim_end_matches(']'));
        assert_eq!(line(&findings(allowed, &udp("go2rtc", &["0.0.0.0:8555"]), "")), both);
        // Ports at random.
        let many: Vec<_> = (0..9).map(|n| format!("0.0.0.0:4{n}123")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(
            line(&findings("", &udp("janus", &many), "")),
            "peers.allow = [\"self:FIRST-LAST\"]"
        );
        // What is bound to loopback is for this machine alone.
        assert!(findings("", &udp("go2rtc", &["127.0.0.1:8555"]), "").is_empty());
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
        for allow in ["9.9.9.9", "self", "self:59000-60100", "9.9.9.9:1-65535"] {
            let allowed = format!("peers.deny = [\"9.9.0.0/16\"]\npeers.allow = [\"{allow}\"]");
            assert!(ids(&allowed, &[], "").is_empty(), "{allow}");
        }
        let media = "peers.deny = [\"9.9.0.0/16\"]\npeers.allow = [\"self:10000\"]";
        assert_eq!(ids(media, &[], ""), ["peers-deny-own"]);
    }
}
