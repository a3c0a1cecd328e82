//! What a test comes to: the numbers of the browser and what the server has seen, as fixed names.
//!
//! A browser's errors prove little (error 701 beside a good candidate is normal), so a URI is judged by whether packets
//! came back, and where they did not, by how far the server has seen it come. What two relayed connections send each other
//! does not leave the server, though, so it says nothing of a firewall in front of the relay ports: for that, the browser
//! knocks at the relayed address without a relay, and the server counts what arrives.

use std::net::IpAddr;

use super::messages::{ClientReport, ClientUri};
use super::observation::{Observation, Seen};

/// A round trip through the relay that people hear, in milliseconds.
const SLOW: f64 = 300.0;

/// Packets of a hundred that may be lost without a word.
const LOSS: u32 = 5;

/// What a test comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// In one.
    pub id: &'static str,
    /// What else is to be said.
    pub advice: Vec<&'static str>,
    /// Of each URI, in the order of the report.
    pub uris: Vec<UriVerdict>,
}

/// What a URI comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UriVerdict {
    /// As a fixed name.
    pub id: &'static str,
    /// Whether calls would work by it.
    pub works: bool,
}

/// What carries a URI's packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Udp,
    Tcp,
    Tls,
}

impl Way {
    fn of(uri: &str) -> Self {
        match uri {
            uri if uri.starts_with("turns:") => Self::Tls,
            uri if uri.contains("transport=tcp") => Self::Tcp,
            _ => Self::Udp,
        }
    }

    fn seen(self, observed: &Observation) -> &Seen {
        &observed.by[self as usize]
    }
}

/// Joins both.
#[must_use]
pub fn verdict(report: &ClientReport, observed: &Observation) -> Verdict {
    let uris: Vec<_> = report.uris.iter().map(|uri| of_uri(uri, observed)).collect();
    let id = of_all(report, &uris, observed);
    let mut advice = advice(report, &uris, observed);
    advice.retain(|known| *known != id);
    Verdict { id, advice, uris }
}

fn of_uri(uri: &ClientUri, observed: &Observation) -> UriVerdict {
    let way = Way::of(&uri.uri);
    let seen = way.seen(observed);
    let has_candidate = uri.candidate_ms.is_some() || uri.relayed.is_some();
    let works = has_candidate && uri.received > 0 && uri.received.saturating_mul(2) >= uri.sent;
    let text = uri.text.as_deref().unwrap_or_default().to_ascii_lowercase();
    let names_dns = text.contains("lookup") || text.contains("resolve");
    let id = match uri.code {
        _ if works => "ok",
        _ if has_candidate => "relay-blocked",
        _ if observed.draining && seen.requests > 0 => "draining",
        _ if observed.quota && seen.requests > 0 => "quota",
        Some(486) => "quota",
        Some(508) => "capacity",
        Some(401 | 441) => "credentials",
        _ if seen.requests > 0 && observed.capacity => "capacity",
        _ if seen.requests > 0 => "no-answer",
        _ if names_dns => "dns",
        _ => match way {
            Way::Udp => "udp-blocked",
            Way::Tcp => "tcp-blocked",
            Way::Tls if observed.certificate_refused => "cert-untrusted",
            Way::Tls => "tls-blocked",
        },
    };
    UriVerdict { id, works }
}

