//! The program of `taciturn-kernel`, attached and used.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use taciturn_config::{Config, KernelMode};
use taciturn_kernel::{
    AttachedTo, Counted, Error, Flow, Installed, Peer, Stats, Wanted, attach, is_pinned, keep,
    open_pins,
};
use taciturn_net::external::External;
use taciturn_net::{FlowNumber, FlowTraffic, KernelFlow, KernelFlows};
use taciturn_turn::Traffic;

use super::report::KernelReport;

/// The kernel's part, if the configuration wants it. Clones are handles to the same one.
#[derive(Clone, Debug, Default)]
pub struct KernelRelay {
    wanted: bool,
    relay: Option<Arc<taciturn_kernel::KernelRelay>>,
    /// Why there is none.
    trouble: Option<String>,
}

impl KernelRelay {
    /// Opens what is pinned, or attaches the program, if the configuration wants it. To be called while the server
    /// still may. What does not work is logged.
    #[must_use]
    pub fn open(config: &Config, external: &External) -> Self {
        if config.kernel_relay.mode == KernelMode::Off {
            return Self::default();
        }
        let pins = config.kernel_relay.pins.as_deref().filter(|pins| is_pinned(pins));
        let (relay, refused) = match opened(config, external, pins) {
            Ok(relay) => (Some(Arc::new(relay)), None),
            Err(error) => (None, Some(error.to_string())),
        };
        let attached = relay.as_ref().map(|relay| relay.attached()).unwrap_or_default();
        if !attached.is_empty() {
            let on: Vec<_> = attached.iter().map(shown).collect();
            tracing::info!(
                "the kernel relays channels on {}; packet filters do not see what it relays",
                on.join(", ")
            );
        }
        if pins.is_none() && attached.iter().any(|attached| attached.to == AttachedTo::Clsact) {
            tracing::warn!(
                "this kernel has no tcx (Linux 6.6): the program stays attached when this server ends, and relays \
                 nothing then. `turnctl kernel-relay detach` takes it away"
            );
        }
        let trouble = relay.as_ref().and_then(|relay| relay.trouble()).or_else(|| refused.clone());
        if let Some(trouble) = trouble {
            let what = if attached.is_empty() { "all calls" } else { "some calls" };
            tracing::warn!("the sockets relay {what}: {trouble}. See docs/kernel-relay.md");
        }
        let trouble = refused;
        Self { wanted: true, relay, trouble }
    }

    /// Whether the program is loaded, and attached or waiting for an interface.
    #[must_use]
    pub const fn is_there(&self) -> bool {
        self.relay.is_some()
    }

    /// Tells the program from now on that this server is alive. To be called once rights are given up. If the server
    /// may not even do that, the sockets relay, and that is logged.
    #[must_use]
    pub fn keep(mut self) -> Self {
        let Some(relay) = &self.relay else { return self };
        let kept = keep(relay).map_err(|error| error.to_string());
        let kept = kept.and_then(|()| relay.broken().map_or(Ok(()), Err));
        if let Err(error) = kept {
            tracing::warn!("the sockets relay all calls: {error}. See docs/kernel-relay.md");
            (self.relay, self.trouble) = (None, Some(error));
        }
        self
    }

    /// Where the workers install channels.
    #[must_use]
    pub fn flows(&self) -> Option<Arc<dyn KernelFlows>> {
        let relay = Arc::clone(self.relay.as_ref()?);
        Some(Arc::new(Flows(relay)))
    }

    /// Its state.
    #[must_use]
    pub fn state(&self) -> KernelReport {
        let report = KernelReport {
            wanted: self.wanted,
            trouble: self.trouble.clone(),
            others: Stats::default().others().collect(),
            ..KernelReport::default()
        };
        let Some(relay) = &self.relay else { return report };
        let ((channels, room, refused), stats) = (relay.fill(), relay.stats());
        KernelReport {
            attached: relay.attached().iter().map(shown).collect(),
            trouble: relay.trouble(),
            channels: channels.into(),
            room: room.into(),
            refused,
            relayed: stats.relayed(),
            others: stats.others().collect(),
            ..report
        }
    }
}

fn shown(attached: &taciturn_kernel::Attached) -> String {
    format!("{} ({})", attached.interface, attached.to)
}

