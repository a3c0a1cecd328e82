//! Another process that goes on in place of rigs: rules of its own, another clock, and the sockets that were
//! handed over.

use std::sync::Arc;
use std::time::Duration;

use zeroize::Zeroizing;

use super::rig::{Rig, configured};
use super::seconds;
use super::setup::Setup;
use super::world::{HandedOver, World};
use crate::auth::NonceKeys;
use crate::clock::{Now, Tick};
use crate::snapshot::{Snapshot, Taken};
use crate::{Client, Restored, Rules, Settings, Shard, ShardNumber, TicketKey};

/// How a restart goes.
pub(super) struct Restart<'a> {
    /// How long it takes.
    pub(super) passed: Duration,
    /// Where the ticks of the new process begin.
    pub(super) begins: Tick,
    /// What is configured otherwise.
    pub(super) setup: &'a dyn Fn(&mut Setup),
    pub(super) rules: &'a dyn Fn(&mut Settings, &mut Rules),
    /// What becomes of the sockets on the way.
    pub(super) sockets: &'a dyn Fn(&mut HandedOver),
    /// How many shards there are then, and which of them a client comes to.
    pub(super) shards: u16,
    pub(super) place: &'a dyn Fn(ShardNumber, Client) -> Option<(ShardNumber, Client)>,
    /// Which clients go to the new process.
    pub(super) goes: &'a dyn Fn(&Client) -> bool,
}

impl Default for Restart<'_> {
    fn default() -> Self {
        Self {
            passed: seconds(2),
            begins: Tick(77_000_000),
            setup: &|_| {},
            rules: &|_, _| {},
            sockets: &|_| {},
            shards: 1,
            place: &|_, client| Some((ShardNumber(0), client)),
            goes: &|_| true,
        }
    }
}

/// A moment on the clock that both processes have.
pub(super) const BOOT: Duration = Duration::from_millis(1_234_567);

/// What these shards of one server hold.
pub(super) fn snapshot(rigs: &[&Rig], goes: &dyn Fn(&Client) -> bool) -> Snapshot {
    let Now { tick, .. } = rigs[0].now();
    let shared = rigs[0].shard(|shard| shard.parts.rules.snapshot(tick));
    let of = |rig: &&Rig| rig.shard(|shard| shard.snapshot(tick, goes));
    Snapshot::new(Taken { tick, boot: BOOT }, shared, rigs.iter().map(of).collect())
}

impl Restart<'_> {
    /// Restarts a server of one shard.
    pub(super) fn of_one(&self, rig: &Rig) -> (Rig, Restored) {
        let (mut rigs, restored) = self.of(&[rig]);
        (rigs.remove(0), restored)
    }

    /// Restarts a server of these shards.
    pub(super) fn of(&self, rigs: &[&Rig]) -> (Vec<Rig>, Restored) {
        self.from(rigs, snapshot(rigs, self.goes))
    }

    /// Restarts a server of these shards, whose snapshot is at hand.
    pub(super) fn from(&self, rigs: &[&Rig], snapshot: Snapshot) -> (Vec<Rig>, Restored) {
        let written = snapshot.write().expect("it can be written");
        let snapshot = Snapshot::read(&written).expect("it can be read");
        let mut handed_over = HandedOver::default();
        for rig in rigs {
            handed_over.add(rig.world(|world| world.hand_over()));
        }
        (self.sockets)(&mut handed_over);

        let mut setup = Setup::default();
        (self.setup)(&mut setup);
        let (mut settings, mut rules) = configured(setup);
        rules.nonces = Arc::new(NonceKeys::new(seconds(3600), [[9; 32], [8; 32]], self.begins));
        rules.tickets = Arc::new(TicketKey::new(Zeroizing::new([7; 32])));
        (self.rules)(&mut settings, &mut rules);

        let (draining, retired) = (snapshot.is_draining(), snapshot.retired_listeners());
        let there = snapshot.taken().take_over(self.begins, BOOT + self.passed);
        let since = rigs[0].since_second() + self.passed;
        let now = Now { tick: self.begins, unix: rigs[0].now().unix + since.as_secs() };
        let since = Duration::from_nanos(since.subsec_nanos().into());
        let (shared, shares) = snapshot.divide(self.shards, self.place);
        rules.restore(shared, &there);
        let (mut restored, mut restarted) = (Restored::default(), Vec::new());
        for (number, share) in (0..self.shards).map(ShardNumber).zip(shares) {
            let shard = Shard::numbered(number, settings.clone(), rules.clone());
            let world = World { handed_over: handed_over.clone(), ..World::default() };
            let rig = Rig::of(shard, world, now, since);
            rig.drain(draining);
            retired.iter().for_each(|(_, listener)| rig.retire_listener(*listener, true));
            let one = rig.with_shard(|shard, now, world| shard.restore(now, share, &there, world));
            restored.add(&one);
            restarted.push(rig);
        }
        (restarted, restored)
    }
}
