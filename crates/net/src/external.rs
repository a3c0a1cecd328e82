//! The address that peers reach the relay at: given, or found.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _, UdpSocket};
use std::time::Duration;

use taciturn_stun::{Class, Family, Message, Method, TransactionId, Writer, canonical_ip};
use taciturn_turn::RelayAddress;
use taciturn_turn::policy::is_public;

/// How long a STUN server is given for one answer, and how often it is asked.
const STUN_WAIT: Duration = Duration::from_millis(800);
const STUN_TRIES: usize = 3;

/// Where relayed transport addresses will be, and how that was found out.
#[derive(Clone, Debug)]
pub struct External {
    /// IPv4 and IPv6; at least one of them is there.
    pub addresses: [Option<RelayAddress>; 2],
    /// Every address of this host, and the external ones: no peers but for relayed addresses.
    pub own: Vec<IpAddr>,
    /// What the operator should know, in words.
    pub notes: Vec<String>,
}

/// Why no address can be used.
#[derive(Debug, thiserror::Error)]
pub enum ExternalError {
    /// The interfaces cannot be listed.
    #[error("cannot list the addresses of this host: {0}")]
    Interfaces(io::Error),
    /// A given private side is not an address of this host.
    #[error(
        "external_ip: {0} is not an address of this host. The part after the slash is the private \
         side of a 1:1 NAT: one of {1}"
    )]
    NotHere(IpAddr, String),
    /// There is no address at all of the family that is needed.
    #[error(
        "external_ip: {0} is not an address of this host, and this host has no other address of \
         that family to stand behind it. Is the network up?"
    )]
    NoLocalSide(IpAddr),
    /// Nothing but loopback.
    #[error("this host has no address. Is the network up? Set external_ip to use a certain one")]
    Nothing,
}

/// Uses the given addresses, or finds some when there are none.
///
/// # Errors
/// When a given address cannot be used, or there is none.
pub fn find(given: &[RelayAddress], stun_servers: &[String]) -> Result<External, ExternalError> {
    let host = Host::look().map_err(ExternalError::Interfaces)?;
    let mut external = External { addresses: [None, None], own: host.all.clone(), notes: vec![] };
    if given.is_empty() {
        host.find(stun_servers, &mut external);
    }
    for address in given {
        let resolved = host.resolve(*address, &mut external.notes)?;
        external.addresses[resolved.family() as usize] = Some(resolved);
    }
    if external.addresses.iter().all(Option::is_none) {
        return Err(ExternalError::Nothing);
    }
    external.own.extend(external.addresses.iter().flatten().map(|address| address.public));
    Ok(external)
}

/// All addresses of this host's interfaces, as of now.
///
/// # Errors
/// When the system does not list them.
pub fn local_addresses() -> io::Result<Vec<IpAddr>> {
    let interfaces = if_addrs::get_if_addrs()?;
    Ok(interfaces.iter().map(|interface| canonical_ip(interface.ip())).collect())
}

/// The addresses of this host.
struct Host {
    all: Vec<IpAddr>,
    /// What the default routes would send from: IPv4 and IPv6.
    default: [Option<IpAddr>; 2],
}

impl Host {
    fn look() -> io::Result<Self> {
        Ok(Self { all: local_addresses()?, default: [Family::V4, Family::V6].map(default_source) })
    }

    /// A given address: bound as it is if this host has it, else the host is behind a 1:1 NAT.
    fn resolve(
        &self,
        given: RelayAddress,
        notes: &mut Vec<String>,
    ) -> Result<RelayAddress, ExternalError> {
        if self.all.contains(&given.local) || given.local.is_loopback() {
            return Ok(given);
        }
        if given.local != given.public {
            return Err(ExternalError::NotHere(given.local, self.list(given.family())));
        }
        let local = self.any(given.family()).ok_or(ExternalError::NoLocalSide(given.public))?;
        notes.push(format!(
            "{public} is no address of this host, so a 1:1 NAT in front of {local} is assumed. If \
             that is wrong, set external_ip = \"{public}/PRIVATE\"",
            public = given.public
        ));
        Ok(RelayAddress { public: given.public, local })
    }

