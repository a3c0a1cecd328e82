//! The places of users, and what they have spent.

use std::time::Duration;

use proptest::prelude::*;

use super::super::meter::Direction;
use super::super::rates::{Each, RateLimits, Rates};
use super::*;

const NOW: Tick = Tick(1000);

fn id(name: &str) -> UserId {
    UserId::of_tests(name)
}

#[test]
fn a_name_in_two_realms_is_two_users() {
    let quota = Arc::new(Quota::new(1, 0));
    let elsewhere = UserId::new(&"example.net".into(), "alice");
    let here = quota.take(&id("alice"), NOW).unwrap();
    let there = quota.take(&elsewhere, NOW).unwrap();
    assert!(here.is_first() && there.is_first());
    assert_eq!(quota.users(), 2);
    assert_eq!(quota.take(&elsewhere, NOW).unwrap_err(), QuotaError::User);
    drop(there);
    assert!(quota.take(&id("alice"), NOW).is_err() && quota.take(&elsewhere, NOW).is_ok());
}

#[test]
fn a_user_is_stopped_at_the_limit_and_others_are_not() {
    let quota = Arc::new(Quota::new(2, 0));
    let first = quota.take(&id("alice"), NOW).unwrap();
    let second = quota.take(&id("alice"), NOW).unwrap();
    assert!(first.is_first() && !second.is_first());
    assert_eq!(quota.take(&id("alice"), NOW).unwrap_err(), QuotaError::User);
    assert!(quota.take(&id("bob"), NOW).is_ok());
    drop(first);
    assert!(quota.take(&id("alice"), NOW).is_ok());
}

#[test]
fn the_limit_in_all_holds_over_users() {
    let quota = Arc::new(Quota::new(2, 3));
    let held = ["alice", "alice", "bob"].map(|user| quota.take(&id(user), NOW).unwrap());
    assert_eq!(quota.take(&id("alice"), NOW).unwrap_err(), QuotaError::User);
    assert_eq!(quota.take(&id("bob"), NOW).unwrap_err(), QuotaError::All);
    assert_eq!(quota.take(&id("carol"), NOW).unwrap_err(), QuotaError::All);
    assert_eq!(quota.users(), 2);
    drop(held);
    assert!(quota.take(&id("carol"), NOW).is_ok());
}

#[test]
fn other_limits_end_nothing_and_hold_for_the_next() {
    let quota = Arc::new(Quota::new(2, 0));
    let held = [quota.take(&id("alice"), NOW).unwrap(), quota.take(&id("alice"), NOW).unwrap()];
    quota.set_limits(1, 0);
    assert_eq!(quota.users(), 1);
    assert!(quota.take(&id("alice"), NOW).is_err());
    quota.set_limits(3, 2);
    assert_eq!(quota.take(&id("alice"), NOW).unwrap_err(), QuotaError::All);
    quota.set_limits(3, 3);
    assert!(quota.take(&id("alice"), NOW).is_ok());
    drop(held);
    assert_eq!(quota.users(), 0);
}

#[test]
fn users_without_allocations_take_no_memory() {
    let quota = Arc::new(Quota::new(2, 0));
    for n in 0..1000 {
        drop(quota.take(&id(&format!("user{n}")), NOW));
    }
    assert_eq!(quota.users(), 0);
    assert!(quota.lock().users.is_empty() && quota.lock().remembered.is_empty());
}

/// Spends a second's worth for `user`; returns how many packets that are.
fn spend(quota: &Arc<Quota>, user: &str, now: Tick) -> usize {
    let packets = Each { user: 5, ..Each::default() };
    let limits = RateLimits::new(Rates { packets, ..Rates::default() });
    let ticket = quota.take(&id(user), now).unwrap();
    let direction = Direction::ToPeers;
    let own = Meter::default();
    (0..99).filter(|_| limits.packet(now, direction, 1, &own, ticket.meter()).is_ok()).count()
}

#[test]
fn who_comes_anew_has_not_more_to_spend() {
    let quota = Arc::new(Quota::new(2, 0));
    assert_eq!(spend(&quota, "alice", NOW), 5);
    for _ in 0..3 {
        assert_eq!(spend(&quota, "alice", NOW), 0);
    }
    assert_eq!((quota.users(), quota.lock().remembered.len()), (0, 1));
    assert_eq!(spend(&quota, "bob", NOW), 5);
    let later = Tick(NOW.0 + 1000);
    let carol = quota.take(&id("carol"), later).unwrap();
    assert_eq!(quota.lock().users.len(), 1, "the others are forgotten");
    drop(carol);
    assert_eq!(spend(&quota, "alice", later), 5);
}

#[test]
fn the_memory_for_users_that_left_is_bounded() {
    let quota = Arc::new(Quota::new(2, 0));
    for n in 0..3 * REMEMBERED {
        assert_eq!(spend(&quota, &format!("user{n}"), NOW), 5);
    }
    let held = quota.lock();
    assert_eq!((held.users.len(), held.remembered.len()), (REMEMBERED, REMEMBERED));
}

