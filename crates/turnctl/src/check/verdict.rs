//! What all of it comes to: from which networks calls will work.

use super::reach::{Reached, Target};
use super::session::Outcome;
use crate::client::Spoken;
use crate::report::Status;

/// A target with what became of it.
pub(super) struct Tested<'a> {
    pub(super) target: &'a Target,
    pub(super) reached: &'a Reached,
    pub(super) outcome: Outcome,
}

impl Tested<'_> {
    /// Whether a call would work by this target; `None` where that was not found out.
    fn works(&self) -> Option<bool> {
        if self.reached.no_route {
            return None;
        }
        if !self.reached.usable || self.outcome.media == Some(false) {
            return Some(false);
        }
        self.outcome.allocated.then_some(true)
    }
}

/// A line for each kind of network. `logged_in`: there were credentials to try.
pub(super) fn of(tested: &[Tested<'_>], logged_in: bool) -> Vec<(Status, String)> {
    let by = |spoken: &[Spoken]| -> Vec<&Tested<'_>> {
        tested.iter().filter(|tested| spoken.contains(&tested.target.uri.spoken())).collect()
    };
    let mut lines = Vec::new();
    let mut line = |kind: &str, of: Vec<&Tested<'_>>, none: (Status, &str)| {
        let (status, words) = judge(&of, none, logged_in);
        lines.push((status, format!("{kind}: {words}")));
    };
    line(
        "open network (UDP)",
        by(&[Spoken::Udp]),
        (Status::Warn, "no URI for UDP; TCP and TLS are slower, and the calls worse"),
    );
    line(
        "UDP blocked (hotels, some offices)",
        by(&[Spoken::Tcp, Spoken::Tls]),
        (Status::Info, "no URI for TCP or TLS, so no calls from there"),
    );
    let https = by(&[Spoken::Tls]).into_iter().filter(|t| t.target.uri.port == 443).collect();
    line(
        "only web pages allowed (port 443)",
        https,
        (Status::Info, "no turns: URI on port 443, so no calls from there"),
    );
    let v6 = tested.iter().filter(|tested| tested.target.address.is_ipv6()).collect();
    line(
        "IPv6 only (some mobile networks)",
        v6,
        (Status::Info, "no IPv6 address; their NAT64 has to help"),
    );
    lines
}

fn judge(of: &[&Tested<'_>], none: (Status, &str), logged_in: bool) -> (Status, String) {
    if of.is_empty() {
        return (none.0, none.1.to_owned());
    }
    let results: Vec<_> = of.iter().map(|tested| tested.works()).collect();
    if results.contains(&Some(true)) {
        let way = of.iter().find(|tested| tested.works() == Some(true));
        let way = way.map_or_else(String::new, |tested| format!(" ({})", tested.target.shown()));
        return (Status::Pass, format!("calls work{way}"));
    }
    if results.contains(&Some(false)) {
        return (Status::Fail, "calls fail, see above".to_owned());
    }
    if of.iter().all(|tested| tested.reached.no_route) {
        return (Status::Skip, "cannot be tested from this machine".to_owned());
    }
    let words = if logged_in { "no allocation, see above" } else { "answered; no login was tried" };
    (if logged_in { Status::Fail } else { Status::Skip }, words.to_owned())
}
