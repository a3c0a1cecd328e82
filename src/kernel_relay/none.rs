//! A build without the kernel's part.

use std::sync::Arc;

use taciturn_config::{Config, KernelMode};
use taciturn_net::KernelFlows;
use taciturn_net::external::External;

use super::report::KernelReport;

const NOT_BUILT: &str = "this server was built without the feature kernel-relay";

/// Nothing: the sockets relay.
#[derive(Clone, Debug, Default)]
pub struct KernelRelay {
    wanted: bool,
}

impl KernelRelay {
    /// Says that it cannot, if it is wanted.
    #[must_use]
    pub fn open(config: &Config, _: &External) -> Self {
        let wanted = config.kernel_relay.mode != KernelMode::Off;
        if wanted {
            tracing::warn!("the sockets relay all calls: {NOT_BUILT}");
        }
        Self { wanted }
    }

    /// Whether the program is loaded: never.
    #[must_use]
    pub const fn is_there(&self) -> bool {
        false
    }

    /// The same.
    #[must_use]
    pub const fn keep(self) -> Self {
        self
    }

    /// None.
    #[must_use]
    pub fn flows(&self) -> Option<Arc<dyn KernelFlows>> {
        None
    }

    /// Its state.
    #[must_use]
    pub fn state(&self) -> KernelReport {
        let trouble = self.wanted.then(|| NOT_BUILT.to_owned());
        KernelReport { wanted: self.wanted, trouble, ..KernelReport::default() }
    }
}
