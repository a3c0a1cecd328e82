//! Any bytes as what another process hands over.
//!
//! A snapshot ends with a checksum, which no input would hit: the bytes are read as they are, and once more as
//! what stands in a whole envelope.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ring::digest;
use taciturn_handover::Claimed;
use taciturn_net::Carried;
use taciturn_stun::Family;
use taciturn_turn::auth::{Authenticator, NonceKeys};
use taciturn_turn::clock::{Now, Tick};
use taciturn_turn::policy::{
    AnswerLimit, FailureLimit, PORT_QUARANTINE, PeerPolicy, PortPool, PortRange, Quota, RateLimits,
    Rates,
};
use taciturn_turn::recorder::Recorder;
use taciturn_turn::snapshot::{FORMAT, Snapshot};
use taciturn_turn::{
    Client, ConnectionIds, RelayAddress, Restored, Rules, Settings, Shard, ShardNumber, TicketKey,
};
use zeroize::Zeroizing;

/// How many shards what is read is divided among.
const SHARDS: u16 = 2;

/// Reads the bytes, writes and reads again what they say, and restores it.
pub(crate) fn run(bytes: &[u8]) {
    let _ = Snapshot::read(bytes);
    carry(bytes);
    carry(&[&[1, 0][..], &(bytes.len() as u32).to_le_bytes(), bytes].concat());
    let Ok(snapshot) = Snapshot::read(&sealed(bytes)) else { return };
    let written = snapshot.write().expect("what was read is not too long");
    let again = Snapshot::read(&written).expect("what is written is read");
    assert_eq!(again.write().expect("as before")[..], written[..]);
    assert_eq!((again.len(), again.shards()), (snapshot.len(), snapshot.shards()));
    assert_eq!(again.sockets().count(), again.len());
    restore(again);
}

/// Reads the bytes as all that another process has had, without its sockets.
fn carry(bytes: &[u8]) {
    let claimed = Claimed { snapshot: Some(bytes.to_vec().into()), ..Claimed::default() };
    if let Err(error) = Carried::read(claimed) {
        assert!(error.to_string().len() < 400, "{error}");
    }
}

/// The bytes as the body of a snapshot.
fn sealed(body: &[u8]) -> Vec<u8> {
    let mut bytes = b"TACITURN".to_vec();
    bytes.extend(FORMAT.to_le_bytes());
    bytes.extend(*b"\x050.1.0");
    bytes.extend((body.len() as u64).to_le_bytes());
    bytes.extend(body);
    let sum = digest::digest(&digest::SHA256, &bytes);
    bytes.extend(sum.as_ref());
    bytes
}

/// Restores it in shards that have never seen a client; lets all end; and holds that nothing is left.
fn restore(snapshot: Snapshot) {
    let addresses: [IpAddr; 2] = ["203.0.113.7", "2001:db8::7"].map(|ip| ip.parse().unwrap());
    let settings = Settings {
        relay_addresses: addresses.map(|ip| Some(RelayAddress::plain(ip))),
        tcp_relay: true,
        mobility: true,
        keep_removed: true,
        keep_removed_rows: true,
        ..Settings::default()
    };
    let mut rules = rules(addresses);
    let (all, unix) = (snapshot.len(), 1_700_000_000);
    let there = snapshot.taken().take_over(Tick(1_000), snapshot.taken().boot);
    let place = |_, client: Client| Some((ShardNumber(client.remote.0.port() % SHARDS), client));
    let (shared, shares) = snapshot.divide(SHARDS, place);
    assert_eq!(shares.iter().map(|share| share.len()).sum::<usize>(), all);
    rules.restore(shared, &there);

    let (mut restored, mut world) = (Restored::default(), Recorder::default());
    let mut now = Now { tick: there.now, unix };
    let mut shards: Vec<_> = (0..SHARDS)
        .map(ShardNumber)
        .zip(shares)
        .map(|(number, share)| {
            let mut shard = Shard::numbered(number, settings.clone(), rules.clone());
            restored.add(&shard.restore(now, share, &there, &mut world));
            shard
        })
        .collect();
    assert_eq!(restored.allocations + restored.left_out.iter().sum::<usize>(), all);
    let live: usize = shards.iter().map(Shard::len).sum();
    assert_eq!(live, restored.allocations);
    // As much goes on to a third process.
    let taken = shards.iter().map(|shard| shard.snapshot(now.tick, |_| true)).collect();
    let third = Snapshot::new(Default::default(), rules.snapshot(now.tick), taken);
    let third = Snapshot::read(&third.write().expect("it is not too long")).expect("it is read");
    assert_eq!(third.len(), live);

    for seconds in [1, 300, 600, 4000] {
        now.tick = now.tick + Duration::from_secs(seconds);
        shards.iter_mut().for_each(|shard| shard.handle_timeout(now, &mut world));
    }
    shards.iter_mut().for_each(|shard| shard.shut_down(now, &mut world));
    assert!(shards.iter().all(Shard::is_empty));
    assert_eq!(rules.quota.users(), 0);
    assert!(rules.connection_ids.is_empty() && rules.mobile.is_empty());
    // Whatever was reserved has run out by the next lease.
    now.tick = Tick(u64::MAX / 2);
    for family in [Family::V4, Family::V6] {
        let reserved = rules.ports.snapshot(now.tick).reserved.len();
        let used = rules.ports.used(family) as usize;
        assert!(used <= reserved, "{used} ports in use, {reserved} reserved");
    }
    assert_eq!(world.opened.len(), world.closed.len());
}

fn rules(own: [IpAddr; 2]) -> Rules {
    let range = PortRange::new(50_000, 50_099).unwrap();
    Rules {
        authenticator: Arc::new(Authenticator::new("example.org", &[], Vec::new(), false)),
        nonces: Arc::new(NonceKeys::new(Duration::from_secs(3600), [[1; 32], [2; 32]], Tick(0))),
        peers: Arc::new(PeerPolicy::new(Vec::new(), Vec::new(), own.to_vec())),
        ports: Arc::new(PortPool::new(range, PORT_QUARANTINE)),
        quota: Arc::new(Quota::new(10, 0)),
        rates: Arc::new(RateLimits::new(Rates::default())),
        answers: Arc::new(AnswerLimit::new(0, 0, Vec::new())),
        failures: Arc::new(FailureLimit::new(0)),
        connection_ids: Arc::new(ConnectionIds::new(16)),
        tickets: Arc::new(TicketKey::new(Zeroizing::new([3; 32]))),
        bans: Arc::default(),
        requests: Arc::default(),
        tenant_peers: Arc::default(),
        alternates: Arc::default(),
        mobile: Arc::default(),
        guests: Arc::default(),
        session_ids: None,
    }
}
