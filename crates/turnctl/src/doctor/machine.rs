//! The machine: limits of the kernel, other programs' ports, Docker, the clock.

use taciturn_config::Config;

use super::super::report::{Finding, Section};
use super::ports::{Passage, Ports, Protocol};
use super::relay_ports;
use super::sockets::{self, Bound, Process};
use super::world::World;

/// What the listeners ask the kernel for.
const BUFFER: u64 = 2 * 1024 * 1024;
/// More than this many processes of Docker's for one range are a burden.
const MANY_PROXIES: usize = 100;
/// WireGuard's usual port, and the second one of Pangolin's.
const WIREGUARD: [u16; 2] = [51820, 21820];

pub(super) fn section(
    config: &Config,
    world: &World,
    sockets: &[Bound],
    server: Option<&Process>,
) -> Section {
    let mut section = Section::new("Machine");
    section.findings.extend(relay_range(config, world, sockets));
    section.findings.extend(docker(config, world));
    section.findings.extend(files(config, world, server));
    section.findings.extend(buffers(world));
    section.findings.push(kernel(world));
    section.findings.push(clock(world));
    section
}

/// Who else may take ports of the relay's range.
fn relay_range(config: &Config, world: &World, sockets: &[Bound]) -> Vec<Finding> {
    let (range, wanted) = (config.relay_ports, relay_ports(config));
    let mut findings = Vec::new();
    let taken: Vec<_> = sockets
        .iter()
        .filter(|bound| bound.protocol == Protocol::Udp && range.contains(bound.address.port()))
        .filter(|bound| bound.owner.as_ref().is_some_and(|owner| owner.name != "taciturn"))
        .collect();
    if let Some(first) = taken.first() {
        let name = first.owner.as_ref().map_or("", |owner| owner.name.as_str());
        let title = format!(
            "{} of the relay ports {wanted} are taken by others: {}/udp by {name}",
            taken.len(),
            first.address.port()
        );
        findings.push(
            Finding::warn("relay-ports-taken", title)
                .why("Those ports are passed over; what comes to them is the other program's.")
                .fix("Choose a range for relay_ports that nobody else uses, and open it."),
        );
    }
    if let Some(port) = WIREGUARD.into_iter().find(|port| range.contains(*port)) {
        let title = format!("the relay ports {wanted} hold {port}, WireGuard's");
        findings.push(
            Finding::warn("relay-ports-wireguard", title)
                .why("A tunnel on this machine (Pangolin's gerbil) and the relay want the same port.")
                .fix("Choose another range, and open it:\n  relay_ports = \"59000-60100\""),
        );
    }
    findings.push(ephemeral(config, world, wanted));
    findings
}

/// The range that the kernel gives ports to outgoing connections from.
fn ephemeral(config: &Config, world: &World, wanted: Ports) -> Finding {
    let range = config.relay_ports;
    let text = world.read("proc/sys/net/ipv4/ip_local_port_range");
    let ends = text.as_deref().and_then(|text| {
        let mut ends = text.split_ascii_whitespace().map(str::parse::<u16>);
        Some((ends.next()?.ok()?, ends.next()?.ok()?))
    });
    let Some((first, last)) = ends else {
        return Finding::skip("ephemeral-ports", "could not read ip_local_port_range");
    };
    let reserved = world.read("proc/sys/net/ipv4/ip_local_reserved_ports").unwrap_or_default();
    let is_reserved = |port: u16| {
        reserved.split(',').any(|part| {
            let (from, to) = part.split_once('-').unwrap_or((part, part));
            let ends = from.trim().parse::<u16>().ok().zip(to.trim().parse::<u16>().ok());
            ends.is_some_and(|(from, to)| (from..=to).contains(&port))
        })
    };
    let shared = super::ports::passage(wanted, |port| {
        Some(!(first..=last).contains(&port) || is_reserved(port))
    });
    match shared {
        Passage::Closed(_) => {
            let (from, to) = (range.first(), range.last());
            Finding::info(
                "ephemeral-ports",
                format!("other programs' connections may use relay ports: {first}-{last} is theirs"),
            )
            .why("The server then takes another port; only a full range notices.")
            .fix(format!(
                "To keep them for the relay:\n  sysctl -w net.ipv4.ip_local_reserved_ports={from}-{to}"
            ))
        }
        _ => Finding::pass("ephemeral-ports", "no other program is given relay ports by chance"),
    }
}

