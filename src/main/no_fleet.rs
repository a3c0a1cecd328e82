//! A build without fleets: the server is on its own.

use std::convert::Infallible;

use taciturn::admin::ServerHandle;
use taciturn::admin::control::FleetAnswer;
use taciturn_config::Config;
use taciturn_control::{Answer, Error, ErrorKind};
use taciturn_net::external::External;
use taciturn_net::{Clock, Workers};
use taciturn_records::Receiver;
use taciturn_turn::{Rules, Whose};
use tokio::sync::oneshot;

use super::bans::BanKeeper;
use super::failure::Failure;

const NO_FLEET: &str = "this server was built without the feature fleet";

/// A server on its own.
pub(super) struct FleetMember;

impl FleetMember {
    /// Refuses a configuration that wants more.
    pub(super) fn join(
        config: &Config,
        _: &External,
        _: &ServerHandle,
        _: &Rules,
        _: Clock,
    ) -> Result<Self, Failure> {
        match config.fleet.url {
            Some(_) => Err(format!("[fleet]: {NO_FLEET}; remove url").into()),
            None => Ok(Self),
        }
    }

    pub(super) async fn changed(&mut self) -> Infallible {
        std::future::pending().await
    }

    pub(super) async fn obey(&mut self, read: Infallible, _: &mut BanKeeper, _: &Workers) {
        match read {}
    }

    pub(super) fn told(&self, answer: Answer, _: &BanKeeper) -> Answer {
        answer
    }

    pub(super) async fn kick(&self, _: Whose, _: &Workers) -> Result<Answer, Error> {
        self.report()
    }

    pub(super) fn report(&self) -> Result<Answer, Error> {
        Err(Error::new(ErrorKind::NotPossible, NO_FLEET))
    }

    pub(super) fn ask(
        &self,
        _: bool,
        _: Whose,
        _: &ServerHandle,
        done: oneshot::Sender<Result<FleetAnswer, Error>>,
    ) {
        // Who asks may have gone away.
        let _ = done.send(Err(Error::new(ErrorKind::NotPossible, NO_FLEET)));
    }

    pub(super) async fn look(&self, _: &ServerHandle, _: &BanKeeper) {}

    pub(super) fn reconfigured(&mut self, _: &Config, _: &External) {}

    pub(super) fn leave(&mut self) {}
}

/// Refuses a configuration that wants a stream.
pub(super) fn record_stream(_: &Config, _: &str, _: u32) -> Result<Box<dyn Receiver>, Failure> {
    Err(format!("[records]: {NO_FLEET}; remove stream").into())
}
