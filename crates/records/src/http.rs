//! A receiver that takes records by HTTP: POST with lines of JSON (`application/x-ndjson`).

use std::io;
use std::path::PathBuf;
use std::pin::pin;
use std::time::{Duration, SystemTime};

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{
    AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap, HeaderValue, RETRY_AFTER, USER_AGENT,
};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::receiver::{Delivery, Receiver, Refused};
use super::url::Url;
use taciturn_outbound::{Tls, connect};

/// How long a delivery may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// The longest that a receiver may want to be left alone.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// Bytes of the headers of an answer.
const HEADERS: usize = 16 * 1024;

/// Who takes the records.
#[derive(Clone, Debug)]
pub struct HttpSettings {
    /// Where to.
    pub url: Url,
    /// A file with the bearer token. It is read for each delivery.
    pub token_file: Option<PathBuf>,
    /// The certificates of the authorities that the receiver's may be from.
    pub ca_file: Option<PathBuf>,
    /// The name and the version of this program.
    pub agent: &'static str,
}

/// A receiver that takes records by HTTP.
#[derive(Debug)]
pub struct HttpReceiver {
    settings: HttpSettings,
    patience: Duration,
}

impl HttpReceiver {
    /// It is not asked for anything yet.
    ///
    /// # Errors
    /// If the token or the certificates cannot be read.
    pub fn new(settings: HttpSettings) -> io::Result<Self> {
        let receiver = Self { settings, patience: PATIENCE };
        receiver.authorization()?;
        if receiver.settings.url.tls {
            Tls::new(&receiver.settings.url.host, receiver.settings.ca_file.as_deref())?;
        }
        Ok(receiver)
    }

    #[cfg(test)]
    pub(crate) fn patient(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    fn authorization(&self) -> io::Result<Option<HeaderValue>> {
        let Some(path) = &self.settings.token_file else { return Ok(None) };
        let bad = |error: &dyn std::fmt::Display| {
            io::Error::other(format!("token_file {}: {error}", path.display()))
        };
        let token = Zeroizing::new(std::fs::read_to_string(path).map_err(|error| bad(&error))?);
        let token = token.trim();
        if token.is_empty() {
            return Err(bad(&"it is empty"));
        }
        let bearer = Zeroizing::new(format!("Bearer {token}"));
        let value = HeaderValue::from_str(&bearer);
        let mut value =
            value.map_err(|_| bad(&"its token has characters that a header cannot have"))?;
        value.set_sensitive(true);
        Ok(Some(value))
    }

    async fn post(&self, lines: &[&[u8]]) -> Result<(), Refused> {
        let HttpSettings { url, ca_file, agent, .. } = &self.settings;
        let mut body = lines.join(&b'\n');
        body.push(b'\n');
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(&url.path)
            .header(HOST, url.authority())
            .header(USER_AGENT, *agent)
            .header(CONTENT_TYPE, "application/x-ndjson");
        if let Some(token) = self.authorization().map_err(Refused::because)? {
            request = request.header(AUTHORIZATION, token);
        }
        let request = request.body(Full::new(Bytes::from(body))).map_err(Refused::because)?;
        let wire = connect(&url.host, url.port, url.tls, ca_file.as_deref()).await;
        let wire = wire.map_err(Refused::because)?;
        let mut client = hyper::client::conn::http1::Builder::new();
        client.max_buf_size(HEADERS);
        let (mut sender, connection) =
            client.handshake(TokioIo::new(wire)).await.map_err(Refused::because)?;
        let answer = async {
            let answer = sender.send_request(request).await.map_err(Refused::because)?;
            judge(answer.status(), answer.headers())
        };
        // The connection is of use for one delivery; of the answer nothing but its head is.
        let mut answer = pin!(answer);
        tokio::select! {
            answer = &mut answer => answer,
            // With its end the answer is there, or never comes.
            _ = connection => answer.await,
        }
    }
}

impl Receiver for HttpReceiver {
    fn deliver<'a>(&'a mut self, lines: &'a [&'a [u8]]) -> Delivery<'a> {
        Box::pin(async {
            let posted = timeout(self.patience, self.post(lines)).await;
            posted.unwrap_or_else(|_| {
                let seconds = self.patience.as_secs();
                Err(Refused::because(format!("no answer within {seconds} s")))
            })
        })
    }

    fn name(&self) -> String {
        self.settings.url.to_string()
    }
}

/// Every answer but success is for another try: what is wrong may be the receiver's settings, and nothing may be lost.
fn judge(status: StatusCode, headers: &HeaderMap) -> Result<(), Refused> {
    if status.is_success() {
        return Ok(());
    }
    let hint = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => ": it does not accept the token",
        status if status.is_redirection() => ": set url to where it redirects to",
        _ => "",
    };
    Err(Refused {
        why: format!("it answers {}{hint}", status.as_u16()),
        wait: headers.get(RETRY_AFTER).and_then(|value| wait(value, SystemTime::now())),
        too_long: status == StatusCode::PAYLOAD_TOO_LARGE,
    })
}

/// RFC 9110 section 10.2.3.
fn wait(value: &HeaderValue, now: SystemTime) -> Option<Duration> {
    let text = value.to_str().ok()?.trim();
    let wait = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => httpdate::parse_http_date(text).ok()?.duration_since(now).unwrap_or_default(),
    };
    Some(wait.min(LONGEST_WAIT))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_receiver_may_want_to_be_left_alone_for_an_hour_at_most() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_796_117_896);
        for (text, expected) in [
            ("7", Some(7)),
            (" 7 ", Some(7)),
            ("999999999999", Some(3600)),
            ("Tue, 01 Dec 2026 09:38:26 GMT", Some(10)),
            ("Tue, 01 Dec 2020 09:38:26 GMT", Some(0)),
            ("soon", None),
            ("-1", None),
        ] {
            let value = HeaderValue::from_str(text).unwrap();
            assert_eq!(wait(&value, now), expected.map(Duration::from_secs), "{text}");
        }
    }

    #[test]
    fn only_success_is_success() {
        let headers = HeaderMap::new();
        assert_eq!(judge(StatusCode::NO_CONTENT, &headers), Ok(()));
        for status in [301_u16, 400, 401, 404, 409, 413, 429, 500, 503] {
            let refused = judge(StatusCode::from_u16(status).unwrap(), &headers).unwrap_err();
            assert!(refused.why.contains(&status.to_string()));
            assert_eq!(refused.too_long, status == 413);
        }
    }
}
