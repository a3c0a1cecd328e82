//! A connection to a Redis or Valkey, and how coturn's keys are read there: a little at a time, each with a deadline and
//! a bound, so that neither it nor this server is kept from its other work.

use std::collections::BTreeSet;
use std::io;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Pipeline, ProtocolVersion, RedisConnectionInfo, RedisError, Value, cmd,
    pipe,
};
use taciturn_outbound::{Allowance, Bounded, Stream, connect};
use tokio::net::UnixStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::error::DatabaseError;
use super::redis_keys::{Meaning, PATTERN, realm_of};
use super::rows::{LONGEST, MOST_ROWS, RowKey, Rows, SecretRow, UserRow};
use super::settings::{Place, Settings};

/// How long a connection may take until it can be asked, and each question.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long all keys may take.
const READ: Duration = Duration::from_secs(30);

/// How many names are gone through at once. A Redis does nothing else meanwhile.
const NAMES: usize = 5000;

/// How many values are asked for at once.
const AT_ONCE: usize = 1000;

/// Bytes that may come for one question: several times as many as the longest keys and values in order take.
const ANSWER: usize = 4 * 1024 * 1024;

/// Bytes of all keys.
const KEYS: usize = 64 * 1024 * 1024;

/// Bytes of the longest key: of a realm and a name that are as long as they may be, and more.
const LONGEST_KEY: usize = 1200;

/// A connection that can be asked.
pub(super) struct RedisSession<'a> {
    settings: &'a Settings,
    connection: MultiplexedConnection,
    allowance: Allowance,
    /// Moves the bytes; ends with the connection.
    driver: JoinHandle<()>,
}

impl Drop for RedisSession<'_> {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// The keys that are of the realms of the settings.
#[derive(Default)]
struct Keys {
    ours: BTreeSet<Vec<u8>>,
    other_realm: Option<String>,
    /// Whether there is any key of coturn's.
    any: bool,
}

impl<'a> RedisSession<'a> {
    /// Connects, and says who this is.
    pub(super) async fn open(settings: &'a Settings) -> Result<Self, DatabaseError> {
        let opened = timeout(PATIENCE, Self::connect(settings)).await;
        opened.unwrap_or(Err(DatabaseError::Silent(PATIENCE)))
    }

    async fn connect(settings: &'a Settings) -> Result<Self, DatabaseError> {
        let number = settings.database.parse().unwrap_or_default();
        let mut info = RedisConnectionInfo::default()
            .set_db(number)
            .set_protocol(ProtocolVersion::RESP2)
            .set_skip_set_lib_name();
        if !settings.user.is_empty() {
            info = info.set_username(&settings.user);
        }
        if let Some(password) = settings.secret()? {
            info = info.set_password(password.as_str());
        }
        let allowance = Allowance::new(ANSWER);
        let stream = Bounded::new(reach(settings).await?, allowance.clone());
        // Each question has a deadline here.
        let config = AsyncConnectionConfig::new().set_response_timeout(None);
        let made = MultiplexedConnection::new_with_config(&info, stream, config).await;
        let (connection, driver) =
            made.map_err(|error| too_much(&allowance).unwrap_or_else(|| error.into()))?;
        let driver = tokio::spawn(driver);
        Ok(Self { settings, connection, allowance, driver })
    }

    /// Reads all users and secrets, and whether there is any key of coturn's at all.
    pub(super) async fn read(&mut self) -> Result<(Rows, bool), DatabaseError> {
        let read = timeout(READ, self.read_all()).await;
        read.unwrap_or(Err(DatabaseError::Silent(READ)))
    }

    async fn read_all(&mut self) -> Result<(Rows, bool), DatabaseError> {
        let keys = self.keys().await?;
        let mut rows = Rows::default();
        let (mut users, mut secrets) = (Vec::new(), Vec::new());
        // A key is of several realms where the name of one begins like that of another.
        for key in &keys.ours {
            if key.len() > LONGEST_KEY {
                rows.unreadable += 1;
                continue;
            }
            for (realm, name) in self.settings.realms().enumerate() {
                match Meaning::of(key, name) {
                    Some(Meaning::User(user)) => users.push((realm, user, key.as_slice())),
                    Some(Meaning::Secrets) => secrets.push((realm, key.as_slice())),
                    None => {}
                }
            }
        }
        for some in users.chunks(AT_ONCE) {
            self.read_users(some, &mut rows).await?;
        }
        for (realm, key) in secrets {
            self.read_secrets(realm, key, &mut rows).await?;
        }
        if rows.users.is_empty() && rows.secrets.is_empty() {
            rows.other_realm = keys.other_realm;
        }
        Ok((rows, keys.any))
    }

    /// The keys, which are there several times where the database has changed meanwhile.
    async fn keys(&mut self) -> Result<Keys, DatabaseError> {
        let mut keys = Keys::default();
        let (mut cursor, mut bytes) = (b"0".to_vec(), 0);
        loop {
            let mut ask = cmd("SCAN");
            ask.arg(&cursor).arg("MATCH").arg(PATTERN).arg("COUNT").arg(NAMES);
            let answer = self.one(ask).await?;
            let (next, found) = scanned(answer, "SCAN")?;
            for key in found {
                keys.any = true;
                let Value::BulkString(key) = key else { return Err(unexpected("SCAN")) };
                if !self.settings.realms().any(|realm| Meaning::of(&key, realm).is_some()) {
                    if keys.other_realm.is_none() {
                        keys.other_realm = realm_of(&key).map(str::to_owned);
                    }
                    continue;
                }
                let length = key.len();
                if keys.ours.insert(key) {
                    bytes += length;
                }
                if keys.ours.len() > MOST_ROWS || bytes > KEYS {
                    return Err(DatabaseError::TooManyKeys);
                }
            }
            if next == b"0" {
                return Ok(keys);
            }
            cursor = next;
        }
    }

