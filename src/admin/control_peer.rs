//! Who asks through the control socket: the log names them before anything is done.

use std::fmt::Display;

use rustix::process::geteuid;
use tokio::net::UnixStream;

use taciturn_control::{Banned, Error, ErrorKind, Request};
use taciturn_handover::Peer;

/// The process at the other end, as the kernel knows it (SO_PEERCRED).
#[derive(Clone, Copy, Debug)]
pub(super) struct ControlPeer {
    uid: u32,
    /// 0 if it is in a PID namespace that is not visible from this one.
    pid: i32,
}

impl ControlPeer {
    /// `None` where the system does not tell.
    pub(super) fn of(stream: &UnixStream) -> Option<Self> {
        let known = stream.peer_cred().ok()?;
        Some(Self { uid: known.uid(), pid: known.pid().unwrap_or(0) })
    }

    /// Checks that it may have what the server has: sockets, keys and calls. The mode of the socket lets in more:
    /// the group may control the server.
    ///
    /// # Errors
    /// If it runs as another user than the server, and not as root, or the system does not tell.
    pub(super) fn may_take(asker: Option<Self>) -> Result<(), Error> {
        let refused = |why: &dyn Display| {
            Error::new(ErrorKind::NotPermitted, format!("not handed over to this process: {why}"))
        };
        let Self { uid, pid } =
            asker.ok_or_else(|| refused(&"the system does not tell who it is"))?;
        let peer = Peer { uid, pid: (pid > 0).then_some(pid) };
        peer.may_take(geteuid().as_raw()).map_err(|stranger| refused(&stranger))
    }

    /// Writes a line for a request that changes something.
    pub(super) fn log(asker: Option<Self>, request: &Request) {
        let Some(request) = told(request) else { return };
        match asker {
            Some(Self { uid, pid }) => tracing::info!(uid, pid, request, "operator request"),
            None => tracing::info!(request, "operator request"),
        }
    }
}

/// A request in words; `None` for one that changes nothing.
fn told(request: &Request) -> Option<String> {
    Some(match request {
        Request::Kick { user, client, fleet } => {
            let user = user.iter().map(|user| format!(" user {user}"));
            let client = client.iter().map(|client| format!(" client {client}"));
            user.chain(client).fold("kick".to_owned(), |told, whom| told + &whom)
                + if *fleet { " in the fleet" } else { "" }
        }
        Request::Ban { whom: Banned { kind, value }, for_seconds } => {
            let within = for_seconds.map_or_else(String::new, |s| format!(" for {s} s"));
            format!("ban {kind} {value}{within}")
        }
        Request::Unban { whom: Banned { kind, value } } => format!("unban {kind} {value}"),
        Request::Reload => "reload".to_owned(),
        Request::Drain { timeout_seconds: None } => "drain".to_owned(),
        Request::Drain { timeout_seconds: Some(seconds) } => format!("drain within {seconds} s"),
        Request::CancelDrain => "cancel drain".to_owned(),
        Request::HandOver => "hand over".to_owned(),
        Request::Page { for_seconds } => format!("token for the status page, for {for_seconds} s"),
        Request::TestLink { for_seconds, people } => {
            format!("test link, for {for_seconds} s and {people} people")
        }
        Request::EndTestLinks => "end all test links".to_owned(),
        Request::LogLevel { filter: Some(filter), for_seconds } => {
            let within = for_seconds.map_or_else(String::new, |s| format!(" for {s} s"));
            format!("log level {filter}{within}")
        }
        Request::LogLevel { filter: None, .. }
        | Request::Status
        | Request::Sessions { .. }
        | Request::Bans
        | Request::Fleet
        | Request::AskFleet { .. }
        | Request::DoctorReport { .. }
        | Request::TestReports { .. }
        | Request::Certs => return None,
    })
}
