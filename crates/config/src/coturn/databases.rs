//! coturn's databases, and the commands that print what they hold as this server takes it.
//!
//! The tables are those of coturn's schema.sql; Redis and MongoDB have the same by other names.

use super::copied::Copied;

/// The kinds that coturn knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Database {
    Sqlite,
    Postgres,
    MySql,
    Mongo,
    Redis,
}

/// Where coturn looks for SQLite's file, in Debian and elsewhere.
const SQLITE_FILE: &str = "/var/lib/turn/turndb";

impl Database {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "SQLite",
            Self::Postgres => "PostgreSQL",
            Self::MySql => "MySQL",
            Self::Mongo => "MongoDB",
            Self::Redis => "Redis",
        }
    }

    /// Whether it is of that kind.
    pub(super) fn is(self, copied: Copied) -> bool {
        match copied {
            Copied::Sqlite => self == Self::Sqlite,
            Copied::Postgres => self == Self::Postgres,
        }
    }

    /// What the import needs to copy it, if it can: the option, and what belongs into it. `path` is SQLite's file.
    pub(super) fn copy(self, path: Option<&str>) -> Option<String> {
        match self {
            Self::Sqlite => Some(format!("--db {}", quoted(path.unwrap_or(SQLITE_FILE)))),
            Self::Postgres => Some(
                "--db -, which reads postgres://ROLE:PASSWORD@HOST/DATABASE from standard input (user, password, host \
                 and dbname of psql-userdb)"
                    .to_owned(),
            ),
            Self::MySql | Self::Mongo | Self::Redis => None,
        }
    }

    /// Commands, a line each, under what they print. `path` is SQLite's file. Without a realm those of all realms
    /// are printed: coturn uses those of its own alone.
    pub(super) fn commands(self, path: Option<&str>, realm: Option<&str>) -> Vec<String> {
        let of_realm = realm.map(|realm| format!(" WHERE realm = '{}'", realm.replace('\'', "''")));
        let of_realm = of_realm.unwrap_or_default();
        let sql = |concat: &str| {
            [
                ("users", format!("SELECT {concat} FROM turnusers_lt{of_realm}")),
                ("secrets", format!("SELECT value FROM turn_secret{of_realm}")),
                ("peers.deny", "SELECT ip_range FROM denied_peer_ip".to_owned()),
            ]
        };
        let joined = "name || ':0x' || hmackey";
        let commands: Vec<(&str, String)> = match self {
            Self::Sqlite => {
                let path = quoted(path.unwrap_or(SQLITE_FILE));
                let query = |(what, sql)| (what, format!("sqlite3 {path} {}", quoted(sql)));
                sql(joined).iter().map(|(what, sql)| query((*what, sql))).collect()
            }
            Self::Postgres => {
                let query =
                    |(what, sql)| (what, format!("psql -At \"$CONNECTION\" -c {}", quoted(sql)));
                sql(joined).iter().map(|(what, sql)| query((*what, sql))).collect()
            }
            Self::MySql => {
                let query = |(what, sql)| {
                    (what, format!("mysql -h HOST -u USER -p -N -B DATABASE -e {}", quoted(sql)))
                };
                let concat = "CONCAT(name, ':0x', hmackey)";
                sql(concat).iter().map(|(what, sql)| query((*what, sql))).collect()
            }
            Self::Mongo => {
                let filter = realm.map_or_else(String::new, |realm| {
                    format!("realm: \"{}\"", realm.replace(['"', '\\'], ""))
                });
                let eval =
                    |js: &str| format!("mongosh --quiet \"$CONNECTION\" --eval {}", quoted(js));
                vec![
                    (
                        "users",
                        eval(&format!(
                            "db.turnusers_lt.find({{{filter}}}).forEach(u => print(u.name + \":0x\" + u.hmackey))"
                        )),
                    ),
                    (
                        "secrets",
                        eval(&format!(
                            "db.turn_secret.find({{{filter}}}).forEach(s => print(s.value))"
                        )),
                    ),
                    (
                        "peers.deny",
                        eval(
                            "db.realm.find().forEach(r => (r.denied_peer_ip || []).forEach(p => print(p)))",
                        ),
                    ),
                ]
            }
            Self::Redis => {
                let realm = realm.map(quoted).unwrap_or_else(|| "REALM".to_owned());
                vec![
                    (
                        "users",
                        format!(
                            "R={realm}; redis-cli --scan --pattern \"turn/realm/$R/user/*/key\" | while read -r k; \
                             do u=${{k#turn/realm/$R/user/}}; echo \"${{u%/key}}:0x$(redis-cli get \"$k\" </dev/null)\"; done"
                        ),
                    ),
                    ("secrets", format!("R={realm}; redis-cli smembers \"turn/realm/$R/secret\"")),
                    (
                        "peers.deny",
                        format!("R={realm}; redis-cli smembers \"turn/realm/$R/denied-peer-ip\""),
                    ),
                ]
            }
        };
        let mut lines = vec![match self {
            Self::Sqlite => "What SQLite holds:".to_owned(),
            Self::Postgres => {
                "What PostgreSQL holds ($CONNECTION is the value of psql-userdb):".to_owned()
            }
            Self::MySql => {
                "What MySQL holds (HOST, USER and DATABASE are those of mysql-userdb):".to_owned()
            }
            Self::Mongo => {
                "What MongoDB holds ($CONNECTION is the value of mongo-userdb):".to_owned()
            }
            Self::Redis => {
                "What Redis holds (add -h, -p, -n and -a to redis-cli as redis-userdb has them):"
                    .to_owned()
            }
        }];
        for (what, command) in commands {
            let form = match what {
                "users" => "for users in [auth], as NAME:0xKEY",
                "secrets" => "for secrets in [auth]",
                _ => "for deny in [peers]",
            };
            lines.push(format!("  {form}:"));
            lines.push(format!("    {command}"));
        }
        lines
    }
}

/// For a shell.
fn quoted(text: impl AsRef<str>) -> String {
    let text = text.as_ref();
    if !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c)) {
        return text.to_owned();
    }
    if text.contains('\'') && !text.contains(['"', '$', '`', '\\', '!']) {
        return format!("\"{text}\"");
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Database; 5] =
        [Database::Sqlite, Database::Postgres, Database::MySql, Database::Mongo, Database::Redis];

    #[test]
    fn each_kind_has_commands_for_users_with_keys_for_secrets_and_for_denied_peers() {
        for kind in ALL {
            for realm in [None, Some("turn.example.org")] {
                let text = kind.commands(None, realm).join("\n");
                assert!(text.starts_with(&format!("What {} holds", kind.name())), "{text}");
                for part in
                    ["0x", "secret", "denied", "for users in", "for secrets in", "for deny in"]
                {
                    assert!(text.contains(part), "{kind:?}: {part}: {text}");
                }
                assert_eq!(realm.is_some(), text.contains("turn.example.org"), "{text}");
            }
        }
    }

    #[test]
    fn names_cannot_leave_their_quotes() {
        let text = Database::Sqlite.commands(Some("/tmp/it's"), Some("o'r")).join("\n");
        assert!(text.contains(r#"sqlite3 "/tmp/it's" "SELECT"#), "{text}");
        assert!(text.contains("realm = 'o''r'"), "{text}");
        let text = Database::Sqlite.commands(Some("/tmp/$(x)"), Some("`r`")).join("\n");
        assert!(text.contains(r"sqlite3 '/tmp/$(x)' 'SELECT"), "{text}");
        assert!(text.contains(r"realm = '\''`r`'\'''"), "{text}");
    }
}
