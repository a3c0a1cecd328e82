//! Lines of turnserver.conf as coturn reads them, traps and all.

use zeroize::Zeroizing;

use super::place::Place;

/// coturn reads a line into a buffer of this many bytes, and takes the rest for a line of its own.
const LONGEST_LINE: usize = 1023;

/// One setting, before anything is known about its option.
pub(super) struct Line {
    pub(super) place: Place,
    pub(super) name: String,
    /// As coturn has it: a comment or a semicolon behind the value is part of it.
    pub(super) value: Zeroizing<String>,
    pub(super) too_long: bool,
}

/// The settings of a file. Only a line that begins with `#` is a comment; between name and value
/// stand any number of blanks, tabs and `=`; quotes around the value are taken off.
pub(super) fn lines(text: &str) -> Vec<Line> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let setting = |(n, line): (usize, &str)| {
        let bare = line.trim();
        if bare.is_empty() || bare.starts_with('#') {
            return None;
        }
        let separator = |c: char| matches!(c, ' ' | '=' | '\t');
        let (name, rest) = bare.find(separator).map_or((bare, ""), |at| bare.split_at(at));
        Some(Line {
            place: Place::Line(n + 1),
            name: name.to_owned(),
            value: Zeroizing::new(unquoted(rest.trim_start_matches(separator)).to_owned()),
            too_long: line.len() > LONGEST_LINE,
        })
    };
    text.lines().enumerate().filter_map(setting).collect()
}

fn unquoted(value: &str) -> &str {
    let Some(inner) = value.strip_prefix('"') else { return value };
    let inner = inner.trim_end();
    inner.strip_suffix('"').unwrap_or(inner)
}

/// A value without the comment and the semicolon that coturn would take for a part of it, and what
/// was taken off.
pub(super) fn trimmed(value: &str) -> (&str, Option<&'static str>) {
    let comment = value
        .char_indices()
        .find(|(at, c)| {
            *c == '#' && value[..*at].chars().next_back().is_none_or(char::is_whitespace)
        })
        .map(|(at, _)| at);
    if let Some(at) = comment {
        let bare = value[..at].trim_end();
        // The closing quote was none to coturn, with the comment behind it.
        let bare = bare.trim_end_matches([';', '"']);
        return (bare, Some("the comment behind the value"));
    }
    match value.strip_suffix(';') {
        Some(bare) => (bare.trim_end().trim_end_matches('"'), Some("the semicolon at the end")),
        None => (value, None),
    }
}

/// A switch, as coturn reads one: mostly by its first letter.
///
/// # Errors
/// Where coturn refuses to start.
pub(super) fn switch(value: &str) -> Result<bool, String> {
    match value.bytes().next() {
        None | Some(b'y' | b'Y' | b't' | b'T' | b'1'..=b'9') => Ok(true),
        Some(b'0' | b'n' | b'N' | b'f' | b'F') => Ok(false),
        _ => match value {
            "on" | "On" | "ON" => Ok(true),
            "off" | "Off" | "OFF" => Ok(false),
            _ => Err(format!("\"{value}\" is neither on nor off")),
        },
    }
}

/// A number as coturn reads it: the digits in front; what follows does not count.
pub(super) fn number(value: &str) -> Option<u64> {
    let digits: String = value.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(usize, String, String)> {
        let number = |place| match place {
            Place::Line(number) => number,
            _ => 0,
        };
        let parts = |line: Line| (number(line.place), line.name, line.value.to_string());
        lines(text).into_iter().map(parts).collect()
    }

    fn one(line: &str) -> (String, String) {
        let (_, name, value) = read(line).remove(0);
        (name, value)
    }

    #[test]
    fn names_and_values_are_split_as_coturn_splits_them() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(one("realm=turn.org"), pair("realm", "turn.org"));
        assert_eq!(one("  realm turn.org \r"), pair("realm", "turn.org"));
        assert_eq!(one("realm\t= = turn.org"), pair("realm", "turn.org"));
        assert_eq!(one("fingerprint"), pair("fingerprint", ""));
        assert_eq!(one("user=a:b=c d"), pair("user", "a:b=c d"));
        assert_eq!(one("realm=\"turn.org\""), pair("realm", "turn.org"));
        assert_eq!(one("realm=\"turn.org"), pair("realm", "turn.org"));
        assert_eq!(one("cli-password=\\$5$x"), pair("cli-password", "\\$5$x"));
    }

    #[test]
    fn only_whole_lines_are_comments() {
        let text = "\u{feff}# one\n\n   # two\nno-tcp # three\n#no-udp\n";
        assert_eq!(read(text), [(4, "no-tcp".to_owned(), "# three".to_owned())]);
    }

    #[test]
    fn what_people_put_behind_a_value_is_told_apart() {
        assert_eq!(trimmed("12 # twelve"), ("12", Some("the comment behind the value")));
        assert_eq!(trimmed("# all of it"), ("", Some("the comment behind the value")));
        assert_eq!(trimmed("a#b"), ("a#b", None));
        assert_eq!(trimmed("turn.org;"), ("turn.org", Some("the semicolon at the end")));
        let commented = &lines("realm=\"turn.org\" # x")[0];
        assert_eq!(trimmed(&commented.value), ("turn.org", Some("the comment behind the value")));
    }

    #[test]
    fn switches_and_numbers_are_read_by_their_beginning() {
        for on in ["", "1", "yes", "true", "T", "on", "ON", "9x"] {
            assert_eq!(switch(on), Ok(true), "{on}");
        }
        for off in ["0", "no", "False", "off", "Off"] {
            assert_eq!(switch(off), Ok(false), "{off}");
        }
        assert!(switch("# x").is_err() && switch("oFF").is_err());
        assert_eq!(
            (number("12 # twelve"), number("600s"), number("x")),
            (Some(12), Some(600), None)
        );
    }

    #[test]
    fn long_lines_are_known() {
        let long = format!("cipher-list={}", "x".repeat(1100));
        assert!(lines(&long)[0].too_long && !lines("realm=x")[0].too_long);
    }
}
