//! Tenants: whose users are nobody's of another, although they have the same names.

use std::sync::Arc;

use zeroize::Zeroizing;

use super::mobility::{allocate as allocate_mobile, resume};
use super::restart::Restart;
use super::rig::{REALM, SECRET, START, udp};
use super::*;
use crate::auth::{
    Authenticator, SharedSecret, StaticKey, StaticUser, TenantCredentials, TenantRows,
};
use crate::policy::{Banned, Each, PortRange, Rates, TenantLimits, TenantPeers};
use crate::{Client, EndReason, Entrance, Rules, Settings, Traffic, Via, Whose};

/// What a tenant of a test is configured for.
#[derive(Clone)]
pub(super) struct TestTenant {
    pub(super) name: &'static str,
    pub(super) realm: &'static str,
    pub(super) limits: TenantLimits,
    pub(super) ports: Option<(u16, u16)>,
    pub(super) allow: &'static [&'static str],
    pub(super) deny: &'static [&'static str],
}

pub(super) const ACME: TestTenant = tenant("acme");
pub(super) const BETA: TestTenant = tenant("beta");

const fn tenant(name: &'static str) -> TestTenant {
    let limit = Each { allocation: 0, user: 0, in_all: 0 };
    let rates = Rates { bytes: limit, packets: limit, new_peers: limit, allocations: limit };
    TestTenant {
        name,
        realm: REALM,
        limits: TenantLimits { allocations_per_user: 32, allocations: 0, rates },
        ports: None,
        allow: &[],
        deny: &[],
    }
}

impl TestTenant {
    /// alice is a user of each, with a password of her own; each has a secret.
    fn credentials(&self) -> TenantCredentials {
        let password = StaticKey::Password(Zeroizing::new(self.password("alice")));
        TenantCredentials {
            name: self.name.parse().unwrap(),
            realm: self.realm.into(),
            server_names: vec![format!("turn.{}.example", self.name)],
            users: vec![StaticUser { name: "alice".into(), key: password }],
            secrets: vec![SharedSecret::new(self.secret())],
        }
    }

    fn secret(&self) -> String {
        format!("the secret of {}", self.name)
    }

    fn password(&self, user: &str) -> String {
        format!("{user}'s password of {}", self.name)
    }

    /// alice, or somebody of the REST scheme, from there.
    pub(super) fn client(&self, rig: &Rig, at: Client, user: &str) -> TestClient {
        let (username, password) = match user {
            "alice" => (user.to_owned(), self.password(user)),
            name => {
                let username = format!("{}:{name}", START + 3600);
                let password = SharedSecret::new(self.secret()).password_for(&username);
                (username, password.to_string())
            }
        };
        TestClient::in_realm(self.realm, rig.clone(), at, &username, &password)
    }

    fn whose(&self) -> Whose {
        Whose { tenant: Some(self.name.parse().unwrap()), ..Whose::default() }
    }
}

/// Has these tenants be there, besides the server's own users alice and bob.
pub(super) fn configure(rules: &mut Rules, tenants: &[TestTenant]) {
    let user = |name: &str| {
        let key = StaticKey::Password(Zeroizing::new(format!("{name}'s password")));
        StaticUser { name: name.into(), key }
    };
    let (users, secrets) = ([user("alice"), user("bob")], vec![SharedSecret::new(SECRET)]);
    let credentials: Vec<_> = tenants.iter().map(TestTenant::credentials).collect();
    let own = Authenticator::new(REALM, &users, secrets, false);
    rules.authenticator = Arc::new(own.with_tenants(&credentials));
    let name = |of: &TestTenant| of.name.parse().unwrap();
    let nets = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<_>>();
    let server = Arc::clone(&rules.peers);
    let peers = tenants
        .iter()
        .map(|of| (name(of), server.of_tenant(nets(of.allow), Vec::new(), &nets(of.deny))));
    rules.tenant_peers = Arc::new(TenantPeers::new(peers));
    let limits: Vec<_> = tenants.iter().map(|of| (name(of), of.limits)).collect();
    let of_removed = TenantLimits { allocations_per_user: 32, ..TenantLimits::default() };
    rules.quota.set_tenants(&limits, of_removed);
    rules.rates.set_by_tenants(tenants.iter().any(|of| of.limits.rates.limit_packets()));
    let share = |of: &TestTenant| {
        let (first, last) = of.ports?;
        Some((name(of), PortRange::new(first, last).unwrap()))
    };
    rules.ports.set_shares(&tenants.iter().filter_map(share).collect::<Vec<_>>());
}

