//! What depends on more than one setting of coturn's.

mod addresses;
mod credentials;
mod listeners;
pub(super) mod lost_ports;
mod outcomes;
mod peers;

use super::absent::absent;
use super::collected::{Collected, Translated};
use super::setting::Setting;

impl Collected {
    /// Puts together what depends on more than one setting.
    pub(super) fn finish(mut self, mut settings: Vec<Setting>) -> Translated {
        self.put_addresses_together();
        self.put_ports_together(&mut settings);
        if self.draft.workers.is_none() {
            self.draft.workers = self.cpus.take();
        }
        self.put_peers_together(&mut settings);
        let commands = self.put_credentials_together(&mut settings);
        self.put_certificate_together(&mut settings);
        let lost_ports = self.put_listeners_together(&mut settings);
        let absent = absent(&self, lost_ports);
        Translated { draft: self.draft, settings, absent, commands }
    }
}
