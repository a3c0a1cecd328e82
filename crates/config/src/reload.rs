//! A configuration that takes the place of another one in a running server.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use taciturn_turn::auth::{StaticKey, StaticUser};
use taciturn_turn::{NatDiscovery, Redirect, RelayAddress};

use super::change::{Change, Changes};
use super::config::{Config, ExternalIp, Listen, Tls};
use super::key::OnReload;
use super::schema::on_reload;
use super::secret::Secret;
use super::shown::{Shown, Words};
use super::tenant::Tenant;
use super::tenants;

impl Config {
    /// What a server that runs with `old` goes on with: this configuration, but for the keys that need a
    /// restart; and what is different, in the order of the example file. Secrets are counted, never shown.
    ///
    /// Whether the listeners and the certificates can change is not known here: it depends on the sockets in
    /// use. They are as in this configuration.
    #[must_use]
    pub fn in_place_of(mut self, old: &Self) -> (Self, Vec<Change>) {
        let mut changes = Changes::default();
        // Every field is named, so that none can be forgotten here.
        let Self {
            file: _,
            realm,
            host,
            external_ip,
            stun_servers,
            relay_ports,
            workers,
            listen,
            tls,
            auth,
            peers,
            limits,
            tenants,
            redirect,
            protocol,
            nat_discovery,
            tuning,
            log,
            admin,
            process,
            fleet,
            ice,
            records,
            database,
            kernel_relay,
            state_dir,
        } = &mut self;
        take_up(&mut changes, "realm", &old.realm, realm);
        take_up(&mut changes, "host", &old.host, host);
        take_up(&mut changes, "external_ip", &old.external_ip, external_ip);
        take_up(&mut changes, "stun_servers", &old.stun_servers, stun_servers);
        if old.relay_ports != *relay_ports {
            keep_shares(&old.tenants, tenants);
        }
        take_up(&mut changes, "relay_ports", &old.relay_ports, relay_ports);
        take_up(&mut changes, "workers", &old.workers, workers);
        take_up(&mut changes, "state_dir", &old.state_dir, state_dir);
        take_up(&mut changes, "auth.users", &old.auth.users, &mut auth.users);
        // Those of secret_files and of the state directory are among them.
        take_up(&mut changes, "auth.secrets", &old.auth.secrets, &mut auth.secrets);
        auth.take_up(&old.auth, &mut changes);
        database.take_up(&old.database, &mut changes);
        list_tls(&mut changes, &old.tls, tls);
        peers.take_up(&old.peers, &mut changes);
        limits.take_up(&old.limits, &mut changes);
        list_tenants(&mut changes, &old.tenants, tenants);
        list_redirect(&mut changes, old.redirect.as_ref(), redirect.as_ref());
        take_up(&mut changes, "protocol.nat_discovery", &old.nat_discovery, nat_discovery);
        protocol.take_up(&old.protocol, &mut changes);
        log.take_up(&old.log, &mut changes);
        admin.take_up(&old.admin, &mut changes);
        process.take_up(&old.process, &mut changes);
        fleet.take_up(&old.fleet, &mut changes);
        // Those of token_files are among them.
        take_up(&mut changes, "ice.tokens", &old.ice.tokens, &mut ice.tokens);
        take_up(&mut changes, "ice.uris", &old.ice.uris, &mut ice.uris);
        ice.take_up(&old.ice, &mut changes);
        records.take_up(&old.records, &mut changes);
        kernel_relay.take_up(&old.kernel_relay, &mut changes);
        tuning.take_up(&old.tuning, &mut changes);
        list_listeners(&mut changes, &old.listen, listen);
        (self, changes.0)
    }
}

/// A key with a field of its own.
fn take_up<T: Shown + Clone>(changes: &mut Changes, key: &'static str, old: &T, new: &mut T) {
    changes.take_up(key, on_reload(key), old, new);
}

fn list(changes: &mut Changes, key: &'static str, old: &Words, new: &Words) {
    changes.list(key, on_reload(key), old, new);
}

fn list_tls(changes: &mut Changes, old: &Tls, new: &Tls) {
    let Tls { certificates } = old;
    list(changes, "tls", &Words::entries(certificates), &Words::entries(&new.certificates));
}

fn list_redirect(changes: &mut Changes, old: Option<&Redirect>, new: Option<&Redirect>) {
    let servers = |redirect: Option<&Redirect>, of: fn(&Redirect) -> [Option<SocketAddr>; 2]| {
        let servers = redirect.map(of).unwrap_or_default();
        let servers: Vec<_> = servers.iter().flatten().map(SocketAddr::to_string).collect();
        Words::One(servers.join(", "))
    };
    let plain = |redirect| servers(redirect, |redirect| redirect.plain);
    list(changes, "redirect.servers", &plain(old), &plain(new));
    let secure = |redirect| servers(redirect, |redirect| redirect.secure);
    list(changes, "redirect.tls_servers", &secure(old), &secure(new));
    let domain = |redirect: Option<&Redirect>| {
        let domain = redirect.and_then(|redirect| redirect.domain.as_deref());
        Words::One(domain.unwrap_or_default().to_owned())
    };
    list(changes, "redirect.tls_domain", &domain(old), &domain(new));
}