fn opened(
    config: &Config,
    external: &External,
    pins: Option<&Path>,
) -> Result<taciturn_kernel::KernelRelay, Error> {
    let wanted = wanted(config, external);
    match pins {
        Some(pins) => open_pins(pins, wanted),
        None => taciturn_kernel::KernelRelay::new(attach(wanted, config.kernel_relay.channels)?),
    }
}

/// The interfaces that the configuration names, or else those that have the addresses of the listeners and of the
/// relay.
fn wanted(config: &Config, external: &External) -> Wanted {
    let named = &config.kernel_relay.interfaces;
    if !named.is_empty() {
        return Wanted::Named(named.iter().map(ToString::to_string).collect());
    }
    let listeners = config.listen.iter().filter(|listen| listen.transport.is_datagram());
    let listeners = listeners.map(|listen| listen.address.ip());
    let relays = external.addresses.iter().flatten().map(|address| address.local);
    Wanted::With(listeners.chain(relays).collect())
}

/// What the workers use.
#[derive(Debug)]
struct Flows(Arc<taciturn_kernel::KernelRelay>);

impl KernelFlows for Flows {
    fn install(&self, flow: &KernelFlow, left: Duration) -> Option<FlowNumber> {
        // Why it stays with the sockets is counted there.
        self.0.install(&flow_of(flow), left).ok().map(|Installed(number)| FlowNumber(number))
    }

    fn touch(&self, FlowNumber(flow): FlowNumber, left: Duration) {
        // Where the kernel refuses, what it was told before holds, which ends earlier.
        let _ = self.0.touch(Installed(flow), left);
    }

    fn relayed(&self, FlowNumber(flow): FlowNumber) -> FlowTraffic {
        traffic(self.0.counted(Installed(flow)))
    }

    fn remove(&self, FlowNumber(flow): FlowNumber) -> FlowTraffic {
        traffic(self.0.remove(Installed(flow)))
    }
}

fn flow_of(KernelFlow { route, server }: &KernelFlow) -> Flow {
    let peer: SocketAddr = route.peer.0;
    Flow {
        client: route.client.remote.0,
        server: *server,
        channel: route.channel.number(),
        relay: route.relay,
        peer: match route.between {
            Some(own) => Peer::Own { public: peer, bound: own.peer, relay: own.relay },
            None => Peer::Elsewhere(peer),
        },
    }
}

const fn traffic(counted: Counted) -> FlowTraffic {
    let traffic = Traffic {
        packets_to_peers: counted.packets_to_peer,
        bytes_to_peers: counted.bytes_to_peer,
        packets_to_client: counted.packets_to_client,
        bytes_to_client: counted.bytes_to_client,
    };
    FlowTraffic { traffic, idle: counted.idle }
}

#[cfg(test)]
mod tests {
    use super::*;
    use taciturn_stun::ChannelNumber;
    use taciturn_turn::{ChannelRoute, Client, ClientAddr, OwnPeer, PeerAddr, Via};

    #[test]
    fn a_flow_is_the_channel_with_the_addresses_on_both_of_its_sides() {
        let at = |text: &str| -> SocketAddr { text.parse().unwrap() };
        let client = Client {
            via: Via::Udp(0),
            local: at("10.0.0.1:1").ip(),
            remote: ClientAddr(at("203.0.113.2:20000")),
        };
        let (relay, peer) = (at("10.0.0.1:50000"), at("198.51.100.2:9000"));
        let channel = ChannelNumber::new(0x4001).unwrap();
        let route = ChannelRoute { client, channel, relay, peer: PeerAddr(peer), between: None };
        let server = at("10.0.0.1:3478");
        let flow = flow_of(&KernelFlow { route, server });
        let expected = Flow {
            client: at("203.0.113.2:20000"),
            server,
            channel: 0x4001,
            relay,
            peer: Peer::Elsewhere(peer),
        };
        assert_eq!(flow, expected);
        // Behind a 1:1 NAT: known as another address than it is bound to.
        let (public, other) = (at("192.0.2.1:50000"), at("192.0.2.1:50001"));
        let between = Some(OwnPeer { relay: public, peer: at("10.0.0.1:50001") });
        let route = ChannelRoute { peer: PeerAddr(other), between, ..route };
        let own = Peer::Own { public: other, bound: at("10.0.0.1:50001"), relay: public };
        assert_eq!(flow_of(&KernelFlow { route, server }), Flow { peer: own, ..expected });
    }
}
