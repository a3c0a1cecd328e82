//! Changes of what was said of a setting, once others are known.

use super::super::place::Place;
use super::super::setting::{Outcome, Setting};

/// Changes what was said of what stands there.
pub(super) fn set(settings: &mut [Setting], places: &[Place], outcome: Outcome) {
    for setting in settings.iter_mut().filter(|setting| places.contains(&setting.place)) {
        setting.outcome = outcome.clone();
    }
}

/// Adds a remark to what was said of what stands there.
pub(super) fn remark(settings: &mut [Setting], place: Place, text: impl Into<String>) {
    if let Some(setting) = settings.iter_mut().find(|setting| setting.place == place) {
        setting.remarks.push(text.into());
    }
}

/// Changes what was said of this option, but for errors.
pub(super) fn set_option(settings: &mut [Setting], name: &str, outcome: Outcome) {
    for setting in settings.iter_mut().filter(|setting| setting.option == name) {
        if !matches!(setting.outcome, Outcome::Error(_)) {
            setting.outcome = outcome.clone();
        }
    }
}
