//! Stands in for `dtls_clients` in a build without the feature: the same names, and nothing behind them.
//! A listener for DTLS cannot come to be, so none is ever served.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::Notify;

use super::batch::datagrams::Framed;
use super::clock::Clock;
use super::handshakes::Gate;
use super::listener::error::DtlsUnavailable;
use super::listener::udp::UdpListeners;
use super::send_errors::Losses;
use taciturn_tls::CertStore;
use taciturn_turn::clock::Tick;
use taciturn_turn::policy::Connections;

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
             unless --no-default-features is given), write transport = \"udp\" in place of \"udp+dtls\" \
             (no-dtls in a file of coturn's), or remove the listener"
        )))
    }

    /// Returns false: it serves none.
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
pub(super) struct DtlsClients;

impl DtlsClients {
    pub(super) fn new(_: Clock, _: &Arc<Connections>, _: Rc<Gate>) -> Self {
        Self
    }

    pub(super) fn open(&mut self, _: u16, settings: Arc<DtlsSettings>) -> io::Result<()> {
        Err(io::Error::other(format!("{} cannot be served", settings.name)))
    }

    pub(super) fn set(&mut self, listener: u16, settings: Arc<DtlsSettings>) -> io::Result<()> {
        self.open(listener, settings)
    }

    pub(super) fn withdraw(&mut self, _: u16) {}

    pub(super) fn retire(&mut self, _: u16, _: bool) {}

    pub(super) fn close(&mut self, _: u16) {}

    pub(super) fn on_listener(&self, _: u16) -> Vec<u32> {
        Vec::new()
    }

    pub(super) fn server_name(&self, _: u32) -> Option<Arc<str>> {
        None
    }

    pub(super) fn next_timeout(&self) -> Option<Tick> {
        None
    }

    pub(super) fn evicted(&self) -> Arc<Notify> {
        Arc::default()
    }

    pub(super) fn has_evicted(&self) -> bool {
        false
    }

    pub(super) fn allocation_changed(&mut self, _: Tick, _: u32) {}

    pub(super) fn data(&mut self, _: Tick, _: u32, _: Framed<'_>, _: &UdpListeners) {}

    pub(super) fn answer(&mut self, _: Tick, _: u32, _: &[u8], _: &UdpListeners) {}

    pub(super) fn lost(&self) -> Losses {
        Losses::default()
    }

    pub(super) fn flush(&mut self, _: Tick, _: &UdpListeners) {}
}
