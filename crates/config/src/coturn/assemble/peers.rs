//! `peers.allow` and `peers.deny`: never more than coturn lets through.
//!
//! In both servers what is allowed wins over what is denied. In coturn some networks win over both, and
//! `allow-loopback-peers` opens loopback to what denies it; so neither is taken over as it stands.

use ipnet::IpNet;

use taciturn_turn::policy::built_in_rule;

use super::super::collected::{Collected, PeerRange, Sourced};
use super::super::peer_nets::{self, Forbidden, LOOPBACK};
use super::super::{Outcome, Setting};
use super::outcomes::{remark, set};

/// So many networks are named in a sentence.
const NAMED: usize = 6;

impl Collected {
    pub(super) fn forbidden(&self) -> Forbidden {
        Forbidden {
            loopback_is_open: self.loopback.is_some(),
            multicast_is_open: !self.is_on("no-multicast-peers"),
        }
    }

    pub(super) fn put_peers_together(&mut self, settings: &mut [Setting]) {
        self.open_loopback(settings);
        for range in std::mem::take(&mut self.allowed) {
            self.allow(&range, settings);
        }
        for range in self.denied.clone() {
            self.deny(&range, settings);
        }
    }

    /// All that `denied-peer-ip` names.
    pub(in super::super) fn denied_nets(&self) -> impl Iterator<Item = &IpNet> {
        self.denied.iter().flat_map(|range| &range.nets)
    }

    fn open_loopback(&mut self, settings: &mut [Setting]) {
        let Some(place) = self.loopback else { return };
        let denied: Vec<IpNet> = self.denied_nets().copied().collect();
        let open = peer_nets::without(&LOOPBACK, &denied);
        if open.is_empty() {
            let text = "denied-peer-ip denies loopback all the same, as in coturn";
            set(settings, &[place], Outcome::NotNeeded(text.into()));
            return;
        }
        remark(
            settings,
            place,
            "whoever has a credential reaches every service on this machine's loopback addresses; for tests only",
        );
        self.draft.allow.extend(open.into_iter().map(|net| Sourced::at(net, place)));
    }

    fn allow(&mut self, range: &PeerRange, settings: &mut [Setting]) {
        let forbidden = self.forbidden();
        let left = forbidden.cut_out_of(&range.nets);
        if left.is_empty() {
            let text = "coturn relays to none of it, whatever this line says, or not to hosts; peers.allow would. \
                        Write it by hand if it is meant";
            set(settings, &[range.place], Outcome::Unsupported(text.into()));
            return;
        }
        let cut = forbidden.touched_by(&range.nets);
        if !cut.is_empty() {
            remark(
                settings,
                range.place,
                format!("left out, since coturn never relays there: {}", named(&cut)),
            );
        }
        if left.iter().any(|net| net.prefix_len() == 0) || left.len() > NAMED {
            remark(
                settings,
                range.place,
                "whoever has a credential reaches all of it, private networks and the ports of this machine \
                 included, as with coturn. Name what is needed instead",
            );
        }
        let own = self.own_addresses();
        let is_own =
            |net: &IpNet| net.prefix_len() == net.max_prefix_len() && own.contains(&net.addr());
        if left.iter().any(is_own) {
            remark(
                settings,
                range.place,
                "it is this server's own address: users reach every UDP port of this machine there, as with \
                 coturn. A media server on this machine (Jitsi, LiveKit, BigBlueButton) needs its own ports alone, like \
                 allow = [\"self:10000\"]; calls between two clients of the relay need none. Remove it where there is no \
                 media server",
            );
        } else if left.len() <= NAMED && left.iter().any(|net| built_in_rule(net).is_some()) {
            remark(
                settings,
                range.place,
                "if this is the server's own address and no media server runs there, remove it from peers.allow: \
                 calls between two clients of this server need no rule",
            );
        }
        self.draft.allow.extend(left.into_iter().map(|net| Sourced::at(net, range.place)));
    }

    fn deny(&mut self, range: &PeerRange, settings: &mut [Setting]) {
        let holds_all = |is_v4: bool| {
            range.nets.iter().any(|net| net.prefix_len() == 0 && net.addr().is_ipv4() == is_v4)
        };
        let family = match (holds_all(true), holds_all(false)) {
            (true, true) => Some(""),
            (true, false) => Some(" with an IPv4 address"),
            (false, true) => Some(" with an IPv6 address"),
            (false, false) => None,
        };
        if let Some(family) = family {
            remark(
                settings,
                range.place,
                match self.draft.allow.is_empty() {
                    true => format!("this denies every peer{family}, as it does in coturn"),
                    false => format!(
                        "this denies every peer{family} but those of peers.allow, as it does in coturn"
                    ),
                },
            );
        }
        // A built-in rule lets clients of this relay reach each other; a rule of the operator does not.
        let own = self.own_addresses();
        let covers_own = |net: &IpNet| own.iter().any(|own| net.contains(own));
        let is_built_in = |net: &IpNet| built_in_rule(net).filter(|_| !covers_own(net));
        let rules: Vec<_> = range.nets.iter().filter_map(is_built_in).collect();
        if rules.len() == range.nets.len() {
            let text = match rules.first() {
                Some(rule) => format!("a built-in rule denies it: {rule}"),
                None => "it is empty".to_owned(),
            };
            set(settings, &[range.place], Outcome::NotNeeded(text));
            return;
        }
        if family.is_none() && range.nets.iter().any(covers_own) {
            let allowed: Vec<IpNet> = self.draft.allow.iter().map(|net| net.value).collect();
            let lost = own.iter().any(|ip| {
                peer_nets::any_contains(&range.nets, *ip) && !peer_nets::any_contains(&allowed, *ip)
            });
            if lost {
                remark(
                    settings,
                    range.place,
                    "it holds this server's own address: clients of the relay do not reach each other, as with \
                     coturn",
                );
            }
        }
        for net in range.nets.iter().filter(|net| is_built_in(net).is_none()) {
            match self.draft.deny.iter_mut().find(|other| other.value == *net) {
                Some(other) => other.places.push(range.place),
                None => self.draft.deny.push(Sourced::at(*net, range.place)),
            }
        }
    }
}

/// The first few networks, for people.
fn named(nets: &[IpNet]) -> String {
    let shown: Vec<_> = nets.iter().take(NAMED).map(ToString::to_string).collect();
    let more = nets.len().saturating_sub(NAMED);
    match more {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
