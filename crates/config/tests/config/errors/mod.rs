//! Golden tests: what an operator reads when the configuration is wrong.
#![allow(clippy::unwrap_used)] // helpers of tests

mod addresses;
mod certificates;
mod listeners;
mod peers;
mod placeholders;
mod secrets;
mod tenants;

use taciturn_config::{Config, Environment, ServerArgs};

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
allocations_per_second_per_user = 10001
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
          "10.0.0.0/8", "2001:db8::/32";
          with ports "10.1.2.3:10000", "[2001:db8::/32]:5000-6000", "self:7882"

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

error: limits.allocations_per_second_per_user: must be a whole number from 0 to 10000, not 10001
  --> taciturn.toml:11:35
   |
11 | allocations_per_second_per_user = 10001
   |                                   ^^^^^

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

error: workers: must be a whole number from 0 to 256, not "many"
 --> environment variable TACITURN_WORKERS
  = help: write digits only

error: auth.strict_expiry: must be true or false, not "yes"
 --> environment variable TACITURN_AUTH_STRICT_EXPIRY
  = help: write true or false

error: auth.users[0]: has no colon between name and password
 --> command line, --user
  = help: write "NAME:PASSWORD", or "NAME:0xKEY" where KEY is the 32 hex digits of
          MD5(NAME:REALM:PASSWORD)

error: listen[0]: "[::]:3478" is no listener
 --> command line, --listen
  = help: write TRANSPORT:ADDRESS:PORT, like udp:[::]:3478;
          transports are udp, tcp, tls, dtls, auto, udp+dtls

7 errors in the configuration"#;
    assert_eq!(Config::load(&args, &env).unwrap_err().to_string(), expected);
}

#[test]
fn what_becomes_of_removed_users_is_one_of_two_words() {
    let report = report("[auth]\nusers = [\"bob:correct horse\"]\non_removal = \"kick\"");
    assert!(
        report.contains("auth.on_removal: \"kick\" is not what can become of a session"),
        "{report}"
    );
    assert!(report.contains("write \"end\" or \"keep\""), "{report}");
}

#[test]
fn the_address_of_links_is_none_of_a_listener() {
    let overlap = report("[web]\nlisten = \"[::]:3478\"");
    assert!(overlap.contains("web.listen: [::]:3478 is taken by another listener"), "{overlap}");
    assert!(overlap.contains("listeners for TCP and TLS serve test links as well"), "{overlap}");
    let port = report("[web]\nlisten = \"8443\"");
    assert!(port.contains("write \"[::]:8443\" for every address"), "{port}");
}

#[test]
fn hashes_are_those_that_there_are() {
    for (value, said) in [
        ("[\"sha1\", \"md5\"]", "auth.secret_hashes[1]: \"md5\" is no hash"),
        ("\"SHA1\"", "auth.secret_hashes: \"SHA1\" is no hash"),
        ("[]", "auth.secret_hashes: is empty, so no password of a shared secret would be right"),
    ] {
        let report = report(&format!("[auth]\nsecret_hashes = {value}"));
        assert!(report.contains(said), "{report}");
        assert!(report.contains("write \"sha1\", \"sha256\" or \"sha512\""), "{report}");
        assert_eq!(report.matches("error:").count(), 1, "{report}");
    }
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
