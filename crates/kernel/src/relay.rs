//! The flows that the kernel relays.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use super::attachments::{Attached, Attachments, Changes, Program};
use super::error::{Error, NotInstalled};
use super::flow::{Flow, Peer};
use super::layout::{Entries, Lease, Way};
use super::maps::Maps;
use super::routes::Routes;
use super::slots::{Kept, Slots};
use super::stats::Stats;
use super::traffic::Counted;

/// How long the program takes the server for alive after it has last heard of it.
const ALIVE: Duration = Duration::from_secs(5);

/// Names an installed flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Installed(pub u32);

/// The program in the kernel, as the server uses it, from any thread. Nothing here is called for a packet.
pub struct KernelRelay {
    state: Mutex<State>,
    /// The program stays attached for as long as these live. Not behind the lock of the workers: attaching may wait.
    attachments: Mutex<Attachments>,
}

struct State {
    maps: Maps,
    slots: Slots,
    routes: Routes,
    /// Flows that found no place.
    refused: u64,
    /// Why the maps cannot be used any more.
    broken: Option<String>,
}

impl fmt::Debug for KernelRelay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KernelRelay").field("attached", &self.attached()).finish_non_exhaustive()
    }
}

impl KernelRelay {
    /// Uses a program that was attached.
    ///
    /// # Errors
    /// When the kernel does not tell routes.
    pub fn new(program: Program) -> Result<Self, Error> {
        let Program { maps, attachments } = program;
        Self::of(maps, attachments)
    }

    pub(crate) fn of(maps: Maps, attachments: Attachments) -> Result<Self, Error> {
        let routes = Routes::open().map_err(Error::Routes)?;
        let slots = Slots::new(maps.capacity());
        let state = State { maps, slots, routes, refused: 0, broken: None };
        Ok(Self { state: Mutex::new(state), attachments: Mutex::new(attachments) })
    }

    /// Where the program is attached now.
    #[must_use]
    pub fn attached(&self) -> Vec<Attached> {
        self.attachments().attached().collect()
    }

