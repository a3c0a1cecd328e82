//! Allocate (RFC 8656 section 7, RFC 6062 section 5.1).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::allocations::{Allocation, Datagrams, Entry, Foundation, Kind, Loose, Mobility};
use super::allocations::{PeerConnections, Relay};
use super::auth::Grant;
use super::authenticate::Proven;
use super::cause::Cause;
use super::clock::Tick;
use super::context::{Context, Request};
use super::effects::{OpenError, Outside};
use super::endings::end;
use super::event::{EndReason, Event};
use super::failure::{Answer, Failure};
use super::guests::{Guest, GuestRelay, GuestTicket};
use super::lifetime::{DEFAULT_LIFETIME, granted_lifetime};
use super::mobility::{wants_mobility, write_ticket};
use super::parts::Parts;
use super::policy::{LeaseError, PortLease, QuotaError, QuotaTicket, Wish, is_tunnelled};
use super::rules::Rules;
use super::settings::Settings;
use super::types::Carrier;
use super::user::UserId;
use taciturn_stun::{AttributeType as T, ErrorCode, Family, Writer};

/// The protocol number of UDP in REQUESTED-TRANSPORT.
const UDP: u8 = 17;

/// That of TCP.
const TCP: u8 = 6;

/// How many ports are tried when others hold them.
const PORT_TRIES: u32 = 32;

/// What an Allocate request asks for, checked.
struct Wanted {
    wire: Wire,
    mobile: bool,
    family: Family,
    additional: bool,
    port: PortWish,
    lifetime: u32,
}

impl Wanted {
    /// What a guest gets of it: a relayed address for UDP, which stays where it is made.
    fn of(self, guest: Option<&Guest>) -> Result<Self, Failure> {
        match (guest, self.wire) {
            (None, _) => Ok(self),
            (Some(_), Wire::Tcp) => Err(Failure::new(ErrorCode::UNSUPPORTED_TRANSPORT, "")),
            (Some(_), Wire::Udp) => Ok(Self { mobile: false, ..self }),
        }
    }
}

/// What goes between relay and peers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wire {
    Udp,
    Tcp,
}

#[derive(Clone, Copy)]
enum PortWish {
    Pool(Wish),
    Token([u8; 8]),
}

