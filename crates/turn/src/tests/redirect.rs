//! 300 Try Alternate (section 7.2, RFC 8489 section 10).

use super::*;
use crate::Redirect;
use taciturn_stun::AttributeType as T;

fn elsewhere(servers: &[&str], tls_servers: &[&str], domain: Option<&str>) -> Rig {
    let pick = |servers: &[&str]| {
        let of = |v6: bool| servers.iter().map(|text| addr(text)).find(|s| s.is_ipv6() == v6);
        [of(false), of(true)]
    };
    let (plain, secure) = (pick(servers), pick(tls_servers));
    let domain = domain.map(Box::from);
    Rig::with(|setup| setup.redirect = Some(Redirect { plain, secure, domain }))
}

/// ALTERNATE-SERVER is coded like MAPPED-ADDRESS: not XORed.
const V4: [u8; 8] = [0, 1, 0x0D, 0x96, 198, 51, 100, 2];

//= 8489-10-alternate-server, 8489-10-alternate-other-family, 8489-14.8-try-alternate-authenticated,
//= 8489-14.15-alternate-server-form
#[test]
fn a_proven_client_is_sent_elsewhere_and_nothing_is_made_for_it() {
    let rig = elsewhere(&["198.51.100.2:3478", "[2001:db8::2]:3478"], &[], None);
    let alice = rig.alice();
    // RFC 8489 section 14.8: 300 is for those who have proven who they are.
    alice.allocation().once().assert_error(401);
    let answer = alice.allocation().send();
    answer.assert_error(300);
    // The client's own family first, then the other.
    let types = [T::ERROR_CODE, T::ALTERNATE_SERVER, T::ALTERNATE_SERVER, T::MESSAGE_INTEGRITY];
    assert_eq!(answer.message().attribute_types(), types.map(|kind| kind.0));
    assert_eq!(answer.message().find(T::ALTERNATE_SERVER), Some(&V4[..]));
    let v6 = rig.client("[2001:db8:9::1]:1000", "alice").allocation().send();
    v6.assert_error(300);
    assert_eq!(v6.message().find(T::ALTERNATE_SERVER).map(|value| value[1]), Some(2));
    assert_eq!(rig.events(), [], "the operator wanted it");
    rig.assert_empty();
}

#[test]
fn a_bad_request_is_told_so_first() {
    let rig = elsewhere(&["198.51.100.2:3478"], &[], None);
    rig.alice().request(taciturn_stun::Method::ALLOCATE).send().assert_error(400);
    rig.alice().allocation().attribute(T(0x7FFF), b"").send().assert_error(420);
}

//= 8489-10-alternate-server
#[test]
fn a_client_of_a_family_without_an_alternate_is_served() {
    // RFC 8489 section 10: the first alternate is of the client's own family.
    let rig = elsewhere(&["[2001:db8::2]:3478"], &[], None);
    rig.alice().allocate();
}

#[test]
fn tls_clients_have_servers_of_their_own() {
    let rig = elsewhere(&[], &["198.51.100.2:3478"], None);
    rig.stream_client("192.0.2.1:1", "alice").allocate();
    rig.alice().allocate();
    rig.world(|world| world.tls = true);
    rig.stream_client("192.0.2.1:2", "alice").allocation().send().assert_error(300);
}

//= 8489-10-alternate-domain
#[test]
fn the_name_of_another_certificate_goes_with_tls_and_sha256() {
    // RFC 8489 section 10: only then is the client known to understand ALTERNATE-DOMAIN.
    let both = &["198.51.100.2:3478"];
    let rig = elsewhere(both, both, Some("turn2.example.org"));
    let domain = |sha256: bool, tls: bool| {
        rig.world(|world| world.tls = tls);
        let client = rig.stream_client("192.0.2.1:1", "alice");
        client.sha256.set(sha256);
        let answer = client.allocation().send();
        answer.assert_error(300);
        answer.message().find(T::ALTERNATE_DOMAIN).map(<[u8]>::to_vec)
    };
    assert_eq!(domain(true, true), Some(b"turn2.example.org".to_vec()));
    assert_eq!(domain(false, true), None);
    assert_eq!(domain(true, false), None);
}

#[test]
fn running_allocations_go_on() {
    let rig = Rig::new();
    let alice = rig.alice();
    let made = alice.allocation();
    let answer = made.send();
    answer.assert_ok();
    let token = rig.client("192.0.2.9:1", "bob").allocation().even_port(true).send().token();
    rig.redirect(Redirect {
        plain: [Some(addr("198.51.100.2:3478")), None],
        ..Redirect::default()
    });
    assert_eq!(made.once(), answer, "a retransmission is not sent away");
    alice.refresh(600).assert_ok();
    alice.bind(CHANNEL, PEER);
    alice.channel_data(CHANNEL, b"x").assert_reaches(PEER, b"x");
    rig.bob().allocation().send().assert_error(300);
    rig.bob().allocation().attribute(T::RESERVATION_TOKEN, &token).send().assert_ok();
}

