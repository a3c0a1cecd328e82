//! Redises that are silent, lie, or send without end, and what is in one. What one in order does is shown with
//! redis-server, in stages/database.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use zeroize::Zeroizing;

use super::rows::{RowKey, Rows};
use super::settings::{Engine, Password, Place, Settings};
use super::task::Database;
use super::tests::{PATIENCE, answering, in_trouble, resident};

type Command = Vec<Vec<u8>>;

async fn listener() -> (TcpListener, Settings) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let settings = Settings {
        engine: Engine::Redis,
        place: Place::Tcp { host: "127.0.0.1".into(), port, tls: false },
        database: "0".into(),
        every: Duration::from_millis(50),
        ..Settings::of_file(Path::new(""), "example.org")
    };
    (listener, settings)
}

/// The first command in what has come, which is taken out of it.
fn command(read: &mut Vec<u8>) -> Option<Command> {
    let line = |at: usize| {
        let end = at + read.get(at..)?.windows(2).position(|two| two == b"\r\n")?;
        let number = std::str::from_utf8(&read[at + 1..end]).unwrap().parse::<usize>().unwrap();
        Some((number, end + 2))
    };
    let (count, mut at) = line(0)?;
    let mut parts = Vec::new();
    for _ in 0..count {
        let (length, begin) = line(at)?;
        parts.push(read.get(begin..begin + length)?.to_vec());
        at = begin + length + 2;
    }
    read.drain(..at);
    Some(parts)
}

