//! The server as a node of a fleet: it tells of itself, and obeys bans and kicks of the others.
//!
//! The task in `taciturn-fleet` speaks with the board. What it has read arrives here, between the other tasks of the
//! main thread.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use taciturn::admin::ServerHandle;
use taciturn::admin::control::FleetAnswer;
use taciturn::bans::Tell;
use taciturn_config::{Config, FleetPlace};
use taciturn_control::{Answer, Error, ErrorKind, FleetNode, FleetReport};
use taciturn_fleet::{
    BoardBan, BoardKick, Contents, EntryWriter, Fleet, NodeRecord, Order, Place, Sentinels,
    Settings, State,
};
use taciturn_net::external::External;
use taciturn_net::{Clock, Workers};
use taciturn_records::{Delivery, Receiver, Refused};
use taciturn_turn::policy::Banned;
use taciturn_turn::{Alternates, Rules, TenantName, Whose};
use tokio::sync::oneshot;

use super::bans::BanKeeper;
use super::failure::Failure;
use super::fleet_counts::{self, Process, SharedQuota};
use super::fleet_keys::{CredentialsHash, KeyRing};
use super::fleet_questions::FleetQuestions;
use super::fleet_redirect::{Servers, own_addresses, room, servers};
use super::node_name::node_name;

/// How often the same is told to a board that does not keep it.
const REPEAT: Duration = Duration::from_secs(5);

/// A server's place in a fleet, if it has one.
pub(super) struct FleetMember {
    fleet: Option<Fleet>,
    quota: Option<SharedQuota>,
    keys: Option<KeyRing>,
    /// Whether clients are sent to others.
    redirects: bool,
    alternates: Arc<Alternates>,
    questions: Option<FleetQuestions>,
    node: String,
    /// Kicks that were obeyed: user, and when.
    obeyed: HashMap<String, u64>,
    told: Option<Instant>,
    /// Which board was read last.
    epoch: String,
}

impl FleetMember {
    /// Joins, if the configuration says so. Within a runtime.
    pub(super) fn join(
        config: &Config,
        external: &External,
        server: &ServerHandle,
        rules: &Rules,
        clock: Clock,
    ) -> Result<Self, Failure> {
        let node = node_name(config);
        let settings = settings(config);
        let mut boot = [0; 8];
        getrandom::fill(&mut boot).map_err(|error| format!("no randomness: {error}"))?;
        let own = described(
            config,
            external,
            NodeRecord {
                node: node.clone(),
                boot: u64::from_be_bytes(boot) >> 12, // a number of JSON for everybody
                version: env!("CARGO_PKG_VERSION").to_owned(),
                // Until it is looked at: a server that has just started serves.
                ready: true,
                ..NodeRecord::default()
            },
        );
        let questions =
            settings.clone().map(|settings| FleetQuestions::start(settings, own.boot, server));
        let (counts, counted) = fleet_counts::listener();
        let fleet = settings.map(|settings| Fleet::start(settings, own, vec![counts]));
        let quota = fleet.as_ref().map(|fleet| {
            let process = Process { node: &node, began: milliseconds_now() };
            let quota = (Arc::clone(&rules.quota), clock);
            SharedQuota::start(&process, quota, (fleet.publisher(), counted))
        });
        let mut member = Self {
            keys: fleet.is_some().then(|| KeyRing::new(config)),
            fleet,
            quota,
            redirects: false,
            alternates: Arc::clone(&rules.alternates),
            questions,
            node,
            obeyed: HashMap::new(),
            told: None,
            epoch: String::new(),
        };
        member.use_keys(config);
        Ok(member)
    }

    /// What was read, whenever it has changed; never without a fleet.
    pub(super) async fn changed(&mut self) -> Contents {
        match &mut self.fleet {
            Some(fleet) => match fleet.contents.recv().await {
                Some(contents) => contents,
                None => std::future::pending().await,
            },
            None => std::future::pending().await,
        }
    }

