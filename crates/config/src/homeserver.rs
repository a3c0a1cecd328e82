//! The block of TURN settings for Synapse's homeserver.yaml.

use std::fmt::Write as _;

use taciturn_turn::auth::StaticKey;

use super::config::Config;
use super::uris::{self, Host};

/// Why no block can be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlockError {
    /// Only static users are configured.
    #[error(
        "no shared secret is configured. Add one to secrets or secret_files in [auth], or print the \
         form for one of the configured users: --static {0}"
    )]
    NoSecret(String),
    /// `--static` names nobody.
    #[error("no user \"{name}\" is configured; there is: {configured}")]
    NoSuchUser {
        /// As asked for.
        name: String,
        /// The names that exist.
        configured: String,
    },
    /// Synapse needs a clear password.
    #[error(
        "the password of user \"{0}\" is not known, only its key (0x...). Synapse needs the password: \
         write the block by hand, or use a shared secret"
    )]
    KeyOnly(String),
    /// The secret is not UTF-8.
    #[error("the shared secret is not text, and YAML can only hold text")]
    NotText,
    /// No listener that browsers speak to.
    #[error(
        "no listener is configured that browsers can reach directly: add one with transport = \"udp\""
    )]
    NoListener,
}

/// Which block to print.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BlockOptions {
    /// Use this configured user; otherwise the shared secret.
    pub static_user: Option<String>,
    /// Name this file in place of the secret.
    pub secret_path: Option<String>,
    /// The four URIs of the usual guide.
    pub article: bool,
}

/// The block for homeserver.yaml: YAML with a line break at its end.
///
/// # Errors
/// When the configuration has no credential or listener of the wanted kind.
pub fn block(config: &Config, host: &Host, options: &BlockOptions) -> Result<String, BlockError> {
    let uris = if options.article {
        uris::of_article(config, host).0
    } else {
        uris::of_listeners(config, host)
    };
    if uris.is_empty() {
        return Err(BlockError::NoListener);
    }
    let mut yaml = String::from("# TURN, for homeserver.yaml. Restart Synapse afterwards.\n");
    if *host == Host::Placeholder {
        yaml.push_str(
            "# Replace turn.example.org by the DNS name or public address of this server.\n",
        );
    }
    yaml.push_str("turn_uris:\n");
    for uri in uris {
        let _ = writeln!(yaml, "  - {}", quoted(&uri));
    }
    // In the block, because the server prints it without anything beside it.
    if let Some(hint) = uris::proxy_hint(config, host).filter(|_| !options.article) {
        let _ = writeln!(yaml, "# Note: {}", hint.replace(char::is_control, " "));
    }
    match &options.static_user {
        Some(name) => {
            let password = password(config, name)?;
            yaml.push_str(
                "# Every user and guest can read these. Remove turn_shared_secret: it would win.\n",
            );
            let _ = writeln!(yaml, "turn_username: {}", quoted(name));
            let _ = writeln!(yaml, "turn_password: {}", quoted(password));
        }
        None => {
            let secret = config.auth.secrets.first().ok_or_else(|| {
                let first = config.auth.users.first();
                BlockError::NoSecret(first.map_or_else(|| "USER".into(), |user| user.name.clone()))
            })?;
            match &options.secret_path {
                Some(path) => {
                    yaml.push_str(
                        "# A file on Synapse's machine: copy the secret there if that is another one.\n",
                    );
                    let _ = writeln!(yaml, "turn_shared_secret_path: {}", quoted(path));
                }
                None => {
                    let secret = std::str::from_utf8(secret.secret.expose())
                        .map_err(|_| BlockError::NotText)?;
                    let _ = writeln!(yaml, "turn_shared_secret: {}", quoted(secret));
                }
            }
        }
    }
    // A bare number would be milliseconds to Synapse.
    yaml.push_str("turn_user_lifetime: 24h\n");
    if options.article && options.static_user.is_some() {
        yaml.push_str(
            "# true: guests, people without an account, may use the relay. false keeps them out.\n\
             turn_allow_guests: true\n",
        );
    } else {
        yaml.push_str(
            "# No relay for guests, who have no account. Synapse's default is true.\n\
             turn_allow_guests: false\n",
        );
    }
    Ok(yaml)
}

