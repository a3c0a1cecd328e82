//! The tables that are read, and how: the same statements for both kinds of databases.
//!
//! No statement has a word of a row or of a client in it. The realms are parameters.

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use super::error::DatabaseError;
use super::rows::{Cell, LONGEST, MOST_ROWS, RowKey, Rows, SecretRow, UserRow};

/// A table that users or secrets are read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Table {
    /// coturn's users: `turnusers_lt(realm, name, hmackey)`.
    CoturnUsers,
    /// coturn's secrets: `turn_secret(realm, value)`.
    CoturnSecrets,
    /// Our own: `turn_users(name, key)` or `turn_users(name, password)`.
    Users,
    /// Our own: `turn_secrets(value)`.
    Secrets,
}

impl Table {
    pub(super) const ALL: [Self; 4] =
        [Self::CoturnUsers, Self::CoturnSecrets, Self::Users, Self::Secrets];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::CoturnUsers => "turnusers_lt",
            Self::CoturnSecrets => "turn_secret",
            Self::Users => "turn_users",
            Self::Secrets => "turn_secrets",
        }
    }

    /// Whether its rows have a realm.
    pub(super) const fn has_realm(self) -> bool {
        matches!(self, Self::CoturnUsers | Self::CoturnSecrets)
    }
}

/// How a table is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reading {
    pub(super) table: Table,
    /// Columns of the result; of users the name is the first.
    columns: Vec<&'static str>,
    /// Whether the second column is a password.
    is_password: bool,
}

/// How a table with these columns is read.
pub(super) fn reading(table: Table, there: &[String]) -> Result<Reading, DatabaseError> {
    let has = |column: &str| there.iter().any(|name| name.eq_ignore_ascii_case(column));
    let need = |column: &'static str| match has(column) {
        true => Ok(column),
        false => Err(DatabaseError::NoColumn { table: table.name(), column }),
    };
    if table.has_realm() {
        need("realm")?;
    }
    let (columns, is_password) = match table {
        Table::CoturnUsers => (vec![need("name")?, need("hmackey")?], false),
        Table::CoturnSecrets | Table::Secrets => (vec![need("value")?], false),
        Table::Users if has("key") => (vec![need("name")?, "key"], false),
        Table::Users if has("password") => (vec![need("name")?, "password"], true),
        Table::Users => {
            let column = "key or password";
            return Err(DatabaseError::NoColumn { table: table.name(), column });
        }
    };
    Ok(Reading { table, columns, is_password })
}

impl Reading {
    /// How many columns the result has.
    pub(super) fn width(&self) -> usize {
        self.columns.len() + usize::from(self.table.has_realm())
    }

    /// The statement. If the table has realms, so many of them are its parameters, and the first column is the number of
    /// one. Texts are bounded in it, and so are rows: one more than there may be, so that it is seen.
    pub(super) fn statement(&self, schema: Option<&str>, realms: usize) -> String {
        let text = |column: &&str| format!("substr(CAST(\"{column}\" AS text), 1, {LONGEST})");
        let mut columns: Vec<_> = self.columns.iter().map(text).collect();
        let mut only = String::new();
        if self.table.has_realm() {
            let case = |at: usize| format!(" WHEN ${} THEN '{at}'", at + 1);
            columns
                .insert(0, format!("CASE realm{} END", (0..realms).map(case).collect::<String>()));
            only = format!(" WHERE realm IN ({})", parameters(realms));
        }
        let (columns, from) = (columns.join(", "), qualified(schema, self.table));
        format!("SELECT {columns} FROM {from}{only} LIMIT {}", MOST_ROWS + 1)
    }

    /// Adds one row.
    pub(super) fn add(&self, rows: &mut Rows, row: Vec<Cell>) {
        let mut cells = row.into_iter();
        let realm = match self.table.has_realm() {
            true => cells.next().flatten().and_then(|number| number.parse().ok()),
            false => Some(0),
        };
        let mut cells = cells.flatten();
        match (self.table, realm, cells.next(), cells.next()) {
            (Table::CoturnUsers | Table::Users, Some(realm), Some(name), Some(key)) => {
                let key = if self.is_password { RowKey::Password(key) } else { RowKey::Key(key) };
                rows.users.push(UserRow { realm, name: name.as_str().to_owned(), key });
            }
            (Table::CoturnSecrets | Table::Secrets, Some(realm), Some(value), None) => {
                rows.secrets.push(SecretRow { realm, value });
            }
            _ => rows.unreadable += 1,
        }
    }
}

