//! Golden tests: what an operator reads when the configuration is wrong.
#![allow(clippy::unwrap_used)] // helpers of tests

use taciturn::config::{Config, Environment, ServerArgs};

/// The report about `toml`, less its last line, the count.
fn report(toml: &str) -> String {
    let report = Config::from_toml(toml).unwrap_err().to_string();
    let (errors, count) = report.rsplit_once('\n').unwrap();
    assert!(count.ends_with("in the configuration"), "{report}");
    errors.to_owned()
}

#[test]
fn errors_are_counted_at_the_end() {
    let count = |toml: &str| {
        Config::from_toml(toml).unwrap_err().to_string().lines().last().unwrap().to_owned()
    };
    assert_eq!(count("x = 1"), "1 error in the configuration");
    assert_eq!(count("x = 1\ny = 1"), "2 errors in the configuration");
}

#[test]
fn misspelt_key_is_told_its_name_and_its_value_is_hidden() {
    let toml = r#"relam = "turn.domain.org"
"#;
    let expected = r#"error: relam: there is no such key
 --> taciturn.toml:1:1
  |
1 | relam = ***
  | ^^^^^
  = help: did you mean "realm"?

"#;
    assert_eq!(report(toml).trim_end(), expected.trim_end());
}

#[test]
fn coturn_key_is_translated() {
    let toml = r#"static-auth-secret = "north-by-northwest-1959"
"#;
    let expected = r#"error: static-auth-secret: there is no such key
 --> taciturn.toml:1:1
  |
1 | static-auth-secret = ***
  | ^^^^^^^^^^^^^^^^^^
  = help: what coturn calls static-auth-secret is here: secrets in the section [auth]

"#;
    assert_eq!(report(toml).trim_end(), expected.trim_end());
}

#[test]
fn key_in_the_wrong_section_is_told_the_right_one() {
    let toml = r#"users = ["alice:correct horse"]
"#;
    let expected = r#"error: users: there is no such key
 --> taciturn.toml:1:1
  |
1 | users = [***]
  | ^^^^^
  = help: "users" belongs in the section [auth]

"#;
    assert_eq!(report(toml).trim_end(), expected.trim_end());
}

#[test]
fn every_error_is_reported_at_once_in_the_order_of_the_file() {
    let toml = r#"relay_ports = "60100-59000"
workers = "4"
realm = "<your realm>"

[peers]
allow = ["10.0.0.0/33"]

[limits]
max_lifetime = "1 week"
allocations_per_user = 0
"#;
    let expected = r#"error: relay_ports: "60100-59000": the first port, 60100, is greater than the last, 59000
 --> taciturn.toml:1:15
  |
1 | relay_ports = "60100-59000"
  |               ^^^^^^^^^^^^^
  = help: write FIRST-LAST, like "59000-60100"

error: workers: must be a whole number from 0 to 256, not a string
 --> taciturn.toml:2:11
  |
2 | workers = "4"
  |           ^^^
  = help: write digits without quotes

error: realm: "<your realm>" is a placeholder
 --> taciturn.toml:3:9
  |
3 | realm = "<your realm>"
  |         ^^^^^^^^^^^^^^
  = help: write the DNS name of this server, like "turn.domain.org",
          or remove the key

error: peers.allow[0]: "10.0.0.0/33" is no address and no network
 --> taciturn.toml:6:10
  |
6 | allow = ["10.0.0.0/33"]
  |          ^^^^^^^^^^^^^
  = help: write an address or a network with its prefix length: "10.1.2.3",
          "10.0.0.0/8", "2001:db8::/32"

error: limits.max_lifetime: is no duration
 --> taciturn.toml:9:16
  |
9 | max_lifetime = "1 week"
  |                ^^^^^^^^
  = help: write a number and a unit: "90s", "10m", "1h", "1d"; a number without unit is seconds

error: limits.allocations_per_user: must be a whole number from 1 to 1000000, not 0
  --> taciturn.toml:10:24
   |
10 | allocations_per_user = 0
   |                        ^
   = help: 0 does not mean "without bound" here; write a large number instead

"#;
    assert_eq!(report(toml).trim_end(), expected.trim_end());
}

