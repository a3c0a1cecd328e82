//! The examples for containers and proxies are configurations, and fit each other; what builds the fuzz
//! targets elsewhere builds all of them.
#![allow(clippy::unwrap_used)] // helpers of tests

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

use taciturn_config::{Config, Environment, Loaded, ServerArgs, Transport};
use taciturn_turn::policy::PortRange;
use yaml_rust2::{Yaml, YamlLoader};

fn text(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

fn yaml(text: &str) -> Yaml {
    YamlLoader::load_from_str(text).unwrap().remove(0)
}

/// The service of a compose file, and the configuration that its environment makes.
fn service(path: &str) -> (Yaml, Config) {
    let service = yaml(&text(path))["services"]["taciturn"].clone();
    let config = configured(&service["environment"]);
    (service, config)
}

fn configured(variables: &Yaml) -> Config {
    let variables = variables.as_hash().unwrap().iter();
    let variables: Vec<_> =
        variables.map(|(name, value)| (name.as_str().unwrap(), value.as_str().unwrap())).collect();
    let Loaded { config, .. } =
        Config::inspect(&ServerArgs::default(), &Environment::new(variables)).unwrap();
    config
}

fn strings(list: &Yaml) -> Vec<&str> {
    list.as_vec().unwrap().iter().map(|item| item.as_str().unwrap()).collect()
}

/// The lines of a comment, without its mark, from the one that begins with `first` on.
fn commented(text: &str, first: &str) -> String {
    let lines = text.lines().map(|line| line.strip_prefix('#').unwrap_or("").trim_start());
    let lines = lines.skip_while(|line| !line.starts_with(first));
    lines.take_while(|line| !line.is_empty()).collect::<Vec<_>>().join("\n ")
}

#[test]
fn both_compose_files_are_locked_down() {
    for path in ["config/compose.yaml", "config/compose.bridge.yaml"] {
        let (service, _) = service(path);
        assert_eq!(service["read_only"].as_bool(), Some(true), "{path}");
        assert_eq!(strings(&service["cap_drop"]), ["ALL"], "{path}");
        assert_eq!(strings(&service["security_opt"]), ["no-new-privileges:true"], "{path}");
        assert!(strings(&service["volumes"]).contains(&"state:/var/lib/taciturn"), "{path}");
    }
}

#[test]
fn beside_pangolin_tls_is_on_and_its_directory_is_mounted_for_reading() {
    let (service, config) = service("config/compose.yaml");
    assert_eq!(service["network_mode"].as_str(), Some("host"));
    assert_eq!(config.relay_ports, PortRange::DEFAULT);
    assert!(config.listen.iter().any(|listen| listen.transport == Transport::Tls));
    let acme = Path::new(service["environment"]["TACITURN_TLS_ACME"].as_str().unwrap());
    let mount = format!(":{}:ro", acme.parent().unwrap().display());
    assert!(strings(&service["volumes"]).iter().any(|volume| volume.ends_with(&mount)));
}

#[test]
fn in_bridge_mode_exactly_what_is_used_is_published() {
    let (service, config) = service("config/compose.bridge.yaml");
    let mut used: Vec<_> = config
        .listen
        .iter()
        .map(|listen| {
            let kind = if listen.transport.is_datagram() { "udp" } else { "tcp" };
            format!("{0}:{0}/{kind}", listen.address.port())
        })
        .collect();
    used.push(format!("{0}:{0}/udp", config.relay_ports));
    assert_eq!(strings(&service["ports"]), used);
    assert!(config.relay_ports.len() <= 100, "docker makes processes for each port");
}

#[test]
fn the_listener_behind_traefik_is_the_one_that_traefik_connects_to() {
    let text = text("config/traefik-turn-443.yaml");
    let traefik = &yaml(&text)["tcp"];
    let router = &traefik["routers"]["turn-tls"];
    assert_eq!(router["tls"]["passthrough"].as_bool(), Some(true));
    let service = &traefik["services"][router["service"].as_str().unwrap()]["loadBalancer"];
    let transport = service["serversTransport"].as_str().unwrap();
    let version = &traefik["serversTransports"][transport]["proxyProtocol"]["version"];
    assert_eq!(version.as_i64(), Some(2));
    let server = service["servers"][0]["address"].as_str().unwrap();

    let listen = commented(&text, "[[listen]]").replace("\n ", "\n");
    let of_file = Config::from_toml(&format!(
        "{listen}\n[auth]\nsecrets = [\"0123456789abcdef0123456789\"]\n[tls]\ncert = \"a\"\nkey = \"b\""
    ));
    let variable = commented(&text, "TACITURN_LISTEN:");
    let variable =
        yaml(&format!("TACITURN_TLS_ACME: /a.json\nTACITURN_REALM: a.example\n{variable}"));
    for config in [of_file.unwrap().config, configured(&variable)] {
        let listen = config.listen.iter().find(|listen| listen.proxy_protocol).unwrap();
        assert_eq!(listen.address.to_string(), server);
        assert_eq!(listen.transport, Transport::Tls);
    }
    assert_eq!(configured(&variable).listen.len(), 3, "the others are named as well");
}

#[test]
fn the_image_exposes_the_default_ports() {
    let dockerfile = text("Dockerfile");
    assert!(dockerfile.contains(&format!(" {}/udp\n", PortRange::DEFAULT)));
    assert!(dockerfile.contains("EXPOSE 3478/udp 3478/tcp 5349/tcp "));
    assert!(dockerfile.contains("ENV STATE_DIRECTORY=/var/lib/taciturn\n"));
    assert!(dockerfile.contains("VOLUME /var/lib/taciturn\n"));
}

/// The names in a directory, without an ending.
fn names(directory: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect()
}

fn script(path: &Path, text: &str) {
    fs::write(path, format!("#!/bin/bash\nset -eu\n{text}")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// `.clusterfuzzlite/build.sh` is run, with scripts in the place of cargo and zip.
#[test]
fn every_fuzz_target_has_inputs_and_is_built_for_clusterfuzzlite() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let targets = names(&root.join("fuzz/fuzz_targets"));
    let manifest: toml::Table = text("fuzz/Cargo.toml").parse().unwrap();
    let bins = manifest["bin"].as_array().unwrap().iter();
    let bins: BTreeSet<_> = bins.map(|bin| bin["name"].as_str().unwrap().to_owned()).collect();
    assert_eq!(bins, targets, "fuzz/Cargo.toml names every target");
    assert_eq!(names(&root.join("fuzz/corpus")), targets, "and each has inputs");

    let dir = tempfile::tempdir().unwrap();
    let at = |path: &str| dir.path().join(path);
    for path in ["src/taciturn/fuzz", "out", "bin"] {
        fs::create_dir_all(at(path)).unwrap();
    }
    for path in ["fuzz/fuzz_targets", "fuzz/corpus"] {
        symlink(root.join(path), at("src/taciturn").join(path)).unwrap();
    }
    let built = bins.iter().map(String::as_str).collect::<Vec<_>>().join(" ");
    script(
        &at("bin/cargo"),
        &format!(
            "[ \"$*\" = 'fuzz build' ]; cd fuzz\n\
             mkdir -p target/x86_64-unknown-linux-gnu/release\n\
             cd target/x86_64-unknown-linux-gnu/release && touch {built}"
        ),
    );
    // -jq, the archive, and what goes into it.
    script(&at("bin/zip"), "ls \"${@:3}\" >\"$2\"");
    let path = format!("{}:{}", at("bin").display(), std::env::var("PATH").unwrap());
    let ran = Command::new("bash")
        .arg(root.join(".clusterfuzzlite/build.sh"))
        .envs([("PATH", path.as_str()), ("SRC", at("src").to_str().unwrap())])
        .env("OUT", at("out"))
        .status();
    assert!(ran.unwrap().success());
    let expected = targets.iter().flat_map(|target| {
        [target.clone(), format!("{target}.options"), format!("{target}_seed_corpus.zip")]
    });
    let out = fs::read_dir(at("out")).unwrap();
    let out: BTreeSet<_> =
        out.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(out, expected.collect());
}
