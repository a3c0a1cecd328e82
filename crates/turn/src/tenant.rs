//! Customers of one server: whose credentials, limits, peers and ports are kept apart.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The name of a tenant. The default tenant has none: its users are those of the server itself.
///
/// It costs no memory to clone one.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TenantName(Option<Arc<str>>);

/// Why a text is no name of a tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a tenant's name has 1 to {} letters, digits, hyphens, underscores and dots (a-z, A-Z, 0-9)",
    TenantName::LONGEST
)]
pub struct TenantNameError;

impl TenantName {
    /// What the default tenant is called where it has to be named.
    pub const DEFAULT: &'static str = "default";

    /// Bytes of the longest name.
    pub const LONGEST: usize = 64;

    /// The name of a tenant; `None` for the default one.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.0.as_deref()
    }

    /// Whether it is the default one.
    #[must_use]
    pub const fn is_default(&self) -> bool {
        self.0.is_none()
    }
}

/// The word for each of them; [`TenantName::DEFAULT`] for the default one.
impl fmt::Display for TenantName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name().unwrap_or(Self::DEFAULT))
    }
}

/// Reads what [`Display`](fmt::Display) writes.
impl FromStr for TenantName {
    type Err = TenantNameError;

    fn from_str(text: &str) -> Result<Self, TenantNameError> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if !(1..=Self::LONGEST).contains(&text.len()) || !text.bytes().all(fits) {
            return Err(TenantNameError);
        }
        Ok(Self((text != Self::DEFAULT).then(|| text.into())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for text in ["acme", "a", "ACME-1_x.y", &"x".repeat(64)] {
            let name: TenantName = text.parse().unwrap();
            assert_eq!((name.name(), name.to_string().as_str()), (Some(text), text));
            assert!(!name.is_default());
        }
        let default: TenantName = "default".parse().unwrap();
        assert_eq!((&default, default.name()), (&TenantName::default(), None));
        assert_eq!(default.to_string(), "default");
    }

    #[test]
    fn what_could_be_mistaken_in_a_line_a_label_or_a_file_is_no_name() {
        for text in ["", "a b", "a\0b", "a/b", "a\"b", "\u{e9}", "a\n", &"x".repeat(65)] {
            assert_eq!(text.parse::<TenantName>(), Err(TenantNameError), "{text:?}");
        }
    }
}
