//! The form of the log's lines.

use std::io;

use tracing::Subscriber;
use tracing_subscriber::Layer;
use tracing_subscriber::registry::LookupSpan;

use super::log_sink::LogSink;
use taciturn_config::LogFormat;

/// Writes lines of this form to `sink`, which leads to standard error. `journal_stream` is what systemd
/// says of the journal's socket in `JOURNAL_STREAM`: text has no time there, because the journal adds it.
/// Colours are for terminals alone, which the caller knows.
#[must_use]
pub fn log_lines<S>(
    format: LogFormat,
    journal_stream: Option<&str>,
    colours: bool,
    sink: LogSink,
) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let lines =
        tracing_subscriber::fmt::layer().with_writer(sink).with_ansi(colours).with_target(false);
    match format {
        // A time in a field of its own does no harm.
        LogFormat::Json => lines.json().flatten_event(true).with_span_list(false).boxed(),
        LogFormat::Text if journal_stream.is_some_and(leads_to_journal) => {
            lines.without_time().boxed()
        }
        LogFormat::Text => lines.boxed(),
    }
}

/// Whether standard error is the socket that `JOURNAL_STREAM` names (DEVICE:INODE): a service can have
/// been told to write elsewhere.
fn leads_to_journal(journal_stream: &str) -> bool {
    rustix::fs::fstat(io::stderr())
        .is_ok_and(|stat| journal_stream == format!("{}:{}", stat.st_dev, stat.st_ino))
}
