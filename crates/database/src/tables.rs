//! The tables that are read, and how: the same statements for both kinds of databases.
//!
//! No statement has a word of a row or of a client in it. The realm is a parameter.

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use super::error::DatabaseError;
use super::rows::{Cell, LONGEST, MOST_ROWS, RowKey, Rows, UserRow};

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
    pub(super) fn width(&self) -> usize {
        self.columns.len()
    }

    /// The statement, of one parameter if the table has realms. Texts are bounded in it, and so are rows: one more than
    /// there may be, so that it is seen.
    pub(super) fn statement(&self, schema: Option<&str>) -> String {
        let text = |column: &&str| format!("substr(CAST(\"{column}\" AS text), 1, {LONGEST})");
        let columns: Vec<_> = self.columns.iter().map(text).collect();
        let realm = if self.table.has_realm() { " WHERE realm = $1" } else { "" };
        let (columns, from) = (columns.join(", "), qualified(schema, self.table));
        format!("SELECT {columns} FROM {from}{realm} LIMIT {}", MOST_ROWS + 1)
    }

    /// Adds one row.
    pub(super) fn add(&self, rows: &mut Rows, row: Vec<Cell>) {
        let mut cells = row.into_iter().flatten();
        match (self.table, cells.next(), cells.next()) {
            (Table::CoturnUsers | Table::Users, Some(name), Some(key)) => {
                let key = if self.is_password { RowKey::Password(key) } else { RowKey::Key(key) };
                rows.users.push(UserRow { name: name.as_str().to_owned(), key });
            }
            (Table::CoturnSecrets | Table::Secrets, Some(value), None) => rows.secrets.push(value),
            _ => rows.unreadable += 1,
        }
    }
}

/// A realm of a table other than the parameter's: to say why nothing was found.
pub(super) fn other_realm(schema: Option<&str>, table: Table) -> String {
    let from = qualified(schema, table);
    format!("SELECT substr(CAST(realm AS text), 1, 127) FROM {from} WHERE realm <> $1 LIMIT 1")
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
            coturn.statement(Some("co\"turn")),
            "SELECT substr(CAST(\"name\" AS text), 1, 600), substr(CAST(\"hmackey\" AS text), 1, 600) \
             FROM \"co\"\"turn\".turnusers_lt WHERE realm = $1 LIMIT 100001"
        );
        let own = reading(Table::Secrets, &columns(&["value", "made_at"])).unwrap();
        assert_eq!(
            own.statement(None),
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
