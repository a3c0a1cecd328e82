//! Traefik's acme.json.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::tempdir;

use crate::testing::{Ca, EC_PKCS8, EC_SEC1, RSA_PKCS1, RSA_PKCS8, at};
use crate::{CertError, CertSource, CertifiedChain, KeyKind, load};

/// The JSON that Traefik writes for one resolver.
fn resolver(certificates: Value) -> Value {
    json!({
        "Account": {
            "Email": "admin@domain.org",
            "Registration": { "body": { "status": "valid" }, "uri": "https://acme/acct/1" },
            "PrivateKey": "MIIJKA==",
            "KeyType": "4096"
        },
        "Certificates": certificates
    })
}

fn look(path: &Path, domain: &str) -> Result<CertifiedChain, CertError> {
    load(&CertSource::Acme { path: path.into(), domain: domain.into() })
}

/// Writes `text` as acme.json and looks for `domain`.
fn find(text: &str, domain: &str) -> Result<CertifiedChain, CertError> {
    let dir = tempdir().unwrap();
    let path = dir.path().join("acme.json");
    fs::write(&path, text).unwrap();
    look(&path, domain)
}

#[test]
fn certificates_are_found_by_main_name_san_and_wildcard() {
    let ca = Ca::new();
    let text = json!({ "letsencrypt": resolver(json!([
        ca.leaf(&["other.org"]).acme_entry("other.org", &[]),
        ca.leaf(&["a.org", "turn.a.org"]).acme_entry("a.org", &["turn.a.org"]),
        ca.leaf(&["b.org", "*.b.org"]).acme_entry("b.org", &["*.b.org"]),
        ca.leaf(&["*.c.org"]).acme_entry("*.c.org", &[]),
    ])) })
    .to_string();
    for (domain, name) in [
        ("other.org", "other.org"),
        ("turn.a.org", "turn.a.org"),
        ("Turn.B.org", "*.b.org"),
        ("turn.c.org", "*.c.org"),
    ] {
        let chain = find(&text, domain).unwrap();
        assert!(chain.names().iter().any(|n| n == name), "{domain} {chain:?}");
        assert_eq!(chain.certs_der().len(), 2);
    }
}

#[test]
fn a_name_that_is_not_there_gets_the_names_that_are() {
    let ca = Ca::new();
    let text = json!({ "le": resolver(json!([
        ca.leaf(&["*.b.org"]).acme_entry("b.org", &["*.b.org"]),
        ca.leaf(&["a.org"]).acme_entry("a.org", &[]),
    ])) })
    .to_string();
    let error = find(&text, "x.turn.b.org").unwrap_err().to_string();
    assert!(
        error.ends_with("holds no certificate for x.turn.b.org; it has *.b.org, a.org, b.org"),
        "{error}"
    );
}

/// Before its first certificate, Traefik writes null, and the file began empty.
#[test]
fn a_resolver_without_certificates_is_no_error_in_the_file() {
    for text in [
        json!({ "letsencrypt": resolver(Value::Null) }),
        json!({ "letsencrypt": { "Account": null } }),
        json!({ "letsencrypt": null }),
        json!({}),
    ] {
        let error = find(&text.to_string(), "turn.a.org").unwrap_err();
        assert!(error.to_string().contains("it holds none at all"), "{error}");
    }
    let error = find("", "turn.a.org").unwrap_err().to_string();
    assert!(error.ends_with("acme.json is empty: Traefik has not stored a certificate yet"));
}

#[test]
fn of_two_resolvers_the_certificate_that_ends_last_is_taken() {
    let ca = Ca::new();
    let entry = |year| ca.leaf_until(&["turn.a.org"], year).acme_entry("turn.a.org", &[]);
    for (first, second) in [(2033, 2032), (2032, 2033)] {
        let text = json!({
            "dns": resolver(json!([entry(first)])),
            "http": resolver(json!([entry(second)])),
            "unused": resolver(Value::Null),
        });
        assert_eq!(find(&text.to_string(), "turn.a.org").unwrap().not_after(), at(2033, 1, 1));
    }
}

