//! What clients were granted, as their answers say it (RFC 8656 sections 7 to 12).

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use taciturn_stun::{AttributeType as T, Family, Message, Method, TransactionId, canonical_ip};
use taciturn_turn::Client;
use taciturn_turn::clock::Tick;

/// RFC 8656 sections 9 and 12.
const PERMISSION: Duration = Duration::from_secs(300);
const CHANNEL: Duration = Duration::from_secs(600);

/// What one client holds.
#[derive(Debug, Default)]
pub(super) struct Granted {
    pub(super) user: usize,
    pub(super) expires: Tick,
    pub(super) relayed: Vec<SocketAddr>,
    permissions: HashMap<IpAddr, Tick>,
    channels: BTreeMap<u16, (SocketAddr, Tick)>,
}

impl Granted {
    pub(super) fn permits(&self, ip: IpAddr, now: Tick) -> bool {
        self.permissions.get(&ip).is_some_and(|until| now < *until)
    }

    /// The peer of a channel that is bound.
    pub(super) fn peer_of(&self, channel: u16, now: Tick) -> Option<SocketAddr> {
        self.channels.get(&channel).filter(|(_, until)| now < *until).map(|(peer, _)| *peer)
    }

    pub(super) fn live_permissions(&self, now: Tick) -> usize {
        self.permissions.values().filter(|until| now < **until).count()
    }

    pub(super) fn live_channels(&self, now: Tick) -> usize {
        self.channels.values().filter(|(_, until)| now < *until).count()
    }

    /// The rules have changed: what they refuse now is gone.
    pub(super) fn withdraw(&mut self, refused: impl Fn(IpAddr) -> bool) {
        self.permissions.retain(|ip, _| !refused(*ip));
        self.channels.retain(|_, (peer, _)| !refused(peer.ip()));
    }
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Model {
    pub(super) clients: HashMap<Client, Granted>,
    /// Tokens that were given out, when they end, and for whom.
    pub(super) tokens: Vec<([u8; 8], Tick, usize)>,
    /// Requests that ended something: a retransmission ends nothing once more.
    ended: HashSet<(Client, TransactionId)>,
}

impl Model {
    /// A request has succeeded.
    pub(super) fn succeeded(
        &mut self,
        now: Tick,
        client: Client,
        user: usize,
        request: &Message<'_>,
        bytes: &[u8],
    ) {
        let answer = &Message::parse(bytes).expect("an answer is a message");
        let lifetime = || {
            let seconds = answer.lifetime().expect("4 bytes").expect("a LIFETIME");
            Duration::from_secs(seconds.into())
        };
        match request.method() {
            Method::ALLOCATE => self.allocated(now, client, user, request, bytes, lifetime()),
            Method::REFRESH => {
                let lifetime = lifetime();
                if lifetime.is_zero() {
                    if self.ended.insert((client, request.transaction_id())) {
                        self.released(client, request);
                    }
                } else {
                    let granted = self.clients.get_mut(&client).expect("there is an allocation");
                    assert_eq!(granted.user, user, "RFC 8656 section 5: another user's");
                    granted.expires = now + lifetime;
                }
            }
            Method::CREATE_PERMISSION => {
                let granted = self.clients.get_mut(&client).expect("there is an allocation");
                assert_eq!(granted.user, user, "RFC 8656 section 5: another user's");
                for peer in request.peers() {
                    let ip = canonical_ip(peer.expect("an address").ip());
                    granted.permissions.insert(ip, now + PERMISSION);
                }
            }
            Method::CHANNEL_BIND => {
                let granted = self.clients.get_mut(&client).expect("there is an allocation");
                assert_eq!(granted.user, user, "RFC 8656 section 5: another user's");
                let peer = request.peer().expect("an address").expect("a peer");
                let peer = SocketAddr::new(canonical_ip(peer.ip()), peer.port());
                let number = request.channel_number().expect("4 bytes").expect("a channel");
                let number = number.expect("in range").number();
                // RFC 8656 section 12.2: one peer a channel, one channel a peer.
                for (known, (bound, until)) in &granted.channels {
                    let same = (*known == number, *bound == peer);
                    assert!(now >= *until || same.0 == same.1, "bound twice: {known:#x}, {bound}");
                }
                granted.channels.insert(number, (peer, now + CHANNEL));
                granted.permissions.insert(peer.ip(), now + PERMISSION);
            }
            _ => {}
        }
    }

