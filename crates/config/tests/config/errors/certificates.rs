//! Certificates that are missing, or half there.

use super::report;

#[test]
fn secure_listener_without_a_certificate_is_told_the_three_ways() {
    let toml = r#"[[listen]]
transport = "tls"
address = "[::]:5349"
"#;
    let expected = r#"error: listen[0].transport: "tls" needs a certificate, and there is none
 --> taciturn.toml:2:13
  |
2 | transport = "tls"
  |             ^^^^^
  = help: configure one in the section [tls], in one of three ways:
          cert = "FILE" and key = "FILE" (a PEM pair; this listener's own will do as well),
          certbot = "/etc/letsencrypt/live/NAME",
          or acme = "/PATH/TO/acme.json" (Traefik's)

"#;
    assert_eq!(report(toml).trim_end(), expected.trim_end());
}

#[test]
fn dtls_beside_udp_needs_a_certificate_in_the_short_form_too() {
    let told = report("listen = [\"udp+dtls:[::]:3478\"]\n");
    let expected = r#"error: listen[0].transport: "udp+dtls" needs a certificate, and there is none
 --> taciturn.toml:1:11
  |
1 | listen = ["udp+dtls:[::]:3478"]
  |           ^^^^^^^^^^^^^^^^^^^^
  = help: configure one in the section [tls], in one of three ways:
"#;
    assert!(told.starts_with(expected), "{told}");
}

#[test]
fn certificate_and_key_go_together() {
    let toml = r#"[tls]
cert = "turn.pem"

[[listen]]
transport = "tls"
address = "[::]:5349"
key = "turn.key"
"#;
    let expected = r#"error: tls.cert: a certificate without its private key
 --> taciturn.toml:2:8
  |
2 | cert = "turn.pem"
  |        ^^^^^^^^^^
  = help: add key = "FILE" to the section [tls]
          where one PEM file holds both, write its path twice

error: listen[0].key: a private key without its certificate
 --> taciturn.toml:7:7
  |
7 | key = "turn.key"
  |       ^^^^^^^^^^
  = help: add cert = "FILE" to this listener
          where one PEM file holds both, write its path twice

"#;
    assert_eq!(report(toml).trim_end(), expected.trim_end());
}

#[test]
fn acme_has_to_know_the_name() {
    let toml = r#"[tls]
acme = "/etc/traefik/acme.json"
"#;
    let expected = r#"error: tls.acme: it is not known which of the certificates in it to take
 --> taciturn.toml:2:8
  |
2 | acme = "/etc/traefik/acme.json"
  |        ^^^^^^^^^^^^^^^^^^^^^^^^
  = help: add acme_domains = ["turn.domain.org"] to the section [tls], with the name
          that clients use; or set host or realm to it

"#;
    assert_eq!(report(toml).trim_end(), expected.trim_end());
}

#[test]
fn names_without_acme_and_files_for_certbot() {
    let toml = r#"[tls]
acme_domains = ["turn.domain.org"]
certbot = "/etc/letsencrypt/live/turn.domain.org/fullchain.pem"
"#;
    let expected = r#"error: tls.acme_domains[0]: there is no acme.json to take a certificate from
 --> taciturn.toml:2:17
  |
2 | acme_domains = ["turn.domain.org"]
  |                 ^^^^^^^^^^^^^^^^^
  = help: add acme = "/PATH/TO/acme.json" to the section [tls], or remove this

error: tls.certbot: /etc/letsencrypt/live/turn.domain.org/fullchain.pem is a file of certbot's
 --> taciturn.toml:3:11
  |
3 | certbot = "/etc/letsencrypt/live/turn.domain.org/fullchain.pem"
  |           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  = help: write the directory that holds fullchain.pem and privkey.pem:
          certbot = "/etc/letsencrypt/live/turn.domain.org"

"#;
    assert_eq!(report(toml).trim_end(), expected.trim_end());
}

#[test]
fn names_of_certificates_are_names() {
    let toml = r#"tls.acme = "acme.json"
tls.acme_domains = ["turn.yourdomain.com", "https://turn.domain.org", "*"]
"#;
    let expected = r#"error: tls.acme_domains[0]: "turn.yourdomain.com" is a placeholder
 --> taciturn.toml:2:21
  |
2 | tls.acme_domains = ["turn.yourdomain.com", "https://turn.domain.org", "*"]
  |                     ^^^^^^^^^^^^^^^^^^^^^
  = help: write a name as it stands in a certificate:
          acme_domains = ["turn.domain.org"]

error: tls.acme_domains[1]: "https://turn.domain.org" is no host name
 --> taciturn.toml:2:44
  |
2 | tls.acme_domains = ["turn.yourdomain.com", "https://turn.domain.org", "*"]
  |                                            ^^^^^^^^^^^^^^^^^^^^^^^^^
  = help: write a name as it stands in a certificate:
          acme_domains = ["turn.domain.org"]

error: tls.acme_domains[2]: "*" is no host name
 --> taciturn.toml:2:71
  |
2 | tls.acme_domains = ["turn.yourdomain.com", "https://turn.domain.org", "*"]
  |                                                                       ^^^
  = help: write a name as it stands in a certificate:
          acme_domains = ["turn.domain.org"]

"#;
    assert_eq!(report(toml).trim_end(), expected.trim_end());
}
