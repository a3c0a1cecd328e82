//! The destination of log lines: standard error, without waiting for its reader.
//!
//! A pipe that nobody reads fills up, and then blocks the writer. So once the server serves,
//! lines are put into a queue that a thread of its own writes out. Where the queue is full lines are
//! lost, and counted.
//!
//! The thread begins when the process has given up its rights, as what holds for threads is taken over
//! by those that begin later. Until then, and only then, lines are written by those who have them.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::fmt::MakeWriter;

/// Lines that wait at most: with those that the server usually writes, 2 MB.
const LINES: usize = 4096;

/// Bytes of the longest line. What a client can cause is shorter, also with a name of 763 bytes each of
/// which is escaped.
const LONGEST: usize = 8192;

/// Stands in place of what was cut off a line.
const CUT: &str = " ... (cut)\n";

/// How long the last lines may take when the server ends.
const LAST_LINES: Duration = Duration::from_secs(1);

/// Clones are handles to the same one.
#[derive(Clone, Debug)]
pub struct LogSink(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    output: File,
    queue: OnceLock<NonBlocking>,
    /// Ends the thread of the queue.
    guard: Mutex<Option<WorkerGuard>>,
    /// Lines that were to be put into the queue.
    queued: AtomicU64,
    /// Lines of the queue that are written, or could not be.
    done: Arc<Done>,
}

#[derive(Debug, Default)]
struct Done {
    written: AtomicU64,
    failed: AtomicU64,
}

impl LogSink {
    /// To standard error.
    ///
    /// # Errors
    /// If there is no descriptor left for a second handle to it. Its own is behind a lock, which a
    /// line that waits would hold.
    pub fn standard_error() -> io::Result<Self> {
        Ok(Self::to(File::from(io::stderr().as_fd().try_clone_to_owned()?)))
    }

    fn to(output: File) -> Self {
        Self(Arc::new(Inner {
            output,
            queue: OnceLock::new(),
            guard: Mutex::default(),
            queued: AtomicU64::new(0),
            done: Arc::default(),
        }))
    }

    /// Begins the thread that writes from now on.
    ///
    /// # Errors
    /// If there is no descriptor for it.
    pub fn start_queue(&self) -> io::Result<()> {
        self.start_queue_of(LINES)
    }

    fn start_queue_of(&self, lines: usize) -> io::Result<()> {
        let output = self.0.output.try_clone()?;
        let writer = Counted { output, done: Arc::clone(&self.0.done) };
        let (queue, guard) = NonBlockingBuilder::default()
            .lossy(true)
            .buffered_lines_limit(lines)
            .thread_name("log")
            .finish(writer);
        if self.0.queue.set(queue).is_ok() {
            *self.guard() = Some(guard);
        }
        Ok(())
    }

    /// Writes the queued lines, and ends the thread. If nobody reads, it gives up after a second.
    pub fn finish(&self) {
        self.finish_within(LAST_LINES);
    }

    /// Waits until what waits is written, for a second at most.
    pub fn flush(&self) {
        self.flush_within(LAST_LINES);
    }

    fn flush_within(&self, patience: Duration) {
        let start = Instant::now();
        while self.waiting() > 0 && start.elapsed() < patience {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn finish_within(&self, patience: Duration) {
        let Some(guard) = self.guard().take() else { return };
        self.flush_within(patience);
        if self.waiting() > 0 {
            // Its end would wait for the thread, and complain on standard output, which may be the same
            // pipe.
            std::mem::forget(guard);
        }
    }

    /// Lines in the queue.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        let done = self.0.done.written.load(Relaxed) + self.0.done.failed.load(Relaxed);
        self.0.queued.load(Relaxed).saturating_sub(done + self.overflowed())
    }

    /// Lines lost since the start, because the queue was full or nobody read.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.overflowed() + self.0.done.failed.load(Relaxed)
    }

    fn overflowed(&self) -> u64 {
        self.0.queue.get().map_or(0, |queue| queue.error_counter().dropped_lines() as u64)
    }

    fn guard(&self) -> std::sync::MutexGuard<'_, Option<WorkerGuard>> {
        self.0.guard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes one line. Never fails: who has a line to write can do nothing about it.
    pub fn write(&self, line: &str) {
        if line.len() <= LONGEST {
            return self.write_bytes(line.as_bytes());
        }
        let room = LONGEST - CUT.len();
        let end = (0..=room).rev().find(|end| line.is_char_boundary(*end)).unwrap_or(0);
        self.write_bytes(format!("{}{CUT}", line.get(..end).unwrap_or_default()).as_bytes());
    }

