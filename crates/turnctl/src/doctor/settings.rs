//! The configuration and its secrets.

use std::os::unix::fs::MetadataExt as _;

use taciturn_config::{Config, Environment, Loaded, NoteLevel, Place, Topic};

use super::super::ServerFiles;
use super::super::report::{Finding, Section};
use super::super::server_files::Source;

/// Below these, the first group call is one too many.
const FEW_PORTS: u32 = 200;
const FEW_ALLOCATIONS: u32 = 100;

/// Loads the configuration as the server would.
pub(super) fn configuration(server: &ServerFiles, env: &Environment) -> (Section, Option<Config>) {
    let mut section = Section::new("Configuration");
    let source = server.source(env);
    if let Some(title) = source.server() {
        section.push(Finding::info("running-server", title));
    }
    source.enter();
    let Source { args, env, .. } = source;
    let Loaded { config, notes } = match Config::load_existing(&args, &env) {
        Ok(loaded) => loaded,
        Err(errors) => {
            for problem in errors.problems() {
                let place = match &problem.place {
                    Place::File { path, line, column } => {
                        format!("{}:{line}:{column}: ", path.display())
                    }
                    Place::Variable(name) => format!("{name}: "),
                    Place::Flag(name) => format!("{name}: "),
                    Place::Unplaced => String::new(),
                };
                let key = match problem.key.as_str() {
                    "" => String::new(),
                    key => format!("{key}: "),
                };
                let finding = Finding::fail("config", format!("{place}{key}{}", problem.message))
                    .why("The server does not start with it.");
                let fix = problem.help.as_str();
                section.push(if fix.is_empty() { finding } else { finding.fix(fix) });
            }
            return (section, None);
        }
    };
    let what = match &config.file {
        Some(file) => format!("{} is valid", file.display()),
        None => "no file; the defaults, and what flags and environment set, are valid".to_owned(),
    };
    section.push(Finding::pass("config", what));
    for note in notes {
        let weak = note.topic == Some(Topic::WeakCredential);
        section.push(match note.level {
            NoteLevel::Warning if weak => Finding::fail("weak-credentials", note.text)
                .why("Strangers try such credentials first, and relay at your cost.")
                .fix("Make others, here and at the homeserver:\n  openssl rand -hex 24"),
            NoteLevel::Warning => Finding::warn("config-warning", note.text),
            NoteLevel::Info => Finding::info("config-note", note.text),
        });
    }
    secrets(&config, &mut section);
    applications(&config, &mut section);
    bounds(&config, &mut section);
    (section, Some(config))
}

fn applications(config: &Config, section: &mut Section) {
    let of_tenants = config.tenants.iter().map(|tenant| tenant.ice_tokens.len());
    let tokens = config.ice.tokens.len() + of_tenants.sum::<usize>();
    if let Some(address) = config.admin.metrics.filter(|_| tokens > 0) {
        let title = format!(
            "POST http://{address}/ice makes credentials for applications with a token ({tokens} configured)"
        );
        section.push(Finding::info("ice", title));
    }
}

fn secrets(config: &Config, section: &mut Section) {
    let of_tenants =
        config.tenants.iter().flat_map(|tenant| tenant.secrets.iter().chain(&tenant.ice_tokens));
    let all = config.auth.secrets.iter().chain(of_tenants).chain(&config.ice.tokens);
    for path in all.filter_map(|secret| secret.path.as_ref()) {
        match std::fs::metadata(path) {
            Ok(meta) => section.push(Finding::pass(
                "secret-file",
                format!(
                    "{}: owner uid {}, mode {:04o}",
                    path.display(),
                    meta.uid(),
                    meta.mode() & 0o7777
                ),
            )),
            Err(error) => {
                section.push(Finding::warn("secret-file", format!("{}: {error}", path.display())));
            }
        }
    }
    if config.auth.secrets.is_empty() && config.tenants.is_empty() {
        section.push(
            Finding::info("no-secret", "static users only; there is no shared secret")
                .why("Every user of a homeserver gets the same password, and keeps it."),
        );
    }
}

fn bounds(config: &Config, section: &mut Section) {
    let ports = config.relay_ports.len();
    let why = "Element Web makes up to 20 allocations for each line of turn_uris while it rings; \
               with none left, the call gets no relay (508, or 486 for one user).";
    if ports < FEW_PORTS {
        let title = format!("{ports} relay ports are few");
        let fix = "Widen it, and open the ports in the firewall:\n  relay_ports = \"59000-60100\"";
        section.push(Finding::warn("few-relay-ports", title).why(why).fix(fix));
    }
    let allocations = config.limits.allocations_per_user;
    if allocations < FEW_ALLOCATIONS {
        let title = format!("{allocations} allocations for a user are few");
        let fix = "Remove the key, or raise it, in [limits]:\n  allocations_per_user = 200";
        section.push(Finding::warn("few-allocations", title).why(why).fix(fix));
    }
}
