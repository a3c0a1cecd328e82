//! A client's data connection and a peer connection, joined: what comes by one goes out by the
//! other, as it is (RFC 6062 section 4.5).
//!
//! Each way has one buffer. Nothing is read before the buffer has been written, so a slow receiver
//! slows its sender and nobody else. When one end has no more to say, the other is told so and may
//! go on; what was said before an end went away still arrives.

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::{Instant, sleep, timeout};

use super::pace::Pace;
use super::piped::InTransit;
use super::unbound::BoundPeer;
use taciturn_turn::UserId;
use taciturn_turn::policy::{Direction, Exceeded};

/// Buffers that one way may move before other tasks of the worker get their turn.
const BUFFERS_A_TURN: u32 = 8;

/// How long one way may be silent once the other is over. While both are open there is no limit
/// but the life of the allocation.
const HALF_OPEN: Duration = Duration::from_secs(60);

/// How long what still comes from an end is thrown away, so that what it was sent arrives: a
/// connection closed with bytes unread is reset.
const LINGER: Duration = Duration::from_secs(3);

/// How one way has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Its sender has no more to say.
    Finished,
    /// Its sender is gone.
    SenderGone,
    /// Its receiver takes no more. It may still have something to say.
    ReceiverGone,
}

/// One way of a pipe.
struct Way<'a, R, W> {
    from: R,
    to: W,
    waiting: &'a InTransit,
    pace: Option<&'a Pace>,
    /// Writes to the log whose limit slows it down.
    tell: &'a dyn Fn(&UserId, Exceeded),
    direction: Direction,
    bytes: &'a AtomicU64,
    /// When a byte last moved, either way.
    last: &'a Cell<Instant>,
    end: Option<End>,
}

impl BoundPeer {
    /// Relays until both ends are done, or the allocation ends. `head` is what the client has sent
    /// already; `tell` writes to the log whose limit slows it down.
    pub(crate) async fn join(
        mut self,
        head: Vec<u8>,
        reader: impl AsyncRead + Unpin,
        writer: impl AsyncWrite + Unpin,
        tell: &dyn Fn(&UserId, Exceeded),
    ) {
        let piped = Rc::clone(&self.piped);
        let (from_peer, to_peer) = self.stream.split();
        let (traffic, last) = (&self.ends.traffic, Cell::new(Instant::now()));
        let (bytes, last, pace) = (&traffic.to_peer, &last, Some(&self.ends.pace));
        let direction = Direction::ToPeers;
        let waiting = &piped.to_peer;
        let up = Way {
            from: reader,
            to: to_peer,
            waiting,
            pace,
            tell,
            direction,
            bytes,
            last,
            end: None,
        };
        let (bytes, direction) = (&traffic.to_client, Direction::ToClient);
        let waiting = &piped.to_client;
        let down = Way {
            from: from_peer,
            to: writer,
            waiting,
            pace,
            tell,
            direction,
            bytes,
            last,
            end: None,
        };
        tokio::select! {
            // RFC 6062 section 5.5: with the allocation the data connection is closed.
            _ = &mut self.ends.let_go => {}
            () = relay(head, up, down) => {}
        }
    }
}

async fn relay<R1, W1, R2, W2>(head: Vec<u8>, mut up: Way<'_, R1, W1>, mut down: Way<'_, R2, W2>)
where
    R1: AsyncRead + Unpin,
    W1: AsyncWrite + Unpin,
    R2: AsyncRead + Unpin,
    W2: AsyncWrite + Unpin,
{
    let last = up.last;
    {
        let (mut up, mut down) = (pin!(up.run(head)), pin!(down.run(Vec::new())));
        tokio::select! {
            end = &mut up => if end != End::SenderGone { until_quiet(last, down).await },
            end = &mut down => if end != End::SenderGone { until_quiet(last, up).await },
        }
    }
    let _ = timeout(LINGER, async { tokio::join!(up.linger(), down.linger()) }).await;
}

