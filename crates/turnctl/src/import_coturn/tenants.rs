//! The other realms of coturn's database, each as a section `[[tenant]]`.

use std::collections::{BTreeSet, HashSet};
use std::fmt::Write as _;

use taciturn_config::coturn::{Outcome, Place, Setting, Sources};
use taciturn_config::{MOST_TENANTS, Translation, is_dns_name};
use toml::{Table, Value};
use zeroize::Zeroizing;

use super::database::OfRealm;

/// The port of the first example of a listener.
const FIRST_PORT: u16 = 3480;

/// Bytes of a name that leave room for a number behind it: a name has 64 at most.
const LONGEST_NAME: usize = 60;

/// What goes before the first section.
const HEAD: &str = "
# The other realms of coturn's database, each a tenant: docs/tenants.md. coturn chooses a realm by the ORIGIN of a
# client, which browsers do not send. Here it is chosen by the name that the client asks for by TLS or DTLS, or by the
# listener that it comes to: for UDP and TCP each tenant needs a listener of its own. Decide on its port below, take
# the # off, open the port in the firewall, and give the tenant's clients this port.
";

/// Where the listeners are those by default.
const DEFAULTS: &str = "
# With a section [[listen]] those by default are off. Take the # off these as well:
#[[listen]]
#transport = \"udp\"
#address = \"[::]:3478\"
#[[listen]]
#transport = \"tcp\"
#address = \"[::]:3478\"
";

const DEFAULT_TLS: &str = "#[[listen]]\n#transport = \"tls\"\n#address = \"[::]:5349\"\n";

/// Sections for a configuration file, and what is to be said of them.
#[derive(Default)]
pub(super) struct Tenants {
    /// They hold secrets.
    pub(super) toml: Zeroizing<String>,
    pub(super) notes: Vec<String>,
    /// Lines of a turnserver.conf that are for the server itself, behind all others.
    pub(super) lines: String,
}

/// Writes the tenants. `conf` is coturn's configuration without the rows of any realm, and `server` what the server
/// itself has, in our terms.
pub(super) fn tenants(others: &[OfRealm], conf: &Sources<'_>, server: &Translation) -> Tenants {
    let mut made = Tenants::default();
    let server_toml: Table = server.toml.parse().unwrap_or_default();
    let mut taken = Taken::of(&server_toml);
    let mut written = 0;
    let mut total = limit(&server_toml, "allocations");
    for other in others {
        let Some(secrets) = taken.own_secrets(other, &mut made.notes) else { continue };
        let of_realm = Realm::of(other, conf, &mut made.notes);
        let name = taken.name(&other.realm);
        let port = taken.port();
        if written == 0 {
            made.toml.push_str(HEAD);
            if !server_toml.contains_key("listen") {
                made.toml.push_str(DEFAULTS);
                made.toml.push_str(if server_toml.contains_key("tls") { DEFAULT_TLS } else { "" });
            }
        }
        written += 1;
        total = total.zip(limit(&of_realm.0, "allocations")).map(|(one, other)| one + other);
        let number = secrets.len();
        section(&mut made.toml, &name, other, secrets);
        of_realm.keys(&server_toml).iter().for_each(|line| made.toml.push_str(line));
        leads(&mut made.toml, &other.realm, port);
        made.notes.push(format!(
            "database: realm {:?} is the tenant {name}: {} users, {} secrets. {} See the end of the new file",
            other.realm,
            other.users.len(),
            number,
            match is_dns_name(&other.realm) {
                true => "Clients that ask for this name by TLS get this realm; others need a listener of its own.",
                false => "Nothing leads to it yet: it needs a listener of its own, or server_names.",
            }
        ));
    }
    if written > 0 && Translation::of_sources(conf).settings.iter().any(is_secret) {
        made.notes.push(
            "static-auth-secret is good in every realm to coturn; here it is of the server's own alone. A tenant that \
             uses it needs a secret of its own"
                .to_owned(),
        );
    }
    if written > 0 && limit(&server_toml, "allocations").is_some() {
        let sum = match total {
            Some(total) => format!("has the sum of all, {total}"),
            None => "is left out, as a realm has no bound".to_owned(),
        };
        made.notes.push(format!(
            "total-quota is of each realm to coturn; here allocations in [limits] is for the server and all its tenants \
             together: it {sum}. Each tenant has its own besides"
        ));
        made.lines = format!("total-quota={}\n", total.unwrap_or_default());
    }
    made
}

