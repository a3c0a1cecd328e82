//! The running server in the words of the control protocol.

use std::io;

use super::listeners::Closing;
use super::server_handle::ServerHandle;
use super::unix_time::unix;
use crate::kernel_relay::KernelReport;
use taciturn_control::{
    CertificateSummary, ClosingListener, KernelRelay, PacketCount, PortsUsed, RecordsState,
    ReloadOutcome, Session, Status, TenantStatus, Traffic,
};
use taciturn_net::Snapshot;
use taciturn_records::Totals;
use taciturn_stun::Family;

/// The state of the server, whose workers have counted this.
///
/// # Errors
/// If a worker has ended.
pub(super) async fn status(
    server: &ServerHandle,
    now: &Snapshot,
    tenants: Vec<TenantStatus>,
) -> io::Result<Status> {
    let health = server.health();
    let certificates = server.certificates().chains().into_iter().map(|chain| CertificateSummary {
        names: chain.names().to_vec(),
        expires_at: unix(chain.not_after()),
    });
    let closing = server.closing().await?.into_iter().map(|(listener, clients)| {
        let Closing { name, address, transport, .. } = listener;
        ClosingListener {
            name,
            address: address.to_string(),
            transport: transport.name().to_owned(),
            clients: clients as u64,
        }
    });
    Ok(Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started_at: health.started(),
        ready: health.is_ready(),
        workers: server.workers.number() as u64,
        allocations: now.allocations as u64,
        users: server.quota.users() as u64,
        connections: server.connections.open() as u64,
        relay_ports: u64::from(server.ports.range().len()),
        relay_ports_used: PortsUsed {
            ipv4: u64::from(server.ports.used(Family::V4)),
            ipv6: u64::from(server.ports.used(Family::V6)),
        },
        traffic: relayed(now),
        last_reload: ReloadOutcome {
            succeeded: health.last_reload().taken_up,
            finished_at: health.last_reload().at,
        },
        certificates: certificates.collect(),
        closing_listeners: closing.collect(),
        tenants,
        carried_over: server.carried_over.clone(),
        records: server.recorder.as_ref().and_then(|recorder| records(recorder.totals())),
        kernel_relay: kernel_relay(server.kernel.state()),
    })
}

/// What the kernel relays, if it is wanted.
fn kernel_relay(report: KernelReport) -> Option<KernelRelay> {
    let KernelReport { wanted, attached, trouble, channels, room, refused, relayed, others } =
        report;
    let others = others.into_iter().filter(|(_, packets)| *packets > 0);
    let count = |(reason, packets): (&str, u64)| PacketCount { reason: reason.to_owned(), packets };
    wanted.then(|| KernelRelay {
        attached,
        trouble,
        channels,
        room,
        refused_channels: refused,
        relayed_packets: relayed,
        other_packets: others.map(count).collect(),
    })
}

/// Records that are not where they should be, if there are any.
fn records(Totals { waiting, dropped, trouble, .. }: Totals) -> Option<RecordsState> {
    let dropped = dropped.iter().sum();
    let is_well = waiting == 0 && dropped == 0 && trouble.is_none();
    (!is_well).then_some(RecordsState { waiting, dropped, trouble })
}

/// All that was relayed since the start.
pub(super) fn relayed(now: &Snapshot) -> Traffic {
    let mut relayed = taciturn_turn::Traffic::default();
    now.statistics.relayed.iter().for_each(|traffic| relayed.add(*traffic));
    traffic(relayed)
}

/// An allocation.
pub(super) fn session(session: &taciturn_turn::Session) -> Session {
    Session {
        node: None,
        client: session.client.to_string(),
        transport: session.carrier.name().to_owned(),
        user: session.username.name().to_owned(),
        tenant: session.username.tenant().name().map(str::to_owned),
        relayed_addresses: session.relayed.iter().flatten().map(ToString::to_string).collect(),
        permissions: session.permissions as u64,
        channels: session.channels as u64,
        kernel_channels: session.beside.map(|channels| channels as u64),
        traffic: traffic(session.traffic),
        age_seconds: session.age.as_secs(),
        expires_in_seconds: session.expires_in.as_secs(),
    }
}

pub(super) const fn traffic(relayed: taciturn_turn::Traffic) -> Traffic {
    Traffic {
        bytes_to_peers: relayed.bytes_to_peers,
        bytes_to_clients: relayed.bytes_to_client,
        packets_to_peers: relayed.packets_to_peers,
        packets_to_clients: relayed.packets_to_client,
    }
}
