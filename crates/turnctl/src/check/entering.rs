//! Clients that log in for a test, and what it means if none has to.

use super::Run;
use super::reach::Target;
use crate::client::{Allocation, Client, ClientError};
use crate::report::Finding;
use taciturn_stun::Family;

/// One more client with an allocation of its own.
pub(super) async fn another(
    run: &Run<'_>,
    target: &Target,
    family: Option<Family>,
) -> Result<(Client, Allocation), ClientError> {
    let (mut client, _) = target.connect(&run.roots, run.plan.patience).await?;
    let allocation = client.enter(run.login().as_ref(), family).await?;
    Ok((client, allocation))
}

pub(super) fn open_relay(how: &str) -> Finding {
    Finding::fail("open-relay", format!("the server relays for anybody, {how}"))
        .why(
            "strangers use it to hide where they come from, and to reach what only this server can \
             reach; your provider gets the complaints.",
        )
        .fix(
            "Switch authentication on, and restart the server:\n  coturn:   use-auth-secret\n            \
             static-auth-secret=SECRET\ntaciturn never relays for strangers.",
        )
}
