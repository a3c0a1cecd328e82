//! The section `[ice]`: tokens with which applications have credentials made.

use super::config::Config;
use super::credentials::weak_secret;
use super::error::Note;
use super::keys::Ice;
use super::read::{Item, Reader, show_duration};
use super::secret::Secret;
use super::secrets::read_all;
use super::tenant::Tenant;
use super::uris::{self, Host};
use taciturn_turn::auth::SharedSecret;

/// The shortest token, in characters. Who guesses one has credentials for as long as it is valid.
const SHORTEST_TOKEN: usize = 32;

/// The longest, in bytes: the head of a request has room for it.
const LONGEST_TOKEN: usize = 512;

/// URIs at most, and the longest, in bytes.
const MOST_URIS: usize = 16;
const LONGEST_URI: usize = 255;

const HELP: &str = "make one with: openssl rand -hex 24";

/// Reads the section.
pub(super) fn read(reader: &mut Reader<'_>) -> Ice {
    let ice = Ice::read(reader);
    let tokens = tokens(reader);
    let uris = reader.list("ice.uris", "a list: [\"turn:turn.domain.org:3478?transport=udp\"]");
    if uris.len() > MOST_URIS {
        let origin = reader.origin("ice.uris");
        let message = format!("has more than {MOST_URIS} URIs");
        reader.findings.error(&origin, "ice.uris", message, "browsers try each: write a few");
    }
    let uris = uris.into_iter().filter_map(|item| uri(reader, &item)).collect();
    if ice.ttl > ice.max_ttl {
        let origin = reader.origin("ice.ttl");
        let message = format!("is longer than max_ttl, which is {}", show_duration(ice.max_ttl));
        reader.findings.error(
            &origin,
            "ice.ttl",
            message,
            "write a shorter ttl or a longer max_ttl",
        );
    }
    Ice { tokens, uris, ..ice }
}

/// Reads tokens and those of files: of the server, or of a tenant.
pub(super) fn tokens(reader: &mut Reader<'_>) -> Vec<Secret> {
    let mut tokens = Vec::new();
    for item in reader.list("ice.tokens", "a list: [\"TOKEN\"]") {
        match weak_token(&item.text) {
            Some(weakness) => reader.error(&item, weakness, HELP),
            None => tokens.push(Secret {
                secret: SharedSecret::new(item.text.as_bytes()),
                path: None,
                generated: false,
            }),
        }
    }
    let files = reader.list("ice.token_files", "a list: [\"/run/secrets/ice_token\"]");
    tokens.extend(read_all(reader, files, false, weak_token));
    tokens
}

/// What makes a token unusable; `None` when nothing does.
fn weak_token(token: &str) -> Option<&'static str> {
    // RFC 6750 section 2.1: b64token.
    let fits = |c: char| c.is_ascii_alphanumeric() || "-._~+/=".contains(c);
    match token {
        "" => Some("is empty"),
        _ if weak_secret(token).is_some_and(|weakness| !weakness.contains("shorter")) => {
            weak_secret(token)
        }
        _ if token.chars().count() < SHORTEST_TOKEN => Some("is shorter than 32 characters"),
        _ if token.len() > LONGEST_TOKEN => Some("is longer than 512 bytes"),
        _ if !token.chars().all(fits) => {
            Some("has a character that no bearer token has (RFC 6750): use letters and digits")
        }
        _ => None,
    }
}

/// A URI (RFC 7064, RFC 7065) as it is returned; `None` if it is none, which is reported.
fn uri(reader: &mut Reader<'_>, item: &Item) -> Option<String> {
    let text = item.text.trim();
    let rest = ["turn:", "turns:", "stun:", "stuns:"].iter().find_map(|s| text.strip_prefix(s));
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._~:[]?=".contains(c);
    let fits = |rest: &str| !rest.is_empty() && !rest.starts_with('/') && rest.chars().all(plain);
    if rest.is_some_and(fits) && text.len() <= LONGEST_URI {
        return Some(text.to_owned());
    }
    let help = "write turn:HOST:PORT?transport=udp (or tcp), or turns:HOST:PORT?transport=tcp";
    reader.error(item, format!("\"{text}\" is no URI of a TURN server"), help);
    None
}

