//! A shard and its rules, as another process had them.
//!
//! What is restored was checked when it was read. What still stands in the way of an allocation is outside of
//! the snapshot: time that has passed, a socket that was not handed over, another configuration. Then this
//! allocation is left out, and its ports rest as if it had ended here.

use std::sync::Arc;

use super::accounting::Account;
use super::allocations::{Entry, Loose, Mobility, PeerConnection, Presence, Relay, Stage};
use super::announcing::announce;
use super::clock::{Remaining, TakeOver, Tick};
use super::connection_ids::{ConnectionIds, IdTicket, Unbound};
use super::context::Context;
use super::effects::{Adoption, Outside, PeerStage};
use super::endings::{close_all_of, end};
use super::event::{EndReason, Event, UsageRecord};
use super::mobile_allocations::MobileId;
use super::parked::{Answered, ParkedRequest, Resumed};
use super::parts::Parts;
use super::policy::{PortLease, StreamLimit};
use super::reload::{Removed, removed, withdraw_refused};
use super::reply::ReplyForm;
use super::restored::{LeftOut, Restored};
use super::rules::Rules;
use super::settings::Settings;
use super::snapshot::records::{
    AllocationRecord, KindRecord, MobilityRecord, PeerConnectionRecord, RelayRecord, SharedRecord,
    StageRecord,
};
use super::snapshot::{Share, SharedSnapshot};
use super::ticket::TicketKey;
use super::types::{AllocationId, Carrier, Client};
use taciturn_stun::ErrorCode;

impl Rules {
    /// Takes over what another process knew: nonces and tickets that it has given out stay good, ports that
    /// rested or were reserved there are so here, and what users have spent is spent. Before any shard is made
    /// with these rules, for the key of the tickets is replaced.
    pub fn restore(&mut self, SharedSnapshot(shared): SharedSnapshot, there: &TakeOver) {
        let SharedRecord {
            nonces,
            ticket_key,
            last_mobile,
            ports,
            spent,
            spent_in_all,
            spent_by_tenants,
        } = shared;
        self.nonces.restore(nonces, there);
        self.tickets = Arc::new(TicketKey::new(ticket_key.0));
        self.mobile.restore_last(last_mobile);
        self.ports.restore(&ports, there);
        self.quota.restore_spent(&spent, there);
        self.quota.restore_spent_by_tenants(&spent_by_tenants, there);
        self.rates.all().restore(&spent_in_all, there);
    }
}

/// Restores the part of a snapshot that is this shard's.
pub(super) fn restore<O: Outside + Adoption>(
    cx: &mut Context<'_, O>,
    share: Share,
    there: &TakeOver,
) -> Restored {
    let Share { allocations, moves, ended } = share;
    let mut restored = Restored::default();
    for (record, client) in allocations {
        match restore_allocation(cx, &record, client, there) {
            Ok(()) => restored.allocations += 1,
            Err(why) => {
                leave_out(cx, &record, why, there);
                restored.count(why);
            }
        }
    }
    let Parts { allocations, moves: expected, ended: known, .. } = &mut *cx.parts;
    for record in moves {
        if !allocations.has(&record.client) {
            expected.restore(record.client, MobileId(record.mobile));
        }
    }
    known.restore(ended, there);
    restored
}

fn restore_allocation<O: Outside + Adoption>(
    cx: &mut Context<'_, O>,
    record: &AllocationRecord,
    client: Option<Client>,
    there: &TakeOver,
) -> Result<(), LeftOut> {
    let client = check_client(cx.parts, record, client)?;
    check_time(record, there)?;
    let leases = lease(&cx.parts.settings, &cx.parts.rules, record, there)?;
    let id = insert(cx, record, client, there)?;
    if !adopt_relays(cx, id, leases) {
        if let Some(mut allocation) = cx.parts.allocations.remove(id) {
            close_all_of(cx, &mut allocation);
        }
        return Err(LeftOut::RelaySocket);
    }
    adopt_connections(cx, id, record, there);
    if let Some(mut entry) = cx.parts.allocations.find(id)
        && entry.account.is_none()
    {
        // The process before this one has kept no records: the first one has all that it has relayed.
        let began = cx.now.unix.saturating_sub(cx.now.tick.since(entry.since).as_secs());
        entry.open_account(cx.parts.rules.session_ids.as_deref(), began, cx.now.tick);
    }
    // The configuration may be another one by now.
    if removed(cx.parts, id) == Some(Removed::Ends) {
        end(cx, id, EndReason::CredentialRemoved);
        return Err(LeftOut::CredentialRemoved);
    }
    withdraw_refused(cx, id);
    announce(cx, id);
    Ok(())
}

