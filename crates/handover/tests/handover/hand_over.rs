//! A hand-over that goes well, and one that the new process does not want.

use std::io::{Read as _, Write as _};
use std::net::UdpSocket;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use taciturn_handover::{Claimed, GiveError, Name, Patience, Taken, Taker, Transport};

use crate::descriptors::{alone, open_descriptors};
use crate::rig::{LONG, SHORT, SNAPSHOT, Server, assert_reaches, other, own};

fn take(stream: UnixStream) -> (Claimed, Taken) {
    Taker::meet(stream, own(), None, LONG).unwrap().take().unwrap()
}

#[test]
fn everything_arrives_in_several_batches_with_what_waits_in_the_sockets() {
    let _alone = alone();
    let before = open_descriptors();
    let mut old = Server::new(600);
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    let first = old.relays[0].local_addr().unwrap();
    sender.send_to(b"meanwhile", first).unwrap();
    old.caller.write_all(b"meanwhile").unwrap();
    let (stream, new) = other(|stream| {
        let (claimed, taken) = take(stream);
        taken.ready().unwrap();
        claimed
    });
    old.give(stream, LONG).unwrap();
    let mut new = new.join().unwrap();
    assert!(new.refused.is_empty() && new.missing.is_empty(), "{new:?}");
    assert_eq!(*new.snapshot.unwrap(), *SNAPSHOT);
    let addresses: Vec<_> = old.relays.iter().map(|relay| relay.local_addr().unwrap()).collect();
    let (client, listener) = (old.client_name(), old.listeners[1].local_addr().unwrap());
    let Server { listeners, relays, metrics, client: theirs, mut caller } = old;
    drop((listeners, relays, metrics, theirs));
    let at = new.held.iter().position(|held| held.name == client).unwrap();
    let client = new.held.remove(at);
    assert_eq!((&*client.unread, &*client.unsent), (&b"unread"[..], &b"unsent"[..]));
    let mut client = std::net::TcpStream::from(client.socket);
    client.set_nonblocking(false).unwrap();
    let mut read = [0; 9];
    client.read_exact(&mut read).unwrap();
    assert_eq!(&read, b"meanwhile");
    client.write_all(b"goes on").unwrap();
    caller.read_exact(&mut read[..7]).unwrap();
    assert_eq!(&read[..7], b"goes on");
    let mut relays = 0;
    for held in new.held {
        let Name::Relay(address) = held.name else { continue };
        let socket = UdpSocket::from(held.socket);
        if address == first {
            assert_eq!(socket.recv(&mut [0; 20]).unwrap(), 9, "what waited is there");
        }
        assert!(addresses.contains(&address));
        assert_reaches(&sender, address, &socket);
        relays += 1;
    }
    assert_eq!((relays, new.groups.len()), (600, 2));
    let group = new.groups.into_iter().find(|group| group.address == listener).unwrap();
    assert_eq!((group.transport, group.sockets.len()), (Transport::Udp, 1));
    let socket = group.sockets.into_iter().next().unwrap().into();
    assert_reaches(&sender, listener, &socket);
    drop((sender, socket, client, caller));
    assert_eq!(open_descriptors(), before);
}

#[test]
fn a_server_without_any_call_is_taken_over_as_well() {
    let _alone = alone();
    let old = Server::new(0);
    let (stream, new) = other(|stream| {
        let (claimed, taken) = take(stream);
        taken.ready().map(|_| claimed.held.len())
    });
    old.give(stream, LONG).unwrap();
    assert_eq!(new.join().unwrap().unwrap(), 2);
}

#[test]
fn if_the_new_process_cannot_use_it_the_old_one_goes_on_and_knows_why() {
    let _alone = alone();
    let before = open_descriptors();
    let mut old = Server::new(300);
    let (stream, new) = other(|stream| {
        let (claimed, taken) = take(stream);
        taken.refuse("port 3478 is configured for TLS here\nand more");
        drop(claimed);
    });
    let error = old.give(stream, LONG).unwrap_err().to_string();
    new.join().unwrap();
    let expected = "the other process refuses: port 3478 is configured for TLS here and more";
    assert_eq!(error, expected);
    old.assert_serves();
    drop(old);
    assert_eq!(open_descriptors(), before);
}

#[test]
fn a_server_that_does_not_want_to_says_so() {
    let _alone = alone();
    let (stream, new) = other(|stream| Taker::meet(stream, own(), None, LONG).unwrap().take());
    let giver = taciturn_handover::Giver::meet(stream, own(), LONG).unwrap();
    giver.refuse("it drains");
    let error = new.join().unwrap().unwrap_err();
    assert_eq!(error.to_string(), "the other process refuses: it drains");
}

/// However late the new process is, never both serve, and never none.
#[test]
fn both_processes_agree_on_who_serves_whenever_the_new_one_is_ready() {
    let _alone = alone();
    let old = Server::new(1);
    let patience = Patience { step: Duration::from_millis(100), ..SHORT };
    let mut outcomes = [0; 2];
    for attempt in 0..40 {
        let (stream, new) = other(move |stream| {
            let (_claimed, taken) = Taker::meet(stream, own(), None, LONG)?.take()?;
            // Around the moment at which the old one has waited for long enough.
            std::thread::sleep(Duration::from_millis(80 + attempt));
            taken.ready()
        });
        let given = old.give(stream, patience);
        let taken = new.join().unwrap();
        assert_eq!(given.is_ok(), taken.is_ok(), "{given:?} {taken:?}");
        outcomes[usize::from(given.is_ok())] += 1;
    }
    assert!(outcomes.iter().all(|count| *count > 0), "both were tried: {outcomes:?}");
}

/// Then nobody serves but the new one.
#[test]
fn a_process_that_is_ready_serves_if_the_old_one_has_died_meanwhile() {
    let _alone = alone();
    let old = Server::new(1);
    let (stream, new) = other(|stream| {
        let (_claimed, taken) = take(stream);
        std::thread::sleep(SHORT.step);
        taken.ready()
    });
    let (copy, shut) = (stream.try_clone().unwrap(), SHORT.step / 2);
    let killer = std::thread::spawn(move || {
        std::thread::sleep(shut);
        // As the kernel does for a process that ends: nothing is said.
        copy.shutdown(std::net::Shutdown::Both).unwrap();
    });
    let given = old.give(stream, LONG);
    assert!(matches!(given, Err(GiveError::Frame(_))), "{given:?}");
    killer.join().unwrap();
    new.join().unwrap().unwrap();
}
