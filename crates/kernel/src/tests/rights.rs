//! Which capabilities the program takes, and what a process may do that has given them up.

use std::time::Duration;

use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};

use super::loaded;
use crate::attach::load;
use crate::attachments::{Attachments, Source};
use crate::flow::{Flow, Peer};
use crate::interface::Wanted;
use crate::maps::Maps;
use crate::relay::KernelRelay;

/// Runs in a thread that has only these capabilities.
fn with<T: Send + 'static>(
    capabilities: CapabilitySet,
    work: impl FnOnce() -> T + Send + 'static,
) -> T {
    let thread = std::thread::spawn(move || {
        let sets = CapabilitySets {
            effective: capabilities,
            permitted: capabilities,
            inheritable: CapabilitySet::empty(),
        };
        set_capabilities(None, sets).unwrap();
        work()
    });
    thread.join().unwrap()
}

#[test]
fn cap_bpf_and_cap_net_admin_are_enough_to_load_it() {
    if loaded(8).is_none() {
        return;
    }
    let both = CapabilitySet::BPF | CapabilitySet::NET_ADMIN;
    with(both, || load(8).map(drop)).unwrap();
    let error = with(CapabilitySet::empty(), || load(8).map(drop)).unwrap_err();
    assert!(error.to_string().contains("not permitted"), "{error}");
}

#[test]
fn a_process_without_rights_uses_the_maps_that_it_has() {
    let Some(mut program) = loaded(2) else { return };
    let maps = Maps::of(&mut program).unwrap();
    let nowhere = Wanted::Named(Vec::new());
    let attachments = Attachments::of(nowhere, Source::Loaded(program), &[]).unwrap();
    let (filled, refused) = with(CapabilitySet::empty(), move || {
        let relay = KernelRelay::of(maps, attachments).unwrap();
        relay.beat();
        assert_eq!(relay.broken(), None);
        let flow = |port| Flow {
            client: ([203, 0, 113, 2], port).into(),
            server: ([203, 0, 113, 10], 3478).into(),
            channel: 0x4000,
            relay: ([203, 0, 113, 10], port).into(),
            peer: Peer::Elsewhere(([198, 51, 100, 2], 9000).into()),
        };
        let minute = Duration::from_secs(60);
        let installed = relay.install(&flow(1), minute).unwrap();
        relay.install(&flow(2), minute).unwrap();
        let refused = relay.install(&flow(3), minute).map(drop);
        relay.touch(installed, minute).unwrap();
        assert_eq!(relay.counted(installed).packets_to_peer, 0);
        let full = relay.fill();
        assert_eq!(relay.remove(installed).idle, None);
        (full, refused)
    });
    assert_eq!((filled, refused), ((2, 2, 1), Err(crate::NotInstalled::Full)));
}
