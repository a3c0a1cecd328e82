//! What became of the packets of installed flows.

/// What the counts are of, in the order of `enum stat` of the program.
const NAMES: [&str; 11] = [
    "relayed",
    "expired",
    "server_silent",
    "no_route",
    "too_long",
    "ttl",
    "unfinished_checksum",
    "joined",
    "other_half",
    "not_read",
    "dropped",
];

/// How many counts there are.
const COUNTS: usize = NAMES.len();

/// How many places each processor has in the map.
pub(crate) const OF_CPU: u32 = 16;

/// Packets of installed flows since the program was loaded, all processors together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats([u64; COUNTS]);

impl Stats {
    /// Adds the count at a place of the map.
    pub(crate) fn add(&mut self, place: u32, count: u64) {
        if let Some(sum) = self.0.get_mut((place % OF_CPU) as usize) {
            *sum += count;
        }
    }

    /// Packets that the kernel has relayed.
    #[must_use]
    pub const fn relayed(&self) -> u64 {
        self.0[0]
    }

    /// Packets that it has not, each count with its name. All but `dropped` have passed up to the sockets.
    pub fn others(&self) -> impl Iterator<Item = (&'static str, u64)> {
        NAMES.into_iter().zip(self.0).skip(1)
    }
}
