//! Secrets that are none, and that no report may show.

use super::report;

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
