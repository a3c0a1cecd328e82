//! `POST /ice`: makes credentials for applications, which show a token.
//!
//! A token belongs to an issuer, which has a shared secret. There are no headers of CORS: a token is for the server of an
//! application, and no page of a browser has one.

use std::fmt;
use std::iter;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{
    ALLOW, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER,
    WWW_AUTHENTICATE,
};
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use serde::Serialize;
use serde_json::json;
use tokio::time::timeout;

use super::http_responses::{JSON, respond};
use super::test_links::random;
use super::unix_time::unix_milliseconds_now;
use taciturn_config::Config;
use taciturn_config::uris::{self, Host};
use taciturn_net::external::External;
use taciturn_turn::auth::{SecretHash, SharedSecret, prepared};
use taciturn_turn::clock::Tick;
use taciturn_turn::policy::SourceBudget;
use taciturn_web::{Caller, Callers, IceRequest};

/// The path.
pub(super) const PATH: &str = "/ice";

/// The longest body of a request, in bytes, and how long it may take.
const BODY: usize = 1024;
const BODY_TIME: Duration = Duration::from_secs(3);

/// Answers 401 that a source may have in a second; beyond that they are 429.
const WRONG_TOKENS: u32 = 5;

/// Why a credential was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IceRefusal {
    /// There is no token, or a wrong one.
    Token,
    /// There were too many requests.
    Rate,
    /// The request is none.
    Request,
}

impl IceRefusal {
    /// All of them, in the order of their numbers.
    pub(super) const ALL: [Self; 3] = [Self::Token, Self::Rate, Self::Request];

    /// Its name among the metrics.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Rate => "rate",
            Self::Request => "request",
        }
    }
}

/// What credentials are made of. A reload replaces it.
#[derive(Default)]
struct Terms {
    callers: Callers,
    /// By the numbers that the callers have.
    issuers: Vec<Issuer>,
    /// Of a credential if nobody says, and at most, in seconds.
    ttl: u64,
    most: u64,
}

/// Whose credentials a token makes: everything that they are made from.
struct Issuer {
    secret: SharedSecret,
    hash: SecretHash,
    uris: Vec<String>,
}

impl Issuer {
    /// Of a configuration as those see it who get the credentials; `None` if there is nothing to make them from.
    fn of(config: &Config, found: Option<IpAddr>) -> Option<Self> {
        let uris = match config.ice.uris.is_empty() {
            true => uris::of_listeners(config, &Host::of(config, None, found)),
            false => config.ice.uris.clone(),
        };
        let hash = config.auth.secret_hashes.first().copied().unwrap_or_default();
        let secret = config.auth.secrets.first()?.secret.clone();
        (!uris.is_empty()).then_some(Self { secret, hash, uris })
    }
}

/// Credentials for applications, and what is counted of them.
pub(super) struct Ice {
    terms: ArcSwap<Terms>,
    wrong: SourceBudget,
    began: Instant,
    issued: AtomicU64,
    refused: [AtomicU64; 3],
}

impl fmt::Debug for Ice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ice").finish_non_exhaustive()
    }
}

impl Default for Ice {
    fn default() -> Self {
        Self {
            terms: ArcSwap::default(),
            wrong: SourceBudget::new(WRONG_TOKENS),
            began: Instant::now(),
            issued: AtomicU64::default(),
            refused: Default::default(),
        }
    }
}

/// An answer for `new RTCPeerConnection(...)`.
#[derive(Serialize)]
struct IceServers<'a> {
    #[serde(rename = "iceServers")]
    servers: [IceServer<'a>; 1],
}

#[derive(Serialize)]
struct IceServer<'a> {
    urls: &'a [String],
    username: &'a str,
    credential: &'a str,
}

/// A refusal: its status, and what to tell.
type Refused = (IceRefusal, StatusCode, String);

impl Ice {
    /// Has credentials made of this configuration from now on.
    pub(super) fn set_terms(&self, config: &Config, external: &External) {
        let ice = &config.ice;
        let found = external.addresses.iter().flatten().next().map(|address| address.public);
        // The server itself, and each tenant.
        let tenants = config.tenants.iter().map(|tenant| tenant.name.to_string());
        let as_tenants = tenants.filter_map(|name| config.clone().as_tenant(&name).ok());
        let all: Vec<_> = iter::once(config.clone()).chain(as_tenants).collect();
        let made: Vec<_> =
            all.iter().filter_map(|seen| Some((seen, Issuer::of(seen, found)?))).collect();
        let tokens = made.iter().enumerate().flat_map(|(number, (seen, _))| {
            seen.ice.tokens.iter().map(move |token| (token.secret.expose(), number))
        });
        let callers = Callers::new(tokens, ice.requests_per_second);
        self.terms.store(Arc::new(Terms {
            callers,
            issuers: made.into_iter().map(|(_, issuer)| issuer).collect(),
            ttl: ice.ttl.as_secs(),
            most: ice.max_ttl.as_secs(),
        }));
    }

