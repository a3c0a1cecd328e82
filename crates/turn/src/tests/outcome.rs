//! What became of a packet, and what a test claims of it.

use std::net::SocketAddr;

use super::addr;
use super::client::{Received, TestClient};
use crate::{Client, DropReason, Via};

/// What became of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Dropped(DropReason),
    Reply(Vec<u8>),
    /// From there to there.
    ReplyFrom {
        from: SocketAddr,
        to: SocketAddr,
        bytes: Vec<u8>,
    },
    /// It is answered later.
    Later,
    ToClient {
        client: Client,
        bytes: Vec<u8>,
    },
    ToPeer {
        from: SocketAddr,
        peer: SocketAddr,
        data: Vec<u8>,
        dont_fragment: bool,
    },
    /// There is no socket on that port.
    NobodyListens,
}

impl Outcome {
    #[track_caller]
    pub(super) fn assert_dropped(&self, reason: DropReason) {
        assert_eq!(*self, Self::Dropped(reason));
    }

    /// Exactly these data left for this peer.
    #[track_caller]
    pub(super) fn assert_reaches(&self, peer: &str, data: &[u8]) {
        match self {
            Self::ToPeer { peer: to, data: sent, .. } => {
                assert_eq!((*to, &sent[..]), (addr(peer), data));
            }
            other => panic!("expected a packet to {peer}, got {other:?}"),
        }
    }

    /// What this client received.
    #[track_caller]
    pub(super) fn at(&self, client: &TestClient) -> Received {
        match self {
            Self::ToClient { client: to, bytes } => {
                assert_eq!(*to, client.at, "the client that receives");
                Received::read(bytes, matches!(to.via, Via::Stream { .. }))
            }
            other => panic!("expected a packet to a client, got {other:?}"),
        }
    }

    /// The bytes of an answer.
    #[track_caller]
    pub(super) fn reply(self) -> Vec<u8> {
        match self {
            Self::Reply(bytes) => bytes,
            other => panic!("expected an answer, got {other:?}"),
        }
    }
}
