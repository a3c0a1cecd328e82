//! One worker: an engine, the loop that serves its sockets, and the tasks beside it.

mod adopt;
mod core;
mod export;
mod hand_over;
mod listening;
mod orders;
mod peers;
mod stream_listeners;
mod streams;

use std::future::{Future as _, poll_fn};
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch::Receiver;
use tokio::task::LocalSet;

pub(super) use self::adopt::{Beginning, Restoring};
pub(super) use self::core::Core;
use super::clock::Clock;
use super::heartbeat::Heart;
use super::listener::bind::Listeners;
use super::mailbox::Inbox;
use super::readiness::watch;
use super::shared::Shared;
use super::tcp_relay::unbound::UnboundPeers;

/// By how much the kernel may prolong a nap to wake several threads at once, in nanoseconds. Its default,
/// 50 us, is a good part of a nap.
#[cfg(target_os = "linux")]
const NAP_SLACK: u64 = 1000;

/// Serves the clients that the kernel gives to `listeners`, until `stop` turns true.
///
/// # Errors
/// If the system refuses a descriptor or the wait for one.
pub(super) async fn run(
    clock: Clock,
    listeners: Listeners,
    shared: &Shared,
    unbound: Arc<UnboundPeers>,
    mut stop: Receiver<bool>,
    mut heart: Heart,
    beginning: Beginning,
) -> io::Result<()> {
    // If this fails, naps are a little longer.
    #[cfg(target_os = "linux")]
    let _ = nix::sys::prctl::set_timerslack(NAP_SLACK);
    let Beginning { inbox: Inbox { commands, responses, workers }, restoring } = beginning;
    let core = Core::new(clock, shared, unbound, workers)?;
    let tasks = LocalSet::new();
    tasks.spawn_local(orders::obey(Rc::clone(&core), commands, responses));
    let work = async {
        listening::listen(&core, listeners)?;
        if !restoring.begin(&core) {
            return Ok(());
        }
        pump(&core, &mut stop, &mut heart).await
    };
    let mut work = pin!(work);
    // Polled once for each round of the other tasks, of which tokio runs up to 61 in between.
    let work = poll_fn(|context| {
        core.begin_round();
        work.as_mut().poll(context)
    });
    tasks.run_until(work).await
}

/// Serves the sockets until `stop` turns true, then ends every allocation.
async fn pump(core: &Core, stop: &mut Receiver<bool>, heart: &mut Heart) -> io::Result<()> {
    let readable = watch(core.udp.borrow().poll())?;
    while !*stop.borrow() {
        heart.answer();
        let more = core.turn()?;
        let nap = if more { Some(Duration::ZERO) } else { core.nap() };
        if let Some(nap) = nap {
            // A thread's sleep: tokio's has milliseconds, and would end at the first packet.
            if !nap.is_zero() {
                std::thread::sleep(nap);
            }
            tokio::task::yield_now().await;
            continue;
        }
        let deadline = core.engine.borrow_mut().wait();
        tokio::select! {
            biased;
            _ = stop.changed() => {}
            // Cleared before the sockets are read, so that what arrives in between wakes again.
            guard = readable.readable() => guard?.clear_ready(),
            () = core.wake.notified() => {}
            () = heart.called() => {}
            () = sleep_until(deadline) => {}
        }
    }
    core.engine.borrow_mut().shut_down();
    Ok(())
}

async fn sleep_until(deadline: Option<tokio::time::Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
