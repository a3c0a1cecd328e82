//! `turnctl test-link`: an address for the person whose call fails, and what its browser and the server find out.

mod words;

use std::io::{self, IsTerminal as _, Write};
use std::time::Duration;

use clap::Args;
use qrcode::QrCode;
use qrcode::render::unicode::Dense1x2;
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};

use super::CtlError;
use super::certs::date;
use super::page::{duration, url};
use super::socket::{SocketArgs, another_answer, ask_once};
use taciturn_config::Environment;
use taciturn_control::{Answer, Request, TestLink, TestReport};

/// How often the server is asked for results.
const EVERY: Duration = Duration::from_secs(1);

/// The arguments of `test-link`.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Examples:\n  turnctl test-link\n      Prints an address and a QR code, and waits for results.\n  \
                  turnctl test-link --for 1d --people 1 --no-wait\n  turnctl test-link --results\n  \
                  turnctl test-link --end\n      Ends all links."
)]
pub struct TestLinkArgs {
    #[command(flatten)]
    socket: SocketArgs,
    /// How long the link is valid, from 1m to 7d
    #[arg(long = "for", value_name = "TIME", default_value = "1h", value_parser = duration)]
    valid: Duration,
    /// How many people may test at a time, 1 to 4; two of them also test the way between them
    #[arg(long, value_name = "NUMBER", default_value_t = 2)]
    people: u32,
    /// Where the server is reached, if not at the address that it tells: behind a proxy that passes TLS on
    #[arg(long, value_name = "URL", value_parser = url)]
    url: Option<String>,
    /// Print the address and exit; results stay for a day
    #[arg(long)]
    no_wait: bool,
    /// Print the results of the last day, without a new link
    #[arg(long, conflicts_with_all = ["url", "no_wait", "end"])]
    results: bool,
    /// End all links
    #[arg(long, conflicts_with_all = ["url", "no_wait"])]
    end: bool,
}

/// A line of JSON.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum JsonLine<'a> {
    Link { url: &'a str, number: u64, ends_at: u64, people: u32, served_on: &'a str },
    Report(&'a TestReport),
}

/// Makes a link, and shows what comes of it.
pub(super) fn run(
    args: &TestLinkArgs,
    env: &Environment,
    out: &mut dyn Write,
) -> Result<(), CtlError> {
    let shown = Shown { json: args.socket.json, terminal: io::stdout().is_terminal() };
    // The lines of the server are not those that are printed.
    let socket = SocketArgs { json: false, ..args.socket.clone() };
    let mut asked = |request: &Request| ask_once(&socket, env, request, &mut io::sink());
    if args.end {
        let Answer::Messages(messages) = asked(&Request::EndTestLinks)? else { return Ok(()) };
        for message in messages {
            writeln!(out, "{message}")?;
        }
        return Ok(());
    }
    if args.results {
        let reports = reports(&mut asked, None, 0)?;
        if reports.is_empty() && !shown.json {
            writeln!(out, "no results within the last day")?;
        }
        return Ok(shown.reports(&reports, out)?);
    }
    let request = Request::TestLink { for_seconds: args.valid.as_secs(), people: args.people };
    let link = match asked(&request)? {
        Answer::TestLink(link) => link,
        other => return Err(another_answer(&other)),
    };
    shown.link(&link, args.url.as_deref(), args.no_wait, out)?;
    out.flush()?;
    if args.no_wait { Ok(()) } else { wait(&link, &shown, &mut asked, out) }
}

/// Shows results as they come in, until the link has ended or the user ends it.
fn wait(
    link: &TestLink,
    shown: &Shown,
    asked: &mut impl FnMut(&Request) -> Result<Answer, CtlError>,
    out: &mut dyn Write,
) -> Result<(), CtlError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(CtlError::Output)?;
    let mut after = 0;
    runtime.block_on(async {
        // From here on, not only while it waits.
        let mut interrupts = signal(SignalKind::interrupt()).map_err(CtlError::Output)?;
        loop {
            let reports = reports(asked, Some(link.number), after)?;
            shown.reports(&reports, out)?;
            out.flush()?;
            after = reports.iter().map(|report| report.revision).fold(after, u64::max);
            if unix_now() >= link.ends_at {
                return Ok(());
            }
            tokio::select! {
                _ = interrupts.recv() => {
                    if !shown.json {
                        let until = until(link);
                        writeln!(
                            out,
                            "\nThe link stays valid until {until}.\n\
                             turnctl test-link --end ends it; --results shows what comes in."
                        )?;
                    }
                    return Ok(());
                }
                () = tokio::time::sleep(EVERY) => {}
            }
        }
    })
}

fn reports(
    asked: &mut impl FnMut(&Request) -> Result<Answer, CtlError>,
    link: Option<u64>,
    after: u64,
) -> Result<Vec<TestReport>, CtlError> {
    match asked(&Request::TestReports { link, after })? {
        Answer::TestReports(reports) => Ok(reports),
        other => Err(another_answer(&other)),
    }
}

