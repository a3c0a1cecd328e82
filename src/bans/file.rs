//! The file that keeps the bans over a restart: whole or not at all, and checked when it is read.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::list::{BanList, MOST, Term};
use super::merge::Memory;
use taciturn_turn::policy::Banned;

/// Its name in the state directory.
const NAME: &str = "bans.json";

/// The version of its form.
const VERSION: u32 = 1;

/// More than the longest names of as many bans as there may be take.
const LONGEST: u64 = 16 * 1024 * 1024;

/// The file as it is.
#[derive(Serialize, Deserialize)]
struct Form {
    version: u32,
    bans: Vec<Record>,
    /// What is remembered of the fleet, if the server is in one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fleet: Option<FleetForm>,
}

#[derive(Default, Serialize, Deserialize)]
struct FleetForm {
    epoch: String,
    begun: Vec<(String, String)>,
    ended: Vec<(String, String)>,
}

#[derive(Serialize, Deserialize)]
struct Record {
    kind: String,
    value: String,
    since: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<u64>,
}

/// What is read before everything else.
#[derive(Deserialize)]
struct Head {
    version: u32,
}

/// Why the file was not read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The system refuses.
    #[error("cannot read {path}: {error}")]
    System {
        /// The file.
        path: String,
        /// Why.
        error: io::Error,
    },
    /// What is in it is not what this release writes. It was given another name.
    #[error(
        "{path} is damaged ({why}), and was renamed to {kept}: nobody is banned. Put it right, name it as \
             it was, and restart the server, or ban anew"
    )]
    Damaged {
        /// The file.
        path: String,
        /// What is wrong.
        why: String,
        /// Its new name.
        kept: String,
    },
}

/// Where the bans are kept.
#[derive(Debug)]
pub struct BanFile {
    path: PathBuf,
}

impl BanFile {
    /// The one in this directory.
    #[must_use]
    pub fn within(state_dir: &Path) -> Self {
        Self { path: state_dir.join(NAME) }
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is in it; nothing if there is none.
    ///
    /// # Errors
    /// When it cannot be read. Of a damaged one nothing counts, and it is kept under another name.
    pub fn read(&self) -> Result<(BanList, Memory), ReadError> {
        let path = self.path.display().to_string();
        let bytes = match self.bytes() {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Default::default()),
            Err(error) => return Err(ReadError::System { path, error }),
        };
        parse(&bytes).map_err(|why| {
            let kept = self.path.with_extension("json.damaged");
            match fs::rename(&self.path, &kept) {
                Ok(()) => ReadError::Damaged { path, why, kept: kept.display().to_string() },
                Err(error) => ReadError::System { path, error },
            }
        })
    }

