//! `turnctl snippet` for every target: held against files in `tests/golden/snippets`
//! (`UPDATE_GOLDEN=1` rewrites them), and read by a parser of the target's language.
#![allow(clippy::unwrap_used)] // helpers of tests

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use clap::ValueEnum as _;
use turnctl::Target;
use yaml_rust2::{Yaml, YamlLoader};

/// Of `server.toml`: what quoting has to survive.
const SECRET: &str = "a \"quoted\" secret's $value";
const URIS: [&str; 3] = [
    "turn:turn.domain.org:3478?transport=udp",
    "turn:turn.domain.org:3478?transport=tcp",
    "turns:turn.domain.org:5349?transport=tcp",
];

fn dir() -> PathBuf {
    testkit::program::repository().join("tests/golden/snippets")
}

fn name(target: Target) -> String {
    target.to_possible_value().unwrap().get_name().to_owned()
}

fn run(args: &[&str]) -> Output {
    Command::new(testkit::program::turnctl())
        .arg("snippet")
        .args(args)
        .current_dir(dir())
        .env_clear()
        .env("STATE_DIRECTORY", "/nonexistent")
        .output()
        .unwrap()
}

fn snippet(target: &str, args: &[&str]) -> String {
    let output = run(&[&[target, "--config", "server.toml"], args].concat());
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{target}: {told}");
    assert!(told.contains("This belongs into "), "{told}");
    String::from_utf8(output.stdout).unwrap().replace(dir().to_str().unwrap(), "/etc")
}

fn yaml(target: &str, args: &[&str]) -> Yaml {
    YamlLoader::load_from_str(&snippet(target, args)).unwrap().remove(0)
}

fn toml(target: &str, args: &[&str]) -> toml::Table {
    snippet(target, args).parse().unwrap()
}

fn json(target: &str) -> serde_json::Value {
    serde_json::from_str(&snippet(target, &[])).unwrap()
}

fn strings(list: &Yaml) -> Vec<&str> {
    list.as_vec().unwrap().iter().map(|item| item.as_str().unwrap()).collect()
}

#[test]
fn every_snippet_is_as_it_was() {
    for target in Target::value_variants() {
        // The credentials of one have the time in them, the other makes a key. Both have tests of their own.
        if matches!(target, Target::Webrtc | Target::Matrixrtc) {
            continue;
        }
        let name = name(*target);
        for (args, file) in
            [(&[][..], format!("{name}.txt")), (&["--inline"], format!("{name}.inline.txt"))]
        {
            let text = snippet(&name, args);
            if file.contains("inline") && text == snippet(&name, &[]) {
                continue;
            }
            let path = dir().join(&file);
            if std::env::var_os("UPDATE_GOLDEN").is_some() {
                fs::write(&path, &text).unwrap();
            }
            let expected = fs::read_to_string(&path).unwrap_or_default();
            assert_eq!(text, expected, "{file} differs; UPDATE_GOLDEN=1 rewrites it");
        }
    }
}

