//! What the server gives up once its ports are bound.

use std::fs::DirBuilder;
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use taciturn::process::{
    self, Account, Filtered, Sandbox, Sandboxed, drop_bounding_set, drop_capabilities,
    filter_system_calls, forbid_core_dumps, shared_directory,
};
use taciturn_config::{Change, Config};
use taciturn_tls::CertSource;

use super::database;
use super::failure::Failure;
use super::records::SPOOL;

/// The restrictions of landlock and seccomp that are in effect, for the messages of a reload.
#[derive(Clone, Copy, Default)]
pub(super) struct Confined {
    /// Only the configured files can be opened.
    files: bool,
    /// No TCP connection can be begun.
    connections: bool,
    /// System calls are filtered.
    calls: bool,
}

/// Gives up what is not needed once the ports are bound: root, capabilities, the file system, system
/// calls, core dumps. Before any other thread is started, so that it holds for all of them. `uses_maps`: maps of a
/// program in the kernel stay in use.
pub(super) fn confine(config: &Config, uses_maps: bool) -> Result<Confined, Failure> {
    let files = files(config);
    let (_, sockets) = database::files(config);
    // What is not there by now cannot be made behind the sandbox. Without it bans are not kept, which is said then.
    let _ = DirBuilder::new().recursive(true).mode(0o700).create(&config.state_dir);
    if let Some(file) = &config.records.file {
        // If this fails, the server does not start, which says why.
        let _ = DirBuilder::new().recursive(true).mode(0o750).create(directory_of(file));
    }
    warn_of_shared_directories(config, &files);
    let mut confined = Confined::default();
    // While there is CAP_SETPCAP. Who has not is kept from new capabilities by no_new_privs.
    drop_bounding_set()?;
    let account =
        config.process.user.as_ref().map(|user| Account::find(user.as_str())).transpose()?;
    if let Some(account) = &account {
        take_over(config, account)?;
        account.assume()?;
    }
    if let Err(error) = drop_capabilities() {
        tracing::warn!(
            "{error}. If the systemd unit gives this server a capability, add the line \
             SystemCallFilter=capset to it"
        );
    }
    warn_of_root();
    warn_of_unreadable(&files, account.as_ref());
    if let Err(error) = forbid_core_dumps() {
        tracing::warn!("{error}");
    }
    if config.process.sandbox {
        let records = config.records.file.as_deref().map(directory_of);
        let write = [config.state_dir.clone()].into_iter().chain(records).collect();
        let asks_a_database = config.database.url.as_ref().is_some_and(|url| url.is_remote());
        let connects = config.protocol.tcp_relay
            || config.fleet.url.is_some()
            || config.records.url.is_some()
            || asks_a_database;
        match (Sandbox { read: files, write, sockets, connects }).enter()? {
            Sandboxed::Entered { connections_shut } => {
                (confined.files, confined.connections) = (true, connections_shut);
            }
            Sandboxed::Not => {
                tracing::debug!("this kernel has no landlock: the server runs without the sandbox")
            }
        }
    }
    if config.process.seccomp {
        // Last: the calls of the steps before are not on the list.
        match filter_system_calls(uses_maps) {
            Ok(Filtered::Yes) => confined.calls = true,
            Ok(Filtered::No) => {
                tracing::debug!("no seccomp on this machine: system calls are not filtered")
            }
            Err(error) => tracing::warn!(
                "{error}. If it cannot be allowed, seccomp = false in [process] turns this warning off"
            ),
        }
    }
    Ok(confined)
}

/// The files that the server rereads while it runs.
fn files(config: &Config) -> Vec<PathBuf> {
    let listeners = config.listen.iter().filter_map(|listen| listen.cert.as_ref());
    let certificates = config.tls.certificates.iter().chain(listeners);
    let of_tenants =
        config.tenants.iter().flat_map(|tenant| tenant.secrets.iter().chain(&tenant.ice_tokens));
    let secrets = config.auth.secrets.iter().chain(of_tenants).chain(&config.ice.tokens);
    let secrets = secrets.filter_map(|secret| secret.path.clone());
    let mut files: Vec<_> = certificates.flat_map(CertSource::files).chain(secrets).collect();
    files.extend(config.file.clone());
    files.extend(
        [
            &config.fleet.password_file,
            &config.fleet.ca_file,
            &config.fleet.sentinel_password_file,
            &config.records.token_file,
            &config.records.ca_file,
        ]
        .into_iter()
        .flatten()
        .cloned(),
    );
    files.extend(database::files(config).0);
    files
}

