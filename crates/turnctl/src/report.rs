//! What `check` and `doctor` find, and how it is shown: a line for each test, why it matters, and
//! what to do.

use std::io::{self, IsTerminal as _, Write};

use serde_json::{Value, json};
use taciturn_config::Environment;

/// How a test ended. Ordered from good to bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// As it should be.
    Pass,
    /// Worth knowing; nothing to do.
    Info,
    /// Not tested, and why.
    Skip,
    /// Works for some, or will break later; calls continue.
    Warn,
    /// Calls fail because of it, or the server is open to strangers.
    Fail,
}

impl Status {
    /// The word in front of a line, and in JSON in small letters.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pass => "ok",
            Self::Info => "info",
            Self::Skip => "skip",
            Self::Warn => "WARN",
            Self::Fail => "FAIL",
        }
    }

    /// Its name in JSON.
    #[must_use]
    pub const fn json(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Info => "info",
            Self::Skip => "skip",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }

    /// How a terminal shows the word (SGR).
    const fn colour(self) -> &'static str {
        match self {
            Self::Pass => "\x1b[32m",
            Self::Info | Self::Skip => "\x1b[2m",
            Self::Warn => "\x1b[1;33m",
            Self::Fail => "\x1b[1;31m",
        }
    }
}

/// The result of one test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// A stable name for scripts and search engines: `relay-private`.
    pub id: &'static str,
    /// How it ended.
    pub status: Status,
    /// One line: what was seen, with its numbers and addresses.
    pub title: String,
    /// Why it matters to a call; may be empty where `status` is [`Status::Pass`].
    pub why: String,
    /// The exact remedy. A line that begins with a blank is a command and is never wrapped.
    pub fix: Option<String>,
}

impl Finding {
    fn new(status: Status, id: &'static str, title: impl Into<String>) -> Self {
        Self { id, status, title: title.into(), why: String::new(), fix: None }
    }

    /// A test that passed.
    pub fn pass(id: &'static str, title: impl Into<String>) -> Self {
        Self::new(Status::Pass, id, title)
    }

    /// Something worth knowing.
    pub fn info(id: &'static str, title: impl Into<String>) -> Self {
        Self::new(Status::Info, id, title)
    }

    /// A test that could not be made here.
    pub fn skip(id: &'static str, title: impl Into<String>) -> Self {
        Self::new(Status::Skip, id, title)
    }

    /// Something that will break, or breaks for some.
    pub fn warn(id: &'static str, title: impl Into<String>) -> Self {
        Self::new(Status::Warn, id, title)
    }

    /// Something that breaks calls, or that strangers can use.
    pub fn fail(id: &'static str, title: impl Into<String>) -> Self {
        Self::new(Status::Fail, id, title)
    }

    /// Adds why it matters.
    #[must_use]
    pub fn why(mut self, why: impl Into<String>) -> Self {
        self.why = why.into();
        self
    }

    /// Adds what to do.
    #[must_use]
    pub fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }

    fn to_json(&self) -> Value {
        json!({
            "id": self.id,
            "status": self.status.json(),
            "title": self.title,
            "why": self.why,
            "fix": self.fix,
        })
    }
}

/// Findings that belong together, under one heading.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Section {
    /// The tested object: a URI, a file, a part of the machine.
    pub heading: String,
    /// In the order of the tests.
    pub findings: Vec<Finding>,
}

impl Section {
    /// An empty section.
    pub fn new(heading: impl Into<String>) -> Self {
        Self { heading: heading.into(), findings: Vec::new() }
    }

    /// Adds a finding.
    pub fn push(&mut self, finding: Finding) {
        self.findings.push(finding);
    }
}

/// All that was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// In the order of the tests.
    pub sections: Vec<Section>,
    /// The conclusions, in a few lines, each with its status.
    pub verdicts: Vec<(Status, String)>,
    /// Further members of the JSON object: numbers for scripts.
    pub facts: serde_json::Map<String, Value>,
}

/// The layout of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// Colours; for terminals only.
    pub colour: bool,
    /// Columns to wrap at; at least 40.
    pub width: usize,
}

