//! What DTLS clients have sent, decrypted.

use std::fmt;

/// Bytes of the longest record.
const RECORD: usize = 16 * 1024;

/// Bytes of records that are kept for the end of a batch, at most.
const ROOM: usize = 256 * 1024;

/// Records of one batch. They are kept until its end, because data for peers are sent from here.
#[derive(Default)]
pub(crate) struct Decrypted {
    bytes: Box<[u8]>,
    used: usize,
}

impl Decrypted {
    /// Returns room for the next record; `None` if the batch has to be flushed first.
    pub(super) fn room(&mut self) -> Option<&mut [u8]> {
        if self.bytes.is_empty() {
            self.bytes = vec![0; ROOM].into_boxed_slice();
        }
        self.bytes.get_mut(self.used..).filter(|room| room.len() >= RECORD)
    }

    /// Keeps the first `len` bytes of the room. Returns where they begin.
    pub(super) fn keep(&mut self, len: usize) -> usize {
        let start = self.used;
        self.used += len;
        start
    }

    pub(super) fn clear(&mut self) {
        self.used = 0;
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl fmt::Debug for Decrypted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decrypted").field("used", &self.used).finish_non_exhaustive()
    }
}
