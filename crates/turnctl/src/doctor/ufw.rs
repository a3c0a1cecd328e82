//! What ufw lets in, by the output of `ufw status verbose`.

use super::ports::{Passage, Ports, Protocol, passage};

/// ufw, as far as it concerns packets that come in.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ufw {
    Inactive,
    Active { allows_by_default: bool, rules: Vec<Rule> },
}

/// A line for everybody; those for certain sources are left out.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Rule {
    allow: bool,
    v6: bool,
    /// `None`: both.
    protocol: Option<Protocol>,
    /// Both ends included. `None`: a profile of an application, whose ports are not known.
    ranges: Option<Vec<(u16, u16)>>,
}

impl Ufw {
    /// Reads the output; `None` where it is something else.
    pub(super) fn of(text: &str) -> Option<Self> {
        let status = text.lines().find_map(|line| line.strip_prefix("Status:"))?;
        if status.trim() != "active" {
            return Some(Self::Inactive);
        }
        let default = text.lines().find_map(|line| line.strip_prefix("Default:"));
        let allows_by_default =
            default.is_some_and(|line| line.trim_start().starts_with("allow (incoming)"));
        Some(Self::Active { allows_by_default, rules: text.lines().filter_map(rule).collect() })
    }

    /// What becomes of `ports` from anywhere.
    pub(super) fn passage(&self, ports: Ports, wants_v6: bool) -> Passage {
        let Self::Active { allows_by_default, rules } = self else { return Passage::Open };
        passage(ports, |port| {
            let mut unsure = false;
            for rule in rules.iter().filter(|rule| rule.v6 == wants_v6) {
                if rule.protocol.is_some_and(|protocol| protocol != ports.protocol) {
                    continue;
                }
                match &rule.ranges {
                    None => unsure |= rule.allow,
                    Some(ranges) => {
                        if ranges.iter().any(|(first, last)| (*first..=*last).contains(&port)) {
                            return Some(rule.allow);
                        }
                    }
                }
            }
            match (*allows_by_default, unsure) {
                (true, _) => Some(true),
                (false, true) => None,
                (false, false) => Some(false),
            }
        })
    }
}

/// `3478/udp   ALLOW IN   Anywhere   # comment`.
fn rule(line: &str) -> Option<Rule> {
    let line = line.split('#').next().unwrap_or(line);
    let (at, action) = ["ALLOW", "LIMIT", "DENY", "REJECT"]
        .iter()
        .find_map(|action| Some((line.find(&format!(" {action}"))?, *action)))?;
    let (to, from) = line.split_at(at);
    let from = from.trim_start().strip_prefix(action)?.trim();
    if from.starts_with("OUT") || from.starts_with("FWD") {
        return None;
    }
    let from = from.strip_prefix("IN").unwrap_or(from).trim();
    // Rules on an interface are for everybody who comes by it.
    let (to, v6) = match to.trim().strip_suffix("(v6)") {
        Some(to) => (to.trim(), true),
        None => (to.trim(), false),
    };
    if !from.starts_with("Anywhere") {
        return None;
    }
    // `22/tcp (OpenSSH)` names the profile beside its ports.
    let to = to.split(" on ").next().unwrap_or(to).split(" (").next().unwrap_or(to).trim();
    let (ports, protocol) = match to.split_once('/') {
        Some((ports, "udp")) => (ports, Some(Protocol::Udp)),
        Some((ports, "tcp")) => (ports, Some(Protocol::Tcp)),
        Some(_) => return None,
        None => (to, None),
    };
    // `203.0.113.7 3478/udp`: a certain address of this machine.
    let ports = ports.rsplit(' ').next().unwrap_or(ports);
    let ranges = match ports {
        "Anywhere" => Some(vec![(0, u16::MAX)]),
        _ => ports.split(',').map(range).collect(),
    };
    Some(Rule { allow: matches!(action, "ALLOW" | "LIMIT"), v6, protocol, ranges })
}

fn range(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once(':').unwrap_or((text, text));
    Some((first.parse().ok()?, last.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = "\
Status: active
Logging: on (low)
Default: deny (incoming), allow (outgoing), disabled (routed)
New profiles: skip

To                         Action      From
--                         ------      ----
22/tcp (OpenSSH)           LIMIT IN    Anywhere
3478/udp                   ALLOW IN    Anywhere                   # TURN
3478                       ALLOW IN    10.0.0.0/8
3478,5349/tcp              ALLOW IN    Anywhere
59000:60100/udp            ALLOW IN    Anywhere
59500/udp                  DENY IN     Anywhere
3478/udp (v6)              ALLOW IN    Anywhere (v6)
25/tcp                     REJECT IN   Anywhere
53                         ALLOW OUT   Anywhere
";

    fn judged(text: &str, protocol: Protocol, first: u16, last: u16, v6: bool) -> Passage {
        Ufw::of(text).unwrap().passage(Ports { protocol, first, last }, v6)
    }

    #[test]
    fn lines_for_everybody_count_in_their_order() {
        let open = |protocol, first, last| judged(STATUS, protocol, first, last, false);
        assert_eq!(open(Protocol::Udp, 3478, 3478), Passage::Open);
        assert_eq!(open(Protocol::Tcp, 5349, 5349), Passage::Open);
        assert_eq!(open(Protocol::Udp, 59000, 60100), Passage::Open, "the first rule wins");
        let closed = Ports { protocol: Protocol::Udp, first: 5349, last: 5349 };
        assert_eq!(open(Protocol::Udp, 5349, 5349), Passage::Closed(vec![closed]));
        assert!(matches!(open(Protocol::Tcp, 53, 53), Passage::Closed(_)), "OUT is not IN");
    }

    #[test]
    fn ipv6_has_lines_of_its_own() {
        assert_eq!(judged(STATUS, Protocol::Udp, 3478, 3478, true), Passage::Open);
        assert!(matches!(judged(STATUS, Protocol::Tcp, 3478, 3478, true), Passage::Closed(_)));
    }

    #[test]
    fn profiles_leave_it_open_and_an_inactive_ufw_lets_all_in() {
        let profile = "Status: active\nDefault: deny (incoming)\n\nTURN   ALLOW IN   Anywhere\n";
        assert_eq!(judged(profile, Protocol::Udp, 3478, 3478, false), Passage::Unsure);
        assert_eq!(Ufw::of("Status: inactive\n"), Some(Ufw::Inactive));
        assert_eq!(judged("Status: inactive\n", Protocol::Udp, 1, 9, false), Passage::Open);
        assert_eq!(Ufw::of("ERROR: You need to be root to run this script\n"), None);
        let open = "Status: active\nDefault: allow (incoming), allow (outgoing)\n";
        assert_eq!(judged(open, Protocol::Udp, 3478, 3478, false), Passage::Open);
    }
}
