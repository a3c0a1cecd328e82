//! Users and secrets that are removed while their allocations run.

use std::sync::Arc;

use zeroize::Zeroizing;

use super::reload::credentials;
use super::rig::{REALM, SECRET};
use super::tcp_allocations::rig as tcp_rig;
use super::*;
use crate::auth::{Authenticator, SharedSecret, StaticKey, StaticUser, long_term_key};
use crate::{EndReason, Withdrawn};

const ALICE: (&str, &str) = ("alice", "alice's password");
const BOB: (&str, &str) = ("bob", "bob's password");

/// The same rules with other users and secrets. Returns how many allocations ended and how many were
/// kept.
fn reload(rig: &Rig, users: &[(&str, &str)], secrets: &[&str]) -> (usize, usize) {
    let withdrawn = rig.reload(|_, rules| rules.authenticator = credentials(users, secrets));
    let Withdrawn { allocations, kept, .. } = withdrawn;
    (allocations, kept)
}

fn with_secret(rig: &Rig, from: &str, secret: &str) -> TestClient {
    let username = format!("{}:carol", rig::START + 3600);
    let password = SharedSecret::new(secret).password_for(&username);
    TestClient::new(rig.clone(), rig.client(from, "").at, &username, &password)
}

#[test]
fn the_allocations_of_a_user_that_is_removed_end_at_once_and_no_others() {
    let rig = Rig::new();
    let (alice, bob) = (rig.alice(), rig.bob());
    let relayed = alice.allocate();
    alice.bind(CHANNEL, PEER);
    bob.allocate();
    bob.permit(PEER);
    rig.events();
    assert_eq!(reload(&rig, &[BOB], &[SECRET]), (1, 0));
    let ended = rig.events();
    let [Happened::Ended { username, reason, .. }] = &ended[..] else { panic!("{ended:?}") };
    assert_eq!((username.as_str(), *reason), ("alice", EndReason::CredentialRemoved));
    assert_eq!(rig.peer_sends(PEER, relayed, b"x"), Outcome::NobodyListens);
    alice.refresh(600).assert_error(401);
    alice.allocation().send().assert_error(401);
    bob.refresh(600).assert_ok();
    bob.send(PEER, b"x").assert_reaches(PEER, b"x");
    bob.refresh(0).assert_ok();
    rig.assert_empty();
}

#[test]
fn a_user_with_another_password_begins_anew() {
    let rig = Rig::new();
    rig.alice().allocate();
    assert_eq!(reload(&rig, &[("alice", "another password"), BOB], &[SECRET]), (1, 0));
    rig.assert_empty();
    let at = rig.alice().at;
    TestClient::new(rig.clone(), at, "alice", "another password").allocate();
}

#[test]
fn a_secret_is_rotated_without_a_gap_and_what_the_old_one_made_ends_with_it() {
    let rig = Rig::new();
    let old = with_secret(&rig, "192.0.2.1:1", SECRET);
    old.allocate();
    assert_eq!(reload(&rig, &[], &[SECRET, "another secret"]), (0, 0));
    with_secret(&rig, "192.0.2.1:2", SECRET).allocate();
    let new = with_secret(&rig, "192.0.2.1:3", "another secret");
    new.allocate();
    assert_eq!(reload(&rig, &[], &["another secret", SECRET]), (0, 0), "the order is nothing");
    assert_eq!(reload(&rig, &[], &["another secret"]), (2, 0));
    old.refresh(600).assert_error(401);
    with_secret(&rig, "192.0.2.1:4", SECRET).allocation().send().assert_error(401);
    with_secret(&rig, "192.0.2.1:5", "another secret").allocate();
    new.refresh(600).assert_ok();
    assert_eq!(rig.shard(|shard| shard.len()), 2);
}

#[test]
fn where_the_operator_keeps_them_they_go_on_and_are_counted_each_time() {
    let rig = Rig::with(|setup| setup.keep_removed = true);
    let alice = rig.alice();
    alice.allocate();
    assert_eq!(reload(&rig, &[BOB], &[]), (0, 1));
    // RFC 8656 section 5: the key that it was made with stays good.
    alice.refresh(600).assert_ok();
    alice.permit(PEER);
    alice.send(PEER, b"x").assert_reaches(PEER, b"x");
    rig.client("192.0.2.1:1009", "alice").allocation().send().assert_error(401);
    assert_eq!(reload(&rig, &[BOB], &[]), (0, 1));
    let withdrawn = rig.reload(|settings, _| settings.keep_removed = false);
    assert_eq!(withdrawn, Withdrawn { allocations: 1, ..Withdrawn::default() });
    rig.assert_empty();
}