#[test]
fn the_files_of_a_matrixrtc_backend_fit_together() {
    let text = snippet("matrixrtc", &[]);
    let files: Vec<&str> = text.split("# ---- ").skip(1).collect();
    let file = |name: &str| {
        let found = files.iter().find(|file| file.starts_with(name)).unwrap();
        found.split_once('\n').unwrap().1
    };
    let read = |name: &str| YamlLoader::load_from_str(file(name)).unwrap().remove(0);
    let (compose, livekit) = (read("compose.yaml"), read("livekit.yaml"));
    let service = &compose["services"]["lk-jwt-service"]["environment"];
    let (key, secret) =
        (service["LIVEKIT_KEY"].as_str().unwrap(), service["LIVEKIT_SECRET"].as_str().unwrap());
    assert_eq!(livekit["keys"][key].as_str(), Some(secret));
    assert_eq!(livekit["webhook"]["api_key"].as_str(), Some(key));
    assert_eq!(secret.len(), 64);
    assert_ne!(snippet("matrixrtc", &[]), text, "each run makes another key");
    assert_eq!(service["LIVEKIT_FULL_ACCESS_HOMESERVERS"].as_str(), Some("domain.org"));

    let (first, last) = (&livekit["rtc"]["port_range_start"], &livekit["rtc"]["port_range_end"]);
    let (first, last) = (first.as_i64().unwrap(), last.as_i64().unwrap());
    let ports = strings(&compose["services"]["livekit"]["ports"]);
    assert!(ports.contains(&&*format!("{first}-{last}:{first}-{last}/udp")), "{ports:?}");
    assert!(last < 59_000, "apart from the ports of the relay");
    let relays = livekit["rtc"]["turn_servers"].as_vec().unwrap();
    assert_eq!(relays.len(), 3);
    let path = relays[0]["secret_file"].as_str().unwrap();
    let volumes = strings(&compose["services"]["livekit"]["volumes"]);
    assert!(volumes.contains(&&*format!("{path}:{path}:ro")), "{volumes:?}");

    let jwt = "https://matrix-rtc.domain.org/livekit/jwt";
    let synapse = read("homeserver.yaml");
    assert_eq!(synapse["matrix_rtc"]["transports"][0]["livekit_service_url"].as_str(), Some(jwt));
    let known: serde_json::Value =
        serde_json::from_str(&format!("{{{}}}", file("https://"))).unwrap();
    assert_eq!(known["org.matrix.msc4143.rtc_foci"][0]["livekit_service_url"], jwt);
    assert_eq!(service["LIVEKIT_URL"].as_str(), Some("wss://matrix-rtc.domain.org/livekit/sfu"));
    let http = &read("config/traefik")["http"];
    for (name, place) in
        [("livekit-jwt", "http://lk-jwt-service:8080"), ("livekit-sfu", "http://livekit:7880")]
    {
        assert_eq!(http["routers"][name]["service"].as_str(), Some(name));
        let servers = &http["services"][name]["loadBalancer"]["servers"];
        assert_eq!(servers[0]["url"].as_str(), Some(place));
    }
}

#[test]
fn without_a_domain_there_is_no_matrixrtc_backend() {
    let output = run(&["matrixrtc", "--config", "server.toml", "--host", "203.0.113.7"]);
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("--host turn.DOMAIN"));
}

#[test]
fn homeservers_read_their_uris_and_the_secret() {
    let synapse = yaml("synapse", &["--inline"]);
    assert_eq!(strings(&synapse["turn_uris"]), URIS);
    assert_eq!(synapse["turn_shared_secret"].as_str(), Some(SECRET));
    let synapse = yaml("synapse", &["--secret-path", "/data/turn"]);
    assert_eq!(synapse["turn_shared_secret_path"].as_str(), Some("/data/turn"));

    let dendrite = yaml("dendrite", &[]);
    let turn = &dendrite["client_api"]["turn"];
    assert_eq!(strings(&turn["turn_uris"]), URIS);
    assert_eq!(turn["turn_shared_secret"].as_str(), Some(SECRET));
    assert_eq!(turn["turn_user_lifetime"].as_str(), Some("24h"));

    for (target, args, key, value) in [
        ("conduit", &[][..], "turn_secret", SECRET),
        ("continuwuity", &[], "turn_secret_file", "/run/secrets/turn_secret"),
        ("tuwunel", &["--secret-path", "/t"], "turn_secret_file", "/t"),
        ("tuwunel", &["--inline"], "turn_secret", SECRET),
    ] {
        let global = &toml(target, args)["global"];
        let uris: Vec<_> = global["turn_uris"]
            .as_array()
            .unwrap()
            .iter()
            .map(|uri| uri.as_str().unwrap())
            .collect();
        assert_eq!(uris, URIS, "{target}");
        assert_eq!(global[key].as_str(), Some(value), "{target}");
        assert_eq!(global["turn_ttl"].as_integer(), Some(86400), "{target}");
    }
}

