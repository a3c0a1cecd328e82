//! Transaction ids of what the server sends unasked.

use super::effects::Randomness;
use taciturn_stun::TransactionId;

//= 8489-5-random-transaction-id
/// Random transaction ids, fetched from the operating system some hundred at a time.
#[derive(Debug)]
pub(super) struct TransactionIds {
    pool: Box<[u8; 4096]>,
    used: usize,
}

impl Default for TransactionIds {
    fn default() -> Self {
        Self { pool: Box::new([0; 4096]), used: 4096 }
    }
}

impl TransactionIds {
    pub(super) fn next(&mut self, outside: &mut impl Randomness) -> TransactionId {
        if self.used + 12 > self.pool.len() {
            outside.random(&mut self.pool[..]);
            self.used = 0;
        }
        let mut tid = [0; 12];
        if let Some(bytes) = self.pool.get(self.used..self.used + 12) {
            tid.copy_from_slice(bytes);
        }
        self.used += 12;
        TransactionId(tid)
    }
}
