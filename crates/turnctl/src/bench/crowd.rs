//! What allocations and idle connections cost the server.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::args::BenchPlan;
use super::opening::TestedServer;
use super::process::Process;
use super::{BenchError, DRAIN, Figures, Say, figures};
use crate::client::{Client, ClientError};

/// Clients that are opened before the memory is looked at, so that what the server sets up once is
/// not counted.
const FIRST: usize = 50;

/// Clients between two shows of progress.
const SHOWN: usize = 100;

/// Makes allocations, holds them, ends them.
pub(super) async fn allocations(
    plan: &BenchPlan,
    server: &Arc<TestedServer>,
    count: usize,
    say: Say<'_>,
) -> Result<Figures, BenchError> {
    let process = plan.pid.map(Process::new).transpose()?;
    let cpu = || process.as_ref().map(Process::cpu).transpose();
    let memory = || process.as_ref().map(Process::resident_kilobytes).transpose();
    let mut held = Vec::with_capacity(FIRST + count);
    let made = make(server, FIRST, plan.at_once, &mut held, say).await;
    tokio::time::sleep(DRAIN).await;
    let (memory_before, cpu_before, from) = (memory()?, cpu()?, Instant::now());
    // Those that were made are ended, whatever came of the others.
    let made = match made {
        Ok(()) => make(server, count, plan.at_once, &mut held, say).await,
        error => error,
    };
    let (elapsed, cpu_after) = (from.elapsed(), cpu()?);
    tokio::time::sleep(DRAIN).await;
    let memory_after = memory()?;
    say("ending them");
    release(held, plan.at_once).await;
    made?;
    let time = |(after, before): (Duration, Duration)| after.saturating_sub(before);
    Ok(Figures::Crowd(figures::CrowdFigures {
        server: server.shown(),
        what: "allocation",
        count,
        elapsed,
        cpu: cpu_after.zip(cpu_before).map(time),
        memory: memory_before.zip(memory_after),
    }))
}

/// Opens connections that do nothing after one Binding request.
pub(super) async fn idle(
    plan: &BenchPlan,
    server: &TestedServer,
    count: usize,
    say: Say<'_>,
) -> Result<Figures, BenchError> {
    let process = plan.pid.map(Process::new).transpose()?;
    let cpu = || process.as_ref().map(Process::cpu).transpose();
    let memory = || process.as_ref().map(Process::resident_kilobytes).transpose();
    let mut held = Vec::with_capacity(FIRST + count);
    let (mut memory_before, mut cpu_before, mut from) = (None, None, Instant::now());
    for n in 0..FIRST + count {
        if n == FIRST {
            tokio::time::sleep(DRAIN).await;
            (memory_before, cpu_before, from) = (memory()?, cpu()?, Instant::now());
        }
        if n % SHOWN == 0 {
            say(&format!("opening connections: {n} of {count}"));
        }
        let mut client = server.connect().await?;
        let asked = client.binding().await;
        asked.map_err(|error| BenchError::Client { step: "Binding", error, own_peer: false })?;
        held.push(client);
    }
    let (elapsed, cpu_after) = (from.elapsed(), cpu()?);
    tokio::time::sleep(DRAIN).await;
    let time = |(after, before): (Duration, Duration)| after.saturating_sub(before);
    Ok(Figures::Crowd(figures::CrowdFigures {
        server: server.shown(),
        what: "connection",
        count,
        elapsed,
        cpu: cpu_after.zip(cpu_before).map(time),
        memory: memory_before.zip(memory()?),
    }))
}

/// Creates `count` allocations, `at_once` at a time, each with a client of its own.
async fn make(
    server: &Arc<TestedServer>,
    count: usize,
    at_once: usize,
    held: &mut Vec<Client>,
    say: Say<'_>,
) -> Result<(), BenchError> {
    let mut under_way = JoinSet::new();
    let (mut begun, mut made, mut result) = (0, 0, Ok(()));
    loop {
        while result.is_ok() && begun < count && under_way.len() < at_once {
            let server = Arc::clone(server);
            under_way.spawn(async move { server.allocate(None).await });
            begun += 1;
        }
        let Some(ended) = under_way.join_next().await else { return result };
        match ended.map_err(|error| BenchError::System(error.into())) {
            Ok(Ok((client, _))) => held.push(client),
            // Those that are under way are taken in, to be ended with the others.
            Ok(Err(error)) | Err(error) => result = result.and(Err(error)),
        }
        made += 1;
        if made % SHOWN == 0 {
            say(&format!("allocating: {made} of {count}"));
        }
    }
}

/// Ends the allocations. A server that does not answer any more is left alone.
async fn release(held: Vec<Client>, at_once: usize) {
    let mut held = held.into_iter();
    let mut under_way = JoinSet::new();
    loop {
        while under_way.len() < at_once
            && let Some(mut client) = held.next()
        {
            under_way.spawn(async move { client.refresh(0).await.map(drop) });
        }
        match under_way.join_next().await {
            None | Some(Ok(Err(ClientError::Silent { .. }))) => return,
            Some(_) => {}
        }
    }
}
