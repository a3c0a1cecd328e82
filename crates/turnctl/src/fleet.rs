//! `turnctl fleet`: the nodes of the fleet that the running server is in, and what differs among them.

use std::collections::BTreeMap;
use std::io::Write;

use super::CtlError;
use super::socket::{SocketArgs, another_answer, ask_once};
use taciturn_config::Environment;
use taciturn_control::{Answer, FleetNode, FleetReport, Request};

/// By how many seconds clocks may differ. Passwords that expire, and bans, go by them.
const APART: i64 = 5;

/// Prints the nodes. The exit status is 1 if the server cannot ask for them, or if something differs.
pub(super) fn run(
    args: &SocketArgs,
    env: &Environment,
    out: &mut dyn Write,
) -> Result<u8, CtlError> {
    let report = match ask_once(args, env, &Request::Fleet, out)? {
        Answer::Fleet(report) => *report,
        other => return Err(another_answer(&other)),
    };
    let findings = findings(&report);
    if !args.json {
        print(&report, &findings, out)?;
    }
    Ok(u8::from(!findings.is_empty()))
}

fn print(report: &FleetReport, findings: &[String], out: &mut dyn Write) -> std::io::Result<()> {
    if !report.nodes.is_empty() {
        writeln!(
            out,
            "{:<16} {:<10} {:<9} {:>11} {:>10}  RELAYS",
            "NODE", "VERSION", "STATE", "ALLOCATIONS", "FREE PORTS"
        )?;
    }
    for node in &report.nodes {
        let FleetNode { node: name, version, ready, allocations, ports_free, relays, .. } = node;
        let mark = if *name == report.node { "*" } else { "" };
        let state = if *ready { "ready" } else { "draining" };
        let relays = relays.join(",");
        writeln!(
            out,
            "{:<16} {:<10} {state:<9} {allocations:>11} {ports_free:>10}  {}",
            format!("{}{mark}", name.escape_debug()),
            version.escape_debug().to_string(),
            relays.escape_debug()
        )?;
    }
    if let Some(master) = &report.master {
        // A sentinel has named it.
        writeln!(out, "they meet at the master, {}", master.escape_debug())?;
    }
    findings.iter().try_for_each(|finding| writeln!(out, "{finding}"))
}

/// What is not as it should be, a line each.
fn findings(report: &FleetReport) -> Vec<String> {
    let mut findings = Vec::new();
    if let Some(trouble) = &report.trouble {
        findings.push(format!("this server cannot ask for the others: {trouble}"));
    }
    if report.name_taken {
        findings.push(format!(
            "another process is called {:?} as well: set node in [fleet] to another name",
            report.node
        ));
    }
    let some_only = "a credential is valid on some of them only";
    for (what, why) in
        [("realm", some_only), ("credentials", some_only), ("version", "update them all")]
    {
        let mut nodes: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for node in &report.nodes {
            let value = match what {
                "realm" => &node.realm,
                "credentials" => &node.credentials,
                _ => &node.version,
            };
            nodes.entry(value).or_default().push(&node.node);
        }
        if nodes.len() > 1 {
            let told =
                nodes.iter().map(|(value, nodes)| format!("{:?} on {}", value, nodes.join(", ")));
            let told: Vec<_> = told.collect();
            findings.push(format!("different {what}: {}; {why}", told.join("; ")));
        }
    }
    let offsets =
        || report.nodes.iter().map(|node| (node.clock_offset_seconds, node.node.as_str()));
    if let (Some((least, slow)), Some((most, fast))) = (offsets().min(), offsets().max())
        && most.saturating_sub(least) > APART
    {
        let apart = most.saturating_sub(least);
        findings.push(format!("the clock of {fast} is {apart} s ahead of that of {slow}: use NTP"));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str) -> FleetNode {
        FleetNode {
            node: name.into(),
            version: "0.1.0".into(),
            listeners: Vec::new(),
            relays: vec!["203.0.113.7".into()],
            ready: true,
            allocations: 3,
            ports_free: 900,
            realm: "example.org".into(),
            credentials: "ab12".into(),
            clock_offset_seconds: 0,
        }
    }

    fn report(nodes: Vec<FleetNode>) -> FleetReport {
        FleetReport { node: "fra1".into(), trouble: None, master: None, name_taken: false, nodes }
    }

    #[test]
    fn nodes_that_agree_are_listed_and_nothing_is_said() {
        let report = report(vec![node("fra1"), FleetNode { ready: false, ..node("fra2") }]);
        assert_eq!(findings(&report), [""; 0]);
        let mut out = Vec::new();
        print(&report, &[], &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<Vec<&str>> = text.lines().map(|l| l.split_whitespace().collect()).collect();
        assert_eq!(lines[1], ["fra1*", "0.1.0", "ready", "3", "900", "203.0.113.7"]);
        assert_eq!(lines[2][2], "draining");
        assert_eq!(lines.len(), 3);
    }

    #[test]
    fn the_master_that_sentinel_has_named_is_told() {
        let master = Some("10.9.0.2 port 6379".to_owned());
        let mut out = Vec::new();
        print(&FleetReport { master, ..report(vec![node("fra1")]) }, &[], &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text.lines().last(), Some("they meet at the master, 10.9.0.2 port 6379"));
    }

    #[test]
    fn what_differs_is_named_with_the_nodes() {
        let other = FleetNode {
            realm: "example.com".into(),
            credentials: "ab13".into(),
            version: "0.2.0".into(),
            clock_offset_seconds: -6,
            ..node("fra2")
        };
        let mut report = report(vec![node("fra1"), other, node("fra3")]);
        report.trouble = Some("no answer within 2 s".into());
        report.name_taken = true;
        let findings = findings(&report).join("\n");
        for told in [
            "cannot ask for the others: no answer within 2 s",
            "called \"fra1\" as well",
            "different realm: \"example.com\" on fra2; \"example.org\" on fra1, fra3; a credential",
            "different credentials: \"ab12\" on fra1, fra3; \"ab13\" on fra2",
            "different version: \"0.1.0\" on fra1, fra3; \"0.2.0\" on fra2",
            "the clock of fra3 is 6 s ahead of that of fra2",
        ] {
            assert!(findings.contains(told), "{told}: {findings}");
        }
    }
}
