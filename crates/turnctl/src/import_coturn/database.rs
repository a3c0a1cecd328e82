//! What coturn's database holds, as lines of a turnserver.conf: from there on it is judged as those are.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use taciturn_config::coturn::Copied;
use taciturn_config::{MOST_TENANTS, SqlPlace, SqlUrl};
use taciturn_database::{DatabaseError, Dump, Password, Place, Settings, dump};
use zeroize::Zeroizing;

/// So many realms are named in a sentence.
const NAMED: usize = 64;

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
    #[error(
        "the database has users or secrets of several realms: {}. Name the one that is the server's own, which clients \
         are told unless something leads them to another; the others become tenants. For example: --realm {}",
        named(.0), .0.first().map(String::as_str).unwrap_or_default()
    )]
    Realms(Vec<String>),
    /// More realms than there may be tenants.
    #[error(
        "the database has users or secrets of {0} realms besides the server's own, and a server has {MOST_TENANTS} \
         tenants at most: divide them among several servers, and delete the rows of the others in a copy of the \
         database. Or have the server read the realm that it is for: docs/databases.md"
    )]
    TooManyRealms(usize),
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
    /// The server's own realm, as in a turnserver.conf.
    pub(super) text: Zeroizing<String>,
    /// What holds in every realm, as there; it is in `text` as well.
    pub(super) of_all: String,
    /// What was left out, and why.
    pub(super) notes: Vec<String>,
    /// Users that are no lines, because there are lines with secrets: as `users` of `[auth]` has them.
    pub(super) users: Vec<Zeroizing<String>>,
    /// Other realms with credentials.
    pub(super) others: Vec<OfRealm>,
}

/// What the tables hold of one realm.
#[derive(Default)]
pub(super) struct OfRealm {
    /// Its name.
    pub(super) realm: String,
    /// `NAME:0xKEY`.
    pub(super) users: Vec<Zeroizing<String>>,
    pub(super) secrets: Vec<Zeroizing<String>>,
    /// Peer ranges and limits, as lines of a turnserver.conf.
    pub(super) text: String,
}

impl OfRealm {
    pub(super) fn has_credentials(&self) -> bool {
        !self.users.is_empty() || !self.secrets.is_empty()
    }
}

/// Reads a file of SQLite, or a PostgreSQL by its URL; `password` is its password if the URL has none. `realm` is the
/// realm of the rest of the configuration, if it names one.
pub(super) fn lines(
    database: &str,
    ca_file: Option<&Path>,
    realm: Option<&str>,
    uses: Uses,
) -> Result<Lines, ImportDatabaseError> {
    let settings = settings(&url(database)?, ca_file)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(ImportDatabaseError::System)?;
    let dump = runtime.block_on(dump(&settings))?;
    written(&dump, realm, uses)
}

fn url(database: &str) -> Result<SqlUrl, ImportDatabaseError> {
    match database.contains(':') {
        true => SqlUrl::parse(database).map_err(ImportDatabaseError::Url),
        false => Ok(SqlUrl::of_file(Path::new(database))),
    }
}

/// What a database named so is.
pub(super) fn kind(database: &str) -> Result<Copied, ImportDatabaseError> {
    Ok(match url(database)?.place {
        SqlPlace::File(_) => Copied::Sqlite,
        SqlPlace::Tcp { .. } | SqlPlace::Unix(_) => Copied::Postgres,
    })
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
        (Some(realm), _) => realm,
        (None, 0) => "",
        (None, 1) => {
            let own = realms.first().copied().unwrap_or_default();
            line(&mut text, "realm", own);
            own
        }
        (None, _) => {
            return Err(ImportDatabaseError::Realms(realms.into_iter().map(Into::into).collect()));
        }
    };
    // A realm without a name, or of several lines, is none that a client could be told.
    let is_other = |realm: &&str| *realm != own && !realm.is_empty() && is_one_line(realm);
    let others: Vec<_> = realms.into_iter().filter(is_other).collect();
    if others.len() > MOST_TENANTS {
        return Err(ImportDatabaseError::TooManyRealms(others.len()));
    }
    let mut left_out = LeftOut { no_lines: dump.left_out, ..LeftOut::default() };
    let mut all = all(dump, &[&[own], others.as_slice()].concat(), &mut left_out);
    if uses == Uses::Secrets {
        all.iter_mut().for_each(|one| left_out.users += one.users.drain(..).len());
    }
    if uses == Uses::Users {
        all.iter_mut().for_each(|one| left_out.secrets += one.secrets.drain(..).len());
    }
    let mut of_all = String::new();
    for (option, ranges) in peer_ranges(dump) {
        let everywhere = ranges.iter().filter(|(realm, _)| realm.is_empty());
        everywhere.for_each(|(_, range)| line(&mut of_all, option, range));
    }
    let others = all.split_off(1);
    let OfRealm { mut users, secrets, text: own_text, .. } = all.pop().unwrap_or_default();
    secrets.iter().for_each(|secret| line(&mut text, "static-auth-secret", secret));
    if secrets.is_empty() {
        users.drain(..).for_each(|user| line(&mut text, "user", &user));
    }
    text.push_str(&of_all);
    text.push_str(&own_text);
    let others: Vec<_> = others.into_iter().filter(OfRealm::has_credentials).collect();
    Ok(Lines { text, of_all, notes: left_out.notes(dump), users, others })
}

