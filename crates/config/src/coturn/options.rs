//! Every option that coturn has or had, and what becomes of it here: one row an option.
//!
//! To let a row take effect, change its fate to `Mapped` and give the name an arm in `translate`.

/// What an option's value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// On or off.
    Switch,
    /// On as soon as it is there, whatever its value says.
    Flag,
    /// Text that may be shown.
    Text,
    /// Text that may not be shown: a secret, a password, a connection string.
    Secret,
    /// Digits.
    Number,
    /// 0 to 65535.
    Port,
}

/// What becomes of an option. The words complete the sentence "NAME: ...".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It sets this key of ours.
    Mapped(&'static str),
    /// Its value decides; this key (or `""`) is where it may lead.
    Judged(&'static str),
    /// It can be left out, because ...
    NotNeeded(&'static str),
    /// It has no effect here; what to do instead.
    Unsupported(&'static str),
    /// To go on without it would let in more than coturn did: what to do instead.
    Refused(&'static str),
}

/// One option of coturn's.
#[derive(Clone, Copy, Debug)]
pub struct CoturnOption {
    /// Its name, and its other names.
    pub names: &'static [&'static str],
    /// What its value is.
    pub takes: Takes,
    /// What becomes of it; of a switch: when it is on.
    pub fate: Fate,
    /// What becomes of a switch that is off, where that is not the same here anyway.
    pub off: Option<Fate>,
}

use Fate::{Judged, Mapped, NotNeeded, Refused, Unsupported};
use Takes::{Flag, Number, Port, Secret, Switch, Text};

const fn row(names: &'static [&'static str], takes: Takes, fate: Fate) -> CoturnOption {
    CoturnOption { names, takes, fate, off: None }
}

const fn row_off(names: &'static [&'static str], fate: Fate, off: Fate) -> CoturnOption {
    CoturnOption { names, takes: Switch, fate, off: Some(off) }
}

const LISTEN: &str = "listen.address";
const DATABASE: Fate = Unsupported(
    "there is no database here: write its users (`turnadmin -l`) to users and its secrets \
     (`turnadmin -S`) to secrets, both in [auth]",
);
const TELNET: Fate = Unsupported("there is no command line over TCP here");
const WEB: Fate = Unsupported("there is no web interface here");
const METRICS: Fate = Unsupported(
    "metrics are on http://127.0.0.1:9641/metrics by default; metrics in [admin] sets another address",
);
const REDIRECT: Fate = Unsupported(
    "write the other servers to servers (or tls_servers) in [redirect], one address of each family",
);
const DISCOVERY: Fate = Unsupported(
    "write two addresses of this server to nat_discovery in [protocol]; calls do not need it",
);
const MULTIPLEX: Fate =
    Unsupported("each allocation has a port of its own here; relay_ports is the range");
const BATCHED: Fate = NotNeeded("packets are read and sent in batches here by default");
const OLD_TLS: Fate = Unsupported("TLS is 1.2 and 1.3 here; older versions are broken");
const MODERN_TLS: Fate = NotNeeded("SSL and TLS before 1.2 are never offered here");
const KEY_EXCHANGE: Fate = NotNeeded("key exchange is by elliptic curves, chosen with each client");
const LOG: Fate = NotNeeded("the log goes to standard error, where journald and Docker read it");
const DEBUG: Fate = NotNeeded("TACITURN_LOG=debug says more");
const RATE: Fate = NotNeeded(
    "answers to senders that have proven nothing are limited by default: \
     limits.unverified_answers_per_address",
);
const ACCOUNT: Fate = Unsupported(
    "write user = \"USER:GROUP\" in [process]; or set User= and Group= in the systemd unit, or user: \
     for a container: the server needs no root",
);

/// All of them: those of coturn 4.17, then those that it has removed and that are still about.
pub const OPTIONS: &[CoturnOption] = &[
    // Where it listens
    row(&["listening-port"], Port, Mapped(LISTEN)),
    row(&["tls-listening-port"], Port, Mapped(LISTEN)),
    row(&["alt-listening-port"], Port, DISCOVERY),
    row(&["alt-tls-listening-port"], Port, DISCOVERY),
    row(&["tcp-proxy-port"], Port, Mapped("listen.proxy_protocol")),
    row(&["listening-ip"], Text, Mapped(LISTEN)),
    row(
        &["listening-device"],
        Text,
        Unsupported("listeners are bound to addresses: write the interface's in [[listen]]"),
    ),
    row(&["aux-server"], Text, Mapped(LISTEN)),
    row(&["udp-self-balance"], Switch, NotNeeded("each core has sockets of its own here")),
    row(&["no-udp"], Switch, Mapped("listen.transport")),
    row(&["no-tcp"], Switch, Mapped("listen.transport")),
    row(&["no-tls"], Switch, Mapped("listen.transport")),
    row(&["dtls"], Switch, Mapped("listen.transport")),
    row_off(
        &["no-dtls"],
        NotNeeded("DTLS is off without a [[listen]] section for it"),
        Unsupported(
            "DTLS is served by a [[listen]] section with transport = \"dtls\"; no browser asks for it",
        ),
    ),
    // The relay
    row(&["relay-ip"], Text, Mapped("external_ip")),
    row(
        &["relay-device"],
        Text,
        Unsupported("the relay is bound to an address: external_ip = \"PUBLIC/PRIVATE\""),
    ),
    row(&["external-ip"], Text, Mapped("external_ip")),
    row(&["min-port"], Port, Mapped("relay_ports")),
    row(&["max-port"], Port, Mapped("relay_ports")),
    row(
        &["no-udp-relay"],
        Switch,
        Refused(
            "UDP is what is relayed here, and cannot be turned off: this server is not for that",
        ),
    ),
    row_off(
        &["no-tcp-relay"],
        NotNeeded("nothing is relayed to peers over TCP unless tcp_relay in [protocol] is set"),
        Unsupported(
            "tcp_relay = true in [protocol] relays to peers over TCP; browsers never ask for it",
        ),
    ),
    row(&["relay-threads"], Number, Mapped("workers")),
    row(&["cpus"], Number, Mapped("workers")),
    row(&["sock-buf-size"], Number, NotNeeded("the server sets the sizes of its buffers itself")),
    row(&["udp-recvmmsg"], Switch, BATCHED),
    row(&["udp-recvmmsg-log"], Switch, Unsupported("there is no log of batches")),
    row(&["udp-sendmmsg-log"], Switch, Unsupported("there is no log of batches")),
    row(&["udp-gso"], Switch, BATCHED),
    row(&["multiplex-peer"], Flag, MULTIPLEX),
    row(&["multiplex-peer-port"], Number, MULTIPLEX),
    row(&["multiplex-peer-max-peers"], Number, MULTIPLEX),
    // Who may
    row_off(
        &["lt-cred-mech"],
        NotNeeded("credentials are always required"),
        NotNeeded("credentials are always required"),
    ),
    row(
        &["no-auth"],
        Switch,
        Unsupported("credentials are always required: an open relay serves anybody for anything"),
    ),
    row(
        &["use-auth-secret"],
        Flag,
        NotNeeded("shared secrets are good as soon as there is one, beside static users"),
    ),
    row(&["static-auth-secret"], Secret, Mapped("auth.secrets")),
    row(&["rest-api-separator"], Text, Judged("")),
    row(&["user"], Secret, Mapped("auth.users")),
    row(&["realm"], Text, Mapped("realm")),
    row(&["server-name"], Text, NotNeeded("it is for OAuth only; clients see realm")),
    row(&["oauth"], Switch, Unsupported("there is no OAuth (RFC 7635) here: use shared secrets")),
    row(&["no-auth-pings"], Flag, NotNeeded("there is no database to ask")),
    row(&["stale-nonce"], Number, Mapped("limits.nonce_lifetime")),
    row(&["stateless-nonce"], Switch, NotNeeded("nonces are stateless here")),
    row(
        &["stateless-nonce-secret"],
        Secret,
        NotNeeded(
            "the key of the nonces is made anew at each start; clients ask again by themselves",
        ),
    ),
    row(
        &["secure-stun"],
        Switch,
        Unsupported("Binding requests are answered without credentials; the answer is 32 bytes"),
    ),
    // Databases
    row(&["userdb", "db"], Secret, DATABASE),
    row(&["psql-userdb", "sql-userdb"], Secret, DATABASE),
    row(&["mysql-userdb"], Secret, DATABASE),
    row(&["mongo-userdb"], Secret, DATABASE),
    row(&["redis-userdb"], Secret, DATABASE),
    row(&["secret-key-file"], Text, DATABASE),
    row(&["redis-statsdb"], Secret, Unsupported("nothing is written to Redis")),
    row(&["no-dynamic-ip-list"], Flag, NotNeeded("there is no database to read ranges from")),
    row(&["no-dynamic-realms"], Flag, NotNeeded("there is one realm")),
    row(
        &["check-origin-consistency"],
        Switch,
        NotNeeded("nothing depends on the ORIGIN attribute; there is one realm"),
    ),
    // Limits
    row(&["user-quota"], Number, Mapped("limits.allocations_per_user")),
    row(&["total-quota"], Number, Mapped("limits.allocations")),
    row(&["max-bps"], Number, Mapped("limits.bytes_per_second_per_allocation")),
    row(&["bps-capacity"], Number, Mapped("limits.bytes_per_second")),
    row(&["max-allocate-lifetime"], Number, Mapped("limits.max_lifetime")),
    row(&["channel-lifetime"], Number, Judged("")),
    row(&["permission-lifetime"], Number, Judged("")),
    row(
        &["max-allocate-timeout"],
        Number,
        NotNeeded(
            "a client that has not logged in takes no memory over UDP, and is bounded over TCP",
        ),
    ),
    row(
        &["drain-min-allocations"],
        Number,
        Unsupported("`turnctl drain` waits until there is no allocation left"),
    ),
    row(&["unauthorized-ratelimit"], Switch, RATE),
    row(&["unauthorized-ratelimit-rps"], Number, RATE),
    row(&["drop-invalid-packets"], Switch, NotNeeded("what is not STUN gets no answer here")),
    row(&["drop-invalid-packets-log"], Switch, DEBUG),
    // What peers
    row(&["allowed-peer-ip"], Text, Mapped("peers.allow")),
    row(&["denied-peer-ip"], Text, Mapped("peers.deny")),
    row(&["allow-loopback-peers"], Switch, Mapped("peers.allow")),
    row_off(
        &["no-multicast-peers"],
        NotNeeded("multicast is always denied"),
        Unsupported("multicast is denied unless peers.allow names it"),
    ),
    row(
        &["server-relay"],
        Switch,
        Unsupported("permissions are always checked: without them the relay is open to any sender"),
    ),
    // TLS
    row(&["cert"], Text, Mapped("tls.cert")),
    row(&["pkey"], Text, Mapped("tls.key")),
    row(
        &["pkey-pwd"],
        Secret,
        Unsupported(
            "encrypted keys are not read: write a plain one with `openssl pkey -in OLD -out NEW`, \
             and keep others from reading it",
        ),
    ),
    row(
        &["CA-file"],
        Text,
        Refused(
            "client certificates are not checked here; everybody with a credential would be let in",
        ),
    ),
    row(&["cipher-list"], Text, NotNeeded("only suites with forward secrecy are offered here")),
    row(&["ec-curve-name"], Text, KEY_EXCHANGE),
    row(&["dh-file"], Text, KEY_EXCHANGE),
    row(&["dh566"], Switch, KEY_EXCHANGE),
    row(&["dh1066"], Switch, KEY_EXCHANGE),
    row(&["tlsv1"], Switch, OLD_TLS),
    row(&["tlsv1_1"], Switch, OLD_TLS),
    row(&["no-tlsv1_2"], Switch, Unsupported("TLS 1.2 cannot be turned off; 1.3 is preferred")),
    row(&["raw-public-keys"], Switch, Unsupported("there are no raw public keys (RFC 7250) here")),
    row(
        &["acme-redirect"],
        Text,
        Unsupported("this server does not speak HTTP: let certbot or Traefik answer on port 80"),
    ),
    row(&["respond-http-unsupported"], Switch, Unsupported("HTTP on a TURN port gets no answer")),
    // Administration
    row(&["web-admin"], Switch, WEB),
    row(&["web-admin-ip"], Text, WEB),
    row(&["web-admin-port"], Port, WEB),
    row(&["web-admin-listen-on-workers"], Switch, WEB),
    row(&["cli"], Switch, TELNET),
    row(&["no-cli"], Switch, NotNeeded("there is no command line over TCP here")),
    row(&["cli-ip"], Text, TELNET),
    row(&["cli-port"], Port, TELNET),
    row(&["cli-password"], Secret, TELNET),
    row(&["cli-max-output-sessions"], Number, TELNET),
    row(&["prometheus"], Flag, METRICS),
    row(&["prometheus-port"], Port, METRICS),
    row(&["prometheus-address"], Text, METRICS),
    row(&["prometheus-path"], Text, METRICS),
    row(&["prometheus-username-labels"], Flag, METRICS),
    row(&["prometheus-tls"], Switch, METRICS),
    row(&["prometheus-cert"], Text, METRICS),
    row(&["prometheus-key"], Text, METRICS),
    // The log
    row(&["log-file"], Text, Judged("")),
    row(&["no-stdout-log"], Switch, LOG),
    row(&["syslog"], Switch, LOG),
    row(&["syslog-facility"], Text, LOG),
    row(&["simple-log"], Switch, LOG),
    row(
        &["log-min-level"],
        Text,
        NotNeeded("TACITURN_LOG sets the level: error, warn, info, debug"),
    ),
    row(&["new-log-timestamp"], Switch, LOG),
    row(&["new-log-timestamp-format"], Text, NotNeeded("the log has times in ISO 8601")),
    row(&["log-binding"], Switch, DEBUG),
    row(&["verbose"], Switch, DEBUG),
    row(&["Verbose"], Switch, DEBUG),
    // The protocol
    row(&["fingerprint"], Switch, NotNeeded("an answer has FINGERPRINT when the request had it")),
    row(&["software-attribute"], Switch, Mapped("protocol.software")),
    row(&["no-software-attribute"], Switch, Mapped("protocol.software")),
    row(&["include-reason-string"], Switch, NotNeeded("errors have the RFC's reason phrase")),
    row(&["mobility"], Switch, Mapped("protocol.mobility")),
    row(
        &["stun-only"],
        Switch,
        Refused("this is a relay, and cannot be a mere STUN server: users could relay"),
    ),
    row(&["no-stun"], Switch, Unsupported("Binding requests are always answered")),
    row(&["rfc5780"], Flag, DISCOVERY),
    row(&["no-rfc5780"], Switch, NotNeeded("NAT behaviour discovery is off by default")),
    row(
        &["response-origin-only-with-rfc5780"],
        Switch,
        NotNeeded("answers hold RESPONSE-ORIGIN only with nat_discovery in [protocol]"),
    ),
    row(
        &["stun-backward-compatibility"],
        Switch,
        Unsupported("answers hold XOR-MAPPED-ADDRESS only, as all clients since 2008 expect"),
    ),
    row(&["rfc3489-compatibility"], Switch, Mapped("protocol.rfc3489")),
    row(&["rfc5766-channel-numbers"], Switch, Mapped("protocol.rfc5766_channels")),
    row(&["allocation-default-address-family"], Text, Judged("")),
    row(
        &["keep-address-family"],
        Switch,
        Unsupported("a client that does not ask for a family gets IPv4, as RFC 8656 has it"),
    ),
    row(&["alternate-server"], Text, REDIRECT),
    row(&["tls-alternate-server"], Text, REDIRECT),
    row(&["tcp-alternate-server"], Text, REDIRECT),
    row(&["udp-alternate-server"], Text, REDIRECT),
    // The process
    row(&["daemon"], Switch, NotNeeded("systemd or Docker keeps it running")),
    row(&["pidfile"], Text, NotNeeded("systemd and Docker know the process")),
    row(&["proc-user"], Text, ACCOUNT),
    row(&["proc-group"], Text, ACCOUNT),
    row(&["version"], Text, NotNeeded("it is for the command line; delete it")),
    // Removed by coturn, and still in configurations
    row(
        &["ne"],
        Number,
        NotNeeded("coturn has removed it; the server chooses itself how it works"),
    ),
    row(&["no-sslv2"], Switch, MODERN_TLS),
    row(&["no-sslv3"], Switch, MODERN_TLS),
    row(&["no-tlsv1"], Switch, MODERN_TLS),
    row(&["no-tlsv1_1"], Switch, MODERN_TLS),
    row(&["dh2066"], Switch, KEY_EXCHANGE),
    row(&["no-loopback-peers"], Switch, NotNeeded("loopback is denied")),
    row(
        &["no-stun-backward-compatibility"],
        Switch,
        NotNeeded("answers hold XOR-MAPPED-ADDRESS only"),
    ),
    row(&["prod"], Switch, NotNeeded("answers do not name the server")),
    row(&["no-http"], Switch, NotNeeded("this server does not speak HTTP")),
    row(&["secret-ts-exp-time"], Number, NotNeeded("a credential says itself when it expires")),
    row(
        &["st-cred-mech"],
        Switch,
        Unsupported("short-term credentials are not for TURN; long-term ones are always required"),
    ),
    row(&["sha256"], Switch, Unsupported("credentials are keyed as Synapse does it, with SHA-1")),
    row(&["sha384"], Switch, Unsupported("credentials are keyed as Synapse does it, with SHA-1")),
    row(&["sha512"], Switch, Unsupported("credentials are keyed as Synapse does it, with SHA-1")),
];

/// The option of this name. Names are case-sensitive, as coturn has them.
#[must_use]
pub(super) fn find(name: &str) -> Option<&'static CoturnOption> {
    OPTIONS.iter().find(|option| option.names.contains(&name))
}

/// Every name, aliases as well.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    OPTIONS.iter().flat_map(|option| option.names.iter().copied())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema;

    /// The names in coturn 4.17.1's own table of long options, then those of older releases.
    fn listed() -> Vec<&'static str> {
        let list = include_str!("../../../../tests/fixtures/coturn-options.txt");
        list.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect()
    }

    #[test]
    fn every_option_of_coturn_has_one_row_and_there_are_no_others() {
        let (mut theirs, mut ours) = (listed(), names().collect::<Vec<_>>());
        assert_eq!(theirs.len(), 143 + 15);
        theirs.sort_unstable();
        ours.sort_unstable();
        assert_eq!(ours, theirs);
    }

    #[test]
    fn mapped_options_lead_to_keys_that_exist() {
        for option in OPTIONS {
            let (Mapped(key) | Judged(key)) = option.fate else { continue };
            let known = match key.strip_prefix("listen.") {
                Some(name) => schema::LISTEN_KEYS.contains(&name),
                None => key.is_empty() || schema::find(key).is_some(),
            };
            assert!(known, "{}: {key}", option.names[0]);
        }
    }
}
