//! One connection once it speaks STUN.

use std::io;
use std::rc::Rc;

use tokio::io::{
    AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadHalf, WriteHalf,
};
use tokio::time::{Instant, timeout};

use super::Line;
use crate::net::patience::{FIRST_MESSAGE, IDLE};
use crate::net::worker::Core;
use crate::stun::Frame;
use crate::turn::Client;

/// The longest message of a client without an allocation: it asks for one, and nothing else.
const LONGEST_BEFORE: usize = 2048;

/// The longest ChannelData message with its padding.
const LONGEST: usize = 65_536 + 4;

/// Room for reading: at first, and for a client that keeps it full.
const ROOM: usize = 2048;
const MOST_ROOM: usize = 64 * 1024;

/// Reads messages to the shard and writes what waits in the line, until either side ends.
pub(super) async fn converse<S: AsyncRead + AsyncWrite + Unpin>(
    core: &Rc<Core>,
    client: Client,
    line: &Line,
    stream: S,
) -> io::Result<()> {
    let (reader, writer) = tokio::io::split(stream);
    tokio::select! {
        outcome = read(core, client, reader) => outcome,
        outcome = write(line, writer) => outcome,
    }
}

async fn write<S: AsyncWrite>(line: &Line, mut writer: WriteHalf<S>) -> io::Result<()> {
    let mut bytes = Vec::new();
    while line.take(&mut bytes).await.is_some() {
        writer.write_all(&bytes).await?;
        writer.flush().await?;
    }
    Err(io::Error::other("the client does not read its answers"))
}

async fn read<S: AsyncRead>(
    core: &Rc<Core>,
    client: Client,
    mut reader: ReadHalf<S>,
) -> io::Result<()> {
    let mut bytes = Vec::with_capacity(ROOM);
    let start = Instant::now();
    let mut spoken = false;
    loop {
        let allowed = if spoken { IDLE } else { FIRST_MESSAGE.saturating_sub(start.elapsed()) };
        match timeout(allowed, reader.read_buf(&mut bytes)).await {
            Ok(Ok(0)) => return Ok(()),
            Ok(read) => read?,
            // Silence is fine for as long as there is an allocation: that has its own lifetime.
            Err(_) if spoken && core.has_allocation(&client) => continue,
            Err(_) => return Err(io::ErrorKind::TimedOut.into()),
        };
        let was_full = bytes.len() == bytes.capacity();
        let taken = core.read_stream(client, &bytes)?;
        spoken |= taken > 0;
        bytes.drain(..taken);
        let longest = if core.has_allocation(&client) { LONGEST } else { LONGEST_BEFORE };
        if let Frame::Incomplete { needed } = Frame::of(&bytes) {
            if needed > longest {
                return Err(io::Error::other("a message over the limit"));
            }
            bytes.reserve(needed.saturating_sub(bytes.len()));
        }
        if was_full && bytes.capacity() < MOST_ROOM {
            bytes.reserve(2 * bytes.capacity() - bytes.len());
        }
    }
}
