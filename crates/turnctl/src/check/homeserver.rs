//! What the homeserver tells its clients about TURN.

use std::time::Duration;

use serde_json::Value;

use super::credentials::{Credentials, now};
use super::http::{Http, HttpError, Response};
use super::rtc_transports;
use crate::client::Login;
use crate::report::{Finding, Section};
use taciturn_config::show_duration;
use taciturn_turn::auth::RestName;

/// Below this the time was surely meant in other units: Synapse takes a bare number as
/// milliseconds.
const NO_TTL: u64 = 60;

/// Element Web asks again every ten minutes, when ten minutes are left or fewer.
const SHORT_TTL: u64 = 1200;

/// Clocks that differ by more are wrong; less is the way of the answer.
const SKEW: u64 = 60;

/// What was learnt.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) section: Section,
    pub(super) uris: Vec<String>,
    pub(super) credentials: Credentials,
    /// Whether a finding says already why the credentials do not last.
    pub(super) expiry_explained: bool,
    /// Why no client begins a call with this answer.
    pub(super) hindered: Option<String>,
}

/// Asks `/voip/turnServer` as a client does, and judges the answer.
pub(super) fn ask(http: &Http, given: &str, token: &str) -> Asked {
    let mut asked = Asked {
        section: Section::new(format!("Homeserver {given}")),
        uris: Vec::new(),
        credentials: Credentials::None,
        expiry_explained: false,
        hindered: None,
    };
    let given = given.trim_end_matches('/');
    let given = if given.contains("://") { given.to_owned() } else { format!("https://{given}") };
    let Discovered { base, foci } = discover(http, &given, &mut asked.section);
    if base.starts_with("http://") && !is_here(&base) {
        asked.section.push(
            Finding::warn("homeserver-plain", format!("{base} is asked without TLS"))
                .why("everybody on the way can read the access token and the password for TURN.")
                .fix("Pass the address with https://, and give the homeserver a certificate."),
        );
    }
    let url = format!("{base}/_matrix/client/v3/voip/turnServer");
    match http.get(&url, Some(token)) {
        Ok(response) if response.status == 200 => judge(http, &base, &response, &mut asked),
        Ok(response) => asked.section.push(refused(http, &base, &response)),
        Err(error) => asked.section.push(unreachable(&base, &error)),
    }
    if let Some(finding) = rtc_transports::finding(http, &base, token, foci.as_deref()) {
        asked.section.push(finding);
    }
    if asked.uris.is_empty() && asked.hindered.is_none() {
        asked.hindered = Some("the homeserver names no TURN server, see above".into());
    }
    asked
}

/// What `.well-known` of a server name holds.
struct Discovered {
    base: String,
    /// The first place of LiveKit that it names.
    foci: Option<String>,
}

/// The base URL that `.well-known` names, as clients look it up; otherwise the given one.
fn discover(http: &Http, given: &str, section: &mut Section) -> Discovered {
    let without = || Discovered { base: given.to_owned(), foci: None };
    let Ok(response) = http.get(&format!("{given}/.well-known/matrix/client"), None) else {
        return without();
    };
    let known: Value = match serde_json::from_str(&response.body) {
        Ok(known) if response.status == 200 => known,
        _ => return without(),
    };
    let foci = known.get("org.matrix.msc4143.rtc_foci").and_then(rtc_transports::named);
    let base = known.pointer("/m.homeserver/base_url").and_then(Value::as_str);
    let base = base.map(|base| base.trim_end_matches('/').to_owned());
    // A token that was meant for TLS must not go without.
    let safe = |base: &String| {
        base.starts_with("https://")
            || (base.starts_with("http://") && given.starts_with("http://"))
    };
    let base = match base.filter(safe) {
        Some(base) if base != given => {
            section.push(Finding::info("homeserver", format!(".well-known leads to {base}")));
            base
        }
        _ => given.to_owned(),
    };
    Discovered { base, foci }
}

/// Whether the URL leads to this machine itself.
fn is_here(base: &str) -> bool {
    let place = base.split_once("://").map_or(base, |(_, rest)| rest);
    let host = place.split('/').next().unwrap_or_default();
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let ip = name.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    name == "localhost" || ip.is_ok_and(|ip| ip.is_loopback())
}

