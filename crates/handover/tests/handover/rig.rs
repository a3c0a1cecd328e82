//! An old process with sockets, and what a new one may do.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use taciturn_handover::{Entry, GiveError, Giver, Handover, Name, Patience, Transport};

/// Whom this process runs as.
pub fn own() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Long enough for a busy machine where nothing is to fail.
pub const LONG: Patience =
    Patience { step: Duration::from_secs(20), whole: Duration::from_secs(60) };

/// Short enough to wait for.
pub const SHORT: Patience =
    Patience { step: Duration::from_millis(300), whole: Duration::from_secs(2) };

pub const SNAPSHOT: &[u8] = b"what the server knows";

/// The sockets of a server.
pub struct Server {
    pub listeners: Vec<UdpSocket>,
    pub relays: Vec<UdpSocket>,
    pub metrics: TcpListener,
    pub client: TcpStream,
    /// The other end of `client`.
    pub caller: TcpStream,
}

impl Server {
    pub fn new(relays: usize) -> Self {
        let udp = |_| UdpSocket::bind("127.0.0.1:0").unwrap();
        let metrics = TcpListener::bind("127.0.0.1:0").unwrap();
        let caller = TcpStream::connect(metrics.local_addr().unwrap()).unwrap();
        caller.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let client = metrics.accept().unwrap().0;
        Self {
            listeners: (0..2).map(udp).collect(),
            relays: (0..relays).map(udp).collect(),
            metrics,
            client,
            caller,
        }
    }

    pub fn client_name(&self) -> Name {
        let (local, remote) = (self.client.local_addr(), self.client.peer_addr());
        Name::Client { local: local.unwrap(), remote: remote.unwrap() }
    }

    /// What is handed over.
    pub fn handover(&self) -> Handover<'_> {
        let mut descriptors = Vec::new();
        for socket in &self.listeners {
            let address = socket.local_addr().unwrap();
            let name = Name::listener(Transport::Udp, address, 0, 1).unwrap();
            descriptors.push((name, socket.as_fd()));
        }
        for socket in &self.relays {
            descriptors.push((Name::Relay(socket.local_addr().unwrap()), socket.as_fd()));
        }
        let metrics = Name::Metrics(self.metrics.local_addr().unwrap());
        descriptors.push((metrics, self.metrics.as_fd()));
        descriptors.push((self.client_name(), self.client.as_fd()));
        let entries = descriptors.into_iter().map(|(name, socket)| match name {
            Name::Client { .. } => {
                (Entry { name, unread: b"unread".to_vec(), unsent: b"unsent".to_vec() }, socket)
            }
            _ => (Entry::new(name), socket),
        });
        Handover::new(entries, SNAPSHOT.to_vec().into()).unwrap()
    }

    /// Hands everything over to who is at the other end of `stream`.
    pub fn give(&self, stream: UnixStream, patience: Patience) -> Result<UnixStream, GiveError> {
        Giver::meet(stream, own(), patience)?.give(&self.handover())
    }

    /// Checks that it still has all it needs to serve.
    pub fn assert_serves(&mut self) {
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        for socket in self.listeners.iter().chain(&self.relays) {
            assert_reaches(&sender, socket.local_addr().unwrap(), socket);
        }
        self.caller.write_all(b"call").unwrap();
        self.client.set_nonblocking(false).unwrap();
        self.client.read_exact(&mut [0; 4]).unwrap();
    }
}

/// Checks that a datagram to `address` arrives at `socket`.
pub fn assert_reaches(sender: &UdpSocket, address: SocketAddr, socket: &UdpSocket) {
    socket.set_nonblocking(false).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    sender.send_to(b"datagram", address).unwrap();
    let mut read = [0; 20];
    let (len, from) = socket.recv_from(&mut read).unwrap();
    assert_eq!((&read[..len], from), (&b"datagram"[..], sender.local_addr().unwrap()));
}

/// Does something at the other end of a connection, in a thread of its own.
pub fn other<T: Send + 'static>(
    act: impl FnOnce(UnixStream) -> T + Send + 'static,
) -> (UnixStream, JoinHandle<T>) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    theirs.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    (ours, thread::spawn(move || act(theirs)))
}

/// A message on the wire.
pub fn message(kind: u32, body: &[u8]) -> Vec<u8> {
    let mut message = kind.to_le_bytes().to_vec();
    message.extend((body.len() as u32).to_le_bytes());
    message.extend(body);
    message
}

/// Reads a message, and drops descriptors that come with it; `None` at the end of the connection.
pub fn read_message(mut stream: &UnixStream) -> Option<(u32, Vec<u8>)> {
    let mut header = [0; 8];
    stream.read_exact(&mut header).ok()?;
    let number = |at: usize| u32::from_le_bytes(header[at..at + 4].try_into().unwrap());
    let mut body = vec![0; number(4) as usize];
    stream.read_exact(&mut body).ok()?;
    Some((number(0), body))
}

/// Sends bytes with copies of a descriptor.
pub fn send_with(stream: &UnixStream, bytes: &[u8], descriptor: &OwnedFd, copies: usize) {
    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
    let mut space = vec![std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(253))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let copies = vec![descriptor.as_fd(); copies];
    assert!(control.push(SendAncillaryMessage::ScmRights(&copies)));
    let bytes = [std::io::IoSlice::new(bytes)];
    sendmsg(stream, &bytes, &mut control, SendFlags::NOSIGNAL).unwrap();
}
