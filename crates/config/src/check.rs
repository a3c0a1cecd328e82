//! Turns merged settings into a [`Config`], and collects everything that is wrong with them.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use taciturn_turn::auth::prepared;
use taciturn_turn::policy::{Each, PortRange, Rates};

use super::error::{Findings, Note, Origin, Source};
use super::load::{Environment, Settings};
use super::read::Reader;
use super::{
    Admin, Auth, Config, Generate, Limits, Listen, Peers, Process, Protocol, Tuning, address,
    credentials, listeners, log_format, log_level, nat_discovery, redirect, removal, secrets, tls,
    unfilled,
};

/// Bytes a second in each direction: Opus at 64 kbit/s, with its RTP headers.
const VOICE_CALL: u32 = 10_000;

/// The realm when none is configured.
const DEFAULT_REALM: &str = "taciturn";

/// Checks everything but the generated secret. What it returns is of use only if `findings` is
/// clean afterwards.
pub(super) fn check(
    settings: &Settings,
    env: &Environment,
    source: Option<&Source>,
    findings: &mut Findings,
) -> Config {
    let mut reader = Reader { settings, findings };
    let reader = &mut reader;
    let realm = realm(reader);
    let relay_ports = relay_ports(reader);
    let allow_weak = reader.boolean("auth.allow_weak_credentials").unwrap_or(false);
    let users = credentials::users(reader, &realm, allow_weak);
    let mut all_secrets = credentials::secrets(reader, allow_weak);
    all_secrets.extend(secrets::files(reader, env, allow_weak));
    let state_dir = reader.text("state_dir", "\"/var/lib/taciturn\"").map(|item| {
        if item.text.is_empty() {
            reader.error(&item, "is empty", "write a directory, or remove the key");
        }
        PathBuf::from(item.text.as_str())
    });
    let host = host(reader);
    let tls = tls::tls(reader, host.as_deref(), &realm);
    let mut config = Config {
        file: source.map(|source| source.path.clone()),
        host,
        external_ip: address::external_ip(reader),
        stun_servers: address::stun_servers(reader),
        relay_ports,
        workers: workers(reader),
        listen: listeners::listeners(reader, relay_ports, &tls),
        tls,
        auth: Auth {
            users,
            secrets: all_secrets,
            strict_expiry: reader.boolean("auth.strict_expiry").unwrap_or(false),
            on_removal: removal::on_removal(reader),
        },
        peers: Peers {
            allow: address::peer_ranges(reader, "peers.allow"),
            deny: address::peer_ranges(reader, "peers.deny"),
        },
        limits: limits(reader),
        redirect: redirect::redirect(reader),
        tuning: Tuning {
            wake_delay: match reader.integer("tuning.wake_delay_us", 0, 2000) {
                Some(micros) => Duration::from_micros(micros.into()),
                None => Tuning::default().wake_delay,
            },
        },
        log_format: log_format::log_format(reader),
        log_level: log_level::log_level(reader),
        admin: Admin { metrics: metrics(reader), socket: None },
        process: Process {
            user: process_user(reader),
            sandbox: reader.boolean("process.sandbox").unwrap_or(true),
            seccomp: reader.boolean("process.seccomp").unwrap_or(true),
        },
        protocol: Protocol::default(),
        nat_discovery: None,
        state_dir: state_dir.unwrap_or_else(|| secrets::default_state_dir(env)),
        realm,
    };
    config.protocol = protocol(reader, &config.listen);
    config.nat_discovery = nat_discovery::nat_discovery(reader, &config.listen);
    config.admin.socket = match reader.text("admin.socket", "a path, or \"off\"") {
        Some(item) if ["", "off"].contains(&item.text.trim()) => None,
        Some(item) => Some(PathBuf::from(item.text.trim())),
        None => Some(secrets::default_control_socket(env, &config.state_dir)),
    };
    unfilled::report(settings, reader.findings);
    config
}

