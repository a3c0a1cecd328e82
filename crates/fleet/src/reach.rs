//! The way to the board, wherever it is: at an address, at a socket, or where Sentinel says that the master is.

use std::collections::BTreeSet;
use std::future::Future;
use std::io;
use std::time::Duration;

use redis::{AsyncConnectionConfig, ProtocolVersion};
use taciturn_outbound::{Stream, connect};
use tokio::net::UnixStream;

use super::link::{BoardError, Limits, Link};
use super::sentinel::master_at;
use super::settings::{Place, Sentinels, Settings};

/// How long the board may take for anything; and bytes of an answer: more than the longest of a board in order.
const LIMITS: Limits = Limits { patience: Duration::from_secs(2), bytes: 8 * 1024 * 1024 };

/// Letters of what is said of sentinels that name no master.
const LONGEST_FAULT: usize = 900;

/// A connection to the board, and which master it is if Sentinel has named it: `10.9.0.2 port 6379`.
pub(super) async fn reach(
    settings: &Settings,
    protocol: ProtocolVersion,
    config: AsyncConnectionConfig,
) -> Result<(Link, Option<String>), BoardError> {
    let ca_file = settings.ca_file.as_deref();
    match &settings.place {
        Place::Tcp { host, port, tls } => {
            let connecting = connect(host, *port, *tls, ca_file);
            Ok((open(connecting, settings, protocol, config).await?, None))
        }
        Place::Unix(path) => {
            let connecting =
                async { Ok(Box::new(UnixStream::connect(path).await?) as Box<dyn Stream>) };
            Ok((open(connecting, settings, protocol, config).await?, None))
        }
        Place::Sentinel(sentinels) => {
            let (link, at) = master(settings, sentinels, protocol, config).await?;
            Ok((link, Some(at)))
        }
    }
}

async fn open(
    connecting: impl Future<Output = io::Result<Box<dyn Stream>>>,
    settings: &Settings,
    protocol: ProtocolVersion,
    config: AsyncConnectionConfig,
) -> Result<Link, BoardError> {
    Link::open(connecting, settings.login()?, protocol, config, LIMITS).await
}

/// Asks the sentinels in turn, until one names a master that is one.
async fn master(
    settings: &Settings,
    sentinels: &Sentinels,
    protocol: ProtocolVersion,
    config: AsyncConnectionConfig,
) -> Result<(Link, String), BoardError> {
    let ca_file = settings.ca_file.as_deref();
    let (mut tried, mut faults) = (BTreeSet::new(), Vec::new());
    for (host, port) in &sentinels.at {
        let named = match master_at((host, *port), sentinels, ca_file).await {
            Ok(named) => named,
            Err(error) => {
                faults.push(format!("sentinel {host} port {port}: {error}"));
                continue;
            }
        };
        if !tried.insert(named.clone()) {
            // Another one has named it, and it is none.
            continue;
        }
        let (at_host, at_port) = named;
        let connecting = connect(&at_host, at_port, sentinels.tls, ca_file);
        let opened = async {
            let mut link = open(connecting, settings, protocol, config.clone()).await?;
            link.must_be_master().await?;
            Ok::<_, BoardError>(link)
        };
        let at = format!("{at_host} port {at_port}");
        match opened.await {
            Ok(link) => return Ok((link, at)),
            Err(error) => {
                faults.push(format!("{at}, which sentinel {host} port {port} names: {error}"))
            }
        }
    }
    let faults: String = faults.join("; ").chars().take(LONGEST_FAULT).collect();
    Err(BoardError::Refused(faults))
}
