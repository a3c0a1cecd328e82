//! What the running server says of itself.

use std::time::Duration;

use taciturn_config::Config;
use taciturn_control::{Answer, Connection, Line, Request, Status};

/// How long the server may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// The state of the running server; nothing if none could be asked.
pub(super) fn status(config: &Config) -> Option<Status> {
    let socket = config.admin.socket.as_deref()?;
    let mut connection = Connection::open(socket, PATIENCE, env!("CARGO_PKG_VERSION")).ok()?;
    connection.send(&Request::Status).ok()?;
    loop {
        if let Line::Last { outcome, .. } = connection.receive().ok()?.line {
            let Ok(Answer::Status(status)) = outcome else { return None };
            return Some(*status);
        }
    }
}