#[test]
fn meeting_servers_read_what_they_need() {
    let livekit = yaml("livekit", &[]);
    let servers = livekit["rtc"]["turn_servers"].as_vec().unwrap();
    let shown: Vec<_> = servers
        .iter()
        .map(|s| {
            (
                s["host"].as_str().unwrap(),
                s["port"].as_i64().unwrap(),
                s["protocol"].as_str().unwrap(),
            )
        })
        .collect();
    let host = "turn.domain.org";
    assert_eq!(shown, [(host, 3478, "udp"), (host, 3478, "tcp"), (host, 5349, "tls")]);
    assert_eq!(servers[0]["secret_file"].as_str(), Some("/run/secrets/turn_secret"));
    let inline = yaml("livekit", &["--inline"]);
    assert_eq!(inline["rtc"]["turn_servers"][0]["secret"].as_str(), Some(SECRET));

    let ejabberd = yaml("ejabberd", &[]);
    let disco = &ejabberd["modules"]["mod_stun_disco"];
    assert_eq!(disco["secret"].as_str(), Some(SECRET));
    assert_eq!(disco["services"].as_vec().unwrap().len(), 4);
    assert_eq!(disco["services"][3]["type"].as_str(), Some("turns"));

    let mattermost = json("mattermost");
    assert_eq!(mattermost["TURNStaticAuthSecret"], SECRET);
    let servers: serde_json::Value =
        serde_json::from_str(mattermost["ICEServersConfigs"].as_str().unwrap()).unwrap();
    assert_eq!(servers[0]["urls"][0], "stun:turn.domain.org:3478");
    assert_eq!(servers[1]["urls"], serde_json::json!(URIS));

    let galene = json("galene");
    assert_eq!(
        (&galene[0]["urls"], &galene[0]["credential"]),
        (&serde_json::json!(URIS), &SECRET.into())
    );
    assert_eq!(galene[0]["credentialType"], "hmac-sha1");

    let webrtc = json("webrtc");
    assert_eq!(webrtc["iceServers"][0]["urls"], serde_json::json!(URIS));
    assert!(webrtc["iceServers"][0]["username"].as_str().unwrap().ends_with(":webrtc"));
}

#[test]
fn an_application_is_shown_how_to_ask_and_never_the_token() {
    let ice = snippet("ice", &[]);
    assert!(
        ice.contains("fetch(\"http://127.0.0.1:9641/ice\"") && ice.contains("$ICE_TOKEN"),
        "{ice}"
    );
    assert!(!ice.contains("0123456789abcdef"), "{ice}");
}

#[test]
fn proxy_and_containers_read_theirs() {
    let traefik = yaml("traefik", &[]);
    let tcp = &traefik["tcp"];
    let router = &tcp["routers"]["turn-tls"];
    assert_eq!(router["rule"].as_str(), Some("HostSNI(`turn.domain.org`)"));
    assert_eq!(router["tls"]["certResolver"].as_str(), Some("letsencrypt"));
    assert!(router["tls"]["passthrough"].is_badvalue(), "this listener speaks plain TCP");
    let server = &tcp["services"]["turn-tls"]["loadBalancer"]["servers"][0];
    assert_eq!(server["address"].as_str(), Some("172.17.0.1:5350"));

    let compose = yaml("compose", &[]);
    let service = &compose["services"]["taciturn"];
    assert_eq!(service["network_mode"].as_str(), Some("host"));
    assert_eq!(
        strings(&service["volumes"]),
        [
            "/etc/server.toml:/etc/taciturn/taciturn.toml:ro",
            "/etc/letsencrypt:/etc/letsencrypt:ro",
            "taciturn-state:/var/lib/taciturn"
        ]
    );
}

/// Of `server.toml`: the static user.
const NAME: &str = "media";
const PASSWORD: &str = "correct horse \"battery\"";

