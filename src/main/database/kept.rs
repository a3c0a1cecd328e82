//! What was read last, in the state directory: a server that starts while its database is away goes on with it.
//!
//! It holds keys and secrets, as the database does, and is for its owner only.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use taciturn_config::rows;
use taciturn_database::Settings;
use taciturn_turn::TenantName;
use taciturn_turn::auth::{SharedSecret, StaticKey, StaticUser};
use zeroize::Zeroizing;

use super::super::rules::{Credentials, Extra, OfTenant};

/// Its name in the state directory.
const NAME: &str = "database.json";

/// The version of its form.
const VERSION: u32 = 1;

/// More than as many rows as there may be take.
const LONGEST: u64 = 256 * 1024 * 1024;

/// The file as it is.
#[derive(Serialize, Deserialize)]
struct Form {
    version: u32,
    /// Which database and realm it is of.
    source: String,
    #[serde(flatten)]
    own: CredentialsForm,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tenants: Vec<TenantForm>,
}

#[derive(Serialize, Deserialize)]
struct CredentialsForm {
    users: Vec<UserForm>,
    secrets: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct TenantForm {
    name: String,
    realm: String,
    #[serde(flatten)]
    found: CredentialsForm,
}

#[derive(Serialize, Deserialize)]
struct UserForm {
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    password: Option<String>,
}

/// Where it is kept.
#[derive(Clone)]
pub(super) struct Kept {
    path: PathBuf,
}

/// Of another database or realm nothing is taken. Tenants are told by their names and realms.
fn source(settings: &Settings) -> String {
    let Settings { database, schema, realm, .. } = settings;
    format!("{settings} {database:?} {schema:?} {realm:?}")
}

impl CredentialsForm {
    fn of(Credentials { users, secrets }: &Credentials) -> Self {
        let user = |user: &StaticUser| {
            let (key, password) = match &user.key {
                StaticKey::Md5(key) => (Some(hex(&**key)), None),
                StaticKey::Password(password) => (None, Some(password.as_str().to_owned())),
            };
            UserForm { name: user.name.clone(), key, password }
        };
        let secret =
            |secret: &SharedSecret| std::str::from_utf8(secret.expose()).ok().map(str::to_owned);
        Self {
            users: users.iter().map(user).collect(),
            secrets: secrets.iter().filter_map(secret).collect(),
        }
    }

    fn credentials(self, realm: &str) -> Credentials {
        let user = |UserForm { name, key, password }| match (key, password) {
            (Some(key), _) => rows::keyed_user(&name, &key, realm, true).ok(),
            (None, password) => {
                let password = Zeroizing::new(password?);
                Some(StaticUser { name, key: StaticKey::Password(password) })
            }
        };
        Credentials {
            users: self.users.into_iter().filter_map(user).collect(),
            secrets: self.secrets.iter().map(|text| SharedSecret::new(text.as_bytes())).collect(),
        }
    }
}

impl Kept {
    pub(super) fn within(state_dir: &Path) -> Self {
        Self { path: state_dir.join(NAME) }
    }

    /// What was read of this database before; `None` if nothing was, or it is damaged, which the log has then.
    pub(super) fn read(&self, settings: &Settings) -> Option<Extra> {
        match self.try_read(settings) {
            Ok(extra) => extra,
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                tracing::warn!(
                    "auth.database: cannot read {}: {error}. It is written anew when the database is read",
                    self.path.display()
                );
                None
            }
        }
    }

    fn try_read(&self, settings: &Settings) -> io::Result<Option<Extra>> {
        let file = BufReader::new(File::open(&self.path)?.take(LONGEST));
        // A message of the parser could quote what is in it.
        let form: Form = serde_json::from_reader(file).map_err(|error| {
            io::Error::other(format!("line {}: not what was written", error.line()))
        })?;
        if form.version != VERSION || form.source != source(settings) {
            return Ok(None);
        }
        let tenant = |TenantForm { name, realm, found }| {
            let name: TenantName = name.parse().ok()?;
            let found = CredentialsForm::credentials(found, &realm);
            Some(OfTenant { name, realm, found })
        };
        Ok(Some(Extra {
            own: form.own.credentials(&settings.realm),
            tenants: form.tenants.into_iter().filter_map(tenant).collect(),
        }))
    }