    fn bytes(&self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(&self.path)?.take(LONGEST + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Writes all bans, in place of what was there.
    ///
    /// # Errors
    /// When that cannot be written. What was there stays then.
    pub fn write(&self, list: &BanList, memory: &Memory) -> io::Result<()> {
        let record = |(banned, Term { since, until }): (&Banned, Term)| Record {
            kind: banned.kind().to_owned(),
            value: banned.value(),
            since,
            until,
        };
        let words = |banned: &Banned| (banned.kind().to_owned(), banned.value());
        let fleet = (*memory != Memory::default()).then(|| FleetForm {
            epoch: memory.epoch.clone(),
            begun: memory.begun.iter().map(words).collect(),
            ended: memory.ended.iter().map(words).collect(),
        });
        let form = Form { version: VERSION, bans: list.iter().map(record).collect(), fleet };
        let new = self.path.with_extension("json.new");
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(&serde_json::to_vec(&form)?)?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        fs::rename(&new, &self.path)
    }
}

fn parse(bytes: &[u8]) -> Result<(BanList, Memory), String> {
    if bytes.len() as u64 > LONGEST {
        return Err(format!("it has more than {LONGEST} bytes"));
    }
    let Head { version } = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    if version != VERSION {
        return Err(format!("it has version {version}, and this server knows {VERSION}"));
    }
    let Form { bans, fleet, .. } =
        serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    if bans.len() > MOST {
        return Err(format!("it has {} bans, of which there may be {MOST}", bans.len()));
    }
    let banned = |kind: &str, value: &str| {
        Banned::of(kind, value).map_err(|error| format!("a ban of it: {error}"))
    };
    let mut list = BanList::default();
    for Record { kind, value, since, until } in bans {
        list.add(banned(&kind, &value)?, Term { since, until })
            .map_err(|error| error.to_string())?;
    }
    let FleetForm { epoch, begun, ended } = fleet.unwrap_or_default();
    let all = |words: Vec<(String, String)>| {
        words.iter().map(|(kind, value)| banned(kind, value)).collect::<Result<_, _>>()
    };
    Ok((list, Memory { epoch, begun: all(begun)?, ended: all(ended)? }))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn list() -> BanList {
        let mut list = BanList::default();
        for (kind, value, until) in [
            ("user", "@\"quoted\" \\ é:domain.org", None),
            ("address", "2001:db8::7", Some(2_000_000_000)),
            ("network", "192.0.2.0/24", None),
        ] {
            list.add(Banned::of(kind, value).unwrap(), Term { since: 1_700_000_000, until })
                .unwrap();
        }
        list
    }

    #[test]
    fn what_was_written_is_read_and_without_a_file_nobody_is_banned() {
        let directory = tempfile::tempdir().unwrap();
        let file = BanFile::within(directory.path());
        assert_eq!(file.read().unwrap(), Default::default());
        let mut memory = Memory { epoch: "one".into(), ..Memory::default() };
        memory.begin(Banned::user("alice").unwrap());
        memory.end(Banned::of("network", "192.0.2.0/24").unwrap());
        file.write(&list(), &memory).unwrap();
        assert_eq!(file.read().unwrap(), (list(), memory));
        file.write(&BanList::default(), &Memory::default()).unwrap();
        assert_eq!(file.read().unwrap(), Default::default());
        let names: Vec<_> = fs::read_dir(directory.path()).unwrap().collect();
        assert_eq!(names.len(), 1, "{names:?}");
    }

    #[test]
    fn a_file_of_this_version_stays_readable() {
        let text = r#"{"version":1,"of_later":0,"bans":[{"kind":"user","value":"alice","since":5,"until":9}]}"#;
        let mut expected = BanList::default();
        expected.add(Banned::user("alice").unwrap(), Term { since: 5, until: Some(9) }).unwrap();
        assert_eq!(parse(text.as_bytes()), Ok((expected, Memory::default())));
    }

    #[test]
    fn a_damaged_file_is_said_and_kept_and_counts_for_nothing() {
        let whole = {
            let directory = tempfile::tempdir().unwrap();
            let file = BanFile::within(directory.path());
            file.write(&list(), &Memory::default()).unwrap();
            fs::read(file.path()).unwrap()
        };
        let text = |text: &str| text.as_bytes().to_vec();
        let many = format!(
            "{{\"version\":1,\"bans\":[{}]}}",
            vec![r#"{"kind":"user","value":"a","since":1}"#; MOST + 1].join(",")
        );
        for (bytes, why) in [
            (whole[..whole.len() / 2].to_vec(), "EOF"),
            (text(""), "EOF"),
            (text(r#"{"version":2,"bans":[]}"#), "version 2"),
            (
                text(r#"{"version":1,"bans":[{"kind":"user","value":"","since":1}]}"#),
                "a user name has",
            ),
            (
                text(r#"{"version":1,"bans":[{"kind":"network","value":"::/0","since":1}]}"#),
                "prefix",
            ),
            (text(&many), "10001 bans"),
            (vec![b' '; LONGEST as usize + 1], "more than"),
        ] {
            let directory = tempfile::tempdir().unwrap();
            let file = BanFile::within(directory.path());
            fs::write(file.path(), &bytes).unwrap();
            let error = file.read().unwrap_err().to_string();
            assert!(error.contains(why) && error.contains("bans.json.damaged"), "{error}");
            assert_eq!(fs::read(directory.path().join("bans.json.damaged")).unwrap(), bytes);
            assert_eq!(file.read().unwrap(), Default::default());
        }
    }

    #[test]
    fn a_file_that_cannot_be_read_is_another_error() {
        let directory = tempfile::tempdir().unwrap();
        let file = BanFile::within(directory.path());
        fs::create_dir(file.path()).unwrap();
        let error = file.read().unwrap_err();
        assert!(matches!(error, ReadError::System { .. }), "{error}");
        assert!(file.write(&list(), &Memory::default()).is_err());
    }
}
