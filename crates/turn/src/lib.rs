//! A TURN server as a state machine without sockets (RFC 8656, RFC 8489 for Binding, RFC 6062 for
//! TCP allocations).
//!
//! A [`Shard`] is told what arrived and when, and returns a [`Verdict`]: drop it, answer it, or relay
//! these bytes there. Sockets are opened and closed through the traits of [`Outside`], which also give
//! randomness and take events. Time is an argument ([`clock`]). A shard shares nothing with other shards on
//! a packet's way.
//!
//! [`auth`] is who may use the relay, [`policy`] what they may do with it. What several shards share of
//! both is in [`Rules`]; what is fixed for a server is in [`Settings`].
//!
//! A whole allocation in memory, from the first request to the first relayed packet:
//!
//! ```
//! use std::net::{IpAddr, SocketAddr};
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use taciturn_stun::{AttributeType as T, Class, Family, Message, Method, TransactionId, Writer};
//! use taciturn_turn::auth::{Authenticator, NonceKeys, StaticKey, StaticUser, long_term_key};
//! use taciturn_turn::clock::{Now, Tick};
//! use taciturn_turn::policy::{
//!     AnswerLimit, FailureLimit, PORT_QUARANTINE, PeerPolicy, PortPool, PortRange, Quota, RateLimits, Rates,
//! };
//! use taciturn_turn::recorder::Recorder;
//! use taciturn_turn::{
//!     Client, ClientAddr, ConnectionIds, RelayAddress, Rules, Settings, Shard, TicketKey, Verdict, Via,
//! };
//!
//! let relay: IpAddr = "203.0.113.7".parse().unwrap();
//! let peer: SocketAddr = "198.51.100.9:4000".parse().unwrap();
//! let password = StaticKey::Password(String::from("correct horse").into());
//! let users = [StaticUser { name: String::from("alice"), key: password }];
//! let rules = Rules {
//!     authenticator: Arc::new(Authenticator::new("example.org", &users, Vec::new(), false)),
//!     nonces: Arc::new(NonceKeys::new(Duration::from_secs(3600), [[1; 32], [2; 32]], Tick(0))),
//!     peers: Arc::new(PeerPolicy::new(vec!["198.51.100.0/24".parse().unwrap()], Vec::new(), vec![relay])),
//!     tenant_peers: Arc::default(),
//!     ports: Arc::new(PortPool::new(PortRange::new(59000, 60100).unwrap(), PORT_QUARANTINE)),
//!     quota: Arc::new(Quota::new(200, 0)),
//!     rates: Arc::new(RateLimits::new(Rates::default())),
//!     answers: Arc::new(AnswerLimit::new(20, 10_000, Vec::new())),
//!     failures: Arc::new(FailureLimit::new(10)),
//!     connection_ids: Arc::new(ConnectionIds::new(16)),
//!     tickets: Arc::new(TicketKey::new([3; 32].into())),
//!     bans: Arc::default(),
//!     requests: Arc::default(),
//!     mobile: Arc::default(),
//!     alternates: Arc::default(),
//!     guests: Arc::default(),
//!     session_ids: None,
//! };
//! let settings = Settings {
//!     relay_addresses: [Some(RelayAddress::plain(relay)), None],
//!     ..Settings::default()
//! };
//! // A server would open sockets here, and ask the operating system for randomness.
//! let (mut shard, mut outside) = (Shard::new(settings, rules), Recorder::default());
//! let client = Client {
//!     remote: ClientAddr("192.0.2.1:49152".parse().unwrap()),
//!     local: relay,
//!     via: Via::Udp(0),
//! };
//! let mut now = Now { tick: Tick(1_000), unix: 1_700_000_000 };
//!
//! // Writes a request, and returns what the server answers.
//! let mut ask = |now, method, nonce: &[u8], wish: &dyn Fn(&mut Writer<'_>)| {
//!     let (mut request, mut reply) = ([0; 512], [0; 1500]);
//!     let mut writer = Writer::new(&mut request, Class::Request, method, TransactionId([9; 12]));
//!     wish(&mut writer);
//!     if !nonce.is_empty() {
//!         writer
//!             .attribute(T::USERNAME, b"alice")
//!             .attribute(T::REALM, b"example.org")
//!             .attribute(T::NONCE, nonce)
//!             .integrity(&long_term_key("alice", "example.org", "correct horse"));
//!     }
//!     let len = writer.finish().unwrap();
//!     let Verdict::Reply(len) = shard.from_client(now, client, &request[..len], &mut reply, &mut outside) else {
//!         panic!("no answer");
//!     };
//!     reply[..len].to_vec()
//! };
//! let udp = |writer: &mut Writer<'_>| {
//!     writer.requested_transport(17);
//! };
//! let challenge = ask(now, Method::ALLOCATE, b"", &udp);
//! let nonce = Message::parse(&challenge).unwrap().nonce().unwrap().to_vec();
//! let allocated = ask(now, Method::ALLOCATE, &nonce, &udp);
//! let allocated = Message::parse(&allocated).unwrap();
//! assert_eq!(allocated.class(), Class::Success);
//! assert_eq!(allocated.relayed_address().unwrap().ip(), relay);
//! let permitted = ask(now, Method::CREATE_PERMISSION, &nonce, &|writer: &mut Writer<'_>| {
//!     writer.address(T::XOR_PEER_ADDRESS, peer);
//! });
//! assert_eq!(Message::parse(&permitted).unwrap().class(), Class::Success);
//!
//! // A packet of the peer goes to the client, as the payload of a Data indication.
//! let (owner, _) = outside.opened[0];
//! let verdict = shard.from_peer(now, owner, Family::V4, peer, 172, &mut outside);
//! assert!(matches!(verdict, Verdict::ToClient { .. }));
//! // Five minutes later the permission has lapsed (RFC 8656 section 9).
//! now.tick = Tick(now.tick.0 + 301_000);
//! let verdict = shard.from_peer(now, owner, Family::V4, peer, 172, &mut outside);
//! assert!(matches!(verdict, Verdict::Drop(_)));
//! ```
//!
//! The shard's state is in `parts`: the tables of `allocations`, the `moves` of RFC 8016, and smaller ones.
//! What happens to it are functions over a `context`, one file a request method (`allocate`, `refresh`,
//! `create_permission`, `channel_bind`, `binding`, `connect`, `connection_bind`), with `dispatch`,
//! `authenticate` and `answers` for what they have in common, and `relay` for the packets themselves.
//! `endings`, `timeouts`, `reload` and `sessions` are how allocations end and change otherwise.
//!
//! `peer_connections` has the TCP connections of RFC 6062, whose data no shard sees; `connection_attempt`
//! those that peers begin; `connection_ids` is how the shard that a data connection came to finds them.
//! `mobility` lets an allocation move with its client (RFC 8016): `mobile_allocations` is how shards
//! agree on where it is, `transfer` how it goes from one to another. `parked` is how requests are answered
//! later. `nat_discovery` answers from elsewhere (RFC 5780). `announcing` is for a faster data path.
//! `guests` are people who try out a call with a link of the operator's.
//! [`snapshot`] is what a shard hands on to another process: `take_snapshot` and `restore` are both ends.
//!
//! A file uses names of those below it alone: `shard` is on top.
#![forbid(unsafe_code)]

