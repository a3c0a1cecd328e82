//! What the measurements of traffic and of idle clients share.

use std::time::Duration;

/// A packet that has not come back this long after the last one was sent counts as lost.
pub(super) const DRAIN: Duration = Duration::from_millis(300);

/// Shows the progress, if somebody watches.
pub(super) type Say<'a> = &'a mut dyn FnMut(&str);
