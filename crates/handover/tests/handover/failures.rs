//! Processes at the other end that hang, end, or say what they should not: nothing happens, and no descriptor stays
//! open.

use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use taciturn_handover::{State, TakeError, Taker, sealed};

use crate::descriptors::{alone, open_descriptors};
use crate::rig::{SHORT, Server, message, other, own, read_message, send_with};

const BEGIN: u32 = 1;
const OFFER: u32 = 2;
const ACCEPT: u32 = 3;
const BATCH: u32 = 4;
const RECEIVED: u32 = 5;
const READY: u32 = 6;

/// Lets somebody ask a server to hand over; returns why it did not. It serves afterwards.
fn not_given(act: impl FnOnce(&UnixStream) + Send + 'static) -> String {
    let before = open_descriptors();
    let mut old = Server::new(300);
    let (stream, new) = other(move |stream| {
        act(&stream);
        // Whatever it says comes to an end.
        while read_message(&stream).is_some() {}
    });
    let began = Instant::now();
    let error = old.give(stream, SHORT).unwrap_err().to_string();
    assert!(began.elapsed() < SHORT.whole + Duration::from_secs(1), "{error}");
    new.join().unwrap();
    old.assert_serves();
    drop(old);
    assert_eq!(open_descriptors(), before, "{error}");
    error
}

fn say(mut stream: &UnixStream, kind: u32, body: &[u8]) {
    // One that has closed the connection hears nothing.
    let _ = stream.write_all(&message(kind, body));
}

fn begin(stream: &UnixStream) {
    say(stream, BEGIN, &[1, 0, 1, 0]);
    assert_eq!(read_message(stream).unwrap().0, OFFER);
}

/// Up to the last batch.
fn take_all(stream: &UnixStream) {
    begin(stream);
    say(stream, ACCEPT, &[]);
    let mut received = 0_u32;
    while received < 305 {
        let (kind, names) = read_message(stream).unwrap();
        assert_eq!(kind, BATCH);
        received += names.iter().filter(|byte| **byte == b'\n').count() as u32;
        say(stream, RECEIVED, &received.to_le_bytes());
    }
}

const SILENT: &str = "the other process was silent for too long";
const GONE: &str = "the other process has closed the connection, or has ended";
const STRANGE: &str = "the other process sent something else than a hand-over has";

#[test]
fn a_new_process_that_hangs_at_any_step_is_given_up() {
    let _alone = alone();
    assert_eq!(not_given(|_| {}), SILENT);
    assert_eq!(not_given(begin), SILENT);
    let accept = |stream: &UnixStream| {
        begin(stream);
        say(stream, ACCEPT, &[]);
    };
    assert_eq!(not_given(accept), SILENT);
    assert_eq!(not_given(take_all), SILENT);
    let half = |mut stream: &UnixStream| {
        take_all(stream);
        stream.write_all(&message(READY, &[])[..7]).unwrap();
    };
    assert_eq!(not_given(half), SILENT);
}

#[test]
fn a_new_process_that_ends_at_any_step_changes_nothing() {
    let _alone = alone();
    let end = |stream: &UnixStream| stream.shutdown(std::net::Shutdown::Both).unwrap();
    assert_eq!(not_given(end), GONE);
    let steps: [fn(&UnixStream); 3] = [
        begin,
        |stream| {
            begin(stream);
            say(stream, ACCEPT, &[]);
            read_message(stream);
        },
        take_all,
    ];
    for step in steps {
        let error = not_given(move |stream| {
            step(stream);
            end(stream);
        });
        assert_eq!(error, GONE);
    }
}

#[test]
fn a_new_process_that_says_what_it_should_not_gets_nothing() {
    let _alone = alone();
    let garbage = |mut stream: &UnixStream| stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    assert_eq!(not_given(garbage), STRANGE);
    assert_eq!(not_given(|stream| say(stream, READY, &[])), STRANGE);
    let ready = |stream: &UnixStream| {
        begin(stream);
        say(stream, READY, &[]);
    };
    assert_eq!(not_given(ready), STRANGE);
    let wrong_count = |stream: &UnixStream| {
        begin(stream);
        say(stream, ACCEPT, &[]);
        read_message(stream);
        say(stream, RECEIVED, &305_u32.to_le_bytes());
    };
    assert_eq!(not_given(wrong_count), STRANGE);
    let too_early = |stream: &UnixStream| {
        begin(stream);
        say(stream, ACCEPT, &[]);
        read_message(stream);
        say(stream, READY, &[]);
    };
    assert_eq!(not_given(too_early), STRANGE);
    // Ready, but what it says before that is not what it should be.
    let after = |stream: &UnixStream| {
        take_all(stream);
        say(stream, ACCEPT, &[]);
        say(stream, READY, &[]);
    };
    assert_eq!(not_given(after), STRANGE);
}

#[test]
fn a_release_that_speaks_other_versions_is_told_which() {
    let _alone = alone();
    let error = not_given(|stream| say(stream, BEGIN, &[7, 0, 9, 0]));
    let expected = "the other release speaks versions 7 to 9 of the hand-over, and this one 1 to 1";
    assert_eq!(error, expected);
    // One that is newer and speaks the old version too is served.
    let served = not_given(|stream| {
        say(stream, BEGIN, &[1, 0, 9, 0]);
        let (kind, body) = read_message(stream).unwrap();
        assert_eq!((kind, &body[..2]), (OFFER, &[1, 0][..]));
    });
    assert_eq!(served, SILENT);
}

