//! The settings and tables that all workers share.

use std::sync::Arc;
use std::time::Duration;

use super::batch::ip_fields::KeptFields;
use super::entrances::Entrances;
use super::failed_logins::FailedLogins;
use super::kernel_path::KernelFlows;
use super::limit_names::LimitNames;
use super::reception::Reception;
use super::usage::UsageSink;
use taciturn_turn::policy::{Connections, HandshakeLimit};
use taciturn_turn::{Rules, Settings};

/// The settings, rules and tables that all workers share.
#[derive(Clone, Debug)]
pub struct Shared {
    /// Bounds and addresses.
    pub settings: Settings,
    /// Credentials, peers, ports, quotas.
    pub rules: Rules,
    /// Which realms the clients of listeners get.
    pub entrances: Arc<Entrances>,
    /// TCP, TLS and DTLS connections.
    pub connections: Arc<Connections>,
    /// Handshakes of TLS and DTLS.
    pub handshakes: Arc<HandshakeLimit>,
    /// Who failed to log in, for the operator.
    pub failed_logins: Arc<FailedLogins>,
    /// Who takes the records of what sessions have used, if any are kept.
    pub usage: Option<Arc<dyn UsageSink>>,
    /// Who takes connections that speak HTTP.
    pub reception: Arc<Reception>,
    /// What the log calls the limits that clients meet.
    pub limit_names: LimitNames,
    /// How long a worker waits for more packets before it wakes up, while they arrive often and one by one.
    /// With zero it does not wait.
    pub wake_delay: Duration,
    /// Which fields of the IP header a relayed datagram keeps.
    pub kept_fields: KeptFields,
    /// What relays bound channels in the kernel, if anything does. For as long as the workers run.
    pub kernel: Option<Arc<dyn KernelFlows>>,
}
