//! Questions that one node asks all others, and their answers, over the board.
//!
//! A connection and a task of their own: what strangers write there can hold up no ban and no kick. Who asks adds to a
//! short list, which each node reads four times a second; answers come into a list of the question, which ends by
//! itself. What an answer says is for the server to judge; here it is some bytes with the name of a node.

use std::collections::BTreeSet;
use std::time::Duration;

use redis::{Value, pipe};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};

use super::board::{Board, MOST_NODES, bytes};
use super::link::BoardError;
use super::node::is_name;
use super::settings::Settings;

/// How often the board is asked for questions.
const LOOK: Duration = Duration::from_millis(250);

/// How often it is asked for the answers to a question of this node.
const COLLECT: Duration = Duration::from_millis(50);

/// How long answers are waited for: they are there within a second, whatever turnctl takes.
const ANSWERED: Duration = Duration::from_millis(800);

/// How long questions and answers stay on the board, in milliseconds.
const LIFE: u64 = 10_000;

/// The waits before another try to connect.
const WAITS: [Duration; 2] = [Duration::from_millis(100), Duration::from_millis(800)];

/// Questions on the board; an older one is gone.
const MOST_QUESTIONS: usize = 8;

/// Bytes of the longest question that is read.
const LONGEST_QUESTION: usize = 8192;

/// Questions that this node answers in a second, whoever asks them.
const ANSWERS_A_SECOND: u32 = 4;

/// Questions of this node at a time.
const MOST_ASKED: usize = 8;

/// Answers that are read at a time, and bytes of the longest.
const MOST_AT_A_TIME: usize = 16;
const LONGEST_ANSWER: usize = 256 * 1024;

/// What is asked of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// How many sessions it lists at most.
    #[serde(default)]
    pub sessions: u32,
    /// Only those of this user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Only what this tenant has; `default` is the one without a name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
}

/// A question as it is on the board.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Question {
    id: String,
    from: String,
    #[serde(flatten)]
    wanted: Wanted,
}

impl Question {
    /// Reads what another node, or whoever can write to the board, has written.
    fn decode(bytes: &[u8]) -> Option<Self> {
        let question: Self =
            (bytes.len() <= LONGEST_QUESTION).then(|| serde_json::from_slice(bytes).ok())??;
        (is_name(&question.id) && is_name(&question.from)).then_some(question)
    }
}

/// A question of another node, which this one is to answer.
#[derive(Debug)]
pub struct Asked {
    /// What it wants to know.
    pub wanted: Wanted,
    id: String,
    answers: Sender<(String, String)>,
}

impl Asked {
    /// Answers it. If the board is away by then, nobody learns of it.
    pub fn answer(self, text: String) {
        let _ = self.answers.try_send((self.id, text));
    }
}

/// What the others have answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replies {
    /// The name of a node, and what it has answered: empty if that is too long.
    pub replies: Vec<(String, Vec<u8>)>,
    /// Why there are not more, where the board is the reason.
    pub trouble: Option<String>,
}

struct Ask {
    wanted: Wanted,
    /// The nodes that are known: when all have answered, nobody is waited for.
    known: BTreeSet<String>,
    done: oneshot::Sender<Replies>,
}

/// The way to ask the other nodes.
#[derive(Clone, Debug)]
pub struct Asker(Sender<Ask>);

impl Asker {
    /// Asks all other nodes, and waits until those that are known have answered, but for less than a second.
    pub async fn ask(&self, wanted: Wanted, known: BTreeSet<String>) -> Replies {
        let trouble = |text: &str| Replies { trouble: Some(text.to_owned()), ..Replies::default() };
        let (done, replies) = oneshot::channel();
        if self.0.try_send(Ask { wanted, known, done }).is_err() {
            return trouble("too many questions at a time");
        }
        // The task has the same limit, but for a board that does not answer it.
        let replies = timeout(ANSWERED + COLLECT, replies).await;
        replies.map_or_else(
            |_| trouble("it does not answer in time"),
            |replies| replies.unwrap_or_else(|_| trouble("this server ends")),
        )
    }
}

