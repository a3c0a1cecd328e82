//! What a row of the table of coturn's options is made of. The rows are in [`table`](super::table).

use super::collected::{Collected, Given, Judgement};
pub use super::table::OPTIONS;

/// What an option's value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// On or off.
    Switch,
    /// On as soon as it is there, whatever its value says.
    Flag,
    /// Text that may be shown.
    Text,
    /// Text that may not be shown: a secret, a password, a connection string.
    Secret,
    /// Digits.
    Number,
    /// 0 to 65535.
    Port,
}

/// What an option's value does.
#[derive(Clone, Copy, Debug)]
pub struct Effect(pub(super) fn(&mut Collected, &mut Given<'_>) -> Judgement);

/// What becomes of an option. The words complete the sentence "NAME: ...".
#[derive(Clone, Copy, Debug)]
pub enum Fate {
    /// It is taken over: it sets this key of ours.
    Taken(&'static str, Effect),
    /// Its value decides.
    Judged(Effect),
    /// It is the same here without a setting, because ...
    Same(&'static str),
    /// It has no effect here: what follows from that, and what to do instead.
    Lost(&'static str),
    /// To go on without it would let in more than coturn did: what to do instead.
    Refused(&'static str),
}

/// One option of coturn's.
#[derive(Clone, Copy, Debug)]
pub struct CoturnOption {
    /// Its name, and its other names.
    pub names: &'static [&'static str],
    /// What its value is.
    pub takes: Takes,
    /// What becomes of it; of a switch: when it is on.
    pub fate: Fate,
    /// What becomes of a switch that is off, where that is not the same here anyway.
    pub off: Option<Fate>,
}

/// The option of this name. Names are case-sensitive, as coturn has them.
#[must_use]
pub(super) fn find(name: &str) -> Option<&'static CoturnOption> {
    OPTIONS.iter().find(|option| option.names.contains(&name))
}

/// Every name, aliases as well.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    OPTIONS.iter().flat_map(|option| option.names.iter().copied())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema;

    /// The names in coturn 4.17.1's own table of long options, then those of older releases.
    fn listed() -> Vec<&'static str> {
        let list = include_str!("../../../../tests/fixtures/coturn-options.txt");
        list.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect()
    }

    #[test]
    fn every_option_of_coturn_has_one_row_and_there_are_no_others() {
        let (mut theirs, mut ours) = (listed(), names().collect::<Vec<_>>());
        assert_eq!(theirs.len(), 143 + 15);
        theirs.sort_unstable();
        ours.sort_unstable();
        assert_eq!(ours, theirs);
    }

    #[test]
    fn options_that_are_taken_over_lead_to_keys_that_exist() {
        for option in OPTIONS {
            let Fate::Taken(key, _) = option.fate else { continue };
            let known = match key.strip_prefix("listen.") {
                Some(name) => schema::LISTEN_KEYS.contains(&name),
                None => schema::find(key).is_some(),
            };
            assert!(known, "{}: {key}", option.names[0]);
        }
    }
}
