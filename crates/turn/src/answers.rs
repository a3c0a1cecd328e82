//! Error answers (RFC 8489 section 6.3), and what the operator hears of them.

use super::auth::{PASSWORD_ALGORITHMS, Realm, SecurityFeatures};
use super::clock::Tick;
use super::effects::Observer;
use super::event::Event;
use super::failure::{Extra, Failure};
use super::parts::Parts;
use super::reply::ReplyForm;
use super::rules::Rules;
use super::types::{Client, Via};
use super::user::UserId;
use super::verdict::Verdict;
use taciturn_stun::{AttributeType, Class, ErrorCode, Method};

/// Writes an error answer into `reply`.
pub(super) fn refuse(
    parts: &Parts,
    now: Tick,
    client: Client,
    form: &ReplyForm,
    failure: &Failure,
    reply: &mut [u8],
) -> Verdict {
    let mut writer = form.writer(Class::Error, reply);
    //= 8489-6.1-small-messages
    // What goes to strangers is as small as it can be: the number says it all.
    let reason = match (&form.signature, failure.reason()) {
        (None, _) => "",
        (Some(_), "") => failure.code().reason(),
        (Some(_), reason) => reason,
    };
    //= 8489-6.3.1.1-error-code
    writer.error(failure.code(), reason);
    match failure.extra() {
        //= 8489-9.2.4-challenge-is-bare, 8489-9.2.4-incomplete-is-bare
        Extra::None | Extra::Silence => {}
        Extra::Challenge(realm) => {
            let Rules { authenticator, nonces, .. } = &parts.rules;
            let realm = authenticator.realm(*realm);
            let features = features(parts, client.via, realm);
            //= 8489-9.2.4-fresh-nonce
            let nonce = nonces.issue(now, client.remote.0, client.via.listener(), features);
            writer.attribute(AttributeType::REALM, realm.name().as_bytes());
            writer.attribute(AttributeType::NONCE, nonce.as_bytes());
            //= 8489-9.2.4-algorithms-bit
            if features.password_algorithms {
                writer.attribute(AttributeType::PASSWORD_ALGORITHMS, &PASSWORD_ALGORITHMS);
            }
        }
        //= 8489-6.3.1.1-unknown-attributes-attribute
        Extra::Unknown(unknown) => {
            writer.unknown_attributes(unknown);
        }
        Extra::Alternate(alternate) => {
            //= 8489-10-alternate-other-family
            for server in alternate.servers.into_iter().flatten() {
                writer.plain_address(AttributeType::ALTERNATE_SERVER, server);
            }
            let domain = parts.settings.redirect.as_ref().and_then(|to| to.domain.as_deref());
            if let Some(domain) = domain.filter(|_| alternate.names_domain) {
                //= 8489-10-alternate-domain
                writer.attribute(AttributeType::ALTERNATE_DOMAIN, domain.as_bytes());
            }
            if let Some(nonce) = &alternate.nonce {
                // Chromium and its relatives sign what they send there with the nonce that they have, and give up at 438.
                writer.attribute(AttributeType::NONCE, nonce);
            }
        }
    }
    form.finish(&mut writer)
}

/// What of RFC 8489 goes with a challenge to this client. Over UDP nobody has proven the
/// address that the challenge goes to, so it is kept as small as it can be.
fn features(parts: &Parts, via: Via, realm: &Realm) -> SecurityFeatures {
    match via {
        Via::Udp(_) if !parts.settings.rfc8489_over_udp => SecurityFeatures::NONE,
        _ => realm.features(),
    }
}

/// Tells the operator of a refusal, except the first 401 and a stale nonce, which are part of
/// every session, 403, which has an event of its own, and 300, which the operator ordered.
pub(super) fn report(
    client: Client,
    user: Option<&UserId>,
    method: Method,
    failure: &Failure,
    outside: &mut impl Observer,
) {
    if matches!(failure.extra(), Extra::Challenge(_) | Extra::Alternate(_))
        || failure.code() == ErrorCode::FORBIDDEN
    {
        return;
    }
    outside.event(Event::RequestFailed {
        client,
        user,
        method,
        code: failure.code(),
        reason: failure.reason(),
        cause: failure.cause(),
    });
}