fn password<'a>(config: &'a Config, name: &str) -> Result<&'a str, BlockError> {
    let Some(user) = config.auth.users.iter().find(|user| user.name == name) else {
        let names: Vec<_> = config.auth.users.iter().map(|user| user.name.as_str()).collect();
        let configured = if names.is_empty() { "none".into() } else { names.join(", ") };
        return Err(BlockError::NoSuchUser { name: name.into(), configured });
    };
    match &user.key {
        StaticKey::Password(password) => Ok(password),
        StaticKey::Md5(_) => Err(BlockError::KeyOnly(name.into())),
    }
}

/// A YAML double-quoted scalar: always a string, whatever `text` looks like.
#[must_use]
pub fn quoted(text: &str) -> String {
    let mut yaml = String::with_capacity(text.len() + 2);
    yaml.push('"');
    for c in text.chars() {
        match c {
            '"' => yaml.push_str("\\\""),
            '\\' => yaml.push_str("\\\\"),
            // YAML 1.1 (PyYAML) takes these for line breaks, or refuses them as unprintable.
            c if c.is_control()
                || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}') =>
            {
                let _ = write!(yaml, "\\u{:04X}", u32::from(c));
            }
            // Outside the basic plane some builds of PyYAML want escapes.
            c if u32::from(c) > 0xffff => {
                let _ = write!(yaml, "\\U{:08X}", u32::from(c));
            }
            c => yaml.push(c),
        }
    }
    yaml.push('"');
    yaml
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use yaml_rust2::{Yaml, YamlLoader};

    fn config(toml: &str) -> Config {
        Config::from_toml(toml).unwrap().config
    }

    fn parse(yaml: &str) -> Yaml {
        YamlLoader::load_from_str(yaml).unwrap_or_else(|e| panic!("{e}: {yaml}")).remove(0)
    }

    fn shared(toml: &str) -> String {
        let config = config(toml);
        block(&config, &Host::of(&config, None, None), &BlockOptions::default()).unwrap()
    }

    const SECRET: &str = "auth.secrets = [\"a-secret-of-24-letters!!\"]\n";

    #[test]
    fn block_of_a_plain_server() {
        assert_eq!(
            shared(&format!("{SECRET}realm = \"turn.domain.org\"\n")),
            "# TURN, for homeserver.yaml. Restart Synapse afterwards.\n\
             turn_uris:\n  \
               - \"turn:turn.domain.org:3478?transport=udp\"\n  \
               - \"turn:turn.domain.org:3478?transport=tcp\"\n\
             turn_shared_secret: \"a-secret-of-24-letters!!\"\n\
             turn_user_lifetime: 24h\n\
             # No relay for guests, who have no account. Synapse's default is true.\n\
             turn_allow_guests: false\n"
        );
    }

    #[test]
    fn only_listeners_that_are_on_are_printed_udp_first_and_dtls_never() {
        let yaml = shared(&format!(
            "{SECRET}realm = \"turn.domain.org\"\ntls.certbot = \"/live/turn\"\n\
             listen = [\"dtls:[::]:5350\", \"tls:[::]:443\", \"tcp:[::]:3479\", \"udp:[::]:3480\"]\n"
        ));
        let parsed = parse(&yaml);
        let uris: Vec<_> =
            parsed["turn_uris"].as_vec().unwrap().iter().map(|uri| uri.as_str().unwrap()).collect();
        assert_eq!(
            uris,
            [
                "turn:turn.domain.org:3480?transport=udp",
                "turn:turn.domain.org:3479?transport=tcp",
                "turns:turn.domain.org:443?transport=tcp",
            ]
        );
    }

    fn uris(yaml: &str) -> Vec<String> {
        let parsed = parse(yaml);
        let uris = parsed["turn_uris"].as_vec().unwrap().iter();
        uris.map(|uri| uri.as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn certificate_puts_tls_into_the_block_and_one_port_may_serve_both() {
        let yaml = shared(&format!("{SECRET}host = \"h.org\"\ntls.certbot = \"/live/h.org\"\n"));
        assert_eq!(
            uris(&yaml),
            [
                "turn:h.org:3478?transport=udp",
                "turn:h.org:3478?transport=tcp",
                "turns:h.org:5349?transport=tcp",
            ]
        );
        let yaml = shared(&format!(
            "{SECRET}host = \"h.org\"\ntls.certbot = \"/live/h.org\"\nlisten = [\"auto:[::]:443\"]\n"
        ));
        assert_eq!(uris(&yaml), ["turn:h.org:443?transport=tcp", "turns:h.org:443?transport=tcp"]);
    }

    #[test]
    fn of_ports_that_serve_both_each_scheme_names_its_usual_one() {
        for listen in [["auto:[::]:3478", "auto:[::]:5349"], ["auto:[::]:5349", "auto:[::]:3478"]] {
            let yaml = shared(&format!(
                "{SECRET}host = \"h.org\"\ntls.certbot = \"/live/h.org\"\nlisten = {listen:?}\n"
            ));
            let usual = ["turn:h.org:3478?transport=tcp", "turns:h.org:5349?transport=tcp"];
            assert_eq!(uris(&yaml), usual);
        }
    }

    #[test]
    fn udp_beside_dtls_is_named_as_udp_and_dtls_by_the_usual_guide_alone() {
        for (listen, port) in [
            (&["udp+dtls:[::]:3478", "udp+dtls:[::]:5349"][..], [3478, 5349]),
            (&["udp+dtls:[::]:5349", "udp+dtls:[::]:3478"], [3478, 5349]),
            (&["udp+dtls:[::]:443"], [443, 443]),
            (&["udp:[::]:3480", "udp+dtls:[::]:5349"], [3480, 5349]),
        ] {
            let toml = format!(
                "{SECRET}host = \"h.org\"\ntls.certbot = \"/live/h.org\"\nlisten = {listen:?}\n"
            );
            let [plain, secure] = port;
            assert_eq!(uris(&shared(&toml)), [format!("turn:h.org:{plain}?transport=udp")]);
            let host = Host::Known("h.org".into());
            let (article, missing) = uris::of_article(&config(&toml), &host);
            assert!(
                article.contains(&format!("turns:h.org:{secure}?transport=udp")),
                "{article:?}"
            );
            assert!(article.contains(&format!("turn:h.org:{plain}?transport=udp")), "{article:?}");
            assert!(missing.iter().all(|text| text.contains("transport=tcp")), "{missing:?}");
        }
    }

    #[test]
    fn port_behind_a_proxy_is_not_advertised_but_told_of() {
        let toml = format!(
            "{SECRET}host = \"h.org\"\ntls.certbot = \"/live/h.org\"\n\
             [[listen]]\ntransport = \"udp\"\naddress = \"[::]:3478\"\n\
             [[listen]]\ntransport = \"auto\"\naddress = \"127.0.0.1:444\"\n\
             proxy_protocol = true\ntrusted_proxies = [\"127.0.0.1\"]\n"
        );
        let yaml = shared(&toml);
        assert_eq!(uris(&yaml), ["turn:h.org:3478?transport=udp"]);
        assert!(
            yaml.contains("# Note: the listener auto:444 is reached through a proxy"),
            "{yaml}"
        );
        assert!(yaml.contains("turns:h.org:443?transport=tcp"), "{yaml}");
        assert_eq!(uris::port_warning(&config(&toml)), None);
        let told = uris::of_article(&config(&toml), &Host::Known("h.org".into())).1;
        assert_eq!(told.iter().filter(|text| text.contains("the proxy's port")).count(), 2);
    }

    #[test]
    fn every_secret_survives_yaml_as_a_string() {
        for secret in [
            "12345678901234567890",
            "yesyesyesyesyesyes",
            "yes",
            "0x123456789abcdef0123",
            "quote\"and\\backslash\"and'more",
            "snow ☃ and 🔑 and \u{2028} end",
            "- : # {not} [yaml] & * ! | > % @ `",
            "\u{85}next\u{7f}\tline\u{feff}",
            "1e100000000000000000",
            "~nullnullnullnullnull",
        ] {
            let mut config = config(SECRET);
            config.auth.secrets[0].secret = taciturn_turn::auth::SharedSecret::new(secret);
            let host = Host::Known("turn.domain.org".into());
            let yaml = block(&config, &host, &BlockOptions::default()).unwrap();
            assert_eq!(parse(&yaml)["turn_shared_secret"].as_str(), Some(secret), "{yaml}");
        }
    }

    #[test]
    fn host_is_asked_then_configured_then_realm_then_address_then_placeholder() {
        let host = |toml: &str, asked, found: Option<&str>| {
            let found = found.map(|ip| ip.parse().unwrap());
            Host::of(&config(&format!("{SECRET}{toml}")), asked, found).to_string()
        };
        let all = "host = \"h.org\"\nrealm = \"r.org\"\nexternal_ip = \"192.88.99.1\"\n";
        assert_eq!(host(all, Some("a.org"), None), "a.org");
        assert_eq!(host(all, None, None), "h.org");
        assert_eq!(host("realm = \"r.org\"\nexternal_ip = \"1.1.1.1\"\n", None, None), "r.org");
        let both = "realm = \"home\"\nexternal_ip = [\"2a01:4f8::1\", \"9.9.9.9/10.0.0.1\"]\n";
        assert_eq!(host(both, None, Some("8.8.8.8")), "9.9.9.9");
        assert_eq!(host("external_ip = \"2a01:4f8::1\"\n", None, None), "[2a01:4f8::1]");
        assert_eq!(host("", None, Some("2a01:4f8::2")), "[2a01:4f8::2]");
        assert_eq!(host("", None, None), "turn.example.org");
    }

    #[test]
    fn unknown_host_is_marked_in_the_block() {
        assert!(shared(SECRET).contains("# Replace turn.example.org by"));
    }

    #[test]
    fn article_form_has_its_four_uris_in_its_order_with_guests() {
        let config = config(
            "realm = \"turn.domain.org\"\n\
             auth.users = [\"test:test\"]\nauth.allow_weak_credentials = true\n",
        );
        let options = BlockOptions {
            static_user: Some("test".into()),
            article: true,
            ..BlockOptions::default()
        };
        let yaml = parse(&block(&config, &Host::of(&config, None, None), &options).unwrap());
        let uris: Vec<_> =
            yaml["turn_uris"].as_vec().unwrap().iter().map(|uri| uri.as_str().unwrap()).collect();
        assert_eq!(
            uris,
            [
                "turns:turn.domain.org:5349?transport=tcp",
                "turns:turn.domain.org:5349?transport=udp",
                "turn:turn.domain.org:3478?transport=tcp",
                "turn:turn.domain.org:3478?transport=udp",
            ]
        );
        assert_eq!(yaml["turn_username"].as_str(), Some("test"));
        assert_eq!(yaml["turn_password"].as_str(), Some("test"));
        assert_eq!(yaml["turn_allow_guests"].as_bool(), Some(true));
        assert!(yaml["turn_shared_secret"].is_badvalue());
    }

    #[test]
    fn what_cannot_be_printed_says_why() {
        let config = config(
            "auth.users = [\"alice:correct horse\", \"bob:0x00112233445566778899aabbccddeeff\"]\n\
             listen = [\"udp:[::]:3478\"]\n",
        );
        let host = Host::Known("h.org".into());
        let of = |user: Option<&str>| {
            let static_user = user.map(str::to_owned);
            block(&config, &host, &BlockOptions { static_user, ..BlockOptions::default() })
        };
        assert_eq!(of(None), Err(BlockError::NoSecret("alice".into())));
        assert_eq!(of(Some("bob")), Err(BlockError::KeyOnly("bob".into())));
        assert_eq!(
            of(Some("eve")),
            Err(BlockError::NoSuchUser { name: "eve".into(), configured: "alice, bob".into() })
        );
        assert!(of(Some("alice")).unwrap().contains("turn_password: \"correct horse\""));
    }

    #[test]
    fn server_with_dtls_only_has_no_block() {
        let config =
            config(&format!("{SECRET}tls.certbot = \"/live\"\nlisten = [\"dtls:[::]:5349\"]\n"));
        let host = Host::Placeholder;
        let block = block(&config, &host, &BlockOptions::default());
        assert_eq!(block, Err(BlockError::NoListener));
    }
}
