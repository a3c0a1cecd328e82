//! What nftables does with a new packet for one of our ports, by `nft -j list ruleset`.
//!
//! Rules are followed as far as they are understood: ports, protocols, connection states,
//! interfaces, sources. The packet is one of a client from anywhere, that opens a connection.

use serde_json::Value;

use super::ports::{Passage, Ports, Protocol, passage};

/// Chains that lead to each other are followed this deep.
const DEEPEST: usize = 16;

/// The part of a ruleset that decides about packets for this machine.
pub(super) struct Ruleset<'a> {
    items: Vec<&'a Value>,
}

/// Whether a rule is for the packet.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Match {
    Yes,
    No,
    Unknown,
}

/// What a chain does with the packet.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Accept,
    Drop,
    /// The next rule of the calling chain decides.
    Return,
    /// Something may accept it that is not understood, and nothing else does.
    Unsure,
}

struct Packet {
    protocol: Protocol,
    port: u16,
    families: [&'static str; 2],
}

impl<'a> Ruleset<'a> {
    /// The ruleset in the output of nft; `None` where it is none.
    pub(super) fn of(json: &'a Value) -> Option<Self> {
        Some(Self { items: json.get("nftables")?.as_array()?.iter().collect() })
    }

    /// Whether any chain decides about packets that come in.
    pub(super) fn filters(&self) -> bool {
        ["ip", "ip6", "inet"].iter().any(|family| self.base_chains(&[family, ""]).next().is_some())
    }

    /// What becomes of `ports` from anywhere, over IPv4 or IPv6.
    pub(super) fn passage(&self, ports: Ports, v6: bool) -> Passage {
        let families = ["inet", if v6 { "ip6" } else { "ip" }];
        passage(ports, |port| {
            let packet = Packet { protocol: ports.protocol, port, families };
            let mut sure = true;
            for chain in self.base_chains(&families) {
                match self.base_chain(chain, &packet) {
                    Verdict::Drop => return Some(false),
                    Verdict::Unsure => sure = false,
                    Verdict::Accept | Verdict::Return => {}
                }
            }
            sure.then_some(true)
        })
    }

    fn base_chains<'b>(&'b self, families: &'b [&str]) -> impl Iterator<Item = &'a Value> + 'b {
        self.items.iter().filter_map(|item| item.get("chain")).filter(move |chain| {
            text(chain, "hook") == "input"
                && text(chain, "type") == "filter"
                && families.contains(&text(chain, "family"))
        })
    }

    fn base_chain(&self, chain: &Value, packet: &Packet) -> Verdict {
        match self.chain(
            text(chain, "family"),
            text(chain, "table"),
            text(chain, "name"),
            packet,
            0,
        ) {
            Verdict::Return if text(chain, "policy") == "drop" => Verdict::Drop,
            Verdict::Return => Verdict::Accept,
            other => other,
        }
    }

    fn chain(
        &self,
        family: &str,
        table: &str,
        name: &str,
        packet: &Packet,
        depth: usize,
    ) -> Verdict {
        if depth > DEEPEST {
            return Verdict::Unsure;
        }
        let rules = self.items.iter().filter_map(|item| item.get("rule")).filter(|rule| {
            text(rule, "family") == family
                && text(rule, "table") == table
                && text(rule, "chain") == name
        });
        let mut may_be_accepted = false;
        for rule in rules {
            let verdict = self.rule(rule, family, table, packet, depth);
            match verdict {
                (Match::Yes, Verdict::Return) | (Match::No, _) => {}
                (Match::Yes, Verdict::Unsure) => may_be_accepted = true,
                (Match::Yes, Verdict::Drop) if may_be_accepted => return Verdict::Unsure,
                (Match::Yes, verdict) => return verdict,
                // What is dropped under a condition is an exception: lists of evil addresses.
                (Match::Unknown, Verdict::Accept | Verdict::Unsure) => may_be_accepted = true,
                (Match::Unknown, _) => {}
            }
        }
        // What follows in the calling chain drops it, perhaps.
        if may_be_accepted { Verdict::Unsure } else { Verdict::Return }
    }

    fn rule(
        &self,
        rule: &Value,
        family: &str,
        table: &str,
        packet: &Packet,
        depth: usize,
    ) -> (Match, Verdict) {
        let mut matched = Match::Yes;
        let expressions = rule.get("expr").and_then(Value::as_array);
        for expression in expressions.into_iter().flatten() {
            let Some((kind, inner)) =
                expression.as_object().and_then(|object| object.iter().next())
            else {
                continue;
            };
            let jump =
                |inner: &Value| self.chain(family, table, text(inner, "target"), packet, depth + 1);
            match kind.as_str() {
                "match" => match self.matches(inner, table, packet) {
                    Match::No => return (Match::No, Verdict::Return),
                    Match::Unknown => matched = Match::Unknown,
                    Match::Yes => {}
                },
                "accept" => return (matched, Verdict::Accept),
                "drop" | "reject" => return (matched, Verdict::Drop),
                "return" => return (matched, Verdict::Return),
                "jump" | "goto" => match jump(inner) {
                    Verdict::Return => {}
                    verdict => return (matched, verdict),
                },
                "vmap" => match self.vmap(inner, table, packet, &jump) {
                    Some(Verdict::Return) => {}
                    Some(verdict) => return (matched, verdict),
                    None => return (Match::Unknown, Verdict::Unsure),
                },
                "counter" | "log" | "mangle" | "limit" | "ct count" | "notrack" => {}
                // xt: a match or target of iptables'.
                _ => matched = Match::Unknown,
            }
        }
        // Counts only, or something unknown that lets go on.
        (Match::Yes, Verdict::Return)
    }

