//! What happened in a shard, for the log and the counters.

use std::net::SocketAddr;
use std::time::Duration;

use super::accounting::Accounted;
use super::auth::Denied;
use super::cause::Cause;
use super::policy::{Exceeded, Refusal};
use super::traffic::Traffic;
use super::types::{Carrier, Client, ClientAddr};
use super::user::UserId;
use taciturn_stun::{ErrorCode, Method};

/// Why an allocation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndReason {
    /// The client refreshed it to zero.
    Released,
    /// Its lifetime ran out.
    Expired,
    /// The client's connection closed.
    Disconnected,
    /// Its credential ran out, and `strict_expiry` is on.
    CredentialExpired,
    /// The user or secret that it was made with was removed from the configuration.
    CredentialRemoved,
    /// The operator ended it.
    Kicked,
    /// The operator has banned its user or its client's address.
    Banned,
    /// The server stops.
    Shutdown,
    /// The server was restarted, and something that it had could not be carried over.
    NotRestored,
}

impl EndReason {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Released,
        Self::Expired,
        Self::Disconnected,
        Self::CredentialExpired,
        Self::CredentialRemoved,
        Self::Kicked,
        Self::Banned,
        Self::Shutdown,
        Self::NotRestored,
    ];

    /// Its name among the metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Released => "released",
            Self::Expired => "expired",
            Self::Disconnected => "disconnected",
            Self::CredentialExpired => "credential_expired",
            Self::CredentialRemoved => "credential_removed",
            Self::Kicked => "kicked",
            Self::Banned => "banned",
            Self::Shutdown => "shutdown",
            Self::NotRestored => "not_restored",
        }
    }

    /// In words, for the log.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Released => "released by the client",
            Self::Expired => "not refreshed",
            Self::Disconnected => "connection closed",
            Self::CredentialExpired => "credential expired",
            Self::CredentialRemoved => "user or secret removed from the configuration",
            Self::Kicked => "ended by the operator",
            Self::Banned => "banned by the operator",
            Self::Shutdown => "server stopped",
            Self::NotRestored => "could not be carried over a restart",
        }
    }
}

/// A record of a session that has ended, or that goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageRecord {
    /// Which session, which record, and what was relayed since the one before.
    pub accounted: Accounted,
    /// The client as it is now, or was at last.
    pub client: ClientAddr,
    /// What carries its packets.
    pub carrier: Carrier,
    /// The USERNAME, in its realm.
    pub username: UserId,
    /// Whose place in the quota it has: without the time, where the USERNAME has one.
    pub user: UserId,
    /// What it has relayed in all.
    pub total: Traffic,
    /// How long it has lived.
    pub lived: Duration,
    /// Why it has ended, if it has.
    pub ended: Option<EndReason>,
}

/// What an operator may allow if clients are to have a peer that the rules refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// The port, of the addresses that this server relays on: a program beside it may be meant.
    OwnPort,
    /// The port, of that address: it is another one of this host, or the operator allows other ports of it.
    Port,
    /// Nothing that can be told from here.
    Unknown,
}

/// Something that an operator may want to read about. None happens once a packet.
#[derive(Clone, Debug)]
pub enum Event<'a> {
    /// An allocation was made.
    Allocated {
        /// For whom.
        client: Client,
        /// The USERNAME, in its realm.
        user: &'a UserId,
        /// The relayed transport address.
        relayed: SocketAddr,
        /// Its lifetime.
        lifetime: Duration,
    },
    /// An allocation ended.
    Ended {
        /// Whose.
        client: Client,
        /// The USERNAME, in its realm.
        user: &'a UserId,
        /// The relayed transport address.
        relayed: SocketAddr,
        /// What it relayed.
        traffic: Traffic,
        /// How long it lived.
        lived: Duration,
        /// Why.
        reason: EndReason,
        /// Its last record, if records are kept.
        record: Option<Box<UsageRecord>>,
    },
    /// A credential was refused.
    AuthenticationFailed {
        /// Whose.
        client: Client,
        /// The USERNAME it sent.
        username: &'a str,
        /// Why.
        reason: Denied,
    },
    /// A nonce was refused with 438 that this server has not made for this client, or not since its start.
    ForeignNonce {
        /// Whose.
        client: Client,
    },
    /// A Binding request of RFC 3489 was dropped, because those are off.
    ClassicBinding {
        /// Whose.
        client: Client,
    },
    /// A peer was refused with 403.
    PeerRefused {
        /// To whom.
        client: Client,
        /// The peer; port 0 where the client named none.
        peer: SocketAddr,
        /// The rule; `None` where the port of an own address is no relay port.
        refusal: Option<Refusal>,
        /// What would let clients have it.
        remedy: Remedy,
    },
    /// A permission was granted, which is for an address, and the request named a port that the rules refuse: data
    /// to and from it are dropped.
    PortOutOfReach {
        /// To whom.
        client: Client,
        /// The peer.
        peer: SocketAddr,
        /// What would let clients have it.
        remedy: Remedy,
    },
    /// A request was answered with an error other than the first 401.
    RequestFailed {
        /// Whose.
        client: Client,
        /// The USERNAME, once it is proven.
        user: Option<&'a UserId>,
        /// What it asked.
        method: Method,
        /// The answer.
        code: ErrorCode,
        /// The reason phrase; empty if the code says it all.
        reason: &'static str,
        /// Why, if the request itself was in order.
        cause: Option<Cause>,
    },
    /// Packets were dropped because a rate is reached. Once a minute for each limit and whom it is
    /// for.
    HeldBack {
        /// The client whose packet was the last.
        client: Client,
        /// Its USERNAME, in its realm.
        user: &'a UserId,
        /// The limit.
        exceeded: Exceeded,
        /// How many packets since the last time.
        packets: u64,
    },
}
