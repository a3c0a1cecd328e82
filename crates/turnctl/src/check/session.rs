//! One conversation with a TURN server, as a call has it: challenge, login, allocation, refresh;
//! then what the allocation is good for.

use std::time::Duration;

use super::credentials::{Credentials, LIFETIME};
use super::entering::{another, open_relay};
use super::reach::Target;
use super::{Run, beside, capacity, data, lan, outside, quality, relay};
use crate::client::{Allocation, Challenge, Client, ClientError, Opened, Shortage};
use crate::report::{Finding, Section, Status};
use taciturn_stun::Family;
use taciturn_turn::auth::RestName;

/// How far a call would get by this target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    /// There was an allocation.
    pub(super) allocated: bool,
    /// Whether media passed; `None` where that was not tested.
    pub(super) media: Option<bool>,
}

/// Goes through the conversation.
pub(super) async fn test(run: &mut Run<'_>, target: &Target, section: &mut Section) -> Outcome {
    let mut outcome = Outcome::default();
    // Each server has a clock of its own. What one of them wants is good for all that is tested later.
    let before = std::mem::replace(&mut run.login_lifetime, LIFETIME);
    let entered = enter(run, target, section).await;
    run.login_lifetime = run.login_lifetime.max(before);
    let Some((mut a, allocation)) = entered else { return outcome };
    outcome.allocated = true;
    let address = relay::judge(run.plan, target, &allocation);
    let private = address.iter().any(|finding| finding.id == "relay-private");
    section.findings.extend(address);
    section.push(refresh(&mut a).await);
    section.findings.extend(lan::test(run, target, &mut a, &allocation).await);
    if !std::mem::replace(&mut run.media_tried, true) {
        section.findings.extend(beside::test(&mut a, &allocation).await);
    }
    let second = second(run, target, section).await;
    let closed = if private {
        outcome.media = Some(false);
        true
    } else {
        !outside::test(run, target, section, &mut a, &allocation).await
    };
    if let Some((mut b, other)) = second {
        let passes = match data::both_ways(&mut a, &allocation, &mut b, &other).await {
            Ok(()) => {
                section.push(Finding::pass(
                    "relay-to-relay",
                    "data pass both ways between two clients of the server",
                ));
                true
            }
            Err(error) => {
                section.push(data::fault(&error, closed));
                false
            }
        };
        outcome.media = Some(passes && !closed);
        if passes {
            quality::test(run, target, section, (&mut a, &mut b)).await;
        }
        let _ = b.refresh(0).await;
    }
    if !run.echoed
        && let Some(echo) = &run.plan.echo
    {
        run.echoed = true;
        section.push(data::echo(&mut a, &allocation, echo).await);
    }
    let released = a.refresh(0).await;
    if let Err(error) = released {
        section.push(
            Finding::warn("release", format!("the allocation cannot be ended: {error}"))
                .why("ports and quotas stay taken until it runs out by itself.")
                .fix("Look into the server's log."),
        );
    }
    other_family(run, target, section, &allocation).await;
    outcome
}