fn rig(tenants: &[TestTenant]) -> Rig {
    rig_with(tenants, |_| {})
}

fn rig_with(tenants: &[TestTenant], change: impl FnOnce(&mut setup::Setup)) -> Rig {
    let rig = Rig::with(change);
    reload(&rig, tenants);
    rig
}

fn reload(rig: &Rig, tenants: &[TestTenant]) -> crate::Withdrawn {
    rig.reload(|_, rules| configure(rules, tenants))
}

fn names(sessions: &[crate::Session]) -> Vec<(String, String)> {
    let name = |session: &crate::Session| {
        let user = &session.username;
        (user.tenant().to_string(), user.name().to_owned())
    };
    sessions.iter().map(name).collect()
}

#[test]
fn users_of_one_name_are_seen_kicked_and_banned_apart() {
    let rig = rig(&[ACME, BETA]);
    let clients = [
        rig.client("192.0.2.1:1", "alice"),
        ACME.client(&rig, udp("192.0.2.1:2"), "alice"),
        BETA.client(&rig, udp("192.0.2.1:3"), "alice"),
    ];
    clients.iter().for_each(|client| {
        client.allocate();
    });
    assert_eq!(names(&rig.sessions(&ACME.whose())), [("acme".into(), "alice".into())]);
    let default = Whose { tenant: Some("default".parse().unwrap()), ..Whose::default() };
    assert_eq!(names(&rig.sessions(&default)), [("default".into(), "alice".into())]);
    let user = Some("alice".to_owned());
    assert_eq!(rig.sessions(&Whose { user: user.clone(), ..Whose::default() }).len(), 3);
    assert_eq!(rig.kick(&Whose { user: user.clone(), ..ACME.whose() }), 1);
    assert_eq!(names(&rig.sessions(&Whose::default())).len(), 2);
    clients[1].allocate();
    // A ban of one is none of the others, nor is one of the server's own alice.
    for (ban, banned) in [("acme/alice", 1), ("default/alice", 0), ("beta/alice", 2)] {
        let bans = [Banned::of("tenant-user", ban).unwrap()];
        let ended = rig.with_shard(|shard, now, world| {
            shard.parts.rules.bans.set(&bans);
            shard.end_banned(now, world)
        });
        assert_eq!(ended, 1, "{ban}");
        for (number, client) in clients.iter().enumerate() {
            let answer = client.refresh(600);
            match number == banned {
                true => assert_eq!(answer.code(), Some(403), "{ban}"),
                false => answer.assert_ok(),
            }
        }
        rig.with_shard(|shard, _, _| shard.parts.rules.bans.set([]));
        clients[banned].allocate();
    }
}

#[test]
fn an_allocation_is_its_maker_s_and_not_of_that_name_in_another_tenant() {
    let rig = rig(&[ACME, BETA]);
    let at = udp("192.0.2.1:1");
    let alice = ACME.client(&rig, at, "alice");
    alice.allocate();
    for other in [BETA.client(&rig, at, "alice"), rig.client("192.0.2.1:1", "alice")] {
        for _ in 0..3 {
            other.fresh_tid(); // not a retransmission of alice's
        }
        other.refresh(0).assert_error(441);
        other.try_permit(&[PEER]).assert_error(441);
        other.allocation().send().assert_error(437);
    }
    alice.refresh(600).assert_ok();
}

