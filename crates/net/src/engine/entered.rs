//! What a call into a shard works with.

use super::decrypted::Decrypted;
use super::effects::Effects;
use taciturn_turn::clock::Now;
use taciturn_turn::{ChannelRoute, Client, Shard, Usage};

/// An engine that was entered: the time, the shard, and what the shard acts upon.
#[derive(Debug)]
pub(crate) struct Entered<'a> {
    pub(crate) now: Now,
    pub(crate) shard: &'a mut Shard,
    pub(crate) out: Effects<'a>,
    /// Where the shard writes an answer.
    pub(crate) reply: &'a mut [u8],
    /// What DTLS clients have sent.
    #[cfg_attr(not(feature = "dtls"), allow(dead_code, reason = "there are no DTLS clients"))]
    pub(super) decrypted: &'a mut Decrypted,
}

impl Entered<'_> {
    /// Serves one message from a client. `start` and `end` are its place in `bytes`, which the batch was read into.
    #[inline]
    pub(crate) fn serve(&mut self, client: Client, bytes: &[u8], start: usize, end: usize) {
        let packet = bytes.get(start..end).unwrap_or_default();
        let verdict = self.shard.from_client(self.now, client, packet, self.reply, &mut self.out);
        self.out.carry_out(client, verdict, self.reply, bytes, start);
    }

    /// Counts what the kernel has relayed.
    pub(crate) fn count_of_kernel(&mut self, news: Vec<(ChannelRoute, Usage)>) {
        for (route, used) in news {
            self.shard.channel_used(self.now, &route, used);
        }
    }

    /// Sends all that the batch in `bytes` has led to.
    #[inline]
    pub(crate) fn flush(&mut self, bytes: &[u8]) {
        self.out.resources.flush(self.now.tick, bytes);
    }
}
