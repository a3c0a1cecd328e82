//! Matching host names against the names in certificates (RFC 9525 section 6).

use std::net::IpAddr;

/// How well a name fits; the order is the preference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fit {
    /// `*.domain.org` for `turn.domain.org`: exactly one label.
    Wildcard,
    /// The name itself.
    Exact,
}

/// How `pattern`, a name in a certificate, fits `host`; `None` if it does not.
pub(super) fn fit(pattern: &str, host: &str) -> Option<Fit> {
    let host = host.trim_start_matches('[').trim_end_matches(['.', ']']);
    if let Ok(ip) = host.parse::<IpAddr>() {
        return (pattern.parse() == Ok(ip)).then_some(Fit::Exact);
    }
    let pattern = pattern.trim_end_matches('.');
    if pattern.eq_ignore_ascii_case(host) {
        return Some(Fit::Exact);
    }
    let domain = pattern.strip_prefix("*.")?;
    let (label, parent) = host.split_once('.')?;
    (!label.is_empty() && parent.eq_ignore_ascii_case(domain)).then_some(Fit::Wildcard)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_stands_for_one_label() {
        for (pattern, host, want) in [
            ("turn.domain.org", "turn.domain.org", Some(Fit::Exact)),
            ("Turn.Domain.org", "turn.domain.ORG.", Some(Fit::Exact)),
            ("*.domain.org", "turn.domain.org", Some(Fit::Wildcard)),
            ("*.domain.org", "*.domain.org", Some(Fit::Exact)),
            ("*.domain.org", "domain.org", None),
            ("*.domain.org", ".domain.org", None),
            ("*.domain.org", "a.turn.domain.org", None),
            ("turn.domain.org", "domain.org", None),
            ("t*.domain.org", "turn.domain.org", None),
            ("203.0.113.7", "203.0.113.7", Some(Fit::Exact)),
            ("*.0.113.7", "203.0.113.7", None),
            ("2001:db8::1", "[2001:db8:0::1]", Some(Fit::Exact)),
            ("", "", Some(Fit::Exact)),
        ] {
            assert_eq!(fit(pattern, host), want, "{pattern} {host}");
        }
    }
}