fn check_time(record: &AllocationRecord, there: &TakeOver) -> Result<(), LeftOut> {
    if record.mobility().is_some_and(|mobility| mobility.released) {
        return Err(LeftOut::Released);
    }
    match there.left(record.left()).is_over() {
        true => Err(LeftOut::Expired),
        false => Ok(()),
    }
}

/// The client that the allocation is for from now on; `None` while it is away.
fn check_client(
    parts: &Parts,
    record: &AllocationRecord,
    client: Option<Client>,
) -> Result<Option<Client>, LeftOut> {
    let mobile = record.mobility().map(|mobility| MobileId(mobility.id));
    if mobile.is_some_and(|mobile| parts.rules.mobile.serial(mobile).is_some()) {
        return Err(LeftOut::Duplicate);
    }
    match client {
        None if record.mobility().is_none() => Err(LeftOut::ClientGone),
        Some(client) if parts.allocations.has(&client) => Err(LeftOut::ClientTaken),
        client => Ok(client),
    }
}

/// Leases the ports of an allocation, or none of them.
fn lease(
    settings: &Settings,
    rules: &Rules,
    record: &AllocationRecord,
    there: &TakeOver,
) -> Result<Vec<(RelayRecord, PortLease)>, LeftOut> {
    let lease = |relay: RelayRecord| {
        let address = settings.relay_address(relay.lease.family).ok_or(LeftOut::RelayAddress)?;
        if (address.public, address.local) != (relay.public.ip(), relay.local.ip()) {
            return Err(LeftOut::RelayAddress);
        }
        let lease = rules.ports.restore_lease(&relay.lease, there).ok_or(LeftOut::RelayPort)?;
        Ok((relay, lease))
    };
    record.relays.into_iter().flatten().map(lease).collect()
}

/// Puts an allocation into the tables, still without relays.
fn insert<O: Outside>(
    cx: &mut Context<'_, O>,
    record: &AllocationRecord,
    client: Option<Client>,
    there: &TakeOver,
) -> Result<AllocationId, LeftOut> {
    let Parts { number, rules, allocations, statistics, .. } = &mut *cx.parts;
    let presence = if client.is_some() { Presence::There } else { Presence::Away };
    let register = |record_of: &MobilityRecord| {
        let registered = rules.mobile.restore(&record.username, *number, record_of, there);
        registered.map(|registration| Mobility::restore(registration, presence))
    };
    let mobility = match record.mobility() {
        Some(mobility) => Some(register(mobility).ok_or(LeftOut::Duplicate)?),
        None => None,
    };
    let mobile = mobility.as_ref().map(Mobility::id);
    let carrier = match client {
        Some(client) => Carrier::of(client.via, cx.outside.is_secure(client)),
        None => record.carrier,
    };
    let slot = statistics.tenants.slot(record.username.tenant());
    let client = (client.unwrap_or(record.client), carrier, slot);
    let own = (rules.quota.restore(&record.quota), mobility);
    let id = allocations.insert(Loose::restore(record, client, own, there)).id();
    if let Some(mobile) = mobile {
        rules.mobile.land(mobile, *number, id);
    }
    Ok(id)
}

/// Gives an allocation its relays. Returns whether the socket of each was handed over.
fn adopt_relays<O: Outside + Adoption>(
    cx: &mut Context<'_, O>,
    id: AllocationId,
    leases: Vec<(RelayRecord, PortLease)>,
) -> bool {
    let Some(mut entry) = cx.parts.allocations.find(id) else { return false };
    let is_tcp = entry.tcp().is_some();
    let mut all = true;
    for (RelayRecord { lease: _, public, local }, mut lease) in leases {
        let adopted = match is_tcp {
            true => cx.outside.adopt_tcp_relay(id, local),
            false => cx.outside.adopt_relay(id, local),
        };
        let Some(socket) = adopted else {
            all = false;
            continue;
        };
        match is_tcp {
            true => lease.set_live_for_tcp(),
            false => lease.set_live(),
        }
        entry.attach(Relay { id: socket, lease, public, local, _of_guest: None });
    }
    all
}

/// Gives a TCP allocation the peer connections that were handed over. Who waits for one of the others is
/// told that it has failed.
fn adopt_connections<O: Outside + Adoption>(
    cx: &mut Context<'_, O>,
    id: AllocationId,
    record: &AllocationRecord,
    there: &TakeOver,
) {
    let KindRecord::Tcp { connections } = &record.kind else { return };
    let Parts { rules, allocations, resumed, .. } = &mut *cx.parts;
    let Some(mut entry) = allocations.find(id) else { return };
    for known in connections {
        let limit = StreamLimit::new(&rules.rates, &entry.meter, &entry.quota);
        let adopt = |stage| cx.outside.adopt_peer(id, known.id, stage, limit);
        adopt_connection(&rules.connection_ids, &mut entry, known, adopt, resumed, there);
    }
}

