//! What templates and set-up guides leave behind where a value should stand.
//!
//! Such a value is public: it is in the template. It also looks like a value, so that a server would start with it.

use std::net::IpAddr;

/// Pairs of marks with an expression between them: a placeholder wherever it stands in the value.
const PAIRS: &[(&str, &str)] = &[
    ("${", "}"),  // shell, Compose, GitHub Actions, Terraform
    ("$(", ")"),  // a command for a shell, and Kubernetes
    ("{{", "}}"), // Jinja, Helm, Go, Mustache
    ("{%", "%}"), // Jinja
    ("<%", "%>"), // ERB, EJS
    ("#{", "}"),  // Ruby, Octopus
    ("%{", "}"),  // Puppet, Terraform
    ("%(", ")s"), // Python
    ("[[", "]]"), // Levant
    ("<<", ">>"),
    ("((", "))"), // Concourse
];

/// Pairs that also stand in passwords. They make a placeholder if a name stands between them, and the
/// placeholder is all of the value or a part of a name.
const PAIRS_OF_NAMES: &[(&str, &str)] =
    &[("__", "__"), ("@@", "@@"), ("%%", "%%"), ("%", "%"), ("@", "@"), ("{", "}")];

/// Words of guides, wherever they stand in the value.
const WORDS: &[&str] = &[
    "your_",
    "your-ip",
    "your.ip",
    "yourip",
    "your-domain",
    "your.domain",
    "yourdomain",
    "your-secret",
    "yoursecret",
    "your-password",
    "yourpassword",
    "your-realm",
    "yourrealm",
    "my_secret_here",
    "change_me",
    "change-me",
    "changeme",
    "change_this",
    "change-this",
    "changethis",
    "replace_me",
    "replace-me",
    "replaceme",
    "replace_this",
    "replace-this",
    "replace_with",
    "replace-with",
    "placeholder",
    "insert_here",
    "insert-here",
    "_goes_here",
    "-goes-here",
    "secret_here",
    "secret-here",
    "password_here",
    "password-here",
];

/// Whole values that guides and programs write where they know none.
const WHOLE: &[&str] = &[
    "1.2.3.4",
    "a.b.c.d",
    "undefined",
    "null",
    "nil",
    "todo",
    "tbd",
    "fixme",
    "change",
    "replace",
    "[object object]",
    "...",
    "\u{2026}",
];

/// Beginnings of values that another program should have replaced: Home Assistant, sops, Ansible, 1Password.
const REFERENCES: &[&str] =
    &["!secret ", "!vault", "!env ", "enc[", "$ansible_vault;", "op://", "vault:"];

/// The placeholder in `value`: of a template (`${X}`, `{{ x }}`, `__X__`, `$x`, `%X%`, `@X@`), or of a guide
/// (`<your domain>`, `[X]`, `CHANGE_ME`, `X.X.X.X`). `None` where there is none.
///
/// It may hold a secret: the default in `${SECRET:-default}`. Do not show it where a secret should stand.
#[must_use]
pub fn placeholder(value: &str) -> Option<&str> {
    let value = value.trim();
    let lower = value.to_ascii_lowercase();
    let whole = WHOLE.contains(&lower.as_str())
        || WORDS.iter().any(|word| lower.contains(word))
        || REFERENCES.iter().any(|begin| lower.starts_with(begin))
        || is_crossed_out(&lower)
        || is_bracketed(value)
        || (value.len() > 2 && value.starts_with('`') && value.ends_with('`'));
    PAIRS
        .iter()
        .find_map(|pair| expression(value, pair))
        .or_else(|| PAIRS_OF_NAMES.iter().find_map(|pair| named(value, pair)))
        .or_else(|| angled(value))
        .or_else(|| variable(value))
        .or_else(|| whole.then_some(value))
}

/// The first part of `value` from `open` to the next `close` with something between them, and what that is.
fn between<'a>(value: &'a str, open: &str, close: &str) -> Option<(&'a str, &'a str)> {
    let start = value.find(open)?;
    let rest = value.get(start + open.len()..)?;
    let length = rest.find(close).filter(|length| *length > 0)?;
    let end = start + open.len() + length + close.len();
    Some((value.get(start..end)?, rest.get(..length)?))
}

/// Between the marks of a template: an expression, which begins with a name.
fn expression<'a>(value: &'a str, (open, close): &(&str, &str)) -> Option<&'a str> {
    value.match_indices(open).find_map(|(start, _)| {
        let (found, inner) = between(value.get(start..)?, open, close)?;
        let spaced = inner.starts_with(char::is_whitespace);
        let inner = inner.trim_start_matches(|c: char| c.is_whitespace() || "=-.$@{".contains(c));
        let end = inner.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let name = inner.get(..end.unwrap_or(inner.len()))?;
        let long_enough = name.len() >= 3 || spaced || found == value;
        (long_enough && is_name(name)).then_some(found)
    })
}

