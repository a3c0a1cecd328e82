//! A worker in virtual time, with senders of several kinds. Times are microseconds.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use taciturn_turn::clock::Tick;

use super::WakeDelay;

/// From a packet that comes to a worker that waits until the worker runs.
const WAKE_UP: u64 = 5;
/// What a read costs, and each packet.
const READ: u64 = 2;
const PACKET: u64 = 5;
/// Packets of one read, at the most.
const BATCH: u64 = 64;
/// How much longer than asked for a nap takes.
const SLACK: u64 = 60;

/// Packets of one sender.
#[derive(Clone, Copy)]
pub(super) enum Sender {
    /// Sends one each so many microseconds, whatever comes of it.
    Paced { every: u64 },
    /// As often on average, but at random.
    Random { every: u64 },
    /// Sends so many, and the next when the worker has relayed one and its reply has taken so long.
    Waiting { window: u64, reply: u64 },
}

/// What was relayed, and how much of the time there were naps, in thousandths.
#[derive(Debug)]
pub(super) struct Relayed {
    pub packets: u64,
    pub waiting: u64,
    pub naps: u64,
}

struct Simulation {
    now: u64,
    /// When a packet of which sender arrives.
    arrivals: BinaryHeap<Reverse<(u64, usize)>>,
    senders: Vec<Sender>,
    noise: u64,
}

impl Simulation {
    fn new(senders: &[Sender]) -> Self {
        let mut simulation = Self {
            now: 0,
            arrivals: BinaryHeap::new(),
            senders: senders.to_vec(),
            noise: 0x9e37_79b9_7f4a_7c15,
        };
        for (number, sender) in senders.iter().enumerate() {
            let (packets, within) = match *sender {
                Sender::Paced { every } | Sender::Random { every } => (1, every),
                Sender::Waiting { window, reply } => (window, reply),
            };
            for _ in 0..packets {
                let first = simulation.jitter(within);
                simulation.arrivals.push(Reverse((first, number)));
            }
        }
        simulation
    }

    /// Between nothing and `most`, as a xorshift generator has it.
    fn jitter(&mut self, most: u64) -> u64 {
        self.noise ^= self.noise << 13;
        self.noise ^= self.noise >> 7;
        self.noise ^= self.noise << 17;
        self.noise % (most + 1)
    }

    /// Takes what has arrived by now: all packets, and those of senders that wait.
    fn read(&mut self) -> (u64, u64) {
        let (mut packets, mut waiting) = (0, 0);
        while let Some(&Reverse((at, number))) = self.arrivals.peek() {
            if at > self.now || packets == BATCH {
                break;
            }
            self.arrivals.pop();
            packets += 1;
            self.now += PACKET;
            let next = match self.senders[number] {
                Sender::Paced { every } => at + every - every / 10 + self.jitter(every / 5),
                Sender::Random { every } => at + self.jitter(2 * every),
                Sender::Waiting { reply, .. } => {
                    waiting += 1;
                    self.now + reply - reply / 10 + self.jitter(reply / 5)
                }
            };
            self.arrivals.push(Reverse((next, number)));
        }
        self.now += READ;
        (packets, waiting)
    }
}

/// Relays what `senders` send for so long.
pub(super) fn relay(nap: Duration, time: Duration, senders: &[Sender]) -> Relayed {
    let mut simulation = Simulation::new(senders);
    let mut delay = WakeDelay::new(nap);
    let mut relayed = Relayed { packets: 0, waiting: 0, naps: 0 };
    let end = u64::try_from(time.as_micros()).unwrap();
    let mut napped = 0;
    while simulation.now < end {
        let (packets, waiting) = simulation.read();
        delay.count(packets);
        relayed.packets += packets;
        relayed.waiting += waiting;
        if packets > 0 {
            continue;
        }
        match delay.idle(Tick(simulation.now / 1000)) {
            Some(nap) => {
                let nap = u64::try_from(nap.as_micros()).unwrap() + SLACK;
                simulation.now += nap;
                napped += nap;
            }
            None => {
                let Some(&Reverse((next, _))) = simulation.arrivals.peek() else { break };
                simulation.now = simulation.now.max(next) + WAKE_UP;
            }
        }
    }
    relayed.naps = napped * 1000 / end;
    relayed
}
