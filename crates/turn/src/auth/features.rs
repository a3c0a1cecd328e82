//! What of RFC 8489 a client is offered, and how an offer taken away on the way is noticed
//! (section 9.2.1): password algorithms other than MD5, and hashed usernames.

use taciturn_stun::PasswordAlgorithm;

/// What a nonce begins with that tells security features (RFC 8489 section 9.2).
const COOKIE: &[u8; 9] = b"obMatJos2";

/// The value of PASSWORD-ALGORITHMS in every offer: SHA-256 first, as it is preferred.
//= 8489-18.5.1.1-md5
pub const PASSWORD_ALGORITHMS: [u8; 8] = {
    let [a, b, c, d] = PasswordAlgorithm::Sha256.value();
    let [e, f, g, h] = PasswordAlgorithm::Md5.value();
    [a, b, c, d, e, f, g, h]
};

/// STUN Security Features (RFC 8489 section 18.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SecurityFeatures {
    /// Bit 0: PASSWORD-ALGORITHMS goes with the nonce.
    pub password_algorithms: bool,
    /// Bit 1: USERHASH may, and must, stand for USERNAME.
    pub username_anonymity: bool,
}

impl SecurityFeatures {
    /// Nothing that RFC 5389 did not have.
    pub const NONE: Self = Self { password_algorithms: false, username_anonymity: false };

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        !self.password_algorithms && !self.username_anonymity
    }

    /// The nonce cookie: what a nonce begins with. Bit 0 is the most significant of 24, so both
    /// features are in the first of four base64 characters.
    //= 8489-9.2-nonce-cookie, 8489-9.2-all-zero-features
    pub(super) const fn cookie(self) -> [u8; 13] {
        let first = match (self.password_algorithms, self.username_anonymity) {
            (false, false) => b'A',
            (false, true) => b'Q',
            (true, false) => b'g',
            (true, true) => b'w',
        };
        let [a, b, c, d, e, f, g, h, i] = *COOKIE;
        [a, b, c, d, e, f, g, h, i, first, b'A', b'A', b'A']
    }

    /// The features that a nonce tells, whoever made it, and what follows its cookie.
    pub(super) fn read(nonce: &[u8]) -> (Self, &[u8]) {
        let all = [(false, false), (false, true), (true, false), (true, true)];
        all.into_iter()
            .map(|(password_algorithms, username_anonymity)| Self {
                password_algorithms,
                username_anonymity,
            })
            .find_map(|features| Some((features, nonce.strip_prefix(&features.cookie())?)))
            .unwrap_or((Self::NONE, nonce))
    }

    /// A number of its own for each set.
    pub(super) const fn number(self) -> u8 {
        self.password_algorithms as u8 | (self.username_anonymity as u8) << 1
    }
}

/// The request does not repeat the offer that came with its nonce (RFC 8489 section 9.2.4: 400).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the password algorithms are not those that were offered")]
pub struct NotOffered;

