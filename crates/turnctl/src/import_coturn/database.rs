//! What coturn's database holds, as lines of a turnserver.conf: from there on it is judged as those are.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use taciturn_config::{SqlPlace, SqlUrl};
use taciturn_database::{DatabaseError, Dump, Password, Place, Settings, dump};
use zeroize::Zeroizing;

/// Why nothing was read.
#[derive(Debug, thiserror::Error)]
pub enum ImportDatabaseError {
    /// The URL is none.
    #[error("--db: {0}")]
    Url(taciturn_config::BadSqlUrl),
    /// The database.
    #[error("--db: {0}")]
    Database(#[from] DatabaseError),
    /// This machine.
    #[error("--db: {0}")]
    System(std::io::Error),
    /// Users of several realms.
    #[error("the database has users or secrets of several realms: name one with --realm: {0}")]
    Realms(String),
    /// The connection would not be secured.
    #[error(
        "--db: name the authorities that the database's certificate may be from (--db-ca /etc/ssl/certs/ca-certificates.crt), \
         or, in a network of your own, end the URL with ?sslmode=disable"
    )]
    NotSecured,
}

/// What coturn has in use of a database: it ignores users where it has secrets.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Uses {
    /// Its configuration has use-auth-secret.
    Secrets,
    /// It has not.
    Users,
    /// There is no configuration.
    Unknown,
}

/// What was read.
pub(super) struct Lines {
    /// As in a turnserver.conf.
    pub(super) text: Zeroizing<String>,
    /// What was left out, and why.
    pub(super) notes: Vec<String>,
    /// Users that are no lines, because there are lines with secrets: as `users` of `[auth]` has them.
    pub(super) users: Vec<Zeroizing<String>>,
}

/// Reads a file of SQLite, or a PostgreSQL by its URL; `password` is its password if the URL has none. `realm` is the
/// realm of the rest of the configuration, if it names one.
pub(super) fn lines(
    database: &str,
    ca_file: Option<&Path>,
    realm: Option<&str>,
    uses: Uses,
) -> Result<Lines, ImportDatabaseError> {
    let url = match database.contains(':') {
        true => SqlUrl::parse(database).map_err(ImportDatabaseError::Url)?,
        false => SqlUrl::of_file(Path::new(database)),
    };
    let settings = settings(&url, ca_file)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(ImportDatabaseError::System)?;
    let dump = runtime.block_on(dump(&settings))?;
    written(&dump, realm, uses)
}

fn settings(url: &SqlUrl, ca_file: Option<&Path>) -> Result<Settings, ImportDatabaseError> {
    let place = match &url.place {
        SqlPlace::Tcp { host, port } => {
            Place::Tcp { host: host.clone(), port: *port, tls: url.is_secured() }
        }
        SqlPlace::Unix(path) => Place::Unix(path.clone()),
        SqlPlace::File(path) => Place::File(path.clone()),
    };
    if url.is_secured() && ca_file.is_none() {
        return Err(ImportDatabaseError::NotSecured);
    }
    Ok(Settings {
        place,
        user: url.user.clone(),
        database: url.database.clone(),
        password: url.password.clone().map(Password),
        ca_file: ca_file.map(PathBuf::from),
        ..Settings::of_file(Path::new(""), "")
    })
}

