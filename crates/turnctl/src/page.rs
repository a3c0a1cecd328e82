//! `turnctl page`: the address of the status page, with a token that lets its reader act.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::time::Duration;

use clap::Args;

use super::CtlError;
use super::certs::date;
use super::socket::{SocketArgs, another_answer, ask_once};
use taciturn_config::{Environment, parse_duration};
use taciturn_control::{Answer, PageToken, Request};

/// The arguments of `page`.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Examples:\n  turnctl page\n  turnctl page --for 1h --url https://status.domain.org"
)]
pub struct PageArgs {
    #[command(flatten)]
    socket: SocketArgs,
    /// How long the token is valid, from 1m to 30d
    #[arg(long = "for", value_name = "TIME", default_value = "12h", value_parser = duration)]
    valid: Duration,
    /// Where the page is published, if not at the server's own address
    #[arg(long, value_name = "URL", value_parser = url)]
    url: Option<String>,
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| "write a number and s, m, h or d".to_owned())
}

pub(super) fn url(text: &str) -> Result<String, String> {
    let is_url = text.starts_with("https://") || text.starts_with("http://");
    if is_url && !text.contains(['#', '?', ' ']) {
        Ok(format!("{}/", text.trim_end_matches('/')))
    } else {
        Err("write the address of the page, such as https://status.domain.org".to_owned())
    }
}

/// Prints the address with a token.
pub(super) fn run(args: &PageArgs, env: &Environment, out: &mut dyn Write) -> Result<(), CtlError> {
    let request = Request::Page { for_seconds: args.valid.as_secs() };
    match ask_once(&args.socket, env, &request, out)? {
        _ if args.socket.json => Ok(()),
        Answer::Page(token) => Ok(print(&token, args.url.as_deref(), out)?),
        other => Err(another_answer(&other)),
    }
}

fn print(page: &PageToken, url: Option<&str>, out: &mut dyn Write) -> io::Result<()> {
    let PageToken { address, token, expires_at } = page;
    writeln!(out, "{}#token={token}", url.unwrap_or(address))?;
    let until = date(i64::try_from(*expires_at).unwrap_or(i64::MAX));
    writeln!(
        out,
        "\nWhoever has this address can read the status page and end sessions until {until}."
    )?;
    if url.is_some() {
        return Ok(());
    }
    let authority = address.trim_start_matches("http://").trim_end_matches('/');
    let Ok(at) = authority.parse::<SocketAddr>() else { return Ok(()) };
    if at.ip().is_loopback() {
        writeln!(out, "Only programs on the server reach it. From another machine, first:\n")?;
        writeln!(out, "  ssh -L {}:{at} SERVER", at.port())
    } else {
        writeln!(out, "It comes over HTTP without TLS: others in the network can read along.")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(address: &str, url: Option<&str>) -> String {
        let token = PageToken {
            address: address.to_owned(),
            token: "0123abcd".to_owned(),
            expires_at: 1_800_000_000,
        };
        let mut out = Vec::new();
        print(&token, url, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_address_has_the_token_where_no_server_logs_it() {
        let text = printed("http://127.0.0.1:9641/", None);
        assert!(text.starts_with("http://127.0.0.1:9641/#token=0123abcd\n"), "{text}");
        assert!(text.contains("until Fri, 15 Jan 2027 08:00:00 GMT"), "{text}");
        assert!(text.contains("  ssh -L 9641:127.0.0.1:9641 SERVER\n"), "{text}");
        let text = printed("http://[::1]:9641/", None);
        assert!(text.contains("  ssh -L 9641:[::1]:9641 SERVER\n"), "{text}");
        let text = printed("http://192.0.2.1:9641/", None);
        assert!(text.contains("without TLS") && !text.contains("ssh"), "{text}");
    }

    #[test]
    fn a_published_page_has_its_own_address() {
        for given in ["https://status.domain.org", "https://status.domain.org/"] {
            let url = url(given).unwrap();
            let text = printed("http://127.0.0.1:9641/", Some(&url));
            assert!(text.starts_with("https://status.domain.org/#token=0123abcd\n"), "{text}");
            assert!(!text.contains("ssh"), "{text}");
        }
        for wrong in ["status.domain.org", "ftp://x", "https://x/#y", "https://x/?y", "https://x y"]
        {
            assert!(url(wrong).is_err(), "{wrong}");
        }
    }
}
