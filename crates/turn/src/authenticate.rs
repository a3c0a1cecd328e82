//! Who sent a request (RFC 8489 section 9.2.4), and whose an allocation is (RFC 8656 section 5).

use std::sync::Arc;

use super::allocations::Allocation;
use super::answer_budget::{Source, answers, count_failure, judges, takes_request};
use super::auth::{Authenticator, Claim, Denied, Grant, NonceError, Realm, bare, negotiate};
use super::clock::Now;
use super::context::{Context, Request};
use super::effects::Outside;
use super::event::Event;
use super::failure::{Answer, Failure};
use super::guests::Guest;
use super::parts::Parts;
use super::reply::Signature;
use super::rules::Rules;
use super::types::{Carrier, ConnectionId};
use super::user::UserId;
use super::verdict::DropReason;
use taciturn_stun::{ErrorCode, LongTermKey, Message, Method, PasswordAlgorithm};

/// Who sent a request, once that is proven.
pub(super) struct Proven {
    pub(super) signature: Signature,
    /// What the credential grants; `None` where the key of the allocation itself has proven it.
    pub(super) grant: Option<Grant>,
}

impl Proven {
    /// Whether it is the user that made this allocation.
    pub(super) fn made(&self, allocation: &Allocation, authenticator: &Authenticator) -> bool {
        let is_its_user =
            |grant: &Grant| authenticator.is_same(&grant.username, &allocation.username);
        self.grant.as_ref().is_none_or(is_its_user)
    }
}

/// What becomes of a request that has not proven who sent it.
#[derive(Debug)]
pub(super) enum Unproven {
    /// It is answered with this.
    Refused(Failure),
    /// It is not answered.
    Dropped(DropReason),
}

/// What a request holds to prove its sender by.
struct Credential<'a> {
    claim: Claim<'a>,
    /// Chosen from what was offered with the nonce.
    chosen: Option<PasswordAlgorithm>,
}

impl Credential<'_> {
    fn algorithm(&self) -> PasswordAlgorithm {
        self.chosen.unwrap_or(PasswordAlgorithm::Md5)
    }

    //= 8489-9.2.4-signed-with-sha256, 8489-9.2.4-signed-with-sha1
    /// RFC 8489 section 9.2.4: with an algorithm chosen it is MESSAGE-INTEGRITY-SHA256. A client
    /// that has chosen one and signs with MESSAGE-INTEGRITY all the same is answered in kind.
    fn signature(&self, message: &Message<'_>, key: &LongTermKey) -> Signature {
        let sha256 = self.chosen.is_some() && message.has_integrity_sha256();
        Signature { key: key.clone(), sha256 }
    }
}

/// What the nonce of a request is worth.
fn freshness(rules: &Rules, now: Now, request: &Request<'_>) -> Result<(), NonceError> {
    let Request { client, message, .. } = request;
    let nonce = message.nonce().ok_or(NonceError::Foreign)?;
    let (remote, listener) = (client.remote.0, client.via.listener());
    rules.nonces.verify(now.tick, remote, listener, nonce).or_else(|why| {
        // A client that another server of the fleet has sent here has one of that server.
        rules.alternates.knows(now.unix, remote.ip(), nonce).then_some(()).ok_or(why)
    })
}