fn is_secret(setting: &Setting) -> bool {
    setting.option == "static-auth-secret"
}

/// What no two tenants may have.
struct Taken<'a> {
    names: HashSet<String>,
    secrets: HashSet<&'a str>,
    ports: BTreeSet<u16>,
}

impl<'a> Taken<'a> {
    fn of(server: &'a Table) -> Self {
        let secrets = server.get("auth").and_then(|auth| auth.get("secrets"));
        let secrets = secrets.and_then(Value::as_array).into_iter().flatten();
        let listen = server.get("listen").and_then(Value::as_array).into_iter().flatten();
        let address = |one: &Value| one.get("address").and_then(Value::as_str).map(str::to_owned);
        let port = |text: String| text.rsplit(':').next().and_then(|port| port.parse().ok());
        Self {
            names: HashSet::from(["default".to_owned()]),
            secrets: secrets.filter_map(Value::as_str).collect(),
            ports: listen.filter_map(address).filter_map(port).collect(),
        }
    }

    /// The secrets of a realm that nobody has before it; nothing if it has neither one of these nor a user.
    fn own_secrets(&mut self, other: &'a OfRealm, notes: &mut Vec<String>) -> Option<Vec<&'a str>> {
        let own: Vec<_> = other.secrets.iter().map(|one| one.as_str()).collect();
        let own: Vec<_> = own.into_iter().filter(|one| self.secrets.insert(one)).collect();
        let shared = other.secrets.len() - own.len();
        if shared > 0 {
            notes.push(format!(
                "database: {shared} secrets of realm {:?} are left out: another realm has them as well, and it could \
                 not be told whose a login is. Give it a secret of its own",
                other.realm
            ));
        }
        if own.is_empty() && other.users.is_empty() {
            notes.push(format!(
                "database: realm {:?} is no tenant: nothing is left of it",
                other.realm
            ));
            return None;
        }
        Some(own)
    }

    /// A name that is valid, and nobody's yet.
    fn name(&mut self, realm: &str) -> String {
        let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let plain: String =
            realm.chars().take(LONGEST_NAME).map(|c| if fits(c) { c } else { '-' }).collect();
        let name = (1..=MOST_TENANTS + 1)
            .map(|n| if n == 1 { plain.clone() } else { format!("{plain}-{n}") })
            .find(|name| !self.names.contains(name));
        let name = name.unwrap_or(plain);
        self.names.insert(name.clone());
        name
    }

    /// A port that none of the listeners has.
    fn port(&mut self) -> u16 {
        let port =
            (FIRST_PORT..=u16::MAX).find(|port| !self.ports.contains(port)).unwrap_or(FIRST_PORT);
        self.ports.insert(port);
        port
    }
}

/// Peers and limits of a realm, in our terms.
struct Realm(Table);

impl Realm {
    /// As if it were the only realm of that coturn.
    fn of(other: &OfRealm, conf: &Sources<'_>, notes: &mut Vec<String>) -> Self {
        let file = Zeroizing::new(format!("{}\n{}", conf.file, other.text));
        let own_from = conf.file.lines().count();
        let translation = Translation::of_sources(&Sources { file: &file, ..*conf });
        let own = translation.settings.iter().filter(|setting| match setting.place {
            Place::Line(line) => line > own_from,
            Place::Argument(_) | Place::Nowhere => false,
        });
        let mut said = BTreeSet::new();
        for setting in own {
            let lost = match &setting.outcome {
                Outcome::Unsupported(words) | Outcome::Error(words) => Some(words),
                _ => None,
            };
            said.extend(
                lost.into_iter().chain(&setting.remarks).map(|words| (&setting.option, words)),
            );
        }
        for (option, words) in said {
            notes.push(format!("database, realm {:?}, {option}: {words}", other.realm));
        }
        Self(translation.toml.parse().unwrap_or_default())
    }

