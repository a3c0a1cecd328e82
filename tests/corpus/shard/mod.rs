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
