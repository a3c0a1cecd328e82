//! The thread that writes and delivers.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use super::receivers::{Does, PATIENCE, Scripted};
use crate::counts::{Dropped, Totals};
use crate::file::{FileSettings, RecordFile};
use crate::http::HttpReceiver;
use crate::record::tests::record;
use crate::record::{Addresses, Record};
use crate::recorder::{Ready, Recorder, Sink, Thread};
use crate::spool::Spool;

fn start(sink: Sink, room: usize) -> (Recorder, Thread) {
    let ready = Ready { sink, node: "n".into(), addresses: Addresses::Full, room };
    let (recorder, thread) =
        ready.start_with([Duration::from_millis(5), Duration::from_millis(20)]).unwrap();
    thread.go();
    (recorder, thread)
}

fn to_receiver(dir: &Path, receiver: HttpReceiver) -> (Recorder, Thread) {
    let spool = Spool::open(&dir.join("spool"), 1 << 20).unwrap();
    start(Sink::Receiver(Box::new(spool), Box::new(receiver)), 1000)
}

fn to_file(dir: &Path) -> (Recorder, Thread) {
    let settings = FileSettings {
        path: dir.join("usage.jsonl"),
        rotate_at: 1 << 20,
        rotate_after: Duration::ZERO,
        keep: 3,
    };
    start(Sink::File(Box::new(RecordFile::open(settings).unwrap())), 1000)
}

fn numbered(number: usize) -> Record {
    record(&format!("s{number}"))
}

fn ids(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("s{number}-2")).collect()
}

