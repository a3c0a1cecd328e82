//! What the end of a REST credential means for a call.

use super::*;
use crate::EndReason;
use crate::auth::Denied;
use taciturn_stun::Method;

//= 8656-5-long-term
#[test]
fn static_users_and_shared_secrets_serve_at_once() {
    let rig = Rig::new();
    rig.alice().allocate();
    rig.rest_client("192.0.2.3:1003", "@carol:domain.org", 60).allocate();
    assert_eq!(rig.shard(|shard| shard.len()), 2);
}

//= 8656-6-no-password
#[test]
fn a_running_call_outlives_its_credential() {
    let rig = Rig::new();
    let carol = rig.rest_client("192.0.2.3:1003", "carol", 700);
    assert_eq!(carol.allocation().lifetime(3600).send().lifetime(), 3600);
    for _ in 0..4 {
        rig.advance(seconds(3000));
        assert_eq!(carol.refresh(3600).lifetime(), 3600);
        carol.permit(PEER);
        carol.bind(CHANNEL, OTHER_PEER);
        carol.send(PEER, b"still here").assert_reaches(PEER, b"still here");
    }
    assert_eq!(carol.refresh(0).lifetime(), 0);
    rig.assert_empty();
}

/// By the number of those that are made with SHA-1 an operator sees when it can be turned off.
#[test]
fn credentials_of_secrets_are_counted_by_their_hash() {
    let rig = Rig::new();
    rig.alice().allocate();
    let carol = rig.rest_client("192.0.2.3:1003", "carol", 700);
    carol.allocate();
    carol.permit(PEER);
    carol.refresh(600);
    assert_eq!(rig.shard(|shard| shard.statistics().secrets), [1, 0, 0]);
}

#[test]
fn a_new_allocation_needs_a_credential_that_lives() {
    let rig = Rig::new();
    let carol = rig.rest_client("192.0.2.3:1003", "carol", 60);
    rig.advance(seconds(61));
    carol.allocation().send().assert_error(401);
    let expired = Denied::Expired { seconds: 1 };
    let username = carol.user.clone();
    assert_eq!(rig.events(), [Happened::AuthenticationFailed { username, reason: expired }]);
    rig.assert_empty();
}

#[test]
fn strict_expiry_grants_no_lifetime_beyond_the_credential() {
    let rig = Rig::with(|setup| setup.strict_expiry = true);
    let carol = rig.rest_client("192.0.2.3:1003", "carol", 700);
    assert_eq!(carol.allocation().lifetime(3600).send().lifetime(), 700);
    rig.advance(seconds(500));
    assert_eq!(carol.refresh(600).lifetime(), 200);
    rig.events();
    rig.advance(seconds(200));
    rig.assert_empty();
    let ended = rig.events();
    let [Happened::Ended { reason, .. }] = &ended[..] else { panic!("{ended:?}") };
    assert_eq!(*reason, EndReason::CredentialExpired);
}

#[test]
fn strict_expiry_cannot_be_put_off_by_refreshing_all_the_time() {
    let rig = Rig::with(|setup| setup.strict_expiry = true);
    let carol = rig.rest_client("192.0.2.3:1003", "carol", 60);
    assert_eq!(carol.allocate().port() / 100, 500);
    rig.advance(seconds(59));
    for _ in 0..20 {
        rig.advance(Duration::from_millis(500));
        let request = carol.request(Method::REFRESH).lifetime(3600);
        if request.send().code().is_some() {
            break;
        }
    }
    rig.advance(seconds(1));
    rig.assert_empty();
    assert!(rig.now().unix <= rig::START + 63);
}

#[test]
fn strict_expiry_leaves_static_users_alone() {
    let rig = Rig::with(|setup| setup.strict_expiry = true);
    let alice = rig.alice();
    assert_eq!(alice.allocation().lifetime(3600).send().lifetime(), 3600);
    rig.advance(seconds(3000));
    assert_eq!(alice.refresh(3600).lifetime(), 3600);
}

//= 8656-5-wrong-credentials
#[test]
fn a_newer_credential_of_the_same_person_cannot_take_over_an_allocation() {
    // Section 5: the same username and password for all requests of an allocation.
    let rig = Rig::new();
    let first = rig.rest_client("192.0.2.3:1003", "carol", 100);
    first.allocate();
    let second = rig.rest_client("192.0.2.3:1003", "carol", 200);
    second.refresh(600).assert_error(441);
    first.refresh(600).assert_ok();
}
