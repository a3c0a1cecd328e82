//! What is wrong with a configuration, told so that it can be put right: place, key, what was
//! found, what to write. Secrets never show up in it.

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// Everything that is wrong with a configuration, found in one go. `Display` prints the whole
/// report, ready for standard error.
#[derive(Clone, Debug)]
pub struct ConfigErrors {
    problems: Vec<Problem>,
}

impl ConfigErrors {
    /// Each problem, in the order in which they were found; never empty.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// Whether an error of this kind, given by the system, is among the causes.
    #[must_use]
    pub fn is_caused_by(&self, kind: io::ErrorKind) -> bool {
        self.problems.iter().any(|problem| problem.cause == Some(kind))
    }
}

impl std::error::Error for ConfigErrors {}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.problems {
            writeln!(f, "{problem}")?;
        }
        match self.problems.len() {
            1 => f.write_str("1 error in the configuration"),
            n => write!(f, "{n} errors in the configuration"),
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug)]
pub struct Problem {
    /// Where it was written.
    pub place: Place,
    /// The key it is about (`auth.users[1]`); empty where no key is concerned.
    pub key: String,
    /// What was found.
    pub message: String,
    /// What to write instead; may be empty.
    pub help: String,
    /// What the system said, where it refused something.
    pub cause: Option<io::ErrorKind>,
    excerpt: Option<Excerpt>,
}

/// Where a value was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A position in the configuration file, counted from 1; the column counts characters.
    File {
        /// The file as it was named.
        path: PathBuf,
        /// Line.
        line: usize,
        /// Column.
        column: usize,
    },
    /// An environment variable.
    Variable(String),
    /// A command-line flag, with its hyphens.
    Flag(&'static str),
    /// Nowhere: a default, or something about the machine.
    Unplaced,
}

/// A source line and what to underline in it, in characters from 0.
#[derive(Clone, Debug)]
struct Excerpt {
    text: String,
    from: usize,
    width: usize,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.key.as_str() {
            "" => writeln!(f, "error: {}", self.message)?,
            key => writeln!(f, "error: {key}: {}", self.message)?,
        }
        let mut gutter = 1;
        match &self.place {
            Place::File { path, line, column } => {
                gutter = line.to_string().len();
                let pad = " ".repeat(gutter);
                writeln!(f, "{pad}--> {}:{line}:{column}", path.display())?;
                if let Some(Excerpt { text, from, width }) = &self.excerpt {
                    writeln!(f, "{pad} |")?;
                    writeln!(f, "{line} | {text}")?;
                    writeln!(f, "{pad} | {}{}", " ".repeat(*from), "^".repeat(*width))?;
                }
            }
            Place::Variable(name) => writeln!(f, " --> environment variable {name}")?,
            Place::Flag(name) => writeln!(f, " --> command line, {name}")?,
            Place::Unplaced => {}
        }
        let pad = " ".repeat(gutter);
        for (n, line) in self.help.lines().enumerate() {
            let lead = if n == 0 { "= help:" } else { "       " };
            writeln!(f, "{pad} {lead} {line}")?;
        }
        Ok(())
    }
}

/// Something to tell the operator when the server starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// How much it matters.
    pub level: NoteLevel,
    /// One or two plain sentences, without a full stop at the end.
    pub text: String,
    /// What it is about, where a program has to know.
    pub topic: Option<Topic>,
}

/// What a [`Note`] is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    /// A credential that can be guessed, and that `auth.allow_weak_credentials` lets pass.
    WeakCredential,
    /// What is so because nothing is configured: TLS is off, a secret was made. The server's report at its start
    /// has it in fewer words.
    Unconfigured,
}

/// How much a [`Note`] matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoteLevel {
    /// Good to know.
    Info,
    /// The operator may have to act.
    Warning,
}

impl Note {
    pub(crate) fn info(text: impl Into<String>) -> Self {
        Self { level: NoteLevel::Info, text: text.into(), topic: None }
    }

    /// What is so because nothing is configured.
    pub(crate) fn unconfigured(text: impl Into<String>) -> Self {
        Self { topic: Some(Topic::Unconfigured), ..Self::info(text) }
    }

    pub(crate) fn warning(text: impl Into<String>) -> Self {
        Self { level: NoteLevel::Warning, text: text.into(), topic: None }
    }

    /// A warning about a credential that can be guessed.
    pub(crate) fn weak_credential(text: impl Into<String>) -> Self {
        Self { topic: Some(Topic::WeakCredential), ..Self::warning(text) }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.level {
            NoteLevel::Info => write!(f, "note: {}", self.text),
            NoteLevel::Warning => write!(f, "warning: {}", self.text),
        }
    }
}

/// Where a value came from, before positions are worked out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// Bytes of the configuration file.
    File(Range<usize>),
    Variable(String),
    Flag(&'static str),
    Unplaced,
}

/// The text of the configuration file, and the parts of it that must not be shown.
#[derive(Default)]
pub(super) struct Source {
    pub(super) path: PathBuf,
    pub(super) text: Zeroizing<String>,
    pub(super) hidden: Vec<Range<usize>>,
    /// Whether the file is coturn's, and `text` what was made of it.
    pub(super) translated: bool,
}