/// 401 without integrity, 400 for a request that is not complete, 438 for a nonce that is not good,
/// and only then 401 for a wrong user or password.
///
/// RFC 8489 section 9.2.4 has the last two the other way round. With a nonce that anybody makes up,
/// 438 would then tell a client that guesses that the password is right, over and over, and without a
/// trace: a failure counts only where the nonce proves the source. Behind the nonce, all that is judged is
/// counted.
//= 8656-5-long-term
pub(super) fn authenticate<O: Outside>(
    cx: &mut Context<'_, O>,
    request: &Request<'_>,
) -> Result<Proven, Unproven> {
    //= 8489-9.2.4-no-integrity
    if !request.message.has_integrity() {
        let failure = Failure::challenge(ErrorCode::UNAUTHENTICATED, request.realm);
        return Err(turned_down(cx, request, Source::AsCarried, failure));
    }
    let fresh = freshness(&cx.parts.rules, cx.now, request);
    let source = if fresh.is_ok() { Source::HasNonce } else { Source::AsCarried };
    let credential = match credential(request, cx.parts.allocations.of(&request.client)) {
        Ok(credential) => credential,
        Err(failure) => return Err(turned_down(cx, request, source, failure)),
    };
    //= 8489-9.2.4-stale-nonce
    if let Err(stale) = fresh {
        cx.parts.statistics.count_stale(stale);
        let failure = Failure::challenge(ErrorCode::STALE_NONCE, request.realm);
        let refused = turned_down(cx, request, source, failure);
        if stale == NonceError::Foreign && matches!(refused, Unproven::Refused(_)) {
            cx.outside.event(Event::ForeignNonce { client: request.client });
        }
        return Err(refused);
    }
    let client = request.client;
    if !takes_request(cx.parts, cx.now.tick, &client) {
        return Err(Unproven::Dropped(DropReason::RequestRate));
    }
    if let Some(own) = cx.parts.allocations.of(&client)
        && let Some(proven) =
            prove_by_allocation(&cx.parts.rules, cx.now, request, own, &credential)
    {
        return Ok(proven);
    }
    if !judges(cx.parts, cx.now.tick, &client) {
        return Err(Unproven::Dropped(DropReason::WrongCredentials));
    }
    //= 8489-9.2.4-unknown-user, 8489-9.2.4-wrong-integrity
    let proven = prove(&cx.parts.rules, cx.now, request, &credential).map_err(|reason| {
        let username = match &credential.claim {
            Claim::Name(name) => name,
            Claim::Hash(hash) => {
                let realm = cx.parts.rules.authenticator.realm(request.realm);
                realm.name_of(hash).unwrap_or("unknown USERHASH")
            }
        };
        cx.outside.event(Event::AuthenticationFailed { client, username, reason });
        count_failure(cx.parts, cx.now.tick, &client);
        Unproven::Refused(Failure::challenge(ErrorCode::UNAUTHENTICATED, request.realm))
    })?;
    if let Some(grant) = &proven.grant {
        if let Some(guest) = &grant.guest {
            let carrier = Carrier::of(client.via, cx.outside.is_secure(client));
            guest.note_request(carrier, client.remote.0.ip());
        }
        if let Some(hash) = grant.hash {
            cx.parts.statistics.count_secret(hash);
        }
    }
    Ok(proven)
}

/// Refuses a request before its credential is judged, as far as there is a budget for answers.
fn turned_down<O>(
    cx: &mut Context<'_, O>,
    request: &Request<'_>,
    source: Source,
    failure: Failure,
) -> Unproven {
    let tid = request.message.transaction_id().0;
    match answers(cx.parts, cx.now.tick, &request.client, &tid, source) {
        true => Unproven::Refused(failure),
        false => Unproven::Dropped(DropReason::Withheld),
    }
}

/// Takes the credential out of a request; what is missing or does not fit is 400. `own` is the
/// allocation on its 5-tuple.
fn credential<'a>(
    request: &Request<'a>,
    own: Option<&Allocation>,
) -> Result<Credential<'a>, Failure> {
    let message = request.message;
    let bad = |detail| Failure::new(ErrorCode::BAD_REQUEST, detail);
    let claim = match (message.username()?, message.userhash()?) {
        (Some(_), Some(_)) => return Err(bad("USERNAME and USERHASH together")),
        (Some(name), None) => Some(Claim::Name(bare(name))),
        (None, Some(hash)) => Some(Claim::Hash(hash)),
        (None, None) => None,
    };
    let (Some(claim), Some(_realm), Some(nonce)) = (claim, message.realm()?, message.nonce())
    else {
        //= 8489-9.2.4-incomplete
        return Err(bad("USERNAME or USERHASH, REALM and NONCE belong to an integrity"));
    };
    let (list, choice) = (message.password_algorithms(), message.password_algorithm());
    let settled = own.map(|allocation| allocation.key.algorithm());
    let chosen = negotiate(nonce, list, choice, settled)
        .map_err(|_| bad("PASSWORD-ALGORITHMS or PASSWORD-ALGORITHM is not as offered"))?;
    Ok(Credential { claim, chosen })
}

