//! Any bytes as coturn's turnserver.conf.

use std::path::Path;

use taciturn_config::coturn::{Place, Translation};

/// Translates `bytes`, and checks the outcome as the server would.
pub(crate) fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    for translation in [Translation::of(text), Translation::with_weak_credentials(text)] {
        // Whatever is in the values, it must not get out of its quotes.
        let parsed: Result<toml::Table, _> = translation.toml.parse();
        parsed.expect("the translation is TOML");
        let lines = text.lines().count();
        for setting in &translation.settings {
            let Place::Line(line) = setting.place else { continue };
            assert!((1..=lines.max(1)).contains(&line), "line {line}");
        }
        let said = format!(
            "{}{}{}",
            translation.summary(),
            translation.warnings().collect::<String>(),
            translation.errors().map(ToString::to_string).collect::<String>()
        );
        for secret in secrets(text) {
            assert!(!said.contains(secret), "a secret in what is printed");
        }
        drop(translation.check(Path::new("turnserver.conf")).map_err(|errors| errors.to_string()));
    }
}

/// Values that nobody may read on a terminal, where they are long enough to be told from words, and
/// where no other line has them too.
fn secrets(text: &str) -> impl Iterator<Item = &str> {
    let secret_of = |line: &'_ str| -> Option<std::ops::Range<usize>> {
        let (name, value) = line.split_once('=')?;
        let start = line.len() - value.trim_start().len();
        let end = start + value.trim().len();
        (name.trim() == "static-auth-secret" && end - start >= 24).then_some(start..end)
    };
    text.lines().filter_map(move |line| line.get(secret_of(line)?)).filter(move |secret| {
        let mut elsewhere = text.lines().filter(|line| secret_of(line).is_none());
        !elsewhere.any(|line| line.contains(secret))
    })
}
