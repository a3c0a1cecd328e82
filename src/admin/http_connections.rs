//! Connections to the pages over HTTP: their number is limited, and a new one always gets a place.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::task::AbortHandle;

/// Connections at a time.
const MOST: usize = 16;

/// Those that are open, the oldest first.
#[derive(Debug, Default)]
pub(super) struct HttpConnections(VecDeque<HttpConnection>);

/// One connection.
#[derive(Debug)]
struct HttpConnection {
    task: AbortHandle,
    asked: Asked,
}

/// Whether a connection has sent its whole request.
#[derive(Clone, Debug, Default)]
pub(super) struct Asked(Arc<AtomicBool>);

impl Asked {
    pub(super) fn note(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_noted(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl HttpConnections {
    /// Takes a connection in. Where there are too many, the oldest is closed that has not sent its
    /// request, or the oldest of all.
    pub(super) fn add(&mut self, task: AbortHandle, asked: Asked) {
        self.0.retain(|guest| !guest.task.is_finished());
        if self.0.len() >= MOST {
            let half = self.0.iter().position(|guest| !guest.asked.is_noted());
            if let Some(guest) = self.0.remove(half.unwrap_or(0)) {
                guest.task.abort();
            }
        }
        self.0.push_back(HttpConnection { task, asked });
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::task::JoinHandle;

    use super::*;

    fn come(guests: &mut HttpConnections, asks: bool) -> JoinHandle<()> {
        let (task, asked) = (tokio::spawn(pending()), Asked::default());
        if asks {
            asked.note();
        }
        guests.add(task.abort_handle(), asked);
        task
    }

    async fn closed(tasks: &[JoinHandle<()>]) -> Vec<usize> {
        tokio::task::yield_now().await;
        let all = tasks.iter().enumerate();
        all.filter(|(_, task)| task.is_finished()).map(|(number, _)| number).collect()
    }

    #[tokio::test]
    async fn the_oldest_half_request_makes_room_for_a_newcomer() {
        let mut guests = HttpConnections::default();
        let mut tasks: Vec<_> = (0..MOST).map(|n| come(&mut guests, n < 2)).collect();
        assert_eq!(closed(&tasks).await, [0; 0]);
        tasks.push(come(&mut guests, false));
        assert_eq!(closed(&tasks).await, [2]);
        tasks.push(come(&mut guests, false));
        assert_eq!(closed(&tasks).await, [2, 3]);
    }

    #[tokio::test]
    async fn where_all_wait_for_their_answers_the_oldest_goes() {
        let mut guests = HttpConnections::default();
        let tasks: Vec<_> = (0..=MOST).map(|_| come(&mut guests, true)).collect();
        assert_eq!(closed(&tasks).await, [0]);
        assert_eq!(guests.0.len(), MOST);
    }
}
