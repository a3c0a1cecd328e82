//! What the kernel relays, as `turnctl status` shows it.

use serde::{Deserialize, Serialize};

/// What the kernel relays by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelRelay {
    /// Where its program is attached: `eth0 (tcx)`. Empty: nowhere.
    pub attached: Vec<String>,
    /// What does not work, in the kernel's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// Channels that it relays now.
    pub channels: u64,
    /// Channels that there is room for.
    pub room: u64,
    /// Channels that found no room since the start.
    pub refused_channels: u64,
    /// Packets that it has relayed.
    pub relayed_packets: u64,
    /// Packets of its channels that it has not, by reason.
    pub other_packets: Vec<PacketCount>,
}

/// How many packets there were for a reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PacketCount {
    /// Its name, as in the metrics.
    pub reason: String,
    /// How many.
    pub packets: u64,
}
