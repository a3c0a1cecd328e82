//! Variables in the words of a Compose file: those that Compose replaces, and those that the shell in the
//! container does.

/// As Compose does it: `$X`, `${X}`, `${X:-default}`; `$$` is a `$`. What has no value is left as it is, so that it
/// is seen to be a placeholder.
pub(super) fn from_compose(text: &str, value_of: &dyn Fn(&str) -> Option<String>) -> String {
    replaced(text, value_of, true)
}

/// As the shell in the container does it.
pub(super) fn from_shell(text: &str, value_of: &dyn Fn(&str) -> Option<String>) -> String {
    replaced(text, value_of, false)
}

// The places of slices come from `find` and from the lengths of ASCII names: they are bounds of characters.
fn replaced(text: &str, value_of: &dyn Fn(&str) -> Option<String>, doubled: bool) -> String {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        result.push_str(&rest[..at]);
        rest = &rest[at..];
        if doubled && let Some(behind) = rest.strip_prefix("$$") {
            result.push('$');
            rest = behind;
            continue;
        }
        let (written, value) = variable(rest, value_of);
        match value {
            Some(value) => result.push_str(&value),
            None => result.push_str(&rest[..written]),
        }
        rest = &rest[written..];
    }
    result.push_str(rest);
    result
}

/// How long the variable at the beginning of `text` is, and its value.
fn variable(text: &str, value_of: &dyn Fn(&str) -> Option<String>) -> (usize, Option<String>) {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let name_in = |text: &str| text.find(|c| !is_name(c)).unwrap_or(text.len());
    let Some(inner) = text.strip_prefix("${") else {
        let name = &text[1..];
        let name = &name[..name_in(name)];
        return match name.is_empty() {
            true => (1, None),
            false => (1 + name.len(), value_of(name)),
        };
    };
    let Some(end) = inner.find('}') else { return (1, None) };
    let inner = &inner[..end];
    let (name, rest) = inner.split_at(name_in(inner));
    let value = value_of(name);
    let not_empty = value.clone().filter(|value| !value.is_empty());
    let value = if let Some(otherwise) = rest.strip_prefix(":-") {
        not_empty.or_else(|| Some(otherwise.to_owned()))
    } else if let Some(otherwise) = rest.strip_prefix('-') {
        value.or_else(|| Some(otherwise.to_owned()))
    } else if rest.starts_with(":?") || rest.starts_with('?') || rest.is_empty() {
        value
    } else {
        None
    };
    (2 + end + 1, value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value_of(name: &str) -> Option<String> {
        match name {
            "SECRET" => Some("s3cr3t".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        }
    }

    #[test]
    fn variables_have_their_values_and_defaults() {
        for (text, result) in [
            ("--a=$SECRET", "--a=s3cr3t"),
            ("--a=${SECRET}b", "--a=s3cr3tb"),
            ("${NONE:-x}${NONE-y}${EMPTY:-z}${EMPTY-w}", "xyz"),
            ("${SECRET:?set it}", "s3cr3t"),
            ("$$SECRET $$(detect-external-ip)", "$SECRET $(detect-external-ip)"),
            ("${NONE}", "${NONE}"),
            ("$NONE", "$NONE"),
            ("${NONE:?set it}", "${NONE:?set it}"),
            ("a$", "a$"),
            ("a${", "a${"),
            ("$9", "$9"),
        ] {
            assert_eq!(from_compose(text, &value_of), result, "{text}");
        }
        assert_eq!(from_shell("$SECRET $$", &value_of), "s3cr3t $$");
    }
}