#[test]
fn what_a_secret_of_a_database_has_made_goes_on_when_it_is_rotated_unless_the_operator_ends_it() {
    let rig = Rig::new();
    let with_row = |secret: &str| {
        let secrets = [SharedSecret::new(secret)];
        let authenticator = Authenticator::new(REALM, &[], Vec::new(), false);
        Arc::new(authenticator.with_rows(&[], &secrets))
    };
    let (first, second) = (with_row("a first secret"), with_row("a second secret"));
    let reload = |authenticator: &Arc<Authenticator>, keep: bool| {
        let withdrawn = rig.reload(|settings, rules| {
            settings.keep_removed_rows = keep;
            rules.authenticator = Arc::clone(authenticator);
        });
        (withdrawn.allocations, withdrawn.kept)
    };
    reload(&first, true);
    let old = with_secret(&rig, "192.0.2.1:1", "a first secret");
    old.allocate();
    assert_eq!(reload(&second, true), (0, 1));
    old.refresh(600).assert_ok();
    with_secret(&rig, "192.0.2.1:2", "a first secret").allocation().send().assert_error(401);
    with_secret(&rig, "192.0.2.1:3", "a second secret").allocate();
    // A secret that moves into the configuration is the same one.
    assert_eq!(reload(&credentials(&[], &["a first secret", "a second secret"]), false), (0, 0));
    assert_eq!(reload(&second, false), (1, 0));
    assert_eq!(rig.shard(|shard| shard.len()), 1);
}

#[test]
fn the_same_password_as_a_key_or_in_another_realm_is_the_same_user() {
    let rig = Rig::new();
    let alice = rig.alice();
    alice.allocate();
    let with = |realm: &str, key: StaticKey| {
        let users = [StaticUser { name: "alice".into(), key }];
        let authenticator = Arc::new(Authenticator::new(realm, &users, Vec::new(), false));
        rig.reload(|_, rules| rules.authenticator = authenticator)
    };
    let password = || StaticKey::Password(Zeroizing::new(ALICE.1.into()));
    let key = |password| {
        let key = long_term_key("alice", REALM, password);
        StaticKey::Md5(Zeroizing::new(key.bytes().try_into().unwrap()))
    };
    for same in
        [with("another.example", password()), with(REALM, key(ALICE.1)), with(REALM, password())]
    {
        assert_eq!(same, Withdrawn::default());
    }
    assert_eq!(with(REALM, key("another password")).allocations, 1);
    rig.assert_empty();
}

#[test]
fn a_call_goes_on_when_the_realm_gets_another_name_and_its_client_logs_in_there() {
    const ELSEWHERE: &str = "another.example";
    let rig = Rig::new();
    let mut alice = rig.alice();
    alice.allocate();
    let mut bob = alice.impostor("bob");
    let users = [ALICE, BOB].map(|(name, password)| StaticUser {
        name: name.into(),
        key: StaticKey::Password(Zeroizing::new(password.into())),
    });
    let authenticator = Arc::new(Authenticator::new(ELSEWHERE, &users, Vec::new(), false));
    rig.reload(|_, rules| rules.authenticator = authenticator);
    alice.refresh(600).assert_ok();
    alice.key = long_term_key("alice", ELSEWHERE, ALICE.1);
    alice.refresh(600).assert_ok();
    bob.key = long_term_key("bob", ELSEWHERE, BOB.1);
    bob.refresh(0).assert_error(441);
    alice.refresh(0).assert_ok();
}

#[test]
fn a_connection_ends_its_peers_with_it() {
    let rig = tcp_rig();
    let alice = rig.tcp_client(1, "alice");
    alice.allocate_tcp();
    alice.connected(PEER);
    assert_eq!(reload(&rig, &[BOB], &[]), (1, 0));
    rig.assert_empty();
}
