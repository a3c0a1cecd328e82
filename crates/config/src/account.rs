//! The account that the server runs as.

use super::key::Kind;
use super::read::Reader;
use super::shown::{Shown, Words};
use super::value::{Value, quoted};

/// The key `process.user`: `USER` or `USER:GROUP`. Whether there is such an account is asked where the
/// server starts: turnctl may run elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account(String);

impl Account {
    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Value for Option<Account> {
    type Bounds = ();

    fn kind((): &()) -> Kind {
        Kind::Text
    }

    fn read(reader: &mut Reader<'_>, key: &'static str, (): &()) -> Option<Self> {
        let item = reader.text(key, "\"taciturn\"")?;
        let text = item.text.trim();
        let plain = |name: &str| {
            let allowed = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
            !name.is_empty() && name.chars().all(allowed)
        };
        if !text.splitn(2, ':').all(plain) {
            let message = format!("\"{text}\" is no account");
            reader.error(&item, message, "write USER or USER:GROUP, or remove the key");
            return None;
        }
        Some(Some(Account(text.to_owned())))
    }

    fn toml(&self) -> String {
        quoted(self.as_ref().map_or("", Account::as_str))
    }
}

impl Shown for Option<Account> {
    fn words(&self) -> Words {
        Words::One(self.as_ref().map(|account| account.0.clone()).unwrap_or_default())
    }
}
