//! The lifetime of an allocation.

use super::rules::Rules;
use super::settings::Settings;

/// RFC 8656 section 3.2: the default lifetime, and the shortest that is granted.
//= 8656-6-lifetime-600
pub(super) const DEFAULT_LIFETIME: u32 = 600;

//= 8656-7.2-lifetime
/// RFC 8656 section 7.2: never shorter than the default, never longer than the maximum; with
/// `strict_expiry`, and of a guest, never beyond the credential. In seconds; `unix` is now.
pub(super) fn granted_lifetime(
    settings: &Settings,
    rules: &Rules,
    wanted: u32,
    credential_expires: Option<u64>,
    is_guest: bool,
    unix: u64,
) -> u32 {
    let longest = u32::try_from(settings.max_lifetime.as_secs()).unwrap_or(u32::MAX);
    let granted = wanted.clamp(DEFAULT_LIFETIME, longest.max(DEFAULT_LIFETIME));
    match credential_expires {
        Some(expires) if rules.authenticator.strict_expiry() || is_guest => {
            let left = u32::try_from(expires.saturating_sub(unix)).unwrap_or(u32::MAX);
            granted.min(left.max(1))
        }
        _ => granted,
    }
}