fn of_all(report: &ClientReport, uris: &[UriVerdict], observed: &Observation) -> &'static str {
    if report.cannot.as_deref() == Some("no-webrtc") {
        return "no-webrtc";
    }
    let both = || report.uris.iter().zip(uris);
    if !uris.iter().any(|uri| uri.works) {
        return of_none(uris, observed);
    }
    // UDP gets out of that network, and none has come in by the relay's port.
    let knocks = |(uri, of): (&ClientUri, &UriVerdict)| {
        of.works && uri.knocked && Way::of(&uri.uri) == Way::Udp
    };
    if observed.outside == 0 && both().any(knocks) {
        return "relay-blocked";
    }
    if observed.secret_changed {
        return "secret-changed";
    }
    if report.pair.as_ref().is_some_and(|pair| !pair.connected) {
        return "pair-failed";
    }
    if both().any(|(uri, of)| of.works && Way::of(&uri.uri) == Way::Udp) {
        return "ok";
    }
    let is_443 = |uri: &ClientUri| port(&uri.uri) == Some(443);
    if both().all(|(uri, of)| !of.works || is_443(uri)) && both().any(|(uri, _)| !is_443(uri)) {
        return "only-443";
    }
    match both().any(|(uri, of)| Way::of(&uri.uri) == Way::Udp && of.id == "udp-blocked") {
        true => "udp-blocked",
        false => "ok",
    }
}

/// What is wrong if no URI works: what the server knows for sure comes first.
fn of_none(uris: &[UriVerdict], observed: &Observation) -> &'static str {
    let any = |id: &str| uris.iter().any(|uri| uri.id == id);
    if observed.draining {
        return "draining";
    }
    if any("credentials") || observed.wrong {
        return "credentials";
    }
    for id in ["quota", "capacity", "relay-blocked", "no-answer", "cert-untrusted", "dns"] {
        if any(id) {
            return id;
        }
    }
    match observed.address.to_canonical() {
        IpAddr::V6(_) if !observed.relays_ipv6 => "ipv6-only",
        address if is_private(address) => "local-address",
        _ => "unreachable",
    }
}

fn advice(report: &ClientReport, uris: &[UriVerdict], observed: &Observation) -> Vec<&'static str> {
    let mut advice: Vec<&'static str> = Vec::new();
    let mut add = |id: &'static str| {
        if !advice.contains(&id) {
            advice.push(id);
        }
    };
    uris.iter().filter(|uri| uri.id != "ok").for_each(|uri| add(uri.id));
    let working = || report.uris.iter().zip(uris).filter(|(_, of)| of.works).map(|(uri, _)| uri);
    if observed.secret_changed {
        add("secret-changed");
    }
    if observed.failed_logins {
        add("failed-logins");
    }
    let addresses = || observed.by.iter().filter_map(|seen| seen.address).map(|a| a.to_canonical());
    let page = observed.address.to_canonical();
    if !is_private(page) && addresses().any(is_private) {
        add("proxy-address");
    }
    let are_all_ipv6 = addresses().next().is_some() && addresses().all(|address| address.is_ipv6());
    if working().next().is_some() && are_all_ipv6 {
        add("ipv6-only");
    }
    if working().any(|uri| uri.rtt_ms.is_some_and(|rtt| rtt > SLOW)) {
        add("slow");
    }
    let lost = |uri: &ClientUri| uri.sent.saturating_sub(uri.received).saturating_mul(100);
    if working().any(|uri| lost(uri) > uri.sent.saturating_mul(LOSS)) {
        add("lossy");
    }
    advice
}

/// The port of a URI: `turns:host:443?transport=tcp`.
fn port(uri: &str) -> Option<u16> {
    let authority = uri.split('?').next()?;
    let (rest, port) = authority.rsplit_once(':')?;
    // `turn:host` has none, and the colons of `turn:[2001:db8::1]` are no end of a host.
    rest.contains(':').then(|| port.parse().ok())?
}

fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || (a == 100 && b & 0xc0 == 64)
        }
        IpAddr::V6(v6) => {
            v6.is_loopback()
                || matches!(v6.segments(), [first, ..] if first & 0xfe00 == 0xfc00 || first & 0xffc0 == 0xfe80)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::messages::PairReport;
    use super::*;

    const UDP: &str = "turn:turn.example.org:3478?transport=udp";
    const TCP: &str = "turn:turn.example.org:3478?transport=tcp";
    const TLS: &str = "turns:turn.example.org:5349?transport=tcp";
    const TLS_443: &str = "turns:turn.example.org:443?transport=tcp";

    fn good(uri: &str) -> ClientUri {
        ClientUri {
            uri: uri.into(),
            candidate_ms: Some(80.0),
            relayed: Some("203.0.113.7:59000".into()),
            // Normal beside a good candidate.
            code: Some(701),
            sent: 50,
            received: 50,
            rtt_ms: Some(20.0),
            ..ClientUri::default()
        }
    }

    fn none(uri: &str) -> ClientUri {
        ClientUri { uri: uri.into(), code: Some(701), ..ClientUri::default() }
    }

    /// Allocated, and nothing comes back.
    fn silent(uri: &str) -> ClientUri {
        ClientUri { received: 0, rtt_ms: None, ..good(uri) }
    }

    fn refused(uri: &str, code: u16) -> ClientUri {
        ClientUri { code: Some(code), ..none(uri) }
    }

    const ASKED: Seen = Seen {
        requests: 4,
        allocations: 0,
        to_peers: 0,
        from_peers: 0,
        address: Some(IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 7))),
    };

    /// Of a browser on the public Internet that has come by all transports.
    fn observed() -> Observation {
        Observation {
            by: [ASKED; 3],
            address: "198.51.100.7".parse().unwrap(),
            outside: 8,
            wrong: false,
            quota: false,
            capacity: false,
            draining: false,
            certificate_refused: false,
            failed_logins: false,
            secret_changed: false,
            relays_ipv6: true,
        }
    }

    /// By none of these.
    fn unseen(ways: &[usize]) -> Observation {
        let mut observed = observed();
        ways.iter().for_each(|way| observed.by[*way] = Seen::default());
        observed
    }

    fn judge(uris: Vec<ClientUri>, observed: &Observation) -> Verdict {
        verdict(&ClientReport { uris, ..ClientReport::default() }, observed)
    }

    #[track_caller]
    fn assert_verdict(uris: Vec<ClientUri>, observed: &Observation, id: &str, of: &[&str]) {
        let verdict = judge(uris, observed);
        let each: Vec<_> = verdict.uris.iter().map(|uri| uri.id).collect();
        assert_eq!((verdict.id, &each[..]), (id, of), "{verdict:?}");
        assert!(!verdict.advice.contains(&verdict.id), "{verdict:?}");
    }

    #[test]
    fn everything_works() {
        let uris = vec![good(UDP), good(TCP), good(TLS)];
        assert_verdict(uris.clone(), &observed(), "ok", &["ok"; 3]);
        assert_eq!(judge(uris, &observed()).advice, [""; 0]);
    }

    #[test]
    fn udp_is_blocked_and_calls_go_another_way() {
        let uris = vec![none(UDP), good(TCP), good(TLS)];
        assert_verdict(uris, &unseen(&[0]), "udp-blocked", &["udp-blocked", "ok", "ok"]);
    }

    #[test]
    fn only_port_443_is_open() {
        let uris = vec![none(UDP), none(TCP), good(TLS_443)];
        let each = ["udp-blocked", "tcp-blocked", "ok"];
        assert_verdict(uris, &unseen(&[0, 1]), "only-443", &each);
        // With a URI for 443 alone there is nothing to compare.
        assert_verdict(vec![good(TLS_443)], &observed(), "ok", &["ok"]);
    }

    #[test]
    fn relay_ports_are_closed() {
        let uris = vec![silent(UDP), silent(TCP), silent(TLS)];
        assert_verdict(uris, &observed(), "relay-blocked", &["relay-blocked"; 3]);
        let mostly = ClientUri { received: 24, ..good(UDP) };
        assert_verdict(vec![mostly], &observed(), "relay-blocked", &["relay-blocked"]);
        let nothing_sent = ClientUri { sent: 0, received: 0, ..good(UDP) };
        assert_verdict(vec![nothing_sent], &observed(), "relay-blocked", &["relay-blocked"]);
    }

    #[test]
    fn relay_ports_are_closed_from_outside_although_relays_meet_inside() {
        let knocked = |uri| ClientUri { knocked: true, ..good(uri) };
        let none_came = Observation { outside: 0, ..observed() };
        let uris = vec![knocked(UDP), knocked(TCP)];
        assert_verdict(uris.clone(), &none_came, "relay-blocked", &["ok", "ok"]);
        assert_verdict(uris, &observed(), "ok", &["ok", "ok"]);
        let changed = Observation { secret_changed: true, ..none_came };
        let verdict = judge(vec![knocked(UDP)], &changed);
        assert_eq!((verdict.id, &verdict.advice[..]), ("relay-blocked", &["secret-changed"][..]));
        // Where UDP does not get out, or nobody has knocked, nothing can be concluded.
        assert_verdict(vec![good(UDP)], &none_came, "ok", &["ok"]);
        let blocked = Observation { outside: 0, ..unseen(&[0]) };
        let each = ["udp-blocked", "ok"];
        assert_verdict(vec![none(UDP), knocked(TCP)], &blocked, "udp-blocked", &each);
    }

    #[test]
    fn a_browser_without_webrtc_says_so() {
        let cannot =
            |why: &str| ClientReport { cannot: Some(why.into()), ..ClientReport::default() };
        assert_eq!(verdict(&cannot("no-webrtc"), &unseen(&[0, 1, 2])).id, "no-webrtc");
        assert_eq!(verdict(&cannot("<b>"), &unseen(&[0, 1, 2])).id, "unreachable");
    }

    #[test]
    fn the_certificate_is_not_trusted() {
        let untrusted = Observation { certificate_refused: true, ..unseen(&[2]) };
        let each = ["ok", "ok", "cert-untrusted"];
        assert_verdict(vec![good(UDP), good(TCP), none(TLS)], &untrusted, "ok", &each);
        assert_eq!(judge(vec![good(UDP), none(TLS)], &untrusted).advice, ["cert-untrusted"]);
        let nothing_else = Observation { certificate_refused: true, ..unseen(&[0, 1, 2]) };
        let each = ["udp-blocked", "tcp-blocked", "cert-untrusted"];
        assert_verdict(
            vec![none(UDP), none(TCP), none(TLS)],
            &nothing_else,
            "cert-untrusted",
            &each,
        );
        assert_verdict(vec![none(TLS)], &unseen(&[2]), "unreachable", &["tls-blocked"]);
    }

    #[test]
    fn the_name_does_not_resolve() {
        let text = Some("TURN host lookup received error.".to_owned());
        let uri = |uri| ClientUri { text: text.clone(), ..none(uri) };
        let nothing = unseen(&[0, 1, 2]);
        assert_verdict(vec![uri(UDP), uri(TCP), uri(TLS)], &nothing, "dns", &["dns"; 3]);
    }

    #[test]
    fn nothing_arrives() {
        let uris = || vec![none(UDP), none(TCP), none(TLS)];
        let each = ["udp-blocked", "tcp-blocked", "tls-blocked"];
        let nothing = unseen(&[0, 1, 2]);
        assert_verdict(uris(), &nothing, "unreachable", &each);
        let at_home = Observation { address: "192.168.1.5".parse().unwrap(), ..nothing };
        assert_verdict(uris(), &at_home, "local-address", &each);
        let by_ipv6 = Observation { address: "2001:db8::1".parse().unwrap(), ..nothing };
        assert_verdict(uris(), &by_ipv6, "unreachable", &each);
        let without = Observation { relays_ipv6: false, ..by_ipv6 };
        assert_verdict(uris(), &without, "ipv6-only", &each);
        assert_verdict(Vec::new(), &nothing, "unreachable", &[]);
    }

    #[test]
    fn requests_arrive_and_answers_do_not() {
        assert_verdict(vec![none(UDP)], &observed(), "no-answer", &["no-answer"]);
    }

    #[test]
    fn a_quota_is_used_up() {
        assert_verdict(vec![refused(UDP, 486)], &observed(), "quota", &["quota"]);
        // Firefox tells no code, and a limit for all is 508 to clients.
        let seen = Observation { quota: true, ..observed() };
        assert_verdict(vec![none(UDP), refused(TCP, 508)], &seen, "quota", &["quota"; 2]);
    }

    #[test]
    fn there_is_no_room() {
        assert_verdict(vec![refused(UDP, 508)], &observed(), "capacity", &["capacity"]);
        let seen = Observation { capacity: true, ..observed() };
        assert_verdict(vec![none(UDP)], &seen, "capacity", &["capacity"]);
    }

    #[test]
    fn the_server_drains() {
        let drains = Observation { draining: true, capacity: true, ..observed() };
        let each = ["draining", "draining"];
        assert_verdict(vec![refused(UDP, 508), none(TCP)], &drains, "draining", &each);
    }

    #[test]
    fn the_guest_is_refused() {
        assert_verdict(vec![refused(UDP, 401)], &observed(), "credentials", &["credentials"]);
        let seen = Observation { wrong: true, ..unseen(&[0]) };
        assert_verdict(vec![none(UDP)], &seen, "credentials", &["udp-blocked"]);
    }

    #[test]
    fn the_secret_was_changed_after_the_link_was_made() {
        let changed = Observation { secret_changed: true, ..observed() };
        assert_verdict(vec![good(UDP)], &changed, "secret-changed", &["ok"]);
        // What is wrong here as well comes first.
        assert_verdict(vec![silent(UDP)], &changed, "relay-blocked", &["relay-blocked"]);
        assert_eq!(judge(vec![silent(UDP)], &changed).advice, ["secret-changed"]);
    }

    #[test]
    fn the_two_people_do_not_meet() {
        let pair = |connected| Some(PairReport { connected, ..PairReport::default() });
        let report = |connected| ClientReport {
            uris: vec![good(UDP)],
            pair: pair(connected),
            ..ClientReport::default()
        };
        assert_eq!(verdict(&report(false), &observed()).id, "pair-failed");
        assert_eq!(verdict(&report(true), &observed()).id, "ok");
    }

    #[test]
    fn calls_work_and_there_is_something_to_say() {
        let slow = ClientUri { rtt_ms: Some(301.0), ..good(UDP) };
        let lossy = ClientUri { received: 47, ..good(TCP) };
        assert_eq!(judge(vec![slow, lossy], &observed()).advice, ["slow", "lossy"]);
        let behind = Seen { address: Some("172.18.0.1".parse().unwrap()), ..ASKED };
        let mut proxied = observed();
        proxied.by[2] = behind;
        assert_eq!(judge(vec![good(TLS)], &proxied).advice, ["proxy-address"]);
        proxied.address = "192.168.1.5".parse().unwrap();
        assert_eq!(judge(vec![good(TLS)], &proxied).advice, [""; 0], "they are in one network");
        let failed = Observation { failed_logins: true, ..observed() };
        assert_eq!(judge(vec![good(UDP)], &failed).advice, ["failed-logins"]);
        let v6 = Seen { address: Some("2001:db8::9".parse().unwrap()), ..ASKED };
        let only_v6 = Observation { by: [v6; 3], ..observed() };
        assert_eq!(judge(vec![good(UDP)], &only_v6).advice, ["ipv6-only"]);
        assert_eq!(judge(vec![good(UDP)], &unseen(&[0, 1, 2])).advice, [""; 0], "nothing tells");
    }

    #[test]
    fn the_port_of_a_uri() {
        for (uri, expected) in [
            (TLS_443, Some(443)),
            ("turn:host", None),
            ("turn:[2001:db8::1]?transport=udp", None),
            ("turn:[2001:db8::1]:3478", Some(3478)),
            ("", None),
            ("turns:host:x", None),
        ] {
            assert_eq!(port(uri), expected, "{uri}");
        }
    }
}
