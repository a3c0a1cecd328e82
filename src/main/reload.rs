//! Reload: a running server applies another configuration.

use std::fmt::Display;
use std::io::ErrorKind;
use std::sync::Arc;

use taciturn::admin::control::Messages;
use taciturn::admin::{Moved, ReloadPlan, ServerHandle};
use taciturn_config::{Change, Config};
use taciturn_control::{Error, ErrorKind as Kind};
use taciturn_net::{BindError, ListenerChange, Listeners, Running};
use taciturn_turn::Withdrawn;

use super::addresses::{Addresses, tell_withdrawn};
use super::checks;
use super::confine::Confined;
use super::failure::Failure;
use super::in_use::InUse;
use super::invocation::Invocation;
use super::log::Log;
use super::notes::Notes;
use super::rules::terms;

/// How what needs a restart is applied.
const RESTART: &str = "running calls go on through a restart: systemctl restart taciturn, or another process with \
                       --take-over (turnctl upgrade says which)";

/// Reads the configuration again.
pub(super) struct Reloader<'a> {
    pub(super) invocation: &'a Invocation,
    pub(super) running: &'a Running,
    pub(super) server: ServerHandle,
    pub(super) notes: Notes,
    /// The restrictions of the process.
    pub(super) given_up: Confined,
}

/// The changes of a reload.
struct TakenUp {
    changes: Vec<Change>,
    /// The certificates that were read and are the same as before.
    unchanged: Vec<String>,
    /// The effect on allocations whose user or secret was removed, in words.
    removed: Vec<String>,
}

impl Reloader<'_> {
    /// Reloads the configuration, and reports in the log and to the caller how it
    /// went.
    pub(super) async fn reload(
        &mut self,
        in_use: &mut InUse,
        addresses: &mut Addresses,
        log: &mut Log,
    ) -> Messages {
        let outcome = self.take_up(in_use, addresses, log).await;
        self.server.health().reloaded(outcome.is_ok());
        match outcome {
            Ok(TakenUp { changes, unchanged, removed }) => {
                let nothing = no_change(&unchanged);
                log_changes(&changes, &nothing);
                let mut messages: Vec<_> = changes.iter().map(ToString::to_string).collect();
                if messages.is_empty() {
                    messages.push(nothing);
                }
                for line in removed {
                    tracing::warn!("{line}");
                    messages.push(line);
                }
                if changes.iter().any(|change| change.needs_restart) {
                    tracing::warn!("{RESTART}");
                    messages.push(RESTART.to_owned());
                }
                Ok(messages)
            }
            Err(error) => {
                let message = format!("reload refused, nothing is changed: {error}");
                tracing::error!("{message}");
                Err(Error::new(Kind::ConfigurationRefused, message))
            }
        }
    }

    /// Takes up all of the configuration, but for what needs a restart, or nothing of it.
    async fn take_up(
        &mut self,
        in_use: &mut InUse,
        addresses: &mut Addresses,
        log: &mut Log,
    ) -> Result<TakenUp, Failure> {
        let loaded = self.invocation.load();
        let mut loaded =
            loaded.map_err(|errors| self.explain(&errors, |kind| errors.is_caused_by(kind)))?;
        let withheld = self.given_up.withhold(&in_use.config, &mut loaded.config);
        let ReloadPlan { mut changes, config } = ReloadPlan::new(&in_use.config, loaded.config);
        let changed = |keys: &[&str]| changes.iter().any(|change| keys.contains(&change.key));
        checks::redirect(&config, &in_use.external)?;
        checks::icmp_errors(&config)?;
        let successors = in_use.certificates.successors(&config, in_use.listeners.dtls());
        let successors =
            successors.map_err(|error| self.explain(&error, |kind| error.is_caused_by(kind)))?;
        let moved = in_use.listeners.successor(&config, successors.certificates())?;
        if changed(&["limits.connections", "protocol.tcp_relay", "listen"]) {
            checks::make_room_for_descriptors(&config);
        }
        let bound = self.listen(&moved, &in_use.config).await?;
        in_use.refresh_addresses(addresses);
        // Nothing can be refused from here on.
        let terms = terms(&config, &in_use.external, &in_use.extra);
        let mut shared = terms.in_place_of(&in_use.shared);
        shared.entrances = Arc::new(moved.table.entrances(&config));
        let withdrawn = self.running.set_rules(&shared).await?;
        let (certificates, renewed) = successors.take_over();
        self.running.change_listeners(&moved.changes).await?;
        let certificates_differ = changed(&["tls", "listen", "listen.cert", "host", "realm"])
            || !renewed.changes.is_empty();
        changes.extend(withheld);
        changes.extend(renewed.changes);
        in_use.config = config;
        in_use.shared = shared;
        in_use.certificates = certificates;
        in_use.listeners = moved.table;
        self.server.close(in_use.listeners.closing());
        in_use.renew_dtls();
        self.server.serve(in_use.certificate_report());
        self.server.issue_by(&in_use.config, &in_use.external);
        self.notes.tell(&loaded.notes);
        if let Err(error) = log.configure(&in_use.config.log.level) {
            tracing::error!("log level: {error}");
        }
        if !bound.is_empty() {
            tracing::info!("now listening on {}", bound.join(", "));
        }
        if certificates_differ {
            in_use.warn_of_certificates();
        }
        tell_withdrawn(withdrawn);
        Ok(TakenUp { changes, unchanged: renewed.unchanged, removed: of_removed(withdrawn) })
    }

    /// Binds the listeners that are new, all of them or none; returns their addresses.
    async fn listen(&self, moved: &Moved, in_use: &Config) -> Result<Vec<String>, Failure> {
        if moved.added.is_empty() {
            return Ok(Vec::new());
        }
        let bound = Listeners::bind(&moved.added, in_use.workers.get());
        let bound = bound.map_err(|error| explain_bind(&error))?;
        let addresses = bound.first().map(Listeners::addresses).unwrap_or_default();
        if let Err(error) = self.running.listen(bound).await {
            let undone = moved.added.iter().map(|(id, _)| ListenerChange::Close(*id));
            self.running.change_listeners(&undone.collect::<Vec<_>>()).await?;
            return Err(format!("cannot listen on {}: {error}", addresses.join(", ")).into());
        }
        Ok(addresses)
    }

    /// An error, and what the rights that were given up may have to do with it.
    fn explain(&self, error: &dyn Display, is_caused_by: impl Fn(ErrorKind) -> bool) -> String {
        format!("{error}{}", self.given_up.note(is_caused_by))
    }
}

