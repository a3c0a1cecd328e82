//! Capabilities: what root may beyond its own files. A relay whose ports are bound needs none.

use rustix::io::Errno;
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, capability_is_in_bounding_set,
    clear_ambient_capability_set, remove_capability_from_bounding_set, set_capabilities,
    set_no_new_privs,
};

use super::error::{ProcessError, refused};

/// Empties the bounding set, so that no program could give a capability back. Only root can
/// (CAP_SETPCAP), so it comes before root is given up; for others [`drop_capabilities`] has the same
/// effect by no_new_privs. Returns whether the set is empty now.
///
/// # Errors
/// When the system refuses for another reason.
pub fn drop_bounding_set() -> Result<bool, ProcessError> {
    for number in 0..u64::BITS {
        let capability = CapabilitySet::from_bits_retain(1 << number);
        match capability_is_in_bounding_set(capability) {
            // The kernel knows no more of them.
            Err(_) => break,
            Ok(false) => {}
            Ok(true) => match remove_capability_from_bounding_set(capability) {
                Ok(()) => {}
                Err(Errno::PERM) => return Ok(false),
                Err(error) => return Err(refused("empty the bounding set of capabilities")(error)),
            },
        }
    }
    Ok(true)
}

/// Gives up all capabilities of this thread and of those that it will start, whoever runs it, and all
/// ways to get some: ambient, inheritable, permitted and effective ones, and no_new_privs.
///
/// # Errors
/// When there are some and a seccomp filter from outside refuses capset(2).
pub fn drop_capabilities() -> Result<(), ProcessError> {
    set_no_new_privs(true).map_err(refused("set no_new_privs"))?;
    // A kernel that knows no ambient set has nothing in it.
    let _ = clear_ambient_capability_set();
    let none = CapabilitySets {
        effective: CapabilitySet::empty(),
        permitted: CapabilitySet::empty(),
        inheritable: CapabilitySet::empty(),
    };
    // capset(2) is among the calls that systemd counts as privileged; who has nothing does without.
    if capabilities(None).is_ok_and(|sets| sets == none) {
        return Ok(());
    }
    set_capabilities(None, none).map_err(refused("drop capabilities"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In a thread of its own: what is given up does not come back.
    #[test]
    fn a_thread_that_drops_its_capabilities_has_none_and_gets_none() {
        std::thread::spawn(|| {
            let emptied = drop_bounding_set().unwrap();
            drop_capabilities().unwrap();
            // Once more, without anything to give up.
            drop_capabilities().unwrap();
            let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
            for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
                assert!(status.contains(&format!("{set}:\t0000000000000000\n")), "{status}");
            }
            assert!(!emptied || status.contains("CapBnd:\t0000000000000000\n"), "{status}");
            assert!(status.contains("NoNewPrivs:\t1\n"), "{status}");
        })
        .join()
        .unwrap();
    }
}
