//! Static users and shared secrets: their form, and whether the whole Internet can guess them.

use std::collections::HashSet;

use zeroize::Zeroizing;

use taciturn_turn::auth::{
    NotOpaque, SharedSecret, StaticKey, StaticUser, bare, long_term_key, prepared,
};

use super::error::Note;
use super::placeholder::placeholder;
use super::read::{Item, Reader};
use super::secret::Secret;

//= 8489-14.3-username-configured
/// RFC 8489 section 14.3: a USERNAME is shorter than 509 bytes.
pub(super) const LONGEST_NAME: usize = 508;
const SHORTEST_PASSWORD: usize = 8;
/// REST secrets can be attacked offline by anyone who has one credential: 16 characters is little.
const SHORTEST_SECRET: usize = 16;

/// Passwords and secrets of guides and of everyone's first try, in lower case.
const KNOWN: &[&str] = &[
    "your_secret_here",
    "change_me",
    "changeme",
    "change-me",
    "secret",
    "password",
    "test",
    "turn",
    "coturn",
    "north",
    "logen",
    "12345678",
    "password1",
    "static-auth-secret",
    "very_secret_here",
];

fn is_known(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    KNOWN.contains(&lower.as_str())
        || (lower.starts_with('<') && lower.ends_with('>'))
        || (lower.starts_with('[') && lower.ends_with(']'))
}

/// What makes a password easy to guess; `None` when nothing does.
pub(super) fn weak_password(name: &str, password: &str) -> Option<&'static str> {
    if password == name {
        Some("the password equals the name")
    } else if is_known(password) {
        Some("the password is one of the example passwords that everybody tries first")
    } else if placeholder(password).is_some() {
        Some("the password is a placeholder of a template or a guide: everybody knows it")
    } else if password.chars().count() < SHORTEST_PASSWORD {
        Some("the password is shorter than 8 characters")
    } else {
        None
    }
}

/// What makes a secret easy to guess; `None` when nothing does.
pub(super) fn weak_secret(secret: &str) -> Option<&'static str> {
    if is_known(secret) {
        Some("is one of the example secrets that everybody tries first")
    } else if placeholder(secret).is_some() {
        Some("is a placeholder of a template or a guide: everybody knows it")
    } else if secret.chars().count() < SHORTEST_SECRET {
        Some("is shorter than 16 characters")
    } else {
        None
    }
}

/// What makes a precomputed key easy to guess.
pub(super) fn weak_key(name: &str, realm: &str, key: &[u8; 16]) -> Option<&'static str> {
    KNOWN
        .iter()
        .copied()
        .chain([name, ""])
        .any(|password| long_term_key(name, realm, password).bytes() == &key[..])
        .then_some("the key belongs to an example password, the name itself or an empty password")
}

/// Reports a weakness: an error, or a warning where the operator allowed it.
pub(super) fn report_weak(
    reader: &mut Reader<'_>,
    item: &Item,
    allowed: bool,
    what: &str,
    weakness: &str,
) {
    if allowed {
        let text =
            format!("{what}: {weakness}; anyone may use this relay (allow_weak_credentials)");
        reader.findings.notes.push(Note::weak_credential(text));
    } else {
        let help = "make a new one, for example with: openssl rand -hex 24\n\
                    (for tests only: allow_weak_credentials = true in [auth])";
        reader.error(item, weakness, help);
    }
}

const USER_HELP: &str = "write \"NAME:PASSWORD\", or \"NAME:0xKEY\" where KEY is the 32 hex digits of\n\
     MD5(NAME:REALM:PASSWORD)";