/// What is in use of a turnserver.conf once, and of a database for each realm.
const OPTIONS: [&str; 3] = ["max-bps", "user-quota", "total-quota"];

/// The rows of these realms.
fn all(dump: &Dump, realms: &[&str], left_out: &mut LeftOut) -> Vec<OfRealm> {
    let named = |realm: &&str| OfRealm { realm: (*realm).to_owned(), ..OfRealm::default() };
    let mut all: Vec<_> = realms.iter().map(named).collect();
    let at: BTreeMap<_, _> = realms.iter().enumerate().map(|(at, realm)| (*realm, at)).collect();
    for (realm, name, key) in &dump.users {
        let key = key.trim();
        let key = key.strip_prefix("0x").unwrap_or(key);
        match of(&mut all, &at, realm) {
            _ if name.contains(':') || name.starts_with(['"', '=', ' ']) || !is_one_line(name) => {
                left_out.no_lines += 1;
            }
            Some(one) => one.users.push(Zeroizing::new(format!("{name}:0x{key}"))),
            None => left_out.of_no_realm += 1,
        }
    }
    for (realm, value) in &dump.secrets {
        match of(&mut all, &at, realm) {
            _ if value.starts_with(['"', '=', ' ']) || !is_one_line(value) => {
                left_out.no_lines += 1
            }
            Some(one) => one.secrets.push(value.clone()),
            None => left_out.of_no_realm += 1,
        }
    }
    for (option, ranges) in peer_ranges(dump) {
        for (realm, range) in ranges.iter().filter(|(realm, _)| !realm.is_empty()) {
            match of(&mut all, &at, realm) {
                Some(one) => line(&mut one.text, option, range),
                None => left_out.of_no_realm += 1,
            }
        }
    }
    for (realm, option, value) in &dump.options {
        let is_number = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
        match of(&mut all, &at, realm) {
            _ if !OPTIONS.contains(&option.as_str()) || !is_number => left_out.options += 1,
            Some(one) => line(&mut one.text, option, value),
            None => left_out.of_no_realm += 1,
        }
    }
    all
}

fn of<'a>(
    all: &'a mut [OfRealm],
    at: &BTreeMap<&str, usize>,
    realm: &str,
) -> Option<&'a mut OfRealm> {
    at.get(realm).and_then(|at| all.get_mut(*at))
}