#[test]
fn places_in_the_quota_and_limits_are_those_of_the_tenant() {
    let few = TestTenant {
        limits: TenantLimits { allocations_per_user: 2, allocations: 3, ..ACME.limits },
        ..ACME
    };
    let rig = rig_with(&[few.clone(), BETA], |setup| {
        (setup.quota, setup.quota_in_all) = (1, 6);
    });
    let client =
        |of: &TestTenant, port: u16, user| of.client(&rig, udp(&format!("192.0.2.1:{port}")), user);
    client(&few, 1, "alice").allocate();
    client(&few, 2, "alice").allocate();
    client(&few, 3, "alice").allocation().send().assert_error(486);
    let carol = client(&few, 4, "carol");
    carol.allocate();
    client(&few, 5, "dave").allocation().send().assert_error(486);
    let cause = rig.world(|world| world.last_failure.clone().unwrap().1);
    assert_eq!(cause, Some(crate::Cause::TenantAllocations));
    // The same name elsewhere has its own; and the server's limit is for all.
    rig.client("192.0.2.1:6", "alice").allocate();
    rig.client("192.0.2.1:7", "alice").allocation().send().assert_error(486);
    client(&BETA, 8, "alice").allocate();
    client(&BETA, 9, "alice").allocate();
    client(&BETA, 10, "alice").allocation().send().assert_error(508);
    carol.refresh(0).assert_ok();
    client(&BETA, 10, "alice").allocate();
    client(&few, 11, "dave").allocation().send().assert_error(508);
}

#[test]
fn what_a_tenant_may_relay_is_its_own_and_all_its_users_share_it() {
    let packets = Each { in_all: 5, ..Each::default() };
    let rates = Rates { packets, ..Rates::default() };
    let slow = TestTenant { limits: TenantLimits { rates, ..ACME.limits }, ..ACME };
    let rig = rig(&[slow.clone(), BETA]);
    let ready = |client: TestClient| {
        client.allocate();
        client.permit(PEER);
        client
    };
    let alice = ready(slow.client(&rig, udp("192.0.2.1:1"), "alice"));
    let carol = ready(slow.client(&rig, udp("192.0.2.1:2"), "carol"));
    let theirs = ready(BETA.client(&rig, udp("192.0.2.1:3"), "alice"));
    for client in [&alice, &carol, &alice, &carol, &alice] {
        client.send(PEER, b"12345").assert_reaches(PEER, b"12345");
    }
    for client in [&alice, &carol] {
        client.send(PEER, b"x").assert_dropped(crate::DropReason::TenantRate);
    }
    for _ in 0..50 {
        theirs.send(PEER, b"1234567").assert_reaches(PEER, b"1234567");
    }
    let statistics = rig.shard(|shard| shard.statistics().clone());
    let relayed: Vec<_> = statistics.tenants.iter().collect();
    let of = |packets_to_peers, bytes_to_peers| Traffic {
        packets_to_peers,
        bytes_to_peers,
        ..Traffic::default()
    };
    assert_eq!(relayed[0], (&"acme".parse().unwrap(), of(5, 25)));
    assert_eq!(relayed[1], (&"beta".parse().unwrap(), of(50, 350)));
    assert_eq!(statistics.relayed[0].bytes_to_peers, 375);
    // A reload takes the limit away.
    reload(&rig, &[ACME, BETA]);
    alice.send(PEER, b"x").assert_reaches(PEER, b"x");
}

