//! Certificates made on the spot for tests.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType, date_time_ymd,
};
use rustls::pki_types::CertificateDer;

/// Test-only keys: ring cannot make RSA keys, and none of these was ever used anywhere.
pub(super) const RSA_PKCS1: &str = include_str!("../../../tests/fixtures/test-only-rsa-pkcs1.key");
pub(super) const RSA_PKCS8: &str = include_str!("../../../tests/fixtures/test-only-rsa-pkcs8.key");
pub(super) const RSA_4096: &str =
    include_str!("../../../tests/fixtures/test-only-rsa4096-pkcs8.key");
pub(super) const EC_SEC1: &str = include_str!("../../../tests/fixtures/test-only-ec-sec1.key");
pub(super) const EC_PKCS8: &str = include_str!("../../../tests/fixtures/test-only-ec-pkcs8.key");
pub(super) const ENCRYPTED: &str =
    include_str!("../../../tests/fixtures/test-only-encrypted-pkcs8.key");
pub(super) const ENCRYPTED_OLD: &str =
    include_str!("../../../tests/fixtures/test-only-encrypted-pkcs1.key");
pub(super) const EC_P521: &str = include_str!("../../../tests/fixtures/test-only-ec-p521.key");

/// A root and an intermediate, as public CAs have them.
pub(super) struct Ca {
    pub(super) root: CertificateDer<'static>,
    intermediate: rcgen::Certificate,
    issuer: Issuer<'static, KeyPair>,
}

/// A leaf, its chain and its key, in PEM.
pub(super) struct Leaf {
    pub(super) leaf: String,
    pub(super) intermediate: String,
    pub(super) key: String,
}

impl Leaf {
    pub(super) fn fullchain(&self) -> String {
        format!("{}{}", self.leaf, self.intermediate)
    }

    /// Writes `fullchain.pem` and `privkey.pem`.
    pub(super) fn write(&self, dir: &Path) {
        std::fs::write(dir.join("fullchain.pem"), self.fullchain()).unwrap();
        let key = dir.join("privkey.pem");
        std::fs::write(&key, &self.key).unwrap();
        std::fs::set_permissions(key, std::fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// One element of `Certificates` in an acme.json.
    pub(super) fn acme_entry(&self, main: &str, sans: &[&str]) -> serde_json::Value {
        serde_json::json!({
            "domain": if sans.is_empty() {
                serde_json::json!({ "main": main })
            } else {
                serde_json::json!({ "main": main, "sans": sans })
            },
            "certificate": STANDARD.encode(self.fullchain()),
            "key": STANDARD.encode(&self.key),
            "Store": "default",
        })
    }
}

impl Ca {
    pub(super) fn new() -> Self {
        Self::named("Test Intermediate")
    }

    /// A CA whose intermediate has this common name.
    pub(super) fn named(intermediate: &str) -> Self {
        let authority = |name: &str| {
            let mut params = params(&[]);
            params.distinguished_name.push(DnType::CommonName, name);
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params
        };
        let (root_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let root_params = authority("Test Root");
        let root = root_params.self_signed(&root_key).unwrap();
        let params = authority(intermediate);
        let root_issuer = Issuer::new(root_params, root_key);
        let certificate = params.signed_by(&key, &root_issuer).unwrap();
        Self {
            root: root.der().clone(),
            intermediate: certificate,
            issuer: Issuer::new(params, key),
        }
    }

    /// A certificate for `names` with a fresh P-256 key in PKCS#8, valid in the year 2030.
    pub(super) fn leaf(&self, names: &[&str]) -> Leaf {
        let key = KeyPair::generate().unwrap();
        self.issue(params(names), &key, key.serialize_pem())
    }

    /// The same until the first day of `year`.
    pub(super) fn leaf_until(&self, names: &[&str], year: i32) -> Leaf {
        let mut params = params(names);
        params.not_after = date_time_ymd(year, 1, 1);
        let key = KeyPair::generate().unwrap();
        self.issue(params, &key, key.serialize_pem())
    }

    /// The same for a key of the fixtures, whose PEM text stays as it is.
    pub(super) fn leaf_with_key(&self, names: &[&str], key: &str, pkcs8: &str) -> Leaf {
        let pair = KeyPair::from_pem(pkcs8).unwrap();
        self.issue(params(names), &pair, key.to_owned())
    }

    fn issue(&self, params: CertificateParams, key: &KeyPair, pem: String) -> Leaf {
        let leaf = params.signed_by(key, &self.issuer).unwrap().pem();
        Leaf { leaf, intermediate: self.intermediate.pem(), key: pem }
    }
}

/// A self-signed certificate and its key in PEM.
pub(super) fn self_signed(names: &[&str]) -> Leaf {
    let key = KeyPair::generate().unwrap();
    let leaf = params(names).self_signed(&key).unwrap().pem();
    Leaf { leaf, intermediate: String::new(), key: key.serialize_pem() }
}

fn params(names: &[&str]) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.not_before = date_time_ymd(2030, 1, 1);
    params.not_after = date_time_ymd(2031, 1, 1);
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, *names.first().unwrap_or(&"unnamed"));
    params.subject_alt_names = names
        .iter()
        .map(|name| match name.parse() {
            Ok(ip) => SanType::IpAddress(ip),
            Err(_) => SanType::DnsName((*name).try_into().unwrap()),
        })
        .collect();
    params
}

/// Midnight of that day, UTC.
pub(super) fn at(year: i32, month: u8, day: u8) -> SystemTime {
    let seconds = date_time_ymd(year, month, day).unix_timestamp();
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.unsigned_abs())
}