/// Tenants keep the ports that they have for themselves, as other relay ports need a restart. A new one shares those
/// that no tenant has until then.
fn keep_shares(old: &[Tenant], new: &mut [Tenant]) {
    for tenant in new {
        let before = old.iter().find(|before| before.name == tenant.name);
        tenant.relay_ports = before.and_then(|before| before.relay_ports);
    }
}

fn list_tenants(changes: &mut Changes, old: &[Tenant], new: &[Tenant]) {
    let told = |tenant: &Tenant| {
        let Tenant {
            name,
            realm,
            server_names,
            users: _,
            secrets: _,
            ice_tokens: _,
            limits,
            peers,
            relay_ports,
        } = tenant;
        let mut text = format!("{name} (realm {realm}");
        for (what, names) in
            [("for", server_names.clone()), ("limits", tenants::own_limits(limits))]
        {
            if !names.is_empty() {
                text = format!("{text}, {what} {}", names.join(" "));
            }
        }
        if let Some(ports) = relay_ports {
            text = format!("{text}, ports {ports}");
        }
        let allow = peers.allow.iter().map(|peer| format!("allows {peer}"));
        let deny = peers.deny.iter().map(|peer| format!("denies {peer}"));
        let peers: Vec<_> = allow.chain(deny).collect();
        if !peers.is_empty() {
            text = format!("{text}, {}", peers.join(" "));
        }
        text + ")"
    };
    let all = |tenants: &[Tenant]| Words::Entries(tenants.iter().map(told).collect());
    list(changes, "tenant", &all(old), &all(new));
    // Of each tenant: the same secret in another one is another.
    let secret = |tenants: &[Tenant], of: fn(&Tenant) -> Words| {
        let mut all = BTreeMap::new();
        for tenant in tenants {
            let Words::Secret(own) = of(tenant) else { continue };
            let name = tenant.name.to_string().into_bytes();
            all.extend(
                own.into_iter().map(|(key, value)| ([&name[..], b"/", &key].concat(), value)),
            );
        }
        Words::Secret(all)
    };
    let users: fn(&Tenant) -> Words = |tenant| tenant.users.words();
    let secrets: fn(&Tenant) -> Words = |tenant| tenant.secrets.words();
    let tokens: fn(&Tenant) -> Words = |tenant| tenant.ice_tokens.words();
    changes.list("tenant.users", OnReload::Applied, &secret(old, users), &secret(new, users));
    changes.list("tenant.secrets", OnReload::Applied, &secret(old, secrets), &secret(new, secrets));
    changes.list(
        "tenant.ice.tokens",
        OnReload::Applied,
        &secret(old, tokens),
        &secret(new, tokens),
    );
}

fn list_listeners(changes: &mut Changes, old: &[Listen], new: &[Listen]) {
    let bound = |listen: &Listen| {
        let Listen {
            name,
            transport,
            address,
            explicit: _,
            for_links: _,
            cert,
            proxy_protocol,
            trusted_proxies,
            realm,
        } = listen;
        let mut text = format!("{} {address} ({name}", transport.name());
        if cert.is_some() {
            text.push_str(", a certificate of its own");
        }
        if let Some(realm) = realm {
            text.push_str(", realm ");
            text.push_str(realm);
        }
        if *proxy_protocol {
            let proxies: Vec<_> = trusted_proxies.iter().map(ToString::to_string).collect();
            text.push_str(", PROXY protocol from ");
            text.push_str(&proxies.join(" "));
        }
        text + ")"
    };
    let all = |listen: &[Listen]| Words::Entries(listen.iter().map(bound).collect());
    list(changes, "listen", &all(old), &all(new));
    let certificates = |listen: &[Listen]| {
        let own = |listen: &Listen| Some(format!("{} for {}", listen.cert.as_ref()?, listen.name));
        Words::Entries(listen.iter().filter_map(own).collect())
    };
    list(changes, "listen.cert", &certificates(old), &certificates(new));
}

impl Shown for ExternalIp {
    fn words(&self) -> Words {
        Words::One(match self {
            Self::Auto => "auto".to_owned(),
            Self::Given(given) => addresses(given),
        })
    }
}

fn addresses(given: &[RelayAddress]) -> String {
    let show = |address: &RelayAddress| match address {
        RelayAddress { public, local } if public == local => public.to_string(),
        RelayAddress { public, local } => format!("{public}/{local}"),
    };
    given.iter().map(show).collect::<Vec<_>>().join(", ")
}

impl Shown for Option<NatDiscovery> {
    fn words(&self) -> Words {
        Words::One(match self {
            None => "off".to_owned(),
            Some(NatDiscovery { addresses: given, ports: [low, high] }) => {
                let given: Vec<_> = given.iter().flatten().flatten().copied().collect();
                format!("{} at {low} and {high}", addresses(&given))
            }
        })
    }
}

impl Shown for Vec<StaticUser> {
    fn words(&self) -> Words {
        let key = |user: &StaticUser| match &user.key {
            StaticKey::Password(password) => password.as_bytes().to_vec(),
            // No password has a zero byte.
            StaticKey::Md5(key) => [&[0], &key[..]].concat(),
        };
        let named = |user: &StaticUser| (user.name.clone().into_bytes(), key(user));
        Words::Secret(self.iter().map(named).collect())
    }
}

impl Shown for Vec<Secret> {
    fn words(&self) -> Words {
        let secrets = self.iter().map(|secret| (secret.secret.expose().to_vec(), Vec::new()));
        Words::Secret(BTreeMap::from_iter(secrets))
    }
}
