//! An answer that is asked for once a second at most, however many want it.

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

/// How long an answer stays valid.
const FRESH: Duration = Duration::from_secs(1);

/// The last answer. An error is not kept.
#[derive(Debug)]
pub(super) struct Cached<T>(Mutex<Option<(Instant, T)>>);

impl<T> Default for Cached<T> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<T: Clone> Cached<T> {
    /// The answer of the last second, or that of `ask`. Those who come meanwhile wait for it.
    ///
    /// # Errors
    /// Those of `ask`.
    pub(super) async fn get<E>(&self, ask: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        let mut last = self.0.lock().await;
        if let Some((at, answer)) = &*last
            && at.elapsed() < FRESH
        {
            return Ok(answer.clone());
        }
        let answer = ask.await?;
        *last = Some((Instant::now(), answer.clone()));
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use tokio::time::{sleep, timeout};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_many_want_at_a_time_is_asked_for_once_a_second() {
        let (cached, asked) = (Cached::default(), Cell::new(0));
        let get = || {
            cached.get(async {
                sleep(Duration::from_millis(10)).await;
                asked.set(asked.get() + 1);
                Ok::<_, ()>(asked.get())
            })
        };
        assert_eq!(tokio::join!(get(), get(), get()), (Ok(1), Ok(1), Ok(1)));
        sleep(FRESH - Duration::from_millis(1)).await;
        assert_eq!(get().await, Ok(1));
        sleep(Duration::from_millis(1)).await;
        assert_eq!((get().await, asked.get()), (Ok(2), 2));
    }

    #[tokio::test(start_paused = true)]
    async fn who_gives_up_or_fails_leaves_nothing_for_the_next() {
        let cached = Cached::default();
        let never = cached.get(std::future::pending::<Result<u8, ()>>());
        assert!(timeout(FRESH, never).await.is_err());
        assert_eq!(cached.get(async { Err(()) }).await, Err(()));
        assert_eq!(cached.get(async { Ok::<_, ()>(7) }).await, Ok(7));
    }
}
