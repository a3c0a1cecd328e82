//! Serves the page of a test link to visitors: connections of the workers' listeners whose first bytes had the secret of
//! a link, and no others.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use super::server_handle::ServerHandle;
use super::test_links::{Door, QUEUE};
use super::test_page::TestPage;
use taciturn_net::{Reception, Visitor};
use taciturn_turn::policy::subscriber;

/// Connections at a time, and of one source. A browser opens six, and two phones may have one address.
const MOST: usize = 48;
const MOST_OF_ONE: usize = 24;

/// The longest head of a request, in bytes.
const HEAD: usize = 8192;

/// How long a head may take, and how long a connection may be silent.
const HEAD_TIME: Duration = Duration::from_secs(10);

/// When a connection is asked to end, and when it is closed.
const CONNECTION_TIME: Duration = Duration::from_secs(50);
const LAST_ANSWER: Duration = Duration::from_secs(10);

/// Serves visitors in the runtime at hand, for as long as that runs, or until the task is aborted.
pub fn start(server: &ServerHandle, reception: &Reception) -> AbortHandle {
    let (visitors, come) = mpsc::channel(QUEUE);
    reception.open(Box::new(Door { tests: Arc::clone(&server.tests), visitors }));
    let page = Arc::new(TestPage::new(server.clone()));
    tokio::spawn(serve(come, page)).abort_handle()
}

async fn serve(mut visitors: mpsc::Receiver<Visitor>, page: Arc<TestPage>) {
    let mut guests: Vec<(u128, AbortHandle)> = Vec::new();
    while let Some(visitor) = visitors.recv().await {
        let source = subscriber(visitor.client.ip());
        guests.retain(|(_, task)| !task.is_finished());
        let of_one = guests.iter().filter(|(from, _)| *from == source).count();
        // The oldest makes room: of the same source, if that has too many.
        let goes = match (of_one >= MOST_OF_ONE, guests.len() >= MOST) {
            (true, _) => guests.iter().position(|(from, _)| *from == source),
            (false, true) => Some(0),
            (false, false) => None,
        };
        if let Some(at) = goes {
            guests.remove(at).1.abort();
        }
        let page = Arc::clone(&page);
        let task = tokio::spawn(async move { converse(visitor, &page).await });
        guests.push((source, task.abort_handle()));
    }
}

/// Serves one connection. Whoever asks for anything but a link gets no answer.
async fn converse(visitor: Visitor, page: &TestPage) {
    let client = visitor.client;
    let (stream, ticket) = visitor.into_parts();
    let answer = service_fn(|request| answer(request, client, page));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIME).max_buf_size(HEAD);
    let mut connection = std::pin::pin!(http.serve_connection(TokioIo::new(stream), answer));
    tokio::select! {
        _ = &mut connection => return,
        () = ticket.lost() => return,
        () = sleep(CONNECTION_TIME) => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = timeout(LAST_ANSWER, connection).await;
}

async fn answer(
    request: Request<Incoming>,
    client: SocketAddr,
    page: &TestPage,
) -> io::Result<Response<Full<Bytes>>> {
    let answered = page.answer(request, client.ip()).await;
    // An error closes the connection without a byte.
    answered.ok_or_else(|| io::ErrorKind::PermissionDenied.into())
}
