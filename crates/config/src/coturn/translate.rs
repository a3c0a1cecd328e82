//! Settings of coturn's, one after the other, into a [`Draft`] of ours.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;
use zeroize::Zeroizing;

use taciturn_turn::policy::built_in_rule;

use super::grammar::{self, Line};
use super::options::{self, CoturnOption, Fate, Takes};
use super::places;
use super::{Outcome, Setting};
use crate::address::is_placeholder;
use crate::read::show_duration;
use crate::schema::nearest;

/// A value and the lines it comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sourced<T> {
    pub(super) value: T,
    pub(super) lines: Vec<usize>,
}

impl<T> Sourced<T> {
    pub(super) fn line(value: T, line: usize) -> Self {
        Self { value, lines: vec![line] }
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
    fn set(&mut self, key: &'static str, toml: String, line: usize) {
        self.keys.insert(key, Sourced::line(toml, line));
    }
}

/// What is collected before it can be put together.
#[derive(Default)]
pub(super) struct Collected {
    pub(super) draft: Draft,
    pub(super) port: Option<u16>,
    pub(super) tls_port: Option<u16>,
    pub(super) proxy_port: Option<u16>,
    pub(super) addresses: Vec<IpAddr>,
    pub(super) aux: Vec<SocketAddr>,
    pub(super) no_udp: bool,
    pub(super) no_tcp: bool,
    pub(super) no_tls: bool,
    pub(super) dtls: bool,
    pub(super) external: Vec<Sourced<(IpAddr, Option<IpAddr>)>>,
    pub(super) relay: Vec<Sourced<IpAddr>>,
    pub(super) min_port: Option<Sourced<u16>>,
    pub(super) max_port: Option<Sourced<u16>>,
    pub(super) cpus: Option<Sourced<u64>>,
    /// Lines of `use-auth-secret` and `static-auth-secret`: with them coturn forgets its users.
    pub(super) rest: Vec<usize>,
}

/// Values of the option, of a bad one the words why.
type Judgement = Result<Outcome, String>;

/// Reads the whole of a turnserver.conf.
pub(super) fn translate(text: &str) -> (Draft, Vec<Setting>) {
    let mut collected = Collected::default();
    let mut settings: Vec<Setting> = Vec::new();
    for line in grammar::lines(text) {
        let mut setting = Setting {
            line: line.number,
            option: line.name.clone(),
            outcome: Outcome::Unknown(String::new()),
            remarks: Vec::new(),
        };
        if line.too_long {
            setting.remarks.push(
                "the line is longer than 1023 bytes; coturn takes the rest for a line of its own"
                    .into(),
            );
        }
        match options::find(&line.name) {
            Some(option) => {
                setting.outcome = judge(&mut collected, option, &line, &mut setting.remarks);
            }
            None => (setting.option, setting.outcome) = unknown(&line.name),
        }
        settings.push(setting);
    }
    let draft = collected.finish(&mut settings);
    (draft, settings)
}

/// The name and what to say of it. A name that does not look like an option's is not shown: it may
/// be a secret on a line of its own.
fn unknown(name: &str) -> (String, Outcome) {
    let plain = name.trim_start_matches('-').to_ascii_lowercase().replace('_', "-");
    let near = if plain.len() <= 60 { nearest(&plain, options::names()) } else { None };
    let words = match near {
        Some(near) => format!("coturn has no such option and ignores the line; {near} was meant?"),
        None => "coturn has no such option and ignores the line".to_owned(),
    };
    let harmless = name.len() <= 40 && name.chars().all(|c| c.is_ascii_lowercase() || c == '-');
    let shown = if harmless || near.is_some() { name.to_owned() } else { String::new() };
    (shown, Outcome::Unknown(words))
}

fn judge(
    collected: &mut Collected,
    option: &CoturnOption,
    line: &Line,
    remarks: &mut Vec<String>,
) -> Outcome {
    let (value, taken_off) = match option.takes {
        Takes::Secret => (line.value.as_str(), None),
        _ => grammar::trimmed(&line.value),
    };
    if let Some(what) = taken_off {
        remarks.push(format!("{what} is left out; coturn takes it for a part of the value"));
    }
    if option.takes == Takes::Secret && matches!(option.fate, Fate::Mapped(_)) {
        let odd = ["\\", " #", "\t#"].iter().any(|odd| value.contains(odd)) || value.ends_with(';');
        if odd {
            remarks.push(
                "the value holds a backslash, a semicolon at its end or a # behind a blank: it is \
                 taken as it stands, as coturn takes it"
                    .into(),
            );
        }
    }
    let mut on = true;
    if option.takes == Takes::Switch {
        match grammar::switch(value) {
            Ok(switch) => on = switch,
            Err(why) => return Outcome::Error(format!("{why}; coturn does not start with it")),
        }
    }
    let fate = match (on, option.off, option.fate) {
        // Those tell on from off themselves.
        (_, _, Fate::Mapped(_) | Fate::Judged(_)) | (true, ..) => option.fate,
        (false, Some(off), _) => off,
        (false, None, _) => Fate::NotNeeded("off, as it is here"),
    };
    match fate {
        Fate::NotNeeded(why) => Outcome::NotNeeded(why.into()),
        Fate::Unsupported(instead) => Outcome::Unsupported(instead.into()),
        Fate::Refused(why) => Outcome::Error(why.into()),
        Fate::Mapped(key) | Fate::Judged(key) => {
            let name = option.names.first().copied().unwrap_or_default();
            let judged = collected.take(name, key, value, on, line.number, remarks);
            judged.unwrap_or_else(Outcome::Error)
        }
    }
}

fn mapped(text: impl Into<String>) -> Judgement {
    Ok(Outcome::Mapped(text.into()))
}

fn not_needed(text: impl Into<String>) -> Judgement {
    Ok(Outcome::NotNeeded(text.into()))
}

fn unsupported(text: impl Into<String>) -> Judgement {
    Ok(Outcome::Unsupported(text.into()))
}

fn port(value: &str) -> Result<u16, String> {
    grammar::number(value)
        .and_then(|number| u16::try_from(number).ok())
        .ok_or_else(|| format!("\"{value}\" is no port, 0 to 65535"))
}

fn duration(seconds: u64) -> String {
    format!("\"{}\"", show_duration(Duration::from_secs(seconds)))
}

fn number(value: &str) -> Result<u64, String> {
    grammar::number(value).ok_or_else(|| format!("\"{value}\" is no number"))
}

impl Collected {
    /// Takes one value of an option that is mapped, or judged by its value.
    fn take(
        &mut self,
        name: &str,
        key: &'static str,
        value: &str,
        on: bool,
        line: usize,
        remarks: &mut Vec<String>,
    ) -> Judgement {
        let draft = &mut self.draft;
        match name {
            "listening-port" => self.port = Some(port(value)?),
            "tls-listening-port" => self.tls_port = Some(port(value)?),
            "tcp-proxy-port" => {
                self.proxy_port = Some(port(value)?);
                remarks.push(
                    "coturn believes the PROXY header of anybody; here trusted_proxies says whose. \
                     The private networks are written: leave only your proxy"
                        .into(),
                );
            }
            "listening-ip" => match value {
                "" => self.addresses.push(Ipv4Addr::UNSPECIFIED.into()),
                _ => self.addresses.push(places::ip(value)?),
            },
            "aux-server" => self.aux.push(places::ip_port(value)?),
            "no-udp" => self.no_udp = on,
            "no-tcp" => self.no_tcp = on,
            "no-tls" => self.no_tls = on,
            "dtls" => self.dtls = on,
            "relay-ip" => self.relay.push(Sourced::line(places::ip(value)?, line)),
            "external-ip" => return self.external_ip(value, line, remarks),
            "min-port" => self.min_port = Some(Sourced::line(port(value)?, line)),
            "max-port" => self.max_port = Some(Sourced::line(port(value)?, line)),
            "relay-threads" => {
                let threads = number(value)?;
                if threads == 0 {
                    remarks.push("0 is a single thread to coturn, and so it is written".into());
                }
                draft.workers = Some(Sourced::line(threads.clamp(1, 128), line));
            }
            "cpus" => self.cpus = Some(Sourced::line(number(value)?.clamp(1, 128), line)),
            "static-auth-secret" => {
                if value.is_empty() {
                    return Err("the secret is empty".into());
                }
                self.rest.push(line);
                draft.secrets.push(Sourced::line(Zeroizing::new(value.to_owned()), line));
            }
            "rest-api-separator" if value.is_empty() || value == ":" => {
                return not_needed("a colon is what stands between time and name here");
            }
            "rest-api-separator" => {
                return unsupported("a colon stands between time and name here, as Synapse has it");
            }
            "user" => {
                if value.split_once(':').is_none_or(|(name, _)| name.is_empty()) {
                    return Err("it is not NAME:PASSWORD".into());
                }
                draft.users.push(Sourced::line(Zeroizing::new(value.to_owned()), line));
            }
            "realm" if value.is_empty() => return not_needed("it is empty"),
            "realm" => draft.realm = Some(Sourced::line(value.to_owned(), line)),
            "stale-nonce" => {
                let seconds = if value.is_empty() { 600 } else { number(value)? };
                let lifetime = seconds.clamp(10, 86400);
                if seconds == 0 {
                    remarks.push(
                        "0 is \"for ever\" to coturn; here a nonce lives a day at most".into(),
                    );
                    draft.set(key, duration(86400), line);
                    return mapped(key);
                }
                if seconds != lifetime {
                    remarks.push(format!("{seconds} is out of bounds here; {lifetime} is written"));
                }
                draft.set(key, duration(lifetime), line);
            }
            "max-allocate-lifetime" => {
                let seconds = if value.is_empty() { 3600 } else { number(value)? };
                let lifetime = seconds.clamp(600, 86400);
                if seconds != lifetime {
                    remarks.push(format!("{seconds} is out of bounds here; {lifetime} is written"));
                }
                draft.set(key, duration(lifetime), line);
            }
            "user-quota" => match number(value)? {
                0 => {
                    return not_needed(
                        "0 is no bound to coturn; here 200 for a user are the default, which is \
                         enough for several calls",
                    );
                }
                quota => {
                    if quota < 100 {
                        remarks.push(format!(
                            "{quota} allocations for a user are few: Element Web makes 20 for each \
                             line of turn_uris while it rings. Remove it, and 200 are the default"
                        ));
                    }
                    draft.set(key, quota.min(1_000_000).to_string(), line);
                }
            },
            "total-quota" => match number(value)? {
                0 => return not_needed("0 is no bound; the number of relay_ports is one"),
                quota => draft.set(key, quota.min(1_000_000).to_string(), line),
            },
            "max-bps" | "bps-capacity" => match number(value)? {
                0 => return not_needed("0 is no bound, and there is none here by default"),
                rate => {
                    if name == "bps-capacity" {
                        remarks.push(
                            "coturn refuses calls for which no share is left; here all are served, \
                             and packets beyond it are dropped"
                                .into(),
                        );
                    }
                    draft.set(key, rate.min(1_000_000_000).to_string(), line);
                }
            },
            "channel-lifetime" | "permission-lifetime" => {
                let usual = if name == "channel-lifetime" { 600 } else { 300 };
                return match if value.is_empty() { usual } else { number(value)? } {
                    seconds if seconds == usual => not_needed("it is the RFC's time"),
                    _ => unsupported(format!("it is {usual} s here, as RFC 8656 has it")),
                };
            }
            "allowed-peer-ip" => return self.peers(true, value, line, remarks),
            "denied-peer-ip" => return self.peers(false, value, line, remarks),
            "allow-loopback-peers" if !on => return not_needed("loopback is denied"),
            "allow-loopback-peers" => {
                remarks.push(
                    "whoever has a credential reaches every service on this machine's loopback \
                     addresses; for tests only"
                        .into(),
                );
                let loopback = ["127.0.0.0/8", "::1/128"];
                let nets = loopback.iter().filter_map(|net| net.parse().ok());
                draft.allow.extend(nets.map(|net| Sourced::line(net, line)));
            }
            "cert" => draft.cert = Some(Sourced::line(file(value)?, line)),
            "pkey" => draft.key = Some(Sourced::line(file(value)?, line)),
            "log-file" => {
                return match value {
                    "stdout" | "-" | "syslog" => not_needed(
                        "the log goes to standard error, where journald and Docker read it",
                    ),
                    _ => unsupported(
                        "the server writes no log file: `journalctl -u taciturn`, `docker logs`, or \
                         redirect standard error",
                    ),
                };
            }
            "rfc5766-channel-numbers"
            | "rfc3489-compatibility"
            | "mobility"
            | "software-attribute" => draft.set(key, on.to_string(), line),
            "no-software-attribute" => draft.set(key, (!on).to_string(), line),
            "allocation-default-address-family" if value == "ipv4" => {
                return not_needed("IPv4 is what a client gets that does not ask for a family");
            }
            "allocation-default-address-family" => {
                return unsupported(
                    "a client that does not ask for a family gets IPv4, as RFC 8656 has it",
                );
            }
            _ => return Err("this option is not handled; please report it".into()),
        }
        mapped(key)
    }

