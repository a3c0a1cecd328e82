//! How much memory and how many threads the server takes at most, by its limits. docs/security.md has
//! the derivation.

use taciturn_config::{Config, MOST_WORKERS};
use taciturn_net::{CLIENT_MEMORY, STRANGER_MEMORY};

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// What is there without a client: programs, buffers of the workers, tables of fixed size,
/// certificates.
const BASE: u64 = 128 * MIB;

/// What the kernel holds for a connection without an allocation: 32 KiB that are not sent, and 64 KiB that were not
/// read (a buffer of 32 KiB, for a window that was 64 KiB when the client connected).
const KERNEL: u64 = 96 * KIB;

/// Of an allocation: 1 KiB, its permissions and channels, and its sockets in the kernel.
const ALLOCATION: u64 = 16 * KIB;

/// Of a connection with a peer (`tcp_relay`): a buffer each way, and the kernel's.
const PEER_CONNECTION: u64 = 32 * KIB + KERNEL;

/// It is rounded up to a multiple of this.
const STEP: u64 = 64 * MIB;

/// Threads besides the workers: the main one, and what `turnctl` takes in the same container.
const OTHER_THREADS: u64 = 32;

/// Bytes that the server and the kernel take for it when every limit is reached and nobody reads.
pub(super) fn memory(config: &Config) -> u64 {
    let connections = u64::from(config.limits.connections);
    let allocations = match config.limits.allocations {
        0 => u64::from(config.relay_ports.len()),
        limit => u64::from(limit),
    };
    let peers = if config.protocol.tcp_relay { connections } else { 0 };
    let all = BASE
        + connections * (STRANGER_MEMORY as u64 + KERNEL)
        + connections.min(allocations) * CLIENT_MEMORY as u64
        + allocations * ALLOCATION
        + peers * PEER_CONNECTION;
    all.div_ceil(STEP) * STEP
}

/// Likewise in MiB, as systemd and Docker read it: `1408M`.
pub(super) fn memory_text(config: &Config) -> String {
    format!("{}M", memory(config) / MIB)
}

/// Threads of the server, however many workers it is told to have.
pub(super) const fn threads() -> u64 {
    MOST_WORKERS as u64 + OTHER_THREADS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configured(more: &str) -> Config {
        let secret = "[auth]\nsecrets = [\"0123456789abcdef0123456789\"]\n";
        Config::from_toml(&format!("{more}{secret}")).unwrap().config
    }

    #[test]
    fn the_limits_of_what_is_shipped_are_those_of_the_defaults() {
        let (memory, threads) = (memory_text(&configured("")), threads());
        let unit = include_str!("../../../../config/taciturn.service");
        let security = include_str!("../../../../docs/security.md");
        assert!(unit.contains(&format!("\nMemoryMax={memory}\n")), "{memory}");
        assert!(unit.contains(&format!("\nTasksMax={threads}\n")), "{threads}");
        assert!(security.contains(&format!("`MemoryMax={memory}`")), "{memory}");
        let compose = [
            include_str!("../../../../config/compose.yaml"),
            include_str!("../../../../config/compose.bridge.yaml"),
        ];
        for compose in compose {
            assert!(compose.contains(&format!("\n    pids_limit: {threads}\n")));
        }
        assert!(compose[0].contains(&format!("\n    mem_limit: {}\n", memory.to_lowercase())));
        // That one has 100 relay ports.
        let few = memory_text(&configured("[limits]\nallocations = 100\n")).to_lowercase();
        assert!(compose[1].contains(&format!("\n    mem_limit: {few}\n")), "{few}");
    }

    #[test]
    fn each_limit_counts() {
        let least = memory(&configured(""));
        assert_eq!(least % STEP, 0);
        for more in [
            "[limits]\nconnections = 8192\n",
            "[limits]\nallocations = 4096\n",
            "relay_ports = \"50000-60100\"\n",
            "[protocol]\ntcp_relay = true\n[[listen]]\naddress = \"0.0.0.0:3478\"\ntransport = \"tcp\"\n",
        ] {
            assert!(memory(&configured(more)) > least, "{more}");
        }
    }
}
