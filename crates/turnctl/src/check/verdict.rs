//! What all of it comes to: from which networks calls will work. The exit status follows from the findings and
//! from these lines (`Report::exit_code`), so that neither says something else than the other.

use std::net::SocketAddr;

use super::reach::{Reached, Target};
use super::session::Outcome;
use super::uris::Origin;
use crate::client::{Spoken, TurnUri};
use crate::report::Status;
use taciturn_turn::policy::is_public;

/// What became of a URI at one of its addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// A call would work by it.
    Works,
    /// It would not.
    Fails,
    /// It answers, and nobody has logged in.
    NotTried,
    /// This machine has no route to it.
    NoRoute,
    /// The time was over, or there were too many.
    Untested,
}

/// A target with what became of it.
pub(super) struct Tested<'a> {
    pub(super) target: &'a Target,
    pub(super) reached: &'a Reached,
    pub(super) outcome: Outcome,
    /// Whether the tests have come to their end.
    pub(super) finished: bool,
}

impl Tested<'_> {
    fn way(&self, logged_in: bool) -> Way {
        if self.reached.no_route {
            return Way::NoRoute;
        }
        if !self.reached.usable || self.outcome.media == Some(false) {
            return Way::Fails;
        }
        match self.outcome.allocated {
            true => Way::Works,
            false if !self.finished => Way::Untested,
            false if logged_in => Way::Fails,
            false => Way::NotTried,
        }
    }
}

/// A URI that a client would use, at one address; without one if its name leads nowhere.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) uri: TurnUri,
    pub(super) address: Option<SocketAddr>,
    pub(super) way: Way,
}

impl Row {
    fn shown(&self) -> String {
        let Some(address) = self.address else { return self.uri.to_string() };
        let only = if is_public(address.ip()) || address.ip().is_loopback() {
            ""
        } else {
            ", in this network only"
        };
        format!("{} {address}{only}", self.uri.spoken().name())
    }
}