pub(super) fn allocate<O: Outside>(
    cx: &mut Context<'_, O>,
    request: &Request<'_>,
    proven: Proven,
    writer: &mut Writer<'_>,
) -> Answer {
    let Parts { number, settings, rules, intake, allocations, moves, .. } = &mut *cx.parts;
    let client = request.client;
    if let Some(allocation) = allocations.of(&client) {
        //= 8489-6.3.1-retransmissions
        // RFC 8489 section 6.3.1: a retransmission gets the same answer. Anything else on a
        // 5-tuple in use is a mismatch (RFC 8656 section 7.2, step 2).
        //= 8656-7.2-retransmission
        let is_repeated = allocation.granted.by == request.message.transaction_id();
        if is_repeated && proven.made(allocation, &rules.authenticator) {
            write_success(allocation, settings.software, writer);
            write_ticket(rules, allocation, writer, cx.outside);
            return Ok(());
        }
        //= 8656-7.2-in-use
        let detail = "This 5-tuple has an allocation";
        return Err(Failure::new(ErrorCode::ALLOCATION_MISMATCH, detail));
    }
    let Some(grant) = proven.grant else {
        return Err(Failure::new(ErrorCode::SERVER_ERROR, ""));
    };
    let wanted = wanted(settings, request)?.of(grant.guest.as_deref())?;
    let secure = cx.outside.is_secure(client);
    // What is reserved here can only be had here.
    if let PortWish::Pool(_) = wanted.port {
        //= 8489-14.8-try-alternate-authenticated
        // Only a proven client gets here (RFC 8489 section 14.8), and the answer is signed.
        let sha256 = proven.signature.sha256;
        // A guest tries out this server.
        let redirect = settings.redirect.as_ref().filter(|_| grant.guest.is_none());
        let alternate = redirect.and_then(|to| to.alternate(client.remote.0.ip(), secure, sha256));
        if let Some(alternate) = alternate {
            return Err(Failure::try_alternate(alternate));
        }
        if intake.draining {
            return Err(Cause::Draining.into());
        }
        if intake.is_retired(client.via.listener()) {
            return Err(Cause::RetiredListener.into());
        }
    }
    let now = cx.now.tick;
    let user = grant.user.clone();
    let (credential, is_guest) = (grant.expires, grant.guest.is_some());
    let lifetime =
        granted_lifetime(settings, rules, wanted.lifetime, credential, is_guest, cx.now.unix);
    let expires = now + Duration::from_secs(u64::from(lifetime));
    let guest = grant.guest.as_ref().map(admit_guest).transpose()?;
    let quota = admit(rules, &grant, now)?;
    let foundation = Foundation {
        client,
        carrier: Carrier::of(client.via, secure),
        username: grant.username,
        key: grant.key,
        credential_expires: grant.expires,
        origin: grant.origin,
        guest,
        quota,
        made_by: request.message.transaction_id(),
        kind: match wanted.wire {
            Wire::Udp => Kind::Udp(Datagrams::default()),
            Wire::Tcp => Kind::Tcp(PeerConnections::default()),
        },
    };
    moves.cancel(&client, &rules.mobile, *number);
    let entry = allocations.insert(Loose::new(foundation, now, expires));
    let mut opening = Opening { now, settings, rules, entry, outside: cx.outside };
    let first = opening.open_first(&user, &wanted);
    let second = match wanted.port {
        PortWish::Pool(wish) if wanted.additional => {
            Some(opening.open(Family::V6, wish).map_err(|failure| failure.code()))
        }
        _ => None,
    };
    let mut entry = opening.entry;
    //= 8656-7.2-half-of-two
    // RFC 8656 section 7.2: half of a dual allocation is better than none, whichever half.
    let address_error = match (first, second) {
        (Ok(()), None | Some(Ok(()))) => None,
        (Ok(()), Some(Err(code))) => Some((Family::V6, code)),
        (Err(failure), Some(Ok(()))) => Some((Family::V4, failure.code())),
        (Err(failure), None | Some(Err(_))) => {
            // Gives back what was taken. An allocation that never was is not worth a line.
            let id = entry.id();
            end(cx, id, EndReason::Released);
            return Err(failure);
        }
    };
    entry.granted.lifetime = lifetime;
    entry.granted.address_error = address_error;
    if let Some(guest) = &entry.guest {
        guest.note_made(entry.carrier);
    }
    if wanted.mobile {
        let registration = rules.mobile.register(&entry.username, *number, entry.id(), expires);
        entry.make_mobile(Mobility::new(registration));
    }
    write_success(&entry, settings.software, writer);
    write_ticket(rules, &entry, writer, cx.outside);
    if let Some(relayed) = entry.relayed() {
        cx.outside.event(Event::Allocated {
            client,
            user: &entry.username,
            relayed,
            lifetime: Duration::from_secs(u64::from(lifetime)),
        });
    }
    Ok(())
}

