//! Certificates that change under a running server.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;

use serde_json::json;
use tempfile::tempdir;

use crate::testing::{Ca, EC_PKCS8, EC_SEC1, at, self_signed};
use crate::{CertError, CertSource, CertStore, ReloadOutcome, Warning};

fn certbot(dir: &Path) -> CertSource {
    CertSource::Certbot { dir: dir.into() }
}

/// A change counts when two looks have seen it.
fn poll_twice(store: &CertStore) -> Vec<ReloadOutcome> {
    let mut outcomes = store.poll();
    outcomes.extend(store.poll());
    outcomes
}

fn one(mut outcomes: Vec<ReloadOutcome>) -> ReloadOutcome {
    assert_eq!(outcomes.len(), 1, "{outcomes:?}");
    outcomes.remove(0)
}

#[test]
fn a_renewed_pair_is_taken_by_reload_and_by_poll() {
    let (ca, dir) = (Ca::new(), tempdir().unwrap());
    ca.leaf_until(&["turn.a.org"], 2031).write(dir.path());
    let store = CertStore::open(vec![certbot(dir.path())]).unwrap();
    let first = store.current(None);
    assert_eq!(first.generation(), 1);
    assert!(poll_twice(&store).is_empty());
    assert!(matches!(one(store.reload()), ReloadOutcome::Unchanged { .. }));
    assert_eq!(store.current(None).generation(), 1);

    ca.leaf_until(&["turn.a.org"], 2032).write(dir.path());
    let outcome = one(store.reload());
    assert!(outcome.to_string().ends_with("turn.a.org, valid until 2032-01-01"), "{outcome}");
    assert_eq!(store.current(None).generation(), 2);

    ca.leaf_until(&["turn.a.org"], 2033).write(dir.path());
    assert!(matches!(one(poll_twice(&store)), ReloadOutcome::Replaced { .. }));
    assert_eq!(store.current(None).generation(), 3);
    assert_eq!(store.current(None).not_after(), at(2033, 1, 1));
    assert_eq!(first.not_after(), at(2031, 1, 1), "who holds the old one keeps it");
    assert!(poll_twice(&store).is_empty());
}

#[test]
fn other_sources_take_over_once_they_are_known_to_be_good() {
    let (ca, first, second) = (Ca::new(), tempdir().unwrap(), tempdir().unwrap());
    ca.leaf_until(&["turn.a.org"], 2031).write(first.path());
    ca.leaf_until(&["turn.b.org"], 2032).write(second.path());
    let store = CertStore::open(vec![certbot(first.path())]).unwrap();
    let before = store.current(None);
    assert!(store.successor(vec![certbot(&second.path().join("nowhere"))]).is_err());
    let successor = store.successor(vec![certbot(second.path()), certbot(first.path())]).unwrap();
    assert!(Arc::ptr_eq(&store.current(None), &before), "nothing has changed yet");
    let outcome = one(store.take_over(&successor));
    assert!(matches!(outcome, ReloadOutcome::Unchanged { .. }), "the other is new: {outcome}");
    assert_eq!(store.current(None).not_after(), at(2032, 1, 1));
    assert_eq!(store.current(Some("turn.a.org")).not_after(), at(2031, 1, 1));
    let generations: Vec<_> = store.all().iter().map(|chain| chain.generation()).collect();
    assert_eq!(generations, [2, 3], "no number is used twice");
    // The new sources are the ones that are watched.
    assert!(poll_twice(&store).is_empty());
    ca.leaf_until(&["turn.b.org"], 2033).write(second.path());
    assert!(matches!(one(poll_twice(&store)), ReloadOutcome::Replaced { .. }));
    assert_eq!(store.current(None).not_after(), at(2033, 1, 1));
}

