//! Traefik's `acme.json`, read in place.
//!
//! Traefik writes it over itself (same inode, not atomically) and insists on mode 0600. Top level:
//! one object per certificate resolver, whatever it is called; `Certificates` is null until there
//! is one; `certificate` and `key` are base64 of PEM.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;
use serde_json::error::Category;
use zeroize::Zeroizing;

use super::chain::CertifiedChain;
use super::error::{CertError, Place};
use super::files;
use super::names::fit;
use super::pem::PemText;

/// The largest acme.json that is read, in bytes; a certificate takes about 12,000.
const MAX_LEN: u64 = 64 * 1024 * 1024;

#[derive(Deserialize)]
struct Resolver<'a> {
    #[serde(borrow, rename = "Certificates", default)]
    certificates: Option<Vec<Entry<'a>>>,
}

/// Strings are borrowed from the file's bytes, which are wiped after use.
#[derive(Deserialize)]
struct Entry<'a> {
    #[serde(borrow)]
    domain: Domain<'a>,
    #[serde(borrow)]
    certificate: Cow<'a, str>,
    #[serde(borrow)]
    key: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Domain<'a> {
    #[serde(borrow)]
    main: Cow<'a, str>,
    #[serde(default)]
    sans: Option<Vec<String>>,
}

impl Domain<'_> {
    fn names(&self) -> impl Iterator<Item = &str> {
        let sans = self.sans.iter().flatten().map(String::as_str);
        std::iter::once(&*self.main).chain(sans)
    }
}

/// The files of `path`: itself, or the `acme*.json` in it (there may be one per resolver).
pub(super) fn files(path: &Path) -> Result<Vec<PathBuf>, CertError> {
    if !path.is_dir() {
        return Ok(vec![path.into()]);
    }
    let unreadable = |error| CertError::unreadable(path, error);
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(unreadable)? {
        let name = entry.map_err(unreadable)?.file_name();
        let text = name.to_string_lossy();
        if text.starts_with("acme") && text.ends_with(".json") {
            files.push(path.join(&name));
        }
    }
    files.sort();
    if files.is_empty() {
        return Err(CertError::NoAcmeFiles { path: path.into() });
    }
    Ok(files)
}

/// The certificate for `domain` that expires last, of all resolvers and files of `path`.
///
/// One damaged file fails the whole: it may be the one that holds the newest certificate, being
/// written right now. An empty file among several is a resolver that has done nothing yet.
pub(super) fn load(path: &Path, domain: &str) -> Result<CertifiedChain, CertError> {
    let files = files(path)?;
    let alone = files.len() == 1;
    let mut found = Search::default();
    for file in files {
        match files::read(&file, MAX_LEN) {
            Ok(bytes) => found.look_in(&file, &bytes, domain)?,
            Err(CertError::Empty { .. }) if !alone => {}
            Err(error) => return Err(error),
        }
    }
    match (found.best, found.failure) {
        (Some(best), _) => Ok(best),
        (None, Some(failure)) => Err(failure),
        (None, None) => Err(CertError::NotInAcme {
            path: path.into(),
            domain: domain.into(),
            names: found.others.into_iter().collect(),
        }),
    }
}

#[derive(Default)]
struct Search {
    best: Option<CertifiedChain>,
    /// The first entry that has the name but cannot be used.
    failure: Option<CertError>,
    others: BTreeSet<String>,
}

impl Search {
    fn look_in(&mut self, file: &Path, bytes: &[u8], domain: &str) -> Result<(), CertError> {
        let resolvers: BTreeMap<String, Option<Resolver<'_>>> =
            serde_json::from_slice(bytes).map_err(|error| json_error(file, &error))?;
        let entries = resolvers.into_values().flatten().filter_map(|r| r.certificates).flatten();
        for entry in entries {
            if !entry.domain.names().any(|name| fit(name, domain).is_some()) {
                self.others.extend(entry.domain.names().map(str::to_owned));
                continue;
            }
            match chain(file, &entry) {
                Ok(chain) if self.best.as_ref().is_none_or(|b| ends(b) < ends(&chain)) => {
                    self.best = Some(chain);
                }
                Ok(_) => {}
                Err(error) => self.failure = self.failure.take().or(Some(error)),
            }
        }
        Ok(())
    }
}

fn ends(chain: &CertifiedChain) -> i64 {
    chain.facts().not_after
}

fn chain(file: &Path, entry: &Entry<'_>) -> Result<CertifiedChain, CertError> {
    let place = Place { path: file.into(), entry: Some(entry.domain.main.to_string()) };
    let text = |value: &str, field| match STANDARD.decode(value) {
        Ok(pem) => PemText::parse(&Zeroizing::new(pem), place.clone()),
        Err(_) => Err(CertError::BadBase64 { place: place.clone(), field }),
    };
    let certs = text(&entry.certificate, "certificate")?.into_certs()?;
    let key = text(&entry.key, "key")?.into_key()?;
    CertifiedChain::new(certs, key)
}

/// serde's own text may quote values of the file, which is full of keys: only the place goes on.
fn json_error(path: &Path, error: &serde_json::Error) -> CertError {
    let (path, line, column) = (path.into(), error.line(), error.column());
    match error.classify() {
        Category::Eof => CertError::TruncatedJson { path, line, column },
        kind => CertError::BadJson { path, syntax: kind == Category::Syntax, line, column },
    }
}
