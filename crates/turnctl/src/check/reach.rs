//! Whether something answers at each address of each URI, and whether it is a TURN server.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::task::JoinSet;

use super::{dns, tls};
use crate::client::{
    Challenge, Client, ClientError, Connection, Opened, Roots, ServerCertificate, Spoken, TurnUri,
};
use crate::report::{Finding, Status};
use taciturn_turn::policy::is_public;

/// An address of a URI.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// The URI.
    pub(super) uri: TurnUri,
    /// One of its addresses.
    pub(super) address: SocketAddr,
}

impl Target {
    /// `TCP 203.0.113.7:3478`.
    pub(super) fn shown(&self) -> String {
        format!("{} {}", self.uri.spoken().name(), self.address)
    }

    /// A client with a connection of its own.
    pub(super) async fn connect(
        &self,
        roots: &Roots,
        patience: Duration,
    ) -> Result<(Client, Option<ServerCertificate>), ClientError> {
        let (spoken, host) = (self.uri.spoken(), &self.uri.host);
        let opened = Connection::open(spoken, self.address, host, roots, patience);
        let (connection, certificate) = opened.await?;
        Ok((Client::new(connection, patience), certificate))
    }
}

/// What answered.
#[derive(Debug, Default)]
pub(super) struct Reached {
    /// In the order of the tests.
    pub(super) findings: Vec<Finding>,
    /// Whether a TURN server answers there, by a connection that clients accept.
    pub(super) usable: bool,
    /// Whether this machine has no way to an address of this family.
    pub(super) no_route: bool,
    /// The answer to a stranger; `None` where there was no usable one.
    pub(super) challenge: Option<Challenge>,
    /// One round trip.
    pub(super) rtt: Option<Duration>,
    /// Where the server sees this machine.
    pub(super) mapped: Option<SocketAddr>,
    /// Bytes of a Binding request and of its answer.
    pub(super) binding_sizes: Option<(usize, usize)>,
}

/// Tries all targets at the same time. The results are in the order of `targets`.
pub(super) async fn all(targets: &[Target], roots: &Roots, patience: Duration) -> Vec<Reached> {
    let mut tasks = JoinSet::new();
    for (at, target) in targets.iter().cloned().enumerate() {
        let roots = roots.clone();
        tasks.spawn(async move { (at, one(&target, &roots, patience).await) });
    }
    let mut results: Vec<Reached> = targets.iter().map(|_| Reached::default()).collect();
    while let Some(joined) = tasks.join_next().await {
        if let Ok((at, reached)) = joined
            && let Some(slot) = results.get_mut(at)
        {
            *slot = reached;
        }
    }
    results
}

async fn one(target: &Target, roots: &Roots, patience: Duration) -> Reached {
    let mut reached = Reached::default();
    let (mut client, certificate) = match target.connect(roots, patience).await {
        Ok(connected) => connected,
        Err(error) => {
            reached.no_route = matches!(error, ClientError::NoRoute);
            // The connection was there: it ended when TLS began.
            let ended = target.uri.spoken() == Spoken::Tls && matches!(error, ClientError::Closed);
            reached.findings.push(if ended {
                tls::not_spoken(&target.uri.host)
            } else {
                unreachable(target, &error)
            });
            return reached;
        }
    };
    if let Some(certificate) = certificate {
        reached.findings.extend(tls::judge(&target.uri.host, &certificate));
        if reached.findings.iter().any(|finding| finding.status == Status::Fail) {
            return reached;
        }
    }
    let opened = client.open().await;
    // An allocation that was given to a stranger must not stay, nor a Binding be refused for it.
    if matches!(opened, Ok(Opened::Granted(_))) {
        let _ = client.refresh(0).await;
    }
    let silent = matches!(opened, Err(ClientError::Silent { .. }));
    if silent {
        client.set_patience(patience.min(Duration::from_secs(2)));
    }
    let binding = if opened.is_ok() || silent { client.binding().await.ok() } else { None };
    match opened {
        Ok(Opened::Granted(_)) => reached.usable = true,
        Ok(Opened::Challenged(challenge)) => {
            reached.usable = true;
            reached.challenge = Some(challenge);
        }
        Err(_) if silent && binding.is_some() => {
            reached.findings.push(stun_only(target));
            return reached;
        }
        Err(error) => {
            reached.no_route = matches!(error, ClientError::NoRoute);
            reached.findings.push(unreachable(target, &error));
            return reached;
        }
    }
    if let Some((mapped, answer)) = binding {
        reached.binding_sizes = Some((answer.request_len, answer.len()));
        reached.mapped = Some(mapped);
        // RFC 8489 section 6.2.1 (Karn): of a request sent twice the round trip is not known.
        reached.rtt = (answer.sends == 1).then_some(answer.took);
    }
    if target.uri.spoken() == Spoken::Udp
        && let Some(mapped) = reached.mapped
        && let Ok((again, _)) = client.binding().await
        && again != mapped
    {
        reached.usable = false;
        reached.findings.push(port_changes(target, mapped, again));
        return reached;
    }
    let first = reached.findings.len();
    reached.findings.insert(0, answered(target, &reached));
    if let Some(hidden) = reached.mapped.and_then(|mapped| client_hidden(target, mapped)) {
        reached.findings.insert(first + 1, hidden);
    }
    reached
}

