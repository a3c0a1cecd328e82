//! What a worker writes to the log: what its shard reports, and what its sockets meet.
//!
//! Every line at `info` and above that clients can cause is written here, and asks the budget first
//! (`log_budget`). That nothing else below `net` and `turn` writes such lines, a test holds.

use std::fmt::Arguments;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::SystemTime;

use tracing::{debug, info, warn};

use super::failed_logins::FailedLogins;
use super::limit_names::LimitNames;
use super::log_budget::LogBudget;
use taciturn_stun::ErrorCode;
use taciturn_turn::auth::is_in_milliseconds;
use taciturn_turn::clock::Tick;
use taciturn_turn::policy::Exceeded;
use taciturn_turn::{ClientAddr, EndReason, Event, Remedy, Traffic, UserId, Via};

pub(super) use super::log_budget::{Kind, NO_SOURCE};

/// Writes events to the log.
#[derive(Debug, Default)]
pub(super) struct EventLog {
    budget: LogBudget,
    names: LimitNames,
    failed_logins: Arc<FailedLogins>,
}

impl EventLog {
    /// A log that calls the limits that clients meet by these names, and also notes who failed to log in.
    pub(super) fn new(names: LimitNames, failed_logins: Arc<FailedLogins>) -> Self {
        Self { budget: LogBudget::default(), names, failed_logins }
    }