pub mod auth;
pub mod clock;
pub mod policy;
pub mod recorder;
pub mod snapshot;

mod accounting;
mod allocate;
mod allocations;
mod alternates;
mod announcing;
mod answer_budget;
mod answers;
mod authenticate;
mod banned;
mod binding;
mod cause;
mod channel_bind;
mod channel_route;
mod connect;
mod connection_attempt;
mod connection_bind;
mod connection_ids;
mod context;
mod create_permission;
mod deadlines;
mod dispatch;
mod effects;
mod ended_requests;
mod endings;
mod entrance;
mod event;
mod failure;
mod guests;
mod icmp;
mod intake;
mod interim;
mod lifetime;
mod mobile_allocations;
mod mobility;
mod moves;
mod nat_discovery;
mod parked;
mod parts;
mod peer_check;
mod peer_connections;
mod redirect;
mod refresh;
mod relay;
mod reload;
mod reply;
mod restore;
mod restored;
mod rules;
mod sessions;
mod settings;
mod shard;
mod statistics;
mod take_snapshot;
mod tenant;
mod tenant_traffic;
mod ticket;
mod timeouts;
mod traffic;
mod transaction_ids;
mod transfer;
mod types;
mod user;
mod verdict;

#[cfg(test)]
mod tests;

pub use accounting::{Accounted, SessionId, SessionIds};
pub use alternates::Alternates;
pub use cause::Cause;
pub use channel_route::{ChannelRoute, OwnPeer};
pub use connection_ids::ConnectionIds;
pub use deadlines::Deadlines;
pub use effects::{
    Adoption, Clients, ConnectError, DataPath, Observer, OpenError, OtherShards, Outside,
    PeerConnections, PeerStage, Randomness, RelaySockets,
};
pub use entrance::Entrance;
pub use event::{EndReason, Event, Remedy, UsageRecord};
pub use guests::{GUEST_TIME, GUESTS, Guest, GuestSeen, Guests, NewGuest, SeenBy};
pub use icmp::IcmpError;
pub use mobile_allocations::{MobileAllocations, MobileId};
pub use nat_discovery::NatDiscovery;
pub use redirect::Redirect;
pub use reload::Withdrawn;
pub use restored::{LeftOut, Restored};
pub use rules::Rules;
pub use sessions::{Session, Whose};
pub use settings::Settings;
pub use shard::Shard;
pub use statistics::Statistics;
pub use tenant::{TenantName, TenantNameError};
pub use tenant_traffic::TenantTraffic;
pub use ticket::TicketKey;
pub use traffic::{Traffic, Usage};
pub use transfer::Departed;
pub use types::{
    AllocationId, Carrier, Client, ClientAddr, ConnectionId, PeerAddr, RelayAddress, RelayId,
    ShardNumber, Via,
};
pub use user::UserId;
pub use verdict::{DropReason, Prefix, Verdict};
