//! What nodes tell each other in passing: on channels of the board, which keeps none of it.
//!
//! One connection of its own listens to all of them, so that what is sent there without end takes nothing from the
//! connection that reads bans.

use std::sync::Arc;
use std::time::Duration;

use redis::{AsyncConnectionConfig, ProtocolVersion, PushInfo, PushKind, Value, pipe};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::link::BoardError;
use super::reach::reach;
use super::settings::Settings;

/// Bytes of the longest message that is passed on.
pub const LONGEST_MESSAGE: usize = 16 * 1024;

/// How many messages of one channel wait; what comes then is lost.
const WAITING: usize = 256;

/// How many times something to be told waits.
const UNTOLD: usize = 16;

/// How often the connection is tried out.
const TRY: Duration = Duration::from_secs(1);

/// The waits before another try to connect.
const WAITS: [Duration; 2] = [Duration::from_millis(100), Duration::from_millis(800)];

/// Messages for one channel, all told together.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) channel: &'static str,
    pub(super) messages: Vec<Vec<u8>>,
}

/// Who tells the other nodes something.
#[derive(Clone, Debug)]
pub struct Publisher {
    told: Sender<Told>,
    connections: watch::Receiver<u64>,
    subscriptions: watch::Receiver<u64>,
}

impl Publisher {
    /// By the numbers of connections to the board, and of subscriptions to its channels, that there were.
    pub(super) fn new(
        connections: watch::Receiver<u64>,
        subscriptions: watch::Receiver<u64>,
    ) -> (Self, Receiver<Told>) {
        let (told, telling) = channel(UNTOLD);
        (Self { told, connections, subscriptions }, telling)
    }

    /// Has these messages told on a channel, this node's own end of it included. False if they are lost because too
    /// many wait. While the board is away all are lost.
    pub fn publish(&self, channel: &'static str, messages: Vec<Vec<u8>>) -> bool {
        messages.is_empty() || self.told.try_send(Told { channel, messages }).is_ok()
    }

    /// Waits until the others can be told something again, or hear can be what they tell: what was told before may be
    /// lost, and what they told is not known.
    pub async fn connected(&mut self) {
        let Self { connections, subscriptions, .. } = self;
        let changed = tokio::select! {
            changed = connections.changed() => changed,
            changed = subscriptions.changed() => changed,
        };
        if changed.is_err() {
            std::future::pending().await
        }
    }
}

/// A channel, and who reads it.
#[derive(Clone, Debug)]
pub struct Listener {
    name: &'static str,
    heard: Sender<Vec<u8>>,
}

impl Listener {
    /// A channel of this name, below the prefix of all keys. What is heard may be from anybody who can write to the
    /// board; it has at most [`LONGEST_MESSAGE`] bytes.
    #[must_use]
    pub fn new(name: &'static str) -> (Self, Receiver<Vec<u8>>) {
        let (heard, messages) = channel(WAITING);
        (Self { name, heard }, messages)
    }
}

/// Listens for as long as it is not aborted. What is wrong with the board is said by who asks it questions.
pub(super) async fn listen(
    settings: Arc<Settings>,
    listeners: Vec<Listener>,
    subscriptions: watch::Sender<u64>,
) {
    let [least, most] = WAITS;
    let mut wait = least;
    loop {
        let begun = Instant::now();
        // It ends with an error alone.
        let _ = keep(&settings, &listeners, &subscriptions).await;
        wait = if begun.elapsed() > most { least } else { most.min(wait * 2) };
        sleep(wait).await;
    }
}

/// Serves one connection.
async fn keep(
    settings: &Settings,
    listeners: &[Listener],
    subscriptions: &watch::Sender<u64>,
) -> Result<(), BoardError> {
    let channels: Vec<_> = listeners.iter().map(|listener| settings.key(listener.name)).collect();
    let known: Vec<_> = channels.iter().cloned().zip(listeners.to_vec()).collect();
    let push = move |info: PushInfo| {
        pass_on(&known, info);
        Ok::<(), ()>(())
    };
    let config = AsyncConnectionConfig::new().set_push_sender(push);
    let (mut link, _) = reach(settings, ProtocolVersion::RESP3, config).await?;
    link.subscribe(&channels).await?;
    subscriptions.send_modify(|times| *times += 1);
    let mut ping = pipe();
    ping.cmd("PING");
    loop {
        // Each question allows the board some more bytes, so this is also how many it may send in that time.
        sleep(TRY).await;
        link.ask(&ping).await?;
    }
}

/// Passes a message on to who reads its channel. What is none, or too long, or too much, is lost.
fn pass_on(listeners: &[(String, Listener)], PushInfo { kind, data }: PushInfo) {
    let (PushKind::Message, [Value::BulkString(channel), Value::BulkString(message)]) =
        (kind, data.as_slice())
    else {
        return;
    };
    let listener = listeners.iter().find(|(name, _)| name.as_bytes() == channel.as_slice());
    if let Some((_, listener)) = listener.filter(|_| message.len() <= LONGEST_MESSAGE) {
        let _ = listener.heard.try_send(message.clone());
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn message(channel: &str, message: &[u8]) -> PushInfo {
        let data = vec![
            Value::BulkString(channel.as_bytes().to_vec()),
            Value::BulkString(message.to_vec()),
        ];
        PushInfo { kind: PushKind::Message, data }
    }

    #[test]
    fn a_message_goes_to_who_reads_its_channel_and_everything_else_is_lost() {
        let (counts, mut heard) = Listener::new("counts");
        let (ask, mut asked) = Listener::new("ask");
        let all = [("turn:counts".to_owned(), counts), ("turn:ask".to_owned(), ask)];
        pass_on(&all, message("turn:counts", b"1"));
        pass_on(&all, message("turn:ask", &vec![2; LONGEST_MESSAGE]));
        pass_on(&all, message("turn:ask", &vec![2; LONGEST_MESSAGE + 1]));
        pass_on(&all, message("turn:other", b"3"));
        let kinds = [PushKind::Invalidate, PushKind::PMessage, PushKind::Other("x".into())];
        for kind in kinds {
            pass_on(&all, PushInfo { kind, ..message("turn:counts", b"4") });
        }
        for data in [
            vec![],
            vec![Value::Nil; 2],
            vec![Value::BulkString(b"turn:counts".to_vec()); 3],
            vec![Value::BulkString(b"turn:counts".to_vec()), Value::Int(5)],
        ] {
            pass_on(&all, PushInfo { kind: PushKind::Message, data });
        }
        assert_eq!(heard.try_recv().unwrap(), b"1");
        assert_eq!(asked.try_recv().unwrap().len(), LONGEST_MESSAGE);
        assert!(heard.try_recv().is_err() && asked.try_recv().is_err());
    }

    #[test]
    fn what_is_sent_without_end_takes_no_more_than_its_place() {
        let (counts, mut heard) = Listener::new("counts");
        let all = [("turn:counts".to_owned(), counts)];
        for n in 0..100_000_u32 {
            pass_on(&all, message("turn:counts", &n.to_be_bytes()));
        }
        assert_eq!(heard.len(), WAITING);
        assert_eq!(heard.try_recv().unwrap(), 0_u32.to_be_bytes());
    }
}
