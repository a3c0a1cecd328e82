//! `turnctl check`: why do calls fail? A client's look at a TURN server of any make.
//!
//! A file for each group of tests: [`dns`] and [`uris`], [`reach`] (is anything there, over IPv4 and
//! IPv6), [`tls`], [`session`] (challenge, login, allocation, refresh),
//! [`capacity`] (why there is no allocation, or no further one), [`relay`] (its address),
//! [`outside`] (the relay range as a peer sees it), [`data`] (through two allocations, to an echo),
//! [`lan`] (an address of this network), [`beside`] (media servers on the relay's own machine), [`quality`] (sizes,
//! loss, times), [`security`]; [`stun`] for URIs without a relay; [`homeserver`] asks where to look, [`verdict`] says
//! what it comes to. Each test is a finding with a fixed id.

mod args;
mod beside;
mod capacity;
pub(crate) mod credentials;
mod data;
pub(crate) mod dns;
mod entering;
mod homeserver;
mod http;
mod lan;
mod milliseconds;
mod outside;
mod quality;
mod reach;
mod relay;
mod rtc_transports;
mod run;
mod security;
mod session;
mod stun;
mod tls;
mod uris;
mod verdict;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IsTerminal as _, Write};
use std::net::SocketAddr;

use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};

use self::credentials::Credentials;
use self::milliseconds::ms;
use self::reach::{Reached, Target};
use self::run::{Plan, Run};
use self::session::Outcome;
use self::uris::Origin;
use self::verdict::Tested;
use super::CtlError;
use super::client::{Roots, Spoken, TurnUri};
use super::report::{Finding, Look, Report, Section, Status};
use taciturn_config::Environment;

pub use args::LoginArgs;
pub(crate) use args::certificates;
pub use args::{CheckArgs, CheckError};

/// A homeserver may name any number of URIs; beyond these nothing new is learnt.
const MOST_TARGETS: usize = 16;

/// Runs the subcommand; returns the exit code.
pub(super) fn run(
    args: &CheckArgs,
    env: &Environment,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<u8, CtlError> {
    let watched = io::stderr().is_terminal() && !args.json;
    if watched && args.homeserver.is_some() {
        write!(err, "\r\x1b[Kasking the homeserver ...\r")?;
    }
    let plan = args.plan(env, err)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| CheckError::System(error.to_string()))?;
    let mut say = |what: &str| {
        if watched {
            // Progress that cannot be shown is no reason to stop.
            let _ = write!(err, "\r\x1b[K{what}").and_then(|()| err.flush());
        }
    };
    let report = runtime.block_on(examine(&plan, &mut say));
    // A resolver that hangs must not hold the answer up.
    runtime.shutdown_background();
    say("");
    if args.json {
        let text = serde_json::to_string_pretty(&report.to_json()).map_err(io::Error::other)?;
        writeln!(out, "{text}")?;
    } else {
        report.write_text(out, Look::of_output(env))?;
    }
    Ok(report.exit_code())
}

/// All tests.
async fn examine(plan: &Plan, say: &mut dyn FnMut(&str)) -> Report {
    let deadline = Instant::now() + plan.total;
    let mut report = Report { sections: plan.before.clone(), ..Report::default() };
    if plan.uris.is_empty() {
        report.verdicts = verdict::of(&[], plan.hindered.as_deref(), plan.origin);
        return report;
    }
    let mut names = Section::new("Names and URIs");
    let judged = uris::judge(&plan.uris, plan.origin, &mut names);
    let uris = judged.good;
    say("looking up names ...");
    let resolved = dns::resolve(&uris, &mut names).await;
    names.findings.extend(dns::local_network(&uris, &resolved, plan.origin));
    let mut targets = targets(&uris, &resolved);
    if targets.len() > MOST_TARGETS {
        let title = format!("of {} addresses the first {MOST_TARGETS} are tested", targets.len());
        names.push(Finding::info("targets-many", title));
        targets.truncate(MOST_TARGETS);
    }
    report.sections.push(names);
    let mut run = Run {
        plan,
        login_lifetime: credentials::LIFETIME,
        roots: Roots::browsers_and(&plan.extra_roots),
        udp_works: false,
        mapped: Vec::new(),
        relays_tested: BTreeMap::new(),
        families_tested: false,
        echoed: false,
        media_tried: false,
        measured: Vec::new(),
    };
    say("knocking at every address ...");
    let mut reached = reach::all(&targets, &run.roots, plan.patience).await;
    one_family_only(&targets, &mut reached);
    run.mapped = reached.iter().filter_map(|reached| reached.mapped).collect();
    run.udp_works = targets
        .iter()
        .zip(&reached)
        .any(|(target, reached)| target.uri.spoken() == Spoken::Udp && reached.usable);
    let mut tested = Vec::new();
    for (target, reached) in targets.iter().zip(&reached) {
        let mut section = Section::new(format!("{} at {}", target.uri, target.address.ip()));
        section.findings.clone_from(&reached.findings);
        let mut outcome = Outcome::default();
        let mut finished = true;
        if reached.usable {
            say(&format!("testing {} ...", section.heading));
            let test = session::test(&mut run, target, &mut section);
            match timeout_at(deadline, test).await {
                Ok(done) => outcome = done,
                Err(_) => {
                    section.push(out_of_time(plan));
                    finished = false;
                }
            }
        }
        report.sections.push(section);
        tested.push(Tested { target, reached, outcome, finished });
    }
    stun::test(&judged.stun, plan.patience, &mut report).await;
    if plan.security {
        secure(&mut run, &tested, deadline, say, &mut report).await;
    }
    let logged_in = !matches!(plan.credentials, Credentials::None);
    let hindered = judged.hindered.as_deref().or(plan.hindered.as_deref());
    let mut rows = verdict::rows(&uris, &resolved, &tested, logged_in);
    if plan.origin == Origin::Homeserver {
        for row in rows.iter_mut().filter(|row| uris::leads_home(&row.uri)) {
            row.way = verdict::Way::Fails;
        }
    }
    report.verdicts = verdict::of(&rows, hindered, plan.origin);
    report.facts.insert("measured".into(), Value::Array(std::mem::take(&mut run.measured)));
    let shown = |(target, reached): (&Target, &Reached)| {
        json!({
            "uri": target.uri.text,
            "address": target.address.to_string(),
            "usable": reached.usable,
            "rtt_ms": reached.rtt.map(|rtt| rtt.as_secs_f64() * 1e3),
        })
    };
    report.facts.insert("targets".into(), targets.iter().zip(&reached).map(shown).collect());
    report
}

