//! A shard under any sequence of requests, packets from peers and steps of the clock.
//!
//! [`steps`] is what an input says, [`world`] what is around the shard, [`model`] what clients were
//! granted, told from answers alone. After each step the three are held against each other: no
//! byte is relayed that no live permission or channel allows, no answer is larger than allowed, no
//! table is over its bound; and when all has ended, no port, socket or place in a table is left.

mod model;
mod rig;
mod steps;
mod world;

use arbitrary::{Arbitrary as _, Unstructured};

use rig::Rig;
use steps::{Setup, Step};

/// Steps of one input at the most: what one of them breaks is seen soon after.
const STEPS: usize = 150;

/// Plays what `bytes` says.
//= 8489-6.1-small-messages, 8489-6.3.1.1-error-code, 8489-6.3.1.1-authenticated-answers,
//= 8489-12-binding, 8656-5-wrong-credentials, 8656-6-expiry, 8656-8.1-one-family,
//= 8656-9-no-permission, 8656-11.2-datagram, 8656-12-per-allocation, 8656-12.6-no-refresh
//= 8489-9.2.4-challenge-is-bare, 8489-9.2.4-incomplete-is-bare, 8489-9.2.4-answers-are-bare
//= 8656-6-unique-relayed, 8656-7.2-quota-by-user, 8656-9-300-s, 8656-12-600-s, 8656-12.5-padding
pub(crate) fn run(bytes: &[u8]) {
    let mut input = Unstructured::new(bytes);
    let Ok(setup) = Setup::arbitrary(&mut input) else { return };
    let mut rig = Rig::new(&setup);
    for _ in 0..STEPS {
        if input.is_empty() {
            break;
        }
        let Ok(step) = Step::arbitrary(&mut input) else { break };
        rig.play(&step);
        rig.check();
    }
    rig.end();
}
