//! Whether records of sessions are kept, where the configuration wants that: the directory, the disk, and what waits.

use std::fs::{self, Metadata};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::{StatVfsMountFlags, statvfs};
use taciturn_config::{Config, Records};
use taciturn_control::{RecordsState, Status};

use super::super::report::{Finding, Section};
use super::ask;
use super::sockets::Process;
use super::world::World;

const MIB: u64 = 1024 * 1024;

/// MiB that a disk has at least, however few records it is for.
const LEAST: u64 = 16;

/// Records that wait for longer have somebody to be looked for.
const LONG: Duration = Duration::from_secs(600);

/// The directory of the spool, in the state directory.
const SPOOL: &str = "records-spool";

/// Nothing where no records are kept.
pub(super) fn section(config: &Config, world: &World, server: Option<&Process>) -> Option<Section> {
    let place = Place::of(config)?;
    let mut section = Section::new("Records of sessions");
    let writer = Writer::of(config, world, server);
    section.findings.push(place.directory(writer.as_ref(), server.is_some()));
    section.findings.extend(place.disk());
    let status = ask::status(config);
    section.findings.extend(place.kept(status.as_ref(), SystemTime::now()));
    Some(section)
}

/// Where records are written to.
struct Place<'a> {
    /// That of the file, or of the spool.
    directory: PathBuf,
    /// The file in it, if it is one.
    file: Option<&'a Path>,
    settings: &'a Records,
}

