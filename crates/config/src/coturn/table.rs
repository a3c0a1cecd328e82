//! Every option that coturn has or had, and what becomes of it here: one row an option.
//!
//! A row names the option, what its value is, and its fate. What a value does is a function of
//! [`effects`](super::effects).

use super::collected::{Collected, Given, Judgement};
use super::effects::{credentials, limits, listeners, peers, protocol, relay, tls};
use super::options::{CoturnOption, Effect, Fate, Takes};

use Fate::{Lost, Refused, Same};
use Takes::{Flag, Number, Port, Secret, Switch, Text};

type Do = fn(&mut Collected, &mut Given<'_>) -> Judgement;

/// A value that sets `key`.
const fn taken(key: &'static str, effect: Do) -> Fate {
    Fate::Taken(key, Effect(effect))
}

/// A value that decides itself what becomes of it.
const fn judged(effect: Do) -> Fate {
    Fate::Judged(Effect(effect))
}

const fn row(names: &'static [&'static str], takes: Takes, fate: Fate) -> CoturnOption {
    CoturnOption { names, takes, fate, off: None }
}

const fn row_off(names: &'static [&'static str], fate: Fate, off: Fate) -> CoturnOption {
    CoturnOption { names, takes: Switch, fate, off: Some(off) }
}

const LISTEN: &str = "listen.address";
const TELNET: Fate = Lost("there is no command line over TCP here");
const WEB: Fate = Lost("the status page here is another one: turnctl page");
const METRICS: Fate = Lost(
    "metrics are on http://127.0.0.1:9641/metrics by default; metrics in [admin] sets another address",
);
const REDIRECT: Fate = Lost(
    "this server serves all its clients itself. To send them elsewhere, write the other servers to servers (or tls_servers) in [redirect], one address of each family",
);
const DISCOVERY: Fate = Lost(
    "NAT behaviour discovery (RFC 5780) is off: programs that ask for it, test tools mostly, get no second \
     address. Write two addresses of this server to nat_discovery in [protocol]; calls do not need it",
);
const MULTIPLEX: Fate = Lost(
    "each allocation has a UDP port of its own: open relay_ports in the firewall, not one port",
);
const BATCHED: Fate = Same("packets are read and sent in batches here by default");
const OLD_TLS: Fate = Lost("TLS is 1.2 and 1.3 here; older versions are broken");
const MODERN_TLS: Fate = Same("SSL and TLS before 1.2 are never offered here");
const KEY_EXCHANGE: Fate = Lost(
    "key exchange is by elliptic curves, chosen with each client: one that knows Diffie-Hellman with primes \
     alone gets no TLS",
);
const LOG: Fate = Same("the log goes to standard error, where journald and Docker read it");
const DEBUG: Fate = Same("TACITURN_LOG=debug says more");
const RATE: Fate = Same(
    "answers to senders that have proven nothing are limited by default: \
     limits.unverified_answers_per_address",
);
const ACCOUNT: Fate = Lost(
    "write user = \"USER:GROUP\" in [process]; or set User= and Group= in the systemd unit, or user: \
     for a container: the server needs no root",
);

