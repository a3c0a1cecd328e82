//! Who sent a request (RFC 8489 section 9.2.4), and whose an allocation is (RFC 8656 section 5).

use super::outside::{Event, Outside};
use super::request::{Answer, Failure, Request};
use super::shard::Shard;
use crate::auth::{Denied, Grant, NonceError};
use crate::stun::{ErrorCode, LongTermKey, Method};

/// Who sent a request, once that is proven.
pub(super) struct Proven {
    pub(super) key: LongTermKey,
    /// For an Allocate request: what the credential grants.
    pub(super) grant: Option<Grant>,
}

impl Shard {
    /// RFC 8489 section 9.2.4, in its order: 401 without integrity, 400 for a request that is not
    /// complete, 401 for a wrong user or password, and only then 438 for a stale nonce.
    pub(super) fn authenticate(
        &mut self,
        request: &Request<'_>,
        outside: &mut impl Outside,
    ) -> Result<Proven, Failure> {
        let Request { now, client, message } = request;
        if !message.has_integrity() {
            return Err(Failure::challenge(ErrorCode::UNAUTHENTICATED));
        }
        let (Some(username), Some(_realm), Some(nonce)) =
            (message.username()?, message.realm()?, message.nonce())
        else {
            let detail = "USERNAME, REALM and NONCE belong to MESSAGE-INTEGRITY";
            return Err(Failure::new(ErrorCode::BAD_REQUEST, detail));
        };
        let nonces = &self.rules.nonces;
        let fresh = nonces.verify(now.tick, client.remote.0, client.via.listener(), nonce);
        let proven = match self.prove(request, username) {
            Ok(proven) => proven,
            Err(reason) => {
                // Without a nonce that was made for it, the source address may be somebody else's.
                // It must not get into a log that bans addresses.
                if fresh != Err(NonceError::Foreign) {
                    outside.event(Event::AuthenticationFailed {
                        client: *client,
                        username,
                        reason,
                    });
                }
                return Err(Failure::challenge(ErrorCode::UNAUTHENTICATED));
            }
        };
        match fresh {
            Ok(()) => Ok(proven),
            Err(_) => Err(Failure::challenge(ErrorCode::STALE_NONCE)),
        }
    }

    /// Looks for the key that the request was signed with.
    fn prove(&self, request: &Request<'_>, username: &str) -> Result<Proven, Denied> {
        let Request { now, client, message } = request;
        // RFC 8656 section 5: an allocation is its maker's. The key it was made with stays good, so
        // that a running call outlives its credential, unless the operator wants it otherwise.
        if let Some((_, allocation)) = self.allocation_of(client)
            && *allocation.username == *username
            && !(self.rules.authenticator.strict_expiry()
                && allocation.credential_expires.is_some_and(|expires| now.unix > expires))
            && message.verify_integrity(&allocation.key)
        {
            return Ok(Proven { key: allocation.key.clone(), grant: None });
        }
        let grant = self
            .rules
            .authenticator
            .authenticate(username, now.unix, |key| message.verify_integrity(key))?;
        Ok(Proven { key: grant.key.clone(), grant: Some(grant) })
    }

    /// RFC 8656 section 5: only who made an allocation may go on with it. Allocate has an error of
    /// its own for a 5-tuple in use.
    pub(super) fn check_owner(&self, request: &Request<'_>) -> Answer {
        match self.allocation_of(&request.client) {
            Some((_, allocation))
                if request.message.method() != Method::ALLOCATE
                    && !request.is_by(&allocation.username) =>
            {
                let detail = "The allocation belongs to another user";
                Err(Failure::new(ErrorCode::WRONG_CREDENTIALS, detail))
            }
            _ => Ok(()),
        }
    }
}