impl<'a> Place<'a> {
    fn of(config: &'a Config) -> Option<Self> {
        let settings = &config.records;
        if let Some(file) = &settings.file {
            let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty());
            let directory = parent.unwrap_or_else(|| Path::new(".")).to_owned();
            return Some(Self { directory, file: Some(file), settings });
        }
        let is_sent = settings.url.is_some() || settings.stream.is_some();
        let directory = config.state_dir.join(SPOOL);
        is_sent.then_some(Self { directory, file: None, settings })
    }

    /// Whether the server can write there.
    fn directory(&self, writer: Option<&Writer>, is_running: bool) -> Finding {
        const ID: &str = "records-directory";
        let shown = self.directory.display();
        let found = match fs::metadata(&self.directory) {
            Ok(found) if found.is_dir() => found,
            Ok(_) => return self.refused(format!("{shown} is no directory"), writer),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let title = format!("{shown} is not there");
                return match is_running {
                    true => self.refused(title, writer),
                    false => Finding::info(ID, title)
                        .why("The server makes it when it starts, if it may write to the directory that it is in."),
                };
            }
            Err(error) => return Finding::skip(ID, format!("cannot look at {shown}: {error}")),
        };
        let file = self.file.and_then(|file| Some((file, fs::metadata(file).ok()?)));
        let file = file.as_ref().map(|(path, found)| (*path, found));
        let mut all = [(self.directory.as_path(), &found)].into_iter().chain(file);
        let Some(writer) = writer else { return Finding::pass(ID, format!("{shown} is there")) };
        match all.find(|(_, found)| !writer.may_write(found)) {
            Some((path, _)) => {
                let title = format!("{} cannot be written to by {writer}", path.display());
                self.refused(title, Some(writer))
            }
            None => Finding::pass(ID, format!("{shown} can be written to by {writer}")),
        }
    }

    fn refused(&self, title: String, writer: Option<&Writer>) -> Finding {
        let shown = self.directory.display();
        let owner = writer.map_or_else(|| "taciturn".to_owned(), |writer| writer.uid.to_string());
        let mode = if self.file.is_some() { "750" } else { "700" };
        let of_file = self.file.map(|file| format!("\n  chown {owner} {}*", file.display()));
        Finding::warn("records-directory", title)
            .why("The server does not start; one that runs keeps records in memory, and loses them with time.")
            .fix(format!(
                "Make it the server's own, and restart the server:\n  install -d -m {mode} -o {owner} {shown}{}\nOutside of \
                 /var/lib/taciturn the systemd unit needs it as well (systemctl edit taciturn):\n  [Service]\n  \
                 ReadWritePaths={shown}",
                of_file.unwrap_or_default()
            ))
    }

    /// Whether there is room on the disk for all that may come.
    fn disk(&self) -> Option<Finding> {
        let there = self.directory.ancestors().find(|path| path.is_dir())?;
        let Ok(disk) = statvfs(there) else {
            let title = format!("could not look how full the disk of {} is", there.display());
            return Some(Finding::skip("records-disk", title));
        };
        if disk.f_flag.contains(StatVfsMountFlags::RDONLY) {
            let title = format!("the disk of {} is mounted to be read only", there.display());
            return Some(
                Finding::warn("records-disk", title)
                    .why("No record can be written.")
                    .fix("Mount it to be written to, or name another place in [records]."),
            );
        }
        Some(self.room(disk.f_bavail.saturating_mul(disk.f_frsize), self.used()))
    }

    /// Judges so many free bytes, where records have so many already.
    fn room(&self, free: u64, used: u64) -> Finding {
        let Records { rotate_at_mib, keep, spool_mib, .. } = self.settings;
        let most = match self.file {
            Some(_) => u64::from(*rotate_at_mib) * (u64::from(*keep) + 1),
            None => u64::from(*spool_mib),
        };
        let more = (most * MIB).saturating_sub(used).max(LEAST * MIB).div_ceil(MIB);
        let title =
            format!("{} MiB are free for records, which may take {more} MiB more", free / MIB);
        if free / MIB >= more {
            return Finding::pass("records-disk", title);
        }
        let (why, fix) = match self.file {
            Some(_) => (
                "On a full disk records wait in memory, and are lost if that lasts.",
                "[records]\n  rotate_at_mib = 16\n  keep = 4",
            ),
            None => (
                "On a full disk records wait in memory, and are lost if that lasts: the spool fills while the receiver \
                 is away.",
                "[records]\n  spool_mib = 16",
            ),
        };
        let fix = format!("Free some of it, or let records take less:\n  {fix}");
        Finding::warn("records-disk", title).why(why).fix(fix)
    }

    /// Bytes that records have on the disk.
    fn used(&self) -> u64 {
        self.files().map(|(_, found)| found.len()).sum()
    }

    /// The files of records: of the spool, or that of `file` and the old ones.
    fn files(&self) -> impl Iterator<Item = (PathBuf, Metadata)> {
        let name =
            self.file.and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
        let entries = fs::read_dir(&self.directory).into_iter().flatten().flatten();
        entries.filter_map(move |entry| {
            let found = entry.file_name().to_string_lossy().into_owned();
            let is_one = match &name {
                Some(name) => found.starts_with(name.as_str()),
                None => found.ends_with(".jsonl"),
            };
            is_one.then(|| Some((entry.path(), entry.metadata().ok()?))).flatten()
        })
    }

    /// What the running server says of records that are not where they should be.
    fn kept(&self, status: Option<&Status>, now: SystemTime) -> Vec<Finding> {
        let Some(status) = status else {
            let title = "no running server could be asked whether records wait";
            return vec![Finding::skip("records-kept", title)];
        };
        let Some(RecordsState { waiting, dropped, trouble }) = &status.records else {
            return vec![Finding::pass("records-kept", "no record waits, and none was lost")];
        };
        let mut findings = Vec::new();
        let age = match self.file {
            Some(_) => None,
            None => self.oldest(now),
        };
        let since = age.map(|age| match age.as_secs() {
            seconds @ ..=119 => format!(", the oldest for {seconds} s"),
            seconds => format!(", the oldest for {} min", seconds / 60),
        });
        let wait = format!("{waiting} records wait{}", since.unwrap_or_default());
        match (trouble, self.file) {
            (Some(trouble), Some(_)) => findings.push(
                Finding::warn("records-kept", format!("records {trouble}; {wait}"))
                    .why("They are in memory: a restart loses them, and with time so does the lack of room.")
                    .fix("Mend the disk or the directory; the server tries again each second. See what it says:\n  \
                          journalctl -u taciturn | grep records"),
            ),
            (Some(trouble), None) => findings.push(
                Finding::warn("records-not-taken", format!("records are not taken: {trouble}; {wait}"))
                    .why(format!(
                        "They wait on the disk, up to {} MiB (spool_mib); what comes then is lost.",
                        self.settings.spool_mib
                    ))
                    .fix("Mend the receiver: it has to answer a POST with a status from 200 to 299 within 30 s, or the stream \
                          to take XADD (docs/records.md). The server tries again by itself. See whether it is taken:\n  \
                          turnctl status"),
            ),
            (None, _) if age.is_some_and(|age| age > LONG) => findings.push(
                Finding::warn("records-not-taken", wait)
                    .why("The receiver is slower than the sessions end, or another server's records are in this directory.")
                    .fix("See what the server says of it:\n  journalctl -u taciturn | grep records"),
            ),
            (None, _) if *waiting > 0 => findings.push(Finding::info("records-kept", wait)),
            (None, _) => {}
        }
        if *dropped > 0 {
            let title = format!("{dropped} records were lost since the start of the server");
            findings.push(
                Finding::warn("records-lost", title)
                    .why("What these sessions have used is in no record. taciturn_records_dropped_total says why.")
                    .fix("See when it began, and give the spool more room if it was full (spool_mib in [records]):\n  \
                          journalctl -u taciturn | grep records"),
            );
        }
        findings
    }

    /// How long the oldest record of the spool has waited, at least.
    fn oldest(&self, now: SystemTime) -> Option<Duration> {
        let written = self.files().filter(|(_, found)| found.len() > 0);
        let oldest = written.filter_map(|(_, found)| found.modified().ok()).min()?;
        now.duration_since(oldest).ok().map(|age| Duration::from_secs(age.as_secs()))
    }
}

