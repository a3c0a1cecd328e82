//! taciturn: reads the arguments and the configuration, and runs the server.
#![forbid(unsafe_code)]

#[path = "main/mod.rs"]
mod server;

use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;

use self::server::{Failure, Invocation, Log, Look, Notes, Prepared};
use taciturn::admin::LogSink;
use taciturn_config::Config;

fn main() -> ExitCode {
    let invocation = Invocation::of_process();
    let look = Look::of(io::stderr().is_terminal(), &invocation.environment);
    let loaded = match invocation.load() {
        Ok(loaded) => loaded,
        Err(errors) => {
            complain(&errors, look);
            return ExitCode::from(2);
        }
    };
    let config = loaded.config;
    let log = LogSink::standard_error().map_err(Failure::from).and_then(|sink| {
        Log::start(config.log.format, &config.log.level, &invocation.environment, sink)
    });
    let log = match log {
        Ok(log) => log,
        Err(error) => {
            complain(&error, look);
            return ExitCode::FAILURE;
        }
    };
    let sink = log.sink().clone();
    let mut notes = Notes::default();
    notes.at_start(&loaded.notes);
    let outcome = serve(&invocation, config, log, notes);
    if let Err(error) = &outcome {
        // After the last lines of the log, and waited for like them.
        sink.write(&look.errors(&format!("taciturn: error: {error}\n")));
    }
    sink.finish();
    outcome.map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS)
}

/// Runs the server until a signal, an order or an error ends it.
fn serve(invocation: &Invocation, config: Config, log: Log, notes: Notes) -> Result<(), Failure> {
    let prepared = Prepared::new(invocation, config, log, notes)?;
    prepared.bind()?.confine()?.start()?.serve()
}

fn complain(error: &dyn std::fmt::Display, look: Look) {
    let _ = writeln!(io::stderr(), "{}", look.errors(&format!("taciturn: {error}")));
}
