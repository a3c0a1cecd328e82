//! A connection to a Valkey or Redis, or to a sentinel, that is asked questions. Each has a deadline, and its answer a
//! bound.

use std::future::Future;
use std::io;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Pipeline, ProtocolVersion, RedisConnectionInfo, RedisError, Value, pipe,
};
use taciturn_outbound::{Allowance, Bounded, Stream};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::settings::Login;

/// How often a board that must be a master is asked whether it still is.
const CHECK: Duration = Duration::from_secs(1);

/// Letters of what the other end says that are passed on.
const LONGEST_WORD: usize = 200;

/// Why the board cannot be asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum BoardError {
    /// It cannot be reached.
    #[error("{0}")]
    Unreachable(#[from] io::Error),
    /// It says something else than is expected, or nothing that can be understood.
    #[error("{0}")]
    Refused(String),
    /// It is silent.
    #[error("no answer within {} s", .0.as_secs())]
    Silent(Duration),
}

impl From<RedisError> for BoardError {
    fn from(error: RedisError) -> Self {
        // What it says may be long, and is a stranger's word.
        let text = error.to_string();
        Self::Refused(
            text.chars().take(LONGEST_WORD).collect::<String>().escape_debug().to_string(),
        )
    }
}

/// What the other end may take for a connection, and for each question.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) patience: Duration,
    /// Of its answer.
    pub(super) bytes: usize,
}

/// A connection.
pub(super) struct Link {
    connection: MultiplexedConnection,
    allowance: Allowance,
    limits: Limits,
    /// When it has said that it is a master, if it must be one.
    was_master: Option<Instant>,
    driver: JoinHandle<()>,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Link {
    /// Connects, and says who this is.
    pub(super) async fn open(
        connecting: impl Future<Output = io::Result<Box<dyn Stream>>>,
        login: Login,
        protocol: ProtocolVersion,
        config: AsyncConnectionConfig,
        limits: Limits,
    ) -> Result<Self, BoardError> {
        let opened = async {
            let Login { user, password, database } = login;
            let mut info = RedisConnectionInfo::default()
                .set_db(database.into())
                .set_protocol(protocol)
                .set_skip_set_lib_name();
            if let Some(user) = user {
                info = info.set_username(user);
            }
            if let Some(password) = &password {
                info = info.set_password(password.as_str());
            }
            let allowance = Allowance::new(limits.bytes);
            let stream = Bounded::new(connecting.await?, allowance.clone());
            // Each question has a deadline here.
            let config = config.set_response_timeout(None);
            let connected = MultiplexedConnection::new_with_config(&info, stream, config).await;
            let (connection, driver) = connected?;
            let driver = tokio::spawn(driver);
            Ok(Self { connection, allowance, limits, was_master: None, driver })
        };
        timeout(limits.patience, opened).await.unwrap_or(Err(BoardError::Silent(limits.patience)))
    }

    /// The answers to these questions.
    pub(super) async fn ask(&mut self, pipeline: &Pipeline) -> Result<Vec<Value>, BoardError> {
        if self.was_master.is_some_and(|then| then.elapsed() >= CHECK) {
            self.must_be_master().await?;
        }
        self.put(pipeline).await
    }

    /// From now on the other end must be a master: one that has become a replica takes nothing, and tells only what
    /// others have written.
    pub(super) async fn must_be_master(&mut self) -> Result<(), BoardError> {
        let mut hello = pipe();
        // ROLE says so too, and takes a right of its own.
        hello.cmd("HELLO");
        let answer = self.put(&hello).await?;
        match answer.first().and_then(is_master) {
            Some(true) => {
                self.was_master = Some(Instant::now());
                Ok(())
            }
            Some(false) => Err(BoardError::Refused("it is a replica".to_owned())),
            None => Err(BoardError::Refused("it does not tell whether it is a master".to_owned())),
        }
    }

    async fn put(&mut self, pipeline: &Pipeline) -> Result<Vec<Value>, BoardError> {
        let Limits { patience, bytes } = self.limits;
        self.allowance.renew(bytes);
        let answer = pipeline.query_async::<Vec<Value>>(&mut self.connection);
        let answer = timeout(patience, answer).await.map_err(|_| BoardError::Silent(patience))?;
        answer.map_err(|error| match self.allowance.is_exceeded() {
            true => BoardError::Refused(format!("it sends more than {bytes} bytes for one answer")),
            false => error.into(),
        })
    }

    /// Has what is published on a channel arrive here from now on. The protocol is RESP3.
    pub(super) async fn subscribe(&mut self, channels: &[String]) -> Result<(), BoardError> {
        let Limits { patience, bytes } = self.limits;
        self.allowance.renew(bytes);
        let subscribed = self.connection.subscribe(channels);
        Ok(timeout(patience, subscribed).await.map_err(|_| BoardError::Silent(patience))??)
    }
}

/// Whether an answer to HELLO tells that it is from a master.
fn is_master(answer: &Value) -> Option<bool> {
    let role = match answer {
        Value::Map(pairs) => &pairs.iter().find(|(key, _)| word(key) == b"role")?.1,
        Value::Array(flat) => {
            let mut pairs = flat.chunks_exact(2);
            pairs.find(|pair| pair.first().is_some_and(|key| word(key) == b"role"))?.get(1)?
        }
        _ => return None,
    };
    Some(word(role) == b"master")
}

fn word(value: &Value) -> &[u8] {
    match value {
        Value::BulkString(bytes) => bytes,
        Value::SimpleString(text) => text.as_bytes(),
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_role_is_read_from_either_form_of_an_answer_to_hello() {
        let bulk = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let told = |role: &str| [("proto", "2"), ("role", role)].map(|(k, v)| (bulk(k), bulk(v)));
        for (role, expected) in [("master", true), ("replica", false), ("", false)] {
            let flat = told(role).into_iter().flat_map(|(key, value)| [key, value]).collect();
            assert_eq!(is_master(&Value::Array(flat)), Some(expected), "{role}");
            assert_eq!(is_master(&Value::Map(told(role).to_vec())), Some(expected), "{role}");
        }
        for other in [
            Value::Nil,
            Value::Okay,
            Value::Array(vec![bulk("role")]),
            Value::Array(vec![bulk("master"), bulk("role")]),
            Value::Map(Vec::new()),
        ] {
            assert_eq!(is_master(&other), None);
        }
    }
}
