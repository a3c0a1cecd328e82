//! What comes of a packet, held against the model.

use std::net::SocketAddr;

use taciturn_stun::{
    AttributeType as T, ChannelData, Class, Family, Kind, Message, Method, canonical_ip,
};
use taciturn_turn::{Client, IcmpError, Verdict, Via};

use super::super::model::{address, attributes};
use super::super::steps::Peer;
use super::users::USERS;
use super::{REALM, Rig, data, pick};

/// What an answer may hold. To a stranger over UDP it is as small as it can be (docs/protocol.md):
/// 20 for the header, 8 for ERROR-CODE, 16 for REALM, 20 for NONCE, 8 for FINGERPRINT.
const TO_STRANGER: usize = 72;
/// With SHA-256 on offer, or where UNKNOWN-ATTRIBUTES is told.
const UNSIGNED: usize = 100;
pub(super) const SIGNED: usize = 300;

impl Rig {
    pub(super) fn client_sends(&mut self, client: usize, packet: &[u8]) {
        if self.parties[client].is_pipe {
            return;
        }
        let at = self.parties[client].at;
        let mut reply = [0xAA; 1500];
        self.world.asking = Some(at);
        let verdict = self.shard.from_client(self.now, at, packet, &mut reply, &mut self.world);
        self.world.asking = None;
        match verdict {
            Verdict::Drop(_) => self.nothing_was_due(at, packet),
            Verdict::Reply(len) => self.answered(client, packet, &reply[..len]),
            Verdict::ReplyFrom { .. } => panic!("nobody has asked for NAT discovery"),
            Verdict::Later => {
                let peer = self.world.connected_to.take().expect("a connection was begun");
                let (ip, family) = (self.public(peer).ip(), Family::of(peer.ip()));
                let live = self.rules.ports.is_live_for_tcp(family, peer.port());
                let own = self.is_own(ip) && live && !self.everybody_denied;
                let named = self.rules.peers.port_allowed_by_name(ip, peer.port());
                let fine = named || self.rules.peers.check(ip).is_ok();
                assert!(own || fine, "a connection to {peer}");
            }
            Verdict::ToPeer { relay, peer, payload, dont_fragment } => {
                let socket = self.world.sockets.get(&relay.0).expect("an open socket");
                assert!(socket.client == at && !socket.tcp, "another client's socket");
                assert_eq!(Family::of(socket.local.ip()), Family::of(peer.ip()));
                let (to, data) = self.destination(at, packet);
                let seen = if self
                    .settings
                    .relay_addresses
                    .iter()
                    .flatten()
                    .any(|r| r.local == peer.ip() && r.local != r.public)
                {
                    self.public(peer)
                } else {
                    peer
                };
                assert_eq!((to, data), (seen, &packet[payload]), "destination and data");
                self.assert_permitted(at, to);
                let asked = Kind::of(packet) == Kind::Stun
                    && attributes(packet).any(|(kind, _)| kind == T::DONT_FRAGMENT.0);
                assert!(asked || !dont_fragment, "DF that nobody asked for");
            }
            Verdict::ToClient { client: target, prefix, payload, padding } => {
                // Two users of this relay: both sides have allowed it.
                let (to, data) = self.destination(at, packet);
                self.assert_permitted(at, to);
                assert_eq!(data, &packet[payload.clone()]);
                let is_it = |local: SocketAddr| self.public(local) == to;
                let owner = self.world.sockets.values().find(|s| !s.tcp && is_it(s.local));
                assert_eq!(owner.expect("a live relay").client, target);
                let family = Family::of(to.ip());
                let source = self.model.clients[&at].relayed.iter();
                let source = source.copied().find(|own| Family::of(own.ip()) == family);
                let source = source.expect("a relayed address of that family");
                self.delivered(target, source, prefix.as_bytes(), &packet[payload], padding);
            }
        }
    }