#[test]
fn placeholders_of_external_ip_are_refused_in_words() {
    let toml = r#"external_ip = "X.X.X.X"
"#;
    let expected = r#"error: external_ip: "X.X.X.X" is a placeholder
 --> taciturn.toml:1:15
  |
1 | external_ip = "X.X.X.X"
  |               ^^^^^^^^^
  = help: write the address that clients on the Internet reach this machine at:
          external_ip = "auto" (find it), an IPv4 or IPv6 address,
          or PUBLIC/PRIVATE when the provider maps one to the other (1:1 NAT)

"#;
    assert_eq!(report(toml).trim_end(), expected.trim_end());
}

#[test]
fn network_is_no_external_ip() {
    let toml = r#"external_ip = "203.0.113.7/24"
"#;
    let expected = r#"error: external_ip: "203.0.113.7/24" is a network, not an address
 --> taciturn.toml:1:15
  |
1 | external_ip = "203.0.113.7/24"
  |               ^^^^^^^^^^^^^^^^
  = help: after the slash stands the private address of a 1:1 NAT, not a prefix length;
          write "203.0.113.7"

"#;
    assert_eq!(report(toml).trim_end(), expected.trim_end());
}

#[test]
fn second_external_ip_of_one_family_is_explained() {
    let toml = r#"external_ip = ["9.9.9.9", "8.8.8.8/10.0.0.5"]
"#;
    let expected = r#"error: external_ip[1]: a second IPv4 address, 8.8.8.8
 --> taciturn.toml:1:27
  |
1 | external_ip = ["9.9.9.9", "8.8.8.8/10.0.0.5"]
  |                           ^^^^^^^^^^^^^^^^^^
  = help: relayed addresses are made on one address of each family: keep one
          IPv4 and one IPv6 address at most

"#;
    assert_eq!(report(toml).trim_end(), expected.trim_end());
}

#[test]
fn families_of_a_mapping_must_agree() {
    let toml = r#"external_ip = "9.9.9.9/fd00::5"
"#;
    let expected = r#"error: external_ip: 9.9.9.9 and fd00::5 are of different families
 --> taciturn.toml:1:15
  |
1 | external_ip = "9.9.9.9/fd00::5"
  |               ^^^^^^^^^^^^^^^^^
  = help: both sides of PUBLIC/PRIVATE are IPv4, or both are IPv6;
          two public addresses are a list of two strings

"#;
    assert_eq!(report(toml).trim_end(), expected.trim_end());
}

#[test]
fn name_is_no_external_ip() {
    let toml = r#"external_ip = ["turn.domain.org", "224.0.0.1", "0.0.0.0"]
"#;
    let expected = r#"error: external_ip[0]: "turn.domain.org" is a name, not an address
 --> taciturn.toml:1:16
  |
1 | external_ip = ["turn.domain.org", "224.0.0.1", "0.0.0.0"]
  |                ^^^^^^^^^^^^^^^^^
  = help: write the address that clients on the Internet reach this machine at:
          external_ip = "auto" (find it), an IPv4 or IPv6 address,
          or PUBLIC/PRIVATE when the provider maps one to the other (1:1 NAT)

error: external_ip[1]: 224.0.0.1 is a multicast address
 --> taciturn.toml:1:35
  |
1 | external_ip = ["turn.domain.org", "224.0.0.1", "0.0.0.0"]
  |                                   ^^^^^^^^^^^
  = help: write the address that clients on the Internet reach this machine at:
          external_ip = "auto" (find it), an IPv4 or IPv6 address,
          or PUBLIC/PRIVATE when the provider maps one to the other (1:1 NAT)

error: external_ip[2]: 0.0.0.0 is a placeholder that means "any address"
 --> taciturn.toml:1:48
  |
1 | external_ip = ["turn.domain.org", "224.0.0.1", "0.0.0.0"]
  |                                                ^^^^^^^^^
  = help: write the address that clients on the Internet reach this machine at:
          external_ip = "auto" (find it), an IPv4 or IPv6 address,
          or PUBLIC/PRIVATE when the provider maps one to the other (1:1 NAT)

"#;
    assert_eq!(report(toml).trim_end(), expected.trim_end());
}