/// The rows of all URIs, in the order of the URIs.
pub(super) fn rows(
    uris: &[TurnUri],
    resolved: &[Vec<SocketAddr>],
    tested: &[Tested<'_>],
    logged_in: bool,
) -> Vec<Row> {
    let mut rows = Vec::new();
    for (uri, addresses) in uris.iter().zip(resolved) {
        let row = |address, way| Row { uri: uri.clone(), address, way };
        if addresses.is_empty() {
            rows.push(row(None, Way::Fails));
        }
        for address in addresses {
            let this = |t: &&Tested<'_>| t.target.uri == *uri && t.target.address == *address;
            let way = match tested.iter().find(this) {
                Some(tested) if !super::uris::is_used(uri) => match tested.way(logged_in) {
                    Way::NoRoute => Way::NoRoute,
                    _ => Way::Fails,
                },
                Some(tested) => tested.way(logged_in),
                None => Way::Untested,
            };
            rows.push(row(Some(*address), way));
        }
    }
    rows
}

/// A line for each kind of network; one for all of them if nothing works from anywhere. `hindered`: why clients
/// refuse the list of URIs as a whole. `rows`: what is left of the list.
pub(super) fn of(rows: &[Row], hindered: Option<&str>, origin: Origin) -> Vec<(Status, String)> {
    if let Some(why) = hindered {
        return vec![(Status::Fail, format!("every network: calls fail: {why}"))];
    }
    if rows.is_empty() {
        let text = "every network: calls that need a relay fail: there is no turn: or turns: URI";
        return vec![(Status::Fail, text.to_owned())];
    }
    let by = |keep: &dyn Fn(&Row) -> bool| rows.iter().filter(|row| keep(row)).collect::<Vec<_>>();
    let udp = by(&|row| row.uri.spoken() == Spoken::Udp);
    let streams = by(&|row| row.uri.spoken() != Spoken::Udp);
    let https = by(&|row| row.uri.spoken() == Spoken::Tls && row.uri.port == 443);
    let v6 = by(&|row| row.address.is_some_and(|address| address.is_ipv6()));
    let none = |text: &str| (Status::Info, text.to_owned());
    let mut lines = vec![("open network (UDP)", open(&udp, &streams, origin))];
    let mut line = |kind, of: &[&Row], without: &str| {
        lines.push((kind, if of.is_empty() { none(without) } else { judge(of) }));
    };
    line(
        "UDP blocked (hotels, some offices)",
        &streams,
        "no URI for TCP or TLS, so no calls from there",
    );
    line(
        "only web pages allowed (port 443)",
        &https,
        "no turns: URI on port 443, so no calls from there",
    );
    line("IPv6 only (some mobile networks)", &v6, "no IPv6 address; their NAT64 has to help");
    let mut lines: Vec<_> = lines
        .into_iter()
        .map(|(kind, (status, text))| (status, format!("{kind}: {text}")))
        .collect();
    lines.extend(in_vain(rows));
    lines
}

/// Where nothing is blocked: UDP is best, and the others do as well.
fn open(udp: &[&Row], streams: &[&Row], origin: Origin) -> (Status, String) {
    let works = |of: &[&Row]| of.iter().find(|row| row.way == Way::Works).map(|row| row.shown());
    match (works(udp), works(streams)) {
        (Some(way), _) => (Status::Pass, format!("calls work ({way})")),
        (None, Some(way)) if !udp.is_empty() => (
            Status::Warn,
            format!(
                "calls work over TCP or TLS only ({way}), later and worse; UDP: {}",
                judge(udp).1
            ),
        ),
        (None, Some(way)) => {
            // Whoever names URIs on the command line may leave some out.
            let status = if origin == Origin::User { Status::Info } else { Status::Warn };
            (
                status,
                format!(
                    "calls work ({way}); no URI for UDP: TCP and TLS are slower, and the calls worse"
                ),
            )
        }
        (None, None) => {
            let all: Vec<_> = udp.iter().chain(streams).copied().collect();
            judge(&all)
        }
    }
}

fn judge(of: &[&Row]) -> (Status, String) {
    let has = |way| of.iter().any(|row| row.way == way);
    if let Some(row) = of.iter().find(|row| row.way == Way::Works) {
        return (Status::Pass, format!("calls work ({})", row.shown()));
    }
    if has(Way::Fails) {
        return (Status::Fail, "calls fail, see above".to_owned());
    }
    let text = if has(Way::NotTried) {
        "answered; no login was tried"
    } else if has(Way::Untested) {
        "not tested to the end, see above"
    } else {
        "cannot be tested from this machine"
    };
    (Status::Skip, text.to_owned())
}

/// URIs by which nothing works, beside others that do.
fn in_vain(rows: &[Row]) -> Option<(Status, String)> {
    let mut uris: Vec<&TurnUri> = rows.iter().map(|row| &row.uri).collect();
    uris.dedup();
    let works = |uri: &TurnUri| rows.iter().any(|row| row.uri == *uri && row.way == Way::Works);
    let fails = |uri: &TurnUri| rows.iter().any(|row| row.uri == *uri && row.way == Way::Fails);
    let failing: Vec<_> = uris.iter().filter(|uri| !works(uri) && fails(uri)).collect();
    (!failing.is_empty() && uris.iter().any(|uri| works(uri))).then(|| {
        let text = format!(
            "every network: clients try {} of {} URIs in vain: {}",
            failing.len(),
            uris.len(),
            failing.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
        );
        (Status::Warn, text)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const UDP: &str = "turn:h.org:3478?transport=udp";
    const TCP: &str = "turn:h.org:3478?transport=tcp";
    const TLS: &str = "turns:h.org:443?transport=tcp";
    const V4: &str = "8.8.4.4:3478";

    fn row(uri: &str, address: &str, way: Way) -> Row {
        Row { uri: uri.parse().unwrap(), address: address.parse().ok(), way }
    }

    /// The status of the worst line, and that of the line for open networks.
    fn of_rows(rows: &[Row], origin: Origin) -> (Status, Status, String) {
        let lines = of(rows, None, origin);
        let worst = lines.iter().map(|line| line.0).max().unwrap();
        (worst, lines[0].0, lines.iter().map(|line| format!("{}\n", line.1)).collect())
    }

    #[test]
    fn every_combination_of_udp_tcp_and_tls_has_its_verdict() {
        use Status::{Fail, Pass, Skip, Warn};
        use Way::{Fails, NoRoute, NotTried, Untested, Works};
        for (udp, tcp, tls, open, blocked, https) in [
            (Works, Works, Works, Pass, Pass, Pass),
            (Fails, Works, Works, Warn, Pass, Pass),
            (Fails, Works, Fails, Warn, Pass, Fail),
            (Fails, Fails, Works, Warn, Pass, Pass),
            (Fails, Fails, Fails, Fail, Fail, Fail),
            (Works, Fails, Fails, Pass, Fail, Fail),
            (Works, Works, Fails, Pass, Pass, Fail),
            (Untested, Works, Works, Warn, Pass, Pass),
            (NotTried, NotTried, NotTried, Skip, Skip, Skip),
            (NotTried, Fails, NotTried, Fail, Fail, Skip),
            (NoRoute, NoRoute, NoRoute, Skip, Skip, Skip),
            (NoRoute, Works, Works, Warn, Pass, Pass),
            (Untested, Untested, Untested, Skip, Skip, Skip),
        ] {
            let rows = [row(UDP, V4, udp), row(TCP, V4, tcp), row(TLS, V4, tls)];
            let lines = of(&rows, None, Origin::Homeserver);
            let found: Vec<_> = lines.iter().take(3).map(|line| line.0).collect();
            assert_eq!(found, [open, blocked, https], "{udp:?} {tcp:?} {tls:?}: {lines:?}");
            // One that fails beside one that works is named.
            let ways = [udp, tcp, tls];
            let vain = ways.contains(&Works) && ways.contains(&Fails);
            assert_eq!(lines.len() == 5, vain, "{lines:?}");
        }
    }

    #[test]
    fn one_uri_alone_has_the_verdict_of_what_became_of_it() {
        for uri in [UDP, TCP, TLS, "turns:h.org:5349"] {
            for origin in [Origin::User, Origin::Homeserver] {
                let (worst, open, text) = of_rows(&[row(uri, V4, Way::Fails)], origin);
                assert_eq!((worst, open), (Status::Fail, Status::Fail), "{uri}: {text}");
                let (worst, _, text) = of_rows(&[row(uri, V4, Way::Works)], origin);
                assert!(worst < Status::Fail && text.contains("calls work"), "{uri}: {text}");
                let (worst, open, text) = of_rows(&[row(uri, V4, Way::NotTried)], origin);
                assert_eq!((worst, open), (Status::Skip, Status::Skip), "{uri}: {text}");
            }
        }
        assert_eq!(of_rows(&[row(TCP, V4, Way::Works)], Origin::User).0, Status::Info);
        assert_eq!(of_rows(&[row(TCP, V4, Way::Works)], Origin::Homeserver).0, Status::Warn);
    }

    #[test]
    fn a_name_that_leads_nowhere_counts() {
        let (worst, open, text) = of_rows(&[row(UDP, "", Way::Fails)], Origin::User);
        assert_eq!((worst, open), (Status::Fail, Status::Fail), "{text}");
        let rows = [row(UDP, V4, Way::Works), row("turn:gone.org", "", Way::Fails)];
        let (worst, open, text) = of_rows(&rows, Origin::User);
        assert_eq!((worst, open), (Status::Warn, Status::Pass), "{text}");
        assert!(text.contains("1 of 2 URIs in vain: turn:gone.org"), "{text}");
    }

    #[test]
    fn what_hinders_all_of_them_is_the_only_line() {
        let lines = of(&[row(UDP, V4, Way::Works)], Some("a browser refuses"), Origin::Homeserver);
        assert_eq!(lines, [(Status::Fail, "every network: calls fail: a browser refuses".into())]);
        let lines = of(&[], None, Origin::Homeserver);
        assert!(lines.len() == 1 && lines[0].0 == Status::Fail, "{lines:?}");
    }

    #[test]
    fn a_private_address_is_good_in_its_network() {
        let (_, open, text) = of_rows(&[row(UDP, "192.168.1.5:3478", Way::Works)], Origin::User);
        assert!(open == Status::Pass && text.contains("in this network only"), "{text}");
        let (.., text) = of_rows(&[row(UDP, "[2a00::1]:3478", Way::Works)], Origin::User);
        assert!(text.contains("IPv6 only (some mobile networks): calls work"), "{text}");
    }
}
