//! The metrics as text, in the form that Prometheus reads (exposition format 0.0.4).
//!
//! No label names a user or a client: their number has no bound.

use std::fmt::{Display, Write as _};
use std::time::UNIX_EPOCH;

use super::ice::IceRefusal;
use super::keys::peer_rule;
use super::server_handle::{DatabaseState, ServerHandle};
use super::tenants::tenants;
use crate::kernel_relay::KernelReport;
use taciturn_control::TenantStatus;
use taciturn_net::{Counts, Snapshot};
use taciturn_records::{Dropped, Recorder, Totals};
use taciturn_stun::Family;
use taciturn_turn::auth::{NonceError, SecretHash};
use taciturn_turn::{Carrier, DropReason};

/// Writes all of them.
pub(super) fn page(server: &ServerHandle, now: &Snapshot) -> String {
    let mut page = Page::default();
    relayed(&mut page, now);
    happened(&mut page, now);
    held(&mut page, server, now);
    by_tenant(&mut page, &tenants(server, now));
    process(&mut page, server);
    kernel(&mut page, &server.kernel.state());
    page.0
}

fn relayed(page: &mut Page, now: &Snapshot) {
    let by_carrier = || Carrier::ALL.into_iter().zip(now.statistics.relayed);
    page.family("taciturn_relayed_bytes_total", COUNTER, "Application data relayed, in bytes.");
    for (carrier, traffic) in by_carrier() {
        for (direction, bytes) in
            [("to_peer", traffic.bytes_to_peers), ("to_client", traffic.bytes_to_client)]
        {
            page.sample(&[("transport", carrier.name()), ("direction", direction)], bytes);
        }
    }
    page.family("taciturn_relayed_packets_total", COUNTER, "Packets relayed.");
    for (carrier, traffic) in by_carrier() {
        for (direction, packets) in
            [("to_peer", traffic.packets_to_peers), ("to_client", traffic.packets_to_client)]
        {
            page.sample(&[("transport", carrier.name()), ("direction", direction)], packets);
        }
    }
    page.family("taciturn_dropped_packets_total", COUNTER, "Packets dropped, by reason.");
    for (reason, count) in DropReason::ALL.into_iter().zip(now.statistics.dropped) {
        page.sample(&[("reason", reason.name())], count);
    }
    let help = "Packets to clients and peers that could not be sent, by reason.";
    page.family("taciturn_unsent_packets_total", COUNTER, help);
    for (loss, count) in now.unsent.iter() {
        page.sample(&[("reason", loss.name())], count);
    }
    let help = "Datagrams dropped because the receive buffer of their socket was full.";
    page.family("taciturn_overflowed_datagrams_total", COUNTER, help);
    for (socket, count) in
        [("listener", now.overflowed.listeners), ("relay", now.overflowed.relays)]
    {
        page.sample(&[("socket", socket)], count);
    }
}

fn kernel(page: &mut Page, report: &KernelReport) {
    let help = "Interfaces on which the kernel relays channels. 0: the sockets relay everything.";
    page.family("taciturn_kernel_relay_interfaces", GAUGE, help);
    page.sample(&[], report.attached.len());
    page.family("taciturn_kernel_relay_channels", GAUGE, "Channels that the kernel relays.");
    page.sample(&[], report.channels);
    let help = "Channels that found no room in the kernel, and are relayed by the sockets.";
    page.family("taciturn_kernel_relay_refused_channels_total", COUNTER, help);
    page.sample(&[], report.refused);
    let help =
        "Packets that the kernel has relayed. They are among taciturn_relayed_packets_total.";
    page.family("taciturn_kernel_relay_packets_total", COUNTER, help);
    page.sample(&[], report.relayed);
    let help = "Packets of such channels that the kernel has not relayed, by reason. The sockets relay them, but for dropped ones.";
    page.family("taciturn_kernel_relay_other_packets_total", COUNTER, help);
    for (reason, packets) in &report.others {
        page.sample(&[("reason", reason)], packets);
    }
}

