//! One GET, with a bound on its time and on what is read.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::pki_types::CertificateDer;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, Error};

use crate::client::tls_words;

/// What one request is given, from the name to the last byte.
const PATIENCE: Duration = Duration::from_secs(8);

/// A homeserver's answers here are far shorter.
const LONGEST: u64 = 256 * 1024;

/// What came back.
#[derive(Clone, Debug)]
pub(super) struct Response {
    pub(super) status: u16,
    /// The server's time of the answer, in seconds since 1970.
    pub(super) date: Option<u64>,
    pub(super) body: String,
    /// Where a redirect leads.
    pub(super) location: Option<String>,
}

/// Why nothing came back.
#[derive(Debug, thiserror::Error)]
pub(super) enum HttpError {
    /// The certificate is not trusted.
    #[error("{}", tls_words::of_certificate(.0))]
    Certificate(rustls::CertificateError),
    /// No TLS.
    #[error("TLS fails: {0}")]
    Tls(String),
    /// No such name.
    #[error("there is no such host")]
    Name,
    /// Nothing listens there.
    #[error("nothing listens there: the connection is refused")]
    Refused,
    /// It ended before the answer.
    #[error("the connection ended before an answer came")]
    Cut,
    /// Something else than HTTP answers, or TLS is spoken on the port.
    #[error(
        "what answers there is no HTTP: is it a port for TLS (https://), or another program's?"
    )]
    NotHttp,
    /// Too slow.
    #[error("no answer within {} s", PATIENCE.as_secs())]
    Slow,
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

/// Gets web pages.
pub(super) struct Http {
    agent: Agent,
    /// Trusts the authorities that the user names, and no other.
    extra: Option<Agent>,
}

impl Http {
    /// Trusts the authorities of browsers, and `extra`.
    pub(super) fn new(extra: &[CertificateDer<'static>]) -> Self {
        let agent = |tls: TlsConfig| {
            let config = Agent::config_builder()
                .timeout_global(Some(PATIENCE))
                .http_status_as_error(false)
                .user_agent(concat!("turnctl/", env!("CARGO_PKG_VERSION")))
                .tls_config(tls)
                .build();
            Agent::new_with_config(config)
        };
        let of = |der: &CertificateDer<'_>| Certificate::from_der(der).to_owned();
        let extra: Vec<_> = extra.iter().map(of).collect();
        let extra = (!extra.is_empty()).then(|| {
            let roots = RootCerts::Specific(Arc::new(extra));
            agent(TlsConfig::builder().root_certs(roots).build())
        });
        let roots = TlsConfig::builder().root_certs(RootCerts::WebPki).build();
        Self { agent: agent(roots), extra }
    }

    /// Gets `url`; `token` goes into the Authorization header and nowhere else.
    pub(super) fn get(&self, url: &str, token: Option<&str>) -> Result<Response, HttpError> {
        match (get(&self.agent, url, token), &self.extra) {
            (Err(HttpError::Certificate(_)), Some(extra)) => get(extra, url, token),
            (result, _) => result,
        }
    }
}

fn get(agent: &Agent, url: &str, token: Option<&str>) -> Result<Response, HttpError> {
    let mut request = agent.get(url);
    if let Some(token) = token {
        request = request.header("Authorization", format!("Bearer {token}"));
    }
    // A token goes to the address that was named, and to no other.
    let config = request.config();
    let config = if token.is_some() {
        config.max_redirects(0).max_redirects_will_error(false)
    } else {
        config
    };
    let mut response = config.build().call().map_err(explain)?;
    let location = response.headers().get("location").and_then(|value| value.to_str().ok());
    let location = location.map(str::to_owned);
    let date = response.headers().get("date").and_then(|value| value.to_str().ok());
    let date = date.and_then(|text| httpdate::parse_http_date(text).ok());
    let seconds = |date: SystemTime| Some(date.duration_since(UNIX_EPOCH).ok()?.as_secs());
    Ok(Response {
        status: response.status().as_u16(),
        date: date.and_then(seconds),
        location,
        body: response
            .body_mut()
            .with_config()
            .limit(LONGEST)
            .lossy_utf8(true)
            .read_to_string()
            .map_err(explain)?,
    })
}

fn explain(error: Error) -> HttpError {
    let of_tls = |error: &rustls::Error| match error {
        rustls::Error::InvalidCertificate(fault) => HttpError::Certificate(fault.clone()),
        other => HttpError::Tls(tls_words::of(other)),
    };
    match &error {
        Error::Rustls(tls) => of_tls(tls),
        Error::Io(io) => {
            let tls = io.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
            match (tls, io.kind()) {
                (Some(tls), _) => of_tls(tls),
                (None, ErrorKind::ConnectionRefused) => HttpError::Refused,
                (
                    None,
                    ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof | ErrorKind::BrokenPipe,
                ) => HttpError::Cut,
                (None, ErrorKind::TimedOut) => HttpError::Slow,
                (None, _) => HttpError::Other(io.to_string()),
            }
        }
        Error::HostNotFound => HttpError::Name,
        Error::ConnectionFailed => HttpError::Refused,
        Error::Protocol(_) => HttpError::NotHttp,
        Error::Timeout(_) => HttpError::Slow,
        other => HttpError::Other(other.to_string()),
    }
}
