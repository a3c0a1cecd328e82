//! What a shard reports, as log lines.
//!
//! Lines that a client can cause at will are limited: so many a second, kind and worker, and one
//! line that counts the rest.

use tracing::{debug, info, warn};

use taciturn_stun::ErrorCode;
use taciturn_turn::clock::Tick;
use taciturn_turn::{Event, Traffic, Via};

/// Lines a second of each kind that clients can cause, for each worker.
const LINES_A_SECOND: u32 = 20;

/// Writes events to the log.
#[derive(Debug, Default)]
pub(super) struct EventLog {
    budgets: [Budget; Kind::COUNT],
}

/// Kinds of lines that clients can cause; each has a budget of its own, so that a flood of one
/// does not hide another.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// Authentication failed.
    Authentication,
    /// A peer was refused.
    Peer,
    /// No port, no place in a quota.
    Capacity,
    /// Connections that were turned away.
    Connection,
    /// Packets beyond a rate.
    Rate,
}

impl Kind {
    const COUNT: usize = 5;

    const fn name(self) -> &'static str {
        match self {
            Self::Authentication => "authentication failures",
            Self::Peer => "refused peers",
            Self::Capacity => "requests beyond a limit",
            Self::Connection => "connections turned away",
            Self::Rate => "limits that packets are beyond",
        }
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Budget {
    second: u64,
    written: u32,
    suppressed: u64,
}

impl EventLog {
    /// Writes one event. `transport` names what carries a client's packets.
    pub(super) fn write(
        &mut self,
        now: Tick,
        event: &Event<'_>,
        transport: impl Fn(Via) -> &'static str,
    ) {
        match event {
            Event::Allocated { client, username, relayed, lifetime } => debug!(
                client = %client.remote, transport = transport(client.via), user = username,
                relayed = %relayed, lifetime_s = lifetime.as_secs(), "allocation made"
            ),
            Event::Ended { client, username, relayed, traffic, lived, reason } => {
                // Browsers make many allocations and use one: only those get a line.
                if *traffic == Traffic::default() {
                    debug!(
                        client = %client.remote, transport = transport(client.via), user = username,
                        relayed = %relayed, seconds = lived.as_secs(), reason = reason.text(),
                        "allocation ended unused"
                    );
                    return;
                }
                info!(
                    client = %client.remote, transport = transport(client.via), user = username,
                    relayed = %relayed, seconds = lived.as_secs(),
                    to_peers = Bytes(traffic.bytes_to_peers).to_string(),
                    to_client = Bytes(traffic.bytes_to_client).to_string(),
                    bytes_to_peers = traffic.bytes_to_peers,
                    bytes_to_client = traffic.bytes_to_client,
                    packets_to_peers = traffic.packets_to_peers,
                    packets_to_client = traffic.packets_to_client,
                    reason = reason.text(), "session ended"
                );
            }
            Event::AuthenticationFailed { client, username, reason } => {
                if self.may_write(Kind::Authentication, now) {
                    warn!(
                        client = %client.remote, transport = transport(client.via), user = username,
                        reason = reason.to_string(), "authentication failed"
                    );
                }
            }
            Event::PeerRefused { client, peer, refusal: Some(refusal) } => {
                if refusal.normal_during_ice() {
                    debug!(
                        client = %client.remote, %peer, rule = refusal.to_string(),
                        "peer refused; normal during ICE for private candidates"
                    );
                } else if self.may_write(Kind::Peer, now) {
                    info!(client = %client.remote, %peer, rule = refusal.to_string(), "peer refused");
                }
            }
            Event::PeerRefused { client, peer, refusal: None } => {
                if self.may_write(Kind::Peer, now) {
                    info!(
                        client = %client.remote, %peer,
                        rule = "an address of this server, but no relay port", "peer refused"
                    );
                }
            }
            Event::HeldBack { client, username, exceeded, packets } => {
                if self.may_write(Kind::Rate, now) {
                    warn!(
                        client = %client.remote, user = username, limit = exceeded.key(), packets,
                        "packets dropped: a limit is reached"
                    );
                }
            }
            Event::RequestFailed { client, username, method, code, detail } => {
                let capacity = *code == ErrorCode::ALLOCATION_QUOTA_REACHED
                    || *code == ErrorCode::INSUFFICIENT_CAPACITY;
                if capacity && self.may_write(Kind::Capacity, now) {
                    warn!(
                        client = %client.remote, user = username, method = method.name(),
                        error = code.to_string(), detail, "request refused"
                    );
                } else if !capacity {
                    debug!(
                        client = %client.remote, user = username, method = method.name(),
                        error = code.to_string(), detail, "request refused"
                    );
                }
            }
        }
    }

    /// Whether a line of this kind may be written.
    pub(super) fn may_write(&mut self, kind: Kind, now: Tick) -> bool {
        let budget = &mut self.budgets[kind as usize];
        let second = now.0 / 1000;
        if second != budget.second {
            if budget.suppressed > 0 {
                warn!(lines = budget.suppressed, of = kind.name(), "lines were left out");
            }
            *budget = Budget { second, ..Budget::default() };
        }
        if budget.written < LINES_A_SECOND {
            budget.written += 1;
            return true;
        }
        budget.suppressed += 1;
        false
    }
}

/// A number of bytes as a person reads it.
struct Bytes(u64);

impl std::fmt::Display for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        #[allow(clippy::cast_precision_loss)] // one decimal is shown
        let n = self.0 as f64;
        match self.0 {
            0..1_024 => write!(f, "{} B", self.0),
            1_024..1_048_576 => write!(f, "{:.1} KiB", n / 1024.0),
            1_048_576..1_073_741_824 => write!(f, "{:.1} MiB", n / 1_048_576.0),
            _ => write!(f, "{:.1} GiB", n / 1_073_741_824.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_clients_cause_are_limited() {
        let mut log = EventLog::default();
        let written = |log: &mut EventLog, kind, at| {
            (0..1000).filter(|_| log.may_write(kind, Tick(at))).count()
        };
        assert_eq!(written(&mut log, Kind::Authentication, 500), 20);
        assert_eq!(written(&mut log, Kind::Authentication, 999), 0);
        assert_eq!(written(&mut log, Kind::Peer, 999), 20, "a flood of one kind hides no other");
        assert_eq!(written(&mut log, Kind::Authentication, 1000), 20);
    }

    #[test]
    fn bytes_are_shown_for_people() {
        let shown = [0, 1023, 1024, 1_572_864, 3_221_225_472].map(|n| Bytes(n).to_string());
        assert_eq!(shown, ["0 B", "1023 B", "1.0 KiB", "1.5 MiB", "3.0 GiB"]);
    }
}
