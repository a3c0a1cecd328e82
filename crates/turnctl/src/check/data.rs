//! Data through the relay: between two clients of the server, and to an echo outside.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::beside;
use crate::client::{Allocation, Client, ClientError, Incoming, random};
use crate::report::Finding;
use taciturn_stun::{
    AttributeType as T, ChannelNumber, Class, Message, Method, TransactionId, Writer,
};

/// How often a packet is sent, and how long each is waited for.
const TRIES: usize = 6;
const WAIT: Duration = Duration::from_millis(400);

/// The channel to an echo that nothing comes back from.
const LAST_CHANNEL: u16 = 0x4FFF;

/// The channel that both sides bind to each other: the first one (RFC 8656 section 12).
pub(super) fn channel() -> Result<ChannelNumber, ClientError> {
    ChannelNumber::new(0x4000).ok_or_else(|| std::io::Error::other("no channel").into())
}

/// Permission, Send and Data indications one way, a channel the other way; then channels both
/// ways, which stay.
pub(super) async fn both_ways(
    a: &mut Client,
    allocation_a: &Allocation,
    b: &mut Client,
    allocation_b: &Allocation,
) -> Result<(), ClientError> {
    let channel = channel()?;
    b.permit(allocation_a.relayed.ip()).await?;
    a.bind(channel, allocation_b.relayed).await?;
    let token: [u8; 16] = random()?;
    until_it_comes(
        async |_| a.send_on(channel, &token).await,
        b,
        |incoming| {
            matches!(incoming, Incoming::Indication { peer, data }
            if *peer == allocation_a.relayed && *data == token)
        },
    )
    .await?;
    let token: [u8; 16] = random()?;
    until_it_comes(
        async |_| b.send_to(allocation_a.relayed, &token).await,
        a,
        |incoming| {
            matches!(incoming, Incoming::Channel { channel: from, data }
            if *from == channel && *data == token)
        },
    )
    .await?;
    b.bind(channel, allocation_a.relayed).await
}

/// Sends until `client` has received what is expected.
async fn until_it_comes(
    mut send: impl AsyncFnMut(usize) -> Result<(), ClientError>,
    client: &mut Client,
    expected: impl Fn(&Incoming) -> bool,
) -> Result<(), ClientError> {
    for at in 0..TRIES {
        send(at).await?;
        let deadline = Instant::now() + WAIT;
        while let Some(incoming) = client.receive(deadline).await? {
            if expected(&incoming) {
                return Ok(());
            }
        }
    }
    Err(ClientError::Silent { waited: WAIT * TRIES as u32 })
}

/// What it means that two clients do not reach each other. `explained`: it has been said already
/// that the relayed addresses cannot be reached.
pub(super) fn fault(error: &ClientError, explained: bool) -> Finding {
    if explained {
        return Finding::skip(
            "relay-to-relay",
            "data between two clients get lost, too (for the same reason)",
        );
    }
    match error.code() {
        Some(403) => Finding::fail(
            "relay-to-relay-refused",
            "the server refuses its own relayed address as a peer (403)",
        )
        .why("two users who both need the relay cannot talk: the call stays at \"Connecting\".")
        .fix(
            "Allow the server's own address, and it alone:\n  coturn:   allowed-peer-ip=ADDRESS\n\
             taciturn allows this by itself, unless deny in [peers] names the address.",
        ),
        _ => Finding::fail(
            "relay-to-relay",
            format!("data between two clients of the server get lost: {error}"),
        )
        .why("two users who both need the relay cannot talk: the call stays at \"Connecting\".")
        .fix(
            "Where the server is behind a NAT, it must reach its own public address from inside \
             (hairpin). In its firewall, packets from it to itself must pass.",
        ),
    }
}