#[test]
fn what_a_successor_has_renewed_is_told_and_a_key_that_does_not_fit_is_none() {
    let (ca, dir) = (Ca::new(), tempdir().unwrap());
    let (cert, key) = (dir.path().join("fullchain.pem"), dir.path().join("privkey.pem"));
    let pem = |key: &Path| vec![CertSource::Pem { cert: cert.clone(), key: key.into() }];
    let leaf = ca.leaf_with_key(&["turn.a.org"], EC_PKCS8, EC_PKCS8);
    leaf.write(dir.path());
    let store = CertStore::open(pem(&key)).unwrap();
    let since = store.reports()[0].since;
    let taken = |key: &Path| one(store.take_over(&store.successor(pem(key)).unwrap()));
    assert!(matches!(taken(&key), ReloadOutcome::Unchanged { .. }));

    // The same key, written in another way.
    fs::write(&key, EC_SEC1).unwrap();
    let outcome = taken(&key).to_string();
    assert!(outcome.starts_with("key of ") && outcome.contains("privkey.pem"), "{outcome}");
    assert!(outcome.ends_with(", its certificate is unchanged"), "{outcome}");
    // And in another file.
    let other = dir.path().join("other.pem");
    fs::copy(&key, &other).unwrap();
    let outcome = taken(&other).to_string();
    assert!(outcome.contains("other.pem, its certificate is unchanged"), "{outcome}");
    assert_eq!(store.reports()[0].since, since, "the certificate has not started again");
    fs::write(&other, EC_PKCS8).unwrap();
    assert!(matches!(one(poll_twice(&store)), ReloadOutcome::KeyReplaced { .. }));

    fs::write(&other, ca.leaf(&["turn.a.org"]).key).unwrap();
    let error = store.successor(pem(&other)).unwrap_err().to_string();
    for part in ["other.pem does not belong to", "fullchain.pem", "same renewal?"] {
        assert!(error.contains(part), "{error}");
    }
    ca.leaf_until(&["turn.a.org"], 2032).write(dir.path());
    let outcome = taken(&key).to_string();
    assert!(outcome.ends_with("turn.a.org, valid until 2032-01-01"), "{outcome}");
}

#[test]
fn a_half_written_file_keeps_the_last_good_one_and_says_so_once() {
    let (ca, dir) = (Ca::new(), tempdir().unwrap());
    ca.leaf_until(&["turn.a.org"], 2031).write(dir.path());
    let store = CertStore::open(vec![certbot(dir.path())]).unwrap();

    let next = ca.leaf_until(&["turn.a.org"], 2032);
    fs::write(dir.path().join("fullchain.pem"), &next.fullchain()[..500]).unwrap();
    let outcome = one(poll_twice(&store));
    let text = outcome.to_string();
    assert!(text.contains("the last valid one (until 2031-01-01) stays in use"), "{text}");
    assert!(text.contains("the file ends inside a PEM block"), "{text}");
    assert!(poll_twice(&store).is_empty(), "told once");
    assert_eq!(store.current(None).generation(), 1);

    // Whole, but the key is still the old one: other news.
    fs::write(dir.path().join("fullchain.pem"), next.fullchain()).unwrap();
    match one(poll_twice(&store)) {
        ReloadOutcome::Kept { error: CertError::KeyMismatch { .. }, .. } => {}
        other => panic!("{other}"),
    }
    next.write(dir.path());
    assert!(matches!(one(poll_twice(&store)), ReloadOutcome::Replaced { .. }));
    assert_eq!(store.current(None).not_after(), at(2032, 1, 1));
}

#[test]
fn a_file_that_is_still_changing_is_not_read_by_poll() {
    let (ca, dir) = (Ca::new(), tempdir().unwrap());
    ca.leaf(&["turn.a.org"]).write(dir.path());
    let store = CertStore::open(vec![certbot(dir.path())]).unwrap();
    let whole = ca.leaf(&["turn.a.org"]);
    for end in (100..900).step_by(100) {
        fs::write(dir.path().join("fullchain.pem"), &whole.fullchain()[..end]).unwrap();
        assert!(store.poll().is_empty(), "written up to {end}");
    }
    whole.write(dir.path());
    assert!(matches!(one(poll_twice(&store)), ReloadOutcome::Replaced { .. }));
}

#[test]
fn a_file_that_vanished_and_came_back_is_told_twice() {
    let (ca, dir) = (Ca::new(), tempdir().unwrap());
    let leaf = ca.leaf(&["turn.a.org"]);
    leaf.write(dir.path());
    let store = CertStore::open(vec![certbot(dir.path())]).unwrap();
    fs::remove_file(dir.path().join("privkey.pem")).unwrap();
    assert!(matches!(one(poll_twice(&store)), ReloadOutcome::Kept { .. }));
    leaf.write(dir.path());
    assert!(matches!(one(poll_twice(&store)), ReloadOutcome::Unchanged { .. }));
    assert_eq!(store.current(None).generation(), 1);
}

#[test]
fn links_swapped_as_certbot_does_are_followed() {
    let (ca, dir) = (Ca::new(), tempdir().unwrap());
    let live = dir.path().join("live");
    fs::create_dir(&live).unwrap();
    for (n, year) in [(1, 2031), (2, 2032)] {
        let archive = dir.path().join(format!("archive{n}"));
        fs::create_dir(&archive).unwrap();
        ca.leaf_until(&["turn.a.org"], year).write(&archive);
    }
    let point_to = |n: u32| {
        for name in ["privkey.pem", "fullchain.pem"] {
            let _ = fs::remove_file(live.join(name));
            symlink(format!("../archive{n}/{name}"), live.join(name)).unwrap();
        }
    };
    point_to(1);
    let store = CertStore::open(vec![certbot(&live)]).unwrap();
    point_to(2);
    assert!(matches!(one(poll_twice(&store)), ReloadOutcome::Replaced { .. }));
    assert_eq!(store.current(None).not_after(), at(2032, 1, 1));
}

