//! The records that wait to be sent: one buffer for each worker, sent at the end of a batch.

use std::fmt;

use crate::batch::egress::{Destination, Egress};
use crate::batch::ip_fields::IpFields;
use crate::dtls::{MAX_PAYLOAD, RECORD_OVERHEAD};
use crate::listener::udp::UdpListeners;
use crate::send_errors::Losses;
use taciturn_turn::clock::Tick;

/// Bytes of the longest datagram that a connection has to send.
const LONGEST: usize = MAX_PAYLOAD as usize + RECORD_OVERHEAD;

/// Bytes that wait for the end of a batch, at most. Memory is taken only where datagrams have been.
const ROOM: usize = 256 * 1024;

/// Datagrams that wait for the end of the batch. Those for one client leave in one system call.
#[derive(Default)]
pub(crate) struct RecordQueue {
    bytes: Box<[u8]>,
    used: usize,
    egress: Egress,
}

impl RecordQueue {
    /// Allocates the buffer. Without it nothing is queued, so a worker without DTLS listeners has none.
    pub(crate) fn open(&mut self) {
        if self.bytes.is_empty() {
            self.bytes = vec![0; ROOM].into_boxed_slice();
        }
    }

    /// Queues datagrams from `next`, which writes one and returns its length, until it has none.
    pub(crate) fn fill(
        &mut self,
        to: Destination,
        ip_fields: IpFields,
        sockets: &UdpListeners,
        mut next: impl FnMut(&mut [u8]) -> Option<usize>,
    ) {
        loop {
            if self.bytes.len() - self.used < LONGEST {
                self.flush(sockets);
            }
            let Some(len) = next(self.bytes.get_mut(self.used..).unwrap_or_default()) else {
                break;
            };
            let start = self.used;
            self.used = (start + len).min(self.bytes.len());
            self.egress.push(to, ip_fields, None, start..self.used, 0);
        }
    }

    /// Queues one datagram.
    pub(crate) fn push(&mut self, to: Destination, sockets: &UdpListeners, datagram: &[u8]) {
        let mut once = Some(datagram);
        self.fill(to, IpFields::default(), sockets, |room| {
            let datagram = once.take()?;
            room.get_mut(..datagram.len())?.copy_from_slice(datagram);
            Some(datagram.len())
        });
    }

    /// Returns how many datagrams could not be sent.
    pub(crate) const fn unsent(&self) -> Losses {
        self.egress.statistics.failed
    }

    /// Sets the time.
    pub(crate) const fn set_now(&mut self, now: Tick) {
        self.egress.set_now(now);
    }

    /// Sends everything.
    pub(crate) fn flush(&mut self, sockets: &UdpListeners) {
        if self.used > 0 {
            let socket =
                |number: u32| sockets.get(number as usize).map(|listener| &listener.socket);
            self.egress.flush(&self.bytes, |number, _| socket(number));
            self.used = 0;
        }
    }
}

impl fmt::Debug for RecordQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordQueue").field("used", &self.used).finish_non_exhaustive()
    }
}