/// RFC 8656 section 7.2, steps 3 to 8.
fn wanted(settings: &Settings, request: &Request<'_>) -> Result<Wanted, Failure> {
    let bad = |detail| Failure::new(ErrorCode::BAD_REQUEST, detail);
    let message = request.message;
    // RFC 8656 section 21.4. Without an allocation there are no channels either.
    //= 8656-21.4-teredo-and-6to4
    if is_tunnelled(request.client.remote.0.ip()) {
        let detail = "Teredo and 6to4 addresses are not served";
        return Err(Failure::new(ErrorCode::FORBIDDEN, detail));
    }
    let wire = match message.requested_transport()? {
        //= 8656-7.2-transport-missing
        None => return Err(bad("REQUESTED-TRANSPORT is missing")),
        Some(UDP) => Wire::Udp,
        Some(TCP) if settings.tcp_relay => Wire::Tcp,
        //= 8656-7.2-transport-unsupported
        Some(_) => return Err(Failure::new(ErrorCode::UNSUPPORTED_TRANSPORT, "")),
    };
    let (even, token) = (message.even_port()?, message.reservation_token()?);
    if wire == Wire::Tcp && !request.client.via.is_tcp() {
        return Err(bad("An allocation for TCP is made over TCP or TLS"));
    }
    if wire == Wire::Tcp && (even.is_some() || token.is_some() || message.dont_fragment()) {
        let detail = "EVEN-PORT, RESERVATION-TOKEN and DONT-FRAGMENT are not for TCP";
        return Err(bad(detail));
    }
    let (family, additional) = (message.requested_family()?, message.additional_family()?);
    let port = match (token, even) {
        //= 8656-7.2-token-alone
        (Some(_), Some(_)) => return Err(bad("RESERVATION-TOKEN and EVEN-PORT together")),
        (Some(_), None) if family.is_some() || additional.is_some() => {
            return Err(bad("RESERVATION-TOKEN and an address family together"));
        }
        (Some(token), None) => PortWish::Token(token),
        (None, Some(true)) if additional.is_some() => {
            //= 8656-7.2-even-port-additional
            return Err(bad("EVEN-PORT with R and ADDITIONAL-ADDRESS-FAMILY together"));
        }
        (None, Some(true)) => PortWish::Pool(Wish::EvenAndNext),
        (None, Some(false)) => PortWish::Pool(Wish::Even),
        (None, None) => PortWish::Pool(Wish::Any),
    };
    if family.is_some() && additional.is_some() {
        //= 8656-7.2-two-families
        return Err(bad("REQUESTED- and ADDITIONAL-ADDRESS-FAMILY together"));
    }
    if additional.is_some_and(|family| family != Some(Family::V6)) {
        //= 8656-7.2-additional-ipv4
        return Err(bad("ADDITIONAL-ADDRESS-FAMILY can only be IPv6"));
    }
    //= 8656-7.2-default-ipv4
    // Without the attribute it is IPv4 (RFC 8656 section 7.2).
    let family = family.unwrap_or(Some(Family::V4));
    let served = |family: &Family| settings.relay_address(*family).is_some();
    let family = match (port, family.filter(served)) {
        (_, Some(family)) => family,
        // A token knows its family itself; of two families the other may do.
        (PortWish::Token(_), None) => Family::V4,
        (PortWish::Pool(_), None) if additional.is_some() => Family::V4,
        (PortWish::Pool(_), None) => {
            //= 8656-7.2-family-unsupported
            let code = ErrorCode::ADDRESS_FAMILY_NOT_SUPPORTED;
            return Err(Failure::new(code, "This server has no relay address of that family"));
        }
    };
    let lifetime = message.lifetime()?.unwrap_or(DEFAULT_LIFETIME);
    let mobile = wants_mobility(settings, request, wire == Wire::Tcp)?;
    Ok(Wanted { wire, mobile, family, additional: additional.is_some(), port, lifetime })
}

/// Takes a place for one more allocation of a guest's.
fn admit_guest(guest: &Arc<Guest>) -> Result<GuestTicket, Failure> {
    let detail = "A guest has no more allocations";
    let full = || Failure::new(ErrorCode::ALLOCATION_QUOTA_REACHED, detail);
    GuestTicket::take(guest).ok_or_else(full)
}

/// Takes a place for one more allocation of the user.
fn admit(rules: &Rules, grant: &Grant, now: Tick) -> Result<QuotaTicket, Failure> {
    //= 8656-7.2-quota-by-user
    // RFC 8656 section 7.2, step 9: 486 is about the user, 508 about the server.
    let quota = rules.quota.take(&grant.user, now).map_err(|why| match why {
        QuotaError::User => Cause::UserAllocations,
        QuotaError::UserElsewhere => Cause::UserAllocationsElsewhere,
        QuotaError::All => Cause::AllAllocations,
    })?;
    // RFC 8656 section 19: with 486 no more allocations can be made at the present time. A user that is
    // over the quota has spent nothing here; one that there is no port for has, as the search is what
    // costs.
    rules.rates.allocation(now, quota.meter()).map_err(|_| Cause::UserAllocationRate)?;
    Ok(quota)
}

/// The relays of a new allocation, while they are opened.
struct Opening<'a, 'o, O> {
    now: Tick,
    settings: &'a Settings,
    rules: &'a Rules,
    entry: Entry<'a>,
    outside: &'o mut O,
}

impl<O: Outside> Opening<'_, '_, O> {
    /// Opens the relay that the request is about, with its reservation.
    fn open_first(&mut self, user: &UserId, wanted: &Wanted) -> Result<(), Failure> {
        let full = |detail| Failure::new(ErrorCode::INSUFFICIENT_CAPACITY, detail);
        match wanted.port {
            PortWish::Token(token) => {
                //= 8656-7.2-token-invalid
                let redeemed = self.rules.ports.redeem(token, user, self.now);
                let lease = redeemed.map_err(|_| full("No such reservation"))?;
                self.open_on(lease).map_err(|_| Cause::NoRelayPort.into())
            }
            PortWish::Pool(wish) => {
                self.open(wanted.family, wish)?;
                if wish == Wish::EvenAndNext {
                    self.reserve_next(wanted.family, user)?;
                }
                Ok(())
            }
        }
    }

