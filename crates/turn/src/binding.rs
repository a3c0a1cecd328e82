//! Binding (RFC 8489 section 12): a stateless answer, without authentication. Where it is asked
//! for, with what tells the behaviour of NATs (RFC 5780), or as RFC 3489 had it.

use super::answer_budget::{Source, answers};
use super::answers::refuse;
use super::clock::Tick;
use super::context::{Context, Request};
use super::effects::Clients;
use super::failure::Failure;
use super::nat_discovery::{Exchange, UNDERSTOOD};
use super::parts::Parts;
use super::peer_check::comes_from_own_relay;
use super::reply::ReplyForm;
use super::types::{Client, Via};
use super::verdict::{DropReason, Verdict};
use taciturn_stun::{AttributeType, Class, ClassicRequest, Writer};

/// Tells the client its address as it is seen from here. `len` is that of the request, in bytes.
//= 8489-12-binding
pub(super) fn binding<O: Clients>(
    cx: &mut Context<'_, O>,
    request: &Request<'_>,
    len: usize,
    reply: &mut [u8],
) -> Verdict {
    let (now, client, message) = (cx.now.tick, request.client, request.message);
    let tid = message.transaction_id().0;
    if !answers(cx.parts, now, &client, &tid, Source::AsCarried) {
        return Verdict::Drop(DropReason::Withheld);
    }
    let form = ReplyForm::new(message, None);
    let discovery = cx.parts.settings.nat_discovery.as_ref();
    let place = discovery.and_then(|nat| nat.place(client, cx.outside.listening_port(client)));
    let unknown = match place {
        Some(_) => message.unknown().without(&UNDERSTOOD),
        None => *message.unknown(),
    };
    if !unknown.is_empty() {
        return refuse(cx.parts, now, client, &form, &Failure::unknown(unknown), reply);
    }
    let Some(place) = place else {
        let mut writer = form.writer(Class::Success, reply);
        mapped(client, &mut writer);
        return form.finish(&mut writer);
    };
    let exchange = match Exchange::new(&place, client, message, len) {
        Ok(exchange) => exchange,
        Err(failure) => return refuse(cx.parts, now, client, &form, &failure, reply),
    };
    let mut writer = form.writer(Class::Success, reply);
    mapped(client, &mut writer);
    exchange.write(&mut writer);
    match form.finish(&mut writer) {
        Verdict::Reply(len) => exchange.send(len),
        other => other,
    }
}

/// A request that has no magic cookie (RFC 8489 section 11): over UDP alone, as RFC 3489 had it. Over
/// DTLS it is refused.
pub(super) fn classic_binding(
    parts: &mut Parts,
    now: Tick,
    client: Client,
    packet: &[u8],
    reply: &mut [u8],
) -> Verdict {
    let request = match client.via {
        Via::Udp(_) | Via::Dtls { .. } => ClassicRequest::parse(packet),
        Via::Stream { .. } => None,
    };
    let Some(request) = request else { return Verdict::Drop(DropReason::Malformed) };
    if comes_from_own_relay(&parts.settings, &parts.rules, &client) {
        return Verdict::Drop(DropReason::OwnAddress);
    }
    if !answers(parts, now, &client, request.id(), Source::AsCarried) {
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

fn mapped(client: Client, writer: &mut Writer<'_>) {
    writer.address(AttributeType::XOR_MAPPED_ADDRESS, client.remote.0);
}
