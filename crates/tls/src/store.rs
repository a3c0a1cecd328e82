//! The certificates of a running server: chosen by name, renewed in place.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use rustls::SignatureScheme;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::chain::{CertifiedChain, day};
use super::error::CertError;
use super::files::Stamp;
use super::names::Fit;
use super::source::{CertSource, load};
use super::warning::Warning;

/// Certificates from several sources, the first one for clients that name no host or one that no
/// certificate is for.
///
/// Handshakes take a chain as it is at that moment, without a lock; a connection keeps the one it
/// began with. [`poll`](Self::poll) and [`reload`](Self::reload) read files: call them where that
/// may block, one caller at a time is served.
pub struct CertStore {
    chains: ArcSwap<Chains>,
    watched: Mutex<Watched>,
}

/// The chains in the order of their sources.
struct Chains {
    first: Arc<CertifiedChain>,
    more: Vec<Arc<CertifiedChain>>,
}

impl Chains {
    /// Those that there are; `None` where there is none.
    fn of(slots: &[Slot]) -> Option<Self> {
        let mut chains = slots.iter().filter_map(|slot| slot.chain.clone());
        let first = chains.next()?;
        Some(Self { first, more: chains.collect() })
    }

    fn iter(&self) -> impl Iterator<Item = &Arc<CertifiedChain>> {
        std::iter::once(&self.first).chain(&self.more)
    }

    /// The best fit for `host`; of equal ones the first that `usable` accepts, else the first.
    fn choose(
        &self,
        host: Option<&str>,
        usable: impl Fn(&CertifiedChain) -> bool,
    ) -> &Arc<CertifiedChain> {
        best(&self.first, &self.more, |chain| chain, host, usable)
    }
}

/// Which of several is served to a client that asks for `host`, by the rules of a [`CertStore`]: the
/// best fit, and `first` where there is none.
pub fn best_fit<'a, T>(
    first: &'a T,
    more: &'a [T],
    chain: impl Fn(&T) -> &CertifiedChain,
    host: &str,
) -> &'a T {
    best(first, more, chain, Some(host), |_| true)
}

fn best<'a, T>(
    first: &'a T,
    more: &'a [T],
    chain: impl Fn(&T) -> &CertifiedChain,
    host: Option<&str>,
    usable: impl Fn(&CertifiedChain) -> bool,
) -> &'a T {
    let rank = |of: &T| -> (Option<Fit>, bool) {
        let chain = chain(of);
        (host.and_then(|host| chain.fit(host)), usable(chain))
    };
    let mut best = (first, rank(first));
    for next in more {
        let rank = rank(next);
        // Without a fit, the first source is the one to fall back to.
        if rank.0.is_some() && rank > best.1 {
            best = (next, rank);
        }
    }
    best.0
}

/// Whether `new` is older than what is in use because a part of its source cannot be read now: it may be the part
/// with the newest certificate, being written.
fn is_step_back(old: &CertifiedChain, new: &CertifiedChain) -> bool {
    !new.left_out().is_empty() && new.facts().not_after < old.facts().not_after
}

struct Watched {
    /// In the order of the sources.
    slots: Vec<Slot>,
    generation: u64,
}

/// The state of one source, for the operator.
struct Slot {
    source: CertSource,
    /// Its certificate; none as long as it could not be read.
    chain: Option<Arc<CertifiedChain>>,
    /// The files as the last look saw them.
    seen: Vec<(PathBuf, Stamp)>,
    /// The files whose content is in use, once two looks agreed on them.
    settled: Option<Vec<(PathBuf, Stamp)>>,
    /// The failure that was reported last, so that each is reported once.
    failure: Option<String>,
    /// Since when its certificate is in use.
    since: SystemTime,
}

/// The state of one source.
#[derive(Clone, Debug)]
pub struct Report {
    /// Where the certificate comes from.
    pub source: CertSource,
    /// The chain that is served.
    pub chain: Arc<CertifiedChain>,
    /// Since when.
    pub since: SystemTime,
    /// Why there is no newer chain, if the source could not be read at the last attempt.
    pub failure: Option<String>,
}

