//! Nonces that other servers of a fleet take: for clients that are sent to them.

use std::net::IpAddr;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::hmac;
use subtle::ConstantTimeEq as _;

/// For how many seconds such a nonce is good. A client that is sent elsewhere goes there at once.
const LIFETIME: u64 = 60;

/// Bytes of the time, and of the proof.
const TIME: usize = 4;
const PROOF: usize = 14;

/// A nonce as text: another length than those of one server have.
pub(crate) type SharedNonce = [u8; 24];

/// The key that all servers of a fleet have.
///
/// A nonce is base64url of 4 bytes of time, in seconds since 1970, and 14 bytes of HMAC-SHA256 over that time and the
/// client's IP address. The port is not in it: behind a NAT, and over TCP, another server sees another one.
#[derive(Debug)]
pub(crate) struct SharedNonceKey(hmac::Key);

impl SharedNonceKey {
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    /// A nonce for a client at this address.
    pub(crate) fn issue(&self, unix: u64, client: IpAddr) -> SharedNonce {
        let time = u32::try_from(unix).unwrap_or(u32::MAX);
        let mut raw = [0; TIME + PROOF];
        let (head, proof) = raw.split_at_mut(TIME);
        head.copy_from_slice(&time.to_be_bytes());
        proof.copy_from_slice(&self.proof(time, client));
        let mut text = [0; 24];
        // SAFE: 18 bytes are 24 characters exactly.
        #[allow(clippy::expect_used)]
        URL_SAFE_NO_PAD.encode_slice(raw, &mut text).expect("18 bytes make 24 characters");
        text
    }

    /// Whether a server with this key has made it for a client at this address a moment ago.
    pub(crate) fn verify(&self, unix: u64, client: IpAddr, nonce: &[u8]) -> bool {
        let mut raw = [0; TIME + PROOF];
        let is_one = nonce.len() == SharedNonce::default().len()
            && URL_SAFE_NO_PAD.decode_slice(nonce, &mut raw) == Ok(TIME + PROOF);
        let Some((time, proof)) = raw.split_first_chunk::<TIME>().filter(|_| is_one) else {
            return false;
        };
        let made = u32::from_be_bytes(*time);
        let genuine = bool::from(self.proof(made, client).ct_eq(proof));
        genuine && unix.abs_diff(u64::from(made)) <= LIFETIME
    }

    fn proof(&self, time: u32, client: IpAddr) -> [u8; PROOF] {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(&time.to_be_bytes());
        match client {
            IpAddr::V4(v4) => context.update(&v4.to_ipv6_mapped().octets()),
            IpAddr::V6(v6) => context.update(&v6.octets()),
        }
        let mut proof = [0; PROOF];
        proof.iter_mut().zip(context.sign().as_ref()).for_each(|(to, from)| *to = *from);
        proof
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_700_000_000;

    #[test]
    fn it_is_good_for_its_address_and_its_minute_alone() {
        let key = SharedNonceKey::new(&[7; 32]);
        let client: IpAddr = "192.0.2.1".parse().unwrap();
        let nonce = key.issue(NOW, client);
        for (unix, good) in
            [(NOW, true), (NOW + 60, true), (NOW - 60, true), (NOW + 61, false), (NOW - 61, false)]
        {
            assert_eq!(key.verify(unix, client, &nonce), good, "{unix}");
        }
        assert!(key.verify(NOW, "::ffff:192.0.2.1".parse().unwrap(), &nonce));
        assert!(!key.verify(NOW, "192.0.2.2".parse().unwrap(), &nonce));
        assert!(!SharedNonceKey::new(&[8; 32]).verify(NOW, client, &nonce));
        for at in 0..nonce.len() {
            let mut other = nonce;
            other[at] ^= 1;
            assert!(!key.verify(NOW, client, &other), "{at}");
            assert!(!key.verify(NOW, client, &nonce[..at]), "{at}");
        }
    }
}
