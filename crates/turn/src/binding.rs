//! Binding (RFC 8489 section 12): a stateless answer, without authentication. Where it is asked
//! for, with what tells the behaviour of NATs (RFC 5780), or as RFC 3489 had it.

use super::nat_discovery::{Exchange, UNDERSTOOD};
use super::outside::Outside;
use super::request::{Failure, Request};
use super::shard::Shard;
use super::strangers::Source;
use super::types::{Client, DropReason, Verdict, Via};
use crate::clock::Now;
use taciturn_stun::{AttributeType, ClassicRequest, Writer};

impl Shard {
    /// Tells the client its address as it is seen from here. `len` is that of the request.
    //= 8489-12-binding
    pub(super) fn binding(
        &mut self,
        request: &Request<'_>,
        len: usize,
        reply: &mut [u8],
        outside: &impl Outside,
    ) -> Verdict {
        if !self.answers_binding(request) {
            return Verdict::Drop(DropReason::Withheld);
        }
        let place = self
            .settings
            .nat_discovery
            .as_ref()
            .and_then(|discovery| discovery.place(request.client, outside));
        let unknown = match place {
            Some(_) => request.message.unknown().without(&UNDERSTOOD),
            None => *request.message.unknown(),
        };
        if !unknown.is_empty() {
            return self.write_answer(request, None, reply, |_| Err(Failure::unknown(unknown)));
        }
        let Some(place) = place else {
            return self.write_answer(request, None, reply, |writer| {
                mapped(request, writer);
                Ok(())
            });
        };
        let exchange = match Exchange::new(&place, request, len) {
            Ok(exchange) => exchange,
            Err(failure) => return self.write_answer(request, None, reply, |_| Err(failure)),
        };
        let verdict = self.write_answer(request, None, reply, |writer| {
            mapped(request, writer);
            exchange.write(writer);
            Ok(())
        });
        match verdict {
            Verdict::Reply(len) => exchange.send(len),
            other => other,
        }
    }

    /// A request that has no magic cookie (RFC 8489 section 11): over UDP alone, as RFC 3489 had it. Over
    /// DTLS it is refused.
    pub(super) fn classic_binding(
        &mut self,
        now: Now,
        client: Client,
        packet: &[u8],
        reply: &mut [u8],
    ) -> Verdict {
        let request = match client.via {
            Via::Udp(_) | Via::Dtls { .. } => ClassicRequest::parse(packet),
            Via::Stream { .. } => None,
        };
        let Some(request) = request else { return Verdict::Drop(DropReason::Malformed) };
        if self.comes_from_own_relay(&client) {
            return Verdict::Drop(DropReason::OwnAddress);
        }
        if !self.answers_client(now.tick, &client, request.id(), Source::AsCarried) {
            return Verdict::Drop(DropReason::Withheld);
        }
        let answer = match client.via {
            Via::Dtls { .. } => request.refusal(reply),
            _ => request.answer(client.remote.0, reply),
        };
        match answer {
            Ok(len) => Verdict::Reply(len),
            Err(_) => Verdict::Drop(DropReason::TooLong),
        }
    }
}

fn mapped(request: &Request<'_>, writer: &mut Writer<'_>) {
    writer.address(AttributeType::XOR_MAPPED_ADDRESS, request.client.remote.0);
}