/// Challenge, login, allocation; `None` where it gets no further.
async fn enter(
    run: &mut Run<'_>,
    target: &Target,
    section: &mut Section,
) -> Option<(Client, Allocation)> {
    let mut client = match target.connect(&run.roots, run.plan.patience).await {
        Ok((client, _)) => client,
        Err(error) => {
            section.push(lost(&error));
            return None;
        }
    };
    let challenge = match client.open().await {
        Ok(Opened::Challenged(challenge)) => challenge,
        Ok(Opened::Granted(allocation)) => {
            section.push(open_relay("without any credentials"));
            return Some((client, allocation));
        }
        Err(error) => {
            section.push(lost(&error));
            return None;
        }
    };
    let title = format!("strangers get 401, and the realm \"{}\"", challenge.realm);
    section.push(Finding::pass("challenge", title));
    let Some(login) = run.login() else {
        section.push(Finding::skip(
            "login",
            "no login, no relay tested: pass --user NAME, or --secret-file FILE, or --homeserver URL",
        ));
        return None;
    };
    client.log_in(&login, &challenge);
    let refused = match client.allocate(None).await {
        Ok(allocation) => {
            let title = format!(
                "logged in as {}; relayed address {}, for {} s",
                login.username, allocation.relayed, allocation.lifetime
            );
            section.push(Finding::pass("login", title));
            return Some((client, allocation));
        }
        Err(error) => error,
    };
    // Which of the two clocks or secrets is wrong shows only with a longer-lived username.
    if refused.code() == Some(401)
        && let Credentials::Secret { .. } = run.plan.credentials
    {
        // By a connection of its own: coturn keeps the name that a client has come with first.
        let lifetime = std::mem::replace(&mut run.login_lifetime, Duration::from_secs(7 * 86400));
        if let Ok(entered) = another(run, target, None).await {
            section.push(server_clock_ahead());
            return Some(entered);
        }
        run.login_lifetime = lifetime;
    }
    section.push(explain(run, &refused, &challenge));
    None
}

/// A username of a homeserver can end while the tests run.
fn ended_meanwhile() -> Finding {
    Finding::skip("login", "no more logins: the username has run out meanwhile")
}

fn lost(error: &ClientError) -> Finding {
    Finding::fail("connection-lost", format!("a second conversation fails: {error}"))
        .why("the server answered a moment ago; clients meet this from time to time, too.")
        .fix("Run the check again, and look into the server's log and at its load.")
}

fn server_clock_ahead() -> Finding {
    Finding::fail(
        "clock-skew",
        "a username that is good for an hour is refused, one that is good for a week is taken",
    )
    .why("the server's clock is ahead of this one, so what a homeserver hands out has ended already.")
    .fix("On the server, on the homeserver and here:\n  timedatectl set-ntp true\n  timedatectl")
}

/// Why the server refused a login or an allocation.
fn explain(run: &Run<'_>, error: &ClientError, challenge: &Challenge) -> Finding {
    let realm = &challenge.realm;
    let plan = run.plan;
    if let Some(shortage) = Shortage::of(error) {
        return capacity::none(shortage);
    }
    match error.code() {
        Some(401 | 441) if plan.credentials.is_expired() => {
            let title = "the server refuses the username, as it has run out";
            if plan.expiry_explained {
                return Finding::skip("login", format!("{title} (see above)"));
            }
            Finding::fail("credential-expired", title)
                .why("the number in front of the username is the time until which it is good.")
                .fix(
                    "Take a fresh one:\n  turnctl credentials\nIf it is fresh, the clock of the \
                     machine that made it is behind, or this one's is ahead:\n  timedatectl",
                )
        }
        Some(401 | 441) => {
            let fail =
                Finding::fail("auth-refused", format!("the server refuses the login: {error}"));
            let rest = matches!(&plan.credentials, Credentials::Fixed(login)
                if RestName::parse(&login.username).is_some());
            let secret = matches!(plan.credentials, Credentials::Secret { .. });
            if secret || rest {
                fail.why(
                    "the password is made from a shared secret, and the server makes another one: \
                     the secrets differ. Every call of every user is refused like this.",
                )
                .fix(format!(
                    "Compare turn_shared_secret of the homeserver with the server's (coturn: \
                     static-auth-secret; taciturn: secrets in [auth]), to the last character; quote \
                     it in YAML. The hash has to be one of its auth.secret_hashes (--secret-hash). coturn needs use-auth-secret and no lt-cred-mech. Restart both. If \
                     they are equal, compare the clocks (timedatectl). The server's realm is \
                     \"{realm}\"."
                ))
            } else {
                fail.why("no client with this name and password gets a relay.").fix(format!(
                    "Compare name and password with those in the server's configuration. If a key \
                     (0x...) is kept there instead of the password, it must be made for the realm \
                     \"{realm}\":\n  printf 'NAME:{realm}:PASSWORD' | md5sum\nIn coturn, \
                     use-auth-secret switches such users off."
                ))
            }
        }
        Some(438) => {
            Finding::fail("nonce-refused", "the server refuses the nonce that it has just given, again and again (438)")
                .why(
                    "a nonce is good for one client address and port, at one server: something changes the \
                     client's port between packets, or packets go to several servers in turn.",
                )
                .fix(
                    "A proxy or load balancer must keep one port, and one server, for each client (nginx: without \
                     proxy_responses; balancers: by the source address). If the server was restarted just now, \
                     run the check again.",
                )
        }
        Some(440 | 443) => {
            Finding::fail("family-unsupported", format!("the server relays no IPv4: {error}"))
                .why("most other sides of a call have IPv4 only.")
                .fix("Give the server an IPv4 address to relay on.")
        }
        _ if matches!(error, ClientError::Unsigned(_)) => Finding::fail(
            "auth-unsigned",
            "the server answers, but does not prove that it knows the password",
        )
        .why("clients ignore such an answer, because anybody could have sent it.")
        .fix("Look whether something between here and the server rewrites packets."),
        _ => Finding::fail("allocate-refused", format!("there is no allocation: {error}"))
            .why("without one there is no relay.")
            .fix("Look into the server's log for the reason."),
    }
}

