//! Which peers may be reached. What a line does depends on others: see `assemble::peers`.

use super::super::collected::{Collected, Given, Judgement, PeerRange, lost, same};
use super::super::peer_nets;

pub(in super::super) fn allowed(collected: &mut Collected, given: &mut Given<'_>) -> Judgement {
    let nets = peer_nets::networks(given.value)?;
    if peer_nets::has_prefix_length(given.value) {
        return lost(
            "coturn does not take networks with a prefix length: until 4.10 it ignores the line, later it does not \
             start. Here the network would be opened: write it to allow in [peers] by hand if it is meant",
        );
    }
    collected.allowed.push(PeerRange { nets, place: given.place });
    given.taken()
}

pub(in super::super) fn denied(collected: &mut Collected, given: &mut Given<'_>) -> Judgement {
    let nets = peer_nets::networks(given.value)?;
    if peer_nets::has_prefix_length(given.value) {
        given.remark("coturn does not take networks with a prefix length; here it is one");
    }
    collected.denied.push(PeerRange { nets, place: given.place });
    given.taken()
}

pub(in super::super) fn loopback(collected: &mut Collected, given: &mut Given<'_>) -> Judgement {
    collected.loopback = Some(given.place).filter(|_| given.on);
    match given.on {
        true => given.taken(),
        false => same("loopback is denied"),
    }
}
