//! Who takes records.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

/// The outcome of a delivery, which is waited for.
pub type Delivery<'a> = Pin<Box<dyn Future<Output = Result<(), Refused>> + Send + 'a>>;

/// Takes records.
pub trait Receiver: fmt::Debug + Send {
    /// Delivers some: lines of JSON without their ends. They count as taken when this succeeds, all of them; they come
    /// again if it fails, and also if the server ends before it has noted that it has not.
    fn deliver<'a>(&'a mut self, lines: &'a [&'a [u8]]) -> Delivery<'a>;

    /// Who it is, for messages: no secret is in it.
    fn name(&self) -> String;
}

/// Why records were not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct Refused {
    /// In words.
    pub why: String,
    /// How long it wants to be left alone, if it says so.
    pub wait: Option<Duration>,
    /// Whether fewer records at a time may do.
    pub too_long: bool,
}

impl Refused {
    /// For this reason, of which the receiver says no more.
    #[must_use]
    pub fn because(why: impl fmt::Display) -> Self {
        Self { why: why.to_string(), wait: None, too_long: false }
    }
}