fn judge(http: &Http, base: &str, response: &Response, asked: &mut Asked) {
    let section = &mut asked.section;
    let answer = match serde_json::from_str::<Value>(&response.body) {
        Ok(Value::Object(answer)) => answer,
        Ok(_) => {
            section.push(no_homeserver(base, "its answer is JSON of another shape"));
            return;
        }
        Err(_) => {
            section.push(no_homeserver(base, no_json(&response.body)));
            return;
        }
    };
    let text = |name: &str| answer.get(name).and_then(Value::as_str).unwrap_or_default();
    // The answer itself is never shown: it holds a password.
    match answer.get("uris") {
        Some(Value::Array(uris)) if uris.iter().all(Value::is_string) => {
            asked.uris = uris.iter().filter_map(Value::as_str).map(str::to_owned).collect();
        }
        Some(Value::Null) | None => {}
        Some(_) => {
            section.push(no_list());
            asked.hindered = Some("clients find no list of URIs in the homeserver's answer".into());
            return;
        }
    }
    if asked.uris.is_empty() {
        let what = match answer.get("uris") {
            Some(Value::Array(_)) => "its list of URIs is empty",
            _ if answer.is_empty() => "its answer is empty: {}",
            _ => "its answer has no uris",
        };
        section.push(not_configured(http, base, what));
        return;
    }
    let (username, password) = (text("username"), text("password"));
    let ttl = answer.get("ttl").and_then(Value::as_u64);
    let shown = match (ttl, answer.get("ttl")) {
        (Some(ttl), _) => format!("ttl {ttl} s"),
        (None, None | Some(Value::Null)) => "no ttl".to_owned(),
        (None, Some(_)) => "a ttl that is no whole number".to_owned(),
    };
    let title = format!("it names {} as user \"{username}\", {shown}", asked.uris.join(", "));
    section.push(Finding::pass("turn-configured", title));
    if username.is_empty() || password.is_empty() {
        asked.hindered = Some("browsers refuse a TURN server without username or password".into());
        section.push(
            Finding::fail("answer-incomplete", "the answer has no username or no password")
                .why("the browser refuses such a server (InvalidAccessError), so no call starts.")
                .fix("Set turn_shared_secret in the homeserver's configuration, and restart it."),
        );
        return;
    }
    asked.credentials = Credentials::Fixed(Login::new(username, password));
    let rest = RestName::parse(username);
    section.push(match rest {
        Some(name) if name.name.starts_with('@') || name.name.is_empty() => {
            Finding::pass("username-form", "the username carries its time, as it should")
        }
        Some(name) => {
            Finding::pass("username-form", format!("a username with time, for {}", name.name))
        }
        None => static_credentials(),
    });
    let Some(ttl) = ttl else {
        section.push(without_ttl(&shown));
        return;
    };
    if let Some(finding) = of_ttl(ttl) {
        asked.expiry_explained = finding.id == "ttl-milliseconds";
        section.push(finding);
    } else {
        let lasts = show_duration(Duration::from_secs(ttl));
        section.push(Finding::pass("ttl", format!("the password is good for {lasts}")));
    }
    if let Some(skew) = skew(response.date, rest.map(|name| name.expires), ttl) {
        let expired = asked.credentials.is_expired();
        asked.expiry_explained |= expired;
        section.push(clock_skew(skew, expired));
    } else if response.date.is_some() {
        section.push(Finding::pass("clock", "the clocks of this machine and the homeserver agree"));
    }
}

/// What an answer is that is no JSON.
fn no_json(body: &str) -> &'static str {
    match body.trim_start() {
        "" => "its answer is empty",
        text if text.starts_with('<') => {
            "it answers with a web page, as the reverse proxy or the web client in front of it does"
        }
        _ => "its answer is no JSON",
    }
}

fn no_list() -> Finding {
    Finding::fail("uris-no-list", "uris in the homeserver's answer is no list of texts")
        .why("clients go through a list; with anything else there they set up no TURN server, or fail.")
        .fix(
            "turn_uris must be a list, also for one URI. In homeserver.yaml, then restart Synapse:\n  \
             turn_uris: [\"turn:turn.example.org:3478?transport=udp\"]",
        )
}

fn without_ttl(shown: &str) -> Finding {
    Finding::warn("ttl-missing", format!("the homeserver's answer has {shown}"))
        .why("the ttl is missing: clients do not know when to ask for a new password, and it is required.")
        .fix("Update the homeserver. In Synapse set in homeserver.yaml, and restart it:\n  turn_user_lifetime: 24h")
}

fn of_ttl(ttl: u64) -> Option<Finding> {
    if ttl < NO_TTL {
        return Some(
            Finding::fail("ttl-milliseconds", format!("the password is good for {ttl} s only"))
                .why("it has ended before a call is set up, so the server refuses it (401).")
                .fix(
                    "In Synapse a bare number is milliseconds: 3600 is 3.6 s. Write the unit in \
                     homeserver.yaml, and restart Synapse:\n  turn_user_lifetime: 24h",
                ),
        );
    }
    (ttl < SHORT_TTL).then(|| {
        let lasts = show_duration(Duration::from_secs(ttl));
        Finding::warn("ttl-short", format!("the password is good for {lasts} only"))
            .why(
                "Element Web asks for a new one when ten minutes are left, and looks every ten \
                 minutes: with less than 20 minutes it has an ended one at times.",
            )
            .fix("In homeserver.yaml, then restart Synapse:\n  turn_user_lifetime: 24h")
    })
}

