//! Where a setting of coturn's stands: on a line of its file, or among its arguments.

use std::fmt;

/// Where a setting stands. What stands on the command line wins, and so is ordered behind the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// Line of the file, from 1.
    Line(usize),
    /// Word of the command line behind the program's name, from 1.
    Argument(usize),
    /// Nowhere: what is said is about something that is missing.
    Nowhere,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => write!(f, "line {line}"),
            Self::Argument(word) => write!(f, "argument {word}"),
            Self::Nowhere => f.write_str("the whole"),
        }
    }
}

/// `line 4`, `lines 4 and 9`, `lines 4 to 9`, `line 4, argument 2`.
pub(super) fn places(all: &[Place]) -> String {
    let lines = all.iter().filter_map(|place| match place {
        Place::Line(line) => Some(*line),
        _ => None,
    });
    let arguments = all.iter().filter_map(|place| match place {
        Place::Argument(word) => Some(*word),
        _ => None,
    });
    let mut parts = Vec::new();
    for (word, numbers) in
        [("line", lines.collect::<Vec<_>>()), ("argument", arguments.collect::<Vec<_>>())]
    {
        match numbers.as_slice() {
            [] => {}
            [one] => parts.push(format!("{word} {one}")),
            [one, two] => parts.push(format!("{word}s {one} and {two}")),
            [first, .., last] if last - first + 1 == numbers.len() => {
                parts.push(format!("{word}s {first} to {last}"));
            }
            [first, .., last] => {
                parts.push(format!("{} {word}s from {first} to {last}", numbers.len()));
            }
        }
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_in_words() {
        let lines =
            |lines: &[usize]| places(&lines.iter().copied().map(Place::Line).collect::<Vec<_>>());
        assert_eq!(lines(&[4]), "line 4");
        assert_eq!(lines(&[4, 9]), "lines 4 and 9");
        assert_eq!(lines(&[4, 5, 6]), "lines 4 to 6");
        assert_eq!(lines(&[4, 5, 9]), "3 lines from 4 to 9");
        assert_eq!(places(&[Place::Line(4), Place::Argument(2)]), "line 4, argument 2");
    }
}