/// The result for one source of a [`CertStore::reload`], a [`CertStore::poll`] or a
/// [`CertStore::take_over`].
#[derive(Debug)]
pub enum ReloadOutcome {
    /// New connections get another certificate from now on.
    Replaced {
        /// Where it came from.
        source: CertSource,
        /// The new one.
        chain: Arc<CertifiedChain>,
    },
    /// The key is in another file or written in another way. It belongs to the certificate that is
    /// in use, as it did before.
    KeyReplaced {
        /// Where it came from.
        source: CertSource,
    },
    /// It is well, and the same as before.
    Unchanged {
        /// Where it was looked for.
        source: CertSource,
    },
    /// It could not be loaded, and never could: other certificates are served in its place.
    LeftOut {
        /// Where it was looked for.
        source: CertSource,
        /// Why.
        error: CertError,
    },
    /// It could not be loaded. The last valid one stays in use; the next poll tries again.
    Kept {
        /// Where it was looked for.
        source: CertSource,
        /// Why.
        error: CertError,
        /// The one that stays.
        chain: Arc<CertifiedChain>,
    },
}

impl fmt::Display for ReloadOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Replaced { source, chain } => write!(
                f,
                "new certificate from {source}: {}, valid until {}",
                chain.names().join(", "),
                day(chain.facts().not_after)
            ),
            Self::KeyReplaced { source } => {
                write!(f, "key of {source} read again")?;
                if let CertSource::Pem { key, .. } = source {
                    write!(f, " from {}", key.display())?;
                }
                write!(f, ", its certificate is unchanged")
            }
            Self::Unchanged { source } => write!(f, "certificate of {source} is unchanged"),
            Self::LeftOut { source, error } => {
                write!(f, "certificate of {source} rejected, the others are served: {error}")
            }
            Self::Kept { source, error, chain } => write!(
                f,
                "certificate of {source} rejected, the last valid one (until {}) stays in use: \
                 {error}",
                day(chain.facts().not_after)
            ),
        }
    }
}

/// A [`Warning`] about one certificate of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Where the certificate came from.
    pub source: CertSource,
    /// The problem.
    pub warning: Warning,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.source, self.warning)
    }
}

impl CertStore {
    /// Loads every source. One that gives no certificate is left out, and tried again by
    /// [`poll`](Self::poll); [`findings`](Self::findings) names it.
    ///
    /// # Errors
    ///
    /// If no source gives a certificate, the error of the first: at its start a server should say so and end, not
    /// run without.
    pub fn open(sources: Vec<CertSource>) -> Result<Self, CertError> {
        Self::open_after(0, sources, |_| None)
    }

