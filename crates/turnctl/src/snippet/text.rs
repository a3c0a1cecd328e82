//! One line of text in the quotes of each language: a string, whatever it looks like.

use std::fmt::Write as _;

pub(super) use taciturn_config::homeserver::quoted as yaml;

/// A TOML basic string.
pub(crate) fn toml(text: &str) -> String {
    let escape = |c: char, quoted: &mut String| {
        let _ = write!(quoted, "\\u{:04X}", u32::from(c));
    };
    in_double_quotes(text, escape)
}

/// A Lua string. Lua knows decimal escapes in all its versions.
pub(super) fn lua(text: &str) -> String {
    let escape = |c: char, quoted: &mut String| {
        let mut bytes = [0; 4];
        for byte in c.encode_utf8(&mut bytes).bytes() {
            let _ = write!(quoted, "\\{byte:03}");
        }
    };
    in_double_quotes(text, escape)
}

/// A libconfig string, which knows escapes of one byte.
pub(super) fn libconfig(text: &str) -> String {
    let escape = |c: char, quoted: &mut String| {
        let mut bytes = [0; 4];
        for byte in c.encode_utf8(&mut bytes).bytes() {
            let _ = write!(quoted, "\\x{byte:02X}");
        }
    };
    in_double_quotes(text, escape)
}

/// A part of a URI: everything but unreserved characters percent-encoded (RFC 3986 section 2.3).
pub(super) fn percent(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

fn in_double_quotes(text: &str, control: impl Fn(char, &mut String)) -> String {
    let mut quoted = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => control(c, &mut quoted),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// A word of a POSIX shell.
pub(super) fn shell(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+=[],".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// A value in an environment file of Docker's: bare where that is safe, else in single quotes,
/// within which nothing is replaced. Compose takes `\'` in them for a quote.
pub(super) fn env(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+=,".contains(c);
    if text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "\\'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_language_gets_its_own_escapes() {
        let text = "a\"b\\c\u{7f}d'e$f";
        assert_eq!(toml(text), "\"a\\\"b\\\\c\\u007Fd'e$f\"");
        assert_eq!(lua(text), "\"a\\\"b\\\\c\\127d'e$f\"");
        assert_eq!(libconfig(text), "\"a\\\"b\\\\c\\x7Fd'e$f\"");
        assert_eq!(percent(text), "a%22b%5Cc%7Fd%27e%24f");
        assert_eq!(percent("a:b@c,d%é-._~"), "a%3Ab%40c%2Cd%25%C3%A9-._~");
        assert_eq!(shell(text), format!("'{}'", "a\"b\\c\u{7f}d'\\''e$f"));
        assert_eq!(env(text), format!("'{}'", "a\"b\\c\u{7f}d\\'e$f"));
        assert_eq!((shell("plain-1"), env("plain-1")), ("plain-1".into(), "plain-1".into()));
        let table: toml::Table = format!("x = {}", toml(text)).parse().unwrap();
        assert_eq!(table["x"].as_str(), Some(text));
    }
}
