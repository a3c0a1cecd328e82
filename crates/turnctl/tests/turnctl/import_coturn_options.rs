//! `turnctl import-coturn` where coturn's options stand on its command line or in a Compose file.
#![allow(clippy::unwrap_used)] // helpers of tests

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use taciturn_config::Config;

fn import(directory: &Path, args: &[&str]) -> Output {
    Command::new(testkit::program::turnctl())
        .arg("import-coturn")
        .args(args)
        .current_dir(directory)
        .env_clear()
        .env("STATE_DIRECTORY", "/nonexistent")
        .output()
        .unwrap()
}

fn good(directory: &Path, args: &[&str]) -> (Config, String) {
    let output = import(directory, args);
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{args:?}: {told}");
    let toml = String::from_utf8(output.stdout).unwrap();
    (Config::from_toml(&toml).unwrap_or_else(|errors| panic!("{errors}\n{toml}")).config, told)
}

fn bad(directory: &Path, args: &[&str]) -> String {
    let output = import(directory, args);
    assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stdout.is_empty());
    String::from_utf8(output.stderr).unwrap()
}

fn secrets(config: &Config) -> Vec<String> {
    let secret = |secret: &taciturn_config::Secret| {
        String::from_utf8(secret.secret.expose().to_vec()).unwrap()
    };
    config.auth.secrets.iter().map(secret).collect()
}

const SECRET: &str = "a-secret-of-some-length-1";

#[test]
fn options_of_the_command_line_are_imported_alone() {
    let dir = tempfile::tempdir().unwrap();
    let options = format!(
        "-n -v --use-auth-secret --static-auth-secret={SECRET} -r 'turn.example.org' -p 3480 --no-tls"
    );
    let (config, told) = good(dir.path(), &["--coturn-args", &options]);
    assert_eq!(secrets(&config), [SECRET]);
    assert_eq!(config.realm, "turn.example.org");
    assert!(config.listen.iter().all(|listen| listen.address.port() == 3480));
    assert!(told.contains("argument 4, static-auth-secret: auth.secrets"), "{told}");
    assert!(!told.contains(SECRET), "{told}");
}

#[test]
fn the_command_line_wins_over_the_file_that_it_names_and_adds_to_lists() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(
        dir.path().join("turn.conf"),
        "realm=file.example.org\nlistening-port=3478\ndenied-peer-ip=9.9.9.9\nstatic-auth-secret=a-secret-of-the-file-1\n",
    )
    .unwrap();
    let options = format!(
        "/usr/bin/turnserver -c turn.conf --realm arg.example.org --denied-peer-ip=8.8.8.8 --static-auth-secret {SECRET}"
    );
    let (config, told) = good(dir.path(), &["--coturn-args", &options]);
    assert_eq!(config.realm, "arg.example.org");
    assert_eq!(secrets(&config), ["a-secret-of-the-file-1", SECRET]);
    assert_eq!(config.peers.deny.len(), 2);
    assert!(told.starts_with("turn.conf: "), "{told}");
    let (config, _) = good(dir.path(), &["turn.conf", "--coturn-args", "--realm=arg.example.org"]);
    assert_eq!(config.realm, "arg.example.org", "the file may be named here as well");
}

#[test]
fn options_come_from_standard_input_too_and_which_file_coturn_reads_must_be_said() {
    let dir = tempfile::tempdir().unwrap();
    let told = bad(dir.path(), &["--coturn-args", "--realm=a.org"]);
    assert!(told.contains("add -n to the options"), "{told}");
    let told = bad(dir.path(), &["--coturn-args", "-n --realm='a.org"]);
    assert!(told.contains("a quote is not closed"), "{told}");
    let told = bad(dir.path(), &["--coturn-args", "-n --use-auth-secret"]);
    assert!(told.contains("there is no shared secret here"), "{told}");
    let told = bad(dir.path(), &["--coturn-args", "-n --static-auth-secret=${TURN_SECRET}"]);
    assert!(told.contains("it holds a placeholder"), "{told}");
    let told = bad(dir.path(), &["--coturn-args", "-c /nowhere.conf"]);
    assert!(told.contains("cannot read /nowhere.conf"), "{told}");
}

fn compose(directory: &Path, text: &str) {
    fs::write(directory.join("compose.yaml"), text).unwrap();
}

#[test]
fn commands_of_compose_files_are_read_in_every_form() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(
        dir.path().join(".env"),
        format!("# comment\nTURN_SECRET={SECRET}\nexport REALM=\"turn.example.org\"\n"),
    )
    .unwrap();
    for (form, text) in [
        (
            "list",
            "command: [\"-n\", \"--use-auth-secret\", \"--static-auth-secret=${TURN_SECRET}\", \"--realm=${REALM:-x.org}\"]",
        ),
        (
            "items",
            "command:\n      - -n\n      - --static-auth-secret\n      - $TURN_SECRET\n      - --realm=$REALM",
        ),
        (
            "string",
            "command: turnserver -n --static-auth-secret=${TURN_SECRET:?no secret} --realm=$REALM",
        ),
        ("folded", "command: >\n      -n --static-auth-secret=$TURN_SECRET\n      --realm=$REALM"),
        (
            "entrypoint",
            "entrypoint: turnserver -n --realm=$REALM\n    command: --static-auth-secret=$TURN_SECRET",
        ),
        (
            "shell",
            "entrypoint: [\"/bin/sh\", \"-c\"]\n    command: [\"echo --realm=no; exec turnserver -n --static-auth-secret=$$S --realm=$$R && sleep 1\"]\n    environment:\n      S: $TURN_SECRET\n      R: ${REALM}",
        ),
        (
            "variables",
            "command: -n --static-auth-secret=$$S --realm=$$R\n    environment:\n      - S=${TURN_SECRET}\n      - R=turn.example.org",
        ),
    ] {
        compose(
            dir.path(),
            &format!(
                "services:\n  db:\n    image: postgres\n  turn:\n    image: coturn/coturn:4.6\n    {text}\n"
            ),
        );
        let (config, told) = good(dir.path(), &["--compose", "compose.yaml"]);
        assert_eq!(secrets(&config), [SECRET], "{form}: {told}");
        assert_eq!(config.realm, "turn.example.org", "{form}");
        assert!(!told.contains(SECRET), "{form}: {told}");
    }
}

