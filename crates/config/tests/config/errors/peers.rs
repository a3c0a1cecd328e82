//! What is no peer to allow or to deny, and what to write instead.

use taciturn_config::Config;

use super::report;

#[test]
fn ports_that_are_none_are_told_with_the_place_and_what_to_write() {
    let toml = r#"[peers]
allow = [
    "203.0.113.7:60000-50000",
    "self:0",
    "2001:db8::1:50000-60000",
    "sfu.domain.org:10000",
    "50000-60000",
]
deny = ["10.0.0.5:22"]
"#;
    let expected = r#"error: peers.allow[0]: "203.0.113.7:60000-50000": the first port, 60000, is greater than the last, 50000
 --> taciturn.toml:3:5
  |
3 |     "203.0.113.7:60000-50000",
  |     ^^^^^^^^^^^^^^^^^^^^^^^^^
  = help: write "203.0.113.7:50000-60000"

error: peers.allow[1]: "self:0": ports go from 1 to 65535: there is no port 0
 --> taciturn.toml:4:5
  |
4 |     "self:0",
  |     ^^^^^^^^
  = help: write a port or a range: "self:10000", "self:50000-60000"

error: peers.allow[2]: "2001:db8::1:50000-60000": an IPv6 address with ports stands in brackets
 --> taciturn.toml:5:5
  |
5 |     "2001:db8::1:50000-60000",
  |     ^^^^^^^^^^^^^^^^^^^^^^^^^
  = help: write "[2001:db8::1]:50000-60000"

error: peers.allow[3]: "sfu.domain.org:10000" is a name, and peers are told apart by their addresses
 --> taciturn.toml:6:5
  |
6 |     "sfu.domain.org:10000",
  |     ^^^^^^^^^^^^^^^^^^^^^^
  = help: write the address in its place, or "self" for this server's own addresses

error: peers.allow[4]: "50000-60000" has ports of no address
 --> taciturn.toml:7:5
  |
7 |     "50000-60000",
  |     ^^^^^^^^^^^^^
  = help: write whose ports: "self:50000-60000" for this server's own addresses, else "ADDRESS:50000-60000"

error: peers.deny[0]: "10.0.0.5:22" has ports, and an address is denied with all its ports
 --> taciturn.toml:9:9
  |
9 | deny = ["10.0.0.5:22"]
  |         ^^^^^^^^^^^^^
  = help: write "10.0.0.5"; what peers.allow names wins, so the ports that clients may reach stand there, like
          peers.allow = ["10.0.0.5:22"]

"#;
    assert_eq!(report(toml).trim_end(), expected.trim_end());
}

/// The first line of the error about one entry, and the help.
fn told(key: &str, text: &str) -> (String, String) {
    let errors = Config::from_toml(&format!("peers.{key} = [\"{text}\"]")).unwrap_err();
    let report = errors.to_string();
    let first = report.lines().next().unwrap().to_owned();
    let first = first.strip_prefix(&format!("error: peers.{key}[0]: ")).unwrap().to_owned();
    let (_, help) = report.split_once("= help: ").unwrap_or_else(|| panic!("{report}"));
    let help: Vec<_> = help.lines().map(str::trim).take_while(|line| !line.is_empty()).collect();
    (first, help.join(" "))
}

#[test]
fn every_slip_is_told_by_what_it_is() {
    for (text, message, help) in [
        ("203.0.113.7:0", "there is no port 0", "\"203.0.113.7:10000\""),
        ("203.0.113.7:0-100", "there is no port 0", "\"203.0.113.7:50000-60000\""),
        ("203.0.113.7:65536", "ports go from 1 to 65535", "\"203.0.113.7:10000\""),
        ("203.0.113.7:", "a port looks like", "\"203.0.113.7:10000\""),
        ("203.0.113.7:10000/udp", "a port looks like", "\"203.0.113.7:10000\""),
        ("203.0.113.7:http", "a port looks like", "\"203.0.113.7:10000\""),
        ("203.0.113.7:5,6", "a port looks like", "each further one is an entry of its own"),
        ("203.0.113.7:-5", "a port looks like", "\"203.0.113.7:50000-60000\""),
        ("203.0.113.7:5000:6000", "a range of ports has a hyphen", "\"203.0.113.7:5000-6000\""),
        ("self:5000:6000", "a range of ports has a hyphen", "\"self:5000-6000\""),
        ("self:9-8", "greater than the last", "write \"self:8-9\""),
        ("[2001:db8::1]:9-8", "greater than the last", "write \"[2001:db8::1]:8-9\""),
        ("[2001:db8::1]:0", "there is no port 0", "\"[2001:db8::1]:10000\""),
        ("10000", "has ports of no address", "\"self:10000\""),
        (":10000", "has ports of no address", "\"self:10000\""),
        ("*:10000", "has ports of no address", "\"self:10000\""),
        ("0.0.0.0:10000", "has ports of no address", "\"self:10000\""),
        ("[::]:10000", "has ports of no address", "\"self:10000\""),
        ("2001:db8::/64:1-2", "stands in brackets", "write \"[2001:db8::/64]:1-2\""),
        ("[2001:db8::]/64:1-2", "in brackets with ports behind", "write \"[2001:db8::/64]:1-2\""),
        ("[2001:db8::1]", "in brackets with ports behind", "write \"2001:db8::1\""),
        ("[2001:db8::1]10000", "in brackets with ports behind", "\"[2001:db8::1]:10000\""),
        ("[2001:db8::1", "no address and no network", "[2001:db8::/32]:5000-6000"),
        ("[x:y]:5", "in brackets with ports behind", "\"[2001:db8::1]:10000\""),
        ("[10.0.0.1]:5", "brackets are for IPv6", "write \"10.0.0.1:5\""),
        ("localhost:5000", "is a name", "write the address in its place"),
        ("sfu.domain.org", "is a name", "\"self\""),
        ("Self:5000", "is a name", "\"self\""),
        ("10.0.0.0/33", "no address and no network", "\"10.1.2.3:10000\""),
        ("10.0.0.0/33:5000", "no address and no network", "\"10.1.2.3:10000\""),
        ("10.0.0.256:5000", "no address and no network", "\"10.1.2.3:10000\""),
        ("10.0.0.1-10.0.0.9", "no address and no network", "\"10.0.0.0/8\""),
        ("", "no address and no network", "\"10.1.2.3\""),
    ] {
        let (first, told) = told("allow", text);
        assert!(
            first.contains(message) && first.contains(&format!("\"{text}\"")),
            "{text}: {first}"
        );
        assert!(told.contains(help), "{text}: {told}");
    }
    for (text, message, help) in [
        ("10.0.0.0/8:22", "has ports", "write \"10.0.0.0/8\""),
        ("[2001:db8::1]:22-23", "has ports", "write \"2001:db8::1\""),
        ("[2001:db8::1]:22-23", "has ports", "peers.allow = [\"[2001:db8::1]:22-23\"]"),
        ("self", "is for peers.allow alone", "remove it"),
        ("self:22", "is for peers.allow alone", "write the address"),
        ("sfu.domain.org", "no address and no network", "\"10.1.2.3\""),
        ("10.0.0.1:0", "no address and no network", "\"10.1.2.3\""),
    ] {
        let (first, told) = told("deny", text);
        assert!(first.contains(message), "{text}: {first}");
        assert!(told.contains(help), "{text}: {told}");
    }
    let errors = Config::from_toml("limits.unverified_exempt = [\"10.0.0.1:5\"]").unwrap_err();
    assert!(errors.to_string().contains("\"10.0.0.1:5\" is no address and no network"), "{errors}");
}