fn happened(page: &mut Page, now: &Snapshot) {
    page.family("taciturn_answers_total", COUNTER, "Requests answered, including error answers.");
    page.sample(&[], now.statistics.answered);
    let help = "Requests answered with an error, by code. Excludes 300, 401, 403 and 438.";
    page.family("taciturn_request_errors_total", COUNTER, help);
    for (code, count) in now.events.errors.iter().enumerate().filter(|(_, count)| **count > 0) {
        page.sample(&[("code", &code.to_string())], count);
    }
    page.family("taciturn_allocations_made_total", COUNTER, "Allocations created.");
    page.sample(&[], now.events.made);
    let help = "Requests from strangers answered because they were repeated while the total budget was spent.";
    page.family("taciturn_repeated_answers_total", COUNTER, help);
    page.sample(&[], now.statistics.answered_repeats);
    let help = "Requests with a stale nonce, answered with 438.";
    page.family("taciturn_stale_nonces_total", COUNTER, help);
    for (reason, count) in NonceError::ALL.into_iter().zip(now.statistics.stale_nonces) {
        page.sample(&[("reason", reason.name())], count);
    }
    let help = "Credentials of shared secrets that were good, by the hash that their password was made with.";
    page.family("taciturn_secret_credentials_total", COUNTER, help);
    for (hash, count) in SecretHash::ALL.into_iter().zip(now.statistics.secrets) {
        page.sample(&[("hash", hash.name())], count);
    }
    let mut counts = |name, help, label, counts: &Counts| {
        page.family(name, COUNTER, help);
        counts.iter().for_each(|(value, count)| page.sample(&[(label, value)], count));
    };
    counts(
        "taciturn_allocations_ended_total",
        "Allocations ended, by reason.",
        "reason",
        &now.events.ended,
    );
    counts(
        "taciturn_authentication_failures_total",
        "Requests with an invalid credential, by reason.",
        "reason",
        &now.events.denied,
    );
    page.family("taciturn_refused_peers_total", COUNTER, "Peers refused, by rule.");
    for (rule, count) in now.events.refused.iter() {
        page.sample(&[("rule", peer_rule(rule))], count);
    }
}

/// One sample for each tenant of the configuration; none where there is none.
fn by_tenant(page: &mut Page, tenants: &[TenantStatus]) {
    let mut each = |name, kind, help, of: fn(&TenantStatus) -> Option<u64>| {
        page.family(name, kind, help);
        for tenant in tenants {
            if let Some(value) = of(tenant) {
                page.sample(&[("tenant", &tenant.name)], value);
            }
        }
    };
    each("taciturn_tenant_allocations", GAUGE, "Current allocations, by tenant.", |of| {
        Some(of.allocations)
    });
    let help = "Users with at least one allocation, by tenant.";
    each("taciturn_tenant_users", GAUGE, help, |of| Some(of.users));
    let help = "Relay ports that a tenant has for itself, of each address family.";
    each("taciturn_tenant_relay_ports", GAUGE, help, |of| Some(of.relay_ports).filter(|n| *n > 0));
    page.family("taciturn_tenant_relay_ports_used", GAUGE, "How many of them are in use.");
    for tenant in tenants.iter().filter(|tenant| tenant.relay_ports > 0) {
        let used = tenant.relay_ports_used;
        for (family, count) in [("ipv4", used.ipv4), ("ipv6", used.ipv6)] {
            page.sample(&[("tenant", &tenant.name), ("family", family)], count);
        }
    }
    let help = "Application data relayed, in bytes, by tenant.";
    page.family("taciturn_tenant_relayed_bytes_total", COUNTER, help);
    for tenant in tenants {
        let traffic = tenant.traffic;
        for (direction, bytes) in
            [("to_peer", traffic.bytes_to_peers), ("to_client", traffic.bytes_to_clients)]
        {
            page.sample(&[("tenant", &tenant.name), ("direction", direction)], bytes);
        }
    }
}

