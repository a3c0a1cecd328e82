//! `turnctl import-coturn` on configurations of the kinds that people have: what is allowed, what is served, and
//! what is said to be lost.
#![allow(clippy::unwrap_used)] // helpers of tests

use std::net::IpAddr;

use taciturn_config::coturn::Outcome;
use taciturn_config::{Config, Translation, Transport};

const SECRET: &str = "static-auth-secret=Zf3kLw9PqXr7TbVnZf3kLw9P\n";

/// The translation of lines behind a secret: the first is line 2.
fn of(lines: &str) -> Translation {
    Translation::of(&format!("{SECRET}{lines}"))
}

fn config(translation: &Translation) -> Config {
    let wrong: Vec<_> = translation.errors().map(ToString::to_string).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    Config::from_toml(&translation.toml).unwrap_or_else(|errors| panic!("{errors}")).config
}

/// Whether the server of that configuration relays to a peer; `own` are its addresses.
fn reaches(translation: &Translation, peer: &str, own: &[&str]) -> bool {
    let peers = config(translation).peers;
    let own: Vec<IpAddr> = own.iter().map(|ip| ip.parse().unwrap()).collect();
    peers.policy(&own.clone(), own).check(peer.parse().unwrap()).is_ok()
}

fn listeners(translation: &Translation) -> Vec<String> {
    let listen = config(translation).listen.into_iter();
    let mut shown: Vec<_> =
        listen.map(|l| format!("{} {}", l.transport.name(), l.address)).collect();
    shown.sort();
    shown
}

/// What coturn 4.17 never relays to without `allow-loopback-peers`, and with `no-multicast-peers`.
const NEVER: [&str; 17] = [
    "0.0.0.1",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.169.254",
    "224.0.0.1",
    "239.255.255.255",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::7f00:1",
    "2002:7f00:1::1",
    "fe80::1",
    "fd00::1",
    "ff02::1",
];

#[test]
fn a_whole_range_is_allowed_but_for_what_coturn_never_relays_to() {
    for range in [
        "0.0.0.0-255.255.255.255",
        "0.0.0.0",
        "::",
        "1.0.0.0-0.0.0.0",
        "::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    ] {
        let translation = of(&format!("no-multicast-peers\nallowed-peer-ip={range}\n"));
        for peer in NEVER {
            assert!(!reaches(&translation, peer, &[]), "{range} lets in {peer}");
        }
        assert!(reaches(&translation, "10.0.0.1", &[]), "{range}");
        assert!(
            translation.summary().contains("line 3: left out, since coturn never relays there: ")
        );
    }
}

#[test]
fn ranges_within_and_around_a_forbidden_network_open_none_of_it() {
    for range in [
        "127.0.0.1",
        "127.0.0.1-127.0.0.5",
        "126.0.0.0-128.0.0.0",
        "169.0.0.0-169.255.255.255",
        "169.254.169.254",
        "224.0.0.0-239.255.255.255",
        "239.1.2.3",
        "0.0.0.1-0.0.0.9",
        "::1",
        "::1-::5",
        "::ffff:127.0.0.1",
        "::ffff:0.0.0.0-::ffff:255.255.255.255",
        "64:ff9b::7f00:1",
        "64:ff9b::-64:ff9b::ffff:ffff",
        "2002:7f00:1::-2002:7f00:1:ffff::",
        "fe80::1",
        "fd00::1-fdff::",
        "fec0::1",
        "ff02::1",
        "240.0.0.0-255.255.255.255",
    ] {
        let translation = of(&format!("no-multicast-peers\nallowed-peer-ip={range}\n"));
        for peer in NEVER {
            assert!(!reaches(&translation, peer, &[]), "{range} lets in {peer}");
        }
    }
    let told = of("allowed-peer-ip=127.0.0.1\n").summary();
    assert!(told.contains("line 2, allowed-peer-ip: coturn relays to none of it"), "{told}");
    let around = of("allowed-peer-ip=169.0.0.0-169.255.255.255\n");
    assert!(reaches(&around, "169.253.255.255", &[]) && reaches(&around, "169.255.0.0", &[]));
}