    fn write_bytes(&self, line: &[u8]) {
        match self.0.queue.get() {
            Some(queue) => {
                self.0.queued.fetch_add(1, Relaxed);
                let _ = queue.clone().write_all(line); // never fails: what finds no room is counted
            }
            None => {
                if (&self.0.output).write_all(line).is_err() {
                    self.0.done.failed.fetch_add(1, Relaxed);
                }
            }
        }
    }
}

impl<'a> MakeWriter<'a> for LogSink {
    type Writer = Lines<'a>;

    fn make_writer(&'a self) -> Lines<'a> {
        Lines(self)
    }
}

/// Takes whole lines.
#[derive(Debug)]
pub struct Lines<'a>(&'a LogSink);

impl Write for Lines<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.write(&String::from_utf8_lossy(line));
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Counts the lines that pass.
struct Counted {
    output: File,
    done: Arc<Done>,
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.output.write(bytes)
    }

    fn write_all(&mut self, line: &[u8]) -> io::Result<()> {
        let written = self.output.write_all(line);
        let count = if written.is_ok() { &self.done.written } else { &self.done.failed };
        count.fetch_add(1, Relaxed);
        written
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, PipeReader, pipe};
    use std::os::fd::OwnedFd;

    use super::*;

    fn sink() -> (PipeReader, LogSink) {
        let (reader, writer) = pipe().unwrap();
        (reader, LogSink::to(File::from(OwnedFd::from(writer))))
    }

    fn lines(reader: PipeReader) -> Vec<String> {
        BufReader::new(reader).lines().map(Result::unwrap).collect()
    }

    #[test]
    fn lines_come_in_order_before_and_after_the_queue_begins_and_none_is_lost_at_the_end() {
        let (reader, sink) = sink();
        (0..10).for_each(|n| sink.write(&format!("line {n}\n")));
        sink.start_queue().unwrap();
        (10..500).for_each(|n| sink.write(&format!("line {n}\n")));
        sink.finish_within(Duration::MAX);
        assert_eq!((sink.waiting(), sink.lost()), (0, 0));
        drop(sink);
        let expected: Vec<_> = (0..500).map(|n| format!("line {n}")).collect();
        assert_eq!(lines(reader), expected);
    }

    #[test]
    fn a_pipe_that_nobody_reads_costs_lines_which_are_counted_and_holds_up_nobody() {
        let (reader, sink) = sink();
        sink.start_queue_of(16).unwrap();
        let line = format!("{}\n", "x".repeat(999));
        // More than a pipe holds. Each call comes back.
        (0..5000).for_each(|_| sink.write(&line));
        let lost = sink.lost();
        assert!(lost > 4000, "{lost}");
        assert!(sink.waiting() > 0);
        sink.finish_within(Duration::ZERO);
        let reading = std::thread::spawn(move || lines(reader).len() as u64);
        while sink.waiting() > 0 {
            std::thread::yield_now();
        }
        sink.write("once it is read lines arrive again\n");
        while sink.waiting() > 0 {
            std::thread::yield_now();
        }
        assert_eq!(sink.lost(), lost);
        assert_eq!(sink.0.done.written.load(Relaxed), 5001 - lost);
        // The thread that was given up has the pipe open still: no end of it is waited for.
        drop(reading);
    }

    #[test]
    fn lines_that_nobody_can_read_are_lost_ones() {
        let (reader, sink) = sink();
        drop(reader);
        sink.write("before\n");
        sink.start_queue().unwrap();
        sink.write("after\n");
        sink.finish_within(Duration::MAX);
        assert_eq!(sink.lost(), 2);
    }

    #[test]
    fn a_line_has_a_greatest_length_and_is_cut_between_characters() {
        let (reader, sink) = sink();
        sink.write(&format!("{}\n", "\u{fc}".repeat(LONGEST)));
        sink.write("next\n");
        drop(sink);
        let lines = lines(reader);
        assert!(lines[0].len() < LONGEST && lines[0].len() > LONGEST - 20);
        assert!(lines[0].ends_with("\u{fc} ... (cut)"));
        assert_eq!(lines[1], "next");
    }
}