    fn find(&self, stun_servers: &[String], external: &mut External) {
        for family in [Family::V4, Family::V6] {
            let public = |ip: &&IpAddr| Family::of(**ip) == family && is_public(**ip);
            let default = self.default[family as usize];
            let found = default
                .filter(|ip| is_public(*ip))
                .or_else(|| self.all.iter().find(public).copied());
            external.addresses[family as usize] = found.map(RelayAddress::plain);
        }
        if external.addresses[Family::V4 as usize].is_none() && !stun_servers.is_empty() {
            external.addresses[Family::V4 as usize] =
                self.ask(stun_servers, &mut external.notes).map(|(address, _)| address);
        }
        if external.addresses.iter().any(Option::is_some) {
            return;
        }
        let Some(private) = self.any(Family::V4).or_else(|| self.any(Family::V6)) else {
            if self.all.contains(&Ipv4Addr::LOCALHOST.into()) {
                external.notes.push(
                    "this host has no network: only programs on this machine can be relayed to"
                        .into(),
                );
                let loopback = RelayAddress::plain(Ipv4Addr::LOCALHOST.into());
                external.addresses[Family::V4 as usize] = Some(loopback);
            }
            return;
        };
        external.notes.push(format!(
            "{private} is not a public address: only clients in this network (LAN or VPN) can be relayed to, and \
             private peers are denied until peers.allow names them (docs/networks.md). For \
             calls over the Internet set external_ip to the public address; if that is translated \
             to this host (1:1 NAT, most clouds), set external_ip = \"PUBLIC/{private}\""
        ));
        external.addresses[Family::of(private) as usize] = Some(RelayAddress::plain(private));
    }

    /// Asks the STUN servers in turn for the public side of this host.
    fn ask(&self, servers: &[String], notes: &mut Vec<String>) -> Option<(RelayAddress, String)> {
        for server in servers {
            match ask_stun(server) {
                Ok((public, local)) => {
                    notes.push(format!("the public address {public} was told by {server}"));
                    return Some((RelayAddress { public, local }, server.clone()));
                }
                Err(error) => {
                    notes.push(format!("no answer from the STUN server {server}: {error}"))
                }
            }
        }
        None
    }

    /// Returns the address to stand behind another: that of the default route, else any that is no
    /// loopback.
    fn any(&self, family: Family) -> Option<IpAddr> {
        let usable =
            |ip: &&IpAddr| Family::of(**ip) == family && !ip.is_loopback() && !is_link_local(**ip);
        self.default[family as usize].or_else(|| self.all.iter().find(usable).copied())
    }

    fn list(&self, family: Family) -> String {
        let of_family = self.all.iter().filter(|ip| Family::of(**ip) == family);
        of_family.map(ToString::to_string).collect::<Vec<_>>().join(", ")
    }
}

fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

/// Returns the public address that this host sends from over a default route, if an interface has one.
#[must_use]
pub fn public_source() -> Option<IpAddr> {
    [Family::V4, Family::V6].into_iter().filter_map(default_source).find(|ip| is_public(*ip))
}

/// Returns what the kernel would send from over the default route. Connecting a UDP socket sends nothing.
fn default_source(family: Family) -> Option<IpAddr> {
    let (bind, to): (IpAddr, IpAddr) = match family {
        // Addresses for documentation: routed like any, used by nobody.
        Family::V4 => (Ipv4Addr::UNSPECIFIED.into(), Ipv4Addr::new(192, 0, 2, 1).into()),
        Family::V6 => {
            (Ipv6Addr::UNSPECIFIED.into(), Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into())
        }
    };
    let socket = UdpSocket::bind((bind, 0)).ok()?;
    socket.connect((to, 9)).ok()?;
    let ip = socket.local_addr().ok()?.ip();
    (!ip.is_unspecified() && !ip.is_loopback() && !is_link_local(ip)).then_some(ip)
}

