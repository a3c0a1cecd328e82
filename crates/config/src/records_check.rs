//! What of the section `[records]` belongs together.

use super::keys::{Fleet, Records};
use super::read::Reader;

/// The section `[records]`.
pub(super) fn records(reader: &mut Reader<'_>, fleet: &Fleet) -> Records {
    let records = Records::read(reader);
    let (file, url, stream) =
        (records.file.is_some(), records.url.is_some(), records.stream.is_some());
    if [file, url, stream].into_iter().filter(|set| *set).count() > 1 {
        let key = if stream { "records.stream" } else { "records.url" };
        let origin = reader.origin(key);
        let help = "keep one of file, url and stream";
        reader.findings.error(&origin, key, "is one place too many for records", help);
    }
    if stream && fleet.url.is_none() {
        let origin = reader.origin("records.stream");
        let help = "set url in [fleet] to the Valkey or Redis that has the stream";
        reader.findings.error(&origin, "records.stream", "needs a fleet", help);
    }
    let secured = records.url.as_ref().is_some_and(|url| url.tls);
    if secured && records.ca_file.is_none() {
        let origin = reader.origin("records.url");
        let help = "name the authorities that its certificate may be from:\n\
                    ca_file = \"/etc/ssl/certs/ca-certificates.crt\" are those of Debian";
        reader.findings.error(&origin, "records.ca_file", "is needed for https://", help);
    }
    records
}