#[test]
fn a_rewritten_acme_json_is_taken_once_it_is_whole() {
    let (ca, dir) = (Ca::new(), tempdir().unwrap());
    let path = dir.path().join("acme.json");
    let text = |turn: i32, other: i32| {
        let entry = |name, year| ca.leaf_until(&[name], year).acme_entry(name, &[]);
        json!({ "le": { "Certificates": [entry("turn.a.org", turn), entry("b.org", other)] } })
            .to_string()
    };
    fs::write(&path, text(2031, 2031)).unwrap();
    let source = CertSource::Acme { path: path.clone(), domain: "turn.a.org".into() };
    let store = CertStore::open(vec![source]).unwrap();

    let next = text(2032, 2031);
    fs::write(&path, &next[..next.len() / 2]).unwrap();
    let outcome = one(poll_twice(&store));
    assert!(outcome.to_string().contains("ends in the middle of its JSON"), "{outcome}");
    assert_eq!(store.current(None).not_after(), at(2031, 1, 1));
    fs::write(&path, &next).unwrap();
    assert!(matches!(one(poll_twice(&store)), ReloadOutcome::Replaced { .. }));
    assert_eq!(store.current(None).not_after(), at(2032, 1, 1));

    // The renewal of another name in the same file does not affect this one.
    let ours = serde_json::from_str::<serde_json::Value>(&next).unwrap();
    let mut both = serde_json::from_str::<serde_json::Value>(&text(2031, 2033)).unwrap();
    both["le"]["Certificates"][0] = ours["le"]["Certificates"][0].clone();
    fs::write(&path, both.to_string()).unwrap();
    assert!(poll_twice(&store).is_empty());
}

#[test]
fn one_source_that_fails_does_not_hold_up_another() {
    let (ca, one_dir, two_dir) = (Ca::new(), tempdir().unwrap(), tempdir().unwrap());
    ca.leaf_until(&["one.org"], 2031).write(one_dir.path());
    ca.leaf_until(&["two.org"], 2031).write(two_dir.path());
    let store = CertStore::open(vec![certbot(one_dir.path()), certbot(two_dir.path())]).unwrap();
    fs::write(one_dir.path().join("privkey.pem"), "").unwrap();
    ca.leaf_until(&["two.org"], 2032).write(two_dir.path());
    let outcomes = store.reload();
    assert!(matches!(outcomes[..], [ReloadOutcome::Kept { .. }, ReloadOutcome::Replaced { .. }]));
    assert_eq!(store.current(Some("one.org")).not_after(), at(2031, 1, 1));
    assert_eq!(store.current(Some("two.org")).not_after(), at(2032, 1, 1));
}

#[test]
fn findings_cover_all_sources_and_each_expected_name_once() {
    let (ca, one_dir, two_dir) = (Ca::new(), tempdir().unwrap(), tempdir().unwrap());
    ca.leaf(&["one.org"]).write(one_dir.path());
    self_signed(&["two.org"]).write(two_dir.path());
    let store = CertStore::open(vec![certbot(one_dir.path()), certbot(two_dir.path())]).unwrap();
    let findings = store.findings(at(2030, 7, 1), &["one.org", "two.org", "three.org"]);
    let [signed, missing] = &findings[..] else { panic!("{findings:?}") };
    assert_eq!(signed.source, certbot(two_dir.path()));
    assert_eq!(signed.warning, Warning::SelfSigned);
    assert!(missing.to_string().contains("not for three.org but for one.org, two.org"));
}

#[test]
fn a_store_does_not_open_without_any_certificate() {
    assert!(matches!(CertStore::open(Vec::new()), Err(CertError::NoSources)));
    let dir = tempdir().unwrap();
    let gone = |name: &str| certbot(&dir.path().join(name));
    let error = CertStore::open(vec![gone("gone"), gone("lost")]).unwrap_err();
    assert!(error.to_string().contains("gone/fullchain.pem"), "{error}");
}

