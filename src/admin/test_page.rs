//! The page of a test link over HTTP: its files, and what it asks.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE, HOST, HeaderValue, LOCATION, ORIGIN};
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use serde::Deserialize;
use tokio::time::timeout;

use super::http_responses::{JSON, json, respond};
use super::server_handle::ServerHandle;
use super::test_links::{new_guest, random};
use super::test_report;
use super::unix_time::unix_milliseconds_now;
use taciturn_turn::GUEST_TIME;
use taciturn_web::test::{Begin, ClientReport, NotBegun, NotLeft, Signal, TestPath};
use taciturn_web::test_asset;

/// The longest body of a request, in bytes, and how long it may take.
const BODY: usize = 8192;
const BODY_TIME: Duration = Duration::from_secs(10);

/// Time limit for the workers. A healthy one takes milliseconds.
const WORKER_TIME: Duration = Duration::from_secs(2);

type Answer = Response<Full<Bytes>>;

/// Why a request is not answered with what it asks for.
type Failed = (StatusCode, &'static str);

/// It is none.
const NO_REQUEST: Failed = (StatusCode::BAD_REQUEST, "request");

/// The page behind all links of a server.
pub(super) struct TestPage {
    server: ServerHandle,
}

impl TestPage {
    pub(super) const fn new(server: ServerHandle) -> Self {
        Self { server }
    }

    /// Returns the answer to a request from `address`; `None` if it has not the token of a link, or its source has asked
    /// too often.
    pub(super) async fn answer(
        &self,
        request: Request<Incoming>,
        address: IpAddr,
    ) -> Option<Answer> {
        let path = request.uri().path().to_owned();
        let TestPath { token, rest } = TestPath::parse(&path)?;
        let tests = &self.server.tests;
        if !tests.links.knows(token, Instant::now()) || !tests.takes_request(address) {
            return None;
        }
        let is_read = request.method() == Method::GET || request.method() == Method::HEAD;
        let Some(rest) = rest else { return Some(to_the_slash(token)) };
        if let Some(asset) = test_asset(rest) {
            return Some(match is_read {
                true => respond(StatusCode::OK, asset.kind, asset.text),
                false => not_allowed("GET, HEAD"),
            });
        }
        if !matches!(rest, "begin" | "report" | "signal") {
            return Some(failed(StatusCode::NOT_FOUND, "path"));
        }
        if request.method() != Method::POST {
            return Some(not_allowed("POST"));
        }
        if !is_of_this_page(request.headers()) {
            return Some(failed(StatusCode::FORBIDDEN, "other-site"));
        }
        let body = match read(request).await {
            Ok(body) => body,
            Err((status, error)) => return Some(failed(status, error)),
        };
        Some(match rest {
            "begin" => self.begin(token, address),
            "report" => match parse::<ClientReport>(&body) {
                Ok(report) => self.report(token, &report).await,
                Err((status, error)) => failed(status, error),
            },
            _ => match parse::<Signal>(&body) {
                Ok(signal) => self.signal(token, signal),
                Err((status, error)) => failed(status, error),
            },
        })
    }

    fn begin(&self, token: &str, address: IpAddr) -> Answer {
        let tests = &self.server.tests;
        let unix = unix_milliseconds_now() / 1000;
        let new = new_guest();
        let admit = || tests.guests.admit(new.clone(), unix).map(|guest| guest.name().to_owned());
        let begun = tests.links.begin(token, random(), (Instant::now(), unix), address, admit);
        let begun = match begun {
            Ok(begun) => begun,
            Err(NotBegun::Unknown | NotBegun::Ended) => return failed(StatusCode::GONE, "ended"),
            Err(NotBegun::Busy) => return failed(StatusCode::TOO_MANY_REQUESTS, "busy"),
        };
        json(&Begin {
            id: &begun.id,
            username: &new.name,
            credential: &new.password,
            lifetime: GUEST_TIME.as_secs(),
            uris: &tests.terms().uris,
            people: begun.people,
            token_ends: begun.ends_at,
        })
    }

    async fn report(&self, token: &str, report: &ClientReport) -> Answer {
        let tests = &self.server.tests;
        let Some(tested) = tests.links.tested(token, &report.id, Instant::now()) else {
            return failed(StatusCode::NOT_FOUND, "unknown");
        };
        let joined = timeout(WORKER_TIME, test_report::join(&self.server, &tested, report)).await;
        let Ok(Ok((kept, verdict))) = joined else {
            return failed(StatusCode::SERVICE_UNAVAILABLE, "hangs");
        };
        let answer = json(&test_report::outcome(&kept, &verdict));
        tests.links.keep(Instant::now(), kept);
        answer
    }

    fn signal(&self, token: &str, signal: Signal) -> Answer {
        let Signal { id, data, after } = signal;
        match self.server.tests.links.signal(token, &id, data, after, Instant::now()) {
            Ok(signals) => json(&signals),
            Err(NotLeft::Unknown) => failed(StatusCode::NOT_FOUND, "unknown"),
            Err(NotLeft::Long) => failed(StatusCode::PAYLOAD_TOO_LARGE, "long"),
            Err(NotLeft::TooMany) => failed(StatusCode::TOO_MANY_REQUESTS, "busy"),
        }
    }
}

/// Whether the page itself has sent a request: browsers name the page's origin, and no other site can name this one.
fn is_of_this_page(headers: &HeaderMap) -> bool {
    let text = |value: Option<&HeaderValue>| {
        value.and_then(|value| value.to_str().ok()).map(str::to_owned)
    };
    let (host, origin) = (text(headers.get(HOST)), text(headers.get(ORIGIN)));
    let authority = origin.as_deref().and_then(|origin| origin.split_once("://")).map(|(_, at)| at);
    let site = text(headers.get("sec-fetch-site"));
    let is_json = text(headers.get(CONTENT_TYPE)).is_some_and(|kind| kind.starts_with(JSON));
    host.is_some()
        && authority == host.as_deref()
        && is_json
        && site.is_none_or(|site| site == "same-origin")
}

async fn read(request: Request<Incoming>) -> Result<Bytes, Failed> {
    let body = Limited::new(request.into_body(), BODY).collect();
    match timeout(BODY_TIME, body).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            Err((StatusCode::PAYLOAD_TOO_LARGE, "long"))
        }
        Ok(Err(_)) | Err(_) => Err(NO_REQUEST),
    }
}

fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Failed> {
    serde_json::from_slice(body).map_err(|_| NO_REQUEST)
}

/// The page itself is behind the slash; no other address is named, for a proxy may have another one.
fn to_the_slash(token: &str) -> Answer {
    let mut response = failed(StatusCode::PERMANENT_REDIRECT, "slash");
    if let Ok(place) = HeaderValue::from_str(&format!("{token}/")) {
        response.headers_mut().insert(LOCATION, place);
    }
    response
}

fn not_allowed(methods: &'static str) -> Answer {
    let mut response = failed(StatusCode::METHOD_NOT_ALLOWED, "method");
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
    response
}

fn failed(status: StatusCode, error: &str) -> Answer {
    respond(status, JSON, format!("{{\"error\":\"{error}\"}}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (hyper::header::HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn only_the_page_itself_may_post() {
        let good = [
            ("host", "turn.example.org:5349"),
            ("origin", "https://turn.example.org:5349"),
            ("content-type", "application/json"),
            ("sec-fetch-site", "same-origin"),
        ];
        assert!(is_of_this_page(&headers(&good)));
        assert!(is_of_this_page(&headers(&good[..3])));
        for (at, value) in [
            (0, "evil.example"),
            (1, "https://evil.example"),
            (1, "null"),
            (1, "turn.example.org:5349"),
            (1, "https://turn.example.org"),
            (2, "text/plain"),
            (3, "cross-site"),
            (3, "none"),
        ] {
            let mut other = good;
            other[at].1 = value;
            assert!(!is_of_this_page(&headers(&other)), "{value}");
        }
        for missing in 0..3 {
            let mut fewer = good.to_vec();
            fewer.remove(missing);
            assert!(!is_of_this_page(&headers(&fewer)), "without {}", good[missing].0);
        }
    }
}
