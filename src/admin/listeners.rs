//! The listeners of a running server: what each serves, and which stay, come and go when another
//! configuration replaces the one in use.

use std::net::SocketAddr;
use std::sync::Arc;

use super::certificates::{CertificateError, Certificates};
use super::sockets::{InTheWay, has_port, in_the_way, same_socket};
use taciturn_config::{Config, Listen, Transport};
use taciturn_net::{
    DtlsSettings, Entrances, ListenerChange, ListenerId, Speaks, StreamSettings, Wanted,
};
use taciturn_tls::{CertStore, TlsServer};

/// Why the listeners of a configuration cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// For want of a certificate.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// An address is in use.
    #[error(transparent)]
    InTheWay(#[from] InTheWay),
}

/// One listener.
#[derive(Clone, Debug)]
struct Entry {
    id: ListenerId,
    listen: Listen,
    store: Option<Arc<CertStore>>,
    wanted: Wanted,
}

/// A listener that was removed and is open for the clients it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closing {
    /// Which.
    pub id: ListenerId,
    /// As it was configured.
    pub name: String,
    /// Likewise.
    pub address: SocketAddr,
    /// Likewise.
    pub transport: Transport,
}

/// All of them: those that take clients, and those that were removed and have some left.
#[derive(Clone, Debug, Default)]
pub struct ListenerTable {
    next: u32,
    open: Vec<Entry>,
    retired: Vec<Entry>,
}

/// The table of another configuration, and the steps to get there.
#[derive(Clone, Debug)]
pub struct Moved {
    /// The table as it will be.
    pub table: ListenerTable,
    /// The listeners to bind before anything is changed.
    pub added: Vec<(ListenerId, Wanted)>,
    /// What becomes of the others.
    pub changes: Vec<ListenerChange>,
}

impl ListenerTable {
    /// The listeners of a server that starts. A configured listener is never dropped in silence.
    ///
    /// # Errors
    /// When one cannot be served.
    pub fn new(config: &Config, certificates: &Certificates) -> Result<Self, CertificateError> {
        let mut table = Self::default();
        for listen in &config.listen {
            let entry = table.entry(listen, certificates)?;
            table.open.push(entry);
        }
        Ok(table)
    }

    /// The listeners to bind that accept clients.
    #[must_use]
    pub fn wanted(&self) -> Vec<(ListenerId, Wanted)> {
        self.open.iter().map(|entry| (entry.id, entry.wanted.clone())).collect()
    }

    /// The realms of those that have one of their own, with those that were removed and have clients still; and
    /// whether names that clients ask for by TLS matter.
    #[must_use]
    pub fn entrances(&self, config: &Config) -> Entrances {
        let all = self.open.iter().chain(&self.retired);
        let realms =
            all.filter_map(|entry| Some((entry.id, entry.listen.realm.as_deref()?.into())));
        let by_name = config.tenants.iter().any(|tenant| !tenant.server_names.is_empty());
        Entrances::new(realms, by_name)
    }

    /// Those that speak DTLS.
    pub fn dtls(&self) -> impl Iterator<Item = &Arc<DtlsSettings>> {
        self.open.iter().filter_map(|entry| match &entry.wanted {
            Wanted::Dtls(settings) | Wanted::UdpAndDtls(settings) => Some(settings),
            Wanted::Udp(_) | Wanted::Stream(_) => None,
        })
    }

    /// Those that were removed and are still to be closed.
    #[must_use]
    pub fn retired(&self) -> Vec<ListenerId> {
        self.retired.iter().map(|entry| entry.id).collect()
    }

    /// The same, for who asks how the server is.
    #[must_use]
    pub fn closing(&self) -> Vec<Closing> {
        let closing = |Entry { id, listen, .. }: &Entry| Closing {
            id: *id,
            name: listen.name.clone(),
            address: listen.address,
            transport: listen.transport,
        };
        self.retired.iter().map(closing).collect()
    }

