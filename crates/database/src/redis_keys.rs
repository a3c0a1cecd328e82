//! coturn's keys in a Redis, and what they hold. All of them are of a realm.
//!
//! `turn/realm/REALM/user/NAME/key` is a string, MD5(NAME:REALM:PASSWORD) in hex; `turn/realm/REALM/secret` is a set of
//! secrets. Names and realms may have slashes in them.

/// What all of them match.
pub(super) const PATTERN: &str = "turn/realm/*";

const REALM: &[u8] = b"turn/realm/";
const USER: &[u8] = b"user/";
const KEY: &[u8] = b"/key";
const SECRET: &[u8] = b"secret";

/// What a key is of, within one realm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning<'a> {
    /// The user of this name, which may be no text.
    User(&'a [u8]),
    /// Secrets.
    Secrets,
}

impl<'a> Meaning<'a> {
    /// What a key is of in this realm; `None` if it is of another one, or something else.
    pub(super) fn of(key: &'a [u8], realm: &str) -> Option<Self> {
        let rest = key.strip_prefix(REALM)?.strip_prefix(realm.as_bytes())?.strip_prefix(b"/")?;
        match rest {
            SECRET => Some(Self::Secrets),
            _ => Some(Self::User(rest.strip_prefix(USER)?.strip_suffix(KEY)?)),
        }
    }
}

/// The realm of a user or of secrets, as far as it can be told, to say whose keys there are.
pub(super) fn realm_of(key: &[u8]) -> Option<&str> {
    let rest = std::str::from_utf8(key.strip_prefix(REALM)?).ok()?;
    let realm = match rest.strip_suffix("/secret") {
        Some(realm) => realm,
        None => rest.strip_suffix("/key")?.split_once("/user/")?.0,
    };
    (1..=127).contains(&realm.len()).then_some(realm)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_of_a_realm_and_of_a_user_or_of_secrets() {
        let of = |key: &'static str| Meaning::of(key.as_bytes(), "example.org");
        assert_eq!(of("turn/realm/example.org/user/alice/key"), Some(Meaning::User(b"alice")));
        assert_eq!(
            of("turn/realm/example.org/user/a/user/b/key"),
            Some(Meaning::User(b"a/user/b"))
        );
        assert_eq!(of("turn/realm/example.org/user//key"), Some(Meaning::User(b"")));
        assert_eq!(of("turn/realm/example.org/secret"), Some(Meaning::Secrets));
        for other in [
            "turn/realm/example.org/user/key",
            "turn/realm/example.org/user/alice/password",
            "turn/realm/example.org/user/alice/allocation/000/status",
            "turn/realm/example.org/secret/1",
            "turn/realm/example.org/denied-peer-ip",
            "turn/realm/example.org/max-bps",
            "turn/realm/example.organisation/secret",
            "turn/realm/example.org",
            "turn/realm//secret",
            "turn/origin/example.org",
            "",
        ] {
            assert_eq!(of(other), None, "{other}");
        }
    }

    #[test]
    fn the_realm_of_a_key_is_told_if_it_has_one() {
        for (key, realm) in [
            (&b"turn/realm/north.gov/user/gorst/key"[..], Some("north.gov")),
            (b"turn/realm/a/b/secret", Some("a/b")),
            (b"turn/realm/north.gov/total-quota", None),
            (b"turn/realm//secret", None),
            (b"turn/realm/\xff/secret", None),
            (b"turn/admin_user/x", None),
        ] {
            assert_eq!(realm_of(key), realm, "{}", key.escape_ascii());
        }
    }
}
