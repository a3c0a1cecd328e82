//! What tenants may not have in common with each other, or with the server itself.

use taciturn_turn::TenantName;
use taciturn_turn::auth::{LongTermKey, PasswordAlgorithm, StaticUser};
use taciturn_turn::policy::PortRange;

use super::read::Reader;
use super::secret::Secret;
use super::tenant::{ReadTenant, Server, Tenant};

/// Refuses what cannot be told from what another tenant has, or the server itself.
pub(super) fn refuse_collisions(
    reader: &mut Reader<'_>,
    server: &Server<'_>,
    before: &[ReadTenant],
    new: &ReadTenant,
) {
    let ReadTenant { tenant, at, settings, key } = new;
    let place = |name: &str| settings.get(name).map_or(at, |node| &node.origin);
    let findings = &mut *reader.findings;
    if before.iter().any(|other| other.tenant.name == tenant.name) {
        let message = format!("another tenant is called \"{}\"", tenant.name);
        findings.error(
            place("tenant.name"),
            format!("{key}.name"),
            message,
            "give each a name of its own",
        );
    }
    let others = before.iter().map(|other| {
        let Tenant { name, realm, users, secrets, .. } = &other.tenant;
        (format!("tenant \"{name}\""), realm.as_str(), users, secrets)
    });
    let own = ("[auth]".to_owned(), server.realm, &server.auth.users, &server.auth.secrets);
    for (whose, realm, users, secrets) in others.chain([own]) {
        let has = |secret: &Secret| {
            secrets.iter().any(|other| other.secret.expose() == secret.secret.expose())
        };
        if tenant.secrets.iter().any(has) {
            let from = ["auth.secrets", "auth.secret_files"];
            let from = from.into_iter().find(|name| settings.contains_key(*name));
            let message = format!(
                "a secret of it is also one of {whose}: it could not be told whose a login is"
            );
            let help = "give each a secret of its own: openssl rand -hex 24";
            let name = from.unwrap_or("auth.secrets").trim_start_matches("auth.");
            findings.error(place(from.unwrap_or_default()), format!("{key}.{name}"), message, help);
        }
        let md5 = |user: &StaticUser| user.long_term_key(PasswordAlgorithm::Md5, realm);
        let same = |user: &&StaticUser| {
            let key = md5(user);
            let is_same = |other: &StaticUser| {
                let (one, other) = (key.as_ref(), md5(other));
                one.map(LongTermKey::bytes) == other.as_ref().map(LongTermKey::bytes)
            };
            users.iter().any(|other| other.name == user.name && is_same(other))
        };
        if realm == tenant.realm
            && let Some(user) = tenant.users.iter().find(same)
        {
            let message = format!(
                "user {} has the same password in {whose}, and the same realm: it could not be told whose a \
                 login is",
                user.name
            );
            let help = "give one of them another password";
            findings.error(place("auth.users"), format!("{key}.users"), message, help);
        }
    }
    for other in
        before.iter().map(|other| &other.tenant).filter(|other| other.realm != tenant.realm)
    {
        if let Some(name) =
            tenant.server_names.iter().find(|name| other.server_names.contains(name))
        {
            let message =
                format!("\"{name}\" is one of tenant \"{}\", which has another realm", other.name);
            let help = "write a name that leads to this realm alone";
            findings.error(
                place("tenant.server_names"),
                format!("{key}.server_names"),
                message,
                help,
            );
        }
    }
}

/// Refuses ports that are not to be had, are another tenant's, or leave none for others.
pub(super) fn refuse_ports_of_others(
    reader: &mut Reader<'_>,
    server: &Server<'_>,
    all: &[ReadTenant],
) {
    let whole = server.relay_ports;
    let mut taken: Vec<(PortRange, &TenantName)> = Vec::new();
    for ReadTenant { tenant, at, settings, key } in all {
        let Some(range) = tenant.relay_ports else { continue };
        let origin = settings.get("relay_ports").map_or(at, |node| &node.origin);
        // What cannot be read has been reported.
        if reader.findings.has_error_at(origin) {
            continue;
        }
        let key = format!("{key}.relay_ports");
        let overlaps = |(other, _): &&(PortRange, &TenantName)| {
            range.first() <= other.last() && other.first() <= range.last()
        };
        if !whole.contains(range.first()) || !whole.contains(range.last()) {
            let message = format!("{range} is not within the relay_ports of the server, {whole}");
            let help =
                format!("write a part of {whole}, or widen relay_ports at the top of the file");
            reader.findings.error(origin, key, message, help);
        } else if let Some((other, name)) = taken.iter().find(overlaps) {
            let message =
                format!("{range} overlaps {other}, which tenant \"{name}\" has for itself");
            reader.findings.error(origin, key, message, "write ports that no other tenant has");
        } else {
            taken.push((range, &tenant.name));
        }
    }
    let left = whole.len() - taken.iter().map(|(range, _)| range.len()).sum::<u32>();
    let has_own = !server.auth.users.is_empty() || !server.auth.secrets.is_empty();
    let without = all.iter().find(|read| read.tenant.relay_ports.is_none());
    let who = match without {
        Some(read) => Some(format!("tenant \"{}\"", read.tenant.name)),
        None => has_own.then(|| "the users of [auth]".to_owned()),
    };
    if left == 0
        && let Some(who) = who
    {
        let message = format!(
            "the tenants have all of {whole} for themselves: {who} would have no relay port"
        );
        let help = "leave some of relay_ports to them, or widen relay_ports at the top of the file";
        reader.findings.error(&reader.origin("tenant"), "tenant", message, help);
    }
}