#[test]
fn loopback_that_is_open_is_still_what_denied_peer_ip_says() {
    let open = of("allow-loopback-peers\n");
    assert!(reaches(&open, "127.0.0.1", &[]) && reaches(&open, "::1", &[]));
    let denied = of("allow-loopback-peers\ndenied-peer-ip=127.0.0.0-127.255.255.255\n");
    assert!(!reaches(&denied, "127.0.0.1", &[]) && reaches(&denied, "::1", &[]));
    let all = of("denied-peer-ip=0.0.0.0\nallow-loopback-peers\n");
    assert!(!reaches(&all, "127.0.0.1", &[]) && !reaches(&all, "::1", &[]));
    let one = of("allow-loopback-peers\ndenied-peer-ip=0.0.0.0\nallowed-peer-ip=127.0.0.5\n");
    assert!(reaches(&one, "127.0.0.5", &[]) && !reaches(&one, "127.0.0.1", &[]));
    let off = of("allow-loopback-peers\nallow-loopback-peers=no\n");
    assert!(!reaches(&off, "127.0.0.1", &[]), "the last line wins");
}

#[test]
fn a_range_of_ipv6_from_its_beginning_holds_all_of_ipv4_as_in_coturn() {
    let denied = of("denied-peer-ip=::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff\n");
    assert!(!reaches(&denied, "8.8.8.8", &[]) && !reaches(&denied, "2a00::1", &[]));
    let above = of("denied-peer-ip=9.0.0.0-::\n");
    assert!(
        reaches(&above, "8.8.8.8", &[])
            && !reaches(&above, "9.9.9.9", &[])
            && !reaches(&above, "2a00::1", &[])
    );
}

#[test]
fn a_prefix_length_opens_nothing_since_coturn_knows_none() {
    let translation = of("denied-peer-ip=0.0.0.0\nallowed-peer-ip=10.0.0.0/8\n");
    assert!(!reaches(&translation, "10.0.0.1", &[]));
    assert!(
        matches!(&translation.settings[2].outcome, Outcome::Unsupported(text) if text.contains("by hand"))
    );
    assert!(!reaches(&of("denied-peer-ip=9.9.9.0/24\n"), "9.9.9.9", &[]), "meant stricter");
}

#[test]
fn a_media_server_on_the_own_address_is_reached_where_coturn_reached_it() {
    let own = ["5.6.7.8"];
    let bbb = "listening-ip=5.6.7.8\nrelay-ip=5.6.7.8\nno-multicast-peers\ndenied-peer-ip=0.0.0.0-255.255.255.255\n\
               denied-peer-ip=::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff\nallowed-peer-ip=5.6.7.8\n";
    let translation = of(bbb);
    assert!(reaches(&translation, "5.6.7.8", &own) && !reaches(&translation, "5.6.7.9", &own));
    let told = translation.summary();
    assert!(told.contains("this denies every peer but those of peers.allow"), "{told}");
    assert!(told.contains("line 7: it is this server's own address"), "{told}");
    for config in [
        "external-ip=5.6.7.8\nallowed-peer-ip=5.6.7.8\n",
        "external-ip=5.6.7.8/10.0.0.5\ndenied-peer-ip=10.0.0.0-10.255.255.255\nallowed-peer-ip=10.0.0.5\nallowed-peer-ip=5.6.7.8\n",
        "allowed-peer-ip=5.6.7.8\n",
    ] {
        assert!(reaches(&of(config), "5.6.7.8", &own), "{config}");
    }
    assert!(reaches(
        &of("external-ip=5.6.7.8/10.0.0.5\nallowed-peer-ip=10.0.0.5\n"),
        "10.0.0.5",
        &["10.0.0.5"]
    ));
    let none = of("listening-ip=5.6.7.8\n").summary();
    assert!(none.contains("other ports of this machine as peers"), "{none}");
    let denied = of("denied-peer-ip=0.0.0.0-255.255.255.255\n").summary();
    assert!(
        denied.contains("this denies every peer with an IPv4 address, as it does in coturn"),
        "{denied}"
    );
    // Without a bound at its end, it holds half of IPv4 and all of IPv6.
    let half = of("denied-peer-ip=128.0.0.0-0.0.0.0\n").summary();
    assert!(half.contains("this denies every peer with an IPv6 address"), "{half}");
    assert!(half.contains("other ports of this machine as peers"), "{half}");
}

#[test]
fn clients_that_coturn_keeps_from_each_other_are_kept_from_each_other() {
    let translation = of("external-ip=10.0.0.5\ndenied-peer-ip=10.0.0.0-10.255.255.255\n");
    let denied = config(&translation).peers.deny;
    assert!(denied.iter().any(|net| net.to_string() == "10.0.0.0/8"), "{denied:?}");
    assert!(translation.summary().contains("clients of the relay do not reach each other"));
}

