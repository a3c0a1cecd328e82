//! What all requests have in common: unknown attributes, the form of answers (RFC 8489 section
//! 6.3). Who sent them is judged in `authenticate`.

use super::authenticate::{Signature, Unproven};
use super::mobility::Arrival;
use super::outside::{Event, Outside};
use super::redirect::Alternate;
use super::shard::{Rules, Shard};
use super::types::{Client, DropReason, RelayAddress, Verdict};
use crate::auth::{PASSWORD_ALGORITHMS, bare};
use crate::clock::Now;
use taciturn_stun::{
    AttributeType, BadAttribute, BufferFull, Class, ErrorCode, Family, Malformed, Message, Method,
    Unknown, Writer, canonical_ip,
};

/// A request on its way through the handlers.
pub(super) struct Request<'a> {
    pub(super) now: Now,
    pub(super) client: Client,
    pub(super) message: &'a Message<'a>,
}

/// Success, with the attributes already written, or the error to answer with.
pub(super) type Answer = Result<(), Failure>;

/// An error answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Failure {
    code: ErrorCode,
    /// Shown to the client as reason phrase and to the operator in the log.
    detail: &'static str,
    /// Whether REALM and a fresh NONCE go with it.
    challenge: bool,
    /// Whether nothing is answered: the client asks again, and gets an answer then.
    silent: bool,
    unknown: Unknown,
    alternate: Option<Alternate>,
}

impl Failure {
    pub(super) fn new(code: ErrorCode, detail: &'static str) -> Self {
        let unknown = Unknown::default();
        Self { code, detail, challenge: false, silent: false, unknown, alternate: None }
    }

    /// No answer. The code is what the log of requests shows.
    pub(super) fn silence() -> Self {
        Self { silent: true, ..Self::new(ErrorCode::ALLOCATION_MISMATCH, "") }
    }

    pub(super) const fn code(&self) -> ErrorCode {
        self.code
    }

    pub(super) const fn detail(&self) -> &'static str {
        self.detail
    }

    pub(super) fn challenge(code: ErrorCode) -> Self {
        Self { challenge: true, ..Self::new(code, "") }
    }

    pub(super) fn try_alternate(alternate: Alternate) -> Self {
        Self { alternate: Some(alternate), ..Self::new(ErrorCode::TRY_ALTERNATE, "") }
    }

    pub(super) fn unknown(unknown: Unknown) -> Self {
        Self { unknown, ..Self::new(ErrorCode::UNKNOWN_ATTRIBUTE, "") }
    }
}

impl From<BadAttribute> for Failure {
    fn from(bad: BadAttribute) -> Self {
        let detail = match bad {
            BadAttribute::Length => "Attribute of wrong length",
            BadAttribute::Family => "Unknown address family",
            BadAttribute::Text => "Attribute is not UTF-8",
            BadAttribute::Value => "Attribute out of range",
        };
        Self::new(ErrorCode::BAD_REQUEST, detail)
    }
}

/// Whether `packet`, which has no magic cookie, is a Binding request otherwise.
fn is_classic_binding(packet: &[u8]) -> bool {
    packet.starts_with(&[0, 1])
}

