use super::simulation::{Relayed, Sender, relay};
use super::*;

const NAP: Duration = Duration::from_micros(300);

/// Wakes up `wakes` times a millisecond for `reads` reads of `packets` packets each; returns
/// how often it napped in the last of `millis` milliseconds.
fn naps(
    wake_delay: &mut WakeDelay,
    millis: std::ops::Range<u64>,
    wakes: u64,
    reads: u64,
    packets: u64,
) -> usize {
    let last = millis.end - 1;
    let mut naps = 0;
    for at in millis {
        for _ in 0..wakes {
            for _ in 0..reads {
                wake_delay.count(packets);
            }
            let nap = wake_delay.idle(Tick(at));
            naps += usize::from(at == last && nap.is_some());
        }
    }
    naps
}

#[test]
fn naps_where_many_wakes_bring_one_packet_each() {
    assert_eq!(naps(&mut WakeDelay::new(NAP), 0..100, 20, 1, 1), 20);
}

#[test]
fn goes_on_when_the_naps_gather_packets() {
    let mut wake_delay = WakeDelay::new(NAP);
    naps(&mut wake_delay, 0..100, 20, 1, 1);
    // The same rate, three wakes a millisecond: of several flows, or all of one.
    assert_eq!(naps(&mut wake_delay, 100..150, 3, 7, 1), 3);
    assert_eq!(naps(&mut wake_delay, 150..200, 3, 1, 7), 3);
}

#[test]
fn does_not_nap_at_low_rates() {
    assert_eq!(naps(&mut WakeDelay::new(NAP), 0..100, 1, 1, 1), 0);
    assert_eq!(naps(&mut WakeDelay::new(NAP), 0..100, 5, 1, 1), 0);
}

#[test]
fn stops_at_a_rate_that_does_not_pay() {
    let mut wake_delay = WakeDelay::new(NAP);
    naps(&mut wake_delay, 0..100, 20, 1, 1);
    assert_eq!(naps(&mut wake_delay, 100..150, 3, 1, 7), 3);
    // 5,000 packets a second: one and a half in a nap.
    assert_eq!(naps(&mut wake_delay, 150..200, 5, 1, 1), 0);
}

#[test]
fn does_not_nap_where_packets_come_in_bursts() {
    assert_eq!(naps(&mut WakeDelay::new(NAP), 0..100, 4, 1, 10), 0);
    // A packet of each of many flows at the same moment is a burst as well.
    assert_eq!(naps(&mut WakeDelay::new(NAP), 0..100, 4, 10, 1), 0);
}

#[test]
fn stops_when_packets_begin_to_come_in_bursts() {
    let mut wake_delay = WakeDelay::new(NAP);
    naps(&mut wake_delay, 0..100, 20, 1, 1);
    assert!(wake_delay.idle(Tick(100)).is_some());
    // The rate is that of before; what a nap would gather is 6 packets.
    assert_eq!(naps(&mut wake_delay, 101..150, 1, 20, 1), 0);
}

#[test]
fn stops_when_the_call_ends() {
    let mut wake_delay = WakeDelay::new(NAP);
    naps(&mut wake_delay, 0..100, 20, 1, 1);
    assert!(wake_delay.idle(Tick(100)).is_some(), "one look more");
    assert!(wake_delay.idle(Tick(100)).is_none(), "then it waits");
    wake_delay.count(1);
    assert!(wake_delay.idle(Tick(10_000)).is_none(), "the silence has not been forgotten");
}

#[test]
fn zero_is_never() {
    assert_eq!(naps(&mut WakeDelay::new(Duration::ZERO), 0..100, 50, 1, 1), 0);
}

const DEFAULT_NAP: Duration = Duration::from_micros(400);

const TIME: Duration = Duration::from_secs(4);

/// What naps did to the same senders: with naps, and without.
fn with_and_without(senders: &[Sender]) -> (Relayed, Relayed) {
    (relay(DEFAULT_NAP, TIME, senders), relay(Duration::ZERO, TIME, senders))
}

/// Paced senders that together send so many packets a second.
fn calls(packets: u64) -> Vec<Sender> {
    vec![Sender::Paced { every: 20_000 }; usize::try_from(packets / 50).unwrap()]
}

/// One that sends at random, so many packets a second on average.
fn random(packets: u64) -> Vec<Sender> {
    vec![Sender::Random { every: 1_000_000 / packets }]
}

#[test]
fn calls_are_napped_for_whatever_their_number() {
    for senders in [calls, random] {
        for rate in [8_000, 10_000, 20_000, 60_000] {
            let (with, without) = with_and_without(&senders(rate));
            assert!(with.packets > without.packets * 98 / 100, "{rate}: {with:?}, {without:?}");
            assert!(with.naps > 650, "{rate}: {with:?}");
        }
    }
}

/// From one packet in flight to many, and round trips from those of one machine to those of a city.
#[test]
fn senders_that_wait_for_replies_lose_nothing() {
    for flows in [1, 3, 8, 32] {
        for window in [1, 8] {
            for reply in [30, 300, 2_000] {
                let senders = vec![Sender::Waiting { window, reply }; flows];
                let (with, without) = with_and_without(&senders);
                assert!(
                    with.packets > without.packets * 85 / 100,
                    "{flows} flows, {window} in flight, replies in {reply} us: {with:?}, {without:?}"
                );
            }
        }
    }
}

#[test]
fn senders_that_wait_lose_nothing_beside_calls() {
    for reply in [30, 300] {
        for flows in [2, 32] {
            let mut senders = calls(10_000);
            senders.extend(vec![Sender::Waiting { window: 1, reply }; flows]);
            let (with, without) = with_and_without(&senders);
            assert!(
                with.waiting > without.waiting * 85 / 100,
                "{flows} flows, replies in {reply} us: {with:?}, {without:?}"
            );
        }
    }
}
