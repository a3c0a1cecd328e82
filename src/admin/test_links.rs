//! The test links of this server: what they are made of, and who is admitted by them.

use std::collections::VecDeque;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tokio::sync::mpsc;
use zeroize::Zeroizing;

use super::unix_time::unix_milliseconds_now;
use taciturn_config::uris::{self, Host};
use taciturn_config::{Config, Transport};
use taciturn_control::{Error, ErrorKind, TestLink};
use taciturn_net::external::External;
use taciturn_net::{Receptionist, Visitor};
use taciturn_turn::clock::Tick;
use taciturn_turn::policy::SourceBudget;
use taciturn_turn::{Guests, NewGuest};
use taciturn_web::test::{Fingerprint, LINKS, Links, token_of};

/// How long a link may be valid.
const LINK_SECONDS: std::ops::RangeInclusive<u64> = 60..=7 * 86_400;

/// How many people may test by a link at a time.
const PEOPLE: std::ops::RangeInclusive<u32> = 1..=4;

/// Wrong tokens that a source may try in a second.
const GUESSES: u32 = 5;

/// Requests that a source may make in a second.
const REQUESTS: u32 = 40;

/// Handshakes over a certificate that was refused: so many are kept.
const REFUSED_CERTIFICATES: usize = 64;

/// Connections that wait to be taken in.
pub(super) const QUEUE: usize = 32;

/// What the links of a server are made of. A reload replaces it.
#[derive(Clone, Debug, Default)]
pub(super) struct LinkTerms {
    /// What browsers try.
    pub(super) uris: Vec<String>,
    /// Where links are read, if anywhere.
    served: Option<Served>,
    /// The shared secrets.
    pub(super) secrets: Fingerprint,
    /// Whether there are relayed addresses of IPv6.
    pub(super) relays_ipv6: bool,
}

/// Where links are read.
#[derive(Clone, Debug)]
struct Served {
    /// `https://turn.example.org:5349/`
    address: String,
    on: &'static str,
}

/// The links, and what goes with them.
pub(super) struct TestLinks {
    pub(super) links: Links,
    pub(super) guests: Arc<Guests>,
    terms: ArcSwap<LinkTerms>,
    /// Of fingerprints.
    key: [u8; 32],
    began: Instant,
    guesses: SourceBudget,
    requests: SourceBudget,
    /// Whose browsers do not accept the certificate, and when that was, in seconds since 1970.
    refused: Mutex<VecDeque<(IpAddr, u64)>>,
}

impl fmt::Debug for TestLinks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestLinks").finish_non_exhaustive()
    }
}

impl TestLinks {
    pub(super) fn new(guests: Arc<Guests>) -> Self {
        Self {
            links: Links::default(),
            guests,
            terms: ArcSwap::default(),
            key: random(),
            began: Instant::now(),
            guesses: SourceBudget::new(GUESSES),
            requests: SourceBudget::new(REQUESTS),
            refused: Mutex::default(),
        }
    }

    /// Has links made of this configuration from now on.
    pub(super) fn set_terms(&self, config: &Config, external: &External) {
        let found = external.addresses.iter().flatten().next().map(|address| address.public);
        let host = Host::of(config, None, found);
        let secrets = config.auth.secrets.iter().map(|secret| secret.secret.expose());
        let [_, v6] = external.addresses;
        self.terms.store(Arc::new(LinkTerms {
            uris: uris::of_listeners(config, &host),
            served: served(config, &host),
            secrets: Fingerprint::of(&self.key, secrets),
            relays_ipv6: v6.is_some(),
        }));
    }

    pub(super) fn terms(&self) -> Arc<LinkTerms> {
        self.terms.load_full()
    }

    /// Makes a link.
    ///
    /// # Errors
    /// If there can be none.
    pub(super) fn issue(&self, for_seconds: u64, people: u32) -> Result<TestLink, Error> {
        let invalid = |text: String| Err(Error::new(ErrorKind::InvalidArgument, text));
        let impossible = |text: &str| Error::new(ErrorKind::NotPossible, text);
        if !LINK_SECONDS.contains(&for_seconds) {
            return invalid(format!("a link is valid for 1m to 7d, not for {for_seconds} seconds"));
        }
        if !PEOPLE.contains(&people) {
            return invalid(format!("a link is for 1 to 4 people, not for {people}"));
        }
        let terms = self.terms();
        if terms.uris.is_empty() {
            let text = "no listener is configured that browsers can reach directly: add one with transport = \"udp\"";
            return Err(impossible(text));
        }
        let Some(served) = &terms.served else {
            let text = "a link is read on a listener for TCP or TLS, and none is configured: add one with transport = \
                        \"tls\" or \"tcp\"";
            return Err(impossible(text));
        };
        let (now, unix) = (Instant::now(), unix_milliseconds_now() / 1000);
        let valid = Duration::from_secs(for_seconds);
        let made = self.links.issue(random(), (now, unix), valid, people, terms.secrets);
        let made = made.ok_or_else(|| {
            impossible(&format!("{LINKS} links are out already: turnctl test-link --end ends them"))
        })?;
        Ok(TestLink {
            number: made.number,
            address: served.address.clone(),
            path: format!("test/{}/", made.token),
            served_on: served.on.to_owned(),
            ends_at: unix.saturating_add(for_seconds),
            people,
        })
    }

