//! The processor time and the memory of a process, from /proc.

use std::fs;
use std::time::Duration;

use super::BenchError;

/// The unit of /proc/PID/stat, `getconf CLK_TCK`: 100 a second on every Linux port of today.
const TICK: Duration = Duration::from_millis(10);

/// A process of this machine.
#[derive(Clone, Copy, Debug)]
pub(super) struct Process(u32);

impl Process {
    /// One that runs.
    pub(super) fn new(pid: u32) -> Result<Self, BenchError> {
        let process = Self(pid);
        process.cpu().map(|_| process)
    }

    /// User and system time of all its threads so far.
    pub(super) fn cpu(&self) -> Result<Duration, BenchError> {
        self.scheduled().or_else(|| self.ticks()).ok_or(BenchError::Process(self.0))
    }

    /// By nanoseconds, where the kernel keeps them.
    fn scheduled(&self) -> Option<Duration> {
        let mut sum = 0;
        for task in fs::read_dir(format!("/proc/{}/task", self.0)).ok()? {
            let text = fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
            sum += text.split_whitespace().next()?.parse::<u64>().ok()?;
        }
        Some(Duration::from_nanos(sum))
    }

    fn ticks(&self) -> Option<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0)).ok()?;
        // The second field is the name in brackets and may hold blanks; utime and stime are the 12th
        // and 13th after it.
        let (_, fields) = stat.rsplit_once(") ")?;
        let times = fields.split(' ').skip(11).take(2).map(|field| field.parse::<u32>());
        Some(TICK * times.sum::<Result<u32, _>>().ok()?)
    }

    /// Its resident memory.
    pub(super) fn resident_kilobytes(&self) -> Result<u64, BenchError> {
        let read = || {
            let status = fs::read_to_string(format!("/proc/{}/status", self.0)).ok()?;
            let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
            line.split_whitespace().next()?.parse().ok()
        };
        read().ok_or(BenchError::Process(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_used_time_and_memory() {
        let process = Process::new(std::process::id()).unwrap();
        assert!(process.resident_kilobytes().unwrap() > 500);
        let before = process.cpu().unwrap();
        // Until it has used some more.
        while process.cpu().unwrap() <= before {}
        assert!(process.ticks().is_some());
    }

    #[test]
    fn a_process_that_does_not_run_is_an_error() {
        assert!(matches!(Process::new(u32::MAX), Err(BenchError::Process(u32::MAX))));
    }
}
