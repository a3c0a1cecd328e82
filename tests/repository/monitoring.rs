//! What is built on the metrics: the documentation, the alerts and the dashboard name only what the
//! server shows, and the documentation names all of it.
#![allow(clippy::unwrap_used)] // helpers of tests

use testkit::server;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;
use server::Server;

const ALERTS: &str = include_str!("../../config/prometheus-alerts.yaml");
const DASHBOARD: &str = include_str!("../../config/grafana-dashboard.json");
const DOCUMENT: &str = include_str!("../../docs/metrics.md");

static LABEL: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r#"([a-z_]+)(?:=~|!=|!~|=)"([^"]*)""#).unwrap());
static SELECTOR: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"(taciturn_[a-z_]+)(?:\{([^}]*)\})?").unwrap());
static GROUPING: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"(?:by|ignoring|on) ?\(([^)]*)\)").unwrap());
static ALERT_LABEL: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\$labels\.([a-z_]+)").unwrap());
static LEGEND_LABEL: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\{\{([a-z_]+)\}\}").unwrap());

/// A metric as the server shows it.
#[derive(Debug, Default, PartialEq)]
struct Shown {
    kind: String,
    /// Each label with its values.
    labels: BTreeMap<String, BTreeSet<String>>,
}

/// Every metric of a server that has a certificate and a tenant, and that has refused a request.
fn shown() -> BTreeMap<String, Shown> {
    let directory = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["turn.test".to_owned()]).unwrap();
    let [cert, key] = ["cert.pem", "key.pem"].map(|name| directory.path().join(name));
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let server = Server::configured(&format!(
        "external_ip = \"127.0.0.1\"\nauth.users = [\"alice:correct horse battery\"]\n\
         admin.metrics = \"127.0.0.1:0\"\ntls.cert = \"{}\"\ntls.key = \"{}\"\n\
         [[tenant]]\nname = \"acme\"\nusers = [\"alice:another horse battery\"]\n\
         relay_ports = \"59000-59099\"\n\
         [[listen]]\ntransport = \"udp\"\naddress = \"127.0.0.1:0\"\n\
         [[listen]]\ntransport = \"tls\"\naddress = \"127.0.0.1:0\"\n",
        cert.display(),
        key.display()
    ));
    let at = server.told("metrics on http://").replace("/metrics", "");
    let mut stream = std::net::TcpStream::connect(at).unwrap();
    stream.set_read_timeout(Some(server::PATIENCE)).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).unwrap();
    let mut shown = BTreeMap::<_, Shown>::new();
    for line in page.lines() {
        if let Some((name, kind)) =
            line.strip_prefix("# TYPE ").and_then(|line| line.split_once(' '))
        {
            shown.entry(name.to_owned()).or_default().kind = kind.to_owned();
        } else if let Some((name, labels)) = line.split_once('{') {
            for label in labels_in(labels) {
                let known = &mut shown.get_mut(name).unwrap().labels;
                known.entry(label.0).or_default().insert(label.1);
            }
        }
    }
    // It is shown once an error has been answered.
    shown
        .get_mut("taciturn_request_errors_total")
        .unwrap()
        .labels
        .entry("code".into())
        .or_default();
    shown
}

/// The labels of a sample or a selector, and their values.
fn labels_in(text: &str) -> Vec<(String, String)> {
    LABEL.captures_iter(text).map(|found| (found[1].to_owned(), found[2].to_owned())).collect()
}

/// Holds that an expression uses only metrics, labels and values that there are; returns the metrics.
fn judge(expression: &str, shown: &BTreeMap<String, Shown>) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    for found in SELECTOR.captures_iter(expression) {
        let name = found[1].to_owned();
        let metric = shown.get(&name).unwrap_or_else(|| panic!("no {name}: {expression}"));
        for (label, values) in found.get(2).map_or_else(Vec::new, |found| labels_in(found.as_str()))
        {
            if ["instance", "job"].contains(&label.as_str()) {
                continue; // Prometheus adds them
            }
            let known =
                &metric.labels.get(&label).unwrap_or_else(|| panic!("{label}: {expression}"));
            for value in values.split('|') {
                assert!(known.contains(value), "{label} is never {value}: {expression}");
            }
        }
        used.insert(name);
    }
    for label in GROUPING.captures_iter(expression).flat_map(|found| {
        found[1].split(',').map(|label| label.trim().to_owned()).collect::<Vec<_>>()
    }) {
        let known = used.iter().any(|name| shown[name].labels.contains_key(&label));
        assert!(known || ["instance", "job"].contains(&label.as_str()), "{label}: {expression}");
    }
    used
}