impl Shard {
    /// Takes a STUN message from a client.
    pub(super) fn stun(
        &mut self,
        now: Now,
        client: Client,
        packet: &[u8],
        reply: &mut [u8],
        outside: &mut impl Outside,
    ) -> Verdict {
        //= 8489-6.3-checks-first
        let message = match Message::parse(packet) {
            Ok(message) => message,
            Err(Malformed::Cookie) if self.settings.rfc3489 => {
                return self.classic_binding(now, client, packet, reply);
            }
            Err(Malformed::Cookie) if is_classic_binding(packet) => {
                outside.event(Event::ClassicBinding { client });
                return Verdict::Drop(DropReason::Classic);
            }
            Err(_) => return Verdict::Drop(DropReason::Malformed),
        };
        if message.class() == Class::Request && self.comes_from_own_relay(&client) {
            return Verdict::Drop(DropReason::OwnAddress);
        }
        match (message.class(), message.method()) {
            (Class::Indication, Method::SEND) => {
                if !self.arriving.is_empty() {
                    self.arrive(client, outside);
                }
                self.send_indication(now, client, packet, &message, outside)
            }
            //= 8489-12-binding-without-credentials
            (Class::Request, Method::BINDING) => {
                let request = Request { now, client, message: &message };
                self.binding(&request, packet.len(), reply, outside)
            }
            (
                Class::Request,
                Method::ALLOCATE
                | Method::REFRESH
                | Method::CREATE_PERMISSION
                | Method::CHANNEL_BIND,
            ) => {
                let request = Request { now, client, message: &message };
                self.authenticated(&request, reply, outside)
            }
            (Class::Request, Method::CONNECT | Method::CONNECTION_BIND)
                if self.settings.tcp_relay =>
            {
                let request = Request { now, client, message: &message };
                self.authenticated(&request, reply, outside)
            }
            // RFC 8489 section 6.3: an unknown method is discarded in silence; so are answers
            // to requests that nobody sent. A Binding indication keeps a NAT binding alive.
            _ => Verdict::Drop(DropReason::Unexpected),
        }
    }

    /// Whether a request has come round by a relayed transport address of this server: such
    /// clients could pile relays upon relays, and hide behind the server's own address.
    pub(super) fn comes_from_own_relay(&self, client: &Client) -> bool {
        let (ip, port) = (canonical_ip(client.remote.0.ip()), client.remote.0.port());
        let family = Family::of(ip);
        let is_ours = |own: RelayAddress| own.local == ip;
        self.settings.relay_addresses[family as usize].is_some_and(is_ours)
            && match client.via.is_tcp() {
                true => self.rules.ports.is_live_for_tcp(family, port),
                false => self.rules.ports.is_live(family, port),
            }
    }

    //= 8656-7.2-authenticated
    fn authenticated(
        &mut self,
        request: &Request<'_>,
        reply: &mut [u8],
        outside: &mut impl Outside,
    ) -> Verdict {
        let (now, client) = (request.now, request.client);
        let method = request.message.method();
        let proven = match self.authenticate(request, outside) {
            Ok(proven) => proven,
            Err(Unproven::Dropped(reason)) => return Verdict::Drop(reason),
            Err(Unproven::Refused(failure)) => {
                report(request, "", &failure, outside);
                return self.write_answer(request, None, reply, |_| Err(failure));
            }
        };
        let signature = proven.signature.clone();
        if !self.arriving.is_empty()
            && self.arrive_with(request, &proven, outside) == Arrival::UnderWay
        {
            return self.hold(request);
        }
        let mut writer =
            Writer::new(reply, Class::Success, method, request.message.transaction_id());
        let answer = if let Err(failure) = self.check_owner(request, &proven) {
            Err(failure)
        } else if request.message.unknown().is_empty() {
            match method {
                Method::ALLOCATE => self.allocate(request, proven, &mut writer, outside),
                Method::REFRESH => self.refresh(request, &proven, &mut writer, outside),
                Method::CREATE_PERMISSION => self.create_permission(request, outside),
                Method::CONNECT => match self.connect(request, &signature, outside) {
                    Ok(()) => return Verdict::Later,
                    Err(failure) => Err(failure),
                },
                Method::CONNECTION_BIND => self.connection_bind(request, &proven, outside),
                _ => self.channel_bind(request, outside),
            }
        } else {
            //= 8489-6.3.1-unknown-attributes
            Err(Failure::unknown(*request.message.unknown()))
        };
        tracing::debug!(
            client = %client.remote,
            method = method.name(),
            error = answer.as_ref().err().map(|failure| failure.code.number()),
            tick = now.tick.0,
            "request"
        );
        match answer {
            Ok(()) => finish(request, Some(&signature), &mut writer),
            Err(failure) if failure.silent => Verdict::Drop(DropReason::NoAllocation),
            Err(failure) => {
                report(request, self.username(request.message), &failure, outside);
                self.write_answer(request, Some(&signature), reply, |_| Err(failure))
            }
        }
    }

