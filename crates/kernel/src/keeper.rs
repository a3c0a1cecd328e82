//! The thread that tells the program in the kernel that this server is alive, keeps the ways of its flows right, and
//! attaches it where an interface is made anew.

use std::io;
use std::sync::{Arc, Weak};
use std::thread::Builder;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::netlink::{changes, take_changes};
use super::relay::KernelRelay;

/// How often the program hears that the server is alive.
const BEAT: Duration = Duration::from_secs(1);

/// How long a change of routes is waited for others.
const SETTLE: Duration = Duration::from_millis(20);

/// Flows whose ways are looked at again each second, though nothing has changed: the kernel does not tell what it has
/// learnt of the MTU of a path.
const A_SECOND: u32 = 256;

/// Starts the thread, which ends when the last other reference to `relay` does. To be called before anything is
/// installed, and after privileges are given up, so that it has none.
///
/// # Errors
/// When the system refuses a socket or a thread.
pub fn keep(relay: &Arc<KernelRelay>) -> io::Result<()> {
    let notices = changes()?;
    relay.beat();
    let weak: Weak<KernelRelay> = Arc::downgrade(relay);
    let work = move || {
        let (mut next, mut from, mut changed) = (Instant::now() + BEAT, 0, false);
        loop {
            let left = next.saturating_duration_since(Instant::now());
            let heard = wait(&notices, left) && {
                std::thread::sleep(SETTLE);
                take_changes(&notices)
            };
            let Some(relay) = weak.upgrade() else { return };
            if heard {
                relay.ways_changed();
                changed = true;
            }
            if Instant::now() >= next {
                // Not what was missed while the machine slept.
                next = Instant::now() + BEAT;
                relay.beat();
                from = relay.check_ways(from, A_SECOND);
                // Once a second at most, however often interfaces come and go.
                relay.look_at_interfaces(std::mem::take(&mut changed));
            }
        }
    };
    Builder::new().name("kernel-relay".to_owned()).spawn(work).map(drop)
}

/// Waits for word of the kernel. Returns whether there is some.
fn wait(notices: &std::os::fd::OwnedFd, at_most: Duration) -> bool {
    let mut sockets = [PollFd::new(notices, PollFlags::IN)];
    let at_most = Timespec {
        tv_sec: at_most.as_secs().try_into().unwrap_or(1),
        tv_nsec: at_most.subsec_nanos().into(),
    };
    poll(&mut sockets, Some(&at_most)).is_ok_and(|ready| ready > 0)
}
