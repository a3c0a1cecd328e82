//! URIs, by the rules of libwebrtc, which all browsers and apps share but Firefox.

use crate::client::TurnUri;
use crate::client::uri::{Scheme, UriFault};
use crate::report::{Finding, Section};
use taciturn_config::parse_host;
use taciturn_stun::canonical_ip;

/// Where a URI comes from, for what to change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// The command line, or a configuration.
    User,
    /// A homeserver's answer.
    Homeserver,
}

/// What is left of a list of URIs.
#[derive(Debug, Default)]
pub(super) struct Judged {
    /// Those of a relay that a client would try.
    pub(super) good: Vec<TurnUri>,
    /// Those for STUN alone.
    pub(super) stun: Vec<TurnUri>,
    /// Why browsers refuse the whole list.
    pub(super) hindered: Option<String>,
}

/// Judges all of them.
pub(super) fn judge(texts: &[String], origin: Origin, section: &mut Section) -> Judged {
    let before = section.findings.len();
    let mut judged = Judged::default();
    let Judged { good, stun, hindered } = &mut judged;
    for text in texts {
        match text.parse::<TurnUri>() {
            Err(fault) => {
                // A name alone is what people type.
                let example = match parse_host(text) {
                    Some(_) if fault == UriFault::Scheme => format!("turn:{text}"),
                    _ => "turn:HOST:3478?transport=udp".to_owned(),
                };
                hindered.get_or_insert_with(|| {
                    format!("browsers refuse the whole list because of {text}")
                });
                section.push(
                    Finding::fail("uri-form", format!("{text}: {fault}"))
                        .why(
                            "one bad URI makes the browser refuse all of them (SyntaxError from \
                             RTCPeerConnection), so no call starts at all.",
                        )
                        .fix(fix_of(origin, &example)),
                );
            }
            Ok(uri) if uri.scheme == Scheme::Stun => {
                section.push(no_relay(&uri, origin));
                stun.push(uri);
            }
            Ok(uri) => {
                if leads_home(&uri) && origin == Origin::Homeserver {
                    section.push(home(&uri));
                }
                section.findings.extend(of_port(&uri, origin));
                let same = |other: &TurnUri| {
                    (&other.host, other.port, other.spoken(), other.scheme)
                        == (&uri.host, uri.port, uri.spoken(), uri.scheme)
                };
                let twin = good.iter().find(|other| same(other));
                section.findings.extend(of_dtls(&uri, twin.is_some(), origin));
                match twin {
                    Some(twin) if uri.asks_udp == twin.asks_udp => {
                        section.push(duplicate(&uri, twin, origin));
                    }
                    Some(_) => {}
                    None => good.push(uri),
                }
            }
        }
    }
    // libwebrtc takes 32; each one costs every call allocations, up to 20 for each in Element Web.
    if texts.len() > 4 {
        section.push(
            Finding::warn("uri-many", format!("there are {} URIs; three are enough", texts.len()))
                .why(
                    "for each of them Element Web makes up to 20 allocations while a call rings, \
                     and Firefox warns that many slow the start of a call.",
                )
                .fix("Keep one for UDP, one for TCP and one with turns:."),
        );
    }
    if section.findings.len() == before && !good.is_empty() {
        let number =
            if good.len() == 1 { "the URI is".into() } else { format!("{} URIs are", good.len()) };
        section.push(Finding::pass("uri-form", format!("{number} as browsers take them")));
    }
    judged
}

/// Whether every client finds itself there, and no server.
pub(super) fn leads_home(uri: &TurnUri) -> bool {
    let name = uri.host.trim_end_matches('.').to_ascii_lowercase();
    let ip = uri.ip().map(canonical_ip);
    name == "localhost"
        || name.ends_with(".localhost")
        || ip.is_some_and(|ip| ip.is_loopback() || ip.is_unspecified())
}

/// Whether browsers use the port of a URI at all.
pub(super) fn is_used(uri: &TurnUri) -> bool {
    matches!(uri.port, 53 | 80 | 443) || uri.port >= 1024
}

fn home(uri: &TurnUri) -> Finding {
    let title = format!("{uri} leads every client to itself, and to no server");
    Finding::fail("uri-loopback", title)
        .why("the homeserver hands it to clients on other machines: they find nothing there, and get no relay.")
        .fix(fix_of(Origin::Homeserver, "turn:turn.example.org:3478?transport=udp"))
}

fn no_relay(uri: &TurnUri, origin: Origin) -> Finding {
    let example = uri.text.split_once(':').map_or("", |(_, rest)| rest);
    Finding::warn("uri-stun", format!("{uri} is a STUN URI: there is no relay by it"))
        .why(
            "STUN tells a client its public address and no more. Where no direct way leads to the other \
             side, the call fails.",
        )
        .fix(fix_of(origin, &format!("turn:{example}")))
}

fn fix_of(origin: Origin, example: &str) -> String {
    match origin {
        Origin::User => format!("Write it like this:\n  {example}"),
        Origin::Homeserver => format!(
            "Correct it in turn_uris of the homeserver's configuration, for example\n  \"{example}\"\n\
             then restart the homeserver, and reload Element."
        ),
    }
}

fn of_port(uri: &TurnUri, origin: Origin) -> Option<Finding> {
    (!is_used(uri)).then(|| {
        Finding::fail("uri-port", format!("{uri}: browsers never use port {}", uri.port))
            .why(
                "of the ports below 1024 they take 53, 80 and 443 only, and skip other servers \
                 without a word.",
            )
            .fix(fix_of(origin, &uri.text.replacen(&format!(":{}", uri.port), ":443", 1)))
    })
}