    /// The name that a request is in, for the log.
    fn username<'a>(&'a self, message: &Message<'a>) -> &'a str {
        match (message.username(), message.userhash()) {
            (Ok(Some(name)), _) => bare(name),
            (_, Ok(Some(hash))) => self.rules.authenticator.name_of(&hash).unwrap_or_default(),
            _ => "",
        }
    }

    /// Writes an answer of either kind into `reply`.
    pub(super) fn write_answer(
        &self,
        request: &Request<'_>,
        signature: Option<&Signature>,
        reply: &mut [u8],
        answer: impl FnOnce(&mut Writer<'_>) -> Answer,
    ) -> Verdict {
        //= 8489-5-same-transaction-id
        let (method, tid) = (request.message.method(), request.message.transaction_id());
        let mut writer = Writer::new(reply, Class::Success, method, tid);
        let Err(failure) = answer(&mut writer) else {
            return finish(request, signature, &mut writer);
        };
        let mut writer = Writer::new(reply, Class::Error, method, tid);
        //= 8489-6.1-small-messages
        // What goes to strangers is as small as it can be: the number says it all.
        let reason = match (signature, failure.detail) {
            (None, _) => "",
            (Some(_), "") => failure.code.reason(),
            (Some(_), detail) => detail,
        };
        //= 8489-6.3.1.1-error-code
        writer.error(failure.code, reason);
        //= 8489-9.2.4-challenge-is-bare, 8489-9.2.4-incomplete-is-bare
        if failure.challenge {
            let Rules { authenticator, nonces, .. } = &self.rules;
            let (client, listener) = (request.client.remote.0, request.client.via.listener());
            let features = self.features(request.client.via);
            //= 8489-9.2.4-fresh-nonce
            let nonce = nonces.issue(request.now.tick, client, listener, features);
            writer.attribute(AttributeType::REALM, authenticator.realm().as_bytes());
            writer.attribute(AttributeType::NONCE, nonce.as_bytes());
            //= 8489-9.2.4-algorithms-bit
            if features.password_algorithms {
                writer.attribute(AttributeType::PASSWORD_ALGORITHMS, &PASSWORD_ALGORITHMS);
            }
        }
        if !failure.unknown.is_empty() {
            //= 8489-6.3.1.1-unknown-attributes-attribute
            writer.unknown_attributes(&failure.unknown);
        }
        if let Some(alternate) = failure.alternate {
            //= 8489-10-alternate-other-family
            for server in alternate.servers.into_iter().flatten() {
                writer.plain_address(AttributeType::ALTERNATE_SERVER, server);
            }
            let domain = self.settings.redirect.as_ref().and_then(|to| to.domain.as_deref());
            if let Some(domain) = domain.filter(|_| alternate.domain) {
                //= 8489-10-alternate-domain
                writer.attribute(AttributeType::ALTERNATE_DOMAIN, domain.as_bytes());
            }
        }
        finish(request, signature, &mut writer)
    }
}

//= 8489-6.3.1.1-authenticated-answers, 8489-9.2.4-answers-are-bare
/// Signs the answer to a proven user, and adds FINGERPRINT where the request had one.
fn finish(
    request: &Request<'_>,
    signature: Option<&Signature>,
    writer: &mut Writer<'_>,
) -> Verdict {
    if let Some(signature) = signature {
        signature.sign(writer);
    }
    //= 8489-12-fingerprint-optional
    if request.message.has_fingerprint() {
        writer.fingerprint();
    }
    match writer.finish() {
        Ok(len) => Verdict::Reply(len),
        Err(BufferFull) => Verdict::Drop(DropReason::TooLong),
    }
}

/// Tells the operator of a refusal, except the first 401 and a stale nonce, which are part of
/// every session, 403, which has an event of its own, and 300, which the operator ordered.
fn report(request: &Request<'_>, username: &str, failure: &Failure, outside: &mut impl Outside) {
    if failure.challenge || failure.alternate.is_some() || failure.code == ErrorCode::FORBIDDEN {
        return;
    }
    outside.event(Event::RequestFailed {
        client: request.client,
        username,
        method: request.message.method(),
        code: failure.code,
        detail: failure.detail,
    });
}