    /// Whether there is a token.
    pub(super) fn is_on(&self) -> bool {
        !self.terms.load().callers.is_empty()
    }

    /// How many credentials were made, and how many refused, in the order of [`IceRefusal::ALL`].
    pub(super) fn counts(&self) -> (u64, [u64; 3]) {
        let refused = self.refused.each_ref().map(|count| count.load(Ordering::Relaxed));
        (self.issued.load(Ordering::Relaxed), refused)
    }

    /// Returns the answer to a request from `address`; `None` if no token is configured.
    pub(super) async fn answer(
        &self,
        request: Request<Incoming>,
        address: IpAddr,
    ) -> Option<Response<Full<Bytes>>> {
        let terms = self.terms.load_full();
        if terms.callers.is_empty() {
            return None;
        }
        if request.method() != Method::POST {
            let text = "POST only";
            let mut refused =
                self.refuse((IceRefusal::Request, StatusCode::METHOD_NOT_ALLOWED, text.to_owned()));
            refused.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
            return Some(refused);
        }
        let Some(caller) = bearer(request.headers()).and_then(|token| terms.callers.find(token))
        else {
            return Some(self.refuse_stranger(address));
        };
        if let Err(wait) = caller.take(Instant::now()) {
            return Some(self.refuse_rate(wait));
        }
        let made = match read(request, &terms).await {
            Ok(wanted) => make(&wanted, caller, &terms, unix_milliseconds_now() / 1000),
            Err(refused) => Err(refused),
        };
        Some(match made {
            Ok(text) => {
                self.issued.fetch_add(1, Ordering::Relaxed);
                respond(StatusCode::CREATED, JSON, text)
            }
            Err(refused) => self.refuse(refused),
        })
    }

    /// Refuses somebody without a token. Guesses are hopeless, for tokens are long; only the first ones are told so, and
    /// a program with a token behind the same address is served whatever others do.
    fn refuse_stranger(&self, address: IpAddr) -> Response<Full<Bytes>> {
        let now = Tick(u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX));
        if !self.wrong.take(now, address) {
            return self.refuse_rate(Duration::from_secs(1));
        }
        let text = "write the header Authorization: Bearer TOKEN, with a token of [ice]".to_owned();
        let mut refused = self.refuse((IceRefusal::Token, StatusCode::UNAUTHORIZED, text));
        let scheme = HeaderValue::from_static("Bearer");
        refused.headers_mut().insert(WWW_AUTHENTICATE, scheme);
        refused
    }

    fn refuse_rate(&self, wait: Duration) -> Response<Full<Bytes>> {
        let text = "too many requests (requests_per_second in [ice])".to_owned();
        let mut refused = self.refuse((IceRefusal::Rate, StatusCode::TOO_MANY_REQUESTS, text));
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        refused.headers_mut().insert(RETRY_AFTER, seconds.into());
        refused
    }

    fn refuse(&self, (reason, status, text): Refused) -> Response<Full<Bytes>> {
        if let Some(count) = self.refused.get(reason as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        respond(status, JSON, json!({ "error": text }).to_string())
    }
}

/// The token of a request (RFC 6750 section 2.1).
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.as_bytes().split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| token.trim_ascii())
}

/// Reads the body.
async fn read(request: Request<Incoming>, terms: &Terms) -> Result<IceRequest, Refused> {
    let refused = |status: StatusCode, text: &str| (IceRefusal::Request, status, text.to_owned());
    let too_large = || refused(StatusCode::PAYLOAD_TOO_LARGE, "the body is longer than 1024 bytes");
    let header = |name: HeaderName| request.headers().get(name)?.to_str().ok();
    let length = header(CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok());
    if length.is_some_and(|length| length > BODY as u64) {
        return Err(too_large());
    }
    let is_json = header(CONTENT_TYPE).is_some_and(is_json);
    let body = Limited::new(request.into_body(), BODY).collect();
    let body = match timeout(BODY_TIME, body).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => return Err(too_large()),
        Ok(Err(_)) | Err(_) => {
            return Err(refused(StatusCode::BAD_REQUEST, "the body did not arrive"));
        }
    };
    if !body.is_empty() && !is_json {
        let text = "write the header Content-Type: application/json";
        return Err(refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, text));
    }
    IceRequest::read(&body, terms.most).map_err(|text| refused(StatusCode::BAD_REQUEST, &text))
}

