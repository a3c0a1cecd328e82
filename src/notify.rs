//! What systemd hears of the server (sd_notify(3)): that it is ready, alive, stopping, and a status
//! in words. Where nobody listens, nothing is said.
#![forbid(unsafe_code)]

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// How often the workers are checked if the watchdog does not require it more often.
const USUAL: Duration = Duration::from_secs(5);

/// The line to the service manager, from `NOTIFY_SOCKET` and `WATCHDOG_USEC`.
#[derive(Debug, Default)]
pub struct Supervisor {
    line: Option<UnixDatagram>,
    /// How long the service manager waits for a sign of life before it restarts the server.
    watchdog: Option<Duration>,
    /// The status that was sent last.
    told: String,
}

impl Supervisor {
    /// The one that `variable` (of the environment) names.
    ///
    /// # Errors
    /// When `NOTIFY_SOCKET` is set and cannot be reached: a service manager that waits for word
    /// would end the server without giving a reason.
    pub fn of<'a>(variable: impl Fn(&str) -> Option<&'a OsStr>) -> io::Result<Self> {
        let Some(name) = variable("NOTIFY_SOCKET") else { return Ok(Self::default()) };
        let line = connect(name).map_err(|error| {
            let name = name.to_string_lossy();
            io::Error::new(error.kind(), format!("cannot reach NOTIFY_SOCKET={name}: {error}"))
        })?;
        let number = |name| variable(name)?.to_str()?.parse::<u64>().ok();
        // Set for another process of the service: then that one is watched.
        let ours = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
        let watchdog = number("WATCHDOG_USEC").filter(|usec| ours && *usec > 0);
        Ok(Self {
            line: Some(line),
            watchdog: watchdog.map(Duration::from_micros),
            told: String::new(),
        })
    }

    /// Another connection to the service manager, for a use of its own. `None` where there is none.
    ///
    /// # Errors
    /// When it cannot be reached.
    pub fn connect<'a>(
        variable: impl Fn(&str) -> Option<&'a OsStr>,
    ) -> io::Result<Option<UnixDatagram>> {
        variable("NOTIFY_SOCKET").map(connect).transpose()
    }

    /// How often [`Supervisor::beat`] is to be called: thrice within the watchdog's time, and every
    /// few seconds for the status.
    #[must_use]
    pub fn period(&self) -> Duration {
        let third = self.watchdog.map_or(USUAL, |watchdog| watchdog / 3);
        third.clamp(Duration::from_millis(100), USUAL)
    }

    /// Every socket is bound and the workers run.
    pub fn ready(&mut self, status: &str) {
        status.clone_into(&mut self.told);
        self.say(&format!("READY=1\nSTATUS={status}"));
    }

    /// Sends the status if it has changed and, while all workers are `alive`, the watchdog notification.
    pub fn beat(&mut self, alive: bool, status: &str) {
        let mut words = Vec::new();
        if alive && self.watchdog.is_some() {
            words.push("WATCHDOG=1".to_owned());
        }
        if status != self.told {
            status.clone_into(&mut self.told);
            words.push(format!("STATUS={status}"));
        }
        if !words.is_empty() {
            self.say(&words.join("\n"));
        }
    }

    /// The server will take its time to end. Has the service manager wait until the next time that this is called,
    /// whatever the limit of the service.
    pub fn prolong(&self) {
        let wait = self.period() * 3;
        self.say(&format!("EXTEND_TIMEOUT_USEC={}", wait.as_micros()));
    }

    /// The server ends.
    pub fn stopping(&self) {
        self.say("STOPPING=1\nSTATUS=Stopping");
    }

    fn say(&self, words: &str) {
        // A manager that does not read misses a sign of life; the next one comes soon.
        if let Some(line) = &self.line
            && let Err(error) = line.send(words.as_bytes())
        {
            tracing::debug!("cannot notify the service manager: {error}");
        }
    }
}

/// `@name` is a socket in the abstract namespace.
fn connect(name: &OsStr) -> io::Result<UnixDatagram> {
    let address = match name.as_bytes() {
        [b'@', abstract_name @ ..] => SocketAddr::from_abstract_name(abstract_name)?,
        _ => SocketAddr::from_pathname(name)?,
    };
    let line = UnixDatagram::unbound()?;
    line.set_nonblocking(true)?;
    line.connect_addr(&address)?;
    Ok(line)
}

