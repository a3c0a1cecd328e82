//! The log of this process, and what of it is written.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use taciturn::admin::control::Messages;
use taciturn::admin::{self, LogSink};
use taciturn_config::{Environment, LogFilter, LogFormat, show_duration};
use taciturn_control::{Error, ErrorKind};
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Registry, registry, reload};

use super::failure::Failure;
use super::look::Look;

/// Why the filter cannot be changed.
#[derive(Debug, thiserror::Error)]
pub(super) enum LogError {
    /// It is not one.
    #[error(transparent)]
    Filter(#[from] ParseError),
    /// The log has ended.
    #[error(transparent)]
    Gone(#[from] reload::Error),
}

/// Writes to standard error. What is written can be changed while the server runs.
pub(crate) struct Log {
    filter: reload::Handle<EnvFilter, Registry>,
    /// The configured filter.
    configured: LogFilter,
    now: LogFilter,
    /// When that is over, and the configuration holds again.
    until: Option<Instant>,
    sink: LogSink,
    /// Lost lines that were reported.
    told_lost: u64,
}

impl Log {
    /// Starts the log with this filter.
    pub(crate) fn start(
        format: LogFormat,
        filter: &LogFilter,
        environment: &Environment,
        sink: LogSink,
    ) -> Result<Self, Failure> {
        let (layer, handle) = reload::Layer::new(EnvFilter::try_new(filter.as_str())?);
        let journal = environment.get("JOURNAL_STREAM").and_then(|value| value.to_str());
        log_panics(sink.clone());
        let colours = Look::of(std::io::stderr().is_terminal(), environment).is_coloured();
        registry()
            .with(layer)
            .with(admin::log_lines(format, journal, colours, sink.clone()))
            .init();
        let (configured, now) = (filter.clone(), filter.clone());
        Ok(Self { filter: handle, configured, now, until: None, sink, told_lost: 0 })
    }

    /// The destination of the lines.
    pub(crate) const fn sink(&self) -> &LogSink {
        &self.sink
    }

    /// Logs something else, where that is wanted, and returns what is logged.
    pub(super) fn show_or_change(
        &mut self,
        wanted: Option<(LogFilter, Option<Duration>)>,
    ) -> Messages {
        if let Some((filter, within)) = wanted {
            self.set(&filter, within).map_err(|error| Error::new(ErrorKind::Internal, error))?;
            tracing::info!("log level: {}", self.describe());
        }
        Ok(vec![self.describe()])
    }

    /// Switches to `filter`, permanently or for a time.
    fn set(&mut self, filter: &LogFilter, within: Option<Duration>) -> Result<(), LogError> {
        self.filter.reload(EnvFilter::try_new(filter.as_str())?)?;
        self.now = filter.clone();
        self.until = within.and_then(|within| Instant::now().checked_add(within));
        Ok(())
    }

    /// The configuration wants this now. Where that is something else than before, it ends what
    /// [`Log::set`] has begun.
    pub(super) fn configure(&mut self, filter: &LogFilter) -> Result<(), LogError> {
        if self.configured == *filter {
            return Ok(());
        }
        self.configured = filter.clone();
        self.set(filter, None)
    }

    /// Returns to the configured filter when the time of another one is over, and logs how many lines were
    /// lost, once all others are written.
    pub(super) fn look(&mut self) {
        let lost = self.sink.lost();
        if lost > self.told_lost && self.sink.waiting() == 0 {
            tracing::warn!(
                lost = lost - self.told_lost,
                since_start = lost,
                "log lines lost: nobody read them in time"
            );
            self.told_lost = lost;
        }
        if self.until.is_some_and(|until| until <= Instant::now()) {
            let configured = self.configured.clone();
            match self.set(&configured, None) {
                Ok(()) => tracing::info!("log level: {configured} again"),
                Err(error) => tracing::error!("log level: {error}"),
            }
        }
    }

    /// The current filter, in words.
    fn describe(&self) -> String {
        let Self { now, configured, until, .. } = self;
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        match left {
            Some(left) => {
                let left = show_duration(Duration::from_secs(left.as_secs() + 1));
                format!("{now} (for {left}, then {configured})")
            }
            None if now == configured => now.to_string(),
            None => format!("{now} (configured: {configured})"),
        }
    }
}

/// A panic ends the process (`panic = "abort"`): its message goes behind the last lines, and both are
/// waited for, but not longer than for those of any other end.
fn log_panics(sink: LogSink) {
    std::panic::set_hook(Box::new(move |panic| {
        let thread = std::thread::current();
        sink.write(&format!("thread '{}' {panic}\n", thread.name().unwrap_or("<unnamed>")));
        let trace = Backtrace::capture();
        if trace.status() == BacktraceStatus::Captured {
            trace.to_string().lines().for_each(|line| sink.write(&format!("{line}\n")));
        }
        sink.flush();
    }));
}
