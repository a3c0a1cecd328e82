//! A TURN server as a state machine without sockets (RFC 8656, RFC 8489 for Binding, RFC 6062 for
//! TCP allocations).
//!
//! A [`Shard`] is told what arrived and when, and returns a [`Verdict`]: drop it, answer it, or relay
//! these bytes there. Sockets are opened and closed through [`Outside`], which also gives randomness
//! and takes events. Time is an argument ([`clock`]). A shard shares nothing with other shards on a
//! packet's way.
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
//! use taciturn_turn::{
//!     AllocationId, Client, ClientAddr, ConnectionIds, Event, OpenError, Outside, RelayAddress, RelayId, Rules,
//!     Settings, Shard, TicketKey, Verdict, Via,
//! };
//!
//! /// A server would open sockets here.
//! #[derive(Default)]
//! struct World {
//!     opened: Vec<(AllocationId, SocketAddr)>,
//! }
//!
//! impl Outside for World {
//!     fn random(&mut self, bytes: &mut [u8]) {
//!         bytes.fill(7); // a server asks the operating system
//!     }
//!     fn open_relay(&mut self, owner: AllocationId, address: SocketAddr) -> Result<RelayId, OpenError> {
//!         self.opened.push((owner, address));
//!         Ok(RelayId(self.opened.len() as u32 - 1))
//!     }
//!     fn close_relay(&mut self, _: RelayId) {}
//!     fn event(&mut self, _: Event<'_>) {}
//! }
//!
//! let relay: IpAddr = "203.0.113.7".parse().unwrap();
//! let peer: SocketAddr = "198.51.100.9:4000".parse().unwrap();
//! let password = StaticKey::Password(String::from("correct horse").into());
//! let users = [StaticUser { name: String::from("alice"), key: password }];
//! let rules = Rules {
//!     authenticator: Arc::new(Authenticator::new("example.org", &users, Vec::new(), false)),
//!     nonces: Arc::new(NonceKeys::new(Duration::from_secs(3600), [[1; 32], [2; 32]], Tick(0))),
//!     peers: Arc::new(PeerPolicy::new(vec!["198.51.100.0/24".parse().unwrap()], Vec::new(), vec![relay])),
//!     ports: Arc::new(PortPool::new(PortRange::new(59000, 60100).unwrap(), PORT_QUARANTINE)),
//!     quota: Arc::new(Quota::new(200, 0)),
//!     rates: Arc::new(RateLimits::new(Rates::default())),
//!     answers: Arc::new(AnswerLimit::new(20, 10_000, Vec::new())),
//!     failures: Arc::new(FailureLimit::new(10)),
//!     connection_ids: Arc::new(ConnectionIds::new(16)),
//!     tickets: Arc::new(TicketKey::new([3; 32].into())),
//!     mobile: Arc::default(),
//! };
//! let settings = Settings {
//!     relay_addresses: [Some(RelayAddress::plain(relay)), None],
//!     max_lifetime: Duration::from_secs(3600),
//!     max_permissions: 128,
//!     max_channels: 64,
//!     rfc5766_channels: false,
//!     tcp_relay: false,
//!     max_peer_connections: 16,
//!     ports_reserved_percent: 10,
//!     rfc8489_over_udp: false,
//!     redirect: None,
//!     icmp_errors: false,
//!     nat_discovery: None,
//!     rfc3489: false,
//!     mobility: false,
//!     software: true,
//!     keep_removed: false,
//! };
//! let (mut shard, mut world) = (Shard::new(settings, rules), World::default());
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
//!     let Verdict::Reply(len) = shard.from_client(now, client, &request[..len], &mut reply, &mut world) else {
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
//! let (owner, _) = world.opened[0];
//! let verdict = shard.from_peer(now, owner, Family::V4, peer, 172, &mut world);
//! assert!(matches!(verdict, Verdict::ToClient { .. }));
//! // Five minutes later the permission has lapsed (RFC 8656 section 9).
//! now.tick = Tick(now.tick.0 + 301_000);
//! let verdict = shard.from_peer(now, owner, Family::V4, peer, 172, &mut world);
//! assert!(matches!(verdict, Verdict::Drop(_)));
//! ```
//!
//! One file a request method (`allocate`, `refresh`, `create_permission`, `channel_bind`,
//! `binding`, `connect`, `connection_bind`), `authenticate` and `request` for what they have in common, `relay` for
//! the packets themselves. `tcp_allocation` has the peer connections of a TCP allocation, whose
//! data no shard sees; `connection_attempt` those that peers begin; `connection_ids` is how the
//! shard that a data connection came to finds them. `reload` is how rules change while calls run.
//! `mobility` lets an allocation move with its client (RFC 8016): `mobile_allocations` is how shards
//! agree on where it is, `hand_over` how it goes from one to another. `nat_discovery` answers from
//! elsewhere (RFC 5780).
#![forbid(unsafe_code)]

pub mod auth;
pub mod clock;
pub mod policy;

mod allocate;
mod allocation;
mod authenticate;
mod binding;
mod cause;
mod channel_bind;
mod connect;
mod connection_attempt;
mod connection_bind;
mod connection_ids;
mod create_permission;
mod hand_over;
mod icmp;
mod mobile_allocations;
mod mobility;
mod nat_discovery;
mod operator;
mod outside;
mod redirect;
mod refresh;
mod relay;
mod reload;
mod request;
mod shard;
mod strangers;
mod tcp_allocation;
mod ticket;
mod timers;
mod types;
mod user;

#[cfg(test)]
mod tests;

pub use cause::Cause;
pub use connection_ids::ConnectionIds;
pub use hand_over::{Departed, Landed};
pub use icmp::IcmpError;
pub use mobile_allocations::{MobileAllocations, MobileId};
pub use nat_discovery::NatDiscovery;
pub use operator::{Session, Whose};
pub use outside::{ChannelRoute, ConnectError, EndReason, Event, OpenError, Outside};
pub use redirect::Redirect;
pub use reload::Withdrawn;
pub use shard::{Rules, Settings, Shard, Statistics};
pub use ticket::TicketKey;
pub use types::{
    AllocationId, Carrier, Client, ClientAddr, ConnectionId, DropReason, PeerAddr, Prefix,
    RelayAddress, RelayId, ShardNumber, Traffic, Verdict, Via,
};
pub use user::UserId;
