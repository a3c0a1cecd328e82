//! The 5-tuples of this shard that an allocation is to move to (RFC 8016).

use ahash::AHashMap;

use super::mobile_allocations::{MobileAllocations, MobileId};
use super::parked::ParkedRequest;
use super::snapshot::records::MoveRecord;
use super::types::{Client, ShardNumber};

/// How many requests wait at most for an allocation to come to their 5-tuple, and how long each may
/// be. What an ICE agent asks at once is less.
const PARKED: usize = 8;
const PARKED_LEN: usize = 2048;

/// From so many 5-tuples on the shard looks whether they are still waited for.
const MANY: usize = 64;

/// What is to happen at one 5-tuple.
#[derive(Debug)]
struct ExpectedMove {
    mobile: MobileId,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// The allocation moves once the client makes use of the 5-tuple.
    Unused,
    /// Another shard was asked for the allocation. These requests have come since then.
    Fetching(Vec<ParkedRequest>),
}

/// What a 5-tuple waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expected {
    /// The client's first use of it.
    Use(MobileId),
    /// Another shard, which was asked for the allocation.
    Fetch(MobileId),
}

impl Expected {
    pub(super) const fn mobile(self) -> MobileId {
        match self {
            Self::Use(mobile) | Self::Fetch(mobile) => mobile,
        }
    }
}

/// All of them, at most one allocation for each 5-tuple. `MobileAllocations` knows the same moves, at most
/// one 5-tuple for each allocation, over all shards.
#[derive(Debug, Default)]
pub(super) struct Moves {
    expected: AHashMap<Client, ExpectedMove>,
}

impl Moves {
    pub(super) fn is_empty(&self) -> bool {
        self.expected.is_empty()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.expected.len()
    }

    /// What this 5-tuple waits for, if it does.
    pub(super) fn expected(&self, client: &Client) -> Option<Expected> {
        self.expected.get(client).map(|expected| match expected.stage {
            Stage::Unused => Expected::Use(expected.mobile),
            Stage::Fetching(_) => Expected::Fetch(expected.mobile),
        })
    }

    /// An allocation is to come to this 5-tuple once the client makes use of it.
    pub(super) fn expect(
        &mut self,
        client: Client,
        mobile: MobileId,
        all: &MobileAllocations,
        shard: ShardNumber,
    ) {
        if self.expected.get(&client).is_some_and(|known| known.mobile == mobile) {
            return; // a retransmission; another shard may be asked already
        }
        self.cancel(&client, all, shard);
        if self.expected.len() >= MANY.max(2 * all.len()) {
            self.forget_stale(all, shard);
        }
        self.expected.insert(client, ExpectedMove { mobile, stage: Stage::Unused });
    }

    /// Notes that another shard was asked for the allocation.
    pub(super) fn fetching(&mut self, client: &Client) {
        if let Some(expected) = self.expected.get_mut(client)
            && let Stage::Unused = expected.stage
        {
            expected.stage = Stage::Fetching(Vec::new());
        }
    }

    /// Keeps a request until its allocation has come: over a connection it is not sent again. Returns
    /// false if there is no room for it.
    pub(super) fn park(&mut self, client: Client, request: &[u8]) -> bool {
        let expected = self.expected.get_mut(&client).map(|expected| &mut expected.stage);
        match expected {
            Some(Stage::Fetching(parked))
                if parked.len() < PARKED && request.len() <= PARKED_LEN =>
            {
                parked.push(ParkedRequest::Again { client, bytes: request.into() });
                true
            }
            _ => false,
        }
    }

    /// Nothing is to come to this 5-tuple any more, though other shards may think so.
    pub(super) fn remove(&mut self, client: &Client) {
        self.expected.remove(client);
    }

    /// Takes a 5-tuple out, if it waits for this allocation. Returns the requests that waited there.
    pub(super) fn take(&mut self, client: &Client, mobile: MobileId) -> Option<Vec<ParkedRequest>> {
        self.expected.get(client).filter(|expected| expected.mobile == mobile)?;
        self.expected.remove(client).map(|expected| match expected.stage {
            Stage::Unused => Vec::new(),
            Stage::Fetching(parked) => parked,
        })
    }

    /// Nothing is to come to this 5-tuple any more; all shards learn of it.
    pub(super) fn cancel(&mut self, client: &Client, all: &MobileAllocations, shard: ShardNumber) {
        if let Some(expected) = self.expected.remove(client) {
            all.cancel(expected.mobile, shard, *client);
        }
    }

    /// Forgets the 5-tuples whose allocation has ended, or goes elsewhere: other shards do not say so.
    pub(super) fn forget_stale(&mut self, all: &MobileAllocations, shard: ShardNumber) {
        self.expected.retain(|client, expected| match expected.stage {
            Stage::Unused => all.awaits(expected.mobile, shard, *client),
            Stage::Fetching(_) => true,
        });
    }

    /// All of them, for another process. Where another shard was asked for the allocation, the next packet
    /// asks again; requests that are parked until it has come are not in it.
    pub(super) fn snapshot(&self) -> impl Iterator<Item = MoveRecord> {
        self.expected.iter().map(|(client, expected)| {
            let ExpectedMove { mobile: MobileId(mobile), stage: _ } = expected;
            MoveRecord { client: *client, mobile: *mobile }
        })
    }

    /// An allocation is to come to this 5-tuple, as in another process. Where one is expected by now, that
    /// stays.
    pub(super) fn restore(&mut self, client: Client, mobile: MobileId) {
        let expected = ExpectedMove { mobile, stage: Stage::Unused };
        self.expected.entry(client).or_insert(expected);
    }

    /// The 5-tuples of a listener.
    pub(super) fn of_listener(&self, listener: u16) -> Vec<Client> {
        let of_it = self.expected.keys().filter(|client| client.via.listener() == listener);
        of_it.copied().collect()
    }
}
