//! Answers over HTTP, with the headers that all of them have.

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use serde::Serialize;

use taciturn_web::HEADERS;

/// The kind of an answer for programs.
pub(super) const JSON: &str = "application/json";

pub(super) fn json(data: &impl Serialize) -> Response<Full<Bytes>> {
    match serde_json::to_string(data) {
        Ok(text) => respond(StatusCode::OK, JSON, text),
        // Numbers and strings: no value of these types fails.
        Err(_) => respond(StatusCode::INTERNAL_SERVER_ERROR, JSON, "{}"),
    }
}

pub(super) fn respond(
    status: StatusCode,
    kind: &'static str,
    text: impl Into<Bytes>,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    for (name, value) in HEADERS {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    response
}
