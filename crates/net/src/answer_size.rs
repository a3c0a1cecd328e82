//! How long an answer can be.

/// Bytes of the longest answer, with room to spare. That to an Allocate request, with a reservation and two
/// relayed addresses, has fewer than 200; a 401 holds a realm of up to 763; a padded answer of NAT discovery
/// has about 1600.
pub(super) const LONGEST_ANSWER: usize = 2048;
