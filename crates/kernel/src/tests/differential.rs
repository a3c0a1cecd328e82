//! Packets of all kinds through the program (BPF_PROG_TEST_RUN) and through a shard: what the program sends is what the
//! shard wants sent, byte by byte, or the program passes the packet up as it came.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use aya::Ebpf;
use aya::programs::{TestRun as _, TestRunOptions};
use taciturn_stun::Family;
use taciturn_turn::{Client, ClientAddr, Verdict, Via};

use super::packet::{DF, Ip, check_of, packet, unfinished};
use super::served::{MTU, PORT, Rig, Served, State};
use super::{Random, loaded};
use crate::attach::program;
use crate::flow::Peer;
use crate::layout::Traffic;

/// TC_ACT_UNSPEC and TC_ACT_REDIRECT.
const PASSED_UP: u32 = u32::MAX;
const SENT: u32 = 7;

/// Packets of each family; 100,000 with TACITURN_KERNEL_PACKETS=100000.
const PACKETS: usize = 4_000;

/// A packet on its way in.
#[derive(Debug)]
struct Given {
    from: SocketAddr,
    to: SocketAddr,
    ip: Ip,
    with_check: bool,
    payload: Vec<u8>,
}

/// A packet on its way out, with the flow and the direction that it leaves by.
struct Wanted {
    from: SocketAddr,
    to: SocketAddr,
    payload: Vec<u8>,
    label: (u32, bool),
}

#[test]
fn what_the_kernel_sends_is_what_the_shard_wants_sent() {
    let Some(mut program) = loaded(512) else { return };
    let packets = std::env::var("TACITURN_KERNEL_PACKETS").ok();
    let packets = packets.map_or(PACKETS, |packets| packets.parse().unwrap());
    let mut rig = Rig::new(&mut program);
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut model = Model::default();
    for family in [Family::V4, Family::V6] {
        let before = model.sent;
        for _ in 0..packets {
            let given = given(&mut random, &rig, family);
            model.compare(&mut random, &mut rig, &mut program, &given);
        }
        // Most packets are good ones.
        assert!(
            model.sent - before > packets / 3,
            "{} of {packets} were sent",
            model.sent - before
        );
    }
    let labels: BTreeSet<_> = model.labels.values().collect();
    assert_eq!(labels.len(), model.labels.len(), "each has its own");
    for served in &rig.flows {
        let counted = rig.maps.traffic(served.slot);
        let expected = model.traffic.get(&served.slot).copied().unwrap_or_default();
        assert_eq!(
            (counted.packets, counted.bytes),
            (expected.packets, expected.bytes),
            "{served:?}"
        );
    }
    println!(
        "{} sent and {} passed up as the shard has it, {} of them for their checksums",
        model.sent, model.passed_up, model.looked_unfinished
    );
}

/// A packet of a flow, as often as not spoilt in one way or another.
fn given(random: &mut Random, rig: &Rig, family: Family) -> Given {
    let of_family: Vec<&Served> =
        rig.flows.iter().filter(|served| Family::of(served.flow.client.ip()) == family).collect();
    let Served { flow, .. } = of_family[random.below(of_family.len())];
    let len = match random.below(6) {
        0 => random.below(8),
        1 => 1340 + random.below(60),
        _ => random.below(1300),
    };
    let data = random.bytes(len);
    let (mut from, mut to, payload) = if random.one_in(2) {
        let channel = if random.one_in(20) { random.next() as u16 } else { flow.channel };
        let says = if random.one_in(12) { random.below(2000) } else { len };
        let mut message = channel.to_be_bytes().to_vec();
        message.extend(u16::try_from(says).unwrap().to_be_bytes());
        message.extend(data);
        match random.below(20) {
            0..=6 => message.extend(random.bytes(len.next_multiple_of(4) - len)),
            7 => message.extend(random.bytes(5)),
            _ => {}
        }
        (flow.client, flow.server, message)
    } else {
        (flow.peer_as_seen(), flow.relay, data)
    };
    if random.one_in(20) {
        from.set_port(from.port() ^ 1);
    }
    if random.one_in(30) {
        to.set_port(to.port() ^ 1 << random.below(16));
    }
    let fragment = match random.below(20) {
        0 => [0x2000, 0x0001, 0x2010, 0x8000][random.below(4)],
        1..=9 => DF,
        _ => 0,
    };
    let ttl = if random.one_in(15) { random.below(3) } else { 2 + random.below(250) };
    let ip = Ip { tos: random.next() as u8, ttl: ttl as u8, id: random.next() as u32, fragment };
    Given { from, to, ip, with_check: !random.one_in(8), payload }
}

