//! Which handler a STUN message goes to, and what all requests have in common: the sender is judged in
//! `authenticate`, unknown attributes here.

use super::allocate::allocate;
use super::answers::{refuse, report};
use super::authenticate::{Unproven, authenticate, check_owner};
use super::banned::{check_user, refuses_address};
use super::binding::{binding, classic_binding};
use super::channel_bind::channel_bind;
use super::connect::connect;
use super::connection_bind::connection_bind;
use super::context::{Context, Request};
use super::create_permission::create_permission;
use super::effects::Outside;
use super::event::Event;
use super::failure::{Extra, Failure};
use super::mobility::{Moved, used, used_by};
use super::parked::{Answered, Outcome, ParkedRequest};
use super::peer_check::comes_from_own_relay;
use super::refresh::refresh;
use super::relay::send_indication;
use super::reply::ReplyForm;
use super::types::Client;
use super::verdict::{DropReason, Verdict};
use taciturn_stun::{Class, Malformed, Message, Method};

/// Bytes of the longest answer to a parked request.
const LONGEST_ANSWER: usize = 2048;

/// Returns true if `packet`, which has no magic cookie, is a Binding request otherwise.
fn is_classic_binding(packet: &[u8]) -> bool {
    packet.starts_with(&[0, 1])
}

/// Takes a STUN message from a client.
pub(super) fn stun<O: Outside>(
    cx: &mut Context<'_, O>,
    client: Client,
    packet: &[u8],
    reply: &mut [u8],
) -> Verdict {
    //= 8489-6.3-checks-first
    let message = match Message::parse(packet) {
        Ok(message) => message,
        Err(Malformed::Cookie) if cx.parts.settings.rfc3489 => {
            if refuses_address(cx.parts, &client) {
                return Verdict::Drop(DropReason::Banned);
            }
            return classic_binding(cx.parts, cx.now.tick, client, packet, reply);
        }
        Err(Malformed::Cookie) if is_classic_binding(packet) => {
            cx.outside.event(Event::ClassicBinding { client });
            return Verdict::Drop(DropReason::Classic);
        }
        Err(_) => return Verdict::Drop(DropReason::Malformed),
    };
    if message.class() == Class::Request
        && comes_from_own_relay(&cx.parts.settings, &cx.parts.rules, &client)
    {
        return Verdict::Drop(DropReason::OwnAddress);
    }
    if message.class() == Class::Request && refuses_address(cx.parts, &client) {
        return Verdict::Drop(DropReason::Banned);
    }
    let realm = cx.parts.rules.authenticator.realm_at(|| cx.outside.entrance(client));
    let request = Request { client, message: &message, realm };
    match (message.class(), message.method()) {
        (Class::Indication, Method::SEND) => {
            if !cx.parts.moves.is_empty() {
                used(cx, client);
            }
            send_indication(cx, client, packet, &message)
        }
        //= 8489-12-binding-without-credentials
        (Class::Request, Method::BINDING) => binding(cx, &request, packet.len(), reply),
        (
            Class::Request,
            Method::ALLOCATE | Method::REFRESH | Method::CREATE_PERMISSION | Method::CHANNEL_BIND,
        ) => authenticated(cx, &request, reply),
        (Class::Request, Method::CONNECT | Method::CONNECTION_BIND)
            if cx.parts.settings.tcp_relay =>
        {
            authenticated(cx, &request, reply)
        }
        // RFC 8489 section 6.3: an unknown method is discarded in silence; so are answers
        // to requests that nobody sent. A Binding indication keeps a NAT binding alive.
        _ => Verdict::Drop(DropReason::Unexpected),
    }
}

