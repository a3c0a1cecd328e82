//! Sentinels that are silent, lie, or name another master after a time, and the servers that they name. What those in
//! order do is shown with redis-server, in stages/fleet.

use std::io::Write as _;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Duration, Instant, sleep, timeout};

use super::{PATIENCE, answering, in_trouble, listener, resident, start};
use crate::node::NodeRecord;
use crate::settings::{Place, Sentinels, Settings};
use crate::task::Fleet;

async fn bound() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

/// Settings with these sentinels.
async fn settings(ports: &[u16]) -> Settings {
    let at = ports.iter().map(|port| ("127.0.0.1".to_owned(), *port)).collect();
    let sentinels =
        Sentinels { at, master: "mymaster".into(), tls: false, user: None, password_file: None };
    let (_, settings) = listener().await;
    Settings { place: Place::Sentinel(sentinels), ..settings }
}

/// The next command of a client, as words; `None` at the end.
async fn command(reader: &mut BufReader<TcpStream>) -> Option<Vec<String>> {
    let mut words = Vec::new();
    for _ in 0..number(reader).await? {
        let mut word = vec![0; number(reader).await? + 2];
        reader.read_exact(&mut word).await.ok()?;
        words.push(String::from_utf8_lossy(&word).trim_end().to_owned());
    }
    Some(words)
}

/// The number in a line such as `*3` or `$5`.
async fn number(reader: &mut BufReader<TcpStream>) -> Option<usize> {
    let mut line = String::new();
    reader.read_line(&mut line).await.ok()?;
    line.trim_end().get(1..)?.parse().ok()
}

