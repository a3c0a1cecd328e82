//! `turnctl bench`: loads any TURN server, and measures its performance.
//!
//! One thread does all the work, so the load fits on one core. [`opening`] creates the allocations of the
//! flows, [`traffic`] sends and counts, [`pace`] says when, [`crowd`] measures allocations and
//! connections that do nothing, [`process`] looks at the server, [`figures`] prints. Datagrams go in
//! and out by the server's own batch code.

mod args;
mod crowd;
mod end;
mod figures;
mod opening;
mod pace;
mod process;
mod progress;
mod traffic;

use std::io::{self, IsTerminal as _, Write};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::task::LocalSet;

use self::args::{BenchPlan, Work};
use self::figures::Figures;
use self::opening::TestedServer;
use self::process::Process;
use self::progress::{DRAIN, Say};
use self::traffic::Traffic;
use super::CtlError;
use taciturn_config::Environment;

pub use args::{BenchArgs, BenchError};

/// The traffic runs for this long before it is measured, so that the server's buffers are warm.
const WARM_UP: Duration = Duration::from_millis(500);

/// How often the progress is shown.
const LOOK: Duration = Duration::from_millis(250);

/// Runs the subcommand.
pub(super) fn run(
    args: &BenchArgs,
    env: &Environment,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<(), CtlError> {
    let plan = args.plan(env)?;
    let watched = io::stderr().is_terminal() && !args.json;
    let mut say = |what: &str| {
        if watched {
            // A failure to show the progress must not stop the run.
            let _ = write!(err, "\r\x1b[K{what}").and_then(|()| err.flush());
        }
    };
    raise_file_limit();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(BenchError::System)?;
    let result = runtime.block_on(async {
        let server = Arc::new(TestedServer::find(&plan).await?);
        match plan.work {
            Work::Traffic(_) => measure(&plan, &server, &mut say).await,
            Work::Allocations(count) => crowd::allocations(&plan, &server, count, &mut say).await,
            Work::Idle(count) => crowd::idle(&plan, &server, count, &mut say).await,
        }
    });
    // A resolver that hangs must not hold the answer up.
    runtime.shutdown_background();
    say("");
    let figures = result?;
    if args.json {
        writeln!(out, "{}", figures.to_json())?;
    } else {
        write!(out, "{figures}")?;
    }
    Ok(())
}

/// Each flow has two sockets. If the limit cannot be raised, the first flow without a socket reports it.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let _ = setrlimit(Resource::Nofile, raised);
}

/// Opens the flows, runs the traffic, and ends the flows.
async fn measure(
    plan: &BenchPlan,
    server: &TestedServer,
    say: Say<'_>,
) -> Result<Figures, BenchError> {
    let Work::Traffic(shape) = plan.work else { return Err(BenchError::NoTraffic) };
    let process = plan.pid.map(Process::new).transpose()?;
    let (flows, held) = opening::flows(plan, server, shape, say).await?;
    let traffic = Rc::new(Traffic::new(flows, shape)?);
    let tasks = LocalSet::new();
    let measured = tasks.run_until(async {
        traffic.start();
        tokio::time::sleep(WARM_UP).await;
        let before = process.as_ref().map(Process::cpu).transpose()?;
        let (from, relayed) = (Instant::now(), traffic.relayed());
        traffic.open_window();
        while from.elapsed() < plan.duration {
            let left = plan.duration.saturating_sub(from.elapsed());
            tokio::time::sleep(left.min(LOOK)).await;
            say(&bar(from.elapsed(), plan.duration));
        }
        traffic.close_window();
        let elapsed = from.elapsed();
        let relayed = traffic.relayed() - relayed;
        let after = process.as_ref().map(Process::cpu).transpose()?;
        let resident = process.as_ref().map(Process::resident_kilobytes).transpose()?;
        tokio::time::sleep(DRAIN).await;
        let cpu = after.zip(before).map(|(after, before)| after.saturating_sub(before));
        Ok::<_, BenchError>((elapsed, relayed, cpu, resident))
    });
    let (elapsed, relayed, cpu, resident) = measured.await?;
    // The tasks hold the flows' sockets, which say goodbye now.
    drop(tasks);
    let (counts, relayed_in_all) = (traffic.counts(), traffic.relayed());
    if let Some(traffic) = Rc::into_inner(traffic) {
        opening::release(traffic.into_flows(), held).await;
    }
    Ok(Figures::Traffic(figures::TrafficFigures {
        server: server.shown(),
        shape,
        elapsed,
        relayed,
        relayed_in_all,
        counts,
        cpu,
        resident_kilobytes: resident,
    }))
}

/// `[#####-----]  4 of 10 s`
fn bar(done: Duration, all: Duration) -> String {
    const WIDTH: usize = 30;
    let part = (done.as_secs_f64() / all.as_secs_f64()).clamp(0.0, 1.0);
    let full = (0..WIDTH).filter(|n| (*n as f64) < part * WIDTH as f64).count();
    let (full, rest) = ("#".repeat(full), "-".repeat(WIDTH - full));
    format!("[{full}{rest}] {:.0} of {:.0} s", done.as_secs_f64(), all.as_secs_f64())
}
