//! Credentials: those that coturn would use, or an error that says where they may be.

use zeroize::Zeroizing;

use super::super::collected::{Collected, Sourced};
use super::super::databases::Database;
use super::super::place::Place;
use super::super::{Outcome, Setting};
use super::outcomes::{remark, set};

impl Collected {
    /// Returns the commands that print what databases hold, where that matters.
    pub(super) fn put_credentials_together(&mut self, settings: &mut Vec<Setting>) -> Vec<String> {
        let ignored = if self.rest { std::mem::take(&mut self.draft.users) } else { Vec::new() };
        for user in &ignored {
            let text = "coturn ignores static users beside a shared secret. Here both are good: write it to users \
                        in [auth] if it is wanted";
            set(settings, &user.places, Outcome::NotNeeded(text.into()));
        }
        self.keep_the_last_of_each_name(settings);
        let keyed = |user: &&Sourced<Zeroizing<String>>| user.value.contains(":0x");
        if self.draft.realm.is_none()
            && let Some(place) = self.draft.users.iter().find(keyed).and_then(|u| u.places.first())
        {
            remark(
                settings,
                *place,
                "a key (0x...) is good for one realm only, and there is no realm here: coturn takes the domain of \
                 the machine. Set realm to it",
            );
        }
        let none = self.draft.users.is_empty() && self.draft.secrets.is_empty();
        // Where one is wrong, that is said already.
        let is_wrong = |setting: &Setting| {
            ["user", "static-auth-secret"].contains(&setting.option.as_str())
                && matches!(setting.outcome, Outcome::Error(_))
        };
        if none && !self.has_tenants && !settings.iter().any(is_wrong) {
            settings.push(Setting {
                place: Place::Nowhere,
                option: String::new(),
                outcome: Outcome::Error(self.where_credentials_may_be(!ignored.is_empty())),
                remarks: Vec::new(),
            });
        }
        let mut databases = self.databases.clone();
        // Where nothing else is configured, coturn looks into its file.
        if databases.is_empty() && none && self.copied.is_none() {
            databases.push(Database::Sqlite);
        }
        let realm = self.draft.realm.as_ref().map(|realm| realm.value.as_str());
        databases
            .iter()
            .flat_map(|database| database.commands(self.sqlite_path.as_deref(), realm))
            .collect()
    }

    /// The last of a name wins; our users are unique.
    fn keep_the_last_of_each_name(&mut self, settings: &mut [Setting]) {
        let name = |user: &Sourced<Zeroizing<String>>| {
            user.value.split_once(':').map_or("", |(name, _)| name).to_owned()
        };
        let users = std::mem::take(&mut self.draft.users);
        for (at, user) in users.iter().enumerate() {
            if users.iter().skip(at + 1).any(|later| name(later) == name(user)) {
                let text = "a later line has the same user, and wins";
                set(settings, &user.places, Outcome::NotNeeded(text.into()));
            } else {
                self.draft.users.push(user.clone());
            }
        }
    }

    fn where_credentials_may_be(&self, users_are_ignored: bool) -> String {
        let kind = self.databases.first().copied().unwrap_or(Database::Sqlite);
        let database = match (self.copied, kind.copy(self.sqlite_path.as_deref())) {
            (Some(_), _) => {
                "in another database than that of --db, or under another realm in it".to_owned()
            }
            (None, Some(how)) => format!("in a database ({}: add {how})", kind.name()),
            (None, None) => format!("in a database ({})", kind.name()),
        };
        if self.rest {
            let users = match users_are_ignored {
                true => {
                    " (coturn ignores user= beside use-auth-secret; if the users are what clients have, take \
                         use-auth-secret out)"
                }
                false => "",
            };
            return format!(
                "there is no shared secret here{users}: the server would make one of its own, and refuse everybody. It \
                 is on coturn's command line (look for --static-auth-secret in its systemd unit or Compose file: \
                 --coturn-args '...', --compose FILE), or {database}. Or add it to a copy of the file, as \
                 static-auth-secret=SECRET"
            );
        }
        if self.is_on("lt-cred-mech") || !self.databases.is_empty() || self.is_on("oauth") {
            return format!(
                "there are no users here: the server would make a secret of its own, and refuse everybody. They are \
                 on coturn's command line (look for --user or -u in its systemd unit or Compose file: \
                 --coturn-args '...', --compose FILE), or {database}. Or add them to a copy of the file, as \
                 user=NAME:0xKEY"
            );
        }
        "there is no credential here. If coturn has options on its command line, import them too: --coturn-args \
         '...' or --compose FILE. If not, it serves everybody; this server does not: add \
         static-auth-secret=SECRET to a copy of the file, and the same secret to the homeserver (openssl rand -hex \
         24 makes one)"
            .to_owned()
    }

    pub(super) fn put_certificate_together(&mut self, settings: &mut [Setting]) {
        let (cert, key) = (self.draft.cert.take(), self.draft.key.take());
        match (cert, key) {
            (Some(cert), Some(key)) => {
                self.draft.cert = Some(cert);
                self.draft.key = Some(key);
            }
            (Some(alone), None) => {
                let text = "a certificate without its key (pkey)";
                set(settings, &alone.places, Outcome::Error(text.into()));
            }
            (None, Some(alone)) => {
                let text = "a key without its certificate (cert)";
                set(settings, &alone.places, Outcome::Error(text.into()));
            }
            (None, None) => {}
        }
    }
}