fn held(page: &mut Page, server: &ServerHandle, now: &Snapshot) {
    page.family("taciturn_allocations", GAUGE, "Current allocations.");
    page.sample(&[], now.allocations);
    page.family("taciturn_users", GAUGE, "Users with at least one allocation.");
    page.sample(&[], server.quota.users());
    page.family("taciturn_connections", GAUGE, "Current TCP, TLS and DTLS connections.");
    page.sample(&[], server.connections.open());
    let help = "Connections refused because of a limit.";
    page.family("taciturn_refused_connections_total", COUNTER, help);
    let [in_all, per_address] = server.connections.refused();
    for (limit, count) in [
        ("connections", in_all),
        ("connections_per_address", per_address),
        ("tls_handshakes", now.refused_handshakes.tls),
        ("dtls_handshakes", now.refused_handshakes.dtls),
    ] {
        page.sample(&[("limit", limit)], count);
    }
    let help = "Connections without an allocation closed to make room for others.";
    page.family("taciturn_evicted_connections_total", COUNTER, help);
    page.sample(&[], server.connections.evicted());
    page.family(
        "taciturn_bans",
        GAUGE,
        "Bans by the operator, by kind: of users, and of addresses and networks.",
    );
    for (kind, count) in BANNED.into_iter().zip(server.bans.number()) {
        page.sample(&[("kind", kind)], count);
    }
    let help = "Requests and connections refused because of a ban, by kind.";
    page.family("taciturn_banned_total", COUNTER, help);
    for (kind, count) in BANNED.into_iter().zip(server.bans.refused()) {
        page.sample(&[("kind", kind)], count);
    }
    let help = "Relay ports leased or reserved.";
    page.family("taciturn_relay_ports_used", GAUGE, help);
    for (family, name) in [(Family::V4, "ipv4"), (Family::V6, "ipv6")] {
        page.sample(&[("family", name)], server.ports.used(family));
    }
    page.family("taciturn_relay_ports", GAUGE, "Relay ports configured, for each address family.");
    page.sample(&[], server.ports.range().len());
}

fn process(page: &mut Page, server: &ServerHandle) {
    let help = "Expiry time of a certificate, in seconds since 1970.";
    page.family("taciturn_certificate_expiry_timestamp_seconds", GAUGE, help);
    let chains = server.certificates().chains().into_iter();
    let mut expiries: Vec<_> = chains
        .map(|chain| {
            let name = chain.names().first().cloned().unwrap_or_default();
            let until = chain.not_after().duration_since(UNIX_EPOCH);
            (name, until.map_or(0, |until| until.as_secs()))
        })
        .collect();
    // One sample a name: of several certificates the one that ends first.
    expiries.sort();
    expiries.dedup_by(|next, first| next.0 == first.0);
    for (name, until) in expiries {
        page.sample(&[("name", &name)], until);
    }
    let health = server.health();
    page.family("taciturn_reloads_total", COUNTER, "Configuration reloads, by result.");
    for (result, count) in ["applied", "refused"].into_iter().zip(health.reloads()) {
        page.sample(&[("result", result)], count);
    }
    let last = health.last_reload();
    let help = "1 if the last reload (or the start) succeeded, otherwise 0.";
    page.family("taciturn_last_reload_success", GAUGE, help);
    page.sample(&[], u8::from(last.taken_up));
    let help = "Time of the last reload (or the start), in seconds since 1970.";
    page.family("taciturn_last_reload_timestamp_seconds", GAUGE, help);
    page.sample(&[], last.at);
    let help = "1 if the relayed address of the family is on this machine, otherwise 0.";
    page.family("taciturn_relayed_address_present", GAUGE, help);
    for (family, name) in [(Family::V4, "ipv4"), (Family::V6, "ipv6")] {
        if server.relayed[family as usize] {
            page.sample(&[("family", name)], u8::from(health.has_relayed(family)));
        }
    }
    page.family("taciturn_ready", GAUGE, "1 if the server creates new allocations, otherwise 0.");
    page.sample(&[], u8::from(health.is_ready()));
    let [connected, nodes, losses] = health.fleet();
    let help = "1 if the server can ask for the other servers of its fleet, otherwise 0.";
    page.family("taciturn_fleet_connected", GAUGE, help);
    page.sample(&[], connected);
    let help = "Servers of the fleet, with this one, as far as they are known.";
    page.family("taciturn_fleet_nodes", GAUGE, help);
    page.sample(&[], nodes);
    let help = "How often the connection to the fleet was lost.";
    page.family("taciturn_fleet_losses_total", COUNTER, help);
    page.sample(&[], losses);
    let help =
        "Allocations refused because of those that the user holds on other servers of the fleet.";
    page.family("taciturn_fleet_refused_total", COUNTER, help);
    page.sample(&[], server.quota.refused_elsewhere());
    let help = "Clients sent to another server of the fleet, because there was no room here.";
    page.family("taciturn_fleet_redirected_total", COUNTER, help);
    page.sample(&[], server.alternates.sent());
    let (issued, refused) = server.ice.counts();
    let help = "Credentials that were made for applications (POST /ice).";
    page.family("taciturn_ice_credentials_total", COUNTER, help);
    page.sample(&[], issued);
    let help = "Requests for such credentials that were refused.";
    page.family("taciturn_ice_refused_total", COUNTER, help);
    for (reason, times) in IceRefusal::ALL.iter().zip(refused) {
        page.sample(&[("reason", reason.name())], times);
    }
    records(page, &server.recorder.as_ref().map(Recorder::totals).unwrap_or_default());
    let DatabaseState { connected, age, users, secrets, left_out, losses } = health.database();
    let help = "1 if the database of users and secrets can be read, otherwise 0.";
    page.family("taciturn_database_connected", GAUGE, help);
    page.sample(&[], u8::from(connected));
    let help = "Seconds since the database was read last, or since the start; 0 without one.";
    page.family("taciturn_database_read_age_seconds", GAUGE, help);
    page.sample(&[], age);
    let help = "Users and secrets that the database has given.";
    page.family("taciturn_database_rows", GAUGE, help);
    for (kind, number) in [("user", users), ("secret", secrets)] {
        page.sample(&[("kind", kind)], number);
    }
    let help = "Rows of the database that are no users and secrets; the log says why.";
    page.family("taciturn_database_left_out_rows", GAUGE, help);
    page.sample(&[], left_out);
    let help = "How often the database could not be read any more.";
    page.family("taciturn_database_losses_total", COUNTER, help);
    page.sample(&[], losses);
    let help = "Start time of the server, in seconds since 1970.";
    page.family("taciturn_start_time_seconds", GAUGE, help);
    page.sample(&[], health.started());
    let help = "Log lines lost because nobody read them in time.";
    page.family("taciturn_lost_log_lines_total", COUNTER, help);
    page.sample(&[], server.log.lost());
    page.family("taciturn_workers", GAUGE, "Worker threads.");
    page.sample(&[], server.workers.number());
    page.family("taciturn_build_info", GAUGE, "Always 1; the version is a label.");
    page.sample(&[("version", env!("CARGO_PKG_VERSION"))], 1);
}