    fn external_ip(&mut self, value: &str, line: usize, remarks: &mut Vec<String>) -> Judgement {
        let (public, private) = value
            .split_once('/')
            .map_or((value, None), |(public, private)| (public, Some(private)));
        let taken = places::ip(public)
            .and_then(|public| Ok((public, private.map(places::ip).transpose()?)));
        let (public, private) = match taken {
            Ok(taken) => taken,
            // coturn starts with neither; and without, the address is found.
            Err(why) => {
                return unsupported(format!(
                    "{why}: left out, and the server looks for its address itself; see external_ip"
                ));
            }
        };
        if private.is_some_and(|private| private.is_ipv4() != public.is_ipv4()) {
            return Err("the two addresses are of different families".into());
        }
        if self.external.iter().any(|other| other.value.0.is_ipv4() == public.is_ipv4()) {
            return unsupported(
                "relayed addresses are on one address of each family here; the first is taken",
            );
        }
        if private.is_none() && !self.external.is_empty() {
            remarks.push("coturn ignores the second plain external-ip; here both are used".into());
        }
        self.external.push(Sourced::line((public, private), line));
        mapped("external_ip")
    }

    fn peers(
        &mut self,
        allow: bool,
        value: &str,
        line: usize,
        remarks: &mut Vec<String>,
    ) -> Judgement {
        let nets = places::networks(value)?;
        if value.contains('/') {
            remarks
                .push("coturn does not take networks with a prefix length; here it is one".into());
        }
        if allow {
            if nets.iter().any(places::never_allowed) {
                return unsupported(
                    "coturn never relays to it, whatever this line says; peers.allow would. Write \
                     it by hand if it is meant",
                );
            }
            if nets.iter().any(|net| built_in_rule(net).is_some()) {
                remarks.push(
                    "if this is the server's own address, remove it from peers.allow: calls between \
                     two clients of this server need no rule"
                        .into(),
                );
            }
            self.draft.allow.extend(nets.into_iter().map(|net| Sourced::line(net, line)));
            return mapped("peers.allow");
        }
        if nets.iter().any(|net| net.prefix_len() == 0) {
            remarks.push("this denies every peer, as it does in coturn".into());
        }
        let rules: Vec<_> = nets.iter().filter_map(built_in_rule).collect();
        if rules.len() == nets.len() {
            return not_needed(match rules.first() {
                Some(rule) => format!("a built-in rule denies it: {rule}"),
                None => "it is empty".to_owned(),
            });
        }
        let open = nets.into_iter().filter(|net| built_in_rule(net).is_none());
        self.draft.deny.extend(open.map(|net| Sourced::line(net, line)));
        mapped("peers.deny")
    }
}

fn file(value: &str) -> Result<String, String> {
    match value {
        "" => Err("the path is empty".into()),
        _ if is_placeholder(value) => Err(format!("\"{value}\" is a placeholder")),
        _ => Ok(value.to_owned()),
    }
}
