//! How times are printed.

use std::time::Duration;

/// A time for people: `0.4 ms`, `12 ms`.
pub(super) fn ms(time: Duration) -> String {
    let ms = time.as_secs_f64() * 1e3;
    if ms < 10.0 { format!("{ms:.1} ms") } else { format!("{ms:.0} ms") }
}