pub(super) fn users(reader: &mut Reader<'_>, realm: &str, allow_weak: bool) -> Vec<StaticUser> {
    let items = reader.list("auth.users", "a list: [\"NAME:PASSWORD\"]");
    let mut users: Vec<StaticUser> = Vec::with_capacity(items.len());
    let mut names = HashSet::with_capacity(items.len());
    for mut item in items {
        let text = item.text.clone();
        let Some((name, password)) = text.split_once(':') else {
            reader.error(&item, "has no colon between name and password", USER_HELP);
            continue;
        };
        let fault = match name {
            "" => Some("has no name before the colon"),
            _ if name.len() > LONGEST_NAME => Some("has a name longer than 508 bytes"),
            _ if name.chars().any(char::is_control) => Some("has a control character in its name"),
            // RFC 8489 section 9.2.2 takes them off what a client sends.
            _ if bare(name) != name => Some("has quotes around its name"),
            _ if placeholder(name).is_some() => Some("has a placeholder as its name"),
            _ => None,
        };
        if let Some(fault) = fault {
            reader.error(&item, fault, USER_HELP);
            continue;
        }
        let Ok(name) = prepared(name) else {
            let message = "has an invisible or unassigned character in its name";
            reader.error(&item, message, USER_HELP);
            continue;
        };
        let name = name.as_ref();
        item.key = format!("{} (user {name})", item.key);
        if password.is_empty() {
            reader.error(&item, "has no password after the colon", USER_HELP);
            continue;
        }
        if !names.insert(name.to_owned()) {
            reader.error(&item, "a user of this name stands in the list already", "remove one");
            continue;
        }
        let (key, weakness) = match password.strip_prefix("0x") {
            None => match prepared(password) {
                Ok(text) => {
                    let weakness = weak_password(name, &text);
                    (StaticKey::Password(Zeroizing::new(text.into_owned())), weakness)
                }
                Err(NotOpaque) => {
                    let message = "has a control character, an invisible or an unassigned one in its password";
                    reader.error(&item, message, "clients cannot send it; write another password");
                    continue;
                }
            },
            Some(hex) => {
                let Some(bytes) = md5_key(hex) else {
                    let message = "what begins with 0x is a key, and must be 32 hex digits";
                    reader.error(&item, message, USER_HELP);
                    continue;
                };
                (StaticKey::Md5(bytes.into()), weak_key(name, realm, &bytes))
            }
        };
        if let Some(weakness) = weakness {
            let what = item.key.clone();
            report_weak(reader, &item, allow_weak, &what, weakness);
        }
        if holds_a_further_user(password) {
            reader.findings.notes.push(Note::warning(format!(
                "{}: the password seems to hold a further NAME:PASSWORD. Neither a comma nor a blank separates \
                 users: write one a line, or a list: [\"NAME:PASSWORD\", \"NAME:PASSWORD\"]",
                item.key
            )));
        }
        users.push(StaticUser { name: name.to_owned(), key });
    }
    if let Some(user) = users.iter().find(|user| matches!(user.key, StaticKey::Md5(_))) {
        reader.findings.notes.push(Note::info(format!(
            "SHA-256 (RFC 8489) is not offered to clients: user {} is given by an MD5 key (0x...), \
             which works with MD5 alone",
            user.name
        )));
    }
    users
}

/// Whether a separator and another `NAME:PASSWORD` stand in `password`: `PW1,bob:PW2`.
fn holds_a_further_user(password: &str) -> bool {
    password.split([',', ';', ' ']).skip(1).any(|part| {
        let is_name = |name: &str| {
            name.chars().all(|c| c.is_alphanumeric() || "._-@".contains(c))
                && name.chars().any(char::is_alphabetic)
        };
        part.split_once(':').is_some_and(|(name, rest)| is_name(name) && rest.len() >= 3)
    })
}

/// Whether `secret` looks like two or more that a comma or a semicolon separates.
fn holds_several(secret: &str) -> bool {
    let parts: Vec<_> = secret.split([',', ';']).map(str::trim).collect();
    let of_generators = |c: char| c.is_ascii_alphanumeric() || "+/=_-".contains(c);
    parts.len() > 1
        && parts.iter().all(|p| p.len() >= SHORTEST_SECRET && p.chars().all(of_generators))
}

