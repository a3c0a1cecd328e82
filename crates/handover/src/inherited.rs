//! The descriptors that this process was started with (sd_listen_fds(3)): those that systemd kept for the service.

use std::ffi::OsStr;
use std::os::fd::{OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

use super::raw;
use super::state::MOST_DESCRIPTORS;

/// The number of the first one.
const FIRST: RawFd = 3;

/// The variables say something that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InheritedError {
    /// A variable is no number, or too large a one.
    #[error("LISTEN_FDS={0} is not a number of descriptors")]
    Count(String),
    /// There are not as many names as descriptors.
    #[error("LISTEN_FDNAMES has {names} names for {count} descriptors")]
    Names {
        /// Names.
        names: usize,
        /// Descriptors.
        count: usize,
    },
}

/// What this process was started with.
#[derive(Debug, Default)]
pub struct Inherited {
    /// Each with the name that it was kept by; any text.
    pub descriptors: Vec<(String, OwnedFd)>,
    /// What is wrong with the variables. The descriptors that they announce are owned all the same, and called
    /// "unknown": whoever drops this closes them.
    pub error: Option<InheritedError>,
}

/// Takes the descriptors that `variable` (of the environment) announces for this process. From now on they are
/// closed with their owner and by exec. They are there once: a second call returns none.
///
/// The variables stay as they are. LISTEN_PID keeps other processes from believing them, and to unset them is not
/// safe once there are threads.
pub fn inherited<'a>(variable: impl Fn(&str) -> Option<&'a OsStr>) -> Inherited {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    let (names, error) = announced(variable, std::process::id());
    if names.is_empty() || TAKEN.swap(true, Ordering::Relaxed) {
        return Inherited { descriptors: Vec::new(), error };
    }
    let named = names.into_iter().zip(FIRST..);
    let descriptors = named.filter_map(|(name, number)| Some((name, raw::adopt(number)?)));
    Inherited { descriptors: descriptors.collect(), error }
}

/// The names of the descriptors from the first on, as far as they are for the process `own`.
fn announced<'a>(
    variable: impl Fn(&str) -> Option<&'a OsStr>,
    own: u32,
) -> (Vec<String>, Option<InheritedError>) {
    let number = |name| variable(name)?.to_str()?.parse::<u32>().ok();
    let Some(count) = variable("LISTEN_FDS").filter(|_| number("LISTEN_PID") == Some(own)) else {
        return (Vec::new(), None);
    };
    let announced = number("LISTEN_FDS").and_then(|count| usize::try_from(count).ok());
    // Those of a unit of sockets come before those of the store.
    let Some(announced) = announced.filter(|count| *count <= 2 * MOST_DESCRIPTORS) else {
        let error = InheritedError::Count(count.to_string_lossy().chars().take(20).collect());
        return (Vec::new(), Some(error));
    };
    let names = variable("LISTEN_FDNAMES").map(OsStr::to_string_lossy);
    let names: Vec<_> = names.iter().flat_map(|names| names.split(':')).collect();
    if names.len() == announced {
        return (names.into_iter().map(str::to_owned).collect(), None);
    }
    let error = InheritedError::Names { names: names.len(), count: announced };
    let error = (announced > 0).then_some(error);
    (vec!["unknown".to_owned(); announced], error)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;
    use std::process::{Command, Stdio};

    use super::*;

    fn of(variables: &[(&str, &str)]) -> (Vec<String>, Option<InheritedError>) {
        let variable = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| OsStr::new(*value))
        };
        announced(variable, 77)
    }

    const PID: (&str, &str) = ("LISTEN_PID", "77");

    #[test]
    fn each_descriptor_has_its_name() {
        let (names, error) =
            of(&[PID, ("LISTEN_FDS", "3"), ("LISTEN_FDNAMES", "control::state/1")]);
        assert_eq!((names, error), (vec!["control".into(), String::new(), "state/1".into()], None));
    }

    #[test]
    fn what_is_for_another_process_or_not_there_is_none() {
        let fds = ("LISTEN_FDS", "3");
        for variables in [
            &[][..],
            &[fds],
            &[PID],
            &[fds, ("LISTEN_PID", "78")],
            &[fds, ("LISTEN_PID", "x")],
            &[PID, ("LISTEN_FDS", "0")],
        ] {
            assert_eq!(of(variables), (Vec::new(), None), "{variables:?}");
        }
    }

    #[test]
    fn variables_that_cannot_be_are_an_error() {
        for count in ["", "x", "-1", "4294967296", "4294967295", "600000"] {
            let error = InheritedError::Count(count.into());
            assert_eq!(of(&[PID, ("LISTEN_FDS", count)]), (Vec::new(), Some(error)), "{count}");
        }
        for (list, names) in [(None, 0), (Some("a"), 1), (Some("a:b:c"), 3)] {
            let list = list.map(|list| ("LISTEN_FDNAMES", list));
            let variables: Vec<_> = [PID, ("LISTEN_FDS", "2")].into_iter().chain(list).collect();
            let error = InheritedError::Names { names, count: 2 };
            assert_eq!(of(&variables), (vec!["unknown".into(), "unknown".into()], Some(error)));
        }
    }

    #[test]
    fn a_number_that_is_not_open_is_not_taken() {
        assert!(raw::adopt(RawFd::MAX).is_none());
        assert!(raw::adopt(-1).is_none());
    }

    /// Tells the child from the test.
    const CHILD: &str = "TACITURN_HANDOVER_TEST_CHILD";

    /// In a process of its own, that has them from its start.
    #[test]
    fn a_process_takes_what_it_was_started_with_once() {
        if std::env::var_os(CHILD).is_some() {
            let environment: Vec<_> = std::env::vars_os().collect();
            let variable = |name: &str| {
                environment
                    .iter()
                    .find(|(known, _)| known == name)
                    .map(|(_, value)| value.as_os_str())
            };
            let taken = inherited(variable);
            assert_eq!(taken.error, None);
            let names: Vec<_> = taken.descriptors.iter().map(|(name, _)| name.as_str()).collect();
            assert_eq!(names, ["one", "", "three"]);
            for (_, descriptor) in &taken.descriptors {
                let flags = rustix::io::fcntl_getfd(descriptor).unwrap();
                assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
                rustix::net::sockopt::socket_type(descriptor).unwrap();
            }
            assert!(inherited(variable).descriptors.is_empty(), "they have one owner");
            drop(taken);
            return;
        }
        let (socket, _other) = UnixStream::pair().unwrap();
        let name = "inherited::tests::a_process_takes_what_it_was_started_with_once";
        let script = "exec 3<&0 4<&0 5<&0; export LISTEN_PID=$$; exec \"$@\"";
        let mut child = Command::new("/bin/sh");
        child.args(["-c", script, "sh"]).arg(std::env::current_exe().unwrap());
        child.args(["--exact", name, "--test-threads=1"]).env(CHILD, "1");
        child.env("LISTEN_FDS", "3").env("LISTEN_FDNAMES", "one::three");
        let output = child.stdin(Stdio::from(OwnedFd::from(socket))).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"), "the test was run");
    }
}
