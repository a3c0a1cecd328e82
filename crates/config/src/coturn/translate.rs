//! Settings of coturn's, one after the other, into a [`Draft`] of ours.

use super::collected::{Collected, Given, Translated};
use super::command_line::CommandLine;
use super::grammar::{self, Line};
use super::options::{CoturnOption, Fate, Takes};
use super::place::Place;
use super::setting::{Outcome, Setting};
use super::sources::Sources;
use super::table;
use crate::placeholder::placeholder;
use crate::schema::nearest;

/// Reads the whole of a turnserver.conf, and of a command line, whose options win.
pub(super) fn translate(sources: &Sources<'_>) -> Translated {
    let mut collected = Collected {
        copied: sources.copied,
        has_tenants: sources.has_tenants,
        ..Collected::default()
    };
    let mut settings: Vec<Setting> = Vec::new();
    let none = CommandLine::default();
    let arguments = sources.arguments.unwrap_or(&none);
    let of_file = grammar::lines(sources.file);
    for line in of_file.iter().chain(&arguments.lines) {
        let mut setting = Setting {
            place: line.place,
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
        match table::find(&line.name) {
            Some(option) => {
                setting.outcome = judge(&mut collected, option, line, &mut setting.remarks);
            }
            None => (setting.option, setting.outcome) = unknown(&line.name),
        }
        settings.push(setting);
    }
    for place in &arguments.strays {
        let words = "the word belongs to no option, and coturn ignores it. A value that may be left out stands \
                     behind =, as in --stale-nonce=600";
        settings.push(Setting {
            place: *place,
            option: String::new(),
            outcome: Outcome::Unknown(words.into()),
            remarks: Vec::new(),
        });
    }
    collected.finish(settings)
}

/// The name and what to say of it. A name that does not look like an option's is not shown: it may
/// be a secret on a line of its own.
fn unknown(name: &str) -> (String, Outcome) {
    let plain = name.trim_start_matches('-').to_ascii_lowercase().replace('_', "-");
    let near = if plain.len() <= 60 { nearest(&plain, table::names()) } else { None };
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
    option: &'static CoturnOption,
    line: &Line,
    remarks: &mut Vec<String>,
) -> Outcome {
    let secret = option.takes == Takes::Secret;
    let is_argument = matches!(line.place, Place::Argument(_));
    let (value, taken_off) = match secret || is_argument {
        true => (line.value.as_str(), None),
        false => grammar::trimmed(&line.value),
    };
    if let Some(what) = taken_off {
        remarks.push(format!("{what} is left out; coturn takes it for a part of the value"));
    }
    let is_taken = matches!(option.fate, Fate::Taken(..));
    if secret && is_taken && !is_argument {
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
    let name = option.names.first().copied().unwrap_or_default();
    collected.present.insert(name, on);
    let fate = match (on, option.off, option.fate) {
        // Those tell on from off themselves.
        (_, _, Fate::Taken(..) | Fate::Judged(_)) | (true, ..) => option.fate,
        (false, Some(off), _) => off,
        (false, None, _) => Fate::Same("off, as it is here"),
    };
    let (key, effect) = match fate {
        Fate::Same(why) => return Outcome::NotNeeded(why.into()),
        Fate::Lost(instead) => return Outcome::Unsupported(instead.into()),
        Fate::Refused(why) => return Outcome::Error(why.into()),
        Fate::Taken(key, effect) => (key, effect),
        Fate::Judged(effect) => ("", effect),
    };
    if is_taken
        && !judges_placeholders_itself(name)
        && let Some(found) = placeholder_in(value)
    {
        return Outcome::Error(match secret {
            // What is in it may be the secret: ${SECRET:-default}.
            true => "it holds a placeholder, which everybody can read in its template: write the value that \
                     stands there in the end"
                .into(),
            false => format!(
                "\"{found}\" is a placeholder: write the value that stands there in the end"
            ),
        });
    }
    let mut given = Given { key, value, on, place: line.place, remarks };
    (effect.0)(collected, &mut given).unwrap_or_else(Outcome::Error)
}

/// The placeholder in a value, or in a part of it: a name and its password, two addresses.
fn placeholder_in(value: &str) -> Option<&str> {
    let parts = value.split_once(':').or_else(|| value.split_once('/'));
    let parts = parts.filter(|(first, _)| !first.is_empty());
    placeholder(value).or_else(|| {
        parts.and_then(|(first, second)| placeholder(first).or_else(|| placeholder(second)))
    })
}

/// Those that coturn's container image fills in, and that guides cross out.
fn judges_placeholders_itself(name: &str) -> bool {
    ["external-ip", "relay-ip"].contains(&name)
}