fn docker(config: &Config, world: &World) -> Option<Finding> {
    let range = config.relay_ports;
    let mut proxies = 0;
    for (_, dir) in sockets::processes(&world.root) {
        if sockets::name(&dir) != "docker-proxy" {
            continue;
        }
        let Ok(line) = std::fs::read_to_string(dir.join("cmdline")) else { continue };
        let words: Vec<_> = line.split('\0').collect();
        let after = |flag: &str| {
            let at = words.iter().position(|word| *word == flag)?;
            words.get(at + 1).copied()
        };
        let port = after("-host-port").and_then(|port| port.parse::<u16>().ok());
        if after("-proto") == Some("udp") && port.is_some_and(|port| range.contains(port)) {
            proxies += 1;
        }
    }
    if proxies > MANY_PROXIES {
        let title = format!("Docker runs {proxies} processes (docker-proxy) for relay ports");
        return Some(
            Finding::fail("docker-proxies", title)
                .why(
                    "Each published port is a process and an address family: gigabytes, and \
                      minutes to start.",
                )
                .fix(
                    "Give the container the network of the host, and publish no ports:\n  \
                      network_mode: host",
                ),
        );
    }
    let container = ["/.dockerenv", "/run/.containerenv"];
    let inside =
        container.iter().any(|file| world.root.join(file.trim_start_matches('/')).exists());
    inside.then(|| {
        Finding::info("container", "this is a container: what is said here is true inside of it")
            .why("With network_mode: host, ports and firewall are those of the host.")
    })
}

/// Whether the server may open a file for each relay port.
fn files(config: &Config, world: &World, server: Option<&Process>) -> Option<Finding> {
    let Process { pid, .. } = server?;
    let limits = world.read(&format!("proc/{pid}/limits"))?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    let soft = line.split_ascii_whitespace().next()?;
    let limit = if soft == "unlimited" { u64::MAX } else { soft.parse().ok()? };
    let needed =
        2 * u64::from(config.relay_ports.len()) + u64::from(config.limits.connections) + 64;
    if limit >= needed {
        return Some(Finding::pass("open-files", format!("the server may open {soft} files")));
    }
    let title =
        format!("the server may open {soft} files; all relay ports and connections need {needed}");
    Some(
        Finding::warn("open-files", title)
            .why("With many calls at a time, new ones are refused.")
            .fix(format!(
                "In the systemd unit, or ulimits: nofile: for a container:\n  LimitNOFILE={needed}"
            )),
    )
}

fn buffers(world: &World) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (file, key) in [("rmem_max", "net.core.rmem_max"), ("wmem_max", "net.core.wmem_max")] {
        match world.number(&format!("proc/sys/net/core/{file}")) {
            Some(most) if most < BUFFER => findings.push(
                Finding::info(
                    "socket-buffers",
                    format!("{key} is {most}; the server asks for {BUFFER}"),
                )
                .why("Short bursts of many calls at a time may lose packets.")
                .fix(format!("For a busy server:\n  sysctl -w {key}={BUFFER}")),
            ),
            Some(most) => {
                findings.push(Finding::pass("socket-buffers", format!("{key} is {most}")))
            }
            None => findings.push(Finding::skip("socket-buffers", format!("could not read {key}"))),
        }
    }
    let lost = world.read("proc/net/snmp").and_then(|text| counter(&text, "Udp:", "RcvbufErrors"));
    if let Some(lost) = lost.filter(|lost| *lost > 0) {
        findings.push(
            Finding::warn("receive-errors", format!("{lost} datagrams were lost since the start of this machine, for want of a buffer"))
                .why("If the number grows during calls, they stutter.")
                .fix(format!("Look again in a while, and enlarge the buffers:\n  sysctl -w net.core.rmem_max={BUFFER}")),
        );
    }
    findings
}

