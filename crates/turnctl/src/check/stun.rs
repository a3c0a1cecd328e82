//! URIs for STUN alone: whether a Binding request is answered.

use std::time::Duration;

use super::dns;
use crate::client::{Client, ClientError, Connection, Roots, Spoken, TurnUri};
use crate::report::{Finding, Report, Section};

/// Asks each of them, at its first address.
pub(super) async fn test(uris: &[TurnUri], patience: Duration, report: &mut Report) {
    for uri in uris {
        let mut section = Section::new(uri.to_string());
        let resolved = dns::resolve(std::slice::from_ref(uri), &mut section).await;
        if let Some(address) = resolved.first().and_then(|addresses| addresses.first()) {
            let roots = Roots::browsers_and(&[]);
            let opened = Connection::open(Spoken::Udp, *address, &uri.host, &roots, patience).await;
            let bound = match opened {
                Ok((connection, _)) => Client::new(connection, patience).binding().await,
                Err(error) => Err(error),
            };
            section.push(match bound {
                Ok((mapped, _)) => {
                    Finding::pass("stun", format!("UDP {address} sees this machine at {mapped}"))
                }
                Err(ClientError::NoRoute) => {
                    Finding::skip("stun", format!("UDP {address}: this machine has no route to it"))
                }
                Err(error) => Finding::fail("stun", format!("UDP {address}: no STUN: {error}"))
                    .why("clients do not learn their public address by this URI.")
                    .fix("Correct the URI, or take it out."),
            });
        }
        report.sections.push(section);
    }
}