#[test]
fn example_credentials_are_refused_and_never_shown() {
    let toml = r#"[auth]
users = ["test:test", "correcthorsebattery", "bob:0x12", "eve:correct horse", "eve:another horse"]
secrets = ["your_secret_here", "sixteen", ""]
"#;
    let expected = r#"error: auth.users[0] (user test): the password equals the name
 --> taciturn.toml:2:10
  |
2 | users = [***, ***, ***, ***, ***]
  |          ^^^
  = help: make a new one, for example with: openssl rand -hex 24
          (for tests only: allow_weak_credentials = true in [auth])

error: auth.users[1]: has no colon between name and password
 --> taciturn.toml:2:23
  |
2 | users = [***, ***, ***, ***, ***]
  |               ^^^
  = help: write "NAME:PASSWORD", or "NAME:0xKEY" where KEY is the 32 hex digits of
          MD5(NAME:REALM:PASSWORD)

error: auth.users[2] (user bob): what begins with 0x is a key, and must be 32 hex digits
 --> taciturn.toml:2:46
  |
2 | users = [***, ***, ***, ***, ***]
  |                    ^^^
  = help: write "NAME:PASSWORD", or "NAME:0xKEY" where KEY is the 32 hex digits of
          MD5(NAME:REALM:PASSWORD)

error: auth.users[4] (user eve): a user of this name stands in the list already
 --> taciturn.toml:2:79
  |
2 | users = [***, ***, ***, ***, ***]
  |                              ^^^
  = help: remove one

error: auth.secrets[0]: is one of the example secrets that everybody tries first
 --> taciturn.toml:3:12
  |
3 | secrets = [***, ***, ***]
  |            ^^^
  = help: make a new one, for example with: openssl rand -hex 24
          (for tests only: allow_weak_credentials = true in [auth])

error: auth.secrets[1]: is shorter than 16 characters
 --> taciturn.toml:3:32
  |
3 | secrets = [***, ***, ***]
  |                 ^^^
  = help: make a new one, for example with: openssl rand -hex 24
          (for tests only: allow_weak_credentials = true in [auth])

error: auth.secrets[2]: is empty
 --> taciturn.toml:3:43
  |
3 | secrets = [***, ***, ***]
  |                      ^^^
  = help: make one with: openssl rand -hex 24

"#;
    assert_eq!(report(toml).trim_end(), expected.trim_end());
}

#[test]
fn key_of_an_example_password_is_refused() {
    let toml = r#"realm = "turn.domain.org"
auth.users = ["test:0x0fb8f3958acf2cb0b8128026c1f18d3a"]
"#;
    let expected = r#"error: auth.users[0] (user test): the key belongs to an example password, the name itself or an empty password
 --> taciturn.toml:2:15
  |
2 | auth.users = [***]
  |               ^^^
  = help: make a new one, for example with: openssl rand -hex 24
          (for tests only: allow_weak_credentials = true in [auth])

"#;
    assert_eq!(report(toml).trim_end(), expected.trim_end());
}

#[test]
fn listener_with_a_slip_of_the_pen() {
    let toml = r#"[[listen]]
transport = "upd"
adress = "[::]:3478"
"#;
    let expected = r#"error: listen[0].transport: there is no transport "upd"
 --> taciturn.toml:2:13
  |
2 | transport = "upd"
  |             ^^^^^
  = help: write one of "udp", "tcp", "tls", "dtls", "auto"

error: listen[0].adress: there is no such key
 --> taciturn.toml:3:1
  |
3 | adress = ***
  | ^^^^^^
  = help: did you mean "address"?

"#;
    assert_eq!(report(toml).trim_end(), expected.trim_end());
}