#[test]
fn what_is_restored_is_never_refused_and_counts_for_what_begins() {
    let quota = Arc::new(Quota::new(1, 2));
    let held: Vec<_> = (0..3).map(|_| quota.restore(&id("alice"))).collect();
    assert_eq!(held.iter().map(QuotaTicket::is_first).collect::<Vec<_>>(), [true, false, false]);
    assert_eq!(quota.users(), 1);
    assert_eq!(quota.take(&id("alice"), NOW).unwrap_err(), QuotaError::User);
    assert_eq!(quota.take(&id("bob"), NOW).unwrap_err(), QuotaError::All);
    drop(held);
    assert!(quota.take(&id("alice"), NOW).is_ok());
    assert_eq!(quota.users(), 0);
}

#[test]
fn who_has_left_is_remembered_by_another_process_for_as_long_as_it_matters() {
    let quota = Arc::new(Quota::new(9, 0));
    spend(&quota, "gone", NOW);
    let later = Tick(NOW.0 + 400);
    spend(&quota, "alice", later);
    let alice = quota.restore(&id("alice"));
    let spent = quota.spent(later);
    let users: Vec<_> = spent.iter().map(|of| of.user.name()).collect();
    assert_eq!(users, ["alice", "gone"]);
    drop(alice);
    let there = TakeOver { now: Tick(3), passed: Duration::from_millis(700) };
    let other = Arc::new(Quota::new(9, 0));
    other.restore_spent(&spent, &there);
    // What "gone" has spent is whole again by now.
    assert_eq!(other.lock().remembered, [id("alice")]);
    assert_eq!((spend(&other, "alice", there.now), spend(&other, "gone", there.now)), (4, 5));
}

#[test]
fn no_other_process_makes_the_memory_for_users_that_left_grow() {
    let spent = Spent {
        whole_in: [crate::clock::Remaining(Duration::from_secs(9)); 6],
        ..Spent::default()
    };
    let of = |n| SpentByUser { user: id(&format!("user{n}")), spent };
    let spent: Vec<_> = (0..2 * REMEMBERED).map(of).collect();
    let quota = Arc::new(Quota::new(2, 0));
    quota.restore_spent(&spent, &TakeOver { now: NOW, passed: Duration::ZERO });
    let held = quota.lock();
    assert_eq!((held.users.len(), held.remembered.len()), (REMEMBERED, REMEMBERED));
}

/// Two servers of a fleet that tell each other all.
struct Fleet([Arc<Quota>; 2]);

impl Fleet {
    fn new(per_user: u32) -> Self {
        let quota = || {
            let quota = Arc::new(Quota::new(per_user, 0));
            quota.share(Some(&[7; 32]));
            quota
        };
        Self([quota(), quota()])
    }

    /// What has changed on each is told to the other.
    fn tell(&self, now: Tick) {
        let Self([one, other]) = self;
        for (from, to) in [(one, other), (other, one)] {
            to.hear("other", false, from.changed(), now);
        }
    }
}

#[test]
fn what_a_user_holds_elsewhere_counts_once_it_is_told() {
    let fleet = Fleet::new(3);
    let [here, there] = &fleet.0;
    let mut held: Vec<_> = (0..2).map(|_| there.take(&id("alice"), NOW).unwrap()).collect();
    fleet.tell(NOW);
    held.push(here.take(&id("alice"), NOW).unwrap());
    assert_eq!(here.take(&id("alice"), NOW).unwrap_err(), QuotaError::UserElsewhere);
    assert!(here.take(&id("bob"), NOW).is_ok(), "others are not concerned");
    // The other server has not heard of the third yet.
    held.push(there.take(&id("alice"), NOW).unwrap());
    fleet.tell(NOW);
    for quota in &fleet.0 {
        assert!(quota.take(&id("alice"), NOW).is_err(), "nothing further");
    }
    assert_eq!((here.refused_elsewhere(), there.refused_elsewhere()), (2, 0));
    held.clear();
    assert!(here.take(&id("alice"), NOW).is_err(), "not told yet");
    fleet.tell(NOW);
    assert!(here.take(&id("alice"), NOW).is_ok());
}

#[test]
fn what_a_dead_server_has_told_ends_by_itself() {
    let fleet = Fleet::new(1);
    let [here, there] = &fleet.0;
    let _held = there.take(&id("alice"), NOW).unwrap();
    fleet.tell(NOW);
    let at = |seconds: u64| Tick(NOW.0 + 1000 * seconds);
    here.forget_elsewhere(at(29));
    assert_eq!(here.take(&id("alice"), at(29)).unwrap_err(), QuotaError::UserElsewhere);
    assert!(here.take(&id("alice"), at(30)).is_ok());
    here.hear("other", false, there.counted(), at(31));
    assert!(here.take(&id("alice"), at(32)).is_err(), "it lives");
    here.hear("other", true, [], at(33));
    assert!(here.take(&id("alice"), at(33)).is_ok(), "it has begun anew");
}

