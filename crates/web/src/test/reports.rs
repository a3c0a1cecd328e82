//! What tests have found: kept for a day at most.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use taciturn_control::TestReport;

/// Reports at a time; the oldest makes room.
const MOST: usize = 64;

/// How long one is kept.
const KEPT: Duration = Duration::from_secs(86_400);

/// In the order of their revisions.
#[derive(Debug, Default)]
pub(super) struct Reports {
    kept: VecDeque<(Instant, TestReport)>,
    last: u64,
}

impl Reports {
    /// Keeps a report, in place of the one of the same test.
    pub(super) fn keep(&mut self, now: Instant, mut report: TestReport) {
        self.forget(now);
        let same = |known: &TestReport| known.link == report.link && known.id == report.id;
        self.kept.retain(|(_, known)| !same(known));
        if self.kept.len() >= MOST {
            self.kept.pop_front();
        }
        self.last += 1;
        report.revision = self.last;
        self.kept.push_back((now, report));
    }

    /// Those of a link, or of all, with a higher revision.
    pub(super) fn after(
        &mut self,
        now: Instant,
        link: Option<u64>,
        revision: u64,
    ) -> Vec<TestReport> {
        self.forget(now);
        let reports = self.kept.iter().map(|(_, report)| report);
        let wanted = reports.filter(|report| {
            report.revision > revision && link.is_none_or(|link| link == report.link)
        });
        wanted.cloned().collect()
    }

    fn forget(&mut self, now: Instant) {
        self.kept.retain(|(at, _)| now.saturating_duration_since(*at) < KEPT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(link: u64, id: &str) -> TestReport {
        TestReport {
            link,
            revision: 0,
            id: id.into(),
            person: 1,
            at: 0,
            address: String::new(),
            language: String::new(),
            verdict: "ok".into(),
            advice: Vec::new(),
            uris: Vec::new(),
            pair: None,
            seen: taciturn_control::TestSeen::default(),
        }
    }

    fn ids(reports: &[TestReport]) -> Vec<&str> {
        reports.iter().map(|report| report.id.as_str()).collect()
    }

    #[test]
    fn the_last_report_of_a_test_holds_and_is_told_anew() {
        let (mut reports, now) = (Reports::default(), Instant::now());
        for id in ["a", "b", "a"] {
            reports.keep(now, report(1, id));
        }
        reports.keep(now, report(2, "a"));
        let all = reports.after(now, Some(1), 0);
        assert_eq!(ids(&all), ["b", "a"]);
        assert_eq!(ids(&reports.after(now, Some(1), all[0].revision)), ["a"]);
        assert_eq!(reports.after(now, None, 0).len(), 3);
    }

    #[test]
    fn they_are_few_and_kept_for_a_day() {
        let (mut reports, now) = (Reports::default(), Instant::now());
        for number in 0..=MOST {
            reports.keep(now, report(1, &number.to_string()));
        }
        assert_eq!(reports.after(now, None, 0).len(), MOST);
        assert_eq!(reports.after(now + KEPT, None, 0), []);
        assert!(reports.kept.is_empty());
    }
}
