//! What of the section `[auth.database]` belongs together.

use std::path::Path;

use super::database_url::DatabaseUrl;
use super::error::Origin;
use super::keys::Database;
use super::read::{Item, Reader};
use super::secrets;
use super::sql::{SqlPlace, SqlUrl};

/// The section `[auth.database]`.
pub(super) fn database(reader: &mut Reader<'_>, state_dir: &Path) -> Database {
    let mut database = Database::read(reader);
    let origin = |reader: &Reader<'_>, key| reader.origin(key);
    if let Some(path) = database.url_file.clone() {
        if database.url.is_some() {
            let at = origin(reader, "auth.database.url_file");
            reader.findings.error(
                &at,
                "auth.database.url_file",
                "is there beside url",
                "remove one of them",
            );
        }
        match secrets::read(&path) {
            Ok(text) => {
                let at = origin(reader, "auth.database.url_file");
                let item = Item { text, origin: at, key: "auth.database.url_file".into() };
                database.url = DatabaseUrl::of_item(reader, &item);
            }
            Err(error) => {
                let at = origin(reader, "auth.database.url_file");
                reader.findings.error(
                    &at,
                    "auth.database.url_file",
                    error.to_string(),
                    error.help(),
                );
                reader.findings.caused_by(error.cause());
            }
        }
    }
    let given = ["auth.database.url", "auth.database.url_file"].map(|key| origin(reader, key));
    let given = given.into_iter().find(|at| !matches!(at, Origin::Unplaced));
    if let Some(url) = &mut database.url {
        if let DatabaseUrl::Sql(SqlUrl { place: SqlPlace::File(path), .. }) = url {
            *path = state_dir.join(&*path);
        }
        let at = given.unwrap_or(Origin::Unplaced);
        if url.is_secured() && database.ca_file.is_none() {
            let authorities = "name the authorities that its certificate may be from:\n\
                               ca_file = \"/etc/ssl/certs/ca-certificates.crt\" are those of Debian";
            let (message, help) = match url {
                DatabaseUrl::Sql(_) => (
                    "is needed: the database is on another machine, and users and keys must not be read on the way",
                    format!(
                        "{authorities}.\nOnly in a network of your own, end the URL with ?sslmode=disable"
                    ),
                ),
                DatabaseUrl::Redis(_) => ("is needed for rediss://", authorities.to_owned()),
            };
            reader.findings.error(&at, "auth.database.ca_file", message, help);
        }
        let has_password = matches!(url, DatabaseUrl::Sql(SqlUrl { password: Some(_), .. }));
        if has_password && database.password_file.is_some() {
            let at = origin(reader, "auth.database.password_file");
            let message = "is there beside a password in the URL";
            reader.findings.error(
                &at,
                "auth.database.password_file",
                message,
                "remove one of them",
            );
        }
        let without_schemas = match url {
            DatabaseUrl::Sql(SqlUrl { place: SqlPlace::File(_), .. }) => Some("SQLite"),
            DatabaseUrl::Sql(_) => None,
            DatabaseUrl::Redis(_) => Some("Redis"),
        };
        if database.schema.is_some()
            && let Some(kind) = without_schemas
        {
            let at = origin(reader, "auth.database.schema");
            let message = format!("is for PostgreSQL: {kind} has no schemas");
            reader.findings.error(&at, "auth.database.schema", message, "remove it");
        }
    }
    database
}