    fn matches(&self, inner: &Value, table: &str, packet: &Packet) -> Match {
        let (left, right) = (&inner["left"], &inner["right"]);
        let found = match key(left) {
            Key::Port => {
                let protocol = text(&left["payload"], "protocol");
                if protocol != "th" && protocol != packet.protocol.name() {
                    return Match::No;
                }
                self.holds(right, table, &packet.port.to_string(), Some(packet.port))
            }
            Key::Protocol => self.holds(right, table, packet.protocol.name(), None),
            Key::State => self.holds(right, table, "new", None),
            Key::Interface => match self.holds(right, table, "lo", None) {
                // Only loopback, or not loopback: not known further.
                Match::Yes => Match::No,
                _ => Match::Yes,
            },
            // A client comes from anywhere: not from a network that a rule names.
            Key::Source => Match::No,
            Key::Family => {
                let family = if packet.families.contains(&"ip6") { "ipv6" } else { "ipv4" };
                self.holds(right, table, family, None)
            }
            Key::Unknown => Match::Unknown,
        };
        match (text(inner, "op"), found) {
            ("!=", Match::Yes) => Match::No,
            ("!=", Match::No) => Match::Yes,
            (_, found) => found,
        }
    }

    /// Whether `right`, a value, a range, a set or the name of one, holds the value.
    fn holds(&self, right: &Value, table: &str, value: &str, port: Option<u16>) -> Match {
        let number = |value: &Value| value.as_u64();
        match right {
            Value::String(name) if name.starts_with('@') => {
                let set = self.items.iter().filter_map(|item| item.get("set")).find(|set| {
                    text(set, "table") == table && Some(text(set, "name")) == name.get(1..)
                });
                match set.and_then(|set| set.get("elem")) {
                    Some(elements) => self.holds(elements, table, value, port),
                    None if set.is_some() => Match::No,
                    None => Match::Unknown,
                }
            }
            Value::String(text) if text == value => Match::Yes,
            Value::String(_) => Match::No,
            Value::Number(_) => match (number(right), port) {
                (Some(number), Some(port)) if number == u64::from(port) => Match::Yes,
                (Some(_), Some(_)) => Match::No,
                _ => Match::Unknown,
            },
            Value::Array(items) => self.any_holds(items, table, value, port),
            Value::Object(_) => {
                if let Some(items) = right.get("set").and_then(Value::as_array) {
                    return self.any_holds(items, table, value, port);
                }
                if let Some(element) = right.get("elem").and_then(|elem| elem.get("val")) {
                    return self.holds(element, table, value, port);
                }
                let range = right.get("range").and_then(Value::as_array);
                let ends =
                    range.and_then(|ends| Some((number(ends.first()?)?, number(ends.get(1)?)?)));
                match (ends, port) {
                    (Some((first, last)), Some(port)) => {
                        let within = (first..=last).contains(&u64::from(port));
                        if within { Match::Yes } else { Match::No }
                    }
                    _ => Match::Unknown,
                }
            }
            _ => Match::Unknown,
        }
    }

    fn any_holds(&self, items: &[Value], table: &str, value: &str, port: Option<u16>) -> Match {
        let held: Vec<_> = items.iter().map(|item| self.holds(item, table, value, port)).collect();
        match (held.contains(&Match::Yes), held.contains(&Match::Unknown)) {
            (true, _) => Match::Yes,
            (false, true) => Match::Unknown,
            (false, false) => Match::No,
        }
    }

    /// A map from keys to verdicts: that of the packet's key; `None` where it is not understood.
    fn vmap(
        &self,
        inner: &Value,
        table: &str,
        packet: &Packet,
        jump: &dyn Fn(&Value) -> Verdict,
    ) -> Option<Verdict> {
        let entries = inner.get("data")?.get("set")?.as_array()?;
        for entry in entries {
            let (key, verdict) = (entry.get(0)?, entry.get(1)?.as_object()?.iter().next()?);
            let wanted = serde_json::json!({ "op": "==", "left": inner.get("key")?, "right": key });
            match self.matches(&wanted, table, packet) {
                Match::No => {}
                Match::Unknown => return None,
                Match::Yes => {
                    return Some(match verdict.0.as_str() {
                        "accept" => Verdict::Accept,
                        "drop" => Verdict::Drop,
                        "jump" | "goto" => jump(verdict.1),
                        _ => Verdict::Return,
                    });
                }
            }
        }
        Some(Verdict::Return)
    }
}