/// A number in /proc/net/snmp: a line of names, then a line of values.
fn counter(text: &str, protocol: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines().filter_map(|line| line.strip_prefix(protocol));
    let at = lines.next()?.split_ascii_whitespace().position(|word| word == name)?;
    lines.next()?.split_ascii_whitespace().nth(at)?.parse().ok()
}

/// UDP_SEGMENT came with Linux 4.18, UDP_GRO with 5.0.
fn kernel(world: &World) -> Finding {
    let Some(release) = world.read("proc/sys/kernel/osrelease") else {
        return Finding::skip("udp-offload", "could not read the version of the kernel");
    };
    let mut numbers = release.split(['.', '-']).map(|part| part.parse::<u32>().ok());
    let version = (numbers.next().flatten().unwrap_or(0), numbers.next().flatten().unwrap_or(0));
    if version >= (5, 0) {
        return Finding::pass(
            "udp-offload",
            format!("Linux {release} has UDP_SEGMENT and UDP_GRO"),
        );
    }
    let missing = if version >= (4, 18) { "UDP_GRO" } else { "UDP_SEGMENT and UDP_GRO" };
    Finding::warn("udp-offload", format!("Linux {release} lacks {missing}"))
        .why("Calls work, but each costs more of the processor.")
        .fix("Use Linux 5.0 or later.")
}