#[test]
fn a_peer_that_is_allowed_to_one_tenant_is_out_of_reach_for_all_others() {
    let lan = "10.1.2.3:4000";
    let allowed = TestTenant { allow: &["10.1.0.0/16"], ..ACME };
    let denied = TestTenant { deny: &["8.8.8.0/24"], ..BETA };
    let rig = rig_with(&[allowed.clone(), denied.clone()], |setup| {
        setup.allow = &["10.9.0.0/16"];
    });
    let ours = rig.client("192.0.2.1:1", "alice");
    let acme = allowed.client(&rig, udp("192.0.2.1:2"), "alice");
    let beta = denied.client(&rig, udp("192.0.2.1:3"), "alice");
    for client in [&ours, &acme, &beta] {
        client.allocate();
    }
    for (peer, expected) in [
        (lan, [Some(403), None, Some(403)]),
        // What is allowed to the server's own users is not to others.
        ("10.9.0.1:1", [None, Some(403), Some(403)]),
        (PEER, [None, None, Some(403)]),
        (OTHER_PEER, [None, None, None]),
    ] {
        let codes = [&ours, &acme, &beta].map(|client| client.try_permit(&[peer]).code());
        assert_eq!(codes, expected, "{peer}");
    }
    acme.bind(CHANNEL, lan);
    acme.channel_data(CHANNEL, b"x").assert_reaches(lan, b"x");
    // A reload that takes it away ends it, and nothing else.
    let withdrawn = reload(&rig, &[ACME, denied]);
    assert_eq!((withdrawn.permissions, withdrawn.channels, withdrawn.allocations), (1, 1, 0));
    acme.channel_data(CHANNEL, b"x").assert_dropped(crate::DropReason::NoChannel);
    acme.send(PEER, b"x").assert_reaches(PEER, b"x");
    ours.send("10.9.0.1:1", b"x").assert_reaches("10.9.0.1:1", b"x");
}

#[test]
fn a_tenant_s_ports_are_its_own_and_one_that_has_used_them_up_takes_none_of_others() {
    let few = TestTenant { ports: Some((50_002, 50_003)), ..ACME };
    let rig = rig_with(&[few.clone(), BETA], |setup| setup.ports = (50_000, 50_009));
    let client =
        |of: &TestTenant, port: u16| of.client(&rig, udp(&format!("192.0.2.1:{port}")), "alice");
    let answer = client(&few, 1).allocation().even_port(true).send();
    let (first, token) = (answer.relayed(), answer.token());
    assert_eq!(first.port(), 50_002);
    client(&few, 2).allocation().send().assert_error(508);
    // The reserved port is for alice of that tenant alone.
    let redeem = |client: &TestClient| {
        client
            .allocation()
            .attribute(taciturn_stun::AttributeType::RESERVATION_TOKEN, &token)
            .send()
    };
    redeem(&client(&BETA, 3)).assert_error(508);
    redeem(&rig.client("192.0.2.1:4", "alice")).assert_error(508);
    assert_eq!(redeem(&client(&few, 5)).relayed().port(), 50_003);
    let mut others: Vec<_> = (10..18).map(|port| client(&BETA, port).allocate().port()).collect();
    others.sort_unstable();
    assert_eq!(others, [50_000, 50_001, 50_004, 50_005, 50_006, 50_007, 50_008, 50_009]);
    rig.client("192.0.2.1:6", "alice").allocation().send().assert_error(508);
}

