//! Newcomers beside floods of forged sources, simulated.

use std::collections::HashSet;

use super::*;

/// When a client sends its request, in milliseconds from the first time: RFC 8489 section 6.2.1, with
/// an RTO of 500 ms, within ten seconds.
const TRANSMISSIONS: [u64; 5] = [0, 500, 1500, 3500, 7500];

const NEWCOMERS: u64 = 50;

/// When the flood has spent what may be had at once, and newcomers come.
const BEGIN: u64 = 10_000;

/// What became of a simulated flood.
struct Outcome {
    /// Newcomers that got an answer within ten seconds.
    heard: usize,
    /// Answers to forged sources in the ten seconds from [`BEGIN`] on.
    forged: u64,
    /// Answers to newcomers because they asked again.
    repeated: u64,
}

/// Random enough for addresses (SplitMix64).
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut word = *state;
    word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    word ^ (word >> 31)
}

fn tid(state: &mut u64) -> [u8; 12] {
    let mut tid = [0; 12];
    tid[..8].copy_from_slice(&random(state).to_be_bytes());
    tid
}

/// `per_ms` forged packets a millisecond, each `times` times, and newcomers among them.
fn flood(limit: &AnswerLimit, per_ms: u64, times: u64) -> Outcome {
    let mut state = 7;
    let newcomers: Vec<_> = (0..NEWCOMERS)
        .map(|n| {
            // SAFE: below 50.
            #[allow(clippy::cast_possible_truncation)]
            let from = SocketAddr::from(([100, 0, 1, n as u8], 1000));
            (from, tid(&mut state), BEGIN + n * 37)
        })
        .collect();
    let mut heard = HashSet::new();
    let (mut forged, mut repeated) = (0, 0);
    for now in 0..BEGIN + 20_000 {
        let place = random(&mut state) % per_ms.max(1);
        for n in 0..per_ms.max(1) {
            if n == place {
                for (from, tid, first) in &newcomers {
                    let sends = now.checked_sub(*first).is_some_and(|t| TRANSMISSIONS.contains(&t));
                    if !sends || heard.contains(from) {
                        continue;
                    }
                    let admission = limit.admits_request(Tick(now), *from, tid);
                    repeated += u64::from(admission == Admission::Repeated);
                    if admission != Admission::Withheld {
                        heard.insert(*from);
                    }
                }
            }
            if n < per_ms {
                let [a, b, c, d, e, f, ..] = random(&mut state).to_be_bytes();
                // Not of loopback, which has no limit.
                let from = SocketAddr::from(([a | 128, b, c, d], u16::from_be_bytes([e, f])));
                let tid = tid(&mut state);
                for _ in 0..times {
                    let admitted =
                        limit.admits_request(Tick(now), from, &tid) != Admission::Withheld;
                    forged += u64::from(admitted && (BEGIN..BEGIN + 10_000).contains(&now));
                }
            }
        }
    }
    Outcome { heard: heard.len(), forged, repeated }
}

/// With the limits that are the default.
fn default_limit() -> AnswerLimit {
    AnswerLimit::new(20, 10_000, Vec::new())
}

#[test]
fn newcomers_are_heard_beside_10_000_forged_packets_a_second() {
    let Outcome { heard, forged, .. } = flood(&default_limit(), 10, 1);
    assert!(heard >= 48, "{heard} of {NEWCOMERS}");
    assert!(forged <= 110_000, "{forged} in ten seconds");
}

#[test]
fn newcomers_are_heard_beside_40_000_forged_packets_a_second() {
    let Outcome { heard, forged, repeated } = flood(&default_limit(), 40, 1);
    assert!(heard >= 48, "{heard} of {NEWCOMERS}");
    assert!(repeated >= 10, "{repeated} of them by asking again");
    assert!(forged <= 110_000, "{forged} in ten seconds");
}

#[test]
fn a_flood_that_repeats_itself_gets_no_more_than_the_bound() {
    let Outcome { forged, .. } = flood(&default_limit(), 20, 3);
    assert!(forged <= 110_000, "{forged} in ten seconds");
}

#[test]
fn without_a_flood_nobody_asks_twice() {
    let Outcome { heard, forged, repeated } = flood(&default_limit(), 0, 1);
    assert_eq!((heard, forged, repeated), (50, 0, 0));
}

#[test]
fn a_request_is_answered_where_it_was_asked_before_from_the_same_place() {
    let limit = AnswerLimit::new(0, 10, Vec::new());
    let at = |port: u16| SocketAddr::from(([192, 0, 2, 1], port));
    let asks = |now, port, tid: &[u8]| limit.admits_request(Tick(now), at(port), tid);
    while asks(0, 9, b"spends it all") == Admission::Admitted {}
    assert_eq!(asks(0, 1, b"a request"), Admission::Withheld);
    assert_eq!(asks(0, 2, b"a request"), Admission::Withheld, "from another port");
    assert_eq!(asks(0, 1, b"another"), Admission::Withheld);
    assert_eq!(asks(0, 1, b"a request"), Admission::Repeated);
    assert_eq!(limit.withheld(), 4);
    let more = (0..100).filter(|_| asks(0, 1, b"a request") == Admission::Repeated).count();
    assert_eq!(more, 2, "three in three seconds: a tenth of the budget of all");
}
