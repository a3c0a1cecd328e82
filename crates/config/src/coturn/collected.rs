//! What is collected of coturn's settings, one after the other, before it is put together; and what will be
//! written.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use zeroize::Zeroizing;

use super::copied::Copied;
use super::databases::Database;
use super::place::Place;
use super::setting::{Outcome, Setting};

/// A value and the places it comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sourced<T> {
    pub(super) value: T,
    pub(super) places: Vec<Place>,
}

impl<T> Sourced<T> {
    pub(super) fn at(value: T, place: Place) -> Self {
        Self { value, places: vec![place] }
    }
}

/// A listener to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DraftListen {
    pub(super) transport: &'static str,
    pub(super) address: SocketAddr,
    pub(super) behind_proxy: bool,
}

/// What will be written; nothing where the default does.
#[derive(Default)]
pub(super) struct Draft {
    pub(super) realm: Option<Sourced<String>>,
    pub(super) external_ip: Vec<Sourced<String>>,
    pub(super) relay_ports: Option<Sourced<String>>,
    pub(super) workers: Option<Sourced<u64>>,
    pub(super) users: Vec<Sourced<Zeroizing<String>>>,
    pub(super) secrets: Vec<Sourced<Zeroizing<String>>>,
    pub(super) allow_weak_credentials: bool,
    /// Whether tenants will be written beside it.
    pub(super) has_tenants: bool,
    pub(super) cert: Option<Sourced<String>>,
    pub(super) key: Option<Sourced<String>>,
    pub(super) allow: Vec<Sourced<IpNet>>,
    pub(super) deny: Vec<Sourced<IpNet>>,
    /// Keys of other sections by their path, each with its value as TOML.
    pub(super) keys: BTreeMap<&'static str, Sourced<String>>,
    /// Empty: the default ones.
    pub(super) listen: Vec<DraftListen>,
}

impl Draft {
    /// Sets a key in a section, such as `limits.max_lifetime`; the last line wins.
    pub(super) fn set(&mut self, key: &'static str, toml: String, place: Place) {
        self.keys.insert(key, Sourced::at(toml, place));
    }
}

/// An `allowed-peer-ip` or a `denied-peer-ip`.
#[derive(Clone, Debug)]
pub(super) struct PeerRange {
    pub(super) nets: Vec<IpNet>,
    pub(super) place: Place,
}

/// What is collected before it can be put together.
#[derive(Default)]
pub(super) struct Collected {
    pub(super) draft: Draft,
    pub(super) port: Option<u16>,
    pub(super) tls_port: Option<u16>,
    pub(super) alt_port: Option<u16>,
    pub(super) alt_tls_port: Option<u16>,
    pub(super) proxy_port: Option<u16>,
    pub(super) addresses: Vec<IpAddr>,
    pub(super) aux: Vec<SocketAddr>,
    pub(super) no_udp: bool,
    pub(super) no_tcp: bool,
    pub(super) no_tls: bool,
    /// What `dtls` or `no-dtls` says. Without either, coturn up to 4.16 serves DTLS.
    pub(super) dtls: Option<bool>,
    pub(super) external: Vec<Sourced<(IpAddr, Option<IpAddr>)>>,
    pub(super) relay: Vec<Sourced<IpAddr>>,
    pub(super) min_port: Option<Sourced<u16>>,
    pub(super) max_port: Option<Sourced<u16>>,
    pub(super) cpus: Option<Sourced<u64>>,
    pub(super) allowed: Vec<PeerRange>,
    pub(super) denied: Vec<PeerRange>,
    /// Where `allow-loopback-peers` stands, if that is on.
    pub(super) loopback: Option<Place>,
    /// Whether `use-auth-secret` or `static-auth-secret` is there: with them coturn forgets its users.
    pub(super) rest: bool,
    pub(super) databases: Vec<Database>,
    /// The kind whose rows are among the lines.
    pub(super) copied: Option<Copied>,
    /// Whether tenants have credentials.
    pub(super) has_tenants: bool,
    pub(super) sqlite_path: Option<String>,
    /// The names of all options that are there, and whether each is on at the end.
    pub(super) present: BTreeMap<&'static str, bool>,
}

impl Collected {
    /// Whether a switch is there and on.
    pub(super) fn is_on(&self, name: &str) -> bool {
        self.present.get(name) == Some(&true)
    }
}

/// A value, as it is given to the effect of its option.
pub(super) struct Given<'a> {
    /// The key of ours that the table names; empty where it names none.
    pub(super) key: &'static str,
    pub(super) value: &'a str,
    /// Of a switch: whether it is on.
    pub(super) on: bool,
    pub(super) place: Place,
    pub(super) remarks: &'a mut Vec<String>,
}

/// What became of a value; of a bad one the words why.
pub(super) type Judgement = Result<Outcome, String>;

impl Given<'_> {
    pub(super) fn remark(&mut self, text: impl Into<String>) {
        self.remarks.push(text.into());
    }

    /// It sets the key that the table names.
    pub(super) fn taken(&self) -> Judgement {
        taken(self.key)
    }
}

pub(super) fn taken(text: impl Into<String>) -> Judgement {
    Ok(Outcome::Mapped(text.into()))
}

pub(super) fn same(text: impl Into<String>) -> Judgement {
    Ok(Outcome::NotNeeded(text.into()))
}

pub(super) fn lost(text: impl Into<String>) -> Judgement {
    Ok(Outcome::Unsupported(text.into()))
}

/// What comes of all settings together.
pub(super) struct Translated {
    pub(super) draft: Draft,
    pub(super) settings: Vec<Setting>,
    /// What coturn serves without a line for it, and this server does not.
    pub(super) absent: Vec<String>,
    /// Commands that print what databases hold.
    pub(super) commands: Vec<String>,
}