/// A packet to an echo outside and back. It is a STUN Binding request, so a STUN server serves as
/// an echo as well, and tells where the packet came from.
pub(super) async fn echo(client: &mut Client, allocation: &Allocation, echo: &str) -> Finding {
    match echoed(client, allocation, echo).await {
        Ok((peer, None)) => Finding::pass("echo", format!("a packet to {peer} came back")),
        Ok((peer, Some(seen))) if seen == allocation.relayed => Finding::pass(
            "echo",
            format!("{peer} sees the relay where it should be, at {seen}, and answers"),
        ),
        Ok((peer, Some(seen))) => Finding::fail(
            "relay-port-rewritten",
            format!("{peer} sees the relay at {seen}, not at {}", allocation.relayed),
        )
        .why(
            "a NAT in front of the server changes the address of what it sends. The other side of a \
             call takes packets only from the address it was told.",
        )
        .fix(
            "Map the relay range one to one on that NAT, or run the server where the public address \
             is (in Docker: network_mode: host).",
        ),
        Err(EchoFault::Name) => Finding::fail("echo-name", format!("--echo {echo}: no such host"))
            .why("the test towards the outside was not made.")
            .fix("Write HOST:PORT of a UDP echo or of a STUN server, of the family that is relayed."),
        Err(EchoFault::Own(peer)) => beside::refused_echo(peer),
        Err(EchoFault::Client(error)) if error.code() == Some(403) => {
            Finding::fail("echo-refused", format!("the server refuses {echo} as a peer (403)"))
                .why("the peer is in a network that the server does not relay to.")
                .fix("Right for private addresses. Otherwise look at the server's rules for peers.")
        }
        Err(EchoFault::Client(error)) => {
            Finding::fail("echo-lost", format!("nothing comes back from {echo}: {error}"))
                .why("the relay does not reach the outside, or its answers do not reach the relay.")
                .fix(
                    "Open the relay range for UDP, in and out, on the server and at its provider:\n  \
                     ufw allow 59000:60100/udp\nand look whether the echo itself answers.",
                )
        }
    }
}

enum EchoFault {
    Name,
    /// The server refuses it, a port of its own address.
    Own(SocketAddr),
    Client(ClientError),
}

impl From<ClientError> for EchoFault {
    fn from(error: ClientError) -> Self {
        Self::Client(error)
    }
}

async fn echoed(
    client: &mut Client,
    allocation: &Allocation,
    echo: &str,
) -> Result<(SocketAddr, Option<SocketAddr>), EchoFault> {
    let looked_up = timeout(Duration::from_secs(6), tokio::net::lookup_host(echo)).await;
    let addresses = looked_up.map_err(|_| EchoFault::Name)?.map_err(|_| EchoFault::Name)?;
    let same = |peer: &SocketAddr| peer.is_ipv4() == allocation.relayed.is_ipv4();
    let peer = addresses.into_iter().find(same).ok_or(EchoFault::Name)?;
    client.permit(peer.ip()).await?;
    let tid = TransactionId(random()?);
    let mut request = [0; 64];
    let writer = Writer::new(&mut request, Class::Request, Method::BINDING, tid).finish();
    let len = writer.map_err(|error| ClientError::from(std::io::Error::other(error)))?;
    let request = request.get(..len).unwrap_or_default();
    for _ in 0..TRIES {
        client.send_to(peer, request).await?;
        let deadline = Instant::now() + WAIT;
        while let Some(incoming) = client.receive(deadline).await? {
            let Incoming::Indication { peer: from, data } = incoming else { continue };
            if from != peer {
                continue;
            }
            let answer = Message::parse(&data).ok().filter(|m| m.transaction_id() == tid);
            match answer {
                Some(answer) if answer.class() == Class::Success => {
                    let plain = answer.find(T::XOR_MAPPED_ADDRESS).is_some();
                    return Ok((peer, answer.mapped_address().filter(|_| plain)));
                }
                _ if data == request => return Ok((peer, None)),
                _ => {}
            }
        }
    }
    // A permission for an own address says nothing of the port; a channel does.
    if peer.ip() == allocation.relayed.ip()
        && beside::is_refused(client, LAST_CHANNEL, peer).await?
    {
        return Err(EchoFault::Own(peer));
    }
    Err(ClientError::Silent { waited: WAIT * TRIES as u32 }.into())
}
