//! What the server's own machine needs: Traefik, Docker Compose, firewalls.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use taciturn_config::{Listen, Transport, is_dns_name};
use taciturn_tls::CertSource;

use super::memory::{memory_text, threads};
use super::text::yaml;
use super::{Facts, Snippet, SnippetError};

/// Docker's usual bridge: what containers reach the host at.
const DOCKER_HOST: &str = "172.17.0.1";

pub(super) fn traefik(facts: &Facts<'_>) -> Result<Snippet, SnippetError> {
    let listen = facts.config.listen.iter().find(|listen| listen.proxy_protocol);
    let listen = listen.ok_or(SnippetError::NoProxyListener)?;
    let name = facts.host.to_string();
    if !is_dns_name(&name) {
        return Err(SnippetError::NoName);
    }
    let address = match listen.address {
        address if address.ip().is_unspecified() => format!("{DOCKER_HOST}:{}", address.port()),
        address => address.to_string(),
    };
    let tls = match listen.transport {
        // Traefik ends TLS, with a certificate that it fetches for the name.
        Transport::Tcp => "      tls:\n        certResolver: letsencrypt\n",
        _ => {
            "      tls:\n        # taciturn ends TLS itself; with certResolver, Traefik keeps the\n        \
             # certificate in its acme.json, where taciturn can take it: acme in [tls].\n        \
             passthrough: true\n        certResolver: letsencrypt\n"
        }
    };
    let text = format!(
        "tcp:\n  serversTransports:\n    pp-transport-v2:\n      proxyProtocol:\n        version: 2\n  \
         routers:\n    turn-tls:\n      entryPoints:\n        - \"websecure\"\n      \
         rule: \"HostSNI(`{name}`)\"\n      service: turn-tls\n{tls}  \
         services:\n    turn-tls:\n      loadBalancer:\n        serversTransport: pp-transport-v2\n        \
         servers:\n          - address: {}\n",
        yaml(&address)
    );
    Ok(Snippet::new(
        text,
        format!(
            "Traefik's dynamic configuration (Pangolin: config/traefik/dynamic_config.yml), merged \
             with its section tcp. No HTTP router and no Pangolin resource may have the same host \
             name: it would come first. Clients then use turns:{name}:443?transport=tcp"
        ),
    ))
}

pub(super) fn has_low_port(facts: &Facts<'_>) -> bool {
    facts.config.listen.iter().any(|listen| (1..1024).contains(&listen.address.port()))
}

/// The directories that certificates are read from: directories, because renewal replaces files.
pub(super) fn certificate_dirs(facts: &Facts<'_>) -> Vec<String> {
    let own = facts.config.listen.iter().filter_map(|listen| listen.cert.as_ref());
    let sources = facts.config.tls.certificates.iter().chain(own);
    let parent = |path: &Path| path.parent().map(|dir| dir.display().to_string());
    let mut dirs: Vec<String> = sources
        .flat_map(|source| match source {
            CertSource::Pem { cert, key } => [parent(cert), parent(key)],
            // The links in live/ lead to archive/.
            CertSource::Certbot { dir } => [dir.parent().and_then(parent), None],
            CertSource::Acme { path, .. } if path.extension().is_some() => [parent(path), None],
            CertSource::Acme { path, .. } => [Some(path.display().to_string()), None],
        })
        .flatten()
        .filter(|dir| dir.starts_with('/'))
        .collect();
    dirs.sort();
    dirs.dedup();
    dirs
}

/// The secrets in files that the operator named.
pub(super) fn secret_files(facts: &Facts<'_>) -> Vec<String> {
    let named = facts.config.auth.secrets.iter().filter(|secret| !secret.generated);
    let path = |path: &PathBuf| {
        std::path::absolute(path).unwrap_or_else(|_| path.clone()).display().to_string()
    };
    named.filter_map(|secret| secret.path.as_ref().map(path)).collect()
}

/// As the service manager has to name it.
pub(super) fn config_file(facts: &Facts<'_>) -> Option<String> {
    let path = facts.config.file.as_ref()?;
    Some(std::path::absolute(path).unwrap_or_else(|_| path.clone()).display().to_string())
}

pub(super) fn file_limit(facts: &Facts<'_>) -> u64 {
    let connections = u64::from(facts.config.limits.connections);
    // Besides them those that are being closed to make room, and those whose proxy says nothing yet.
    2 * u64::from(facts.config.relay_ports.len()) + connections + connections / 2 + 128
}

