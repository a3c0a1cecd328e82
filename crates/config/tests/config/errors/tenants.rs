//! What an operator reads about `[[tenant]]` sections that are wrong.

use super::report;

const SECRET: &str = "secrets = [\"a secret of acme, and long\"]";

/// The first thing that is said about these sections: the line and column, and the message.
fn told(toml: &str) -> (String, String) {
    let report = report(toml);
    let after = |mark: &str| {
        let line = report.lines().find_map(|line| line.trim_start().strip_prefix(mark)).unwrap();
        line.to_owned()
    };
    (after("--> taciturn.toml:"), after("error: "))
}

fn tenant(keys: &str) -> String {
    format!("[[tenant]]\nname = \"acme\"\n{SECRET}\n{keys}\n")
}

fn beta(keys: &str) -> String {
    format!("[[tenant]]\nname = \"beta\"\nsecrets = [\"a secret of beta, and long\"]\n{keys}\n")
}

#[test]
fn a_limit_of_the_server_alone_is_said_to_be_one_and_the_others_are_listed() {
    let expected = r#"error: tenant[0].limits.connections: is a limit of the whole server: a tenant has none of its own
 --> taciturn.toml:4:8
  |
4 | limits.connections = 5
  |        ^^^^^^^^^^^
  = help: write it in the section [limits]; those of a tenant are: allocations_per_user, allocations_per_second_per_user, allocations, bytes_per_second_per_allocation, bytes_per_second_per_user, bytes_per_second, packets_per_second_per_allocation, packets_per_second_per_user, packets_per_second, new_peers_per_second_per_allocation, new_peers_per_second_per_user

"#;
    assert_eq!(report(&tenant("limits.connections = 5")).trim_end(), expected.trim_end());
}

#[test]
fn credentials_of_tenants_are_read_as_elsewhere_and_never_shown() {
    let toml = "[[tenant]]\nname = \"acme\"\nsecrets = [\"short\"]\nusers = [\"alice\"]\nsecret = \"hidden too\"";
    let report = report(toml);
    for line in [
        "error: tenant[0].secrets[0]: is shorter than 16 characters",
        "3 | secrets = [***]",
        "error: tenant[0].users[0]: has no colon between name and password",
        "4 | users = [***]",
        "error: tenant[0].secret: there is no such key",
        "5 | secret = ***",
        "  = help: did you mean \"secrets\"?",
    ] {
        assert!(report.contains(line), "{line} is not in:\n{report}");
    }
    assert!(!report.contains("hidden too") && !report.contains("alice"), "{report}");
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    let with_auth = |keys: &str, auth: &str| format!("{}[auth]\n{auth}", tenant(keys));
    for (toml, place, message) in [
        ("tenant = 1".to_owned(), "1:10", "tenant: must be sections, not an integer"),
        ("tenant = [\"acme\"]".to_owned(), "1:11", "tenant[0]: must be a section, not a string"),
        ("[tenant]\nname = \"acme\"".to_owned(), "1:1", "tenant: must be sections, not a table"),
        (format!("[[tenant]]\n{SECRET}"), "1:1", "tenant[0]: has no name"),
        (
            format!("[[tenant]]\nname = \"a b\"\n{SECRET}"),
            "2:8",
            "tenant[0].name: \"a b\" is no name of a tenant",
        ),
        (
            format!("[[tenant]]\nname = \"default\"\n{SECRET}"),
            "2:8",
            "tenant[0].name: \"default\" is what users of no tenant are called",
        ),
        (
            "[[tenant]]\nname = \"acme\"".to_owned(),
            "1:1",
            "tenant[0]: has no secret and no user: nobody could be of it",
        ),
        (
            "[auth.database]\nurl = \"sqlite:/x\"\n[[tenant]]\nname = \"acme\"".to_owned(),
            "3:1",
            "tenant[0]: has no secret and no user: nobody could be of it",
        ),
        (tenant("limits = 5"), "4:10", "tenant[0].limits: is a table, not an integer"),
        (
            tenant("limits.allocations_per_user = 0"),
            "4:31",
            "tenant[0].limits.allocations_per_user: must be a whole number from 1 to 1000000, not 0",
        ),
        (
            tenant("relay_ports = \"50000-50010\""),
            "4:15",
            "tenant[0].relay_ports: 50000-50010 is not within the relay_ports of the server, 59000-60100",
        ),
        (
            tenant("relay_ports = \"59000-59100\"") + &beta("relay_ports = \"59100-59200\""),
            "8:15",
            "tenant[1].relay_ports: 59100-59200 overlaps 59000-59100, which tenant \"acme\" has for itself",
        ),
        (
            with_auth("relay_ports = \"59000-60100\"", "secrets = [\"a secret of the server\"]"),
            "1:1",
            "tenant: the tenants have all of 59000-60100 for themselves: the users of [auth] would have no \
             relay port",
        ),
        (
            tenant("server_names = [\"turn.acme.example\"]"),
            "4:16",
            "tenant[0].server_names: is for a tenant with a realm of its own: this one has that of the server",
        ),
        (
            tenant("realm = \"acme\"\nserver_names = [\"127.0.0.1\"]"),
            "5:17",
            "tenant[0].server_names[0]: \"127.0.0.1\" is no DNS name",
        ),
        (
            tenant("realm = \"one\"\nserver_names = [\"turn.example\"]")
                + &beta("realm = \"two\"\nserver_names = [\"TURN.example\"]"),
            "10:16",
            "tenant[1].server_names: \"turn.example\" is one of tenant \"acme\", which has another realm",
        ),
        (
            tenant("") + &beta("").replace("name = \"beta\"", "name = \"acme\""),
            "6:8",
            "tenant[1].name: another tenant is called \"acme\"",
        ),
        (
            format!("{}[[tenant]]\nname = \"beta\"\n{SECRET}", tenant("")),
            "7:11",
            "tenant[1].secrets: a secret of it is also one of tenant \"acme\": it could not be told whose a \
             login is",
        ),
        (
            with_auth("", SECRET),
            "3:11",
            "tenant[0].secrets: a secret of it is also one of [auth]: it could not be told whose a login is",
        ),
        (
            with_auth("users = [\"alice:correct horse\"]", "users = [\"alice:correct horse\"]"),
            "4:9",
            "tenant[0].users: user alice has the same password in [auth], and the same realm: it could not be \
             told whose a login is",
        ),
        (
            format!(
                "{}[[listen]]\ntransport = \"udp\"\naddress = \"[::]:3478\"\nrealm = \"beta.example\"",
                tenant("realm = \"acme.example\"")
            ),
            "8:9",
            "listen[0].realm: no tenant has the realm \"beta.example\"",
        ),
    ] {
        assert_eq!(told(&toml), (place.to_owned(), message.to_owned()), "{toml}");
    }
}

#[test]
fn there_are_no_more_tenants_than_a_login_can_be_tried_with() {
    let of =
        |n: usize| format!("[[tenant]]\nname = \"t{n}\"\nusers = [\"u:password number {n}\"]\n");
    let all: String = (0..65).map(of).collect();
    assert_eq!(told(&all).1, "tenant: there are 65 tenants, and there may be 64");
    let fewer: String = (0..64).map(of).collect();
    assert!(taciturn_config::Config::from_toml(&fewer).is_ok());
}