/// A realm of a table other than the parameters: to say why nothing was found.
pub(super) fn other_realm(schema: Option<&str>, table: Table, realms: usize) -> String {
    let (from, realms) = (qualified(schema, table), parameters(realms));
    format!(
        "SELECT substr(CAST(realm AS text), 1, 127) FROM {from} WHERE realm NOT IN ({realms}) LIMIT 1"
    )
}

/// `$1, $2` for two.
fn parameters(number: usize) -> String {
    (1..=number).map(|at| format!("${at}")).collect::<Vec<_>>().join(", ")
}

/// Its name in a statement.
pub(super) fn qualified(schema: Option<&str>, table: Table) -> String {
    let name = table.name();
    match schema {
        Some(schema) => format!("\"{}\".{name}", schema.replace('"', "\"\"")),
        None => name.to_owned(),
    }
}

/// The tables that there are, and that none of them goes unseen.
#[derive(Debug, Default)]
pub(super) struct Known(Vec<Table>);

impl Known {
    /// Judges which tables are there now. A database that is being restored has some before others: what was there and
    /// is not is an error, until the server is told to read anew.
    pub(super) fn judge(
        &mut self,
        there: &BTreeMap<Table, Vec<String>>,
    ) -> Result<Vec<Reading>, DatabaseError> {
        if let Some(gone) = self.0.iter().find(|table| !there.contains_key(table)) {
            return Err(DatabaseError::TableGone(gone.name()));
        }
        let readings: Vec<_> = there
            .iter()
            .map(|(table, columns)| reading(*table, columns))
            .collect::<Result<_, _>>()?;
        if readings.is_empty() {
            return Err(DatabaseError::NoTables);
        }
        self.0 = there.keys().copied().collect();
        Ok(readings)
    }
}

/// A cell of bytes.
pub(super) fn cell(bytes: &[u8]) -> Cell {
    std::str::from_utf8(bytes).ok().map(|text| Zeroizing::new(text.to_owned()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn columns(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn statements_name_columns_and_bounds_and_nothing_of_a_row() {
        let coturn = reading(Table::CoturnUsers, &columns(&["realm", "name", "hmackey"])).unwrap();
        assert_eq!(
            coturn.statement(Some("co\"turn"), 2),
            "SELECT CASE realm WHEN $1 THEN '0' WHEN $2 THEN '1' END, substr(CAST(\"name\" AS text), 1, 600), \
             substr(CAST(\"hmackey\" AS text), 1, 600) \
             FROM \"co\"\"turn\".turnusers_lt WHERE realm IN ($1, $2) LIMIT 100001"
        );
        let own = reading(Table::Secrets, &columns(&["value", "made_at"])).unwrap();
        assert_eq!(
            own.statement(None, 2),
            "SELECT substr(CAST(\"value\" AS text), 1, 600) FROM turn_secrets LIMIT 100001"
        );
    }

    #[test]
    fn a_table_without_a_column_says_which() {
        for (table, there, missing) in [
            (Table::CoturnUsers, &["realm", "name"][..], "hmackey"),
            (Table::CoturnSecrets, &["value"], "realm"),
            (Table::Users, &["name", "hash"], "key or password"),
            (Table::Secrets, &["secret"], "value"),
        ] {
            let error = reading(table, &columns(there)).unwrap_err().to_string();
            assert!(error.contains(table.name()) && error.contains(missing), "{error}");
        }
        let both = reading(Table::Users, &columns(&["name", "password", "key"])).unwrap();
        assert!(!both.is_password, "a key needs no password beside it");
    }

    #[test]
    fn a_table_that_goes_away_is_no_table_without_rows() {
        let mut known = Known::default();
        let users = || (Table::Users, columns(&["name", "key"]));
        let secrets = || (Table::Secrets, columns(&["value"]));
        assert!(matches!(known.judge(&BTreeMap::new()), Err(DatabaseError::NoTables)));
        assert_eq!(known.judge(&BTreeMap::from([users()])).unwrap().len(), 1);
        assert_eq!(known.judge(&BTreeMap::from([users(), secrets()])).unwrap().len(), 2);
        let gone = known.judge(&BTreeMap::from([users()]));
        assert!(matches!(gone, Err(DatabaseError::TableGone("turn_secrets"))), "{gone:?}");
        assert!(known.judge(&BTreeMap::from([users(), secrets()])).is_ok());
    }
}