pub(super) fn compose(facts: &Facts<'_>) -> Snippet {
    let mut text = format!(
        "services:\n  taciturn:\n    # Built from taciturn's sources; both programs are in it.\n    \
         image: \"taciturn:{}\"\n    \
         # A published range of ports takes Docker two processes a port; the host's network none.\n    \
         network_mode: host\n    restart: unless-stopped\n    read_only: true\n    \
         cap_drop: [\"ALL\"]\n",
        env!("CARGO_PKG_VERSION")
    );
    if has_low_port(facts) {
        text.push_str("    cap_add: [\"NET_BIND_SERVICE\"] # for a port below 1024\n");
    }
    let (memory, files) = (memory_text(facts.config).to_lowercase(), file_limit(facts));
    let _ = write!(
        text,
        "    # What the limits of the configuration come to, when all are reached.\n    \
         mem_limit: {memory}\n    pids_limit: {}\n    ulimits:\n      nofile: {files}\n    \
         volumes:\n",
        threads()
    );
    let config = config_file(facts);
    if let Some(config) = &config {
        let _ =
            writeln!(text, "      - {}", yaml(&format!("{config}:/etc/taciturn/taciturn.toml:ro")));
    }
    for dir in certificate_dirs(facts) {
        let _ = writeln!(text, "      - {}", yaml(&format!("{dir}:{dir}:ro")));
    }
    let files = secret_files(facts);
    for file in &files {
        let _ = writeln!(text, "      - {}", yaml(&format!("{file}:{file}:ro")));
    }
    text.push_str("      - \"taciturn-state:/var/lib/taciturn\"\n    environment:\n");
    if config.is_some() {
        let variable = if facts.coturn { "TACITURN_COTURN_CONFIG" } else { "TACITURN_CONFIG" };
        let _ = writeln!(text, "      {variable}: \"/etc/taciturn/taciturn.toml\"");
    }
    text.push_str(
        "      TACITURN_STATE_DIR: \"/var/lib/taciturn\"\n\nvolumes:\n  taciturn-state: {}\n",
    );
    Snippet::new(
        text,
        "compose.yaml; `docker compose up -d`. The user of the image must be able to read what is \
         mounted",
    )
}

/// `udp` or `tcp`.
fn protocol(listen: &Listen) -> &'static str {
    if listen.transport.is_datagram() { "udp" } else { "tcp" }
}

/// Ports that everybody may reach: UDP, then TCP, in the order of the file.
fn public_ports(facts: &Facts<'_>, wanted: &str) -> Vec<u16> {
    let mut ports = Vec::new();
    for listen in facts.open().filter(|listen| !listen.proxy_protocol) {
        let port = listen.address.port();
        if protocol(listen) == wanted && port != 0 && !ports.contains(&port) {
            ports.push(port);
        }
    }
    ports
}

/// The ports of proxies, each with who may come.
fn proxied<'a>(facts: &Facts<'a>) -> impl Iterator<Item = (SocketAddr, &'a Listen)> {
    let behind = facts.open().filter(|listen| listen.proxy_protocol && listen.address.port() != 0);
    behind.map(|listen| (listen.address, listen))
}

/// Commands for ufw, a line each.
pub(crate) fn ufw(facts: &Facts<'_>) -> String {
    let mut text = String::new();
    for wanted in ["udp", "tcp"] {
        for port in public_ports(facts, wanted) {
            let _ = writeln!(text, "ufw allow {port}/{wanted}");
        }
    }
    for (address, listen) in proxied(facts) {
        for net in listen.trusted_proxies.iter().filter(|net| !net.addr().is_loopback()) {
            let port = address.port();
            let _ = writeln!(text, "ufw allow from {net} to any port {port} proto tcp");
        }
    }
    let range = facts.config.relay_ports;
    let _ = writeln!(text, "ufw allow {}:{}/udp", range.first(), range.last());
    text
}

/// Commands for nftables, a line each. They put rules in front, before one that drops.
pub(crate) fn nft(facts: &Facts<'_>) -> String {
    const RULE: &str = "nft insert rule inet filter input";
    let set = |ports: Vec<String>| format!("'{{ {} }}'", ports.join(", "));
    let shown = |ports: Vec<u16>| ports.iter().map(ToString::to_string).collect::<Vec<_>>();
    let mut text = String::new();
    let range = facts.config.relay_ports;
    let mut udp = shown(public_ports(facts, "udp"));
    udp.push(format!("{}-{}", range.first(), range.last()));
    let _ = writeln!(text, "{RULE} udp dport {} accept", set(udp));
    let tcp = shown(public_ports(facts, "tcp"));
    if !tcp.is_empty() {
        let _ = writeln!(text, "{RULE} tcp dport {} accept", set(tcp));
    }
    for (address, listen) in proxied(facts) {
        for net in listen.trusted_proxies.iter().filter(|net| !net.addr().is_loopback()) {
            let family = if net.addr().is_ipv4() { "ip" } else { "ip6" };
            let port = address.port();
            let _ = writeln!(text, "{RULE} {family} saddr {net} tcp dport {port} accept");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use taciturn_config::Config;
    use taciturn_config::uris::Host;

    #[test]
    fn a_port_for_udp_and_dtls_is_opened_once_and_for_udp() {
        let toml = "auth.secrets = [\"a secret of some length\"]\ntls.certbot = \"/live/h.org\"\n\
                    listen = [\"udp+dtls:[::]:3478\", \"udp+dtls:[::]:5349\", \"auto:[::]:3478\"]\n";
        let config = Config::from_toml(toml).unwrap().config;
        let facts = Facts::of(&config, Host::Known("h.org".into()));
        assert_eq!(
            ufw(&facts),
            "ufw allow 3478/udp\nufw allow 5349/udp\nufw allow 3478/tcp\nufw allow 59000:60100/udp\n"
        );
        assert!(nft(&facts).contains("udp dport '{ 3478, 5349, 59000-60100 }' accept\n"));
        assert_eq!((facts.udp(), facts.tcp(), facts.tls()), (Some(3478), Some(3478), Some(3478)));
    }
}