    /// Reads the keys of these users: of each no more than could be good.
    async fn read_users(
        &mut self,
        users: &[(usize, &[u8], &[u8])],
        rows: &mut Rows,
    ) -> Result<(), DatabaseError> {
        let mut ask = pipe();
        for (.., key) in users {
            ask.cmd("GETRANGE").arg(key).arg(0).arg(LONGEST - 1);
        }
        let values = self.ask(&mut ask).await?;
        if values.len() != users.len() {
            return Err(unexpected("GETRANGE"));
        }
        for (&(realm, name, _), value) in users.iter().zip(values) {
            match value {
                // It was deleted in the meantime.
                Value::BulkString(bytes) if bytes.is_empty() => {}
                Value::BulkString(bytes) => match (std::str::from_utf8(name), text(bytes)) {
                    (Ok(name), Some(key)) => {
                        let (name, key) = (name.to_owned(), RowKey::Key(key));
                        rows.users.push(UserRow { realm, name, key });
                    }
                    _ => rows.unreadable += 1,
                },
                value if is_wrong_type(&value) => rows.unreadable += 1,
                value => return Err(refused(value, "GETRANGE")),
            }
        }
        Ok(())
    }

    /// Reads a set of secrets.
    async fn read_secrets(
        &mut self,
        realm: usize,
        key: &[u8],
        rows: &mut Rows,
    ) -> Result<(), DatabaseError> {
        let mut secrets = BTreeSet::new();
        let mut cursor = b"0".to_vec();
        loop {
            let mut ask = cmd("SSCAN");
            ask.arg(key).arg(&cursor).arg("COUNT").arg(AT_ONCE);
            let answer = self.one(ask).await?;
            if is_wrong_type(&answer) {
                rows.unreadable += 1;
                return Ok(());
            }
            let (next, found) = scanned(answer, "SSCAN")?;
            for value in found {
                let Value::BulkString(mut bytes) = value else { return Err(unexpected("SSCAN")) };
                bytes.truncate(LONGEST);
                secrets.insert(bytes);
                if rows.secrets.len() + secrets.len() > MOST_ROWS {
                    return Err(DatabaseError::TooManyKeys);
                }
            }
            if next == b"0" {
                break;
            }
            cursor = next;
        }
        for bytes in secrets {
            match text(bytes) {
                Some(value) => rows.secrets.push(SecretRow { realm, value }),
                None => rows.unreadable += 1,
            }
        }
        Ok(())
    }

    async fn one(&mut self, command: redis::Cmd) -> Result<Value, DatabaseError> {
        let mut ask = pipe();
        ask.add_command(command);
        self.ask(&mut ask).await?.pop().ok_or_else(|| unexpected("a question"))
    }

    /// The answers to these questions; errors are among them.
    async fn ask(&mut self, questions: &mut Pipeline) -> Result<Vec<Value>, DatabaseError> {
        self.allowance.renew(ANSWER);
        let answer = questions.ignore_errors().query_async::<Vec<Value>>(&mut self.connection);
        let answer =
            timeout(PATIENCE, answer).await.map_err(|_| DatabaseError::Silent(PATIENCE))?;
        answer.map_err(|error| too_much(&self.allowance).unwrap_or_else(|| error.into()))
    }

    /// Waits until the connection ends.
    pub(super) async fn ended(&mut self) -> DatabaseError {
        // Why is unknown.
        let _ = (&mut self.driver).await;
        DatabaseError::Refused("the connection was closed".to_owned())
    }
}

async fn reach(settings: &Settings) -> io::Result<Box<dyn Stream>> {
    match &settings.place {
        Place::Tcp { host, port, tls } => {
            connect(host, *port, *tls, settings.ca_file.as_deref()).await
        }
        Place::Unix(path) => Ok(Box::new(UnixStream::connect(path).await?)),
        Place::File(_) => Err(io::ErrorKind::Unsupported.into()),
    }
}

/// The next cursor, and what was found.
fn scanned(answer: Value, what: &str) -> Result<(Vec<u8>, Vec<Value>), DatabaseError> {
    let values = match answer {
        Value::Array(values) => values,
        answer => return Err(refused(answer, what)),
    };
    let [cursor, found] = <[Value; 2]>::try_from(values).map_err(|_| unexpected(what))?;
    let (Value::BulkString(cursor), Value::Array(found)) = (cursor, found) else {
        return Err(unexpected(what));
    };
    // A number of 64 bits.
    let is_number = (1..=20).contains(&cursor.len()) && cursor.iter().all(u8::is_ascii_digit);
    if is_number { Ok((cursor, found)) } else { Err(unexpected(what)) }
}

fn text(bytes: Vec<u8>) -> Option<Zeroizing<String>> {
    match String::from_utf8(bytes) {
        Ok(text) => Some(Zeroizing::new(text)),
        Err(error) => {
            drop(Zeroizing::new(error.into_bytes()));
            None
        }
    }
}

/// Whether a key holds something of another type.
fn is_wrong_type(value: &Value) -> bool {
    matches!(value, Value::ServerError(error) if error.code() == "WRONGTYPE")
}

/// Why there is no answer.
fn refused(value: Value, what: &str) -> DatabaseError {
    match value {
        Value::ServerError(error) => RedisError::from(error).into(),
        _ => unexpected(what),
    }
}

fn unexpected(what: &str) -> DatabaseError {
    DatabaseError::Refused(format!("an answer to {what} that was not expected"))
}

fn too_much(allowance: &Allowance) -> Option<DatabaseError> {
    let text = "it sends more than the longest answer of a database in order";
    allowance.is_exceeded().then(|| DatabaseError::Refused(text.to_owned()))
}
