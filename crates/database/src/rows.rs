//! What was read, and whether it is what was read before.

use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

/// How many rows a table may have.
pub(super) const MOST_ROWS: usize = 100_000;

/// How many characters of a name, a key or a secret are read: more than the longest that can be good.
pub(super) const LONGEST: usize = 600;

/// What a user of a row proves itself with.
#[derive(Clone, PartialEq, Eq)]
pub enum RowKey {
    /// The hex digits of MD5(NAME:REALM:PASSWORD), as they were written.
    Key(Zeroizing<String>),
    /// A password.
    Password(Zeroizing<String>),
}

impl RowKey {
    /// A letter for its kind, and its text.
    fn parts(&self) -> (&'static str, &str) {
        match self {
            Self::Key(text) => ("k", text),
            Self::Password(text) => ("p", text),
        }
    }
}

/// A row with a user. What is in it was not judged.
#[derive(Clone, PartialEq, Eq)]
pub struct UserRow {
    /// The number of its realm: 0 is the server's own, 1 the first of the other ones that are read.
    pub realm: usize,
    /// Its name.
    pub name: String,
    /// Its key or password.
    pub key: RowKey,
}

/// A row with a shared secret. What is in it was not judged.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretRow {
    /// The number of its realm, as of a user.
    pub realm: usize,
    /// The secret.
    pub value: Zeroizing<String>,
}

/// What the tables hold, in the order of the names.
#[derive(Clone, Default)]
pub struct Rows {
    /// Users.
    pub users: Vec<UserRow>,
    /// Shared secrets.
    pub secrets: Vec<SecretRow>,
    /// Rows with nothing in a column, or with what is no text.
    pub unreadable: usize,
    /// A realm that rows were found of while there was none of those that are read, if so.
    pub other_realm: Option<String>,
}

impl std::fmt::Debug for Rows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Rows({} users, {} secrets)", self.users.len(), self.secrets.len())
    }
}

/// Tells one content from another.
pub(super) type Digest = [u8; 32];

impl Rows {
    /// Puts them into an order of their own: a database gives them in any. Returns what tells them from others.
    pub(super) fn arrange(&mut self) -> Digest {
        let order = |row: &UserRow, other: &UserRow| {
            (row.realm, &row.name, row.key.parts()).cmp(&(
                other.realm,
                &other.name,
                other.key.parts(),
            ))
        };
        self.users.sort_unstable_by(order);
        let by_text = |row: &SecretRow, other: &SecretRow| {
            (row.realm, row.value.as_str()).cmp(&(other.realm, other.value.as_str()))
        };
        self.secrets.sort_unstable_by(by_text);
        let mut hash = Sha256::new();
        let mut add = |part: &[u8]| {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        };
        for UserRow { realm, name, key } in &self.users {
            let (kind, text) = key.parts();
            add(&realm.to_be_bytes());
            [name.as_str(), kind, text].into_iter().for_each(|part| add(part.as_bytes()));
        }
        add(b"secrets");
        for SecretRow { realm, value } in &self.secrets {
            add(&realm.to_be_bytes());
            add(value.as_bytes());
        }
        add(&self.unreadable.to_be_bytes());
        add(self.other_realm.as_deref().unwrap_or_default().as_bytes());
        hash.finalize().into()
    }
}

/// The text of one column of one row; `None` if there is none, or it is no text.
pub(super) type Cell = Option<Zeroizing<String>>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_rows_is_nothing_and_everything_else_is_something() {
        let user = |name: &str, key: &str| UserRow {
            realm: 0,
            name: name.into(),
            key: RowKey::Key(Zeroizing::new(key.into())),
        };
        let rows = |users: &[UserRow], secrets: &[&str], unreadable| {
            let secret =
                |text: &&str| SecretRow { realm: 0, value: Zeroizing::new((*text).into()) };
            let secrets = secrets.iter().map(secret).collect();
            Rows { users: users.to_vec(), secrets, unreadable, other_realm: None }.arrange()
        };
        let (a, b) = (user("a", "1"), user("b", "2"));
        let one = rows(&[a.clone(), b.clone()], &["x", "y"], 0);
        assert_eq!(one, rows(&[b.clone(), a.clone()], &["y", "x"], 0));
        let password = RowKey::Password(Zeroizing::new("1".into()));
        for other in [
            rows(std::slice::from_ref(&a), &["x", "y"], 0),
            rows(&[user("a", "2"), b.clone()], &["x", "y"], 0),
            rows(&[UserRow { key: password, ..a.clone() }, b.clone()], &["x", "y"], 0),
            rows(&[UserRow { realm: 1, ..a.clone() }, b.clone()], &["x", "y"], 0),
            rows(&[a.clone(), b.clone()], &["xy"], 0),
            rows(&[a, b], &["x", "y"], 1),
        ] {
            assert_ne!(one, other);
        }
    }
}