    /// Forgets one that was removed, and returns its name.
    pub fn forget(&mut self, id: ListenerId) -> Option<String> {
        let at = self.retired.iter().position(|entry| entry.id == id)?;
        Some(self.retired.remove(at).listen.name)
    }

    /// The way to the listeners of another configuration, of which `certificates` are. Nothing is
    /// changed yet.
    ///
    /// # Errors
    /// When one of them cannot be served, or its address is held by one that was removed.
    pub fn successor(
        &self,
        config: &Config,
        certificates: &Certificates,
    ) -> Result<Moved, ListenError> {
        let mut table = Self { next: self.next, ..Self::default() };
        let (mut leaving, mut retired) = (self.open.clone(), self.retired.clone());
        let (mut added, mut changes) = (Vec::new(), Vec::new());
        for listen in &config.listen {
            let stays = take(&mut leaving, listen, same_socket);
            // What is gone but for its calls comes back. Of connections nothing is left to come back.
            let revived = |listen: &Listen, other: &Listen| {
                same_socket(listen, other) && listen.transport.is_datagram() && has_port(listen)
            };
            let known = match stays {
                Some(entry) => Some(entry),
                None => take(&mut retired, listen, revived).inspect(|entry| {
                    changes.push(ListenerChange::Revive(entry.id));
                }),
            };
            let Some(known) = known else {
                let entry = table.entry(listen, certificates)?;
                added.push((entry.id, entry.wanted.clone()));
                table.open.push(entry);
                continue;
            };
            let store = store_for(listen, certificates)?;
            let entry = if known.serves_as(listen, store.as_ref()) {
                Entry { listen: listen.clone(), ..known }
            } else {
                let wanted = wanted(listen, store.as_ref())?;
                changes.push(ListenerChange::Settings(known.id, wanted.clone()));
                Entry { id: known.id, listen: listen.clone(), store, wanted }
            };
            table.open.push(entry);
        }
        // Connections go on without their listener: it can make room at once.
        let datagrams = |entry: &&Entry| entry.listen.transport.is_datagram();
        let holders = leaving.iter().chain(retired.iter().filter(datagrams));
        for entry in table.open.iter().filter(|entry| added.iter().any(|(id, _)| *id == entry.id)) {
            if let Some(holder) =
                holders.clone().find(|other| in_the_way(&entry.listen, &other.listen))
            {
                let (wanted, holder) = (entry.listen.name.clone(), holder.listen.name.clone());
                return Err(InTheWay { wanted, address: entry.listen.address, holder }.into());
            }
        }
        changes.extend(leaving.iter().map(|entry| ListenerChange::Retire(entry.id)));
        table.retired = retired;
        table.retired.extend(leaving);
        Ok(Moved { table, added, changes })
    }

    fn entry(
        &mut self,
        listen: &Listen,
        certificates: &Certificates,
    ) -> Result<Entry, CertificateError> {
        let id = ListenerId(self.next);
        self.next += 1;
        let store = store_for(listen, certificates)?;
        let wanted = wanted(listen, store.as_ref())?;
        Ok(Entry { id, listen: listen.clone(), store, wanted })
    }
}

impl Entry {
    /// Whether it already serves what another configuration requires.
    fn serves_as(&self, listen: &Listen, store: Option<&Arc<CertStore>>) -> bool {
        let Listen { name, transport, proxy_protocol, trusted_proxies, .. } = &self.listen;
        let same_store = match (&self.store, store) {
            (Some(ours), Some(theirs)) => Arc::ptr_eq(ours, theirs),
            (None, None) => true,
            _ => false,
        };
        same_store
            && *name == listen.name
            && *transport == listen.transport
            && *proxy_protocol == listen.proxy_protocol
            && *trusted_proxies == listen.trusted_proxies
    }
}

/// Takes the first one that fits out of a list.
fn take(
    from: &mut Vec<Entry>,
    listen: &Listen,
    fits: impl Fn(&Listen, &Listen) -> bool,
) -> Option<Entry> {
    let at = from.iter().position(|entry| fits(listen, &entry.listen))?;
    Some(from.remove(at))
}

