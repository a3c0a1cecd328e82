//! The report on its way to the running server, which shows it on its status page.

use std::path::Path;
use std::time::Duration;

use super::super::report::{Finding, Report, Status};
use taciturn_control::{Connection, DoctorFinding, Request};

/// How long the server may take. The report is on the screen anyway.
const PATIENCE: Duration = Duration::from_secs(2);

/// Characters of one text at most.
const LONGEST: usize = 500;

/// Findings at most. So many fit into a request.
const MOST: usize = 40;

/// Sends the report to the server whose control socket this is. Nobody needs to know if that is not possible: there may
/// be no server, or one that this user may not ask.
pub(super) fn tell(socket: &Path, report: &Report) {
    let request = Request::DoctorReport { findings: findings(report) };
    let Ok(mut connection) = Connection::open(socket, PATIENCE, env!("CARGO_PKG_VERSION")) else {
        return;
    };
    if connection.send(&request).is_ok() {
        let _ = connection.receive();
    }
}

/// Those that need action first.
fn findings(report: &Report) -> Vec<DoctorFinding> {
    let mut findings: Vec<_> = report.findings().collect();
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.status));
    findings.truncate(MOST);
    findings.into_iter().map(short).collect()
}

fn short(finding: &Finding) -> DoctorFinding {
    let needs_action = finding.status >= Status::Warn;
    let advice = |text: &str| if needs_action { cut(text) } else { String::new() };
    DoctorFinding {
        id: finding.id.to_owned(),
        status: finding.status.json().to_owned(),
        title: cut(&finding.title),
        why: advice(&finding.why),
        fix: advice(finding.fix.as_deref().unwrap_or_default()),
    }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Section;

    #[test]
    fn what_needs_action_comes_first_and_has_its_remedy() {
        let mut section = Section::new("Machine");
        section.push(Finding::pass("clock", "right").why("not sent"));
        section.push(Finding::fail("ports", "closed").why("silence").fix("open them"));
        section.push(Finding::warn("memory", "little"));
        let report = Report { sections: vec![section], ..Report::default() };
        let sent = findings(&report);
        let ids: Vec<_> = sent.iter().map(|finding| finding.id.as_str()).collect();
        assert_eq!(ids, ["ports", "memory", "clock"]);
        assert_eq!((sent[0].status.as_str(), sent[0].fix.as_str()), ("fail", "open them"));
        assert_eq!((sent[2].status.as_str(), sent[2].why.as_str()), ("pass", ""));
    }

    #[test]
    fn a_long_report_is_cut() {
        let mut section = Section::new("Machine");
        for _ in 0..200 {
            section.push(Finding::pass("ports", "я".repeat(1000)));
        }
        let report = Report { sections: vec![section], ..Report::default() };
        let sent = findings(&report);
        assert_eq!(sent.len(), MOST);
        assert_eq!(sent[0].title, format!("{}...", "я".repeat(LONGEST)));
    }
}
