//! Placeholders that a template leaves behind, in each place where a value can stand.

use std::io::Write as _;

use taciturn_config::{Config, Environment, NoteLevel, ServerArgs};

/// One of each template language.
const PLACEHOLDERS: &[&str] = &[
    "${DOMAIN}",
    "{{ domain }}",
    "__DOMAIN__",
    "$domain",
    "<your domain>",
    "%DOMAIN%",
    "@DOMAIN@",
    "[DOMAIN]",
    "CHANGE_ME",
    "<%= domain %>",
    "#{domain}",
    "$(cat domain)",
    "{domain}",
    "((domain))",
    "[[ domain ]]",
];

fn refusal(args: &ServerArgs, env: &Environment) -> String {
    Config::inspect(args, env).map_or_else(|errors| errors.to_string(), |_| String::new())
}

#[test]
fn no_key_takes_a_placeholder() {
    for value in PLACEHOLDERS {
        for line in [
            "realm = \"@\"",
            "host = \"@\"",
            "external_ip = \"@\"",
            "stun_servers = [\"@\"]",
            "relay_ports = \"@\"",
            "state_dir = \"/srv/@\"",
            "auth.users = [\"alice:@\"]",
            "auth.users = [\"@:correct horse battery\"]",
            "auth.secrets = [\"@\"]",
            "tls.cert = \"/etc/@/fullchain.pem\"\ntls.key = \"/etc/key.pem\"",
            "tls.certbot = \"/etc/letsencrypt/live/@\"",
            "tls.acme = \"/data/acme.json\"\ntls.acme_domains = [\"@\"]",
            "peers.allow = [\"@\"]",
            "admin.socket = \"/run/@/control.sock\"",
            "admin.metrics = \"@\"",
            "process.user = \"@\"",
            "listen = [{ transport = \"udp\", address = \"@\" }]",
        ] {
            // Words and brackets of a guide are those of a whole value; as a part of a path they may be anything.
            if line.contains("/@") && (value.starts_with('[') || value.starts_with("$(")) {
                continue;
            }
            let toml = line.replacen('@', value, 1);
            assert!(Config::from_toml(&toml).is_err(), "{toml}");
        }
    }
}

#[test]
fn variables_and_flags_take_no_placeholder() {
    let env = Environment::new([
        ("TACITURN_REALM", "${DOMAIN}"),
        ("TACITURN_AUTH_SECRETS", "${TURN_SHARED_SECRET}"),
        ("TACITURN_STATE_DIR", "/srv/{{ name }}"),
    ]);
    let text = refusal(&ServerArgs::default(), &env);
    assert!(text.contains("environment variable TACITURN_REALM"), "{text}");
    assert!(text.contains("environment variable TACITURN_AUTH_SECRETS"), "{text}");
    assert!(text.contains("state_dir: \"{{ name }}\" is a placeholder"), "{text}");
    // What stands for a secret may be one: `${SECRET:-default}`.
    assert!(!text.contains("TURN_SHARED_SECRET"), "{text}");
    let args = ServerArgs { realm: Some("$domain".into()), ..ServerArgs::default() };
    let text = refusal(&args, &Environment::default());
    assert!(text.contains("realm: \"$domain\" is a placeholder"), "{text}");
}

#[test]
fn a_secret_file_with_a_placeholder_is_refused() {
    for value in
        ["${TURN_SHARED_SECRET}", "{{ coturn_static_auth_secret }}", "!secret turn_shared_secret"]
    {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        writeln!(file, "{value}").unwrap();
        let args =
            ServerArgs { secret_file: vec![file.path().to_path_buf()], ..ServerArgs::default() };
        let text = refusal(&args, &Environment::default());
        assert!(text.contains("is a placeholder of a template or a guide"), "{value}: {text}");
        assert!(!text.contains(value), "{text}");
    }
}

#[test]
fn a_list_in_one_value_is_noticed_without_showing_it() {
    let env = Environment::new([("TACITURN_AUTH_USERS", "alice:correct-horse,bob:battery-staple")]);
    let loaded = Config::inspect(&ServerArgs::default(), &env).unwrap();
    let notes: Vec<_> =
        loaded.notes.iter().filter(|note| note.level == NoteLevel::Warning).collect();
    assert!(notes.iter().any(|note| note.text.contains("further NAME:PASSWORD")), "{notes:?}");
    assert!(!format!("{notes:?}").contains("battery-staple"), "{notes:?}");
}

#[test]
fn an_external_address_the_wrong_way_round_is_put_right() {
    for (wrong, right) in
        [("10.0.0.5/9.9.9.9", "9.9.9.9/10.0.0.5"), ("fd00::5/2a00:1::5", "2a00:1::5/fd00::5")]
    {
        let text =
            Config::from_toml(&format!("external_ip = \"{wrong}\"")).unwrap_err().to_string();
        assert!(text.contains("the wrong way round"), "{text}");
        assert!(text.contains(&format!("write \"{right}\"")), "{text}");
    }
    for fine in ["9.9.9.9/10.0.0.5", "10.0.0.5", "10.0.0.5/192.168.1.5", "9.9.9.9/8.8.8.8"] {
        assert!(Config::from_toml(&format!("external_ip = \"{fine}\"")).is_ok(), "{fine}");
    }
}
