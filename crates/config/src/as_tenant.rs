//! A configuration as the clients of one tenant see it, for those who make settings and credentials for them.

use taciturn_turn::TenantName;

use super::config::Config;

/// There is no such tenant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no tenant \"{name}\"; {}", listed(.known))]
pub struct NoTenant {
    name: String,
    known: Vec<String>,
}

fn listed(known: &[String]) -> String {
    match known {
        [] => "the configuration has no section [[tenant]]".to_owned(),
        known => format!("there are: {}", known.join(", ")),
    }
}

impl Config {
    /// The configuration as the clients of the tenant of this name see it: with its users and secrets, its realm, and
    /// the name that they have to ask for. `default` is the server itself.
    ///
    /// # Errors
    /// If there is none of that name.
    pub fn as_tenant(self, name: &str) -> Result<Self, NoTenant> {
        if name == TenantName::DEFAULT {
            return Ok(self);
        }
        let Some(tenant) = self.tenants.iter().find(|tenant| tenant.name.name() == Some(name))
        else {
            let known = self.tenants.iter().map(|tenant| tenant.name.to_string()).collect();
            return Err(NoTenant { name: name.to_owned(), known });
        };
        let tenant = tenant.clone();
        let mut config = self;
        config.auth.users = tenant.users;
        config.auth.secrets = tenant.secrets;
        config.ice.tokens = tenant.ice_tokens;
        config.realm = tenant.realm;
        config.host = tenant.server_names.into_iter().next().or(config.host);
        config.limits = tenant.limits;
        config.peers = tenant.peers;
        config.relay_ports = tenant.relay_ports.unwrap_or(config.relay_ports);
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clients_of_a_tenant_see_its_secret_and_the_name_that_leads_to_it() {
        let toml = r#"
            realm = "turn.domain.org"
            auth.secrets = ["a secret of the server"]
            [[tenant]]
            name = "acme"
            secrets = ["a secret of acme, and long"]
            [[tenant]]
            name = "beta"
            realm = "beta"
            server_names = ["turn.beta.example"]
            users = ["alice:correct horse"]
        "#;
        let config = Config::from_toml(toml).unwrap().config;
        let secret =
            |config: &Config| config.auth.secrets.first().map(|s| s.secret.expose().to_vec());
        let acme = config.clone().as_tenant("acme").unwrap();
        assert_eq!(secret(&acme).as_deref(), Some(&b"a secret of acme, and long"[..]));
        assert_eq!((acme.realm.as_str(), acme.host), ("turn.domain.org", None));
        let beta = config.clone().as_tenant("beta").unwrap();
        assert_eq!((secret(&beta), beta.realm.as_str()), (None, "beta"));
        assert_eq!(beta.host.as_deref(), Some("turn.beta.example"));
        let own = config.clone().as_tenant("default").unwrap();
        assert_eq!(secret(&own).as_deref(), Some(&b"a secret of the server"[..]));
        let error = config.as_tenant("gamma").unwrap_err().to_string();
        assert_eq!(error, "there is no tenant \"gamma\"; there are: acme, beta");
    }
}
