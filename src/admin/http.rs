//! Metrics, health, the status page and credentials for applications over HTTP.

use std::convert::Infallible;
use std::future::pending;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use super::cached::Cached;
use super::http_connections::{Asked, HttpConnections};
use super::ice;
use super::metrics;
use super::overview::take_samples;
use super::page::Page;
use super::server_handle::ServerHandle;
use taciturn_net::Snapshot;
use taciturn_web::Access;

/// How long the head of a request may take.
const REQUEST_TIME: Duration = Duration::from_secs(3);

/// How long one connection may take, its answer included. The status page may come over a slow line.
const CONNECTION_TIME: Duration = Duration::from_secs(10);

/// Time limit for the workers. A healthy one takes milliseconds.
const WORKER_TIME: Duration = Duration::from_secs(2);

/// The longest head of a request, in bytes.
const HEAD: usize = 8192;

/// How long accepting rests when the system has no descriptor left.
const EXHAUSTED: Duration = Duration::from_millis(100);

/// The pages for programs.
const PAGES: [&str; 3] = ["/metrics", "/live", "/ready"];

/// The page formats of Prometheus.
const METRICS: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// Listens on `address`. To be called while the process may still bind any port.
///
/// # Errors
/// When the address cannot be had.
pub fn bind(address: SocketAddr) -> std::io::Result<std::net::TcpListener> {
    let socket = std::net::TcpListener::bind(address)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Serves the socket in the current runtime, for as long as that runs, or until the task is aborted; with `access`, the
/// status page too. Returns the bound address.
///
/// # Errors
/// When the runtime does not take the socket.
pub fn start(
    socket: std::net::TcpListener,
    server: ServerHandle,
    access: Option<Access>,
) -> std::io::Result<(SocketAddr, AbortHandle)> {
    let bound = socket.local_addr()?;
    let socket = TcpListener::from_std(socket)?;
    let task = match access {
        Some(access) => {
            server.page.set_address(format!("http://{bound}/"));
            let page = Page::new(server.clone(), access);
            let samples = take_samples(server.clone());
            tokio::spawn(async move {
                tokio::join!(serve(socket, server, Some(page)), samples);
            })
        }
        None => tokio::spawn(serve(socket, server, None)),
    };
    Ok((bound, task.abort_handle()))
}

/// The state that all connections share.
struct Site {
    server: ServerHandle,
    counts: Cached<Arc<Snapshot>>,
    alive: Cached<()>,
    page: Option<Page>,
}

async fn serve(socket: TcpListener, server: ServerHandle, page: Option<Page>) {
    let site = Arc::new(Site { server, counts: Cached::default(), alive: Cached::default(), page });
    let mut guests = HttpConnections::default();
    loop {
        let Ok((stream, from)) = socket.accept().await else {
            sleep(EXHAUSTED).await;
            continue;
        };
        let (site, asked) = (Arc::clone(&site), Asked::default());
        let (has_asked, has_asked_too) = (asked.clone(), asked.clone());
        let task = tokio::spawn(async move {
            let answer = service_fn(|request| {
                has_asked.note();
                answer(request, from.ip(), &site)
            });
            let mut http = http1::Builder::new();
            http.keep_alive(false).max_buf_size(HEAD);
            let connection = http.serve_connection(TokioIo::new(stream), answer);
            let silent = async {
                sleep(REQUEST_TIME).await;
                if has_asked_too.is_noted() {
                    pending::<()>().await;
                }
            };
            // Who goes away, or is too slow, gets no answer.
            tokio::select! {
                _ = timeout(CONNECTION_TIME, connection) => {}
                () = silent => {}
            }
        });
        guests.add(task.abort_handle(), asked);
    }
}

async fn answer(
    request: Request<Incoming>,
    from: IpAddr,
    site: &Site,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path().to_owned();
    if path == ice::PATH {
        let answered = site.server.ice.answer(request, from).await;
        return Ok(answered.unwrap_or_else(|| not_found(site.page.is_some())));
    }
    if !PAGES.contains(&path.as_str()) {
        let answered = match &site.page {
            Some(page) => page.answer(request, from).await,
            None => None,
        };
        return Ok(answered.unwrap_or_else(|| not_found(site.page.is_some())));
    }
    if request.method() != Method::GET && request.method() != Method::HEAD {
        let mut refused = page(StatusCode::METHOD_NOT_ALLOWED, TEXT, "GET only\n".to_owned());
        refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return Ok(refused);
    }
    // Each page is a question to the workers: one that hangs is not live. Health does without their
    // counts, which cost a system call for each of their sockets.
    let workers = &site.server.workers;
    let answered = match path.as_str() {
        "/metrics" => {
            let count = async { workers.count().await.map(Arc::new) };
            let counts = timeout(WORKER_TIME, site.counts.get(count)).await;
            counts.map(|counts| counts.map(|now| metrics::page(&site.server, &now)))
        }
        _ => {
            let alive = timeout(WORKER_TIME, site.alive.get(workers.ping())).await;
            alive.map(|alive| alive.map(|()| "ok\n".to_owned()))
        }
    };
    let Ok(Ok(text)) = answered else {
        let text = "a worker does not respond\n".to_owned();
        return Ok(page(StatusCode::SERVICE_UNAVAILABLE, TEXT, text));
    };
    Ok(match path.as_str() {
        "/metrics" => page(StatusCode::OK, METRICS, text),
        "/ready" if !site.server.health().is_ready() => {
            page(StatusCode::SERVICE_UNAVAILABLE, TEXT, "draining\n".to_owned())
        }
        _ => page(StatusCode::OK, TEXT, text),
    })
}

fn not_found(has_page: bool) -> Response<Full<Bytes>> {
    let status = if has_page { ", / (the status page)" } else { "" };
    let pages = format!("The pages are /metrics, /live, /ready{status}.\n");
    page(StatusCode::NOT_FOUND, TEXT, pages)
}

fn page(status: StatusCode, kind: HeaderValue, text: String) -> Response<Full<Bytes>> {
    let mut page = Response::new(Full::new(Bytes::from(text)));
    *page.status_mut() = status;
    page.headers_mut().insert(CONTENT_TYPE, kind);
    page
}
