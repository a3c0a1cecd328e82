//! Takes values of the right type out of the merged settings, and says what is wrong with the
//! others.

use std::time::Duration;

use zeroize::Zeroizing;

use super::error::{Findings, Origin};
use super::settings::{Node, Settings, Value};

/// One string, where it was written, and what to call it (`peers.allow[2]`).
pub(super) struct Item {
    pub(super) text: Zeroizing<String>,
    pub(super) origin: Origin,
    pub(super) key: String,
}

pub(super) struct Reader<'a> {
    pub(super) settings: &'a Settings,
    pub(super) findings: &'a mut Findings,
}

impl Reader<'_> {
    /// Where `key` was set.
    pub(super) fn origin(&self, key: &str) -> Origin {
        self.settings.get(key).map_or(Origin::Unplaced, |node| node.origin.clone())
    }

    pub(super) fn error(&mut self, item: &Item, message: impl Into<String>, help: &str) {
        self.findings.error(&item.origin, &*item.key, message, help);
    }

    fn wrong_type(&mut self, key: &str, node: &Node, wanted: &str, example: &str) {
        let message = format!("must be {wanted}, not {}", node.value.type_name());
        self.findings.error(&node.origin, key, message, format!("write {example}"));
    }

    /// A string; `example` goes into the help when it is something else.
    pub(super) fn text(&mut self, key: &'static str, example: &str) -> Option<Item> {
        let node = self.settings.get(key)?.clone();
        self.text_of(key, node, example)
    }

    /// As [`Self::text`], of a value that stands under `key`.
    pub(super) fn text_of(&mut self, key: &str, node: Node, example: &str) -> Option<Item> {
        let Value::Text(text) = node.value else {
            self.wrong_type(key, &node, "a string", example);
            return None;
        };
        Some(Item { text, origin: node.origin, key: key.into() })
    }

    pub(super) fn boolean(&mut self, key: &'static str) -> Option<bool> {
        let node = self.settings.get(key)?.clone();
        self.boolean_of(key, &node)
    }

    /// As [`Self::boolean`], of a value that stands under `key`.
    pub(super) fn boolean_of(&mut self, key: &str, node: &Node) -> Option<bool> {
        match &node.value {
            Value::Boolean(value) => return Some(*value),
            Value::Text(text) if !matches!(node.origin, Origin::File(_)) => match text.as_str() {
                "true" => return Some(true),
                "false" => return Some(false),
                _ => {
                    let message = format!("must be true or false, not \"{}\"", text.as_str());
                    self.findings.error(&node.origin, key, message, "write true or false");
                }
            },
            _ => self.wrong_type(key, node, "true or false", "true or false without quotes"),
        }
        None
    }

    /// An integer from `least` to `most`.
    pub(super) fn integer(&mut self, key: &'static str, least: u32, most: u32) -> Option<u32> {
        let node = self.settings.get(key)?.clone();
        let wanted = format!("a whole number from {least} to {most}");
        let number = match &node.value {
            Value::Integer(number) => Some(*number),
            Value::Text(text) if !matches!(node.origin, Origin::File(_)) => {
                let number = text.parse().ok();
                if number.is_none() {
                    let message = format!("must be {wanted}, not \"{}\"", text.as_str());
                    self.findings.error(&node.origin, key, message, "write digits only");
                }
                number
            }
            _ => {
                self.wrong_type(key, &node, &wanted, "digits without quotes");
                None
            }
        }?;
        let fitting = u32::try_from(number).ok().filter(|n| (least..=most).contains(n));
        if fitting.is_none() {
            let help = match number {
                0 => "0 does not mean \"without bound\" here; write a large number instead",
                _ => "",
            };
            let found = match number {
                i64::MAX => "too large".to_owned(),
                _ => format!("not {number}"),
            };
            self.findings.error(&node.origin, key, format!("must be {wanted}, {found}"), help);
        }
        fitting
    }

    /// A duration from `least` to `most`.
    pub(super) fn duration(
        &mut self,
        key: &'static str,
        least: Duration,
        most: Duration,
    ) -> Option<Duration> {
        let node = self.settings.get(key)?.clone();
        let help = "write a number and a unit: \"90s\", \"10m\", \"1h\", \"1d\"; \
                    a number without unit is seconds";
        let duration = match &node.value {
            Value::Integer(seconds) => u64::try_from(*seconds).ok().map(Duration::from_secs),
            Value::Text(text) => parse_duration(text),
            _ => {
                self.wrong_type(key, &node, "a duration", "it like \"10m\"");
                return None;
            }
        };
        let Some(duration) = duration else {
            self.findings.error(&node.origin, key, "is no duration", help);
            return None;
        };
        if !(least..=most).contains(&duration) {
            let message = format!(
                "must be from {} to {}, not {}",
                show_duration(least),
                show_duration(most),
                show_duration(duration)
            );
            self.findings.error(&node.origin, key, message, help);
            return None;
        }
        Some(duration)
    }

    /// One of several words; `wrong` completes the sentence that begins with another one.
    pub(super) fn word<T: Copy, const N: usize>(
        &mut self,
        key: &'static str,
        all: [T; N],
        name: fn(T) -> &'static str,
        wrong: &str,
    ) -> Option<T> {
        let help = all.map(|one| format!("\"{}\"", name(one))).join(" or ");
        let item = self.text(key, &help)?;
        let text = item.text.trim();
        let found = all.into_iter().find(|one| name(*one) == text);
        if found.is_none() {
            self.error(&item, format!("\"{text}\" {wrong}"), &format!("write {help}"));
        }
        found
    }

    /// The strings of a list; a single string is a list of one.
    pub(super) fn list(&mut self, key: &'static str, example: &str) -> Vec<Item> {
        let Some(node) = self.settings.get(key).cloned() else { return Vec::new() };
        self.list_of(key, node, example)
    }

    /// As [`Self::list`], of a value that stands under `key`.
    pub(super) fn list_of(&mut self, key: &str, node: Node, example: &str) -> Vec<Item> {
        let items = match node.value {
            Value::List(items) => items,
            Value::Text(text) => {
                return vec![Item { text, origin: node.origin, key: key.into() }];
            }
            _ => {
                self.wrong_type(key, &node, "a list of strings", example);
                return Vec::new();
            }
        };
        let mut texts = Vec::with_capacity(items.len());
        for (n, item) in items.into_iter().enumerate() {
            let label = format!("{key}[{n}]");
            match item.value {
                Value::Text(text) => texts.push(Item { text, origin: item.origin, key: label }),
                _ => self.wrong_type(&label, &item, "a string", "it in double quotes"),
            }
        }
        texts
    }
}

