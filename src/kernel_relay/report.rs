//! What the kernel relays, for the operator.

/// The state of the kernel's part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KernelReport {
    /// Whether the configuration wants it.
    pub wanted: bool,
    /// Where the program is attached: `eth0 (tcx)`. Empty: nowhere.
    pub attached: Vec<String>,
    /// What does not work, in the kernel's words.
    pub trouble: Option<String>,
    /// Channels that it relays now.
    pub channels: u64,
    /// Channels that there is room for.
    pub room: u64,
    /// Channels that found no room so far, and are relayed by the sockets.
    pub refused: u64,
    /// Packets that it has relayed.
    pub relayed: u64,
    /// Packets of its channels that it has not relayed, by each reason that there is: they have passed up to the sockets,
    /// but for those that were dropped. Empty in a build that can relay nothing in the kernel.
    pub others: Vec<(&'static str, u64)>,
}
