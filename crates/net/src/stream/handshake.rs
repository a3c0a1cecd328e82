//! A TLS handshake: when it may begin, how much is read for it, and what it may cost.

use std::future::{Future as _, poll_fn};
use std::io;
use std::pin::Pin;
use std::task::Poll;

use rustls::HandshakeKind;
use tokio::net::TcpStream;
use tokio_rustls::Accept;
use tokio_rustls::server::TlsStream;

use super::rewound::Rewound;
use crate::handshakes::{Gate, Knocked, Refused};
use taciturn_tls::{Begun, Signing, TlsServer};

/// Bytes that a ClientHello may have, with what its records add. A usual one has 500 bytes, one with keys that
/// withstand quantum computers 1800.
pub(super) const HELLO: usize = 16 * 1024;

/// Bytes that are read from then on until the handshake is complete. Besides the rest of it, which is short, the
/// first record of data may be among them: it may follow at once, and is read whole (RFC 8446 section 5.2).
const REST: usize = 2 * HELLO;

type Stream = Rewound<TcpStream>;

/// Why there was none.
pub(super) enum NoHandshake {
    /// A limit.
    Refused(Refused),
    /// The client, or the connection.
    Failed(io::Error),
}

impl From<io::Error> for NoHandshake {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

impl From<Refused> for NoHandshake {
    fn from(why: Refused) -> Self {
        Self::Refused(why)
    }
}

/// Shakes hands with a client that `gate` has let knock. The time limit is the caller's.
pub(super) async fn shake_hands(
    gate: &Gate,
    knocked: Knocked,
    tls: &TlsServer,
    mut stream: Stream,
) -> Result<TlsStream<Stream>, NoHandshake> {
    stream.limit(HELLO);
    let mut start = TlsServer::read_hello(stream).await?;
    start.io.limit(REST);
    let turn = gate.turn(knocked).await?;
    let signing = turn.signing();
    let Begun { accept, kind } = tls.begin(start, signing);
    turn.end(kind).await;
    let resumed = kind == Some(HandshakeKind::Resumed);
    if signing == Signing::ResumptionOnly && !resumed {
        return Err(gate.refuse_tls(Refused::Source).into());
    }
    let mut stream = if kind == Some(HandshakeKind::FullWithHelloRetryRequest) {
        in_turns(gate, knocked, accept).await?
    } else {
        accept.await?
    };
    stream.get_mut().0.lift_limit();
    Ok(stream)
}

/// Goes on with a HelloRetryRequest: the second ClientHello is the one that costs a signature, so it waits for
/// a turn as well. The source has been charged already.
async fn in_turns(
    gate: &Gate,
    knocked: Knocked,
    mut accept: Accept<Stream>,
) -> Result<TlsStream<Stream>, NoHandshake> {
    loop {
        let turn = gate.turn(knocked.again()).await?;
        let next = poll_fn(|context| Poll::Ready(Pin::new(&mut accept).poll(context))).await;
        turn.end(None).await;
        if let Poll::Ready(done) = next {
            return Ok(done?);
        }
        if let Some(io) = accept.get_ref() {
            io.inner().readable().await?;
        }
    }
}