/// Reads `90s`, `10m`, `12h`, `7d`, or bare seconds.
#[must_use]
pub fn parse_duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let (digits, unit) = match text.strip_suffix(['s', 'm', 'h', 'd']) {
        Some(digits) => (digits.trim_end(), text.get(text.len() - 1..)?),
        None => (text, "s"),
    };
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let factor = match unit {
        "m" => 60,
        "h" => 3600,
        "d" => 86400,
        _ => 1,
    };
    digits.parse::<u64>().ok()?.checked_mul(factor).map(Duration::from_secs)
}

/// Writes a duration the way [`parse_duration`] reads it, in the largest unit that fits.
#[must_use]
pub fn show_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    for (unit, factor) in [("d", 86400), ("h", 3600), ("m", 60)] {
        if seconds >= factor && seconds.is_multiple_of(factor) {
            return format!("{}{unit}", seconds / factor);
        }
    }
    format!("{seconds}s")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units_and_bare_numbers_are_seconds() {
        let seconds = |text| parse_duration(text).map(|d| d.as_secs());
        assert_eq!(seconds("90"), Some(90));
        assert_eq!(seconds("90s"), Some(90));
        assert_eq!(seconds("10m"), Some(600));
        assert_eq!(seconds("24h"), Some(86400));
        assert_eq!(seconds("7 d"), Some(604_800));
        for bad in ["", "s", "-1s", "+1", "1.5h", "10ms", "1w", "h1", "1é", "99999999999999999999d"]
        {
            assert_eq!(seconds(bad), None, "{bad}");
        }
    }

    #[test]
    fn durations_are_shown_in_the_largest_unit_that_fits() {
        let show = |s| show_duration(Duration::from_secs(s));
        assert_eq!((show(0), show(90), show(600)), ("0s".into(), "90s".into(), "10m".into()));
        assert_eq!((show(7200), show(86400)), ("2h".into(), "1d".into()));
    }
}
