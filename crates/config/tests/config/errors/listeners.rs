//! Listeners that cannot be.

use super::report;

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
  = help: write one of "udp", "tcp", "tls", "dtls", "auto" (TCP and TLS), "udp+dtls"

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
  = help: write one section for both, with transport = "auto", or change a port

"#;
    assert_eq!(report(toml).trim_end(), expected.trim_end());
}

#[test]
fn udp_and_dtls_on_one_port_are_one_section() {
    let toml = r#"tls.certbot = "/live"
listen = ["udp:[::]:3478", "dtls:0.0.0.0:3478", "udp+dtls:[::]:3478"]
"#;
    let expected = r#"error: listen[1].address: 0.0.0.0:3478 is covered by another listener, [::]:3478: [::] is every address of both families
 --> taciturn.toml:2:28
  |
2 | listen = ["udp:[::]:3478", "dtls:0.0.0.0:3478", "udp+dtls:[::]:3478"]
  |                            ^^^^^^^^^^^^^^^^^^^
  = help: write one section for both, with transport = "udp+dtls", or change a port

error: listen[2].address: [::]:3478 is taken by another listener, udp:3478
 --> taciturn.toml:2:49
  |
2 | listen = ["udp:[::]:3478", "dtls:0.0.0.0:3478", "udp+dtls:[::]:3478"]
  |                                                 ^^^^^^^^^^^^^^^^^^^^
  = help: remove one of them, or change its port

"#;
    assert_eq!(report(toml).trim_end(), expected.trim_end());
}

#[test]
fn udp_and_dtls_on_one_port_is_no_port_of_the_relay_and_has_no_proxy() {
    let toml = r#"tls.certbot = "/live"
[[listen]]
transport = "udp+dtls"
address = "[::]:59500"
proxy_protocol = true
"#;
    let expected = r#"error: listen[0].address: port 59500 of the listener udp+dtls:59500 lies within relay_ports, 59000-60100
 --> taciturn.toml:4:11
  |
4 | address = "[::]:59500"
  |           ^^^^^^^^^^^^
  = help: a relay port and a listener cannot share a UDP port: change one of them

error: listen[0].proxy_protocol: a listener with transport = "udp+dtls" has no such key
 --> taciturn.toml:5:18
  |
5 | proxy_protocol = true
  |                  ^^^^
  = help: remove it; the PROXY protocol is for tcp, tls and auto listeners

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
  = help: remove it; only tls, dtls, auto and udp+dtls listeners have a certificate

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
   = help: remove it; only tls, dtls, auto and udp+dtls listeners have a certificate

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
