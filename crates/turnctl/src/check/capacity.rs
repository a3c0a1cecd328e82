//! What a server that takes the login says when it gives no allocation, or no further one.

use crate::client::Shortage;
use crate::report::Finding;

const WIDER: &str = "Widen the range, and open it in the firewall:\n  taciturn: relay_ports = \
                     \"59000-60100\"\n  coturn:   min-port=59000\n            max-port=60100";

const QUOTA: &str = "Raise the quota, or take it away:\n  coturn:   user-quota=0\n            \
                     total-quota=0\n  taciturn: allocations_per_user = 200   in [limits]";

const SHARED: &str = "Where all users share one name, take the reserve away:\n  taciturn: \
                      ports_reserved_percent = 0   in [limits]\nOtherwise widen the range, and open \
                      it in the firewall:\n  taciturn: relay_ports = \"59000-60100\"";

const ALL: &str = "Raise the limit, or take it away:\n  taciturn: allocations   in [limits]";

/// Nobody is there yet, and there is no allocation.
pub(super) fn none(shortage: Shortage) -> Finding {
    match shortage {
        Shortage::User => {
            Finding::fail("quota-reached", "486: this user has as many allocations as it may")
                .why("Element Web makes up to 20 for each URI while a call rings; the rest is refused.")
                .fix(QUOTA)
        }
        Shortage::All => {
            Finding::fail("server-full", "508: the server has as many allocations as it may")
                .why("every new call fails until others end.")
                .fix(ALL)
        }
        Shortage::KeptPorts => Finding::fail(
            "relay-ports-kept",
            "508: the last free relay ports are kept for users who have none, and this one has some",
        )
        .why("most ports are in use, and further ones of the same user's calls are refused.")
        .fix(SHARED),
        Shortage::Ports => {
            Finding::fail("relay-ports-exhausted", "508: the server has no free relay port")
                .why("every new call fails until others end.")
                .fix(WIDER)
        }
        Shortage::Draining => {
            Finding::fail("server-draining", "the server is being drained: it takes nobody new")
                .why("calls that run go on; every new one fails, and the server ends with the last.")
                .fix(
                    "Let it take clients again, on its machine, or start it again when it has ended:\n  \
                     taciturn: turnctl drain --cancel\n  coturn:   systemctl restart coturn",
                )
        }
        Shortage::Listener => Finding::fail(
            "listener-removed",
            "this listener was removed from the server's configuration: it takes nobody new",
        )
        .why("calls that run go on; every new one by this address fails, and then the port is closed.")
        .fix(
            "Put it back into the configuration and run turnctl reload, or take this address out of \
             what the homeserver tells its clients.",
        ),
    }
}

/// After `had` allocations of this user there is no further one.
pub(super) fn no_more(shortage: Shortage, had: usize) -> Finding {
    match shortage {
        Shortage::User => Finding::warn(
            "quota-low",
            format!("one user gets no more than {had} allocations (486)"),
        )
        .why(
            "Element Web makes up to 20 for each URI while a call rings, so with several devices \
             calls fail now and then.",
        )
        .fix(QUOTA),
        Shortage::All => Finding::warn(
            "server-full",
            format!("after {had} allocations the server has as many as it may (508)"),
        )
        .why("new calls fail until others end: Element Web makes up to 20 allocations for each URI.")
        .fix(ALL),
        Shortage::KeptPorts => Finding::warn(
            "relay-ports-kept",
            format!(
                "after {had} allocations the rest of the relay ports is kept for other users (508)"
            ),
        )
        .why("most ports are in use: Element Web takes up to 20 of them for each URI.")
        .fix(SHARED),
        Shortage::Ports => Finding::warn(
            "relay-ports-few",
            format!("after {had} allocations there is no free port (508)"),
        )
        .why("a few calls at a time use up the range: Element Web takes up to 20 ports for each URI.")
        .fix(WIDER),
        // Begun while the check ran.
        Shortage::Draining | Shortage::Listener => none(shortage),
    }
}