/// All of them: those of coturn 4.17, then those that it has removed and that are still about.
pub const OPTIONS: &[CoturnOption] = &[
    // Where it listens
    row(&["listening-port"], Port, taken(LISTEN, listeners::port)),
    row(&["tls-listening-port"], Port, taken(LISTEN, listeners::tls_port)),
    row(&["alt-listening-port"], Port, taken(LISTEN, listeners::alt_port)),
    row(&["alt-tls-listening-port"], Port, taken(LISTEN, listeners::alt_tls_port)),
    row(&["tcp-proxy-port"], Port, taken("listen.proxy_protocol", listeners::proxy_port)),
    row(&["listening-ip"], Text, taken(LISTEN, listeners::address)),
    row(
        &["listening-device"],
        Text,
        Lost(
            "listeners are bound to addresses, not to a device: without listening-ip, clients of every \
             interface are served. Write the device's address in [[listen]]",
        ),
    ),
    row(&["aux-server"], Text, taken(LISTEN, listeners::aux)),
    row(
        &["udp-self-balance"],
        Switch,
        Same("each core has sockets of its own, and serves its share of the clients"),
    ),
    row(&["no-udp"], Switch, taken("listen.transport", listeners::no_udp)),
    row(&["no-tcp"], Switch, taken("listen.transport", listeners::no_tcp)),
    row(&["no-tls"], Switch, taken("listen.transport", listeners::no_tls)),
    row(&["dtls"], Switch, taken("listen.transport", listeners::dtls)),
    row(&["no-dtls"], Switch, taken("listen.transport", listeners::no_dtls)),
    // The relay
    row(&["relay-ip"], Text, taken("external_ip", relay::relay_ip)),
    row(
        &["relay-device"],
        Text,
        Lost(
            "the relay is bound to an address, not to a device: traffic to peers takes the way of the routing \
             table. Write the device's address: external_ip = \"PUBLIC/PRIVATE\"",
        ),
    ),
    row(&["external-ip"], Text, taken("external_ip", relay::external_ip)),
    row(&["min-port"], Port, taken("relay_ports", relay::min_port)),
    row(&["max-port"], Port, taken("relay_ports", relay::max_port)),
    row(
        &["no-udp-relay"],
        Switch,
        Refused(
            "UDP is what is relayed here, and cannot be turned off: this server is not for that",
        ),
    ),
    row_off(
        &["no-tcp-relay"],
        Same("nothing is relayed to peers over TCP unless tcp_relay in [protocol] is set"),
        Lost(
            "clients that ask for a relay to peers over TCP (RFC 6062) get an error; browsers never ask. \
             tcp_relay = true in [protocol] turns it on",
        ),
    ),
    row(&["relay-threads"], Number, taken("workers", relay::threads)),
    row(&["cpus"], Number, taken("workers", relay::cpus)),
    row(&["sock-buf-size"], Number, Same("the server sets the sizes of its buffers itself")),
    row(&["udp-recvmmsg"], Switch, BATCHED),
    row(&["udp-recvmmsg-log"], Switch, Lost("there is no log of batches")),
    row(&["udp-sendmmsg-log"], Switch, Lost("there is no log of batches")),
    row(&["udp-gso"], Switch, BATCHED),
    row(&["multiplex-peer"], Flag, MULTIPLEX),
    row(&["multiplex-peer-port"], Number, MULTIPLEX),
    row(&["multiplex-peer-max-peers"], Number, MULTIPLEX),
    // Who may
    row_off(
        &["lt-cred-mech"],
        Same("credentials are always required"),
        Same("credentials are always required"),
    ),
    row(
        &["no-auth"],
        Switch,
        Lost(
            "credentials are always required: clients without one are refused. An open relay serves anybody \
             for anything",
        ),
    ),
    row(&["use-auth-secret"], Flag, judged(credentials::use_secret)),
    row(&["static-auth-secret"], Secret, taken("auth.secrets", credentials::secret)),
    row(&["rest-api-separator"], Text, judged(credentials::separator)),
    row(&["user"], Secret, taken("auth.users", credentials::user)),
    row(&["realm"], Text, taken("realm", credentials::realm)),
    row(&["server-name"], Text, Same("it is for OAuth only; clients see realm")),
    row(
        &["oauth"],
        Switch,
        Lost("clients with OAuth tokens (RFC 7635) are refused: use shared secrets"),
    ),
    row(&["no-auth-pings"], Flag, Same("there is no database to ask")),
    row(&["stale-nonce"], Number, taken("limits.nonce_lifetime", limits::nonce_lifetime)),
    row(&["stateless-nonce"], Switch, Same("nonces are stateless here")),
    row(
        &["stateless-nonce-secret"],
        Secret,
        Same(
            "the key of the nonces is generated at each start: a client that comes with an old nonce gets a \
             new one, and asks again by itself",
        ),
    ),
    row(
        &["secure-stun"],
        Switch,
        Lost(
            "strangers learn their own address by a Binding request, which is answered without credentials; \
             such answers are few (limits.unverified_answers_per_address)",
        ),
    ),
    // Databases
    row(&["userdb", "db"], Secret, judged(credentials::sqlite)),
    row(&["psql-userdb", "sql-userdb"], Secret, judged(credentials::postgres)),
    row(&["mysql-userdb"], Secret, judged(credentials::mysql)),
    row(&["mongo-userdb"], Secret, judged(credentials::mongo)),
    row(&["redis-userdb"], Secret, judged(credentials::redis)),
    row(
        &["secret-key-file"],
        Text,
        Lost(
            "there is no database here. With it coturn decrypts the password in mysql-userdb: mysql wants the \
             plain one",
        ),
    ),
    row(
        &["redis-statsdb"],
        Secret,
        Lost(
            "nothing is written to Redis: what reads sessions there sees none. See docs/metrics.md",
        ),
    ),
    row(&["no-dynamic-ip-list"], Flag, Same("there is no database to read ranges from")),
    row(&["no-dynamic-realms"], Flag, Same("a realm comes and goes with the configuration")),
    row(&["check-origin-consistency"], Switch, Same("nothing depends on the ORIGIN attribute")),
    // Limits
    row(&["user-quota"], Number, taken("limits.allocations_per_user", limits::user_quota)),
    row(&["total-quota"], Number, taken("limits.allocations", limits::total_quota)),
    row(&["max-bps"], Number, taken("limits.bytes_per_second_per_allocation", limits::max_bps)),
    row(&["bps-capacity"], Number, taken("limits.bytes_per_second", limits::bps_capacity)),
    row(&["max-allocate-lifetime"], Number, taken("limits.max_lifetime", limits::lifetime)),
    row(&["channel-lifetime"], Number, judged(limits::channel_lifetime)),
    row(&["permission-lifetime"], Number, judged(limits::permission_lifetime)),
    row(
        &["max-allocate-timeout"],
        Number,
        Same("a client that has not logged in takes no memory over UDP, and is bounded over TCP"),
    ),
    row(
        &["drain-min-allocations"],
        Number,
        Lost("a drained server ends when no allocation is left, not earlier: `turnctl drain`"),
    ),
    row(&["unauthorized-ratelimit"], Switch, RATE),
    row(&["unauthorized-ratelimit-rps"], Number, RATE),
    row(&["drop-invalid-packets"], Switch, Same("what is not STUN gets no answer here")),
    row(&["drop-invalid-packets-log"], Switch, DEBUG),
    // What peers
    row(&["allowed-peer-ip"], Text, taken("peers.allow", peers::allowed)),
    row(&["denied-peer-ip"], Text, taken("peers.deny", peers::denied)),
    row(&["allow-loopback-peers"], Switch, taken("peers.allow", peers::loopback)),
    row_off(
        &["no-multicast-peers"],
        Same("multicast is always denied"),
        Lost("peers with multicast addresses are refused unless peers.allow names them"),
    ),
    row(
        &["server-relay"],
        Switch,
        Lost(
            "permissions are always checked: a peer without one does not reach the client. Without them the \
             relay is open to any sender",
        ),
    ),
    // TLS
    row(&["cert"], Text, taken("tls.cert", tls::cert)),
    row(&["pkey"], Text, taken("tls.key", tls::key)),
    row(
        &["pkey-pwd"],
        Secret,
        Lost(
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
    row(
        &["cipher-list"],
        Text,
        Lost(
            "the cipher suites are those of TLS 1.3, and of TLS 1.2 with ECDHE and AES-GCM or ChaCha20: a \
             client that has none of them gets no TLS, and others cannot be taken away",
        ),
    ),
    row(&["ec-curve-name"], Text, KEY_EXCHANGE),
    row(&["dh-file"], Text, KEY_EXCHANGE),
    row(&["dh566"], Switch, KEY_EXCHANGE),
    row(&["dh1066"], Switch, KEY_EXCHANGE),
    row(&["tlsv1"], Switch, OLD_TLS),
    row(&["tlsv1_1"], Switch, OLD_TLS),
    row(
        &["no-tlsv1_2"],
        Switch,
        Lost("TLS 1.2 cannot be turned off: clients that have no 1.3 are served too"),
    ),
    row(
        &["raw-public-keys"],
        Switch,
        Lost("clients that accept raw public keys alone (RFC 7250) get no TLS"),
    ),
    row(
        &["acme-redirect"],
        Text,
        Lost(
            "HTTP is not answered, and ACME requests are not passed on: let certbot or Traefik answer on port 80",
        ),
    ),
    row(
        &["respond-http-unsupported"],
        Switch,
        Lost("HTTP on a TURN port gets no answer: a load balancer that asks so sees a dead server"),
    ),
    // Administration
    row(&["web-admin"], Switch, WEB),
    row(&["web-admin-ip"], Text, WEB),
    row(&["web-admin-port"], Port, WEB),
    row(&["web-admin-listen-on-workers"], Switch, WEB),
    row(&["cli"], Switch, TELNET),
    row(&["no-cli"], Switch, Same("there is no command line over TCP here")),
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
    row(&["log-file"], Text, judged(protocol::log_file)),
    row(&["no-stdout-log"], Switch, LOG),
    row(&["syslog"], Switch, LOG),
    row(&["syslog-facility"], Text, LOG),
    row(&["simple-log"], Switch, LOG),
    row(&["log-min-level"], Text, taken("log.level", protocol::log_level)),
    row(&["new-log-timestamp"], Switch, LOG),
    row(&["new-log-timestamp-format"], Text, Same("the log has times in ISO 8601")),
    row(&["log-binding"], Switch, DEBUG),
    row(&["verbose"], Switch, DEBUG),
    row(&["Verbose"], Switch, DEBUG),
    // The protocol
    row(&["fingerprint"], Switch, Same("an answer has FINGERPRINT when the request had it")),
    row(&["software-attribute"], Switch, taken("protocol.software", protocol::on)),
    row(&["no-software-attribute"], Switch, taken("protocol.software", protocol::off)),
    row(&["include-reason-string"], Switch, Same("errors have the RFC's reason phrase")),
    row(&["mobility"], Switch, taken("protocol.mobility", protocol::on)),
    row(
        &["stun-only"],
        Switch,
        Refused("this is a relay, and cannot be a mere STUN server: users could relay"),
    ),
    row(
        &["no-stun"],
        Switch,
        Lost("Binding requests are always answered: strangers learn their own address"),
    ),
    row(&["rfc5780"], Flag, DISCOVERY),
    row(&["no-rfc5780"], Switch, Same("NAT behaviour discovery is off by default")),
    row(
        &["response-origin-only-with-rfc5780"],
        Switch,
        Same("answers hold RESPONSE-ORIGIN only with nat_discovery in [protocol]"),
    ),
    row(
        &["stun-backward-compatibility"],
        Switch,
        Lost(
            "answers to Binding hold XOR-MAPPED-ADDRESS only: a client that reads MAPPED-ADDRESS alone learns \
             nothing. RFC 5389 clients, since 2008, read the former",
        ),
    ),
    row(&["rfc3489-compatibility"], Switch, taken("protocol.rfc3489", protocol::on)),
    row(&["rfc5766-channel-numbers"], Switch, taken("protocol.rfc5766_channels", protocol::on)),
    row(&["allocation-default-address-family"], Text, judged(protocol::family)),
    row(
        &["keep-address-family"],
        Switch,
        Lost(
            "a client that does not ask for a family gets a relayed address of IPv4, as RFC 8656 has it; with \
             this option one that comes over IPv6 got IPv6",
        ),
    ),
    row(&["alternate-server"], Text, REDIRECT),
    row(&["tls-alternate-server"], Text, REDIRECT),
    row(&["tcp-alternate-server"], Text, REDIRECT),
    row(&["udp-alternate-server"], Text, REDIRECT),
    // The process
    row(&["daemon"], Switch, Same("systemd or Docker keeps it running")),
    row(
        &["pidfile"],
        Text,
        Lost("no such file is written: a script that reads it has to ask systemd or Docker"),
    ),
    row(&["proc-user"], Text, ACCOUNT),
    row(&["proc-group"], Text, ACCOUNT),
    row(&["version"], Text, Same("it is for the command line; delete it")),
    // Removed by coturn, and still in configurations
    row(&["ne"], Number, Same("coturn has removed it; the server chooses itself how it works")),
    row(&["no-sslv2"], Switch, MODERN_TLS),
    row(&["no-sslv3"], Switch, MODERN_TLS),
    row(&["no-tlsv1"], Switch, MODERN_TLS),
    row(&["no-tlsv1_1"], Switch, MODERN_TLS),
    row(&["dh2066"], Switch, KEY_EXCHANGE),
    row(&["no-loopback-peers"], Switch, Same("loopback is denied")),
    row(&["no-stun-backward-compatibility"], Switch, Same("answers hold XOR-MAPPED-ADDRESS only")),
    row(&["prod"], Switch, Same("answers do not name the server")),
    row(&["no-http"], Switch, Same("this server does not speak HTTP")),
    row(&["secret-ts-exp-time"], Number, Same("a credential says itself when it expires")),
    row(
        &["st-cred-mech"],
        Switch,
        Lost("short-term credentials are not for TURN; long-term ones are always required"),
    ),
    row(&["sha256"], Switch, Lost("credentials are keyed as Synapse does it, with SHA-1")),
    row(&["sha384"], Switch, Lost("credentials are keyed as Synapse does it, with SHA-1")),
    row(&["sha512"], Switch, Lost("credentials are keyed as Synapse does it, with SHA-1")),
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
    fn options_that_are_taken_over_lead_to_keys_that_exist() {
        for option in OPTIONS {
            let Fate::Taken(key, _) = option.fate else { continue };
            let known = match key.strip_prefix("listen.") {
                Some(name) => schema::LISTEN_KEYS.contains(&name),
                None => schema::find(key).is_some(),
            };
            assert!(known, "{}: {key}", option.names[0]);
        }
    }
}