/// The directory that a file is in: a bare name is in the working directory.
fn directory_of(file: &Path) -> PathBuf {
    let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty());
    parent.unwrap_or_else(|| Path::new(".")).to_owned()
}

fn take_over(config: &Config, account: &Account) -> Result<(), Failure> {
    account.take_over(&config.state_dir)?;
    if let Some(file) = &config.records.file {
        let dir = directory_of(file);
        if shared_directory(file).is_none() {
            account.take_over(&dir)?;
        }
        account.take_over(file)?;
    }
    account.take_over(&config.state_dir.join(SPOOL))?;
    config.admin.socket.as_deref().map_or(Ok(()), |path| account.take_over(path))?;
    let users = taciturn_config::users_file(&config.state_dir);
    if users.exists() {
        account.take_over(&users)?;
    }
    for secret in config.auth.secrets.iter().filter(|secret| secret.generated) {
        secret.path.as_deref().map_or(Ok(()), |path| account.take_over(path))?;
    }
    Ok(())
}

fn warn_of_root() {
    if process::is_root() {
        tracing::warn!(
            "this server keeps running as root (uid 0): set user in [process], User= in the unit, or user: in the \
             compose file"
        );
    }
}

/// Capabilities allow root to read files of others, and the account switched to may have fewer rights.
fn warn_of_unreadable(files: &[PathBuf], account: Option<&Account>) {
    let who = account.map_or("this server's user", Account::name);
    for (path, error) in process::unreadable(files.iter().map(PathBuf::as_path)) {
        tracing::warn!(
            "{} cannot be read as {who} without capabilities: {error}. It was read before the capabilities \
             were dropped, but the server will not see changes to it. Give {who} the right to read it, for \
             example through its group",
            path.display(),
        );
    }
}

/// Landlock opens the directory of a file, with all that is below it.
fn warn_of_shared_directories(config: &Config, files: &[PathBuf]) {
    if !config.process.sandbox {
        return;
    }
    let mut told = Vec::new();
    if let Some(file) = &config.records.file
        && let Some(dir) = shared_directory(file)
    {
        tracing::warn!(
            "{} (file in [records]) is in {}: the sandbox leaves everything below {} writable for this server. Name a \
             file in a directory of its own",
            file.display(),
            dir.display(),
            dir.display(),
        );
    }
    for path in files {
        let Some(dir) = shared_directory(path).filter(|dir| !told.contains(dir)) else { continue };
        tracing::warn!(
            "{} is in {}: the sandbox leaves everything below {} readable for this server. Put the file \
             into a directory of its own, such as /etc/taciturn",
            path.display(),
            dir.display(),
            dir.display(),
        );
        told.push(dir);
    }
}

impl Confined {
    /// Removes from a new configuration what this process can no longer do, and logs it.
    pub(super) fn withhold(self, before: &Config, new: &mut Config) -> Option<Change> {
        let begins = new.protocol.tcp_relay && !before.protocol.tcp_relay;
        if !self.connections || !begins {
            return None;
        }
        new.protocol.tcp_relay = false;
        let what =
            "false -> true (where it is off at the start, the sandbox shuts connections to peers)";
        let key = "protocol.tcp_relay";
        Some(Change { key, what: what.to_owned(), needs_restart: true })
    }

    /// A hint at the sandbox or the filter of system calls, if one may be the cause of a system error.
    /// `is_caused_by` returns true if the error has a cause of a kind.
    pub(super) fn note(self, is_caused_by: impl Fn(ErrorKind) -> bool) -> &'static str {
        if self.files && is_caused_by(ErrorKind::PermissionDenied) {
            return "\n  note: since its start this server can read only in the directories of the files \
                    that were configured then (sandbox in [process]). A file in another directory needs a \
                    restart";
        }
        if self.calls && is_caused_by(ErrorKind::Unsupported) {
            return "\n  note: this server refuses itself system calls that it should not need (seccomp in \
                    [process]). If it needs this one, set seccomp = false, restart it, and report the message";
        }
        ""
    }
}
