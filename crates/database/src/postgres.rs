//! A connection to PostgreSQL, and how its tables are read. Each step has a deadline of the caller.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use tokio::net::UnixStream;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::config::SslMode;
use tokio_postgres::tls::{NoTls, TlsConnect, TlsStream};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{AsyncMessage, Client, Config, Connection, Row};
use zeroize::Zeroizing;

use super::error::DatabaseError;
use super::rows::{Cell, MOST_ROWS, Rows};
use super::secured::Secured;
use super::settings::{Place, Settings};
use super::tables::{Known, Reading, Table, other_realm, qualified};
use taciturn_outbound::{Allowance, Bounded, Stream, tcp};

/// How long a connection may take until it can be asked.
const CONNECT: Duration = Duration::from_secs(5);

/// How long the tables may take.
const READ: Duration = Duration::from_secs(30);

/// Bytes that may come for a connection to be made, and for each small question.
const LITTLE: usize = 256 * 1024;

/// Bytes that may come for a table: as many rows as there may be, of which few are as long as they may be.
const TABLE: usize = 64 * 1024 * 1024;

/// Asks for NOTIFY.
const LISTEN: &str = "LISTEN taciturn";

/// A connection that can be asked.
pub(super) struct Session<'a> {
    settings: &'a Settings,
    client: Client,
    allowance: Allowance,
    notified: Arc<Notify>,
    /// Moves the bytes; ends with the connection, and says why.
    driver: JoinHandle<Option<DatabaseError>>,
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl<'a> Session<'a> {
    /// Connects, and says who this is.
    pub(super) async fn open(settings: &'a Settings) -> Result<Self, DatabaseError> {
        timeout(CONNECT, Self::connect(settings))
            .await
            .unwrap_or(Err(DatabaseError::Silent(CONNECT)))
    }

    async fn connect(settings: &'a Settings) -> Result<Self, DatabaseError> {
        let mut config = Config::new();
        config.user(&settings.user).dbname(&settings.database).application_name("taciturn");
        if let Some(password) = settings.secret()? {
            config.password(password.as_str());
        }
        let allowance = Allowance::new(LITTLE);
        let notified = Arc::new(Notify::new());
        let wire = Bounded::new(connect(&settings.place).await?, allowance.clone());
        let opened = match &settings.place {
            Place::Tcp { host, tls: true, .. } => {
                let tls = Secured::new(host, settings.ca_file.as_deref())?;
                config.ssl_mode(SslMode::Require);
                drive(&config, wire, tls, &notified).await
            }
            _ => {
                config.ssl_mode(SslMode::Disable);
                drive(&config, wire, NoTls, &notified).await
            }
        };
        let (client, driver) = opened.map_err(|error| too_much(&allowance).unwrap_or(error))?;
        Ok(Self { settings, client, allowance, notified, driver })
    }

    /// Asks to be told of `NOTIFY taciturn`. A standby and some poolers refuse that: then it is read as often as else.
    pub(super) async fn listen(&self) {
        self.allowance.renew(LITTLE);
        match timeout(CONNECT, self.client.batch_execute(LISTEN)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::debug!("auth.database: no LISTEN: {}", DatabaseError::from(error));
            }
            // The next question finds out.
            Err(_) => {}
        }
    }

    /// Reads all tables.
    pub(super) async fn read(&self, known: &mut Known) -> Result<Rows, DatabaseError> {
        let read = timeout(READ, self.read_all(known)).await;
        let read = read.unwrap_or(Err(DatabaseError::Silent(READ)));
        read.map_err(|error| too_much(&self.allowance).unwrap_or(error))
    }

    async fn read_all(&self, known: &mut Known) -> Result<Rows, DatabaseError> {
        let mut there = BTreeMap::new();
        for table in Table::ALL {
            let columns = self.columns(table).await?;
            if !columns.is_empty() {
                there.insert(table, columns);
            }
        }
        let mut rows = Rows::default();
        let readings = known.judge(&there)?;
        for reading in &readings {
            self.read_table(reading, &mut rows).await?;
        }
        if rows.users.is_empty() && rows.secrets.is_empty() {
            for table in readings.iter().map(|reading| reading.table) {
                if table.has_realm() && rows.other_realm.is_none() {
                    rows.other_realm = self.other_realm(table).await?;
                }
            }
        }
        Ok(rows)
    }

    /// The columns of a table; none if it is not there.
    async fn columns(&self, table: Table) -> Result<Vec<String>, DatabaseError> {
        const COLUMNS: &str = "SELECT attname::text FROM pg_catalog.pg_attribute \
                               WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped LIMIT 1000";
        let name = qualified(self.settings.schema.as_deref(), table);
        // Before the tables, so that one that is frozen is found out soon.
        let rows = self.few(COLUMNS, &[&name]).await?;
        Ok(rows.iter().filter_map(|row| row.try_get(0).ok()).collect())
    }

    async fn read_table(&self, reading: &Reading, rows: &mut Rows) -> Result<(), DatabaseError> {
        let statement =
            reading.statement(self.settings.schema.as_deref(), self.settings.realms().count());
        let realms = self.settings.realms().filter(|_| reading.table.has_realm());
        let parameters: Vec<_> = realms.map(|realm| (realm, Type::TEXT)).collect();
        self.allowance.renew(TABLE);
        let mut stream = pin!(self.client.query_typed_raw(&statement, parameters).await?);
        let mut number = 0;
        while let Some(row) = stream.try_next().await? {
            number += 1;
            if number > MOST_ROWS {
                return Err(DatabaseError::TooManyRows(reading.table.name()));
            }
            reading.add(rows, (0..reading.width()).map(|at| cell(&row, at)).collect());
        }
        Ok(())
    }

    async fn other_realm(&self, table: Table) -> Result<Option<String>, DatabaseError> {
        let realms: Vec<_> = self.settings.realms().collect();
        let statement = other_realm(self.settings.schema.as_deref(), table, realms.len());
        let rows = self.few(&statement, &realms).await?;
        Ok(rows.first().and_then(|row| cell(row, 0)).map(|realm| realm.as_str().to_owned()))
    }

    /// Runs a statement without parameters, and returns so many columns of its rows.
    pub(super) async fn all(
        &self,
        table: &'static str,
        statement: &str,
        width: usize,
    ) -> Result<Vec<Vec<Cell>>, DatabaseError> {
        let asked = async {
            self.allowance.renew(TABLE);
            let none: [(&str, Type); 0] = [];
            let mut stream = pin!(self.client.query_typed_raw(statement, none).await?);
            let mut rows = Vec::new();
            while let Some(row) = stream.try_next().await? {
                if rows.len() == MOST_ROWS {
                    return Err(DatabaseError::TooManyRows(table));
                }
                rows.push((0..width).map(|at| cell(&row, at)).collect());
            }
            Ok(rows)
        };
        let read = timeout(READ, asked).await.unwrap_or(Err(DatabaseError::Silent(READ)));
        read.map_err(|error| too_much(&self.allowance).unwrap_or(error))
    }

    /// Whether there is a table or view of this name.
    pub(super) async fn has(&self, name: &str) -> Result<bool, DatabaseError> {
        let rows = self.few("SELECT to_regclass($1) IS NOT NULL", &[name]).await?;
        Ok(rows.first().and_then(|row| row.try_get(0).ok()).unwrap_or(false))
    }

    /// Rings when the database tells of a change.
    pub(super) fn notices(&self) -> Arc<Notify> {
        Arc::clone(&self.notified)
    }

    /// Asks what has a short answer.
    async fn few(&self, statement: &str, parameters: &[&str]) -> Result<Vec<Row>, DatabaseError> {
        self.allowance.renew(LITTLE);
        let parameters: Vec<(&(dyn ToSql + Sync), Type)> =
            parameters.iter().map(|text| (text as &(dyn ToSql + Sync), Type::TEXT)).collect();
        let asked = self.client.query_typed(statement, &parameters);
        Ok(timeout(CONNECT, asked).await.map_err(|_| DatabaseError::Silent(CONNECT))??)
    }

    /// Waits until the connection ends, and says why.
    pub(super) async fn ended(&mut self) -> DatabaseError {
        let ended = (&mut self.driver).await.ok().flatten();
        ended.unwrap_or_else(|| DatabaseError::Refused("the connection was closed".to_owned()))
    }
}