/// RFC 8656 section 5: an allocation is its maker's. The key it was made with stays good, so that
/// a running call outlives its credential, unless the operator wants it otherwise. No neighbour
/// who guesses gets in its way.
fn prove_by_allocation(
    rules: &Rules,
    now: Now,
    request: &Request<'_>,
    allocation: &Allocation,
    credential: &Credential<'_>,
) -> Option<Proven> {
    let message = request.message;
    let authenticator = &rules.authenticator;
    let is_its_user = match credential.claim {
        Claim::Name(name) => allocation.username.name() == name,
        Claim::Hash(hash) => {
            authenticator.realm(request.realm).is_hash_of(&hash, allocation.username.name())
        }
    };
    let is_over = (authenticator.strict_expiry() || allocation.guest.is_some())
        && allocation.credential_expires.is_some_and(|expires| now.unix > expires);
    let proves = is_its_user
        && allocation.key.algorithm() == credential.algorithm()
        && !is_over
        && message.verify_integrity(&allocation.key);
    proves.then(|| {
        let signature = credential.signature(message, &allocation.key);
        Proven { signature, grant: None }
    })
}

/// Looks for the key that the request was signed with.
fn prove(
    rules: &Rules,
    now: Now,
    request: &Request<'_>,
    credential: &Credential<'_>,
) -> Result<Proven, Denied> {
    let message = request.message;
    let realm = rules.authenticator.realm(request.realm);
    let name = match &credential.claim {
        Claim::Name(name) => Some(*name),
        Claim::Hash(hash) => realm.name_of(hash),
    };
    if let Some(name) = name
        && let Some((username, key)) = key_of_unbound(rules, message, name)
        && key.algorithm() == credential.algorithm()
        && message.verify_integrity(&key)
    {
        let signature = credential.signature(message, &key);
        let user = username.clone();
        let grant =
            Grant { key, username, user, expires: None, origin: None, hash: None, guest: None };
        return Ok(Proven { signature, grant: Some(grant) });
    }
    let fits = |key: &LongTermKey| message.verify_integrity(key);
    let is_meant = |guest: &Guest| match &credential.claim {
        Claim::Name(name) => guest.name() == *name,
        Claim::Hash(hash) => realm.is_hash_of(hash, guest.name()),
    };
    let grant = match rules.guests.find(now.unix, is_meant) {
        Some(guest) => grant_of_guest(guest, credential, realm, fits)?,
        None => realm.authenticate(credential.claim, credential.algorithm(), now.unix, fits)?,
    };
    let signature = credential.signature(message, &grant.key);
    Ok(Proven { signature, grant: Some(grant) })
}

/// What the credential of a guest grants, if `fits` holds for its key.
fn grant_of_guest(
    guest: Arc<Guest>,
    credential: &Credential<'_>,
    realm: &Realm,
    fits: impl Fn(&LongTermKey) -> bool,
) -> Result<Grant, Denied> {
    let key = guest.key(credential.algorithm(), realm.name());
    if !fits(&key) {
        guest.note_wrong();
        return Err(Denied::WrongPassword);
    }
    let user = UserId::new(&Arc::from(realm.name()), guest.name());
    let (username, expires) = (user.clone(), Some(guest.ends()));
    Ok(Grant { key, username, user, expires, origin: None, hash: None, guest: Some(guest) })
}

/// User and key of the allocation that a ConnectionBind request is about, if the request was sent in
/// the name of that user. The key stays good for as long as the allocation lives.
fn key_of_unbound(
    rules: &Rules,
    message: &Message<'_>,
    username: &str,
) -> Option<(UserId, LongTermKey)> {
    if message.method() != Method::CONNECTION_BIND {
        return None;
    }
    let id = ConnectionId(message.connection_id().ok()??);
    rules.connection_ids.key(id, username)
}

/// RFC 8656 section 5: only the user that made an allocation may go on with it. Allocate has an error of
/// its own for a 5-tuple in use.
pub(super) fn check_owner(parts: &Parts, request: &Request<'_>, proven: &Proven) -> Answer {
    match parts.allocations.of(&request.client) {
        Some(allocation)
            if request.message.method() != Method::ALLOCATE
                && !proven.made(allocation, &parts.rules.authenticator) =>
        {
            //= 8656-5-wrong-credentials
            let detail = "The allocation belongs to another user";
            Err(Failure::new(ErrorCode::WRONG_CREDENTIALS, detail))
        }
        _ => Ok(()),
    }
}