    /// Keeps it, in place of what was there. What is wrong is said in the log.
    pub(super) fn write(&self, settings: &Settings, extra: &Extra) {
        if let Err(error) = self.try_write(settings, extra) {
            tracing::warn!(
                "auth.database: cannot write {}: {error}. A server that starts while the database is away will have no users \
                 and secrets of it",
                self.path.display()
            );
        }
    }

    fn try_write(&self, settings: &Settings, extra: &Extra) -> io::Result<()> {
        let tenant = |OfTenant { name, realm, found }: &OfTenant| TenantForm {
            name: name.to_string(),
            realm: realm.clone(),
            found: CredentialsForm::of(found),
        };
        let form = Form {
            version: VERSION,
            source: source(settings),
            own: CredentialsForm::of(&extra.own),
            tenants: extra.tenants.iter().map(tenant).collect(),
        };
        let new = self.path.with_extension("json.new");
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        let mut file = BufWriter::new(file);
        serde_json::to_writer(&mut file, &form)?;
        file.write_all(b"\n")?;
        file.into_inner()?.sync_all()?;
        fs::rename(&new, &self.path)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn extra() -> Extra {
        let user = |name: &str, key| StaticUser { name: name.into(), key };
        let own = Credentials {
            users: vec![
                user("alice \"é\" \\", StaticKey::Md5([7; 16].into())),
                user("bob", StaticKey::Password(Zeroizing::new("correct horse".into()))),
            ],
            secrets: vec![SharedSecret::new("a secret of a row")],
        };
        let found = Credentials {
            users: vec![user("dora", StaticKey::Md5([8; 16].into()))],
            secrets: vec![SharedSecret::new("a secret of a row of beta")],
        };
        let beta = OfTenant { name: "beta".parse().unwrap(), realm: "beta.example".into(), found };
        Extra { own, tenants: vec![beta] }
    }

    #[test]
    fn what_was_written_is_read_for_the_same_database_and_realm_only() {
        let directory = tempfile::tempdir().unwrap();
        let kept = Kept::within(directory.path());
        let settings = Settings::of_file(Path::new("/x"), "example.org");
        assert!(kept.read(&settings).is_none());
        kept.write(&settings, &extra());
        let read = kept.read(&settings).unwrap();
        let [beta] = read.tenants.as_slice() else { unreachable!() };
        assert_eq!((beta.name.to_string(), beta.realm.as_str()), ("beta".into(), "beta.example"));
        assert!(matches!(&beta.found.users[0].key, StaticKey::Md5(key) if **key == [8; 16]));
        assert_eq!(beta.found.secrets[0].expose(), b"a secret of a row of beta");
        let read = read.own;
        let names: Vec<_> = read.users.iter().map(|user| user.name.as_str()).collect();
        assert_eq!(names, ["alice \"é\" \\", "bob"]);
        assert!(matches!(&read.users[0].key, StaticKey::Md5(key) if **key == [7; 16]));
        assert!(
            matches!(&read.users[1].key, StaticKey::Password(text) if **text == "correct horse")
        );
        assert_eq!(read.secrets[0].expose(), b"a secret of a row");
        let mode = fs::metadata(&kept.path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        for other in [
            Settings::of_file(Path::new("/y"), "example.org"),
            Settings::of_file(Path::new("/x"), "example.net"),
        ] {
            assert!(kept.read(&other).is_none());
        }
    }

    #[test]
    fn a_damaged_file_is_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let kept = Kept::within(directory.path());
        let settings = Settings::of_file(Path::new("/x"), "example.org");
        kept.write(&settings, &extra());
        let whole = fs::read(&kept.path).unwrap();
        for bytes in [&whole[..whole.len() / 2], b"", b"{}", b"\xff"] {
            fs::write(&kept.path, bytes).unwrap();
            assert!(kept.read(&settings).is_none());
        }
    }
}
