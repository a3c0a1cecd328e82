//! What is written of the sockets beside the protocol's state: which number each had, and what each connection needs.
//!
//! ```text
//!  0  number of the format, u16     the numbers are little-endian
//!  2  length of the record, u32
//!  6  the record
//!     the snapshot of the shards and their rules, to the end
//! ```

use std::net::{IpAddr, SocketAddr};

use borsh::{BorshDeserialize, BorshSerialize};
use zeroize::Zeroizing;

/// The number of the format, which is the one that is written. A reader knows each one from 1 on.
const FORMAT: u16 = 1;

/// Bytes in front of the record.
const HEAD: usize = 6;

/// Why what was carried over cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RecordError {
    /// A later release wrote it.
    #[error(
        "a later release wrote the list of its sockets, in format {0}; this one reads up to {FORMAT}"
    )]
    Newer(u16),
    /// It is something else, or cut off.
    #[error("the list of its sockets cannot be read")]
    Malformed,
}

/// All that is written, beside the snapshot.
#[derive(Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct Record {
    /// How many processes in a row have crashed with what is in it, if this one does: 0 in what is given when a process
    /// ends in good order.
    pub(crate) crashes: u8,
    /// In the order of the workers' numbers.
    pub(crate) workers: Vec<WorkerRecord>,
}

/// What one worker had.
#[derive(Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct WorkerRecord {
    /// Its listening sockets for datagrams and connections.
    pub(crate) listeners: Vec<ListenerRecord>,
    /// TCP connections of clients.
    pub(crate) clients: Vec<ClientRecord>,
    /// TCP connections with peers (RFC 6062).
    pub(crate) peers: Vec<PeerRecord>,
    /// Relay ports of the allocations that were not carried over, each with whether it is of IPv6.
    pub(crate) left: Vec<(bool, u16)>,
}

/// A listening socket.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct ListenerRecord {
    /// The number that clients are known by.
    pub(crate) number: u16,
    /// Whether it is for connections.
    pub(crate) is_stream: bool,
    /// Where it was bound.
    pub(crate) address: SocketAddr,
}

/// A TCP connection of a client that has an allocation, or of one whose data go to a peer (RFC 6062).
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct ClientRecord {
    /// The number that the client was known by.
    pub(crate) connection: u32,
    /// The number of the listener that it came in by.
    pub(crate) listener: u16,
    /// The name of its socket.
    pub(crate) socket: String,
    /// Where the client is: behind a proxy it is not what the socket is connected to.
    pub(crate) client: SocketAddr,
    /// The server's address that the client has connected to.
    pub(crate) local: IpAddr,
    /// The DSCP that its data are sent with, in its place in the TOS.
    pub(crate) traffic_class: u8,
    /// The number of the peer connection that it carries the data of.
    pub(crate) bound: Option<u32>,
}

/// A TCP connection with a peer.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct PeerRecord {
    /// Its number: the CONNECTION-ID.
    pub(crate) connection: u32,
    /// The name of its socket.
    pub(crate) socket: String,
}

impl Record {
    /// Writes it in front of a snapshot. The bytes hold keys, and are wiped when dropped.
    pub(crate) fn write(&self, snapshot: &[u8]) -> std::io::Result<Zeroizing<Vec<u8>>> {
        let record = borsh::to_vec(self)?;
        let len = u32::try_from(record.len()).map_err(std::io::Error::other)?;
        // Of the right size: a vector that grows leaves copies behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(HEAD + record.len() + snapshot.len()));
        bytes.extend(FORMAT.to_le_bytes());
        bytes.extend(len.to_le_bytes());
        bytes.extend(record);
        bytes.extend(snapshot);
        Ok(bytes)
    }

    /// Reads it, and returns the snapshot that follows.
    pub(crate) fn read(bytes: &[u8]) -> Result<(Self, &[u8]), RecordError> {
        let (format, rest) = bytes.split_first_chunk().ok_or(RecordError::Malformed)?;
        let format = u16::from_le_bytes(*format);
        if format > FORMAT {
            return Err(RecordError::Newer(format));
        }
        let (len, rest) = rest.split_first_chunk().ok_or(RecordError::Malformed)?;
        let len = usize::try_from(u32::from_le_bytes(*len)).map_err(|_| RecordError::Malformed)?;
        let (record, snapshot) = rest.split_at_checked(len).ok_or(RecordError::Malformed)?;
        match borsh::from_slice(record) {
            Ok(record) if format > 0 => Ok((record, snapshot)),
            _ => Err(RecordError::Malformed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        let address: SocketAddr = "[2001:db8::1]:3478".parse().unwrap();
        let client = ClientRecord {
            connection: 7,
            listener: 32769,
            socket: "client/192.0.2.1+3478/198.51.100.9+1".to_owned(),
            client: "198.51.100.9:1".parse().unwrap(),
            local: "192.0.2.1".parse().unwrap(),
            traffic_class: 0xb8,
            bound: Some(9),
        };
        let peer = PeerRecord { connection: 9, socket: "peer-connection/..".to_owned() };
        let listeners = vec![ListenerRecord { number: 0, is_stream: false, address }];
        let worker = WorkerRecord {
            listeners,
            clients: vec![client],
            peers: vec![peer],
            left: vec![(true, 59001)],
        };
        Record { crashes: 2, workers: vec![worker, WorkerRecord::default()] }
    }

    #[test]
    fn what_is_written_is_read_with_the_snapshot_behind_it() {
        let bytes = record().write(b"snapshot").unwrap();
        assert_eq!(Record::read(&bytes).unwrap(), (record(), &b"snapshot"[..]));
        assert_eq!(bytes.len(), bytes.capacity(), "no copy was left behind");
    }

    /// Another layout is another format: the release before has to be understood.
    #[test]
    fn a_record_is_laid_out_as_in_the_release_before() {
        let bytes = Record {
            crashes: 3,
            workers: vec![WorkerRecord {
                listeners: vec![ListenerRecord {
                    number: 258,
                    is_stream: true,
                    address: "192.0.2.1:3478".parse().unwrap(),
                }],
                left: vec![(false, 59001)],
                ..WorkerRecord::default()
            }],
        };
        let expected =
            b"\x01\0\x22\0\0\0\x03\x01\0\0\0\x01\0\0\0\x02\x01\x01\0\xc0\0\x02\x01\x96\x0d\
            \0\0\0\0\0\0\0\0\x01\0\0\0\0\x79\xe6snapshot";
        assert_eq!(bytes.write(b"snapshot").unwrap()[..], expected[..]);
    }

    #[test]
    fn what_is_cut_short_or_of_a_later_release_is_refused() {
        let bytes = record().write(b"").unwrap();
        for len in 0..bytes.len() {
            assert_eq!(Record::read(&bytes[..len]), Err(RecordError::Malformed), "{len}");
        }
        for (format, error) in [(0, RecordError::Malformed), (2, RecordError::Newer(2))] {
            let mut bytes = bytes.to_vec();
            bytes[0] = format;
            assert_eq!(Record::read(&bytes), Err(error));
        }
    }

    #[test]
    fn lengths_that_promise_more_than_there_is_cost_no_memory() {
        let mut bytes = record().write(b"").unwrap().to_vec();
        for at in [2, HEAD + 1] {
            bytes[at..at + 4].fill(0xff);
            assert_eq!(Record::read(&bytes), Err(RecordError::Malformed));
        }
    }
}
