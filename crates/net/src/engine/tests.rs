//! What entering an engine does besides the call.

use std::future::{Future as _, poll_fn};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use super::Engine;
use super::entered::Entered;
use crate::batch::ip_fields::KeptFields;
use crate::clock::Clock;
use crate::handshakes::Gate;
use crate::mailbox::OtherWorkers;
use crate::shared::Shared;
use crate::test_rules::{request, rules, settings};
use taciturn_stun::{Message, Method};
use taciturn_turn::clock::Tick;
use taciturn_turn::policy::{Connections, HandshakeLimit};
use taciturn_turn::{Client, ClientAddr, RelayAddress, RelayId, Settings, Verdict, Via};

struct Rig {
    engine: Engine,
    _poll: mio::Poll,
}

impl Rig {
    /// Relays on an address of its own, so that no other test has its ports.
    fn new(last: u8) -> Self {
        let (clock, poll) = (Clock::start(), mio::Poll::new().unwrap());
        let shared = Shared {
            settings: Settings {
                relay_addresses: [Some(RelayAddress::plain([127, 9, 0, last].into())), None],
                ..settings()
            },
            rules: rules(clock.now().tick, Vec::new()),
            entrances: Arc::default(),
            connections: Arc::new(Connections::new(1, 1)),
            handshakes: Arc::new(HandshakeLimit::new(0, Vec::new())),
            failed_logins: Arc::default(),
            usage: None,
            reception: Arc::default(),
            limit_names: crate::limit_names::LimitNames::default(),
            wake_delay: Duration::ZERO,
            kept_fields: KeptFields::default(),
            kernel: None,
        };
        let limit = Arc::clone(&shared.handshakes);
        let gate = Rc::new(Gate::new(clock, limit, Arc::clone(&shared.rules.answers)));
        let registry = poll.registry().try_clone().unwrap();
        let workers = OtherWorkers::default();
        let engine = Engine::new(clock, registry, &shared, Arc::default(), workers, gate);
        Self { engine, _poll: poll }
    }

    /// Makes an allocation. Returns its relayed address.
    fn allocate(&mut self) -> SocketAddr {
        let challenge = self.engine.enter(|entered| allocate(entered, 1, &[]));
        let nonce = Message::parse(&challenge).unwrap().nonce().unwrap().to_vec();
        let answer = self.engine.enter(|entered| allocate(entered, 2, &nonce));
        Message::parse(&answer).unwrap().relayed_address().unwrap()
    }

    /// Returns true if the loop was woken since the last call.
    async fn is_woken(&self) -> bool {
        let wake = self.engine.wake();
        let mut woken = pin!(wake.notified());
        poll_fn(|context| Poll::Ready(woken.as_mut().poll(context).is_ready())).await
    }
}

fn allocate(entered: &mut Entered<'_>, number: u8, nonce: &[u8]) -> Vec<u8> {
    let client = Client {
        via: Via::Udp(0),
        local: Ipv4Addr::LOCALHOST.into(),
        remote: ClientAddr((Ipv4Addr::LOCALHOST, 4711).into()),
    };
    let message = request(Method::ALLOCATE, number, nonce, |writer| {
        writer.requested_transport(17);
    });
    let Entered { now, shard, out, reply, .. } = entered;
    let verdict = shard.from_client(*now, client, &message, reply, out);
    let Verdict::Reply(len) = verdict else { panic!("{verdict:?}") };
    reply[..len].to_vec()
}

#[test]
fn a_socket_that_was_given_up_is_closed_once_the_call_is_over() {
    let mut rig = Rig::new(1);
    let relayed = rig.allocate();
    assert!(UdpSocket::bind(relayed).is_err());
    rig.engine.enter(|entered| {
        entered.shard.shut_down(entered.now, &mut entered.out);
        assert!(entered.out.resources.sockets.relay(RelayId(0)).is_none(), "it is not read");
        assert!(UdpSocket::bind(relayed).is_err(), "datagrams may wait to leave by it");
    });
    assert!(UdpSocket::bind(relayed).is_ok());
}

#[test]
fn what_is_due_has_ended_before_the_call_with_its_sockets() {
    let mut rig = Rig::new(2);
    let relayed = rig.allocate();
    let mut later = rig.engine.clock.now();
    later.tick = later.tick + Duration::from_secs(3600);
    rig.engine.enter_at(later, |entered| {
        assert!(entered.shard.is_empty());
        assert!(UdpSocket::bind(relayed).is_ok());
    });
}

#[tokio::test]
async fn the_loop_is_woken_for_an_earlier_deadline_and_only_while_it_waits() {
    let mut rig = Rig::new(3);
    assert!(rig.engine.wait().is_none());
    rig.allocate();
    assert!(rig.is_woken().await);
    assert!(rig.engine.wait().is_some());
    rig.engine.enter(|_| ());
    assert!(!rig.is_woken().await, "it waits for that deadline already");

    let mut rig = Rig::new(4);
    rig.engine.run();
    rig.allocate();
    assert!(!rig.is_woken().await, "it looks at the deadlines before it waits");
    assert!(rig.engine.next_timeout() > Some(Tick(0)));
}
