//! PEM pairs and certbot directories.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use tempfile::{TempDir, tempdir};

use crate::testing::{
    Ca, EC_P521, EC_PKCS8, EC_SEC1, ENCRYPTED, ENCRYPTED_OLD, RSA_PKCS1, RSA_PKCS8,
};
use crate::{CertError, CertSource, CertifiedChain, KeyKind, PemProblem, load};

/// Writes both texts to files and loads them as a pair.
fn pair(cert: &[u8], key: &[u8]) -> (TempDir, Result<CertifiedChain, CertError>) {
    let dir = tempdir().unwrap();
    let source = in_dir(dir.path());
    if let CertSource::Pem { cert: to_cert, key: to_key } = &source {
        fs::write(to_cert, cert).unwrap();
        fs::write(to_key, key).unwrap();
    }
    let loaded = load(&source);
    (dir, loaded)
}

fn in_dir(dir: &Path) -> CertSource {
    CertSource::Pem { cert: dir.join("cert.pem"), key: dir.join("key.pem") }
}

fn error(cert: impl AsRef<[u8]>, key: impl AsRef<[u8]>) -> CertError {
    pair(cert.as_ref(), key.as_ref()).1.unwrap_err()
}

#[test]
fn a_chain_comes_with_names_dates_and_both_encodings() {
    let leaf = Ca::new().leaf(&["turn.domain.org", "203.0.113.7", "2001:db8::1"]);
    let (_dir, chain) = pair(leaf.fullchain().as_bytes(), leaf.key.as_bytes());
    let chain = chain.unwrap();
    assert_eq!(chain.names(), ["turn.domain.org", "203.0.113.7", "2001:db8::1"]);
    assert_eq!(chain.certs_der().len(), 2);
    assert_eq!(chain.key_kind(), KeyKind::Pkcs8);
    assert_eq!(chain.not_before(), crate::testing::at(2030, 1, 1));
    assert_eq!(chain.not_after(), crate::testing::at(2031, 1, 1));
    assert!(chain.covers("TURN.domain.org") && chain.covers("[2001:db8::1]"));
    assert!(!chain.covers("domain.org"));

    let (_dir, again) = pair(chain.chain_pem().as_bytes(), chain.key_pem().as_bytes());
    let again = again.unwrap();
    assert_eq!(again.certs_der(), chain.certs_der());
    assert_eq!(again.key_der(), chain.key_der());
}

#[test]
fn rsa_and_ec_keys_load_in_every_encoding() {
    let ca = Ca::new();
    for (key, pkcs8, kind) in [
        (RSA_PKCS1, RSA_PKCS8, KeyKind::Pkcs1),
        (RSA_PKCS8, RSA_PKCS8, KeyKind::Pkcs8),
        (EC_SEC1, EC_PKCS8, KeyKind::Sec1),
        (EC_PKCS8, EC_PKCS8, KeyKind::Pkcs8),
    ] {
        let leaf = ca.leaf_with_key(&["turn.domain.org"], key, pkcs8);
        let (_dir, chain) = pair(leaf.fullchain().as_bytes(), leaf.key.as_bytes());
        let chain = chain.unwrap();
        assert_eq!(chain.key_kind(), kind);
        // The EC file has a parameters block before the key.
        assert!(key.replace("\r\n", "\n").ends_with(&*chain.key_pem()));
    }
}

#[test]
fn one_file_may_hold_both_and_windows_line_ends() {
    let leaf = Ca::new().leaf(&["turn.domain.org"]);
    let both = format!("\u{feff}{}{}", leaf.key, leaf.fullchain()).replace('\n', "\r\n");
    let (_dir, chain) = pair(both.as_bytes(), both.as_bytes());
    assert_eq!(chain.unwrap().certs_der().len(), 2);
}

#[test]
fn no_debug_output_or_error_shows_a_key() {
    let leaf = Ca::new().leaf_with_key(&["turn.domain.org"], RSA_PKCS1, RSA_PKCS8);
    let (_dir, chain) = pair(leaf.fullchain().as_bytes(), leaf.key.as_bytes());
    let mut shown = format!("{:?}", chain.unwrap());
    let (start, rest) = RSA_PKCS1.split_at(200);
    for broken in [start.to_owned(), format!("{start}!\n{rest}"), rest.to_owned()] {
        let error = error(leaf.fullchain(), broken);
        shown += &format!("{error} {error:?}");
    }
    for line in RSA_PKCS1.lines().filter(|line| !line.contains("--")) {
        assert!(!shown.contains(line), "{shown}");
    }
}

