//! Secrets, users, the realm, and the databases that may hold them.

use zeroize::Zeroizing;

use super::super::collected::{Collected, Given, Judgement, Sourced, lost, same};
use super::super::databases::Database;

pub(in super::super) fn use_secret(collected: &mut Collected, _: &mut Given<'_>) -> Judgement {
    collected.rest = true;
    same("shared secrets are good as soon as there is one")
}

pub(in super::super) fn secret(collected: &mut Collected, given: &mut Given<'_>) -> Judgement {
    if given.value.is_empty() {
        return Err("the secret is empty".into());
    }
    collected.rest = true;
    let secret = Zeroizing::new(given.value.to_owned());
    collected.draft.secrets.push(Sourced::at(secret, given.place));
    given.taken()
}

pub(in super::super) fn separator(_: &mut Collected, given: &mut Given<'_>) -> Judgement {
    match given.value {
        "" | ":" => same("a colon is what stands between time and name here"),
        _ => lost(
            "a colon stands between time and name here, as Synapse has it: names with another sign are refused. \
             Change it where the credentials are made",
        ),
    }
}

pub(in super::super) fn user(collected: &mut Collected, given: &mut Given<'_>) -> Judgement {
    if given.value.split_once(':').is_none_or(|(name, _)| name.is_empty()) {
        return Err("it is not NAME:PASSWORD".into());
    }
    let user = Zeroizing::new(given.value.to_owned());
    collected.draft.users.push(Sourced::at(user, given.place));
    given.taken()
}

pub(in super::super) fn realm(collected: &mut Collected, given: &mut Given<'_>) -> Judgement {
    if given.value.is_empty() {
        return same("it is empty");
    }
    collected.draft.realm = Some(Sourced::at(given.value.to_owned(), given.place));
    given.taken()
}

pub(in super::super) fn sqlite(collected: &mut Collected, given: &mut Given<'_>) -> Judgement {
    // It is shown: a connection string of another database, misplaced, must not be.
    if given.value.starts_with(['/', '.']) && !given.value.contains(['=', '@', ' ']) {
        collected.sqlite_path = Some(given.value.to_owned());
    }
    database(collected, Database::Sqlite)
}

pub(in super::super) fn postgres(collected: &mut Collected, _: &mut Given<'_>) -> Judgement {
    database(collected, Database::Postgres)
}

pub(in super::super) fn mysql(collected: &mut Collected, _: &mut Given<'_>) -> Judgement {
    database(collected, Database::MySql)
}

pub(in super::super) fn mongo(collected: &mut Collected, _: &mut Given<'_>) -> Judgement {
    database(collected, Database::Mongo)
}

pub(in super::super) fn redis(collected: &mut Collected, _: &mut Given<'_>) -> Judgement {
    database(collected, Database::Redis)
}

fn database(collected: &mut Collected, database: Database) -> Judgement {
    if collected.copied.is_some_and(|copied| database.is(copied)) {
        return same(
            "what it holds now is copied by --db. To have the server read it all the time, see docs/databases.md",
        );
    }
    if !collected.databases.contains(&database) {
        collected.databases.push(database);
    }
    let how = match database.copy(collected.sqlite_path.as_deref()) {
        Some(how) => format!("turnctl import-coturn copies all of it: add {how}. By hand, the"),
        None => "The".to_owned(),
    };
    lost(format!(
        "{} is not read: users and secrets that it alone holds are refused, and peers that it alone denies are \
         reached. {how} commands below print them",
        database.name()
    ))
}