/// The tests that strangers would make, once for each host.
async fn secure(
    run: &mut Run<'_>,
    tested: &[Tested<'_>],
    deadline: Instant,
    say: &mut dyn FnMut(&str),
    report: &mut Report,
) {
    let mut usable: Vec<_> = tested.iter().filter(|tested| tested.reached.usable).collect();
    usable.sort_by_key(|tested| tested.target.uri.spoken());
    let mut hosts = BTreeSet::new();
    for Tested { target, reached, .. } in usable {
        if !hosts.insert(&target.uri.host) {
            continue;
        }
        let mut section = Section::new(format!("Security of {}", target.uri.host));
        say(&format!("{} ...", section.heading));
        let test = security::test(run, target, reached, &mut section);
        if timeout_at(deadline, test).await.is_err() {
            section.push(out_of_time(run.plan));
        }
        report.sections.push(section);
    }
}

fn targets(uris: &[TurnUri], resolved: &[Vec<SocketAddr>]) -> Vec<Target> {
    let each = uris.iter().zip(resolved).flat_map(|(uri, addresses)| {
        addresses.iter().map(|address| Target { uri: uri.clone(), address: *address })
    });
    each.collect()
}

fn out_of_time(plan: &Plan) -> Finding {
    let seconds = plan.total.as_secs();
    Finding::warn("out-of-time", format!("not tested to the end: the {seconds} s were over"))
        .why("what was not tested may be broken.")
        .fix("Give it more time (--timeout 5m), or test fewer URIs at a time.")
}

/// Where a URI answers over one address family and not over the other, the name is at fault: it
/// leads to an address without a server.
fn one_family_only(targets: &[Target], reached: &mut [Reached]) {
    let failed = |reached: &Reached| {
        !reached.usable
            && reached.findings.iter().any(|finding| {
                ["port-silent", "port-refused"].contains(&finding.id)
                    && finding.status == Status::Fail
            })
    };
    for at in 0..targets.len() {
        let (Some(target), Some(this)) = (targets.get(at), reached.get(at)) else { continue };
        let other_family_works = targets.iter().zip(reached.iter()).any(|(other, reached)| {
            other.uri == target.uri
                && other.address.is_ipv4() != target.address.is_ipv4()
                && reached.usable
        });
        if !other_family_works || !failed(this) {
            continue;
        }
        let host = &target.uri.host;
        let (id, record, family, name) = if target.address.is_ipv6() {
            ("dns-aaaa-without-service", "AAAA", 6, "IPv6")
        } else {
            ("dns-a-without-service", "A", 4, "IPv4")
        };
        let finding = Finding::fail(
            id,
            format!("{host} has an {record} record, and at {} nothing answers", target.shown()),
        )
        .why(format!(
            "clients whose network prefers {name} wait in vain: calls fail from some networks, and not \
             from others."
        ))
        .fix(format!(
            "Let the server listen on {name} as well and open the firewall for it (rules for IPv4 do \
             not hold for IPv6), or take the {record} record of {host} away:\n  dig +short {host} \
             {record}\n  ss -lun{family}"
        ));
        if let Some(this) = reached.get_mut(at) {
            this.findings = vec![finding];
        }
    }
}
