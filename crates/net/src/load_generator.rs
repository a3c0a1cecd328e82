//! Batches of datagrams for programs that measure servers. What a batch has received is examined or forwarded
//! without copying, and the kernel splits runs into datagrams. It is the code that the server relays with.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::ops::Range;

use super::batch::datagrams::{Outgoing, Wishes};
use super::batch::egress::{Destination, Egress};
use super::batch::ip_fields::IpFields;
use super::batch::system::{Ingress, prepare, send};
use taciturn_turn::Prefix;

/// Bytes of the longest run that is sent in one call.
const LONGEST_RUN: usize = 65_000;

/// Datagrams of the longest run that is sent in one call: what older kernels take.
const MOST_IN_RUN: usize = 64;

/// Where a datagram of a batch goes on to.
#[derive(Clone, Copy, Debug)]
pub struct Hop {
    /// The socket it leaves by: a number of the caller's.
    pub socket: u32,
    /// To whom.
    pub to: SocketAddr,
    /// What goes in front of it: the header of ChannelData, to a client.
    pub header: Option<[u8; 4]>,
    /// How many of its first bytes stay behind.
    pub skip: usize,
}

/// The buffers of one thread that reads and sends in bulk.
#[derive(Debug, Default)]
pub struct Bulk {
    ingress: Ingress,
    egress: Egress,
    /// Whether the kernel or the device has refused to cut a run into datagrams.
    refused: bool,
}

impl Bulk {
    /// Sets a socket up to be read by [`Bulk::receive`]: non-blocking, with runs of datagrams joined.
    ///
    /// # Errors
    /// When the system refuses that.
    pub fn prepare(socket: &UdpSocket) -> io::Result<()> {
        socket.set_nonblocking(true)?;
        prepare(socket, Wishes::default())
    }

    /// Reads one batch without waiting, and hands over each datagram with its source. What `take`
    /// answers with a hop is sent on by the next [`Bulk::flush`], which must come before the next
    /// batch is read. Returns whether there may be more to read.
    ///
    /// # Errors
    /// `WouldBlock` where there is nothing, and what an ICMP message has left on the socket.
    pub fn receive(
        &mut self,
        socket: &UdpSocket,
        mut take: impl FnMut(SocketAddr, &[u8]) -> Option<Hop>,
    ) -> io::Result<bool> {
        let more = self.ingress.receive(socket)?;
        for received in self.ingress.received() {
            for (start, end) in received.datagrams() {
                let bytes = self.ingress.bytes().get(start..end).unwrap_or_default();
                if let Some(hop) = take(received.source, bytes) {
                    push(&mut self.egress, hop, start..end);
                }
            }
        }
        Ok(more)
    }

    /// Sends on what the last batch has come to. `socket` finds the socket of a number. Returns how many
    /// datagrams could not be sent.
    pub fn flush<'s>(&mut self, mut socket: impl FnMut(u32) -> Option<&'s UdpSocket>) -> u64 {
        let failed = |egress: &Egress| egress.statistics.failed.iter().map(|(_, n)| n).sum::<u64>();
        let before = failed(&self.egress);
        self.egress.flush(self.ingress.bytes(), |number, _| socket(number));
        failed(&self.egress) - before
    }

    /// Sends the datagrams that stand one behind another in `bytes`, each `size` bytes long, in as few
    /// calls as may be. Returns how many were sent; the rest found no room.
    pub fn send(&mut self, socket: &UdpSocket, to: SocketAddr, bytes: &[u8], size: u16) -> usize {
        let step = usize::from(size).max(1);
        let run = if self.refused { 1 } else { (LONGEST_RUN / step).clamp(1, MOST_IN_RUN) };
        let mut sent = 0;
        for chunk in bytes.chunks(run * step) {
            let count = chunk.len().div_ceil(step);
            if count > 1 && send_run(socket, to, chunk, size).is_ok() {
                sent += count;
                continue;
            }
            let one_by_one =
                chunk.chunks(step).filter(|one| send_run(socket, to, one, 0).is_ok()).count();
            // A full buffer takes neither; a kernel that cannot cut takes them one by one.
            self.refused |= count > 1 && one_by_one == count;
            sent += one_by_one;
        }
        sent
    }
}

fn push(egress: &mut Egress, hop: Hop, range: Range<usize>) {
    let to =
        Destination { socket: hop.socket, address: hop.to, source: None, dont_fragment: false };
    let start = (range.start + hop.skip).min(range.end);
    let header = hop.header.map(|bytes| Prefix::new(&bytes));
    egress.push(to, IpFields::default(), header, start..range.end, 0);
}

fn send_run(socket: &UdpSocket, to: SocketAddr, bytes: &[u8], segment: u16) -> io::Result<()> {
    let parts = &[io::IoSlice::new(bytes)];
    let ip_fields = IpFields::default();
    send(socket, &Outgoing { destination: to, source: None, parts, segment, ip_fields })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (UdpSocket, UdpSocket) {
        let open = || UdpSocket::bind("127.0.0.1:0").unwrap();
        let (a, b) = (open(), open());
        Bulk::prepare(&a).unwrap();
        Bulk::prepare(&b).unwrap();
        (a, b)
    }

    /// Everything that comes until there are `count` datagrams.
    fn all(bulk: &mut Bulk, socket: &UdpSocket, count: usize) -> Vec<Vec<u8>> {
        let mut got = Vec::new();
        for _ in 0..10_000 {
            let read = bulk.receive(socket, |_, bytes| {
                got.push(bytes.to_vec());
                None
            });
            if got.len() >= count {
                break;
            }
            if read.is_err() {
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
        }
        got
    }

    #[test]
    fn runs_arrive_as_the_datagrams_they_are_of() {
        let (a, b) = pair();
        let mut bulk = Bulk::default();
        // More than one run holds, and a shorter one at the end.
        let bytes: Vec<u8> = (0..70_u8).flat_map(|n| [n; 20]).chain([70; 7]).collect();
        assert_eq!(bulk.send(&a, b.local_addr().unwrap(), &bytes, 20), 71);
        let got = all(&mut bulk, &b, 71);
        assert_eq!(got.len(), 71);
        assert!(got.iter().zip(0_u8..).all(|(datagram, n)| datagram.iter().all(|b| *b == n)));
        assert_eq!(got.last().unwrap().len(), 7);
    }

    #[test]
    fn what_a_batch_brings_is_sent_on_with_another_head() {
        let (a, b) = pair();
        let mut bulk = Bulk::default();
        let (from, to) = (a.local_addr().unwrap(), b.local_addr().unwrap());
        bulk.send(&a, to, b"..one..two", 5);
        let mut seen = 0;
        while seen < 2 {
            let header = Some(*b"[>>]");
            let read = bulk.receive(&b, |source, _| {
                assert_eq!(source, from);
                seen += 1;
                Some(Hop { socket: 7, to: source, header, skip: 2 })
            });
            if read.is_ok() {
                let failed = bulk.flush(|number| {
                    assert_eq!(number, 7);
                    Some(&b)
                });
                assert_eq!(failed, 0);
            }
        }
        assert_eq!(all(&mut bulk, &a, 2), [b"[>>]one".to_vec(), b"[>>]two".to_vec()]);
    }
}
