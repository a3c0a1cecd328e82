//! What of the section `[auth.sql]` belongs together.

use std::path::Path;

use super::error::Origin;
use super::keys::Sql;
use super::read::{Item, Reader};
use super::secrets;
use super::sql::{SqlPlace, SqlUrl};

/// The section `[auth.sql]`.
pub(super) fn sql(reader: &mut Reader<'_>, state_dir: &Path) -> Sql {
    let mut sql = Sql::read(reader);
    let origin = |reader: &Reader<'_>, key| reader.origin(key);
    if let Some(path) = sql.url_file.clone() {
        if sql.url.is_some() {
            let at = origin(reader, "auth.sql.url_file");
            reader.findings.error(
                &at,
                "auth.sql.url_file",
                "is there beside url",
                "remove one of them",
            );
        }
        match secrets::read(&path) {
            Ok(text) => {
                let at = origin(reader, "auth.sql.url_file");
                let item = Item { text, origin: at, key: "auth.sql.url_file".into() };
                sql.url = SqlUrl::of_item(reader, &item);
            }
            Err(error) => {
                let at = origin(reader, "auth.sql.url_file");
                reader.findings.error(&at, "auth.sql.url_file", error.to_string(), error.help());
                reader.findings.caused_by(error.cause());
            }
        }
    }
    let given = ["auth.sql.url", "auth.sql.url_file"].map(|key| origin(reader, key));
    let given = given.into_iter().find(|at| !matches!(at, Origin::Unplaced));
    if let Some(url) = &mut sql.url {
        if let SqlPlace::File(path) = &mut url.place {
            *path = state_dir.join(&*path);
        }
        let at = given.unwrap_or(Origin::Unplaced);
        if url.is_secured() && sql.ca_file.is_none() {
            let help = "name the authorities that its certificate may be from:\n\
                        ca_file = \"/etc/ssl/certs/ca-certificates.crt\" are those of Debian.\n\
                        Only in a network of your own, end the URL with ?sslmode=disable";
            let message = "is needed: the database is on another machine, and users and keys must not be read on the way";
            reader.findings.error(&at, "auth.sql.ca_file", message, help);
        }
        if url.password.is_some() && sql.password_file.is_some() {
            let at = origin(reader, "auth.sql.password_file");
            let message = "is there beside a password in the URL";
            reader.findings.error(&at, "auth.sql.password_file", message, "remove one of them");
        }
        if sql.schema.is_some() && matches!(url.place, SqlPlace::File(_)) {
            let at = origin(reader, "auth.sql.schema");
            let message = "is for PostgreSQL: SQLite has no schemas";
            reader.findings.error(&at, "auth.sql.schema", message, "remove it");
        }
    }
    sql
}
