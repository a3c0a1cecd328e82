//! taciturn: reads the arguments and the configuration, and runs the server.

#[path = "main/mod.rs"]
mod server;

use std::io::{self, Write as _};
use std::process::ExitCode;

use self::server::{Failure, Invocation, Log, Notes, Prepared};
use taciturn_config::Config;

fn main() -> ExitCode {
    let invocation = Invocation::of_process();
    let loaded = match invocation.load() {
        Ok(loaded) => loaded,
        Err(errors) => {
            complain(&errors);
            return ExitCode::from(2);
        }
    };
    let config = loaded.config;
    let log = match Log::start(config.log_format, &config.log_level, &invocation.environment) {
        Ok(log) => log,
        Err(error) => {
            complain(&error);
            return ExitCode::FAILURE;
        }
    };
    let mut notes = Notes::default();
    notes.tell(&loaded.notes);
    match serve(&invocation, config, log, notes) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

/// Runs the server until a signal, an order or an error ends it.
fn serve(invocation: &Invocation, config: Config, log: Log, notes: Notes) -> Result<(), Failure> {
    let prepared = Prepared::new(invocation, config, log, notes)?;
    prepared.bind()?.confine()?.start()?.serve()
}

fn complain(error: &dyn std::fmt::Display) {
    let _ = writeln!(io::stderr(), "taciturn: {error}");
}
