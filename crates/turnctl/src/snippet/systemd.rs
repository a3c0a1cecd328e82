//! The unit of systemd: that of the package, with what this configuration needs.

use std::fmt::Write as _;

use taciturn_config::Config;
use taciturn_tls::CertSource;

use super::machine::{certificate_dirs, config_file, file_limit, has_low_port, secret_files};
use super::memory::{memory_text, threads};
use super::{Facts, Snippet};

/// The one that the package has.
const PACKAGED: &str = include_str!("../../../../config/taciturn.service");

/// The unit, line by line.
struct Unit(Vec<String>);

impl Unit {
    /// Gives a setting of the server another value.
    fn set(&mut self, key: &str, value: &str) {
        let line = format!("{key}={value}");
        let is_it = |line: &String| line.split_once('=').is_some_and(|(name, _)| name == key);
        match self.0.iter_mut().find(|line| is_it(line)) {
            Some(found) => *found = line,
            None => self.insert_behind("ExecStart", line),
        }
    }

    /// Gives a setting of the server one more value, which counts after those it has.
    fn add(&mut self, key: &str, value: &str) {
        let is_it = |line: &String| line.split_once('=').is_some_and(|(name, _)| name == key);
        let at = self.0.iter().rposition(is_it).map_or(self.0.len(), |at| at + 1);
        self.0.insert(at, format!("{key}={value}"));
    }

    /// Puts a line behind a setting.
    fn insert_behind(&mut self, key: &str, line: String) {
        let is_it = |line: &String| line.split_once('=').is_some_and(|(name, _)| name == key);
        let at = self.0.iter().position(is_it).map_or(self.0.len(), |at| at + 1);
        self.0.insert(at, line);
    }

    fn text(self) -> String {
        let mut text = self.0.join("\n");
        text.push('\n');
        text
    }
}

pub(super) fn systemd(facts: &Facts<'_>) -> Snippet {
    let mut unit = Unit(PACKAGED.lines().map(ToOwned::to_owned).collect());
    let config = config_file(facts);
    let argument = config.as_ref().map(|file| format!(" {} {}", facts.config_flag(), word(file)));
    unit.set("ExecStart", &format!("/usr/bin/taciturn{}", argument.unwrap_or_default()));
    let limit = file_limit(facts);
    let packaged = PACKAGED.lines().find_map(|line| line.strip_prefix("LimitNOFILE="));
    if packaged.and_then(|limit| limit.parse().ok()).is_none_or(|packaged: u64| packaged < limit) {
        unit.set("LimitNOFILE", &limit.to_string());
    }
    unit.set("MemoryMax", &memory_text(facts.config));
    unit.set("TasksMax", &threads().to_string());
    if has_low_port(facts) {
        unit.set("AmbientCapabilities", "CAP_NET_BIND_SERVICE");
        unit.set("CapabilityBoundingSet", "CAP_NET_BIND_SERVICE");
        // A capability in a user namespace opens no port outside of it.
        unit.set("PrivateUsers", "no");
        // The server gives the capability up, once the ports are bound.
        unit.add("SystemCallFilter", "capset");
    }
    let (secrets, dirs) = (secret_files(facts), certificate_dirs(facts));
    let mut paths = config.iter().chain(&secrets).chain(&dirs);
    if paths.any(|path| path.starts_with("/root/") || path.starts_with("/home/")) {
        unit.set("ProtectHome", "read-only");
    }
    let as_root = reads_acme(facts.config);
    if as_root {
        unit.set("User", "root");
        unit.set("Group", "root");
    } else if !dirs.is_empty() {
        // One that may read the certificates.
        unit.insert_behind("Group", "#SupplementaryGroups=ssl-cert".to_owned());
    }
    let mut place = "/etc/systemd/system/taciturn.service. ".to_owned();
    if as_root {
        place.push_str(
            "The server is root there, without any capability: Traefik's acme.json is for root alone. ",
        );
    } else {
        place.push_str("Before it starts:\n");
        for line in preparation(facts).lines() {
            let _ = writeln!(place, "  {line}");
        }
        if !dirs.is_empty() {
            let _ = writeln!(
                place,
                "The group that may read the certificates in {} goes into SupplementaryGroups.",
                dirs.join(", ")
            );
        }
    }
    place.push_str("Then `systemctl daemon-reload && systemctl enable --now taciturn`");
    Snippet::new(unit.text(), place)
}

/// Commands without which the unit's user is not there, or cannot read what is configured; a line
/// each. None where the server is to run as root.
pub(crate) fn preparation(facts: &Facts<'_>) -> String {
    if reads_acme(facts.config) {
        return String::new();
    }
    let mut text =
        "useradd --system --home-dir /var/lib/taciturn --shell /usr/sbin/nologin taciturn\n"
            .to_owned();
    for file in config_file(facts).iter().chain(&secret_files(facts)) {
        let file = shell(file);
        let _ = writeln!(text, "chgrp taciturn {file} && chmod 640 {file}");
    }
    text
}

/// Traefik keeps its certificates readable for root only.
fn reads_acme(config: &Config) -> bool {
    let own = config.listen.iter().filter_map(|listen| listen.cert.as_ref());
    config.tls.certificates.iter().chain(own).any(|cert| matches!(cert, CertSource::Acme { .. }))
}

/// One argument of a command line in a unit (systemd.service(5), "COMMAND LINES").
fn word(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"");
    let escaped = escaped.replace('%', "%%").replace('$', "$$");
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%$".contains(c);
    if escaped.chars().all(plain) { escaped } else { format!("\"{escaped}\"") }
}

/// One word of a shell.
fn shell(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%".contains(c);
    if text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_reach_the_server_as_they_are() {
        assert_eq!(word("/etc/taciturn/taciturn.toml"), "/etc/taciturn/taciturn.toml");
        assert_eq!(word("/etc/my 100% \"$x\""), "\"/etc/my 100%% \\\"$$x\\\"\"");
        assert_eq!(shell("/it's here"), r"'/it'\''s here'");
    }

    #[test]
    fn a_setting_that_the_package_does_not_have_goes_to_the_server() {
        let mut unit = Unit(PACKAGED.lines().map(ToOwned::to_owned).collect());
        unit.set("Nice", "5");
        let text = unit.text();
        let server = text.split("[Service]").nth(1).unwrap().split("[Install]").next().unwrap();
        assert!(server.contains("\nNice=5\n"), "{text}");
    }
}