fn store_for(
    listen: &Listen,
    certificates: &Certificates,
) -> Result<Option<Arc<CertStore>>, CertificateError> {
    listen.transport.is_secure().then(|| certificates.store(listen)).transpose()
}

fn wanted(listen: &Listen, store: Option<&Arc<CertStore>>) -> Result<Wanted, CertificateError> {
    let store = || {
        store.map(Arc::clone).ok_or_else(|| CertificateError::Missing {
            name: listen.name.clone(),
            transport: listen.transport.name(),
        })
    };
    let dtls = || -> Result<_, CertificateError> {
        Ok(Arc::new(DtlsSettings::new(&listen.name, listen.address, store()?)?))
    };
    let speaks = match listen.transport {
        Transport::Udp => return Ok(Wanted::Udp(listen.address)),
        Transport::Dtls => return Ok(Wanted::Dtls(dtls()?)),
        Transport::UdpAndDtls => return Ok(Wanted::UdpAndDtls(dtls()?)),
        Transport::Tcp => Speaks::Plain,
        Transport::Tls => Speaks::Tls(TlsServer::new(store()?)),
        Transport::Auto => Speaks::Either(TlsServer::new(store()?)),
    };
    Ok(Wanted::Stream(Arc::new(StreamSettings {
        name: listen.name.clone(),
        address: listen.address,
        speaks,
        trusted_proxies: listen.proxy_protocol.then(|| listen.trusted_proxies.clone()),
    })))
}

#[cfg(test)]
mod tests {
    use super::super::sockets::check_sockets;
    use super::*;

    /// A server with these listeners, each `transport address name`.
    fn config(listeners: &[&str]) -> Config {
        let mut text = "[auth]\nsecrets = [\"a secret for this test\"]\n".to_owned();
        for listener in listeners {
            let [transport, address, name] =
                listener.split(' ').collect::<Vec<_>>().try_into().unwrap();
            text.push_str(&format!(
                "[[listen]]\ntransport = \"{transport}\"\naddress = \"{address}\"\nname = \"{name}\"\n"
            ));
        }
        Config::from_toml(&text).unwrap().config
    }

    fn none() -> Certificates {
        Certificates::open(&config(&["udp [::]:1 u"])).unwrap()
    }

    fn table(listeners: &[&str]) -> ListenerTable {
        ListenerTable::new(&config(listeners), &none()).unwrap()
    }

    fn moved(from: &ListenerTable, to: &[&str]) -> Result<Moved, String> {
        from.successor(&config(to), &none()).map_err(|error| error.to_string())
    }

    /// The changes in short: kind and number.
    fn short(moved: &Moved) -> Vec<(char, u32)> {
        let short = |change: &ListenerChange| match change {
            ListenerChange::Settings(id, _) => ('s', id.0),
            ListenerChange::Retire(id) => ('-', id.0),
            ListenerChange::Revive(id) => ('^', id.0),
            ListenerChange::Close(id) => ('x', id.0),
        };
        let added = moved.added.iter().map(|(id, _)| ('+', id.0));
        added.chain(moved.changes.iter().map(short)).collect()
    }

    #[test]
    fn listeners_come_and_go_and_the_others_stay() {
        let first = table(&["udp [::]:3478 u", "tcp [::]:3478 t"]);
        let same = moved(&first, &["tcp [::]:3478 t", "udp [::]:3478 u"]).unwrap();
        assert_eq!(short(&same), []);
        let other = moved(&first, &["udp [::]:3478 u", "udp [::]:3479 v"]).unwrap();
        assert_eq!(short(&other), [('+', 2), ('-', 1)]);
        assert_eq!(other.table.retired(), [ListenerId(1)]);
        let mut table = other.table;
        assert_eq!(table.forget(ListenerId(1)).as_deref(), Some("t"));
        assert_eq!(table.forget(ListenerId(1)), None);
        let renamed = moved(&table, &["udp [::]:3478 u", "udp [::]:3479 w"]).unwrap();
        assert_eq!(short(&renamed), [('s', 2)]);
    }

