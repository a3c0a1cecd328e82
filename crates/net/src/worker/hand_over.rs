//! Allocations that move from worker to worker, with their relay sockets, because their client has moved
//! (RFC 8016). Never for a packet.

use super::core::Core;
use crate::engine::entered::Entered;
use crate::event_log::{Kind, NO_SOURCE};
use crate::mailbox::{HandedOver, MovedAllocation};
use taciturn_turn::{Client, MobileId, ShardNumber};

impl Core {
    /// Hands an allocation over to the worker that its client has moved to. If it is not here, that worker is
    /// told so.
    pub(super) fn hand_over(&self, allocation: MobileId, to: ShardNumber, client: Client) {
        self.engine.borrow_mut().enter(|entered| {
            let departed =
                entered.shard.depart(entered.now, allocation, to, client, &mut entered.out);
            tracing::debug!(
                client = %client.remote,
                worker = to.0,
                given = departed.is_some(),
                "another worker asks for an allocation"
            );
            let resources = &mut *entered.out.resources;
            let moved = departed.map(|departed| {
                let release = |relay: Option<_>| resources.sockets.release(relay?);
                Box::new(MovedAllocation { sockets: departed.relays().map(release), departed })
            });
            let returned = resources.workers.respond(to, HandedOver { allocation, client, moved });
            if let Err(HandedOver { moved: Some(moved), .. }) = returned {
                // The other worker has ended, and so will this one: here the allocation ends in good order.
                land(entered, *moved);
            }
        });
    }

    /// Adds an allocation that was asked for, and answers the requests that have waited for it.
    pub(super) fn take_over(&self, response: HandedOver) {
        self.engine.borrow_mut().enter(|entered| {
            entered.out.resources.workers.responded();
            let HandedOver { allocation, client, moved } = response;
            match moved {
                Some(moved) => land(entered, *moved),
                None => {
                    entered.shard.not_fetched(entered.now, allocation, client, &mut entered.out);
                }
            }
        });
    }

    /// Ends an allocation that its client has ended on another worker.
    pub(super) fn release(&self, allocation: MobileId) {
        self.engine.borrow_mut().enter(|entered| {
            entered.shard.release(entered.now, allocation, &mut entered.out);
        });
    }

    /// Asks for the allocation that this client waits for.
    pub(super) fn fetch_for(&self, client: Client) {
        self.engine.borrow_mut().enter(|entered| {
            entered.shard.fetch_for(entered.now, client, &mut entered.out);
        });
    }
}

fn land(entered: &mut Entered<'_>, moved: MovedAllocation) {
    let MovedAllocation { departed, sockets } = moved;
    let (now, resources) = (entered.now, &mut *entered.out.resources);
    let relays = sockets.map(|socket| {
        let adopted = resources.sockets.adopt(socket?);
        let warn = |error| {
            let text = format_args!("cannot watch a relay socket that has moved: {error}");
            resources.log.warn(Kind::Socket, NO_SOURCE, now.tick, text);
        };
        adopted.map_err(warn).ok()
    });
    let landed = entered.shard.land(now, departed, relays, &mut entered.out);
    for relay in relays.into_iter().flatten() {
        entered.out.resources.sockets.set_owner(relay, landed);
    }
}