fn until(recorder: &Recorder, holds: impl Fn(&Totals) -> bool) -> Totals {
    let begun = Instant::now();
    loop {
        let totals = recorder.totals();
        if holds(&totals) {
            return totals;
        }
        assert!(begun.elapsed() < PATIENCE, "{totals:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn end((recorder, thread): (Recorder, Thread)) {
    recorder.end();
    let begun = Instant::now();
    while !thread.is_finished() {
        assert!(begun.elapsed() < PATIENCE, "it does not end");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn whatever_a_receiver_does_it_has_all_in_the_end() {
    let fails = vec![
        Does::Answers(500, ""),
        Does::Answers(401, ""),
        Does::Answers(400, ""),
        Does::Answers(301, "Location: /elsewhere\r\n"),
        Does::Answers(429, "Retry-After: 0\r\n"),
        Does::Hangs,
        Does::ClosesAfter(0),
        Does::ClosesAfter(10),
        Does::ClosesMidway,
        Does::Babbles,
    ];
    let count = fails.len();
    let receiver = Scripted::new(fails);
    let dir = tempfile::tempdir().unwrap();
    let running = to_receiver(dir.path(), receiver.receiver());
    for number in 0..20 {
        running.0.put(numbered(number));
    }
    let mut taken = receiver.ids(20);
    taken.sort();
    let mut expected = ids(20);
    expected.sort();
    assert_eq!(taken, expected);
    let totals = until(&running.0, |totals| totals.waiting == 0 && totals.delivered == 20);
    assert_eq!((totals.failures, totals.written, totals.trouble), (count as u64, [20, 0], None));
    assert_eq!((totals.dropped, totals.spool_bytes), ([0; 4], 0));
    end(running);
    assert_eq!(fs::read_dir(dir.path().join("spool")).unwrap().count(), 0);
}

#[test]
fn a_receiver_that_takes_few_at_a_time_gets_them_so_and_one_too_long_is_dropped() {
    let script = std::iter::repeat_n(Does::TakesAtMost(3), 100).collect();
    let receiver = Scripted::new(script);
    let dir = tempfile::tempdir().unwrap();
    let running = to_receiver(dir.path(), receiver.receiver());
    for number in 0..20 {
        running.0.put(numbered(number));
    }
    assert_eq!(receiver.ids(20), ids(20));
    until(&running.0, |totals| totals.delivered == 20);
    end(running);

    let receiver = Scripted::new(vec![Does::TakesAtMost(0)]);
    let running = to_receiver(dir.path(), receiver.receiver());
    running.0.put(numbered(0));
    let totals = until(&running.0, |totals| totals.waiting == 0 && totals.written == [1, 0]);
    let expected = Dropped::ALL.map(|why| u64::from(why == Dropped::TooLong));
    assert_eq!(totals.dropped, expected);
    // The next ones go on.
    running.0.put(numbered(1));
    assert_eq!(receiver.ids(1), ["s1-2"]);
    end(running);
}

#[test]
fn a_receiver_is_left_alone_for_as_long_as_it_wants() {
    let receiver = Scripted::new(vec![Does::Answers(503, "Retry-After: 1\r\n")]);
    let dir = tempfile::tempdir().unwrap();
    let running = to_receiver(dir.path(), receiver.receiver());
    running.0.put(numbered(0));
    until(&running.0, |totals| totals.failures == 1);
    let begun = Instant::now();
    receiver.ids(1);
    assert!(begun.elapsed() >= Duration::from_millis(900), "{:?}", begun.elapsed());
    assert_eq!(receiver.requests(), 2);
    end(running);
}

/// The receiver is away, the process ends, another one goes on.
#[test]
fn what_was_not_delivered_is_delivered_by_the_next_process() {
    let dir = tempfile::tempdir().unwrap();
    let gone = {
        let receiver = Scripted::new(vec![]);
        receiver.receiver()
    };
    let running = to_receiver(dir.path(), gone);
    for number in 0..5 {
        running.0.put(numbered(number));
    }
    let totals = until(&running.0, |totals| totals.failures > 0);
    assert_eq!((totals.waiting, totals.delivered), (5, 0));
    assert!(totals.trouble.unwrap().contains("http://127.0.0.1"));
    end(running);
    let receiver = Scripted::new(vec![]);
    let running = to_receiver(dir.path(), receiver.receiver());
    assert_eq!(receiver.ids(5), ids(5));
    end(running);
}

#[test]
fn at_the_end_of_the_process_what_waits_is_delivered_if_that_is_possible() {
    let dir = tempfile::tempdir().unwrap();
    let receiver = Scripted::new(vec![]);
    let running = to_receiver(dir.path(), receiver.receiver());
    for number in 0..7 {
        running.0.put(numbered(number));
    }
    end(running);
    assert_eq!(receiver.ids(7), ids(7));
}

#[test]
fn the_request_has_the_token_of_the_file_as_it_is_now() {
    let receiver = Scripted::new(vec![]);
    let dir = tempfile::tempdir().unwrap();
    let token = dir.path().join("token");
    let mut settings = receiver.settings();
    settings.token_file = Some(token.clone());
    let missing = HttpReceiver::new(settings.clone()).unwrap_err().to_string();
    assert!(missing.contains("token_file") && missing.contains("token"), "{missing}");
    for bad in ["", " \n", "two\nlines", "nul\0"] {
        fs::write(&token, bad).unwrap();
        let error = HttpReceiver::new(settings.clone()).unwrap_err().to_string();
        assert!(!error.contains("lines") && !error.contains("nul\0"), "{error}");
    }
    fs::write(&token, "first\n").unwrap();
    let running = to_receiver(dir.path(), HttpReceiver::new(settings).unwrap());
    running.0.put(numbered(0));
    receiver.ids(1);
    fs::write(&token, "second").unwrap();
    running.0.put(numbered(1));
    receiver.ids(2);
    let heads = receiver.heads();
    assert!(heads[0].starts_with("POST /usage?a=b HTTP/1.1\r\n"), "{heads:?}");
    assert!(heads[0].to_lowercase().contains("content-type: application/x-ndjson"));
    assert!(heads[0].contains("Bearer first") && heads[1].contains("Bearer second"), "{heads:?}");
    end(running);
}

#[test]
fn a_file_has_what_was_taken_at_once_and_when_the_process_ends() {
    let dir = tempfile::tempdir().unwrap();
    let running = to_file(dir.path());
    for number in 0..600 {
        running.0.put(numbered(number));
    }
    until(&running.0, |totals| totals.written == [600, 0]);
    let read = || fs::read_to_string(dir.path().join("usage.jsonl")).unwrap();
    assert_eq!(read().lines().count(), 600);
    // Another program renames it, and says so.
    fs::rename(dir.path().join("usage.jsonl"), dir.path().join("old")).unwrap();
    running.0.reopen();
    until(&running.0, |_| dir.path().join("usage.jsonl").exists());
    running.0.put(Record { reason: None, ..numbered(0) });
    let totals = until(&running.0, |totals| totals.written[1] == 1);
    assert_eq!((totals.written, totals.waiting), ([600, 1], 0));
    running.0.put(numbered(1));
    end(running);
    assert_eq!(read().lines().count(), 2);
}

/// /dev/full takes nothing, as a full disk does. Nothing is lost while there is room, and nobody waits.
#[test]
fn a_full_disk_is_counted_and_what_has_room_waits_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let settings = FileSettings {
        path: dir.path().join("usage.jsonl"),
        rotate_at: 1 << 20,
        rotate_after: Duration::ZERO,
        keep: 3,
    };
    let file = RecordFile::open(settings).unwrap();
    // Its directory is gone, and it cannot be made again.
    fs::remove_dir_all(dir.path()).unwrap();
    fs::write(dir.path(), "").unwrap();
    let running = start(Sink::File(Box::new(file)), 10);
    running.0.put(numbered(0));
    until(&running.0, |totals| totals.failures > 0);
    for number in 1..30 {
        running.0.put(numbered(number));
    }
    let totals = running.0.totals();
    let [queue, ..] = totals.dropped;
    assert_eq!((totals.waiting, queue, totals.written), (11, 19, [0, 0]));
    assert!(totals.trouble.unwrap().contains("cannot be written"));
    fs::remove_file(dir.path()).unwrap();
    fs::create_dir(dir.path()).unwrap();
    let totals = until(&running.0, |totals| totals.waiting == 0);
    assert_eq!((totals.written, totals.trouble), ([11, 0], None));
    let text = fs::read_to_string(dir.path().join("usage.jsonl")).unwrap();
    assert_eq!(text.lines().count(), 11);
    end(running);
}

#[test]
fn a_spool_that_is_full_drops_and_counts() {
    let dir = tempfile::tempdir().unwrap();
    let gone = Scripted::new(vec![]).receiver();
    let spool = Spool::open(dir.path(), 1000).unwrap();
    let running = start(Sink::Receiver(Box::new(spool), Box::new(gone)), 100);
    for number in 0..10 {
        running.0.put(numbered(number));
        until(&running.0, |totals| {
            totals.written[0] + totals.dropped.iter().sum::<u64>() == number as u64 + 1
        });
    }
    let totals = running.0.totals();
    let [_, spool, ..] = totals.dropped;
    assert!(totals.written[0] >= 1 && spool == 10 - totals.written[0], "{totals:?}");
    assert!(totals.spool_bytes <= 1000);
    end(running);
}

/// A process that takes over may fail, and the one before it goes on with all sessions.
#[test]
fn what_a_server_has_seen_that_never_began_is_not_written() {
    let dir = tempfile::tempdir().unwrap();
    let settings = FileSettings {
        path: dir.path().join("usage.jsonl"),
        rotate_at: 1 << 20,
        rotate_after: Duration::ZERO,
        keep: 3,
    };
    let sink = Sink::File(Box::new(RecordFile::open(settings).unwrap()));
    let ready = Ready { sink, node: "n".into(), addresses: Addresses::Full, room: 10 };
    let (recorder, thread) = ready.start().unwrap();
    recorder.put(numbered(0));
    drop((recorder, thread));
    assert_eq!(fs::read_to_string(dir.path().join("usage.jsonl")).unwrap(), "");
}
