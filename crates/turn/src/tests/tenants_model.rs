//! What one tenant does changes nothing of what another may do: the same steps of one, with and without any steps of
//! the other between them, come to the same.

use proptest::prelude::*;

use super::rig::udp;
use super::tenants::{ACME, BETA, TestTenant, configure};
use super::*;
use crate::Whose;
use crate::policy::{Banned, Each, Rates, TenantLimits};

/// Something that a client of a tenant does, or its operator.
#[derive(Clone, Debug)]
enum Step {
    Allocate { client: u8 },
    Refresh { client: u8, lifetime: u32 },
    Permit { client: u8, peer: u8 },
    Bind { client: u8, peer: u8 },
    Send { client: u8, peer: u8 },
    Guess { client: u8 },
    Kick { user: u8 },
    Ban { user: u8 },
    Limit { allocations: u32, packets: u32 },
    Deny { on: bool },
}

fn step() -> impl Strategy<Value = Step> {
    let client = 0..6_u8;
    let peer = 0..3_u8;
    prop_oneof![
        4 => client.clone().prop_map(|client| Step::Allocate { client }),
        2 => (client.clone(), prop_oneof![Just(0), Just(600)])
            .prop_map(|(client, lifetime)| Step::Refresh { client, lifetime }),
        3 => (client.clone(), peer.clone()).prop_map(|(client, peer)| Step::Permit { client, peer }),
        1 => (client.clone(), peer.clone()).prop_map(|(client, peer)| Step::Bind { client, peer }),
        5 => (client.clone(), peer).prop_map(|(client, peer)| Step::Send { client, peer }),
        1 => client.prop_map(|client| Step::Guess { client }),
        1 => (0..2_u8).prop_map(|user| Step::Kick { user }),
        1 => (0..3_u8).prop_map(|user| Step::Ban { user }),
        1 => (0..5_u32, 0..5_u32)
            .prop_map(|(allocations, packets)| Step::Limit { allocations, packets }),
        1 => any::<bool>().prop_map(|on| Step::Deny { on }),
    ]
}

const PEERS: [&str; 3] = [PEER, OTHER_PEER, "10.1.2.3:4000"];
const USERS: [&str; 2] = ["alice", "carol"];

/// A server with two tenants, one of which is looked at.
struct Server {
    rig: Rig,
    /// The clients of both, three for each user.
    clients: [Vec<TestClient>; 2],
    tenants: [TestTenant; 2],
    banned: [Option<&'static str>; 2],
}

impl Server {
    fn new() -> Self {
        let rig = Rig::with(|setup| setup.ports = (50_000, 50_029));
        let packets = Each { user: 3, in_all: 5, ..Each::default() };
        let rates = Rates { packets, ..Rates::default() };
        let limits = TenantLimits { allocations_per_user: 2, allocations: 3, rates };
        let tenants = [
            TestTenant { limits, ports: Some((50_004, 50_007)), allow: &["10.1.0.0/16"], ..ACME },
            TestTenant { limits, ports: Some((50_012, 50_015)), allow: &["10.1.0.0/16"], ..BETA },
        ];
        let clients = [0_u16, 1].map(|of| {
            let at = |n: u16| udp(&format!("192.0.2.{}:{}", of + 1, 1000 + n));
            let client =
                |n: u16| tenants[usize::from(of)].client(&rig, at(n), USERS[usize::from(n % 2)]);
            (0..6).map(client).collect()
        });
        let server = Self { rig, clients, tenants, banned: [None, None] };
        server.reload();
        server
    }

    fn reload(&self) {
        self.rig.reload(|_, rules| configure(rules, &self.tenants));
    }

