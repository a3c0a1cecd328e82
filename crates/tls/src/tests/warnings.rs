//! What is said about certificates that load.

use std::time::{Duration, SystemTime};

use tempfile::tempdir;

use crate::testing::{Ca, EC_PKCS8, Leaf, RSA_4096, RSA_PKCS8, at, self_signed};
use crate::{CertSource, CertStore, CertifiedChain, Warning, load};

fn chain(leaf: &Leaf) -> CertifiedChain {
    let dir = tempdir().unwrap();
    leaf.write(dir.path());
    load(&CertSource::Certbot { dir: dir.path().into() }).unwrap()
}

/// All is well in the middle of 2030.
fn summer() -> SystemTime {
    at(2030, 7, 1)
}

fn said(warnings: &[Warning], what: &str) {
    let text = warnings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    assert_eq!(warnings.len(), 1, "{text}");
    assert!(text.contains(what), "{text}");
}

#[test]
fn a_good_certificate_gives_no_warning() {
    let chain = chain(&Ca::new().leaf(&["turn.domain.org"]));
    assert_eq!(chain.warnings(summer(), Some("turn.domain.org")), []);
    assert_eq!(chain.warnings(summer(), None), []);
}

#[test]
fn the_end_is_announced_14_days_ahead() {
    let chain = chain(&Ca::new().leaf(&["turn.domain.org"]));
    assert_eq!(chain.warnings(at(2030, 12, 18), None), []);
    let soon = chain.warnings(at(2030, 12, 18) + Duration::from_secs(1), None);
    said(&soon, "expires on 2031-01-01, in 13 days");
    said(&chain.warnings(at(2031, 1, 1), None), "in 0 days");
    let over = chain.warnings(at(2031, 1, 1) + Duration::from_secs(1), None);
    said(&over, "expired on 2031-01-01");
    said(&chain.warnings(at(2029, 12, 31), None), "not valid before 2030-01-01");
}

#[test]
fn a_leaf_alone_misses_its_intermediate() {
    let leaf = Ca::new().leaf(&["turn.domain.org"]);
    let alone = chain(&Leaf { intermediate: String::new(), ..leaf });
    let warnings = alone.warnings(summer(), None);
    said(&warnings, "without the intermediate of CN=Test Intermediate");
    said(&warnings, "fullchain.pem");
}

#[test]
fn an_intermediate_of_somebody_else_breaks_the_chain() {
    let (ours, other) = (Ca::new(), Ca::named("Other Intermediate"));
    let foreign = other.leaf(&["x"]).intermediate;
    let mixed = chain(&Leaf { intermediate: foreign, ..ours.leaf(&["turn.domain.org"]) });
    said(&mixed.warnings(summer(), None), "number 1 of the chain was not issued by");
}

#[test]
fn a_self_signed_certificate_is_called_that_and_nothing_else() {
    let chain = chain(&self_signed(&["turn.domain.org"]));
    assert_eq!(chain.warnings(summer(), None), [Warning::SelfSigned]);
}

#[test]
fn a_name_that_clients_use_must_be_in_the_certificate() {
    let ca = Ca::new();
    let wildcard = chain(&ca.leaf(&["domain.org", "*.domain.org"]));
    assert_eq!(wildcard.warnings(summer(), Some("turn.domain.org")), []);
    let warnings = wildcard.warnings(summer(), Some("eu.turn.domain.org"));
    said(&warnings, "not for eu.turn.domain.org but for domain.org, *.domain.org");
    said(&wildcard.warnings(summer(), Some("203.0.113.7")), "not for 203.0.113.7");
    let nameless = chain(&ca.leaf(&[]));
    said(&nameless.warnings(summer(), Some("turn.domain.org")), "clients ignore the common name");
}

#[test]
fn a_cloudflare_origin_certificate_is_recognised_by_its_issuer() {
    for issuer in
        ["CloudFlare Origin Certificate", "CloudFlare Origin SSL ECC Certificate Authority"]
    {
        let leaf = Ca::named(issuer).leaf(&["turn.domain.org"]);
        let alone = chain(&Leaf { intermediate: String::new(), ..leaf });
        assert_eq!(alone.warnings(summer(), None), [Warning::CloudflareOrigin]);
    }
}

#[test]
fn a_private_key_that_everybody_can_read_is_told_with_the_chmod_line() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir_in("/tmp").unwrap();
    Ca::new().leaf(&["one.org"]).write(dir.path());
    let mode = |path: &std::path::Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    let key = dir.path().join("privkey.pem");
    let (cert, source) = (dir.path().join("fullchain.pem"), key.clone());
    let store = CertStore::open(vec![CertSource::Pem { cert, key: source }]).unwrap();
    let told = |store: &CertStore| -> Vec<String> {
        let findings = store.findings(summer(), &[]);
        findings.iter().map(ToString::to_string).collect()
    };
    mode(dir.path(), 0o755);
    mode(&key, 0o640);
    assert_eq!(told(&store), Vec::<String>::new());
    mode(&key, 0o644);
    let [told] = &told(&store)[..] else { panic!() };
    assert!(told.contains("can be read by every user") && told.contains("chmod o= "), "{told}");
    assert!(told.contains("privkey.pem"), "{told}");
}

#[test]
fn an_rsa_key_of_4096_bits_is_warned_of_with_what_a_signature_costs_here() {
    let of = |key| chain(&Ca::new().leaf_with_key(&["turn.domain.org"], key, key));
    let slow = of(RSA_4096);
    let warnings = slow.warnings(summer(), None);
    said(&warnings, "RSA key of 4096 bits takes ");
    said(&warnings, "ECDSA key (P-256), or RSA with 2048 bits");
    let [Warning::SlowKey { bits: 4096, cost }] = warnings[..] else { panic!("{warnings:?}") };
    assert!(cost > Duration::ZERO);
    assert_eq!(of(RSA_PKCS8).warnings(summer(), None), []);
}

#[test]
fn what_a_signature_costs_can_be_measured_for_every_kind_of_key() {
    for key in [RSA_PKCS8, RSA_4096, EC_PKCS8] {
        let chain = chain(&Ca::new().leaf_with_key(&["turn.domain.org"], key, key));
        assert!(chain.signature_cost().is_some_and(|cost| cost > Duration::ZERO));
    }
}