#[derive(Default)]
struct Model {
    sent: usize,
    passed_up: usize,
    looked_unfinished: usize,
    /// What is relayed of each flow.
    traffic: BTreeMap<u32, Traffic>,
    /// The flow labels of IPv6.
    labels: BTreeMap<(u32, bool), u32>,
}

impl Model {
    fn count(&mut self, slot: u32, direction: usize, len: u64) {
        let traffic = self.traffic.entry(slot).or_default();
        traffic.packets[direction] += 1;
        traffic.bytes[direction] += len;
    }

    fn compare(&mut self, random: &mut Random, rig: &mut Rig, loaded: &mut Ebpf, given: &Given) {
        let Given { from, to, ip, with_check, ref payload } = *given;
        let mut bytes = packet(from, to, ip, with_check, payload);
        if random.one_in(10) && bytes.len() < 60 {
            // Ethernet's shortest frame.
            bytes.resize(60, 0xee);
        }
        let looks_unfinished =
            check_of(&bytes, from.is_ipv6()) == unfinished(from.ip(), to.ip(), 8 + payload.len());
        let spoilt = spoil(random, &mut bytes, from.is_ipv6());
        let wanted = wanted(self, rig, given, !spoilt && !looks_unfinished);
        let (action, out) = run(loaded, &bytes);
        let what =
            || format!("{given:x?}, spoilt: {spoilt}, in {:02x?}", &bytes[..bytes.len().min(70)]);
        let Some(wanted) = wanted else {
            assert_eq!((action, &out), (PASSED_UP, &bytes), "{}", what());
            self.passed_up += 1;
            self.looked_unfinished += usize::from(looks_unfinished);
            return;
        };
        assert_eq!(action, SENT, "{}", what());
        let mut of_it = Ip { ttl: ip.ttl - 1, ..ip };
        // Identifications without DF, and flow labels, are the program's own.
        if from.is_ipv6() {
            of_it.id = u32::from_be_bytes([0, out[15] & 0xf, out[16], out[17]]);
            let known = *self.labels.entry(wanted.label).or_insert(of_it.id);
            assert_eq!(of_it.id, known, "one label for each flow and direction: {}", what());
        } else if ip.fragment & DF == 0 {
            of_it.id = u32::from(u16::from_be_bytes([out[18], out[19]]));
        }
        let all = packet(wanted.from, wanted.to, of_it, with_check, &wanted.payload);
        assert_eq!(&out[12..], &all[12..], "{}", what());
        self.sent += 1;
    }
}

