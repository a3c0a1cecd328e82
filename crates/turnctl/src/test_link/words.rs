//! The results of tests in words. Their names are fixed; programs read those.

use std::fmt::Write as _;
use std::io::{self, Write};

use crate::certs::date;
use taciturn_control::{TestReport, TestedUri};

/// What a whole test comes to, or an advice.
const VERDICTS: [(&str, &str); 23] = [
    ("ok", "calls work from there"),
    (
        "udp-blocked",
        "UDP does not get through from there; calls work over TCP or TLS if clients have such a URI",
    ),
    ("only-443", "only port 443 gets through from there; calls work over TLS on that port"),
    (
        "secret-changed",
        "the relay works, but the shared secret was changed after the link was made: calls fail until the homeserver has the new one",
    ),
    (
        "pair-failed",
        "the relay works for each, but the two people did not reach each other through it",
    ),
    ("draining", "the server takes no new calls: it is being drained"),
    ("credentials", "the relay refused the password of the test"),
    (
        "quota",
        "there are as many allocations as may be (limits.allocations, limits.allocations_per_user)",
    ),
    ("capacity", "the server has no relay port left (relay_ports)"),
    (
        "relay-blocked",
        "it rings and stays silent: the relay ports are closed. Open relay_ports for UDP at the provider and in the firewall",
    ),
    (
        "cert-untrusted",
        "the device does not accept the server's certificate; turnctl check tells why",
    ),
    ("dns", "the name of the server does not resolve there"),
    (
        "local-address",
        "nothing arrived, and the device is in a private network: the name may lead to a private address there, which Chrome asks leave for (Local Network Access)",
    ),
    ("ipv6-only", "the device has IPv6 alone, and needs a relay with IPv6"),
    (
        "no-answer",
        "requests arrive, and the answers do not get back: a firewall on the way, or an address that is not the server's own",
    ),
    (
        "unreachable",
        "nothing of the device arrives: closed ports at the server, or a network that blocks them",
    ),
    ("no-webrtc", "the browser has no WebRTC, or an extension has switched it off"),
    ("tcp-blocked", "TCP does not get through from there"),
    ("tls-blocked", "TLS does not get through from there"),
    (
        "proxy-address",
        "the relay sees a private address in place of the device's own: a proxy in front sends no PROXY protocol header",
    ),
    ("slow", "the round trip is longer than 300 ms"),
    ("lossy", "more than 5 % of the packets are lost"),
    (
        "failed-logins",
        "others at that address failed to log in within the last hour: the homeserver has another secret, or its clock is wrong",
    ),
];

fn words(id: &str) -> &str {
    VERDICTS.iter().find(|(known, _)| *known == id).map_or(id, |(_, words)| words)
}

/// Prints one result.
pub(super) fn print(report: &TestReport, out: &mut dyn Write) -> io::Result<()> {
    let at = date(i64::try_from(report.at).unwrap_or(i64::MAX));
    let TestReport { person, id, address, verdict, language, .. } = report;
    // What a browser says is any text.
    let (id, language) = (id.escape_debug(), language.escape_debug());
    writeln!(out, "{at}: test {person} ({id}), from {address}, {language}")?;
    writeln!(out, "  {verdict}: {}", words(verdict))?;
    for uri in &report.uris {
        writeln!(out, "    {}", of_uri(uri))?;
    }
    if let Some(pair) = &report.pair {
        let (sent, received) = (pair.sent, pair.received);
        let with = pair.with.escape_debug();
        let met = if pair.connected { "reached" } else { "did not reach" };
        writeln!(
            out,
            "    {met} the other person ({with}): {received} of {sent} packets back{}",
            round_trip(pair.rtt_ms)
        )?;
    }
    for advice in
        report.advice.iter().filter(|id| report.uris.iter().all(|uri| uri.verdict != **id))
    {
        writeln!(out, "  {advice}: {}", words(advice))?;
    }
    let seen = &report.seen;
    let by =
        if seen.transports.is_empty() { "nothing".to_owned() } else { seen.transports.join(", ") };
    writeln!(
        out,
        "  the server saw: {by}; {} allocations, {} packets to peers, {} from peers, {} from outside\n",
        seen.allocations, seen.to_peers, seen.from_peers, seen.outside
    )
}

fn of_uri(uri: &TestedUri) -> String {
    let mut text = format!("{:<14} {}", uri.verdict, uri.uri);
    // Writing to a String does not fail.
    if let Some(candidate) = uri.candidate_ms {
        let _ = write!(
            text,
            "  relayed after {candidate} ms, {} of {} packets back",
            uri.received, uri.sent
        );
        text.push_str(&round_trip(uri.rtt_ms));
    } else if let Some(code) = uri.code {
        let _ = write!(text, "  error {code} {}", uri.text.escape_debug());
    }
    text
}

fn round_trip(milliseconds: Option<u32>) -> String {
    milliseconds.map_or_else(String::new, |rtt| format!(", {rtt} ms"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use taciturn_control::{TestSeen, TestedPair};

    fn report() -> TestReport {
        let uri = TestedUri {
            uri: "turn:turn.example.org:3478?transport=udp".into(),
            verdict: "udp-blocked".into(),
            candidate_ms: None,
            address: None,
            relayed: None,
            code: Some(701),
            text: "STUN\u{1b}[2J timed out".into(),
            sent: 0,
            received: 0,
            rtt_ms: None,
        };
        let works = TestedUri {
            uri: "turns:turn.example.org:5349?transport=tcp".into(),
            verdict: "ok".into(),
            candidate_ms: Some(120),
            code: Some(701),
            sent: 50,
            received: 49,
            rtt_ms: Some(24),
            ..uri.clone()
        };
        TestReport {
            link: 1,
            revision: 1,
            id: "0123456789".into(),
            person: 2,
            at: 1_800_000_000,
            address: "198.51.100.7".into(),
            language: "ru".into(),
            verdict: "udp-blocked".into(),
            advice: vec!["slow".into()],
            uris: vec![uri, works],
            pair: Some(TestedPair {
                with: "aaaaaaaaaa".into(),
                connected: true,
                sent: 10,
                received: 10,
                rtt_ms: Some(30),
            }),
            seen: TestSeen {
                allocations: 2,
                transports: vec!["tls".into()],
                ..TestSeen::default()
            },
        }
    }

    #[test]
    fn a_result_is_told_in_words_and_nothing_a_terminal_obeys() {
        let mut out = Vec::new();
        print(&report(), &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        for part in [
            "test 2 (0123456789), from 198.51.100.7, ru\n",
            "  udp-blocked: UDP does not get through",
            "error 701 STUN\\u{1b}[2J timed out",
            "ok             turns:turn.example.org:5349?transport=tcp  relayed after 120 ms, 49 of 50 packets back, 24 ms",
            "reached the other person (aaaaaaaaaa): 10 of 10 packets back, 30 ms",
            "  slow: the round trip",
            "the server saw: tls; 2 allocations",
        ] {
            assert!(text.contains(part), "no {part:?} in {text}");
        }
        assert!(!text.contains('\u{1b}'));
    }

    #[test]
    fn every_name_has_its_words_once() {
        let mut names: Vec<_> = VERDICTS.iter().map(|(name, _)| name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), VERDICTS.len());
        assert_eq!(words("what-a-later-server-says"), "what-a-later-server-says");
    }
}
