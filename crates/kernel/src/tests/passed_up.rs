//! What passes up besides what a packet's bytes say: joined packets, packets for a server that is silent.

use aya::Ebpf;
use aya::programs::{TestRun as _, TestRunOptions};

use super::loaded;
use super::packet::{Ip, packet};
use super::served::{Rig, State};
use crate::attach::program;

const PASSED_UP: u32 = u32::MAX;
const SENT: u32 = 7;

/// Where `gso_segs` and `gso_size` are in a `__sk_buff`, and how long that is.
const GSO_SEGS: usize = 164;
const GSO_SIZE: usize = 176;
const CONTEXT: usize = 192;

/// Channel data of the first flow that is in force.
fn good(rig: &Rig) -> Vec<u8> {
    let served = rig.flows.iter().find(|served| served.state == State::InForce).unwrap();
    let mut payload = served.flow.channel.to_be_bytes().to_vec();
    payload.extend([0, 5, 1, 2, 3, 4, 5]);
    let ip = Ip { tos: 0xb8, ttl: 64, id: 7, fragment: 0 };
    packet(served.flow.client, served.flow.server, ip, true, &payload)
}

fn run(loaded: &mut Ebpf, bytes: &[u8], context: &[u8]) -> (u32, Vec<u8>) {
    let mut out = vec![0; 4096];
    let options = TestRunOptions {
        data_in: Some(bytes),
        data_out: Some(&mut out),
        ctx_in: Some(context),
        ..TestRunOptions::new()
    };
    let result = program(loaded).unwrap().test_run(options).unwrap();
    out.truncate(result.data_size_out as usize);
    (result.return_value, out)
}

#[test]
fn joined_packets_pass_up_as_they_came() {
    let Some(mut program) = loaded(512) else { return };
    let rig = Rig::new(&mut program);
    let bytes = good(&rig);
    assert_eq!(run(&mut program, &bytes, &[0; CONTEXT]).0, SENT);
    for at in [GSO_SEGS, GSO_SIZE] {
        let mut context = [0; CONTEXT];
        context[at] = 10;
        assert_eq!(run(&mut program, &bytes, &context), (PASSED_UP, bytes.clone()), "{at}");
    }
    let stats = rig.maps.stats();
    assert_eq!(stats.relayed(), 1);
    let others: Vec<_> = stats.others().filter(|(_, count)| *count > 0).collect();
    assert_eq!(others, [("joined", 2)]);
}

#[test]
fn packets_for_a_server_that_is_silent_pass_up() {
    let Some(mut program) = loaded(512) else { return };
    let mut rig = Rig::new(&mut program);
    let bytes = good(&rig);
    rig.maps.set_alive(1).unwrap();
    assert_eq!(run(&mut program, &bytes, &[0; CONTEXT]), (PASSED_UP, bytes.clone()));
    rig.maps.set_alive(u64::MAX).unwrap();
    assert_eq!(run(&mut program, &bytes, &[0; CONTEXT]).0, SENT);
    rig.maps.clear().unwrap();
    assert_eq!(run(&mut program, &bytes, &[0; CONTEXT]), (PASSED_UP, bytes.clone()), "no flow");
    let others: Vec<_> = rig.maps.stats().others().filter(|(_, count)| *count > 0).collect();
    assert_eq!(others, [("server_silent", 1)]);
}
