//! Bound channels of UDP clients that the kernel relays by itself, beside the sockets. Never for a packet.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ahash::AHashMap;

use taciturn_turn::clock::Tick;
use taciturn_turn::{ChannelRoute, Client, Traffic, Usage, Via};

/// Both directions of a channel of a client over UDP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KernelFlow {
    /// The channel, with the addresses on the peer's side.
    pub route: ChannelRoute,
    /// The address of the server that the client sends to.
    pub server: SocketAddr,
}

/// Names a flow that was installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowNumber(pub u32);

/// What a flow has relayed since it was installed, and how long ago the last packet was, if there was one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowTraffic {
    /// Packets and bytes.
    pub traffic: Traffic,
    /// Since the last packet.
    pub idle: Option<Duration>,
}

/// What relays flows in the kernel, for all workers.
pub trait KernelFlows: fmt::Debug + Send + Sync {
    /// Has the kernel relay a flow for so long from now on. Returns nothing if it stays with the sockets.
    fn install(&self, flow: &KernelFlow, left: Duration) -> Option<FlowNumber>;

    /// Sets for how long from now on a flow is relayed.
    fn touch(&self, flow: FlowNumber, left: Duration);

    /// Returns what was relayed of a flow so far.
    fn relayed(&self, flow: FlowNumber) -> FlowTraffic;

    /// Ends a flow. Returns what was relayed of it in all.
    fn remove(&self, flow: FlowNumber) -> FlowTraffic;
}

/// The flows of one worker.
#[derive(Debug)]
pub(crate) struct KernelPath {
    flows: Arc<dyn KernelFlows>,
    installed: AHashMap<ChannelRoute, Installed>,
    /// How many of them each client has.
    of_clients: AHashMap<Client, usize>,
}

#[derive(Debug)]
struct Installed {
    number: FlowNumber,
    /// What the shard has heard of.
    reported: Traffic,
}

impl Installed {
    /// What is new in all that was relayed.
    fn news(&mut self, now: Tick, relayed: FlowTraffic) -> Usage {
        let (all, before) =
            (relayed.traffic, std::mem::replace(&mut self.reported, relayed.traffic));
        let traffic = Traffic {
            packets_to_peers: all.packets_to_peers.saturating_sub(before.packets_to_peers),
            bytes_to_peers: all.bytes_to_peers.saturating_sub(before.bytes_to_peers),
            packets_to_client: all.packets_to_client.saturating_sub(before.packets_to_client),
            bytes_to_client: all.bytes_to_client.saturating_sub(before.bytes_to_client),
        };
        let idle = relayed
            .idle
            .map_or(u64::MAX, |idle| u64::try_from(idle.as_millis()).unwrap_or(u64::MAX));
        Usage { traffic, last: Tick(now.0.saturating_sub(idle)) }
    }
}

impl KernelPath {
    pub(crate) fn new(flows: Arc<dyn KernelFlows>) -> Self {
        Self { flows, installed: AHashMap::new(), of_clients: AHashMap::new() }
    }

    /// A channel may be served until then. `port` is that of the listener. What does not fit stays with the sockets; a
    /// later call tries again.
    pub(crate) fn open(&mut self, now: Tick, route: ChannelRoute, port: Option<u16>, until: Tick) {
        let left = until.since(now);
        if let Some(installed) = self.installed.get(&route) {
            self.flows.touch(installed.number, left);
            return;
        }
        let (Via::Udp(_), Some(port)) = (route.client.via, port) else { return };
        let flow = KernelFlow { route, server: SocketAddr::new(route.client.local, port) };
        if let Some(number) = self.flows.install(&flow, left) {
            self.installed.insert(route, Installed { number, reported: Traffic::default() });
            *self.of_clients.entry(route.client).or_default() += 1;
        }
    }

    /// A channel may not be served any more. Returns what is new of it.
    pub(crate) fn close(&mut self, now: Tick, route: &ChannelRoute) -> Usage {
        let Some(mut installed) = self.installed.remove(route) else { return Usage::default() };
        if let Some(of_client) = self.of_clients.get_mut(&route.client) {
            *of_client -= 1;
            if *of_client == 0 {
                self.of_clients.remove(&route.client);
            }
        }
        let relayed = self.flows.remove(installed.number);
        installed.news(now, relayed)
    }

    /// Returns how many channels of a client the kernel relays.
    pub(crate) fn channels_of(&self, client: &Client) -> usize {
        self.of_clients.get(client).copied().unwrap_or_default()
    }

    /// Returns what is new of each channel that has relayed something.
    pub(crate) fn news(&mut self, now: Tick) -> Vec<(ChannelRoute, Usage)> {
        let flows = &self.flows;
        let news = self.installed.iter_mut().map(|(route, installed)| {
            let relayed = flows.relayed(installed.number);
            (*route, installed.news(now, relayed))
        });
        news.filter(|(_, used)| !used.is_nothing()).collect()
    }