/// How results are shown.
struct Shown {
    json: bool,
    terminal: bool,
}

impl Shown {
    fn link(
        &self,
        link: &TestLink,
        given: Option<&str>,
        no_wait: bool,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let url = format!("{}{}", given.unwrap_or(&link.address), link.path);
        if self.json {
            let TestLink { number, ends_at, people, .. } = *link;
            let served_on = &link.served_on;
            return line(&JsonLine::Link { url: &url, number, ends_at, people, served_on }, out);
        }
        writeln!(out, "{url}\n")?;
        if self.terminal
            && let Some(code) = qr_code(&url)
        {
            writeln!(out, "{code}")?;
        }
        let people = if link.people == 1 { "1 person" } else { &format!("{} people", link.people) };
        writeln!(
            out,
            "For the person whose call fails, on the phone or computer that it fails on.\n\
             Valid for {people}, until {}.",
            until(link)
        )?;
        let served = match (given, link.served_on.as_str()) {
            (Some(_), _) => {
                "It is read at the address that was given; the server must be reached there."
            }
            (None, "web") => "It is read at the address of [web].",
            (None, "tls") => "It is read over TLS, on the listener for TURN.",
            (None, "proxy") => {
                "It is read over TLS, through the proxy in front on port 443. If that has another\n\
                 address, add --url."
            }
            (None, _) => {
                "It is read over TCP without TLS, for there is no certificate: others in the\n\
                 network can read along. What it gives away ends after ten minutes and reaches\n\
                 nobody else."
            }
        };
        writeln!(out, "{served}")?;
        if !no_wait {
            writeln!(out, "Waiting for results. Ctrl-C ends that; the link stays.\n")?;
        }
        Ok(())
    }

    fn reports(&self, reports: &[TestReport], out: &mut dyn Write) -> io::Result<()> {
        for report in reports {
            match self.json {
                true => line(&JsonLine::Report(report), out)?,
                false => words::print(report, out)?,
            }
        }
        Ok(())
    }
}

fn line(line: &JsonLine<'_>, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{}", serde_json::to_string(line)?)
}

/// Black on white, whatever the colours of the terminal are.
fn qr_code(url: &str) -> Option<String> {
    let code = QrCode::new(url).ok()?.render::<Dense1x2>().quiet_zone(true).build();
    let lines = code.lines().map(|line| format!("\x1b[30;47m{line}\x1b[0m\n"));
    Some(lines.collect())
}

fn until(link: &TestLink) -> String {
    date(i64::try_from(link.ends_at).unwrap_or(i64::MAX))
}

fn unix_now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(served_on: &str) -> TestLink {
        TestLink {
            number: 3,
            address: "https://turn.example.org:5349/".into(),
            path: "test/0123456789abcdefABC-_z/".into(),
            served_on: served_on.into(),
            ends_at: 1_800_000_000,
            people: 2,
        }
    }

    fn printed(shown: &Shown, served_on: &str, given: Option<&str>) -> String {
        let mut out = Vec::new();
        shown.link(&link(served_on), given, false, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    const TEXT: Shown = Shown { json: false, terminal: false };

    #[test]
    fn the_address_stands_first_and_what_it_is_read_on_is_said() {
        let text = printed(&TEXT, "tls", None);
        let first = text.lines().next().unwrap();
        assert_eq!(first, "https://turn.example.org:5349/test/0123456789abcdefABC-_z/");
        assert!(text.contains("Valid for 2 people, until Fri, 15 Jan 2027 08:00:00 GMT"), "{text}");
        assert!(text.contains("over TLS, on the listener"), "{text}");
        assert!(printed(&TEXT, "tcp", None).contains("without TLS"));
        assert!(printed(&TEXT, "proxy", None).contains("--url"));
        let text = printed(&TEXT, "proxy", Some("https://calls.example.org/"));
        assert!(
            text.starts_with("https://calls.example.org/test/0123456789abcdefABC-_z/\n"),
            "{text}"
        );
    }

    #[test]
    fn lines_fit_into_80_columns() {
        for served_on in ["web", "tls", "proxy", "tcp"] {
            let text = printed(&TEXT, served_on, None);
            assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        }
        let text = printed(&TEXT, "tls", Some("https://calls.example.org/"));
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    }

    #[test]
    fn a_terminal_gets_a_code_to_scan() {
        let text = printed(&Shown { json: false, terminal: true }, "tls", None);
        assert!(text.contains("\u{1b}[30;47m") && text.contains('█'), "{text}");
        assert!(!printed(&TEXT, "tls", None).contains('█'));
    }

    #[test]
    fn json_has_the_address_too() {
        let shown = Shown { json: true, terminal: true };
        let line: serde_json::Value = serde_json::from_str(&printed(&shown, "tls", None)).unwrap();
        assert_eq!(line["link"]["served_on"], "tls");
        assert_eq!(
            line["link"]["url"],
            "https://turn.example.org:5349/test/0123456789abcdefABC-_z/"
        );
    }
}