/// The algorithm that a request has chosen from the offer; `None` where it has not, and MD5 it is.
///
/// `nonce`, `list` and `choice` are the values of NONCE, PASSWORD-ALGORITHMS and PASSWORD-ALGORITHM.
/// `settled` is the algorithm that an earlier request of the same client was judged by.
///
/// RFC 8489 section 9.2.4 wants the list repeated, so that the server sees what the client was
/// shown. Section 9.2.3.2 leaves the list out of subsequent requests. So a choice alone is good
/// where it gives nothing away: the strongest, or the one that is settled.
///
/// # Errors
/// When they do not fit each other or the offer.
//= 8489-9.2.4-algorithms-match
pub fn negotiate(
    nonce: &[u8],
    list: Option<&[u8]>,
    choice: Option<&[u8]>,
    settled: Option<PasswordAlgorithm>,
) -> Result<Option<PasswordAlgorithm>, NotOffered> {
    let (features, _) = SecurityFeatures::read(nonce);
    if !features.password_algorithms {
        // Section 6.3: what is known and not expected is passed over.
        return Ok(None);
    }
    let chosen = match (list, choice) {
        (None, None) => return Ok(None),
        (Some(list), Some(choice)) if *list == PASSWORD_ALGORITHMS => {
            PasswordAlgorithm::from_value(choice)
        }
        (None, Some(choice)) => PasswordAlgorithm::from_value(choice)
            .filter(|chosen| *chosen == PasswordAlgorithm::Sha256 || Some(*chosen) == settled),
        _ => None,
    };
    chosen.map(Some).ok_or(NotOffered)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: SecurityFeatures =
        SecurityFeatures { password_algorithms: true, username_anonymity: true };

    //= 8489-9.2-nonce-cookie, 8489-9.2-all-zero-features
    #[test]
    fn bits_are_counted_from_the_most_significant() {
        // RFC 8489 sections 9.2 and 18.1: base64 of C0 00 00.
        assert_eq!(&BOTH.cookie(), b"obMatJos2wAAA");
        assert_eq!(SecurityFeatures::read(b"obMatJos2wAAArest"), (BOTH, &b"rest"[..]));
        let algorithms = SecurityFeatures { username_anonymity: false, ..BOTH };
        assert_eq!(SecurityFeatures::read(b"obMatJos2gAAA"), (algorithms, &b""[..]));
        for other in [&b"obMatJos2AAACf"[..], b"obMatJos2", b"obMatJos3wAAA", b""] {
            assert_eq!(SecurityFeatures::read(other), (SecurityFeatures::NONE, other));
        }
    }

    //= 8489-9.2.4-algorithms-match
    #[test]
    fn the_offer_is_repeated_with_one_of_its_algorithms_or_not_at_all() {
        // RFC 8489 section 9.2.4.
        let with = |list, choice| negotiate(b"obMatJos2gAAAx", list, choice, None);
        let (md5, sha256) = ([0, 1, 0, 0], [0, 2, 0, 0]);
        let whole = Some(&PASSWORD_ALGORITHMS[..]);
        assert_eq!(with(None, None), Ok(None));
        assert_eq!(with(whole, Some(&sha256)), Ok(Some(PasswordAlgorithm::Sha256)));
        assert_eq!(with(whole, Some(&md5)), Ok(Some(PasswordAlgorithm::Md5)));
        for (list, choice) in [
            (whole, None),
            (whole, Some(&[0, 3, 0, 0][..])),
            (whole, Some(&[0, 2, 0, 4, 0, 0, 0, 0])),
            (Some(&md5[..]), Some(&md5)), // somebody took SHA-256 out of the list
            (Some(&sha256[..]), Some(&sha256)),
            (Some(&[0, 1, 0, 0, 0, 2, 0, 0][..]), Some(&md5)),
            (None, Some(&md5)),
            (Some(&[]), Some(&[])),
        ] {
            assert_eq!(with(list, choice), Err(NotOffered), "{list:?} {choice:?}");
        }
    }

    #[test]
    fn a_later_request_need_not_repeat_the_list() {
        // RFC 8489 section 9.2.3.2.
        let alone =
            |choice: &[u8], settled| negotiate(b"obMatJos2wAAAx", None, Some(choice), settled);
        let (md5, sha256) = (PasswordAlgorithm::Md5, PasswordAlgorithm::Sha256);
        assert_eq!(alone(&sha256.value(), None), Ok(Some(sha256)));
        assert_eq!(alone(&md5.value(), Some(md5)), Ok(Some(md5)));
        assert_eq!(alone(&md5.value(), Some(sha256)), Err(NotOffered));
    }

    #[test]
    fn without_an_offer_in_the_nonce_it_is_md5() {
        for nonce in [&b"obMatJos2QAAAx"[..], b"AAAAAAAAAAAAAAAA", b""] {
            let chosen = negotiate(nonce, None, Some(&[0, 2, 0, 0]), None);
            assert_eq!(chosen, Ok(None));
        }
    }
}
