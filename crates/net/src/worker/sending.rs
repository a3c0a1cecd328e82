//! Where what the shard wants sent goes.

use std::io;
use std::net::{IpAddr, SocketAddr};

use crate::batch::{Destination, Egress, Outgoing, send};
use crate::io::{Io, Which};
use taciturn_turn::{Client, Verdict, Via};

/// Sends what a verdict wants sent: into the egress, or into the line of a connection, or as a
/// record of DTLS. `base` is where the packet begins in `bytes`.
pub(crate) fn forward(
    egress: &mut Egress,
    io: &mut Io,
    verdict: Verdict,
    bytes: &[u8],
    base: usize,
) {
    match verdict {
        Verdict::ToPeer { relay, peer, payload, dont_fragment } => {
            let to = Destination {
                socket: Which::Relay(relay).number(),
                address: peer,
                source: None,
                dont_fragment,
            };
            egress.push(to, None, base + payload.start..base + payload.end, 0);
        }
        Verdict::ToClient { client, prefix, payload, padding } => {
            let payload = base + payload.start..base + payload.end;
            match client.via {
                Via::Udp(number) => {
                    let to = Destination {
                        socket: Which::Listener(number).number(),
                        address: client.remote.0,
                        source: source(io, client),
                        dont_fragment: false,
                    };
                    egress.push(to, Some(prefix), payload, padding);
                }
                Via::Stream { connection, .. } => {
                    if let Some(line) = io.line(connection) {
                        line.media(&prefix, bytes.get(payload).unwrap_or_default(), padding);
                    }
                }
                Via::Dtls { connection, .. } => {
                    let payload = bytes.get(payload).unwrap_or_default();
                    let now = io.now;
                    let (dtls, sockets) = io.dtls_and_sockets();
                    dtls.media(now, connection, &prefix, payload, padding, sockets);
                }
            }
        }
        Verdict::Reply(_) | Verdict::ReplyFrom { .. } | Verdict::Drop(_) | Verdict::Later => {}
    }
}

/// Sends an answer to a request at once.
pub(crate) fn answer(io: &Io, client: Client, bytes: &[u8]) -> io::Result<()> {
    let Some(listener) = io.listener(client.via.listener()) else { return Ok(()) };
    send(
        &listener.socket,
        &Outgoing {
            destination: client.remote.0,
            source: source(io, client),
            parts: &[io::IoSlice::new(bytes)],
            segment: 0,
        },
    )
}

/// Sends an answer from one of the server's own addresses and ports (RFC 5780).
pub(super) fn answer_from(
    io: &Io,
    from: SocketAddr,
    to: SocketAddr,
    bytes: &[u8],
) -> io::Result<()> {
    let Some(listener) = io.listener_at(from) else { return Ok(()) };
    let source = listener.address.ip().is_unspecified().then_some(from.ip());
    let parts = &[io::IoSlice::new(bytes)];
    send(&listener.socket, &Outgoing { destination: to, source, parts, segment: 0 })
}

/// The address to send from, where the socket is bound to all of the host's.
fn source(io: &Io, client: Client) -> Option<IpAddr> {
    source_of(io, client.via.listener(), client.local)
}

/// Likewise, for what came to `local` on a listener.
pub(crate) fn source_of(io: &Io, listener: u16, local: IpAddr) -> Option<IpAddr> {
    let listener = io.listener(listener)?;
    let told = listener.address.ip().is_unspecified() && !local.is_unspecified();
    told.then_some(local)
}
