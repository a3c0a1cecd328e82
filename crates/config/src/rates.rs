//! The limits of bytes, packets, new peers and new allocations a second, as the relay takes them.

use taciturn_turn::policy::{Each, Rates};

use super::error::Note;
use super::keys::Limits;
use super::read::Reader;

/// Bytes a second in each direction: Opus at 64 kbit/s, with its RTP headers.
const VOICE_CALL: u32 = 10_000;

impl Limits {
    /// Limits of what is done in a second. 0 is no limit for each of them.
    #[must_use]
    pub const fn rates(&self) -> Rates {
        Rates {
            bytes: Each {
                allocation: self.bytes_per_second_per_allocation,
                user: self.bytes_per_second_per_user,
                in_all: self.bytes_per_second,
            },
            packets: Each {
                allocation: self.packets_per_second_per_allocation,
                user: self.packets_per_second_per_user,
                in_all: self.packets_per_second,
            },
            new_peers: Each {
                allocation: self.new_peers_per_second_per_allocation,
                user: self.new_peers_per_second_per_user,
                in_all: 0,
            },
            allocations: Each {
                allocation: 0,
                user: self.allocations_per_second_per_user,
                in_all: 0,
            },
        }
    }
}

/// Warns of limits that no call fits into.
pub(super) fn warn_of_slow_ones(limits: &Limits, reader: &mut Reader<'_>) {
    let Each { allocation, user, in_all } = limits.rates().bytes;
    for (key, value) in [
        ("limits.bytes_per_second_per_allocation", allocation),
        ("limits.bytes_per_second_per_user", user),
        ("limits.bytes_per_second", in_all),
    ] {
        if (1..VOICE_CALL).contains(&value) {
            let text = format!(
                "{key} = {value} is less than one voice call takes (about {VOICE_CALL} bytes a second); \
                 a video call takes up to 500000. The unit is bytes, not kilobytes and not bits"
            );
            reader.findings.notes.push(Note::warning(text));
        }
    }
}
