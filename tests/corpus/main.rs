//! What the fuzzers hold of any input, and the inputs that are kept (`fuzz/corpus`): one module a
//! fuzz target, called by the target of that name in `fuzz/fuzz_targets` and replayed here.

// clippy.toml lets tests do this, but not the functions that they share.
#![allow(clippy::expect_used, clippy::unwrap_used)]

#[path = "../../crates/stun/tests/wire/differential/agree.rs"]
mod agree;

mod acme_json;
mod channel_data;
mod config_toml;
mod control_messages;
mod control_request;
mod coturn_conf;
#[cfg(feature = "dtls")]
mod datagrams;
mod differential;
#[cfg(feature = "dtls")]
mod dtls_guard;
#[cfg(feature = "dtls")]
mod dtls_hello;
mod handover_state;
mod proxy_header;
mod shard;
mod snapshot;
mod stream_frames;
mod stun_message;

use std::fs;
use std::panic::catch_unwind;
use std::path::Path;

/// Inputs of one target at the most, and their bytes in all.
const MOST: (usize, usize) = (60, 64 * 1024);

/// Runs every input that is kept for a target.
fn replay(target: &str, run: fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut inputs: Vec<_> =
        fs::read_dir(&corpus).unwrap().map(|entry| entry.unwrap().path()).collect();
    inputs.sort();
    assert!((1..=MOST.0).contains(&inputs.len()), "{target} keeps {} inputs", inputs.len());
    let mut bytes_in_all = 0;
    for input in inputs {
        let bytes = fs::read(&input).unwrap();
        bytes_in_all += bytes.len();
        assert!(catch_unwind(|| run(&bytes)).is_ok(), "{} fails", input.display());
    }
    assert!(bytes_in_all <= MOST.1, "{target} keeps {bytes_in_all} bytes");
}

/// A test for each target.
macro_rules! replayed {
    ($($(#[$condition:meta])? $target:ident),*) => {
        mod kept_inputs_of {
            $($(#[$condition])? #[test]
            fn $target() {
                super::replay(stringify!($target), super::$target::run);
            })*
        }

        #[test]
        fn every_fuzz_target_is_replayed() {
            let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/fuzz_targets");
            let targets = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name());
            let mut targets: Vec<_> = targets.map(|name| name.into_string().unwrap()).collect();
            targets.sort();
            let mut replayed = [$(concat!(stringify!($target), ".rs")),*];
            replayed.sort_unstable();
            assert_eq!(targets, replayed);
        }
    };
}

replayed!(
    acme_json,
    channel_data,
    config_toml,
    control_messages,
    control_request,
    coturn_conf,
    differential,
    #[cfg(feature = "dtls")]
    dtls_guard,
    #[cfg(feature = "dtls")]
    dtls_hello,
    handover_state,
    proxy_header,
    shard,
    snapshot,
    stream_frames,
    stun_message
);