#[test]
fn files_without_pem_are_said_to_hold_none() {
    let leaf = Ca::new().leaf(&["turn.domain.org"]);
    let text = error("hello\n", &leaf.key).to_string();
    assert!(text.ends_with("cert.pem holds no certificate in PEM form (-----BEGIN ...-----)"));
    let text = error(leaf.fullchain(), "hello\n").to_string();
    assert!(text.ends_with("key.pem holds no private key in PEM form (-----BEGIN ...-----)"));
    let text = error([0x30, 0x82, 0x04, 0x00], &leaf.key).to_string();
    assert!(text.contains("holds no certificate: it looks like binary DER or PKCS#12"), "{text}");
    let text = error(&leaf.key, &leaf.key).to_string();
    assert!(text.ends_with("cert.pem holds no certificate, only a private key"), "{text}");
    let text = error(leaf.fullchain(), leaf.fullchain()).to_string();
    assert!(text.ends_with("key.pem holds no private key, only certificates"), "{text}");
    assert!(matches!(error("", &leaf.key), CertError::Empty { .. }));
}

#[test]
fn swapped_files_are_called_swapped() {
    let leaf = Ca::new().leaf(&["turn.domain.org"]);
    let error = error(&leaf.key, leaf.fullchain());
    assert!(matches!(error, CertError::Swapped { .. }), "{error}");
}

#[test]
fn a_key_of_another_certificate_is_refused() {
    let ca = Ca::new();
    let (one, two) = (ca.leaf(&["turn.domain.org"]), ca.leaf(&["turn.domain.org"]));
    let text = error(one.fullchain(), &two.key).to_string();
    assert!(text.contains("does not belong to the certificate"), "{text}");
    assert!(text.contains("same renewal"), "{text}");
    // A key of another kind as well.
    assert!(matches!(error(one.fullchain(), RSA_PKCS1), CertError::KeyMismatch { .. }));
}

#[test]
fn a_chain_in_the_wrong_order_is_told_which_comes_first() {
    let leaf = Ca::new().leaf(&["turn.domain.org"]);
    let text = error(format!("{}{}", leaf.intermediate, leaf.leaf), &leaf.key).to_string();
    assert!(text.contains("belongs to certificate number 2"), "{text}");
}

#[test]
fn encrypted_keys_are_refused_with_the_command_that_helps() {
    let leaf = Ca::new().leaf_with_key(&["turn.domain.org"], RSA_PKCS1, RSA_PKCS8);
    for key in [ENCRYPTED, ENCRYPTED_OLD] {
        let text = error(leaf.fullchain(), key).to_string();
        assert!(text.contains("openssl pkey -in KEY -out NEWKEY"), "{text}");
    }
    // Swapped, and encrypted on top of it: the first mistake is the one to name.
    assert!(matches!(error(ENCRYPTED, leaf.fullchain()), CertError::Swapped { .. }));
}

#[test]
fn keys_that_cannot_sign_are_refused() {
    let leaf = Ca::new().leaf(&["turn.domain.org"]);
    assert!(matches!(error(leaf.fullchain(), EC_P521), CertError::UnsupportedKey { .. }));
}

#[test]
fn damaged_pem_is_told_from_pem_that_was_cut_off() {
    let leaf = Ca::new().leaf(&["turn.domain.org"]);
    let chain = leaf.fullchain();
    let cut = error(&chain[..chain.len() - 100], &leaf.key);
    assert!(matches!(cut, CertError::BadPem { problem: PemProblem::CutOff, .. }), "{cut}");
    let odd = error(chain.replacen("MII", "M!I", 1), &leaf.key);
    assert!(matches!(odd, CertError::BadPem { problem: PemProblem::Base64, .. }), "{odd}");
    let empty = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let bad = error(format!("{chain}{empty}"), &leaf.key);
    assert!(matches!(bad, CertError::BadCertificate { number: 3, .. }), "{bad}");
}

#[test]
fn a_certbot_directory_is_followed_into_its_archive() {
    let dir = tempdir().unwrap();
    let (live, archive) = (dir.path().join("live/turn"), dir.path().join("archive/turn"));
    fs::create_dir_all(&live).unwrap();
    fs::create_dir_all(&archive).unwrap();
    Ca::new().leaf(&["turn.domain.org"]).write(&archive);
    for name in ["fullchain.pem", "privkey.pem"] {
        symlink(format!("../../archive/turn/{name}"), live.join(name)).unwrap();
    }
    let source = CertSource::Certbot { dir: live };
    assert_eq!(load(&source).unwrap().names(), ["turn.domain.org"]);

    fs::rename(dir.path().join("archive"), dir.path().join("elsewhere")).unwrap();
    let error = load(&source).unwrap_err();
    assert!(matches!(error, CertError::DanglingLink { .. }), "{error}");
}
