//! Joins what a browser has measured with what the server has seen of it.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::server_handle::ServerHandle;
use super::unix_time::{unix, unix_milliseconds_now};
use taciturn_control::{TestReport, TestSeen, TestedPair, TestedUri};
use taciturn_turn::{Carrier, GuestSeen, Traffic, Whose};
use taciturn_web::test::{
    ClientReport, ClientUri, Observation, Outcome, PairReport, Seen, Tested, UriOutcome, Verdict,
    verdict,
};

/// How long a failed login is told to those at the same address.
const FAILED_LOGIN: Duration = Duration::from_secs(3600);

/// Characters that are kept of what a browser says.
const TEXT: usize = 120;
const SHORT: usize = 16;

/// The transports that browsers have, by their place in an observation.
const CARRIERS: [Carrier; 3] = [Carrier::Udp, Carrier::Tcp, Carrier::Tls];

/// The report that is kept of a test, and the verdict of which it tells.
///
/// # Errors
/// If a worker has ended.
pub(super) async fn join(
    server: &ServerHandle,
    tested: &Tested,
    report: &ClientReport,
) -> io::Result<(TestReport, Verdict)> {
    let terms = server.tests.terms();
    // What is not one of ours is no result.
    let mut uris: Vec<ClientUri> = Vec::new();
    for uri in &terms.uris {
        uris.extend(report.uris.iter().find(|known| known.uri == *uri).cloned());
    }
    let report = ClientReport { uris, ..report.clone() };
    let guest = seen(server, &tested.guest).await?;
    let observed =
        observe(server, tested, &guest, terms.secrets != tested.secrets, terms.relays_ipv6);
    let verdict = verdict(&report, &observed);
    let results = report.uris.iter().zip(&verdict.uris);
    let kept = TestReport {
        link: tested.link,
        revision: 0,
        id: report.id.clone(),
        person: tested.person,
        at: unix_milliseconds_now() / 1000,
        address: tested.address.to_canonical().to_string(),
        language: text(&report.language, SHORT),
        verdict: verdict.id.to_owned(),
        advice: verdict.advice.iter().map(|id| (*id).to_owned()).collect(),
        uris: results.map(|(uri, of)| result(uri, of.id)).collect(),
        pair: report.pair.as_ref().map(pair),
        seen: tell(&guest, &observed),
    };
    Ok((kept, verdict))
}

/// What the browser is told of it.
pub(super) fn outcome<'a>(kept: &'a TestReport, verdict: &'a Verdict) -> Outcome<'a> {
    let results = kept.uris.iter().zip(&verdict.uris);
    Outcome {
        verdict: verdict.id,
        advice: &verdict.advice,
        uris: results.map(|(uri, of)| UriOutcome { uri: &uri.uri, verdict: of.id }).collect(),
        seen: &kept.seen,
    }
}

/// What was seen of a guest, with what its allocations relay that have not ended.
async fn seen(server: &ServerHandle, name: &str) -> io::Result<GuestSeen> {
    let mut seen = server.tests.guests.seen(name).unwrap_or_default();
    let whose = Whose { user: Some(name.to_owned()), ..Whose::default() };
    for worker in 0..server.workers.number() {
        let mut from = Some(0);
        while let Some(at) = from {
            let (sessions, next) = server.workers.sessions(worker, &whose, at).await?;
            for session in sessions {
                seen.by[session.carrier as usize].traffic.add(session.traffic);
            }
            from = next;
        }
    }
    Ok(seen)
}