/// The user that the server runs as.
#[derive(Debug, PartialEq, Eq)]
struct Writer {
    uid: u32,
    groups: Vec<u32>,
}

impl std::fmt::Display for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the server's user (uid {})", self.uid)
    }
}

impl Writer {
    /// That of the running server, else that of `[process]`; nothing if neither is known.
    fn of(config: &Config, world: &World, server: Option<&Process>) -> Option<Self> {
        let running = server.and_then(|server| world.read(&format!("proc/{}/status", server.pid)));
        match running {
            Some(status) => Self::of_process(&status),
            None => Self::of_account(config.process.user.as_ref()?.as_str(), world),
        }
    }

    /// Of the lines of `/proc/PID/status`.
    fn of_process(status: &str) -> Option<Self> {
        let numbers = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            Some(line.split_ascii_whitespace().filter_map(|number| number.parse().ok()).collect())
        };
        // The real one, and the effective one.
        let uids: Vec<u32> = numbers("Uid:")?;
        let gids: Vec<u32> = numbers("Gid:")?;
        let mut groups: Vec<u32> = numbers("Groups:").unwrap_or_default();
        groups.extend(gids.get(1));
        Some(Self { uid: *uids.get(1)?, groups })
    }

    /// Of `USER` or `USER:GROUP`.
    fn of_account(account: &str, world: &World) -> Option<Self> {
        let name = account.split(':').next()?;
        let passwd = world.read("etc/passwd")?;
        let mut entries = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>());
        let entry = entries.find(|fields| fields.first() == Some(&name))?;
        let number = |at: usize| entry.get(at).and_then(|field| field.parse::<u32>().ok());
        let mut groups: Vec<u32> = number(3).into_iter().collect();
        for line in world.read("etc/group").unwrap_or_default().lines() {
            let mut fields = line.split(':');
            let (group, gid, members) = (fields.next(), fields.nth(1), fields.next());
            let is_member = members.is_some_and(|all| all.split(',').any(|one| one == name));
            if is_member || group == account.split(':').nth(1) {
                groups.extend(gid.and_then(|gid| gid.parse::<u32>().ok()));
            }
        }
        Some(Self { uid: number(2)?, groups })
    }

    /// Whether this user may write to it; of a directory, whether it may make files there.
    fn may_write(&self, found: &Metadata) -> bool {
        let shift = match () {
            () if self.uid == found.uid() => 6,
            () if self.groups.contains(&found.gid()) => 3,
            () => 0,
        };
        let wanted = if found.is_dir() { 0o3 } else { 0o2 };
        self.uid == 0 || (found.mode() >> shift) & wanted == wanted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Status as Of;
    use std::os::unix::fs::PermissionsExt as _;

    fn config(records: &str) -> Config {
        let toml = format!("auth.secrets = [\"a secret of some length\"]\n{records}\n");
        Config::from_toml(&toml).unwrap().config
    }

    fn file_in(dir: &Path) -> Config {
        config(&format!("records.file = {:?}", dir.join("records/usage.jsonl")))
    }

    fn spool_in(dir: &Path) -> Config {
        config(&format!("state_dir = {dir:?}\nrecords.url = \"http://127.0.0.1:9/\""))
    }

    fn status(records: Option<RecordsState>) -> Status {
        let json = r#"{"version":"1","started_at":1,"ready":true,"workers":1,"allocations":0,"users":0,"connections":0,
            "relay_ports":1,"relay_ports_used":{"ipv4":0,"ipv6":0},"bytes_to_peers":0,"bytes_to_clients":0,
            "packets_to_peers":0,"packets_to_clients":0,"last_reload":{"succeeded":true,"finished_at":1},
            "certificates":[],"closing_listeners":[]}"#;
        let mut status: Status = serde_json::from_str(json).unwrap();
        status.records = records;
        status
    }

    fn told(findings: &[Finding]) -> Vec<(&'static str, Of)> {
        findings.iter().map(|finding| (finding.id, finding.status)).collect()
    }

    /// Everything but a pass says what to do.
    fn has_remedies(findings: &[Finding]) -> bool {
        findings
            .iter()
            .all(|one| one.status < Of::Warn || (one.fix.is_some() && !one.why.is_empty()))
    }

    #[test]
    fn without_records_there_is_no_section() {
        assert!(Place::of(&config("")).is_none());
    }

    #[test]
    fn a_directory_that_is_not_there_or_not_the_servers_is_told_with_its_remedy() {
        let dir = tempfile::tempdir().unwrap();
        let me = Writer { uid: dir.path().metadata().unwrap().uid(), groups: vec![] };
        let other = Writer { uid: me.uid + 4321, groups: vec![] };
        let (of_file, of_spool) = (file_in(dir.path()), spool_in(dir.path()));
        for (config, made) in [(&of_file, "records"), (&of_spool, SPOOL)] {
            let place = Place::of(config).unwrap();
            let finding = |writer: &Writer| {
                let finding = place.directory(Some(writer), true);
                assert!(has_remedies(std::slice::from_ref(&finding)), "{finding:?}");
                finding
            };
            let missing = finding(&me);
            assert!(missing.title.ends_with("is not there"), "{missing:?}");
            assert!(missing.fix.as_deref().unwrap().contains(&format!("-o {}", me.uid)));
            // The server makes it.
            assert_eq!(place.directory(Some(&me), false).status, Of::Info);
            fs::create_dir(dir.path().join(made)).unwrap();
            fs::set_permissions(dir.path().join(made), fs::Permissions::from_mode(0o750)).unwrap();
            assert_eq!((finding(&me).id, finding(&me).status), ("records-directory", Of::Pass));
            let theirs = finding(&other);
            assert!(theirs.title.contains("cannot be written to by"), "{theirs:?}");
        }
        // A file that somebody else has made.
        let file = dir.path().join("records/usage.jsonl");
        fs::write(&file, "").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o440)).unwrap();
        let place = Place::of(&of_file).unwrap();
        let by = Writer { uid: other.uid, groups: vec![dir.path().metadata().unwrap().gid()] };
        fs::set_permissions(dir.path().join("records"), fs::Permissions::from_mode(0o770)).unwrap();
        let finding = place.directory(Some(&by), true);
        assert!(finding.title.contains("usage.jsonl cannot be written to"), "{finding:?}");
    }

    #[test]
    fn a_disk_without_room_for_what_may_come_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let (of_file, of_spool) = (file_in(dir.path()), spool_in(dir.path()));
        // 64 MiB and eight old ones; the spool has 64 MiB.
        for (config, most) in [(&of_file, 576), (&of_spool, 64)] {
            let place = Place::of(config).unwrap();
            assert_eq!(place.room(most * MIB, 0).status, Of::Pass);
            let little = place.room(most * MIB - 1, 0);
            assert_eq!((little.id, little.status), ("records-disk", Of::Warn));
            assert!(has_remedies(std::slice::from_ref(&little)), "{little:?}");
            assert_eq!(place.room((most - 8) * MIB, 8 * MIB).status, Of::Pass);
            assert_eq!(place.room((LEAST - 1) * MIB, most * MIB).status, Of::Warn);
        }
        let place = Place::of(&of_file).unwrap();
        fs::create_dir(&place.directory).unwrap();
        fs::write(place.directory.join("usage.jsonl.1"), [0; 100]).unwrap();
        fs::write(place.directory.join("other"), [0; 100]).unwrap();
        assert_eq!(place.used(), 100);
        assert!(place.disk().is_some_and(|finding| finding.status != Of::Skip));
    }

    #[test]
    fn what_the_running_server_says_is_told_with_its_remedy() {
        let dir = tempfile::tempdir().unwrap();
        let (of_file, of_spool) = (file_in(dir.path()), spool_in(dir.path()));
        let state = |waiting, dropped, trouble: Option<&str>| RecordsState {
            waiting,
            dropped,
            trouble: trouble.map(str::to_owned),
        };
        let kept = |config: &Config, records, now| {
            let findings = Place::of(config).unwrap().kept(Some(&status(records)), now);
            assert!(has_remedies(&findings), "{findings:?}");
            findings
        };
        let now = SystemTime::now();
        for config in [&of_file, &of_spool] {
            assert_eq!(told(&kept(config, None, now)), [("records-kept", Of::Pass)]);
            assert_eq!(
                told(&kept(config, Some(state(3, 0, None)), now)),
                [("records-kept", Of::Info)]
            );
            assert_eq!(
                told(&kept(config, Some(state(0, 2, None)), now)),
                [("records-lost", Of::Warn)]
            );
        }
        let full = kept(&of_file, Some(state(3, 0, Some("cannot be written: full"))), now);
        assert!(
            full[0].title.starts_with("records cannot be written: full; 3 records wait"),
            "{full:?}"
        );
        // A file of the spool tells since when.
        fs::create_dir(dir.path().join(SPOOL)).unwrap();
        fs::write(dir.path().join(SPOOL).join("0123456789abcdef-00000001.jsonl"), "{}\n").unwrap();
        fs::write(dir.path().join(SPOOL).join("0123456789abcdef.lock"), "").unwrap();
        let later = SystemTime::now() + Duration::from_secs(3600);
        let away = kept(&of_spool, Some(state(3, 7, Some("billing: 503"))), later);
        assert_eq!(told(&away), [("records-not-taken", Of::Warn), ("records-lost", Of::Warn)]);
        assert!(
            away[0].title.contains("billing: 503; 3 records wait, the oldest for "),
            "{away:?}"
        );
        let slow = kept(&of_spool, Some(state(3, 0, None)), later);
        assert_eq!(told(&slow), [("records-not-taken", Of::Warn)]);
        assert_eq!(Place::of(&of_spool).unwrap().kept(None, now)[0].status, Of::Skip);
    }

    #[test]
    fn the_servers_user_is_that_of_its_process_or_of_the_configuration() {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in [
            (
                "proc/42/status",
                "Name:\ttaciturn\nUid:\t0\t990\t990\t990\nGid:\t0\t980\t980\t980\nGroups:\t7 8 \n",
            ),
            ("etc/passwd", "root:x:0:0::/:/bin/sh\nturn:x:990:980::/:/bin/false\n"),
            ("etc/group", "turn:x:980:\nkeys:x:77:a,turn\nmore:x:88:\n"),
        ] {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let world = World { root: dir.path().into(), run: |program, _| Err(program.to_owned()) };
        let server = Process { pid: 42, name: "taciturn".into() };
        let of = |config: &Config, server| Writer::of(config, &world, server);
        let plain = config("");
        assert_eq!(of(&plain, None), None);
        assert_eq!(of(&plain, Some(&server)), Some(Writer { uid: 990, groups: vec![7, 8, 980] }));
        let named = config("process.user = \"turn:more\"");
        assert_eq!(of(&named, None), Some(Writer { uid: 990, groups: vec![980, 77, 88] }));
    }
}
