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
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use super::chain::CertifiedChain;
use super::error::{CertError, Place};
use super::files;
use super::names::fit;
use super::pem::PemText;

/// The largest acme.json that is read, in bytes; a certificate takes about 12,000.
const MAX_LEN: u64 = 64 * 1024 * 1024;

/// Each part is read by itself, so that one that is odd takes nothing else with it. Strings and parts are borrowed
/// from the file's bytes, which are wiped after use.
#[derive(Deserialize)]
struct Resolver<'a> {
    #[serde(borrow, rename = "Certificates", default)]
    certificates: Option<Vec<&'a RawValue>>,
}

#[derive(Deserialize)]
struct Entry<'a> {
    #[serde(borrow)]
    domain: Domain<'a>,
    #[serde(borrow)]
    certificate: Cow<'a, str>,
    #[serde(borrow)]
    key: Cow<'a, str>,
}

/// What is left of an entry that is no [`Entry`].
#[derive(Deserialize)]
struct Named<'a> {
    #[serde(borrow)]
    domain: Domain<'a>,
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
        let is_file_s_name = path.extension().is_some_and(|extension| extension == "json");
        if is_file_s_name {
            return Err(CertError::NotAFile { path: path.into(), directory: true });
        }
        return Err(CertError::NoAcmeFiles { path: path.into() });
    }
    Ok(files)
}

/// The certificate for `domain` that expires last, of all resolvers and files of `path`.
///
/// A file, a resolver or an entry that cannot be read is left out, and the certificate says so
/// ([`CertifiedChain::left_out`]): the others are not to blame. If nothing is found without it, it is the error. An
/// empty file among several is a resolver that has done nothing yet.
pub(super) fn load(path: &Path, domain: &str) -> Result<CertifiedChain, CertError> {
    let files = files(path)?;
    let alone = files.len() == 1;
    let mut found = Search::default();
    for file in files {
        let looked = match files::read(&file, MAX_LEN) {
            Ok(bytes) => found.look_in(&file, &bytes, domain),
            Err(CertError::Empty { .. }) if !alone => Ok(()),
            Err(error) => Err(error),
        };
        match looked {
            Ok(()) => {}
            Err(error) if alone => return Err(error),
            Err(error) => {
                found.left_out.push(error.to_string());
                found.damaged.get_or_insert(error);
            }
        }
    }
    let Search { best, failure, damaged, others, left_out } = found;
    match (best, failure.or(damaged)) {
        (Some(best), _) => Ok(best.with_left_out(left_out)),
        (None, Some(failure)) => Err(failure),
        (None, None) => Err(CertError::NotInAcme {
            path: path.into(),
            domain: domain.into(),
            names: others.into_iter().collect(),
        }),
    }
}

#[derive(Default)]
struct Search {
    best: Option<CertifiedChain>,
    /// The first entry that has the name but cannot be used.
    failure: Option<CertError>,
    /// The first file that cannot be read, or resolver or entry of nobody knows which name.
    damaged: Option<CertError>,
    others: BTreeSet<String>,
    /// What was passed over, in words.
    left_out: Vec<String>,
}

impl Search {
    fn look_in(&mut self, file: &Path, bytes: &[u8], domain: &str) -> Result<(), CertError> {
        let resolvers: BTreeMap<Cow<'_, str>, &RawValue> =
            serde_json::from_slice(bytes).map_err(|error| json_error(file, &error))?;
        // Traefik 1: one account at the top, and names of fields that differ.
        if resolvers
            .keys()
            .any(|key| ["Certificates", "DomainsCertificate", "Account"].contains(&&**key))
        {
            return Err(CertError::TraefikOne { path: file.into() });
        }
        for (name, resolver) in resolvers {
            if resolver.get() == "null" {
                continue;
            }
            let odd = |what| CertError::OddPart { path: file.into(), what };
            match serde_json::from_str::<Resolver<'_>>(resolver.get()) {
                Ok(resolver) => {
                    for (n, entry) in resolver.certificates.into_iter().flatten().enumerate() {
                        self.entry(
                            file,
                            &format!("entry {} of resolver {name}", n + 1),
                            entry,
                            domain,
                        );
                    }
                }
                Err(_) => self.pass_over(odd(format!("resolver {name}"))),
            }
        }
        Ok(())
    }

    fn entry(&mut self, file: &Path, place: &str, raw: &RawValue, domain: &str) {
        let odd = |what| CertError::OddPart { path: file.into(), what };
        let fits = |of: &Domain<'_>| of.names().any(|name| fit(name, domain).is_some());
        let entry = match serde_json::from_str::<Entry<'_>>(raw.get()) {
            Ok(entry) => entry,
            Err(_) if raw.get().contains("\"Domain\"") => {
                return self.pass_over(CertError::TraefikOne { path: file.into() });
            }
            Err(_) => {
                let named = serde_json::from_str::<Named<'_>>(raw.get()).ok();
                let Some(Named { domain: of }) = named else {
                    return self.pass_over(odd(place.to_owned()));
                };
                let error = odd(format!("the entry of {} (no certificate or no key)", of.main));
                if fits(&of) {
                    self.failure = self.failure.take().or(Some(error));
                } else {
                    self.left_out.push(error.to_string());
                    self.others.extend(of.names().map(str::to_owned));
                }
                return;
            }
        };
        if !fits(&entry.domain) {
            self.others.extend(entry.domain.names().map(str::to_owned));
            return;
        }
        match chain(file, &entry) {
            Ok(chain) if self.best.as_ref().is_none_or(|b| ends(b) < ends(&chain)) => {
                self.best = Some(chain);
            }
            Ok(_) => {}
            Err(error) => {
                self.left_out.push(error.to_string());
                self.failure = self.failure.take().or(Some(error));
            }
        }
    }

    /// Something of nobody knows which name: the error, if there is nothing else.
    fn pass_over(&mut self, error: CertError) {
        self.left_out.push(error.to_string());
        self.damaged.get_or_insert(error);
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