/// Answers each command as it is told to; between MULTI and EXEC all together, as a Redis does.
fn serve(listener: TcpListener, answer: impl Fn(&[String]) -> Vec<u8> + Send + Sync + 'static) {
    let answer = Arc::new(answer);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let answer = Arc::clone(&answer);
            tokio::spawn(async move {
                let mut reader = BufReader::new(stream);
                let mut queued: Option<Vec<Vec<u8>>> = None;
                while let Some(command) = command(&mut reader).await {
                    let reply = match (command[0].as_str(), &mut queued) {
                        ("MULTI", _) => {
                            queued = Some(Vec::new());
                            b"+OK\r\n".to_vec()
                        }
                        ("EXEC", _) => {
                            let all = queued.take().unwrap_or_default();
                            [format!("*{}\r\n", all.len()).into_bytes(), all.concat()].concat()
                        }
                        (_, Some(queued)) => {
                            queued.push(answer(&command));
                            b"+QUEUED\r\n".to_vec()
                        }
                        (_, None) => answer(&command),
                    };
                    if reader.get_mut().write_all(&reply).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
}

fn bulks(texts: &[&str]) -> Vec<u8> {
    let mut reply = format!("*{}\r\n", texts.len()).into_bytes();
    texts.iter().for_each(|text| write!(reply, "${}\r\n{text}\r\n", text.len()).unwrap());
    reply
}

/// A sentinel that names 127.0.0.1 and the port that is there by then.
async fn sentinel(named: &Arc<AtomicU16>) -> u16 {
    let (listener, port) = bound().await;
    let named = Arc::clone(named);
    serve(listener, move |command| {
        assert_eq!(command, ["SENTINEL", "get-master-addr-by-name", "mymaster"]);
        bulks(&["127.0.0.1", &named.load(Ordering::Relaxed).to_string()])
    });
    port
}

/// What a board is asked, answered by one without bans whose nodes are these records. It is a master, or a replica.
async fn board(role: &Arc<Mutex<&'static str>>, nodes: Vec<NodeRecord>) -> u16 {
    board_of_version("7", role, nodes).await
}

async fn board_of_version(
    version: &'static str,
    role: &Arc<Mutex<&'static str>>,
    nodes: Vec<NodeRecord>,
) -> u16 {
    let (listener, port) = bound().await;
    let role = Arc::clone(role);
    serve(listener, move |command| match command[0].as_str() {
        "HELLO" => bulks(&["proto", "2", "role", &role.lock().unwrap()]),
        "SET" if *role.lock().unwrap() == "replica" => {
            b"-READONLY You can't write against a read only replica.\r\n".to_vec()
        }
        "GET" if command[1] == "turn:version" => {
            format!("${}\r\n{version}\r\n", version.len()).into_bytes()
        }
        "GET" => b"$5\r\nepoch\r\n".to_vec(),
        "ZREVRANGEBYSCORE" => bulks(&[]),
        "ZRANGE" => {
            let listed = nodes.iter().flat_map(|node| [node.node.as_str(), "9000000000"]);
            bulks(&listed.collect::<Vec<_>>())
        }
        "MGET" => {
            let mut reply = format!("*{}\r\n", command.len() - 1).into_bytes();
            for key in &command[1..] {
                let is_it = |node: &&NodeRecord| key.ends_with(&format!(":{}", node.node));
                match nodes.iter().find(is_it).map(NodeRecord::encode) {
                    Some(text) => write!(reply, "${}\r\n{text}\r\n", text.len()).unwrap(),
                    None => reply.extend(b"$-1\r\n"),
                }
            }
            reply
        }
        "TIME" => bulks(&["1700000000", "0"]),
        "SET" => b"+OK\r\n".to_vec(),
        _ => b":1\r\n".to_vec(),
    });
    port
}

fn is(role: &'static str) -> Arc<Mutex<&'static str>> {
    Arc::new(Mutex::new(role))
}

/// Waits until the fleet meets at the board of this port.
async fn meets_at(fleet: &mut Fleet, port: u16) {
    let start = Instant::now();
    let expected = Some(format!("127.0.0.1 port {port}"));
    loop {
        // Nobody else reads what it is told.
        while fleet.contents.try_recv().is_ok() {}
        let state = fleet.state();
        if state.master == expected && state.trouble.is_none() {
            return;
        }
        assert!(start.elapsed() < PATIENCE, "{state:?}, not {expected:?}");
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn the_master_is_the_one_that_a_sentinel_names_also_if_others_are_gone_or_silent() {
    let board = board(&is("master"), Vec::new()).await;
    let good = sentinel(&Arc::new(board.into())).await;
    let (gone, gone_port) = bound().await;
    drop(gone);
    let (_silent, silent_port) = bound().await;
    let mut fleet = start(settings(&[gone_port, silent_port, good]).await);
    meets_at(&mut fleet, board).await;
}

#[tokio::test]
async fn a_replica_is_no_master_whoever_names_it_and_the_next_sentinel_is_asked() {
    let (old, new) =
        (board(&is("replica"), Vec::new()).await, board(&is("master"), Vec::new()).await);
    let lies = sentinel(&Arc::new(old.into())).await;
    let fleet = start(settings(&[lies]).await);
    let told = format!(
        "127.0.0.1 port {old}, which sentinel 127.0.0.1 port {lies} names: it is a replica"
    );
    in_trouble(&fleet, &told).await;
    assert_eq!(fleet.state().master, None);
    let good = sentinel(&Arc::new(new.into())).await;
    let mut fleet = start(settings(&[lies, good]).await);
    meets_at(&mut fleet, new).await;
}

#[tokio::test]
async fn another_master_is_followed_when_the_old_one_is_a_replica() {
    let role = is("master");
    let (old, new) = (board(&role, Vec::new()).await, board(&is("master"), Vec::new()).await);
    let named = Arc::new(AtomicU16::new(old));
    let mut fleet = start(settings(&[sentinel(&named).await]).await);
    meets_at(&mut fleet, old).await;
    named.store(new, Ordering::Relaxed);
    *role.lock().unwrap() = "replica";
    meets_at(&mut fleet, new).await;
    assert_eq!(fleet.state().losses, 1);
}

#[tokio::test]
async fn a_master_that_has_not_all_of_what_the_old_one_had_is_found_out() {
    let role = is("master");
    let (old, new) =
        (board(&role, vec![]).await, board_of_version("6", &is("master"), vec![]).await);
    let named = Arc::new(AtomicU16::new(old));
    let mut fleet = start(settings(&[sentinel(&named).await]).await);
    assert!(!timeout(PATIENCE, fleet.contents.recv()).await.unwrap().unwrap().has_lost);
    named.store(new, Ordering::Relaxed);
    *role.lock().unwrap() = "replica";
    assert!(timeout(PATIENCE, fleet.contents.recv()).await.unwrap().unwrap().has_lost);
}

#[tokio::test]
async fn whatever_a_sentinel_says_that_is_no_address_is_trouble_and_no_panic() {
    let deep = "*1\r\n".repeat(10_000).into_bytes();
    for (bytes, told) in [
        (b"*-1\r\n".to_vec(), "it knows no master mymaster"),
        (b"$-1\r\n".to_vec(), "it knows no master mymaster"),
        (bulks(&["127.0.0.1"]), "an address of the master that was not expected"),
        (bulks(&["127.0.0.1", "0"]), "an address of the master that was not expected"),
        (bulks(&["/etc/passwd", "6379"]), "an address of the master that was not expected"),
        (b"-IDONTKNOW \x1b[2J No such master with that name\r\n".to_vec(), "IDONTKNOW"),
        (b"-NOAUTH Authentication required.\r\n".to_vec(), "NOAUTH"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), "sentinel 127.0.0.1 port "),
        (b"*9223372036854775807\r\n:1\r\n".to_vec(), "sentinel 127.0.0.1 port "),
        (deep, "sentinel 127.0.0.1 port "),
    ] {
        let (listener, port) = bound().await;
        answering(listener, bytes, false);
        let fleet = start(settings(&[port; 16]).await);
        in_trouble(&fleet, told).await;
        let trouble = fleet.state().trouble.unwrap();
        assert!(!trouble.contains(char::is_control) && trouble.len() < 1000, "{trouble:?}");
    }
}

#[tokio::test]
async fn a_sentinel_that_sends_without_end_is_cut_off_and_nothing_grows() {
    let (listener, port) = bound().await;
    // The beginning of a text of a gigabyte.
    let bytes = [&b"$1000000000\r\n"[..], &[b'x'; 65_536]].concat();
    answering(listener, bytes, true);
    let before = resident();
    let fleet = start(settings(&[port]).await);
    in_trouble(&fleet, "more than 65536 bytes").await;
    for _ in 0..20 {
        sleep(Duration::from_millis(50)).await;
        let grown = resident().saturating_sub(before);
        assert!(grown < 64 * 1024 * 1024, "{grown}");
    }
}

#[tokio::test]
async fn a_sentinel_can_name_a_board_of_its_own_whose_nodes_are_not_believed() {
    let evil = NodeRecord {
        node: "evil".into(),
        ready: true,
        room: 100,
        clients: vec!["udp 198.51.100.6:3478".into()],
        ..NodeRecord::default()
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let sealed = evil.sealed(&ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &[6; 32]), now);
    let board = board(&is("master"), vec![sealed]).await;
    let mut fleet = start(settings(&[sentinel(&Arc::new(board.into())).await]).await);
    fleet.set_key(&[7; 32]);
    meets_at(&mut fleet, board).await;
    let begun = Instant::now();
    while fleet.state().nodes.is_empty() {
        assert!(begun.elapsed() < PATIENCE);
        while fleet.contents.try_recv().is_ok() {}
        sleep(Duration::from_millis(20)).await;
    }
    // It is listed, and no client is sent there.
    let nodes = fleet.state().nodes;
    let judged = nodes.iter().find(|node| node.node == "evil").unwrap();
    assert!(!judged.is_sealed, "{judged:?}");
}

#[tokio::test]
async fn a_password_that_a_sentinel_repeats_is_in_no_trouble() {
    let directory = std::env::temp_dir().join(format!("taciturn-sentinel-{}", std::process::id()));
    std::fs::write(&directory, "s3cret-of-the-sentinels\n").unwrap();
    let (listener, port) = bound().await;
    let told = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&told);
    serve(listener, move |command| {
        seen.lock().unwrap().push(command.to_vec());
        let args = command[1..].join("' '");
        format!("-ERR unknown command '{}', with args beginning with: '{args}'\r\n", command[0])
            .into_bytes()
    });
    let mut settings = settings(&[port]).await;
    if let Place::Sentinel(sentinels) = &mut settings.place {
        sentinels.user = Some("watcher".into());
        sentinels.password_file = Some(directory.clone());
    }
    assert!(!format!("{settings:?}").contains("s3cret"));
    let fleet = start(settings);
    in_trouble(&fleet, "Password authentication failed").await;
    assert!(!fleet.state().trouble.unwrap().contains("s3cret"));
    assert_eq!(told.lock().unwrap()[0], ["AUTH", "watcher", "s3cret-of-the-sentinels"]);
    std::fs::remove_file(&directory).unwrap();
    // A file that is gone is named.
    in_trouble(&fleet, "sentinel_password_file ").await;
}
