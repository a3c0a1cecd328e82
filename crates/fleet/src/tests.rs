//! Boards that are silent, lie, or send without end. What a board in order does is shown with redis-server, in
//! stages/fleet.

mod sentinels;

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, timeout};

use super::node::NodeRecord;
use super::settings::{Place, Settings};
use super::task::{Fleet, Order};
use super::{BoardBan, BoardKick, Questions, Wanted};

/// Longer than anything takes.
const PATIENCE: Duration = Duration::from_secs(20);

async fn listener() -> (TcpListener, Settings) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let settings = Settings {
        place: Place::Tcp { host: "127.0.0.1".into(), port, tls: false },
        user: None,
        database: 0,
        password_file: None,
        ca_file: None,
        prefix: "turn".into(),
        node: "fra1".into(),
    };
    (listener, settings)
}

fn start(settings: Settings) -> Fleet {
    let own = NodeRecord { node: "fra1".into(), boot: 7, ..NodeRecord::default() };
    Fleet::start(settings, own, Vec::new())
}

/// Waits until the fleet has this trouble; returns how long that took.
async fn in_trouble(fleet: &Fleet, text: &str) -> Duration {
    let start = Instant::now();
    loop {
        let trouble = fleet.state().trouble;
        if trouble.as_ref().is_some_and(|trouble| trouble.contains(text)) {
            return start.elapsed();
        }
        assert!(start.elapsed() < PATIENCE, "{trouble:?}, not {text}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// Answers each connection with these bytes, again and again.
fn answering(listener: TcpListener, bytes: Vec<u8>, without_end: bool) {
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let bytes = bytes.clone();
            tokio::spawn(async move {
                let mut read = [0; 4096];
                while matches!(stream.read(&mut read).await, Ok(1..)) {
                    while stream.write_all(&bytes).await.is_ok() && without_end {}
                }
            });
        }
    });
}

#[tokio::test]
async fn without_a_board_it_is_said_why_and_orders_are_not_taken() {
    let (listener, settings) = listener().await;
    drop(listener);
    let fleet = start(settings);
    in_trouble(&fleet, "refused").await;
    let ban = BoardBan { whom: "user:alice".into(), until: None };
    assert!(!fleet.tell(Order::Bans { add: vec![ban], remove: Vec::new() }));
    assert!(!fleet.tell(Order::Kick(BoardKick { user: "alice".into(), at: 1 })));
    assert!(fleet.state().nodes.is_empty());
}

#[tokio::test]
async fn one_that_never_answers_is_given_up_after_its_time_and_tried_again() {
    let (listener, settings) = listener().await;
    let fleet = start(settings);
    let mut held: Vec<TcpStream> = Vec::new();
    for _ in 0..2 {
        let (stream, _) = timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
        held.push(stream);
    }
    in_trouble(&fleet, "no answer within 2 s").await;
}

#[tokio::test]
async fn whatever_one_says_that_is_no_answer_is_trouble_and_no_panic() {
    let deep = "*1\r\n".repeat(10_000).into_bytes();
    for bytes in [
        b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
        b"\x00\xff\xfe\x80".to_vec(),
        b"*-7\r\n$-9\r\n:x\r\n".to_vec(),
        b"$9223372036854775807\r\nabc\r\n".to_vec(),
        b"*9223372036854775807\r\n:1\r\n".to_vec(),
        b"-ERR \x1b[2J no\r\n".repeat(10),
        b"+OK\r\n".repeat(10),
        b"$4\r\n\xff\xff\xff\xff\r\n".repeat(10),
        deep,
    ] {
        let (listener, settings) = listener().await;
        let told = String::from_utf8_lossy(&bytes[..bytes.len().min(20)]).into_owned();
        answering(listener, bytes, false);
        let mut fleet = start(settings);
        // Long enough for some tries.
        let read = timeout(Duration::from_millis(400), fleet.contents.recv()).await;
        assert!(read.is_err(), "{told:?}: {read:?}");
        let trouble = fleet.state().trouble.unwrap();
        assert!(!trouble.contains(char::is_control) && trouble.len() < 1000, "{trouble:?}");
    }
}

/// What a question comes to.
async fn asked(settings: Settings) -> String {
    let questions = Questions::start(settings, 7);
    let known = ["fra2".to_owned()].into_iter().collect();
    let replies = timeout(PATIENCE, questions.asker().ask(Wanted::default(), known)).await.unwrap();
    assert_eq!(replies.replies, []);
    replies.trouble.unwrap()
}

#[tokio::test]
async fn who_asks_all_nodes_learns_that_the_board_is_away_or_silent() {
    let (gone, settings) = listener().await;
    drop(gone);
    let trouble = asked(settings).await;
    assert!(trouble.contains("refused"), "{trouble}");
    let (_silent, settings) = listener().await;
    let trouble = asked(settings).await;
    assert!(trouble.contains("not answer in time"), "{trouble}");
}

#[tokio::test]
async fn a_board_that_says_anything_but_questions_and_answers_is_trouble_and_no_panic() {
    for bytes in [
        b"*1\r\n$3\r\nabc\r\n".repeat(10),
        b"*-7\r\n$-9\r\n:x\r\n".to_vec(),
        b"-ERR \x1b[2J no\r\n".repeat(10),
        "*1\r\n".repeat(10_000).into_bytes(),
        b"*9\r\n".repeat(10),
    ] {
        let (listener, settings) = listener().await;
        answering(listener, bytes, false);
        let mut questions = Questions::start(settings, 7);
        let known = ["fra2".to_owned()].into_iter().collect();
        let replies = questions.asker().ask(Wanted::default(), known).await;
        assert_eq!(replies.replies, []);
        let trouble = replies.trouble.unwrap_or_default();
        assert!(!trouble.contains(char::is_control) && trouble.len() < 1000, "{trouble:?}");
        assert!(questions.asked.try_recv().is_err());
    }
}

/// Resident memory of this process, in bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap();
    status.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

#[tokio::test]
async fn one_that_sends_without_end_is_cut_off_and_nothing_grows() {
    let (listener, settings) = listener().await;
    // The beginning of a text of a gigabyte.
    let bytes = [&b"$1000000000\r\n"[..], &[b'x'; 65_536]].concat();
    answering(listener, bytes, true);
    let before = resident();
    let fleet = start(settings);
    in_trouble(&fleet, "more than 8388608 bytes").await;
    for _ in 0..20 {
        sleep(Duration::from_millis(50)).await;
        let grown = resident().saturating_sub(before);
        assert!(grown < 64 * 1024 * 1024, "{grown}");
    }
}
