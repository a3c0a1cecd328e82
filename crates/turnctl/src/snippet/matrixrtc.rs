//! The files of a MatrixRTC backend (MSC4143, MSC4195) that fit together: LiveKit with this relay, the service that
//! gives Matrix users its tokens, and where clients find both. For Element X and Element Call.

use std::fmt::Write as _;

use taciturn_config::{ExternalIp, allow_line, is_dns_name};

use super::text::yaml;
use super::{Facts, Given, Snippet, SnippetError, meetings};

/// Ports for LiveKit's media. One room on a small machine needs few.
const MEDIA_PORTS: u16 = 100;

/// Where they begin, the usual place in guides first.
const FIRST_MEDIA_PORTS: [u16; 2] = [50_100, 40_100];

/// The names that appear in the files.
struct Names {
    /// The server name, as in `@user:server_name`.
    domain: String,
    /// Where clients reach LiveKit and the service.
    rtc: String,
}

impl Names {
    /// Guesses: the relay is `turn.DOMAIN`.
    fn of(facts: &Facts<'_>) -> Result<Self, SnippetError> {
        let host = facts.host.to_string();
        let domain = host.split_once('.').map(|(_, domain)| domain.to_owned());
        let domain = domain.filter(|domain| domain.contains('.') && is_dns_name(&host));
        let domain = domain.ok_or(SnippetError::NoDomain)?;
        Ok(Self { rtc: format!("matrix-rtc.{domain}"), domain })
    }
}

pub(super) fn matrixrtc(facts: &Facts<'_>) -> Result<Snippet, SnippetError> {
    let names = Names::of(facts)?;
    let (key, secret) = (format!("API{}", random(6)?), random(32)?);
    let first = first_media_port(facts);
    let last = first + MEDIA_PORTS;
    let mut text = String::new();
    for (file, content) in [
        ("compose.yaml, beside livekit.yaml", compose(facts, &names, (&key, &secret), first)?),
        ("livekit.yaml", livekit(facts, &names, (&key, &secret), first)?),
        (
            "config/traefik/dynamic_config.yml of Pangolin, merged with its section http",
            traefik(&names.rtc),
        ),
        ("homeserver.yaml of Synapse", synapse(&names.rtc)),
        (&*format!("https://{}/.well-known/matrix/client", names.domain), well_known(&names.rtc)),
    ] {
        let space = if text.is_empty() { "" } else { "\n" };
        let _ = write!(text, "{space}# ---- {file}\n{content}");
    }
    Ok(Snippet::new(
        text,
        format!(
            "the files that its lines with ---- name. {} and {} are guesses from the name of the relay: put yours in \
             their place. Each run makes another key for LiveKit. Open {first}-{last} for UDP and 7881 for TCP. With \
             LiveKit on this machine, as in these files, taciturn needs {}",
            names.rtc,
            names.domain,
            allow_line(&[format!("self:{first}-{last}")])
        ),
    ))
}

/// The first place that is apart from the ports of the relay.
fn first_media_port(facts: &Facts<'_>) -> u16 {
    let relay = facts.config.relay_ports;
    let apart = |first: &u16| relay.first() > first + MEDIA_PORTS || relay.last() < *first;
    FIRST_MEDIA_PORTS.into_iter().find(apart).unwrap_or(FIRST_MEDIA_PORTS[0])
}

fn compose(
    facts: &Facts<'_>,
    names: &Names,
    (key, secret): (&str, &str),
    first: u16,
) -> Result<String, SnippetError> {
    let mount = match facts.given()? {
        Given::File(path) => format!("      - {}\n", yaml(&format!("{path}:{path}:ro"))),
        Given::Inline(_) => String::new(),
    };
    let Names { domain, rtc } = names;
    let last = first + MEDIA_PORTS;
    Ok(format!(
        "services:\n  livekit:\n    image: livekit/livekit-server:latest\n    command: --config /etc/livekit.yaml\n    \
         restart: unless-stopped\n    networks: [pangolin]\n    ports:\n      - \"7881:7881/tcp\"\n      \
         - \"{first}-{last}:{first}-{last}/udp\"\n    volumes:\n      - \"./livekit.yaml:/etc/livekit.yaml:ro\"\n{mount}  \
         lk-jwt-service:\n    image: ghcr.io/element-hq/lk-jwt-service:latest\n    restart: unless-stopped\n    \
         networks: [pangolin]\n    environment:\n      LIVEKIT_URL: \"wss://{rtc}/livekit/sfu\"\n      \
         LIVEKIT_KEY: \"{key}\"\n      LIVEKIT_SECRET: \"{secret}\"\n      \
         LIVEKIT_FULL_ACCESS_HOMESERVERS: {}\nnetworks:\n  pangolin:\n    external: true\n",
        yaml(domain)
    ))
}