    #[test]
    fn datagrams_come_back_to_the_socket_that_serves_their_calls() {
        let first = table(&["udp [::]:3478 u", "tcp [::]:3478 t"]);
        let gone = moved(&first, &["udp [::]:1 other"]).unwrap();
        assert_eq!(short(&gone), [('+', 2), ('-', 0), ('-', 1)]);
        let back = moved(&gone.table, &["udp [::]:3478 u", "tcp [::]:3478 t"]).unwrap();
        // A listener for connections has closed its socket, and is opened again.
        assert_eq!(short(&back), [('+', 3), ('^', 0), ('-', 2)]);
        assert_eq!(back.table.retired(), [ListenerId(1), ListenerId(2)]);
    }

    #[test]
    fn an_address_that_is_held_is_said_so() {
        let first = table(&["udp [::]:3478 old", "udp 127.0.0.1:9 other"]);
        for new in ["udp 127.0.0.1:3478 new", "udp 0.0.0.0:3478 new", "udp [::1]:3478 new"] {
            let error = moved(&first, &[new]).unwrap_err();
            assert!(error.contains("\"new\"") && error.contains("\"old\""), "{error}");
            assert!(
                check_sockets(&config(&["udp [::]:3478 old"]).listen, &config(&[new]).listen)
                    .is_err()
            );
        }
        let gone = moved(&first, &["udp 127.0.0.1:9 other"]).unwrap().table;
        assert!(moved(&gone, &["udp 127.0.0.1:3478 new"]).is_err(), "it has calls still");
        assert!(moved(&first, &["udp [::]:3478 old", "tcp 127.0.0.1:3478 new"]).is_ok());
        assert!(moved(&first, &["udp [::]:3478 old", "udp 127.0.0.2:9 new"]).is_ok());
    }

    #[test]
    fn plain_clients_keep_their_socket_where_dtls_comes_and_goes() {
        let listen = |transport, address: &str| Listen {
            transport,
            address: address.parse().unwrap(),
            ..config(&["udp [::]:3478 u"]).listen.remove(0)
        };
        let goes_on = |new, old| same_socket(&listen(new, "[::]:3478"), &listen(old, "[::]:3478"));
        use Transport::{Auto, Dtls, Tcp, Tls, Udp, UdpAndDtls};
        for (old, may_become) in [
            (Udp, &[Udp, UdpAndDtls][..]),
            (UdpAndDtls, &[Udp, UdpAndDtls]),
            (Dtls, &[Dtls, UdpAndDtls]),
            (Tcp, &[Tcp, Tls, Auto]),
            (Tls, &[Tcp, Tls, Auto]),
            (Auto, &[Tcp, Tls, Auto]),
        ] {
            for new in Transport::ALL {
                assert_eq!(goes_on(new, old), may_become.contains(&new), "{old:?} {new:?}");
            }
        }
        assert!(!same_socket(&listen(UdpAndDtls, "[::]:3479"), &listen(Udp, "[::]:3478")));
        let (both, dtls) = (listen(UdpAndDtls, "[::]:3478"), listen(Dtls, "127.0.0.1:3478"));
        assert!(
            check_sockets(std::slice::from_ref(&both), &[dtls]).is_err(),
            "plain clients cannot be told"
        );
        assert!(check_sockets(std::slice::from_ref(&both), &[listen(Tcp, "[::]:3478")]).is_ok());
        assert!(check_sockets(&[listen(Udp, "[::]:3478")], &[both]).is_ok());
    }

    #[test]
    fn of_listeners_on_any_port_the_name_tells_them_apart() {
        let first = table(&["udp 127.0.0.1:0 a", "udp 127.0.0.1:0 b"]);
        let fewer = moved(&first, &["udp 127.0.0.1:0 b"]).unwrap();
        assert_eq!(short(&fewer), [('-', 0)]);
        let again = moved(&fewer.table, &["udp 127.0.0.1:0 b", "udp 127.0.0.1:0 a"]).unwrap();
        assert_eq!(short(&again), [('+', 2)]);
    }
}