    /// Ends all flows. Returns what is new of each.
    pub(crate) fn withdraw(&mut self, now: Tick) -> Vec<(ChannelRoute, Usage)> {
        let routes: Vec<_> = self.installed.keys().copied().collect();
        routes.into_iter().map(|route| (route, self.close(now, &route))).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use taciturn_stun::ChannelNumber;
    use taciturn_turn::{ClientAddr, PeerAddr};

    use super::*;

    /// Room for one flow, which has always relayed one packet more.
    #[derive(Debug, Default)]
    struct One(Mutex<(Option<KernelFlow>, Vec<Duration>, u64)>);

    impl One {
        fn all(&self) -> FlowTraffic {
            let mut one = self.0.lock().unwrap();
            one.2 += 1;
            let traffic = Traffic {
                packets_to_peers: one.2,
                bytes_to_peers: one.2 * 100,
                ..Traffic::default()
            };
            FlowTraffic { traffic, idle: Some(Duration::from_millis(30)) }
        }
    }

    impl KernelFlows for One {
        fn install(&self, flow: &KernelFlow, left: Duration) -> Option<FlowNumber> {
            let mut one = self.0.lock().unwrap();
            one.1.push(left);
            one.0.is_none().then(|| {
                one.0 = Some(*flow);
                FlowNumber(7)
            })
        }

        fn touch(&self, flow: FlowNumber, left: Duration) {
            assert_eq!(flow, FlowNumber(7));
            self.0.lock().unwrap().1.push(left);
        }

        fn relayed(&self, _: FlowNumber) -> FlowTraffic {
            self.all()
        }

        fn remove(&self, _: FlowNumber) -> FlowTraffic {
            self.0.lock().unwrap().0 = None;
            self.all()
        }
    }

    fn route(via: Via, number: u16) -> ChannelRoute {
        let at = SocketAddr::from(([203, 0, 113, 2], 20_000));
        let client = Client { via, local: [203, 0, 113, 10].into(), remote: ClientAddr(at) };
        let channel = ChannelNumber::new(number).unwrap();
        ChannelRoute { client, channel, relay: at, peer: PeerAddr(at), between: None }
    }

    #[test]
    fn what_is_new_is_told_once_and_the_end_tells_the_rest() {
        let one = Arc::new(One::default());
        let flows: Arc<dyn KernelFlows> = Arc::<One>::clone(&one);
        let mut path = KernelPath::new(flows);
        let (first, second) = (route(Via::Udp(0), 0x4000), route(Via::Udp(0), 0x4001));
        path.open(Tick(1_000), first, Some(3478), Tick(3_000));
        path.open(Tick(1_000), first, Some(3478), Tick(9_000));
        path.open(Tick(1_000), second, Some(3478), Tick(2_000));
        let seconds: Vec<_> = one.0.lock().unwrap().1.iter().map(Duration::as_secs).collect();
        assert_eq!(seconds, [2, 8, 1]);
        for _ in 0..2 {
            let [(of, used)] = path.news(Tick(2_000))[..] else { panic!("one has news") };
            assert_eq!((of, used.traffic.packets_to_peers, used.last), (first, 1, Tick(1_970)));
            assert_eq!(used.traffic.bytes_to_peers, 100);
        }
        assert!(path.close(Tick(2_000), &second).is_nothing(), "it was not installed");
        assert_eq!(path.channels_of(&first.client), 1);
        path.open(Tick(2_000), second, Some(3478), Tick(3_000));
        assert_eq!(path.close(Tick(2_000), &first).traffic.packets_to_peers, 1);
        path.open(Tick(2_000), second, Some(3478), Tick(3_000));
        assert_eq!(
            one.0.lock().unwrap().0.map(|flow| flow.route),
            Some(second),
            "now there is room"
        );
        assert_eq!(path.withdraw(Tick(2_000)).len(), 1);
        assert!(one.0.lock().unwrap().0.is_none() && path.news(Tick(2_000)).is_empty());
        assert!(path.channels_of(&first.client) == 0 && path.of_clients.is_empty());
    }

    #[test]
    fn only_clients_on_udp_are_served() {
        let one = Arc::new(One::default());
        let flows: Arc<dyn KernelFlows> = Arc::<One>::clone(&one);
        let mut path = KernelPath::new(flows);
        for via in
            [Via::Stream { connection: 1, listener: 1 }, Via::Dtls { connection: 1, listener: 0 }]
        {
            path.open(Tick(0), route(via, 0x4000), Some(3478), Tick(9));
        }
        path.open(Tick(0), route(Via::Udp(3), 0x4000), None, Tick(9));
        assert!(one.0.lock().unwrap().1.is_empty());
    }
}
