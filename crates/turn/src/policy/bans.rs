//! Users and addresses that an operator has banned.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::tenant::TenantName;
use taciturn_stun::canonical_ip;

/// Who is banned.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Banned {
    /// The user of this name: a USERNAME, or the stable name in one of the REST scheme, in any realm and of any
    /// tenant.
    User(String),
    /// The same of one tenant.
    TenantUser(TenantName, String),
    /// Clients with an address of this network, which may be a single one.
    Network(IpNet),
}

/// Why something cannot be banned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BanError {
    /// No user has such a name.
    #[error("a user name has 1 to {} bytes, without control characters", Banned::LONGEST_NAME)]
    Name,
    /// It is not a tenant and a name.
    #[error("a user of a tenant is written as TENANT/NAME")]
    Tenant,
    /// It is not an address.
    #[error("an address is written as 203.0.113.7 or 2001:db8::7")]
    Address,
    /// It is not a network.
    #[error("a network is written as 203.0.113.0/24 or 2001:db8::/48")]
    Network,
    /// It is a large part of the Internet.
    #[error(
        "a network has a prefix of /{} or longer for IPv4 and /{} for IPv6; `turnctl drain` keeps everybody out",
        Banned::SHORTEST_V4,
        Banned::SHORTEST_V6
    )]
    TooLarge,
}

impl Banned {
    /// Bytes of the longest USERNAME (RFC 8489 section 14.3).
    pub const LONGEST_NAME: usize = 508;
    const SHORTEST_V4: u8 = 8;
    const SHORTEST_V6: u8 = 16;

    /// A user.
    ///
    /// # Errors
    /// If no user can have that name.
    pub fn user(name: &str) -> Result<Self, BanError> {
        let fits = (1..=Self::LONGEST_NAME).contains(&name.len());
        match fits && !name.contains(char::is_control) {
            true => Ok(Self::User(name.to_owned())),
            false => Err(BanError::Name),
        }
    }

    /// A user of a tenant, as `TENANT/NAME`. No tenant's name has a slash.
    ///
    /// # Errors
    /// If it is not that, or no user can have that name.
    pub fn tenant_user(text: &str) -> Result<Self, BanError> {
        let (tenant, name) = text.split_once('/').ok_or(BanError::Tenant)?;
        let tenant = tenant.parse().map_err(|_| BanError::Tenant)?;
        Self::user(name).map(|_| Self::TenantUser(tenant, name.to_owned()))
    }

    /// An address.
    ///
    /// # Errors
    /// If the text is not one.
    pub fn address(text: &str) -> Result<Self, BanError> {
        let address: IpAddr = text.parse().map_err(|_| BanError::Address)?;
        Ok(Self::Network(canonical_ip(address).into()))
    }

    /// A network. Bits behind the prefix are ignored.
    ///
    /// # Errors
    /// If the text is not one, or it is so large that it cannot be meant.
    pub fn network(text: &str) -> Result<Self, BanError> {
        let network = canonical_net(text.parse().map_err(|_| BanError::Network)?);
        let shortest = match network {
            IpNet::V4(_) => Self::SHORTEST_V4,
            IpNet::V6(_) => Self::SHORTEST_V6,
        };
        match network.prefix_len() < shortest {
            true => Err(BanError::TooLarge),
            false => Ok(Self::Network(network)),
        }
    }

    /// The ban with these two words, as [`kind`](Self::kind) and [`value`](Self::value) write it.
    ///
    /// # Errors
    /// As the one of that kind; a kind that does not exist is not an address.
    pub fn of(kind: &str, value: &str) -> Result<Self, BanError> {
        match kind {
            "user" => Self::user(value),
            "tenant-user" => Self::tenant_user(value),
            "network" => Self::network(value),
            _ => Self::address(value),
        }
    }

    /// What it is: `user`, `tenant-user`, `address` or `network`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::User(_) => "user",
            Self::TenantUser(..) => "tenant-user",
            Self::Network(network) if network.prefix_len() == network.max_prefix_len() => "address",
            Self::Network(_) => "network",
        }
    }

    /// The name, the tenant and the name, the address, or the network.
    #[must_use]
    pub fn value(&self) -> String {
        match self {
            Self::User(name) => name.clone(),
            Self::TenantUser(tenant, name) => format!("{tenant}/{name}"),
            Self::Network(network) if self.kind() == "address" => network.addr().to_string(),
            Self::Network(network) => network.to_string(),
        }
    }
}

impl fmt::Display for Banned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind(), self.value())
    }
}

/// The same network, as IPv4 if it is one in IPv6's clothes.
fn canonical_net(network: IpNet) -> IpNet {
    let as_v4 = |network: Ipv6Net| {
        let address = network.network().to_ipv4_mapped()?;
        Ipv4Net::new(address, network.prefix_len().checked_sub(96)?).ok()
    };
    match network.trunc() {
        IpNet::V6(v6) => as_v4(v6).map_or(IpNet::V6(v6), IpNet::V4),
        v4 @ IpNet::V4(_) => v4,
    }
}

