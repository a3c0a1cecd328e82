//! The table of keys: the only place that says which keys there are, what each takes, its default, its
//! bounds, and what a reload does with it. `key_table` turns it into structures ([`Limits`] and so on) and
//! into [`SECTIONS`]. From those come: what is read, with its errors; the defaults; the environment variable
//! of each key (its section and name); "did you mean"; what a reload changes, and what it leaves;
//! config/taciturn.toml and docs/reference.md.
//!
//! A line of a `struct` is a key that is read by its type:
//!
//! ```text
//! /// What it means: the comment in config/taciturn.toml, the text in docs/reference.md.
//! NAME: TYPE = DEFAULT, in LEAST..=MOST, as "EXAMPLE", RELOAD, coturn "OPTION";
//! ```
//!
//! `TYPE` is `bool`, `u32`, `Duration` or another one that implements [`Value`](super::value::Value). `in`
//! stands only where the type has bounds; `as` only where the files show another value than the default.
//! `RELOAD` is `Applied`, or `Restart` with the reason why a running server cannot take the value up.
//! `coturn` names the option of coturn that is the same, if there is one. A key without a comment is explained
//! by the one before it.
//!
//! A line of `own` is a key that a function of `check` reads, because it says more than one value does, or
//! depends on others:
//!
//! ```text
//! NAME: KIND, DEFAULT-OR-EXAMPLE "AS TOML", RELOAD, coturn "OPTION";
//! ```

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Duration;

use ipnet::IpNet;
use taciturn_turn::auth::{SecretHash, StaticUser};
use taciturn_turn::policy::PORT_QUARANTINE;

use super::account::Account;
use super::allowed_peer::AllowedPeer;
use super::change::Changes;
use super::database_url::DatabaseUrl;
use super::fleet::{FleetName, FleetUrl};
use super::kernel_relay::{InterfaceName, KernelMode};
use super::key::Kind::{Boolean, Count, List, Listeners, Path, SecretList, Table, Tenants, Text};
use super::key::OnReload::{Applied, Restart};
use super::key::{Key, Section, Shows};
use super::key_table::{bounds, dotted, key_table, optional, section, shows, value};
use super::log_format::LogFormat;
use super::log_level::LogFilter;
use super::page_access::PageAccess;
use super::read::Reader;
use super::record_addresses::RecordAddresses;
use super::records_url::RecordsUrl;
use super::removal::OnRemoval;
use super::secret::Secret;
use super::sql::SqlSchema;
use super::stop::Stop;
use super::value::Value;

/// Worker threads at most.
pub const MOST_WORKERS: u32 = 256;

const METRICS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9641);
const CHOSEN: &str = "the database is chosen at the start";
const ATTACHED: &str = "the program is attached while the server may do so: at the start";
const JOINED: &str = "the fleet is joined at the start";
const OPENED: &str = "where records go is opened at the start";
const HOUR: Duration = seconds(3600);
const DAY: Duration = seconds(86400);

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

