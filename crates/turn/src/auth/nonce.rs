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

use super::SecurityFeatures;
use crate::clock::{TakeOver, Tick};
use crate::snapshot::records::NoncesRecord;
use crate::snapshot::wire::Secret;

/// Why a nonce is not good (any more). The answer is 438 in each case (RFC 8489 section 9.2.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[repr(u8)]
pub enum NonceError {
    /// Not made here, or for another client.
    #[error("not a nonce of this server for this client")]
    Foreign,
    /// Too old.
    #[error("older than the nonce lifetime")]
    Expired,
}

impl NonceError {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 2] = [Self::Foreign, Self::Expired];

    /// Its name among the metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Foreign => "foreign",
            Self::Expired => "expired",
        }
    }
}

/// The keys that nonces are made with, shared by all shards.
///
/// A nonce is base64url of 4 bytes of time and 8 bytes of HMAC-SHA256 over that time, the client's
/// address, the listener and the features: 16 characters, and no state for a stranger. Where
/// features are offered, their cookie of 13 characters stands in front. The key is replaced by a
/// fresh one from the OS each lifetime; the one before stays good for as long.
pub struct NonceKeys {
    keys: RwLock<Keys>,
}

/// A nonce as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nonce {
    bytes: [u8; 29],
    /// Where the text begins: there may be no cookie.
    start: u8,
}

impl Nonce {
    //= 8489-14.10-nonce
    /// The text: 16 or 29 characters of ASCII.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(usize::from(self.start)..).unwrap_or_default()
    }
}

struct Keys {
    lifetime: Duration,
    current: Zeroizing<[u8; 32]>,
    previous: Zeroizing<[u8; 32]>,
    /// When the current key was made, on the clock of the nonces.
    since: Tick,
    /// How far the clock of the nonces is ahead of the ticks, in milliseconds that wrap around: it goes on
    /// from process to process.
    ahead: u64,
}

impl Keys {
    /// The clock that nonces are dated by.
    const fn clock(&self, Tick(now): Tick) -> Tick {
        Tick(now.wrapping_add(self.ahead))
    }
}

impl NonceKeys {
    /// Keys for nonces that live for `lifetime`; `random` is two keys' worth of OS randomness.
    #[must_use]
    pub fn new(lifetime: Duration, random: [[u8; 32]; 2], now: Tick) -> Self {
        let [current, previous] = random.map(Zeroizing::new);
        Self { keys: RwLock::new(Keys { lifetime, current, previous, since: now, ahead: 0 }) }
    }

    /// Has nonces live for as long from now on. Keys stay: nonces that are under way stay good for as
    /// long as that says.
    pub fn set_lifetime(&self, lifetime: Duration) {
        self.keys.write().unwrap_or_else(PoisonError::into_inner).lifetime = lifetime;
    }

    /// Whether the current key has served its time and [`NonceKeys::rotate`] is due.
    #[must_use]
    pub fn rotation_due(&self, now: Tick) -> bool {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        keys.clock(now).since(keys.since) >= keys.lifetime
    }

    /// Puts a new key in front. Nonces made with the key before stay good for their lifetime.
    pub fn rotate(&self, fresh: [u8; 32], now: Tick) {
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        let now = keys.clock(now);
        if now.since(keys.since) >= keys.lifetime {
            keys.previous = std::mem::replace(&mut keys.current, Zeroizing::new(fresh));
            keys.since = now;
        }
    }

    /// The keys and their clock at `now`, for another process.
    pub(crate) fn snapshot(&self, now: Tick) -> NoncesRecord {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        NoncesRecord {
            current: Secret(keys.current.clone()),
            previous: Secret(keys.previous.clone()),
            since: keys.since.0,
            now: keys.clock(now).0,
        }
    }

