//! Finds template placeholders in values that no other check refuses: a path or a name is taken as it stands.

use super::error::{Findings, Origin};
use super::key::Kind;
use super::placeholder::placeholder;
use super::schema;
use super::settings::{Node, Settings, Value};

const HELP: &str = "write the value itself. What stands here is public: the program that should have put the value \
     in\n(Compose, envsubst, Ansible, Helm) has not run, or does not know the name";

/// Reports each value with a placeholder, except credentials, which have their own check, and values that
/// `findings` already refuses.
pub(super) fn report(settings: &Settings, findings: &mut Findings) {
    for key in schema::keys().filter(|key| key.kind != Kind::SecretList) {
        if let Some(node) = settings.get(key.path) {
            node_with(key.path, node, findings);
        }
    }
}

fn node_with(key: &str, node: &Node, findings: &mut Findings) {
    match &node.value {
        Value::Text(text) => text_with(key, text, &node.origin, findings),
        Value::List(items) => {
            for (n, item) in items.iter().enumerate() {
                node_with(&format!("{key}[{n}]"), item, findings);
            }
        }
        Value::Table(table) => {
            for (name, (_, value)) in table {
                node_with(&format!("{key}.{name}"), value, findings);
            }
        }
        Value::Integer(_) | Value::Boolean(_) | Value::Other(_) => {}
    }
}

fn text_with(key: &str, text: &str, origin: &Origin, findings: &mut Findings) {
    // A private key in place of its path is not to be shown, and is refused elsewhere.
    if text.contains('\n') || text.contains("-----") || findings.has_error_at(origin) {
        return;
    }
    if let Some(found) = placeholder(text) {
        findings.error(origin, key, format!("\"{found}\" is a placeholder"), HELP);
    }
}