key_table! {
    [top]
    own {
        /// Realm of the long-term credentials: usually the DNS name of this server. Up to 127 characters.
        /// Precomputed keys (0x...) in [auth] are only valid for the realm they were made for.
        realm: Text, Default r#""taciturn""#, Applied, coturn "realm";

        /// Name or address that clients use in URIs. Default: the realm if it is a DNS name, otherwise
        /// external_ip. No port.
        host: Text, Example r#""turn.domain.org""#, Applied;

        /// Address at which peers reach the relay: "auto" (find it), one address, one IPv4 and one IPv6
        /// address as a list, or "PUBLIC/PRIVATE" if the provider maps one to the other (1:1 NAT).
        external_ip: List, Default r#""auto""#, Restart("running calls have addresses that were made from it"),
            coturn "external-ip";

        /// STUN servers that "auto" may ask when this machine has no public address of its own, HOST:PORT.
        /// Empty: the server asks nobody.
        stun_servers: List, Default "[]", Restart("they are asked at the start only");

        /// UDP ports for relayed traffic (TCP as well with tcp_relay), inclusive. Open them in the firewall.
        relay_ports: Text, Default r#""59000-60100""#, Restart("running calls have ports of this range");

        /// Worker threads, 0 to 256. 0 = one per core.
        workers: Count { least: 0, most: MOST_WORKERS }, Default "0",
            Restart("each call belongs to one of them"), coturn "relay-threads";

        /// Directory for the secret that the server generates. Default: the one systemd provides
        /// (StateDirectory=), else /var/lib/taciturn for root and ~/.local/state/taciturn for others.
        state_dir: Text, Example r#""/var/lib/taciturn""#, Restart("what is kept there is read at the start");
        listen: Listeners, Default "", Applied;
        tenant: Tenants, Default "", Applied;
    }

    /// Who may use the relay. If [auth] names no user and no secret, the server generates a secret once
    /// and keeps it in state_dir.
    [auth]
    own {
        /// Static users: "NAME:PASSWORD", or "NAME:0xKEY", where KEY is the 32 hex digits of
        /// MD5(NAME:REALM:PASSWORD), so that the file contains no password. Everything after the first colon is
        /// the password.
        users: SecretList, Default "[]", Applied, coturn "user";

        /// Shared secrets, from which a homeserver derives passwords that expire. All of them are valid, so a
        /// secret can be replaced without a gap. At least 16 characters.
        secrets: SecretList, Default "[]", Applied, coturn "static-auth-secret";

        /// Files with one shared secret each. White space around it is ignored. Others must not be able to
        /// read them (chmod o=), except below /run/secrets. The server finds systemd's
        /// LoadCredential=turn_secret without an entry here.
        secret_files: List, Default "[]", Applied;
    }
    struct Auth and {
        /// Static long-term users.
        users: Vec<StaticUser>;

        /// REST shared secrets; a credential of any of them is valid.
        secrets: Vec<Secret>;
    } {
        /// Accepts credentials that everybody can guess, such as test:test. For tests only.
        allow_weak_credentials: bool = false, Applied;

        /// Ends a call when the credential it was started with expires. Otherwise a running call goes on.
        strict_expiry: bool = false, Applied;

        /// What passwords of shared secrets may be made with: HMAC by "sha1", "sha256" or "sha512"; each that is listed
        /// is accepted. Homeservers and most applications use SHA-1. If all of yours can do another,
        /// list both, and remove "sha1" when taciturn_secret_credentials_total counts no more of it.
        secret_hashes: Vec<SecretHash> = vec![SecretHash::Sha1], Applied;

        /// What a reload does with calls whose user or shared secret is no longer configured, or has another
        /// password: "end" or "keep". Calls whose secret is still there, beside a new one, go on in either case.
        on_removal: OnRemoval = OnRemoval::End, Applied;
    }

    /// Users and secrets from a database, beside those in [auth]: coturn's tables or keys as they are, or simpler tables.
    /// It is read in the background, and no request waits for it: docs/databases.md. Without url, the server reads users.db in
    /// state_dir, which `turnctl users` makes.
    [auth_database]
    struct Database {
        /// PostgreSQL (postgres://ROLE@HOST/DATABASE, or ?host=/DIRECTORY for a socket), SQLite (sqlite:PATH), or Redis or
        /// Valkey (redis://USER@HOST:PORT/NUMBER, rediss:// for TLS, unix:///PATH for a socket). The right to read is
        /// enough. To PostgreSQL on another machine, TLS is used unless the URL ends with ?sslmode=disable. None by
        /// default.
        url: Option<DatabaseUrl> = None, as r#""postgres://taciturn@db.internal/coturn""#, Restart(CHOSEN);

        /// A file with the URL instead, if it has the password in it.
        url_file: Option<PathBuf> = None, as r#""/etc/taciturn/database_url""#, Restart(CHOSEN);

        /// A file with the password. It is read with each connection.
        password_file: Option<PathBuf> = None, as r#""/etc/taciturn/database_password""#, Restart(CHOSEN);

        /// For TLS: a PEM file with the certificates of the authorities that its certificate may be from.
        ca_file: Option<PathBuf> = None, as r#""/etc/ssl/certs/ca-certificates.crt""#, Restart(CHOSEN);

        /// The schema of the tables in PostgreSQL. Default: the search path of the role.
        schema: Option<SqlSchema> = None, as r#""coturn""#, Restart(CHOSEN);

        /// How often it is read, 1s to 1h. Also at once after `NOTIFY taciturn` (PostgreSQL), when the file has changed
        /// (SQLite), and with each reload.
        every: Duration = seconds(10), in seconds(1)..=HOUR, Applied;

        /// What becomes of calls whose user or secret is no longer in the database: "keep" or "end". Programs that
        /// rotate secrets there expect that calls go on.
        on_removal: OnRemoval = OnRemoval::Keep, Applied;
    }

    /// Certificates for the listeners that have none of their own. Without any, TLS is off. You may give
    /// more than one: clients get the one for the name that they request, otherwise the first. The server
    /// switches to new files without a restart.
    [tls]
    own {
        /// A pair of PEM files: the certificate with its chain, and its private key. Both or neither.
        cert: Path, Example r#""/etc/taciturn/fullchain.pem""#, Applied, coturn "cert";
        key: Path, Example r#""/etc/taciturn/privkey.pem""#, Applied, coturn "pkey";

        /// A directory of certbot, which holds fullchain.pem and privkey.pem.
        certbot: Path, Example r#""/etc/letsencrypt/live/turn.domain.org""#, Applied;

        /// Traefik's acme.json, or a directory of acme*.json files, read in place.
        acme: Path, Example r#""/etc/traefik/acme.json""#, Applied;

        /// The names whose certificates are used from it. Default: host, else the realm if it is a DNS
        /// name.
        acme_domains: List, Example r#"["turn.domain.org"]"#, Applied;
    }

    /// Where the relay may send to, in addition to the built-in rules: private, loopback, link-local, shared
    /// (CGNAT), multicast and other special networks are always denied unless allowed here, and so are this
    /// server's own addresses but for the relay ports. Networks such as "10.0.0.0/8", or single addresses.
    [peers]
    struct Peers {
        /// Allowed although a rule denies it. With a port or a range of ports, these alone: "10.0.0.5:10000",
        /// "10.0.0.0/8:5000-6000", "[2001:db8::1]:10000". "self" stands for the addresses that this server relays on,
        /// so "self:7882" is a media server beside it. Entries add up.
        allow: Vec<AllowedPeer> = Vec::new(), Applied, coturn "allowed-peer-ip";

        /// Denied in addition, with all ports. What `allow` names wins.
        deny: Vec<IpNet> = Vec::new(), Applied, coturn "denied-peer-ip";
    }

    /// Limits. Durations are a number and a unit (s, m, h, d), or seconds without a unit.
    [limits]
    struct Limits {
        /// Allocations that one user may have at a time, 1 to 1000000. Browsers create many for one call.
        allocations_per_user: u32 = 200, in 1..=1_000_000, Applied, coturn "user-quota";

        /// Allocations that one user may request in a second, 0 to 10000, with a burst of ten seconds' worth.
        /// Beyond that the answer is 486, as with the limit above. 0 is no limit.
        allocations_per_second_per_user: u32 = 20, in 0..=10_000, Applied;

        /// Permissions of one allocation, 1 to 65536.
        permissions_per_allocation: u32 = 256, in 1..=65_536, Applied;

        // RFC 8656 section 12: there are 4096 channel numbers.
        /// Channels of one allocation, 1 to 4096.
        channels_per_allocation: u32 = 256, in 1..=4096, Applied;

        /// Connections with peers of one TCP allocation (see tcp_relay), 1 to 65536.
        peer_connections_per_allocation: u32 = 32, in 1..=65_536, Applied;

        /// TCP, TLS and DTLS connections in all, 1 to 1000000. With tcp_relay, as many again with peers. If all
        /// are taken, the oldest one without an allocation is closed for a new one.
        connections: u32 = 4096, in 1..=1_000_000, Applied;

        /// TCP, TLS and DTLS connections from one address (one /64 for IPv6), 1 to 1000000. An IPv6 /56 may have
        /// twice as many, a /48 four times, an IPv4 /24 eight times.
        connections_per_address: u32 = 256, in 1..=1_000_000, Applied;

        // What strangers can have sent to others comes to 8 Mbit/s by default: docs/security.md.
        /// Answers a second to one UDP source (one /64 for IPv6) that has not yet shown that its address is its
        /// own, 0 to 1000, and to all of them together, 0 to 1000000, with a burst of three seconds' worth.
        /// Beyond that the server is silent, so that nobody can use it to attack others; once the total is spent,
        /// a tenth more goes to requests that are repeated. A TCP, TLS or DTLS connection that has not logged in
        /// gets as many as a UDP source, and all connections of one source ten times as many; then TCP and TLS
        /// are closed. 0 is no limit.
        unverified_answers_per_address: u32 = 20, in 0..=1000, Applied;
        unverified_answers: u32 = 10_000, in 0..=1_000_000, Applied;

        /// Addresses and networks exempt from those two limits and the next two; loopback is always exempt.
        unverified_exempt: Vec<IpNet> = Vec::new(), Applied;

        /// Wrong credentials a second from the ports of one source that sent one within ten seconds, 0 to 1000,
        /// and twice as many from its other ports, with a burst of three seconds' worth. Each port may send 6 at
        /// once, and one more every ten seconds. Beyond that its requests are dropped and its connections closed,
        /// except for running sessions. 0 is no limit.
        failures_per_address: u32 = 10, in 0..=1000, Applied;

        /// TLS and DTLS handshakes a second from one address (one /64 for IPv6), 0 to 1000, and four times as
        /// many from its /24 (/48 for IPv6), with a burst of three seconds' worth. Resumed sessions do not count.
        /// Beyond that connections are closed before they cost a signature. Raise it if many clients share one
        /// address. 0 is no limit. In any case their signatures take at most a fifth of a worker's time.
        handshakes_per_address: u32 = 10, in 0..=1000, Applied;

        /// Allocations of all users together, 0 to 1000000. 0: as many as there are relay_ports.
        allocations: u32 = 0, in 0..=1_000_000, Applied, coturn "total-quota";

        /// Percentage of relay_ports, 0 to 90, reserved for users without an allocation, so that one user alone
        /// cannot take them all.
        ports_reserved_percent: u32 = 10, in 0..=90, Applied;

        /// How long a used relay port is not assigned again, 0s to 1h: what its former peers still send would
        /// reach another client. If no free port has rested that long, the one that has rested longest is used.
        port_quarantine: Duration = PORT_QUARANTINE, in Duration::ZERO..=HOUR, Applied;

        /// Bytes of relayed data a second, 0 to 1000000000, for one allocation, for one user, and in all, counted
        /// separately for each direction, with a burst of one second's worth. Beyond that packets are dropped
        /// (TCP to the other side, see tcp_relay, is slowed down instead). A voice call takes about 10000, a
        /// video call up to 500000. 0 is no limit.
        bytes_per_second_per_allocation: u32 = 0, in 0..=1_000_000_000, Applied, coturn "max-bps";
        bytes_per_second_per_user: u32 = 0, in 0..=1_000_000_000, Applied;
        bytes_per_second: u32 = 0, in 0..=1_000_000_000, Applied, coturn "bps-capacity";

        /// The same in packets, 0 to 10000000. A video call has about 500 a second in each direction. Does not
        /// apply to tcp_relay.
        packets_per_second_per_allocation: u32 = 0, in 0..=10_000_000, Applied;
        packets_per_second_per_user: u32 = 0, in 0..=10_000_000, Applied;
        packets_per_second: u32 = 0, in 0..=10_000_000, Applied;

        /// New peers a second, 0 to 100000, with a burst of three seconds' worth. An address that the allocation
        /// has a permission for is not new; a connection of tcp_relay always is. 0 is no limit.
        new_peers_per_second_per_allocation: u32 = 50, in 0..=100_000, Applied;
        new_peers_per_second_per_user: u32 = 200, in 0..=100_000, Applied;

        //= 8656-7.2-max-lifetime
        // RFC 8656 section 3.2: an allocation lives 10 minutes unless refreshed.
        /// Longest lifetime of an allocation without a refresh, 10m to 1d.
        max_lifetime: Duration = HOUR, in seconds(600)..=DAY, Applied, coturn "max-allocate-lifetime";

        /// How long a nonce is valid, 10s to 1d.
        nonce_lifetime: Duration = HOUR, in seconds(10)..=DAY, Applied, coturn "stale-nonce";
    }

    /// Redirects clients to another server instead of creating allocations for them: 300 Try Alternate of
    /// RFC 8489. Off by default. Running calls go on here. Firefox follows over UDP and TCP. So does Chromium, but it
    /// is served only by a server of the same [fleet]: its first request has the nonce that it was given here, and it
    /// gives up where that is not good. The other server must know the same users and secrets.
    [redirect]
    own {
        /// Servers for clients over UDP and TCP: at most one IPv4 and one IPv6 address, with ports. Clients of
        /// a family without one are served here.
        servers: List, Example r#"["198.51.100.2:3478", "[2001:db8::2]:3478"]"#, Applied,
            coturn "alternate-server";

        /// The same for clients over TLS and DTLS.
        tls_servers: List, Example r#"["198.51.100.2:5349", "[2001:db8::2]:5349"]"#, Applied,
            coturn "tls-alternate-server";

        /// The name in that server's certificate, if it differs from this server's.
        tls_domain: Text, Example r#""turn2.domain.org""#, Applied;
    }

    /// Pages for the people whose calls fail (turnctl test-link).
    [web]
    own {
        /// An address for test links alone, over TLS if there is a certificate, otherwise over TCP. Without it they
        /// are read on the listeners for TLS or TCP. Nothing is told to who has no link.
        listen: Text, Example r#""[::]:8443""#, Applied;
    }

    /// Extensions to the current RFCs.
    [protocol]
    own {
        /// Lets clients discover the behaviour of their NAT (RFC 5780): two addresses of this server, of one
        /// family or of each, behind a 1:1 NAT as "PUBLIC/PRIVATE". There must be UDP listeners on two ports, each
        /// on all of these addresses. Browsers do not need it; leave it off unless a program of yours does: an
        /// answer to a stranger then has 68 bytes instead of 32.
        nat_discovery: List, Default "[]", Restart("the workers are started with it");
    }
    struct Protocol {
        /// Accepts channel numbers up to 0x7FFF, as RFC 5766 did. No browser needs it; coturn's test
        /// clients before 4.16 do.
        rfc5766_channels: bool = false, Applied, coturn "rfc5766-channel-numbers";

        /// Relays TCP as well (RFC 6062): clients connected by TCP or TLS may connect to peers over TCP, and
        /// peers to them. No browser needs it, so leave it off unless a program of yours does. [peers] applies
        /// to it too. relay_ports must then be open for TCP as well.
        /// Turning it on needs a restart if the sandbox has blocked TCP connections (see sandbox).
        tcp_relay: bool = false, Applied;

        /// Offers SHA-256 passwords and hashed user names (RFC 8489) over UDP too. Over TCP, TLS and DTLS
        /// the server always offers them. The offer makes the answer to a stranger longer: 92 bytes instead of 64
        /// with a realm of 11 characters. The server does not offer SHA-256 if a user has an MD5 key (0x...), nor
        /// hashed names if there are shared secrets.
        rfc8489_over_udp: bool = false, Applied;

        /// Reports ICMP errors for datagrams to peers, such as "port unreachable", to clients (RFC 8656, section
        /// 11.5). Linux only. No browser uses it.
        icmp_errors: bool = false, Applied;

        /// Answers Binding requests of RFC 3489, without the magic cookie, which some old telephones send. Only
        /// Binding, and only over UDP.
        rfc3489: bool = false, Applied, coturn "rfc3489-compatibility";

        /// Lets an allocation move with its client (RFC 8016): a phone that goes from Wi-Fi to mobile data keeps
        /// its relayed address. Browsers restart ICE instead.
        mobility: bool = false, Restart("the workers are started with it"), coturn "mobility";

        /// Keeps the DSCP of relayed datagrams (RFC 8656, section 14): what an application has marked as audio or
        /// video stays marked behind the server. With false the server clears it; do that if your network charges
        /// for marked packets or gives them precedence. Linux only.
        keep_dscp: bool = true, Applied;

        /// Keeps ECN of relayed datagrams: when a router on one side of the server signals congestion, the
        /// receiver on the other side learns of it, which L4S requires. Linux only.
        keep_ecn: bool = true, Applied;

        /// Sends relayed datagrams with the TTL (in IPv6 the hop limit) that they came with, less one, as a router
        /// does, in place of the system's default. It costs processor time, and no application needs it.
        /// Linux only.
        keep_ttl: bool = false, Applied;

        /// Names the server in the answer to a successful Allocate (SOFTWARE: "taciturn", without a version). No
        /// other answer does.
        software: bool = true, Applied, coturn "software-attribute";
    }

    [log]
    struct Log {
        /// Format of the log on standard error: "text" for people (in the journal without the time, which the
        /// journal adds), or "json", one object a line.
        format: LogFormat = LogFormat::Text, Restart("the log is opened once");

        /// Level of the log: off, error, warn, info, debug or trace; or levels by module, as
        /// "info,taciturn::net=debug". TACITURN_LOG is short for TACITURN_LOG_LEVEL. `turnctl log-level` changes
        /// it while the server runs.
        level: LogFilter = LogFilter::default(), Applied;
    }

    [admin]
    struct Admin {
        /// Address for metrics (/metrics, for Prometheus) and health (/live, /ready) over HTTP, or "off". They
        /// name no user and no client. The status page is there too (see page). If the port is in use, the
        /// server warns and runs without them.
        metrics: Option<SocketAddr> = Some(METRICS), Restart("its socket is bound at the start");

        /// The status page, at the address for metrics: "local" (programs on this machine may read it, others need a
        /// token from `turnctl page`), "token" (everybody needs one) or "off". It names users and clients.
        page: PageAccess = PageAccess::Local, Restart("the pages are set up at the start");

        /// The Unix socket for turnctl, mode 0660, or "off". Default: control.sock in the directory that
        /// systemd provides (RuntimeDirectory=), else in state_dir.
        socket: Option<PathBuf> = None, as r#""/var/lib/taciturn/control.sock""#, Restart("it is bound at the start");
    }

    [process]
    struct Process {
        /// The user to run as, or USER:GROUP, once the ports are bound; it must be able to read the
        /// certificates and the secret files. For a server that is started as root; systemd and containers
        /// set the user themselves. None by default.
        user: Option<Account> = None, as r#""taciturn""#, Restart("the rights are given up at the start"),
            coturn "proc-user";

        /// Denies access to the file system, except for the directories of the configured files and what is below
        /// them, if the kernel has landlock (Linux 5.13): give these files a directory of their own. Without
        /// tcp_relay, outgoing TCP connections are denied as well (Linux 6.7).
        sandbox: bool = true, Restart("the rights are given up at the start");

        /// Refuses system calls that a relay does not need (seccomp), with "Function not implemented".
        seccomp: bool = true, Restart("the rights are given up at the start");

        /// What SIGTERM and SIGINT do: "now" ends the server, and its calls unless another process goes on with
        /// them; "drain" lets calls go on until they end, and accepts no new ones; "drain:1h" does so for at most
        /// that long. A second signal ends the server at once.
        stop: Stop = Stop::Now, Applied;
    }

    /// Several servers that know of each other: bans hold on all of them, and `turnctl fleet` lists them. They meet in
    /// a Valkey (7.2 or later) or Redis (6.2 or later). No call needs it: docs/scaling.md.
    [fleet]
    struct Fleet {
        /// Where it is: redis://, rediss:// (TLS) or unix:///, with a user if it has access lists. With Sentinel:
        /// redis+sentinel://USER@HOST,HOST2:26379/MASTER (also redis-sentinel://), or rediss+sentinel:// for TLS to
        /// the sentinels and to the master. None by default.
        url: Option<FleetUrl> = None, as r#""rediss://taciturn@valkey.internal:6380/0""#, Restart(JOINED);

        /// A file with the password. It is read with each connection.
        password_file: Option<PathBuf> = None, as r#""/etc/taciturn/valkey_password""#, Restart(JOINED);

        /// For TLS: a PEM file with the certificates of the authorities that its certificate may be from.
        ca_file: Option<PathBuf> = None, as r#""/etc/ssl/certs/ca-certificates.crt""#, Restart(JOINED);

        /// Who this server is to the sentinels, if they have access lists. user and password_file are for the master.
        sentinel_user: Option<FleetName> = None, as r#""taciturn""#, Restart(JOINED);

        /// A file with the password for the sentinels, if they want one. It is read with each connection.
        sentinel_password_file: Option<PathBuf> = None, as r#""/etc/taciturn/sentinel_password""#, Restart(JOINED);

        /// The name of this server, which no other has. Default: the host name.
        node: Option<FleetName> = None, as r#""fra1""#, Restart(JOINED);

        /// What all keys there begin with, before a colon: servers with another prefix are of another fleet.
        prefix: FleetName = FleetName::usual(), Restart(JOINED);

        /// Whether allocations_per_user holds for all servers together: each tells the others how many allocations users
        /// hold on it, without their names.
        share_quotas: bool = true, Applied;

        /// Whether new clients over UDP and TCP for which there is no room, or that come while the server drains, are sent to
        /// the least loaded other server: 300 Try Alternate, in place of 508.
        redirect: bool = true, Applied;
    }

    /// Credentials for applications over HTTP: POST /ice at the address for metrics (metrics in [admin]) returns
    /// iceServers for RTCPeerConnection, as Cloudflare and Twilio do, so that an application needs no code for HMAC.
    /// Off without a token. They are made from the first shared secret: docs/recipes.md.
    [ice]
    own {
        /// What the server of an application sends as "Authorization: Bearer TOKEN". Each is of use, so that each
        /// application may have its own. 32 characters or more: openssl rand -hex 24.
        tokens: SecretList, Default "[]", Applied;

        /// Files with one token each, as secret_files in [auth].
        token_files: List, Default "[]", Applied;

        /// The URIs that are returned. Default: those of the listeners, with host.
        uris: List, Example r#"["turn:turn.domain.org:3478?transport=udp", "turns:turn.domain.org:443?transport=tcp"]"#,
            Applied;
    }
    struct Ice and {
        /// The tokens.
        tokens: Vec<Secret>;

        /// The URIs; empty if they are those of the listeners.
        uris: Vec<String>;
    } {
        /// How long a credential is valid if the application does not say, 1m to 30d. A call goes on after that.
        ttl: Duration = DAY, in seconds(60)..=seconds(30 * 86400), Applied;

        /// How long an application may ask for, 1m to 30d.
        max_ttl: Duration = seconds(2 * 86400), in seconds(60)..=seconds(30 * 86400), Applied;

        /// Credentials a second for each token, 1 to 1000, with a burst of three seconds' worth. Beyond that the answer
        /// is 429.
        requests_per_second: u32 = 20, in 1..=1000, Applied;
    }

    /// Records of what sessions have used, one line of JSON each: when a session ends, and for long ones meanwhile. Off by
    /// default; with one of file, url and stream they are kept. They name users: docs/records.md.
    [records]
    struct Records {
        /// A file for them, in a directory of its own.
        file: Option<PathBuf> = None, as r#""/var/lib/taciturn/records/usage.jsonl""#, Restart(OPENED);

        /// MiB, 1 to 65536, at which the file becomes an old one: usage.jsonl.1, .2 and so on. After SIGHUP the server
        /// opens it again, for logrotate.
        rotate_at_mib: u32 = 64, in 1..=65_536, Restart(OPENED);

        /// How long after its first record the file becomes an old one, 0s to 366d. 0s: never by age.
        rotate_after: Duration = Duration::ZERO, in Duration::ZERO..=seconds(366 * 86400), Restart(OPENED);

        /// How many old ones are kept, 1 to 1000.
        keep: u32 = 8, in 1..=1000, Restart(OPENED);

        /// Or the address of a receiver, to which they are sent by POST as application/x-ndjson. What it has not
        /// taken waits in state_dir.
        url: Option<RecordsUrl> = None, as r#""https://billing.internal/records""#, Restart(OPENED);

        /// A file with the bearer token for the receiver. It is read for each delivery.
        token_file: Option<PathBuf> = None, as r#""/etc/taciturn/records_token""#, Restart(OPENED);

        /// For https://: a PEM file with the certificates of the authorities that its certificate may be from.
        ca_file: Option<PathBuf> = None, as r#""/etc/ssl/certs/ca-certificates.crt""#, Restart(OPENED);

        /// Or a stream in the Valkey or Redis of [fleet], by its name behind the prefix.
        stream: Option<FleetName> = None, as r#""records""#, Restart(OPENED);

        /// About how many entries of the stream are kept, 1000 to 100000000.
        stream_length: u32 = 1_000_000, in 1000..=100_000_000, Restart(OPENED);

        /// MiB, 1 to 65536, in state_dir for records that the receiver or the stream has not taken. A record has about
        /// 600 bytes.
        spool_mib: u32 = 64, in 1..=65_536, Restart(OPENED);

        /// A session that goes on has a record each time that this has passed, 1s to 1d.
        every: Duration = HOUR, in seconds(1)..=DAY, Restart(OPENED);

        /// What of the address of a client a record has: "full" (address and port), "network" (/24 of IPv4, /48 of
        /// IPv6) or "none".
        addresses: RecordAddresses = RecordAddresses::Full, Restart(OPENED);
    }

    /// The kernel relays the data of bound channels by itself, without a way up to this server and down again. Packet
    /// filters (nftables, ufw, fail2ban) and conntrack do not see what it relays: docs/kernel-relay.md.
    [kernel_relay]
    struct KernelRelay {
        /// "off", or "tc": by a program at TC ingress. Needs CAP_BPF and CAP_NET_ADMIN at the start, or
        /// `turnctl kernel-relay attach` before it. Without them, and for all that it does not take, the sockets relay.
        mode: KernelMode = KernelMode::Off, Restart(ATTACHED);

        /// Interfaces that clients' and peers' packets come in by. Default: those that have the addresses of the
        /// listeners and of the relay.
        interfaces: Vec<InterfaceName> = Vec::new(), as r#"["eth0"]"#, Restart(ATTACHED);

        /// Channels at a time, 1 to 1048576. The tables take 128 bytes of the kernel's memory for each from the start, and a channel
        /// 192 more (IPv6: up to 384). Those beyond it are relayed by the sockets.
        channels: u32 = 16_384, in 1..=1_048_576, Restart(ATTACHED);

        /// The directory in which `turnctl kernel-relay attach` has left the program. Used if it is there; otherwise
        /// the server attaches the program itself.
        pins: Option<PathBuf> = Some(PathBuf::from("/sys/fs/bpf/taciturn")), Restart(ATTACHED);
    }

    [tuning]
    struct Tuning {
        /// Microseconds, 0 to 2000. If packets arrive often (some thousands a second) and one by one, a core lets
        /// them gather for this time and handles them together: two fifths less processor time at 20,000 packets a
        /// second, but each packet is delayed by up to this time (docs/performance.md). It has no effect at the rates
        /// of a few calls, or if packets arrive in bursts anyway. 0 turns it off.
        wake_delay_us: u32 = 400, in 0..=2000, Applied;
    }

    /// Listeners, one section each. The defaults are these, the third only if [tls] has a certificate. In
    /// the environment and on the command line: udp:[::]:3478. TACITURN_LISTEN also accepts a TOML list, for
    /// the other keys:
    /// [{transport = "tls", address = "[::]:5349", cert = "FILE", key = "FILE"}]
    [listen]
    own {
        /// udp | tcp | tls | dtls (usually 5349; no browser speaks it) | auto (TCP and TLS on one port) |
        /// udp+dtls (UDP and DTLS on one port).
        transport: Text, Required r#""udp""#, Applied;

        /// [::] is every address of both families.
        address: Text, Required r#""[::]:3478""#, Applied;

        /// Its name in logs and metrics. Default: TRANSPORT:PORT.
        name: Text, Default r#""udp:3478""#, Applied;

        /// A pair of PEM files instead of the certificates of [tls]; for tls, dtls, auto and udp+dtls. None by default.
        cert: Path, Example r#""/etc/taciturn/calls.pem""#, Applied;
        key: Path, Example r#""/etc/taciturn/calls.key""#, Applied;

        /// Whether each connection begins with a PROXY protocol header (v1 or v2), as Traefik, HAProxy and
        /// nginx send it; for tcp, tls and auto. Use transport tls (or auto) if the proxy passes TLS through, tcp
        /// if it ends TLS itself. Clients then cannot connect directly, only through the proxy.
        proxy_protocol: Boolean, Default "false", Applied;

        /// The addresses and networks of the proxies; required with proxy_protocol = true, not allowed
        /// without. All other connections are refused.
        trusted_proxies: List, Default "[]", Applied;

        /// The realm of a tenant that the clients of this listener get, whatever name they ask for by TLS. By default
        /// that name decides, and where no tenant has it, the realm is that of the server.
        realm: Text, Example r#""turn.acme.example""#, Applied;
    }

    /// Tenants, one section each, at most 64: customers of one server whose users, limits, peers and ports are kept
    /// apart. The secret or the password that a login is made with says which tenant it is of; [auth] has the users of
    /// none (docs/tenants.md). In the environment TACITURN_TENANT is a TOML list:
    /// [{name = "acme", secret_files = ["FILE"]}]
    [tenant]
    own {
        /// Its name in sessions, metrics and the log: up to 64 letters, digits, hyphens, underscores and dots.
        name: Text, Required r#""acme""#, Applied;

        /// Shared secrets, files with one each, and static users, as in [auth]. At least one of the three. No secret may
        /// be in two places; users of one name may, with different passwords.
        secrets: SecretList, Default "[]", Applied;
        secret_files: List, Example r#"["/etc/taciturn/acme_secret"]"#, Applied;
        users: SecretList, Default "[]", Applied;

        /// The realm that its credentials are valid in. Default: that of the server. A client gets another one by the
        /// name that it asks for by TLS, or by the listener (see realm in [[listen]]).
        realm: Text, Example r#""turn.acme.example""#, Applied;

        /// The names that clients ask for by TLS or DTLS to get that realm. Default: the realm, if it is a DNS name.
        server_names: List, Example r#"["turn.acme.example"]"#, Applied;

        /// A part of relay_ports that it has for itself: nobody else gets one of these ports, and its users get no
        /// other. By default it shares those that no tenant has.
        relay_ports: Text, Example r#""59000-59299""#, Applied;

        /// Limits, named as in [limits]. Those for one user or one allocation are in place of the server's; allocations,
        /// bytes_per_second and packets_per_second are for all users of the tenant together, and there is none by
        /// default. Those of the server hold for all tenants together. Others are of the server alone.
        limits: Table, Example r#"{allocations = 200, allocations_per_user = 4, bytes_per_second = 20000000}"#, Applied;

        /// Peers, as in [peers]. What is allowed there is not to tenants, and what is denied there is to all; what a
        /// tenant allows wins for its users.
        peers: Table, Example r#"{allow = ["10.1.2.0/24"], deny = []}"#, Applied;

        /// Tokens with which its applications have credentials made, as tokens and token_files in [ice]. The tenant needs a
        /// shared secret.
        ice: Table, Example r#"{token_files = ["/etc/taciturn/acme_ice_token"]}"#, Applied;
    }
}