    /// Where a packet says that it goes, and what it carries.
    fn destination<'p>(&self, from: Client, packet: &'p [u8]) -> (SocketAddr, &'p [u8]) {
        if Kind::of(packet) == Kind::ChannelData {
            let length = usize::from(u16::from_be_bytes([packet[2], packet[3]]));
            let number = u16::from_be_bytes([packet[0], packet[1]]);
            let granted = self.model.clients.get(&from).expect("relayed for nobody");
            let peer = granted.peer_of(number, self.now.tick).expect("a bound channel");
            return (peer, &packet[4..4 + length]);
        }
        assert_eq!(packet[..2], [0x00, 0x16], "only Send indications are relayed");
        let first = |kind: T| {
            let found = attributes(packet).find(|(found, _)| *found == kind.0);
            found.expect("an attribute that is there").1
        };
        let peer = address(packet, first(T::XOR_PEER_ADDRESS)).expect("an address");
        (peer, first(T::DATA))
    }

    #[track_caller]
    fn assert_permitted(&self, client: Client, peer: SocketAddr) {
        let granted = self.model.clients.get(&client).expect("relayed for nobody");
        assert!(granted.permits(peer.ip(), self.now.tick), "{peer} was not permitted");
        // Whatever was granted, and when: the rules of now hold.
        assert!(self.is_open(peer), "{peer} is denied");
    }

    /// What a client receives from a peer.
    fn delivered(&self, client: Client, peer: SocketAddr, prefix: &[u8], data: &[u8], padding: u8) {
        let granted = self.model.clients.get(&client).expect("a client with an allocation");
        assert!(granted.permits(peer.ip(), self.now.tick), "{peer} was not permitted to send");
        let whole = [prefix, data, &[0; 3][..usize::from(padding)]].concat();
        if let Some(message) = ChannelData::parse(&whole) {
            let number = message.channel.number();
            assert_eq!(granted.peer_of(number, self.now.tick), Some(peer));
            assert_eq!(message.data, data);
            // RFC 8656 section 12.5.
            match client.via {
                Via::Stream { .. } => assert!(whole.len().is_multiple_of(4)),
                Via::Udp(_) | Via::Dtls { .. } => assert_eq!(padding, 0),
            }
            return;
        }
        let message = Message::parse(&whole).expect("a Data indication");
        assert_eq!((message.class(), message.method()), (Class::Indication, Method::DATA));
        assert_eq!((message.peer(), message.data()), (Ok(Some(peer)), Some(data)));
    }

    /// A packet was dropped: it was none that a live channel should have carried.
    fn nothing_was_due(&self, from: Client, packet: &[u8]) {
        let Some(message) = ChannelData::parse(packet) else { return };
        let Some(granted) = self.model.clients.get(&from) else { return };
        let peer = granted.peer_of(message.channel.number(), self.now.tick);
        if let Some(peer) = peer.filter(|peer| !self.is_own(peer.ip())) {
            let family = Family::of(peer.ip());
            let has = granted.relayed.iter().any(|own| Family::of(own.ip()) == family);
            let permitted = granted.permits(peer.ip(), self.now.tick);
            assert!(!has || !permitted, "a live channel to {peer} carries nothing");
        }
    }

    fn answered(&mut self, client: usize, request: &[u8], reply: &[u8]) {
        let at = self.parties[client].at;
        let answer = Message::parse(reply).expect("an answer is a message");
        let asked = Message::parse(request).expect("only messages are answered");
        assert_eq!(asked.class(), Class::Request, "only requests are answered");
        assert_eq!(answer.method(), asked.method());
        assert_eq!(answer.transaction_id(), asked.transaction_id());
        assert!(asked.has_fingerprint() || !answer.has_fingerprint());

        let user = USERS.iter().position(|user| user.has_made(&asked));
        let small = matches!(at.via, Via::Udp(_)) && !self.settings.rfc8489_over_udp;
        let refused_attributes = answer.find(T::UNKNOWN_ATTRIBUTES).is_some();
        let most = match (answer.has_integrity(), small && !refused_attributes) {
            (true, _) => SIGNED,
            (false, true) => TO_STRANGER,
            (false, false) => UNSIGNED,
        };
        assert!(reply.len() <= most, "an answer of {} bytes, {most} allowed", reply.len());
        // RFC 8489 section 9.2.4: what proves a client is not sent back, and REALM and NONCE come with
        // what asks for a proof alone.
        let has = |kind: T| answer.find(kind).is_some();
        assert!(!has(T::USERNAME) && !has(T::USERHASH));
        let challenges = matches!(answer.error_code(), Some(401 | 438));
        assert_eq!((has(T::REALM), has(T::NONCE)), (challenges, challenges));
        assert!(!challenges || !answer.has_integrity());
        if answer.has_integrity() {
            let user = user.expect("an answer signed for nobody");
            assert!(USERS[user].has_made(&answer), "signed with another user's key");
        }
        match answer.class() {
            Class::Success if asked.method() == Method::BINDING => {
                let mapped = answer.mapped_address().expect("XOR-MAPPED-ADDRESS");
                assert_eq!(mapped, at.remote.0);
            }
            Class::Success => {
                let user = user.expect("a success without a credential");
                assert!(answer.has_integrity(), "a success that is not signed");
                assert!(asked.unknown().is_empty(), "RFC 8489 section 6.3.1: 420");
                self.model.succeeded(self.now.tick, at, user, &asked, reply);
                if asked.method() == Method::CONNECTION_BIND {
                    self.parties[client].is_pipe = true;
                }
            }
            Class::Error => {
                let code = answer.error_code().expect("ERROR-CODE");
                assert!((300..700).contains(&code), "{code}");
                if matches!(code, 401 | 438) {
                    let nonce = answer.nonce().expect("RFC 8489 section 9.2.4").to_vec();
                    assert_eq!(answer.realm(), Ok(Some(REALM)));
                    let party = &mut self.parties[client];
                    party.old_nonce = std::mem::replace(&mut party.nonce, nonce);
                }
                assert_eq!(code == 420, refused_attributes);
                assert_ne!(code, 500, "the server's own fault");
            }
            class => panic!("{class:?} as an answer"),
        }
    }

    pub(super) fn peer_sends(&mut self, relay: u8, peer: Peer, len: u16) {
        let sockets: Vec<_> = self.world.sockets.values().copied().filter(|s| !s.tcp).collect();
        let Some(socket) = pick(&sockets, relay) else { return };
        let family = Family::of(socket.local.ip());
        let named = self.peer(peer);
        let named = SocketAddr::new(canonical_ip(named.ip()), named.port());
        if Family::of(named.ip()) != family {
            return;
        }
        // Behind a 1:1 NAT, what this server's own relays send comes from the private side.
        let own = self.settings.relay_addresses[family as usize].expect("a socket of that family");
        let live = self.rules.ports.is_live(family, named.port());
        let from = match named.ip() == own.public && live {
            true => SocketAddr::new(own.local, named.port()),
            false => named,
        };
        let data = data(len);
        let (now, len) = (self.now, data.len());
        let verdict = self.shard.from_peer(now, socket.owner, family, from, len, &mut self.world);
        match verdict {
            Verdict::ToClient { client, prefix, payload, padding } => {
                assert_eq!(client, socket.client, "another client's data");
                assert_eq!(payload, 0..len);
                // A channel to a relay port that has no allocation (any more) can be bound.
                let by_channel = Kind::of(prefix.as_bytes()) == Kind::ChannelData;
                assert!(by_channel || self.is_open(named), "{named} is denied");
                self.delivered(client, named, prefix.as_bytes(), &data, padding);
            }
            Verdict::Drop(_) => {
                let granted = &self.model.clients[&socket.client];
                let due = granted.permits(named.ip(), now.tick) && self.is_open(named);
                assert!(!due, "{named} is permitted");
            }
            other => panic!("{other:?} for a packet of a peer"),
        }
    }

    pub(super) fn icmp(&mut self, relay: u8, peer: Peer, error: IcmpError) {
        let sockets: Vec<_> = self.world.sockets.values().copied().filter(|s| !s.tcp).collect();
        let Some(socket) = pick(&sockets, relay) else { return };
        let family = Family::of(socket.local.ip());
        let peer = self.peer(peer);
        let mut out = [0xAA; 100];
        let owner = (socket.owner, family);
        let told = self.shard.from_icmp(self.now, owner, peer, error, &mut out, &mut self.world);
        let Some((client, len)) = told else { return };
        assert_eq!(client, socket.client);
        let message = Message::parse(&out[..len]).expect("a Data indication");
        assert_eq!((message.class(), message.method()), (Class::Indication, Method::DATA));
        let told = message.peer().expect("an address").expect("a peer");
        let granted = &self.model.clients[&client];
        assert!(granted.permits(told.ip(), self.now.tick), "RFC 8656 section 11.5");
        assert!(self.is_open(told), "{told} is denied");
    }
}