/// A problem before its position is worked out.
struct Found {
    origin: Origin,
    key: String,
    message: String,
    help: String,
    cause: Option<io::ErrorKind>,
}

/// Problems and notes while they are being collected.
#[derive(Default)]
pub(super) struct Findings {
    problems: Vec<Found>,
    pub(super) notes: Vec<Note>,
    /// What stands before each key, while a section is read that there may be several of and that has keys of others:
    /// `tenant[1].`, with those of [auth] by their names alone.
    pub(super) within: Option<String>,
}

impl Findings {
    pub(super) fn error(
        &mut self,
        origin: &Origin,
        key: impl Into<String>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        let key = match (&self.within, key.into()) {
            (None, key) => key,
            (Some(within), key) if key.is_empty() => within.trim_end_matches('.').to_owned(),
            (Some(within), key) => {
                format!("{within}{}", key.strip_prefix("auth.").unwrap_or(&key))
            }
        };
        self.problems.push(Found {
            origin: origin.clone(),
            key,
            message: message.into(),
            help: help.into(),
            cause: None,
        });
    }

    /// Whether a problem was found in what was written at `origin`.
    pub(super) fn has_error_at(&self, origin: &Origin) -> bool {
        self.problems.iter().any(|found| found.origin == *origin)
    }

    /// The system refused something about the last problem, for this reason.
    pub(super) fn caused_by(&mut self, cause: Option<io::ErrorKind>) {
        if let Some(last) = self.problems.last_mut() {
            last.cause = cause;
        }
    }

    pub(super) fn is_clean(&self) -> bool {
        self.problems.is_empty()
    }

    /// The errors with their positions in `source`: those of the file first, by position.
    pub(super) fn into_errors(mut self, source: &Source) -> ConfigErrors {
        self.problems.sort_by_key(|found| match &found.origin {
            Origin::File(span) => (0, span.start),
            _ => (1, 0),
        });
        let place = |Found { origin, key, message, help, cause }| {
            let (place, excerpt) = match origin {
                Origin::File(span) => source.locate(&span),
                Origin::Variable(name) => (Place::Variable(name), None),
                Origin::Flag(name) => (Place::Flag(name), None),
                Origin::Unplaced => (Place::Unplaced, None),
            };
            Problem { place, key, message, help, cause, excerpt }
        };
        ConfigErrors { problems: self.problems.into_iter().map(place).collect() }
    }
}

impl Source {
    pub(super) fn new(path: &Path, text: Zeroizing<String>) -> Self {
        Self { path: path.into(), text, hidden: Vec::new(), translated: false }
    }

    /// Line and column of `span`, and its line with hidden parts masked.
    fn locate(&self, span: &Range<usize>) -> (Place, Option<Excerpt>) {
        let before = self.text.get(..span.start).unwrap_or(&self.text);
        let line = before.matches('\n').count() + 1;
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        let column = before.get(start..).unwrap_or("").chars().count() + 1;
        let path = match self.translated {
            false => self.path.clone(),
            true => format!("{}, translated", self.path.display()).into(),
        };
        let place = Place::File { path, line, column };
        let text = self.text.get(start..).unwrap_or("").lines().next().unwrap_or("");
        (place, Some(self.excerpt(text, start, span)))
    }

    fn excerpt(&self, line: &str, start: usize, span: &Range<usize>) -> Excerpt {
        let (mut text, mut length) = (String::new(), 0);
        let (mut from, mut to) = (None, 0);
        let mut masking = None;
        for (at, c) in line.char_indices().map(|(at, c)| (start + at, c)) {
            let hidden = self.hidden.iter().position(|range| range.contains(&at));
            match hidden {
                Some(_) if hidden == masking => {}
                Some(_) => {
                    text.push_str("***");
                    length += 3;
                }
                None => {
                    text.push(if c.is_control() { ' ' } else { c });
                    length += 1;
                }
            }
            if span.contains(&at) || (from.is_none() && at >= span.start) {
                let width = if hidden.is_some() { 3 } else { 1 };
                from.get_or_insert(length - width);
                to = to.max(length);
            }
            masking = hidden;
        }
        let from = from.unwrap_or(length);
        Excerpt { text, from, width: to.saturating_sub(from).max(1) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn access_that_was_denied_is_known_by_its_kind_and_not_by_words() {
        let errors = |cause| {
            let mut findings = Findings::default();
            findings.error(&Origin::Unplaced, "", "cannot read /srv/Permission denied", "");
            findings.caused_by(cause);
            findings.error(&Origin::Unplaced, "realm", "is empty", "write one");
            findings.into_errors(&Source::default())
        };
        assert!(
            errors(Some(io::ErrorKind::PermissionDenied))
                .is_caused_by(io::ErrorKind::PermissionDenied)
        );
        assert!(
            !errors(Some(io::ErrorKind::NotFound)).is_caused_by(io::ErrorKind::PermissionDenied)
        );
        assert!(!errors(None).is_caused_by(io::ErrorKind::PermissionDenied));
    }
}
