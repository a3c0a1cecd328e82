//! Colours of messages in a terminal.

/// The words that a line of a message begins with, and how a terminal shows them (SGR).
const WORDS: [(&str, &str); 5] = [
    ("taciturn: error:", "1;31"),
    ("error:", "1;31"),
    ("warning:", "1;33"),
    ("note:", "1;36"),
    ("= help:", "1;36"),
];

/// Returns the messages with colours, for a terminal: the first word of a line that says what kind of line it is.
#[must_use]
pub fn with_colours(messages: &str) -> String {
    messages.split_inclusive('\n').map(coloured_line).collect()
}

fn coloured_line(line: &str) -> String {
    let text = line.trim_start_matches(' ');
    let margin = line.len() - text.len();
    let word = WORDS.iter().find_map(|(word, sgr)| Some((word, sgr, text.strip_prefix(word)?)));
    match word {
        Some((word, sgr, rest)) => format!("{:margin$}\x1b[{sgr}m{word}\x1b[0m{rest}", ""),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_words_are_coloured_and_nothing_else_changes() {
        let plain = "error: no error: here\n --> file:1:1\n  = help: write it\n\n1 error in the configuration";
        let text = with_colours(plain);
        assert!(
            text.starts_with("\x1b[1;31merror:\x1b[0m no error: here\n --> file:1:1\n"),
            "{text}"
        );
        assert!(text.contains("\n  \x1b[1;36m= help:\x1b[0m write it\n"), "{text}");
        let bare = ["\x1b[1;31m", "\x1b[1;36m", "\x1b[0m"]
            .iter()
            .fold(text, |text, sgr| text.replace(sgr, ""));
        assert_eq!(bare, plain);
    }
}