#[test]
fn both_ports_serve_plain_tls_and_dtls_as_coturn_up_to_4_16_does() {
    let cert = "cert=/c.pem\npkey=/k.pem\n";
    let ip = "listening-ip=5.6.7.8\n";
    for (lines, expected) in [
        ("", "auto 3478, auto 5349, udp+dtls 3478, udp+dtls 5349"),
        // As coturn from 4.17 on has to be told.
        ("dtls\n", "auto 3478, auto 5349, udp+dtls 3478, udp+dtls 5349"),
        ("no-dtls\n", "auto 3478, auto 5349, udp 3478"),
        ("dtls=false\n", "auto 3478, auto 5349, udp 3478"),
        ("no-tls\n", "tcp 3478, udp+dtls 3478, udp+dtls 5349"),
        ("no-tls\nno-dtls\n", "tcp 3478, udp 3478"),
        ("no-udp\n", "auto 3478, auto 5349, udp+dtls 5349"),
        ("no-tcp\n", "tls 5349, udp+dtls 3478, udp+dtls 5349"),
        ("tls-listening-port=3478\n", "auto 3478, udp+dtls 3478"),
        (
            "listening-port=80\ntls-listening-port=443\n",
            "auto 443, auto 80, udp+dtls 443, udp+dtls 80",
        ),
        ("tcp-proxy-port=6000\nno-dtls\n", "tcp 6000, udp 3478"),
        ("tcp-proxy-port=6000\n", "tcp 6000, udp+dtls 3478, udp+dtls 5349"),
        (
            "aux-server=5.6.7.8:3500\n",
            "auto 3478, auto 3500, auto 5349, udp+dtls 3478, udp+dtls 3500, udp+dtls 5349",
        ),
    ] {
        let found = listeners(&of(&format!("{cert}{ip}{lines}"))).join(", ");
        assert_eq!(found.replace("5.6.7.8:", ""), expected, "{lines}");
    }
    let off = of(&format!("{cert}{ip}no-tls\nno-dtls\n")).summary();
    assert!(off.contains("TLS and DTLS are off (no-tls, no-dtls)"), "{off}");
    // Nobody who wants DTLS off has to look for the word.
    let written = of(&format!("{cert}{ip}")).toml;
    assert!(written.contains("\"udp\" in its place leaves it off"), "{}", *written);
    assert!(!of(&format!("{cert}{ip}no-dtls\n")).toml.contains("udp+dtls"));
    let plain = of("tls-listening-port=5349\n");
    assert_eq!(listeners(&plain), ["tcp [::]:3478", "udp [::]:3478"]);
    assert!(plain.summary().contains("there is no certificate, so TLS is off"));
    assert!(
        config(&of(&format!("{cert}{ip}"))).listen.iter().any(|l| l.transport == Transport::Auto)
    );
}

#[test]
fn what_the_new_listeners_lack_is_named_with_what_follows() {
    let cert = "cert=/c.pem\npkey=/k.pem\n";
    for lines in ["", "no-dtls\n", "dtls\n"] {
        let told = of(&format!("{cert}{lines}")).summary();
        assert!(!told.contains("DTLS on ") && !told.contains("beside DTLS"), "{told}");
    }
    let within = of(&format!("{cert}min-port=5000\nmax-port=6000\n"));
    assert!(within.summary().contains("UDP on 5349/udp, which lies within the relay ports"));
    config(&within);
    let told = of(cert).summary();
    for words in ["RFC 3489", "RFC 6062", "channel numbers", "relay ports beyond", "200"] {
        assert!(told.contains(words), "{words}: {told}");
    }
    let told = of("no-tcp-relay\nno-stun-backward-compatibility\nrfc5766-channel-numbers\nmin-port=50000\nuser-quota=300\n").summary();
    for words in [
        "RFC 3489",
        "TCP to peers",
        "channel numbers",
        "relay ports beyond",
        "any number of allocations",
    ] {
        assert!(!told.contains(words), "{words}: {told}");
    }
}

#[test]
fn alternative_ports_are_served_where_coturn_opens_them() {
    let cert = "cert=/c.pem\npkey=/k.pem\nalt-tls-listening-port=5350\n";
    assert!(listeners(&of(cert)).contains(&"auto [::]:5350".to_owned()));
    let one = of(&format!("{cert}listening-ip=5.6.7.8\n"));
    assert!(!listeners(&one).iter().any(|l| l.contains("5350")));
    assert!(one.summary().contains("only where it has two addresses"));
    let off = of(&format!("{cert}no-rfc5780\n"));
    assert!(!listeners(&off).iter().any(|l| l.contains("5350")));
    assert!(of("").summary().contains("the ports behind listening-port"));
    assert!(!of("listening-ip=5.6.7.8\n").summary().contains("the ports behind listening-port"));
}

