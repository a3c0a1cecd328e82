//! Allocate (RFC 8656 section 7, RFC 6062 section 5.1).

use std::net::SocketAddr;
use std::time::Duration;

use super::allocation::{Allocation, Foundation, Relay};
use super::authenticate::Proven;
use super::cause::Cause;
use super::mobility::Mobility;
use super::outside::{EndReason, Event, OpenError, Outside};
use super::request::{Answer, Failure, Request};
use super::shard::Shard;
use super::types::{AllocationId, Carrier};
use crate::auth::Grant;
use crate::clock::Now;
use crate::policy::{LeaseError, PortLease, QuotaError, Wish, is_tunnelled};
use crate::user::UserId;
use taciturn_stun::{AttributeType as T, ErrorCode, Family, Writer};

/// RFC 8656 section 3.2: the default lifetime, and the shortest that is granted.
//= 8656-6-lifetime-600
pub(super) const DEFAULT_LIFETIME: u32 = 600;

/// The protocol number of UDP in REQUESTED-TRANSPORT.
const UDP: u8 = 17;

/// That of TCP.
const TCP: u8 = 6;

/// How many ports are tried when others hold them.
const PORT_TRIES: u32 = 32;

/// What an Allocate request asks for, checked.
struct Wanted {
    tcp: bool,
    mobile: bool,
    family: Family,
    additional: bool,
    port: PortWish,
    lifetime: u32,
}

#[derive(Clone, Copy)]
enum PortWish {
    Pool(Wish),
    Token([u8; 8]),
}

impl Shard {
    pub(super) fn allocate(
        &mut self,
        request: &Request<'_>,
        proven: Proven,
        writer: &mut Writer<'_>,
        outside: &mut impl Outside,
    ) -> Answer {
        if let Some((index, allocation)) = self.allocation_of(&request.client) {
            //= 8489-6.3.1-retransmissions
            // RFC 8489 section 6.3.1: a retransmission gets the same answer. Anything else on a
            // 5-tuple in use is a mismatch (RFC 8656 section 7.2, step 2).
            //= 8656-7.2-retransmission
            let is_repeated = allocation.made_by == request.message.transaction_id();
            if is_repeated && proven.made(allocation, &self.rules.authenticator) {
                write_success(allocation, self.settings.software, writer);
                self.write_ticket(index, writer, outside);
                return Ok(());
            }
            //= 8656-7.2-in-use
            let detail = "This 5-tuple has an allocation";
            return Err(Failure::new(ErrorCode::ALLOCATION_MISMATCH, detail));
        }
        let Some(grant) = proven.grant else {
            return Err(Failure::new(ErrorCode::SERVER_ERROR, ""));
        };
        let wanted = self.wanted(request)?;
        // What is reserved here can only be had here.
        if let PortWish::Pool(_) = wanted.port {
            self.redirected(request, proven.signature.sha256, outside)?;
            if self.draining {
                return Err(Cause::Draining.into());
            }
            if self.retired.contains(&request.client.via.listener()) {
                return Err(Cause::RetiredListener.into());
            }
        }
        let user = grant.user.clone();
        let lifetime = self.granted_lifetime(wanted.lifetime, grant.expires, request.now.unix);
        let id = self.found(request, grant, lifetime, &wanted)?;

        let first = self.open_first(request.now, id, &user, &wanted, outside);
        let second = match wanted.port {
            PortWish::Pool(wish) if wanted.additional => {
                let second = self.open(request.now, id, Family::V6, wish, outside);
                Some(second.map_err(|failure| failure.code()))
            }
            _ => None,
        };
        //= 8656-7.2-half-of-two
        // RFC 8656 section 7.2: half of a dual allocation is better than none, whichever half.
        let address_error = match (first, second) {
            (Ok(()), None | Some(Ok(()))) => None,
            (Ok(()), Some(Err(code))) => Some((Family::V6, code)),
            (Err(failure), Some(Ok(()))) => Some((Family::V4, failure.code())),
            (Err(failure), None | Some(Err(_))) => {
                // Gives back what was taken. An allocation that never was is not worth a line.
                self.end(request.now.tick, id.index, EndReason::Released, outside);
                return Err(failure);
            }
        };
        let Some(allocation) = self.allocations.get_mut(id.index as usize) else {
            return Err(Failure::new(ErrorCode::SERVER_ERROR, ""));
        };
        allocation.granted = lifetime;
        allocation.carrier =
            Carrier::of(allocation.client.via, outside.is_secure(allocation.client));
        allocation.address_error = address_error;
        if wanted.mobile {
            let (username, expires) = (&allocation.username, allocation.expires);
            let registration = self.rules.mobile.register(username, self.number, id, expires);
            allocation.mobility = Some(Mobility::new(registration));
        }
        write_success(allocation, self.settings.software, writer);
        self.write_ticket(id.index, writer, outside);
        let Some(allocation) = self.allocations.get(id.index as usize) else { return Ok(()) };
        if let Some(relayed) = allocation.relayed() {
            outside.event(Event::Allocated {
                client: allocation.client,
                user: &allocation.username,
                relayed,
                lifetime: Duration::from_secs(u64::from(lifetime)),
            });
        }
        Ok(())
    }