/// Lets a server that hands over do something to a new process; returns why that took nothing.
fn not_taken(act: impl FnOnce(&UnixStream) + Send + 'static) -> TakeError {
    let before = open_descriptors();
    let (stream, old) = other(move |stream| {
        assert_eq!(read_message(&stream).unwrap().0, BEGIN);
        act(&stream);
        while read_message(&stream).is_some() {}
    });
    let began = Instant::now();
    let taken = Taker::meet(stream, own(), None, SHORT).unwrap().take();
    assert!(began.elapsed() < SHORT.whole + Duration::from_secs(1));
    let error = taken.map(drop).unwrap_err();
    old.join().unwrap();
    assert_eq!(open_descriptors(), before, "{error}");
    error
}

fn socket() -> OwnedFd {
    std::net::UdpSocket::bind("127.0.0.1:0").unwrap().into()
}

/// Offers so many descriptors in version 1.
fn offer(stream: &UnixStream, count: u32) {
    let [a, b, c, d] = count.to_le_bytes();
    say(stream, OFFER, &[1, 0, a, b, c, d]);
    assert_eq!(read_message(stream).unwrap().0, ACCEPT);
}

fn batch(stream: &UnixStream, names: &str, descriptor: &OwnedFd, copies: usize) {
    send_with(stream, &message(BATCH, names.as_bytes()), descriptor, copies);
}

#[test]
fn an_old_process_that_hangs_or_ends_at_any_step_leaves_nothing_open() {
    let _alone = alone();
    let steps: [fn(&UnixStream); 4] = [
        |_| {},
        |stream| offer(stream, 3),
        |stream| {
            offer(stream, 3);
            batch(stream, "control\nstate/1\n", &socket(), 2);
        },
        // The names end in the middle.
        |mut stream| {
            offer(stream, 2);
            let whole = message(BATCH, b"control\nstate/1\n");
            send_with(stream, &whole[..12], &socket(), 2);
            stream.flush().unwrap();
        },
    ];
    for step in steps {
        assert_eq!(not_taken(step).to_string(), SILENT);
        let error = not_taken(move |stream| {
            step(stream);
            stream.shutdown(std::net::Shutdown::Both).unwrap();
        });
        assert_eq!(error.to_string(), GONE);
    }
}

#[test]
fn more_descriptors_than_offered_or_other_than_named_are_closed() {
    let _alone = alone();
    let strange = |act: fn(&UnixStream)| assert_eq!(not_taken(act).to_string(), STRANGE);
    strange(|stream| {
        offer(stream, 1);
        batch(stream, "control\nstate/1\n", &socket(), 2);
    });
    strange(|stream| {
        offer(stream, 5);
        batch(stream, "control\nstate/1\n", &socket(), 3);
    });
    strange(|stream| {
        offer(stream, 5);
        batch(stream, "control\nmetrics/127.0.0.1+1\nstate/1\n", &socket(), 2);
    });
    strange(|stream| {
        offer(stream, 5);
        batch(stream, "", &socket(), 1);
    });
    strange(|stream| {
        offer(stream, 5);
        send_with(stream, &message(ACCEPT, &[]), &socket(), 5);
    });
    // A header in pieces, each with as many descriptors as the kernel takes.
    strange(|stream| {
        offer(stream, 253);
        for byte in message(BATCH, b"") {
            send_with(stream, &[byte], &socket(), 253);
        }
    });
    // Where none are looked for.
    strange(|mut stream| {
        let [header @ .., last] =
            <[u8; 14]>::try_from(message(OFFER, &[1, 0, 1, 0, 0, 0])).unwrap();
        stream.write_all(&header).unwrap();
        send_with(stream, &[last], &socket(), 100);
        assert_eq!(read_message(stream).unwrap().0, ACCEPT);
        say(stream, ACCEPT, &[]);
    });
}

#[test]
fn an_offer_that_cannot_be_is_refused_before_anything_comes() {
    let _alone = alone();
    let error = not_taken(|stream| say(stream, OFFER, &[9, 0, 1, 0, 0, 0]));
    assert!(matches!(error, TakeError::Version(9)), "{error}");
    let error = not_taken(|stream| say(stream, OFFER, &[1, 0, 0xff, 0xff, 0xff, 0xff]));
    assert!(matches!(error, TakeError::TooMany { count: 0xffff_ffff, .. }), "{error}");
    assert!(error.to_string().contains("LimitNOFILE="), "{error}");
    let error = not_taken(|stream| offer(stream, 0));
    assert!(matches!(error, TakeError::Unusable(_)), "{error}");
}

#[test]
fn a_state_that_could_be_changed_or_is_none_is_refused() {
    let _alone = alone();
    let told = |file: fn() -> OwnedFd| {
        let error = not_taken(move |stream| {
            offer(stream, 1);
            batch(stream, "state/0\n", &file(), 1);
        });
        error.to_string()
    };
    let before = "what the other process sent cannot be used: ";
    let open = || {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&State::default().encode().unwrap()).unwrap();
        file.into()
    };
    assert_eq!(told(open), format!("{before}state/0: it is not a sealed file in memory"));
    assert_eq!(told(socket), format!("{before}state/0: it is not a sealed file in memory"));
    let nonsense = || sealed::write("state", b"nonsense").unwrap();
    let not_whole = "state/0: it is not the state of a server, or not all of it";
    assert_eq!(told(nonsense), format!("{before}{not_whole}"));
    let later = || {
        let mut bytes = State::default().encode().unwrap();
        bytes[8] = 2;
        sealed::write("state", &bytes).unwrap()
    };
    assert!(told(later).contains("a later release wrote it"), "{}", told(later));
}
