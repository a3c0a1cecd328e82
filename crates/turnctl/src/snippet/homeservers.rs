//! Matrix homeservers besides Synapse. All of them make credentials as Synapse does.

use std::fmt::Write as _;

use super::text::{toml, yaml};
use super::{Facts, Given, Snippet, SnippetError};

/// Seconds. As long as Synapse's block has it: some clients keep credentials until they are
/// restarted, and the server looks at them when a call begins only.
const TTL: u32 = 86400;

pub(super) fn dendrite(facts: &Facts<'_>) -> Result<Snippet, SnippetError> {
    let mut text = String::from(
        "client_api:\n  turn:\n    # Never empty: Dendrite would hand out nothing at all.\n    \
         turn_user_lifetime: \"24h\"\n    turn_uris:\n",
    );
    for uri in facts.uris()? {
        let _ = writeln!(text, "      - {}", yaml(uri));
    }
    let _ = write!(
        text,
        "    turn_shared_secret: {}\n    turn_username: \"\"\n    turn_password: \"\"\n",
        yaml(facts.text()?)
    );
    Ok(Snippet::new(text, "dendrite.yaml, in the section client_api; restart Dendrite"))
}

fn uris(facts: &Facts<'_>) -> Result<String, SnippetError> {
    let mut text = String::from("[\n");
    for uri in facts.uris()? {
        let _ = writeln!(text, "    {},", toml(uri));
    }
    text.push(']');
    Ok(text)
}

pub(super) fn conduit(facts: &Facts<'_>) -> Result<Snippet, SnippetError> {
    let (uris, secret) = (uris(facts)?, toml(facts.text()?));
    let text = format!(
        "[global]\nturn_uris = {uris}\nturn_secret = {secret}\nturn_ttl = {TTL}\n\
         # Newer releases have a table instead, [global.turn], with uris and secret.\n"
    );
    Ok(Snippet::new(text, "conduit.toml, in the section [global]; restart Conduit"))
}

fn with_file(facts: &Facts<'_>) -> Result<String, SnippetError> {
    let secret = match facts.given()? {
        Given::Inline(secret) => format!("turn_secret = {}", toml(secret)),
        Given::File(path) => format!(
            "# A file on the homeserver's machine: copy the secret there if that is another one.\n\
             turn_secret_file = {}",
            toml(&path)
        ),
    };
    Ok(format!("[global]\nturn_uris = {}\n{secret}\nturn_ttl = {TTL}\n", uris(facts)?))
}

pub(super) fn continuwuity(facts: &Facts<'_>) -> Result<Snippet, SnippetError> {
    Ok(Snippet::new(
        with_file(facts)?,
        "continuwuity.toml, in the section [global]; restart continuwuity",
    ))
}

pub(super) fn tuwunel(facts: &Facts<'_>) -> Result<Snippet, SnippetError> {
    let text = format!("{}turn_allow_guests = false\n", with_file(facts)?);
    Ok(Snippet::new(text, "tuwunel.toml, in the section [global]; restart tuwunel"))
}