    /// Writes one event. `transport` names what carries a client's packets.
    pub(super) fn write(
        &mut self,
        now: Tick,
        event: &Event<'_>,
        transport: impl Fn(Via) -> &'static str,
    ) {
        match event {
            Event::Allocated { client, user, relayed, lifetime } => {
                debug!(
                    client = %client.remote, transport = transport(client.via), user = user.name(),
                    tenant = user.tenant().name(), relayed = %relayed, lifetime_s = lifetime.as_secs(), "allocation made"
                );
                let forever = is_in_milliseconds(user.name());
                if forever && self.budget.may_write(Kind::Credential, client.remote.0.ip(), now) {
                    warn!(
                        client = %client.remote, user = user.name(),
                        "the time in this username is in milliseconds: the credential is valid for thousands of \
                         years. Whatever makes it must take seconds (in JavaScript: Math.floor(Date.now() / 1000))"
                    );
                }
            }
            Event::Ended { client, user, relayed, traffic, lived, reason, record: _ } => {
                // Browsers make many allocations and use one: only those get a line.
                if *traffic == Traffic::default() {
                    debug!(
                        client = %client.remote, transport = transport(client.via), user = user.name(),
                        tenant = user.tenant().name(), relayed = %relayed, seconds = lived.as_secs(), reason = reason.text(),
                        "allocation ended unused"
                    );
                    return;
                }
                // What the operator has ended is no client's doing.
                let asked =
                    matches!(reason, EndReason::Kicked | EndReason::Banned | EndReason::Shutdown);
                let source = client.remote.0.ip();
                if !asked && !self.budget.may_write(Kind::Session, source, now) {
                    return;
                }
                info!(
                    client = %client.remote, transport = transport(client.via), user = user.name(),
                    tenant = user.tenant().name(), relayed = %relayed, seconds = lived.as_secs(),
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
                if self.budget.may_write(Kind::Authentication, client.remote.0.ip(), now) {
                    let (transport, reason) = (transport(client.via), reason.to_string());
                    warn!(
                        client = %client.remote, transport, user = username, reason,
                        "authentication failed"
                    );
                    let (client, moment) = (client.remote.0, SystemTime::now());
                    self.failed_logins.note(client, transport, username, &reason, moment);
                }
            }
            Event::PeerRefused { client, peer, refusal, remedy } => {
                let rule = || self.names.rule(refusal.as_ref());
                let is_normal = refusal.is_some_and(|refusal| refusal.normal_during_ice());
                if is_normal && *remedy == Remedy::Unknown {
                    debug!(
                        client = %client.remote, peer = %Peer(*peer), rule = rule(),
                        "peer refused; normal during ICE for private candidates"
                    );
                } else if self.budget.may_write(Kind::Peer, client.remote.0.ip(), now) {
                    info!(
                        client = %client.remote, peer = %Peer(*peer), rule = rule(),
                        hint = self.names.allow_hint(*peer, *remedy), "peer refused"
                    );
                }
            }
            Event::PortOutOfReach { client, peer, remedy } => {
                if self.budget.may_write(Kind::Peer, client.remote.0.ip(), now) {
                    info!(
                        client = %client.remote, %peer, hint = self.names.allow_hint(*peer, *remedy),
                        "permission granted, but not for this port: data to and from it are dropped"
                    );
                }
            }
            Event::ForeignNonce { client } => {
                if self.budget.may_write(Kind::Nonce, client.remote.0.ip(), now) {
                    info!(
                        client = %client.remote, transport = transport(client.via),
                        "nonce refused (438): it was made for another address or port, by another server, or before \
                         the last start. If this goes on, something changes the client's port between packets, such \
                         as a UDP proxy or a load balancer: it must keep one port for each client"
                    );
                }
            }
            Event::ClassicBinding { client } => debug!(
                client = %client.remote, transport = transport(client.via),
                "Binding request without the magic cookie (RFC 3489) dropped; with protocol.rfc3489 = true such \
                 clients are answered over UDP"
            ),
            Event::HeldBack { client, user, exceeded, packets } => {
                if self.budget.may_write(Kind::Rate, client.remote.0.ip(), now) {
                    warn!(
                        client = %client.remote, user = user.name(), tenant = user.tenant().name(), limit = (self.names.rate)(*exceeded), packets,
                        "packets dropped: a limit is reached"
                    );
                }
            }
            Event::RequestFailed { client, user, method, code, reason, cause } => {
                let detail = || self.names.detail(reason, *cause);
                let capacity = *code == ErrorCode::ALLOCATION_QUOTA_REACHED
                    || *code == ErrorCode::INSUFFICIENT_CAPACITY;
                if capacity && self.budget.may_write(Kind::Capacity, client.remote.0.ip(), now) {
                    warn!(
                        client = %client.remote, user = user.map_or("", UserId::name),
                        tenant = user.and_then(|user| user.tenant().name()), method = method.name(),
                        error = code.to_string(), detail = detail(), "request refused"
                    );
                } else if !capacity {
                    debug!(
                        client = %client.remote, user = user.map_or("", UserId::name),
                        tenant = user.and_then(|user| user.tenant().name()), method = method.name(),
                        error = code.to_string(), detail = detail(), "request refused"
                    );
                }
            }
        }
    }

    /// Writes a warning about `source`.
    pub(super) fn warn(&mut self, kind: Kind, source: IpAddr, now: Tick, text: Arguments<'_>) {
        if self.budget.may_write(kind, source, now) {
            warn!("{text}");
        }
    }

    /// A connection has ended whose client was too slow for its media.
    pub(super) fn slow_client(
        &mut self,
        now: Tick,
        client: ClientAddr,
        transport: &'static str,
        dropped: u64,
    ) {
        if self.budget.may_write(Kind::Loss, client.0.ip(), now) {
            info!(%client, transport, dropped, "client too slow; media dropped");
        }
    }

    /// A DTLS connection has ended that messages did not fit.
    #[cfg(feature = "dtls")]
    pub(super) fn long_messages(
        &mut self,
        now: Tick,
        client: ClientAddr,
        dropped: u64,
        longest: u16,
    ) {
        if self.budget.may_write(Kind::Loss, client.0.ip(), now) {
            info!(
                %client, transport = "dtls", dropped, longest,
                "messages too long for a DTLS record; dropped"
            );
        }
    }

    /// A TCP connection between a client and a peer waits for a limit.
    pub(super) fn slowed_down(
        &mut self,
        now: Tick,
        client: ClientAddr,
        user: &UserId,
        exceeded: Exceeded,
    ) {
        if self.budget.may_write(Kind::Rate, client.0.ip(), now) {
            warn!(
                %client,
                user = user.name(),
                tenant = user.tenant().name(),
                limit = (self.names.rate)(exceeded),
                "TCP connection slowed down: a limit is reached"
            );
        }
    }

    /// Writes how many lines were suppressed, if it is time to.
    pub(super) fn tell_suppressed(&mut self, now: Tick) {
        self.budget.tell(now);
    }

    /// Writes how many lines were suppressed: the worker ends.
    pub(super) fn finish(&mut self, now: Tick) {
        self.budget.tell_all(now);
    }
}

/// A peer, without a port that the client has not named.
struct Peer(SocketAddr);

impl std::fmt::Display for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0.port() {
            0 => write!(f, "{}", self.0.ip()),
            _ => write!(f, "{}", self.0),
        }
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
    fn bytes_are_shown_for_people() {
        let shown = [0, 1023, 1024, 1_572_864, 3_221_225_472].map(|n| Bytes(n).to_string());
        assert_eq!(shown, ["0 B", "1023 B", "1.0 KiB", "1.5 MiB", "3.0 GiB"]);
    }
}