fn named<'a>(value: &'a str, (open, close): &(&str, &str)) -> Option<&'a str> {
    value.match_indices(open).find_map(|(start, _)| {
        let rest = value.get(start..)?;
        let (found, name) = between(rest, open, close)?;
        (stands_alone(value, start, found) && is_name(name)).then_some(found)
    })
}

/// `<your domain>`: words between angle brackets.
fn angled(value: &str) -> Option<&str> {
    value.match_indices('<').find_map(|(start, _)| {
        let (found, inner) = between(value.get(start..)?, "<", ">")?;
        let is_word = |word: &str| is_name(word) || is_letters(word);
        let mut words =
            inner.split([' ', '-', '.', '\'', '/', '|', ':', ',']).filter(|w| !w.is_empty());
        (stands_alone(value, start, found) && words.all(is_word)).then_some(found)
    })
}

/// `$x`, as the whole value or as a part of a name.
fn variable(value: &str) -> Option<&str> {
    value.match_indices('$').find_map(|(start, _)| {
        let rest = value.get(start + 1..)?;
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let length = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
        let (found, name) = (value.get(start..=start + length)?, rest.get(..length)?);
        (stands_alone(value, start, found) && is_name(name)).then_some(found)
    })
}

/// Whether `found`, at byte `start` of `value`, is all of it, or a part of a name or a URI: between `.`, `-`, `:`,
/// `/` and `@`, and with no character about that names do not have.
fn stands_alone(value: &str, start: usize, found: &str) -> bool {
    let (Some(before), Some(after)) = (value.get(..start), value.get(start + found.len()..)) else {
        return false;
    };
    let is_edge = |beside: Option<char>| beside.is_none_or(|c| ".-:/@".contains(c));
    let of_name = |c: char| c.is_alphanumeric() || "._-:/@?=$".contains(c);
    let apart = is_edge(before.chars().next_back()) && is_edge(after.chars().next());
    apart && before.chars().chain(after.chars()).all(of_name)
}

/// Whether people would call a variable so: `DOMAIN`, `turn_secret`, `turnSecret`. Random letters and digits are
/// seldom of one case.
fn is_name(text: &str) -> bool {
    let text = text.trim();
    let first = text.chars().next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    let only = |case: fn(&char) -> bool| {
        text.chars().all(|c| case(&c) || c.is_ascii_digit() || "_-. ".contains(c))
    };
    let one_case = only(char::is_ascii_lowercase) || only(char::is_ascii_uppercase);
    first && (one_case || is_camel_case(text))
}

/// `turnSecret`, `TurnSecret`: words of letters, each of three or more.
fn is_camel_case(text: &str) -> bool {
    let mut word = 0;
    let mut fits = is_letters(text);
    for c in text.chars() {
        if c.is_ascii_uppercase() {
            fits &= word == 0 || word >= 3;
            word = 1;
        } else {
            word += 1;
        }
    }
    fits && word >= 3
}

fn is_letters(text: &str) -> bool {
    !text.is_empty() && text.chars().all(char::is_alphabetic)
}

/// `X.X.X.X`, `xxxxxxxx`, `********`.
fn is_crossed_out(lower: &str) -> bool {
    let all = |allowed: &str| lower.chars().all(|c| allowed.contains(c));
    let exes = lower.contains('x') && (lower.contains('.') || lower.len() >= 6) && all("x.-:");
    exes || (lower.len() >= 3 && all("*"))
}