fn records(page: &mut Page, totals: &Totals) {
    let help = "Records of what sessions have used that were written to disk, by type.";
    page.family("taciturn_records_written_total", COUNTER, help);
    for (kind, count) in ["ended", "running"].into_iter().zip(totals.written) {
        page.sample(&[("type", kind)], count);
    }
    let help = "Records that the receiver or the stream has taken.";
    page.family("taciturn_records_delivered_total", COUNTER, help);
    page.sample(&[], totals.delivered);
    let help = "Attempts to write or to deliver records that failed.";
    page.family("taciturn_records_failures_total", COUNTER, help);
    page.sample(&[], totals.failures);
    let help = "Records that wait: for the receiver or the stream, or for the disk.";
    page.family("taciturn_records_waiting", GAUGE, help);
    page.sample(&[], totals.waiting);
    let help = "Bytes of the records that wait for the receiver or the stream.";
    page.family("taciturn_records_spool_bytes", GAUGE, help);
    page.sample(&[], totals.spool_bytes);
    page.family("taciturn_records_dropped_total", COUNTER, "Records lost, by reason.");
    for (reason, count) in Dropped::ALL.into_iter().zip(totals.dropped) {
        page.sample(&[("reason", reason.name())], count);
    }
}

/// The kinds of bans.
const BANNED: [&str; 2] = ["user", "network"];

const COUNTER: &str = "counter";
const GAUGE: &str = "gauge";

/// Text that is being written: a family, then its samples.
#[derive(Default)]
struct Page(String, &'static str);

impl Page {
    fn family(&mut self, name: &'static str, kind: &str, help: &str) {
        self.1 = name;
        // Writing to a String does not fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// One number of the family.
    fn sample(&mut self, labels: &[(&str, &str)], value: impl Display) {
        self.0.push_str(self.1);
        for (at, (name, text)) in labels.iter().enumerate() {
            let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = write!(self.0, "{}{name}=\"{text}\"", if at == 0 { '{' } else { ',' });
        }
        let end = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.0, "{end} {value}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_written_as_prometheus_reads_it() {
        let mut page = Page::default();
        page.family("a_total", COUNTER, "Help.");
        page.sample(&[], 1);
        page.sample(&[("one", "x"), ("two", "a \"b\" \\ \n")], 2.5);
        let expected = "# HELP a_total Help.\n# TYPE a_total counter\na_total 1\n\
                        a_total{one=\"x\",two=\"a \\\"b\\\" \\\\ \\n\"} 2.5\n";
        assert_eq!(page.0, expected);
    }
}