#[test]
fn a_realm_of_its_own_is_that_of_the_listener_or_of_the_name_that_is_asked_for() {
    let far = TestTenant { realm: "beta.example", ..BETA };
    let rig = rig(&[ACME, far.clone()]);
    rig.world(|world| {
        let entrance = Entrance { realm: Some("beta.example".into()), server_name: None };
        world.entrances.push((5, entrance));
        let entrance = Entrance { realm: None, server_name: Some("turn.beta.example".into()) };
        world.entrances.push((1, entrance));
    });
    let listener = |number, from: &str| Client { via: Via::Udp(number), ..udp(from) };
    let by_listener = far.client(&rig, listener(5, "192.0.2.1:1"), "alice");
    let challenge = by_listener.allocation().once();
    assert_eq!(challenge.message().realm().unwrap().unwrap(), "beta.example");
    by_listener.allocate();
    far.client(&rig, listener(5, "192.0.2.1:2"), "carol").allocate();
    let by_name = far.client(&rig, rig.tcp_client(1, "").at, "alice");
    by_name.allocate();
    // Elsewhere it is nobody, and nobody else is anybody there.
    let elsewhere = far.client(&rig, udp("192.0.2.1:3"), "alice");
    assert_eq!(elsewhere.allocation().once().message().realm().unwrap().unwrap(), REALM);
    elsewhere.allocation().send().assert_error(401);
    ACME.client(&rig, listener(5, "192.0.2.1:4"), "alice").allocation().send().assert_error(401);
    let other = TestClient::new(rig.clone(), listener(5, "192.0.2.1:5"), "bob", "bob's password");
    other.allocation().send().assert_error(401);
    let tenants = names(&rig.sessions(&far.whose()));
    assert_eq!(tenants.len(), 3);
    assert_eq!(rig.sessions(&Whose::default()).len(), 3);
}

#[test]
fn a_data_connection_is_of_the_same_user_of_the_same_tenant() {
    let allowed = TestTenant { allow: &["10.1.0.0/16"], ..ACME };
    let rig = rig_with(&[allowed.clone(), BETA], |setup| setup.tcp_relay = true);
    let at = |connection| rig.tcp_client(connection, "").at;
    let alice = allowed.client(&rig, at(1), "alice");
    alice.allocate_tcp();
    let attempt = alice.connected("10.1.2.3:80");
    let beta = BETA.client(&rig, at(2), "alice");
    beta.bind_connection(attempt.id).assert_error(441);
    rig.tcp_client(3, "alice").bind_connection(attempt.id).assert_error(441);
    allowed.client(&rig, at(4), "carol").bind_connection(attempt.id).assert_error(441);
    allowed.client(&rig, at(5), "alice").bind_connection(attempt.id).assert_ok();
    beta.refresh(0).assert_error(437);
    beta.allocate_tcp();
    beta.connect("10.1.2.3:80").send().assert_error(403);
}

#[test]
fn an_allocation_moves_with_its_tenant_and_for_nobody_of_another() {
    let limits = TenantLimits { allocations: 1, ..ACME.limits };
    let few = TestTenant { limits, allow: &["10.1.0.0/16"], ..ACME };
    let rig = rig_with(&[few.clone(), BETA], |setup| setup.mobility = true);
    let beside = Rig::beside(&rig);
    let alice = few.client(&rig, udp("192.0.2.1:1"), "alice");
    let (relayed, ticket) = allocate_mobile(&alice);
    alice.permit("10.1.2.3:4000");
    let elsewhere = udp("198.51.100.9:7777");
    resume(&BETA.client(&rig, elsewhere, "alice"), &ticket).assert_error(441);
    let moved = few.client(&beside, elsewhere, "alice");
    resume(&moved, &ticket).assert_ok();
    moved.raw(&moved.request(taciturn_stun::Method::REFRESH).bytes());
    assert_eq!(rig.hand_over_to(&beside), 1);
    moved.send("10.1.2.3:4000", b"x").assert_reaches("10.1.2.3:4000", b"x");
    moved.permit("10.1.2.4:4000");
    beside.peer_sends("10.1.2.3:4000", relayed, b"yz").at(&moved);
    assert_eq!(names(&beside.sessions(&few.whose())).len(), 1);
    few.client(&rig, udp("192.0.2.1:2"), "carol").allocation().send().assert_error(486);
    let relayed =
        |rig: &Rig| rig.shard(|shard| shard.statistics().tenants.iter().next().unwrap().1);
    assert_eq!((relayed(&beside).bytes_to_peers, relayed(&beside).bytes_to_client), (1, 2));
}

