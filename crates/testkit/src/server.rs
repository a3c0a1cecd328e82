//! The real server, as a process of its own on loopback.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// Time limit for every step of a test: far more than any step takes.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub struct Server {
    child: Child,
    /// Its first listener, on 127.0.0.1.
    pub address: SocketAddr,
    /// All of them, with what is spoken there.
    pub listeners: Vec<(SocketAddr, String)>,
    /// Its standard output up to when it was ready.
    pub announced: String,
    pub state: tempfile::TempDir,
    /// Its standard error so far, and the thread that reads it.
    errors: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

/// The program with a state directory of its own, and nothing of the environment that could
/// configure it.
pub fn bare(state: &std::path::Path) -> Command {
    let mut command = Command::new(crate::program::taciturn());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("TACITURN_") {
            command.env_remove(name);
        }
    }
    command.env("STATE_DIRECTORY", state).env("NO_COLOR", "1");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Likewise, with a UDP port of the kernel's choice on 127.0.0.1.
pub fn command(state: &std::path::Path) -> Command {
    let mut command = bare(state);
    command.args(["--listen", "udp:127.0.0.1:0", "--external-ip", "127.0.0.1"]);
    command
}

impl Server {
    /// Starts it with more arguments, and waits until it listens.
    pub fn start(arguments: &[&str]) -> Self {
        let state = tempfile::tempdir().unwrap();
        let mut command = command(state.path());
        command.args(arguments);
        Self::wait_until_it_listens(command, state)
    }

    /// Starts it with a configuration file, and waits until it listens.
    pub fn configured(toml: &str) -> Self {
        let state = tempfile::tempdir().unwrap();
        let file = state.path().join("taciturn.toml");
        std::fs::write(&file, toml).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        let mut command = bare(state.path());
        command.arg("--config").arg(&file);
        Self::wait_until_it_listens(command, state)
    }

    /// Starts it by another program than [`command`] does, and waits until it listens.
    pub fn spawned(mut command: Command, state: tempfile::TempDir) -> Self {
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("TACITURN_") {
                command.env_remove(name);
            }
        }
        command.env("NO_COLOR", "1");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self::wait_until_it_listens(command, state)
    }

    fn wait_until_it_listens(mut command: Command, state: tempfile::TempDir) -> Self {
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut announced = String::new();
        let mut listeners = Vec::new();
        let mut in_list = false;
        // Its last line before the block (or the end) is "workers".
        while let Some(Ok(line)) = lines.next() {
            // More than fit into a line go on below, under the first.
            let label = line.get(..15).unwrap_or_default().trim();
            in_list = label == "listening" || in_list && label.is_empty();
            if in_list {
                let list = line.get(15..).unwrap_or_default().trim_end_matches(',');
                for listener in list.split(", ") {
                    let (address, spoken) = listener.split_once('/').unwrap();
                    // Of all addresses, of both families.
                    let address = address.replace('*', "[::]");
                    listeners.push((address.parse().unwrap(), spoken.to_owned()));
                }
            }
            announced.push_str(&line);
            announced.push('\n');
            if line.trim_start().starts_with("workers") {
                break;
            }
        }
        let Some(&(address, _)) = listeners.first() else {
            let mut error = String::new();
            let _ = child.stderr.take().unwrap().read_to_string(&mut error);
            panic!("the server did not start:\n{announced}{error}");
        };
        // Keeps reading, so that the server never blocks on these pipes.
        std::thread::spawn(move || lines.for_each(drop));
        let errors = Arc::new(Mutex::new(String::new()));
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let written = Arc::clone(&errors);
        let reader = std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let mut errors = written.lock().unwrap();
                errors.push_str(&line);
                errors.push('\n');
            }
        });
        Self { child, address, listeners, announced, state, errors, reader: Some(reader) }
    }

    /// The text that follows this text in its log, up to the next white space.
    pub fn told(&self, text: &str) -> String {
        self.wait_for_log(text, 1);
        let log = self.errors.lock().unwrap();
        let (_, rest) = log.split_once(text).unwrap();
        rest.split_whitespace().next().unwrap().to_owned()
    }

    /// Whether it has written this to standard error.
    pub fn has_logged(&self, text: &str) -> bool {
        self.logged(text) > 0
    }

    /// How often its log has this text by now.
    pub fn logged(&self, text: &str) -> usize {
        self.errors.lock().unwrap().matches(text).count()
    }

    /// Waits until its log contains this text this many times.
    pub fn wait_for_log(&self, text: &str, times: usize) {
        let start = Instant::now();
        while self.logged(text) < times {
            let so_far = self.errors.lock().unwrap().clone();
            assert!(start.elapsed() < PATIENCE, "no {text:?} in the log:\n{so_far}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Puts another configuration in place of the one it was started with, as an editor does.
    pub fn write_configuration(&self, toml: &str) {
        let (file, new) = (self.state.path().join("taciturn.toml"), self.state.path().join("new"));
        std::fs::write(&new, toml).unwrap();
        std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o600)).unwrap();
        std::fs::rename(new, file).unwrap();
    }

    /// Lets it read another configuration; returns when it has.
    pub fn reload(&self, toml: &str) {
        const DONE: &str = "configuration reloaded";
        let before = self.logged(DONE);
        self.write_configuration(toml);
        self.signal(Signal::HUP);
        self.wait_for_log(DONE, before + 1);
    }

    /// Where it speaks "udp", "tcp", "tls", "auto", "dtls" or "udp+dtls"; the first such listener.
    pub fn listener(&self, spoken: &str) -> SocketAddr {
        self.listeners.iter().find(|(_, name)| name == spoken).unwrap().0
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its resident memory, in bytes.
    pub fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits until it has ended by itself.
    pub fn wait(&mut self) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(start.elapsed() < PATIENCE, "the server does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Its standard error. Ends the server first.
    pub fn log(&mut self) -> String {
        self.signal(Signal::TERM);
        self.wait();
        self.reader.take().unwrap().join().unwrap();
        std::mem::take(&mut *self.errors.lock().unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
