//! Values as they were written, before they are checked.

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use super::error::Origin;

/// A value as it was written, and where.
#[derive(Clone)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) origin: Origin,
}

#[derive(Clone)]
pub(super) enum Value {
    Text(Zeroizing<String>),
    Integer(i64),
    Boolean(bool),
    List(Vec<Node>),
    /// Each key with its own place and its value.
    Table(BTreeMap<String, (Origin, Node)>),
    /// Something no key takes; holds the name of its type.
    Other(&'static str),
}

impl Value {
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self::Text(Zeroizing::new(text.into()))
    }

    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Self::Text(_) => "a string",
            Self::Integer(_) => "an integer",
            Self::Boolean(_) => "true or false",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
            Self::Other(name) => name,
        }
    }
}

/// Values by the path of their key; a later layer replaces a value as a whole.
pub(super) type Settings = BTreeMap<&'static str, Node>;
