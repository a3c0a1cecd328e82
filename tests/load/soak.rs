//! Clients of all transports that come and go at random, with reloads: afterwards
//! descriptors and sessions are where they began, and memory nearly. Ten seconds; `SOAK_SECONDS` has it go on
//! for longer, as `stages/attacks/run soak` does.
#![allow(clippy::unwrap_used)]
#![cfg(all(target_os = "linux", feature = "dtls"))]

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use taciturn_stun::{AttributeType as T, Message, Method, Writer};
use testkit::everywhere::{AnyClient, Site, TRANSPORTS, leave};
use testkit::server::PATIENCE;
use testkit::stream_client::channel;
use tokio::net::UdpSocket;
use tokio::time::{sleep, timeout};

/// How many clients there are at a time, at most.
const CROWD: usize = 60;

/// What the memory may be above that after the warm-up: tables of fixed size (ports in quarantine, ended
/// sessions, budgets) fill up later, and the allocator's pages are not given back one by one. A leak of a
/// hundred bytes a session is more within half an hour.
const MEMORY: u64 = 4 * 1024 * 1024;

/// One user is all of them.
const LIMITS: &str = "[limits]\nnew_peers_per_second_per_allocation = 0\n\
                      new_peers_per_second_per_user = 0\nallocations_per_second_per_user = 0\n\
                      permissions_per_allocation = 1000\n";

/// Of a sequence without a pattern (SplitMix64), the next number below `end`.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (word ^ (word >> 31)) as usize % end
    }
}

struct Guest {
    client: AnyClient,
    transport: &'static str,
    relayed: SocketAddr,
    /// Its channel has been bound.
    bound: bool,
    /// What it has asked so far: the client counts in a byte.
    asked: usize,
}

/// What has been done.
#[derive(Default, Debug)]
struct Tally {
    allocations: usize,
    permissions: usize,
    packets: u64,
    left: usize,
    hung_up: usize,
    reloads: usize,
}

struct Soak {
    site: Site,
    dice: Dice,
    guests: Vec<Guest>,
    peer: UdpSocket,
    tally: Tally,
}

impl Soak {
    async fn step(&mut self) {
        let at = self.dice.below(self.guests.len().max(1));
        match self.dice.below(10) {
            0..=2 if self.guests.len() < CROWD => self.arrive().await,
            3 | 4 if !self.guests.is_empty() => self.permit(at).await,
            5 | 6 if !self.guests.is_empty() => self.talk(at).await,
            7 if !self.guests.is_empty() => {
                let guest = self.guests.swap_remove(at);
                self.tally.left += 1;
                leave(guest.client).await;
            }
            // Of a datagram's client the server learns nothing when it is gone: those leave.
            8 if !self.guests.is_empty() => {
                let guest = self.guests.swap_remove(at);
                match guest.transport {
                    "tcp" | "tls" => {
                        self.tally.hung_up += 1;
                        drop(guest);
                    }
                    _ => leave(guest.client).await,
                }
            }
            _ => {}
        }
        if self.guests.get(at).is_some_and(|guest| guest.asked > 150) {
            leave(self.guests.swap_remove(at).client).await;
        }
    }

    async fn arrive(&mut self) {
        let transport = TRANSPORTS[self.dice.below(TRANSPORTS.len())];
        let mut client = self.site.connect(transport).await.unwrap();
        let relayed = client.allocate().await;
        self.tally.allocations += 1;
        self.guests.push(Guest { client, transport, relayed, bound: false, asked: 2 });
    }

