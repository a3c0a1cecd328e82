//! What is no external address.

use super::report;

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