    /// Goes on with the keys of another process, and with its clock: nonces that it has made stay good for
    /// as long as they would have. Those that were made here with the keys before are not good any more.
    pub(crate) fn restore(&self, record: NoncesRecord, there: &TakeOver) {
        let NoncesRecord { current: Secret(current), previous: Secret(previous), since, now } =
            record;
        let Tick(now) = Tick(now) + there.passed;
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        (keys.current, keys.previous) = (current, previous);
        (keys.since, keys.ahead) = (Tick(since), now.wrapping_sub(there.now.0));
    }

    /// A nonce for a client at `client` on the listener `listener`, which tells of `features`.
    #[must_use]
    //= 8489-9.2.4-nonce-differs, 8656-5-random-nonce
    pub fn issue(
        &self,
        now: Tick,
        client: SocketAddr,
        listener: u16,
        features: SecurityFeatures,
    ) -> Nonce {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        let seconds = seconds(keys.clock(now));
        let tag = tag(&keys.current, seconds, client, listener, features);
        let mut bytes = [0; 29];
        let (cookie, text) = bytes.split_at_mut(13);
        cookie.copy_from_slice(&features.cookie());
        text.copy_from_slice(&encode(seconds, tag));
        Nonce { bytes, start: if features.is_empty() { 13 } else { 0 } }
    }

    /// Whether `nonce` was made here for this client and listener, and lives. One whose cookie was
    /// changed or taken away on the way was not (RFC 8489 section 9.2.1).
    ///
    /// # Errors
    /// When it was not, or is too old.
    //= 8489-9.2.1-bid-down, 8656-5-nonce-expires
    pub fn verify(
        &self,
        now: Tick,
        client: SocketAddr,
        listener: u16,
        nonce: &[u8],
    ) -> Result<(), NonceError> {
        let (features, nonce) = SecurityFeatures::read(nonce);
        let mut raw = [0; 12];
        if nonce.len() != 16 || URL_SAFE_NO_PAD.decode_slice(nonce, &mut raw) != Ok(12) {
            return Err(NonceError::Foreign);
        }
        let [s0, s1, s2, s3, found @ ..] = raw;
        let made = u32::from_be_bytes([s0, s1, s2, s3]);
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        let genuine = tag(&keys.current, made, client, listener, features).ct_eq(&found)
            | tag(&keys.previous, made, client, listener, features).ct_eq(&found);
        if !bool::from(genuine) {
            return Err(NonceError::Foreign);
        }
        let age = Duration::from_secs(u64::from(seconds(keys.clock(now)).saturating_sub(made)));
        if age > keys.lifetime { Err(NonceError::Expired) } else { Ok(()) }
    }
}

impl fmt::Debug for NonceKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NonceKeys").finish_non_exhaustive()
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

