//! Turns of the loop, taken one at a time.
#![cfg(target_os = "linux")] // other systems send one datagram a call

#[cfg(feature = "dtls")]
mod mixed;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::UdpLoop;
use crate::batch::ip_fields::KeptFields;
use crate::clock::Clock;
use crate::engine::Engine;
use crate::handshakes::Gate;
use crate::limit_names::LimitNames;
use crate::listener::datagrams::Spoken;
use crate::listener::id::ListenerId;
use crate::listener::udp::UdpListener;
use crate::mailbox::OtherWorkers;
use crate::shared::Shared;
use crate::test_rules::{request, rules, settings};
use socket2::SockRef;
use taciturn_stun::{AttributeType as T, ChannelNumber, Class, Message, Method, Writer};
use taciturn_turn::policy::{AnswerLimit, Connections, HandshakeLimit};
use taciturn_turn::{RelayId, Rules};

const PATIENCE: Duration = Duration::from_secs(30);

/// A worker without a thread.
struct Rig {
    udp: UdpLoop,
    engine: Engine,
    address: SocketAddr,
}

impl Rig {
    fn new() -> Self {
        let answers = AnswerLimit::new(0, 0, Vec::new());
        Self::listening(Spoken::Udp, answers, |engine, listener| engine.listen(listener))
    }

    /// A worker that speaks this on one socket, and answers so many strangers.
    fn listening(
        spoken: Spoken,
        answers: AnswerLimit,
        listen: impl FnOnce(&mut Engine, UdpListener) -> io::Result<()>,
    ) -> Self {
        let clock = Clock::start();
        let shared = Shared {
            settings: settings(),
            rules: Rules {
                answers: Arc::new(answers),
                ..rules(clock.now().tick, vec!["127.0.0.0/8".parse().unwrap()])
            },
            entrances: Arc::default(),
            connections: Arc::new(Connections::new(2, 2)),
            handshakes: Arc::new(HandshakeLimit::new(0, Vec::new())),
            failed_logins: Arc::default(),
            usage: None,
            reception: Arc::default(),
            limit_names: LimitNames::default(),
            wake_delay: Duration::ZERO,
            kept_fields: KeptFields { dscp: true, ecn: true, ttl: false },
            kernel: None,
        };
        let gate =
            Gate::new(clock, Arc::clone(&shared.handshakes), Arc::clone(&shared.rules.answers));
        let udp = UdpLoop::new(clock, shared.wake_delay).unwrap();
        let registry = udp.poll().registry().try_clone().unwrap();
        let (unbound, workers) = (Arc::default(), OtherWorkers::default());
        let mut engine = Engine::new(clock, registry, &shared, unbound, workers, Rc::new(gate));
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket.set_nonblocking(true).unwrap();
        let address = socket.local_addr().unwrap();
        listen(&mut engine, UdpListener::new(ListenerId(0), socket, address, spoken)).unwrap();
        Self { udp, engine, address }
    }

    /// Serves what is there.
    fn turn(&mut self) {
        while self.udp.turn(&mut self.engine).unwrap() {}
    }

    /// Waits until a packet lies on each relay socket.
    fn wait_for_peers(&mut self, relays: u32) {
        let began = Instant::now();
        for relay in 0..relays {
            let socket = &self.engine.resources().sockets.relay(RelayId(relay)).unwrap().socket;
            while socket.peek(&mut [0; 10]).is_err() {
                assert!(began.elapsed() < PATIENCE, "nothing on relay socket {relay}");
            }
        }
    }
}

/// A client with a channel to its peer.
struct Call {
    client: UdpSocket,
    peer: UdpSocket,
    nonce: Vec<u8>,
}

impl Call {
    fn open(rig: &mut Rig) -> Self {
        let socket = || {
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            socket
        };
        let (client, peer) = (socket(), socket());
        client.connect(rig.address).unwrap();
        let mut call = Self { client, peer, nonce: Vec::new() };
        let transport = |writer: &mut Writer<'_>| {
            writer.requested_transport(17);
        };
        let challenge = call.ask(rig, Method::ALLOCATE, transport);
        call.nonce = Message::parse(&challenge).unwrap().nonce().unwrap().to_vec();
        let answer = call.ask(rig, Method::ALLOCATE, transport);
        let relayed = Message::parse(&answer).unwrap().relayed_address().unwrap();
        let peer = call.peer.local_addr().unwrap();
        let answer = call.ask(rig, Method::CHANNEL_BIND, |writer| {
            let channel = ChannelNumber::new(0x4000).unwrap();
            writer.channel_number(channel).address(T::XOR_PEER_ADDRESS, peer);
        });
        assert_eq!(Message::parse(&answer).unwrap().class(), Class::Success);
        call.peer.connect(relayed).unwrap();
        call
    }

    fn ask(&self, rig: &mut Rig, method: Method, wish: impl Fn(&mut Writer<'_>)) -> Vec<u8> {
        self.client.send(&request(method, 1, &self.nonce, wish)).unwrap();
        self.client.set_nonblocking(true).unwrap();
        let (began, mut answer) = (Instant::now(), vec![0; 1500]);
        let len = loop {
            rig.turn();
            match self.client.recv(&mut answer) {
                Ok(len) => break len,
                Err(_) => assert!(began.elapsed() < PATIENCE, "no answer"),
            }
        };
        self.client.set_nonblocking(false).unwrap();
        answer.truncate(len);
        answer
    }

    fn hear(&self) -> Vec<u8> {
        let mut packet = [0; 100];
        let len = self.client.recv(&mut packet).unwrap();
        packet[..len].to_vec()
    }
}

#[test]
fn what_several_relay_sockets_bring_leaves_in_one_call() {
    let mut rig = Rig::new();
    let calls: Vec<_> = (0..3).map(|_| Call::open(&mut rig)).collect();
    for (number, call) in (b'0'..).zip(&calls) {
        call.peer.send(&[number; 4]).unwrap();
    }
    rig.wait_for_peers(3);
    let before = rig.engine.resources().egress.statistics;
    rig.turn();
    let after = rig.engine.resources().egress.statistics;
    assert_eq!(after.datagrams - before.datagrams, 3);
    assert_eq!(after.sends - before.sends, 1);
    for (number, call) in (b'0'..).zip(&calls) {
        assert_eq!(call.hear(), [&[0x40, 0, 0, 4], &[number; 4][..]].concat());
    }
}

/// A call with marks costs no more calls than one without.
#[test]
fn runs_of_one_dscp_leave_in_one_call_and_those_of_two_as_well() {
    let mut rig = Rig::new();
    let call = Call::open(&mut rig);
    let peer = SockRef::from(&call.peer);
    for (marks, text) in [([0xb9, 0xb9, 0xb9, 0xb9], b"same"), ([0xb9, 0xb9, 0xbb, 0], b"each")] {
        for mark in marks {
            peer.set_tos_v4(mark).unwrap();
            call.peer.send(text).unwrap();
        }
        rig.wait_for_peers(1);
        let before = rig.engine.resources().egress.statistics;
        rig.turn();
        let after = rig.engine.resources().egress.statistics;
        assert_eq!((after.datagrams - before.datagrams, after.sends - before.sends), (4, 1));
        for _ in marks {
            assert_eq!(call.hear(), [&[0x40, 0, 0, 4], &text[..]].concat());
        }
    }
}