#[test]
fn without_a_fleet_nothing_is_noted_and_nothing_told_is_heard() {
    let quota = Arc::new(Quota::new(1, 0));
    assert!(!quota.is_shared() && Fleet::new(1).0[0].is_shared());
    let mut context = Context::from_waker(std::task::Waker::noop());
    let held = quota.take(&id("alice"), NOW).unwrap();
    assert!(quota.poll_changed(&mut context).is_pending());
    assert!(quota.changed().is_empty() && quota.counted().is_empty());
    drop(held);
    quota.share(Some(&[7; 32]));
    assert!(quota.poll_changed(&mut context).is_pending(), "that was before");
    let other = Fleet::new(1);
    let _held = other.0[0].take(&id("alice"), NOW).unwrap();
    let told = other.0[0].counted();
    quota.hear("other", false, told.clone(), NOW);
    assert!(quota.take(&id("alice"), NOW).is_err());
    quota.share(None);
    quota.hear("other", false, told, NOW);
    assert!(quota.take(&id("alice"), NOW).is_ok());
    assert!(quota.changed().is_empty());
}

#[test]
fn who_tells_the_others_is_woken_by_each_change() {
    struct Woken(std::sync::atomic::AtomicUsize);
    impl std::task::Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let woken = Arc::new(Woken(Default::default()));
    let waker = Arc::clone(&woken).into();
    let mut context = Context::from_waker(&waker);
    let Fleet([quota, _]) = Fleet::new(9);
    assert!(quota.poll_changed(&mut context).is_pending());
    let held = [quota.take(&id("alice"), NOW).unwrap(), quota.restore(&id("bob"))];
    assert_eq!(woken.0.load(Ordering::Relaxed), 1, "once is enough");
    assert!(quota.poll_changed(&mut context).is_ready());
    let mut told: Vec<_> = quota.changed().into_iter().map(|(_, count)| count).collect();
    told.sort_unstable();
    assert_eq!(told, [1, 1]);
    assert!(quota.poll_changed(&mut context).is_pending());
    drop(held);
    assert_eq!(woken.0.load(Ordering::Relaxed), 2);
    // Who is gone is told of as well.
    assert_eq!(quota.changed().iter().map(|(_, count)| count).sum::<u32>(), 0);
    assert!(quota.counted().is_empty());
}

/// What a user does: takes a place, gives one up, spends a packet.
fn act(
    quota: &Arc<Quota>,
    held: &mut Vec<QuotaTicket>,
    limits: &RateLimits,
    (what, who): (u8, u8),
    now: Tick,
) -> Option<bool> {
    let user = id(["alice", "bob", "carol"][usize::from(who % 3)]);
    match what % 3 {
        0 => {
            let taken = quota.take(&user, now);
            let answer = taken.is_ok();
            held.extend(taken);
            Some(answer)
        }
        1 => {
            let at = held.iter().position(|ticket| *ticket.user() == user)?;
            drop(held.remove(at));
            None
        }
        _ => {
            let ticket = held.iter().find(|ticket| *ticket.user() == user)?;
            let (own, direction) = (Meter::default(), Direction::ToClient);
            Some(limits.packet(now, direction, 1, &own, ticket.meter()).is_ok())
        }
    }
}

proptest! {
    #[test]
    fn another_process_answers_as_this_one_would_have(
        before in prop::collection::vec((any::<u8>(), any::<u8>(), 0..300_u64), 0..40),
        after in prop::collection::vec((any::<u8>(), any::<u8>(), 0..300_u64), 0..40),
        passed in 0..3000_u64,
    ) {
        let packets = Each { user: 3, ..Each::default() };
        let limits = RateLimits::new(Rates { packets, ..Rates::default() });
        let quota = Arc::new(Quota::new(3, 6));
        let (mut held, mut now) = (Vec::new(), NOW);
        for (what, who, wait) in before {
            now = Tick(now.0 + wait);
            act(&quota, &mut held, &limits, (what, who), now);
        }
        let there = TakeOver { now: Tick(50), passed: Duration::from_millis(passed) };
        let other = Arc::new(Quota::new(3, 6));
        let spent = quota.spent(now);
        // In either order.
        let first = (passed % 2 == 0).then(|| other.restore_spent(&spent, &there));
        let mut restored: Vec<_> = held.iter().map(|ticket| other.restore(ticket.user())).collect();
        if first.is_none() {
            other.restore_spent(&spent, &there);
        }
        prop_assert_eq!(quota.users(), other.users());
        let (mut here, mut there) = (Tick(now.0 + passed), there.now);
        for (what, who, wait) in after {
            (here, there) = (Tick(here.0 + wait), Tick(there.0 + wait));
            let old = act(&quota, &mut held, &limits, (what, who), here);
            let new = act(&other, &mut restored, &limits, (what, who), there);
            prop_assert_eq!(old, new);
        }
    }
}