#[test]
fn media_servers_read_what_they_need() {
    let mediamtx = yaml("mediamtx", &[]);
    let servers = mediamtx["webrtcICEServers2"].as_vec().unwrap();
    assert_eq!(servers[0]["url"].as_str(), Some("stun:turn.domain.org:3478"));
    for (server, uri) in servers[1..].iter().zip(URIS) {
        assert_eq!(server["url"].as_str(), Some(uri));
        assert_eq!(server["username"].as_str(), Some("AUTH_SECRET"));
        assert_eq!(server["password"].as_str(), Some(SECRET));
    }
    let go2rtc = &yaml("go2rtc", &[])["webrtc"]["ice_servers"][0];
    assert_eq!(strings(&go2rtc["urls"]), URIS);
    assert_eq!(go2rtc["username"].as_str(), Some(NAME));
    assert_eq!(go2rtc["credential"].as_str(), Some(PASSWORD));
    let home = yaml("home-assistant", &[]);
    let servers = home["web_rtc"]["ice_servers"].as_vec().unwrap();
    assert_eq!(servers.len(), URIS.len());
    for (server, uri) in servers.iter().zip(URIS) {
        assert_eq!(server["url"].as_str(), Some(uri));
        assert_eq!(server["credential"].as_str(), Some(PASSWORD));
    }
    let live777 = &toml("live777", &[])["ice_servers"][0];
    assert_eq!(live777["urls"].as_array().unwrap().len(), URIS.len());
    assert_eq!(live777["credential"].as_str(), Some(PASSWORD));
    let peerjs = json("peerjs");
    let server = &peerjs["config"]["iceServers"][0];
    assert_eq!(server["urls"][0], URIS[0]);
    assert_eq!(server["credential"], PASSWORD);
    let openvidu = snippet("openvidu", &[]);
    let list = openvidu.trim().strip_prefix("OPENVIDU_WEBRTC_ICE_SERVERS=").unwrap();
    let list: Vec<String> = serde_json::from_str(list).unwrap();
    assert_eq!(list[2], format!("url={},staticAuthSecret={SECRET}", URIS[2]));
    let bbb = snippet("bbb", &[]);
    assert_eq!(bbb.matches("<bean ").count(), bbb.matches("</bean>").count());
    assert!(bbb.contains("value=\"a &quot;quoted&quot; secret's $value\"/>"), "{bbb}");
    for uri in URIS {
        assert!(bbb.contains(&format!("<constructor-arg index=\"1\" value=\"{uri}\"/>")), "{bbb}");
    }
    let rocket = snippet("rocketchat", &[]);
    assert!(rocket.contains("@turn:turn.domain.org:3478, "), "{rocket}");
}

#[test]
fn a_media_server_on_this_machine_is_told_of_peers_allow_with_its_ports() {
    for (target, ports, setting) in [
        ("livekit", "50000-60000", "rtc.udp_port"),
        ("jitsi", "10000", "JVB_PORT"),
        ("bbb", "16384-32768", "switch.conf.xml"),
        ("janus", "FIRST-LAST", "rtp_port_range"),
        ("go2rtc", "8555", "webrtc.listen"),
        ("mediamtx", "8189", "webrtcLocalUDPAddress"),
        ("live777", "FIRST-LAST", "any port"),
    ] {
        let output = run(&[target, "--config", "server.toml"]);
        let told = String::from_utf8(output.stderr).unwrap();
        let line = format!("peers.allow = [\"self:{ports}\"]");
        assert!(told.contains(&line) && told.contains(setting), "{target}: {told}");
    }
}

#[test]
fn who_needs_a_static_user_is_told_how_to_make_one() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("taciturn.toml");
    fs::write(&file, "host = \"turn.domain.org\"\nauth.secrets = [\"a secret of some length\"]\n")
        .unwrap();
    for target in [
        "janus",
        "kurento",
        "go2rtc",
        "home-assistant",
        "mirotalk",
        "rocketchat",
        "peerjs",
        "live777",
    ] {
        let output = run(&[target, "--config", file.to_str().unwrap()]);
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(
            !output.status.success() && told.contains("users = [\"media:PASSWORD\"]"),
            "{target}: {told}"
        );
    }
}