#[test]
fn the_document_lists_every_metric_with_its_type_and_labels_and_no_other() {
    let mut listed = BTreeMap::new();
    for line in DOCUMENT.lines().filter(|line| line.starts_with("| `taciturn_")) {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        let labels = cells[3].split(", ").map(|label| label.trim_matches('`').to_owned());
        let labels: BTreeSet<_> = labels.filter(|label| !label.is_empty()).collect();
        let before =
            listed.insert(cells[1].trim_matches('`').to_owned(), (cells[2].to_owned(), labels));
        assert_eq!(before, None, "twice: {line}");
    }
    let shown = shown()
        .into_iter()
        .map(|(name, metric)| (name, (metric.kind, metric.labels.into_keys().collect())));
    assert_eq!(listed, shown.collect());
}

#[test]
fn the_document_lists_every_reason() {
    let shown = shown();
    for name in ["taciturn_dropped_packets_total", "taciturn_unsent_packets_total"] {
        let (_, table) = DOCUMENT.split_once(&format!("\n`{name}`:\n\n")).unwrap();
        let (table, _) = table.split_once("\n\n").unwrap();
        let reasons = table.lines().skip(2).map(|line| line.split('`').nth(1).unwrap().to_owned());
        assert_eq!(&reasons.collect::<BTreeSet<_>>(), &shown[name].labels["reason"], "{name}");
    }
}

#[test]
fn the_alerts_use_only_metrics_that_there_are() {
    let shown = shown();
    let expressions: Vec<_> =
        ALERTS.lines().filter_map(|line| line.trim().strip_prefix("expr: ")).collect();
    assert_eq!(expressions.len(), ALERTS.matches("- alert: ").count());
    let used: BTreeSet<_> = expressions.iter().flat_map(|text| judge(text, &shown)).collect();
    assert!(used.len() > 5, "{used:?}");
    // What stands in the texts are labels that the expression leaves.
    for label in ALERT_LABEL.captures_iter(ALERTS) {
        let label = label[1].to_owned();
        let known = shown.values().any(|metric| metric.labels.contains_key(&label));
        assert!(known || label == "instance", "{label}");
    }
}

#[test]
fn the_dashboard_uses_only_metrics_that_there_are() {
    let shown = shown();
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let mut used = BTreeSet::new();
    let mut places = Vec::new();
    for panel in panels {
        let title = panel["title"].as_str().unwrap();
        let targets = panel["targets"].as_array().map(Vec::as_slice).unwrap_or_default();
        assert!(panel["type"] == "row" || !targets.is_empty(), "{title} shows nothing");
        for target in targets {
            let (expression, legend) =
                (target["expr"].as_str().unwrap(), target["legendFormat"].as_str().unwrap());
            let of = judge(expression, &shown);
            assert!(!of.is_empty(), "{title}: {expression}");
            for label in LEGEND_LABEL.captures_iter(legend) {
                let known = of.iter().any(|name| shown[name].labels.contains_key(&label[1]));
                assert!(known || &label[1] == "instance", "{title}: {legend}");
            }
            used.extend(of);
        }
        let at = |key: &str| panel["gridPos"][key].as_u64().unwrap();
        assert!(at("x") + at("w") <= 24, "{title} is too wide");
        places.push((title, at("x")..at("x") + at("w"), at("y")..at("y") + at("h")));
    }
    for (n, (one, x, y)) in places.iter().enumerate() {
        for (other, of_x, of_y) in &places[n + 1..] {
            let apart = x.end <= of_x.start
                || of_x.end <= x.start
                || y.end <= of_y.start
                || of_y.end <= y.start;
            assert!(apart, "{one} lies on {other}");
        }
    }
    let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len());
    let variable = dashboard["templating"]["list"][1]["definition"].as_str().unwrap();
    assert_eq!(judge(variable, &shown).len(), 1);
    let forgotten: Vec<_> = shown.keys().filter(|name| !used.contains(*name)).collect();
    assert_eq!(forgotten, [""; 0], "not on the dashboard");
}
