//! What of the section `[fleet]` belongs together.

use super::fleet::FleetPlace;
use super::keys::Fleet;
use super::read::Reader;

/// The section `[fleet]`.
pub(super) fn fleet(reader: &mut Reader<'_>) -> Fleet {
    let fleet = Fleet::read(reader);
    let secured = fleet
        .url
        .as_ref()
        .is_some_and(|url| matches!(url.place, FleetPlace::Tcp { tls: true, .. }));
    if secured && fleet.ca_file.is_none() {
        let origin = reader.origin("fleet.url");
        let help = "name the authorities that its certificate may be from:\n\
                    ca_file = \"/etc/ssl/certs/ca-certificates.crt\" are those of Debian";
        reader.findings.error(&origin, "fleet.ca_file", "is needed for rediss://", help);
    }
    fleet
}
