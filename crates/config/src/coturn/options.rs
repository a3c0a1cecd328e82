//! What a row of the table of coturn's options is made of. The rows are in [`table`](super::table).

use super::collected::{Collected, Given, Judgement};

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
