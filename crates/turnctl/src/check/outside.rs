//! The relay range as a peer sees it: this machine sends straight to relayed addresses, without
//! going through its own connection. It is what finds a range that no firewall lets through.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout};

use super::reach::Target;
use super::{Run, capacity, entering};
use crate::client::{Allocation, Client, ClientError, Incoming, Shortage, random};
use crate::report::{Finding, Section, Status};

/// How many more allocations are made, for a look at more ports of the range.
const SAMPLES: usize = 7;

const TRIES: usize = 6;
const WAIT: Duration = Duration::from_millis(300);

/// What came of a packet straight to a relayed address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Probe {
    /// It arrived, and the answer came from the relayed address.
    Open,
    /// It arrived; the answer came from another port or address.
    Rewritten(SocketAddr),
    /// It arrived; no answer came out.
    OneWay,
    /// It came back as "port unreachable".
    Refused,
    /// Nothing.
    Silent,
}

/// Tries the allocation of `client` and some more. Returns whether peers get through, as far as
/// can be told from here.
pub(super) async fn test(
    run: &mut Run<'_>,
    target: &Target,
    section: &mut Section,
    client: &mut Client,
    allocation: &Allocation,
) -> bool {
    let server = (target.uri.host.clone(), allocation.relayed.ip());
    if let Some(known) = run.relays_tested.get(&server) {
        return *known;
    }
    let Some(mapped) = allocation.mapped.or_else(|| run.mapped_for(target)) else { return true };
    if mapped.is_ipv4() != allocation.relayed.is_ipv4() {
        return true;
    }
    if mapped.ip() == allocation.relayed.ip() {
        let title = "relay ports not tried from outside: this is the server's own machine. Run this \
                     check on another";
        section.push(Finding::skip("relay-reachable", title));
        run.relays_tested.insert(server, true);
        return true;
    }
    match client.permit(mapped.ip()).await {
        Ok(()) => {}
        Err(error) => {
            let title = format!(
                "relay ports not tried from outside: the server takes {} for no peer ({error}). Run \
                 this check on another network",
                mapped.ip()
            );
            section.push(Finding::skip("relay-reachable", title));
            run.relays_tested.insert(server, true);
            return true;
        }
    }
    let mut results = BTreeMap::new();
    match probe(client, allocation.relayed).await {
        Ok(result) => results.insert(allocation.relayed.port(), result),
        Err(error) => {
            section.push(Finding::skip("relay-reachable", format!("not tried: {error}")));
            return true;
        }
    };
    let samples = more(run, target, section, mapped.ip(), &mut results).await;
    for mut client in samples {
        let _ = client.refresh(0).await;
    }
    let finding = judge(run, &results, allocation.relayed.ip());
    let fine = finding.status < Status::Fail;
    section.push(finding);
    run.relays_tested.insert(server, fine);
    fine
}

/// Probes further allocations; hands their clients over to be ended.
async fn more(
    run: &Run<'_>,
    target: &Target,
    section: &mut Section,
    here: IpAddr,
    results: &mut BTreeMap<u16, Probe>,
) -> Vec<Client> {
    let mut samples = Vec::new();
    // All of them at once: an ended one's port might be handed out again.
    for at in 0..SAMPLES {
        match entering::another(run, target, None).await {
            Ok(sample) => samples.push(sample),
            Err(error) => {
                // This one, its second and `at` more were granted.
                if let Some(shortage) = Shortage::of(&error) {
                    section.push(capacity::no_more(shortage, at + 2));
                }
                break;
            }
        }
    }
    let probes = samples.into_iter().map(|(mut client, allocation)| async move {
        let permitted = client.permit(here).await;
        let result = match permitted {
            Ok(()) => probe(&mut client, allocation.relayed).await,
            Err(error) => Err(error),
        };
        (client, allocation.relayed.port(), result)
    });
    let mut tasks = tokio::task::JoinSet::new();
    for probe in probes {
        tasks.spawn(probe);
    }
    let mut clients = Vec::new();
    while let Some(joined) = tasks.join_next().await {
        let Ok((client, port, result)) = joined else { continue };
        if let Ok(result) = result {
            results.insert(port, result);
        }
        clients.push(client);
    }
    clients
}