/// The server's end.
#[derive(Debug)]
pub struct Questions {
    /// Questions of others, up to [`ANSWERS_A_SECOND`].
    pub asked: Receiver<Asked>,
    asker: Asker,
    task: JoinHandle<()>,
}

impl Drop for Questions {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Questions {
    /// Begins, in the runtime at hand. `boot` is a number of this process alone.
    #[must_use]
    pub fn start(settings: Settings, boot: u64) -> Self {
        let (asks, own) = channel(MOST_ASKED);
        let (sender, asked) = channel(MOST_QUESTIONS);
        let worker = Worker { settings, boot, number: 0, budget: Budget::default(), asked: sender };
        Self { asked, asker: Asker(asks), task: tokio::spawn(worker.run(own)) }
    }

    /// The way to ask the others.
    #[must_use]
    pub fn asker(&self) -> Asker {
        self.asker.clone()
    }
}

/// How many questions are answered.
#[derive(Debug, Default)]
struct Budget {
    second: Option<Instant>,
    spent: u32,
}

impl Budget {
    fn take(&mut self, now: Instant) -> bool {
        if self.second.is_none_or(|second| now - second >= Duration::from_secs(1)) {
            (self.second, self.spent) = (Some(now), 0);
        }
        let has = self.spent < ANSWERS_A_SECOND;
        self.spent += u32::from(has);
        has
    }
}

/// A question of this node that is on the board.
struct Pending {
    key: String,
    ask: Ask,
    replies: Vec<(String, Vec<u8>)>,
    until: Instant,
}

impl Pending {
    /// Takes in what was read: the first answer of each node.
    fn take(&mut self, read: &[Value]) {
        for (node, answer) in read.iter().filter_map(|value| reply(bytes(value)?)) {
            let is_there = self.replies.iter().any(|(there, _)| there == node);
            if !is_there && self.replies.len() < MOST_NODES {
                let fits = answer.len() <= LONGEST_ANSWER;
                let answer = if fits { answer.to_vec() } else { Vec::new() };
                self.replies.push((node.to_owned(), answer));
            }
        }
    }

    fn is_over(&self) -> bool {
        let has = |known: &String| self.replies.iter().any(|(node, _)| node == known);
        Instant::now() >= self.until || self.ask.known.iter().all(has)
    }

    /// Tells who asks, who may have gone away.
    fn finish(self) {
        let _ = self.ask.done.send(Replies { replies: self.replies, trouble: None });
    }
}

/// An answer as it is on the board: `NODE ANSWER`.
fn reply(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let at = bytes.iter().position(|byte| *byte == b' ')?;
    let node = std::str::from_utf8(bytes.get(..at)?).ok()?;
    is_name(node).then_some((node, bytes.get(at + 1..)?))
}

struct Worker {
    settings: Settings,
    boot: u64,
    /// Of the last question of this node.
    number: u64,
    budget: Budget,
    asked: Sender<Asked>,
}

impl Worker {
    async fn run(mut self, mut asks: Receiver<Ask>) {
        let (mut tries, settings) = (0_u32, self.settings.clone());
        loop {
            let connected = async {
                let board = Board::open(&settings).await?;
                tries = 0;
                self.keep(board, &mut asks).await
            };
            let Err(error) = connected.await else { return };
            tracing::debug!("fleet: no questions: {error}");
            let [least, most] = WAITS;
            tries = tries.saturating_add(1);
            let again = Instant::now() + most.min(least * 2_u32.saturating_pow(tries.min(8)));
            loop {
                let trouble = Some(error.to_string());
                tokio::select! {
                    Some(ask) = asks.recv() => {
                        let _ = ask.done.send(Replies { trouble, ..Replies::default() });
                    }
                    () = sleep_until(again) => break,
                }
            }
        }
    }

