//! Databases that are silent, lie, or send without end, and files of SQLite. What a PostgreSQL in order does is shown
//! with one, in stages/database.

use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, timeout};

use super::rows::RowKey;
use super::settings::{Place, Settings};
use super::task::Database;
use super::users_file::{UsersFile, UsersFileError};

/// Longer than anything takes.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

async fn listener() -> (TcpListener, Settings) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let settings = Settings {
        place: Place::Tcp { host: "127.0.0.1".into(), port, tls: false },
        user: "taciturn".into(),
        database: "coturn".into(),
        ..Settings::of_file(Path::new("/nowhere"), "example.org")
    };
    (listener, settings)
}

/// Waits until the database is in this trouble.
pub(super) async fn in_trouble(database: &Database, text: &str) {
    let start = Instant::now();
    loop {
        let trouble = database.state().trouble;
        if trouble.as_ref().is_some_and(|trouble| trouble.contains(text)) {
            return;
        }
        assert!(start.elapsed() < PATIENCE, "{trouble:?}, not {text}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// Answers whatever comes on each connection with these bytes, again and again.
pub(super) fn answering(listener: TcpListener, bytes: Vec<u8>, without_end: bool) {
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
async fn one_that_is_not_there_is_trouble_and_no_rows() {
    let (listener, settings) = listener().await;
    drop(listener);
    let mut database = Database::start(settings);
    in_trouble(&database, "refused").await;
    assert!(database.rows.try_recv().is_err());
    assert!(database.state().read_at.is_none());
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
    // AuthenticationOk and ReadyForQuery, as every server begins.
    let begun = b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I".to_vec();
    let with = |more: &[u8]| [&begun[..], more].concat();
    for bytes in [
        b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
        b"\x00\xff\xfe\x80".to_vec(),
        b"R\0\0\0\x00".to_vec(),
        b"R\xff\xff\xff\xff\0\0\0\0".to_vec(),
        b"E\0\0\0\x14SFATAL\0M\x1b[2J no\0\0".to_vec(),
        with(b"D\0\0\0\x0a\x7f\xff\xff\xff\xff\xff"),
        with(b"T\0\0\0\x06\x7f\xff"),
        with(b"1\0\0\0\x042\0\0\0\x04t\0\0\0\x06\0\0n\0\0\0\x04C\0\0\0\x0dSELECT 0\0Z\0\0\0\x05I"),
        with(b"A\0\0\0\x07\0\0\0\x01\xff"),
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

/// Resident memory of this process, in bytes.
pub(super) fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap();
    status.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

#[tokio::test]
async fn one_that_sends_without_end_is_cut_off_and_nothing_grows() {
    let (listener, settings) = listener().await;
    // The beginning of a message of a gigabyte.
    let bytes = [&b"R\x3f\xff\xff\xff"[..], &[b'x'; 65_536]].concat();
    answering(listener, bytes, true);
    let before = resident();
    let database = Database::start(settings);
    in_trouble(&database, "more than the longest answer").await;
    for _ in 0..20 {
        sleep(Duration::from_millis(50)).await;
        let grown = resident().saturating_sub(before);
        assert!(grown < 64 * 1024 * 1024, "{grown}");
    }
}

#[tokio::test]
async fn a_password_is_in_no_trouble() {
    let (listener, settings) = listener().await;
    drop(listener);
    let password = Some(super::settings::Password(zeroize::Zeroizing::new("s3cret".into())));
    let settings = Settings { password, ..settings };
    assert!(!format!("{settings:?}").contains("s3cret"));
    let database = Database::start(settings);
    in_trouble(&database, "refused").await;
    assert!(!database.state().trouble.unwrap().contains("s3cret"));
}

fn file(statements: &str) -> (tempfile::TempDir, std::path::PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("turndb");
    Connection::open(&path).unwrap().execute_batch(statements).unwrap();
    (directory, path)
}

const COTURN: &str = "CREATE TABLE turnusers_lt (realm varchar(127), name varchar(512), hmackey char(128));
                      CREATE TABLE turn_secret (realm varchar(127), value varchar(256), inserted_at text);";

#[tokio::test]
async fn a_file_is_read_at_the_start_and_whenever_it_has_changed() {
    let (_directory, path) = file(&format!(
        "{COTURN} INSERT INTO turnusers_lt VALUES ('example.org', 'bob', 'b'), ('example.org', 'alice', 'a'), ('other', 'x', 'x');
         INSERT INTO turn_secret VALUES ('example.org', 's', 'now'), ('other', 'x', 'now');"
    ));
    let mut database = Database::start(Settings::of_file(&path, "example.org"));
    let rows = timeout(PATIENCE, database.rows.recv()).await.unwrap().unwrap();
    let names: Vec<_> = rows.users.iter().map(|user| user.name.as_str()).collect();
    assert_eq!((names, rows.secrets.len()), (vec!["alice", "bob"], 1));
    assert!(matches!(&rows.users[0].key, RowKey::Key(key) if **key == "a"));
    assert!(rows.other_realm.is_none());
    let writer = Connection::open(&path).unwrap();
    writer.execute_batch("DELETE FROM turnusers_lt WHERE name = 'bob'").unwrap();
    let rows = timeout(PATIENCE, database.rows.recv()).await.unwrap().unwrap();
    assert_eq!(rows.users.len(), 1);
    // What changes nothing is nothing new.
    writer.execute_batch("UPDATE turnusers_lt SET hmackey = hmackey").unwrap();
    assert!(timeout(Duration::from_millis(2500), database.rows.recv()).await.is_err());
    // A reload may have changed what it means.
    database.read_now();
    let rows = timeout(PATIENCE, database.rows.recv()).await.unwrap().unwrap();
    assert_eq!(rows.users.len(), 1);
}

#[tokio::test]
async fn rows_of_another_realm_are_named_if_there_are_none_of_ours() {
    let (_directory, path) =
        file(&format!("{COTURN} INSERT INTO turnusers_lt VALUES ('theirs', 'alice', 'a');"));
    let mut database = Database::start(Settings::of_file(&path, "example.org"));
    let rows = timeout(PATIENCE, database.rows.recv()).await.unwrap().unwrap();
    assert_eq!(rows.other_realm.as_deref(), Some("theirs"));
}

#[tokio::test]
async fn rows_of_the_realms_of_tenants_are_told_apart_and_others_left() {
    let (_directory, path) = file(&format!(
        "{COTURN} INSERT INTO turnusers_lt VALUES ('beta', 'alice', 'b'), ('example.org', 'alice', 'a'), ('other', 'x', 'x'),
            ('gamma', 'alice', 'c'), (NULL, 'alice', 'd');
         INSERT INTO turn_secret VALUES ('gamma', 's', 'now'), ('beta', 's', 'now'), ('other', 'x', 'now');
         CREATE TABLE turn_users (name, key); INSERT INTO turn_users VALUES ('bob', 'e');"
    ));
    let other_realms = ["beta", "nobody's", "gamma"].map(str::to_owned).to_vec();
    let settings = Settings { other_realms, ..Settings::of_file(&path, "example.org") };
    let mut database = Database::start(settings);
    let rows = timeout(PATIENCE, database.rows.recv()).await.unwrap().unwrap();
    let users: Vec<_> = rows.users.iter().map(|user| (user.realm, user.name.as_str())).collect();
    assert_eq!(users, [(0, "alice"), (0, "bob"), (1, "alice"), (3, "alice")]);
    let secrets: Vec<_> = rows.secrets.iter().map(|secret| secret.realm).collect();
    assert_eq!((secrets, rows.unreadable), (vec![1, 3], 0));
}

#[tokio::test]
async fn rows_that_are_no_text_are_counted_and_long_ones_are_cut() {
    let (_directory, path) = file(
        "CREATE TABLE turn_users (name, password);
         INSERT INTO turn_users VALUES ('alice', 'wonderland'), (NULL, 'x'), ('nobody', NULL), (x'ff00fe', 'bytes'),
             (7, 8), ('long', replace(hex(zeroblob(100000)), '00', 'yy'));",
    );
    let mut database = Database::start(Settings::of_file(&path, "example.org"));
    let rows = timeout(PATIENCE, database.rows.recv()).await.unwrap().unwrap();
    assert_eq!((rows.users.len(), rows.unreadable), (3, 3));
    let lengths = rows.users.iter().map(|user| match &user.key {
        RowKey::Password(text) | RowKey::Key(text) => text.len(),
    });
    assert_eq!(lengths.collect::<Vec<_>>(), [1, 10, 600]);
}

#[tokio::test]
async fn files_that_are_none_are_trouble() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    let database = Database::start(Settings::of_file(Path::new("/nowhere/at/all"), "r"));
    in_trouble(&database, "No such file").await;
    std::fs::write(&path, [7; 5000]).unwrap();
    let database = Database::start(Settings::of_file(&path, "r"));
    in_trouble(&database, "not a database").await;
    std::fs::write(&path, b"").unwrap();
    let database = Database::start(Settings::of_file(&path, "r"));
    in_trouble(&database, "there is no table").await;
    let database = Database::start(Settings::of_file(directory.path(), "r"));
    in_trouble(&database, "is no file").await;
}

#[test]
fn the_users_file_is_private_and_has_each_user_once() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("users.db");
    assert!(UsersFile::open(&path, false).unwrap().is_none());
    assert!(!path.exists());
    let users = UsersFile::open(&path, true).unwrap().unwrap();
    let mode = || std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(), 0o600);
    assert!(users.add("r", "bob", "1").unwrap() && users.add("r", "alice", "1").unwrap());
    assert!(!users.add("r", "alice", "2").unwrap(), "another key for the same user");
    let listed = |users: &UsersFile| users.list().unwrap();
    let both = [("r", "alice"), ("r", "bob")].map(|(r, n)| (r.to_owned(), n.to_owned()));
    assert_eq!(listed(&users), both);
    assert!(users.remove("r", "bob").unwrap() && !users.remove("r", "bob").unwrap());
    drop(users);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let users = UsersFile::open(&path, false).unwrap().unwrap();
    assert_eq!((mode(), listed(&users).len()), (0o600, 1));
    let entries = std::fs::read_dir(directory.path()).unwrap().count();
    assert_eq!(entries, 1, "a file beside it is left behind");
}

#[test]
fn what_is_no_users_file_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("users.db");
    std::os::unix::fs::symlink("/etc/passwd", &path).unwrap();
    assert!(matches!(UsersFile::open(&path, true), Err(UsersFileError::System { .. })));
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, [7; 5000]).unwrap();
    assert!(matches!(UsersFile::open(&path, true), Err(UsersFileError::Database { .. })));
    let nowhere = Path::new("/nowhere/at/all.db");
    assert!(UsersFile::open(nowhere, true).unwrap_err().to_string().contains("/nowhere/at"));
}