    /// One to four permissions. Nothing is sent to those peers.
    async fn permit(&mut self, at: usize) {
        let peers: Vec<SocketAddr> = (0..=self.dice.below(4))
            .map(|_| (Ipv4Addr::new(8, 8, 8, self.dice.below(256) as u8), 9).into())
            .collect();
        let guest = &mut self.guests[at];
        let wish = |writer: &mut Writer<'_>| {
            for peer in &peers {
                writer.address(T::XOR_PEER_ADDRESS, *peer);
            }
        };
        let answer = guest.client.ask(Method::CREATE_PERMISSION, wish).await;
        guest.asked += 1;
        assert_eq!(Message::parse(&answer).unwrap().error_code(), None);
        self.tally.permissions += peers.len();
    }

    /// A packet each way.
    async fn talk(&mut self, at: usize) {
        let guest = &mut self.guests[at];
        if !guest.bound {
            guest.client.bind(channel(), self.peer.local_addr().unwrap()).await;
            guest.bound = true;
            guest.asked += 1;
        }
        let data = vec![at as u8; 1 + self.dice.below(1100)];
        guest.client.send(channel(), &data).await;
        let mut buffer = [0; 1500];
        let (len, from) =
            timeout(PATIENCE, self.peer.recv_from(&mut buffer)).await.unwrap().unwrap();
        assert_eq!((&buffer[..len], from), (&data[..], guest.relayed));
        self.peer.send_to(&data, guest.relayed).await.unwrap();
        assert_eq!(guest.client.receive(channel()).await, data);
        self.tally.packets += 2;
    }

    fn reload(&mut self) {
        self.tally.reloads += 1;
        let lifetime = 900 + self.tally.reloads % 1000;
        self.site.reload(&format!("{LIMITS}max_lifetime = {lifetime}\n"));
    }

    /// Has as many as there will ever be come and go, so that what the server sets up once, and the
    /// room that the allocator keeps, are not taken for a leak. Returns the descriptors and the
    /// resident memory afterwards.
    async fn warm_up(&mut self) -> (usize, u64) {
        for _ in 0..3 {
            while self.guests.len() < CROWD {
                self.arrive().await;
            }
            for at in 0..CROWD {
                self.permit(at).await;
                self.talk(at).await;
            }
            self.reload();
            self.everybody_leaves().await;
        }
        self.sessions_end().await;
        (self.site.descriptors(), self.site.resident())
    }

    /// Waits until the server says that there are none.
    async fn sessions_end(&self) {
        let start = Instant::now();
        loop {
            let sessions = self.turnctl(&["sessions"]);
            if sessions == "no sessions\n" {
                return;
            }
            assert!(start.elapsed() < PATIENCE, "sessions stay:\n{sessions}{:?}", self.tally);
            sleep(Duration::from_millis(50)).await;
        }
    }

    async fn everybody_leaves(&mut self) {
        for guest in self.guests.drain(..) {
            leave(guest.client).await;
        }
    }

    fn turnctl(&self, arguments: &[&str]) -> String {
        let mut turnctl = Command::new(testkit::program::turnctl());
        let socket = self.site.server.state.path().join("control.sock");
        let output = turnctl.args(arguments).arg("--socket").arg(socket).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }
}

#[tokio::test]
async fn after_a_crowd_that_comes_and_goes_all_is_as_it_was() {
    let _alone = crate::alone();
    let seconds = std::env::var("SOAK_SECONDS").map_or(10, |text| text.parse().unwrap());
    let span = Duration::from_secs(seconds);
    let mut soak = Soak {
        site: Site::new(LIMITS),
        dice: Dice(0x5eed),
        guests: Vec::new(),
        peer: UdpSocket::bind("127.0.0.1:0").await.unwrap(),
        tally: Tally::default(),
    };
    let (open, warm) = soak.warm_up().await;
    let start = Instant::now();
    let mut reloaded = Instant::now();
    while start.elapsed() < span {
        soak.step().await;
        if reloaded.elapsed() > Duration::from_secs(2) {
            soak.reload();
            reloaded = Instant::now();
        }
    }
    soak.everybody_leaves().await;
    soak.sessions_end().await;
    soak.site.descriptors_fall_to(open).await;
    let status: Value = serde_json::from_str(&soak.turnctl(&["status", "--json"])).unwrap();
    let status = &status["result"]["status"];
    for key in ["allocations", "users", "connections"] {
        assert_eq!(status[key], 0, "{key}: {status}");
    }
    for family in ["ipv4", "ipv6"] {
        assert_eq!(status["relay_ports_used"][family], 0, "ports of {family}: {status}");
    }
    let packets =
        ["packets_to_peers", "packets_to_clients"].map(|key| status[key].as_u64().unwrap());
    assert_eq!(packets.iter().sum::<u64>(), soak.tally.packets, "{status}");
    let resident = soak.site.resident();
    eprintln!(
        "{seconds} s: {:?}; resident {warm} bytes after the warm-up, {resident} at the end; {open} \
         descriptors at the start, {} at the end",
        soak.tally,
        soak.site.descriptors()
    );
    assert!(resident < warm + MEMORY, "{warm} bytes after the warm-up, {resident} at the end");
    assert!(soak.tally.allocations > 20 && soak.tally.reloads > 1, "{:?}", soak.tally);
    let log = soak.site.server.log();
    assert!(!log.contains("panicked") && !log.contains("ERROR"), "{log}");
}
