//! What to test, and what the tests of one run share.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use serde_json::Value;

use super::credentials::Credentials;
use super::reach::Target;
use super::uris::Origin;
use crate::client::{Login, Roots};
use crate::report::Section;
use taciturn_turn::policy::PortRange;

/// How long one request is waited for: three retransmissions over UDP.
const PATIENCE: Duration = Duration::from_secs(4);

/// What to test, and how.
#[derive(Debug)]
pub(super) struct Plan {
    /// As written, not checked yet.
    pub(super) uris: Vec<String>,
    pub(super) origin: Origin,
    pub(super) credentials: Credentials,
    /// Whether a finding says already why the credentials have ended.
    pub(super) expiry_explained: bool,
    /// Why no client begins a call with these URIs, whatever the servers say.
    pub(super) hindered: Option<String>,
    pub(super) expect_ports: Option<PortRange>,
    pub(super) echo: Option<String>,
    pub(super) extra_roots: Vec<CertificateDer<'static>>,
    pub(super) security: bool,
    pub(super) patience: Duration,
    pub(super) total: Duration,
    /// What was found out on the way here.
    pub(super) before: Vec<Section>,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            uris: Vec::new(),
            origin: Origin::User,
            credentials: Credentials::None,
            expiry_explained: false,
            hindered: None,
            expect_ports: None,
            echo: None,
            extra_roots: Vec::new(),
            security: true,
            patience: PATIENCE,
            total: Duration::from_secs(120),
            before: Vec::new(),
        }
    }
}

/// What the tests of one run share.
pub(super) struct Run<'a> {
    pub(super) plan: &'a Plan,
    /// How long the usernames that are made here are good.
    pub(super) login_lifetime: Duration,
    pub(super) roots: Roots,
    /// Whether UDP of this network is answered at all.
    pub(super) udp_works: bool,
    /// Where the servers see this machine.
    pub(super) mapped: Vec<SocketAddr>,
    /// Relays by host and address, and whether peers get through to them.
    pub(super) relays_tested: BTreeMap<(String, IpAddr), bool>,
    pub(super) families_tested: bool,
    pub(super) echoed: bool,
    pub(super) media_tried: bool,
    /// Numbers for JSON.
    pub(super) measured: Vec<Value>,
}

impl Run<'_> {
    /// A username and password; `None` where there are none.
    pub(super) fn login(&self) -> Option<Login> {
        self.plan.credentials.login_for(self.login_lifetime)
    }

    /// Where servers see this machine, in the family of `target`.
    pub(super) fn mapped_for(&self, target: &Target) -> Option<SocketAddr> {
        let same = |mapped: &&SocketAddr| mapped.is_ipv4() == target.address.is_ipv4();
        self.mapped.iter().find(same).copied()
    }
}