    /// What does not work now, in the kernel's words: it cannot be attached where it should be, or nothing can be
    /// installed any more.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.broken().or_else(|| self.attachments().trouble())
    }

    /// Interfaces may have changed: attaches the program where it is wanted and not there. What has come of it is
    /// logged. `changed`: the kernel has given word of a change.
    pub(crate) fn look_at_interfaces(&self, changed: bool) {
        let mut attachments = self.attachments();
        if !changed && !attachments.is_unsettled() {
            return;
        }
        let Changes { come, gone, trouble } = attachments.look(Instant::now());
        for Attached { interface, to } in come {
            tracing::info!("the kernel relays channels on {interface} ({to}) from now on");
        }
        for Attached { interface, .. } in gone {
            tracing::info!(
                "{interface} is gone, and the program that relays channels there with it"
            );
        }
        if trouble && let Some(trouble) = attachments.trouble() {
            let what = if attachments.attached().next().is_some() { "some" } else { "all" };
            tracing::warn!("the sockets relay {what} calls: {trouble}. See docs/kernel-relay.md");
        }
    }

    /// Has the kernel relay a flow from now on, for so long.
    ///
    /// # Errors
    /// When it stays with the sockets.
    pub fn install(&self, flow: &Flow, left: Duration) -> Result<Installed, NotInstalled> {
        if !flow.is_servable() {
            return Err(NotInstalled::Unservable);
        }
        let mut state = self.state();
        let installed = state.install(flow, left);
        if installed == Err(NotInstalled::Full) {
            state.refused += 1;
        }
        installed.map(Installed)
    }

    /// Sets for how long from now on a flow is relayed.
    ///
    /// # Errors
    /// When the kernel refuses it; what it was told before holds then.
    pub fn touch(&self, installed: Installed, left: Duration) -> Result<(), NotInstalled> {
        let mut state = self.state();
        let kept = state.slots.get_mut(installed.0).ok_or(NotInstalled::Refused)?;
        kept.until = monotonic().saturating_add(nanos(left));
        state.renew(installed.0)
    }

    /// Ends a flow. Returns what the kernel has relayed of it.
    pub fn remove(&self, installed: Installed) -> Counted {
        let mut state = self.state();
        let State { maps, slots, .. } = &mut *state;
        let slot = installed.0;
        if let Some(kept) = slots.free(slot, Instant::now()) {
            maps.remove(&Entries::of(&kept.flow, slot));
            // If the kernel refuses this, its keys are gone all the same.
            let _ = maps.set_lease(slot, Lease::default());
        }
        counted(maps, slot)
    }

    /// Returns what the kernel has relayed of a flow so far.
    #[must_use]
    pub fn counted(&self, installed: Installed) -> Counted {
        counted(&self.state().maps, installed.0)
    }

    /// What became of the packets of all flows.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.state().maps.stats()
    }

    /// How many flows are installed, how many may be, and how many found no place so far.
    #[must_use]
    pub fn fill(&self) -> (u32, u32, u64) {
        let state = self.state();
        (state.slots.taken(), state.slots.capacity(), state.refused)
    }

    /// Why nothing can be installed any more, if so.
    #[must_use]
    pub fn broken(&self) -> Option<String> {
        self.state().broken.clone()
    }

    /// Tells the program that the server is alive. To be called each second; the program relays nothing any more when
    /// it has not heard of it for five.
    pub fn beat(&self) {
        let mut state = self.state();
        let until = monotonic().saturating_add(nanos(ALIVE));
        if let Err(error) = state.maps.set_alive(until) {
            if state.broken.is_none() {
                tracing::warn!(
                    "the kernel relays no calls any more: {error}. The sockets relay them"
                );
            }
            state.broken = Some(error.to_string());
        }
    }

    /// Routes or interfaces have changed: finds the ways of all flows anew.
    pub(crate) fn ways_changed(&self) {
        self.state().routes.forget_devices();
        let mut from = 0;
        loop {
            from = self.check_ways(from, 64);
            if from == 0 {
                return;
            }
        }
    }

    /// Finds the ways of some flows anew. Returns where to go on, zero after the last.
    pub(crate) fn check_ways(&self, from: u32, at_most: u32) -> u32 {
        let mut state = self.state();
        let to = from.saturating_add(at_most).min(state.slots.used());
        for slot in from..to {
            if state.slots.get(slot).is_some() {
                // The next time is soon.
                let _ = state.renew(slot);
            }
        }
        if to < state.slots.used() { to } else { 0 }
    }

    fn attachments(&self) -> MutexGuard<'_, Attachments> {
        self.attachments.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic ends the process in a release; what is behind the lock holds after each call.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn install(&mut self, flow: &Flow, left: Duration) -> Result<u32, NotInstalled> {
        if self.broken.is_some() {
            return Err(NotInstalled::Refused);
        }
        let until = monotonic().saturating_add(nanos(left));
        let now = Instant::now();
        let slot = self.slots.take(Kept { flow: *flow, until }, now).ok_or(NotInstalled::Full)?;
        let begun = self.maps.reset_traffic(slot).and_then(|()| self.renew(slot));
        let done = begun.and_then(|()| self.maps.insert(&Entries::of(flow, slot)));
        if let Err(error) = done {
            self.slots.free(slot, now);
            return Err(error);
        }
        Ok(slot)
    }

    /// Writes the lease of a flow: until when, and by which ways.
    fn renew(&mut self, slot: u32) -> Result<(), NotInstalled> {
        let Self { slots, routes, maps, .. } = self;
        let Some(Kept { flow, until }) = slots.get(slot) else { return Ok(()) };
        let to_peer = match flow.peer {
            Peer::Elsewhere(peer) => routes.way(flow.relay.ip(), peer.ip()),
            // The way to the other client is that of the other client's flow.
            Peer::Own { .. } => Way::default(),
        };
        let to_client = routes.way(flow.server.ip(), flow.client.ip());
        maps.set_lease(slot, Lease { until: *until, ways: [to_peer, to_client] })
    }
}

fn counted(maps: &Maps, slot: u32) -> Counted {
    let traffic = maps.traffic(slot);
    let [packets_to_peer, packets_to_client] = traffic.packets;
    let [bytes_to_peer, bytes_to_client] = traffic.bytes;
    let any = packets_to_peer + packets_to_client > 0;
    // A number of 32 bits that begins anew every 52 days.
    #[allow(clippy::cast_possible_truncation)]
    let units = ((monotonic() >> 20) as u32).wrapping_sub(traffic.last);
    let idle = any.then(|| Duration::from_nanos(u64::from(units) << 20));
    Counted { packets_to_peer, bytes_to_peer, packets_to_client, bytes_to_client, idle }
}

/// CLOCK_MONOTONIC in nanoseconds, as the program reads it.
fn monotonic() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(u64::try_from(now.tv_nsec).unwrap_or(0))
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}