/// A server of a fleet, whose others are at these addresses.
fn in_fleet(rig: &Rig, udp: &str, tcp: &str) {
    rig.alternates(|alternates| {
        alternates.set_servers([Some(addr(udp)), None], [Some(addr(tcp)), None]);
        alternates.set_key(Some(&[7; 32]));
    });
}

//= 8489-10-alternate-server, 8489-14.8-try-alternate-authenticated
#[test]
fn a_server_that_drains_sends_new_clients_to_another_one_by_the_same_transport() {
    let rig = Rig::new();
    let running = rig.client("192.0.2.8:1", "bob");
    running.allocate();
    in_fleet(&rig, "198.51.100.2:3478", "198.51.100.3:3479");
    rig.client("192.0.2.9:1", "bob").allocate();
    rig.drain(true);
    rig.alice().allocation().once().assert_error(401);
    let answer = rig.alice().allocation().send();
    answer.assert_error(300);
    let types = [T::ERROR_CODE, T::ALTERNATE_SERVER, T::NONCE, T::MESSAGE_INTEGRITY];
    assert_eq!(answer.message().attribute_types(), types.map(|kind| kind.0));
    assert_eq!(answer.message().find(T::ALTERNATE_SERVER), Some(&V4[..]));
    let tcp = rig.stream_client("192.0.2.1:7", "alice").allocation().send();
    tcp.assert_error(300);
    assert_eq!(tcp.message().find(T::ALTERNATE_SERVER).map(|value| value[7]), Some(3));
    // Where it cannot follow, it is told at once.
    rig.world(|world| world.tls = true);
    rig.stream_client("192.0.2.1:8", "alice").allocation().send().assert_error(508);
    rig.client("[2001:db8:9::1]:1000", "alice").allocation().send().assert_error(508);
    running.refresh(600).assert_ok();
    rig.drain(false);
    rig.alice().allocate();
}

#[test]
fn a_server_without_room_does_so_and_a_user_beyond_its_own_limit_is_refused() {
    let rig = Rig::with(|setup| (setup.quota, setup.quota_in_all) = (1, 2));
    in_fleet(&rig, "198.51.100.2:3478", "198.51.100.2:3478");
    rig.alice().allocate();
    rig.client("192.0.2.9:1", "alice").allocation().send().assert_error(486);
    rig.bob().allocate();
    rig.client("192.0.2.9:2", "bob").allocation().send().assert_error(486);
    let rig = Rig::with(|setup| setup.quota_in_all = 1);
    in_fleet(&rig, "198.51.100.2:3478", "198.51.100.2:3478");
    let alice = rig.alice();
    alice.allocate();
    rig.bob().allocation().send().assert_error(300);
    alice.refresh(0).assert_ok();
    rig.bob().allocate();
    let rig = Rig::with(|setup| setup.ports = (50_000, 50_001));
    in_fleet(&rig, "198.51.100.2:3478", "198.51.100.2:3478");
    rig.alice().allocate();
    rig.bob().allocation().even_port(true).send().assert_error(300);
    rig.client("192.0.2.9:3", "bob").allocate();
    rig.client("192.0.2.9:4", "bob").allocation().send().assert_error(300);
    let bob = rig.client("192.0.2.9:5", "bob");
    bob.allocation().attribute(T::RESERVATION_TOKEN, &[1; 8]).send().assert_error(508);
}

#[test]
fn the_nonce_of_a_redirect_is_good_on_the_other_server_from_that_address_alone() {
    let (here, there) = (Rig::new(), Rig::new());
    in_fleet(&here, "198.51.100.2:3478", "198.51.100.2:3478");
    here.drain(true);
    let answer = here.alice().allocation().send();
    answer.assert_error(300);
    let nonce = answer.message().nonce().unwrap().to_vec();
    let with_nonce = |from: &str| {
        let client = there.client(from, "alice");
        client.nonce.replace(nonce.clone());
        client.allocation().once()
    };
    let ip = here.alice().at.remote.0.ip();
    with_nonce(&format!("{ip}:77")).assert_error(438);
    in_fleet(&there, "198.51.100.1:3478", "198.51.100.1:3478");
    with_nonce("192.0.2.200:77").assert_error(438);
    with_nonce(&format!("{ip}:77")).assert_ok();
}
