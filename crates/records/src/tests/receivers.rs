//! Receivers that fail.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::http::{HttpReceiver, HttpSettings};
use crate::url::Url;

/// Far more than any step takes.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// What a receiver does with one request.
#[derive(Clone, Debug)]
pub(super) enum Does {
    /// Returns this status, with this header.
    Answers(u16, &'static str),
    /// Reads it, and says nothing.
    Hangs,
    /// Closes the connection after some bytes of the request.
    ClosesAfter(usize),
    /// Reads it, and closes in the middle of its answer.
    ClosesMidway,
    /// Says something that is no HTTP.
    Babbles,
    /// Refuses more than so many lines with 413, and takes fewer.
    TakesAtMost(usize),
}

/// A server that does one thing after another, and takes everything from then on.
pub(super) struct Scripted {
    pub(super) port: u16,
    seen: Arc<Mutex<Seen>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Seen {
    taken: Vec<String>,
    requests: usize,
    heads: Vec<String>,
    ends: bool,
}

impl Scripted {
    pub(super) fn new(script: Vec<Does>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let shared = Arc::clone(&seen);
        let thread = std::thread::spawn(move || {
            let (mut script, mut hanging) = (script.into_iter(), Vec::new());
            for stream in listener.incoming() {
                if shared.lock().unwrap().ends {
                    return;
                }
                let does = script.next().unwrap_or(Does::Answers(204, ""));
                hanging.extend(serve(stream.unwrap(), does, &shared));
            }
        });
        Self { port, seen, thread: Some(thread) }
    }

    pub(super) fn settings(&self) -> HttpSettings {
        HttpSettings {
            url: Url {
                tls: false,
                host: "127.0.0.1".into(),
                port: self.port,
                path: "/usage?a=b".into(),
            },
            token_file: None,
            ca_file: None,
            agent: "taciturn/test",
        }
    }

    pub(super) fn receiver(&self) -> HttpReceiver {
        HttpReceiver::new(self.settings()).unwrap().patient(Duration::from_millis(300))
    }

    /// The ids that it has taken, in order; waits until there are so many.
    pub(super) fn ids(&self, count: usize) -> Vec<String> {
        let begun = Instant::now();
        loop {
            let taken = self.seen.lock().unwrap().taken.clone();
            if taken.len() >= count {
                return taken;
            }
            assert!(begun.elapsed() < PATIENCE, "{taken:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub(super) fn requests(&self) -> usize {
        self.seen.lock().unwrap().requests
    }

    pub(super) fn heads(&self) -> Vec<String> {
        self.seen.lock().unwrap().heads.clone()
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.seen.lock().unwrap().ends = true;
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        let _ = self.thread.take().unwrap().join();
    }
}

fn serve(mut stream: TcpStream, does: Does, seen: &Mutex<Seen>) -> Option<TcpStream> {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    if let Does::ClosesAfter(most) = does {
        seen.lock().unwrap().requests += 1;
        let mut some = vec![0; most];
        let _ = stream.read_exact(&mut some);
        return None;
    }
    let (head, body) = request(&mut stream)?;
    let lines: Vec<Value> =
        body.lines().map(|line| serde_json::from_str(line).expect("whole lines of JSON")).collect();
    let ids = lines.iter().map(|line| line["id"].as_str().unwrap_or_default().to_owned());
    let mut known = seen.lock().unwrap();
    known.requests += 1;
    known.heads.push(head);
    let (status, header) = match does {
        Does::Answers(status, header) => (status, header),
        Does::TakesAtMost(most) if lines.len() > most => (413, ""),
        Does::TakesAtMost(_) => (200, ""),
        Does::Hangs => return Some(stream),
        Does::ClosesMidway => {
            let _ = stream.write_all(b"HTTP/1.1 20");
            let _ = stream.shutdown(Shutdown::Both);
            return None;
        }
        Does::Babbles => {
            let _ = stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n");
            return None;
        }
        Does::ClosesAfter(_) => return None,
    };
    if status / 100 == 2 {
        known.taken.extend(ids);
    }
    drop(known);
    let _ = write!(stream, "HTTP/1.1 {status} X\r\nContent-Length: 0\r\n{header}\r\n");
    None
}

fn request(stream: &mut TcpStream) -> Option<(String, String)> {
    let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let read = stream.read(&mut buffer).ok().filter(|read| *read > 0)?;
        bytes.extend(&buffer[..read]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("content-length").then(|| value.parse::<usize>().ok())?
        });
        if Some(body.len()) == length {
            return Some((head.to_owned(), body.to_owned()));
        }
    }
}