fn answered(target: &Target, reached: &Reached) -> Finding {
    let software = reached.challenge.as_ref().and_then(|challenge| challenge.software.as_ref());
    let software = software.map_or_else(String::new, |name| format!(", \"{name}\""));
    let rtt = reached.rtt.map_or_else(String::new, |rtt| format!(" in {}", super::ms(rtt)));
    Finding::pass("reachable", format!("{} answers{rtt}{software}", target.shown()))
}

/// Behind a proxy that does not tell, all clients have the proxy's address.
fn client_hidden(target: &Target, mapped: SocketAddr) -> Option<Finding> {
    let server = target.address.ip();
    // On the server's own machine it is no proxy: a datagram to an address of this machine comes from there.
    let elsewhere = || std::net::UdpSocket::bind((server, 0)).is_err();
    let hidden =
        is_public(server) && (!is_public(mapped.ip()) || mapped.ip() == server) && elsewhere();
    hidden.then(|| {
        Finding::warn(
            "client-hidden",
            format!("{} sees this machine at {mapped}, which is not its address", target.shown()),
        )
        .why(
            "a proxy or Docker's port forwarding stands in front of the server. Firefox drops such \
             an allocation as bogus, and the server cannot tell one client from another.",
        )
        .fix(
            "Use the host's network for the server (network_mode: host), or let the proxy send the \
             PROXY protocol and switch it on in the server (taciturn: proxy_protocol = true).",
        )
    })
}

/// Two requests of one socket that arrive from two places: no nonce and no allocation is good for the second.
fn port_changes(target: &Target, first: SocketAddr, second: SocketAddr) -> Finding {
    Finding::fail(
        "client-port-changes",
        format!(
            "{} sees two packets of this machine at {first} and {second}: something changes the client's port \
             between packets",
            target.shown()
        ),
    )
    .why(
        "the server knows a client by its address and port, so each packet is one of a new client: it answers 438, \
         and no allocation comes about.",
    )
    .fix(
        "A UDP proxy or load balancer must keep one port for each client: in nginx remove proxy_responses (1 ends \
         the session with the first answer) and set proxy_timeout to 10m. Or let UDP reach the server without a \
         proxy.",
    )
}

fn stun_only(target: &Target) -> Finding {
    Finding::fail("stun-only", format!("{} answers STUN, but no TURN", target.shown()))
        .why("without a relay only those calls work that find a direct way.")
        .fix(
            "Look whether this is the server you mean: another program may have the port \
             (ss -lunp 'sport = :3478' on the server names it), or TURN is off there (coturn: \
             stun-only must not be set).",
        )
}

