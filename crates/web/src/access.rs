//! Who may read the page, and who may act on it.
//!
//! Programs on the same machine may read it without a token, if the operator has not said otherwise. A web site that
//! the operator visits must not be able to (DNS rebinding), nor must a proxy on this machine open the page to the world.
//! So a request without a token has to come from a loopback address, name a loopback address or `localhost` as its
//! host, and have passed no proxy that says so.

use std::net::IpAddr;
use std::time::Instant;

use super::tokens::Tokens;

/// What may be read without a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Everything, by programs on the same machine.
    Local,
    /// Nothing.
    Token,
}

/// A request, as far as access depends on it.
#[derive(Clone, Copy, Debug)]
pub struct Asker<'a> {
    /// The other end of the connection.
    pub address: IpAddr,
    /// `Host`.
    pub host: Option<&'a str>,
    /// `Origin`.
    pub origin: Option<&'a str>,
    /// `Sec-Fetch-Site`.
    pub fetch_site: Option<&'a str>,
    /// Whether a header says that a proxy has passed the request on.
    pub is_forwarded: bool,
    /// The token that it has.
    pub token: Option<&'a str>,
}

/// What a request may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// Read the page.
    Read,
    /// Read it and act on it.
    Act,
}

/// Why a request may not even read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The page of another site has sent it.
    OtherSite,
    /// It needs a token, and has none that is valid.
    NeedsToken,
}

/// Headers that only a proxy adds.
pub(crate) const OF_PROXIES: [&str; 5] =
    ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via"];

impl Asker<'_> {
    /// Returns the names of the headers that show a proxy, in small letters.
    #[must_use]
    pub const fn headers_of_proxies() -> &'static [&'static str] {
        &OF_PROXIES
    }

    /// Returns what the request may do.
    ///
    /// # Errors
    /// If it may not read.
    pub fn right(&self, access: Access, tokens: &Tokens, now: Instant) -> Result<Right, Refused> {
        if self.is_of_another_site() {
            return Err(Refused::OtherSite);
        }
        if self.token.is_some_and(|token| tokens.is_valid(token, now)) {
            return Ok(Right::Act);
        }
        if access == Access::Local && self.is_local() {
            return Ok(Right::Read);
        }
        Err(Refused::NeedsToken)
    }

    /// Browsers name the origin of every request that changes something. One that has none comes from a program.
    fn is_of_another_site(&self) -> bool {
        let other_origin = self.origin.is_some_and(|origin| {
            let authority = origin.split_once("://").map(|(_, authority)| authority);
            authority.is_none() || authority != self.host
        });
        other_origin || self.fetch_site.is_some_and(|site| site != "same-origin" && site != "none")
    }

    fn is_local(&self) -> bool {
        self.address.to_canonical().is_loopback()
            && !self.is_forwarded
            && self.host.is_some_and(names_loopback)
    }
}

/// Whether a `Host` header, with or without a port, is that of this machine as it calls itself.
fn names_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map_or("", |(address, _)| address),
        None => host.split_once(':').map_or(host, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const LOCAL: Asker<'_> = Asker {
        address: IpAddr::V4(std::net::Ipv4Addr::LOCALHOST),
        host: Some("127.0.0.1:9641"),
        origin: None,
        fetch_site: None,
        is_forwarded: false,
        token: None,
    };

    fn right(asker: Asker<'_>) -> Result<Right, Refused> {
        asker.right(Access::Local, &Tokens::default(), Instant::now())
    }

    #[test]
    fn programs_of_this_machine_read_without_a_token() {
        for host in [
            "127.0.0.1:9641",
            "127.0.0.1",
            "localhost:8080",
            "LOCALHOST",
            "[::1]:9641",
            "127.9.9.9",
        ] {
            assert_eq!(right(Asker { host: Some(host), ..LOCAL }), Ok(Right::Read), "{host}");
        }
        for address in ["::1", "::ffff:127.0.0.1", "127.8.8.8"] {
            let address = address.parse().unwrap();
            assert_eq!(right(Asker { address, ..LOCAL }), Ok(Right::Read), "{address}");
        }
    }

    #[test]
    fn a_name_that_leads_to_this_machine_is_not_this_machine() {
        for host in [
            "evil.example",
            "evil.example:9641",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "",
            "[",
            "[::1",
            "192.0.2.1",
        ] {
            assert_eq!(
                right(Asker { host: Some(host), ..LOCAL }),
                Err(Refused::NeedsToken),
                "{host}"
            );
        }
        assert_eq!(right(Asker { host: None, ..LOCAL }), Err(Refused::NeedsToken));
    }

    #[test]
    fn others_and_proxies_need_a_token() {
        let address = "192.0.2.1".parse().unwrap();
        assert_eq!(right(Asker { address, ..LOCAL }), Err(Refused::NeedsToken));
        assert_eq!(right(Asker { is_forwarded: true, ..LOCAL }), Err(Refused::NeedsToken));
        let tokens = Tokens::default();
        assert_eq!(LOCAL.right(Access::Token, &tokens, Instant::now()), Err(Refused::NeedsToken));
    }

    #[test]
    fn who_has_a_token_may_act_from_anywhere() {
        let (tokens, now) = (Tokens::default(), Instant::now());
        let token = tokens.issue([7; 16], now, Duration::from_secs(60));
        let asker = Asker {
            address: "192.0.2.1".parse().unwrap(),
            host: Some("status.example.org"),
            origin: Some("https://status.example.org"),
            fetch_site: Some("same-origin"),
            is_forwarded: true,
            token: Some(token.expose()),
        };
        for access in [Access::Local, Access::Token] {
            assert_eq!(asker.right(access, &tokens, now), Ok(Right::Act));
            let late = now + Duration::from_secs(60);
            assert_eq!(asker.right(access, &tokens, late), Err(Refused::NeedsToken));
        }
        let local = Asker { token: Some("wrong"), ..LOCAL };
        assert_eq!(local.right(Access::Local, &tokens, now), Ok(Right::Read));
    }

    #[test]
    fn a_page_of_another_site_gets_nothing_even_with_a_token() {
        let (tokens, now) = (Tokens::default(), Instant::now());
        let token = tokens.issue([7; 16], now, Duration::from_secs(60));
        let with_token = Asker { token: Some(token.expose()), ..LOCAL };
        for origin in ["http://evil.example", "null", "http://127.0.0.1:80", "127.0.0.1:9641", ""] {
            let asker = Asker { origin: Some(origin), ..with_token };
            let outcome = asker.right(Access::Local, &tokens, now);
            assert_eq!(outcome, Err(Refused::OtherSite), "{origin}");
        }
        for site in ["cross-site", "same-site", "x"] {
            let asker = Asker { fetch_site: Some(site), ..with_token };
            assert_eq!(asker.right(Access::Local, &tokens, now), Err(Refused::OtherSite), "{site}");
        }
    }
}
