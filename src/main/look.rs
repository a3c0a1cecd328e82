//! How what the server prints for people looks.

use taciturn_config::Environment;

/// Columns of a line.
const WIDTH: usize = 80;

/// Whether there are colours. They are for terminals alone, and for none where `NO_COLOR` is set.
#[derive(Clone, Copy)]
pub(crate) struct Look {
    coloured: bool,
}

impl Look {
    /// That of a stream that leads to a terminal or elsewhere.
    pub(crate) fn of(terminal: bool, environment: &Environment) -> Self {
        Self { coloured: terminal && environment.get("NO_COLOR").is_none() }
    }

    /// Whether there are colours.
    pub(super) const fn is_coloured(self) -> bool {
        self.coloured
    }

    /// What is wrong, as `ConfigErrors` and other errors say it.
    pub(crate) fn errors(self, text: &str) -> String {
        if self.coloured { taciturn_config::with_colours(text) } else { text.to_owned() }
    }

    /// A heading.
    pub(super) fn bold(self, text: &str) -> String {
        self.with("1", text)
    }

    /// What is as it should be.
    pub(super) fn good(self, text: &str) -> String {
        self.with("32", text)
    }

    fn with(self, parameter: &str, text: &str) -> String {
        match self.coloured {
            true => format!("\x1b[{parameter}m{text}\x1b[0m"),
            false => text.to_owned(),
        }
    }
}

/// The values, separated by commas, in lines that end before column 80. The first begins at `column`, the others are
/// indented by as much. Ends with a line break.
pub(super) fn separated(values: &[String], column: usize) -> String {
    let mut text = String::new();
    let mut at = column;
    for (n, value) in values.iter().enumerate() {
        let comma = if n + 1 == values.len() { "" } else { "," };
        let width = value.chars().count() + comma.len();
        if n > 0 && at + 1 + width > WIDTH {
            text.push('\n');
            text.extend(std::iter::repeat_n(' ', column));
            at = column;
        } else if n > 0 {
            text.push(' ');
            at += 1;
        }
        text.push_str(value);
        text.push_str(comma);
        at += width;
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_for_terminals_that_want_them() {
        let look = |terminal, variables: &[(&str, &str)]| {
            Look::of(terminal, &Environment::new(variables.iter().copied())).bold("x")
        };
        assert_eq!(look(true, &[]), "\x1b[1mx\x1b[0m");
        assert_eq!(look(true, &[("NO_COLOR", "")]), "\x1b[1mx\x1b[0m");
        assert_eq!(look(true, &[("NO_COLOR", "1")]), "x");
        assert_eq!(look(false, &[]), "x");
    }

    #[test]
    fn no_line_is_longer_than_80_columns() {
        let values: Vec<_> = (0..9).map(|n| format!("192.0.2.{n}:3478/udp")).collect();
        let text = separated(&values, 15);
        assert!(
            text.lines().count() > 1
                && text.lines().skip(1).all(|line| line.starts_with(&" ".repeat(15))),
            "{text}"
        );
        assert!(
            text.lines().enumerate().all(|(n, line)| line.len() <= if n == 0 { 65 } else { 80 }),
            "{text}"
        );
        assert_eq!(separated(&["a".into(), "b".into()], 15), "a, b\n");
    }
}
