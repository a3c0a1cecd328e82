//! Nonces without memory: each carries its own proof of when and for whom it was made.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::clock::Tick;

/// Why a nonce is not good (any more). The answer is 438 in each case (RFC 8489 section 9.2.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NonceError {
    /// Not made here, or for another client.
    #[error("not a nonce of this server for this client")]
    Foreign,
    /// Too old.
    #[error("older than the nonce lifetime")]
    Expired,
}

/// The keys that nonces are made with, shared by all shards.
///
/// A nonce is base64url of 4 bytes of time and 8 bytes of HMAC-SHA256 over that time, the client's
/// address and the listener: 16 characters, and no state for a stranger. The key is replaced by a
/// fresh one from the OS each lifetime; the one before stays good for as long.
pub struct NonceKeys {
    lifetime: Duration,
    keys: RwLock<Keys>,
}

struct Keys {
    current: Zeroizing<[u8; 32]>,
    previous: Zeroizing<[u8; 32]>,
    since: Tick,
}

impl NonceKeys {
    /// Keys for nonces that live for `lifetime`; `random` is two keys' worth of OS randomness.
    #[must_use]
    pub fn new(lifetime: Duration, random: [[u8; 32]; 2], now: Tick) -> Self {
        let [current, previous] = random.map(Zeroizing::new);
        Self { lifetime, keys: RwLock::new(Keys { current, previous, since: now }) }
    }

    /// Whether the current key has served its time and [`NonceKeys::rotate`] is due.
    #[must_use]
    pub fn rotation_due(&self, now: Tick) -> bool {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        now.since(keys.since) >= self.lifetime
    }

    /// Puts a new key in front. Nonces made with the key before stay good for their lifetime.
    pub fn rotate(&self, fresh: [u8; 32], now: Tick) {
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        if now.since(keys.since) >= self.lifetime {
            keys.previous = std::mem::replace(&mut keys.current, Zeroizing::new(fresh));
            keys.since = now;
        }
    }

    /// A nonce for a client at `client` on the listener `listener`.
    #[must_use]
    pub fn issue(&self, now: Tick, client: SocketAddr, listener: u16) -> [u8; 16] {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        let seconds = seconds(now);
        encode(seconds, tag(&keys.current, seconds, client, listener))
    }

    /// Whether `nonce` was made here for this client and listener, and lives.
    ///
    /// # Errors
    /// When it was not, or is too old.
    pub fn verify(
        &self,
        now: Tick,
        client: SocketAddr,
        listener: u16,
        nonce: &[u8],
    ) -> Result<(), NonceError> {
        let mut raw = [0; 12];
        if nonce.len() != 16 || URL_SAFE_NO_PAD.decode_slice(nonce, &mut raw) != Ok(12) {
            return Err(NonceError::Foreign);
        }
        let [s0, s1, s2, s3, found @ ..] = raw;
        let made = u32::from_be_bytes([s0, s1, s2, s3]);
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        let genuine = tag(&keys.current, made, client, listener).ct_eq(&found)
            | tag(&keys.previous, made, client, listener).ct_eq(&found);
        if !bool::from(genuine) {
            return Err(NonceError::Foreign);
        }
        let age = Duration::from_secs(u64::from(seconds(now).saturating_sub(made)));
        if age > self.lifetime { Err(NonceError::Expired) } else { Ok(()) }
    }
}

impl fmt::Debug for NonceKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NonceKeys").field("lifetime", &self.lifetime).finish_non_exhaustive()
    }
}

/// Whole seconds of uptime; 136 years fit.
fn seconds(now: Tick) -> u32 {
    u32::try_from(now.0 / 1000).unwrap_or(u32::MAX)
}

fn encode(seconds: u32, tag: [u8; 8]) -> [u8; 16] {
    let mut raw = [0; 12];
    raw[..4].copy_from_slice(&seconds.to_be_bytes());
    raw[4..].copy_from_slice(&tag);
    let mut text = [0; 16];
    // SAFE: 12 bytes are 16 characters exactly.
    #[allow(clippy::expect_used)]
    URL_SAFE_NO_PAD.encode_slice(raw, &mut text).expect("12 bytes make 16 characters");
    text
}

fn tag(key: &[u8; 32], seconds: u32, client: SocketAddr, listener: u16) -> [u8; 8] {
    // SAFE: HMAC takes a key of any length (RFC 2104 section 2).
    #[allow(clippy::expect_used)]
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(&seconds.to_be_bytes());
    match client.ip() {
        IpAddr::V4(v4) => mac.update(&v4.to_ipv6_mapped().octets()),
        IpAddr::V6(v6) => mac.update(&v6.octets()),
    }
    mac.update(&client.port().to_be_bytes());
    mac.update(&listener.to_be_bytes());
    let full: [u8; 32] = mac.finalize().into_bytes().into();
    let mut tag = [0; 8];
    tag.copy_from_slice(&full[..8]);
    tag
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn keys() -> NonceKeys {
        NonceKeys::new(HOUR, [[1; 32], [2; 32]], Tick(0))
    }

    fn client(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_nonce_is_good_for_its_lifetime() {
        let keys = keys();
        let nonce = keys.issue(Tick(5_000), client("192.0.2.1:1"), 0);
        assert_eq!(keys.verify(Tick(5_000), client("192.0.2.1:1"), 0, &nonce), Ok(()));
        assert_eq!(keys.verify(Tick(3_605_000), client("192.0.2.1:1"), 0, &nonce), Ok(()));
        let late = Tick(3_606_000);
        assert_eq!(keys.verify(late, client("192.0.2.1:1"), 0, &nonce), Err(NonceError::Expired));
    }

    #[test]
    fn a_nonce_is_bound_to_address_port_and_listener() {
        let keys = keys();
        let nonce = keys.issue(Tick(0), client("192.0.2.1:1"), 0);
        for (other, listener) in [("192.0.2.1:2", 0), ("192.0.2.2:1", 0), ("192.0.2.1:1", 1)] {
            let verdict = keys.verify(Tick(0), client(other), listener, &nonce);
            assert_eq!(verdict, Err(NonceError::Foreign), "{other} {listener}");
        }
    }

    #[test]
    fn forged_and_malformed_nonces_are_foreign() {
        let keys = keys();
        let good = keys.issue(Tick(0), client("192.0.2.1:1"), 0);
        let mut forged = good;
        forged[15] ^= 4;
        for nonce in [&forged[..], b"", b"short", b"................", b"not base64 at all!!"] {
            let verdict = keys.verify(Tick(0), client("192.0.2.1:1"), 0, nonce);
            assert_eq!(verdict, Err(NonceError::Foreign));
        }
    }

    #[test]
    fn rotation_keeps_the_key_before_and_drops_the_one_before_that() {
        let keys = keys();
        let early = keys.issue(Tick(3_599_000), client("192.0.2.1:1"), 0);
        assert!(!keys.rotation_due(Tick(3_599_000)));
        assert!(keys.rotation_due(Tick(3_600_000)));
        keys.rotate([3; 32], Tick(3_600_000));
        keys.rotate([9; 32], Tick(3_600_001)); // a second shard that noticed it too: no effect
        let check = |now, nonce: &[u8]| keys.verify(Tick(now), client("192.0.2.1:1"), 0, nonce);
        assert_eq!(check(3_601_000, &early), Ok(()));
        keys.rotate([4; 32], Tick(7_200_000));
        assert_eq!(check(7_200_000, &early), Err(NonceError::Foreign));
    }
}
