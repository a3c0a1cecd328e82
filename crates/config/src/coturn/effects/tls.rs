//! The certificate.

use super::super::collected::{Collected, Given, Judgement, Sourced};

pub(in super::super) fn cert(collected: &mut Collected, given: &mut Given<'_>) -> Judgement {
    collected.draft.cert = Some(Sourced::at(file(given.value)?, given.place));
    given.taken()
}

pub(in super::super) fn key(collected: &mut Collected, given: &mut Given<'_>) -> Judgement {
    collected.draft.key = Some(Sourced::at(file(given.value)?, given.place));
    given.taken()
}

fn file(value: &str) -> Result<String, String> {
    match value {
        "" => Err("the path is empty".into()),
        _ => Ok(value.to_owned()),
    }
}