    /// Serves one connection. Ends with the error that ends it, or without one if nobody asks any more.
    async fn keep(
        &mut self,
        mut board: Board<'_>,
        asks: &mut Receiver<Ask>,
    ) -> Result<(), BoardError> {
        let (mut look, mut collect) = (interval(LOOK), interval(COLLECT));
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        collect.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (answers, mut answered) = channel(MOST_QUESTIONS);
        let mut pending: Vec<Pending> = Vec::new();
        // Of the questions on the board, those that were dealt with.
        let mut seen: Vec<String> = Vec::new();
        loop {
            tokio::select! {
                ask = asks.recv(), if pending.len() < MOST_ASKED => {
                    let Some(ask) = ask else { return Ok(()) };
                    match self.put(&mut board, &ask).await {
                        Ok(key) => {
                            let until = Instant::now() + ANSWERED;
                            pending.push(Pending { key, ask, replies: Vec::new(), until });
                        }
                        Err(error) => {
                            let trouble = Some(error.to_string());
                            let _ = ask.done.send(Replies { trouble, ..Replies::default() });
                            return Err(error);
                        }
                    }
                }
                _ = look.tick() => {
                    let on_board = self.listed(&mut board).await?;
                    seen.retain(|id| on_board.iter().any(|question| question.id == *id));
                    for Question { id, wanted, .. } in on_board {
                        if !seen.contains(&id) && self.budget.take(Instant::now()) {
                            seen.push(id.clone());
                            let asked = Asked { wanted, id, answers: answers.clone() };
                            // A server that is slow to answer does not answer.
                            let _ = self.asked.try_send(asked);
                        }
                    }
                }
                Some((id, text)) = answered.recv() => self.say(&mut board, &id, &text).await?,
                _ = collect.tick(), if !pending.is_empty() => {
                    for pending in &mut pending {
                        pending.take(&taken(&mut board, &pending.key).await?);
                    }
                    let over = pending.extract_if(.., |pending| pending.is_over());
                    over.for_each(Pending::finish);
                }
            }
        }
    }

    /// Puts a question of this node on the board. Returns where its answers come to.
    async fn put(&mut self, board: &mut Board<'_>, ask: &Ask) -> Result<String, BoardError> {
        self.number += 1;
        let id = format!("{:x}.{}", self.boot, self.number);
        let key = self.answers(&id);
        let question =
            Question { id, from: self.settings.node.clone(), wanted: ask.wanted.clone() };
        let text = serde_json::to_string(&question).unwrap_or_default();
        if text.len() > LONGEST_QUESTION {
            return Err(BoardError::Refused("the question is too long".to_owned()));
        }
        let questions = self.settings.key("questions");
        let mut put = pipe();
        put.atomic();
        put.cmd("LPUSH").arg(&questions).arg(text).ignore();
        put.cmd("LTRIM").arg(&questions).arg(0).arg(MOST_QUESTIONS - 1).ignore();
        put.cmd("PEXPIRE").arg(&questions).arg(LIFE).ignore();
        board.ask(&put).await?;
        Ok(key)
    }

    /// The questions of others, the latest first.
    async fn listed(&self, board: &mut Board<'_>) -> Result<Vec<Question>, BoardError> {
        let mut ask = pipe();
        ask.cmd("LRANGE").arg(self.settings.key("questions")).arg(0).arg(MOST_QUESTIONS - 1);
        let answer = board.ask(&ask).await?;
        let Some(Value::Array(listed)) = answer.first() else {
            return Err(BoardError::Refused(
                "an answer to LRANGE that was not expected".to_owned(),
            ));
        };
        let questions = listed.iter().take(MOST_QUESTIONS);
        let questions = questions.filter_map(|question| Question::decode(bytes(question)?));
        Ok(questions.filter(|question| question.from != self.settings.node).collect())
    }

    /// Puts an answer of this node on the board.
    async fn say(&self, board: &mut Board<'_>, id: &str, text: &str) -> Result<(), BoardError> {
        let key = self.answers(id);
        let mut say = pipe();
        say.atomic();
        say.cmd("RPUSH").arg(&key).arg(format!("{} {text}", self.settings.node)).ignore();
        say.cmd("LTRIM").arg(&key).arg(0).arg(MOST_NODES - 1).ignore();
        say.cmd("PEXPIRE").arg(&key).arg(LIFE).ignore();
        board.ask(&say).await?;
        Ok(())
    }