impl Look {
    /// That of standard output: colours for a terminal, unless `NO_COLOR` is set, and lines of its width.
    #[must_use]
    pub fn of_output(env: &Environment) -> Self {
        if !io::stdout().is_terminal() {
            return Self::default();
        }
        let columns = rustix::termios::tcgetwinsize(io::stdout()).map_or(0, |size| size.ws_col);
        let width = if columns > 0 { usize::from(columns) } else { 80 };
        Self { colour: env.get("NO_COLOR").is_none(), width: width.clamp(60, 110) }
    }

    /// The text as a heading.
    #[must_use]
    pub fn bold(self, text: &str) -> String {
        if self.colour { format!("\x1b[1m{text}\x1b[0m") } else { text.to_owned() }
    }
}

impl Default for Look {
    fn default() -> Self {
        Self { colour: false, width: 100 }
    }
}

/// Columns in front of a title: two blanks, a word, a blank.
const MARGIN: usize = 8;

impl Report {
    /// Every finding, in order.
    pub fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.sections.iter().flat_map(|section| &section.findings)
    }

    /// How many findings ended like this.
    #[must_use]
    pub fn count(&self, status: Status) -> usize {
        self.findings().filter(|finding| finding.status == status).count()
    }

    /// 0 where all is well, 1 where there are warnings, 2 where something fails: by the worst of the findings and
    /// of the verdicts.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        let statuses = self.findings().map(|finding| finding.status);
        match statuses.chain(self.verdicts.iter().map(|(status, _)| *status)).max() {
            Some(Status::Fail) => 2,
            Some(Status::Warn) => 1,
            _ => 0,
        }
    }

    /// The report as JSON: `summary`, `sections` with their `findings`, `verdicts`, and the facts.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let section = |section: &Section| {
            let findings: Vec<_> = section.findings.iter().map(Finding::to_json).collect();
            json!({ "heading": section.heading, "findings": findings })
        };
        let verdict =
            |(status, text): &(Status, String)| json!({ "status": status.json(), "text": text });
        let mut object = self.facts.clone();
        let summary = json!({
            "exit_code": self.exit_code(),
            "pass": self.count(Status::Pass),
            "warn": self.count(Status::Warn),
            "fail": self.count(Status::Fail),
            "skip": self.count(Status::Skip),
        });
        object.insert("summary".into(), summary);
        object.insert("sections".into(), self.sections.iter().map(section).collect());
        object.insert("verdicts".into(), self.verdicts.iter().map(verdict).collect());
        Value::Object(object)
    }

    /// The report as text.
    ///
    /// # Errors
    /// When `out` cannot be written to.
    pub fn write_text(&self, out: &mut dyn Write, look: Look) -> io::Result<()> {
        let mut said = Vec::new();
        for section in &self.sections {
            write_heading(out, &section.heading, look)?;
            for finding in &section.findings {
                // Advice is read once; the same fault on five URIs shall not fill the screen.
                let advice = (finding.id, &finding.why, &finding.fix);
                let known = said.contains(&advice);
                said.push(advice);
                write_finding(out, finding, known, look)?;
            }
            writeln!(out)?;
        }
        if !self.verdicts.is_empty() {
            write_heading(out, "Verdict", look)?;
            for (status, text) in &self.verdicts {
                write_line(out, *status, text, look)?;
            }
            writeln!(out)?;
        }
        let count = |status, one: &str, many: &str| match self.count(status) {
            1 => format!("1 {one}"),
            n => format!("{n} {many}"),
        };
        writeln!(
            out,
            "{} passed, {}, {}",
            self.count(Status::Pass),
            count(Status::Warn, "warning", "warnings"),
            count(Status::Fail, "failure", "failures"),
        )?;
        match self.to_fix_first() {
            Some(finding) => {
                let text = format!("Fix first: {} [{}]", finding.title, finding.id);
                wrapped(&printable(&text), look.width)
                    .iter()
                    .try_for_each(|line| writeln!(out, "{line}"))
            }
            None => Ok(()),
        }
    }

    /// The first of the worst findings, if it may have left the screen.
    fn to_fix_first(&self) -> Option<&Finding> {
        /// What a short screen shows beside the rest.
        const SHORT: usize = 6;
        let worst = |status| self.findings().find(move |finding| finding.status == status);
        let finding = worst(Status::Fail).or_else(|| worst(Status::Warn))?;
        (self.findings().count() > SHORT).then_some(finding)
    }
}