/// Whom the operator has banned, for all shards. A request costs one load while nobody is.
#[derive(Debug, Default)]
pub struct Bans {
    any: AtomicBool,
    set: RwLock<BanSet>,
    /// What was refused to users, and to addresses.
    refused: [AtomicU64; 2],
}

/// Looked up by name, and by address once for each length of prefix that there is.
#[derive(Debug, Default)]
struct BanSet {
    users: HashSet<Box<str>>,
    tenant_users: HashMap<TenantName, HashSet<Box<str>>>,
    v4: Vec<(u8, HashSet<Ipv4Addr>)>,
    v6: Vec<(u8, HashSet<Ipv6Addr>)>,
}

impl BanSet {
    fn add(&mut self, banned: &Banned) {
        fn of<A>(sets: &mut Vec<(u8, HashSet<A>)>, prefix: u8) -> &mut HashSet<A> {
            let at = sets.iter().position(|(known, _)| *known == prefix).unwrap_or_else(|| {
                sets.push((prefix, HashSet::new()));
                sets.len() - 1
            });
            &mut sets[at].1
        }
        match banned {
            Banned::User(name) => {
                self.users.insert(name.as_str().into());
            }
            Banned::TenantUser(tenant, name) => {
                let of_tenant = self.tenant_users.entry(tenant.clone()).or_default();
                of_tenant.insert(name.as_str().into());
            }
            Banned::Network(IpNet::V4(net)) => {
                of(&mut self.v4, net.prefix_len()).insert(net.network());
            }
            Banned::Network(IpNet::V6(net)) => {
                of(&mut self.v6, net.prefix_len()).insert(net.network());
            }
        }
    }

    fn has_user(&self, tenant: &TenantName, names: [&str; 2]) -> bool {
        let of_tenant = self.tenant_users.get(tenant);
        names.iter().any(|name| {
            self.users.contains(*name) || of_tenant.is_some_and(|banned| banned.contains(*name))
        })
    }

    fn has_address(&self, address: IpAddr) -> bool {
        match canonical_ip(address) {
            IpAddr::V4(address) => self.v4.iter().any(|(prefix, nets)| {
                Ipv4Net::new(address, *prefix).is_ok_and(|net| nets.contains(&net.network()))
            }),
            IpAddr::V6(address) => self.v6.iter().any(|(prefix, nets)| {
                Ipv6Net::new(address, *prefix).is_ok_and(|net| nets.contains(&net.network()))
            }),
        }
    }
}