fn written(dump: &Dump, realm: Option<&str>, uses: Uses) -> Result<Lines, ImportDatabaseError> {
    let of_users = dump.users.iter().map(|(realm, ..)| realm.as_str());
    let of_secrets = dump.secrets.iter().map(|(realm, _)| realm.as_str());
    let realms: BTreeSet<_> = of_users.chain(of_secrets).collect();
    let mut text = Zeroizing::new(String::new());
    let own = match (realm, realms.len()) {
        (Some(realm), _) => realm.to_owned(),
        (None, 0) => String::new(),
        (None, 1) => {
            let own = realms.first().copied().unwrap_or_default().to_owned();
            line(&mut text, "realm", &own);
            own
        }
        (None, _) => {
            let named: Vec<_> = realms.iter().map(|realm| format!("{realm:?}")).collect();
            return Err(ImportDatabaseError::Realms(named.join(", ")));
        }
    };
    let mut notes = Vec::new();
    let (mut others, mut unwritable) = (0, 0);
    let mut users = Vec::new();
    let mut secrets = 0;
    for (realm, name, key) in &dump.users {
        let key = key.trim();
        let key = key.strip_prefix("0x").unwrap_or(key);
        if *realm != own {
            others += 1;
        } else if name.contains(':') || name.starts_with(['"', '=', ' ']) || !is_one_line(name) {
            unwritable += 1;
        } else {
            users.push(Zeroizing::new(format!("{name}:0x{key}")));
        }
    }
    for (realm, value) in &dump.secrets {
        if *realm != own {
            others += 1;
        } else if value.starts_with(['"', '=', ' ']) || !is_one_line(value) {
            unwritable += 1;
        } else {
            secrets += 1;
            if uses != Uses::Users {
                line(&mut text, "static-auth-secret", value);
            }
        }
    }
    if uses == Uses::Secrets && !users.is_empty() {
        notes.push(format!(
            "database: {} users are left out: coturn ignores them beside use-auth-secret",
            users.len()
        ));
        users.clear();
    }
    if uses == Uses::Users && secrets > 0 {
        notes.push(format!(
            "database: {secrets} secrets are left out: coturn ignores them without use-auth-secret"
        ));
    }
    if uses == Uses::Users || secrets == 0 {
        users.drain(..).for_each(|user| line(&mut text, "user", &user));
    }
    // What another realm allows is not allowed here; what one denies is denied.
    for (realm, range) in &dump.allowed_peers {
        if realm.is_empty() || *realm == own {
            line(&mut text, "allowed-peer-ip", range);
        } else {
            others += 1;
        }
    }
    dump.denied_peers.iter().for_each(|(_, range)| line(&mut text, "denied-peer-ip", range));
    if others > 0 {
        notes.push(format!(
            "database: {others} rows of other realms than {own:?} are left out: a key is good in its own realm alone"
        ));
    }
    if unwritable + dump.left_out > 0 {
        notes.push(format!(
            "database: {} rows are left out: a column is empty, or has what no line of a configuration can have",
            unwritable + dump.left_out
        ));
    }
    Ok(Lines { text, notes, users })
}

fn is_one_line(text: &str) -> bool {
    !text.chars().any(char::is_control) && text.trim() == text
}

fn line(text: &mut String, option: &str, value: &str) {
    if is_one_line(value) {
        // Writing to a String does not fail.
        let _ = writeln!(text, "{option}={value}");
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn dumped() -> Dump {
        let text = |text: &str| Zeroizing::new(text.to_owned());
        let user = |realm: &str, name: &str| (realm.to_owned(), name.to_owned(), text("0xab"));
        let peer = |realm: &str, range: &str| (realm.to_owned(), range.to_owned());
        Dump {
            users: vec![
                user("r", "alice"),
                user("r", "a:b"),
                user("r", "x\ny"),
                user("other", "bob"),
            ],
            secrets: vec![("r".into(), text("s3cret")), ("other".into(), text("theirs"))],
            allowed_peers: vec![peer("", "10.0.0.1"), peer("other", "10.0.0.2")],
            denied_peers: vec![peer("other", "10.1.0.0-10.1.0.9"), peer("r", "1.2.3.4\nuser=x:y")],
            left_out: 1,
        }
    }

    #[test]
    fn rows_of_the_realm_become_lines_and_none_becomes_two() {
        let peers = "allowed-peer-ip=10.0.0.1\ndenied-peer-ip=10.1.0.0-10.1.0.9\n";
        for (uses, lines, beside, note) in [
            (Uses::Users, "user=alice:0xab\n", 0, "1 secrets are left out"),
            (Uses::Secrets, "static-auth-secret=s3cret\n", 0, "1 users are left out"),
            (Uses::Unknown, "static-auth-secret=s3cret\n", 1, "rows"),
        ] {
            let Lines { text, notes, users } = written(&dumped(), Some("r"), uses).unwrap();
            assert_eq!((text.as_str(), users.len()), (&*format!("{lines}{peers}"), beside));
            assert!(notes.join("\n").contains(note), "{notes:?}");
        }
        let notes = written(&dumped(), Some("r"), Uses::Unknown).unwrap().notes.join("\n");
        assert!(
            notes.contains("3 rows of other realms") && notes.contains("3 rows are left out"),
            "{notes}"
        );
    }

    #[test]
    fn of_several_realms_one_has_to_be_named_and_a_single_one_is_taken() {
        let error = written(&dumped(), None, Uses::Users).err().unwrap().to_string();
        assert!(error.contains("--realm: \"other\", \"r\""), "{error}");
        let mut one = dumped();
        one.users.retain(|(realm, ..)| realm == "r");
        one.secrets.retain(|(realm, _)| realm == "r");
        let text = written(&one, None, Uses::Users).unwrap().text;
        assert!(text.starts_with("realm=r\nuser=alice:0xab\n"));
    }
}
