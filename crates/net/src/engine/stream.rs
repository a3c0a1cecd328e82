//! The messages of clients on TCP and TLS.

use std::io;

use super::entered::Entered;
use crate::stream::send_queue::SendQueue;
use taciturn_stun::Frame;
use taciturn_turn::{Client, DropReason, Verdict, Via};

/// Serves whole messages at the front of what a connection has read: `messages` at most, and none once there is
/// no room for another answer. Returns how many bytes they have, and counts `messages` down.
///
/// # Errors
/// If what follows is no message, or the client has failed too often to prove a credential.
//= 8489-6.3.1.2-answer-goes-back
pub(crate) fn read(
    entered: &mut Entered<'_>,
    client: Client,
    bytes: &[u8],
    messages: &mut usize,
) -> io::Result<usize> {
    let Via::Stream { connection, .. } = client.via else { return Ok(0) };
    //= 8656-15-dscp, 8656-15-ecn
    let ip_fields = entered.out.resources.clients.stream(connection).map(SendQueue::ip_fields);
    entered.out.keep_ip_fields(ip_fields.unwrap_or_default());
    let mut at = 0;
    let outcome = loop {
        if *messages == 0 {
            break Ok(());
        }
        let rest = bytes.get(at..).unwrap_or_default();
        let (len, padded) = match Frame::of(rest) {
            Frame::Whole { len, padded } => (len, padded),
            Frame::Incomplete { .. } => break Ok(()),
            Frame::Foreign => {
                let what = "neither STUN nor ChannelData";
                break Err(io::Error::new(io::ErrorKind::InvalidData, what));
            }
        };
        *messages -= 1;
        let packet = rest.get(..len).unwrap_or_default();
        let Entered { now, shard, out, reply, .. } = &mut *entered;
        let verdict = shard.from_client(*now, client, packet, reply, out);
        let is_answer = matches!(verdict, Verdict::Reply(_));
        match verdict {
            // A client on a connection does not repeat its request: without an answer it would wait.
            Verdict::Drop(DropReason::WrongCredentials) => {
                break Err(io::Error::other("too many wrong credentials from this address"));
            }
            Verdict::Drop(DropReason::Withheld) if !shard.has_allocation(&client) => {
                break Err(io::Error::other("too many requests without a valid credential"));
            }
            verdict => out.carry_out(client, verdict, reply, bytes, at),
        }
        at += padded;
        if is_answer && !may_go_on(entered, connection) {
            break Ok(());
        }
    };
    entered.flush(bytes);
    outcome.map(|()| at)
}

/// Returns true if another message may be served after an answer: what follows a successful ConnectionBind is data,
/// and the client has to read its answers first if too many wait.
fn may_go_on(entered: &Entered<'_>, connection: u32) -> bool {
    let resources = &*entered.out.resources;
    !resources.tcp.is_bound(connection)
        && resources.clients.stream(connection).is_none_or(SendQueue::has_room_for_an_answer)
}