async fn connect(place: &Place) -> io::Result<Box<dyn Stream>> {
    Ok(match place {
        Place::Tcp { host, port, .. } => Box::new(tcp(host, *port).await?),
        Place::Unix(path) => Box::new(UnixStream::connect(path).await?),
        Place::File(_) => return Err(io::ErrorKind::Unsupported.into()),
    })
}

type Opened = (Client, JoinHandle<Option<DatabaseError>>);

/// Logs in, and has a task move the bytes.
async fn drive<T>(
    config: &Config,
    wire: Bounded,
    tls: T,
    notified: &Arc<Notify>,
) -> Result<Opened, DatabaseError>
where
    T: TlsConnect<Bounded>,
    T::Stream: TlsStream + Unpin + Send + 'static,
{
    let (client, connection) = config.connect_raw(wire, tls).await?;
    Ok((client, tokio::spawn(moved(connection, Arc::clone(notified)))))
}

async fn moved<S: TlsStream + Unpin>(
    mut connection: Connection<Bounded, S>,
    notified: Arc<Notify>,
) -> Option<DatabaseError> {
    loop {
        match poll_fn(|context| connection.poll_message(context)).await? {
            Ok(AsyncMessage::Notification(_)) => notified.notify_one(),
            Ok(_) => {}
            Err(error) => return Some(error.into()),
        }
    }
}

fn too_much(allowance: &Allowance) -> Option<DatabaseError> {
    let text = "it sends more than the longest answer of a database in order";
    allowance.is_exceeded().then(|| DatabaseError::Refused(text.to_owned()))
}

fn cell(row: &Row, at: usize) -> Cell {
    row.try_get::<_, Option<&str>>(at).ok().flatten().map(|text| Zeroizing::new(text.to_owned()))
}
