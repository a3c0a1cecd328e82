//! Ports that a tenant has for itself.

use std::sync::Arc;

use super::super::{LeaseError, PORT_QUARANTINE, PortLease, PortPool, PortRange, Wish};
use crate::clock::Tick;
use crate::tenant::TenantName;
use crate::user::UserId;
use taciturn_stun::Family;

const NOW: Tick = Tick(1_000_000);
const V4: Family = Family::V4;

fn named(name: &str) -> TenantName {
    name.parse().unwrap()
}

fn share(name: &str, first: u16, last: u16) -> (TenantName, PortRange) {
    (named(name), PortRange::new(first, last).unwrap())
}

/// The ports that a tenant gets until there is none.
fn all_for(pool: &Arc<PortPool>, tenant: &str) -> (Vec<u16>, Vec<PortLease>) {
    let lease = |n| pool.lease_for(&named(tenant), V4, Wish::Any, 0, n, NOW);
    let leases: Vec<_> = (0..).map_while(|n| lease(n * 7).ok()).collect();
    let mut ports: Vec<_> = leases.iter().map(PortLease::port).collect();
    ports.sort_unstable();
    (ports, leases)
}

#[test]
fn a_tenant_with_ports_of_its_own_gets_those_and_nobody_else_does() {
    let pool = Arc::new(PortPool::new(PortRange::new(50_000, 50_019).unwrap(), PORT_QUARANTINE));
    pool.set_shares(&[share("acme", 50_004, 50_007), share("beta", 50_016, 50_019)]);
    let (acme, held) = all_for(&pool, "acme");
    assert_eq!(acme, (50_004..=50_007).collect::<Vec<_>>());
    let common: Vec<_> = (50_000..=50_003).chain(50_008..=50_015).collect();
    let (others, held_too) = all_for(&pool, "gamma");
    assert_eq!(others, common, "one without is like the default one");
    assert!(all_for(&pool, "default").0.is_empty());
    assert_eq!(all_for(&pool, "beta").0.len(), 4, "whatever others hold");
    assert_eq!(pool.shares(V4), [(named("acme"), 4, 4), (named("beta"), 4, 0)]);
    assert_eq!((pool.used(V4), pool.size(V4, &named("acme"))), (16, 4));
    assert_eq!(pool.size(V4, &named("gamma")), 12);
    drop((held, held_too));
    assert_eq!(pool.used(V4), 0);
    assert_eq!(pool.used(Family::V6), 0);
    assert_eq!(all_for(&pool, "default").0, common, "given back to those whose they are");
}

#[test]
fn pairs_and_reservations_stay_within_the_ports_of_a_tenant() {
    let pool = Arc::new(PortPool::new(PortRange::new(50_000, 50_009).unwrap(), PORT_QUARANTINE));
    pool.set_shares(&[share("acme", 50_002, 50_004)]);
    let acme = named("acme");
    let pair = |n| pool.lease_for(&acme, V4, Wish::EvenAndNext, 0, n, NOW);
    let lease = pair(3).unwrap();
    assert_eq!(lease.port(), 50_002);
    let user = UserId::of_tests("alice").of_tenant(&acme);
    pool.reserve_next(&lease, [1; 8], &user, NOW).unwrap();
    assert!(pair(0).is_err(), "50005 is for others");
    let even = pool.lease_for(&acme, V4, Wish::Even, 0, 0, NOW).unwrap();
    assert_eq!(even.port(), 50_004);
    let next = pool.reserve_next(&even, [2; 8], &user, NOW);
    assert_eq!(next.unwrap_err(), LeaseError::Exhausted);
    // The same name in another tenant, or in none, is nobody who may have it.
    for other in [UserId::of_tests("alice"), user.clone().of_tenant(&named("beta"))] {
        assert_eq!(pool.redeem([1; 8], &other, NOW).unwrap_err(), LeaseError::UnknownToken);
    }
    assert_eq!(pool.redeem([1; 8], &user, NOW).unwrap().port(), 50_003);
}

#[test]
fn other_shares_take_what_is_free_at_once_and_the_rest_when_it_is_given_back() {
    let pool = Arc::new(PortPool::new(PortRange::new(50_000, 50_009).unwrap(), PORT_QUARANTINE));
    let used = pool.claim(V4, 50_005, NOW).unwrap();
    pool.claim(V4, 50_006, NOW).unwrap().retire(NOW);
    pool.set_shares(&[share("acme", 50_004, 50_007)]);
    assert_eq!(pool.shares(V4), [(named("acme"), 4, 1)], "one is in use still");
    let (acme, held) = all_for(&pool, "acme");
    assert_eq!(acme, [50_004, 50_006, 50_007]);
    assert_eq!(held[2].port(), 50_006, "the one that has to rest comes last");
    drop((held, used));
    assert_eq!(all_for(&pool, "acme").0.len(), 4);
    pool.set_shares(&[share("acme", 50_008, 50_030), share("beta", 40_000, 40_100)]);
    assert_eq!(all_for(&pool, "acme").0, [50_008, 50_009], "those that there are");
    assert_eq!(all_for(&pool, "beta").0.len(), 8, "none for itself");
    pool.set_shares(&[]);
    assert_eq!(all_for(&pool, "acme").0.len(), 10);
}