fn of_dtls(uri: &TurnUri, twin: bool, origin: Origin) -> Option<Finding> {
    (uri.scheme == Scheme::Turns && uri.asks_udp == Some(true)).then(|| {
        let instead = if twin {
            "Take it out: there is one with transport=tcp already.".to_owned()
        } else {
            fix_of(origin, &uri.text.replace("transport=udp", "transport=tcp"))
        };
        Finding::warn("uri-turns-udp", format!("{uri} is taken for TLS over TCP"))
            .why(
                "it means DTLS, which no browser speaks to a TURN server; they all connect by TLS \
                 over TCP instead, a second time where that is listed too.",
            )
            .fix(instead)
    })
}

fn duplicate(uri: &TurnUri, twin: &TurnUri, origin: Origin) -> Finding {
    let from = match origin {
        Origin::User => "the command line",
        Origin::Homeserver => "turn_uris",
    };
    Finding::warn("uri-duplicate", format!("{uri} is the same as {twin}"))
        .why("clients make all their allocations twice, which uses up relay ports and quotas.")
        .fix(format!("Take one of them out of {from}."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(uris: &[&str]) -> (Vec<&'static str>, usize) {
        let mut section = Section::default();
        let texts: Vec<_> = uris.iter().map(|uri| (*uri).to_owned()).collect();
        let good = judge(&texts, Origin::Homeserver, &mut section).good;
        (section.findings.iter().map(|finding| finding.id).collect(), good.len())
    }

    #[test]
    fn a_usual_list_passes() {
        let usual = [
            "turn:h.org:3478?transport=udp",
            "turn:h.org:3478?transport=tcp",
            "turns:h.org:443?transport=tcp",
        ];
        let mut section = Section::default();
        let texts: Vec<_> = usual.iter().map(|uri| (*uri).to_owned()).collect();
        assert_eq!(judge(&texts, Origin::User, &mut section).good.len(), 3);
        assert_eq!(section.findings[0].status, crate::report::Status::Pass);
    }

    #[test]
    fn each_fault_has_its_own_finding() {
        assert_eq!(ids(&["turn://h.org:3478"]), (vec!["uri-form"], 0));
        assert_eq!(ids(&["turn:h.org:1023", "turn:i.org"]), (vec!["uri-port"], 2));
        assert_eq!(ids(&["turns:h.org?transport=udp"]), (vec!["uri-turns-udp"], 1));
        assert_eq!(ids(&["turn:h.org", "turn:h.org:3478"]), (vec!["uri-duplicate"], 1));
        let five: Vec<_> = (1..=5).map(|n| format!("turn:h{n}.org")).collect();
        let five: Vec<_> = five.iter().map(String::as_str).collect();
        assert_eq!(ids(&five), (vec!["uri-many"], 5));
    }

    #[test]
    fn a_name_alone_is_shown_as_a_uri() {
        let fix = |text: &str| {
            let mut section = Section::default();
            judge(&[text.to_owned()], Origin::User, &mut section);
            section.findings[0].fix.clone().unwrap()
        };
        assert_eq!(fix("turn.domain.org"), "Write it like this:\n  turn:turn.domain.org");
        assert_eq!(fix("9.9.9.9"), "Write it like this:\n  turn:9.9.9.9");
        assert!(fix("http://turn.domain.org").ends_with("turn:HOST:3478?transport=udp"));
    }

    #[test]
    fn one_bad_uri_hinders_all_of_them() {
        let judged = |uris: &[&str]| {
            let texts: Vec<_> = uris.iter().map(|uri| (*uri).to_owned()).collect();
            judge(&texts, Origin::User, &mut Section::default())
        };
        for bad in ["turn:h.org;3478", "turn://h.org", "turn:h.org:x", "https://h.org", "h.org", ""]
        {
            for list in [&[bad][..], &["turn:i.org", bad], &[bad, "turn:i.org"]] {
                let hindered = judged(list).hindered;
                assert!(hindered.is_some_and(|why| why.contains(bad)), "{list:?}");
            }
        }
        assert!(judged(&["turn:h.org", "stun:h.org", "turns:h.org"]).hindered.is_none());
    }

    #[test]
    fn stun_uris_are_no_relays() {
        assert_eq!(ids(&["stun:h.org:3478"]), (vec!["uri-stun"], 0));
        assert_eq!(ids(&["stun:h.org", "turn:h.org"]), (vec!["uri-stun"], 1));
    }

    #[test]
    fn a_homeserver_must_not_send_clients_to_themselves() {
        for host in [
            "localhost",
            "LOCALHOST",
            "a.localhost",
            "127.0.0.1",
            "127.1.2.3",
            "[::1]",
            "0.0.0.0",
            "[::]",
            "[::ffff:127.0.0.1]",
        ] {
            assert_eq!(ids(&[&format!("turn:{host}:3478")]).0, ["uri-loopback"], "{host}");
            let mut section = Section::default();
            judge(&[format!("turn:{host}:3478")], Origin::User, &mut section);
            assert!(section.findings.iter().all(|f| f.id != "uri-loopback"), "{host}");
        }
        assert_eq!(ids(&["turn:localhost.example.org"]).0, ["uri-form"]);
    }

    #[test]
    fn the_four_uris_of_the_usual_guide_have_one_too_many() {
        let four = [
            "turns:h.org:5349?transport=tcp",
            "turns:h.org:5349?transport=udp",
            "turn:h.org:3478?transport=tcp",
            "turn:h.org:3478?transport=udp",
        ];
        assert_eq!(ids(&four), (vec!["uri-turns-udp"], 3));
    }
}
