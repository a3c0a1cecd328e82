//! Names, realms and passwords in the one form that keys are made of: OpaqueString (RFC 8265
//! section 4.2), as RFC 8489 sections 9.2.2, 14.3 and 14.9 have it.

use std::borrow::Cow;

use precis_profiles::OpaqueString;
use precis_profiles::precis_core::profile::Profile as _;

/// Text that OpaqueString refuses: it is empty, or holds a control character, an invisible one or
/// one that Unicode has not assigned. Does not tell which, for the text may be a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is empty or holds a control character, an invisible or an unassigned one")]
pub struct NotOpaque;

/// The prepared form: spaces of other scripts become the plain one, letters with their accents one
/// character (NFC). Text of printable ASCII is its own prepared form, and comes back as it is.
///
/// The configuration is prepared when it is read. What clients send is not: they have prepared it
/// (RFC 8489 section 14.3), and their key is made of the bytes that they send.
///
/// # Errors
/// When the text cannot be prepared.
pub fn prepared(text: &str) -> Result<Cow<'_, str>, NotOpaque> {
    if !text.is_empty() && text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return Ok(Cow::Borrowed(text));
    }
    OpaqueString::new().enforce(text).map_err(|_| NotOpaque)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ascii_is_its_own_form() {
        for text in ["alice", " ", "correct horse battery staple", "\"~!\\'"] {
            assert!(matches!(prepared(text), Ok(Cow::Borrowed(same)) if same == text));
        }
    }

    //= 8489-9.2.2-key
    #[test]
    fn spaces_and_accents_have_one_form() {
        // RFC 8265 section 4.2.2; the examples of section 4.3.
        assert_eq!(prepared("foo\u{1680}bar").as_deref(), Ok("foo bar"));
        assert_eq!(prepared("no\u{a0}break").as_deref(), Ok("no break"));
        assert_eq!(prepared("re\u{301}sume\u{301}").as_deref(), Ok("r\u{e9}sum\u{e9}"));
        for kept in ["マトリックス", "\u{3c0}\u{df}\u{e5}", "Jack of \u{2666}s", "Юля"] {
            assert_eq!(prepared(kept).as_deref(), Ok(kept), "case and compatibility forms stay");
        }
    }

    #[test]
    fn what_no_password_holds_is_refused() {
        // The last two: a soft hyphen, which nobody sees, and a code point without a character.
        for text in ["", "my cat is a \u{9}by", "nul\0", "\u{7f}", "the\u{ad}m", "\u{378}"] {
            assert_eq!(prepared(text), Err(NotOpaque), "{text:?}");
        }
    }
}