/// What a shell would pass to each command, a line each: `command|argument|argument`.
fn arguments(script: &str, commands: &[&str]) -> String {
    let functions: String = commands
        .iter()
        .map(|name| format!("{name}() {{ printf '{name}'; printf '|%s' \"$@\"; echo; }}\n"))
        .collect();
    let mut shell =
        Command::new("sh").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let script = format!("{functions}{script}");
    std::io::Write::write_all(&mut shell.stdin.take().unwrap(), script.as_bytes()).unwrap();
    let output = shell.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn shells_pass_on_what_is_meant() {
    let nextcloud = arguments(&snippet("nextcloud", &["--inline"]), &["php"]);
    let turn =
        format!("php|occ|talk:turn:add|--secret={SECRET}|turn|turn.domain.org:3478|udp,tcp\n");
    assert!(nextcloud.contains(&turn), "{nextcloud}");
    assert!(nextcloud.contains("|turns|turn.domain.org:5349|tcp\n"), "{nextcloud}");
    let ufw = arguments(&snippet("ufw", &[]), &["ufw"]);
    assert_eq!(
        ufw,
        "ufw|allow|3478/udp\nufw|allow|3478/tcp\nufw|allow|5349/tcp\n\
         ufw|allow|from|172.16.0.0/12|to|any|port|5350|proto|tcp\nufw|allow|59000:60100/udp\n"
    );
    let nft = arguments(&snippet("nft", &[]), &["nft"]);
    assert!(
        nft.contains("nft|insert|rule|inet|filter|input|udp|dport|{ 3478, 59000-60100 }|accept\n"),
        "{nft}"
    );
    assert!(nft.contains("|tcp|dport|{ 3478, 5349 }|accept\n"), "{nft}");
}

#[test]
fn what_cannot_be_printed_says_why() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().to_str().unwrap();
    for (toml, target, words) in [
        ("auth.users = [\"alice:correct horse\"]", "dendrite", "no shared secret is configured"),
        ("auth.users = [\"alice:correct horse\"]", "synapse", "no shared secret is configured"),
        ("auth.secrets = [\"a secret of some length\"]", "traefik", "proxy_protocol = true"),
        (
            "auth.secrets = [\"a secret of some length\"]",
            "ice",
            "token_files = [\"FILE\"] to the section [ice]",
        ),
        (
            "auth.secrets = [\"a secret of some length\"]\ntls.certbot = \"/live/x\"\nlisten = [\"tls:[::]:5349\"]",
            "snikket",
            "needs a listener with transport = \"udp\"",
        ),
    ] {
        fs::write(path, toml).unwrap();
        let output = run(&[target, "--config", path, "--host", "turn.domain.org"]);
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(output.stdout.is_empty());
        assert!(told.contains(words), "{told}");
    }
}

/// systemd's unit for a configuration, and what is said besides.
fn unit(toml: &str) -> (String, String) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("taciturn.toml");
    fs::write(&file, toml).unwrap();
    let output = run(&["systemd", "--config", file.to_str().unwrap()]);
    let [out, err] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    assert!(output.status.success(), "{err}");
    (out.replace(dir.path().to_str().unwrap(), "/etc/taciturn"), err)
}

#[test]
fn the_unit_is_the_packages_with_what_the_configuration_needs() {
    let packaged =
        fs::read_to_string(testkit::program::repository().join("config/taciturn.service"));
    let packaged = packaged.unwrap();
    let secret = "auth.secrets = [\"a secret of some length\"]\n";
    assert_eq!(unit(secret).0, packaged);
    let different = |unit: &str| -> Vec<String> {
        unit.lines().filter(|line| !packaged.lines().any(|l| l == *line)).map(Into::into).collect()
    };
    let (low, _) = unit(&format!("{secret}listen = [\"udp:[::]:443\"]"));
    let capability = "CAP_NET_BIND_SERVICE";
    let expected = [
        &format!("AmbientCapabilities={capability}"),
        &format!("CapabilityBoundingSet={capability}"),
        "PrivateUsers=no",
        "SystemCallFilter=capset",
    ];
    assert_eq!(different(&low), expected);
    let (root, told) = unit(&format!(
        "{secret}tls.acme = \"/root/pangolin/config/letsencrypt/acme.json\"\nhost = \"turn.domain.org\""
    ));
    assert_eq!(different(&root), ["User=root", "Group=root", "ProtectHome=read-only"]);
    assert!(told.contains("root there, without any capability"), "{told}");
    assert!(!told.contains("useradd"), "{told}");
    let (many, told) = unit(&format!(
        "{secret}limits.connections = 1000000\ntls.certbot = \"/etc/letsencrypt/live/a\""
    ));
    assert_eq!(
        different(&many),
        ["#SupplementaryGroups=ssl-cert", "LimitNOFILE=1502330", "MemoryMax=195904M"]
    );
    assert!(told.contains("useradd --system") && told.contains("/etc/letsencrypt"), "{told}");
    let dir = tempfile::tempdir().unwrap();
    let coturns = dir.path().join("turnserver.conf");
    fs::write(&coturns, "use-auth-secret\nstatic-auth-secret=a-secret-of-some-length\n").unwrap();
    let output = run(&["systemd", "--coturn-config", coturns.to_str().unwrap()]);
    let started = format!("\nExecStart=/usr/bin/taciturn --coturn-config {}\n", coturns.display());
    assert!(String::from_utf8(output.stdout).unwrap().contains(&started));
}