async fn refresh(client: &mut Client) -> Finding {
    match client.refresh(600).await {
        Ok(lifetime) => Finding::pass("refresh", format!("a refresh is granted, for {lifetime} s")),
        Err(error) => {
            Finding::fail("refresh-refused", format!("the allocation is not refreshed: {error}"))
                .why("calls end after ten minutes.")
                .fix("Look into the server's log for the reason.")
        }
    }
}

/// A second client, to be the other side.
pub(super) async fn second(
    run: &Run<'_>,
    target: &Target,
    section: &mut Section,
) -> Option<(Client, Allocation)> {
    match another(run, target, None).await {
        Ok(both) => Some(both),
        Err(error) => {
            section.push(match Shortage::of(&error) {
                Some(shortage) => capacity::no_more(shortage, 1),
                None if error.code() == Some(401) && run.plan.credentials.is_expired() => {
                    ended_meanwhile()
                }
                None => lost(&error),
            });
            None
        }
    }
}

/// Whether the server relays to the other address family, too. Once in a run.
async fn other_family(run: &mut Run<'_>, target: &Target, section: &mut Section, had: &Allocation) {
    if run.families_tested {
        return;
    }
    run.families_tested = true;
    let (family, name) = match had.relayed {
        std::net::SocketAddr::V4(_) => (Family::V6, "IPv6"),
        std::net::SocketAddr::V6(_) => (Family::V4, "IPv4"),
    };
    section.push(match another(run, target, Some(family)).await {
        Ok((mut client, allocation)) => {
            let _ = client.refresh(0).await;
            // A server that asks nobody who he is was not asked for a family either.
            if allocation.relayed.is_ipv4() == had.relayed.is_ipv4() {
                return;
            }
            Finding::pass(
                "other-family",
                format!("{name} is relayed as well: {}", allocation.relayed),
            )
        }
        Err(ClientError::Refused { code: 401, .. }) if run.plan.credentials.is_expired() => {
            ended_meanwhile()
        }
        // 508 alone may mean that there is no address of that family.
        Err(error) if !matches!(Shortage::of(&error), None | Some(Shortage::Ports)) => {
            Finding::skip("other-family", format!("{name} not tried: {error}"))
        }
        Err(error) => {
            let code = error.code().map_or_else(|| error.to_string(), |code| code.to_string());
            let mut finding =
                Finding::info("other-family", format!("{name} is not relayed ({code})"));
            if family == Family::V4 {
                finding.status = Status::Warn;
                finding = finding
                    .why("most other sides of a call have IPv4 only.")
                    .fix("Give the server an IPv4 address to relay on.");
            }
            finding
        }
    });
}
