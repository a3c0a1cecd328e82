//! Stands in for `dtls` in a build without the feature: the same names, and nothing behind them.
//! A listener for DTLS cannot come to be, so none is ever served.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::Notify;

use super::batch::{Egress, Ingress};
use super::clock::Clock;
use super::handshakes::Gate;
use super::io::Io;
use super::listener::{DtlsUnavailable, UdpListeners};
use super::losses::Losses;
use taciturn_tls::CertStore;
use taciturn_turn::clock::{Now, Tick};
use taciturn_turn::policy::Connections;
use taciturn_turn::{Prefix, Shard};

/// A listener for DTLS, of which there is none in this build.
#[derive(Debug)]
pub struct DtlsSettings {
    /// Its name in logs.
    pub name: String,
    /// Where; `[::]` stands for all addresses of both families.
    pub address: SocketAddr,
}

impl DtlsSettings {
    /// Refuses.
    ///
    /// # Errors
    /// Always: it says which feature is missing.
    pub fn new(
        name: &str,
        _address: SocketAddr,
        _store: Arc<CertStore>,
    ) -> Result<Self, DtlsUnavailable> {
        Err(DtlsUnavailable(format!(
            "listener \"{name}\": this taciturn was built without the feature `dtls` and cannot \
             serve it. Build it with `cargo build --release --features dtls` (the feature is on \
             unless --no-default-features is given), or remove the listener"
        )))
    }

    /// It serves none.
    #[must_use]
    pub fn serves(&self, _store: &Arc<CertStore>) -> bool {
        false
    }

    /// There is nothing to check.
    ///
    /// # Errors
    /// None.
    pub fn check(&self, _store: &CertStore) -> Result<(), DtlsUnavailable> {
        Ok(())
    }

    /// There is nothing to renew.
    #[must_use]
    pub fn renew(&self) -> Vec<DtlsUnavailable> {
        Vec::new()
    }
}

/// No connections.
#[derive(Debug)]
pub(super) struct Dtls;

impl Dtls {
    pub(super) fn new(_: Clock, _: &Arc<Connections>, _: Rc<Gate>) -> Self {
        Self
    }

    pub(super) fn open(&mut self, _: u16, settings: Arc<DtlsSettings>) -> io::Result<()> {
        Err(io::Error::other(format!("{} cannot be served", settings.name)))
    }

    pub(super) fn set(&mut self, _: u16, _: Arc<DtlsSettings>) {}

    pub(super) fn retire(&mut self, _: u16, _: bool) {}

    pub(super) fn close(&mut self, _: u16) {}

    pub(super) fn on_listener(&self, _: u16) -> Vec<u32> {
        Vec::new()
    }

    pub(super) fn serves(&self, _: u16) -> bool {
        false
    }

    pub(super) fn next_timeout(&self) -> Option<Tick> {
        None
    }

    pub(super) fn lost_places(&self) -> Arc<Notify> {
        Arc::default()
    }

    pub(super) fn has_lost_places(&self) -> bool {
        false
    }

    pub(super) fn look_at(&mut self, _: Tick, _: u32) {}

    pub(super) fn media(&mut self, _: Tick, _: u32, _: &Prefix, _: &[u8], _: u8, _: &UdpListeners) {
    }

    pub(super) fn lost(&self) -> Losses {
        Losses::default()
    }

    pub(super) fn flush(&mut self, _: Tick, _: &UdpListeners) {}
}

/// No records.
#[derive(Debug, Default)]
pub(super) struct Plain {}

/// What it would take to serve DTLS clients.
#[derive(Debug)]
#[allow(dead_code, reason = "nothing is served")]
pub(super) struct Hands<'a> {
    pub(super) shard: &'a mut Shard,
    pub(super) io: &'a mut Io,
    pub(super) egress: &'a mut Egress,
    pub(super) reply: &'a mut [u8],
    pub(super) plain: &'a mut Plain,
}

impl Hands<'_> {
    pub(super) fn read(&mut self, _: Now, _: u16, _: &mut Ingress) -> bool {
        false
    }

    pub(super) fn handle_timeout(&mut self, _: Now) {}

    pub(super) fn leave_lost(&mut self, _: Now) {}

    pub(super) fn leave_listener(&mut self, _: Now, _: u16, _: bool) {}

    pub(super) fn shut_down(&mut self) {}
}
