//! The certificates: whether they load, and what clients will not like about them.

use std::time::SystemTime;

use taciturn_config::Config;
use taciturn_tls as tls;

use super::super::report::{Finding, Section};
use taciturn_config::uris::Host;

/// `None` where no listener needs one.
pub(super) fn section(config: &Config) -> Option<Section> {
    let own = config.listen.iter().filter_map(|listen| listen.cert.as_ref());
    let sources: Vec<_> = config.tls.certificates.iter().chain(own).collect();
    if sources.is_empty() {
        return None;
    }
    let host = match Host::of(config, None, None) {
        Host::Known(host) => Some(host),
        Host::Placeholder => None,
    };
    let mut section = Section::new("Certificates");
    let now = SystemTime::now();
    for (at, source) in sources.into_iter().enumerate() {
        let chain =
            match tls::load(source) {
                Ok(chain) => chain,
                Err(error) => {
                    section.push(Finding::fail("certificate", error.to_string()).why(
                        "The server does not start with it, or goes on with the last good one.",
                    ));
                    continue;
                }
            };
        let title = format!("{source}: good for {}", chain.names().join(", "));
        section.push(Finding::pass("certificate", title));
        // Clients get the first unless another fits; it is the one to be judged by the name.
        let expected = host.as_deref().filter(|_| at == 0 || config.tls.certificates.len() == 1);
        for warning in chain.warnings(now, expected) {
            let text = format!("{source}: {warning}");
            section.push(match warning {
                tls::Warning::ExpiresSoon { .. } => Finding::warn("certificate-expires", text)
                    .why("It should have been renewed by now: then turns: stops working."),
                tls::Warning::SlowKey { .. } => Finding::warn("certificate-slow-key", text).why(
                    "Handshakes take at most a fifth of a worker's time, so more clients wait.",
                ),
                _ => Finding::fail("certificate-refused", text)
                    .why("Clients refuse turns: without a word; turn: goes on working."),
            });
        }
    }
    Some(section)
}
