//! Media servers on the relay's own machine: whether clients of the relay reach them. Only a check on that machine
//! sees them.

use std::net::{IpAddr, SocketAddr, UdpSocket};

use crate::client::{Allocation, Client, ClientError};
use crate::doctor::media::{Running, running_here};
use crate::report::Finding;
use taciturn_config::allow_line;
use taciturn_stun::ChannelNumber;

/// So many ports of one media server are tried.
const TRIED: usize = 8;

/// The first of the channels that are bound for it: beyond those of the other tests.
const FIRST_CHANNEL: u16 = 0x4F00;
const MOST_CHANNELS: u16 = 64;

/// Binds a channel to each port that a media server of this machine has at the relayed address, as a client does
/// that sends media there.
pub(super) async fn test(client: &mut Client, allocation: &Allocation) -> Vec<Finding> {
    let relay = allocation.relayed.ip();
    if !is_of_this_machine(relay) {
        return Vec::new();
    }
    let mut channels = FIRST_CHANNEL..FIRST_CHANNEL + MOST_CHANNELS;
    let mut findings = Vec::new();
    for running in running_here(&[relay]) {
        let mut tried = Vec::new();
        for port in running.ports.iter().copied().take(TRIED) {
            let Some(channel) = channels.next() else { return findings };
            match is_refused(client, channel, SocketAddr::new(relay, port)).await {
                Ok(refused) => tried.push((port, refused)),
                // Whatever it is, the other tests say it better.
                Err(_) => return findings,
            }
        }
        findings.extend(judge(&running, relay, &tried));
    }
    findings
}

/// An address of this machine can be bound to.
fn is_of_this_machine(ip: IpAddr) -> bool {
    UdpSocket::bind((ip, 0)).is_ok()
}

/// Whether the server refuses this peer, in the way that it refuses what its rules do not let clients have.
pub(super) async fn is_refused(
    client: &mut Client,
    channel: u16,
    peer: SocketAddr,
) -> Result<bool, ClientError> {
    let channel = ChannelNumber::new(channel);
    let channel = channel.ok_or_else(|| std::io::Error::other("no channel"))?;
    match client.bind(channel, peer).await {
        Ok(()) => Ok(false),
        Err(error) if error.code() == Some(403) => Ok(true),
        Err(error) => Err(error),
    }
}

fn judge(running: &Running, relay: IpAddr, tried: &[(u16, bool)]) -> Option<Finding> {
    let name = running.server.name;
    let refused: Vec<u16> =
        tried.iter().filter(|(_, refused)| *refused).map(|(port, _)| *port).collect();
    if refused.is_empty() {
        let title = format!("{name} on this machine may be a peer");
        return (!tried.is_empty()).then(|| Finding::pass("media-server", title));
    }
    let shown: Vec<_> = refused.iter().map(u16::to_string).collect();
    let line = allow_line(&running.entries(&refused));
    Some(
        Finding::warn(
            "media-server-refused",
            format!(
                "{name} runs on this machine, and the server refuses it as a peer (403): {relay}, {} {}",
                if shown.len() == 1 { "port" } else { "ports" },
                shown.join(", ")
            ),
        )
        .why("clients that need the relay do not reach it: their calls and streams stay without media.")
        .fix(format!(
            "Allow its ports (they are set by {}), in addition to what is allowed already, and reload:\n  \
             taciturn: {line}\n  coturn:   allowed-peer-ip={relay}   (all ports)",
            running.server.setting
        )),
    )
}

/// What it means that the server refuses a port of its own address, where the operator runs a program.
pub(super) fn refused_echo(peer: SocketAddr) -> Finding {
    Finding::fail(
        "echo-own-address",
        format!("the server refuses {peer}, a port of its own address, as a peer (403)"),
    )
    .why("a media server beside the relay, on the same address, is out of reach for clients behind the relay.")
    .fix(format!(
        "Allow the port, and reload:\n  taciturn: {}   (docs/networks.md)\n  coturn:   allowed-peer-ip={}   (all ports)",
        allow_line(&[format!("self:{}", peer.port())]),
        peer.ip()
    ))
}