    /// Obeys what was read.
    pub(super) async fn obey(&mut self, read: Contents, bans: &mut BanKeeper, workers: &Workers) {
        let Contents { epoch, bans: on_board, kicks, has_lost } = read;
        if has_lost {
            bans.doubt_fleet();
            self.told = None;
        }
        let on_board: BTreeMap<_, _> =
            on_board.into_iter().filter_map(|ban| Some((banned(&ban.whom)?, ban.until))).collect();
        bans.merge(&epoch, &on_board, workers).await;
        if self.epoch != epoch {
            // This one was not told of anything yet.
            (self.epoch, self.told) = (epoch, None);
        }
        self.tell_again(bans);
        let mut obeyed = HashMap::new();
        for BoardKick { user, at } in kicks {
            if self.obeyed.get(&user) != Some(&at) {
                let whose = kicked(&user);
                let age = Duration::from_millis(milliseconds_now().saturating_sub(at));
                match workers.kick_older(&whose, age).await {
                    Ok(0) => {}
                    Ok(allocations) => {
                        tracing::info!(user, allocations, "ended by the operator of the fleet");
                    }
                    Err(error) => tracing::warn!("fleet: a kick was not obeyed: {error}"),
                }
            }
            obeyed.insert(user, at);
        }
        self.obeyed = obeyed;
    }

    /// Has the board told of what it has not, but not all the time: it may not keep it.
    fn tell_again(&mut self, bans: &BanKeeper) {
        if self.told.is_none_or(|told| told.elapsed() >= REPEAT) {
            self.tell(&bans.outstanding());
        }
    }

    /// Has the board told of bans. Returns whether it will be; `None` without a fleet, or if there is nothing to tell.
    fn tell(&mut self, tell: &Tell) -> Option<bool> {
        let fleet = self.fleet.as_ref().filter(|_| !tell.is_empty())?;
        let ban = |(banned, until): &(Banned, Option<u64>)| BoardBan {
            whom: member(banned),
            until: *until,
        };
        let told = fleet.tell(Order::Bans {
            add: tell.add.iter().map(ban).collect(),
            remove: tell.remove.iter().map(member).collect(),
        });
        if told {
            self.told = Some(Instant::now());
        }
        Some(told)
    }

    /// Has the board told of what an operator has done here, and adds to the answer whether it is.
    pub(super) fn told(&mut self, answer: Answer, bans: &BanKeeper) -> Answer {
        let Answer::Messages(mut messages) = answer else { return answer };
        messages.extend(self.tell(&bans.outstanding()).map(|told| match told {
            true => "the fleet is told".to_owned(),
            false => "the fleet is told when it can be asked again".to_owned(),
        }));
        Answer::Messages(messages)
    }

    /// Has all nodes end the sessions of a user, this one at once.
    pub(super) async fn kick(&self, whose: Whose, workers: &Workers) -> Result<Answer, Error> {
        let refused = |text: String| Error::new(ErrorKind::NotPossible, text);
        let fleet = self.fleet.as_ref().ok_or_else(|| refused(NO_FLEET.to_owned()))?;
        let user = whose.user.as_deref().unwrap_or_default();
        Banned::user(user).map_err(|error| Error::new(ErrorKind::InvalidArgument, error))?;
        let ended = workers.kick(&whose).await;
        let ended = ended.map_err(|error| Error::new(ErrorKind::Internal, error))?;
        tracing::info!(allocations = ended, "ended by the operator");
        let here = format!("{ended} allocations ended here");
        if !fleet.tell(Order::Kick(BoardKick {
            user: kick_member(user, whose.tenant.as_ref()),
            at: milliseconds_now(),
        })) {
            let trouble = fleet.state().trouble.unwrap_or_default();
            return Err(refused(format!("{here}; the other servers are not told: {trouble}")));
        }
        Ok(Answer::Messages(vec![here, "the fleet is told".to_owned()]))
    }

