//! Whether the kernel relays, where the configuration wants that.

use super::super::report::{Finding, Section};
use super::ask;
use taciturn_config::{Config, KernelMode};
use taciturn_control::KernelRelay;

/// Nothing where the sockets relay anyway.
pub(super) fn section(config: &Config) -> Option<Section> {
    if config.kernel_relay.mode == KernelMode::Off {
        return None;
    }
    let state = ask::status(config).and_then(|status| status.kernel_relay);
    let mut section = Section::new("Relaying in the kernel");
    section.findings.extend(findings(state.as_ref()));
    Some(section)
}

fn findings(state: Option<&KernelRelay>) -> Vec<Finding> {
    let Some(state) = state else {
        let title = "no running server with mode = \"tc\" could be asked";
        return vec![Finding::skip("kernel-relay", title)];
    };
    let mut findings = Vec::new();
    if let Some(trouble) = &state.trouble {
        let what = if state.attached.is_empty() { "all calls" } else { "some calls" };
        findings.push(
            Finding::warn("kernel-relay", format!("the sockets relay {what}: {trouble}"))
                .why("Calls work; a packet costs what it costs with mode = \"off\".")
                .fix(remedy(trouble)),
        );
    } else {
        let on = state.attached.join(", ");
        let title = format!("the kernel relays on {on}: {} packets so far", state.relayed_packets);
        findings.push(Finding::pass("kernel-relay", title));
    }
    if !state.attached.is_empty() {
        findings.push(
            Finding::info(
                "kernel-relay-filters",
                "packet filters do not see what the kernel relays",
            )
            .why("nftables, ufw, fail2ban and conntrack miss the packets of a call, either way.")
            .fix("Keep somebody out by the server:\n  turnctl ban address 192.0.2.1"),
        );
    }
    if state.refused_channels > 0 {
        let title = format!("{} channels found no room in the kernel", state.refused_channels);
        findings.push(
            Finding::warn("kernel-relay-full", title)
                .why("The sockets relay them.")
                .fix(format!("[kernel_relay]\nchannels = {}", state.room.saturating_mul(4))),
        );
    }
    let others: u64 = state.other_packets.iter().map(|count| count.packets).sum();
    if others > state.relayed_packets / 10 {
        let reasons = state.other_packets.iter();
        let reasons: Vec<_> =
            reasons.map(|count| format!("{} {}", count.reason, count.packets)).collect();
        let title = format!("{others} packets passed up to the sockets: {}", reasons.join(", "));
        findings.push(
            Finding::info("kernel-relay-others", title)
                .why("docs/kernel-relay.md says what each means."),
        );
    }
    findings
}

/// What to do about what the kernel has said.
fn remedy(trouble: &str) -> String {
    let is_refused = trouble.contains("not permitted") || trouble.contains("Permission denied");
    if is_refused {
        return "With systemd: systemctl enable --now taciturn-kernel-relay, and by systemctl edit taciturn:\n  \
                [Service]\n  SystemCallFilter=bpf\nIn a container: --cap-add BPF --cap-add NET_ADMIN --user 0, and \
                process.user"
            .to_owned();
    }
    if trouble.contains("before Linux 6.6") || trouble.contains("kernel-relay attach") {
        return "Restart both; the first only if it is used:\n  systemctl restart taciturn-kernel-relay\n  \
                systemctl restart taciturn"
            .to_owned();
    }
    if trouble.contains("no such interface") || trouble.contains("no interface has") {
        return "The program is attached as soon as it is there. If its name is another one:\n  [kernel_relay]\n  \
                interfaces = [\"eth0\"]"
            .to_owned();
    }
    if trouble.contains("Ethernet") {
        return "Name the interfaces that packets come in by:\n  [kernel_relay]\n  interfaces = [\"eth0\"]".to_owned();
    }
    if trouble.contains("without the feature") {
        return "Use a program of a release, or build it with its default features.".to_owned();
    }
    "See docs/kernel-relay.md; or turn it off:\n  [kernel_relay]\n  mode = \"off\"".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use taciturn_control::PacketCount;

    fn state() -> KernelRelay {
        KernelRelay {
            attached: vec!["eth0 (tcx)".to_owned()],
            trouble: None,
            channels: 2,
            room: 100,
            refused_channels: 0,
            relayed_packets: 1_000,
            other_packets: vec![PacketCount { reason: "ttl".to_owned(), packets: 3 }],
        }
    }

    fn ids(state: &KernelRelay) -> Vec<(&'static str, String)> {
        let all = findings(Some(state));
        all.into_iter().map(|finding| (finding.id, finding.fix.unwrap_or_default())).collect()
    }

    #[test]
    fn what_works_says_what_packet_filters_miss() {
        let told: Vec<_> = ids(&state()).into_iter().map(|(id, _)| id).collect();
        assert_eq!(told, ["kernel-relay", "kernel-relay-filters"]);
        assert_eq!(findings(None).len(), 1);
    }

    #[test]
    fn each_trouble_has_its_remedy() {
        for (trouble, remedy) in [
            ("failed to create map: Operation not permitted (os error 1)", "SystemCallFilter=bpf"),
            ("cannot attach to wg0: its packets have no Ethernet header", "interfaces ="),
            ("cannot attach to eth1: there is no such interface", "as soon as it is there"),
            (
                "cannot attach to eth1, which is new: before Linux 6.6 that needs rights",
                "restart taciturn",
            ),
            (
                "turnctl kernel-relay detach has taken the program away. To use it again: turnctl kernel-relay attach",
                "restart taciturn",
            ),
            ("this server was built without the feature kernel-relay", "of a release"),
            ("the verifier is full", "mode = \"off\""),
        ] {
            let state = KernelRelay { attached: vec![], trouble: Some(trouble.into()), ..state() };
            let [(id, fix)] = &ids(&state)[..] else { panic!("one finding") };
            assert!(*id == "kernel-relay" && fix.contains(remedy), "{trouble}: {fix}");
        }
        let full = KernelRelay { refused_channels: 7, ..state() };
        assert!(
            ids(&full).iter().any(|(id, fix)| *id == "kernel-relay-full" && fix.contains("400"))
        );
        let much = vec![PacketCount { reason: "joined".to_owned(), packets: 500 }];
        let joined = KernelRelay { other_packets: much, ..state() };
        assert!(ids(&joined).iter().any(|(id, _)| *id == "kernel-relay-others"));
    }
}