/// Whether a value of Content-Type names JSON, whatever its parameters are.
fn is_json(value: &str) -> bool {
    value.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case(JSON))
}

/// Makes a credential. Returns the answer as JSON.
fn make(wanted: &IceRequest, caller: &Caller, terms: &Terms, now: u64) -> Result<String, Refused> {
    let user = match &wanted.user {
        // Clients send it so, and quotas and bans go by it.
        Some(user) => prepared(user).map(|user| user.into_owned()).map_err(|_| {
            let text = "user has an invisible or unassigned character".to_owned();
            (IceRefusal::Request, StatusCode::BAD_REQUEST, text)
        })?,
        // A user of its own: the quota of one would be for all.
        None => random::<8>().iter().map(|byte| format!("{byte:02x}")).collect(),
    };
    let Some(Issuer { secret, hash, uris }) = terms.issuers.get(caller.issuer()) else {
        // What is configured has both.
        let text = "there is nothing to make it from".to_owned();
        return Err((IceRefusal::Request, StatusCode::SERVICE_UNAVAILABLE, text));
    };
    let expires = now.saturating_add(wanted.ttl.unwrap_or(terms.ttl));
    let username = format!("{expires}:{user}");
    let password = secret.password_by(*hash, &username);
    let server = IceServer { urls: uris, username: &username, credential: &password };
    // Strings: no value of these types fails.
    Ok(serde_json::to_string(&IceServers { servers: [server] }).unwrap_or_default())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn terms() -> Terms {
        let secret = SharedSecret::new(*b"a secret of the first rank");
        Terms {
            callers: Callers::new([(&b"token"[..], 0)], 5),
            issuers: vec![Issuer {
                secret,
                hash: SecretHash::Sha256,
                uris: vec!["turn:192.0.2.1:3478?transport=udp".to_owned()],
            }],
            ttl: 3600,
            most: 7200,
        }
    }

    fn made(wanted: IceRequest) -> Value {
        let terms = terms();
        let caller = terms.callers.find(b"token").unwrap();
        serde_json::from_str(&make(&wanted, caller, &terms, 1_000_000).unwrap()).unwrap()
    }

    #[test]
    fn a_credential_is_what_the_secret_makes_of_the_name_with_its_end() {
        let alice = "@alice:domain.org".to_owned();
        let made = made(IceRequest { ttl: Some(60), user: Some(alice) });
        let name = "1000060:@alice:domain.org";
        let secret = SharedSecret::new(*b"a secret of the first rank");
        let expected = json!({ "iceServers": [{
            "urls": ["turn:192.0.2.1:3478?transport=udp"],
            "username": name,
            "credential": secret.password_by(SecretHash::Sha256, name).as_str(),
        }]});
        assert_eq!(made, expected);
    }

    #[test]
    fn without_a_user_each_is_a_user_of_its_own_and_has_the_usual_life() {
        let name = || {
            let made = made(IceRequest::default());
            made["iceServers"][0]["username"].as_str().unwrap().to_owned()
        };
        let (one, other) = (name(), name());
        assert!(one.starts_with("1003600:") && other.starts_with("1003600:"), "{one}");
        assert_ne!(one, other);
    }

    #[test]
    fn a_name_that_no_client_can_send_is_refused() {
        let terms = terms();
        let caller = terms.callers.find(b"token").unwrap();
        let wanted = IceRequest { ttl: None, user: Some("\u{200b}".to_owned()) };
        let (reason, status, text) = make(&wanted, caller, &terms, 1).unwrap_err();
        assert_eq!((reason, status), (IceRefusal::Request, StatusCode::BAD_REQUEST));
        assert!(text.contains("invisible"), "{text}");
    }

    #[test]
    fn the_scheme_is_bearer_in_any_case_and_a_kind_may_have_parameters() {
        let token = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, HeaderValue::from_static(text));
            bearer(&headers).map(<[u8]>::to_vec)
        };
        assert_eq!(token("Bearer abc"), Some(b"abc".to_vec()));
        assert_eq!(token("bearer  abc "), Some(b"abc".to_vec()));
        for other in ["Basic abc", "Bearer", "Bearerabc", ""] {
            assert_eq!(token(other), None, "{other}");
        }
        assert_eq!(bearer(&HeaderMap::new()), None);
        assert!(is_json("application/json") && is_json("Application/JSON; charset=utf-8"));
        assert!(!is_json("text/plain") && !is_json("application/jsonp") && !is_json(""));
    }
}