#[test]
fn of_several_relay_addresses_the_others_are_named_as_lost() {
    let translation =
        of("relay-ip=10.0.0.5\nrelay-ip=172.17.0.1\nrelay-ip=192.168.176.1\nrelay-ip=2a00::5\n");
    let lost: Vec<_> = translation
        .settings
        .iter()
        .filter(|setting| matches!(setting.outcome, Outcome::Unsupported(_)))
        .map(|setting| setting.to_string())
        .collect();
    assert_eq!(lost.len(), 2, "{lost:?}");
    assert!(lost[0].contains("line 3, relay-ip") && lost[0].contains("10.0.0.5"), "{lost:?}");
    let told = of("listening-device=eth0\nrelay-device=eth1\n").summary();
    assert!(told.contains("clients of every interface are served"), "{told}");
    assert!(told.contains("way of the routing table"), "{told}");
}

#[test]
fn a_relay_address_of_one_family_leaves_no_relay_of_the_other() {
    let external = |lines: &str| match config(&of(lines)).external_ip {
        taciturn_config::ExternalIp::Given(given) => given.len(),
        taciturn_config::ExternalIp::Auto => 0,
    };
    assert_eq!(external("listening-ip=5.6.7.8\nlistening-ip=2a00::5\n"), 2);
    assert_eq!(external("listening-ip=5.6.7.8\nlistening-ip=2a00::5\nrelay-ip=5.6.7.8\n"), 1);
    assert_eq!(external("listening-ip=5.6.7.8\nrelay-ip=5.6.7.8\nexternal-ip=2a00::5\n"), 2);
}

#[test]
fn placeholders_stop_the_import_in_each_value_that_is_taken_over() {
    for value in ["${X_Y}", "{{ x_y }}", "__X_Y__", "$x_y", "%X_Y%", "<x_y>", "@X_Y@", "CHANGE_ME"]
    {
        for option in [
            "static-auth-secret",
            "realm",
            "cert",
            "pkey",
            "listening-ip",
            "allowed-peer-ip",
            "min-port",
            "listening-port",
            "user-quota",
            "relay-ip",
            "external-ip",
            "denied-peer-ip",
            "max-bps",
        ] {
            let translation = of(&format!("{option}={value}\n"));
            let error = translation.errors().map(ToString::to_string).collect::<String>();
            assert!(
                error.contains("line 2") && error.contains("placeholder"),
                "{option}={value}: {error}"
            );
            assert!(option != "static-auth-secret" || !error.contains(value), "{error}");
        }
        let user = Translation::of(&format!("user=alice:{value}\n"));
        assert!(user.errors().any(|error| error.to_string().contains("placeholder")), "{value}");
    }
    for good in [
        "realm=turn.example.org",
        "cert=/etc/ssl/turn.pem\npkey=/etc/ssl/a_b__c.key",
        "user-quota=12",
    ] {
        assert_eq!(of(good).errors().count(), 0, "{good}");
    }
    // coturn starts with the address of the guide, without it.
    assert_eq!(of("external-ip=X.X.X.X\n").errors().count(), 0);
}

#[test]
fn a_credential_that_lies_elsewhere_stops_the_import() {
    for (lines, words) in [
        ("use-auth-secret\n", "--coturn-args"),
        ("use-auth-secret\nuser=alice:correct-horse-battery\n", "coturn ignores user="),
        ("lt-cred-mech\n", "user=NAME:0xKEY"),
        ("lt-cred-mech\nmysql-userdb=\"host=h dbname=d\"\n", "MySQL"),
        ("psql-userdb=\"host=h password=geheim\"\n", "psql -At"),
        ("redis-userdb=\"ip=h password=geheim\"\nuse-auth-secret\n", "redis-cli smembers"),
        ("mongo-userdb=mongodb://u:geheim@h/coturn\n", "mongosh"),
        ("userdb=/var/lib/turn/db\n", "sqlite3 /var/lib/turn/db \"SELECT name || ':0x' || hmackey"),
        ("realm=a.org\n", "openssl rand -hex 24"),
        ("no-auth\n", "openssl rand -hex 24"),
        ("", "there is no credential"),
    ] {
        let translation = Translation::of(lines);
        let told = translation.summary();
        assert_eq!(translation.errors().count(), 1, "{lines}: {told}");
        assert!(told.contains(words), "{lines}: {told}");
        assert!(!told.contains("geheim"), "{told}");
        assert!(told.contains("turnusers_lt") || told.contains("turn/realm"), "{told}");
    }
    let both = Translation::of(&format!("{SECRET}realm=a.org\npsql-userdb=\"host=h\"\n"));
    assert_eq!(both.errors().count(), 0, "the file has one");
    assert!(both.summary().contains("for deny in [peers]"), "what the database denies is named");
}
