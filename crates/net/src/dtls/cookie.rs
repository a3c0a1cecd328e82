//! Cookies that a client must send back before it costs anything (RFC 6347 section 4.2.1).
#![forbid(unsafe_code)]

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use subtle::{Choice, ConstantTimeEq as _};
use zeroize::Zeroizing;

use super::error::DtlsError;

/// Bytes of a cookie.
pub(super) const COOKIE_LEN: usize = 32;

/// After this time a new key is drawn; the one before it stays good for as long again.
const ROTATION: Duration = Duration::from_secs(3600);

/// A cookie as it stands on the wire.
pub(super) type Cookie = [u8; COOKIE_LEN];

/// The keys behind the cookies: HMAC-SHA256 over the client's address and port.
///
/// A cookie is good for one to two hours and for one address only. `Debug` prints nothing.
pub(super) struct CookieKeys {
    current: Hmac<Sha256>,
    previous: Option<Hmac<Sha256>>,
    since: Instant,
}

impl CookieKeys {
    /// Draws a first key.
    ///
    /// # Errors
    /// [`DtlsError::Random`] when the system gives no random bytes.
    pub(super) fn new(now: Instant) -> Result<Self, DtlsError> {
        Ok(Self { current: draw()?, previous: None, since: now })
    }

    /// Draws a new key when the current one is an hour old.
    ///
    /// Without random bytes the old key stays, which is safe, and the next call tries again.
    pub(super) fn rotate(&mut self, now: Instant) {
        let age = now.saturating_duration_since(self.since);
        if age < ROTATION {
            return;
        }
        if let Ok(fresh) = draw() {
            let old = std::mem::replace(&mut self.current, fresh);
            self.previous = (age < ROTATION * 2).then_some(old);
            self.since = now;
        }
    }

    /// Returns the cookie for `client`.
    pub(super) fn make(&self, client: SocketAddr) -> Cookie {
        tag(&self.current, client)
    }

    /// Returns true if `cookie` was made for `client` with a key that is still good; constant time.
    pub(super) fn verify(&self, client: SocketAddr, cookie: &[u8]) -> bool {
        let mut good = tag(&self.current, client)[..].ct_eq(cookie);
        good |= match &self.previous {
            Some(key) => tag(key, client)[..].ct_eq(cookie),
            None => Choice::from(0),
        };
        good.into()
    }
}

impl fmt::Debug for CookieKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CookieKeys(..)")
    }
}

fn draw() -> Result<Hmac<Sha256>, DtlsError> {
    let mut key = Zeroizing::new([0_u8; 32]);
    getrandom::fill(&mut key[..]).map_err(DtlsError::Random)?;
    // SAFE: HMAC takes a key of any length (RFC 2104 section 2).
    #[allow(clippy::expect_used)]
    Ok(Hmac::<Sha256>::new_from_slice(&key[..]).expect("HMAC takes any key length"))
}

fn tag(key: &Hmac<Sha256>, client: SocketAddr) -> Cookie {
    let mut mac = key.clone();
    // A mapped address and its IPv4 form are one client.
    match client.ip().to_canonical() {
        IpAddr::V4(ip) => mac.update(&ip.octets()),
        IpAddr::V6(ip) => mac.update(&ip.octets()),
    }
    mac.update(&client.port().to_be_bytes());
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_cookie_is_good_for_its_own_address_and_port_only() {
        let keys = CookieKeys::new(Instant::now()).unwrap();
        let cookie = keys.make(addr("192.0.2.1:5000"));
        assert!(keys.verify(addr("192.0.2.1:5000"), &cookie));
        assert!(keys.verify(addr("[::ffff:192.0.2.1]:5000"), &cookie));
        assert!(!keys.verify(addr("192.0.2.1:5001"), &cookie));
        assert!(!keys.verify(addr("192.0.2.2:5000"), &cookie));
        assert!(!keys.verify(addr("[2001:db8::1]:5000"), &cookie));
        assert!(!keys.verify(addr("192.0.2.1:5000"), &cookie[..31]));
        assert!(!keys.verify(addr("192.0.2.1:5000"), &[]));
    }

    #[test]
    fn keys_of_two_servers_differ() {
        let now = Instant::now();
        let client = addr("192.0.2.1:5000");
        let cookie = CookieKeys::new(now).unwrap().make(client);
        assert!(!CookieKeys::new(now).unwrap().verify(client, &cookie));
    }

    #[test]
    fn a_cookie_outlives_one_rotation_and_not_two() {
        let start = Instant::now();
        let client = addr("192.0.2.1:5000");
        let mut keys = CookieKeys::new(start).unwrap();
        let cookie = keys.make(client);
        keys.rotate(start + ROTATION / 2);
        assert_eq!(keys.make(client), cookie);
        keys.rotate(start + ROTATION);
        assert_ne!(keys.make(client), cookie);
        assert!(keys.verify(client, &cookie));
        keys.rotate(start + ROTATION * 2);
        assert!(!keys.verify(client, &cookie));
    }

    #[test]
    fn after_a_long_silence_no_old_key_is_left() {
        let start = Instant::now();
        let client = addr("192.0.2.1:5000");
        let mut keys = CookieKeys::new(start).unwrap();
        let cookie = keys.make(client);
        keys.rotate(start + ROTATION * 5);
        assert!(!keys.verify(client, &cookie));
    }
}
