//! What the status page shows of the running server.

use std::cmp::Reverse;
use std::io;
use std::time::{Duration, Instant, SystemTime};

use tokio::time::{MissedTickBehavior, interval, timeout};

use super::answers;
use super::keys::peer_rule;
use super::server_handle::ServerHandle;
use super::unix_time::{unix, unix_milliseconds_now};
use taciturn_turn::{Session, Whose};
use taciturn_web::{EVERY, FailedLogin, Overview, RefusedPeers, SESSIONS};

/// Time limit for the workers of one sample.
const SAMPLE_TIME: Duration = Duration::from_secs(5);

/// The state of the server now.
///
/// # Errors
/// If a worker has ended.
pub(super) async fn overview(server: &ServerHandle) -> io::Result<Overview> {
    let counts = server.workers.count().await?;
    let failed = server.failed_logins.all().into_iter().map(|login| FailedLogin {
        client: login.client.to_string(),
        transport: login.transport.to_owned(),
        user: login.user,
        reason: login.reason,
        times: login.times,
        last_at: u64::try_from(unix(login.last)).unwrap_or(0),
    });
    let refused = counts.events.refused.iter().filter(|(_, times)| *times > 0);
    let refused =
        refused.map(|(rule, times)| RefusedPeers { rule: peer_rule(rule).to_owned(), times });
    let (sessions, _) = latest(server, &Whose::default(), SESSIONS).await?;
    Ok(Overview {
        now: unix_milliseconds_now(),
        status: answers::status(server, &counts).await?,
        sessions: sessions.iter().map(answers::session).collect(),
        failed_logins: failed.collect(),
        refused_peers: refused.collect(),
        certificates: server.certificates().describe(SystemTime::now()),
        doctor: server.page.doctor(),
        tests: server.tests.links.reports(Instant::now(), None, 0).into_iter().rev().collect(),
    })
}

/// Some sessions, up to `most`: those that relayed last. And how many there are.
pub(super) async fn latest(
    server: &ServerHandle,
    whose: &Whose,
    most: usize,
) -> io::Result<(Vec<Session>, usize)> {
    let (mut latest, mut there_are) = (Vec::new(), 0);
    for worker in 0..server.workers.number() {
        let mut from = Some(0);
        while let Some(at) = from {
            let (sessions, next) = server.workers.sessions(worker, whose, at).await?;
            there_are += sessions.len();
            latest.extend(sessions);
            keep_latest(&mut latest, most);
            from = next;
        }
    }
    Ok((latest, there_are))
}

fn keep_latest(sessions: &mut Vec<Session>, most: usize) {
    let relayed = |session: &Session| {
        session.traffic.bytes_to_peers.saturating_add(session.traffic.bytes_to_client)
    };
    // Idle times within a second do not order sessions that are in use.
    sessions.sort_by_key(|session| (session.idle.as_secs(), Reverse(relayed(session))));
    sessions.truncate(most);
}

/// Takes a sample of what was relayed, again and again, for as long as the runtime runs.
pub(super) async fn take_samples(server: ServerHandle) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        // While a worker hangs or has ended, there is nothing to compare: the next sample spans the gap.
        let Ok(Ok(counts)) = timeout(SAMPLE_TIME, server.workers.count()).await else { continue };
        let at = unix_milliseconds_now() / 1000;
        server.page.add_sample(Instant::now(), at, answers::relayed(&counts));
    }
}
