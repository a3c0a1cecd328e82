//! All that coturn's tables hold, of all realms: read once, to be written elsewhere.

use zeroize::Zeroizing;

use super::error::DatabaseError;
use super::postgres::Session;
use super::rows::{Cell, LONGEST, MOST_ROWS};
use super::settings::{Place, Settings};
use super::sqlite;

/// What coturn's tables hold. Rows that are not whole are left out and counted.
#[derive(Default)]
pub struct Dump {
    /// Realm, name, and what stands in `hmackey`.
    pub users: Vec<(String, String, Zeroizing<String>)>,
    /// Realm and secret.
    pub secrets: Vec<(String, Zeroizing<String>)>,
    /// Realm and addresses that peers may have, although another rule denies them.
    pub allowed_peers: Vec<(String, String)>,
    /// Realm and addresses that peers may not have.
    pub denied_peers: Vec<(String, String)>,
    /// Realm, name and value of an option that holds in that realm alone.
    pub options: Vec<(String, String, String)>,
    /// Realm, and an ORIGIN whose clients are told it.
    pub origins: Vec<(String, String)>,
    /// Rows that are not whole.
    pub left_out: usize,
}

/// The tables, and their columns behind the realm.
const TABLES: [(&str, &[&str]); 6] = [
    ("turnusers_lt", &["name", "hmackey"]),
    ("turn_secret", &["value"]),
    ("allowed_peer_ip", &["ip_range"]),
    ("denied_peer_ip", &["ip_range"]),
    ("turn_realm_option", &["opt", "value"]),
    ("turn_origin_to_realm", &["origin"]),
];

fn statement(schema: Option<&str>, table: &str, columns: &[&str]) -> String {
    let text = |column: &&str| format!("substr(CAST(\"{column}\" AS text), 1, {LONGEST})");
    let columns: Vec<_> = std::iter::once(&"realm").chain(columns).map(text).collect();
    let columns = columns.join(", ");
    format!("SELECT {columns} FROM {} ORDER BY 1, 2 LIMIT {}", name(schema, table), MOST_ROWS + 1)
}

fn name(schema: Option<&str>, table: &str) -> String {
    match schema {
        Some(schema) => format!("\"{}\".{table}", schema.replace('"', "\"\"")),
        None => table.to_owned(),
    }
}

impl Dump {
    fn add(&mut self, table: &str, row: Vec<Cell>) {
        let mut cells = row.into_iter();
        let mut next = || cells.next().flatten();
        let plain = |cell: Zeroizing<String>| cell.as_str().to_owned();
        let (realm, one, two) = (next().map(plain), next(), next());
        match (table, realm, one, two) {
            ("turnusers_lt", Some(realm), Some(name), Some(key)) => {
                self.users.push((realm, plain(name), key));
            }
            ("turn_secret", Some(realm), Some(value), _) => self.secrets.push((realm, value)),
            ("allowed_peer_ip", Some(realm), Some(range), _) => {
                self.allowed_peers.push((realm, plain(range)));
            }
            ("denied_peer_ip", Some(realm), Some(range), _) => {
                self.denied_peers.push((realm, plain(range)));
            }
            ("turn_realm_option", Some(realm), Some(name), Some(value)) => {
                self.options.push((realm, plain(name), plain(value)));
            }
            ("turn_origin_to_realm", Some(realm), Some(origin), _) => {
                self.origins.push((realm, plain(origin)));
            }
            _ => self.left_out += 1,
        }
    }
}

/// Reads coturn's tables once. Tables that are not there are empty.
///
/// # Errors
/// When it cannot be read, has none of the tables, or too many rows.
pub async fn dump(settings: &Settings) -> Result<Dump, DatabaseError> {
    let mut dump = Dump::default();
    let mut found = false;
    match &settings.place {
        Place::File(path) => {
            let connection = sqlite::open(path)?;
            for (table, columns) in TABLES {
                if !sqlite::has(&connection, table)? {
                    continue;
                }
                found = true;
                let statement = statement(None, table, columns);
                let rows = sqlite::all(&connection, table, &statement, columns.len() + 1)?;
                rows.into_iter().for_each(|row| dump.add(table, row));
            }
        }
        Place::Tcp { .. } | Place::Unix(_) => {
            let session = Session::open(settings).await?;
            let schema = settings.schema.as_deref();
            for (table, columns) in TABLES {
                if !session.has(&name(schema, table)).await? {
                    continue;
                }
                found = true;
                let statement = statement(schema, table, columns);
                let rows = session.all(table, &statement, columns.len() + 1).await?;
                rows.into_iter().for_each(|row| dump.add(table, row));
            }
        }
    }
    if found { Ok(dump) } else { Err(DatabaseError::NoTables) }
}
