//! How a verdict of the shard is carried out.

use super::effects::Effects;
use super::resources::Resources;
use crate::batch::egress::Destination;
use crate::clients::Message;
use crate::sockets::SocketId;
use taciturn_turn::{Client, Verdict};

impl Effects<'_> {
    /// Sends what the verdict on a client's message wants sent. An answer is in `reply`; `start` is where the
    /// message begins in `bytes`.
    #[inline]
    pub(crate) fn carry_out(
        &mut self,
        client: Client,
        verdict: Verdict,
        reply: &[u8],
        bytes: &[u8],
        start: usize,
    ) {
        match verdict {
            Verdict::Reply(len) => {
                let answer = reply.get(..len).unwrap_or_default();
                self.send(client, Message::Answer(answer));
            }
            Verdict::ReplyFrom { len, from, to } => {
                let answer = reply.get(..len).unwrap_or_default();
                let Resources { sockets, clients, .. } = &mut *self.resources;
                clients.send_from(sockets.listeners(), from, to, answer);
            }
            relayed => self.relay(relayed, bytes, start),
        }
    }

    /// Sends the data that a verdict wants relayed, with the batch. `start` is where their packet begins in
    /// `bytes`.
    #[inline]
    pub(crate) fn relay(&mut self, verdict: Verdict, bytes: &[u8], start: usize) {
        match verdict {
            Verdict::ToPeer { relay, peer, payload, dont_fragment } => {
                let to = Destination {
                    socket: SocketId::Relay(relay).number(),
                    address: peer,
                    source: None,
                    dont_fragment,
                };
                let payload = start + payload.start..start + payload.end;
                self.resources.egress.push(to, self.ip_fields, None, payload, 0);
            }
            Verdict::ToClient { client, prefix, payload, padding } => {
                let payload = start + payload.start..start + payload.end;
                let ip_fields = self.ip_fields;
                let data = Message::Data { ip_fields, prefix, batch: bytes, payload, padding };
                self.send(client, data);
            }
            Verdict::Reply(_) | Verdict::ReplyFrom { .. } | Verdict::Drop(_) | Verdict::Later => {}
        }
    }
}