fn tag(
    key: &[u8; 32],
    seconds: u32,
    client: SocketAddr,
    listener: u16,
    features: SecurityFeatures,
) -> [u8; 8] {
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
    mac.update(&[features.number()]);
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

    const PLAIN: SecurityFeatures = SecurityFeatures::NONE;

    fn client(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn another_lifetime_holds_for_nonces_that_were_made_before() {
        let keys = keys();
        let at = client("192.0.2.1:1");
        let nonce = keys.issue(Tick(0), at, 0, PLAIN);
        keys.set_lifetime(Duration::from_secs(10));
        assert_eq!(keys.verify(Tick(10_000), at, 0, nonce.as_bytes()), Ok(()));
        let late = keys.verify(Tick(11_000), at, 0, nonce.as_bytes());
        assert_eq!(late, Err(NonceError::Expired), "not foreign: the keys are the same");
        assert!(keys.rotation_due(Tick(10_000)));
    }

    //= 8489-14.10-nonce, 8489-16-rfc7616-5, 8656-5-nonce-expires
    #[test]
    fn a_nonce_is_good_for_its_lifetime() {
        let keys = keys();
        let nonce = keys.issue(Tick(5_000), client("192.0.2.1:1"), 0, PLAIN);
        assert_eq!(keys.verify(Tick(5_000), client("192.0.2.1:1"), 0, nonce.as_bytes()), Ok(()));
        assert_eq!(
            keys.verify(Tick(3_605_000), client("192.0.2.1:1"), 0, nonce.as_bytes()),
            Ok(())
        );
        let late = Tick(3_606_000);
        assert_eq!(
            keys.verify(late, client("192.0.2.1:1"), 0, nonce.as_bytes()),
            Err(NonceError::Expired)
        );
    }

    //= 8489-9.2.4-nonce-differs, 8656-5-random-nonce
    #[test]
    fn a_nonce_is_bound_to_address_port_and_listener() {
        let keys = keys();
        let nonce = keys.issue(Tick(0), client("192.0.2.1:1"), 0, PLAIN);
        for (other, listener) in [("192.0.2.1:2", 0), ("192.0.2.2:1", 0), ("192.0.2.1:1", 1)] {
            let verdict = keys.verify(Tick(0), client(other), listener, nonce.as_bytes());
            assert_eq!(verdict, Err(NonceError::Foreign), "{other} {listener}");
        }
    }

    //= 8656-5-random-nonce
    #[test]
    fn forged_and_malformed_nonces_are_foreign() {
        let keys = keys();
        let good = keys.issue(Tick(0), client("192.0.2.1:1"), 0, PLAIN);
        let mut forged = good.as_bytes().to_vec();
        forged[15] ^= 4;
        for nonce in [&forged[..], b"", b"short", b"................", b"not base64 at all!!"] {
            let verdict = keys.verify(Tick(0), client("192.0.2.1:1"), 0, nonce);
            assert_eq!(verdict, Err(NonceError::Foreign));
        }
    }

    //= 8489-9.2-nonce-cookie, 8489-9.2.1-bid-down
    #[test]
    fn features_stand_in_front_and_cannot_be_taken_away() {
        // RFC 8489 section 9.2.1.
        let keys = keys();
        let features = SecurityFeatures { password_algorithms: true, username_anonymity: true };
        let whole = keys.issue(Tick(0), client("192.0.2.1:1"), 0, features);
        let verify = |nonce: &[u8]| keys.verify(Tick(0), client("192.0.2.1:1"), 0, nonce);
        assert_eq!(whole.as_bytes().len(), 29);
        assert_eq!(verify(whole.as_bytes()), Ok(()));
        let (cookie, rest) = whole.as_bytes().split_at(13);
        assert_eq!(cookie, b"obMatJos2wAAA");
        for other in [&b""[..], b"obMatJos2AAAA", b"obMatJos2gAAA", b"obMatJos2QAAA"] {
            assert_eq!(verify(&[other, rest].concat()), Err(NonceError::Foreign));
        }
        let bare = keys.issue(Tick(0), client("192.0.2.1:1"), 0, PLAIN);
        assert_eq!(bare.as_bytes().len(), 16);
        assert_eq!(verify(&[cookie, bare.as_bytes()].concat()), Err(NonceError::Foreign));
    }

    #[test]
    fn rotation_keeps_the_key_before_and_drops_the_one_before_that() {
        let keys = keys();
        let early = keys.issue(Tick(3_599_000), client("192.0.2.1:1"), 0, PLAIN);
        assert!(!keys.rotation_due(Tick(3_599_000)));
        assert!(keys.rotation_due(Tick(3_600_000)));
        keys.rotate([3; 32], Tick(3_600_000));
        keys.rotate([9; 32], Tick(3_600_001)); // a second shard that noticed it too: no effect
        let check = |now, nonce: &[u8]| keys.verify(Tick(now), client("192.0.2.1:1"), 0, nonce);
        assert_eq!(check(3_601_000, early.as_bytes()), Ok(()));
        keys.rotate([4; 32], Tick(7_200_000));
        assert_eq!(check(7_200_000, early.as_bytes()), Err(NonceError::Foreign));
    }
}
