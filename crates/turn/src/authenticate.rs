//! Who sent a request (RFC 8489 section 9.2.4), and whose an allocation is (RFC 8656 section 5).

use super::allocation::Allocation;
use super::outside::{Event, Outside};
use super::request::{Answer, Failure, Request};
use super::shard::Shard;
use super::strangers::Source;
use super::types::{DropReason, Via};
use crate::auth::{Claim, Denied, Grant, NonceError, SecurityFeatures, bare, negotiate};
use taciturn_stun::{ErrorCode, LongTermKey, Message, Method, PasswordAlgorithm, Writer};

/// Who sent a request, once that is proven.
pub(super) struct Proven {
    pub(super) signature: Signature,
    /// What the credential grants; `None` where the key of the allocation itself has proven it.
    pub(super) grant: Option<Grant>,
}

impl Proven {
    /// Whether it is the user that made this allocation.
    pub(super) fn made(&self, allocation: &Allocation) -> bool {
        self.grant.as_ref().is_none_or(|grant| grant.username == allocation.username)
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

/// What the answer to a proven user is signed with.
#[derive(Clone, Debug)]
pub(super) struct Signature {
    key: LongTermKey,
    /// MESSAGE-INTEGRITY-SHA256 in place of MESSAGE-INTEGRITY.
    pub(super) sha256: bool,
}

impl Signature {
    pub(super) fn sign(&self, writer: &mut Writer<'_>) {
        match self.sha256 {
            true => writer.integrity_sha256(&self.key),
            false => writer.integrity(&self.key),
        };
    }
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

impl Shard {
    /// What the nonce of a request is worth.
    fn freshness(&self, request: &Request<'_>) -> Result<(), NonceError> {
        let Request { now, client, message } = request;
        let nonce = message.nonce().ok_or(NonceError::Foreign)?;
        self.rules.nonces.verify(now.tick, client.remote.0, client.via.listener(), nonce)
    }

    /// 401 without integrity, 400 for a request that is not complete, 438 for a nonce that is not good,
    /// and only then 401 for a wrong user or password.
    ///
    /// RFC 8489 section 9.2.4 has the last two the other way round. With a nonce that anybody makes up,
    /// 438 would then tell who guesses that the password is right, over and over, and without a trace:
    /// a failure counts only where the nonce proves the source. Behind the nonce, all that is judged is
    /// counted.
    //= 8656-5-long-term
    pub(super) fn authenticate(
        &mut self,
        request: &Request<'_>,
        outside: &mut impl Outside,
    ) -> Result<Proven, Unproven> {
        //= 8489-9.2.4-no-integrity
        if !request.message.has_integrity() {
            let failure = Failure::challenge(ErrorCode::UNAUTHENTICATED);
            return Err(self.refuse(request, Source::AsCarried, failure));
        }
        let fresh = self.freshness(request);
        let source = if fresh.is_ok() { Source::HasNonce } else { Source::AsCarried };
        let credential = match self.credential(request) {
            Ok(credential) => credential,
            Err(failure) => return Err(self.refuse(request, source, failure)),
        };
        //= 8489-9.2.4-stale-nonce
        if let Err(stale) = fresh {
            if let Some(count) = self.statistics.stale_nonces.get_mut(stale as usize) {
                *count += 1;
            }
            let failure = Failure::challenge(ErrorCode::STALE_NONCE);
            let refused = self.refuse(request, source, failure);
            if stale == NonceError::Foreign && matches!(refused, Unproven::Refused(_)) {
                outside.event(Event::ForeignNonce { client: request.client });
            }
            return Err(refused);
        }
        if let Some(proven) = self.prove_by_allocation(request, &credential) {
            return Ok(proven);
        }
        if !self.judges(request) {
            return Err(Unproven::Dropped(DropReason::WrongCredentials));
        }
        //= 8489-9.2.4-unknown-user, 8489-9.2.4-wrong-integrity
        self.prove(request, &credential).map_err(|reason| {
            let username = match &credential.claim {
                Claim::Name(name) => name,
                Claim::Hash(hash) => {
                    self.rules.authenticator.name_of(hash).unwrap_or("unknown USERHASH")
                }
            };
            let client = request.client;
            outside.event(Event::AuthenticationFailed { client, username, reason });
            self.count_failure(request);
            Unproven::Refused(Failure::challenge(ErrorCode::UNAUTHENTICATED))
        })
    }

    /// Refuses a request before its credential is judged, as far as there is a budget for answers.
    fn refuse(&mut self, request: &Request<'_>, source: Source, failure: Failure) -> Unproven {
        match self.answers(request, source) {
            true => Unproven::Refused(failure),
            false => Unproven::Dropped(DropReason::Withheld),
        }
    }

    /// Takes the credential out of a request; what is missing or does not fit is 400.
    fn credential<'a>(&self, request: &Request<'a>) -> Result<Credential<'a>, Failure> {
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
        let settled = self.allocation_of(&request.client).map(|(_, a)| a.key.algorithm());
        let chosen = negotiate(nonce, list, choice, settled)
            .map_err(|_| bad("PASSWORD-ALGORITHMS or PASSWORD-ALGORITHM is not as offered"))?;
        Ok(Credential { claim, chosen })
    }

    /// RFC 8656 section 5: an allocation is its maker's. The key it was made with stays good, so that
    /// a running call outlives its credential, unless the operator wants it otherwise. No neighbour
    /// who guesses gets in its way.
    fn prove_by_allocation(
        &self,
        request: &Request<'_>,
        credential: &Credential<'_>,
    ) -> Option<Proven> {
        let Request { now, client, message } = request;
        let authenticator = &self.rules.authenticator;
        let (_, allocation) = self.allocation_of(client)?;
        let is_its_user = match credential.claim {
            Claim::Name(name) => *allocation.username == *name,
            Claim::Hash(hash) => authenticator.is_hash_of(&hash, &allocation.username),
        };
        let is_over = authenticator.strict_expiry()
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
    fn prove(&self, request: &Request<'_>, credential: &Credential<'_>) -> Result<Proven, Denied> {
        let Request { now, message, .. } = request;
        let authenticator = &self.rules.authenticator;
        let name = match &credential.claim {
            Claim::Name(name) => Some(*name),
            Claim::Hash(hash) => authenticator.name_of(hash),
        };
        if let Some(name) = name
            && let Some(key) = self.key_of_waiting(message, name)
            && key.algorithm() == credential.algorithm()
            && message.verify_integrity(&key)
        {
            let signature = credential.signature(message, &key);
            let (username, name) = (name.into(), name.into());
            let grant = Grant { key, username, name, expires: None, origin: None };
            return Ok(Proven { signature, grant: Some(grant) });
        }
        let fits = |key: &LongTermKey| message.verify_integrity(key);
        let grant =
            authenticator.authenticate(credential.claim, credential.algorithm(), now.unix, fits)?;
        let signature = credential.signature(message, &grant.key);
        Ok(Proven { signature, grant: Some(grant) })
    }

    /// RFC 8656 section 5: only who made an allocation may go on with it. Allocate has an error of
    /// its own for a 5-tuple in use.
    pub(super) fn check_owner(&self, request: &Request<'_>, proven: &Proven) -> Answer {
        match self.allocation_of(&request.client) {
            Some((_, allocation))
                if request.message.method() != Method::ALLOCATE && !proven.made(allocation) =>
            {
                //= 8656-5-wrong-credentials
                let detail = "The allocation belongs to another user";
                Err(Failure::new(ErrorCode::WRONG_CREDENTIALS, detail))
            }
            _ => Ok(()),
        }
    }

    /// What of RFC 8489 goes with a challenge to this client. Over UDP nobody has proven the
    /// address that the challenge goes to, so it is kept as small as it can be.
    pub(super) fn features(&self, via: Via) -> SecurityFeatures {
        match via {
            Via::Udp(_) if !self.settings.rfc8489_over_udp => SecurityFeatures::NONE,
            _ => self.rules.authenticator.features(),
        }
    }
}