    /// What is known of the fleet.
    pub(super) fn report(&self) -> Result<Answer, Error> {
        let Some(fleet) = &self.fleet else {
            return Err(Error::new(ErrorKind::NotPossible, NO_FLEET));
        };
        let State { trouble, master, name_taken, nodes, losses: _ } = fleet.state();
        let node = |node: NodeRecord| FleetNode {
            node: node.node,
            version: node.version,
            listeners: node.listeners,
            relays: node.relays,
            ready: node.ready,
            allocations: node.allocations,
            ports_free: node.ports_free,
            realm: node.realm,
            credentials: node.credentials,
            clock_offset_seconds: node.clock_offset,
        };
        Ok(Answer::Fleet(Box::new(FleetReport {
            node: self.node.clone(),
            trouble,
            master,
            name_taken,
            nodes: nodes.into_iter().map(node).collect(),
        })))
    }

    /// Asks all nodes for their state, and sessions if they are wanted; goes on meanwhile.
    pub(super) fn ask(
        &self,
        sessions: bool,
        whose: Whose,
        server: &ServerHandle,
        done: oneshot::Sender<Result<FleetAnswer, Error>>,
    ) {
        match (&self.questions, &self.fleet) {
            (Some(questions), Some(fleet)) => {
                let known = fleet.state().nodes.into_iter().map(|node| node.node);
                questions.ask(sessions, whose, known.collect(), server, done);
            }
            _ => {
                // Who asks may have gone away.
                let _ = done.send(Err(Error::new(ErrorKind::NotPossible, NO_FLEET)));
            }
        }
    }

    /// What this node tells of itself from now on, and the metrics of the fleet.
    pub(super) async fn look(&mut self, server: &ServerHandle, bans: &BanKeeper) {
        let Some(fleet) = &self.fleet else { return };
        let counted = server.workers().count().await;
        fleet.describe(|own| {
            own.ready = server.health().is_ready();
            own.ports_free = server.free_ports();
            if let Ok(counted) = counted {
                own.allocations = counted.allocations as u64;
            }
            own.room = room(own.ports_free, server.ports(), own.allocations, server.limit());
        });
        let State { trouble, nodes, losses, .. } = fleet.state();
        let [udp, tcp] = match self.redirects {
            true => servers(&fleet.own(), &nodes),
            false => Servers::default(),
        };
        self.alternates.set_servers(udp, tcp);
        server.health().set_fleet(trouble.is_none(), nodes.len(), losses);
        if trouble.is_none() {
            self.tell_again(bans);
        }
    }

    /// Another process goes on in this one's place.
    pub(super) fn leave(&mut self) {
        (self.fleet, self.quota, self.questions) = (None, None, None);
        self.alternates.set_servers([None; 2], [None; 2]);
    }

    /// Shares and redirects as the configuration says, with the keys of its credentials.
    fn use_keys(&mut self, config: &Config) {
        let (Some(ring), Some(fleet), Some(quota)) = (&mut self.keys, &self.fleet, &self.quota)
        else {
            return;
        };
        let keys = ring.of(config);
        fleet.set_key(&keys.seal);
        quota.share(config.fleet.share_quotas.then_some(keys));
        self.redirects = config.fleet.redirect;
        // Those that other servers send here come in any case.
        self.alternates.set_key(Some(&keys.nonces));
    }

    /// The configuration has changed.
    pub(super) fn reconfigured(&mut self, config: &Config, external: &External) {
        self.use_keys(config);
        if let Some(fleet) = &self.fleet {
            fleet.describe(|own| *own = described(config, external, own.clone()));
        }
    }
}