impl Bans {
    /// Has these hold from now on, and no others.
    pub fn set<'a>(&self, all: impl IntoIterator<Item = &'a Banned>) {
        let mut set = BanSet::default();
        all.into_iter().for_each(|banned| set.add(banned));
        let any = !(set.users.is_empty()
            && set.tenant_users.is_empty()
            && set.v4.is_empty()
            && set.v6.is_empty());
        *self.set.write().unwrap_or_else(PoisonError::into_inner) = set;
        self.any.store(any, Ordering::Release);
    }

    fn asks(&self, ask: impl FnOnce(&BanSet) -> bool) -> bool {
        self.any.load(Ordering::Acquire)
            && ask(&self.set.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether a user of this tenant is banned that has any of these names.
    #[must_use]
    pub fn has_user(&self, tenant: &TenantName, names: [&str; 2]) -> bool {
        self.asks(|set| set.has_user(tenant, names))
    }

    /// Whether an address is banned.
    #[must_use]
    pub fn has_address(&self, address: IpAddr) -> bool {
        self.asks(|set| set.has_address(address))
    }

    /// As [`has_user`](Self::has_user), for a request, which counts.
    pub fn refuses_user(&self, tenant: &TenantName, names: [&str; 2]) -> bool {
        let has = self.has_user(tenant, names);
        self.refused[0].fetch_add(has.into(), Ordering::Relaxed);
        has
    }

    /// As [`has_address`](Self::has_address), for a request or a connection, which counts.
    pub fn refuses_address(&self, address: IpAddr) -> bool {
        let has = self.has_address(address);
        if has {
            self.refused[1].fetch_add(1, Ordering::Relaxed);
        }
        has
    }

    /// The numbers of users, and of addresses and networks, that are banned.
    #[must_use]
    pub fn number(&self) -> [usize; 2] {
        let set = self.set.read().unwrap_or_else(PoisonError::into_inner);
        let v4 = set.v4.iter().map(|(_, nets)| nets.len()).sum::<usize>();
        let of_tenants = set.tenant_users.values().map(HashSet::len).sum::<usize>();
        [
            set.users.len() + of_tenants,
            v4 + set.v6.iter().map(|(_, nets)| nets.len()).sum::<usize>(),
        ]
    }

    /// The numbers of requests that were refused to users, and of requests and connections that were refused to
    /// addresses.
    #[must_use]
    pub fn refused(&self) -> [u64; 2] {
        self.refused.each_ref().map(|count| count.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bans(all: &[(&str, &str)]) -> Bans {
        let all: Vec<_> =
            all.iter().map(|(kind, value)| Banned::of(kind, value).unwrap()).collect();
        let bans = Bans::default();
        bans.set(&all);
        bans
    }

    #[test]
    fn a_user_is_banned_by_either_name_and_by_no_part_of_one() {
        let bans = bans(&[("user", "@alice:domain.org")]);
        assert!(bans.has_user(
            &TenantName::default(),
            ["1700000000:@alice:domain.org", "@alice:domain.org"]
        ));
        assert!(!bans.has_user(&TenantName::default(), ["alice", "@alice:domain.or"]));
        assert!(!bans.has_address(Ipv4Addr::LOCALHOST.into()));
    }

    #[test]
    fn a_user_of_a_tenant_is_banned_in_that_tenant_alone_and_one_of_none_in_all() {
        let bans = bans(&[
            ("tenant-user", "acme/alice"),
            ("tenant-user", "default/bob"),
            ("user", "carol"),
        ]);
        let [acme, beta] = ["acme", "beta"].map(|name| name.parse::<TenantName>().unwrap());
        let default = TenantName::default();
        for (name, expected) in [
            ("alice", [true, false, false]),
            ("bob", [false, false, true]),
            ("carol", [true, true, true]),
            ("acme/alice", [false, false, false]),
        ] {
            let has = [&acme, &beta, &default].map(|tenant| bans.has_user(tenant, ["x", name]));
            assert_eq!(has, expected, "{name}");
        }
        assert_eq!(bans.number(), [3, 0]);
    }

    #[test]
    fn addresses_are_found_in_networks_of_any_length_and_of_both_families() {
        let bans = bans(&[
            ("address", "192.0.2.7"),
            ("network", "198.51.100.0/25"),
            ("network", "10.1.2.3/8"),
            ("network", "2001:db8:1::/48"),
            ("address", "2001:db8::7"),
        ]);
        for inside in [
            "192.0.2.7",
            "::ffff:192.0.2.7",
            "198.51.100.127",
            "10.9.9.9",
            "2001:db8:1:2::3",
            "2001:db8::7",
        ] {
            assert!(bans.has_address(inside.parse().unwrap()), "{inside}");
        }
        for outside in ["192.0.2.8", "198.51.100.128", "11.0.0.0", "2001:db8:2::", "2001:db8::8"] {
            assert!(!bans.has_address(outside.parse().unwrap()), "{outside}");
        }
        assert!(!bans.has_user(&TenantName::default(), ["192.0.2.7", ""]));
    }

    #[test]
    fn a_ban_is_written_as_it_is_read_and_the_same_one_in_one_way() {
        for (kind, value, read_kind, read_value) in [
            ("user", "alice", "user", "alice"),
            ("tenant-user", "acme/a/b", "tenant-user", "acme/a/b"),
            ("tenant-user", "default/alice", "tenant-user", "default/alice"),
            ("address", "::ffff:192.0.2.7", "address", "192.0.2.7"),
            ("network", "192.0.2.7/32", "address", "192.0.2.7"),
            ("network", "192.0.2.7/24", "network", "192.0.2.0/24"),
            ("network", "::ffff:192.0.2.7/120", "network", "192.0.2.0/24"),
            ("network", "2001:DB8::1/32", "network", "2001:db8::/32"),
        ] {
            let banned = Banned::of(kind, value).unwrap();
            assert_eq!((banned.kind(), banned.value().as_str()), (read_kind, read_value));
            assert_eq!(Banned::of(banned.kind(), &banned.value()), Ok(banned));
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for (kind, value, error) in [
            ("tenant-user", "alice", BanError::Tenant),
            ("tenant-user", "a b/alice", BanError::Tenant),
            ("tenant-user", "acme/", BanError::Name),
            ("user", "", BanError::Name),
            ("user", "a\nb", BanError::Name),
            ("user", &"x".repeat(509), BanError::Name),
            ("address", "192.0.2.0/24", BanError::Address),
            ("address", "localhost", BanError::Address),
            ("network", "192.0.2.0", BanError::Network),
            ("network", "0.0.0.0/0", BanError::TooLarge),
            ("network", "10.0.0.0/7", BanError::TooLarge),
            ("network", "::/0", BanError::TooLarge),
            ("network", "::ffff:0:0/96", BanError::TooLarge),
            ("host", "example.org", BanError::Address),
        ] {
            assert_eq!(Banned::of(kind, value), Err(error), "{kind} {value}");
        }
    }

    #[test]
    fn what_is_set_replaces_all_and_what_is_refused_is_counted() {
        let bans = bans(&[("user", "alice"), ("address", "192.0.2.7")]);
        let address = "192.0.2.7".parse().unwrap();
        assert!(
            bans.refuses_user(&TenantName::default(), ["alice", ""])
                && bans.refuses_address(address)
        );
        assert!(
            !bans.refuses_user(&TenantName::default(), ["bob", ""])
                && bans.refuses_address(address)
        );
        assert_eq!(bans.refused(), [1, 2]);
        bans.set([]);
        assert!(
            !bans.refuses_user(&TenantName::default(), ["alice", ""])
                && !bans.refuses_address(address)
        );
        assert_eq!(bans.refused(), [1, 2]);
    }
}