#[test]
fn mounted_files_of_compose_files_are_read_and_the_command_wins() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("coturn")).unwrap();
    let file = format!("static-auth-secret={SECRET}\nrealm=file.example.org\n");
    fs::write(dir.path().join("coturn/turnserver.conf"), file).unwrap();
    for (volume, command) in [
        ("- ./coturn/turnserver.conf:/etc/coturn/turnserver.conf:ro", ""),
        ("- ./coturn:/etc/coturn", ""),
        ("- ./coturn:/my", "-c /my/turnserver.conf"),
        (
            "- type: bind\n        source: ./coturn/turnserver.conf\n        target: /etc/turnserver.conf",
            "",
        ),
    ] {
        compose(
            dir.path(),
            &format!(
                "services:\n  turn:\n    image: coturn/coturn\n    command: {command} --min-port=50000 --realm=arg.example.org\n    volumes:\n      {volume}\n"
            ),
        );
        let (config, _) = good(dir.path(), &["--compose", "compose.yaml"]);
        assert_eq!(secrets(&config), [SECRET], "{volume}");
        assert_eq!(config.realm, "arg.example.org", "{volume}");
        assert_eq!(config.relay_ports.to_string(), "50000-65535");
    }
    compose(
        dir.path(),
        "services:\n  turn:\n    image: coturn/coturn\n    command: -c /in/container.conf\n",
    );
    let told = bad(dir.path(), &["--compose", "compose.yaml"]);
    assert!(told.contains("coturn reads /in/container.conf in its container"), "{told}");
    let (config, _) = good(dir.path(), &["coturn/turnserver.conf", "--compose", "compose.yaml"]);
    assert_eq!(config.realm, "file.example.org", "a copy may be named");
}

#[test]
fn compose_files_that_lack_the_secret_or_the_service_say_so() {
    let dir = tempfile::tempdir().unwrap();
    let both = "services:\n  a:\n    image: coturn/coturn\n  b:\n    image: x\n    command: turnserver -n --static-auth-secret=${NOT_SET}\n  c:\n    image: nginx\n";
    compose(dir.path(), both);
    let told = bad(dir.path(), &["--compose", "compose.yaml"]);
    assert!(told.contains("several services run coturn") && told.contains("a, b, c"), "{told}");
    let told = bad(dir.path(), &["--compose", "compose.yaml", "--service", "d"]);
    assert!(told.contains("there is no service d"), "{told}");
    let told = bad(dir.path(), &["--compose", "compose.yaml", "--service", "b"]);
    assert!(told.contains("it holds a placeholder"), "{told}");
    let told = bad(dir.path(), &["--compose", "compose.yaml", "--service", "a"]);
    assert!(told.contains("there is no credential here"), "{told}");
    compose(dir.path(), "services:\n  web:\n    image: nginx\n");
    let told = bad(dir.path(), &["--compose", "compose.yaml"]);
    assert!(told.contains("no service is seen to run coturn"), "{told}");
    compose(dir.path(), "services: [\n");
    let told = bad(dir.path(), &["--compose", "compose.yaml"]);
    assert!(told.contains("it is not YAML"), "{told}");
}

#[test]
fn the_environment_counts_as_the_image_means_it() {
    let dir = tempfile::tempdir().unwrap();
    compose(
        dir.path(),
        &format!(
            "services:\n  turn:\n    image: coturn/coturn\n    command: -n --static-auth-secret={SECRET}\n    environment:\n      DETECT_EXTERNAL_IP: \"yes\"\n      REALM: ignored.example.org\n"
        ),
    );
    let (config, told) = good(dir.path(), &["--compose", "compose.yaml"]);
    assert!(told.contains("external-ip: coturn's image looks for the address there"), "{told}");
    assert_eq!(config.realm, "taciturn");
    compose(
        dir.path(),
        &format!(
            "services:\n  turn:\n    image: somebody/coturn-alpine\n    environment:\n      TURN_STATIC_AUTH_SECRET: {SECRET}\n      TURN_REALM: turn.example.org\n      USER: root\n"
        ),
    );
    let (config, told) = good(dir.path(), &["--compose", "compose.yaml"]);
    assert_eq!(secrets(&config), [SECRET]);
    assert_eq!(config.realm, "turn.example.org");
    assert!(told.contains("TURN_REALM of the environment is taken for --realm"), "{told}");
}