fn adopt_connection(
    ids: &Arc<ConnectionIds>,
    entry: &mut Entry<'_>,
    known: &PeerConnectionRecord,
    adopt: impl FnOnce(PeerStage) -> bool,
    resumed: &mut Resumed,
    there: &TakeOver,
) {
    let peer = known.peer;
    let take = |left: Option<Remaining>, stage| -> Option<IdTicket> {
        let lives = left.is_none_or(|left| !there.left(left).is_over());
        let ticket = ids.restore(known.id).filter(|_| lives)?;
        adopt(stage).then_some(ticket)
    };
    match &known.stage {
        StageRecord::Connecting { request, left } => {
            let form = ReplyForm::restore(request);
            let answered = Answered { client: entry.client(), user: entry.username.clone(), form };
            let request = ParkedRequest::Answered(Box::new(answered));
            match take(Some(*left), PeerStage::Connecting) {
                None => resumed.resume(request, Err(ErrorCode::CONNECTION_TIMEOUT)),
                Some(ticket) => {
                    let stage = Stage::Connecting { request, until: there.deadline(*left) };
                    entry.add_connection(PeerConnection { ticket, peer, stage });
                }
            }
        }
        StageRecord::Unbound { left } => {
            if let Some(ticket) = take(Some(*left), PeerStage::Unbound) {
                let (username, key) = (entry.username.clone(), entry.key.clone());
                ticket.offer(Unbound { username, key, peer });
                let stage = Stage::Unbound { until: there.deadline(*left) };
                entry.add_connection(PeerConnection { ticket, peer, stage });
            }
        }
        StageRecord::Bound => {
            if let Some(ticket) = take(None, PeerStage::Bound) {
                entry.add_connection(PeerConnection { ticket, peer, stage: Stage::Bound });
            }
        }
    }
}

/// Has the ports of an allocation rest that is not restored, and says that it has ended.
fn leave_out<O: Outside>(
    cx: &mut Context<'_, O>,
    record: &AllocationRecord,
    why: LeftOut,
    there: &TakeOver,
) {
    let Some(reason) = end_reason(cx, record, why) else { return };
    let ended = match why {
        LeftOut::Expired => there.moment(record.left()),
        _ => there.now,
    };
    for relay in record.relays.iter().flatten() {
        if let Some(lease) = cx.parts.rules.ports.restore_lease(&relay.lease, there) {
            lease.retire(ended);
        }
    }
    if let Some(relayed) = record.relayed() {
        cx.outside.event(Event::Ended {
            client: record.client,
            user: &record.username,
            relayed,
            traffic: record.traffic,
            lived: ended.since(there.beginning(record.age)),
            reason,
            record: last_record(record, reason, ended, there).map(Box::new),
        });
    }
}

/// The last record of the use of an allocation that is left out.
fn last_record(
    record: &AllocationRecord,
    reason: EndReason,
    ended: Tick,
    there: &TakeOver,
) -> Option<UsageRecord> {
    let account = record.account.0.as_ref()?;
    let mut account = Account::restore(account, record.relayed_addresses(), there);
    Some(UsageRecord {
        accounted: account.record(ended, record.traffic),
        client: record.client.remote,
        carrier: record.carrier,
        username: record.username.clone(),
        user: record.quota.clone(),
        total: record.traffic,
        lived: ended.since(there.beginning(record.age)),
        ended: Some(reason),
    })
}

/// What is said of an allocation that is left out; `None` where it has not ended, or that was said already.
fn end_reason<O>(
    cx: &Context<'_, O>,
    record: &AllocationRecord,
    why: LeftOut,
) -> Option<EndReason> {
    match why {
        LeftOut::Duplicate | LeftOut::CredentialRemoved => None,
        LeftOut::Released => Some(EndReason::Released),
        LeftOut::ClientGone => Some(EndReason::Disconnected),
        LeftOut::Expired => {
            let strict = cx.parts.rules.authenticator.strict_expiry();
            let over = record.credential_expires.is_some_and(|expires| expires <= cx.now.unix);
            Some(if strict && over { EndReason::CredentialExpired } else { EndReason::Expired })
        }
        LeftOut::ClientTaken
        | LeftOut::RelayAddress
        | LeftOut::RelayPort
        | LeftOut::RelaySocket => Some(EndReason::NotRestored),
    }
}