fn observe(
    server: &ServerHandle,
    tested: &Tested,
    guest: &GuestSeen,
    secret_changed: bool,
    relays_ipv6: bool,
) -> Observation {
    let address = tested.address.to_canonical();
    let now = unix_milliseconds_now() / 1000;
    let recent = now.saturating_sub(FAILED_LOGIN.as_secs());
    let failed_logins = server.failed_logins.all().into_iter().any(|login| {
        login.client.ip().to_canonical() == address
            && u64::try_from(unix(login.last)).unwrap_or(0) >= recent
            && login.user != tested.guest
    });
    Observation {
        by: CARRIERS.map(|carrier| {
            let by = guest.by[carrier as usize];
            let Traffic { packets_to_peers, packets_to_client, .. } = by.traffic;
            Seen {
                requests: by.requests.into(),
                allocations: by.allocations.into(),
                to_peers: packets_to_peers,
                from_peers: packets_to_client,
                address: by.address,
            }
        }),
        address,
        outside: guest.outside.into(),
        wrong: guest.wrong > 0,
        quota: guest.quota,
        capacity: guest.capacity,
        draining: guest.draining || !server.health.is_ready(),
        certificate_refused: server.tests.has_refused(address, tested.begun_at),
        failed_logins,
        secret_changed,
        relays_ipv6,
    }
}

fn tell(guest: &GuestSeen, observed: &Observation) -> TestSeen {
    let by = || CARRIERS.iter().zip(&observed.by).filter(|(_, seen)| seen.requests > 0);
    let sum = |of: fn(&Seen) -> u64| observed.by.iter().map(of).sum();
    TestSeen {
        requests: sum(|seen| seen.requests),
        refused: guest.wrong.into(),
        allocations: sum(|seen| seen.allocations),
        from_peers: sum(|seen| seen.from_peers),
        to_peers: sum(|seen| seen.to_peers),
        outside: observed.outside,
        address: by()
            .find_map(|(_, seen)| seen.address)
            .map(|address| address.to_canonical().to_string()),
        transports: by().map(|(carrier, _)| carrier.name().to_owned()).collect(),
    }
}

fn result(uri: &ClientUri, verdict: &str) -> TestedUri {
    let address = uri.address.as_ref().and_then(|text| text.parse::<IpAddr>().ok());
    let relayed = uri.relayed.as_ref().and_then(|text| text.parse::<SocketAddr>().ok());
    TestedUri {
        uri: uri.uri.clone(),
        verdict: verdict.to_owned(),
        candidate_ms: uri.candidate_ms.and_then(milliseconds),
        address: address.map(|address| address.to_string()),
        relayed: relayed.map(|relayed| relayed.to_string()),
        code: uri.code,
        text: text(uri.text.as_deref().unwrap_or_default(), TEXT),
        sent: uri.sent,
        received: uri.received,
        rtt_ms: uri.rtt_ms.and_then(milliseconds),
    }
}

fn pair(pair: &PairReport) -> TestedPair {
    TestedPair {
        with: text(&pair.with, SHORT),
        connected: pair.connected,
        sent: pair.sent,
        received: pair.received,
        rtt_ms: pair.rtt_ms.and_then(milliseconds),
    }
}

/// Rounded up: nothing takes no time.
fn milliseconds(number: f64) -> Option<u32> {
    let is_one = number.is_finite() && (0.0..86_400_000.0).contains(&number);
    // It is within the range.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    is_one.then_some(number.ceil() as u32)
}

/// What a browser says, without what would change a terminal or a line.
fn text(said: &str, most: usize) -> String {
    let shown = said.chars().map(|c| if is_shown(c) { c } else { ' ' });
    shown.take(most).collect()
}

fn is_shown(c: char) -> bool {
    let turns = matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
    !c.is_control() && !turns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_browser_says_is_short_and_shows_as_it_is() {
        assert_eq!(text("a\u{1b}[31mb\r\n\u{202e}c", 100), "a [31mb   c");
        assert_eq!(text(&"x".repeat(1000), TEXT).len(), TEXT);
        let hostile = ClientUri {
            address: Some("<b>".into()),
            relayed: Some("javascript:1".into()),
            candidate_ms: Some(f64::NAN),
            rtt_ms: Some(-1.0),
            text: Some("<script>".into()),
            ..ClientUri::default()
        };
        let kept = result(&hostile, "ok");
        assert_eq!(
            (kept.address, kept.relayed, kept.candidate_ms, kept.rtt_ms),
            (None, None, None, None)
        );
        assert_eq!(kept.text, "<script>", "text, which nobody takes for markup");
        let numbers = [0.2, 1e300, f64::INFINITY, 23.0].map(milliseconds);
        assert_eq!(numbers, [Some(1), None, None, Some(23)]);
    }
}