/// Why a listener cannot be bound, and what the rights that were given up have to do with it.
fn explain_bind(error: &BindError) -> String {
    if error.error.kind() != ErrorKind::PermissionDenied {
        return error.to_string();
    }
    format!(
        "cannot listen on {}/{}: it needs a restart. Ports below 1024 can be had only at the start, before the \
         server gives up root and its capabilities, and where it has such rights then",
        error.address, error.protocol
    )
}

/// The effect on allocations whose user or secret was removed, in words.
fn of_removed(withdrawn: Withdrawn) -> Vec<String> {
    let Withdrawn { allocations, kept, .. } = withdrawn;
    let mut lines = Vec::new();
    if allocations > 0 {
        lines.push(format!(
            "{allocations} allocations ended: the user or secret that they were created with was removed or \
             changed (on_removal in [auth])"
        ));
    }
    if kept > 0 {
        lines.push(format!(
            "{kept} allocations continue although the user or secret that they were created with was removed or \
             changed (on_removal in [auth]); turnctl kick --user NAME ends them"
        ));
    }
    lines
}

/// The message about a reload that changes nothing. The files of certificates are read each time.
fn no_change(certificates: &[String]) -> String {
    match certificates {
        [] => "no change".to_owned(),
        of => {
            format!("no change; reread and unchanged: certificate and key of {}", of.join(", "))
        }
    }
}

/// Logs what a reload has changed.
fn log_changes(changes: &[Change], nothing: &str) {
    for change in changes {
        match change.needs_restart {
            true => tracing::warn!("{change}"),
            false => tracing::info!("reload: {change}"),
        }
    }
    let taken_up = changes.iter().filter(|change| !change.needs_restart).count();
    match (changes.len(), taken_up) {
        (0, _) => tracing::info!("configuration reloaded: {nothing}"),
        (_, n) => tracing::info!("configuration reloaded: {n} changes applied"),
    }
}