pub(super) fn md5_key(hex: &str) -> Option<[u8; 16]> {
    let mut bytes = [0; 16];
    if hex.len() != 32 || !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    for (n, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(hex.get(2 * n..2 * n + 2)?, 16).ok()?;
    }
    Some(bytes)
}

/// The secrets given by value.
pub(super) fn secrets(reader: &mut Reader<'_>, allow_weak: bool) -> Vec<Secret> {
    let items = reader.list("auth.secrets", "a list: [\"SECRET\"]");
    let mut secrets = Vec::with_capacity(items.len());
    for item in items {
        if item.text.is_empty() {
            reader.error(&item, "is empty", "make one with: openssl rand -hex 24");
            continue;
        }
        if let Some(weakness) = weak_secret(&item.text) {
            let what = item.key.clone();
            report_weak(reader, &item, allow_weak, &what, weakness);
        }
        if holds_several(&item.text) {
            reader.findings.notes.push(Note::warning(format!(
                "{}: this looks like several secrets, and is taken as one. Neither a comma nor a semicolon \
                 separates secrets: write one a line, or a list: [\"SECRET\", \"SECRET\"]",
                item.key
            )));
        }
        let secret = SharedSecret::new(item.text.as_bytes());
        secrets.push(Secret { secret, path: None, generated: false });
    }
    secrets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn example_credentials_are_weak() {
        assert!(weak_password("test", "test").is_some());
        assert!(weak_password("alice", "alice").is_some());
        assert!(weak_password("bob", "logen").is_some());
        assert!(weak_password("bob", "CHANGE_ME").is_some());
        assert!(weak_password("bob", "<put a password>").is_some());
        assert!(weak_password("bob", "1234567").is_some());
        assert!(weak_password("bob", "correct horse").is_none());
        assert!(weak_secret("your_secret_here").is_some());
        assert!(weak_secret("[your secret key here]").is_some());
        assert!(weak_secret("fifteen-letters").is_some());
        assert!(weak_secret("sixteen--letters").is_none());
    }

    #[test]
    fn placeholders_are_weak_wherever_a_credential_stands() {
        for text in [
            "${TURN_SHARED_SECRET}",
            "{{ coturn_static_auth_secret }}",
            "__TURNSERVER_PWD__",
            "$turn_secret",
        ] {
            assert!(weak_secret(text).unwrap().contains("placeholder"), "{text}");
            assert!(weak_password("bob", text).unwrap().contains("placeholder"), "{text}");
        }
    }

    #[test]
    fn several_users_and_secrets_in_one_value_are_noticed() {
        for password in
            ["correct-horse,bob:battery", "PW1 bob:PW2", "PW1; bob:PW2", "PW1,@bob.x:PW2"]
        {
            assert!(holds_a_further_user(password), "{password}");
        }
        for password in ["correct,horse", "a:b:c", "8,1:22222", "correct horse: battery", "x,y:"] {
            assert!(!holds_a_further_user(password), "{password}");
        }
        assert!(holds_several("0123456789abcdef0123,fedcba98765432100123"));
        assert!(
            !holds_several("0123456789abcdef0123,short") && !holds_several("0123456789abcdef0123")
        );
        assert!(!holds_several("correct horse battery, staple them all together"));
    }

    #[test]
    fn key_of_an_example_password_is_weak_only_for_its_own_name_and_realm() {
        let key = md5_key("0fb8f3958acf2cb0b8128026c1f18d3a").unwrap();
        assert!(weak_key("test", "turn.domain.org", &key).is_some());
        assert!(weak_key("test", "other.domain.org", &key).is_none());
        assert!(weak_key("bob", "turn.domain.org", &key).is_none());
    }

    #[test]
    fn md5_keys_are_exactly_32_hex_digits() {
        assert!(md5_key("0FB8f3958acf2cb0b8128026c1f18d3a").is_some());
        for bad in
            ["", "0fb8", "0fb8f3958acf2cb0b8128026c1f18d3g", "+fb8f3958acf2cb0b8128026c1f18d3a"]
        {
            assert!(md5_key(bad).is_none(), "{bad}");
        }
    }
}