enum Key {
    Port,
    Protocol,
    State,
    Interface,
    Source,
    Family,
    Unknown,
}

fn key(left: &Value) -> Key {
    if let Some(payload) = left.get("payload") {
        return match (text(payload, "protocol"), text(payload, "field")) {
            ("udp" | "tcp" | "th", "dport") => Key::Port,
            ("ip", "protocol") | ("ip6", "nexthdr") => Key::Protocol,
            ("ip" | "ip6", "saddr") => Key::Source,
            _ => Key::Unknown,
        };
    }
    match left.get("meta").map(|meta| text(meta, "key")) {
        Some("l4proto") => Key::Protocol,
        Some("iif" | "iifname") => Key::Interface,
        Some("nfproto") => Key::Family,
        _ if left.get("ct").is_some_and(|ct| text(ct, "key") == "state") => Key::State,
        _ => Key::Unknown,
    }
}

fn text<'a>(object: &'a Value, key: &str) -> &'a str {
    object.get(key).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: &str = include_str!("../../../../tests/fixtures/doctor/nft-ruleset.json");

    fn ports(protocol: Protocol, first: u16, last: u16) -> Ports {
        Ports { protocol, first, last }
    }

    fn judged(rules: &str, wanted: Ports) -> Passage {
        let json = serde_json::from_str(rules).unwrap();
        Ruleset::of(&json).unwrap().passage(wanted, false)
    }

    #[test]
    fn rules_of_a_real_ruleset_are_followed() {
        use Protocol::{Tcp, Udp};
        let open = |protocol, first, last| judged(RULES, ports(protocol, first, last));
        assert_eq!(open(Udp, 3478, 3478), Passage::Open);
        assert_eq!(open(Udp, 59000, 60100), Passage::Open);
        assert_eq!(open(Tcp, 5349, 5349), Passage::Open, "a named set");
        assert_eq!(open(Udp, 50000, 50100), Passage::Open, "in a chain that is jumped to");
        assert_eq!(open(Tcp, 9001, 9001), Passage::Open, "th dport");
        assert_eq!(open(Udp, 5349, 5349), Passage::Closed(vec![ports(Udp, 5349, 5349)]));
        assert_eq!(open(Tcp, 22, 22), Passage::Closed(vec![ports(Tcp, 22, 22)]), "from 10/8 only");
        assert_eq!(
            open(Udp, 58999, 60102),
            Passage::Closed(vec![ports(Udp, 58999, 58999), ports(Udp, 60101, 60102)])
        );
    }

    /// A ruleset of one base chain that drops.
    fn chain(family: &str, rules: &str) -> String {
        format!(
            "{{\"nftables\": [{{\"chain\": {{\"family\": \"{family}\", \"table\": \"filter\", \
             \"name\": \"INPUT\", \"type\": \"filter\", \"hook\": \"input\", \"policy\": \"drop\"}}}}, \
             {{\"rule\": {{\"family\": \"{family}\", \"table\": \"filter\", \"chain\": \"INPUT\", \
             \"expr\": [{rules}]}}}}]}}"
        )
    }

    #[test]
    fn what_is_not_understood_is_not_judged() {
        let multiport = "{\"match\": {\"op\": \"==\", \"left\": {\"meta\": {\"key\": \"l4proto\"}}, \
                         \"right\": \"udp\"}}, {\"xt\": {\"type\": \"match\", \"name\": \
                         \"multiport\"}}, {\"accept\": null}";
        let udp = ports(Protocol::Udp, 3478, 3478);
        let tcp = ports(Protocol::Tcp, 3478, 3478);
        assert_eq!(judged(&chain("ip", multiport), udp), Passage::Unsure);
        assert_eq!(judged(&chain("ip", multiport), tcp), Passage::Closed(vec![tcp]));
    }

    #[test]
    fn rules_for_the_other_family_do_not_count() {
        let udp = ports(Protocol::Udp, 3478, 3478);
        assert_eq!(judged(&chain("ip6", "{\"drop\": null}"), udp), Passage::Open);
        assert_eq!(judged(&chain("inet", "{\"drop\": null}"), udp), Passage::Closed(vec![udp]));
    }

    #[test]
    fn other_output_is_no_ruleset_and_odd_rules_do_no_harm() {
        assert!(Ruleset::of(&serde_json::json!({"x": 1})).is_none());
        let empty = serde_json::json!({"nftables": []});
        assert!(!Ruleset::of(&empty).unwrap().filters());
        let circle = chain("inet", "{\"jump\": {\"target\": \"INPUT\"}}");
        assert_eq!(judged(&circle, ports(Protocol::Udp, 1, 1)), Passage::Unsure);
        for odd in ["1", "{}", "{\"match\": 1}", "{\"vmap\": {}}", "{\"accept\": {}}"] {
            judged(&chain("inet", odd), ports(Protocol::Udp, 1, 1));
        }
    }
}