/// Where the fleet meets, if this server is in one.
fn settings(config: &Config) -> Option<Settings> {
    config.fleet.url.as_ref().map(|url| Settings {
        place: match &url.place {
            FleetPlace::Tcp { host, port, tls } => {
                Place::Tcp { host: host.clone(), port: *port, tls: *tls }
            }
            FleetPlace::Unix(path) => Place::Unix(path.clone()),
            FleetPlace::Sentinel { sentinels, master, tls } => Place::Sentinel(Sentinels {
                at: sentinels.clone(),
                master: master.clone(),
                tls: *tls,
                user: config.fleet.sentinel_user.as_ref().map(|user| user.as_str().to_owned()),
                password_file: config.fleet.sentinel_password_file.clone(),
            }),
        },
        user: url.user.clone(),
        database: url.database,
        password_file: config.fleet.password_file.clone(),
        ca_file: config.fleet.ca_file.clone(),
        prefix: config.fleet.prefix.as_str().to_owned(),
        node: node_name(config),
    })
}

/// A stream on the board that takes records.
#[derive(Debug)]
struct RecordStream(EntryWriter);

impl Receiver for RecordStream {
    fn deliver<'a>(&'a mut self, lines: &'a [&'a [u8]]) -> Delivery<'a> {
        Box::pin(async { self.0.add("record", lines).await.map_err(Refused::because) })
    }

    fn name(&self) -> String {
        self.0.name()
    }
}

/// The stream of this name.
///
/// # Errors
/// If this server is in no fleet.
pub(super) fn record_stream(
    config: &Config,
    name: &str,
    length: u32,
) -> Result<Box<dyn Receiver>, Failure> {
    let settings = settings(config).ok_or(NO_FLEET)?;
    Ok(Box::new(RecordStream(EntryWriter::new(settings, name, length))))
}

const NO_FLEET: &str = "this server is in no fleet: set url in [fleet]";

/// What of a node follows from its configuration.
fn described(config: &Config, external: &External, own: NodeRecord) -> NodeRecord {
    let listener = |listen: &taciturn_config::Listen| {
        format!("{} {}", listen.transport.name(), listen.address)
    };
    let relays = external.addresses.iter().flatten();
    NodeRecord {
        listeners: config.listen.iter().map(listener).collect(),
        relays: relays.map(|address| address.public.to_string()).collect(),
        clients: own_addresses(config, external),
        realm: config.realm.clone(),
        credentials: CredentialsHash::of(config).shown(),
        ..own
    }
}

/// Now, in milliseconds since 1970.
fn milliseconds_now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Whose sessions are to end, as the board names them: the user, and behind a zero byte, which no name has, the
/// tenant. A server that knows no tenants has no user of such a name.
fn kick_member(user: &str, tenant: Option<&TenantName>) -> String {
    match tenant {
        None => user.to_owned(),
        Some(tenant) => format!("{user}\0{tenant}"),
    }
}

/// The same, read. What is behind the zero byte and no tenant's name stays part of the user's: nobody has it.
fn kicked(member: &str) -> Whose {
    let split = member.split_once('\0').and_then(|(user, of)| Some((user, of.parse().ok()?)));
    let (user, tenant) = split.map_or((member, None), |(user, tenant)| (user, Some(tenant)));
    Whose { user: Some(user.to_owned()), tenant, client: None }
}

/// A ban as the board names it.
fn member(banned: &Banned) -> String {
    format!("{}:{}", banned.kind(), banned.value())
}

/// A ban that the board names so; `None` if it is none.
fn banned(member: &str) -> Option<Banned> {
    let (kind, value) = member.split_once(':')?;
    let banned = Banned::of(kind, value).ok()?;
    // The same ban has one name, so that it can be ended.
    (self::member(&banned) == member).then_some(banned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kick_is_read_as_it_was_told_and_names_a_tenant_or_none() {
        let acme: TenantName = "acme".parse().unwrap_or_default();
        for tenant in [None, Some(acme), Some(TenantName::default())] {
            let Whose { user, tenant: read, client } = kicked(&kick_member("a/b", tenant.as_ref()));
            assert_eq!((user.as_deref(), read, client), (Some("a/b"), tenant, None));
        }
        assert_eq!(kicked("alice\0no tenant").user.as_deref(), Some("alice\0no tenant"));
    }
}