fn write_heading(out: &mut dyn Write, heading: &str, look: Look) -> io::Result<()> {
    writeln!(out, "{}", look.bold(&printable(heading)))
}

/// `known`: why and what to do stand further up already.
fn write_finding(
    out: &mut dyn Write,
    finding: &Finding,
    known: bool,
    look: Look,
) -> io::Result<()> {
    let named = finding.status >= Status::Warn;
    if named {
        write_line(out, finding.status, &format!("{} [{}]", finding.title, finding.id), look)?;
    } else {
        write_line(out, finding.status, &finding.title, look)?;
    }
    if known && finding.fix.is_some() {
        return write_paragraph(out, "fix: ", "as above", look);
    }
    if finding.status != Status::Pass {
        write_paragraph(out, "why: ", &finding.why, look)?;
    }
    write_paragraph(out, "fix: ", finding.fix.as_deref().unwrap_or_default(), look)
}

fn write_line(out: &mut dyn Write, status: Status, text: &str, look: Look) -> io::Result<()> {
    let word = format!("{:<4}", status.word());
    if look.colour {
        write!(out, "  {}{word}\x1b[0m  ", status.colour())?;
    } else {
        write!(out, "  {word}  ")?;
    }
    for (at, line) in wrapped(&printable(text), look.width - MARGIN).into_iter().enumerate() {
        let margin = if at == 0 { 0 } else { MARGIN };
        writeln!(out, "{:margin$}{line}", "")?;
    }
    Ok(())
}

fn write_paragraph(out: &mut dyn Write, label: &str, text: &str, look: Look) -> io::Result<()> {
    let indent = MARGIN + label.len();
    let mut label = Some(label);
    for line in text.lines() {
        let line = printable(line);
        // A command has to survive copying.
        let lines = if line.starts_with(' ') {
            vec![line]
        } else {
            wrapped(&line, look.width.saturating_sub(indent))
        };
        for line in lines {
            match label.take() {
                Some(label) => writeln!(out, "{:MARGIN$}{label}{line}", "")?,
                None => writeln!(out, "{:indent$}{line}", "")?,
            }
        }
    }
    Ok(())
}

