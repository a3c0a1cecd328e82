//! The `[tls]` section, and pairs of PEM files. Nothing is opened here.

use std::path::{Path, PathBuf};

use taciturn_tls::CertSource;

use super::address::{is_dns_name, is_placeholder, parse_host};
use super::config::Tls;
use super::error::Note;
use super::read::{Item, Reader};

const CERT_EXAMPLE: &str = "\"/etc/taciturn/fullchain.pem\"";
const KEY_EXAMPLE: &str = "\"/etc/taciturn/privkey.pem\"";
const DOMAINS_EXAMPLE: &str = "a list: [\"turn.domain.org\"]";

/// What to write where a certificate is missing.
pub(super) const WAYS: &str = "configure one in the section [tls], in one of three ways:\n\
     cert = \"FILE\" and key = \"FILE\" (a PEM pair; this listener's own will do as well),\n\
     certbot = \"/etc/letsencrypt/live/NAME\",\n\
     or acme = \"/PATH/TO/acme.json\" (Traefik's)";

/// Reads the section; `host` and `realm` are where the names for `acme` come from by default.
pub(super) fn tls(reader: &mut Reader<'_>, host: Option<&str>, realm: &str) -> Tls {
    let cert = reader.text("tls.cert", CERT_EXAMPLE);
    let key = reader.text("tls.key", KEY_EXAMPLE);
    let mut certificates = Vec::new();
    certificates.extend(pair(reader, cert, key));
    certificates.extend(certbot(reader));
    acme(reader, host, realm, &mut certificates);
    Tls { certificates }
}

/// Whether the section was begun, rightly or not.
pub(super) fn is_tried(reader: &Reader<'_>) -> bool {
    reader.settings.keys().any(|key| key.starts_with("tls."))
}

/// Says why there is no TLS where nobody asked for it.
pub(super) fn off_note() -> Note {
    Note::unconfigured(
        "TLS is off because no certificate is configured; to turn it on, set cert and key, certbot or acme in [tls]",
    )
}

/// A PEM pair: both files, or neither. `None` after an error, too.
pub(super) fn pair(
    reader: &mut Reader<'_>,
    cert: Option<Item>,
    key: Option<Item>,
) -> Option<CertSource> {
    match (cert, key) {
        (Some(cert), Some(key)) => {
            let (cert, key) = (path(reader, &cert), path(reader, &key));
            Some(CertSource::Pem { cert: cert?, key: key? })
        }
        (Some(alone), None) => {
            lonely(reader, &alone, "a certificate without its private key", "key");
            None
        }
        (None, Some(alone)) => {
            lonely(reader, &alone, "a private key without its certificate", "cert");
            None
        }
        (None, None) => None,
    }
}

fn lonely(reader: &mut Reader<'_>, item: &Item, message: &str, missing: &str) {
    // A value of the wrong type has been reported already; it is not missing.
    let other = item.key.rsplit_once('.').map_or("", |(section, _)| section);
    if other == "tls" && reader.settings.contains_key(format!("tls.{missing}").as_str()) {
        return;
    }
    let help = format!(
        "add {missing} = \"FILE\"{}\n\
         where one PEM file holds both, write its path twice",
        if other == "tls" { " to the section [tls]" } else { " to this listener" }
    );
    reader.error(item, message, &help);
}

/// A path as it was written; an error where it plainly is none.
fn path(reader: &mut Reader<'_>, item: &Item) -> Option<PathBuf> {
    let text = item.text.as_str();
    let message = if text.trim().is_empty() {
        "is empty"
    } else if text.contains("-----") || text.contains('\n') {
        "holds the contents of a PEM file, not its path"
    } else {
        return Some(PathBuf::from(text));
    };
    reader.error(item, message, "write the path of a file that taciturn's user can read");
    None
}

fn certbot(reader: &mut Reader<'_>) -> Option<CertSource> {
    let item = reader.text("tls.certbot", "\"/etc/letsencrypt/live/turn.domain.org\"")?;
    let dir = path(reader, &item)?;
    if dir.extension().is_some_and(|extension| extension == "pem") {
        let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.unwrap_or_else(|| Path::new(".")).display();
        let help = format!(
            "write the directory that holds fullchain.pem and privkey.pem:\ncertbot = \"{parent}\""
        );
        reader.error(&item, format!("{} is a file of certbot's", dir.display()), &help);
        return None;
    }
    Some(CertSource::Certbot { dir })
}

fn acme(
    reader: &mut Reader<'_>,
    host: Option<&str>,
    realm: &str,
    certificates: &mut Vec<CertSource>,
) {
    let item = reader.text("tls.acme", "\"/etc/traefik/acme.json\"");
    let items = reader.list("tls.acme_domains", DOMAINS_EXAMPLE);
    let Some(item) = item else {
        if let Some(first) = items.first().filter(|_| !reader.settings.contains_key("tls.acme")) {
            let help = "add acme = \"/PATH/TO/acme.json\" to the section [tls], or remove this";
            reader.error(first, "there is no acme.json to take a certificate from", help);
        }
        return;
    };
    let Some(path) = path(reader, &item) else { return };
    let mut domains: Vec<String> = Vec::with_capacity(items.len());
    for domain in &items {
        let text = domain.text.trim();
        let base = text.strip_prefix("*.").unwrap_or(text);
        let fits = is_dns_name(base) || (base == text && parse_host(text).is_some());
        if !fits || is_placeholder(text) {
            let what = if is_placeholder(text) { "a placeholder" } else { "no host name" };
            let message = format!("\"{text}\" is {what}");
            reader.error(
                domain,
                message,
                "write a name as it stands in a certificate:\n\
                 acme_domains = [\"turn.domain.org\"]",
            );
        } else if !domains.iter().any(|other| other.eq_ignore_ascii_case(text)) {
            domains.push(text.to_owned());
        }
    }
    if items.is_empty() {
        // A wrong host or a wrong list has been reported already.
        if reader.settings.contains_key("host") && host.is_none() {
            return;
        }
        match host.or_else(|| Some(realm).filter(|realm| is_dns_name(realm))) {
            Some(domain) => domains.push(domain.to_owned()),
            None => {
                let message = "it is not known which of the certificates in it to take";
                let help = "add acme_domains = [\"turn.domain.org\"] to the section [tls], with the name\n\
                            that clients use; or set host or realm to it";
                reader.error(&item, message, help);
            }
        }
    }
    let source = |domain| CertSource::Acme { path: path.clone(), domain };
    certificates.extend(domains.into_iter().map(source));
}