#[test]
fn calls_of_a_tenant_that_is_removed_end_unless_the_operator_wants_otherwise() {
    for keep in [false, true] {
        let allowed = TestTenant { allow: &["10.1.0.0/16"], ..ACME };
        let rig = rig_with(&[allowed.clone(), BETA], |setup| {
            setup.keep_removed = keep;
            setup.allow = &["10.9.0.0/16"];
        });
        let acme = allowed.client(&rig, udp("192.0.2.1:1"), "alice");
        let beta = BETA.client(&rig, udp("192.0.2.1:2"), "alice");
        for client in [&acme, &beta] {
            client.allocate();
            client.permit(PEER);
        }
        acme.permit("10.1.2.3:4000");
        rig.events();
        let withdrawn = reload(&rig, &[BETA]);
        assert_eq!((withdrawn.allocations, withdrawn.kept), (usize::from(!keep), keep.into()));
        beta.send(PEER, b"x").assert_reaches(PEER, b"x");
        if keep {
            // It has what every tenant has, and nothing that is allowed to the server's own.
            acme.send(PEER, b"x").assert_reaches(PEER, b"x");
            acme.send("10.1.2.3:4000", b"x").assert_dropped(crate::DropReason::NoPermission);
            acme.try_permit(&["10.1.2.3:4000"]).assert_error(403);
            acme.try_permit(&["10.9.2.3:4000"]).assert_error(403);
            acme.refresh(600).assert_ok();
            assert_eq!(names(&rig.sessions(&allowed.whose())).len(), 1);
        } else {
            let ended = rig.events();
            let reason = EndReason::CredentialRemoved;
            assert!(matches!(ended[..], [Happened::Ended { reason: it, .. }] if it == reason));
        }
        allowed.client(&rig, udp("192.0.2.1:3"), "alice").allocation().send().assert_error(401);
    }
}

#[test]
fn a_user_of_a_tenant_s_rows_has_its_limits_and_goes_on_when_the_row_is_gone() {
    let limits = TenantLimits { allocations: 1, ..BETA.limits };
    let far = TestTenant { realm: "beta.example", limits, ..BETA };
    let rig = rig(std::slice::from_ref(&far));
    rig.world(|world| {
        let entrance = Entrance { realm: Some("beta.example".into()), server_name: None };
        world.entrances.push((5, entrance));
    });
    let with_rows = |secret: &str| {
        let name = far.name.parse().unwrap();
        let secrets = [SharedSecret::new(secret)];
        let rows = TenantRows { name: &name, realm: far.realm, users: &[], secrets: &secrets };
        rig.reload(|settings, rules| {
            settings.keep_removed_rows = true;
            configure(rules, std::slice::from_ref(&far));
            let own = Authenticator::new(REALM, &[], Vec::new(), false);
            let own = own.with_tenants(&[far.credentials()]).with_rows_of_tenants(&[rows]);
            rules.authenticator = Arc::new(own);
        })
    };
    let carol = |at: &str, secret: &str| {
        let username = format!("{}:carol", START + 3600);
        let password = SharedSecret::new(secret).password_for(&username);
        let at = Client { via: Via::Udp(5), ..udp(at) };
        TestClient::in_realm(far.realm, rig.clone(), at, &username, &password)
    };
    with_rows("a first secret");
    let first = carol("192.0.2.1:1", "a first secret");
    first.allocate();
    assert_eq!(names(&rig.sessions(&far.whose())).len(), 1);
    carol("192.0.2.1:2", "a first secret").allocation().send().assert_error(486);
    let withdrawn = with_rows("a second secret");
    assert_eq!((withdrawn.allocations, withdrawn.kept), (0, 1));
    first.refresh(600).assert_ok();
    carol("192.0.2.1:3", "a first secret").allocation().send().assert_error(401);
    first.refresh(0).assert_ok();
    carol("192.0.2.1:4", "a second secret").allocate();
}

