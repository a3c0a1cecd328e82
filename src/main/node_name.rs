//! What this server is called among others.

use taciturn_config::Config;

/// The name of this node: the configured one, else that of the machine.
pub(super) fn node_name(config: &Config) -> String {
    if let Some(node) = &config.fleet.node {
        return node.as_str().to_owned();
    }
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-._".contains(c) { c } else { '-' };
    let name: String = name.trim().chars().map(plain).take(64).collect();
    if name.is_empty() { "node".to_owned() } else { name }
}