/// Adds the generated secret where there is no other credential.
pub(super) fn ensure_credential(
    config: &mut Config,
    env: &Environment,
    generate: Generate,
    findings: &mut Findings,
) {
    if generate == Generate::Never {
        return;
    }
    if !config.auth.users.is_empty() || !config.auth.secrets.is_empty() {
        let path = secrets::path_in(&config.state_dir);
        let used = config.auth.secrets.iter().any(|secret| secret.path.as_ref() == Some(&path));
        if path.exists() && !used {
            findings.notes.push(Note::info(format!(
                "{} holds a shared secret that was made for an earlier start and is not in use now, \
                 because credentials are configured. If a homeserver still uses it, add it to \
                 secret_files in the section [auth]",
                path.display()
            )));
        }
        return;
    }
    if generate == Generate::No {
        match secrets::existing(&config.state_dir, env) {
            Ok(secret) => config.auth.secrets.push(secret),
            Err(error) => no_secret(error, findings),
        }
        return;
    }
    match secrets::generated(&config.state_dir) {
        Ok((secret, made)) => {
            let path = secrets::path_in(&config.state_dir);
            let text = match made {
                true => format!(
                    "no credentials are configured: made a shared secret and keep it in {}",
                    path.display()
                ),
                false => format!(
                    "no credentials are configured: using the shared secret kept in {}",
                    path.display()
                ),
            };
            findings.notes.push(Note::info(text));
            config.auth.secrets.push(secret);
        }
        Err(error) => no_secret(error, findings),
    }
}

fn no_secret(error: secrets::NoSecret, findings: &mut Findings) {
    findings.error(&Origin::Unplaced, "", error.message, error.help);
    findings.caused_by(error.cause);
}

/// Warns of a configuration file that holds credentials and that everybody can read. A file that is one
/// secret is refused then; this one is not, because it has settings besides, and Kubernetes (ConfigMap) and
/// bind mounts of Docker, where the user inside is another one, give it a mode that has to let all read.
pub(super) fn warn_of_exposed_file(
    settings: &Settings,
    source: Option<&Source>,
    findings: &mut Findings,
) {
    use std::os::unix::fs::MetadataExt as _;
    let in_file =
        |key| settings.get(key).is_some_and(|node| matches!(node.origin, Origin::File(_)));
    if !in_file("auth.users") && !in_file("auth.secrets") {
        return;
    }
    let Some(path) = source.map(|source| &source.path) else { return };
    let exposed = std::fs::metadata(path).is_ok_and(|meta| meta.mode() & 0o007 != 0);
    if exposed {
        let text = format!(
            "{0} holds credentials and can be read by every user of this machine: chmod o= {0}",
            path.display()
        );
        findings.notes.push(Note::warning(text));
    }
}

fn realm(reader: &mut Reader<'_>) -> String {
    let Some(item) = reader.text("realm", "\"turn.domain.org\"") else {
        return DEFAULT_REALM.into();
    };
    let text = item.text.as_str();
    //= 8489-9.2.4-realm-name, 8489-14.9-realm
    // RFC 8489 section 14.9: fewer than 128 characters, as they stand in a quoted-string.
    let fault = match text {
        _ if text.trim().is_empty() => Some("is empty".into()),
        _ if text.chars().count() > 127 => Some("is longer than 127 characters".into()),
        _ if text.chars().any(|c| c.is_control() || c == '"' || c == '\\') => {
            Some("holds a quote, a backslash or a control character".into())
        }
        _ if address::is_placeholder(text) => Some(format!("\"{text}\" is a placeholder")),
        _ if prepared(text).is_err() => Some("holds an invisible or unassigned character".into()),
        _ => None,
    };
    if let Some(fault) = fault {
        let help = "write the DNS name of this server, like \"turn.domain.org\",\n\
                    or remove the key";
        reader.error(&item, fault, help);
    }
    prepared(text).map_or_else(|_| text.to_owned(), Cow::into_owned)
}

fn host(reader: &mut Reader<'_>) -> Option<String> {
    let item = reader.text("host", "\"turn.domain.org\"")?;
    let text = item.text.trim();
    match parse_host(text) {
        Some(host) => return Some(host),
        None => {
            let help = "write a DNS name or an IP address alone, without turn: and without port";
            let message = match address::is_placeholder(text) {
                true => format!("\"{text}\" is a placeholder"),
                false => format!("\"{text}\" is no host name"),
            };
            reader.error(&item, message, help);
        }
    }
    None
}

