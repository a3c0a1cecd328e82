//! The paths of a test link.

/// Characters of a token: 128 bits in base64 for addresses.
const TOKEN: usize = 22;

const PREFIX: &str = "/test/";

/// A path below a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TestPath<'a> {
    /// The token.
    pub token: &'a str,
    /// What follows the slash behind it; `None` without that slash.
    pub rest: Option<&'a str>,
}

impl<'a> TestPath<'a> {
    /// Takes a path apart. `None` if it is none of a link.
    #[must_use]
    pub fn parse(path: &'a str) -> Option<Self> {
        let (token, rest) = path.strip_prefix(PREFIX)?.split_at_checked(TOKEN)?;
        let is_token =
            token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        let rest = match rest {
            "" => None,
            rest => Some(rest.strip_prefix('/')?),
        };
        is_token.then_some(Self { token, rest })
    }
}

/// The token in the first line of a request of HTTP, of which `head` is the beginning. `None` if it is no request that a
/// link could be read by, or not as much of one as tells that.
#[must_use]
pub fn token_of(head: &[u8]) -> Option<&str> {
    let path = head.strip_prefix(b"GET ").or_else(|| head.strip_prefix(b"POST "))?;
    let path = path.get(..PREFIX.len() + TOKEN + 1)?;
    let path = str::from_utf8(path).ok()?;
    let (path, end) = path.split_at_checked(path.len().checked_sub(1)?)?;
    TestPath::parse(path).map(|path| path.token).filter(|_| end == "/" || end == " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN_TEXT: &str = "0123456789abcdefABC-_z";

    #[test]
    fn a_token_is_between_two_slashes() {
        let parse = |rest: &str| {
            let path = format!("/test/{TOKEN_TEXT}{rest}");
            TestPath::parse(&path).map(|path| path.rest.map(str::to_owned))
        };
        assert_eq!(parse(""), Some(None));
        assert_eq!(parse("/"), Some(Some(String::new())));
        assert_eq!(parse("/begin"), Some(Some("begin".to_owned())));
        assert_eq!(parse("x"), None);
        for other in
            ["/", "/test/", "/test/short/", "/tests/0123456789abcdefABC-_z/", "/metrics", ""]
        {
            assert_eq!(TestPath::parse(other), None, "{other}");
        }
        assert_eq!(TestPath::parse("/test/0123456789abcdefABC-.z/"), None);
        assert_eq!(TestPath::parse("/test/0123456789abcdefABC-\u{e9}/"), None);
    }

    #[test]
    fn a_request_is_known_by_its_first_bytes() {
        for (head, is_one) in [
            ("GET /test/0123456789abcdefABC-_z/ HTTP/1.1\r\n", true),
            ("GET /test/0123456789abcdefABC-_z HTTP/1.1\r\n", true),
            ("POST /test/0123456789abcdefABC-_z/begin HTTP/1.1\r\n", true),
            ("GET /test/0123456789abcdefABC-_z/", true),
            ("GET /test/0123456789abcdefABC-_z", false),
            ("GET /test/0123456789abcdefABC-_zz/", false),
            ("GET /test/0123456789abcdefABC-_z?", false),
            ("HEAD /test/0123456789abcdefABC-_z/", false),
            ("get /test/0123456789abcdefABC-_z/", false),
            ("GET  /test/0123456789abcdefABC-_z/", false),
            ("GET / HTTP/1.1\r\n", false),
            ("GET ", false),
            ("", false),
        ] {
            assert_eq!(token_of(head.as_bytes()), is_one.then_some(TOKEN_TEXT), "{head}");
        }
        assert_eq!(token_of(&[0xff; 64]), None);
        assert_eq!(token_of(b"GET /test/\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff/"), None);
    }
}
