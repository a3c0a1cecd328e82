//! Any bytes as Traefik's acme.json.

use std::time::SystemTime;

use serde_json::Value;
use taciturn_tls::{CertSource, Warning, load};

use testkit::unnamed_file;

/// The host name that is looked for; the corpus has certificates for it.
const DOMAIN: &str = "turn.example.org";

/// Reads `bytes` as an acme.json that may hold the certificate of [`DOMAIN`].
pub(crate) fn run(bytes: &[u8]) {
    let path = unnamed_file::holding(bytes);
    match load(&CertSource::Acme { path, domain: DOMAIN.into() }) {
        Ok(chain) => {
            // The file says whom a certificate is for. Where that is not so, the log does.
            let warnings = chain.warnings(SystemTime::now(), Some(DOMAIN));
            let warned = warnings.iter().any(|w| matches!(w, Warning::NameMismatch { .. }));
            assert!(chain.covers(DOMAIN) != warned, "a certificate for another host: {warnings:?}");
            assert!(!chain.certs_der().is_empty() && !chain.key_der().is_empty());
        }
        Err(error) => {
            let text = format!("{error} {error:?}");
            assert!(!text.is_empty());
            // The file is full of private keys.
            let value: Value = serde_json::from_slice(bytes).unwrap_or_default();
            let (keys, others) = texts(&value);
            // What stands elsewhere in the file as well, in a host name say, may be repeated.
            let secret = |key: &&str| key.len() >= 24 && !others.iter().any(|o| o.contains(key));
            for key in keys.into_iter().filter(secret) {
                assert!(!text.contains(key), "a key in an error's text");
            }
        }
    }
}

/// Every text under the name `key` in a list of certificates, and every other text.
fn texts(value: &Value) -> (Vec<&str>, Vec<&str>) {
    let resolvers = value.as_object().into_iter().flat_map(|object| object.values());
    let lists = resolvers.filter_map(|resolver| resolver.get("Certificates")?.as_array());
    let keys: Vec<_> = lists.flatten().filter_map(|entry| entry.get("key")?.as_str()).collect();
    let mut others = Vec::new();
    collect(value, &mut others);
    others.retain(|text| !keys.iter().any(|key| std::ptr::eq(*key, *text)));
    (keys, others)
}

/// The names and texts of a value, at any depth.
fn collect<'v>(value: &'v Value, into: &mut Vec<&'v str>) {
    match value {
        Value::String(text) => into.push(text),
        Value::Array(list) => list.iter().for_each(|item| collect(item, into)),
        Value::Object(object) => object.iter().for_each(|(name, item)| {
            into.push(name);
            collect(item, into);
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
