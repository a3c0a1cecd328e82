//! The status page over HTTP: its files, its data, and the two actions.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, HOST, HeaderName, HeaderValue, ORIGIN};
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::cached::Cached;
use super::http_responses::{JSON, json, respond};
use super::overview::overview;
use super::server_handle::ServerHandle;
use taciturn_control::TestLink;
use taciturn_turn::Whose;
use taciturn_web::{Access, Asker, Overview, Refused, Right, asset};

/// Time limit for the workers. A healthy one takes milliseconds.
const WORKER_TIME: Duration = Duration::from_secs(2);

/// The longest body of a request, in bytes.
const BODY: usize = 1024;

/// How long a test link is valid, and for how many people.
const LINK_SECONDS: u64 = 3600;
const PEOPLE: u32 = 2;

/// The header that has the token. Cookies would go to every port of the host, and `Authorization` may be a proxy's own.
const TOKEN: &str = "taciturn-token";

/// The page of one server.
pub(super) struct Page {
    server: ServerHandle,
    access: Access,
    overview: Cached<Arc<Overview>>,
}

/// The overview, and what the one who asks for it may do.
#[derive(Serialize)]
struct View<'a> {
    may_act: bool,
    #[serde(flatten)]
    overview: &'a Overview,
}

/// Which session to end.
#[derive(Deserialize)]
struct Kick {
    client: SocketAddr,
}

/// How many were ended.
#[derive(Serialize)]
struct Kicked {
    kicked: usize,
}

/// A test link that was made.
#[derive(Serialize)]
struct Made {
    url: String,
    /// In seconds since 1970.
    ends_at: u64,
}

impl Page {
    pub(super) fn new(server: ServerHandle, access: Access) -> Self {
        Self { server, access, overview: Cached::default() }
    }

    /// Returns the answer to a request from `address`; `None` if its path is none of the page.
    pub(super) async fn answer(
        &self,
        request: Request<Incoming>,
        address: IpAddr,
    ) -> Option<Response<Full<Bytes>>> {
        let is_read = request.method() == Method::GET || request.method() == Method::HEAD;
        let path = request.uri().path();
        if let Some(asset) = asset(path) {
            return Some(match is_read {
                true => respond(StatusCode::OK, asset.kind, asset.text),
                false => not_allowed("GET, HEAD"),
            });
        }
        let right = right(request.headers(), address, self.access, &self.server);
        Some(match (path, is_read, right) {
            ("/api/overview" | "/api/history" | "/api/kick" | "/api/link", _, Err(refused)) => {
                denied(refused)
            }
            ("/api/overview", true, Ok(right)) => self.overview(right).await,
            ("/api/history", true, Ok(_)) => json(&self.server.page.samples()),
            ("/api/overview" | "/api/history", false, Ok(_)) => not_allowed("GET, HEAD"),
            ("/api/kick" | "/api/link", _, Ok(_)) if request.method() != Method::POST => {
                not_allowed("POST")
            }
            ("/api/kick" | "/api/link", _, Ok(Right::Read)) => denied(Refused::NeedsToken),
            ("/api/kick", _, Ok(Right::Act)) => self.kick(request).await,
            ("/api/link", _, Ok(Right::Act)) => self.link(),
            _ => return None,
        })
    }

    async fn overview(&self, right: Right) -> Response<Full<Bytes>> {
        let now = async { overview(&self.server).await.map(Arc::new) };
        match timeout(WORKER_TIME, self.overview.get(now)).await {
            Ok(Ok(overview)) => json(&View { may_act: right == Right::Act, overview: &overview }),
            Ok(Err(_)) | Err(_) => hangs(),
        }
    }

    /// Makes a test link as `turnctl test-link` does.
    fn link(&self) -> Response<Full<Bytes>> {
        match self.server.tests.issue(LINK_SECONDS, PEOPLE) {
            Ok(TestLink { address, path, ends_at, number, .. }) => {
                tracing::info!(number, "test link made, on the status page");
                json(&Made { url: address + &path, ends_at })
            }
            Err(error) => {
                let text = serde_json::json!({ "error": error.to_string() }).to_string();
                respond(StatusCode::CONFLICT, JSON, text)
            }
        }
    }

    async fn kick(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let body = Limited::new(request.into_body(), BODY).collect().await;
        let kick = body.ok().and_then(|body| serde_json::from_slice::<Kick>(&body.to_bytes()).ok());
        let Some(Kick { client }) = kick else {
            let text = r#"{"error":"not a request: write {\"client\":\"ADDRESS:PORT\"}"}"#;
            return respond(StatusCode::BAD_REQUEST, JSON, text);
        };
        let whose = Whose { client: Some(client), ..Whose::default() };
        match timeout(WORKER_TIME, self.server.workers.kick(&whose)).await {
            Ok(Ok(kicked)) => {
                tracing::info!(%client, allocations = kicked, "ended by the operator, on the status page");
                json(&Kicked { kicked })
            }
            Ok(Err(_)) | Err(_) => hangs(),
        }
    }
}

fn right(
    headers: &HeaderMap,
    address: IpAddr,
    access: Access,
    server: &ServerHandle,
) -> Result<Right, Refused> {
    // What is no text is as wrong as another site.
    let text = |name: HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let asker = Asker {
        address,
        host: text(HOST),
        origin: text(ORIGIN),
        fetch_site: text(HeaderName::from_static("sec-fetch-site")),
        is_forwarded: Asker::headers_of_proxies().iter().any(|name| headers.contains_key(*name)),
        token: text(HeaderName::from_static(TOKEN)),
    };
    asker.right(access, &server.page.tokens, Instant::now())
}

fn denied(refused: Refused) -> Response<Full<Bytes>> {
    match refused {
        Refused::OtherSite => respond(StatusCode::FORBIDDEN, JSON, r#"{"error":"other-site"}"#),
        Refused::NeedsToken => {
            respond(StatusCode::UNAUTHORIZED, JSON, r#"{"error":"needs-token"}"#)
        }
    }
}

fn hangs() -> Response<Full<Bytes>> {
    let text = r#"{"error":"a worker does not respond"}"#;
    respond(StatusCode::SERVICE_UNAVAILABLE, JSON, text)
}

fn not_allowed(methods: &'static str) -> Response<Full<Bytes>> {
    let text = r#"{"error":"method"}"#;
    let mut response = respond(StatusCode::METHOD_NOT_ALLOWED, JSON, text);
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
    response
}
