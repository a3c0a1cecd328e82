//! Attributes that a message has and this server does not know (RFC 8489 section 6.3).

use std::fmt;

use super::attribute::AttributeType as T;

/// The comprehension-required attributes that are not known, for UNKNOWN-ATTRIBUTES. Holds the
/// first eight: an answer must not grow with a stranger's message.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Unknown {
    types: [u16; 8],
    len: u8,
}

impl Unknown {
    pub(super) fn push(&mut self, kind: T) {
        if self.types().contains(&kind.0) {
            return;
        }
        if let Some(slot) = self.types.get_mut(usize::from(self.len)) {
            *slot = kind.0;
            self.len += 1;
        }
    }

    /// These and one more.
    #[must_use]
    pub fn and(mut self, kind: T) -> Self {
        self.push(kind);
        self
    }

    /// One type alone.
    #[must_use]
    pub fn only(kind: T) -> Self {
        let mut unknown = Self::default();
        unknown.push(kind);
        unknown
    }

    /// Their types, each once, in the order of the message.
    #[must_use]
    pub fn types(&self) -> &[u16] {
        self.types.get(..usize::from(self.len)).unwrap_or_default()
    }

    /// Those that are not among `understood`.
    #[must_use]
    pub fn without(&self, understood: &[T]) -> Self {
        let mut left = Self::default();
        let kinds = self.types().iter().map(|kind| T(*kind));
        kinds.filter(|kind| !understood.contains(kind)).for_each(|kind| left.push(kind));
        left
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl fmt::Debug for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.types().iter().map(|t| format!("{t:#06x}"))).finish()
    }
}