    //= 8656-7.2-reserve-next
    /// RFC 8656 section 7.2: EVEN-PORT with the R bit reserves the next port or fails.
    fn reserve_next(&mut self, family: Family, user: &UserId) -> Result<(), Failure> {
        let mut token = [0; 8];
        self.outside.random(&mut token);
        let Some(relay) = self.entry.relay(family) else { return Ok(()) };
        if self.rules.ports.reserve_next(&relay.lease, token, user, self.now).is_err() {
            return Err(Cause::NextPort.into());
        }
        self.entry.granted.token = Some(token);
        Ok(())
    }

    /// Leases a port and opens a socket on it, skipping ports that others hold.
    fn open(&mut self, family: Family, wish: Wish) -> Result<(), Failure> {
        if self.settings.relay_address(family).is_none() {
            return Err(Failure::new(ErrorCode::ADDRESS_FAMILY_NOT_SUPPORTED, ""));
        }
        let keep = if self.entry.quota.is_first() { 0 } else { self.ports_to_keep() };
        for _ in 0..PORT_TRIES {
            let mut random = [0; 4];
            self.outside.random(&mut random);
            //= 8656-7.2-random-ports
            let random = u32::from_ne_bytes(random);
            let lease = match self.rules.ports.lease(family, wish, keep, random, self.now) {
                Ok(lease) => lease,
                Err(LeaseError::Kept) => return Err(Cause::KeptPorts.into()),
                Err(LeaseError::Exhausted | LeaseError::UnknownToken) => break,
            };
            match self.open_on(lease) {
                Ok(()) => return Ok(()),
                Err((OpenError::InUse, lease)) => lease.taken_elsewhere(self.now),
                Err((OpenError::Impossible, _)) => break,
            }
        }
        //= 8656-7.2-no-capacity
        Err(Cause::NoRelayPort.into())
    }

    /// Free ports of a family that users with an allocation do not get.
    fn ports_to_keep(&self) -> u32 {
        let percent = self.settings.ports_reserved_percent;
        self.rules.ports.range().len().saturating_mul(percent) / 100
    }

    fn open_on(&mut self, mut lease: PortLease) -> Result<(), (OpenError, PortLease)> {
        let Some(address) = self.settings.relay_address(lease.family()) else {
            return Err((OpenError::Impossible, lease));
        };
        let local = SocketAddr::new(address.local, lease.port());
        let id = self.entry.id();
        let opened = match &self.entry.kind {
            Kind::Udp(_) => self.outside.open_relay(id, local),
            Kind::Tcp(_) => self.outside.open_tcp_relay(id, local),
        };
        let relay = match opened {
            Ok(relay) => relay,
            Err(error) => return Err((error, lease)),
        };
        match &self.entry.kind {
            Kind::Udp(_) => lease.set_live(),
            Kind::Tcp(_) => lease.set_live_for_tcp(),
        }
        let public = SocketAddr::new(address.public, lease.port());
        let is_guest = self.entry.guest.is_some();
        let open = || GuestRelay::open(&self.rules.guests, lease.family(), lease.port());
        let of_guest = is_guest.then(open);
        self.entry.attach(Relay { id: relay, lease, public, local, _of_guest: of_guest });
        Ok(())
    }
}

//= 8656-7.2-success, 8656-7.2-dual, 8489-16.1.2-software-option
/// RFC 8656 section 7.2: the attributes of a success.
fn write_success(allocation: &Allocation, software: bool, writer: &mut Writer<'_>) {
    for relay in allocation.relays().iter().flatten() {
        writer.address(T::XOR_RELAYED_ADDRESS, relay.public);
    }
    if let Some((family, code)) = allocation.granted.address_error {
        //= 8656-18.12-address-error-reserved, 8656-18.12-address-error-reason
        // RFC 8656 section 18.12.
        let number = code.number();
        let value = [family.number(), 0, (number / 100) as u8, (number % 100) as u8];
        writer.attribute(T::ADDRESS_ERROR_CODE, &value);
    }
    writer.lifetime(allocation.granted.lifetime);
    if let Some(token) = allocation.granted.token {
        writer.attribute(T::RESERVATION_TOKEN, &token);
    }
    writer.address(T::XOR_MAPPED_ADDRESS, allocation.client().remote.0);
    if software {
        writer.attribute(T::SOFTWARE, b"taciturn");
    }
}
