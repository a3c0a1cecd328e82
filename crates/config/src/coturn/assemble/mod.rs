//! What depends on more than one setting of coturn's.

mod addresses;
mod credentials;
mod listeners;
mod peers;

pub(super) use self::listeners::LostPorts;
use super::absent::absent;
use super::collected::Collected;
use super::place::Place;
use super::translate::Translated;
use super::{Outcome, Setting};

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

/// Changes what was said of what stands there.
fn set(settings: &mut [Setting], places: &[Place], outcome: Outcome) {
    for setting in settings.iter_mut().filter(|setting| places.contains(&setting.place)) {
        setting.outcome = outcome.clone();
    }
}

/// Adds a remark to what was said of what stands there.
fn remark(settings: &mut [Setting], place: Place, text: impl Into<String>) {
    if let Some(setting) = settings.iter_mut().find(|setting| setting.place == place) {
        setting.remarks.push(text.into());
    }
}

/// Changes what was said of this option, but for errors.
fn set_option(settings: &mut [Setting], name: &str, outcome: Outcome) {
    for setting in settings.iter_mut().filter(|setting| setting.option == name) {
        if !matches!(setting.outcome, Outcome::Error(_)) {
            setting.outcome = outcome.clone();
        }
    }
}