    /// RFC 8656 section 7.2, steps 3 to 8.
    fn wanted(&self, request: &Request<'_>) -> Result<Wanted, Failure> {
        let bad = |detail| Failure::new(ErrorCode::BAD_REQUEST, detail);
        let message = request.message;
        // RFC 8656 section 21.4. Without an allocation there are no channels either.
        //= 8656-21.4-teredo-and-6to4
        if is_tunnelled(request.client.remote.0.ip()) {
            let detail = "Teredo and 6to4 addresses are not served";
            return Err(Failure::new(ErrorCode::FORBIDDEN, detail));
        }
        let tcp = match message.requested_transport()? {
            //= 8656-7.2-transport-missing
            None => return Err(bad("REQUESTED-TRANSPORT is missing")),
            Some(UDP) => false,
            Some(TCP) if self.settings.tcp_relay => true,
            //= 8656-7.2-transport-unsupported
            Some(_) => return Err(Failure::new(ErrorCode::UNSUPPORTED_TRANSPORT, "")),
        };
        let (even, token) = (message.even_port()?, message.reservation_token()?);
        if tcp && !request.client.via.is_tcp() {
            return Err(bad("An allocation for TCP is made over TCP or TLS"));
        }
        if tcp && (even.is_some() || token.is_some() || message.dont_fragment()) {
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
        let served = |family: &Family| self.settings.relay_addresses[*family as usize].is_some();
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
        let mobile = self.wants_mobility(request, tcp)?;
        Ok(Wanted { tcp, mobile, family, additional: additional.is_some(), port, lifetime })
    }

    //= 8656-7.2-lifetime
    /// RFC 8656 section 7.2: never shorter than the default, never longer than the maximum; with
    /// `strict_expiry` never beyond the credential.
    pub(super) fn granted_lifetime(&self, wanted: u32, expires: Option<u64>, unix: u64) -> u32 {
        let longest = u32::try_from(self.settings.max_lifetime.as_secs()).unwrap_or(u32::MAX);
        let granted = wanted.clamp(DEFAULT_LIFETIME, longest.max(DEFAULT_LIFETIME));
        match expires {
            Some(expires) if self.rules.authenticator.strict_expiry() => {
                let left = u32::try_from(expires.saturating_sub(unix)).unwrap_or(u32::MAX);
                granted.min(left.max(1))
            }
            _ => granted,
        }
    }

    /// Makes an allocation without relays, if the user may have one more.
    fn found(
        &mut self,
        request: &Request<'_>,
        grant: Grant,
        lifetime: u32,
        wanted: &Wanted,
    ) -> Result<AllocationId, Failure> {
        //= 8656-7.2-quota-by-user
        // RFC 8656 section 7.2, step 9: 486 is about the user, 508 about the server.
        let quota =
            self.rules.quota.take(&grant.user, request.now.tick).map_err(|why| match why {
                QuotaError::User => Cause::UserAllocations,
                QuotaError::All => Cause::AllAllocations,
            })?;
        // RFC 8656 section 19: with 486 no more allocations can be made at the present time. Who is
        // over the quota has spent nothing here; for whom there is no port has, as the search is what
        // costs.
        let admitted = self.rules.rates.allocation(request.now.tick, quota.meter());
        admitted.map_err(|_| Cause::UserAllocationRate)?;
        let foundation = Foundation {
            client: request.client,
            username: grant.username,
            key: grant.key,
            credential_expires: grant.expires,
            origin: grant.origin,
            quota,
            made_by: request.message.transaction_id(),
            tcp: wanted.tcp,
        };
        let now = request.now.tick;
        let expires = now + Duration::from_secs(u64::from(lifetime));
        Ok(self.insert(|generation| Allocation::new(foundation, generation, now, expires)))
    }

    /// Opens the relay that the request is about, with its reservation.
    fn open_first(
        &mut self,
        now: Now,
        id: AllocationId,
        user: &UserId,
        wanted: &Wanted,
        outside: &mut impl Outside,
    ) -> Result<(), Failure> {
        let full = |detail| Failure::new(ErrorCode::INSUFFICIENT_CAPACITY, detail);
        match wanted.port {
            PortWish::Token(token) => {
                //= 8656-7.2-token-invalid
                let lease = self
                    .rules
                    .ports
                    .redeem(token, user, now.tick)
                    .map_err(|_| full("No such reservation"))?;
                self.open_on(id, lease, outside).map_err(|_| Cause::NoRelayPort.into())
            }
            PortWish::Pool(wish) => {
                self.open(now, id, wanted.family, wish, outside)?;
                if wish == Wish::EvenAndNext {
                    self.reserve_next(now, id, wanted.family, user, outside)?;
                }
                Ok(())
            }
        }
    }

    //= 8656-7.2-reserve-next
    /// RFC 8656 section 7.2: EVEN-PORT with the R bit reserves the next port or fails.
    fn reserve_next(
        &mut self,
        now: Now,
        id: AllocationId,
        family: Family,
        user: &UserId,
        outside: &mut impl Outside,
    ) -> Result<(), Failure> {
        let mut token = [0; 8];
        outside.random(&mut token);
        let Some(allocation) = self.allocations.get_mut(id.index as usize) else { return Ok(()) };
        let Some(relay) = allocation.relay(family) else { return Ok(()) };
        if self.rules.ports.reserve_next(&relay.lease, token, user, now.tick).is_err() {
            return Err(Cause::NextPort.into());
        }
        allocation.token = Some(token);
        Ok(())
    }

    /// Leases a port and opens a socket on it, skipping ports that others hold.
    fn open(
        &mut self,
        now: Now,
        id: AllocationId,
        family: Family,
        wish: Wish,
        outside: &mut impl Outside,
    ) -> Result<(), Failure> {
        if self.settings.relay_addresses[family as usize].is_none() {
            return Err(Failure::new(ErrorCode::ADDRESS_FAMILY_NOT_SUPPORTED, ""));
        }
        let is_first = self.allocations.get(id.index as usize).is_some_and(|a| a.quota.is_first());
        let keep = if is_first { 0 } else { self.ports_to_keep() };
        for _ in 0..PORT_TRIES {
            let mut random = [0; 4];
            outside.random(&mut random);
            //= 8656-7.2-random-ports
            let random = u32::from_ne_bytes(random);
            let lease = match self.rules.ports.lease(family, wish, keep, random, now.tick) {
                Ok(lease) => lease,
                Err(LeaseError::Kept) => return Err(Cause::KeptPorts.into()),
                Err(LeaseError::Exhausted | LeaseError::UnknownToken) => break,
            };
            match self.open_on(id, lease, outside) {
                Ok(()) => return Ok(()),
                Err((OpenError::InUse, lease)) => lease.taken_elsewhere(now.tick),
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

    fn open_on(
        &mut self,
        id: AllocationId,
        mut lease: PortLease,
        outside: &mut impl Outside,
    ) -> Result<(), (OpenError, PortLease)> {
        let family = lease.family();
        let Some(address) = self.settings.relay_addresses[family as usize] else {
            return Err((OpenError::Impossible, lease));
        };
        let local = SocketAddr::new(address.local, lease.port());
        let tcp = self.tcp_mut(id.index).is_some();
        let opened =
            if tcp { outside.open_tcp_relay(id, local) } else { outside.open_relay(id, local) };
        match opened {
            Ok(relay) => {
                if tcp {
                    lease.set_live_for_tcp()
                } else {
                    lease.set_live()
                }
                let public = SocketAddr::new(address.public, lease.port());
                self.attach(id.index, family, Relay { id: relay, lease, public, local });
                Ok(())
            }
            Err(error) => Err((error, lease)),
        }
    }
}

//= 8656-7.2-success
/// RFC 8656 section 7.2: the attributes of a success.
//= 8656-7.2-dual
//= 8489-16.1.2-software-option
fn write_success(allocation: &Allocation, software: bool, writer: &mut Writer<'_>) {
    for relay in allocation.relays.iter().flatten() {
        writer.address(T::XOR_RELAYED_ADDRESS, relay.public);
    }
    if let Some((family, code)) = allocation.address_error {
        //= 8656-18.12-address-error-reserved, 8656-18.12-address-error-reason
        // RFC 8656 section 18.12.
        let number = code.number();
        let value = [family.number(), 0, (number / 100) as u8, (number % 100) as u8];
        writer.attribute(T::ADDRESS_ERROR_CODE, &value);
    }
    writer.lifetime(allocation.granted);
    if let Some(token) = allocation.token {
        writer.attribute(T::RESERVATION_TOKEN, &token);
    }
    writer.address(T::XOR_MAPPED_ADDRESS, allocation.client.remote.0);
    if software {
        writer.attribute(T::SOFTWARE, b"taciturn");
    }
}
