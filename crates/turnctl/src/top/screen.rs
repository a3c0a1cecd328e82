//! The screen of `top`: what is on it, and what keys do.

use std::collections::VecDeque;
use std::time::SystemTime;

use ratatui::Frame;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::layout::{Alignment, Constraint, Layout, Rect};
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Text};
use ratatui::widgets::{Paragraph, Row, Sparkline, Table};

use super::rates::{self, Rate, Sample, of_servers, of_sessions};
use super::show::{self, TEXTS, TITLES, WIDTHS};
use taciturn_control::Session;

/// Samples that the small graphs hold: more than a terminal is wide.
const HISTORY: usize = 512;

/// The longest part of a name that can be asked for.
const LONGEST_FILTER: usize = 128;

/// The width of the text before a graph.
const LABEL: u16 = 44;

/// The sort order of the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Rate,
    Total,
    Age,
    User,
}

impl Order {
    const fn next(self) -> Self {
        match self {
            Self::Rate => Self::Total,
            Self::Total => Self::Age,
            Self::Age => Self::User,
            Self::User => Self::Rate,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Rate => "rate",
            Self::Total => "total",
            Self::Age => "age",
            Self::User => "user",
        }
    }
}

/// All that is on the screen.
#[derive(Debug)]
pub(super) struct Screen {
    now: Sample,
    /// As many as `now` has sessions, in their order.
    rates: Vec<Option<Rate>>,
    server: Option<Rate>,
    /// Bits a second: to peers, and to clients. The newest last.
    history: [VecDeque<u64>; 2],
    order: Order,
    paused: bool,
    /// A part of a user's name; empty is all.
    filter: String,
    /// Whether keys go into the filter.
    typing: bool,
    /// The first row shown.
    offset: usize,
    /// Rows that the screen had room for when it was drawn last.
    page: usize,
    /// Why the server could not be asked the last time.
    trouble: Option<String>,
}

impl Screen {
    /// Begins with one sample, which has no rates yet.
    pub(super) fn new(first: Sample) -> Self {
        Self {
            rates: vec![None; first.sessions.len()],
            now: first,
            server: None,
            history: [VecDeque::new(), VecDeque::new()],
            order: Order::Rate,
            paused: false,
            filter: String::new(),
            typing: false,
            offset: 0,
            page: 1,
            trouble: None,
        }
    }

    /// Whether it asks for no samples.
    pub(super) const fn is_paused(&self) -> bool {
        self.paused
    }

    /// Shows another sample.
    pub(super) fn take(&mut self, sample: Sample) {
        self.rates = of_sessions(&self.now, &sample);
        self.server = of_servers(&self.now, &sample);
        let rate = self.server.unwrap_or_default();
        for (history, bits) in self.history.iter_mut().zip(rate.bits) {
            if history.len() == HISTORY {
                history.pop_front();
            }
            // SAFE: rates are not negative, and a float turns into the nearest number.
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            history.push_back(bits as u64);
        }
        self.now = sample;
        self.trouble = None;
    }

    /// Shows why there is no other sample.
    pub(super) fn failed(&mut self, why: String) {
        self.trouble = Some(why);
    }