/// One Binding transaction over IPv4; returns the mapped address and the local one.
fn ask_stun(server: &str) -> io::Result<(IpAddr, IpAddr)> {
    let nothing = || io::Error::new(io::ErrorKind::NotFound, "no IPv4 address");
    let server = server.to_socket_addrs()?.find(SocketAddr::is_ipv4).ok_or_else(nothing)?;
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.connect(server)?;
    socket.set_read_timeout(Some(STUN_WAIT))?;
    let mut tid = [0; 12];
    getrandom::fill(&mut tid).map_err(io::Error::other)?;
    let mut request = [0; 20];
    let len = Writer::new(&mut request, Class::Request, Method::BINDING, TransactionId(tid))
        .finish()
        .map_err(io::Error::other)?;
    let mut last = io::Error::from(io::ErrorKind::TimedOut);
    for _ in 0..STUN_TRIES {
        socket.send(request.get(..len).unwrap_or_default())?;
        let mut answer = [0; 1500];
        match socket.recv(&mut answer) {
            Ok(len) => {
                let message = Message::parse(answer.get(..len).unwrap_or_default());
                let mapped = message.ok().filter(|message| message.transaction_id().0 == tid);
                if let Some(mapped) = mapped.and_then(|message| message.mapped_address()) {
                    return Ok((canonical_ip(mapped.ip()), socket.local_addr()?.ip()));
                }
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(all: &[&str], default: Option<&str>) -> Host {
        let default = default.map(|ip| ip.parse::<IpAddr>().unwrap());
        let of = |family| default.filter(|ip| Family::of(*ip) == family);
        Host {
            all: all.iter().map(|ip| ip.parse().unwrap()).collect(),
            default: [of(Family::V4), of(Family::V6)],
        }
    }

    fn found(host: &Host) -> External {
        let mut external = External { addresses: [None, None], own: vec![], notes: vec![] };
        host.find(&[], &mut external);
        external
    }

    fn shown(external: &External) -> Vec<String> {
        let both = external.addresses.iter().flatten();
        both.map(|a| {
            if a.public == a.local {
                a.public.to_string()
            } else {
                format!("{}/{}", a.public, a.local)
            }
        })
        .collect()
    }

    #[test]
    fn public_addresses_of_both_families_are_found_without_a_word() {
        let host =
            host(&["127.0.0.1", "10.0.0.2", "8.8.4.4", "fe80::1", "2a00::7"], Some("8.8.4.4"));
        let external = found(&host);
        assert_eq!(shown(&external), ["8.8.4.4", "2a00::7"]);
        assert!(external.notes.is_empty());
    }

    #[test]
    fn a_private_host_starts_and_says_who_can_reach_it() {
        let external =
            found(&host(&["127.0.0.1", "172.17.0.1", "192.168.1.5"], Some("192.168.1.5")));
        assert_eq!(shown(&external), ["192.168.1.5"]);
        let note = external.notes.join("\n");
        assert!(
            note.contains("only clients in this network")
                && note.contains("\"PUBLIC/192.168.1.5\""),
            "{note}"
        );
    }

    #[test]
    fn a_host_without_network_serves_itself() {
        let external = found(&host(&["127.0.0.1"], None));
        assert_eq!(shown(&external), ["127.0.0.1"]);
        assert!(external.notes.join("\n").contains("only programs on this machine"));
    }

    #[test]
    fn a_given_address_of_the_host_is_bound_as_it_is() {
        let mut notes = vec![];
        let given = RelayAddress::plain("8.8.4.4".parse().unwrap());
        assert_eq!(host(&["8.8.4.4"], None).resolve(given, &mut notes).unwrap(), given);
        assert!(notes.is_empty());
    }

    #[test]
    fn a_given_address_that_the_host_has_not_means_a_nat_in_front() {
        let mut notes = vec![];
        let host = host(&["127.0.0.1", "10.0.0.2"], Some("10.0.0.2"));
        let given = RelayAddress::plain("8.8.4.4".parse().unwrap());
        let resolved = host.resolve(given, &mut notes).unwrap();
        assert_eq!(resolved.local.to_string(), "10.0.0.2");
        assert!(notes.join("").contains("1:1 NAT"));
    }

    #[test]
    fn a_private_side_that_is_not_here_is_an_error_that_lists_what_is() {
        let host = host(&["127.0.0.1", "10.0.0.2"], Some("10.0.0.2"));
        let given =
            RelayAddress { public: "8.8.4.4".parse().unwrap(), local: "10.0.0.9".parse().unwrap() };
        let error = host.resolve(given, &mut vec![]).unwrap_err().to_string();
        assert!(error.contains("10.0.0.9") && error.contains("127.0.0.1, 10.0.0.2"), "{error}");
    }

    #[test]
    fn the_address_of_a_stun_answer_is_taken() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = server.local_addr().unwrap().to_string();
        let answering = std::thread::spawn(move || {
            let mut request = [0; 100];
            let (len, from) = server.recv_from(&mut request).unwrap();
            let tid = Message::parse(&request[..len]).unwrap().transaction_id();
            let mut answer = [0; 100];
            let len = Writer::new(&mut answer, Class::Success, Method::BINDING, tid)
                .address(
                    taciturn_stun::AttributeType::XOR_MAPPED_ADDRESS,
                    "8.8.4.4:1".parse().unwrap(),
                )
                .finish()
                .unwrap();
            server.send_to(&answer[..len], from).unwrap();
        });
        let (public, local) = ask_stun(&address).unwrap();
        assert_eq!((public.to_string(), local.to_string()), ("8.8.4.4".into(), "127.0.0.1".into()));
        answering.join().unwrap();
    }
}