fn static_credentials() -> Finding {
    Finding::warn("static-credentials", "every user gets the same username and password")
        .why(
            "each user and guest can read them, and they never end: who has left can go on using \
             the relay, and so can everybody that was told.",
        )
        .fix(
            "Use a shared secret: take turn_username and turn_password out of homeserver.yaml, and \
             put in\n  turn_shared_secret: \"SECRET\"\nwith the same secret on the TURN server \
             (taciturn: secrets in [auth]; coturn: use-auth-secret, static-auth-secret).",
        )
}

/// By how much the homeserver's clock is ahead of this one's, in seconds; `None` where it is not
/// worth a word.
fn skew(date: Option<u64>, expires: Option<u64>, ttl: u64) -> Option<i64> {
    let made = expires.map(|expires| expires.saturating_sub(ttl));
    let now = i64::try_from(now()).ok()?;
    let off =
        |then: Option<u64>| then.and_then(|then| i64::try_from(then).ok()).map(|then| then - now);
    let worst = [off(date), off(made)].into_iter().flatten().max_by_key(|off| off.abs())?;
    (worst.unsigned_abs() > SKEW).then_some(worst)
}

fn clock_skew(skew: i64, expired: bool) -> Finding {
    let by = show_duration(Duration::from_secs(skew.unsigned_abs()));
    let direction = if skew < 0 { "behind" } else { "ahead of" };
    let title = format!("the homeserver's clock is {by} {direction} the one of this machine");
    let fix =
        "Set both clocks, and that of the TURN server:\n  timedatectl set-ntp true\n  timedatectl";
    if expired {
        let why =
            "the username it gives out has ended already, so the TURN server refuses it (401).";
        Finding::fail("clock-skew", title).why(why).fix(fix)
    } else {
        let why = "a username carries the time until which it is good: the TURN server, going by its \
                   own clock, refuses it too soon or takes it too long.";
        Finding::warn("clock-skew", title).why(why).fix(fix)
    }
}

fn refused(http: &Http, base: &str, response: &Response) -> Finding {
    let body: Value = serde_json::from_str(&response.body).unwrap_or_default();
    let code = body.get("errcode").and_then(Value::as_str).unwrap_or_default();
    let shown = if code.is_empty() { response.status.to_string() } else { code.to_owned() };
    match (response.status, code) {
        (404, "M_NOT_FOUND") => not_configured(http, base, "it answers 404 M_NOT_FOUND"),
        (401, _) => Finding::fail(
            "token-refused",
            format!("the homeserver refuses the token ({shown})"),
        )
        .why("it tells TURN servers to its users only.")
        .fix(
            "Take a fresh one: in Element Web under All settings, Help & About, Advanced, Access \
                 Token. Logging out ends it.",
        ),
        (403, _) => Finding::fail("turn-forbidden", "the homeserver gives this user no TURN (403)")
            .why("guests get none where turn_allow_guests is false, and Element stops asking.")
            .fix("Take the token of a user with an account."),
        (429, _) => Finding::fail("homeserver-busy", "the homeserver asks for patience (429)")
            .why("clients are put off like this, too.")
            .fix("Wait a minute, and run the check again."),
        (301 | 302 | 303 | 307 | 308, _) => redirected(base, response),
        (502..=504, "") => Finding::fail(
            "homeserver-down",
            format!(
                "the reverse proxy of {base} answers {}: the homeserver behind it does not",
                response.status
            ),
        )
        .why("clients get no TURN server, and nothing else either.")
        .fix("Start the homeserver, or correct the address that the proxy passes requests on to."),
        (200..=399 | 404 | 405, "") if response.body.trim_start().starts_with('<') => {
            no_homeserver(base, &format!("{} ({})", no_json(&response.body), response.status))
        }
        (200..=399 | 404 | 405, _) => no_homeserver(base, &format!("it answers {shown}")),
        _ => Finding::fail(
            "homeserver-error",
            format!("the homeserver answers {} {code}", response.status),
        )
        .why("clients get no TURN server, and calls between networks fail.")
        .fix(
            "Look into its log. A turn_shared_secret of digits only must be quoted in YAML, or \
                 Synapse answers 500.",
        ),
    }
}

fn no_homeserver(base: &str, what: &str) -> Finding {
    Finding::fail("homeserver-path", format!("{base} is no homeserver for clients: {what}"))
        .why("clients ask /_matrix/client/v3/voip/turnServer there, and get no TURN server.")
        .fix(
            "Pass the address that Element uses as its homeserver, and let the reverse proxy pass \
             /_matrix/client on:\n  curl https://HOMESERVER/_matrix/client/versions",
        )
}

