//! What became of the allocations of a snapshot.

/// Why an allocation of a snapshot is not restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum LeftOut {
    /// Its lifetime has run out on the way.
    Expired,
    /// Its client had ended it.
    Released,
    /// Its client's connection was not handed over.
    ClientGone,
    /// Its client has another allocation here.
    ClientTaken,
    /// Its relayed address is none of the server's any more.
    RelayAddress,
    /// Its relay port is in use here, or not of the range any more.
    RelayPort,
    /// The socket on its relay port was not handed over.
    RelaySocket,
    /// It is here already: it was moving from shard to shard when the snapshot was taken.
    Duplicate,
    /// The user or secret that it was made with is not configured any more.
    CredentialRemoved,
}

impl LeftOut {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 9] = [
        Self::Expired,
        Self::Released,
        Self::ClientGone,
        Self::ClientTaken,
        Self::RelayAddress,
        Self::RelayPort,
        Self::RelaySocket,
        Self::Duplicate,
        Self::CredentialRemoved,
    ];

    /// In words, for the log.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Expired => "expired meanwhile",
            Self::Released => "released by the client",
            Self::ClientGone => "the client's connection was not handed over",
            Self::ClientTaken => "the client has another allocation",
            Self::RelayAddress => "the relay address is another one now",
            Self::RelayPort => "the relay port is in use, or not in the range any more",
            Self::RelaySocket => "the relay socket was not handed over",
            Self::Duplicate => "it is there already",
            Self::CredentialRemoved => "user or secret removed from the configuration",
        }
    }
}

/// What became of the allocations of a snapshot, or of one shard's part of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// Allocations that go on.
    pub allocations: usize,
    /// Those that do not, by [`LeftOut`].
    pub left_out: [usize; LeftOut::ALL.len()],
}

impl Restored {
    pub(super) fn count(&mut self, why: LeftOut) {
        if let Some(count) = self.left_out.get_mut(why as usize) {
            *count += 1;
        }
    }

    /// How many were left out because of `why`.
    #[must_use]
    pub fn left_out(&self, why: LeftOut) -> usize {
        self.left_out.get(why as usize).copied().unwrap_or_default()
    }

    /// Adds those of another shard.
    pub fn add(&mut self, other: &Self) {
        self.allocations += other.allocations;
        for (mine, theirs) in self.left_out.iter_mut().zip(other.left_out) {
            *mine += theirs;
        }
    }
}
