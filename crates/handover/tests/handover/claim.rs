//! What is taken of the descriptors that come, and what is closed.

use std::fs::File;
use std::io::Write as _;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::OwnedFd;

use taciturn_handover::{Claimed, Entry, Name, Snapshot, State, Transport, claim, sealed};

use crate::descriptors::{alone, open_descriptors};

struct Sent {
    state: State,
    received: Vec<(String, OwnedFd)>,
}

impl Sent {
    fn new() -> Self {
        let snapshot = Snapshot::from(b"snapshot".to_vec());
        Self { state: State { entries: Vec::new(), snapshot }, received: Vec::new() }
    }

    fn add(mut self, name: Name, socket: impl Into<OwnedFd>) -> Self {
        self.received.push((name.to_string(), socket.into()));
        self.list(name)
    }

    fn list(mut self, name: Name) -> Self {
        self.state.entries.push(Entry::new(name));
        self
    }

    fn relay(self) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let name = Name::Relay(socket.local_addr().unwrap());
        self.add(name, socket)
    }

    fn claim(mut self) -> Claimed {
        let file = sealed::write("state", &self.state.encode().unwrap()).unwrap();
        self.received.push((Name::State(1).to_string(), file));
        claim(self.received)
    }
}

/// Sockets that share an address. The first is bound without others there.
fn group(size: u16) -> (SocketAddr, Vec<OwnedFd>) {
    use rustix::net::{AddressFamily, SocketType, bind, getsockname, socket, sockopt};
    let mut address = SocketAddr::from(([127, 0, 0, 1], 0));
    let sockets = (0..size).map(|_| {
        let socket = socket(AddressFamily::INET, SocketType::DGRAM, None).unwrap();
        sockopt::set_socket_reuseport(&socket, true).unwrap();
        bind(&socket, &address).unwrap();
        address = getsockname(&socket).unwrap().try_into().unwrap();
        socket
    });
    let sockets = sockets.collect();
    (address, sockets)
}

fn place(address: SocketAddr, index: u16, of: u16) -> Name {
    Name::listener(Transport::Udp, address, index, of).unwrap()
}

#[test]
fn sockets_of_one_address_come_back_in_their_order_whatever_order_they_came_in() {
    let _alone = alone();
    let (address, sockets) = group(12);
    let cookies = |sockets: &[OwnedFd]| -> Vec<u64> {
        sockets.iter().map(|s| rustix::net::sockopt::socket_cookie(s).unwrap()).collect()
    };
    let before = cookies(&sockets);
    let mut sent = Sent::new().relay();
    // The store gives back the latest first.
    for (index, socket) in sockets.into_iter().enumerate().rev() {
        sent = sent.add(place(address, index as u16, 12), socket);
    }
    let claimed = sent.claim();
    assert!(claimed.refused.is_empty() && claimed.missing.is_empty(), "{claimed:?}");
    assert_eq!((claimed.groups.len(), claimed.held.len()), (1, 1));
    assert_eq!(claimed.groups[0].address, address);
    assert_eq!(cookies(&claimed.groups[0].sockets), before);
    assert_eq!(**claimed.snapshot.as_ref().unwrap(), *b"snapshot");
}

#[test]
fn a_group_that_lacks_a_socket_is_closed_as_a_whole_and_nothing_else_is() {
    let _alone = alone();
    let before = open_descriptors();
    let (address, mut sockets) = group(3);
    drop(sockets.remove(1));
    let last = sockets.pop().unwrap();
    let sent = Sent::new().relay().list(place(address, 1, 3));
    let sent = sent.add(place(address, 0, 3), sockets.pop().unwrap());
    let claimed = sent.add(place(address, 2, 3), last).claim();
    assert_eq!(claimed.missing, [place(address, 1, 3)]);
    let refused: Vec<_> = claimed.refused.iter().map(ToString::to_string).collect();
    assert_eq!(refused.len(), 2, "{refused:?}");
    assert!(refused[0].ends_with("another socket that shares its address did not come along"));
    assert_eq!((claimed.groups.len(), claimed.held.len()), (0, 1));
    assert!(UdpSocket::bind(address).is_ok(), "the address is free again");
    drop(claimed);
    assert_eq!(open_descriptors(), before);
}

