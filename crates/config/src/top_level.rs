//! Keys of the top of the file that a tenant may have as well.

use std::borrow::Cow;

use taciturn_turn::auth::prepared;
use taciturn_turn::policy::PortRange;

use super::address::is_placeholder;
use super::read::Reader;

/// The realm when none is configured.
const DEFAULT_REALM: &str = "taciturn";

pub(super) fn realm(reader: &mut Reader<'_>) -> String {
    let Some(item) = reader.text("realm", "\"turn.domain.org\"") else {
        return DEFAULT_REALM.into();
    };
    let text = item.text.as_str();
    //= 8489-9.2.4-realm-name, 8489-14.9-realm
    // RFC 8489 section 14.9: fewer than 128 characters, as they stand in a quoted-string.
    let fault = match text {
        _ if text.trim().is_empty() => Some("is empty".into()),
        _ if text.chars().count() > 127 => Some("is longer than 127 characters".into()),
        _ if text.chars().any(|c| c.is_control() || c == '"' || c == '\\') => {
            Some("holds a quote, a backslash or a control character".into())
        }
        _ if is_placeholder(text) => Some(format!("\"{text}\" is a placeholder")),
        _ if prepared(text).is_err() => Some("holds an invisible or unassigned character".into()),
        _ => None,
    };
    if let Some(fault) = fault {
        let help = "write the DNS name of this server, like \"turn.domain.org\",\n\
                    or remove the key";
        reader.error(&item, fault, help);
    }
    prepared(text).map_or_else(|_| text.to_owned(), Cow::into_owned)
}

pub(super) fn relay_ports(reader: &mut Reader<'_>) -> PortRange {
    let Some(item) = reader.text("relay_ports", "\"59000-60100\"") else {
        return PortRange::DEFAULT;
    };
    match item.text.trim().parse() {
        Ok(range) => range,
        Err(error) => {
            let message = format!("\"{}\": {error}", item.text.as_str());
            reader.error(&item, message, "write FIRST-LAST, like \"59000-60100\"");
            PortRange::DEFAULT
        }
    }
}