    fn answers(&self, id: &str) -> String {
        self.settings.key(&format!("answers:{id}"))
    }
}

/// Takes answers off the board.
async fn taken(board: &mut Board<'_>, key: &str) -> Result<Vec<Value>, BoardError> {
    let mut ask = pipe();
    ask.cmd("LPOP").arg(key).arg(MOST_AT_A_TIME);
    Ok(match board.ask(&ask).await?.into_iter().next() {
        Some(Value::Array(mut answers)) => {
            answers.truncate(MOST_AT_A_TIME);
            answers
        }
        // There are none.
        _ => Vec::new(),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn bulk(bytes: &[u8]) -> Value {
        Value::BulkString(bytes.to_vec())
    }

    fn pending(known: &[&str]) -> (Pending, oneshot::Receiver<Replies>) {
        let (done, replies) = oneshot::channel();
        let known = known.iter().map(|node| (*node).to_owned()).collect();
        let ask = Ask { wanted: Wanted::default(), known, done };
        let until = Instant::now() + Duration::from_secs(3600);
        (Pending { key: "turn:answers:1".into(), ask, replies: Vec::new(), until }, replies)
    }

    #[test]
    fn a_question_is_read_as_it_was_written_and_what_is_none_is_left_out() {
        let question = Question {
            id: "7.1".into(),
            from: "fra1".into(),
            wanted: Wanted {
                sessions: 500,
                user: Some("alice".into()),
                tenant: Some("acme".into()),
            },
        };
        let text = serde_json::to_string(&question).unwrap();
        assert_eq!(
            text,
            r#"{"id":"7.1","from":"fra1","sessions":500,"user":"alice","tenant":"acme"}"#
        );
        assert_eq!(Question::decode(text.as_bytes()), Some(question));
        let bare = r#"{"id":"7.1","from":"fra1","of_later":[1]}"#;
        assert_eq!(Question::decode(bare.as_bytes()).unwrap().wanted, Wanted::default());
        let long = format!(r#"{{"id":"7","from":"a","user":"{}"}}"#, "x".repeat(LONGEST_QUESTION));
        for bytes in [
            "".as_bytes(),
            b"\xff\xfe",
            b"{\"id\":\"7\"}",
            b"{\"id\":\"7\\n\",\"from\":\"a\"}",
            b"{\"id\":\"7:x\",\"from\":\"a\"}",
            b"{\"id\":\"7\",\"from\":\"a b\"}",
            b"{\"id\":\"7\",\"from\":\"a\",\"sessions\":-1}",
            long.as_bytes(),
            "[".repeat(8000).as_bytes(),
        ] {
            assert_eq!(Question::decode(bytes), None, "{}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn of_each_node_the_first_answer_is_taken_and_of_no_more_nodes_than_so_many() {
        let (mut pending, _) = pending(&["a", "b"]);
        let long = [b"c ".to_vec(), vec![b'x'; LONGEST_ANSWER + 1]].concat();
        pending.take(&[
            bulk(b"a {1}"),
            bulk(b"a {2}"),
            bulk(b"no-space"),
            bulk(b"a\x1bb {}"),
            bulk(b" {}"),
            bulk(b"\xff\xfe {}"),
            Value::Nil,
            Value::Int(7),
            bulk(&long),
        ]);
        let expected = [("a".to_owned(), b"{1}".to_vec()), ("c".to_owned(), Vec::new())];
        assert_eq!(pending.replies, expected);
        assert!(!pending.is_over());
        let many: Vec<_> = (0..10_000).map(|n| bulk(format!("n{n} {{}}").as_bytes())).collect();
        pending.take(&many);
        assert_eq!(pending.replies.len(), MOST_NODES);
    }

    #[test]
    fn nobody_is_waited_for_when_all_that_are_known_have_answered() {
        let (mut pending, _replies) = pending(&["a", "b"]);
        pending.take(&[bulk(b"a {}"), bulk(b"unknown {}")]);
        assert!(!pending.is_over());
        pending.take(&[bulk(b"b {}")]);
        assert!(pending.is_over());
    }

    #[test]
    fn a_node_answers_so_many_questions_a_second() {
        let (mut budget, start) = (Budget::default(), Instant::now());
        for second in 0..3 {
            let now = start + Duration::from_secs(second);
            let answered = (0..1000).filter(|_| budget.take(now)).count();
            assert_eq!(answered, 4);
            assert!(!budget.take(now + Duration::from_millis(999)));
        }
    }
}