    /// Does it, and returns all that the tenant sees of it but for ports, which are random.
    fn play(&mut self, of: usize, step: &Step) -> String {
        let client = |n: u8| &self.clients[of][usize::from(n)];
        let name = self.tenants[of].name;
        let whose = |user: Option<&str>| Whose {
            user: user.map(str::to_owned),
            tenant: Some(name.parse().unwrap()),
            client: None,
        };
        let seen = match *step {
            Step::Allocate { client: n } => format!("{:?}", client(n).allocation().send().code()),
            Step::Refresh { client: n, lifetime } => {
                format!("{:?}", client(n).refresh(lifetime).code())
            }
            Step::Permit { client: n, peer } => {
                format!("{:?}", client(n).try_permit(&[PEERS[usize::from(peer)]]).code())
            }
            Step::Bind { client: n, peer } => {
                let channel = CHANNEL + u16::from(peer);
                format!("{:?}", client(n).try_bind(channel, PEERS[usize::from(peer)]).code())
            }
            Step::Send { client: n, peer } => {
                match client(n).send(PEERS[usize::from(peer)], b"data") {
                    Outcome::Dropped(reason) => format!("{reason:?}"),
                    Outcome::ToPeer { peer, data, .. } => format!("{peer} {data:?}"),
                    other => panic!("{other:?}"),
                }
            }
            Step::Guess { client: n } => {
                let at = client(n).at;
                // The password of the same name in the other tenant is none in this one.
                let other = self.tenants[1 - of].client(&self.rig, at, USERS[usize::from(n % 2)]);
                (0..40).for_each(|_| {
                    other.fresh_tid();
                });
                let code = other.refresh(600).code();
                assert_ne!(code, None, "somebody else's allocation");
                String::new()
            }
            Step::Kick { user } => {
                let kicked = self.rig.kick(&whose(Some(USERS[usize::from(user)])));
                format!("{kicked} ended")
            }
            Step::Ban { user } => {
                self.banned[of] = USERS.get(usize::from(user)).copied();
                let ban = |(of, user): (&TestTenant, &Option<&str>)| {
                    Banned::of("tenant-user", &format!("{}/{}", of.name, (*user)?)).ok()
                };
                let bans: Vec<_> = self.tenants.iter().zip(&self.banned).filter_map(ban).collect();
                let ended = self.rig.with_shard(|shard, now, world| {
                    shard.parts.rules.bans.set(&bans);
                    shard.end_banned(now, world)
                });
                format!("{ended} ended")
            }
            Step::Limit { allocations, packets } => {
                let limits = &mut self.tenants[of].limits;
                limits.allocations = allocations;
                limits.rates.packets.in_all = packets;
                self.reload();
                String::new()
            }
            Step::Deny { on } => {
                self.tenants[of].deny = if on { &["8.8.8.0/24"] } else { &[] };
                self.reload();
                String::new()
            }
        };
        let sessions = self.rig.sessions(&whose(None));
        let session = |session: &crate::Session| {
            let (client, user) = (session.client, session.username.name());
            format!("{client} {user} {} {:?}", session.permissions, session.traffic)
        };
        let mut sessions: Vec<_> = sessions.iter().map(session).collect();
        sessions.sort();
        let relayed = self.rig.shard(|shard| {
            let all = &shard.statistics().tenants;
            let mut own = all.iter().filter(|(of, _)| of.name() == Some(name));
            own.next().map(|(_, traffic)| traffic)
        });
        format!("{seen}; {sessions:?}; {:?}", relayed.unwrap_or_default())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_steps_of_one_tenant_change_nothing_of_what_another_may_do(
        steps in prop::collection::vec((any::<bool>(), step(), 0..400_u64), 1..60)
    ) {
        let (mut both, mut alone) = (Server::new(), Server::new());
        for (is_acme, step, wait) in &steps {
            let pause = Duration::from_millis(*wait);
            both.rig.advance(pause);
            alone.rig.advance(pause);
            if *is_acme {
                both.play(0, step);
            } else {
                prop_assert_eq!(both.play(1, step), alone.play(1, step), "{:?}", step);
            }
            both.rig.assert_consistent();
        }
    }
}