fn peer_ranges(dump: &Dump) -> [(&'static str, &[(String, String)]); 2] {
    [("allowed-peer-ip", &dump.allowed_peers), ("denied-peer-ip", &dump.denied_peers)]
}

/// Numbers of rows that are not in the result.
#[derive(Default)]
struct LeftOut {
    users: usize,
    secrets: usize,
    no_lines: usize,
    of_no_realm: usize,
    options: usize,
}

impl LeftOut {
    fn notes(&self, dump: &Dump) -> Vec<String> {
        let causes = [
            (self.users, "users", "coturn ignores them beside use-auth-secret"),
            (self.secrets, "secrets", "coturn ignores them without use-auth-secret"),
            (
                self.of_no_realm,
                "rows",
                "they are of realms that have neither a user nor a secret, or of none",
            ),
            (
                self.no_lines,
                "rows",
                "a column is empty, or has what no line of a configuration can have",
            ),
            (
                self.options,
                "rows of turn_realm_option",
                "they are none of max-bps, user-quota and total-quota, or their value is no number",
            ),
            (
                dump.origins.len(),
                "rows of turn_origin_to_realm",
                "a client's ORIGIN chooses no realm here: browsers send none, and whoever sends one can write any. The \
                 realm of a tenant is chosen by the name that a client asks for by TLS, or by the listener: \
                 docs/tenants.md",
            ),
        ];
        let said = |(number, what, why): (usize, &str, &str)| {
            (number > 0).then(|| format!("database: {number} {what} are left out: {why}"))
        };
        causes.into_iter().filter_map(said).collect()
    }
}

fn named(realms: &[String]) -> String {
    let named: Vec<_> = realms.iter().take(NAMED).map(|realm| format!("{realm:?}")).collect();
    let more = realms.len().saturating_sub(NAMED);
    match more {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
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
            options: vec![
                ("r".into(), "user-quota".into(), "7".into()),
                ("other".into(), "max-bps".into(), "1000".into()),
                ("other".into(), "max-bps".into(), "1000\nuser=x:y".into()),
                ("nobody".into(), "max-bps".into(), "9".into()),
            ],
            origins: vec![peer("other", "https://other.example")],
            left_out: 1,
        }
    }

    #[test]
    fn rows_of_the_realm_become_lines_and_none_becomes_two() {
        let rest = "allowed-peer-ip=10.0.0.1\nuser-quota=7\n";
        for (uses, lines, beside, note) in [
            (Uses::Users, "user=alice:0xab\n", 0, "2 secrets are left out"),
            (Uses::Secrets, "static-auth-secret=s3cret\n", 0, "2 users are left out"),
            (Uses::Unknown, "static-auth-secret=s3cret\n", 1, "rows"),
        ] {
            let Lines { text, notes, users, .. } = written(&dumped(), Some("r"), uses).unwrap();
            assert_eq!((text.as_str(), users.len()), (&*format!("{lines}{rest}"), beside));
            assert!(notes.join("\n").contains(note), "{notes:?}");
        }
        let notes = written(&dumped(), Some("r"), Uses::Unknown).unwrap().notes.join("\n");
        for words in [
            "1 rows are left out: they are of realms",
            "3 rows are left out: a column",
            "1 rows of turn_realm_option",
            "1 rows of turn_origin_to_realm",
        ] {
            assert!(notes.contains(words), "{words}: {notes}");
        }
    }

    #[test]
    fn what_other_realms_have_stays_theirs() {
        for (uses, users, secrets) in [
            (Uses::Users, vec!["bob:0xab"], vec![]),
            (Uses::Secrets, vec![], vec!["theirs"]),
            (Uses::Unknown, vec!["bob:0xab"], vec!["theirs"]),
        ] {
            let Lines { of_all, others, .. } = written(&dumped(), Some("r"), uses).unwrap();
            assert_eq!(of_all, "allowed-peer-ip=10.0.0.1\n");
            let [other] = others.try_into().unwrap_or_else(|_| panic!("one realm"));
            assert_eq!(other.realm, "other");
            let text = "allowed-peer-ip=10.0.0.2\ndenied-peer-ip=10.1.0.0-10.1.0.9\nmax-bps=1000\n";
            assert_eq!(other.text, text);
            let shown = |all: &[Zeroizing<String>]| {
                all.iter().map(|one| one.to_string()).collect::<Vec<_>>()
            };
            assert_eq!(
                (shown(&other.users), shown(&other.secrets)),
                (
                    users.iter().map(ToString::to_string).collect(),
                    secrets.iter().map(ToString::to_string).collect()
                )
            );
        }
        // A realm whose rows are not in use is no tenant.
        let mut dump = dumped();
        dump.users.retain(|(realm, ..)| realm == "r");
        assert!(written(&dump, Some("r"), Uses::Users).unwrap().others.is_empty());
    }

    #[test]
    fn of_several_realms_one_has_to_be_named_and_a_single_one_is_taken() {
        let error = written(&dumped(), None, Uses::Users).err().unwrap().to_string();
        assert!(
            error.contains("realms: \"other\", \"r\"") && error.ends_with("--realm other"),
            "{error}"
        );
        let mut one = dumped();
        one.users.retain(|(realm, ..)| realm == "r");
        one.secrets.retain(|(realm, _)| realm == "r");
        let lines = written(&one, None, Uses::Users).unwrap();
        assert!(lines.text.starts_with("realm=r\nuser=alice:0xab\n") && lines.others.is_empty());
    }

    #[test]
    fn realms_are_bounded_before_anything_is_made_of_them() {
        let mut many = dumped();
        many.secrets = (0..MOST_TENANTS + 2)
            .map(|n| (format!("r{n}"), Zeroizing::new(format!("secret-of-the-realm-{n}"))))
            .collect();
        many.users.clear();
        let error = written(&many, Some("r0"), Uses::Secrets).err().unwrap().to_string();
        assert!(error.contains(&format!("of {} realms", MOST_TENANTS + 1)), "{error}");
        many.secrets.pop();
        assert_eq!(written(&many, Some("r0"), Uses::Secrets).unwrap().others.len(), MOST_TENANTS);
        let error = written(&many, None, Uses::Secrets).err().unwrap().to_string();
        assert!(error.contains("and 1 more"), "{error}");
    }
}
