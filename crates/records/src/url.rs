//! The address of a receiver.

use std::fmt;

/// An address of http or https, without a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// Whether the connection is secured.
    pub tls: bool,
    /// The name or the address; that of IPv6 without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The path, and what follows a question mark. It begins with a slash.
    pub path: String,
}

impl Url {
    /// Host and port as the header names them.
    pub(crate) fn authority(&self) -> String {
        let host = match self.host.contains(':') {
            true => format!("[{}]", self.host),
            false => self.host.clone(),
        };
        match (self.tls, self.port) {
            (true, 443) | (false, 80) => host,
            (_, port) => format!("{host}:{port}"),
        }
    }
}

/// Without what follows a question mark, which may be a secret.
impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.split('?').next().unwrap_or_default();
        write!(f, "{}://{}{path}", if self.tls { "https" } else { "http" }, self.authority())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_shown_without_what_may_be_a_secret() {
        for (tls, host, port, path, shown) in [
            (true, "a.example", 443, "/x?key=1", "https://a.example/x"),
            (false, "127.0.0.1", 8080, "/", "http://127.0.0.1:8080/"),
            (true, "2001:db8::1", 8443, "/a/b", "https://[2001:db8::1]:8443/a/b"),
        ] {
            let url = Url { tls, host: host.to_owned(), port, path: path.to_owned() };
            assert_eq!(url.to_string(), shown);
        }
    }
}