fn judge(run: &Run<'_>, results: &BTreeMap<u16, Probe>, relayed: IpAddr) -> Finding {
    let ports = |wanted: fn(&Probe) -> bool| -> Vec<String> {
        let with = results.iter().filter(|(_, probe)| wanted(probe));
        with.map(|(port, _)| port.to_string()).collect()
    };
    let open = ports(|probe| matches!(probe, Probe::Open));
    let closed = ports(|probe| !matches!(probe, Probe::Open));
    let rewritten = results.values().find_map(|probe| match probe {
        Probe::Rewritten(from) => Some(*from),
        _ => None,
    });
    let range = run.plan.expect_ports.map_or_else(
        || "59000:60100".to_owned(),
        |range| format!("{}:{}", range.first(), range.last()),
    );
    let why = "the media of a call come in there: it rings, and stays at \"Connecting\".";
    if closed.is_empty() {
        let title = match open.len() {
            1 => format!("the relay port {} is open from here", open.join("")),
            n => format!("{n} relay ports are open from here: {}", open.join(", ")),
        };
        return Finding::pass("relay-reachable", title);
    }
    if let Some(from) = rewritten {
        return Finding::fail(
            "relay-port-rewritten",
            format!("what the relay sends comes from {from}, not from a relayed address"),
        )
        .why(
            "a NAT in front of the server changes it, and the other side of a call takes packets \
             only from the address it was told.",
        )
        .fix(
            "Map the relay range one to one on that NAT, or run the server where the public address \
             is (in Docker: network_mode: host).",
        );
    }
    if !open.is_empty() {
        return Finding::fail(
            "relay-range-partial",
            format!(
                "of the relay ports some are open ({}), some not ({})",
                open.join(", "),
                closed.join(", ")
            ),
        )
        .why("some calls work and some do not, by chance.")
        .fix(format!(
            "The server's range and the one that is open or mapped differ. Make them the same:\n  \
             ufw allow {range}/udp\nIn Docker map the whole range, or use network_mode: host."
        ));
    }
    if !run.udp_works {
        return Finding::skip(
            "relay-reachable",
            "relay ports not tried from outside: no UDP of this network is answered",
        );
    }
    if results.values().any(|probe| *probe == Probe::Refused) {
        return Finding::fail(
            "relay-unmapped",
            format!("relay ports of {relayed} ({}) answer that nothing listens there", closed.join(", ")),
        )
        .why(format!("{why} A router or Docker stands in front, and does not pass these ports on."))
        .fix(format!(
            "Map UDP {range} on the router to the server, as a range and to the same ports; in Docker \
             use network_mode: host, or publish the range. A firewall that rejects answers like \
             this, too:\n  ufw allow {range}/udp"
        ));
    }
    if results.values().any(|probe| *probe == Probe::OneWay) {
        return Finding::fail(
            "relay-one-way",
            format!("packets reach the relay at {relayed}, and none comes out to this machine"),
        )
        .why(why)
        .fix("Let the server's firewall pass UDP from the relay range to anywhere.");
    }
    Finding::fail(
        "relay-blocked",
        format!("nothing reaches the relay ports of {relayed} (tried {})", closed.join(", ")),
    )
    .why(why)
    .fix(format!(
        "Open the relay range for UDP, on the server and in the provider's panel:\n  ufw allow \
         {range}/udp"
    ))
}

/// A packet straight to the relayed address of `client`, and one back. The permission is there.
async fn probe(client: &mut Client, relayed: SocketAddr) -> Result<Probe, ClientError> {
    let any: IpAddr = match relayed {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    // Not connected: an answer from elsewhere is to be seen.
    let socket = UdpSocket::bind((any, 0)).await?;
    let token: [u8; 16] = random()?;
    let mut peer = None;
    for _ in 0..TRIES {
        socket.send_to(&token, relayed).await?;
        peer = arrival(client, &token).await?;
        if peer.is_some() {
            break;
        }
    }
    let Some(peer) = peer else { return refusal(relayed).await };
    let token: [u8; 16] = random()?;
    let mut buffer = [0; 2048];
    for _ in 0..TRIES {
        client.send_to(peer, &token).await?;
        let deadline = Instant::now() + WAIT;
        while let Ok(received) =
            tokio::time::timeout_at(deadline, socket.recv_from(&mut buffer)).await
        {
            let (len, from) = received?;
            if buffer.get(..len) == Some(&token[..]) {
                return Ok(if from == relayed { Probe::Open } else { Probe::Rewritten(from) });
            }
        }
    }
    Ok(Probe::OneWay)
}

/// Waits for `token` to come through the relay; answers who sent it.
async fn arrival(client: &mut Client, token: &[u8]) -> Result<Option<SocketAddr>, ClientError> {
    let deadline = Instant::now() + WAIT;
    while let Some(incoming) = client.receive(deadline).await? {
        if let Incoming::Indication { peer, data } = incoming
            && data == token
        {
            return Ok(Some(peer));
        }
    }
    Ok(None)
}

/// Whether an ICMP message says that the port is closed; only a connected socket hears it.
async fn refusal(relayed: SocketAddr) -> Result<Probe, ClientError> {
    let any: IpAddr = match relayed {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(relayed).await?;
    let mut buffer = [0; 64];
    for _ in 0..2 {
        let sent = socket.send(&[0; 4]).await;
        let received = timeout(WAIT, socket.recv(&mut buffer)).await;
        if sent.is_err() || matches!(received, Ok(Err(_))) {
            return Ok(Probe::Refused);
        }
    }
    Ok(Probe::Silent)
}