/// Says this to each command.
fn serving(listener: TcpListener, say: impl Fn(&[Vec<u8>]) -> Vec<u8> + Send + Sync + 'static) {
    let say = Arc::new(say);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let say = Arc::clone(&say);
            tokio::spawn(async move {
                let (mut read, mut some) = (Vec::new(), [0; 65_536]);
                while let Ok(length @ 1..) = stream.read(&mut some).await {
                    read.extend_from_slice(&some[..length]);
                    let mut said = Vec::new();
                    while let Some(parts) = command(&mut read) {
                        said.extend(say(&parts));
                    }
                    if stream.write_all(&said).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
}

fn bulk(bytes: &[u8]) -> Vec<u8> {
    [format!("${}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat()
}

fn array(items: &[Vec<u8>]) -> Vec<u8> {
    [format!("*{}\r\n", items.len()).into_bytes(), items.concat()].concat()
}

fn scanned(cursor: usize, found: &[&[u8]]) -> Vec<u8> {
    let found: Vec<_> = found.iter().map(|key| bulk(key)).collect();
    array(&[bulk(cursor.to_string().as_bytes()), array(&found)])
}

enum Held {
    Text(Vec<u8>),
    Set(Vec<&'static [u8]>),
    List,
}

const WRONG_TYPE: &[u8] = b"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n";

/// What a Redis with these keys says. It gives two keys at a time, and each twice.
fn say(held: &[(Vec<u8>, Held)], parts: &[Vec<u8>]) -> Vec<u8> {
    let find = |key: &[u8]| held.iter().find(|(name, _)| name == key).map(|(_, held)| held);
    let number =
        |at: usize| -> usize { String::from_utf8(parts[at].clone()).unwrap().parse().unwrap() };
    match parts[0].as_slice() {
        b"SCAN" => {
            let at = number(1);
            let some: Vec<_> =
                held.iter().skip(at).take(3).map(|(key, _)| key.as_slice()).collect();
            scanned(if at + 2 < held.len() { at + 2 } else { 0 }, &some)
        }
        b"GETRANGE" => match find(&parts[1]) {
            Some(Held::Text(text)) => {
                bulk(&text[number(2).min(text.len())..text.len().min(number(3) + 1)])
            }
            Some(_) => WRONG_TYPE.to_vec(),
            None => bulk(b""),
        },
        b"SSCAN" => match find(&parts[1]) {
            Some(Held::Set(members)) if number(2) == 0 => scanned(7, &members[..1]),
            Some(Held::Set(members)) => scanned(0, members),
            Some(_) => WRONG_TYPE.to_vec(),
            None => scanned(0, &[]),
        },
        _ => b"+OK\r\n".to_vec(),
    }
}

async fn read(database: &mut Database) -> Rows {
    timeout(PATIENCE, database.rows.recv()).await.unwrap().unwrap()
}

#[tokio::test]
async fn users_and_secrets_are_read_and_what_is_none_is_counted() {
    let (listener, settings) = listener().await;
    let text = |key: &str, value: &[u8]| (key.as_bytes().to_vec(), Held::Text(value.to_vec()));
    let held = vec![
        text("turn/realm/example.org/user/bob/key", b"b"),
        text("turn/realm/example.org/user/alice/key", b"a"),
        text("turn/realm/example.org/user/old/password", b"not read"),
        text("turn/realm/beta/user/alice/key", b"c"),
        text("turn/realm/other/user/mallory/key", b"m"),
        (b"turn/realm/example.org/secret".to_vec(), Held::Set(vec![b"s", b"\xff\xfe", b"t", b"s"])),
        (b"turn/realm/beta/secret".to_vec(), Held::List),
        (b"turn/realm/example.org/user/list/key".to_vec(), Held::List),
        (b"turn/realm/example.org/user/\xff/key".to_vec(), Held::Text(b"x".to_vec())),
        text("turn/realm/example.org/user/bytes/key", b"\x00\xff"),
        text("turn/realm/example.org/user/huge/key", &[b'h'; 100_000]),
        text("turn/realm/example.org/user/gone/key", b""),
        text(&format!("turn/realm/example.org/user/{}/key", "n".repeat(5000)), b"n"),
        text("turn/realm/example.org/max-bps", b"5"),
    ];
    serving(listener, move |parts| say(&held, parts));
    let settings = Settings { other_realms: vec!["beta".to_owned()], ..settings };
    let mut database = Database::start(settings);
    let rows = read(&mut database).await;
    let users = rows.users.iter().map(|user| match &user.key {
        RowKey::Key(key) | RowKey::Password(key) => (user.realm, user.name.as_str(), key.len()),
    });
    let expected = [(0, "alice", 1), (0, "bob", 1), (0, "huge", 600), (1, "alice", 1)];
    assert_eq!(users.collect::<Vec<_>>(), expected);
    let secrets: Vec<_> = rows.secrets.iter().map(|row| (row.realm, row.value.as_str())).collect();
    assert_eq!(secrets, [(0, "s"), (0, "t")]);
    // A member and a value that are no text, a name that is none, one that is too long, and two of another type.
    assert_eq!((rows.unreadable, rows.other_realm), (6, None));
    // Read again and again, and handed on once; a reload may have changed what it means.
    assert!(timeout(Duration::from_millis(500), database.rows.recv()).await.is_err());
    database.read_now();
    assert_eq!(read(&mut database).await.users.len(), 4);
}

#[tokio::test]
async fn keys_of_another_realm_are_named_if_there_are_none_of_ours() {
    let (listener, settings) = listener().await;
    let held = vec![(b"turn/realm/theirs/user/alice/key".to_vec(), Held::Text(b"a".to_vec()))];
    serving(listener, move |parts| say(&held, parts));
    let mut database = Database::start(settings);
    assert_eq!(read(&mut database).await.other_realm.as_deref(), Some("theirs"));
}

#[tokio::test]
async fn one_that_never_answers_is_given_up_after_its_time_and_tried_again() {
    let (listener, settings) = listener().await;
    let database = Database::start(settings);
    let mut held: Vec<TcpStream> = Vec::new();
    for _ in 0..2 {
        let (stream, _) = timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
        held.push(stream);
    }
    in_trouble(&database, "no answer within 5 s").await;
}

#[tokio::test]
async fn whatever_one_says_that_is_no_answer_is_trouble_and_no_panic() {
    for bytes in [
        b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
        b"\x00\xff\xfe\x80".to_vec(),
        b"-NOPERM this user has no permissions to run \x1b[2J\r\n".to_vec(),
        b"-WRONGTYPE of a SCAN\r\n".to_vec(),
        b"+OK\r\n".to_vec(),
        b":1\r\n".to_vec(),
        b"$-1\r\n".to_vec(),
        b"$-2\r\n".to_vec(),
        b"$99999999999999999999\r\n".to_vec(),
        b"*-1\r\n".to_vec(),
        b"*2\r\n$1\r\n0\r\n:5\r\n".to_vec(),
        b"*2\r\n$2\r\nno\r\n*0\r\n".to_vec(),
        b"*2\r\n$0\r\n\r\n*0\r\n".to_vec(),
        b"*2\r\n$1\r\n0\r\n*1\r\n*0\r\n".to_vec(),
        b"*1\r\n".repeat(1000),
        b"*1000000000\r\n".to_vec(),
        b">2\r\n+invalidate\r\n*0\r\n".to_vec(),
        scanned(0, &[b"turn/realm/example.org/user/alice/key"]),
    ] {
        let (listener, settings) = listener().await;
        let told = bytes.escape_ascii().to_string();
        answering(listener, bytes, false);
        let mut database = Database::start(settings);
        // Long enough for some tries.
        let read = timeout(Duration::from_millis(400), database.rows.recv()).await;
        assert!(read.is_err(), "{told}: {read:?}");
        let trouble = database.state().trouble.unwrap_or_default();
        assert!(!trouble.contains(char::is_control) && trouble.len() < 1500, "{told}: {trouble:?}");
    }
}

#[tokio::test]
async fn one_without_an_end_is_trouble_and_nothing_grows() {
    // Keys, secrets, and bytes.
    let before = resident();
    for kind in ["keys", "secrets", "bytes"] {
        let (listener, settings) = listener().await;
        serving(listener, move |parts| {
            let from: usize = match parts[0].as_slice() {
                b"SCAN" if kind == "keys" => {
                    String::from_utf8(parts[1].clone()).unwrap().parse().unwrap()
                }
                b"SSCAN" => String::from_utf8(parts[2].clone()).unwrap().parse().unwrap(),
                b"SCAN" if kind == "secrets" => {
                    return scanned(0, &[b"turn/realm/example.org/secret"]);
                }
                _ => return bulk(&vec![b'x'; 6 * 1024 * 1024]),
            };
            let keys: Vec<_> = (from..from + 1000)
                .map(|n| format!("turn/realm/example.org/user/{n}/key").into_bytes())
                .collect();
            scanned(from + 1000, &keys.iter().map(Vec::as_slice).collect::<Vec<_>>())
        });
        let database = Database::start(settings);
        let text =
            if kind == "bytes" { "more than the longest answer" } else { "more than 100000" };
        in_trouble(&database, text).await;
        for _ in 0..10 {
            sleep(Duration::from_millis(50)).await;
            let grown = resident().saturating_sub(before);
            assert!(grown < 160 * 1024 * 1024, "{kind}: {grown}");
        }
    }
}

#[tokio::test]
async fn rows_stay_when_it_goes_and_are_no_others_when_it_is_back() {
    let (listener, settings) = listener().await;
    let at = listener.local_addr().unwrap();
    let say = |parts: &[Vec<u8>]| {
        let held = [(b"turn/realm/example.org/user/alice/key".to_vec(), Held::Text(b"a".to_vec()))];
        say(&held, parts)
    };
    let serve = |listener: TcpListener| {
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let (mut read, mut some) = (Vec::new(), [0; 4096]);
            // Ends after some answers.
            for _ in 0..12 {
                let length = stream.read(&mut some).await.unwrap();
                read.extend_from_slice(&some[..length]);
                while let Some(parts) = command(&mut read) {
                    stream.write_all(&say(&parts)).await.unwrap();
                }
            }
        })
    };
    let served = serve(listener);
    let mut database = Database::start(settings);
    assert_eq!(read(&mut database).await.users.len(), 1);
    served.await.unwrap();
    in_trouble(&database, "").await;
    assert_eq!(database.state().losses, 1);
    let served = serve(TcpListener::bind(at).await.unwrap());
    served.await.unwrap();
    assert!(database.rows.try_recv().is_err(), "the same rows are handed on once");
}

#[tokio::test]
async fn a_password_is_in_no_trouble() {
    let (listener, settings) = listener().await;
    serving(listener, |parts| {
        let said = parts.iter().map(|part| part.escape_ascii().to_string()).collect::<Vec<_>>();
        format!("-ERR unknown command {}\r\n", said.join(" ")).into_bytes()
    });
    let password = Some(Password(Zeroizing::new("s3cret".into())));
    let settings = Settings { password, ..settings };
    let database = Database::start(settings);
    in_trouble(&database, "authentication failed").await;
    assert!(!database.state().trouble.unwrap().contains("s3cret"));
}
