//! What this server answers when the nodes of its fleet are asked.

use std::io;
use std::time::Duration;

use tokio::time::timeout;

use super::answers;
use super::overview::latest;
use super::server_handle::ServerHandle;
use super::tenants::of_tenant;
use taciturn_control::{MOST_NODE_SESSIONS, NodeAnswer, NodeStatus, PortsUsed, TenantStatus};
use taciturn_stun::Family;
use taciturn_turn::Whose;

/// Time limit for the workers. A healthy one takes milliseconds, and who asks waits for less than a second.
const WORKER_TIME: Duration = Duration::from_millis(700);

/// The state of this server, which is called `node` in its fleet, and some of its sessions: up to `most`, and only those
/// of a user or a tenant if one is given. Of a tenant the state is what that has.
///
/// # Errors
/// If a worker has ended, or hangs.
pub async fn node_answer(
    server: &ServerHandle,
    node: &str,
    most: usize,
    whose: &Whose,
) -> io::Result<NodeAnswer> {
    timeout(WORKER_TIME, answer(server, node, most.min(MOST_NODE_SESSIONS), whose)).await?
}

async fn answer(
    server: &ServerHandle,
    node: &str,
    most: usize,
    whose: &Whose,
) -> io::Result<NodeAnswer> {
    let now = server.workers.count().await?;
    let (listed, left_out) = match most {
        0 => (Vec::new(), 0),
        most => {
            let (latest, there_are) = latest(server, whose, most).await?;
            let left_out = there_are.saturating_sub(latest.len());
            (latest.iter().map(answers::session).collect(), left_out)
        }
    };
    let status = NodeStatus {
        node: node.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started_at: server.health().started(),
        ready: server.health().is_ready(),
        allocations: now.allocations as u64,
        users: server.quota.users() as u64,
        connections: server.connections.open() as u64,
        relay_ports: u64::from(server.ports.range().len()),
        relay_ports_used: PortsUsed {
            ipv4: u64::from(server.ports.used(Family::V4)),
            ipv6: u64::from(server.ports.used(Family::V6)),
        },
        traffic: answers::relayed(&now),
        sessions_left_out: left_out as u64,
        tenant: None,
    };
    let status = match &whose.tenant {
        Some(tenant) => part_of(status, of_tenant(server, &now, tenant)),
        None => status,
    };
    Ok(NodeAnswer { status, sessions: listed })
}

/// What of the state is a tenant's.
fn part_of(status: NodeStatus, has: TenantStatus) -> NodeStatus {
    let TenantStatus { name, allocations, users, relay_ports, relay_ports_used, traffic } = has;
    NodeStatus {
        tenant: Some(name),
        allocations,
        users,
        connections: 0,
        relay_ports,
        relay_ports_used,
        traffic,
        ..status
    }
}
