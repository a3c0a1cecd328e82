//! Who takes records, as a URL says it.

use super::key::Kind;
use super::read::Reader;
use super::shown::{Shown, Words};
use super::value::{Value, quoted};

/// The key `records.url`: where records are sent by HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordsUrl {
    /// Whether the connection is secured.
    pub tls: bool,
    /// The name or the address; that of IPv6 without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The path, and what follows a question mark. It begins with a slash.
    pub path: String,
    written: String,
}

/// Why a text is no such address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum BadUrl {
    /// It begins with something else.
    #[error("begin it with https:// or http://")]
    Scheme,
    /// It has a user, or a password.
    #[error(
        "leave out what is before the @: write a token into a file, and the path of that as token_file"
    )]
    User,
    /// The host or the port is none.
    #[error(
        "write a host, and a port if it is not the usual one: \"https://billing.internal:8443/records\""
    )]
    Host,
    /// The path has a character that must be escaped, or a fragment.
    #[error("the path has a blank, a # or a character that must be written as %XX")]
    Path,
}

impl RecordsUrl {
    fn parse(text: &str) -> Result<Self, BadUrl> {
        let (rest, tls) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
            (Some(rest), _) => (rest, true),
            (None, Some(rest)) => (rest, false),
            (None, None) => return Err(BadUrl::Scheme),
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (at, path) = rest.split_at(end);
        if at.contains('@') {
            return Err(BadUrl::User);
        }
        let usual = if tls { 443 } else { 80 };
        let (host, port) = host_and_port(at, usual).ok_or(BadUrl::Host)?;
        if path.contains('#') || !path.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(BadUrl::Path);
        }
        let slash = if path.starts_with('/') { "" } else { "/" };
        let path = format!("{slash}{path}");
        Ok(Self { tls, host: host.to_owned(), port, path, written: text.to_owned() })
    }
}

fn host_and_port(text: &str, usual: u16) -> Option<(&str, u16)> {
    let port = |text: &str| text.parse().ok().filter(|port| *port != 0);
    if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        let port = if rest.is_empty() { usual } else { port(rest.strip_prefix(':')?)? };
        return host.parse::<std::net::Ipv6Addr>().ok().map(|_| (host, port));
    }
    let (host, port) = match text.split_once(':') {
        Some((host, text)) => (host, port(text)?),
        None => (text, usual),
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    (!host.is_empty() && host.chars().all(plain)).then_some((host, port))
}

impl Value for Option<RecordsUrl> {
    type Bounds = ();

    fn kind((): &()) -> Kind {
        Kind::Text
    }

    fn read(reader: &mut Reader<'_>, key: &'static str, (): &()) -> Option<Self> {
        let item = reader.text(key, "\"https://billing.internal/records\"")?;
        match RecordsUrl::parse(item.text.trim()) {
            Ok(url) => Some(Some(url)),
            // What was written may have a password in it.
            Err(error) => {
                reader.error(&item, "is no address of HTTP", &error.to_string());
                None
            }
        }
    }

    fn toml(&self) -> String {
        quoted(self.as_ref().map_or("", |url| &url.written))
    }
}

/// Without what follows a question mark, which may be a secret.
impl Shown for Option<RecordsUrl> {
    fn words(&self) -> Words {
        let shown = self.as_ref().map(|url| url.written.split('?').next().unwrap_or_default());
        Words::One(shown.unwrap_or_default().to_owned())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_apart() {
        for (text, tls, host, port, path) in [
            ("https://a.example/x?key=1", true, "a.example", 443, "/x?key=1"),
            ("http://127.0.0.1:8080", false, "127.0.0.1", 8080, "/"),
            ("https://[2001:db8::1]:8443/a/b", true, "2001:db8::1", 8443, "/a/b"),
            ("https://host?x", true, "host", 443, "/?x"),
        ] {
            let url = RecordsUrl::parse(text).unwrap();
            assert_eq!(
                (url.tls, url.host.as_str(), url.port, url.path.as_str()),
                (tls, host, port, path)
            );
        }
    }

    #[test]
    fn what_is_none_is_told_by_kind() {
        for (text, error) in [
            ("", BadUrl::Scheme),
            ("ftp://host/", BadUrl::Scheme),
            ("https://user:secret@host/", BadUrl::User),
            ("https://", BadUrl::Host),
            ("https:///path", BadUrl::Host),
            ("https://host:0/", BadUrl::Host),
            ("https://host:99999/", BadUrl::Host),
            ("https://[::1/", BadUrl::Host),
            ("https://ho st/", BadUrl::Host),
            ("https://host/a b", BadUrl::Path),
            ("https://host/#a", BadUrl::Path),
            ("https://host/\r\nX: y", BadUrl::Path),
        ] {
            assert_eq!(RecordsUrl::parse(text), Err(error), "{text}");
        }
    }
}