fn clock(world: &World) -> Finding {
    let pass = || Finding::pass("clock", "the clock is set by a time server");
    if world.root.join("run/systemd/timesync/synchronized").exists() {
        return pass();
    }
    if !world.root.join("run/systemd/system").exists() {
        let title = "without systemd it is not known whether a time server sets the clock; --ntp HOST looks";
        return Finding::skip("clock", title);
    }
    match (world.run)("timedatectl", &["show", "--property=NTPSynchronized", "--value"]) {
        Ok(text) if text.trim() == "yes" => pass(),
        Ok(text) if text.trim() == "no" => {
            Finding::warn("clock", "no time server sets the clock of this machine")
                .why(
                    "Credentials of a homeserver expire at a time: with a wrong clock they are \
                      refused, or good for too long.",
                )
                .fix(
                    "Let it be set; `turnctl doctor --ntp HOST` tells how late it is:\n  \
                      timedatectl set-ntp true",
                )
        }
        Ok(_) => Finding::skip("clock", "could not look: timedatectl says neither yes nor no"),
        Err(why) => Finding::skip("clock", format!("could not look: {why}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    use crate::doctor::sockets::of_test;
    use crate::report::Status;

    fn config(more: &str) -> Config {
        let toml = format!("auth.secrets = [\"a secret of some length\"]\n{more}\n");
        Config::from_toml(&toml).unwrap().config
    }

    /// A machine with these files.
    fn world(files: &[(&str, &str)]) -> (tempfile::TempDir, World) {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let world =
            World { root: dir.path().into(), run: |program, _| Err(format!("{program}: no")) };
        (dir, world)
    }

    const RANGE: &str = "proc/sys/net/ipv4/ip_local_port_range";
    const RESERVED: &str = "proc/sys/net/ipv4/ip_local_reserved_ports";

    #[test]
    fn ephemeral_ports_are_held_against_the_relays() {
        let status = |files: &[(&str, &str)]| {
            let (_dir, world) = world(files);
            let config = config("");
            ephemeral(&config, &world, relay_ports(&config)).status
        };
        assert_eq!(status(&[(RANGE, "32768\t60999\n")]), Status::Info);
        assert_eq!(status(&[(RANGE, "32768 58999")]), Status::Pass);
        let reserved = "80,59000-60000,60001-60100";
        assert_eq!(status(&[(RANGE, "32768 60999"), (RESERVED, reserved)]), Status::Pass);
        assert_eq!(status(&[]), Status::Skip);
    }

    #[test]
    fn ports_of_others_in_the_range_are_told() {
        let (_dir, world) = world(&[(RANGE, "32768 33000")]);
        let ids = |toml: &str, sockets: &[Bound]| {
            let findings = relay_range(&config(toml), &world, sockets);
            findings.iter().map(|finding| finding.id).collect::<Vec<_>>()
        };
        let own = of_test(Protocol::Udp, "0.0.0.0:59001", Some("taciturn"));
        let other = of_test(Protocol::Udp, "0.0.0.0:59002", Some("livekit-server"));
        assert_eq!(ids("", &[own]), ["ephemeral-ports"]);
        assert_eq!(ids("", &[other]), ["relay-ports-taken", "ephemeral-ports"]);
        let wide = "relay_ports = \"49152-65535\"";
        assert_eq!(ids(wide, &[]), ["relay-ports-wireguard", "ephemeral-ports"]);
    }

    #[test]
    fn dockers_processes_are_counted() {
        let files: Vec<(String, String)> = (0..150)
            .flat_map(|n| {
                let line = format!(
                    "docker-proxy\0-proto\0udp\0-host-ip\00.0.0.0\0-host-port\0{}\0",
                    59000 + n
                );
                let pid = 1000 + n;
                [
                    (format!("proc/{pid}/comm"), "docker-proxy\n".into()),
                    (format!("proc/{pid}/cmdline"), line),
                ]
            })
            .collect();
        let files: Vec<_> = files.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        let (_dir, full) = world(&files);
        let found = docker(&config(""), &full).unwrap();
        assert_eq!((found.id, found.status), ("docker-proxies", Status::Fail));
        assert!(found.title.contains("150"));
        let (_dir, few) = world(&files[..100]);
        assert_eq!(docker(&config(""), &few), None);
    }

    #[test]
    fn limits_of_the_server_are_read_from_its_process() {
        let limits = |soft: &str| {
            format!("Limit Soft Hard Units\nMax open files            {soft}   4096   files\n")
        };
        let status = |soft: &str| {
            let text = limits(soft);
            let (_dir, world) = world(&[("proc/42/limits", text.as_str())]);
            let server = Process { pid: 42, name: "taciturn".into() };
            files(&config(""), &world, Some(&server)).unwrap().status
        };
        assert_eq!(
            (status("1024"), status("524288"), status("unlimited")),
            (Status::Warn, Status::Pass, Status::Pass)
        );
        let (_dir, world) = world(&[]);
        assert_eq!(files(&config(""), &world, None), None);
    }

    #[test]
    fn lost_datagrams_and_small_buffers_are_told() {
        let snmp = "Udp: InDatagrams NoPorts RcvbufErrors\nUdp: 10 2 7\n";
        let (_dir, world) = world(&[
            ("proc/sys/net/core/rmem_max", "212992\n"),
            ("proc/sys/net/core/wmem_max", "4194304\n"),
            ("proc/net/snmp", snmp),
        ]);
        let statuses: Vec<_> = buffers(&world).iter().map(|finding| finding.status).collect();
        assert_eq!(statuses, [Status::Info, Status::Pass, Status::Warn]);
    }

    #[test]
    fn kernels_and_clocks_are_judged() {
        let of = |release: &str| {
            let (_dir, world) = world(&[("proc/sys/kernel/osrelease", release)]);
            kernel(&world).status
        };
        assert_eq!(
            (of("6.1.0-18-amd64"), of("4.19.0"), of("4.4.0")),
            (Status::Pass, Status::Warn, Status::Warn)
        );
        let (_dir, without_systemd) = world(&[]);
        assert!(clock(&without_systemd).title.starts_with("without systemd"));
        let (_dir, mut world) = world(&[("run/systemd/system/a", "")]);
        assert_eq!(clock(&world).status, Status::Skip);
        world.run = |_, _| Ok("no\n".into());
        assert_eq!(clock(&world).status, Status::Warn);
        world.run = |_, _| Ok("yes\n".into());
        assert_eq!(clock(&world).status, Status::Pass);
    }
}