    fn allocated(
        &mut self,
        now: Tick,
        client: Client,
        user: usize,
        request: &Message<'_>,
        answer: &[u8],
        lifetime: Duration,
    ) {
        let relayed: Vec<SocketAddr> = relayed(answer);
        assert!(!relayed.is_empty(), "a success without a relayed address");
        if let Some(known) = self.clients.get(&client) {
            // RFC 8489 section 6.3.1: the same answer to a retransmission. One of two addresses
            // may have been given back since.
            assert_eq!(known.user, user);
            assert!(relayed.iter().all(|address| known.relayed.contains(address)), "another one");
            return;
        }
        let named = request.reservation_token().ok().flatten();
        if let Some(token) = named {
            let at = self.tokens.iter().position(|known| known.0 == token);
            let (_, until, owner) = self.tokens.remove(at.expect("a token that was given out"));
            assert!(now < until && owner == user, "a token too old, or another user's");
        }
        let mut all = attributes(answer);
        if let Some((_, token)) = all.find(|(kind, _)| *kind == T::RESERVATION_TOKEN.0) {
            let token = token.try_into().expect("8 bytes");
            self.tokens.push((token, now + Duration::from_secs(30), user));
        }
        let granted = Granted { user, expires: now + lifetime, relayed, ..Granted::default() };
        self.clients.insert(client, granted);
    }

    /// RFC 8656 section 8.2: all of it, or the address of one family of two.
    fn released(&mut self, client: Client, request: &Message<'_>) {
        let granted = self.clients.get_mut(&client).expect("there is an allocation");
        let family = request.requested_family().expect("4 bytes").flatten();
        match family.filter(|_| granted.relayed.len() == 2) {
            Some(family) => {
                granted.relayed.retain(|address| Family::of(address.ip()) != family);
            }
            None => drop(self.clients.remove(&client)),
        }
    }
}

/// Every XOR-RELAYED-ADDRESS of an answer.
fn relayed(answer: &[u8]) -> Vec<SocketAddr> {
    let relayed = |(kind, _): &(u16, _)| *kind == T::XOR_RELAYED_ADDRESS.0;
    attributes(answer)
        .filter(relayed)
        .map(|(_, value)| address(answer, value).expect("an address"))
        .collect()
}

/// The attributes of a message up to an integrity, read without the code under test.
pub(super) fn attributes(message: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = message.get(20..).unwrap_or_default();
    std::iter::from_fn(move || {
        let [t0, t1, l0, l1, tail @ ..] = rest else { return None };
        let kind = u16::from_be_bytes([*t0, *t1]);
        let len = usize::from(u16::from_be_bytes([*l0, *l1]));
        if [T::MESSAGE_INTEGRITY.0, T::MESSAGE_INTEGRITY_SHA256.0].contains(&kind) {
            return None;
        }
        let value = tail.get(..len)?;
        rest = tail.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// A XORed address (RFC 8489 section 14.2).
pub(super) fn address(message: &[u8], value: &[u8]) -> Option<SocketAddr> {
    let mask = message.get(4..20)?;
    let plain: Vec<u8> = value.get(4..)?.iter().zip(mask).map(|(a, b)| a ^ b).collect();
    let port = u16::from_be_bytes([value[2] ^ mask[0], value[3] ^ mask[1]]);
    let ip = match (value[1], value.len()) {
        (1, 8) => IpAddr::from(<[u8; 4]>::try_from(plain).ok()?),
        (2, 20) => IpAddr::from(<[u8; 16]>::try_from(plain).ok()?),
        _ => return None,
    };
    Some(SocketAddr::new(canonical_ip(ip), port))
}
