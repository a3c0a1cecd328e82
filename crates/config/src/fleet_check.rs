//! What of the section `[fleet]` belongs together.

use super::fleet::FleetPlace;
use super::keys::Fleet;
use super::read::Reader;

/// The section `[fleet]`.
pub(super) fn fleet(reader: &mut Reader<'_>) -> Fleet {
    let fleet = Fleet::read(reader);
    let place = fleet.url.as_ref().map(|url| &url.place);
    let secured = match place {
        Some(FleetPlace::Tcp { tls, .. }) => tls.then_some("rediss://"),
        Some(FleetPlace::Sentinel { tls, .. }) => tls.then_some("rediss+sentinel://"),
        Some(FleetPlace::Unix(_)) | None => None,
    };
    if let Some(scheme) = secured.filter(|_| fleet.ca_file.is_none()) {
        let origin = reader.origin("fleet.url");
        let help = "name the authorities that its certificate may be from:\n\
                    ca_file = \"/etc/ssl/certs/ca-certificates.crt\" are those of Debian";
        reader.findings.error(&origin, "fleet.ca_file", format!("is needed for {scheme}"), help);
    }
    let of_sentinels = [
        ("fleet.sentinel_user", fleet.sentinel_user.is_some()),
        ("fleet.sentinel_password_file", fleet.sentinel_password_file.is_some()),
    ];
    if !matches!(place, Some(FleetPlace::Sentinel { .. })) {
        for (key, _) in of_sentinels.into_iter().filter(|(_, is_there)| *is_there) {
            let origin = reader.origin(key);
            let help = "remove it, or name the sentinels in url:\n\
                        url = \"redis+sentinel://s1.internal,s2.internal,s3.internal/mymaster\"";
            reader.findings.error(&origin, key, "is for Sentinel, and url names none", help);
        }
    }
    fleet
}
