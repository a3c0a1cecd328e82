//! Whether the configured listeners are there, and whose their ports are.

use taciturn_config::{Config, Listen};

use super::super::report::{Finding, Section};
use super::ports_of;
use super::sockets::{Bound, Process};

/// How the kernel shows our name.
const OWN_NAME: &str = "taciturn";

/// The sockets that have the listener's port on its address, or on every address.
fn holders<'a>(listen: &Listen, sockets: &'a [Bound]) -> Vec<&'a Bound> {
    let Some(ports) = ports_of(listen) else { return Vec::new() };
    let wanted = listen.address.ip();
    let same = |bound: &&Bound| {
        let ip = bound.address.ip();
        bound.protocol == ports.protocol
            && bound.address.port() == ports.first
            && (ip == wanted || ip.is_unspecified() || wanted.is_unspecified())
    };
    sockets.iter().filter(same).collect()
}

/// The running server: whoever of our name holds one of its ports.
pub(super) fn server<'a>(config: &Config, sockets: &'a [Bound]) -> Option<&'a Process> {
    let bound = config.listen.iter().flat_map(|listen| holders(listen, sockets));
    bound.filter_map(|bound| bound.owner.as_ref()).find(|owner| owner.name == OWN_NAME)
}

pub(super) fn section(config: &Config, sockets: &Result<&[Bound], String>) -> Section {
    let mut section = Section::new("Listeners");
    let sockets = match sockets {
        Ok(sockets) => *sockets,
        Err(why) => {
            section.push(Finding::skip("listeners", format!("could not look at sockets: {why}")));
            return section;
        }
    };
    let bound: Vec<_> =
        config.listen.iter().map(|listen| (listen, holders(listen, sockets))).collect();
    if bound.iter().all(|(_, holders)| holders.is_empty()) {
        section.push(
            Finding::fail("not-running", "nobody has any port of the listeners")
                .why(
                    "The server does not run, or with another configuration, or in a container \
                      with a network of its own.",
                )
                .fix(
                    "Start it, or see why it ended:\n  systemctl status taciturn\n  \
                      journalctl -u taciturn -n 50",
                ),
        );
        return section;
    }
    for (listen, holders) in bound {
        section.push(finding(listen, &holders));
    }
    section
}

fn finding(listen: &Listen, holders: &[&Bound]) -> Finding {
    let Some(ports) = ports_of(listen) else {
        return Finding::skip("listener", format!("{}: any free port", listen.name));
    };
    let what = format!("{} on {}", listen.name, listen.address);
    let owner = |wanted: fn(&Process) -> bool| {
        holders.iter().filter_map(|bound| bound.owner.as_ref()).find(|owner| wanted(owner))
    };
    if let Some(stranger) = owner(|owner| owner.name != OWN_NAME) {
        let Process { pid, name } = stranger;
        let stop = match name.as_str() {
            "turnserver" => "  systemctl disable --now coturn".to_owned(),
            "docker-proxy" => format!("  docker ps --filter publish={}", ports.first),
            _ => format!("  ps -fp {pid}"),
        };
        return Finding::fail("port-taken", format!("{what}: {name} (pid {pid}) has port {ports}"))
            .why("Clients reach that program, which refuses their credentials; taciturn cannot start.")
            .fix(format!("Stop it, or give the listener another port:\n{stop}"));
    }
    if let Some(Process { pid, .. }) = owner(|owner| owner.name == OWN_NAME) {
        return Finding::pass("listener", format!("{what}: taciturn, pid {pid}"));
    }
    if holders.is_empty() {
        return Finding::fail("not-listening", format!("{what}: nobody listens"))
            .why("The running server has another configuration, or its start was refused.")
            .fix(
                "Restart it, and see what it says:\n  systemctl restart taciturn\n  \
                  journalctl -u taciturn -n 50",
            );
    }
    Finding::info("listener", format!("{what}: somebody listens; only root may know who"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::ports::Protocol;
    use crate::doctor::sockets::of_test;
    use crate::report::Status;
    use taciturn_config::Config;

    fn config() -> Config {
        let toml = "auth.secrets = [\"a secret of some length\"]\n\
                    listen = [\"udp:[::]:3478\", \"tcp:10.0.0.1:3478\"]\n";
        Config::from_toml(toml).unwrap().config
    }

    fn ids(sockets: &[Bound]) -> Vec<(Status, &'static str)> {
        let section = section(&config(), &Ok(sockets));
        section.findings.iter().map(|finding| (finding.status, finding.id)).collect()
    }

    #[test]
    fn udp_and_dtls_are_one_port_of_udp() {
        let toml = "auth.secrets = [\"a secret of some length\"]\ntls.certbot = \"/live/h.org\"\n\
                    listen = [\"udp+dtls:[::]:3478\"]\n";
        let config = Config::from_toml(toml).unwrap().config;
        let sockets = [of_test(Protocol::Udp, "0.0.0.0:3478", Some("taciturn"))];
        let section = section(&config, &Ok(&sockets));
        assert_eq!(section.findings.len(), 1);
        let Finding { status, title, .. } = &section.findings[0];
        assert_eq!(*status, Status::Pass);
        assert_eq!(title, "udp+dtls:3478 on [::]:3478: taciturn, pid 42");
        assert_eq!(ports_of(&config.listen[0]).unwrap().to_string(), "3478/udp");
    }

    #[test]
    fn own_sockets_are_well_and_strangers_are_named() {
        let udp = |name| of_test(Protocol::Udp, "0.0.0.0:3478", name);
        let tcp = |name| of_test(Protocol::Tcp, "10.0.0.1:3478", name);
        let (pass, fail) = ((Status::Pass, "listener"), (Status::Fail, "port-taken"));
        assert_eq!(ids(&[udp(Some("taciturn")), tcp(Some("taciturn"))]), [pass, pass]);
        assert_eq!(ids(&[udp(Some("turnserver")), tcp(Some("taciturn"))]), [fail, pass]);
        assert_eq!(ids(&[udp(None), tcp(None)]), [(Status::Info, "listener"); 2]);
        assert_eq!(ids(&[udp(Some("taciturn"))]), [pass, (Status::Fail, "not-listening")]);
        let elsewhere = of_test(Protocol::Tcp, "10.0.0.2:3478", Some("nginx"));
        assert_eq!(ids(&[elsewhere]), [(Status::Fail, "not-running")]);
        let all = [udp(Some("taciturn"))];
        assert_eq!(server(&config(), &all).map(|process| process.pid), Some(42));
    }
}
