//! Two processes: the one that takes over is a program of its own.

use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use std::{env, fs};

use rustix::process::{Resource, Rlimit, setrlimit};
use taciturn_handover::{FrameError, GiveError, Giver, Name, TakeError, Taker};

use crate::descriptors::alone;
use crate::rig::{LONG, Server, own};

/// Where the child finds the old process, and what it does.
const SOCKET: &str = "TACITURN_HANDOVER_TEST_SOCKET";
const ACT: &str = "TACITURN_HANDOVER_TEST_ACT";

/// Somebody who is not root.
const NOBODY: u32 = 65534;

/// This program once more: it runs [`as_a_child`].
fn child(program: &Path, socket: &Path, act: &str, uid: u32) -> Child {
    let mut command = Command::new(program);
    command.args(["--exact", "processes::as_a_child", "--nocapture"]);
    command.env(SOCKET, socket).env(ACT, act).current_dir("/").stdout(Stdio::null());
    if uid != own() {
        command.uid(uid).gid(uid);
    }
    command.spawn().unwrap()
}

fn this_program() -> PathBuf {
    env::current_exe().unwrap()
}

/// Not a test by itself: what the other process does.
#[test]
fn as_a_child() {
    let (Some(socket), Some(act)) = (env::var_os(SOCKET), env::var_os(ACT)) else { return };
    let connect = || UnixStream::connect(&socket).unwrap();
    match act.to_str().unwrap() {
        "serve" => {
            let (claimed, taken) =
                Taker::meet(connect(), own(), None, LONG).unwrap().take().unwrap();
            taken.ready().unwrap();
            let relay = claimed.held.into_iter().find(|held| matches!(held.name, Name::Relay(_)));
            let relay = UdpSocket::from(relay.unwrap().socket);
            relay.set_nonblocking(false).unwrap();
            relay.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            let mut read = [0; 20];
            let (len, from) = relay.recv_from(&mut read).unwrap();
            relay.send_to(&read[..len], from).unwrap();
        }
        "die" => {
            // It has everything when it dies.
            let _taken = Taker::meet(connect(), own(), None, LONG).unwrap().take().unwrap();
            std::process::abort();
        }
        "few" => {
            // Room for all that is offered, but for what is open already.
            let few = Rlimit { current: Some(306), maximum: Some(306) };
            setrlimit(Resource::Nofile, few).unwrap();
            let taken = Taker::meet(connect(), own(), None, LONG).unwrap().take();
            assert!(matches!(taken, Err(TakeError::Frame(FrameError::Full))), "{taken:?}");
        }
        "steal" => {
            // The socket lets it in, and it may say what it likes.
            let taken = Taker::meet(connect(), own(), None, LONG).and_then(Taker::take);
            let Err(TakeError::Frame(error)) = taken else { panic!("{taken:?}") };
            assert!(
                error.to_string().contains("it runs as uid 65534, and only root may"),
                "{error}"
            );
        }
        "listen" => {
            let listener = UnixListener::bind(&socket).unwrap();
            let (stream, _) = listener.accept().unwrap();
            let server = Server::new(1);
            let given = server.give(stream, LONG);
            assert!(given.is_err(), "root takes nothing from it");
        }
        act => panic!("{act}"),
    }
}

fn listener() -> (tempfile::TempDir, UnixListener, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("control.sock");
    let listener = UnixListener::bind(&path).unwrap();
    (directory, listener, path)
}

#[test]
fn a_new_process_serves_with_the_sockets_of_one_that_has_ended() {
    let _alone = alone();
    let (_directory, listener, path) = listener();
    let mut child = child(&this_program(), &path, "serve", own());
    let old = Server::new(300);
    // What the child answers from is the first that it received.
    let relay = old.relays[0].local_addr().unwrap();
    old.give(listener.accept().unwrap().0, LONG).unwrap();
    drop(old);
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    sender.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    sender.send_to(b"is there anybody", relay).unwrap();
    let mut read = [0; 20];
    let (len, from) = sender.recv_from(&mut read).unwrap();
    assert_eq!((&read[..len], from), (&b"is there anybody"[..], relay));
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_new_process_that_is_killed_before_it_is_ready_changes_nothing() {
    let _alone = alone();
    let (_directory, listener, path) = listener();
    let mut child = child(&this_program(), &path, "die", own());
    let mut old = Server::new(300);
    let given = old.give(listener.accept().unwrap().0, LONG);
    assert!(matches!(given, Err(GiveError::Frame(_))), "{given:?}");
    assert!(!child.wait().unwrap().success());
    old.assert_serves();
}

/// The kernel says only that some are missing.
#[test]
fn a_new_process_that_may_not_have_so_many_descriptors_takes_none() {
    let _alone = alone();
    let (_directory, listener, path) = listener();
    let mut child = child(&this_program(), &path, "few", own());
    let mut old = Server::new(300);
    let given = old.give(listener.accept().unwrap().0, LONG);
    let Err(GiveError::Frame(FrameError::Refused(why))) = given else { panic!("{given:?}") };
    assert!(why.contains("LimitNOFILE="), "{why}");
    assert!(child.wait().unwrap().success());
    old.assert_serves();
}

/// Somebody whom a careless mode of the socket lets in. The program is copied to where that user can read it.
#[test]
fn another_user_gets_no_descriptor_and_provides_none() {
    if own() != 0 {
        eprintln!("skipped: needs root");
        return;
    }
    let _alone = alone();
    let (directory, listener, path) = listener();
    let mode =
        |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    let program = directory.path().join("child");
    fs::copy(this_program(), &program).unwrap();
    mode(directory.path(), 0o777);
    mode(&program, 0o755);
    mode(&path, 0o777);
    let mut thief = child(&program, &path, "steal", NOBODY);
    let met = Giver::meet(listener.accept().unwrap().0, own(), LONG);
    let Err(GiveError::Stranger(stranger)) = met else { panic!("{met:?}") };
    assert_eq!((stranger.uid, stranger.own), (NOBODY, 0));
    assert!(thief.wait().unwrap().success(), "it has got nothing");

    let path = directory.path().join("other.sock");
    let mut impostor = child(&program, &path, "listen", NOBODY);
    let stream = (0..2000).find_map(|_| {
        std::thread::sleep(Duration::from_millis(10));
        UnixStream::connect(&path).ok()
    });
    let met = Taker::meet(stream.unwrap(), own(), None, LONG);
    assert!(matches!(met, Err(TakeError::Stranger(_))), "{met:?}");
    assert!(impostor.wait().unwrap().success());
}