/// What the shard wants sent, where the kernel is to send it.
fn wanted(model: &mut Model, rig: &mut Rig, given: &Given, is_good: bool) -> Option<Wanted> {
    let Given { from, to, ip, with_check, payload } = given;
    let verdict = if to.port() == PORT {
        let client = Client { via: Via::Udp(0), local: to.ip(), remote: ClientAddr(*from) };
        let Rig { shard, now, world, .. } = rig;
        shard.from_client(*now, client, payload, &mut [0; 1500], world)
    } else {
        let (owner, _) = *rig.world.opened.iter().find(|(_, relay)| relay == to)?;
        let Rig { shard, now, world, .. } = rig;
        shard.from_peer(*now, owner, Family::of(to.ip()), *from, payload.len(), world)
    };
    let (from, to, out) = match verdict {
        Verdict::ToPeer { relay, peer, payload: range, .. } => {
            (rig.world.opened[relay.0 as usize].1, peer, payload[range].to_vec())
        }
        Verdict::ToClient { client, prefix, payload: range, padding: 0 } => {
            let mut out = prefix.as_bytes().to_vec();
            // What a peer has sent is no message, of which a part goes on, but all of it.
            out.extend(&payload[range]);
            (SocketAddr::new(client.local, PORT), client.remote.0, out)
        }
        _ => return None,
    };
    // Which flow it is of, and in which direction.
    let is_up = given.to.port() == PORT;
    let of = |served: &&Served| match is_up {
        true => {
            let channel = u16::from_be_bytes([payload[0], payload[1]]);
            (served.flow.client, served.flow.channel) == (given.from, channel)
        }
        false => (served.flow.peer_as_seen(), served.flow.relay) == (given.from, given.to),
    };
    let served = rig.flows.iter().find(of)?;
    let mut way = served;
    if let Peer::Own { public, .. } = served.flow.peer {
        // What comes by the wire from an own address is for the stack to judge.
        let is_other = |other: &&Served| {
            (other.flow.relay, other.flow.peer_as_seen()) == (public, served.flow.relay)
        };
        way = rig.flows.iter().find(is_other).filter(|_| is_up)?;
    }
    let is_in_force = served.state != State::Expired && way.state == State::InForce;
    let is_ipv6 = from.is_ipv6();
    let header = if is_ipv6 { 48 } else { 28 };
    let padding = if is_up {
        payload.len() - 4 - usize::from(u16::from_be_bytes([payload[2], payload[3]]))
    } else {
        0
    };
    let is_good = is_good
        && is_in_force
        && ip.ttl > 1
        && (is_ipv6 || ip.fragment & !DF == 0)
        && (*with_check || !is_ipv6)
        && header + out.len() <= usize::from(MTU)
        && padding <= 3;
    if !is_good {
        return None;
    }
    let is_hairpin = is_up && way.slot != served.slot;
    let len = (out.len() - if is_up && !is_hairpin { 0 } else { 4 }) as u64;
    model.count(served.slot, usize::from(!is_up), len);
    if is_hairpin {
        model.count(way.slot, 1, len);
    }
    Some(Wanted { from, to, payload: out, label: (way.slot, !is_up || is_hairpin) })
}

fn run(loaded: &mut Ebpf, bytes: &[u8]) -> (u32, Vec<u8>) {
    let mut out = vec![0; 4096];
    let options =
        TestRunOptions { data_in: Some(bytes), data_out: Some(&mut out), ..TestRunOptions::new() };
    let result = program(loaded).unwrap().test_run(options).unwrap();
    out.truncate(result.data_size_out as usize);
    (result.return_value, out)
}

/// Makes what the program must not touch of a packet, now and then. Returns whether it did.
fn spoil(random: &mut Random, bytes: &mut Vec<u8>, is_ipv6: bool) -> bool {
    match random.below(150) {
        // A shorter header of IP than there is, or options.
        0 => bytes[14] ^= 0x10,
        // Neither UDP nor a fragment.
        1 => bytes[if is_ipv6 { 20 } else { 23 }] ^= 4,
        // Cut off.
        2 if bytes.len() > 60 => bytes.truncate(60),
        // For another host.
        3 => bytes[5] = 7,
        // With a tag of a VLAN.
        4 => {
            bytes.splice(12..12, [0x81, 0, 0, 5]);
        }
        // A length that is not that of IP.
        5 => bytes[if is_ipv6 { 59 } else { 39 }] ^= 1,
        _ => return false,
    }
    true
}
