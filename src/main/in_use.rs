//! What the running server works with. A reload replaces it.

use std::sync::Arc;

use taciturn::admin::{CertificateReport, Certificates, ListenerTable, ServerHandle};
use taciturn_config::Config;
use taciturn_config::uris::Host;
use taciturn_net::external::External;
use taciturn_net::{ListenerChange, Running, Shared};

use super::failure::Failure;
use super::rules::Extra;

/// The configuration and what was made of it.
pub(super) struct InUse {
    /// The one read last, but for what needs a restart.
    pub(super) config: Config,
    pub(super) external: External,
    pub(super) certificates: Certificates,
    pub(super) listeners: ListenerTable,
    /// Users and secrets that the configuration has not.
    pub(super) extra: Arc<Extra>,
    pub(super) shared: Shared,
}

impl InUse {
    /// Switches the DTLS listeners to renewed certificates.
    pub(super) fn renew_dtls(&self) {
        for refused in self.listeners.dtls().flat_map(|settings| settings.renew()) {
            tracing::warn!("{refused}");
        }
    }

    /// Logs what clients may object to in the certificates.
    pub(super) fn warn_of_certificates(&self) {
        self.certificates.warn(self.host().as_deref());
    }

    /// The certificates, for the operator.
    pub(super) fn certificate_report(&self) -> CertificateReport {
        CertificateReport::new(&self.config, &self.certificates, self.host())
    }

    fn host(&self) -> Option<String> {
        Host::of(&self.config, None, None).known()
    }

    /// Closes the listeners that were removed, when the last of their clients has left. The sockets
    /// of all workers at once: with fewer of them, the kernel would give the packets of a client to
    /// another worker. Returns whether there were any.
    pub(super) async fn close_emptied(
        &mut self,
        running: &Running,
        server: &ServerHandle,
    ) -> Result<bool, Failure> {
        let retired = self.listeners.retired();
        if retired.is_empty() {
            return Ok(false);
        }
        let clients = server.workers().clients_of(&retired).await?;
        let emptied = retired.into_iter().zip(clients).filter(|(_, clients)| *clients == 0);
        let emptied: Vec<_> = emptied.map(|(id, _)| id).collect();
        let changes: Vec<_> = emptied.iter().map(|id| ListenerChange::Close(*id)).collect();
        if !changes.is_empty() {
            running.change_listeners(&changes).await?;
        }
        for name in emptied.into_iter().filter_map(|id| self.listeners.forget(id)) {
            tracing::info!(
                "listener \"{name}\" is closed: it was removed, and has no clients left"
            );
        }
        server.close(self.listeners.closing());
        Ok(!changes.is_empty())
    }
}
