//! Rows of a database, judged as what stands in the configuration: names, keys and passwords by the same rules.
//!
//! No reason repeats what is in a row.

use zeroize::Zeroizing;

use taciturn_turn::auth::{SharedSecret, StaticKey, StaticUser, bare, prepared};

use super::credentials::{LONGEST_NAME, md5_key, weak_key, weak_password, weak_secret};
use super::placeholder::placeholder;

/// Bytes of the longest secret and password of a row.
const LONGEST: usize = 512;

/// The name of a user, as clients send it.
///
/// # Errors
/// Why it is none.
pub fn user_name(name: &str) -> Result<String, &'static str> {
    match name {
        "" => Err("the name is empty"),
        _ if name.len() > LONGEST_NAME => Err("the name is longer than 508 bytes"),
        _ if name.chars().any(char::is_control) => Err("a control character is in the name"),
        _ if bare(name) != name => Err("the name is in quotes"),
        _ if placeholder(name).is_some() => Err("the name is a placeholder"),
        _ => match prepared(name) {
            Ok(name) => Ok(name.into_owned()),
            Err(_) => Err("an invisible or unassigned character is in the name"),
        },
    }
}

/// A user with a key: 32 hex digits, with or without `0x` before and blanks behind.
///
/// # Errors
/// Why it is none.
pub fn keyed_user(
    name: &str,
    key: &str,
    realm: &str,
    allow_weak: bool,
) -> Result<StaticUser, &'static str> {
    let name = user_name(name)?;
    let hex = key.trim();
    let key =
        md5_key(hex.strip_prefix("0x").unwrap_or(hex)).ok_or("the key is not 32 hex digits")?;
    if weak_key(&name, realm, &key).is_some() && !allow_weak {
        return Err("the key is of an example password, of the name itself or of no password");
    }
    Ok(StaticUser { name, key: StaticKey::Md5(key.into()) })
}

/// A user with a password.
///
/// # Errors
/// Why it is none.
pub fn user_with_password(
    name: &str,
    password: &str,
    allow_weak: bool,
) -> Result<StaticUser, &'static str> {
    let name = user_name(name)?;
    if password.is_empty() {
        return Err("the password is empty");
    }
    if password.len() > LONGEST {
        return Err("the password is longer than 512 bytes");
    }
    let Ok(text) = prepared(password) else {
        return Err("a control character, an invisible or an unassigned one is in the password");
    };
    if let Some(weakness) = weak_password(&name, &text).filter(|_| !allow_weak) {
        return Err(weakness);
    }
    Ok(StaticUser { name, key: StaticKey::Password(Zeroizing::new(text.into_owned())) })
}

/// A shared secret.
///
/// # Errors
/// Why it is none.
pub fn shared_secret(value: &str, allow_weak: bool) -> Result<SharedSecret, &'static str> {
    if value.is_empty() {
        return Err("the secret is empty");
    }
    if value.len() > LONGEST {
        return Err("the secret is longer than 512 bytes");
    }
    if value.chars().any(char::is_control) {
        return Err("a control character is in the secret");
    }
    if weak_secret(value).is_some() && !allow_weak {
        return Err(
            "the secret is shorter than 16 characters, or one of those that everybody tries first",
        );
    }
    Ok(SharedSecret::new(value.as_bytes()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const KEY: &str = "0fb8f3958acf2cb0b8128026c1f18d3b";

    #[test]
    fn keys_are_taken_as_coturn_writes_them() {
        for written in [KEY, "0FB8F3958ACF2CB0B8128026C1F18D3B", &format!("0x{KEY}")] {
            assert!(keyed_user("alice", written, "r", false).is_ok(), "{written}");
        }
        // In a column of type char.
        assert!(keyed_user("alice", &format!("{KEY}{}", " ".repeat(96)), "r", false).is_ok());
        for bad in ["", "0x", "abc", &KEY[1..], "zz"] {
            assert!(keyed_user("alice", bad, "r", false).is_err(), "{bad}");
        }
    }

    #[test]
    fn names_are_judged_as_configured_ones() {
        let long = "n".repeat(509);
        for bad in ["", "a\nb", "\u{1b}[2J", "\"alice\"", &long, "${USER}", "a\u{0}"] {
            assert!(keyed_user(bad, KEY, "r", true).is_err(), "{bad:?}");
        }
        let hostile = "x'; DROP TABLE turnusers_lt; --";
        assert_eq!(keyed_user(hostile, KEY, "r", false).unwrap().name, hostile);
    }

    #[test]
    fn what_everybody_can_guess_is_left_out_unless_it_is_allowed() {
        let weak = "0fb8f3958acf2cb0b8128026c1f18d3a"; // test:turn.domain.org:test
        assert!(keyed_user("test", weak, "turn.domain.org", false).is_err());
        assert!(keyed_user("test", weak, "turn.domain.org", true).is_ok());
        assert!(user_with_password("bob", "changeme", false).is_err());
        assert!(user_with_password("bob", "changeme", true).is_ok());
        assert!(user_with_password("bob", "", true).is_err());
        assert!(shared_secret("north", false).is_err() && shared_secret("north", true).is_ok());
        assert!(shared_secret("", true).is_err() && shared_secret("a\nb", true).is_err());
        assert!(shared_secret("sixteen--letters", false).is_ok());
    }
}
