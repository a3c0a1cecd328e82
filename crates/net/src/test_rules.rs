//! What tests of the network part let a shard do, and ask of it: one user, relayed addresses on
//! loopback.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use zeroize::Zeroizing;

use taciturn_stun::{AttributeType as T, Class, Method, TransactionId, Writer};
use taciturn_turn::auth::{Authenticator, NonceKeys, StaticKey, StaticUser, long_term_key};
use taciturn_turn::clock::Tick;
use taciturn_turn::policy::{
    AnswerLimit, FailureLimit, PeerPolicy, PortPool, PortRange, Quota, RateLimits, Rates,
};
use taciturn_turn::{ConnectionIds, RelayAddress, Rules, Settings, TicketKey};

const USER: &str = "alice";
const REALM: &str = "example.org";
const PASSWORD: &str = "password";

/// Rules from now on, with these peers besides public ones.
pub(super) fn rules(now: Tick, allow: Vec<IpNet>) -> Rules {
    let password = StaticKey::Password(Zeroizing::new(PASSWORD.into()));
    let users = [StaticUser { name: USER.into(), key: password }];
    Rules {
        authenticator: Arc::new(Authenticator::new(REALM, &users, Vec::new(), false)),
        nonces: Arc::new(NonceKeys::new(Duration::from_secs(86_400), [[1; 32], [2; 32]], now)),
        peers: Arc::new(PeerPolicy::new(allow, Vec::new(), Vec::new())),
        ports: Arc::new(PortPool::new(PortRange::new(59_000, 60_100).unwrap(), Duration::ZERO)),
        quota: Arc::new(Quota::new(10, 0)),
        rates: Arc::new(RateLimits::new(Rates::default())),
        answers: Arc::new(AnswerLimit::new(0, 0, Vec::new())),
        failures: Arc::new(FailureLimit::new(0)),
        connection_ids: Arc::new(ConnectionIds::new(1)),
        tickets: Arc::new(TicketKey::new(Zeroizing::new([3; 32]))),
        bans: Arc::default(),
        requests: Arc::default(),
        tenant_peers: Arc::default(),
        mobile: Arc::default(),
        alternates: Arc::default(),
        guests: Arc::default(),
        session_ids: None,
    }
}

pub(super) fn settings() -> Settings {
    Settings {
        relay_addresses: [Some(RelayAddress::plain(Ipv4Addr::LOCALHOST.into())), None],
        max_permissions: 10,
        max_channels: 10,
        max_peer_connections: 0,
        ports_reserved_percent: 0,
        ..Settings::default()
    }
}

/// A request of that user, signed once there is a nonce.
pub(super) fn request(
    method: Method,
    number: u8,
    nonce: &[u8],
    wish: impl Fn(&mut Writer<'_>),
) -> Vec<u8> {
    let mut buffer = [0; 500];
    let mut writer = Writer::new(&mut buffer, Class::Request, method, TransactionId([number; 12]));
    wish(&mut writer);
    if !nonce.is_empty() {
        writer.attribute(T::USERNAME, USER.as_bytes());
        writer.attribute(T::REALM, REALM.as_bytes());
        writer.attribute(T::NONCE, nonce);
        writer.integrity(&long_term_key(USER, REALM, PASSWORD));
    }
    let len = writer.finish().unwrap();
    buffer[..len].to_vec()
}
