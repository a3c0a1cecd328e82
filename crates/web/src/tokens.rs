//! Tokens that `turnctl page` hands out. Whoever has one may read the page from anywhere, and act on it.

use std::fmt;
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};

/// Tokens that are valid at a time; the oldest makes room.
const MOST: usize = 16;

/// A new token: 128 random bits as 32 hexadecimal digits. The server does not keep it.
pub struct Token(String);

impl Token {
    /// Returns its text.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

/// The tokens that are valid. Only their hashes are kept.
#[derive(Debug, Default)]
pub struct Tokens(Mutex<Vec<(Hash, Instant)>>);

type Hash = [u8; 32];

impl Tokens {
    /// Makes a token out of random bits, which is valid for so long.
    pub fn issue(&self, random: [u8; 16], now: Instant, valid: Duration) -> Token {
        let text = random.iter().fold(String::new(), |mut text, byte| {
            // Writing to a String does not fail.
            let _ = write!(text, "{byte:02x}");
            text
        });
        let mut valid_now = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        valid_now.retain(|(_, end)| *end > now);
        if valid_now.len() >= MOST {
            valid_now.remove(0);
        }
        valid_now.push((hash(&text), now + valid));
        Token(text)
    }

    /// Returns whether a token is valid. The time that this takes tells about its hash, not about the token.
    pub(crate) fn is_valid(&self, token: &str, now: Instant) -> bool {
        let wanted = hash(token);
        let valid_now = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        valid_now.iter().any(|(hash, end)| *hash == wanted && *end > now)
    }
}

fn hash(token: &str) -> Hash {
    Sha256::digest(token.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn a_token_is_valid_for_its_time_and_no_other_text_is() {
        let (tokens, now) = (Tokens::default(), Instant::now());
        let token = tokens.issue([0xab; 16], now, HOUR);
        assert_eq!(token.expose(), "ab".repeat(16));
        assert!(tokens.is_valid(token.expose(), now + HOUR - Duration::from_secs(1)));
        assert!(!tokens.is_valid(token.expose(), now + HOUR));
        for other in ["", "AB", &"AB".repeat(16), &"ab".repeat(15), "../../etc/passwd"] {
            assert!(!tokens.is_valid(other, now), "{other}");
        }
        assert_eq!(format!("{token:?}"), "Token", "no secret in a log");
        assert!(!format!("{tokens:?}").contains("abab"));
    }

    #[test]
    fn the_seventeenth_token_ends_the_first() {
        let (tokens, now) = (Tokens::default(), Instant::now());
        let issued: Vec<_> = (0..17).map(|n| tokens.issue([n; 16], now, HOUR)).collect();
        assert!(!tokens.is_valid(issued[0].expose(), now));
        assert!(issued[1..].iter().all(|token| tokens.is_valid(token.expose(), now)));
    }
}