    /// Whether a source may make one more request.
    pub(super) fn takes_request(&self, from: IpAddr) -> bool {
        self.requests.take(self.tick(), from)
    }

    /// Whether a client at this address has refused the certificate since then, in seconds since 1970.
    pub(super) fn has_refused(&self, address: IpAddr, since: u64) -> bool {
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.iter().any(|(by, at)| *by == address && *at >= since)
    }

    fn tick(&self) -> Tick {
        Tick(u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX))
    }
}

/// The receptionist of the workers: gives visitors to the task that serves them.
#[derive(Debug)]
pub(super) struct Door {
    pub(super) tests: Arc<TestLinks>,
    pub(super) visitors: mpsc::Sender<Visitor>,
}

impl Receptionist for Door {
    fn is_open(&self) -> bool {
        self.tests.links.is_any_out()
    }

    fn admits(&self, head: &[u8], from: IpAddr) -> bool {
        let tests = &self.tests;
        let Some(token) = token_of(head) else { return false };
        if tests.guesses.is_spent(tests.tick(), from) {
            return false;
        }
        let knows = tests.links.knows(token, Instant::now());
        if !knows {
            tests.guesses.take(tests.tick(), from);
        }
        knows
    }

    fn take(&self, visitor: Visitor) {
        // One too many is closed, as others are.
        let _ = self.visitors.try_send(visitor);
    }

    fn certificate_refused(&self, by: IpAddr) {
        let mut refused = self.tests.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if refused.len() >= REFUSED_CERTIFICATES {
            refused.pop_front();
        }
        refused.push_back((by, unix_milliseconds_now() / 1000));
    }
}

/// Where links are read: over TLS if there is a listener for that, on port 443 if it is there.
fn served(config: &Config, host: &Host) -> Option<Served> {
    let is_known = *host != Host::Placeholder;
    let of_links = config.listen.iter().find(|listen| listen.for_links);
    let streams = |proxy: bool, transports: &'static [Transport]| {
        let listens = config.listen.iter().filter(move |listen| listen.proxy_protocol == proxy);
        listens.filter(|listen| transports.contains(&listen.transport)).map(|l| l.address.port())
    };
    let direct = streams(false, uris::TLS).find(|port| *port == 443);
    let at = |scheme: &str, usual: u16, port: u16, on| {
        let port = if port == usual { String::new() } else { format!(":{port}") };
        Served { address: format!("{scheme}://{host}{port}/"), on }
    };
    let tls =
        direct.or_else(|| uris::port(config, uris::TLS)).map(|port| at("https", 443, port, "tls"));
    // A proxy that passes TLS on has port 443, or is named with `--url`.
    let proxied = || streams(true, uris::TLS).next().map(|_| at("https", 443, 443, "proxy"));
    let tcp = || uris::port(config, uris::TCP).map(|port| at("http", 80, port, "tcp"));
    let own = of_links.map(|listen| match listen.transport.is_secure() {
        true => at("https", 443, listen.address.port(), "web"),
        false => at("http", 80, listen.address.port(), "web"),
    });
    own.or(tls).or_else(proxied).or_else(tcp).filter(|_| is_known)
}

/// A credential for a guest.
pub(super) fn new_guest() -> NewGuest {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let (name, password) = (random::<8>(), Zeroizing::new(random::<16>()));
    NewGuest { name: format!("test-{}", hex(&name)), password: Zeroizing::new(hex(&password[..])) }
}

/// Randomness of the operating system.
pub(super) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    // SAFE: the OS generator fails only on a kernel without getrandom, and the server has drawn from it at start.
    #[allow(clippy::expect_used)]
    getrandom::fill(&mut bytes).expect("the operating system gives randomness");
    bytes
}