/// The activity of the server, as text for `systemctl status`.
#[must_use]
pub fn status(relay_ports: u32, users: usize) -> String {
    let plural = |n: usize| if n == 1 { "" } else { "s" };
    match relay_ports {
        0 => "Ready; no calls".to_owned(),
        ports => format!(
            "Relaying for {users} user{} on {ports} port{}",
            plural(users),
            plural(ports as usize)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manager() -> (tempfile::TempDir, UnixDatagram, std::path::PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_nonblocking(true).unwrap();
        (dir, socket, path)
    }

    fn heard(socket: &UnixDatagram) -> Option<String> {
        let mut text = [0; 200];
        let len = socket.recv(&mut text).ok()?;
        Some(String::from_utf8_lossy(&text[..len]).into_owned())
    }

    fn supervisor(socket: &OsStr, watchdog: Option<&str>, pid: Option<&str>) -> Supervisor {
        Supervisor::of(|name| match name {
            "NOTIFY_SOCKET" => Some(socket),
            "WATCHDOG_USEC" => watchdog.map(OsStr::new),
            "WATCHDOG_PID" => pid.map(OsStr::new),
            _ => None,
        })
        .unwrap()
    }

    #[test]
    fn the_manager_hears_what_changes_and_nothing_twice() {
        let (_dir, socket, path) = manager();
        let mut supervisor = supervisor(path.as_os_str(), None, None);
        supervisor.ready("a");
        assert_eq!(heard(&socket).unwrap(), "READY=1\nSTATUS=a");
        supervisor.beat(true, "a");
        assert_eq!(heard(&socket), None);
        supervisor.beat(true, "b");
        assert_eq!(heard(&socket).unwrap(), "STATUS=b");
        supervisor.stopping();
        assert_eq!(heard(&socket).unwrap(), "STOPPING=1\nSTATUS=Stopping");
    }

    #[test]
    fn the_watchdog_hears_nothing_while_a_worker_is_stuck() {
        let (_dir, socket, path) = manager();
        let mut supervisor = supervisor(path.as_os_str(), Some("3000000"), None);
        assert_eq!(supervisor.period(), Duration::from_secs(1));
        supervisor.beat(true, "a");
        assert_eq!(heard(&socket).unwrap(), "WATCHDOG=1\nSTATUS=a");
        supervisor.beat(true, "a");
        assert_eq!(heard(&socket).unwrap(), "WATCHDOG=1");
        supervisor.beat(false, "a");
        assert_eq!(heard(&socket), None);
    }

    #[test]
    fn the_manager_is_asked_to_wait_longer_than_until_it_is_asked_again() {
        let (_dir, socket, path) = manager();
        let supervisor = supervisor(path.as_os_str(), None, None);
        supervisor.prolong();
        assert_eq!(heard(&socket).unwrap(), "EXTEND_TIMEOUT_USEC=15000000");
        assert_eq!(supervisor.period(), Duration::from_secs(5));
    }

    #[test]
    fn a_watchdog_for_another_process_is_none_of_ours() {
        let (_dir, _socket, path) = manager();
        assert_eq!(supervisor(path.as_os_str(), Some("3000000"), Some("1")).period(), USUAL);
        let own = std::process::id().to_string();
        let ours = supervisor(path.as_os_str(), Some("3000000"), Some(&own));
        assert_eq!(ours.period(), Duration::from_secs(1));
        let hasty = supervisor(path.as_os_str(), Some("1"), None);
        assert_eq!(hasty.period(), Duration::from_millis(100));
    }

    #[test]
    fn abstract_sockets_are_reached() {
        let name = format!("taciturn-notify-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let socket = UnixDatagram::bind_addr(&address).unwrap();
        supervisor(OsStr::new(&format!("@{name}")), None, None).stopping();
        assert!(heard(&socket).unwrap().starts_with("STOPPING=1"));
    }

    #[test]
    fn without_a_manager_nothing_is_said_and_one_that_is_gone_is_an_error() {
        Supervisor::of(|_| None).unwrap().ready("a");
        let error = Supervisor::of(|name| {
            (name == "NOTIFY_SOCKET").then_some(OsStr::new("/nowhere/notify"))
        });
        assert!(error.unwrap_err().to_string().contains("NOTIFY_SOCKET=/nowhere/notify"));
    }

    #[test]
    fn the_status_is_a_sentence() {
        assert_eq!(status(0, 0), "Ready; no calls");
        assert_eq!(status(1, 1), "Relaying for 1 user on 1 port");
        assert_eq!(status(12, 3), "Relaying for 3 users on 12 ports");
    }
}
