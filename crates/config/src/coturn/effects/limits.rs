//! Quotas, rates and times.

use std::time::Duration;

use super::super::collected::{Collected, Given, Judgement, lost, same};
use super::number;
use crate::read::show_duration;

fn duration(seconds: u64) -> String {
    format!("\"{}\"", show_duration(Duration::from_secs(seconds)))
}

/// A number that may be left out.
fn seconds(value: &str, otherwise: u64) -> Result<u64, String> {
    if value.is_empty() { Ok(otherwise) } else { number(value) }
}

/// Sets a time within our bounds.
fn within(collected: &mut Collected, given: &mut Given<'_>, seconds: u64, least: u64) -> Judgement {
    let lifetime = seconds.clamp(least, 86400);
    if seconds != lifetime {
        given.remark(format!("{seconds} is out of bounds here; {lifetime} is written"));
    }
    collected.draft.set(given.key, duration(lifetime), given.place);
    given.taken()
}

pub(in super::super) fn nonce_lifetime(
    collected: &mut Collected,
    given: &mut Given<'_>,
) -> Judgement {
    match seconds(given.value, 600)? {
        0 => {
            given.remark("0 is \"for ever\" to coturn; here a nonce lives a day at most");
            collected.draft.set(given.key, duration(86400), given.place);
            given.taken()
        }
        seconds => within(collected, given, seconds, 10),
    }
}

pub(in super::super) fn lifetime(collected: &mut Collected, given: &mut Given<'_>) -> Judgement {
    let seconds = seconds(given.value, 3600)?;
    within(collected, given, seconds, 600)
}

pub(in super::super) fn user_quota(collected: &mut Collected, given: &mut Given<'_>) -> Judgement {
    let quota = number(given.value)?;
    if quota == 0 {
        collected.draft.keys.remove(given.key);
        return lost(
            "0 is no bound to coturn; here a user has 200 allocations at most, which is enough for several calls. \
             Where many people share one name, raise allocations_per_user in [limits]",
        );
    }
    if quota < 100 {
        given.remark(format!(
            "{quota} allocations for a user are few: Element Web makes 20 for each line of turn_uris while it \
             rings. Remove it, and 200 are the default"
        ));
    }
    collected.draft.set(given.key, quota.min(1_000_000).to_string(), given.place);
    given.taken()
}

pub(in super::super) fn total_quota(collected: &mut Collected, given: &mut Given<'_>) -> Judgement {
    match number(given.value)? {
        0 => {
            collected.draft.keys.remove(given.key);
            same("0 is no bound; the number of relay_ports is one")
        }
        quota => {
            collected.draft.set(given.key, quota.min(1_000_000).to_string(), given.place);
            given.taken()
        }
    }
}

pub(in super::super) fn max_bps(collected: &mut Collected, given: &mut Given<'_>) -> Judgement {
    match number(given.value)? {
        0 => {
            collected.draft.keys.remove(given.key);
            same("0 is no bound, and there is none here by default")
        }
        rate => {
            collected.draft.set(given.key, rate.min(1_000_000_000).to_string(), given.place);
            given.taken()
        }
    }
}

pub(in super::super) fn bps_capacity(
    collected: &mut Collected,
    given: &mut Given<'_>,
) -> Judgement {
    let judged = max_bps(collected, given)?;
    if collected.draft.keys.contains_key(given.key) {
        given.remark(
            "coturn refuses calls for which no share is left; here all are served, and packets beyond it are \
             dropped",
        );
    }
    Ok(judged)
}

pub(in super::super) fn channel_lifetime(_: &mut Collected, given: &mut Given<'_>) -> Judgement {
    fixed(given, 600, "channel")
}

pub(in super::super) fn permission_lifetime(_: &mut Collected, given: &mut Given<'_>) -> Judgement {
    fixed(given, 300, "permission")
}

fn fixed(given: &Given<'_>, usual: u64, what: &str) -> Judgement {
    match seconds(given.value, usual)? {
        seconds if seconds == usual => same("it is the RFC's time"),
        _ => lost(format!(
            "a {what} lives {usual} s, as RFC 8656 has it and clients count on: they refresh it in time"
        )),
    }
}
