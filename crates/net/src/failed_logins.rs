//! Who failed to log in, for the operator: the same that the log has, so the budget of the log bounds how often this
//! is called.

use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

/// How many are kept: one for each address, user name and reason.
const MOST: usize = 64;

/// Somebody who failed to log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedLogin {
    /// The client that did last.
    pub client: SocketAddr,
    /// What carried its packets.
    pub transport: &'static str,
    /// The USERNAME, which may be any text.
    pub user: String,
    /// Why it was refused.
    pub reason: String,
    /// How often the log has it.
    pub times: u64,
    /// The last time.
    pub last: SystemTime,
}

/// Those who failed to log in lately, on any worker.
#[derive(Debug, Default)]
pub struct FailedLogins(Mutex<Vec<FailedLogin>>);

impl FailedLogins {
    /// Notes one more. If there are too many, the one that was noted longest ago makes room.
    pub(super) fn note(
        &self,
        client: SocketAddr,
        transport: &'static str,
        user: &str,
        reason: &str,
        now: SystemTime,
    ) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |known: &FailedLogin| {
            known.client.ip() == client.ip() && known.user == user && known.reason == reason
        };
        let mut login = match all.iter().position(same) {
            Some(at) => all.remove(at),
            None => FailedLogin {
                client,
                transport,
                user: user.to_owned(),
                reason: reason.to_owned(),
                times: 0,
                last: now,
            },
        };
        if all.len() == MOST {
            all.remove(0);
        }
        (login.client, login.transport, login.last) = (client, transport, now);
        login.times += 1;
        all.push(login);
    }

    /// Returns them, the last one first.
    pub fn all(&self) -> Vec<FailedLogin> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().rev().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    fn client(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_same_user_from_the_same_address_is_counted_once_and_comes_first() {
        let logins = FailedLogins::default();
        let second = UNIX_EPOCH + std::time::Duration::from_secs(1);
        logins.note(client("192.0.2.1:1"), "udp", "alice", "wrong password", UNIX_EPOCH);
        logins.note(client("192.0.2.2:1"), "udp", "alice", "wrong password", UNIX_EPOCH);
        logins.note(client("192.0.2.1:1"), "udp", "bob", "wrong password", UNIX_EPOCH);
        logins.note(client("192.0.2.1:9"), "tls", "alice", "wrong password", second);
        let all = logins.all();
        assert_eq!(all.len(), 3);
        assert_eq!(
            all[0],
            FailedLogin {
                client: client("192.0.2.1:9"),
                transport: "tls",
                user: "alice".to_owned(),
                reason: "wrong password".to_owned(),
                times: 2,
                last: second,
            }
        );
        assert_eq!(all[1].user, "bob");
    }

    #[test]
    fn strangers_cannot_make_it_grow() {
        let logins = FailedLogins::default();
        for number in 0..1000 {
            let user = number.to_string();
            logins.note(client("192.0.2.1:1"), "udp", &user, "unknown user", UNIX_EPOCH);
        }
        let all = logins.all();
        assert_eq!((all.len(), all[0].user.as_str(), all[63].user.as_str()), (MOST, "999", "936"));
    }
}