#[test]
fn keys_come_as_pkcs1_sec1_and_pkcs8() {
    let ca = Ca::new();
    for (key, pkcs8, kind) in [
        (RSA_PKCS1, RSA_PKCS8, KeyKind::Pkcs1),
        (EC_SEC1, EC_PKCS8, KeyKind::Sec1),
        (RSA_PKCS8, RSA_PKCS8, KeyKind::Pkcs8),
    ] {
        let leaf = ca.leaf_with_key(&["turn.a.org"], key, pkcs8);
        let entry = leaf.acme_entry("turn.a.org", &[]);
        let text = json!({ "letsencrypt": resolver(json!([entry])) }).to_string();
        assert_eq!(find(&text, "turn.a.org").unwrap().key_kind(), kind);
    }
}

#[test]
fn json_that_is_cut_off_is_told_from_json_of_another_kind() {
    let entry = Ca::new().leaf(&["turn.a.org"]).acme_entry("turn.a.org", &[]);
    let text = serde_json::to_string_pretty(&json!({ "le": resolver(json!([entry])) })).unwrap();
    for cut in [1, text.len() / 2, text.len() - 1] {
        let line = text[..cut].matches('\n').count() + 1;
        match find(&text[..cut], "turn.a.org").unwrap_err() {
            CertError::TruncatedJson { line: at, .. } => assert_eq!(at, line),
            other => panic!("{cut}: {other}"),
        }
    }
    let syntax = find("{\n  letsencrypt: }", "turn.a.org").unwrap_err();
    assert!(syntax.to_string().ends_with("is not valid JSON (line 2, column 3)"), "{syntax}");
    let shape = find(r#"{"le": {"Certificates": "s3cret"}}"#, "turn.a.org").unwrap_err();
    assert!(shape.to_string().contains("not shaped like Traefik's acme.json"), "{shape}");
    assert!(!format!("{shape} {shape:?}").contains("s3cret"), "{shape:?}");
}

#[test]
fn a_damaged_entry_is_named_unless_a_whole_one_serves() {
    let ca = Ca::new();
    let whole = ca.leaf(&["turn.a.org"]).acme_entry("turn.a.org", &[]);
    let (mut odd, mut mixed) = (whole.clone(), whole.clone());
    odd["key"] = "not base64!".into();
    mixed["key"] = ca.leaf(&["turn.a.org"]).acme_entry("", &[])["key"].clone();
    let with = |entries: &[&Value]| json!({ "le": resolver(json!(entries)) }).to_string();

    let error = find(&with(&[&odd]), "turn.a.org").unwrap_err().to_string();
    assert!(error.contains("acme.json (entry of turn.a.org): the value of `key` is not base64"));
    let error = find(&with(&[&mixed]), "turn.a.org").unwrap_err();
    assert!(matches!(error, CertError::KeyMismatch { .. }), "{error}");
    find(&with(&[&odd, &mixed, &whole]), "turn.a.org").unwrap();
}

#[test]
fn a_directory_of_acme_files_is_searched_as_one() {
    let ca = Ca::new();
    let dir = tempdir().unwrap();
    let error = look(dir.path(), "turn.a.org").unwrap_err();
    assert!(matches!(error, CertError::NoAcmeFiles { .. }), "{error}");

    let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
    let one = |year| {
        let entry = ca.leaf_until(&["turn.a.org"], year).acme_entry("turn.a.org", &[]);
        json!({ "le": resolver(json!([entry])) }).to_string()
    };
    write("acme-dns.json", &one(2032));
    write("acme-http.json", &one(2033));
    write("acme-tls.json", "");
    write("other.json", "no JSON");
    write("acme.json.bak", "no JSON");
    assert_eq!(look(dir.path(), "turn.a.org").unwrap().not_after(), at(2033, 1, 1));

    // One that is damaged is named, and the rest is served.
    write("acme-http.json", "{");
    let chain = look(dir.path(), "turn.a.org").unwrap();
    assert_eq!(chain.not_after(), at(2032, 1, 1));
    assert!(
        matches!(chain.left_out(), [one] if one.contains("acme-http.json")),
        "{:?}",
        chain.left_out()
    );
    // If the rest has nothing, it is the error.
    write("acme-dns.json", &json!({ "le": resolver(Value::Null) }).to_string());
    let error = look(dir.path(), "turn.a.org").unwrap_err();
    assert!(matches!(error, CertError::TruncatedJson { .. }), "{error}");
}

/// Entries, resolvers and files of others: whatever they hold, the wanted name is served.
#[test]
fn what_belongs_to_others_takes_nothing_down() {
    let ca = Ca::new();
    let ours = ca.leaf(&["turn.a.org"]).acme_entry("turn.a.org", &[]);
    let domain = json!({ "main": "*.*.b.org" });
    for odd in [
        json!({ "domain": domain, "certificate": null, "key": null, "Store": "default" }),
        json!({ "domain": domain }),
        json!({ "domain": domain, "certificate": 7, "key": [] }),
        json!({ "domain": { "main": "b.org", "sans": null }, "certificate": "", "key": "" }),
        json!({ "domain": { "main": "b.org" }, "certificate": "no base64!", "key": "s3cret" }),
        json!({ "domain": null, "certificate": "x", "key": "s3cret" }),
        json!({ "domain": "b.org", "certificate": "x", "key": "s3cret" }),
        json!({ "Domain": { "Main": "b.org" }, "Certificate": "x", "Key": "s3cret" }),
        json!(null),
        json!("s3cret"),
        json!([]),
    ] {
        for entries in [json!([odd, ours]), json!([ours, odd])] {
            let text = json!({ "le": resolver(entries) }).to_string();
            let chain = find(&text, "turn.a.org").unwrap_or_else(|error| panic!("{odd}: {error}"));
            assert_eq!(chain.names(), ["turn.a.org"]);
            assert!(!format!("{:?}", chain.left_out()).contains("s3cret"));
        }
        let text = json!({ "le": resolver(json!([odd])) }).to_string();
        let error = find(&text, "turn.a.org").unwrap_err();
        assert!(!format!("{error} {error:?}").contains("s3cret"), "{error}");
    }
    for resolver_of_others in
        [json!("s3cret"), json!({ "Certificates": "s3cret" }), json!([1]), json!(7), json!({})]
    {
        let text = json!({ "aa": resolver_of_others, "le": resolver(json!([ours])) }).to_string();
        find(&text, "turn.a.org").unwrap_or_else(|error| panic!("{resolver_of_others}: {error}"));
    }
    // A missing certificate of the wanted name is an error that names it.
    let missing = json!({ "domain": { "main": "turn.a.org" }, "certificate": null, "key": null });
    let text = json!({ "le": resolver(json!([missing])) }).to_string();
    let error = find(&text, "turn.a.org").unwrap_err().to_string();
    assert!(error.contains("the entry of turn.a.org (no certificate or no key)"), "{error}");
}

#[test]
fn the_forms_of_traefik_1_are_named() {
    let entry =
        json!({ "Domain": { "Main": "turn.a.org", "SANs": null }, "Certificate": "x", "Key": "y" });
    let account = json!({ "Email": "", "Registration": {}, "PrivateKey": "" });
    for text in [
        json!({ "Account": account, "Certificates": [entry], "HTTPChallenges": {} }),
        json!({ "acme": { "Account": account, "Certificates": [entry] } }),
        json!({ "Email": "", "PrivateKey": "", "DomainsCertificate": { "Certs": [] } }),
    ] {
        let error = find(&text.to_string(), "turn.a.org").unwrap_err().to_string();
        assert!(error.contains("is of Traefik 1"), "{error}");
    }
}

#[test]
fn a_directory_in_place_of_acme_json_is_what_docker_makes() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("acme.json");
    fs::create_dir(&path).unwrap();
    let error = look(&path, "turn.a.org").unwrap_err().to_string();
    assert!(
        error.contains("a directory (Docker makes one when the file to mount does not exist"),
        "{error}"
    );
}