    /// Lines for what is not as the server has it.
    fn keys(&self, server: &Table) -> Vec<String> {
        let mut lines = Vec::new();
        // Where there is no number of the realm's own, that of [limits] holds.
        for (key, default) in
            [("allocations_per_user", 200), ("bytes_per_second_per_allocation", 0)]
        {
            let (own, of_server) = (limit(&self.0, key), limit(server, key));
            if own != of_server {
                lines.push(format!("limits.{key} = {}\n", own.unwrap_or(default)));
            }
        }
        if let Some(own) = limit(&self.0, "allocations") {
            lines.push(format!("limits.allocations = {own}\n"));
        }
        let of_server = peers(server, "deny");
        for (key, nets) in [
            // What is allowed in [peers] is for the server's own users alone, what is denied there for all.
            ("allow", peers(&self.0, "allow")),
            ("deny", peers(&self.0, "deny").difference(&of_server).cloned().collect()),
        ] {
            if !nets.is_empty() {
                let nets: Vec<_> = nets.into_iter().map(Value::String).collect();
                lines.push(format!("peers.{key} = {}\n", Value::Array(nets)));
            }
        }
        lines
    }
}

fn limit(toml: &Table, key: &str) -> Option<i64> {
    toml.get("limits").and_then(|limits| limits.get(key)).and_then(Value::as_integer)
}

fn peers(toml: &Table, key: &str) -> BTreeSet<String> {
    let nets = toml.get("peers").and_then(|peers| peers.get(key)).and_then(Value::as_array);
    nets.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn section(toml: &mut String, name: &str, other: &OfRealm, secrets: Vec<&str>) {
    // Writing to a String does not fail.
    let _ = write!(
        toml,
        "\n[[tenant]]\nname = \"{name}\"\nrealm = {}\n",
        quoted(&other.realm).as_str()
    );
    let users = other.users.iter().map(|one| one.as_str()).collect();
    for (key, items) in [("users", users), ("secrets", secrets)] {
        if items.is_empty() {
            continue;
        }
        let _ = writeln!(toml, "{key} = [");
        for item in items {
            let _ = writeln!(toml, "    {},", quoted(item).as_str());
        }
        toml.push_str("]\n");
    }
}

/// What the operator has to decide: how clients come to the realm.
fn leads(toml: &mut String, realm: &str, port: u16) {
    let _ = match is_dns_name(realm) {
        true => writeln!(
            toml,
            "# Clients that ask for {realm} by TLS get this realm, if [tls] has a certificate for it."
        ),
        false => writeln!(
            toml,
            "# The realm is no DNS name: write one that [tls] has a certificate for, and clients that ask for it by TLS\n\
             # get this realm.\n#server_names = [\"turn.customer.example\"]"
        ),
    };
    for transport in ["udp", "tcp"] {
        let _ = write!(
            toml,
            "#[[listen]]\n#transport = \"{transport}\"\n#address = \"[::]:{port}\"\n#realm = {}\n",
            quoted(realm).as_str()
        );
    }
}

fn quoted(text: &str) -> Zeroizing<String> {
    Zeroizing::new(Value::String(text.to_owned()).to_string())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use taciturn_config::{Config, Tenant};

    fn realm(realm: &str, users: &[&str], secrets: &[&str], text: &str) -> OfRealm {
        let owned =
            |all: &[&str]| all.iter().map(|one| Zeroizing::new((*one).to_owned())).collect();
        OfRealm {
            realm: realm.to_owned(),
            users: owned(users),
            secrets: owned(secrets),
            text: text.to_owned(),
        }
    }

    const KEY: &str = "0x00112233445566778899aabbccddeeff";

    /// The file as it is written, and what is said.
    fn imported(conf: &str, own: &str, others: &[OfRealm]) -> (String, Vec<String>) {
        let both = format!("{conf}\n{own}");
        let server = Translation::of(&both);
        let sources = Sources { file: conf, ..Sources::default() };
        let Tenants { toml, notes, lines } = tenants(others, &sources, &server);
        let server = Translation::of(&format!("{both}{lines}"));
        (format!("{}{}", *server.toml, *toml), notes)
    }

    fn config(toml: &str) -> Config {
        Config::from_toml(toml).unwrap_or_else(|errors| panic!("{errors}\n{toml}")).config
    }

    /// With the listeners that the operator is to decide on.
    fn with_listeners(toml: &str) -> String {
        let is_listener = |line: &str| {
            ["#[[listen]]", "#transport", "#address", "#realm"]
                .iter()
                .any(|begin| line.starts_with(begin))
        };
        let line = |line: &str| match is_listener(line) {
            true => format!("{}\n", &line[1..]),
            false => format!("{line}\n"),
        };
        toml.lines().map(line).collect()
    }

    fn nets(tenant: &Tenant) -> (Vec<String>, Vec<String>) {
        let allow = tenant.peers.allow.iter().map(ToString::to_string).collect();
        (allow, tenant.peers.deny.iter().map(ToString::to_string).collect())
    }

    const CONF: &str = "realm=turn.example.org\nuser-quota=100\nmax-bps=5000\ntotal-quota=50\ndenied-peer-ip=9.9.9.9\n\
                        allowed-peer-ip=10.0.0.1\n";
    const OWN: &str = "static-auth-secret=a-secret-of-the-server\n";

    #[test]
    fn a_realm_becomes_a_tenant_with_its_own_users_peers_and_limits() {
        let user = format!("alice:{KEY}");
        let text = "allowed-peer-ip=10.1.0.0-10.1.0.255\ndenied-peer-ip=8.8.4.0-8.8.4.255\ndenied-peer-ip=9.9.9.9\n\
                    user-quota=150\nmax-bps=0\ntotal-quota=7\n";
        let beta = realm("turn.beta.example", &[&user], &["a-secret-of-beta-1234"], text);
        let gamma = realm("gamma", &[], &["a-secret-of-gamma-123"], "");
        let (toml, notes) = imported(CONF, OWN, &[beta, gamma]);
        for config in [config(&toml), config(&with_listeners(&toml))] {
            let [beta, gamma] = &config.tenants[..] else { panic!("two tenants") };
            assert_eq!(
                (beta.name.to_string(), beta.realm.as_str()),
                ("turn.beta.example".into(), "turn.beta.example")
            );
            assert_eq!((beta.users.len(), beta.secrets.len()), (1, 1));
            assert_eq!(beta.server_names, ["turn.beta.example"]);
            let limits = |of: &Tenant| {
                let limits = &of.limits;
                (
                    limits.allocations_per_user,
                    limits.allocations,
                    limits.bytes_per_second_per_allocation,
                )
            };
            assert_eq!(limits(beta), (150, 7, 0));
            // What a realm has no row for is that of turnserver.conf.
            assert_eq!((limits(gamma), gamma.users.len()), ((100, 50, 5000), 0));
            let owned = |all: &[&str]| all.iter().map(ToString::to_string).collect::<Vec<_>>();
            assert_eq!(
                nets(beta),
                (owned(&["10.0.0.1/32", "10.1.0.0/24"]), owned(&["8.8.4.0/24"]))
            );
            assert_eq!(nets(gamma), (owned(&["10.0.0.1/32"]), vec![]));
            assert_eq!(
                (config.realm.as_str(), config.limits.allocations),
                ("turn.example.org", 107)
            );
        }
        let listen = config(&with_listeners(&toml)).listen;
        let of = |realm: &str| {
            let all = listen.iter().filter(|one| one.realm.as_deref() == Some(realm));
            all.map(|one| one.address.port()).collect::<Vec<_>>()
        };
        assert_eq!((of("turn.beta.example"), of("gamma")), (vec![3480; 2], vec![3481; 2]));
        assert!(listen.iter().any(|one| one.realm.is_none() && one.address.port() == 3478));
        let told = notes.join("\n");
        for words in [
            "realm \"turn.beta.example\" is the tenant turn.beta.example: 1 users, 1 secrets. Clients that ask",
            "realm \"gamma\" is the tenant gamma: 0 users, 1 secrets. Nothing leads to it yet",
            "it has the sum of all, 107",
        ] {
            assert!(told.contains(words), "{words}: {told}");
        }
        assert!(!told.contains("secret-of") && !told.contains(KEY), "{told}");
    }

    #[test]
    fn what_cannot_be_told_apart_or_translated_is_left_out_and_said() {
        let shared = "a-secret-that-all-have";
        let own = format!("static-auth-secret={shared}\n");
        let user = format!("alice:{KEY}");
        let others = [
            realm("none.left", &[], &[shared], ""),
            realm(
                "some.left",
                &[&user],
                &[shared],
                "user-quota=0\ntotal-quota=0\nallowed-peer-ip=127.0.0.1\n",
            ),
            realm("first", &[], &["another-secret-of-some-length"], ""),
            realm("second", &[], &["another-secret-of-some-length"], ""),
        ];
        let (toml, notes) = imported(CONF, &own, &others);
        let config = config(&toml);
        let names: Vec<_> = config.tenants.iter().map(|one| one.name.to_string()).collect();
        assert_eq!(names, ["some.left", "first"]);
        // Where a realm has no bound, ours by default; and one that has none leaves the server without.
        assert_eq!(config.tenants[0].limits.allocations_per_user, 200);
        assert_eq!((config.tenants[0].limits.allocations, config.limits.allocations), (0, 0));
        let told = notes.join("\n");
        for words in [
            "realm \"none.left\" is no tenant",
            "1 secrets of realm \"some.left\" are left out",
            "realm \"second\" is no tenant",
            "database, realm \"some.left\", user-quota: 0 is no bound",
            "database, realm \"some.left\", allowed-peer-ip: coturn relays to none of it",
        ] {
            assert!(told.contains(words), "{words}: {told}");
        }
        assert!(!told.contains(shared), "{told}");
    }

    #[test]
    fn names_are_valid_and_each_is_there_once_whatever_the_realms_are() {
        let long = "ab".repeat(60);
        let realms = [
            "default",
            "a b",
            "a/b",
            "a-b",
            "\u{e9}\u{e9}.example",
            &long,
            "it's \u{2028} ''' one",
        ];
        let secrets: Vec<_> =
            (0..realms.len()).map(|n| format!("a-secret-of-number-{n}-and-long")).collect();
        let others: Vec<_> = realms
            .iter()
            .zip(&secrets)
            .map(|(name, secret)| realm(name, &[], &[secret], ""))
            .collect();
        let (toml, _) = imported(CONF, OWN, &others[..6]);
        let of = config(&with_listeners(&toml)).tenants;
        let names: Vec<_> = of.iter().map(|one| one.name.to_string()).collect();
        assert_eq!(names[..5], ["default-2", "a-b", "a-b-2", "a-b-3", "--.example"]);
        assert_eq!((names[5].len(), of[5].realm.as_str()), (LONGEST_NAME, long.as_str()));
        // What is no realm is refused by its own words, and changes nothing else.
        let (toml, _) = imported(CONF, OWN, &others[6..]);
        assert!(toml.parse::<Table>().is_ok(), "{toml}");
    }

    #[test]
    fn a_realm_whose_server_has_no_credential_is_served_alone() {
        let others = [realm("only", &[&format!("alice:{KEY}")], &[], "")];
        let sources = Sources { file: "lt-cred-mech\nrealm=r\n", ..Sources::default() };
        let without = Translation::of_sources(&sources);
        assert_eq!(without.errors().count(), 1);
        let Tenants { toml, .. } = tenants(&others, &sources, &without);
        for allow_weak_credentials in [false, true] {
            let with = Sources { has_tenants: true, allow_weak_credentials, ..sources };
            let with = Translation::of_sources(&with);
            assert_eq!(with.errors().count(), 0);
            let config = config(&format!("{}{}", *with.toml, *toml));
            assert!(config.auth.users.is_empty() && config.tenants.len() == 1);
        }
    }
}
