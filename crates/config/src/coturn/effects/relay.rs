//! Relayed addresses and ports, and threads.

use super::super::addresses;
use super::super::collected::{Collected, Given, Judgement, Sourced, lost, same};
use super::{number, port};
use crate::placeholder::placeholder;

/// What coturn's container image has in place of an address that it finds itself.
fn is_detected(value: &str) -> bool {
    value.starts_with("$(detect-")
}

const DETECTED: &str =
    "coturn's image looks for the address there; the server looks for its public address itself";

pub(in super::super) fn relay_ip(collected: &mut Collected, given: &mut Given<'_>) -> Judgement {
    if is_detected(given.value) {
        return same(DETECTED);
    }
    let ip = addresses::ip(given.value)?;
    if let Some(first) = collected.relay.iter().find(|other| other.value.is_ipv4() == ip.is_ipv4())
    {
        if first.value == ip {
            return same("it is there already");
        }
        return lost(format!(
            "relayed addresses are on one address of each family here, and the first, {}, is taken: peers that \
             only {ip} reaches are not reached. Change the order in a copy of the file if it is the better one",
            first.value
        ));
    }
    collected.relay.push(Sourced::at(ip, given.place));
    given.taken()
}

pub(in super::super) fn external_ip(collected: &mut Collected, given: &mut Given<'_>) -> Judgement {
    if is_detected(given.value) {
        return same(DETECTED);
    }
    let (public, private) = given
        .value
        .split_once('/')
        .map_or((given.value, None), |(public, private)| (public, Some(private)));
    let taken =
        addresses::ip(public).and_then(|ip| Ok((ip, private.map(addresses::ip).transpose()?)));
    let (public, private) = match taken {
        Ok(taken) => taken,
        Err(why) if !is_crossed_out(given.value) && placeholder(given.value).is_some() => {
            return Err(format!("{why}: write the address in a copy, or take the line out"));
        }
        // coturn starts with neither; and without, the address is found.
        Err(why) => {
            return lost(format!(
                "{why}: left out, and the server looks for its address itself; see external_ip"
            ));
        }
    };
    if private.is_some_and(|private| private.is_ipv4() != public.is_ipv4()) {
        return Err("the two addresses are of different families".into());
    }
    if let Some(first) =
        collected.external.iter().find(|other| other.value.0.is_ipv4() == public.is_ipv4())
    {
        return lost(format!(
            "relayed addresses are on one address of each family here, and the first, {}, is taken: nobody is \
             reached at {public}",
            first.value.0
        ));
    }
    if private.is_none() && !collected.external.is_empty() {
        given.remark("coturn ignores the second plain external-ip; here both are used");
    }
    collected.external.push(Sourced::at((public, private), given.place));
    given.taken()
}

/// `X.X.X.X`, as guides have it: coturn starts without the line.
fn is_crossed_out(value: &str) -> bool {
    value.chars().all(|c| matches!(c, 'x' | 'X' | '.' | '/'))
}

pub(in super::super) fn min_port(collected: &mut Collected, given: &mut Given<'_>) -> Judgement {
    collected.min_port = Some(Sourced::at(port(given.value)?, given.place));
    given.taken()
}

pub(in super::super) fn max_port(collected: &mut Collected, given: &mut Given<'_>) -> Judgement {
    collected.max_port = Some(Sourced::at(port(given.value)?, given.place));
    given.taken()
}

pub(in super::super) fn threads(collected: &mut Collected, given: &mut Given<'_>) -> Judgement {
    let threads = number(given.value)?;
    if threads == 0 {
        given.remark("0 is a single thread to coturn, and so it is written");
    }
    collected.draft.workers = Some(Sourced::at(threads.clamp(1, 128), given.place));
    given.taken()
}

pub(in super::super) fn cpus(collected: &mut Collected, given: &mut Given<'_>) -> Judgement {
    collected.cpus = Some(Sourced::at(number(given.value)?.clamp(1, 128), given.place));
    given.taken()
}
