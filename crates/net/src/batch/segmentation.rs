//! Where runs of datagrams may leave in one call that the kernel cuts (UDP_SEGMENT), and where it has
//! refused to.
//!
//! The kernel refuses on the way to some destinations (through IPsec, or a device that cannot do checksums), and
//! an old kernel refuses altogether. Neither is for good: routes change. So a refusal is remembered
//! for a while, for the destination; and for all where there are many of those.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use taciturn_turn::clock::Tick;

/// How long a refusal is remembered. Asking again costs one call that fails.
const AGAIN_AFTER: Duration = Duration::from_secs(300);

/// How many destinations are remembered. Where more are refused it is the device that does, and all
/// datagrams leave one by one.
const DESTINATIONS: usize = 8;

/// What the kernel has refused lately.
#[derive(Debug)]
pub(super) struct Segmentation {
    /// Until when nothing is tried.
    off_until: Tick,
    /// Until when it is not tried to these. Those that are over stay until the next refusal.
    refused: Vec<(IpAddr, Tick)>,
    now: Tick,
    /// Whether this system has it.
    known: bool,
}

impl Default for Segmentation {
    fn default() -> Self {
        let (off_until, now, known) = (Tick(0), Tick(0), cfg!(target_os = "linux"));
        Self { off_until, refused: Vec::with_capacity(DESTINATIONS), now, known }
    }
}

impl Segmentation {
    /// Sets the time.
    pub(super) const fn set_now(&mut self, now: Tick) {
        self.now = now;
    }

    /// Returns true if a run may be put together for this destination.
    pub(super) fn may_run(&self, to: IpAddr) -> bool {
        self.known
            && self.off_until <= self.now
            && !self.refused.iter().any(|(refused, until)| *refused == to && *until > self.now)
    }

    /// A run to this destination has failed. What it says of the next ones: EIO, that none can go this
    /// way; EOPNOTSUPP and ENOPROTOOPT, that the kernel is too old. Anything else (a segment longer
    /// than the MTU, a full buffer) says nothing.
    pub(super) fn failed(&mut self, to: IpAddr, error: &io::Error) {
        let until = self.now + AGAIN_AFTER;
        match error.raw_os_error() {
            Some(libc::EIO) => {
                self.refused.retain(|(_, until)| *until > self.now);
                if self.refused.len() < DESTINATIONS {
                    self.refused.push((to, until));
                } else {
                    self.off_until = until;
                }
            }
            Some(libc::EOPNOTSUPP | libc::ENOPROTOOPT) => self.off_until = until,
            _ => {}
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    fn after(seconds: u64) -> Tick {
        Tick(5) + Duration::from_secs(seconds)
    }

    fn to(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    fn failed(segmentation: &mut Segmentation, at: Tick, last: u8, code: i32) {
        segmentation.set_now(at);
        segmentation.failed(to(last), &io::Error::from_raw_os_error(code));
    }

    fn may_run(segmentation: &mut Segmentation, at: Tick, last: u8) -> bool {
        segmentation.set_now(at);
        segmentation.may_run(to(last))
    }

    #[test]
    fn one_way_that_takes_no_runs_says_nothing_of_the_others_and_is_tried_again() {
        let mut segmentation = Segmentation::default();
        failed(&mut segmentation, after(0), 1, libc::EIO);
        assert!(!may_run(&mut segmentation, after(0), 1));
        assert!(may_run(&mut segmentation, after(0), 2));
        assert!(!may_run(&mut segmentation, after(299), 1));
        assert!(may_run(&mut segmentation, after(300), 1));
        failed(&mut segmentation, after(300), 1, libc::EIO);
        assert!(!may_run(&mut segmentation, after(599), 1));
        assert_eq!(segmentation.refused.len(), 1);
    }

    #[test]
    fn a_device_that_takes_no_runs_is_tried_again_as_well() {
        let mut segmentation = Segmentation::default();
        (0..100).for_each(|n| failed(&mut segmentation, after(0), n, libc::EIO));
        assert_eq!(segmentation.refused.len(), DESTINATIONS, "no table grows");
        assert!(!may_run(&mut segmentation, after(299), 200));
        assert!(
            may_run(&mut segmentation, after(300), 200)
                && may_run(&mut segmentation, after(300), 1)
        );
    }

    #[test]
    fn an_old_kernel_is_asked_once_in_five_minutes_and_other_errors_say_nothing() {
        let mut segmentation = Segmentation::default();
        failed(&mut segmentation, after(0), 1, libc::EMSGSIZE);
        failed(&mut segmentation, after(0), 1, libc::ENOBUFS);
        assert!(may_run(&mut segmentation, after(0), 1));
        failed(&mut segmentation, after(0), 1, libc::EOPNOTSUPP);
        assert!(!may_run(&mut segmentation, after(299), 2));
        assert!(may_run(&mut segmentation, after(300), 2));
    }
}
