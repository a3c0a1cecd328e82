//! The datagram pipe between OpenSSL and the owner: one datagram in, a bounded queue out.
//!
//! Borders between datagrams are kept both ways: what OpenSSL writes in one call is one datagram.
#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::io::{self, Read, Write};

/// Datagrams that may wait for the owner. A first flight with a long RSA chain takes about six.
const MAX_QUEUED: usize = 32;
/// Bytes that may wait for the owner.
const MAX_QUEUED_BYTES: usize = 64 * 1024;
/// A buffer that grew beyond this is given back as soon as it is empty.
const KEEP: usize = 2048;

/// The in-memory transport of one connection.
#[derive(Debug, Default)]
pub(super) struct Wire {
    inbound: Vec<u8>,
    unread: bool,
    outbound: Vec<u8>,
    lengths: VecDeque<usize>,
    sent: usize,
}

impl Wire {
    /// Puts a datagram where OpenSSL reads next; one that was not read yet is lost, as on a
    /// network. An empty one is nothing: OpenSSL would take it for the end of the stream.
    pub(super) fn deliver(&mut self, datagram: &[u8]) {
        if datagram.is_empty() {
            return;
        }
        self.inbound.clear();
        if self.inbound.capacity() > KEEP && datagram.len() <= KEEP {
            self.inbound.shrink_to(KEEP);
        }
        self.inbound.extend_from_slice(datagram);
        self.unread = true;
    }

    /// Forgets a datagram that OpenSSL did not read.
    pub(super) fn discard_inbound(&mut self) {
        self.unread = false;
        if self.inbound.capacity() > KEEP {
            self.inbound = Vec::new();
        }
    }

    /// Returns true if the next datagram out would be dropped.
    pub(super) fn is_full(&self) -> bool {
        self.lengths.len() >= MAX_QUEUED || self.outbound.len() >= MAX_QUEUED_BYTES
    }

    /// Takes the oldest datagram out. One that does not fit into `buf` is dropped, never cut.
    pub(super) fn poll(&mut self, buf: &mut [u8]) -> Option<usize> {
        let mut taken = None;
        while let Some(len) = self.lengths.pop_front() {
            let end = self.sent + len;
            let datagram = self.outbound.get(self.sent..end);
            self.sent = end;
            if let (Some(from), Some(to)) = (datagram, buf.get_mut(..len)) {
                to.copy_from_slice(from);
                taken = Some(len);
                break;
            }
        }
        if self.lengths.is_empty() {
            self.sent = 0;
            self.outbound.clear();
            self.outbound.shrink_to(KEEP);
        }
        taken
    }

    /// Heap bytes held.
    #[cfg(test)]
    pub(super) fn heap(&self) -> usize {
        self.inbound.capacity() + self.outbound.capacity() + self.lengths.capacity() * 8
    }
}

impl Read for Wire {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if !self.unread {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.unread = false;
        let n = self.inbound.len().min(buf.len());
        if let (Some(to), Some(from)) = (buf.get_mut(..n), self.inbound.get(..n)) {
            to.copy_from_slice(from);
        }
        Ok(n)
    }
}

impl Write for Wire {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        // A full queue loses the datagram like a full socket buffer would; DTLS retransmits what
        // matters of it.
        if !self.is_full() && !buf.is_empty() {
            self.outbound.extend_from_slice(buf);
            self.lengths.push_back(buf.len());
        }
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagrams_keep_their_borders() {
        let mut wire = Wire::default();
        for datagram in [&b"one"[..], b"two22", b"3"] {
            assert_eq!(wire.write(datagram).unwrap(), datagram.len());
        }
        let mut buf = [0; 16];
        assert_eq!(wire.poll(&mut buf), Some(3));
        assert_eq!(&buf[..3], b"one");
        assert_eq!(wire.poll(&mut buf[..4]), Some(1), "the one that does not fit is dropped");
        assert_eq!(&buf[..1], b"3");
        assert_eq!(wire.poll(&mut buf), None);
    }

    #[test]
    fn the_queue_is_bounded_and_drops_the_newest() {
        let mut wire = Wire::default();
        for n in 0..1000_u32 {
            wire.write_all(&n.to_be_bytes()).unwrap();
        }
        let mut buf = [0; 4];
        let mut got = Vec::new();
        while let Some(4) = wire.poll(&mut buf) {
            got.push(u32::from_be_bytes(buf));
        }
        assert_eq!(got, (0..MAX_QUEUED as u32).collect::<Vec<_>>());
    }

    #[test]
    fn big_buffers_are_given_back() {
        let mut wire = Wire::default();
        wire.write_all(&[0; 16_000]).unwrap();
        wire.poll(&mut [0; 16_000]).unwrap();
        wire.deliver(&[0; 16_000]);
        wire.discard_inbound();
        assert!(wire.heap() < 8192, "{}", wire.heap());
    }

    #[test]
    fn a_read_takes_one_datagram_and_then_would_block() {
        let mut wire = Wire::default();
        wire.deliver(b"");
        assert!(wire.read(&mut [0; 4]).is_err());
        wire.deliver(b"lost");
        wire.deliver(b"datagram");
        let mut buf = [0; 4];
        assert_eq!(wire.read(&mut buf).unwrap(), 4);
        assert_eq!(&buf, b"data");
        assert!(wire.read(&mut buf).is_err());
    }
}