fn redirected(base: &str, response: &Response) -> Finding {
    let to = response.location.as_deref().unwrap_or_default();
    let to = to.split(['?', '#']).next().unwrap_or_default();
    let place = to.find("/_matrix/").and_then(|at| to.get(..at)).unwrap_or(to);
    let title = format!("{base} redirects the request ({}) to {place}", response.status);
    Finding::fail("homeserver-redirect", title)
        .why("a browser sends no access token to another address, so clients get no TURN server by it.")
        .fix(format!(
            "Pass that address, and let .well-known/matrix/client and the settings of the clients name it, or let \
             the proxy pass /_matrix on without a redirect:\n  turnctl check --homeserver {place}"
        ))
}

fn unreachable(base: &str, error: &HttpError) -> Finding {
    if let HttpError::Certificate(fault) = error {
        return Finding::fail(
            "homeserver-tls",
            format!("the certificate of {base} is refused: {fault}"),
        )
        .why("no client talks to this homeserver.")
        .fix(
            "Renew it, or serve its whole chain (fullchain.pem). For an authority of your own \
                 pass --ca FILE.",
        );
    }
    Finding::fail("homeserver-unreachable", format!("{base} cannot be asked: {error}"))
        .why("the homeserver tells clients where TURN is.")
        .fix(format!("Try it by hand:\n  curl -v {base}/_matrix/client/versions"))
}

fn not_configured(http: &Http, base: &str, what: &str) -> Finding {
    let software = http.get(&format!("{base}/_matrix/federation/v1/version"), None).ok();
    let software = software.and_then(|response| serde_json::from_str::<Value>(&response.body).ok());
    let software = software.and_then(|v| Some(v.pointer("/server/name")?.as_str()?.to_owned()));
    let name = software.as_deref().unwrap_or("the homeserver");
    let hint = match name.to_ascii_lowercase().as_str() {
        "dendrite" => {
            "In dendrite.yaml, under client_api.turn, set turn_uris and turn_shared_secret, and a \
             turn_user_lifetime that is not empty:\n  turn_user_lifetime: \"24h\""
        }
        "continuwuity" | "tuwunel" | "conduwuit" | "conduit" => {
            "Under [global] set turn_uris and turn_secret (or turn_secret_file)."
        }
        _ => {
            "Set turn_uris and turn_shared_secret at the top level of homeserver.yaml, not indented \
             below another key, and turn_user_lifetime to more than 0. With workers: in the shared \
             configuration. This prints the block:\n  turnctl homeserver-snippet"
        }
    };
    Finding::fail("no-turn-configured", format!("{name} names no TURN server: {what}"))
    .why(
        "clients then have no relay at all; Element may ask whether it may use turn.matrix.org, \
             which relays nothing either.",
    )
    .fix(format!("{hint}\nThen restart the homeserver, and reload Element."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifetimes_are_judged_by_what_element_needs() {
        let id = |ttl| of_ttl(ttl).map(|finding| finding.id);
        assert_eq!(id(3), Some("ttl-milliseconds"));
        assert_eq!(id(300), Some("ttl-short"));
        assert_eq!(id(1199), Some("ttl-short"));
        assert_eq!(id(1200), None);
        assert_eq!(id(86400), None);
    }

    #[test]
    fn this_machine_needs_no_tls() {
        for base in ["http://127.0.0.1:8008", "http://localhost", "http://[::1]:8008/x"] {
            assert!(is_here(base), "{base}");
        }
        assert!(!is_here("http://10.0.0.1:8008") && !is_here("http://localhost.example.org"));
    }

    #[test]
    fn a_clock_is_judged_by_the_date_and_by_the_username() {
        let now = now();
        assert_eq!(skew(Some(now), Some(now + 3600), 3600), None);
        assert_eq!(skew(None, None, 3600), None);
        let two_hours = skew(Some(now - 7200), Some(now - 3600), 3600).unwrap();
        assert!((-7210..=-7190).contains(&two_hours), "{two_hours}");
        // A proxy's own Date is right; the homeserver behind it is not.
        let ahead = skew(Some(now), Some(now + 7200 + 3600), 3600).unwrap();
        assert!((7190..=7210).contains(&ahead), "{ahead}");
    }

    #[test]
    fn skew_fails_only_where_the_username_has_ended() {
        use crate::report::Status;
        assert_eq!(clock_skew(-7200, true).status, Status::Fail);
        let warning = clock_skew(7200, false);
        assert_eq!(warning.status, Status::Warn);
        assert!(warning.title.contains("2h ahead of"), "{}", warning.title);
    }
}