    /// Loads other sources, for [`take_over`](Self::take_over): so that they can be looked at before
    /// they are in use.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn successor(&self, sources: Vec<CertSource>) -> Result<Self, CertError> {
        let watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        let known = |source: &CertSource| {
            let slot =
                watched.slots.iter().find(|slot| slot.source.to_string() == source.to_string());
            slot.and_then(|slot| slot.chain.clone())
        };
        Self::open_after(watched.generation, sources, known)
    }

    /// Serves from now on what its successor has. Connections keep what they began with. Answers
    /// what has become of the sources that were there before.
    #[must_use]
    pub fn take_over(&self, successor: &Self) -> Vec<ReloadOutcome> {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        let mut theirs = successor.watched.lock().unwrap_or_else(PoisonError::into_inner);
        let mut outcomes = Vec::new();
        for theirs in &mut theirs.slots {
            // The name of a source has its certificate in it, and not the path of the key.
            let name = theirs.source.to_string();
            let slot = watched.slots.iter().find(|slot| slot.source.to_string() == name);
            let (Some(slot), Some(new)) = (slot, theirs.chain.clone()) else { continue };
            let source = theirs.source.clone();
            let Some(old) = &slot.chain else {
                outcomes.push(ReloadOutcome::Replaced { source, chain: new });
                continue;
            };
            if !old.same_certificates_as(&new) {
                outcomes.push(ReloadOutcome::Replaced { source, chain: new });
                continue;
            }
            // An unchanged chain keeps its time.
            theirs.since = slot.since;
            outcomes.push(match old.same_as(&new) && slot.source == source {
                true => ReloadOutcome::Unchanged { source },
                false => ReloadOutcome::KeyReplaced { source },
            });
        }
        self.chains.store(successor.chains.load_full());
        std::mem::swap(&mut *watched, &mut *theirs);
        outcomes
    }

    /// `known`: the certificate of the same source that is in use.
    fn open_after(
        mut generation: u64,
        sources: Vec<CertSource>,
        known: impl Fn(&CertSource) -> Option<Arc<CertifiedChain>>,
    ) -> Result<Self, CertError> {
        let mut slots = Vec::with_capacity(sources.len());
        let (mut first_error, mut fresh) = (None, 0);
        for source in sources {
            // Looked at before it is read: a change in between is seen by the next poll.
            let seen = source.stamps();
            generation += 1;
            let known = known(&source);
            let (chain, failure) = match load(&source) {
                Ok(loaded) if known.as_ref().is_some_and(|old| is_step_back(old, &loaded)) => {
                    (known, None)
                }
                Ok(loaded) => (Some(Arc::new(loaded.with_generation(generation))), None),
                Err(error) => {
                    let text = error.to_string();
                    first_error.get_or_insert(error);
                    fresh -= 1;
                    // The last good one stays; the next poll tries again, and tells why.
                    if known.is_some() { (known, None) } else { (None, Some(text)) }
                }
            };
            fresh += 1;
            let since = SystemTime::now();
            slots.push(Slot { source, chain, seen, settled: None, failure, since });
        }
        let chains = Chains::of(&slots).filter(|_| fresh > 0);
        let chains = chains.ok_or_else(|| first_error.unwrap_or(CertError::NoSources))?;
        Ok(Self {
            chains: ArcSwap::from_pointee(chains),
            watched: Mutex::new(Watched { slots, generation }),
        })
    }

    /// The chain for a client that asks for `sni`, as of now.
    #[must_use]
    pub fn current(&self, sni: Option<&str>) -> Arc<CertifiedChain> {
        Arc::clone(self.chains.load().choose(sni, |_| true))
    }

    /// All chains in the order of their sources, as of now.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<CertifiedChain>> {
        self.chains.load().iter().map(Arc::clone).collect()
    }

    /// All sources and what is served of them, as of now.
    #[must_use]
    pub fn reports(&self) -> Vec<Report> {
        let watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        let report = |slot: &Slot| {
            Some(Report {
                source: slot.source.clone(),
                chain: slot.chain.clone()?,
                since: slot.since,
                failure: slot.failure.clone(),
            })
        };
        watched.slots.iter().filter_map(report).collect()
    }

    /// Reasons for which clients reject the chains at the time `now`: about each certificate, and which of the
    /// `expected` host names none of them is good for. Worth asking at the start and once a day.
    #[must_use]
    pub fn findings(&self, now: SystemTime, expected: &[&str]) -> Vec<Finding> {
        let watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        let chains = self.chains.load();
        let mut findings = Vec::new();
        for slot in &watched.slots {
            let found = |warning| Finding { source: slot.source.clone(), warning };
            let Some(chain) = &slot.chain else {
                let why = slot.failure.clone().unwrap_or_default();
                findings.push(found(Warning::NotServed { why }));
                continue;
            };
            findings.extend(chain.warnings(now, None).into_iter().map(found));
            let passed_over = chain.left_out().iter().cloned();
            findings.extend(passed_over.map(|what| found(Warning::PassedOver { what })));
            let exposed = slot.source.exposed_keys().into_iter();
            findings.extend(exposed.map(|key| found(Warning::ExposedKey { key })));
        }
        for host in expected {
            if let Some(slot) = watched.slots.first()
                && !chains.iter().any(|chain| chain.covers(host))
            {
                let names = chains.iter().flat_map(|chain| chain.names()).cloned().collect();
                let warning = Warning::NameMismatch { expected: (*host).into(), names };
                findings.push(Finding { source: slot.source.clone(), warning });
            }
        }
        findings
    }

    /// Reads every source again, now. One outcome each, in their order.
    #[must_use]
    pub fn reload(&self) -> Vec<ReloadOutcome> {
        self.refresh(|slot| {
            slot.seen = slot.source.stamps();
            slot.settled = None;
            true
        })
        .into_iter()
        .map(|(outcome, _)| outcome)
        .collect()
    }

    /// Looks whether files have changed, and reads those that have; meant to be called every few
    /// seconds, and cheap when nothing has (one `stat` a file). Gives back only news: a new
    /// certificate, a failure not told before, or the end of one.
    ///
    /// A change counts when two calls in a row have seen the same state, so that a file being
    /// written is seldom even read. A source that failed is tried again each time.
    //
    // Not inotify: it reports nothing through some bind mounts and network file systems, must be
    // set again for every link and directory on the way to a swapped symlink, loses its watch when a
    // file is replaced, and cannot tell the end of an in-place write such as Traefik's. Polling
    // what the links resolve to works in all of these. (A single file that is bind-mounted into a
    // container keeps showing the old inode after it is replaced on the host: that nothing can
    // see, which is why the documentation says to mount directories.)
    #[must_use]
    pub fn poll(&self) -> Vec<ReloadOutcome> {
        let before = |slot: &mut Slot| {
            let now = slot.source.stamps();
            let steady = now == slot.seen;
            slot.seen = now;
            let known = slot.settled.as_ref() == Some(&slot.seen) && slot.failure.is_none();
            let due = steady && !known;
            if due {
                slot.settled = Some(slot.seen.clone());
            }
            due
        };
        self.refresh(before)
            .into_iter()
            .filter_map(|(outcome, news)| news.then_some(outcome))
            .collect()
    }

    /// Loads the slots that `due` picks, and swaps the chains at once if any is new. Each outcome
    /// comes with whether it tells something new.
    fn refresh(&self, due: impl Fn(&mut Slot) -> bool) -> Vec<(ReloadOutcome, bool)> {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        let Watched { slots, generation } = &mut *watched;
        let mut outcomes = Vec::new();
        let mut swap = false;
        for slot in slots.iter_mut() {
            if !due(slot) {
                continue;
            }
            let source = slot.source.clone();
            let old = slot.chain.clone();
            let is_old = |loaded: &CertifiedChain| {
                old.as_ref().is_some_and(|old| loaded.same_as(old) || is_step_back(old, loaded))
            };
            outcomes.push(match load(&slot.source) {
                Ok(loaded) if is_old(&loaded) => {
                    let recovered = slot.failure.take().is_some();
                    (ReloadOutcome::Unchanged { source }, recovered)
                }
                Ok(loaded) => {
                    let certificate = old.is_none_or(|old| !loaded.same_certificates_as(&old));
                    *generation += 1;
                    let chain = Arc::new(loaded.with_generation(*generation));
                    slot.chain = Some(Arc::clone(&chain));
                    slot.failure = None;
                    swap = true;
                    if certificate {
                        slot.since = SystemTime::now();
                        (ReloadOutcome::Replaced { source, chain }, true)
                    } else {
                        (ReloadOutcome::KeyReplaced { source }, true)
                    }
                }
                Err(error) => {
                    let text = error.to_string();
                    let news = slot.failure.as_ref() != Some(&text);
                    slot.failure = Some(text);
                    let outcome = match old {
                        Some(chain) => ReloadOutcome::Kept { source, error, chain },
                        None => ReloadOutcome::LeftOut { source, error },
                    };
                    (outcome, news)
                }
            });
        }
        if swap && let Some(chains) = Chains::of(slots) {
            self.chains.store(Arc::new(chains));
        }
        outcomes
    }
}

impl ResolvesServerCert for CertStore {
    /// By server name; of two that fit equally well (an RSA and an ECDSA certificate for one
    /// host), one that the client can verify.
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let schemes: &[SignatureScheme] = hello.signature_schemes();
        let usable = |chain: &CertifiedChain| chain.served().key.choose_scheme(schemes).is_some();
        let chains = self.chains.load();
        Some(Arc::clone(chains.choose(hello.server_name(), usable).served()))
    }
}

impl fmt::Debug for CertStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.chains.load().iter()).finish()
    }
}
