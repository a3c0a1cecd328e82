//! coturn's command line, as `getopt_long` takes it apart: the settings in it, and which file it names.

use zeroize::Zeroizing;

use super::grammar::Line;
use super::options::Takes;
use super::place::Place;
use super::table;

/// Short options and the long ones that they stand for.
const SHORT: &[(char, &str)] = &[
    ('d', "listening-device"),
    ('p', "listening-port"),
    ('L', "listening-ip"),
    ('E', "relay-ip"),
    ('X', "external-ip"),
    ('i', "relay-device"),
    ('m', "relay-threads"),
    ('l', "log-file"),
    ('r', "realm"),
    ('u', "user"),
    ('b', "userdb"),
    ('B', "bps-capacity"),
    ('e', "psql-userdb"),
    ('M', "mysql-userdb"),
    ('J', "mongo-userdb"),
    ('N', "redis-userdb"),
    ('O', "redis-statsdb"),
    ('q', "user-quota"),
    ('Q', "total-quota"),
    ('s', "max-bps"),
    ('C', "rest-api-separator"),
    ('K', "keep-address-family"),
    ('A', "allocation-default-address-family"),
    ('v', "verbose"),
    ('V', "Verbose"),
    ('o', "daemon"),
    ('f', "fingerprint"),
    ('z', "no-auth"),
    ('a', "lt-cred-mech"),
    ('S', "stun-only"),
];

/// Options with a number that may be left out. Like a switch's, it counts behind `=` only.
const OPTIONAL: [&str; 6] = [
    "stale-nonce",
    "max-allocate-lifetime",
    "channel-lifetime",
    "permission-lifetime",
    "unauthorized-ratelimit-rps",
    "version",
];

/// coturn's command line.
#[derive(Default)]
pub struct CommandLine {
    pub(super) lines: Vec<Line>,
    /// Words that are no part of any option; coturn ignores them. They are not kept: they may be secrets.
    pub(super) strays: Vec<Place>,
    /// The file that `-c` names.
    pub file: Option<String>,
    /// Whether `-n` says that there is no file.
    pub no_file: bool,
}

/// Whether an option's value may be the next word.
fn wants_value(name: &str) -> bool {
    if OPTIONAL.contains(&name) {
        return false;
    }
    table::find(name).is_some_and(|option| !matches!(option.takes, Takes::Switch | Takes::Flag))
}

/// The long option that is meant: this one, or the only one that begins so.
fn long_name(given: &str) -> Option<&'static str> {
    if let Some(exact) = table::names().find(|name| *name == given) {
        return Some(exact);
    }
    let mut begin_so = table::names().filter(|name| name.starts_with(given));
    begin_so.next().filter(|_| begin_so.next().is_none())
}

impl CommandLine {
    /// Takes words apart. Those up to `turnserver` are skipped, where that is among them.
    #[must_use]
    pub fn of(words: &[Zeroizing<String>]) -> Self {
        let is_program = |word: &Zeroizing<String>| word.rsplit('/').next() == Some("turnserver");
        let begin = words.iter().position(is_program).map_or(0, |at| at + 1);
        let mut words = words
            .iter()
            .skip(begin)
            .enumerate()
            .map(|(n, word)| (Place::Argument(n + 1), word.as_str()));
        let mut line = Self::default();
        while let Some((place, word)) = words.next() {
            if word == "--" {
                line.strays.extend(words.by_ref().map(|(place, _)| place));
            } else if let Some(long) = word.strip_prefix("--") {
                let (given, value) =
                    long.split_once('=').map_or((long, None), |(name, value)| (name, Some(value)));
                let name = long_name(given).unwrap_or(given);
                let value = match value {
                    None if wants_value(name) => words.next().map(|(_, value)| value),
                    given => given,
                };
                line.push(place, name, value.unwrap_or_default());
            } else if let Some(cluster) = word.strip_prefix('-').filter(|rest| !rest.is_empty()) {
                line.cluster(place, cluster, || words.next().map(|(_, value)| value));
            } else {
                line.strays.push(place);
            }
        }
        line
    }

    /// `-vf`, `-p3478`, `-p 3478`.
    fn cluster<'a>(
        &mut self,
        place: Place,
        cluster: &'a str,
        next: impl FnOnce() -> Option<&'a str>,
    ) {
        for (at, letter) in cluster.char_indices() {
            let attached = cluster.get(at + letter.len_utf8()..).filter(|rest| !rest.is_empty());
            if letter == 'n' {
                self.no_file = true;
                continue;
            }
            if letter == 'c' {
                self.file = attached.or_else(next).map(str::to_owned);
                return;
            }
            let long = SHORT.iter().find(|(short, _)| *short == letter).map(|(_, long)| *long);
            match long {
                Some(long) if wants_value(long) => {
                    let value = attached.or_else(next).unwrap_or_default();
                    self.push(place, long, value);
                    return;
                }
                Some(long) => self.push(place, long, ""),
                None => self.push(place, &format!("-{letter}"), ""),
            }
        }
    }

    fn push(&mut self, place: Place, name: &str, value: &str) {
        let value = Zeroizing::new(value.to_owned());
        self.lines.push(Line { place, name: name.to_owned(), value, too_long: false });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (CommandLine, Vec<String>) {
        let words: Vec<_> =
            text.split_whitespace().map(|word| Zeroizing::new(word.to_owned())).collect();
        let line = CommandLine::of(&words);
        let show = |line: &Line| format!("{}: {}={}", line.place, line.name, line.value.as_str());
        let shown = line.lines.iter().map(show).collect();
        (line, shown)
    }

    #[test]
    fn every_short_option_is_one_of_the_table() {
        for (letter, name) in SHORT {
            assert!(table::find(name).is_some(), "-{letter} {name}");
        }
        for name in OPTIONAL {
            assert!(table::find(name).is_some(), "{name}");
        }
    }

    #[test]
    fn values_stand_behind_the_sign_or_in_the_next_word() {
        let (_, shown) = read("--realm=a.org --listening-port 3479 -p3480 -u a:b -vf");
        assert_eq!(
            shown,
            [
                "argument 1: realm=a.org",
                "argument 2: listening-port=3479",
                "argument 4: listening-port=3480",
                "argument 5: user=a:b",
                "argument 7: verbose=",
                "argument 7: fingerprint=",
            ]
        );
    }

    #[test]
    fn a_value_that_may_be_left_out_counts_behind_the_sign_only() {
        let (line, shown) = read("--stale-nonce 10 --no-tls false --no-udp=no");
        assert_eq!(
            shown,
            ["argument 1: stale-nonce=", "argument 3: no-tls=", "argument 5: no-udp=no"]
        );
        assert_eq!(line.strays, [Place::Argument(2), Place::Argument(4)]);
    }

    #[test]
    fn program_and_file_are_told_apart_from_settings() {
        let (line, shown) =
            read("sudo -u turn /usr/bin/turnserver -c /etc/turn.conf --static-auth x");
        assert_eq!(line.file.as_deref(), Some("/etc/turn.conf"));
        assert_eq!(shown, ["argument 3: static-auth-secret=x"]);
        let (line, shown) = read("-nv");
        assert!(line.no_file && shown == ["argument 1: verbose="]);
        let (line, _) = read("-- -c x");
        assert!(line.file.is_none() && line.strays.len() == 2);
    }

    #[test]
    fn what_is_unknown_stays_as_it_is_written() {
        let (_, shown) = read("--no-such=thing --no- -y");
        assert_eq!(shown, ["argument 1: no-such=thing", "argument 2: no-=", "argument 3: -y="]);
    }
}
