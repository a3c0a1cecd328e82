//! NAT behaviour discovery (RFC 5780): answers that come from another address or port, or go to
//! another port, for a client that wants to know what its NAT does.
//!
//! Each worker has a socket for each listener, so that every one can send from every address and
//! port. An answer never holds more bytes than RFC 5780 adds for four addresses, or than the request
//! had where that is padded: nobody is flooded by forged requests beyond the budget of strangers.

use std::net::{IpAddr, SocketAddr};

use super::failure::Failure;
use super::types::{Client, RelayAddress, Via};
use super::verdict::Verdict;
use taciturn_stun::{AttributeType as T, ErrorCode, Family, Message, Writer};

/// What Binding understands where NAT discovery is served.
pub(super) const UNDERSTOOD: [T; 3] = [T::CHANGE_REQUEST, T::RESPONSE_PORT, T::PADDING];

/// The longest PADDING of an answer: the MTU of Ethernet, as RFC 5780 section 7.6 wants it.
const LONGEST_PADDING: usize = 1500;

static ZEROS: [u8; LONGEST_PADDING] = [0; LONGEST_PADDING];

/// The addresses and ports that answers come from: each of two addresses of a family with each of
/// two ports has a UDP listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NatDiscovery {
    /// Two IPv4 addresses and two IPv6 addresses: as clients know them, and as they are bound.
    pub addresses: [Option<[RelayAddress; 2]>; 2],
    /// The ports, in host order.
    pub ports: [u16; 2],
}

/// Which side of an address: as clients know it, or as it is bound.
type Side = fn(&RelayAddress) -> IpAddr;

/// Which of two addresses or ports: the one that the request came to, or the other.
#[derive(Clone, Copy)]
enum Pick {
    Same,
    Other,
}

impl Pick {
    const fn changed(change: bool) -> Self {
        if change { Self::Other } else { Self::Same }
    }

    /// The one of `pair`, of which the request came to that at `index`.
    fn of<T>(self, pair: &[T; 2], index: usize) -> &T {
        let [first, second] = pair;
        match (self, index) {
            (Self::Same, 0) | (Self::Other, 1..) => first,
            (Self::Other, 0) | (Self::Same, 1..) => second,
        }
    }
}

/// Where a request came to, as indices into [`NatDiscovery`].
pub(super) struct Place<'a> {
    addresses: &'a [RelayAddress; 2],
    ports: [u16; 2],
    address: usize,
    port: usize,
}

impl NatDiscovery {
    //= 5780-6-no-alternate
    /// Returns where a request came to, by the server's port that it was sent to; `None` if there is
    /// no other address and port.
    pub(super) fn place(&self, client: Client, port: Option<u16>) -> Option<Place<'_>> {
        let (Via::Udp(_), Some(port)) = (client.via, port) else { return None };
        let addresses = self.addresses[Family::of(client.local) as usize].as_ref()?;
        let is_at = |address: &RelayAddress| address.local == client.local;
        Some(Place {
            addresses,
            ports: self.ports,
            address: addresses.iter().position(is_at)?,
            port: self.ports.iter().position(|known| *known == port)?,
        })
    }
}

impl Place<'_> {
    /// A listener, as clients know it or as it is bound.
    fn at(&self, address: Pick, port: Pick, side: Side) -> SocketAddr {
        let ip = side(address.of(self.addresses, self.address));
        SocketAddr::new(ip, *port.of(&self.ports, self.port))
    }
}

/// One request and its answer.
pub(super) struct Exchange {
    mapped: SocketAddr,
    origin: SocketAddr,
    other: SocketAddr,
    from: SocketAddr,
    to: SocketAddr,
    /// Whether it leaves by the way that the request came.
    is_plain: bool,
    padding: Option<usize>,
}

impl Exchange {
    /// What `client` asks for (RFC 5780 section 6.1). `len` is the length of the request in bytes.
    pub(super) fn new(
        place: &Place<'_>,
        client: Client,
        message: &Message<'_>,
        len: usize,
    ) -> Result<Self, Failure> {
        let change = message.change_request()?.unwrap_or_default();
        let response_port = message.response_port()?;
        let padding = message.padding();
        //= 5780-6.1-port-and-padding
        if response_port.is_some() && padding.is_some() {
            let detail = "RESPONSE-PORT and PADDING together";
            return Err(Failure::new(ErrorCode::BAD_REQUEST, detail));
        }
        let remote = client.remote.0;
        let (address, port) = (Pick::changed(change.address), Pick::changed(change.port));
        let public: Side = |address| address.public;
        let local: Side = |address| address.local;
        // What goes in front of the padding: header, four addresses, PADDING's own header.
        let one = if remote.is_ipv4() { 12 } else { 24 };
        let fingerprint = if message.has_fingerprint() { 8 } else { 0 };
        let room = len.saturating_sub(20 + 4 * one + 4 + fingerprint);
        Ok(Self {
            mapped: remote,
            origin: place.at(address, port, public),
            //= 5780-6.1-other-address
            // Section 7.4: what CHANGE-REQUEST with both flags leads to, whatever this one asked.
            other: place.at(Pick::Other, Pick::Other, public),
            //= 5780-6.1-source
            from: place.at(address, port, local),
            //= 5780-7.5-response-port
            to: SocketAddr::new(remote.ip(), response_port.unwrap_or_else(|| remote.port())),
            is_plain: change.is_nothing() && response_port.is_none(),
            //= 5780-6.1-padding, 5780-7.6-longest
            padding: padding.map(|wanted| wanted.min(room).min(LONGEST_PADDING) & !3),
        })
    }

    pub(super) fn write(&self, writer: &mut Writer<'_>) {
        //= 5780-6.1-both-mapped
        // RFC 5780 section 6.1: so that a client sees a NAT that changes addresses in payloads.
        writer.plain_address(T::MAPPED_ADDRESS, self.mapped);
        //= 5780-6.1-response-origin
        writer.plain_address(T::RESPONSE_ORIGIN, self.origin);
        writer.plain_address(T::OTHER_ADDRESS, self.other);
        if let Some(zeros) = self.padding.and_then(|len| ZEROS.get(..len)) {
            writer.attribute(T::PADDING, zeros);
        }
    }

    pub(super) const fn send(&self, len: usize) -> Verdict {
        match self.is_plain {
            true => Verdict::Reply(len),
            false => Verdict::ReplyFrom { len, from: self.from, to: self.to },
        }
    }
}