/// The message of an error, with its sentences wrapped. What is indented, or quoted from a file, stays as it is.
pub(crate) fn wrapped_message(text: &str, width: usize) -> String {
    let lines = text.lines().map(|line| match line.starts_with("error: ") {
        true => wrapped(line, width).join("\n"),
        false => line.to_owned(),
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Text from servers and files may hold what a terminal would obey.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// Breaks at blanks; a word longer than a line gets a line of its own.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(findings: Vec<Finding>) -> Report {
        let mut section = Section::new("turn:h.org:3478");
        section.findings = findings;
        Report { sections: vec![section], ..Report::default() }
    }

    fn text(report: &Report, look: Look) -> String {
        let mut out = Vec::new();
        report.write_text(&mut out, look).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn exit_code_is_that_of_the_worst_finding() {
        let pass = Finding::pass("a", "A");
        let skip = Finding::skip("s", "S");
        let warn = Finding::warn("w", "W");
        let fail = Finding::fail("f", "F");
        assert_eq!(report(vec![]).exit_code(), 0);
        assert_eq!(report(vec![pass.clone(), skip]).exit_code(), 0);
        assert_eq!(report(vec![warn.clone(), pass]).exit_code(), 1);
        assert_eq!(report(vec![fail, warn]).exit_code(), 2);
    }

    #[test]
    fn a_verdict_counts_as_a_finding_does() {
        let mut report = report(vec![Finding::pass("a", "A")]);
        for (status, code) in [(Status::Skip, 0), (Status::Warn, 1), (Status::Fail, 2)] {
            report.verdicts = vec![(Status::Pass, "one".into()), (status, "two".into())];
            assert_eq!(report.exit_code(), code);
        }
    }

    #[test]
    fn text_has_why_and_fix_and_leaves_commands_whole() {
        let long = format!("  ufw allow {}", "59000:60100/udp ".repeat(6));
        let fail = Finding::fail("relay-closed", "no packet came back")
            .why("the call stays at \"Connecting\".")
            .fix(format!("Open the relay range:\n{long}"));
        let report =
            report(vec![Finding::pass("dns", "h.org is 192.0.2.1").why("not shown"), fail]);
        let text = text(&report, Look { colour: false, width: 60 });
        let expected = format!(
            "turn:h.org:3478\n  ok    h.org is 192.0.2.1\n  \
             FAIL  no packet came back [relay-closed]\n        \
             why: the call stays at \"Connecting\".\n        \
             fix: Open the relay range:\n             {long}\n\n\
             1 passed, 0 warnings, 1 failure\n"
        );
        assert_eq!(text, expected);
    }

    #[test]
    fn the_end_of_a_long_report_names_the_first_of_the_worst() {
        let mut findings = vec![Finding::pass("p", "P"); 6];
        assert!(text(&report(findings.clone()), Look::default()).ends_with("0 failures\n"));
        findings.extend([
            Finding::warn("w", "W"),
            Finding::fail("f", "F"),
            Finding::fail("g", "G"),
        ]);
        let text = text(&report(findings), Look::default());
        assert!(text.ends_with("2 failures\nFix first: F [f]\n"), "{text}");
    }

    #[test]
    fn advice_is_given_once() {
        let fail = |title: &str| Finding::fail("f", title).why("because").fix("do this");
        let text = text(&report(vec![fail("one"), fail("two")]), Look::default());
        assert_eq!(text.matches("fix: do this").count(), 1, "{text}");
        assert!(text.contains("  FAIL  two [f]\n        fix: as above\n"), "{text}");
    }

    #[test]
    fn lines_wrap_below_their_beginning() {
        let warn = Finding::warn("w", "one two three four five six seven eight nine ten eleven");
        let text = text(&report(vec![warn]), Look { colour: false, width: 40 });
        let lines: Vec<_> = text.lines().collect();
        assert!(lines[2].starts_with("        ") && lines[1].chars().count() <= 40, "{text}");
    }

    #[test]
    fn the_sentences_of_an_error_wrap_and_what_it_quotes_does_not() {
        let quoted = " --> /a/long/path/that/is/wider/than/the/screen.toml:1:1\n  = help: write what is wanted";
        let text = format!("error: this key is not one that there is\n{quoted}");
        let expected = format!("error: this key is\nnot one that there\nis\n{quoted}");
        assert_eq!(wrapped_message(&text, 20), expected);
    }

    #[test]
    fn what_a_terminal_would_obey_is_not_printed() {
        let text =
            text(&report(vec![Finding::pass("s", "SOFTWARE \x1b]0;x\x07")]), Look::default());
        assert!(!text.contains('\x1b') && !text.contains('\x07'), "{text:?}");
    }

    #[test]
    fn json_has_counts_findings_verdicts_and_facts() {
        let mut report = report(vec![Finding::warn("w", "W").why("y").fix("z")]);
        report.verdicts.push((Status::Pass, "open UDP".into()));
        report.facts.insert("rtt_ms".into(), json!(3));
        let json = report.to_json();
        assert_eq!(json["summary"]["warn"], 1);
        assert_eq!(json["summary"]["exit_code"], 1);
        assert_eq!(json["rtt_ms"], 3);
        assert_eq!(json["verdicts"][0]["text"], "open UDP");
        let finding = &json["sections"][0]["findings"][0];
        assert_eq!((&finding["id"], &finding["status"]), (&json!("w"), &json!("warn")));
        assert_eq!((&finding["why"], &finding["fix"]), (&json!("y"), &json!("z")));
    }
}
