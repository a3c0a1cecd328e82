//! Switches of the protocol, and the log.

use super::super::collected::{Collected, Given, Judgement, lost, same};

/// A switch that is one here.
pub(in super::super) fn on(collected: &mut Collected, given: &mut Given<'_>) -> Judgement {
    collected.draft.set(given.key, given.on.to_string(), given.place);
    given.taken()
}

/// A switch whose opposite is one here.
pub(in super::super) fn off(collected: &mut Collected, given: &mut Given<'_>) -> Judgement {
    collected.draft.set(given.key, (!given.on).to_string(), given.place);
    given.taken()
}

pub(in super::super) fn family(_: &mut Collected, given: &mut Given<'_>) -> Judgement {
    match given.value {
        "ipv4" => same("IPv4 is what a client gets that does not ask for a family"),
        _ => lost(
            "a client that does not ask for a family gets a relayed address of IPv4, as RFC 8656 has it: peers \
             with IPv6 are out of its reach until it asks for it",
        ),
    }
}

pub(in super::super) fn log_level(collected: &mut Collected, given: &mut Given<'_>) -> Judgement {
    let level = match given.value {
        "debug" | "info" | "error" => given.value,
        "warning" | "warn" => "warn",
        other => {
            return lost(format!(
                "\"{other}\" is none of debug, info, warning, error: info is the level"
            ));
        }
    };
    collected.draft.set(given.key, format!("\"{level}\""), given.place);
    given.taken()
}

pub(in super::super) fn log_file(_: &mut Collected, given: &mut Given<'_>) -> Judgement {
    match given.value {
        "stdout" | "-" | "syslog" => {
            same("the log goes to standard error, where journald and Docker read it")
        }
        _ => lost(
            "the server writes no log file: `journalctl -u taciturn`, `docker logs`, or redirect standard error",
        ),
    }
}