#[test]
fn listener_without_a_port_and_one_without_transport() {
    let toml = r#"[[listen]]
transport = "udp"
address = "2001:db8::1"

[[listen]]
address = "[::]:3478"
"#;
    let expected = r#"error: listen[0].address: has no port
 --> taciturn.toml:3:11
  |
3 | address = "2001:db8::1"
  |           ^^^^^^^^^^^^^
  = help: write "[2001:db8::1]:3478"

error: listen[1]: has no transport
 --> taciturn.toml:5:1
  |
5 | [[listen]]
  | ^^^^^^^^^^
  = help: add transport = "udp"

"#;
    assert_eq!(report(toml).trim_end(), expected.trim_end());
}

#[test]
fn listen_with_single_brackets() {
    let toml = r#"[listen]
transport = "udp"
address = "[::]:3478"
"#;
    let expected = r#"error: listen: is a single section; there may be several
 --> taciturn.toml:1:1
  |
1 | [listen]
  | ^^^^^^^^
  = help: write [[listen]], with two brackets

"#;
    assert_eq!(report(toml).trim_end(), expected.trim_end());
}

#[test]
fn listener_within_the_relay_ports() {
    let toml = r#"[[listen]]
transport = "udp"
address = "[::]:59500"
"#;
    let expected = r#"error: listen[0].address: port 59500 of the listener udp:59500 lies within relay_ports, 59000-60100
 --> taciturn.toml:3:11
  |
3 | address = "[::]:59500"
  |           ^^^^^^^^^^^^
  = help: a relay port and a listener cannot share a UDP port: change one of them

"#;
    assert_eq!(report(toml).trim_end(), expected.trim_end());
}

#[test]
fn relay_ports_over_the_default_listener() {
    let toml = r#"relay_ports = "3000-4000"
"#;
    let expected = r#"error: relay_ports: port 3478 of the listener udp:3478 lies within relay_ports, 3000-4000
 --> taciturn.toml:1:15
  |
1 | relay_ports = "3000-4000"
  |               ^^^^^^^^^^^
  = help: a relay port and a listener cannot share a UDP port: change one of them

"#;
    assert_eq!(report(toml).trim_end(), expected.trim_end());
}

#[test]
fn listeners_of_one_port_clash() {
    let toml = r#"tls.certbot = "/live"
listen = ["udp:[::]:3478", "tcp:[::]:3478", "udp:0.0.0.0:3478", "tls:[::]:3478"]
"#;
    let expected = r#"error: listen[2].address: 0.0.0.0:3478 is covered by another listener, [::]:3478: [::] is every address of both families
 --> taciturn.toml:2:45
  |
2 | listen = ["udp:[::]:3478", "tcp:[::]:3478", "udp:0.0.0.0:3478", "tls:[::]:3478"]
  |                                             ^^^^^^^^^^^^^^^^^^
  = help: remove one of them, or change its port

error: listen[3].address: [::]:3478 is taken by another listener, tcp:3478
 --> taciturn.toml:2:65
  |
2 | listen = ["udp:[::]:3478", "tcp:[::]:3478", "udp:0.0.0.0:3478", "tls:[::]:3478"]
  |                                                                 ^^^^^^^^^^^^^^^
  = help: remove one of them, or change its port

"#;
    assert_eq!(report(toml).trim_end(), expected.trim_end());
}

