//! The machine that is looked at: its files, and the programs that know more.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How long a program may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// A machine. Tests lay out one of their own.
pub(super) struct World {
    /// `/`, but for tests.
    pub(super) root: PathBuf,
    /// Runs a program and gives its standard output.
    pub(super) run: fn(&str, &[&str]) -> Result<String, String>,
}

impl World {
    pub(super) fn here() -> Self {
        Self { root: "/".into(), run }
    }

    /// A file without the white space around it; `path` has no slash in front.
    pub(super) fn read(&self, path: &str) -> Option<String> {
        Some(std::fs::read_to_string(self.root.join(path)).ok()?.trim().to_owned())
    }

    /// The first number in a file.
    pub(super) fn number(&self, path: &str) -> Option<u64> {
        self.read(path)?.split_ascii_whitespace().next()?.parse().ok()
    }
}

/// Runs `program`, wherever root has it, for a bounded time.
fn run(program: &str, args: &[&str]) -> Result<String, String> {
    let found = ["/usr/sbin", "/sbin", "/usr/bin", "/bin", "/usr/local/sbin", "/usr/local/bin"]
        .iter()
        .map(|dir| Path::new(dir).join(program))
        .find(|path| path.exists());
    let path = found.ok_or_else(|| format!("{program} is not installed"))?;
    let failed = |error: std::io::Error| format!("{program}: {error}");
    let mut child = Command::new(path)
        .args(args)
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    // Read beside it: a full pipe would hold the program up.
    let read = |pipe: Option<Box<dyn std::io::Read + Send>>| {
        std::thread::spawn(move || {
            let mut text = Vec::new();
            if let Some(pipe) = pipe {
                let _ = pipe.take(64 << 20).read_to_end(&mut text);
            }
            String::from_utf8_lossy(&text).into_owned()
        })
    };
    let out = read(child.stdout.take().map(|pipe| Box::new(pipe) as _));
    let err = read(child.stderr.take().map(|pipe| Box::new(pipe) as _));
    let started = Instant::now();
    let status = loop {
        match child.try_wait().map_err(failed)? {
            Some(status) => break status,
            None if started.elapsed() > PATIENCE => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("{program} did not end within {} s", PATIENCE.as_secs()));
            }
            None => std::thread::sleep(Duration::from_millis(10)),
        }
    };
    let (out, err) = (out.join().unwrap_or_default(), err.join().unwrap_or_default());
    if status.success() {
        return Ok(out);
    }
    let first = err.lines().chain(out.lines()).map(str::trim).find(|line| !line.is_empty());
    Err(format!("{program}: {}", first.unwrap_or("it failed without a word")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_give_their_output_or_say_why_not() {
        assert_eq!(run("echo", &["one"]), Ok("one\n".into()));
        assert_eq!(run("no-such-program", &[]), Err("no-such-program is not installed".into()));
        let told = run("ls", &["/nowhere/at/all"]).unwrap_err();
        assert!(told.starts_with("ls: ") && told.contains("/nowhere/at/all"), "{told}");
    }

    #[test]
    fn files_are_read_below_the_root() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("n"), " 42\t7\n").unwrap();
        let world = World { root: dir.path().into(), run };
        assert_eq!((world.number("n"), world.read("n")), (Some(42), Some("42\t7".into())));
        assert_eq!(world.number("nowhere"), None);
    }
}