fn livekit(
    facts: &Facts<'_>,
    names: &Names,
    (key, secret): (&str, &str),
    first: u16,
) -> Result<String, SnippetError> {
    let rtc = &names.rtc;
    let address = match &facts.config.external_ip {
        ExternalIp::Given(given) => given.iter().find(|address| address.public.is_ipv4()),
        ExternalIp::Auto => None,
    };
    // In a container LiveKit sees an address that clients do not reach.
    let address = match address {
        Some(address) => {
            format!("  node_ip: {}\n  use_external_ip: false\n", yaml(&address.public.to_string()))
        }
        None => "  use_external_ip: true\n".to_owned(),
    };
    let relays = meetings::livekit_relays(facts)?;
    let last = first + MEDIA_PORTS;
    Ok(format!(
        "port: 7880\n{relays}  tcp_port: 7881\n  port_range_start: {first}\n  port_range_end: {last}\n{address}\
         room:\n  auto_create: false\nkeys:\n  {key}: \"{secret}\"\nwebhook:\n  api_key: {key}\n  urls:\n    \
         - \"https://{rtc}/livekit/jwt/sfu_webhook\"\n"
    ))
}

fn traefik(rtc: &str) -> String {
    let mut routers = String::new();
    let mut middlewares = String::new();
    let mut services = String::new();
    for (name, container, port) in [("jwt", "lk-jwt-service", 8080), ("sfu", "livekit", 7880)] {
        let _ = write!(
            routers,
            "    livekit-{name}:\n      rule: \"Host(`{rtc}`) && PathPrefix(`/livekit/{name}`)\"\n      \
             entryPoints: [websecure]\n      middlewares: [livekit-{name}]\n      service: livekit-{name}\n      \
             tls:\n        certResolver: letsencrypt\n"
        );
        let _ = write!(
            middlewares,
            "    livekit-{name}:\n      stripPrefix:\n        prefixes: [/livekit/{name}]\n"
        );
        let _ = write!(
            services,
            "    livekit-{name}:\n      loadBalancer:\n        servers:\n          - url: \"http://{container}:{port}\"\n"
        );
    }
    format!("http:\n  middlewares:\n{middlewares}  routers:\n{routers}  services:\n{services}")
}

/// What clients ask the homeserver for, and the limits that calls need.
fn synapse(rtc: &str) -> String {
    format!(
        "matrix_rtc:\n  transports:\n    - type: livekit\n      livekit_service_url: https://{rtc}/livekit/jwt\n\
         experimental_features:\n  msc3266_enabled: true\n  msc4143_enabled: true\n  msc4222_enabled: true\n\
         max_event_delay_duration: 24h\nrc_message:\n  per_second: 0.5\n  burst_count: 30\nrc_delayed_event_mgmt:\n  \
         per_second: 1\n  burst_count: 20\n"
    )
}

/// For clients that do not ask the homeserver yet.
fn well_known(rtc: &str) -> String {
    format!(
        "\"org.matrix.msc4143.rtc_foci\": [\n  {{\n    \"type\": \"livekit\",\n    \"livekit_service_url\": \
         \"https://{rtc}/livekit/jwt\"\n  }}\n]\n"
    )
}

/// Returns that many random bytes, in hexadecimal.
fn random(bytes: usize) -> Result<String, SnippetError> {
    let mut all = [0; 32];
    getrandom::fill(&mut all).map_err(|_| SnippetError::NoRandomness)?;
    Ok(all.iter().take(bytes).fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    }))
}