/// What it means that a target does not answer as it should.
fn unreachable(target: &Target, error: &ClientError) -> Finding {
    let shown = target.shown();
    let (port, spoken) = (target.address.port(), target.uri.spoken());
    let protocol = if spoken == Spoken::Udp { "udp" } else { "tcp" };
    match error {
        ClientError::NoRoute => Finding::skip(
            "no-route",
            format!(
                "{shown} not tested: this machine has no {}",
                if target.address.is_ipv6() { "IPv6" } else { "route to it" }
            ),
        ),
        ClientError::Silent { .. } | ClientError::PortClosed | ClientError::HostUnreachable
            if dns::is_cloudflare(target.address.ip()) =>
        {
            Finding::fail(
                "dns-cloudflare-proxied",
                format!(
                    "{shown} is Cloudflare's proxy, not the server: nothing answers TURN there"
                ),
            )
            .why("Cloudflare's proxy passes web traffic on, and no TURN.")
            .fix(format!(
                "In Cloudflare's DNS set the record of {} to \"DNS only\" (grey cloud).",
                target.uri.host
            ))
        }
        ClientError::PortClosed => Finding::fail(
            "port-refused",
            format!("{shown} is closed: the machine answers that nothing listens there"),
        )
        .why("clients get no relay by this URI (in the browser: error 701).")
        .fix(format!(
            "The server does not run, or not on this port and address, or a router in front of it \
             has no port mapping for {port}/{protocol}. On the server:\n  {}\nshows who listens. \
             Behind a router map {port}/{protocol} and the relay range to the server.",
            listing(protocol, port)
        )),
        ClientError::Silent { .. } | ClientError::HostUnreachable => {
            Finding::fail("port-silent", format!("{shown} does not answer: {error}"))
                .why(
                    "clients get no relay by this URI (in the browser: error 701). Silence mostly \
                     means a firewall, often the one in the provider's panel.",
                )
                .fix(format!(
                    "Open {port}/{protocol}, on the server and at its provider:\n  ufw allow \
                     {port}/{protocol}\nand look on the server that it runs and listens:\n  {}",
                    listing(protocol, port)
                ))
        }
        ClientError::Tls(error) => tls::handshake(&target.uri.host, error),
        ClientError::NotStun(_) | ClientError::Closed => {
            Finding::fail("not-turn", format!("what answers at {shown} is no TURN server: {error}"))
                .why("clients get no relay by this URI.")
                .fix(format!(
                    "Another program has the port, a web server for example, or the URI has the \
                     wrong scheme: turns: for TLS, turn: without. On the server:\n  {}",
                    listing(protocol, port)
                ))
        }
        ClientError::Incomplete { what, .. } => Finding::fail(
            "challenge-incomplete",
            format!("{shown} refuses strangers without telling them its {what}"),
        )
        .why("a client cannot log in without it.")
        .fix("Set the realm in the server's configuration:\n  realm=turn.example.org"),
        ClientError::Refused { code: 400 | 404 | 405 | 501, .. } => stun_only(target),
        error => Finding::fail("unexpected-answer", format!("{shown}: {error}"))
            .why("a TURN server answers a stranger with 401 and its realm.")
            .fix("Look into the server's log."),
    }
}

fn listing(protocol: &str, port: u16) -> String {
    let kind = if protocol == "udp" { "-lunp" } else { "-ltnp" };
    format!("ss {kind} 'sport = :{port}'")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(address: &str) -> Target {
        let uri: TurnUri = "turn:turn.example.org".parse().unwrap();
        Target { uri, address: address.parse().unwrap() }
    }

    #[test]
    fn an_address_that_no_client_has_means_a_proxy() {
        let id = |server: &str, mapped: &str| {
            client_hidden(&target(server), mapped.parse().unwrap()).map(|finding| finding.id)
        };
        assert_eq!(id("8.8.4.4:3478", "9.9.9.9:1"), None);
        assert_eq!(id("8.8.4.4:3478", "172.18.0.1:1"), Some("client-hidden"));
        assert_eq!(id("8.8.4.4:3478", "8.8.4.4:1"), Some("client-hidden"));
        assert_eq!(id("192.168.1.5:3478", "192.168.1.7:1"), None, "a server at home");
    }

    #[test]
    fn silence_is_told_apart_by_where_it_comes_from() {
        let silent = || ClientError::Silent { waited: Duration::from_secs(4) };
        let id = |address: &str, error| unreachable(&target(address), &error).id;
        assert_eq!(id("8.8.4.4:3478", silent()), "port-silent");
        assert_eq!(id("104.16.1.1:3478", silent()), "dns-cloudflare-proxied");
        assert_eq!(id("104.16.1.1:3478", ClientError::PortClosed), "dns-cloudflare-proxied");
        assert_eq!(id("8.8.4.4:3478", ClientError::PortClosed), "port-refused");
        let no_route = unreachable(&target("[2a00::1]:3478"), &ClientError::NoRoute);
        assert_eq!(no_route.status, Status::Skip);
        assert!(no_route.title.contains("this machine has no IPv6"), "{}", no_route.title);
    }
}