/// Refuses a section that the rest of the configuration leaves nothing to work with.
pub(super) fn check(config: &Config, reader: &mut Reader<'_>) {
    let of_tenants = config.tenants.iter().flat_map(|tenant| &tenant.ice_tokens);
    let all: Vec<_> = config.ice.tokens.iter().chain(of_tenants).collect();
    if all.is_empty() {
        return;
    }
    let key = match ["ice.tokens", "ice.token_files"] {
        _ if config.ice.tokens.is_empty() => "tenant",
        [tokens, _] if reader.settings.contains_key(tokens) => tokens,
        [_, files] => files,
    };
    let origin = reader.origin(key);
    let mut refuse = |message: &str, help: &str| {
        reader.findings.error(&origin, key, message, help);
    };
    if config.admin.metrics.is_none() {
        let help = "set metrics in [admin] to an address, such as \"127.0.0.1:9641\"";
        refuse("is set, but POST /ice has no address: admin.metrics is \"off\"", help);
    }
    // Where nobody may log in, the server makes a secret.
    let makes_one = config.auth.users.is_empty() && config.tenants.is_empty();
    if !config.ice.tokens.is_empty() && config.auth.secrets.is_empty() && !makes_one {
        let help = "add one to secrets or secret_files in [auth]: openssl rand -hex 24";
        refuse("is set, but there is no shared secret to make credentials from", help);
    }
    if config.ice.uris.is_empty() && uris::of_listeners(config, &Host::Placeholder).is_empty() {
        let help = "write them: uris = [\"turns:turn.domain.org:443?transport=tcp\"]";
        refuse("is set, but no listener is one that clients reach directly: no URI is known", help);
    }
    let without = |tenant: &&Tenant| !tenant.ice_tokens.is_empty() && tenant.secrets.is_empty();
    if let Some(tenant) = config.tenants.iter().find(without) {
        let message = format!(
            "tenant \"{}\" has a token in ice and no shared secret to make credentials from",
            tenant.name
        );
        refuse(&message, "add secret_files to it; make a secret with: openssl rand -hex 24");
    }
    let same = |one: &Secret, other: &Secret| one.secret.expose() == other.secret.expose();
    let is_token = |secret: &Secret| all.iter().any(|token| same(token, secret));
    if all.iter().enumerate().any(|(n, token)| all[..n].iter().any(|other| same(other, token))) {
        refuse("one token is there twice: it could not be told whose credentials it makes", HELP);
    }
    let of_tenants = config.tenants.iter().flat_map(|tenant| &tenant.secrets);
    if config.auth.secrets.iter().chain(of_tenants).any(is_token) {
        refuse("has a shared secret itself, which applications would know then", HELP);
    }
    let address = config.admin.metrics.filter(|address| !address.ip().is_loopback());
    if let Some(address) = address {
        let text = format!(
            "ice: at {address} tokens and credentials travel without TLS. Put a proxy with TLS before it, or a private \
             network"
        );
        reader.findings.notes.push(Note::warning(text));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_long_and_no_examples() {
        let long = "b7".repeat(257);
        for (token, told) in [
            ("", "empty"),
            ("changeme", "example"),
            ("${ICE_TOKEN_OF_THE_APPLICATION_HERE}", "placeholder"),
            ("0123456789abcdef0123456789abcde", "shorter than 32"),
            ("0123456789abcdef 0123456789abcdef", "no bearer token"),
            ("0123456789abcdef\"0123456789abcdef", "no bearer token"),
            (long.as_str(), "longer than 512"),
        ] {
            let why = weak_token(token).unwrap_or_default();
            assert!(why.contains(told), "{token}: {why}");
        }
        assert_eq!(weak_token("0123456789abcdef0123456789abcdef"), None);
        assert_eq!(weak_token("abcDEF-._~+/0123456789abcdef0123=="), None);
    }
}