/// Waits for the end of the way that is left.
async fn until_quiet(last: &Cell<Instant>, way: impl Future<Output = End>) {
    let mut way = pin!(way);
    loop {
        let left = HALF_OPEN.saturating_sub(last.get().elapsed());
        if left.is_zero() {
            return;
        }
        tokio::select! {
            _ = &mut way => return,
            () = sleep(left) => {}
        }
    }
}

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin> Way<'_, R, W> {
    /// Moves bytes until there are no more, and tells the receiver so.
    async fn run(&mut self, head: Vec<u8>) -> End {
        let end = self.move_all(head).await;
        if end != End::ReceiverGone {
            // An error means that the receiver is gone.
            let _ = self.to.shutdown().await;
        }
        self.end = Some(end);
        end
    }

    async fn move_all(&mut self, head: Vec<u8>) -> End {
        self.waiting.put(head);
        if self.write().await.is_err() {
            return End::ReceiverGone;
        }
        self.waiting.put(Vec::new());
        let mut moved = 0;
        loop {
            match self.waiting.read(&mut self.from).await {
                Ok(0) => return End::Finished,
                Ok(_) => {}
                Err(_) => return End::SenderGone,
            }
            if self.write().await.is_err() {
                return End::ReceiverGone;
            }
            moved += 1;
            if moved % BUFFERS_A_TURN == 0 {
                tokio::task::yield_now().await;
            }
        }
    }

    /// Writes all that waits.
    async fn write(&mut self) -> io::Result<()> {
        let len = self.waiting.len();
        if let Some(pace) = self.pace {
            pace.keep(self.direction, len, self.last, self.tell).await;
        }
        // Before the receiver can know of them.
        self.bytes.fetch_add(len as u64, Ordering::Relaxed);
        while !self.waiting.write(&mut self.to).await? {
            self.last.set(Instant::now());
        }
        self.last.set(Instant::now());
        self.to.flush().await
    }

    /// Throws away what still comes.
    async fn linger(&mut self) {
        if matches!(self.end, Some(End::Finished | End::SenderGone)) {
            return;
        }
        let mut buffer = [0; 1024];
        while self.from.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{DuplexStream, duplex, split};
    use tokio::task::{JoinHandle, LocalSet, spawn_local};

    use super::super::piped::{BUFFER, Piped};
    use super::*;

    /// Room between an end and the pipe, standing for the kernel's.
    const ROOM: usize = 4096;

    /// Joins two streams; returns the bytes that went to the peer and to the client.
    fn join(head: &[u8], client: DuplexStream, peer: DuplexStream) -> JoinHandle<(u64, u64)> {
        let (from_peer, to_peer) = split(peer);
        join_split(None, head, client, from_peer, to_peer)
    }

    fn join_split(
        pace: Option<Pace>,
        head: &[u8],
        client: DuplexStream,
        from_peer: impl AsyncRead + Unpin + 'static,
        to_peer: impl AsyncWrite + Unpin + 'static,
    ) -> JoinHandle<(u64, u64)> {
        let head = head.to_vec();
        let (from_client, to_client) = split(client);
        spawn_local(async move {
            let (up, down) = (AtomicU64::new(0), AtomicU64::new(0));
            let last = &Cell::new(Instant::now());
            let (pace, tell, end) = (pace.as_ref(), &|_: &UserId, _| {}, None);
            let piped = Piped::default();
            let waiting = &piped.to_peer;
            let (bytes, direction) = (&up, Direction::ToPeers);
            let to_peer = Way {
                from: from_client,
                to: to_peer,
                waiting,
                pace,
                tell,
                direction,
                bytes,
                last,
                end,
            };
            let waiting = &piped.to_client;
            let (bytes, direction) = (&down, Direction::ToClient);
            let to_client = Way {
                from: from_peer,
                to: to_client,
                waiting,
                pace,
                tell,
                direction,
                bytes,
                last,
                end,
            };
            relay(head, to_peer, to_client).await;
            (up.load(Ordering::Relaxed), down.load(Ordering::Relaxed))
        })
    }

    /// Runs a test where tasks of one thread can be spawned.
    async fn locally(test: impl Future<Output = ()>) {
        LocalSet::new().run_until(test).await;
    }

    async fn rest(stream: &mut DuplexStream) -> Vec<u8> {
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
        rest
    }

    #[tokio::test]
    async fn what_the_client_sent_already_comes_first() {
        locally(async {
            let ((mut client, near), (far, mut peer)) = (duplex(ROOM), duplex(ROOM));
            let joined = join(b"head, ", near, far);
            client.write_all(b"and more").await.unwrap();
            peer.write_all(b"answer").await.unwrap();
            client.shutdown().await.unwrap();
            peer.shutdown().await.unwrap();
            assert_eq!(rest(&mut peer).await, b"head, and more");
            assert_eq!(rest(&mut client).await, b"answer");
            assert_eq!(joined.await.unwrap(), (14, 6));
        })
        .await;
    }

    #[tokio::test]
    async fn who_has_no_more_to_say_still_hears_the_other() {
        locally(async {
            let ((mut client, near), (far, mut peer)) = (duplex(ROOM), duplex(ROOM));
            let joined = join(b"", near, far);
            client.write_all(b"question").await.unwrap();
            client.shutdown().await.unwrap();
            assert_eq!(rest(&mut peer).await, b"question");
            let long = vec![7; 100_000];
            let (written, read) = tokio::join!(
                async {
                    peer.write_all(&long).await.unwrap();
                    peer.shutdown().await
                },
                rest(&mut client)
            );
            written.unwrap();
            assert_eq!(read, long);
            assert_eq!(joined.await.unwrap(), (8, 100_000));
        })
        .await;
    }

    #[tokio::test]
    async fn who_goes_away_is_still_heard_and_the_other_is_told() {
        locally(async {
            let ((mut client, near), (far, mut peer)) = (duplex(ROOM), duplex(ROOM));
            let joined = join(b"", near, far);
            client.write_all(b"last words").await.unwrap();
            drop(client);
            assert_eq!(rest(&mut peer).await, b"last words");
            drop(peer);
            joined.await.unwrap();
        })
        .await;
    }

    #[tokio::test]
    async fn a_peer_that_takes_no_more_may_still_say_why() {
        locally(async {
            let (mut client, near) = duplex(ROOM);
            let (to_peer, gone) = duplex(ROOM);
            drop(gone);
            let (mut peer, from_peer) = duplex(ROOM);
            let joined = join_split(None, b"", near, from_peer, to_peer);
            client.write_all(b"too much").await.unwrap();
            tokio::task::yield_now().await;
            peer.write_all(b"413").await.unwrap();
            drop(peer);
            assert_eq!(rest(&mut client).await, b"413");
            drop(client);
            joined.await.unwrap();
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_receiver_slows_its_sender() {
        locally(async {
            let ((mut client, near), (far, mut peer)) = (duplex(ROOM), duplex(ROOM));
            let _joined = join(b"", near, far);
            let mut taken = 0;
            // Nothing else is to do when the time, which stands still, is over.
            while let Ok(written) = timeout(LINGER, client.write(&[1; 1000])).await {
                taken += written.unwrap();
            }
            assert_eq!(taken, 2 * ROOM + BUFFER.min(ROOM));
            // The other way is not affected.
            peer.write_all(b"hello").await.unwrap();
            let mut heard = [0; 5];
            client.read_exact(&mut heard).await.unwrap();
            assert_eq!(&heard, b"hello");
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_limit_slows_a_way_and_loses_nothing() {
        locally(async {
            let ((mut client, near), (far, mut peer)) = (duplex(ROOM), duplex(ROOM));
            let (from_peer, to_peer) = split(far);
            let pace = Pace::of_bytes_per_second(10_000);
            let joined = join_split(Some(pace), b"head", near, from_peer, to_peer);
            let start = Instant::now();
            let sent: Vec<u8> = (0..50_000_u32).map(|n| (n % 251) as u8).collect();
            let (written, read) = tokio::join!(
                async {
                    client.write_all(&sent).await.unwrap();
                    client.shutdown().await
                },
                rest(&mut peer)
            );
            written.unwrap();
            assert_eq!(read, [b"head", &sent[..]].concat());
            // A second's worth at once, and another begins before it is paid.
            let took = start.elapsed();
            assert!(took >= Duration::from_millis(3500), "{took:?}");
            assert!(took <= Duration::from_millis(5500), "{took:?}");
            // The other way is not affected.
            peer.write_all(b"hello").await.unwrap();
            peer.shutdown().await.unwrap();
            assert_eq!(rest(&mut client).await, b"hello");
            joined.await.unwrap();
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn silence_ends_nothing_while_both_ways_are_open() {
        locally(async {
            let ((mut client, near), (far, mut peer)) = (duplex(ROOM), duplex(ROOM));
            let _joined = join(b"", near, far);
            sleep(Duration::from_secs(86_400)).await;
            client.write_all(b"still here").await.unwrap();
            let mut heard = [0; 10];
            peer.read_exact(&mut heard).await.unwrap();
            assert_eq!(&heard, b"still here");
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn silence_ends_what_is_half_open() {
        locally(async {
            let ((mut client, near), (far, mut peer)) = (duplex(ROOM), duplex(ROOM));
            let joined = join(b"", near, far);
            client.shutdown().await.unwrap();
            let start = Instant::now();
            // For as long as bytes move it stays.
            for _ in 0..10 {
                sleep(HALF_OPEN - Duration::from_secs(1)).await;
                peer.write_all(b"x").await.unwrap();
                client.read_exact(&mut [0]).await.unwrap();
            }
            joined.await.unwrap();
            let lived = start.elapsed();
            assert!(lived >= 11 * HALF_OPEN - Duration::from_secs(10), "{lived:?}");
            assert!(lived <= 11 * HALF_OPEN + LINGER, "{lived:?}");
        })
        .await;
    }
}