#[test]
fn what_is_not_in_the_list_or_not_what_it_is_called_is_closed_and_reported() {
    let _alone = alone();
    let before = open_descriptors();
    let mut sent = Sent::new().relay();
    let free = || OwnedFd::from(UdpSocket::bind("127.0.0.1:0").unwrap());
    let elsewhere: SocketAddr = "127.0.0.1:1".parse().unwrap();
    sent = sent.add(Name::Relay(elsewhere), free());
    sent = sent.add(Name::Control, tempfile::tempfile().unwrap());
    sent.received.push(("stored".into(), free()));
    sent.received.push(("metrics/127.0.0.1+1".into(), free()));
    let (name, again) = (sent.received[0].0.clone(), free());
    sent.received.push((name, again));
    let claimed = sent.claim();
    let mut told: Vec<_> = claimed.refused.iter().map(ToString::to_string).collect();
    told.sort();
    assert_eq!(told.len(), 5, "{told:?}");
    assert_eq!(told[0], "control: it is not a socket");
    assert!(told[1].starts_with("metrics/127.0.0.1+1: it is not in the list"), "{told:?}");
    assert!(told[2].starts_with("relay/127.0.0.1+1: it is bound to 127.0.0.1:"), "{told:?}");
    assert!(told[3].ends_with(": there is another one of that name"), "{told:?}");
    assert_eq!(told[4], "stored: its name is not one of this server's");
    assert_eq!(claimed.held.len(), 1, "the first of that name counts");
    drop(claimed);
    assert_eq!(open_descriptors(), before);
}

#[test]
fn without_a_state_that_can_be_read_nothing_is_used() {
    let _alone = alone();
    let before = open_descriptors();
    let socket = || OwnedFd::from(UdpSocket::bind("127.0.0.1:0").unwrap());
    let open = || {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&State::default().encode().unwrap()).unwrap();
        file
    };
    let states: [Option<OwnedFd>; 4] = [
        None,
        Some(open().into()),
        Some(sealed::write("state", b"nonsense").unwrap()),
        Some(sealed::write("state", b"").unwrap()),
    ];
    for state in states {
        let came = usize::from(state.is_some());
        let mut received = vec![("relay/127.0.0.1+1".to_owned(), socket())];
        received.extend(state.map(|file| ("state/1".to_owned(), file)));
        let claimed = claim(received);
        assert!(claimed.snapshot.is_none() && claimed.held.is_empty());
        assert_eq!(claimed.refused.len(), 1 + came);
    }
    assert_eq!(open_descriptors(), before);
}

/// A process that was killed between two steps leaves both in the store.
#[test]
fn of_several_states_the_latest_that_can_be_read_counts() {
    let _alone = alone();
    let file = |snapshot: &[u8]| {
        let snapshot = Snapshot::from(snapshot.to_vec());
        let state = State { entries: Vec::new(), snapshot };
        sealed::write("state", &state.encode().unwrap()).unwrap()
    };
    let damaged: OwnedFd = File::open("/dev/null").unwrap().into();
    let named = |number, file| (Name::State(number).to_string(), file);
    let received = vec![named(9, file(b"9")), named(11, damaged), named(10, file(b"10"))];
    let claimed = claim(received);
    assert_eq!(*claimed.snapshot.unwrap(), *b"10");
    assert_eq!(claimed.refused.len(), 1);
    assert_eq!(claimed.refused[0].name, "state/11");
}

/// A socket in which other sockets wait, as many as are given.
fn queue(sockets: &[OwnedFd]) -> OwnedFd {
    let (sender, receiver) = std::os::unix::net::UnixStream::pair().unwrap();
    for socket in sockets {
        crate::rig::send_with(&sender, b"x", socket, 1);
    }
    receiver.into()
}

#[test]
fn sockets_that_wait_in_another_are_those_of_the_list_with_its_number_or_none() {
    let _alone = alone();
    let before = open_descriptors();
    let mut sent = Sent::new().relay().relay();
    let name = |at: usize| sent.state.entries[at].name;
    let (first, second) = (name(0), name(1));
    let sockets: Vec<_> =
        std::mem::take(&mut sent.received).into_iter().map(|(_, fd)| fd).collect();
    let file = || sealed::write("state", &sent.state.encode().unwrap()).unwrap();
    let claimed = |number, sockets: &[OwnedFd]| {
        let queue = (Name::Sockets(number).to_string(), queue(sockets));
        let claimed = claim([(Name::State(1).to_string(), file()), queue]);
        let held: Vec<_> = claimed.held.iter().map(|held| held.name).collect();
        (held, claimed.missing, claimed.refused.iter().map(ToString::to_string).collect::<Vec<_>>())
    };
    assert_eq!(claimed(1, &sockets), (vec![first, second], vec![], vec![]));
    let unlisted = "sockets/2: it is not in the list of descriptors that came along";
    let none = (vec![], vec![first, second]);
    assert_eq!(claimed(2, &sockets), (none.0.clone(), none.1.clone(), vec![unlisted.to_owned()]));
    let fewer = "sockets/1: 1 sockets wait in it, and 2 are in the list";
    assert_eq!(claimed(1, &sockets[..1]), (none.0, none.1, vec![fewer.to_owned()]));
    let swapped: Vec<_> = sockets.iter().rev().map(|fd| fd.try_clone().unwrap()).collect();
    let (held, missing, refused) = claimed(1, &swapped);
    assert!(held.is_empty() && missing.is_empty() && refused.len() == 2, "{refused:?}");
    assert!(refused.iter().all(|why| why.contains(": it is bound to 127.0.0.1:")), "{refused:?}");
    drop((sockets, swapped));
    assert_eq!(open_descriptors(), before);
}