//= 8656-7.2-authenticated
fn authenticated<O: Outside>(
    cx: &mut Context<'_, O>,
    request: &Request<'_>,
    reply: &mut [u8],
) -> Verdict {
    let Request { client, message, .. } = request;
    let (now, method) = (cx.now.tick, message.method());
    let proven = match authenticate(cx, request) {
        Ok(proven) => proven,
        Err(Unproven::Dropped(reason)) => return Verdict::Drop(reason),
        Err(Unproven::Refused(failure)) => {
            report(*client, None, method, &failure, cx.outside);
            let form = ReplyForm::new(message, None);
            return refuse(cx.parts, now, *client, &form, &failure, reply);
        }
    };
    let form = ReplyForm::new(message, Some(proven.signature.clone()));
    // Where there is none, the key of the allocation has proven the request.
    let username = proven.grant.as_ref().map(|grant| grant.username.clone());
    if !cx.parts.moves.is_empty() && used_by(cx, request, &proven) == Moved::UnderWay {
        return match cx.parts.moves.park(*client, message.as_bytes()) {
            true => Verdict::Later,
            false => Verdict::Drop(DropReason::NoAllocation),
        };
    }
    let guest = proven.grant.as_ref().and_then(|grant| grant.guest.clone());
    let mut writer = form.writer(Class::Success, reply);
    let may = check_user(cx.parts, client, &proven)
        .and_then(|()| check_owner(cx.parts, request, &proven));
    let answer = if let Err(failure) = may {
        Err(failure)
    } else if message.unknown().is_empty() {
        match method {
            Method::ALLOCATE => allocate(cx, request, proven, &mut writer),
            Method::REFRESH => refresh(cx, request, &proven, &mut writer),
            Method::CREATE_PERMISSION => create_permission(cx, request),
            Method::CONNECT => match connect(cx, request, &form) {
                Ok(()) => return Verdict::Later,
                Err(failure) => Err(failure),
            },
            Method::CONNECTION_BIND => connection_bind(cx, request, &proven),
            _ => channel_bind(cx, request),
        }
    } else {
        //= 8489-6.3.1-unknown-attributes
        Err(Failure::unknown(*message.unknown()))
    };
    tracing::debug!(
        client = %client.remote,
        method = method.name(),
        error = answer.as_ref().err().map(|failure| failure.code().number()),
        tick = now.0,
        "request"
    );
    match answer {
        Ok(()) => form.finish(&mut writer),
        Err(failure) if matches!(failure.extra(), Extra::Silence) => {
            Verdict::Drop(DropReason::NoAllocation)
        }
        Err(failure) => {
            if let Some(guest) = guest {
                guest.note_refusal(failure.code(), failure.cause());
            }
            let own = || cx.parts.allocations.of(client).map(|own| &own.username);
            let user = username.as_ref().or_else(own);
            report(*client, user, method, &failure, cx.outside);
            refuse(cx.parts, now, *client, &form, &failure, reply)
        }
    }
}

/// Answers the parked requests whose waiting has ended.
#[inline]
pub(super) fn answer_resumed<O: Outside>(cx: &mut Context<'_, O>) {
    if !cx.parts.resumed.is_empty() {
        answer_all(cx);
    }
}

#[cold]
fn answer_all<O: Outside>(cx: &mut Context<'_, O>) {
    while let Some((parked, outcome)) = cx.parts.resumed.next() {
        let mut reply = [0; LONGEST_ANSWER];
        let (client, verdict) = match parked {
            ParkedRequest::Again { client, bytes } => {
                (client, stun(cx, client, &bytes, &mut reply))
            }
            ParkedRequest::Answered(answered) => {
                (answered.client, answer_with(cx, &answered, outcome, &mut reply))
            }
        };
        cx.parts.statistics.count(&verdict);
        if let Verdict::Reply(len) = verdict {
            cx.outside.tell(client, reply.get(..len).unwrap_or_default());
        }
    }
}

/// Writes the outcome that a parked request waited for.
fn answer_with<O: Outside>(
    cx: &mut Context<'_, O>,
    answered: &Answered,
    outcome: Outcome,
    reply: &mut [u8],
) -> Verdict {
    let Answered { client, user, form } = answered;
    match outcome {
        Ok(connection) => {
            let mut writer = form.writer(Class::Success, reply);
            if let Some(connection) = connection {
                writer.connection_id(connection.0);
            }
            form.finish(&mut writer)
        }
        Err(code) => {
            let failure = Failure::new(code, "");
            report(*client, Some(user), form.method, &failure, cx.outside);
            refuse(cx.parts, cx.now.tick, *client, form, &failure, reply)
        }
    }
}