#[test]
fn a_secret_that_becomes_a_tenant_s_leaves_running_calls_as_they_are() {
    let rig = Rig::new();
    let before = rig.rest_client("192.0.2.1:1", "carol", 3600);
    before.allocate();
    before.permit(PEER);
    rig.reload(|_, rules| {
        configure(rules, &[ACME]);
        let acme = TenantCredentials {
            secrets: vec![SharedSecret::new(SECRET)],
            users: Vec::new(),
            ..ACME.credentials()
        };
        let none = Authenticator::new(REALM, &[], Vec::new(), false);
        rules.authenticator = Arc::new(none.with_tenants(&[acme]));
    });
    before.refresh(600).assert_ok();
    before.send(PEER, b"x").assert_reaches(PEER, b"x");
    rig.rest_client("192.0.2.1:2", "carol", 3600).allocate();
    let tenants: Vec<_> = rig.sessions(&Whose::default()).into_iter().collect();
    assert_eq!(
        names(&tenants).into_iter().map(|(tenant, _)| tenant).collect::<Vec<_>>(),
        ["default", "acme"]
    );
}

#[test]
fn a_restart_keeps_tenants_apart_with_all_that_they_have_and_have_spent() {
    let packets = Each { in_all: 5, ..Each::default() };
    let rates = Rates { packets, ..Rates::default() };
    let limits = TenantLimits { rates, allocations: 2, ..ACME.limits };
    let acme =
        TestTenant { limits, allow: &["10.1.0.0/16"], ports: Some((50_010, 50_013)), ..ACME };
    let tenants = [acme.clone(), BETA];
    let rig = rig(&tenants);
    let alice = acme.client(&rig, udp("192.0.2.1:1"), "alice");
    let theirs = BETA.client(&rig, udp("192.0.2.1:2"), "alice");
    let ours = rig.client("192.0.2.1:3", "alice");
    for client in [&alice, &theirs, &ours] {
        client.allocate();
        client.permit(PEER);
    }
    alice.permit("10.1.2.3:4000");
    let carol = acme.client(&rig, udp("192.0.2.1:4"), "carol");
    let token = carol.allocation().even_port(true).send().token();
    for _ in 0..5 {
        alice.send(PEER, b"x").assert_reaches(PEER, b"x");
    }
    let configured = |_: &mut Settings, rules: &mut Rules| configure(rules, &tenants);
    let passed = Duration::from_millis(400);
    let how = Restart { passed, rules: &configured, ..Restart::default() };
    let (next, restored) = how.of_one(&rig);
    assert_eq!(restored.allocations, 4);
    let [alice, theirs, ours, carol] = [&alice, &theirs, &ours, &carol].map(|c| c.of(&next));
    let tenants = names(&next.sessions(&Whose { user: Some("alice".into()), ..Whose::default() }));
    let mut tenants: Vec<_> = tenants.into_iter().map(|(tenant, _)| tenant).collect();
    tenants.sort();
    assert_eq!(tenants, ["acme", "beta", "default"]);
    // Two of five are whole again.
    for expected in [true, true, false] {
        let sent = alice.send("10.1.2.3:4000", b"x");
        match expected {
            true => sent.assert_reaches("10.1.2.3:4000", b"x"),
            false => sent.assert_dropped(crate::DropReason::TenantRate),
        }
    }
    theirs.send(PEER, b"x").assert_reaches(PEER, b"x");
    ours.send(PEER, b"x").assert_reaches(PEER, b"x");
    ours.try_permit(&["10.1.2.3:4000"]).assert_error(403);
    alice.permit("10.1.2.4:4000");
    acme.client(&next, udp("192.0.2.1:9"), "dave").allocation().send().assert_error(486);
    carol.refresh(0).assert_ok();
    let redeem = |client: TestClient| {
        let kind = taciturn_stun::AttributeType::RESERVATION_TOKEN;
        client.allocation().attribute(kind, &token).send()
    };
    let same_name = next.rest_client("192.0.2.1:5", "carol", 3600);
    redeem(same_name).assert_error(508);
    redeem(acme.client(&next, udp("192.0.2.1:6"), "carol")).assert_ok();
}
