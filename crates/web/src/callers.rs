//! Programs that have credentials made (`POST /ice`): each has a token, and a rate.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConditionallySelectable as _, ConstantTimeEq as _};

/// Requests that are allowed at once: so many seconds' worth.
const BURST: u32 = 3;

/// All programs with a token. Only hashes of the tokens are kept.
#[derive(Debug, Default)]
pub struct Callers(Vec<Caller>);

/// One program.
pub struct Caller {
    hash: [u8; 32],
    issuer: usize,
    rate: Rate,
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Caller(of issuer {})", self.issuer)
    }
}

impl Callers {
    /// Programs with these tokens, each with the number of the issuer of its credentials, and `per_second` requests, 1
    /// or more, for each.
    #[must_use]
    pub fn new<'a>(tokens: impl IntoIterator<Item = (&'a [u8], usize)>, per_second: u32) -> Self {
        let caller = |(token, issuer): (&[u8], usize)| Caller {
            hash: Sha256::digest(token).into(),
            issuer,
            rate: Rate::new(per_second),
        };
        Self(tokens.into_iter().map(caller).collect())
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The program with this token. It takes the same time whichever it is, and for a wrong one.
    #[must_use]
    pub fn find(&self, token: &[u8]) -> Option<&Caller> {
        let wanted: [u8; 32] = Sha256::digest(token).into();
        let (mut found, mut at) = (Choice::from(0), 0_u64);
        for (number, caller) in (0_u64..).zip(&self.0) {
            let is_it = caller.hash.ct_eq(&wanted);
            at.conditional_assign(&number, is_it);
            found |= is_it;
        }
        if !bool::from(found) {
            return None;
        }
        self.0.get(usize::try_from(at).ok()?)
    }
}

impl Caller {
    /// The number of the issuer of its credentials.
    #[must_use]
    pub const fn issuer(&self) -> usize {
        self.issuer
    }

    /// Takes a request.
    ///
    /// # Errors
    /// How long to wait, if there were too many.
    pub fn take(&self, now: Instant) -> Result<(), Duration> {
        self.rate.take(now)
    }
}

/// How many requests are left: what is gathered while none come.
struct Rate {
    every: Duration,
    /// When all of it will be there again.
    whole_at: Mutex<Option<Instant>>,
}

impl Rate {
    fn new(per_second: u32) -> Self {
        let every = Duration::from_secs(1) / per_second.max(1);
        Self { every, whole_at: Mutex::default() }
    }

    fn take(&self, now: Instant) -> Result<(), Duration> {
        let mut whole_at = self.whole_at.lock().unwrap_or_else(PoisonError::into_inner);
        let next = whole_at.unwrap_or(now).max(now) + self.every;
        let over = (next - now).saturating_sub(Duration::from_secs(BURST.into()));
        if over.is_zero() {
            *whole_at = Some(next);
            return Ok(());
        }
        Err(over)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_found_with_its_issuer_and_no_other() {
        let tokens: [(&[u8], usize); 3] = [(b"first token", 0), (b"second token", 7), (b"", 9)];
        let callers = Callers::new(tokens[..2].iter().copied(), 1);
        assert_eq!(callers.find(b"first token").unwrap().issuer(), 0);
        assert_eq!(callers.find(b"second token").unwrap().issuer(), 7);
        for wrong in [&b""[..], b"first toke", b"first token ", b"FIRST TOKEN", b"\xff"] {
            assert!(callers.find(wrong).is_none());
        }
        assert!(Callers::default().find(b"").is_none() && Callers::default().is_empty());
        assert!(!format!("{callers:?}").contains("[1"), "no hash is printed: {callers:?}");
    }

    #[test]
    fn a_token_has_three_seconds_worth_at_once_and_then_its_rate() {
        let callers = Callers::new([(&b"token"[..], 0), (b"other", 0)], 2);
        let (caller, start) = (callers.find(b"token").unwrap(), Instant::now());
        for _ in 0..6 {
            assert_eq!(caller.take(start), Ok(()));
        }
        assert_eq!(caller.take(start), Err(Duration::from_millis(500)));
        assert_eq!(callers.find(b"other").unwrap().take(start), Ok(()), "a rate for each");
        let later = start + Duration::from_millis(500);
        assert_eq!((caller.take(later).is_ok(), caller.take(later).is_ok()), (true, false));
        let much_later = start + Duration::from_secs(3600);
        let taken = (0..100).filter(|_| caller.take(much_later).is_ok()).count();
        assert_eq!(taken, 6, "no more is gathered");
    }
}