#[test]
fn secure_listener_without_a_certificate_is_told_the_three_ways() {
    let toml = r#"[[listen]]
transport = "tls"
address = "[::]:5349"
"#;
    let expected = r#"error: listen[0].transport: "tls" needs a certificate, and there is none
 --> taciturn.toml:2:13
  |
2 | transport = "tls"
  |             ^^^^^
  = help: configure one in the section [tls], in one of three ways:
          cert = "FILE" and key = "FILE" (a PEM pair; this listener's own will do as well),
          certbot = "/etc/letsencrypt/live/NAME",
          or acme = "/PATH/TO/acme.json" (Traefik's)

"#;
    assert_eq!(report(toml).trim_end(), expected.trim_end());
}

#[test]
fn certificate_and_key_go_together() {
    let toml = r#"[tls]
cert = "turn.pem"

[[listen]]
transport = "tls"
address = "[::]:5349"
key = "turn.key"
"#;
    let expected = r#"error: tls.cert: a certificate without its private key
 --> taciturn.toml:2:8
  |
2 | cert = "turn.pem"
  |        ^^^^^^^^^^
  = help: add key = "FILE" to the section [tls]
          where one PEM file holds both, write its path twice

error: listen[0].key: a private key without its certificate
 --> taciturn.toml:7:7
  |
7 | key = "turn.key"
  |       ^^^^^^^^^^
  = help: add cert = "FILE" to this listener
          where one PEM file holds both, write its path twice

"#;
    assert_eq!(report(toml).trim_end(), expected.trim_end());
}

#[test]
fn udp_has_neither_certificate_nor_proxy_and_tcp_no_certificate() {
    let toml = r#"[[listen]]
transport = "udp"
address = "[::]:3478"
cert = "turn.pem"
proxy_protocol = true

[[listen]]
transport = "tcp"
address = "[::]:3478"
key = "turn.key"
"#;
    let expected = r#"error: listen[0].cert: a listener with transport = "udp" has no such key
 --> taciturn.toml:4:8
  |
4 | cert = "turn.pem"
  |        ^^^^^^^^^^
  = help: remove it; only tls, dtls and auto listeners have a certificate

error: listen[0].proxy_protocol: a listener with transport = "udp" has no such key
 --> taciturn.toml:5:18
  |
5 | proxy_protocol = true
  |                  ^^^^
  = help: remove it; the PROXY protocol is for tcp, tls and auto listeners

error: listen[1].key: a listener with transport = "tcp" has no such key
  --> taciturn.toml:10:7
   |
10 | key = "turn.key"
   |       ^^^^^^^^^^
   = help: remove it; only tls, dtls and auto listeners have a certificate

"#;
    assert_eq!(report(toml).trim_end(), expected.trim_end());
}

#[test]
fn dtls_has_a_certificate_but_no_proxy() {
    let toml = r#"[[listen]]
transport = "dtls"
address = "[::]:5349"
cert = "turn.pem"
key = "turn.key"
trusted_proxies = ["127.0.0.1"]
"#;
    let expected = r#"error: listen[0].trusted_proxies: a listener with transport = "dtls" has no such key
 --> taciturn.toml:6:19
  |
6 | trusted_proxies = ["127.0.0.1"]
  |                   ^^^^^^^^^^^^^
  = help: remove it; the PROXY protocol is for tcp, tls and auto listeners

"#;
    assert_eq!(report(toml).trim_end(), expected.trim_end());
}

#[test]
fn proxies_are_named_where_their_headers_are_taken_and_only_there() {
    let toml = r#"[[listen]]
transport = "tcp"
address = "[::]:1"
proxy_protocol = true

[[listen]]
transport = "tcp"
address = "[::]:2"
trusted_proxies = ["10.0.0.1"]

[[listen]]
transport = "tcp"
address = "[::]:3"
proxy_protocol = true
trusted_proxies = []

[[listen]]
transport = "tcp"
address = "[::]:4"
proxy_protocol = "yes"
trusted_proxies = ["traefik"]
"#;
    let expected = r#"error: listen[0].proxy_protocol: it is not said who may send PROXY headers
 --> taciturn.toml:4:18
  |
4 | proxy_protocol = true
  |                  ^^^^
  = help: add the addresses of the proxies to this listener, like
          trusted_proxies = ["127.0.0.1", "172.16.0.0/12"]

error: listen[1].trusted_proxies: this listener does not take PROXY headers from anybody
 --> taciturn.toml:9:19
  |
9 | trusted_proxies = ["10.0.0.1"]
  |                   ^^^^^^^^^^^^
  = help: add proxy_protocol = true to this listener, or remove trusted_proxies

error: listen[2].trusted_proxies: is empty: nobody could connect
  --> taciturn.toml:15:19
   |
15 | trusted_proxies = []
   |                   ^^
   = help: name the proxies, like
           trusted_proxies = ["127.0.0.1", "172.16.0.0/12"]

error: listen[3].proxy_protocol: must be true or false, not a string
  --> taciturn.toml:20:18
   |
20 | proxy_protocol = "yes"
   |                  ^^^^^
   = help: write true or false without quotes

error: listen[3].trusted_proxies[0]: "traefik" is no address and no network
  --> taciturn.toml:21:20
   |
21 | trusted_proxies = ["traefik"]
   |                    ^^^^^^^^^
   = help: write an address or a network with its prefix length: "10.1.2.3",
           "10.0.0.0/8", "2001:db8::/32"

"#;
    assert_eq!(report(toml).trim_end(), expected.trim_end());
}

#[test]
fn acme_has_to_know_the_name() {
    let toml = r#"[tls]
acme = "/etc/traefik/acme.json"
"#;
    let expected = r#"error: tls.acme: it is not known which of the certificates in it to take
 --> taciturn.toml:2:8
  |
2 | acme = "/etc/traefik/acme.json"
  |        ^^^^^^^^^^^^^^^^^^^^^^^^
  = help: add acme_domains = ["turn.domain.org"] to the section [tls], with the name
          that clients use; or set host or realm to it

"#;
    assert_eq!(report(toml).trim_end(), expected.trim_end());
}

#[test]
fn names_without_acme_and_files_for_certbot() {
    let toml = r#"[tls]
acme_domains = ["turn.domain.org"]
certbot = "/etc/letsencrypt/live/turn.domain.org/fullchain.pem"
"#;
    let expected = r#"error: tls.acme_domains[0]: there is no acme.json to take a certificate from
 --> taciturn.toml:2:17
  |
2 | acme_domains = ["turn.domain.org"]
  |                 ^^^^^^^^^^^^^^^^^
  = help: add acme = "/PATH/TO/acme.json" to the section [tls], or remove this

error: tls.certbot: /etc/letsencrypt/live/turn.domain.org/fullchain.pem is a file of certbot's
 --> taciturn.toml:3:11
  |
3 | certbot = "/etc/letsencrypt/live/turn.domain.org/fullchain.pem"
  |           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  = help: write the directory that holds fullchain.pem and privkey.pem:
          certbot = "/etc/letsencrypt/live/turn.domain.org"

"#;
    assert_eq!(report(toml).trim_end(), expected.trim_end());
}

#[test]
fn names_of_certificates_are_names() {
    let toml = r#"tls.acme = "acme.json"
tls.acme_domains = ["turn.yourdomain.com", "https://turn.domain.org", "*"]
"#;
    let expected = r#"error: tls.acme_domains[0]: "turn.yourdomain.com" is a placeholder
 --> taciturn.toml:2:21
  |
2 | tls.acme_domains = ["turn.yourdomain.com", "https://turn.domain.org", "*"]
  |                     ^^^^^^^^^^^^^^^^^^^^^
  = help: write a name as it stands in a certificate:
          acme_domains = ["turn.domain.org"]

error: tls.acme_domains[1]: "https://turn.domain.org" is no host name
 --> taciturn.toml:2:44
  |
2 | tls.acme_domains = ["turn.yourdomain.com", "https://turn.domain.org", "*"]
  |                                            ^^^^^^^^^^^^^^^^^^^^^^^^^
  = help: write a name as it stands in a certificate:
          acme_domains = ["turn.domain.org"]

error: tls.acme_domains[2]: "*" is no host name
 --> taciturn.toml:2:71
  |
2 | tls.acme_domains = ["turn.yourdomain.com", "https://turn.domain.org", "*"]
  |                                                                       ^^^
  = help: write a name as it stands in a certificate:
          acme_domains = ["turn.domain.org"]

"#;
    assert_eq!(report(toml).trim_end(), expected.trim_end());
}

#[test]
fn key_in_place_of_its_path_is_never_shown() {
    let toml = r#"[tls]
cert = "-----BEGIN CERTIFICATE-----\nMIIB"
key = "-----BEGIN PRIVATE KEY-----\nMIIE"
"#;
    let expected = r#"error: tls.cert: holds the contents of a PEM file, not its path
 --> taciturn.toml:2:8
  |
2 | cert = ***
  |        ^^^
  = help: write the path of a file that taciturn's user can read

error: tls.key: holds the contents of a PEM file, not its path
 --> taciturn.toml:3:7
  |
3 | key = ***
  |       ^^^
  = help: write the path of a file that taciturn's user can read

"#;
    assert_eq!(report(toml).trim_end(), expected.trim_end());
}

#[test]
fn unquoted_key_is_never_shown() {
    let toml = r#"[tls]
cert = "a.pem"
key = MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcw
"#;
    let expected = r#"error: this is not TOML: string values must be quoted, expected literal string
 --> taciturn.toml:3:7
  |
3 | key = ***
  |       ^^^
  = help: strings stand in double quotes, lists in [ ], one key a line

"#;
    assert_eq!(report(toml).trim_end(), expected.trim_end());
}

#[test]
fn connections_have_bounds() {
    let toml = r#"[limits]
connections = 0
connections_per_address = 1000001
"#;
    let expected = r#"error: limits.connections: must be a whole number from 1 to 1000000, not 0
 --> taciturn.toml:2:15
  |
2 | connections = 0
  |               ^
  = help: 0 does not mean "without bound" here; write a large number instead

error: limits.connections_per_address: must be a whole number from 1 to 1000000, not 1000001
 --> taciturn.toml:3:27
  |
3 | connections_per_address = 1000001
  |                           ^^^^^^^

"#;
    assert_eq!(report(toml).trim_end(), expected.trim_end());
}

#[test]
fn tcp_relay_needs_a_listener_for_connections() {
    let toml = r#"[protocol]
tcp_relay = true
[[listen]]
transport = "udp"
address = "[::]:3478"
"#;
    let expected = r#"error: protocol.tcp_relay: is on, but clients ask for TCP allocations over TCP or TLS only, and no listener takes those
 --> taciturn.toml:2:13
  |
2 | tcp_relay = true
  |             ^^^^
  = help: add a section [[listen]] with transport = "tcp" (or "tls"), or remove the key

"#;
    assert_eq!(report(toml).trim_end(), expected.trim_end());
}

#[test]
fn broken_file_is_pointed_at() {
    let toml = r#"realm = turn.domain.org
"#;
    let expected = r#"error: this is not TOML: invalid boolean, expected `true`
 --> taciturn.toml:1:9
  |
1 | realm = turn.domain.org
  |         ^^^^^^^^^^^^^^^
  = help: strings stand in double quotes, lists in [ ], one key a line

"#;
    assert_eq!(report(toml).trim_end(), expected.trim_end());
}

#[test]
fn broken_line_of_secrets_is_hidden() {
    let toml = r#"[auth]
secrets = ["hunter2hunter2" "hunter3hunter3"]
"#;
    let expected = r#"error: this is not TOML: missing comma between array elements, expected `,`
 --> taciturn.toml:2:29
  |
2 | secrets = ***
  |           ^^^
  = help: strings stand in double quotes, lists in [ ], one key a line

"#;
    assert_eq!(report(toml).trim_end(), expected.trim_end());
}

#[test]
fn broken_line_inside_a_list_of_secrets_is_hidden() {
    let toml = r#"[auth]
secrets = [
    "hunter2hunter2"
    "hunter3hunter3=="
]
"#;
    let expected = r#"error: this is not TOML: missing comma between array elements, expected `,`
 --> taciturn.toml:4:5
  |
4 |     ***
  |     ^^^
  = help: strings stand in double quotes, lists in [ ], one key a line

"#;
    assert_eq!(report(toml).trim_end(), expected.trim_end());
}

#[test]
fn variables_and_flags_are_named() {
    let args = ServerArgs {
        user: vec!["alice".into()],
        listen: vec!["[::]:3478".into()],
        ..ServerArgs::default()
    };
    let env = Environment::new([
        ("TACITURN_WORKERS", "many"),
        ("TACITURN_RELM", "turn.domain.org"),
        ("TACITURN_AUTH_SECRETS", "[\"hunter2"),
        ("TACITURN_AUTH_STRICT_EXPIRY", "yes"),
        ("TACITURN_SPEED", "9"),
    ]);
    let expected = r#"error: auth.secrets: is not a TOML list of strings
 --> environment variable TACITURN_AUTH_SECRETS
  = help: a value that begins with [ is a TOML list: ["one", "two"];
          otherwise write one entry a line

error: no key has such a variable
 --> environment variable TACITURN_RELM
  = help: did you mean TACITURN_REALM?

error: no key has such a variable
 --> environment variable TACITURN_SPEED
  = help: unset it; a key's variable is TACITURN_ and its name in capitals

error: auth.users[0]: has no colon between name and password
 --> command line, --user
  = help: write "NAME:PASSWORD", or "NAME:0xKEY" where KEY is the 32 hex digits of
          MD5(NAME:REALM:PASSWORD)

error: workers: must be a whole number from 0 to 256, not "many"
 --> environment variable TACITURN_WORKERS
  = help: write digits only

error: listen[0]: "[::]:3478" is no listener
 --> command line, --listen
  = help: write TRANSPORT:ADDRESS:PORT, like udp:[::]:3478;
          transports are udp, tcp, tls, dtls, auto

error: auth.strict_expiry: must be true or false, not "yes"
 --> environment variable TACITURN_AUTH_STRICT_EXPIRY
  = help: write true or false

7 errors in the configuration"#;
    assert_eq!(Config::load(&args, &env).unwrap_err().to_string(), expected);
}

#[test]
fn text_that_no_client_can_send_is_refused() {
    // RFC 8265 section 4.2.3.
    for (toml, said) in [
        ("[auth]\nusers = [\"bob:correct\\thorse\"]", "an unassigned one in its password"),
        ("[auth]\nusers = [\"bo\\u00ADb:correct horse\"]", "unassigned character in its name"),
        ("[auth]\nusers = [\"\\\"bob\\\":correct horse\"]", "has quotes around its name"),
        ("realm = \"turn\\u00AD.domain.org\"", "invisible or unassigned character"),
    ] {
        let report = report(toml);
        assert!(report.contains(said), "{report}");
        assert!(!report.contains("horse"), "{report}");
    }
}

/// RFC 8489 sections 14.3 and 14.9: a name has fewer than 509 bytes, a realm fewer than 128
/// characters.
//= 8489-14.3-username-configured, 8489-14.9-realm
#[test]
fn names_and_realms_that_are_too_long_are_refused() {
    let user = |len| format!("[auth]\nusers = [\"{}:correct horse\"]", "b".repeat(len));
    assert!(Config::from_toml(&user(508)).is_ok());
    assert!(report(&user(509)).contains("has a name longer than 508 bytes"));
    let realm = |len| format!("realm = \"{}\"\n{}", "\u{e9}".repeat(len), user(3));
    assert!(Config::from_toml(&realm(127)).is_ok());
    assert!(report(&realm(128)).contains("is longer than 127 characters"));
}

//= 8489-14.16-alternate-domain-form
#[test]
fn redirects_that_lead_nowhere_are_refused() {
    for (toml, said) in [
        ("servers = [\"turn2.domain.org:3478\"]", "is no address of a server"),
        ("servers = [\"198.51.100.2\"]", "is no address of a server"),
        ("servers = [\"0.0.0.0:3478\"]", "is no address of a server"),
        (
            "servers = [\"198.51.100.2:1\", \"198.51.100.3:1\"]",
            "a second one of its address family",
        ),
        ("tls_servers = [\"198.51.100.2:1\"]\ntls_domain = \"turn 2\"", "is no DNS name"),
        ("tls_domain = \"turn2.domain.org\"", "no client over TLS is sent anywhere"),
    ] {
        let report = report(&format!("[redirect]\n{toml}"));
        assert!(report.contains(said), "{report}");
    }
    // RFC 8489 section 14.16: at most 255 characters.
    let long = "a.".repeat(127) + "org";
    let toml = format!("[redirect]\ntls_servers = [\"198.51.100.2:1\"]\ntls_domain = \"{long}\"");
    assert!(report(&toml).contains("is no DNS name"));
    let told = report("alternate-server = \"198.51.100.2\"");
    assert!(told.contains("servers in the section [redirect]"), "{told}");
}
