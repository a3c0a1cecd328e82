//! A connection to the board that is asked questions. Each has a deadline, and its answer a bound.

use std::io;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Pipeline, ProtocolVersion, RedisConnectionInfo, RedisError, Value,
};
use taciturn_outbound::{Allowance, Bounded, Stream, connect};
use tokio::net::UnixStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::settings::{Place, Settings};

/// How long the board may take for anything.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);

/// Bytes that the board may send for one question: more than the longest answer of a board in order.
const MOST: usize = 8 * 1024 * 1024;

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
    #[error("no answer within {} s", PATIENCE.as_secs())]
    Silent,
}

impl From<RedisError> for BoardError {
    fn from(error: RedisError) -> Self {
        // What it says may be long, and is a stranger's word.
        let text = error.to_string();
        Self::Refused(text.chars().take(200).collect::<String>().escape_debug().to_string())
    }
}

/// A connection to the board.
pub(super) struct Link {
    connection: MultiplexedConnection,
    allowance: Allowance,
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
        settings: &Settings,
        protocol: ProtocolVersion,
        config: AsyncConnectionConfig,
    ) -> Result<Self, BoardError> {
        let opened = async {
            let mut info = RedisConnectionInfo::default()
                .set_db(settings.database.into())
                .set_protocol(protocol)
                .set_skip_set_lib_name();
            if let Some(user) = &settings.user {
                info = info.set_username(user);
            }
            if let Some(password) = settings.password()? {
                info = info.set_password(password.as_str());
            }
            let allowance = Allowance::new(MOST);
            let stream = Bounded::new(reach(settings).await?, allowance.clone());
            // Each question has a deadline here.
            let config = config.set_response_timeout(None);
            let connected = MultiplexedConnection::new_with_config(&info, stream, config);
            let (connection, driver) = connected.await?;
            let driver = tokio::spawn(driver);
            Ok(Self { connection, allowance, driver })
        };
        timeout(PATIENCE, opened).await.unwrap_or(Err(BoardError::Silent))
    }

    /// The answers to these questions.
    pub(super) async fn ask(&mut self, pipeline: &Pipeline) -> Result<Vec<Value>, BoardError> {
        self.allowance.renew(MOST);
        let answer = pipeline.query_async::<Vec<Value>>(&mut self.connection);
        let answer = timeout(PATIENCE, answer).await.map_err(|_| BoardError::Silent)?;
        answer.map_err(|error| {
            if self.allowance.is_exceeded() {
                return BoardError::Refused(format!(
                    "it sends more than {MOST} bytes for one answer"
                ));
            }
            error.into()
        })
    }

    /// Has what is published on a channel arrive here from now on. The protocol is RESP3.
    pub(super) async fn subscribe(&mut self, channels: &[String]) -> Result<(), BoardError> {
        self.allowance.renew(MOST);
        let subscribed = self.connection.subscribe(channels);
        Ok(timeout(PATIENCE, subscribed).await.map_err(|_| BoardError::Silent)??)
    }
}

async fn reach(settings: &Settings) -> io::Result<Box<dyn Stream>> {
    match &settings.place {
        Place::Tcp { host, port, tls } => {
            connect(host, *port, *tls, settings.ca_file.as_deref()).await
        }
        Place::Unix(path) => Ok(Box::new(UnixStream::connect(path).await?)),
    }
}