#[test]
fn a_certificate_that_cannot_be_read_is_named_and_the_others_are_served() {
    let (ca, dir) = (Ca::new(), tempdir().unwrap());
    let place = |name: &str| {
        fs::create_dir_all(dir.path().join(name)).unwrap();
        dir.path().join(name)
    };
    ca.leaf(&["one.org"]).write(&place("one"));
    let sources = || vec![certbot(&place("two")), certbot(&place("one"))];
    let store = CertStore::open(sources()).unwrap();
    assert_eq!(store.current(Some("two.org")).names(), ["one.org"]);
    assert_eq!(store.reports().len(), 1);
    let named = |store: &CertStore| {
        let findings = store.findings(at(2030, 7, 1), &["one.org"]);
        findings
            .iter()
            .any(|f| matches!(&f.warning, Warning::NotServed { why } if why.contains("two")))
    };
    assert!(named(&store));
    assert!(poll_twice(&store).is_empty(), "it has been told at the start");
    // It comes: it is served, in its place.
    ca.leaf(&["two.org"]).write(&place("two"));
    assert!(matches!(one(poll_twice(&store)), ReloadOutcome::Replaced { .. }));
    assert_eq!(store.current(Some("two.org")).names(), ["two.org"]);
    assert_eq!(store.current(None).names(), ["two.org"], "the first source is the default");
    assert!(!named(&store));
    // It goes: a reload keeps the last good one, and does not refuse the rest.
    fs::write(place("two").join("fullchain.pem"), "nothing").unwrap();
    ca.leaf_until(&["one.org"], 2034).write(&place("one"));
    let successor = store.successor(sources()).unwrap();
    let outcomes = store.take_over(&successor);
    assert!(outcomes.iter().any(|o| matches!(o, ReloadOutcome::Replaced { .. })), "{outcomes:?}");
    assert_eq!(store.current(Some("two.org")).names(), ["two.org"]);
    assert!(matches!(one(poll_twice(&store)), ReloadOutcome::Kept { .. }), "and says why");
    // With a source that it has not known, too.
    let mut more = sources();
    more.push(certbot(&place("three")));
    assert!(named(&CertStore::open(sources()).unwrap()));
    assert!(store.successor(more).is_ok());
    // Nothing can be read: refused.
    fs::write(place("one").join("fullchain.pem"), "nothing").unwrap();
    assert!(store.successor(sources()).is_err());
}

#[test]
fn a_file_that_is_being_written_does_not_bring_an_older_certificate_back() {
    let (ca, dir) = (Ca::new(), tempdir().unwrap());
    let text = |year| {
        let entry = ca.leaf_until(&["turn.a.org"], year).acme_entry("turn.a.org", &[]);
        json!({ "le": { "Certificates": [entry] } }).to_string()
    };
    let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
    write("acme-dns.json", &text(2031));
    write("acme-http.json", &text(2032));
    let sources =
        || vec![CertSource::Acme { path: dir.path().into(), domain: "turn.a.org".into() }];
    let store = CertStore::open(sources()).unwrap();
    write("acme-http.json", "{");
    assert!(poll_twice(&store).is_empty());
    assert_eq!(store.current(None).not_after(), at(2032, 1, 1));
    let successor = store.successor(sources()).unwrap();
    assert_eq!(successor.current(None).not_after(), at(2032, 1, 1));
    // At a start there is no other: it is served, and the damaged file is named.
    let started = CertStore::open(sources()).unwrap();
    assert_eq!(started.current(None).not_after(), at(2031, 1, 1));
    let findings = started.findings(at(2030, 7, 1), &[]);
    assert!(
        findings.iter().any(|f| f.to_string().contains("acme-http.json ends in the middle")),
        "{findings:?}"
    );
    write("acme-http.json", &text(2033));
    assert!(matches!(one(poll_twice(&store)), ReloadOutcome::Replaced { .. }));
    assert_eq!(store.current(None).not_after(), at(2033, 1, 1));
}

#[test]
fn a_report_has_since_when_a_certificate_is_in_use_and_why_there_is_no_newer_one() {
    let (ca, dir) = (Ca::new(), tempdir().unwrap());
    ca.leaf(&["turn.a.org"]).write(dir.path());
    let store = CertStore::open(vec![certbot(dir.path())]).unwrap();
    let since = |store: &CertStore| store.reports()[0].since;
    let first = since(&store);
    // SystemTime has nanoseconds, and a successor is opened later.
    let again = store.successor(vec![certbot(dir.path())]).unwrap();
    assert!(matches!(one(store.take_over(&again)), ReloadOutcome::Unchanged { .. }));
    assert_eq!(since(&store), first, "the same certificate has not started again");
    fs::write(dir.path().join("privkey.pem"), "no key").unwrap();
    assert!(matches!(one(store.reload()), ReloadOutcome::Kept { .. }));
    let report = store.reports().remove(0);
    assert!(report.failure.is_some_and(|failure| failure.contains("privkey.pem")));
    assert_eq!((report.since, report.chain.names()), (first, &["turn.a.org".to_owned()][..]));
    ca.leaf(&["turn.b.org"]).write(dir.path());
    assert!(matches!(one(store.reload()), ReloadOutcome::Replaced { .. }));
    let report = store.reports().remove(0);
    assert_eq!((report.failure, report.chain.names()), (None, &["turn.b.org".to_owned()][..]));
    assert!(report.since > first);
}