/// Takes a DNS name or an IP address, the latter with or without brackets; gives it back without.
#[must_use]
pub fn parse_host(text: &str) -> Option<String> {
    let bare = text.trim().trim_start_matches('[').trim_end_matches(']');
    let is_ip = bare.parse::<std::net::IpAddr>().is_ok_and(|ip| !ip.is_unspecified());
    let is_name = address::is_dns_name(bare) || bare == "localhost";
    ((is_ip || is_name) && !address::is_placeholder(bare)).then(|| bare.to_owned())
}

fn relay_ports(reader: &mut Reader<'_>) -> PortRange {
    let Some(item) = reader.text("relay_ports", "\"59000-60100\"") else {
        return PortRange::DEFAULT;
    };
    match item.text.trim().parse() {
        Ok(range) => range,
        Err(error) => {
            let message = format!("\"{}\": {error}", item.text.as_str());
            reader.error(&item, message, "write FIRST-LAST, like \"59000-60100\"");
            PortRange::DEFAULT
        }
    }
}

/// Whether the account exists is asked where the server starts: turnctl may run elsewhere.
fn process_user(reader: &mut Reader<'_>) -> Option<String> {
    let item = reader.text("process.user", "\"taciturn\"")?;
    let text = item.text.trim();
    let plain = |name: &str| {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
        !name.is_empty() && name.chars().all(allowed)
    };
    if !text.splitn(2, ':').all(plain) {
        let message = format!("\"{text}\" is no account");
        reader.error(&item, message, "write USER or USER:GROUP, or remove the key");
    }
    Some(text.to_owned())
}

fn metrics(reader: &mut Reader<'_>) -> Option<SocketAddr> {
    let help = "an address and a port, like \"127.0.0.1:9641\", or \"off\"";
    let Some(item) = reader.text("admin.metrics", help) else {
        return Some(Admin::METRICS);
    };
    let text = item.text.trim();
    if text.is_empty() || text == "off" {
        return None;
    }
    match text.parse::<SocketAddr>() {
        Ok(address) => {
            if !address.ip().is_loopback() {
                let text = format!(
                    "admin.metrics: everybody who reaches {address} can read the metrics, without a password"
                );
                reader.findings.notes.push(Note::warning(text));
            }
            Some(address)
        }
        Err(_) => {
            reader.error(
                &item,
                format!("\"{text}\" is no address with a port"),
                &format!("write {help}"),
            );
            None
        }
    }
}

/// Worker threads at most.
pub const MOST_WORKERS: u32 = 256;

fn workers(reader: &mut Reader<'_>) -> NonZeroUsize {
    let wanted = reader.integer("workers", 0, MOST_WORKERS).unwrap_or(0);
    NonZeroUsize::new(wanted as usize)
        .or_else(|| std::thread::available_parallelism().ok())
        .unwrap_or(NonZeroUsize::MIN)
}

fn protocol(reader: &mut Reader<'_>, listen: &[Listen]) -> Protocol {
    let tcp_relay = reader.boolean("protocol.tcp_relay").unwrap_or(false);
    if tcp_relay && !listen.is_empty() && listen.iter().all(|l| l.transport.is_datagram()) {
        let help =
            "add a section [[listen]] with transport = \"tcp\" (or \"tls\"), or remove the key";
        let message = "is on, but clients ask for TCP allocations over TCP or TLS only, and no \
                       listener takes those";
        let origin = reader.origin("protocol.tcp_relay");
        reader.findings.error(&origin, "protocol.tcp_relay", message, help);
    }
    let mobility = reader.boolean("protocol.mobility").unwrap_or(false);
    Protocol {
        mobility,
        software: reader.boolean("protocol.software").unwrap_or(true),
        rfc5766_channels: reader.boolean("protocol.rfc5766_channels").unwrap_or(false),
        tcp_relay,
        rfc8489_over_udp: reader.boolean("protocol.rfc8489_over_udp").unwrap_or(false),
        icmp_errors: reader.boolean("protocol.icmp_errors").unwrap_or(false),
        rfc3489: reader.boolean("protocol.rfc3489").unwrap_or(false),
    }
}

