//! What passwords of shared secrets may be made with.

use taciturn_turn::auth::SecretHash;

use super::error::Note;
use super::key::Kind;
use super::read::Reader;
use super::shown::{Shown, Words};
use super::value::{Value, quoted};

impl Value for Vec<SecretHash> {
    type Bounds = ();

    fn kind((): &()) -> Kind {
        Kind::List
    }

    fn read(reader: &mut Reader<'_>, key: &'static str, (): &()) -> Option<Self> {
        let node = reader.settings.get(key)?.clone();
        let items = reader.list(key, "a list: [\"sha1\", \"sha256\"]");
        if items.is_empty() && !reader.findings.has_error_at(&node.origin) {
            let message = "is empty, so no password of a shared secret would be right";
            reader.findings.error(&node.origin, key, message, HELP);
        }
        let mut hashes = Self::new();
        for item in &items {
            let text = item.text.trim();
            match SecretHash::ALL.into_iter().find(|hash| hash.name() == text) {
                Some(hash) if hashes.contains(&hash) => {}
                Some(hash) => hashes.push(hash),
                None => reader.error(item, format!("\"{text}\" is no hash"), HELP),
            }
        }
        Some(hashes)
    }

    fn toml(&self) -> String {
        let items: Vec<_> = self.iter().map(quoted).collect();
        format!("[{}]", items.join(", "))
    }
}

const HELP: &str = "write \"sha1\", \"sha256\" or \"sha512\", or several of them as a list";

impl Shown for Vec<SecretHash> {
    fn words(&self) -> Words {
        Words::entries(self)
    }
}

/// Warns where homeservers are locked out.
pub(super) fn warn_without_sha1(hashes: &[SecretHash], reader: &mut Reader<'_>) {
    if !hashes.is_empty() && !hashes.contains(&SecretHash::Sha1) {
        let text = "auth.secret_hashes is without \"sha1\": credentials of Synapse and other homeservers, Nextcloud \
                    Talk, Jitsi, Prosody and LiveKit are refused, which all use SHA-1";
        reader.findings.notes.push(Note::warning(text));
    }
}