/// `[your secret]`, but not an IPv6 address.
fn is_bracketed(value: &str) -> bool {
    let inner = value.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    inner.is_some_and(|inner| {
        let address = inner.split('%').next().unwrap_or_default();
        inner.contains(|c: char| c.is_alphabetic()) && address.parse::<IpAddr>().is_err()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_of_template_languages_are_placeholders_wherever_they_stand() {
        for (value, found) in [
            ("${TURN_SHARED_SECRET}", "${TURN_SHARED_SECRET}"),
            ("${TURN_SECRET:?set it}", "${TURN_SECRET:?set it}"),
            ("${{ secrets.TURN }}", "${{ secrets.TURN }"),
            ("turn.${DOMAIN}", "${DOMAIN}"),
            ("$(openssl rand -hex 24)", "$(openssl rand -hex 24)"),
            ("{{ coturn_static_auth_secret }}", "{{ coturn_static_auth_secret }}"),
            ("{{.Values.secret}}", "{{.Values.secret}}"),
            ("turn.{{ domain }}:3478", "{{ domain }}"),
            ("{% if x %}y{% endif %}", "{% if x %}"),
            ("<%= @secret %>", "<%= @secret %>"),
            ("#{turn_secret}", "#{turn_secret}"),
            ("%{turn_secret}", "%{turn_secret}"),
            ("%(secret)s", "%(secret)s"),
            ("[[ .secret ]]", "[[ .secret ]]"),
            ("<<SECRET>>", "<<SECRET>>"),
            ("((turn-secret))", "((turn-secret))"),
            ("__TURNSERVER_PWD__", "__TURNSERVER_PWD__"),
            ("turn.__DOMAIN__", "__DOMAIN__"),
            ("@@SECRET@@", "@@SECRET@@"),
            ("@SECRET@", "@SECRET@"),
            ("turn.@DOMAIN@", "@DOMAIN@"),
            ("%SECRET%", "%SECRET%"),
            ("%%secret%%", "%%secret%%"),
            ("{DOMAIN}", "{DOMAIN}"),
            ("turn.{domain}", "{domain}"),
            ("$domainname", "$domainname"),
            ("$TURN_SECRET", "$TURN_SECRET"),
            ("$turnSecret", "$turnSecret"),
            ("turn.$domain", "$domain"),
            ("$DOMAIN:3478", "$DOMAIN"),
            ("`openssl rand -hex 24`", "`openssl rand -hex 24`"),
            ("!secret turn_secret", "!secret turn_secret"),
            ("op://vault/turn/secret", "op://vault/turn/secret"),
        ] {
            assert_eq!(placeholder(value), Some(found), "{value}");
        }
    }

    #[test]
    fn words_of_guides_are_placeholders() {
        for value in [
            "X.X.X.X",
            "x.x.x.x",
            "YOUR_IP",
            "<your ip>",
            "<put a password>",
            "<YOUR-DOMAIN>",
            "1.2.3.4",
            "turn.yourdomain.com",
            "[your secret key here]",
            "[SECRET]",
            "[X]",
            "<X>",
            "CHANGE_ME",
            "changeme",
            "please-change-this-now",
            "REPLACE_ME",
            "replace_with_a_long_secret",
            "your_secret_here",
            "xxxxxxxx",
            "XXXX-XXXX-XXXX",
            "********",
            "undefined",
            "null",
            "[object Object]",
            "turn.<domain>",
            "<ваш домен>",
        ] {
            assert!(placeholder(value).is_some(), "{value}");
        }
        assert_eq!(placeholder(" turn.<domain> "), Some("<domain>"));
    }

    #[test]
    fn names_addresses_and_passwords_are_none() {
        for value in [
            "",
            "203.0.113.7",
            "[2001:db8::7]",
            "[fe80::1%eth0]",
            "[::]:3478",
            "turn.domain.org",
            "your-town.org",
            "static.7.clients.your-server.de",
            "x.org",
            "xxx",
            "taciturn",
            "auto",
            "off",
            "127.0.0.1:9641",
            "59000-60100",
            "/etc/letsencrypt/live/turn.domain.org",
            "a_b__c.pem",
            "@alice:domain.org",
            "alice@domain.org",
            "correct horse battery staple",
            "100% sure, 50% off",
            "kT7$mPq2vX",
            "pa$$word-of-9",
            "a>b<c",
            "R{7}x",
            "x@y@z9",
            "50%OFF%now",
            "w__Q4__r",
            "$6$Sq2$hZk0.",
            "$2y$10$abCdEf",
            "$kT7mPq2xYzW4",
            "#{",
            "}}{{",
            "<>",
            "[]",
            "()",
            "dGhpcyBpcyBub3QgYSBzZWNyZXQhIQ==",
            "Zf3kLw9PqXr7TbVnZf3kLw9P",
            "8JZs-__q7Vd__-aB3",
            "{",
            "$",
            "%%",
            "@@",
            "____",
            "<T7k-Qp>",
        ] {
            assert_eq!(placeholder(value), None, "{value}");
        }
    }

    /// Nobody's generated password may be refused: none of many random ones is taken for a placeholder.
    #[test]
    fn generated_passwords_are_none() {
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        let mut next = |below: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % below
        };
        let mut taken = Vec::new();
        for _ in 0..20_000 {
            // All printable characters of ASCII but the blank.
            let value: String = (0..20).map(|_| char::from(33 + next(94) as u8)).collect();
            taken.extend(placeholder(&value).is_some().then_some(value));
        }
        assert!(taken.len() <= 20, "{} of 20000: {taken:?}", taken.len());
    }
}