/// 0 is no limit for each of them.
fn rates(reader: &mut Reader<'_>, default: Rates) -> Rates {
    let mut rate = |key, most, default| reader.integer(key, 0, most).unwrap_or(default);
    let (bytes, packets, peers) = (1_000_000_000, 10_000_000, 100_000);
    let Rates { bytes: b, packets: p, new_peers: n, allocations: a } = default;
    let rates = Rates {
        bytes: Each {
            allocation: rate("limits.bytes_per_second_per_allocation", bytes, b.allocation),
            user: rate("limits.bytes_per_second_per_user", bytes, b.user),
            in_all: rate("limits.bytes_per_second", bytes, b.in_all),
        },
        packets: Each {
            allocation: rate("limits.packets_per_second_per_allocation", packets, p.allocation),
            user: rate("limits.packets_per_second_per_user", packets, p.user),
            in_all: rate("limits.packets_per_second", packets, p.in_all),
        },
        new_peers: Each {
            allocation: rate("limits.new_peers_per_second_per_allocation", peers, n.allocation),
            user: rate("limits.new_peers_per_second_per_user", peers, n.user),
            in_all: 0,
        },
        allocations: Each {
            user: rate("limits.allocations_per_second_per_user", 10_000, a.user),
            ..Each::default()
        },
    };
    let Each { allocation, user, in_all } = rates.bytes;
    for (key, value) in [
        ("limits.bytes_per_second_per_allocation", allocation),
        ("limits.bytes_per_second_per_user", user),
        ("limits.bytes_per_second", in_all),
    ] {
        if (1..VOICE_CALL).contains(&value) {
            let text = format!(
                "{key} = {value} is less than one voice call takes (about {VOICE_CALL} bytes a second); \
                 a video call takes up to 500000. The unit is bytes, not kilobytes and not bits"
            );
            reader.findings.notes.push(Note::warning(text));
        }
    }
    rates
}

fn limits(reader: &mut Reader<'_>) -> Limits {
    const DAY: Duration = Duration::from_secs(86400);
    let default = Limits::default();
    let integer = |reader: &mut Reader<'_>, key, most, default| {
        reader.integer(key, 1, most).unwrap_or(default)
    };
    Limits {
        allocations_per_user: integer(
            reader,
            "limits.allocations_per_user",
            1_000_000,
            default.allocations_per_user,
        ),
        permissions_per_allocation: integer(
            reader,
            "limits.permissions_per_allocation",
            65536,
            default.permissions_per_allocation,
        ),
        // RFC 8656 section 12: there are 4096 channel numbers.
        channels_per_allocation: integer(
            reader,
            "limits.channels_per_allocation",
            4096,
            default.channels_per_allocation,
        ),
        peer_connections_per_allocation: integer(
            reader,
            "limits.peer_connections_per_allocation",
            65536,
            default.peer_connections_per_allocation,
        ),
        connections: integer(reader, "limits.connections", 1_000_000, default.connections),
        connections_per_address: integer(
            reader,
            "limits.connections_per_address",
            1_000_000,
            default.connections_per_address,
        ),
        unverified_answers_per_address: reader
            .integer("limits.unverified_answers_per_address", 0, 1000)
            .unwrap_or(default.unverified_answers_per_address),
        unverified_answers: reader
            .integer("limits.unverified_answers", 0, 1_000_000)
            .unwrap_or(default.unverified_answers),
        unverified_exempt: address::peer_ranges(reader, "limits.unverified_exempt"),
        failures_per_address: reader
            .integer("limits.failures_per_address", 0, 1000)
            .unwrap_or(default.failures_per_address),
        handshakes_per_address: reader
            .integer("limits.handshakes_per_address", 0, 1000)
            .unwrap_or(default.handshakes_per_address),
        allocations: reader
            .integer("limits.allocations", 0, 1_000_000)
            .unwrap_or(default.allocations),
        ports_reserved_percent: reader
            .integer("limits.ports_reserved_percent", 0, 90)
            .unwrap_or(default.ports_reserved_percent),
        port_quarantine: reader
            .duration("limits.port_quarantine", Duration::ZERO, Duration::from_secs(3600))
            .unwrap_or(default.port_quarantine),
        rates: rates(reader, default.rates),
        //= 8656-7.2-max-lifetime
        // RFC 8656 section 3.2: an allocation lives 10 minutes unless refreshed.
        max_lifetime: reader
            .duration("limits.max_lifetime", Duration::from_secs(600), DAY)
            .unwrap_or(default.max_lifetime),
        nonce_lifetime: reader
            .duration("limits.nonce_lifetime", Duration::from_secs(10), DAY)
            .unwrap_or(default.nonce_lifetime),
    }
}
