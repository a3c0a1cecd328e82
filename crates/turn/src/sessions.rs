//! The allocations as an operator sees and ends them.

use std::net::SocketAddr;
use std::time::Duration;

use super::allocations::Allocation;
use super::clock::Tick;
use super::context::Context;
use super::effects::Outside;
use super::endings::end;
use super::event::EndReason;
use super::parts::Parts;
use super::tenant::TenantName;
use super::traffic::Traffic;
use super::types::{AllocationId, Carrier, Client, ClientAddr, Via};
use super::user::UserId;

/// How many places of its table a shard looks at in one go, so that packets do not wait.
const PLACES: usize = 256;

/// An allocation as an operator sees it.
#[derive(Clone, Debug)]
pub struct Session {
    /// Whose.
    pub client: ClientAddr,
    /// The same client, with the way that its packets come by.
    pub from: Client,
    /// What carries its packets.
    pub carrier: Carrier,
    /// The USERNAME, in its realm.
    pub username: UserId,
    /// The relayed transport addresses: IPv4 and IPv6.
    pub relayed: [Option<SocketAddr>; 2],
    /// Addresses that it has permissions for.
    pub permissions: usize,
    /// Channels.
    pub channels: usize,
    /// How many of them are relayed beside the shard ([`DataPath`](super::effects::DataPath)). A shard does not know: who
    /// relays them fills it in.
    pub beside: Option<usize>,
    /// What it has relayed.
    pub traffic: Traffic,
    /// How long ago a datagram was relayed for it, or it was made.
    pub idle: Duration,
    /// How long it has lived.
    pub age: Duration,
    /// How long it will, unless refreshed.
    pub expires_in: Duration,
}

/// Which allocations are meant: those that every given part fits.
#[derive(Clone, Debug, Default)]
pub struct Whose {
    /// The USERNAME, or the stable name in one of the REST scheme, in any realm.
    pub user: Option<String>,
    /// The client's address.
    pub client: Option<SocketAddr>,
    /// The tenant. Without it, those of all tenants.
    pub tenant: Option<TenantName>,
}

/// Some allocations, and the place to go on from; `None` after the last.
pub(super) fn sessions(
    parts: &Parts,
    now: Tick,
    whose: &Whose,
    from: usize,
) -> (Vec<Session>, Option<usize>) {
    let mut sessions = Vec::new();
    for (looked_at, (place, allocation)) in parts.allocations.starting_at(from).enumerate() {
        if looked_at == PLACES {
            return (sessions, Some(place));
        }
        if is_of(allocation, whose) {
            sessions.push(session(allocation, now));
        }
    }
    (sessions, None)
}

fn session(allocation: &Allocation, now: Tick) -> Session {
    Session {
        client: allocation.client().remote,
        from: allocation.client(),
        carrier: allocation.carrier,
        username: allocation.username.clone(),
        relayed: allocation.relays().each_ref().map(|relay| relay.as_ref().map(|r| r.public)),
        permissions: allocation.permissions().addresses().count(),
        channels: allocation.udp().map_or(0, |udp| udp.channels().len()),
        beside: None,
        traffic: allocation.traffic,
        idle: now.since(allocation.active),
        age: now.since(allocation.since),
        expires_in: allocation.expires().since(now),
    }
}

/// Ends allocations that are at least so old. Returns how many.
pub(super) fn kick<O: Outside>(cx: &mut Context<'_, O>, whose: &Whose, age: Duration) -> usize {
    let now = cx.now.tick;
    let is_meant = |id: &AllocationId| {
        cx.parts.allocations.get(*id).is_some_and(|allocation| {
            is_of(allocation, whose) && now.since(allocation.since) >= age
        })
    };
    let meant: Vec<_> = cx.parts.allocations.ids().into_iter().filter(is_meant).collect();
    for id in &meant {
        end(cx, *id, EndReason::Kicked);
    }
    meant.len()
}

/// How many allocations clients have that send plain datagrams to a listening socket.
pub(super) fn udp_clients_of_listener(parts: &Parts, listener: u16) -> usize {
    parts.allocations.clients().filter(|(client, _)| client.via == Via::Udp(listener)).count()
}

/// The listener is gone, with its number: the next one of that number is another.
pub(super) fn close_listener<O: Outside>(cx: &mut Context<'_, O>, listener: u16) {
    let clients = cx.parts.allocations.clients();
    let of_it = clients.filter(|(client, _)| client.via.listener() == listener);
    let left: Vec<_> = of_it.map(|(_, id)| id).collect();
    for id in left {
        end(cx, id, EndReason::Shutdown);
    }
    let Parts { number, rules, intake, moves, .. } = &mut *cx.parts;
    for client in moves.of_listener(listener) {
        moves.cancel(&client, &rules.mobile, *number);
    }
    intake.restore(listener);
}

fn is_of(allocation: &Allocation, whose: &Whose) -> bool {
    let of_user = |user: &String| {
        allocation.username.name() == user || allocation.quota.user().name() == user
    };
    let Whose { user, client, tenant } = whose;
    user.as_ref().is_none_or(of_user)
        && tenant.as_ref().is_none_or(|tenant| allocation.username.tenant() == tenant)
        && client.is_none_or(|client| allocation.client().remote.0 == client)
}