    /// Handles a key. Returns false to quit.
    pub(super) fn key(&mut self, key: KeyEvent) -> bool {
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return !matches!(key.code, KeyCode::Char('c' | 'd'));
        }
        if self.typing {
            match key.code {
                KeyCode::Enter => self.typing = false,
                KeyCode::Esc => (self.typing, self.filter) = (false, String::new()),
                KeyCode::Backspace => drop(self.filter.pop()),
                KeyCode::Char(c) if self.filter.len() < LONGEST_FILTER => self.filter.push(c),
                _ => {}
            }
            self.offset = 0;
            return true;
        }
        match key.code {
            KeyCode::Char('q') => return false,
            KeyCode::Char('s') => (self.order, self.offset) = (self.order.next(), 0),
            KeyCode::Char('p' | ' ') => self.paused = !self.paused,
            KeyCode::Char('u' | '/') => self.typing = true,
            KeyCode::Esc => self.filter.clear(),
            KeyCode::Up => self.offset = self.offset.saturating_sub(1),
            KeyCode::Down => self.offset += 1,
            KeyCode::PageUp => self.offset = self.offset.saturating_sub(self.page),
            KeyCode::PageDown => self.offset += self.page,
            KeyCode::Home => self.offset = 0,
            KeyCode::End => self.offset = usize::MAX,
            _ => {}
        }
        true
    }

    /// Draws all of it.
    pub(super) fn draw(&mut self, frame: &mut Frame<'_>) {
        let areas = Layout::vertical([
            Constraint::Length(1),
            Constraint::Length(1),
            Constraint::Length(1),
            Constraint::Length(1),
            Constraint::Min(2),
            Constraint::Length(1),
        ]);
        let [server, to_peers, to_clients, _, table, keys] = areas.areas(frame.area());
        frame.render_widget(show::head(&self.now, SystemTime::now()), server);
        self.graph(frame, to_peers, 0, "to peers");
        self.graph(frame, to_clients, 1, "to clients");
        self.table(frame, table);
        frame.render_widget(Paragraph::new(self.foot()).style(Modifier::REVERSED), keys);
    }

    fn graph(&self, frame: &mut Frame<'_>, area: Rect, way: usize, title: &str) {
        let [label, graph] =
            Layout::horizontal([Constraint::Length(LABEL), Constraint::Min(0)]).areas(area);
        let text = format!("{title:<10} {}", show::way(self.server.as_ref(), way));
        frame.render_widget(text, label);
        let Some(history) = self.history.get(way) else { return };
        // A graph draws from its first number on: those that do not fit are the oldest.
        let skipped = history.len().saturating_sub(usize::from(graph.width));
        frame.render_widget(Sparkline::default().data(history.iter().skip(skipped)), graph);
    }

    fn table(&mut self, frame: &mut Frame<'_>, area: Rect) {
        self.page = usize::from(area.height.saturating_sub(1)).max(1);
        let rows = self.rows();
        let (number, page) = (rows.len(), self.page);
        let offset = self.offset.min(number.saturating_sub(page));
        let columns = show::columns(area.width, self.now.fleet.is_some());
        let cells = |cells: [String; show::COLUMNS]| {
            let chosen = cells.into_iter().enumerate().filter(|(at, _)| columns.contains(at));
            Row::new(chosen.map(|(at, text)| {
                let alignment = if at < TEXTS { Alignment::Left } else { Alignment::Right };
                Text::from(text).alignment(alignment)
            }))
        };
        let shown = rows.iter().skip(offset).take(page);
        let shown = shown.map(|(session, rate)| cells(show::row(session, *rate)));
        let title = cells(TITLES.map(str::to_owned)).style(Style::new().bold());
        let chosen = WIDTHS.iter().enumerate().filter(|(at, _)| columns.contains(at));
        let widths = chosen.map(|(at, width)| match at {
            1 => Constraint::Fill(1), // of names there is what is left
            _ => Constraint::Length(*width),
        });
        frame.render_widget(Table::new(shown, widths).header(title), area);
        self.offset = offset;
    }

    /// The sessions to show, in their order.
    fn rows(&self) -> Vec<(&Session, Option<&Rate>)> {
        let wanted = |session: &Session| session.user.contains(&self.filter);
        let all = self.now.sessions.iter().zip(&self.rates);
        let mut rows: Vec<_> = all
            .filter(|(session, _)| wanted(session))
            .map(|(session, rate)| (session, rate.as_ref()))
            .collect();
        // Stable: those that are equal do not change places from one look to the next.
        match self.order {
            Order::Rate => rows.sort_by(|(_, a), (_, b)| show::busier(*a, *b)),
            Order::Total => {
                rows.sort_by_key(|(session, _)| std::cmp::Reverse(rates::bytes(&session.traffic)))
            }
            Order::Age => rows.sort_by_key(|(session, _)| std::cmp::Reverse(session.age_seconds)),
            Order::User => rows.sort_by_key(|(session, _)| &session.user),
        }
        rows
    }

    fn foot(&self) -> Line<'static> {
        if self.typing {
            let typed = self.filter.escape_debug();
            return format!("users with: {typed}_   Enter keep, Esc all").into();
        }
        if let Some(trouble) = &self.trouble {
            return format!("{trouble}; trying again, q quits").into();
        }
        let paused = if self.paused { "PAUSED  " } else { "" };
        let filter = match self.filter.as_str() {
            "" => "u user".to_owned(),
            part => format!("u user ({})", part.escape_debug()),
        };
        format!("{paused}q quit  s sort ({})  p pause  {filter}", self.order.name()).into()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::super::rates::tests::{sample, session};
    use super::*;

    /// The content of a terminal of this size, line by line.
    fn drawn(screen: &mut Screen, width: u16, height: u16) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| screen.draw(frame)).unwrap();
        let buffer = terminal.backend().buffer().clone();
        let row = |y| (0..width).map(|x| buffer[(x, y)].symbol().to_owned()).collect::<String>();
        (0..height).map(row).collect()
    }

    fn press(screen: &mut Screen, keys: &str) -> bool {
        keys.chars().all(|key| {
            let code = match key {
                '\n' => KeyCode::Enter,
                '\u{1b}' => KeyCode::Esc,
                'v' => KeyCode::PageDown,
                '^' => KeyCode::Home,
                key => KeyCode::Char(key),
            };
            screen.key(KeyEvent::new(code, KeyModifiers::NONE))
        })
    }

    /// Two users; the second session has relayed 25,000 bytes in a second, the first nothing.
    fn screen() -> Screen {
        let start = Instant::now();
        let sessions = |more| {
            let mut quiet = session("192.0.2.3:3333", 90, [40_000, 0]);
            quiet.user = "2000000000:@bob:domain.org".to_owned();
            vec![quiet, session("192.0.2.4:4444", 95, [more, 0])]
        };
        let mut screen = Screen::new(sample(start, 0, [0; 2], sessions(0)));
        screen.take(sample(start, 1000, [25_000, 0], sessions(25_000)));
        screen
    }

    #[test]
    fn the_head_has_the_server_and_the_table_the_busiest_first() {
        let lines = drawn(&mut screen(), 160, 12);
        assert!(lines[0].contains("2 sessions, 1 users, relay ports 2/1101 IPv4"), "{lines:#?}");
        assert!(
            lines[1].contains("200.0 kbit/s") && lines[1].contains("250 packets/s"),
            "{lines:#?}"
        );
        assert!(lines[1].contains('█'), "a graph: {lines:#?}");
        assert!(lines[2].starts_with("to clients") && lines[2].contains("0 bit/s"), "{lines:#?}");
        assert!(lines[4].contains("USER") && lines[4].contains("TO PEERS"), "{lines:#?}");
        assert!(lines[5].contains("@alice") && lines[5].contains("192.0.2.4:4444"), "{lines:#?}");
        assert!(lines[6].contains("@bob") && lines[6].contains("1m30s"), "{lines:#?}");
        assert!(lines[11].contains("q quit  s sort (rate)"), "{lines:#?}");
    }

    #[test]
    fn keys_sort_pause_filter_and_quit() {
        let mut screen = screen();
        assert!(press(&mut screen, "s"));
        assert!(drawn(&mut screen, 160, 12)[5].contains("@bob"), "by total");
        assert!(press(&mut screen, "p"));
        assert!(screen.is_paused() && drawn(&mut screen, 160, 12)[11].starts_with("PAUSED"));
        assert!(press(&mut screen, "pu@alq"), "a q in a name quits nothing");
        assert!(drawn(&mut screen, 160, 12)[11].starts_with("users with: @alq_"));
        let lines = drawn(&mut screen, 160, 12);
        assert!(!lines.iter().any(|line| line.contains("@alice")), "{lines:#?}");
        assert!(press(&mut screen, "\u{1b}u@ali\n"));
        let lines = drawn(&mut screen, 160, 12);
        assert!(lines[5].contains("@alice") && !lines[6].contains("@bob"), "{lines:#?}");
        assert!(lines[11].contains("u user (@ali)"), "{lines:#?}");
        assert!(!press(&mut screen, "q"));
        let interrupt = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert!(!screen.key(interrupt));
    }

    #[test]
    fn a_thousand_sessions_are_scrolled_through_and_not_beyond() {
        let start = Instant::now();
        let many = (0..1500).map(|n| session(&format!("c{n:04}"), 90, [0; 2])).collect();
        let mut screen = Screen::new(sample(start, 0, [0; 2], many));
        assert!(drawn(&mut screen, 120, 16)[5].contains("c0000"));
        assert!(press(&mut screen, "v"));
        assert!(drawn(&mut screen, 120, 16)[5].contains("c0010"), "a page is ten rows here");
        screen.key(KeyEvent::new(KeyCode::End, KeyModifiers::NONE));
        let lines = drawn(&mut screen, 120, 16);
        assert!(lines[14].contains("c1499"), "{lines:#?}");
        assert!(press(&mut screen, "vvv^"));
        assert!(drawn(&mut screen, 120, 16)[5].contains("c0000"));
    }

    #[test]
    fn trouble_is_told_and_what_was_seen_stays() {
        let mut screen = screen();
        screen.failed("error: cannot ask the server".to_owned());
        let lines = drawn(&mut screen, 160, 12);
        assert!(lines[11].contains("cannot ask the server; trying again"), "{lines:#?}");
        assert!(lines[5].contains("@alice"), "{lines:#?}");
    }

    #[test]
    fn the_smallest_terminals_do_no_harm() {
        for (width, height) in [(1, 1), (10, 3), (40, 6), (80, 24)] {
            drawn(&mut screen(), width, height);
        }
        let lines = drawn(&mut screen(), 80, 24);
        assert!(
            lines[5].contains("192.0.2.4:4444") && lines[5].contains("200.0 kbit/s"),
            "{lines:#?}"
        );
    }

    #[test]
    fn the_graphs_forget() {
        let start = Instant::now();
        let mut screen = Screen::new(sample(start, 0, [0; 2], Vec::new()));
        for at in 1..=2 * HISTORY as u64 {
            screen.take(sample(start, at * 1000, [at * 1000; 2], Vec::new()));
        }
        assert_eq!(screen.history[0].len(), HISTORY);
    }
}
